#!/usr/bin/env bash
# Builds the kernel `generic-6.12` from Linux's source and configs/generic-kernel.config: one vmlinux, nothing to load.
#   make-generic-kernel.sh [--config-only] [--source DIR|TARBALL] [--sha256 HEX] [--name NAME] [--jobs N]
# Without --source: the tarball of $KERNEL_VERSION from $KERNEL_URL, as its sha256 there says, or as --sha256 does.
# Debian's source will do as well: apt-get install linux-source-6.12, --source /usr/src/linux-source-6.12.tar.xz
# Needs gcc, make, flex, bison, bc, libelf-dev, xz, curl. Result: $BANGER_KERNELS_DIR/NAME/{vmlinux,config,manifest.json}
set -euo pipefail
cd "$(dirname "$0")/.."

KERNEL_VERSION=${KERNEL_VERSION:-6.12.8}
KERNEL_URL=${KERNEL_URL:-https://cdn.kernel.org/pub/linux/kernel/v${KERNEL_VERSION%%.*}.x}
BANGER_KERNELS_DIR=${BANGER_KERNELS_DIR:-build/kernels}
PYTHON=${PYTHON:-.venv/bin/python}
fragment=$PWD/configs/generic-kernel.config
work=build/kernel-work
name=generic-6.12
source='' sha256='' config_only='' jobs=$(nproc)

say() { printf 'make-generic-kernel: %s\n' "$*" >&2; }
fail() { say "$*" && exit 1; }
usage() { sed -n '2,7s/^# \{0,1\}//p' "$0"; }

while (($#)); do
  case $1 in
    --config-only) config_only=yes && shift ;;
    --source) source=$2 && shift 2 ;;
    --sha256) sha256=$2 && shift 2 ;;
    --name) name=$2 && shift 2 ;;
    --jobs) jobs=$2 && shift 2 ;;
    -h | --help) usage && exit ;;
    *) usage >&2 && exit 2 ;;
  esac
done
[[ $name =~ ^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$ ]] || fail "'$name' cannot be a kernel's name"
[[ $(uname -m) == x86_64 ]] || fail "VMs need a kernel for x86_64; this machine is $(uname -m)"

# Puts the tarball at $1 into $tree, once.
unpack() {
  local digest
  digest=$(sha256sum "$1" | cut -d' ' -f1)
  [[ -z $sha256 || $digest == "$sha256" ]] || fail "$1 has the sha256 $digest, not $sha256"
  tree=$work/${digest:0:16}
  [[ -e $tree/.whole ]] && return
  say "unpacking $1"
  rm -rf -- "$tree" && mkdir -p "$tree"
  tar -C "$tree" --strip-components=1 -xf "$1"
  touch "$tree/.whole"
}

# Fetches the tarball of the version, believes it only with the right sha256, and goes on after a cut.
fetch() {
  local file=linux-$KERNEL_VERSION.tar.xz
  mkdir -p "$work"
  if [[ -z $sha256 ]]; then
    sha256=$(curl -fsSL "$KERNEL_URL/sha256sums.asc" | awk -v file="$file" '$2 == file { print $1 }')
    [[ $sha256 =~ ^[0-9a-f]{64}$ ]] || fail "$KERNEL_URL/sha256sums.asc has no $file"
  fi
  if ! sha256sum --check --status <<<"$sha256  $work/$file" 2>/dev/null; then
    say "fetching $KERNEL_URL/$file"
    curl -fL --no-progress-meter --retry 5 -C - -o "$work/$file.part" "$KERNEL_URL/$file"
    sha256sum --check --status <<<"$sha256  $work/$file.part" || {
      rm -f -- "$work/$file.part"
      fail "$KERNEL_URL/$file: not what its sha256 says"
    }
    mv -- "$work/$file.part" "$work/$file"
  fi
  unpack "$work/$file"
}

if [[ -z $source ]]; then
  fetch
elif [[ -d $source ]]; then
  tree=$source
elif [[ -f $source ]]; then
  unpack "$source"
else
  fail "$source: neither a directory nor a tarball"
fi

# The same source gives the same bytes, whoever builds it, and when.
export KBUILD_BUILD_USER=banger KBUILD_BUILD_HOST=banger KBUILD_BUILD_TIMESTAMP='1970-01-01 00:00:00 UTC'
export KBUILD_BUILD_VERSION=1 LC_ALL=C

out=$BANGER_KERNELS_DIR/$name
mkdir -p "$work" "$out"
make -s -C "$tree" KCONFIG_ALLCONFIG="$fragment" allnoconfig >"$work/config.log" 2>&1 || {
  tail -n 20 "$work/config.log" >&2
  fail "no config could be made; all of it is in $work/config.log"
}
"$PYTHON" scripts/check_kernel_config.py "$tree/.config" "$fragment"
cp -- "$tree/.config" "$out/config"
say "config: $out/config"
[[ -z $config_only ]] || exit 0

say "building with $jobs jobs: minutes to an hour"
make -s -C "$tree" -j"$jobs" vmlinux
strip --strip-debug -o "$out/vmlinux" "$tree/vmlinux"
release=$(make -s -C "$tree" kernelrelease)
manifest=$(printf '{"name": "%s", "distro": "generic", "arch": "x86_64", "kernel_version": "%s", "description": "%s"}' \
  "$name" "$release" "Linux $release with all that a VM needs built in, and no modules")
printf '%s\n' "$manifest" >"$out/manifest.json"
say "$out/vmlinux: Linux $release"
say "next: banger kernel import my-kernel $out/vmlinux, or scripts/publish-kernel.sh $name"
