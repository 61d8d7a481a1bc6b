"""Tell a running guest that it is called something else; everything else about it stays."""

import secrets
from pathlib import Path

from banger.guest.channel import AgentChannel
from banger.guest.protocol import SEED_BYTES, Identity

HOST_KEY_FILE = "ssh_host_ed25519_key"


async def name_guest(agent: AgentChannel, vm_dir: Path, *, vm: str, name: str, authorized_key: str) -> None:
    """Give it the identity that it has, with another host name: the same keys, the same machine id."""
    identity = Identity(
        hostname=name,
        host_key=(vm_dir / HOST_KEY_FILE).read_text(encoding="ascii"),
        host_public_key=(vm_dir / f"{HOST_KEY_FILE}.pub").read_text(encoding="ascii"),
        authorized_key=authorized_key,
        seed=secrets.token_bytes(SEED_BYTES),
        machine_id=vm,
    )
    await agent.identity(identity)
