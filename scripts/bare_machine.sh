#!/usr/bin/env bash
# Shows that the README's commands work where nothing has been installed: makes a fresh minimal Debian in a directory,
# clones this checkout into it, and runs a command there with its own root, mounts and processes. Needs root.
#   bare_machine.sh DIR [--user NAME] COMMAND [ARG ...]
# DIR is kept, so that a second call sees what the first has left. How this machine reaches its package registries (apt's
# and pip's configuration, proxies, certificates) is carried over; nothing else of it is.
set -euo pipefail
project=$(cd "$(dirname "$0")/.." && pwd)

die() { printf 'bare_machine: %s\n' "$*" >&2; exit 2; }

((EUID == 0)) || die "needs root"
(($# >= 2)) || die "usage: bare_machine.sh DIR [--user NAME] COMMAND [ARG ...]"
tree=$(realpath -m "$1")
shift
user=root
if [[ $1 == --user ]]; then
  user=$2
  shift 2
fi

make_tree() {
  printf 'bare_machine: making a minimal Debian in %s\n' "$tree" >&2
  mmdebstrap --quiet --variant=minbase --include=ca-certificates,git,make --skip=output/dev bookworm "$tree"
  carry_over
  git clone --quiet --no-hardlinks "$project" "$tree/banger"
}

# Variables that say how registries are reached, and the files that they and the tools' configuration name.
registry_variables() { env | grep -E '^(PIP_[A-Z_]*|SSL_CERT_(FILE|DIR)|https?_proxy|no_proxy|REQUESTS_CA_BUNDLE)=' || true; }

carry_over() {
  local path
  for path in /etc/apt/sources.list /etc/apt/sources.list.d /etc/apt/apt.conf.d /etc/apt/auth.conf.d /etc/pip.conf; do
    rm -rf "${tree:?}$path"
    [[ ! -e $path ]] || cp -a "$path" "$tree$path"
  done
  rm -f "$tree"/etc/apt/apt.conf.d/docker-clean
  if [[ -e ~/.config/pip/pip.conf ]]; then
    install -D -m 644 ~/.config/pip/pip.conf "$tree/etc/xdg/pip/pip.conf"
  fi
}

bind_named_paths() {
  local path
  while read -r path; do
    [[ -e $path ]] || continue
    if [[ -d $path ]]; then
      [[ ! -e $tree$path ]] || continue
      mkdir -p "$tree$path"
    else
      mkdir -p "$(dirname "$tree$path")"
      [[ -e $tree$path ]] || touch "$tree$path" # a bundle of certificates is carried over the one that is there
    fi
    mount --bind -o ro "$path" "$tree$path"
  done < <({ registry_variables; cat "$tree/etc/pip.conf" "$tree/etc/xdg/pip/pip.conf" "$tree"/etc/apt/apt.conf.d/* 2>/dev/null; } |
    grep -oE '/[A-Za-z0-9._+/-]+' | grep -E '^/(etc|usr|opt|root)/' | sort -u)
}

# A root of its own, by pivot_root: in a mere chroot the kernel makes no user namespaces.
enter() {
  mount --make-rprivate /
  mount --bind "$tree" "$tree"
  bind_named_paths
  for path in dev sys; do mount --rbind "/$path" "$tree/$path"; done
  mount -t proc proc "$tree/proc"
  mount -t tmpfs -o mode=1777 tmp "$tree/tmp"
  cp -L /etc/resolv.conf "$tree/etc/resolv.conf"
  mkdir -p "$tree/.host"
  cd "$tree"
  pivot_root . .host
  mapfile -t variables < <(registry_variables)
  umount -l /.host
  cd /banger
  if [[ $user != root ]]; then
    id "$user" >/dev/null 2>&1 || useradd --create-home --shell /bin/bash "$user"
    chown -R "$user:" /banger
    exec env -i "${variables[@]}" HOME="/home/$user" USER="$user" LOGNAME="$user" PATH="$PATH" LANG=C.UTF-8 \
      setpriv --reuid "$user" --regid "$user" --init-groups -- "$@"
  fi
  exec env -i "${variables[@]}" HOME=/root USER=root LOGNAME=root PATH="$PATH" LANG=C.UTF-8 "$@"
}

[[ -e $tree/etc/debian_version ]] || make_tree
export tree project user
export -f enter bind_named_paths registry_variables
exec unshare --mount --pid --fork --kill-child -- bash -c 'set -euo pipefail; enter "$@"' enter "$@"
