"""A warm `banger vm run --cold --rm -- true` against the same guest booted by hand: `scripts/bench_boot.py`.

The rival is QEMU with the very command line that banger gives it, on disks that lie ready, and `ssh true`. (The guest's
sshd waits for its host key, which a script of a few lines hands to the agent as soon as that answers.) Both in turn,
medians of whole processes from start to exit. Fails if banger takes more than 1.15 x the rival.
"""

import argparse
import json
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import anyio

from banger.guest.channel import AgentChannel
from banger.guest.protocol import Identity

BANGER = str(Path(sys.executable).with_name("banger"))
LIMIT = 1.15
ROUNDS = 5


class Rival:
    """One guest, booted by hand again and again from copies of the same disks."""

    def __init__(self, folder: Path) -> None:
        """Have banger make a VM, take down how it runs, and delete it."""
        name = f"bench-{folder.name[-6:]}".lower().replace("_", "-")
        subprocess.run([BANGER, "vm", "create", "--cold", "--quiet", "--name", name], check=True, capture_output=True)
        shown = json.loads(
            subprocess.run([BANGER, "vm", "show", "--json", name], check=True, capture_output=True).stdout
        )
        self.port = shown["ssh"]["port"]
        self.argv = Path(f"/proc/{shown['pid']}/cmdline").read_bytes().decode().split("\0")[:-1]
        self.vm_dir = Path(shown["console_log"]).parent
        subprocess.run([BANGER, "vm", "stop", name], check=True, capture_output=True)
        for file in ("root.qcow2", "work.raw", "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub", "known_hosts"):
            subprocess.run(["cp", "--sparse=always", self.vm_dir / file, folder / file], check=True)
        self.key = folder / "client"
        shutil.copy(
            shown["ssh"]["identity_file"] if shown["ssh"] else self.vm_dir.parents[1] / "ssh/id_ed25519", self.key
        )
        self.public = (self.vm_dir.parents[1] / "ssh/id_ed25519.pub").read_text()
        self.alias = (folder / "known_hosts").read_text().split()[0]
        self.folder = folder
        subprocess.run([BANGER, "vm", "delete", name], check=True, capture_output=True)

    def lay_out(self) -> Path:
        """Make a directory with fresh copies of the disks; not timed."""
        place = Path(tempfile.mkdtemp(dir=self.folder))
        for file in ("root.qcow2", "work.raw"):
            subprocess.run(["cp", "--sparse=always", self.folder / file, place / file], check=True)
        return place

    def boot(self, place: Path) -> float:
        """Boot, run `true` by SSH, and end; return the seconds from QEMU's start to ssh's end."""
        begun = time.perf_counter()
        with subprocess.Popen(self.argv, cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as qemu:
            try:
                anyio.run(self._introduce, place)
                while subprocess.run(self._ssh(), check=False, capture_output=True).returncode:
                    time.sleep(0.05)
                return time.perf_counter() - begun
            finally:
                qemu.send_signal(signal.SIGKILL)

    async def _introduce(self, place: Path) -> None:
        key = self.folder / "ssh_host_ed25519_key"
        identity = Identity(
            hostname="bench",
            host_key=key.read_text(),
            host_public_key=key.with_suffix(".pub").read_text(),
            authorized_key=self.public,
            seed=bytes(64),
            machine_id="0" * 32,
        )
        while not (place / "agent.sock").exists():  # noqa: ASYNC110 - somebody else's file
            await anyio.sleep(0.01)
        async with await AgentChannel.connect(place / "agent.sock", deadline_s=60) as agent:
            await agent.identity(identity)

    def _ssh(self) -> list[str]:
        options = {
            "BatchMode": "yes",
            "HostKeyAlias": self.alias,
            "IdentitiesOnly": "yes",
            "IdentityFile": str(self.key),
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": str(self.folder / "known_hosts"),
        }
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        return ["ssh", "-F", "none", *words, "-p", str(self.port), "root@127.0.0.1", "true"]


def run_banger() -> float:
    """Return the seconds of a whole warm run."""
    begun = time.perf_counter()
    subprocess.run([BANGER, "vm", "run", "--cold", "--rm", "--", "true"], check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> int:
    """Measure in turn, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    rounds = parser.parse_args().rounds
    run_banger()  # cold or not: what is measured is warm
    ours: list[float] = []
    theirs: list[float] = []
    with tempfile.TemporaryDirectory(prefix="banger-bench-") as name:
        rival = Rival(Path(name))
        for _ in range(rounds):
            place = rival.lay_out()
            theirs.append(rival.boot(place))
            ours.append(run_banger())
    for label, times in (("bare QEMU, ssh true", theirs), ("banger vm run --cold", ours)):
        print(f"{label:<28}{statistics.median(times):6.2f} s   ({min(times):.2f} to {max(times):.2f})")
    ratio = statistics.median(mine / other for mine, other in zip(ours, theirs, strict=True))
    print(f"ratio: {ratio:.2f} (limit {LIMIT})")
    return int(ratio > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
