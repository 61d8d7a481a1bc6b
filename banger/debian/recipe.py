"""What the image `debian-bookworm-slim` is: its packages, what is left out, and how it is finished."""

PACKAGES = (
    "ca-certificates",
    "curl",
    "git",
    "iproute2",
    "iputils-ping",
    "less",
    "make",
    "nano",
    "openssh-server",
    "openssh-sftp-server",
    "procps",
    "usr-is-merged",
    "xz-utils",
)
"""Beyond minbase: what `make test` in a checkout and a person at its prompt expect. No init system: banger has its own.

usr-is-merged stands for usrmerge, which would bring Perl modules and 3 s of moving files."""

DPKG_OPTIONS = (
    # As Debian's slim container images: copyright files stay, their licences ask for it.
    "path-exclude=/usr/share/doc/*",
    "path-include=/usr/share/doc/*/copyright",
    "path-exclude=/usr/share/info/*",
    "path-exclude=/usr/share/lintian/*",
    "path-exclude=/usr/share/locale/*",
    "path-exclude=/usr/share/man/*",
    # The tree is thrown away if the machine stops: no fsync of each file, here or in the throw-away guest.
    "force-unsafe-io",
)

APT_OPTIONS = (
    'APT::Install-Recommends "false"',
    'Acquire::Languages "none"',
    # The tree is below a private directory: the user _apt could not reach it.
    'APT::Sandbox::User "root"',
)

_LINKED_DIRECTORIES = {"amd64": "bin sbin lib lib32 lib64 libx32", "arm64": "bin sbin lib"}

# Constant programs for sh(1); in the hooks "$1" is the tree. Values come by the environment, never by quoting.
START = """\
set -eu
test -z "$BANGER_MEMORY" || mount -t tmpfs -o "mode=755,size=$BANGER_MEMORY" banger "$TMPDIR"
exec "$@"
"""

SETUP_HOOK = """\
set -eu
for name in $BANGER_LINKED; do
  mkdir -p "$1/usr/$name"
  ln -s "usr/$name" "$1/$name"
done
"""

FINISH_HOOK = """\
set -eu
cd "$1"
rm -f etc/ssh/ssh_host_*_key etc/ssh/ssh_host_*_key.pub
rm -f etc/resolv.conf etc/hostname etc/apt/apt.conf.d/99mmdebstrap etc/passwd- etc/group- etc/shadow- etc/gshadow-
rm -rf var/cache/apt var/cache/ldconfig var/lib/apt/lists var/log var/cache/debconf/*-old var/lib/dpkg/*-old
mkdir -p var/cache/apt/archives/partial var/lib/apt/lists/partial var/log/apt
mkdir -m 700 -p var/cache/ldconfig
: > etc/machine-id
printf '%s' "$BANGER_SOURCES" > etc/apt/sources.list
printf 'APT::Install-Recommends "false";\\nAcquire::Languages "none";\\n' > etc/apt/apt.conf.d/90slim
"""


def hook_environment(architecture: str, guest_sources: str) -> dict[str, str]:
    """Return the values that the hooks read."""
    return {"BANGER_LINKED": _LINKED_DIRECTORIES[architecture], "BANGER_SOURCES": guest_sources}
