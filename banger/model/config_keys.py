"""Every key of config.toml: its type, its default, what it means, and how a value is checked. docs/config.md is made of
this, by `scripts/make_config_docs`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from banger.model.config_values import (
    read_catalog,
    read_disk_size,
    read_file_sync,
    read_idle,
    read_image,
    read_memory,
    read_mirrors,
    read_path,
    read_switch,
    read_vcpu,
)


@dataclass(frozen=True, slots=True)
class Key:
    """One key. `name`: dotted, as messages say it; `field`: of banger.model.config.Config.

    `read` takes what TOML gives and the user's home, and raises WrongValueError. `env`: the variable that goes before
    the file. `default` and `meaning` are sentences for people, `example` is TOML.
    """

    name: str
    field: str
    type: str
    default: str
    meaning: str
    example: str
    read: Callable[[object, str], object]
    env: str | None = None


KEYS = (
    Key(
        "ssh_key_path",
        "ssh_key_path",
        "path",
        "a key that banger makes for itself, `ssh/id_ed25519` in its state directory",
        "The private SSH key, without a passphrase, with which you log in to VMs. A VM that runs learns of another key"
        " when it is started again, and `ssh NAME.vm` when `banger ssh-config --install` is called again.",
        'ssh_key_path = "~/.ssh/id_banger"',
        read_path,
        "BANGER_SSH_KEY_PATH",
    ),
    Key(
        "firecracker_bin",
        "firecracker_bin",
        "path",
        "`firecracker` in `PATH`",
        "The program of Firecracker.",
        'firecracker_bin = "/opt/firecracker/firecracker"',
        read_path,
        "BANGER_FIRECRACKER_BIN",
    ),
    Key(
        "templates",
        "templates",
        "boolean",
        "true",
        "Whether a VM that has booted is frozen, so that the next one of its shape starts from that.",
        "templates = false",
        read_switch,
        "BANGER_TEMPLATES",
    ),
    Key(
        "daemon_idle_s",
        "daemon_idle_s",
        "number",
        "900",
        "After how many seconds without a running VM and without a client the daemon goes. Read when it starts.",
        "daemon_idle_s = 3600",
        read_idle,
        "BANGER_DAEMON_IDLE_S",
    ),
    Key(
        "vm_defaults.image",
        "image",
        "string",
        "debian-bookworm-slim",
        "The image of a VM for which no `--image` is given.",
        'image = "debian-bookworm-slim"',
        read_image,
        "BANGER_IMAGE",
    ),
    Key(
        "vm_defaults.vcpu",
        "vcpu",
        "integer",
        "a quarter of the host's CPUs: at least 2, at most 4, and never more than there are",
        "Virtual CPUs of a VM, where no `--vcpu` is given: 1 to 32.",
        "vcpu = 4",
        read_vcpu,
        "BANGER_VCPU",
    ),
    Key(
        "vm_defaults.memory",
        "memory_mib",
        "size",
        "an eighth of the host's memory: at least 1G, at most 8G; halved while less than twice of it is available",
        'Memory of a VM, where no `--memory` is given: a number of MiB, or a string such as `"2G"`.',
        'memory = "2G"',
        read_memory,
        "BANGER_MEMORY",
    ),
    Key(
        "vm_defaults.disk_size",
        "disk_bytes",
        "size",
        "8G",
        "Work disk of a VM, mounted at /root, where no `--disk-size` is given. It takes only what is written to it.",
        'disk_size = "20G"',
        read_disk_size,
        "BANGER_DISK_SIZE",
    ),
    Key(
        "catalogs.images",
        "image_catalog",
        "path",
        "the catalog that comes with banger",
        "A catalog of images, read before banger's own.",
        'images = "~/work/images.json"',
        read_catalog,
        "BANGER_IMAGE_CATALOG",
    ),
    Key(
        "catalogs.kernels",
        "kernel_catalog",
        "path",
        "the catalog that comes with banger",
        "A catalog of kernels, read before banger's own.",
        'kernels = "~/work/kernels.json"',
        read_catalog,
        "BANGER_KERNEL_CATALOG",
    ),
    Key(
        "mirrors",
        "mirrors",
        "table of lists",
        "no mirrors",
        "By the name of a registry, the base URLs of its mirrors, which are asked first and in this order. Only a"
        " mirror on this machine may be plain `http://`.",
        '"docker.io" = ["https://mirror.example.org", "http://127.0.0.1:5000"]',
        read_mirrors,
    ),
    Key(
        "file_sync",
        "file_sync",
        "list of tables",
        "empty: nothing is copied",
        "Files of yours that every VM gets when it is started. See below.",
        'host = "~/.netrc"\nguest = "~/.netrc"\nmode = "0600"',
        read_file_sync,
    ),
)

TABLES: Mapping[str, str] = {
    "vm_defaults": "What a VM is made with where the command line says nothing.",
    "catalogs": "Where images and kernels are looked up by name.",
}
"""The tables that have keys of their own."""


def find_key(name: str) -> Key | None:
    """The key of that name."""
    return next((key for key in KEYS if key.name == name), None)
