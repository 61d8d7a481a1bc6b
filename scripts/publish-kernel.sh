#!/usr/bin/env bash
# Publishes the kernel $BANGER_KERNELS_DIR/NAME (vmlinux, maybe initrd.img and modules/, manifest.json): packs it, uploads
# the bundle, looks whether it is really there, and writes its entry into the catalog. Commits nothing.
#   publish-kernel.sh NAME
# Environment: RCLONE_REMOTE, RCLONE_BUCKET (where to), BASE_URL (where users see it), BANGER_KERNELS_DIR, CATALOG
# Needs rclone, curl, jq, tar, zstd.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/publish-common.sh

BANGER_KERNELS_DIR=${BANGER_KERNELS_DIR:-build/kernels}
CATALOG=${CATALOG:-banger/kernels/catalog.json}
if (($# != 1)) || [[ $1 == -* ]]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
name=$1
need_name "$name"
need_tools rclone curl jq tar zstd sha256sum
need_settings

directory=$BANGER_KERNELS_DIR/$name
[[ -f $directory/vmlinux ]] || fail "$directory/vmlinux is not there: scripts/make-generic-kernel.sh --name $name"
[[ -f $directory/manifest.json ]] || fail "$directory/manifest.json is not there"
arch=$(jq -er .arch "$directory/manifest.json") || fail "$directory/manifest.json has no arch"
version=$(jq -er .kernel_version "$directory/manifest.json") || fail "$directory/manifest.json has no kernel_version"
description=$(jq -r '.description // ""' "$directory/manifest.json")
distro=$(jq -r '.distro // ""' "$directory/manifest.json")
[[ $arch == x86_64 ]] || fail "$directory is for $arch; VMs need x86_64"

members=(vmlinux)
[[ ! -e $directory/initrd.img ]] || members+=(initrd.img)
[[ ! -e $directory/modules ]] || members+=(modules)
bundle=$BANGER_KERNELS_DIR/$name-$arch.tar.zst
pack "$directory" "$bundle" "${members[@]}"
url=$(upload "$bundle" kernels)
entry=$(jq -n --arg name "$name" --arg arch "$arch" --arg distro "$distro" --arg version "$version" \
  --arg description "$description" \
  --arg sha256 "$(sha256_of "$bundle")" --argjson size "$(stat -c %s "$bundle")" --arg url "$url" \
  '{name: $name, arch: $arch, distro: $distro, kernel_version: $version, description: $description, sha256: $sha256, size: $size, url: $url}')
patch_catalog "$CATALOG" kernels "$entry"
next_commands "$CATALOG" "Publish the kernel $name ($version)"
