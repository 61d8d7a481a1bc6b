# Runs in the guest: if the checkout asks for tools by mise (https://mise.jdx.dev), begin to install them, and do not wait.
#   sh mise.sh PLACE LOG
# Whatever comes of it is in LOG. Nothing here fails.
cd "$1" 2>/dev/null || exit 0
log=$2
for file in mise.toml .mise.toml mise/config.toml .mise/config.toml .config/mise.toml .config/mise/config.toml .tool-versions; do
  if [ -e "$file" ]; then
    asked=$file
    break
  fi
done
[ -n "${asked-}" ] || exit 0
mkdir -p "${log%/*}"
program=$(command -v mise || command -v "${HOME:-/root}/.local/bin/mise") || {
  echo "$asked asks for mise, which this image does not have" | tee "$log" >&2
  exit 0
}
echo "installing what $asked asks for; its log in the VM: $log" >&2
MISE_YES=1 MISE_TRUSTED_CONFIG_PATHS=$PWD
export MISE_YES MISE_TRUSTED_CONFIG_PATHS
setsid "$program" install >"$log" 2>&1 </dev/null &
exit 0
