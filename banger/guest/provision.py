"""How SSH is installed in an image that has none, by the package manager that its family of systems has.

Which family it is follows from os-release(5): `ID`, and for a system that is not listed here its `ID_LIKE`. Banger's
own init is the first program of every guest and starts sshd itself, so a server is all that is missing: no init system.
"""

from collections.abc import Sequence
from typing import Final

FAMILIES: Final = {
    "debian": (
        "debian",
        "ubuntu",
        "devuan",
        "deepin",
        "elementary",
        "kali",
        "linuxmint",
        "neon",
        "parrot",
        "pop",
        "proxmox",
        "raspbian",
        "zorin",
    ),
    "alpine": ("alpine", "postmarketos"),
    "fedora": ("fedora", "almalinux", "amzn", "centos", "eurolinux", "mariner", "nobara", "ol", "rhel", "rocky"),
    "arch": ("arch", "archarm", "arcolinux", "artix", "cachyos", "endeavouros", "garuda", "manjaro"),
    "opensuse": ("opensuse", "opensuse-leap", "opensuse-tumbleweed", "opensuse-microos", "sles", "sled", "suse"),
}
"""Families of systems, each with the `ID`s that belong to it; a name of a family is one of its own."""

SOURCES_VARIABLE: Final = "BANGER_SOURCES"
"""Of the script for Debian: lines as in sources.list(5) to try before the image's own; may be empty."""

_FAMILY_OF: Final = {name: family for family, names in FAMILIES.items() for name in names}

_HEAD: Final = """\
set -eu
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
"""

# A service must not be started by its installation: port 22 is init's. (policy-rc.d: invoke-rc.d(8).)
_DEBIAN: Final = """\
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  mkdir -p /usr/sbin
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
else
  policy=
fi
install() {
  apt-get "$@" -q -o Acquire::Retries=2 update &&
    apt-get "$@" -q -y --no-install-recommends -o Dpkg::Options::=--force-confold install openssh-server
}
done=
if [ -n "${BANGER_SOURCES:-}" ]; then
  printf '%s' "$BANGER_SOURCES" >/run/banger.list
  if install -o Dir::Etc::sourcelist=/run/banger.list -o Dir::Etc::sourceparts=-; then done=yes; fi
fi
[ -n "$done" ] || install
apt-get clean
rm -rf /var/lib/apt/lists/*
[ -z "$policy" ] || rm -f "$policy"
"""

_INSTALL: Final = {
    "debian": _DEBIAN,
    "alpine": "apk add --no-cache openssh-server openssh-sftp-server\n",
    "fedora": """\
for manager in dnf microdnf yum; do
  if command -v $manager >/dev/null; then
    $manager install -y openssh-server
    $manager clean all || true
    break
  fi
done
""",
    "arch": "pacman -Sy --noconfirm --needed openssh\nrm -rf /var/cache/pacman/pkg/*\n",
    "opensuse": "zypper --non-interactive install --no-recommends openssh-server ||\n"
    "  zypper --non-interactive install --no-recommends openssh\nzypper clean --all || true\n",
}

# What is of this one machine must not be in all machines of the image.
_TAIL: Final = """\
test -x /usr/sbin/sshd
rm -f /etc/ssh/ssh_host_*_key /etc/ssh/ssh_host_*_key.pub
mkdir -p /etc/ssh/sshd_config.d
if [ -f /etc/ssh/sshd_config ] && ! grep -q '^Include /etc/ssh/sshd_config.d/' /etc/ssh/sshd_config; then
  { echo 'Include /etc/ssh/sshd_config.d/*.conf'; cat /etc/ssh/sshd_config; } >/etc/ssh/sshd_config.new
  mv /etc/ssh/sshd_config.new /etc/ssh/sshd_config
fi
: >/etc/resolv.conf
if [ -e /etc/machine-id ]; then : >/etc/machine-id; fi
sync
"""


def family_of(os_ids: Sequence[str]) -> str | None:
    """The family that a system belongs to; None if banger knows none of its names."""
    return next((_FAMILY_OF[name] for name in os_ids if name in _FAMILY_OF), None)


def script_of(family: str) -> str:
    """What /bin/sh is to do, as root in a guest of that family, with a network."""
    return _HEAD + _INSTALL[family] + _TAIL
