# Runs in the guest, in the directory that banger's archive was unpacked in. Brings a checkout up to date: all, or nothing.
#   sh update.sh PLACE DIGEST
# Beside this script lie the program `place`, and in meta/ (see also place.sh):
#   plan                      files: for that program, which says whether somebody has changed them here
#   old, new                  a line each: the branch (none: detached) and the commit (none: no commits) that was, and is to be,
#                             checked out
#   move                      is there if the two differ
#   bundle                    the history that has been added; absent if there is none
#   refs                      for git update-ref
#   old-added, added, gone    NUL-ended paths: those that were added to the index the last time; are to be added; are to go
# Exit status: 3 and 4 as of the program, 7: an object that the bundle builds on is absent, 8: the guest has commits, or
# changes in its index, of its own.
set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
place=$1 digest=$2 program=$PWD/place meta=$PWD/meta
LC_ALL=C
export LC_ALL

"$program" --check "$place" <"$meta/plan"
cd "$place"
if [ -e "$meta/move" ]; then
  { read -r old_branch; read -r old; } <"$meta/old"
  { read -r new_branch; read -r new; } <"$meta/new"
  [ ! -e "$meta/bundle" ] || git bundle unbundle "$meta/bundle" >/dev/null || exit 7
  git cat-file -e "$new^{commit}" 2>/dev/null || exit 7
  now=$(git rev-parse -q --verify HEAD || echo none)
  branch=$(git symbolic-ref -q HEAD || echo none)
  case $branch in
    "$old_branch" | "$new_branch") ;;
    *) exit 8 ;;
  esac
  case $now in
    none | "$old" | "$new") ;;
    *) git merge-base --is-ancestor "$now" "$new" || exit 8 ;;
  esac
  if [ "$new_branch" != none ] && [ "$new_branch" != "$branch" ]; then # a branch of that name may be there already
    there=$(git rev-parse -q --verify "$new_branch" || echo none)
    [ "$there" = none ] || git merge-base --is-ancestor "$there" "$new" || exit 8
  fi
  if [ "$now" != "$new" ]; then
    [ ! -s "$meta/old-added" ] || git update-index --force-remove -z --stdin <"$meta/old-added"
    from=$now
    [ "$now" != none ] || from=$(git hash-object -t tree /dev/null)
    git read-tree -i -m "$from" "$new" || exit 8
  fi
  if [ -e "$meta/shallow" ]; then
    [ ! -e .git/shallow ] || cat .git/shallow >>"$meta/shallow"
    git cat-file --batch-check='%(objectname) %(objecttype)' <"$meta/shallow" | sed -n 's/ commit$//p' | sort -u >"$meta/cut"
    [ ! -s "$meta/cut" ] || cp "$meta/cut" .git/shallow
  fi
  git update-ref -z --stdin <"$meta/refs"
  [ "$new_branch" = none ] || git symbolic-ref HEAD "$new_branch"
fi
"$program" "$place" <"$meta/plan"
[ ! -s "$meta/gone" ] || git update-index --force-remove -z --stdin <"$meta/gone"
[ ! -s "$meta/added" ] || git update-index --add --replace -z --stdin <"$meta/added" || :
printf '%s\n' "$digest" >.git/banger-workspace.new
mv .git/banger-workspace.new .git/banger-workspace
