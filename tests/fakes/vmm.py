"""A QEMU that has no machine in it, for tests that need very many VMs, or very many one after another."""

import subprocess
from pathlib import Path

from tests.fakes.agent import build_checked_agent
from tests.real import Banger

SOURCE = Path(__file__).with_name("vmm.c")


def build_fake_vmm(out: Path) -> Path:
    """Compile it, and the agent behind it; return the directory to put in front of PATH."""
    agent = build_checked_agent(out)
    folder = out / "vmm"
    folder.mkdir()
    argv = ["gcc", "-std=gnu11", "-O1", "-Wall", "-Wextra", "-Werror", f'-DAGENT="{agent}"']
    subprocess.run([*argv, "-o", folder / "qemu-system-x86_64", SOURCE], check=True, capture_output=True, text=True)
    return folder


def use_fake_vmm(banger: Banger, folder: Path) -> None:
    """Have an installation's VMs be fake ones."""
    banger.env["PATH"] = f"{folder}:{banger.env['PATH']}"
