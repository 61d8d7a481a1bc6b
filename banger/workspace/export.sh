# Runs in the guest. Writes what was done in a checkout to stdout: some lines, an empty one, and a pack.
#   sh -c ... sh PLACE BASE    BASE: the commit that it was made from; none: it had none
# What is not committed becomes a commit that no branch has; the checkout and its index stay as they are.
set -eu
unset GIT_DIR GIT_WORK_TREE GIT_INDEX_FILE GIT_OBJECT_DIRECTORY GIT_COMMON_DIR GIT_NAMESPACE
base=$2
LC_ALL=C
export LC_ALL
cd "$1"
[ -e .git/banger-workspace ] || { echo "$1 is not a checkout that banger made" >&2; exit 3; }
temporary=$(mktemp -d)
trap 'rm -rf "$temporary"' EXIT
trap 'rm -rf "$temporary"; exit 1' HUP INT TERM

head=$(git rev-parse -q --verify 'HEAD^{commit}' || echo none)
branch=$(git symbolic-ref -q --short HEAD || echo none)
cp "$(git rev-parse --git-path index)" "$temporary/index" 2>/dev/null || :
GIT_INDEX_FILE=$temporary/index
export GIT_INDEX_FILE
git add -A -- . 2>"$temporary/said" || { cat "$temporary/said" >&2; exit 1; }
tree=$(git write-tree)
tip=$head
if [ "$head" = none ]; then
  [ -z "$(git ls-files | head -n 1)" ] || tip=
elif [ "$tree" != "$(git rev-parse "$head^{tree}")" ]; then
  tip=
fi
if [ -z "$tip" ]; then
  git var GIT_AUTHOR_IDENT >/dev/null 2>&1 || {
    GIT_AUTHOR_NAME=banger GIT_AUTHOR_EMAIL=banger@localhost GIT_COMMITTER_NAME=banger GIT_COMMITTER_EMAIL=banger@localhost
    export GIT_AUTHOR_NAME GIT_AUTHOR_EMAIL GIT_COMMITTER_NAME GIT_COMMITTER_EMAIL
  }
  parents=
  [ "$head" = none ] || parents="-p $head"
  tip=$(git commit-tree --no-gpg-sign $parents -m 'Uncommitted changes in the VM' "$tree")
fi

printf 'banger-export 1\nhead %s\ntip %s\nbranch %s\n' "$head" "$tip" "$branch"
[ "$tip" = none ] || git for-each-ref --count=20 --format='other %(refname:short)' --no-merged="$tip" refs/heads
echo
if [ "$tip" != none ] && [ "$tip" != "$base" ]; then
  known=
  ! git cat-file -e "$base^{commit}" 2>/dev/null || known=^$base
  printf '%s\n' "$tip" $known | git pack-objects -q --revs --thin --delta-base-offset --stdout
fi
