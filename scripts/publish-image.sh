#!/usr/bin/env bash
# Publishes an image bundle $BANGER_IMAGES_DIR/NAME.tar.zst with its $BANGER_IMAGES_DIR/NAME.json (a catalog entry without
# sha256, size and url): uploads it, looks whether it is really there, and writes its entry into the catalog. Commits nothing.
#   publish-image.sh NAME
# Environment: RCLONE_REMOTE, RCLONE_BUCKET (where to), BASE_URL (where users see it), BANGER_IMAGES_DIR, CATALOG
# Needs rclone, curl, jq.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/publish-common.sh

BANGER_IMAGES_DIR=${BANGER_IMAGES_DIR:-build/images}
if (($# != 1)) || [[ $1 == -* ]]; then
  sed -n '2,7s/^# \{0,1\}//p' "$0" >&2
  exit 2
fi
[[ -n ${CATALOG:-} ]] || fail "CATALOG is not set: the catalog of images that is to name it"
name=$1
need_name "$name"
need_tools rclone curl jq sha256sum
need_settings

bundle=$BANGER_IMAGES_DIR/$name.tar.zst
[[ -f $bundle ]] || fail "$bundle is not there"
[[ -f $BANGER_IMAGES_DIR/$name.json ]] || fail "$BANGER_IMAGES_DIR/$name.json is not there"
url=$(upload "$bundle" images)
entry=$(jq --arg name "$name" --arg sha256 "$(sha256_of "$bundle")" --argjson size "$(stat -c %s "$bundle")" --arg url "$url" \
  '. + {name: $name, sha256: $sha256, size: $size, url: $url}' "$BANGER_IMAGES_DIR/$name.json")
patch_catalog "$CATALOG" images "$entry"
next_commands "$CATALOG" "Publish the image $name"
