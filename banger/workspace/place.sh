# Runs in the guest, in the directory that banger's archive was unpacked in. Makes it a checkout and gives it its place.
#   sh place.sh PLACE    PLACE must not be there yet, or be an empty directory
# Beside this script lie the files of the checkout that git's history lacks, in repo/, and in meta/, each only if known:
#   digest                of all that was sent; kept as .git/banger-workspace
#   bundle                the history, complete but for what shallow cuts off
#   base, head            commits: where the branch begins; what was checked out on the host
#   branch, source-branch what to check out (absent: detached); what was checked out on the host
#   unchanged, added      NUL-ended paths: as in base; tracked, and not in base
#   name, email, origin   for git's configuration
#   shallow               commits whose parents are absent;  object-format: sha1 or sha256
set -eu
place=$1
meta=$PWD/meta
LC_ALL=C
export LC_ALL
unset $(git rev-parse --local-env-vars)

known() { [ -e "$meta/$1" ]; }
get() { cat "$meta/$1"; }

# Bytes are to be written and read as they are, whatever .gitattributes says of line ends, filters and encodings.
attributes_off() {
  mkdir -p .git/info
  echo '* -text !eol -ident -filter !working-tree-encoding' >.git/info/attributes
}
attributes_on() { rm .git/info/attributes; }

mkdir -p repo
cd repo
if [ "$(get object-format)" = sha256 ]; then
  git init --quiet --object-format=sha256
else
  git init --quiet
fi

if known bundle; then
  git bundle unbundle "$meta/bundle" >/dev/null
  if known shallow; then
    git cat-file --batch-check='%(objectname) %(objecttype)' <"$meta/shallow" | sed -n 's/ commit$//p' >.git/shallow
    [ -s .git/shallow ] || rm .git/shallow
  fi
fi

# The branch that was checked out on the host comes along; if the guest uses its name for another commit, then as a ref
# that is no branch, so that git keeps the history.
if known head; then
  if known source-branch; then
    git update-ref "refs/heads/$(get source-branch)" "$(get head)"
  fi
  [ "$(get head)" = "$(get base)" ] || git update-ref refs/banger/head "$(get head)"
fi
if known branch; then
  git symbolic-ref HEAD "refs/heads/$(get branch)"
  ! known base || git update-ref "refs/heads/$(get branch)" "$(get base)"
else
  git update-ref --no-deref HEAD "$(get base)"
fi

if known base; then
  git read-tree "$(get base)"
  attributes_off
  git checkout-index --index -z --stdin <"$meta/unchanged"
  attributes_on
fi
git update-index --add --replace -z --stdin <"$meta/added" || {
  attributes_off
  git update-index --add --replace -z --stdin <"$meta/added"
  attributes_on
}

! known name || git config user.name "$(get name)"
! known email || git config user.email "$(get email)"
if known origin; then
  git config remote.origin.url "$(get origin)"
  git config remote.origin.fetch '+refs/heads/*:refs/remotes/origin/*'
fi
get digest >.git/banger-workspace

cd ..
mv -T repo "$place"
