"""`ssh.host_key`: the key by which a VM's sshd is known, made here and pinned before the guest has booted."""

from typing import ClassVar

from banger.host.sshkeys import make_key_pair
from banger.model.action import Scope
from banger.model.handles import HostKey
from banger.tasks import Context, Effect, Ref

FILE_NAME = "ssh_host_ed25519_key"
KNOWN_HOSTS = "known_hosts"


class SshHostKey(Effect[HostKey], frozen=True, kw_only=True):
    """The private half stays in the VM's directory and goes to the guest through the agent; it is in no record."""

    kind: ClassVar[str] = "ssh.host_key"
    version: ClassVar[int] = 1
    scope: ClassVar[Scope] = Scope.VM
    vm: str
    directory: Ref[str]

    async def probe(self, ctx: Context, value: HostKey) -> bool:
        """Whether the key is there and is this one."""
        public = (ctx.vm_dir(self.vm) / FILE_NAME).with_suffix(".pub")
        return public.is_file() and public.read_text().strip() == value.public_key

    async def apply(self, ctx: Context) -> HostKey:
        """Make the key, and the known_hosts file that pins it."""
        directory = ctx.vm_dir(self.vm)
        public_key = await make_key_pair(directory / FILE_NAME)
        alias = f"banger-{self.vm}"
        (directory / KNOWN_HOSTS).write_text(f"{alias} {public_key}\n")
        return HostKey(public_key, alias)

    async def undo(self, ctx: Context, value: HostKey | None) -> None:
        """Remove key and pin."""
        directory = ctx.vm_dir(self.vm)
        for name in (FILE_NAME, f"{FILE_NAME}.pub", KNOWN_HOSTS):
            (directory / name).unlink(missing_ok=True)
