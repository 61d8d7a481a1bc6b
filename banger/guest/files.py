"""Files that banger puts into every image, so that SSH works in it and nothing of one machine is in another."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class GuestFile:
    """A file, owned by root, at an absolute path in the guest."""

    path: str
    mode: int
    content: bytes


#: Keys only, and from one file only. StrictModes stays as sshd has it: on.
SSHD_DROP_IN: Final = GuestFile(
    "/etc/ssh/sshd_config.d/99-banger.conf",
    0o644,
    b"PermitRootLogin prohibit-password\n"
    b"PubkeyAuthentication yes\n"
    b"PasswordAuthentication no\n"
    b"KbdInteractiveAuthentication no\n"
    b"AuthorizedKeysFile /root/.ssh/authorized_keys\n",
)

GUEST_FILES: Final = (
    # The name until the host gives one; the image's builder may have left that of its own machine.
    GuestFile("/etc/hostname", 0o644, b"banger\n"),
    GuestFile("/etc/hosts", 0o644, b"127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n"),
    # Empty: banger-init fills it in with the name server of the network that the machine is on.
    GuestFile("/etc/resolv.conf", 0o644, b""),
    # Empty: "not set yet" (machine-id(5)); a fixed one would be shared by all machines of this image.
    GuestFile("/etc/machine-id", 0o444, b""),
    SSHD_DROP_IN,
)

#: What an image must not carry: host keys made while it was built would be the same in every machine.
REMOVED_GLOBS: Final = ("/etc/ssh/ssh_host_*_key", "/etc/ssh/ssh_host_*_key.pub")

#: Directories that banger-init mounts over or writes into; it makes those that are missing.
DIRECTORIES: Final = ("/dev", "/proc", "/run", "/sys", "/tmp", "/root")  # noqa: S108
