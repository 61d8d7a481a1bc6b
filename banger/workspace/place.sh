# Runs in the guest, in the directory that banger's archive was unpacked in. Makes it a checkout and gives it its place.
#   sh place.sh PLACE [replace]    PLACE must not be there yet, or be an empty directory; replace: what is there is put aside
# Beside this script lie repo/, with a .git that has no objects yet and the files that git's history lacks, and in meta/:
#   bundle            the history, complete but for what shallow cuts off; absent if there is none
#   refs, base        for git update-ref; the commit that the index begins with
#   unchanged, added  NUL-ended paths: as in base; tracked, and not in base
#   shallow           commits whose parents are absent; absent if there are none
# parts/1 and so on are submodules in the same form, each with its path below PLACE.
# Each program costs a third of a second where the processor is emulated.
set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
place=$1
attributes=.git/info/attributes
LC_ALL=C
export LC_ALL

# Make repo/, here, a checkout.
build() {
  meta=$PWD/meta
  cd repo
  if [ -e "$meta/bundle" ]; then
    git bundle unbundle "$meta/bundle" >/dev/null
    if [ -e "$meta/shallow" ]; then
      git cat-file --batch-check='%(objectname) %(objecttype)' <"$meta/shallow" | sed -n 's/ commit$//p' >.git/shallow
      [ -s .git/shallow ] || rm .git/shallow
    fi
    git update-ref -z --stdin <"$meta/refs"
    read -r base <"$meta/base"
    git read-tree "$base"
    git checkout-index --index -z --stdin <"$meta/unchanged"
  fi
  mv "$attributes" "$meta/attributes"

  # As `git add` would; if an attribute does not suit the file, then the bytes as they are.
  if [ -s "$meta/added" ]; then
    git update-index --add --replace -z --stdin <"$meta/added" || {
      cp "$meta/attributes" "$attributes"
      git update-index --add --replace -z --stdin <"$meta/added"
      rm "$attributes"
    }
  fi
  cd ..
}

build
if [ -d parts ]; then
  cd parts
  for part in *; do # in the order of their numbers, so that what is inside another comes after it
    cd "$part"
    build
    path=$(cat path && echo .)
    rmdir "../../repo/${path%.}"
    mv -T repo "../../repo/${path%.}"
    cd ..
  done
  cd ..
fi
if [ "${2-}" = replace ] && [ -e "$place" ]; then
  number=1
  while [ -e "$place.$number" ]; do number=$((number + 1)); done
  mv -T "$place" "$place.$number"
fi
mv -T repo "$place"
