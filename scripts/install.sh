#!/usr/bin/env bash
# Puts `banger`, `bangerd` and the manual pages below PREFIX (~/.local), as links into this checkout; or takes them away.
#   install.sh install
#   install.sh uninstall    stops the daemon; VMs, images and configuration stay, and it is printed where they are
# Only what these lines made is removed: a file of that name that is somebody else's is left, and named.
set -euo pipefail
cd "$(dirname "$0")/.."
prefix=${PREFIX:-$HOME/.local}
programs=(banger bangerd)
bin=$prefix/bin
man=$prefix/share/man/man1

say() { printf '%s\n' "$*" >&2; }

is_ours() { [[ -L $1 && $(readlink "$1") == "$PWD/"* ]]; }

link() {
  if [[ -e $2 || -L $2 ]] && ! is_ours "$2"; then
    say "install: $2 is there and is not banger's; it stays as it is"
    exit 1
  fi
  ln -sfn "$1" "$2"
}

install_all() {
  rm -rf build/man
  .venv/bin/python scripts/make_man.py build/man
  mkdir -p "$bin" "$man"
  local program page
  for program in "${programs[@]}"; do link "$PWD/.venv/bin/$program" "$bin/$program"; done
  for page in build/man/man1/*.1; do link "$PWD/$page" "$man/${page##*/}"; done
  say "banger is $bin/banger; its pages are in $man"
  [[ :$PATH: == *":$bin:"* ]] || say "$bin is not in your PATH: export PATH=\"$bin:\$PATH\""
}

uninstall_all() {
  [[ ! -x .venv/bin/banger ]] || .venv/bin/banger daemon stop >/dev/null || true
  local path
  for path in "${programs[@]/#/$bin/}" "$man"/banger*.1; do
    if is_ours "$path"; then rm -f "$path"; fi
  done
  say "These are yours and stay; remove them by hand if you want to:"
  for path in "${BANGER_STATE_DIR:-${XDG_STATE_HOME:-$HOME/.local/state}/banger}" \
    "${XDG_CONFIG_HOME:-$HOME/.config}/banger"; do
    [[ ! -e $path ]] || printf '%s\n' "$path"
  done
}

case ${1:-} in
  install) install_all ;;
  uninstall) uninstall_all ;;
  *) say "install.sh install|uninstall" && exit 2 ;;
esac
