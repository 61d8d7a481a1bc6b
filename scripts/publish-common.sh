# What publish-kernel.sh and publish-image.sh share. To be sourced; the caller has set -euo pipefail.
# shellcheck shell=bash

say() { printf '%s: %s\n' "$(basename "$0" .sh)" "$*" >&2; }
fail() { say "$*" && exit 1; }
sha256_of() { sha256sum "$1" | cut -d' ' -f1; }

need_name() {
  [[ $1 =~ ^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$ ]] || fail "'$1' cannot be a name: a-z, 0-9, '.', '_' and '-'"
}

need_tools() {
  local tool missing=()
  for tool in "$@"; do
    command -v "$tool" >/dev/null || missing+=("$tool")
  done
  ((${#missing[@]} == 0)) || fail "not found: ${missing[*]}"
}

need_settings() {
  local variable
  for variable in RCLONE_REMOTE RCLONE_BUCKET BASE_URL; do
    [[ -n ${!variable:-} ]] || fail "$variable is not set"
  done
  BASE_URL=${BASE_URL%/}
  [[ $BASE_URL == https://* || $BASE_URL =~ ^http://(127\.0\.0\.1|localhost|\[::1\])(:|/|$) ]] ||
    fail "BASE_URL is $BASE_URL: users fetch over https only"
}

# pack DIRECTORY BUNDLE MEMBER...: the same files give the same bytes.
pack() {
  local directory=$1 bundle=$2
  shift 2
  say "packing $bundle"
  tar -C "$directory" --sort=name --mtime=@0 --owner=0 --group=0 --numeric-owner --format=gnu -cf - -- "$@" |
    zstd -q -19 -T0 -f -o "$bundle.part"
  mv -- "$bundle.part" "$bundle"
}

# upload BUNDLE FOLDER: prints the URL once the bundle can be seen there, as long as it is here. Its name has its sha256,
# so that what a catalog of today names is never replaced.
upload() {
  local bundle=$1 folder=$2 digest base object length
  digest=$(sha256_of "$bundle")
  base=$(basename "$bundle" .tar.zst)
  object=$folder/$base-${digest:0:16}.tar.zst
  say "uploading $object"
  rclone copyto "$bundle" "$RCLONE_REMOTE:$RCLONE_BUCKET/$object" >&2
  length=$(curl -fsSIL --retry 3 "$BASE_URL/$object" | tr -d '\r' | awk 'tolower($1) == "content-length:" { print $2 }' | tail -n 1)
  [[ $length == "$(stat -c %s "$bundle")" ]] || fail "$BASE_URL/$object: ${length:-no} bytes are seen there, $(stat -c %s "$bundle") were uploaded"
  printf '%s\n' "$BASE_URL/$object"
}

# patch_catalog FILE LIST ENTRY: the entry in place of the one of its name, all in the order of their names.
patch_catalog() {
  local catalog=$1 list=$2 entry=$3
  jq --arg list "$list" --argjson entry "$entry" '
    .[$list] = ([.[$list][] | select(.name != $entry.name)] + [$entry] | sort_by(.name))
  ' "$catalog" >"$catalog.part"
  mv -- "$catalog.part" "$catalog"
  say "$catalog has $(jq -r .name <<<"$entry") now"
}

next_commands() {
  printf 'next:\n  git diff %s\n  make test\n  git commit -m "%s" %s\n' "$1" "$2" "$1"
}
