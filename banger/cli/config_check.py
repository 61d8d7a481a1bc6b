"""`banger config check`: whether the configuration is right. Asks no daemon, writes nothing."""

import os
from collections.abc import Iterator
from pathlib import Path

import click

from banger.host.config_file import load_config
from banger.model.config import Config


@click.command("check")
def command() -> None:
    """Read the configuration and say whether it is right. The exit status is 1 if it is not.

    A path in it that leads nowhere is worth a line, and is not wrong: it may be there when it is needed.
    """
    config = load_config(os.environ, places=True)
    for line in missing(config):
        print(f"warning: {line}")
    if config.origins or Path(config.path).exists():
        count = len(config.origins)
        print(f"{config.path}: {count} {'key' if count == 1 else 'keys'}, nothing is wrong")
    else:
        print(f"{config.path}: not there; every key has its default")


def missing(config: Config) -> Iterator[str]:
    """Say which paths lead nowhere now."""
    for name, path in (
        ("ssh_key_path", config.ssh_key_path),
        ("firecracker_bin", config.firecracker_bin),
        ("catalogs.images", config.image_catalog),
        ("catalogs.kernels", config.kernel_catalog),
    ):
        if path is not None and not Path(path).exists():
            yield f"{config.origins[name].where}: {name}: {path} is not there"
    home = os.environ.get("HOME", "")
    for number, entry in enumerate(config.file_sync):
        path = f"{home}/{entry.host[2:]}" if entry.host.startswith("~/") else entry.host
        if not Path(path).exists():
            where = config.origins["file_sync"].where
            yield f"{where}: file_sync[{number}]: {entry.host} is not there: VMs go without it"
