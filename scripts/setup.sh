#!/usr/bin/env bash
# Installs what banger needs on this machine: Debian packages, a virtual environment from requirements.lock, and the
# guest programs compiled from source. Says what it does; does nothing twice.
#   setup.sh          do whatever is missing
#   setup.sh --check  the same, for a machine where it has been done: only the parts that can go stale
#   setup.sh --tests  install the Debian packages that only the tests need
#   setup.sh --nightly  the same for the nightly tests: a browser of 80 MB
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  qemu-system-x86 qemu-utils # the VMM and its disk tool
  mmdebstrap uidmap gpgv     # root filesystems, also without root
  debian-archive-keyring     # whose signatures are believed
  e2fsprogs openssh-client git
  musl-tools gcc libc6-dev linux-libc-dev # the guest programs are small static C
  python3-venv
)
test_packages=(
  nftables iproute2            # look at, and get in the way of, what the root worker makes in namespaces of their own
  strace                       # looks at what programs open and run, and kills them at a system call
  docker-registry skopeo umoci # the real registry, and real tools that push to it
  jq curl zstd shellcheck      # what the scripts that publish use, and what reads them
  zsh fish                     # shells that completion is written for
  busybox-static               # a whole system for images that are small and boot
)
nightly_packages=(
  chromium # looks at the pages that banger writes
  linux-source-6.12 flex bison bc # a kernel's config is made of its source
)

say() { printf 'setup: %s\n' "$*" >&2; }

missing_packages() {
  local package
  for package in "$@"; do
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || printf '%s\n' "$package"
  done
}

install_packages() {
  local missing
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]} == 0)) && return
  if ((EUID != 0)); then
    say "these Debian packages are missing; type this, then start again:"
    printf '  sudo apt-get update && sudo apt-get install -y --no-install-recommends %s\n' "${missing[*]}" >&2
    exit 1
  fi
  say "installing Debian packages: ${missing[*]}"
  apt-get update -q >/dev/null
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null
  # Debian starts a registry with its package, for everybody to see; the tests start their own, on loopback.
  if [[ " ${missing[*]} " == *" docker-registry "* && -d /run/systemd/system ]]; then
    systemctl disable --now --quiet docker-registry.service
  fi
}

make_environment() {
  local stamp=.venv/.banger-ready
  if [[ -e $stamp && ! requirements.lock -nt $stamp && ! pyproject.toml -nt $stamp && ! scripts/setup.sh -nt $stamp ]]; then
    return
  fi
  say "making the Python environment in .venv"
  mkdir -p build/bin
  [[ -x .venv/bin/python ]] || python3 -m venv .venv
  .venv/bin/python -m pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
  .venv/bin/python -m pip install -q --disable-pip-version-check --no-deps --no-build-isolation -e .
  .venv/bin/python -m compileall -q banger # as pip does with what it installs
  touch "$stamp"
}

compile_guest() {
  [[ -e banger/guest/src/Makefile ]] || return 0
  make -s -C banger/guest/src
}

case ${1:-} in
  --tests) install_packages "${test_packages[@]}" && exit ;;
  --nightly) install_packages "${test_packages[@]}" "${nightly_packages[@]}" && exit ;;
  --check) ;;
  *) install_packages "${packages[@]}" ;;
esac
make_environment
compile_guest
