"""The initramfs: the same bytes from the same inputs, modules after what they need, and an archive that can be read."""

import lzma
import struct
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from banger.guest.elf import module_info
from banger.guest.initramfs import Module, ModuleTree, build_initramfs, collect_modules
from banger.model.errors import HostError, NotFoundError


def elf(name: str, depends: str = "") -> bytes:
    """Return the least ELF-64 file that has a .modinfo section."""
    modinfo = f"license=GPL\0depends={depends}\0name={name}\0".encode()
    names = b"\0.modinfo\0.shstrtab\0"
    header = struct.pack("<6s10x HHI QQQ I HHHHHH", b"\x7fELF\x02\x01", 1, 62, 1, 0, 0, 64, 0, 64, 0, 0, 64, 3, 2)
    start = 64 + 3 * 64
    sections = bytes(64)
    sections += struct.pack("<IIQQQQ24x", 1, 1, 0, 0, start, len(modinfo))
    sections += struct.pack("<IIQQQQ24x", 10, 3, 0, 0, start + len(modinfo), len(names))
    return header + sections + modinfo + names


class Modules:
    """A kernel of the test's making: name to what it depends on."""

    def __init__(self, depends: dict[str, str], builtin: tuple[str, ...] = ()) -> None:
        self.depends = depends
        self.names = builtin

    def read(self, name: str) -> bytes | None:
        return elf(name, self.depends[name]) if name in self.depends else None

    def builtin(self, name: str) -> bool:
        return name in self.names


def files_of(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Read a newc archive as the kernel does."""
    found: dict[str, tuple[int, bytes]] = {}
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        fields = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        name_end = at + 110 + fields[11]
        name = archive[at + 110 : name_end - 1].decode()
        data_at = (name_end + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found[name] = (fields[1], archive[data_at : data_at + fields[6]])
        at = (data_at + fields[6] + 3) & ~3


def test_a_module_comes_after_what_it_depends_on() -> None:
    source = Modules({"blk": "bus,ring", "bus": "ring", "ring": "", "net": "fail", "fail": ""})
    assert [module.name for module in collect_modules(source, ["blk", "net"])] == ["ring", "bus", "blk", "fail", "net"]


def test_a_built_in_module_is_not_loaded() -> None:
    assert collect_modules(Modules({"blk": "ring"}, ("ring", "bus")), ["bus", "blk"]) == (
        Module("blk", elf("blk", "ring")),
    )


def test_a_missing_dependency_is_named_with_who_needs_it() -> None:
    with pytest.raises(NotFoundError, match="ring, which blk needs"):
        collect_modules(Modules({"blk": "ring"}), ["blk"])


def test_a_circle_of_modules_is_refused() -> None:
    with pytest.raises(HostError, match="a -> b -> a"):
        collect_modules(Modules({"a": "b", "b": "a"}), ["a"])


def test_a_tree_of_modules_is_read_whatever_their_compression(tmp_path: Path) -> None:
    (tmp_path / "kernel/net").mkdir(parents=True)
    (tmp_path / "kernel/plain.ko").write_bytes(elf("plain"))
    (tmp_path / "kernel/virtio-rng.ko.xz").write_bytes(lzma.compress(elf("virtio_rng", "plain")))
    (tmp_path / "kernel/net/virtio_net.ko.zst").write_bytes(zstandard.compress(elf("virtio_net", "virtio-rng,core")))
    (tmp_path / "modules.builtin").write_text("kernel/core.ko\n")
    found = collect_modules(ModuleTree(tmp_path), ["virtio_net"])
    assert [module.name for module in found] == ["plain", "virtio_rng", "virtio_net"]
    assert found[1].elf == elf("virtio_rng", "plain")


@pytest.mark.parametrize("data", [b"\xfd7zXZ\0broken", lzma.compress(elf("m"))[:-20], b"\x28\xb5\x2f\xfdbroken"])
def test_a_broken_module_is_refused(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.ko.xz").write_bytes(data)
    with pytest.raises(HostError, match="kernel module m"):
        collect_modules(ModuleTree(tmp_path), ["m"])


@given(st.integers(0, 400), st.binary(min_size=1, max_size=8))
def test_a_damaged_module_is_read_or_refused(at: int, damage: bytes) -> None:
    data = elf("m", "other")
    at %= len(data)
    try:
        module_info(data[:at] + damage + data[at + len(damage) :], "m")
    except HostError as error:
        assert "kernel module m" in error.message  # noqa: PT017  # either outcome is right


def test_the_archive_holds_what_it_was_given() -> None:
    modules = (Module("ring", b"RING1"), Module("blk", b"BLK"))
    found = files_of(build_initramfs(modules, init=b"INIT", agent=b"AGENT"))
    assert found["init"] == (0o100755, b"INIT")
    assert found["banger-agent"] == (0o100755, b"AGENT")
    assert found["etc/modules"] == (0o100644, b"/lib/modules/ring.ko\n/lib/modules/blk.ko\n")
    assert found["lib/modules/ring.ko"] == (0o100644, b"RING1")
    assert found["dev/console"] == (0o020600, b"")
    assert found["proc"][0] == 0o040755


def test_a_directory_comes_before_what_is_in_it() -> None:
    names = list(files_of(build_initramfs([Module("m", b"")], init=b"", agent=b"")))
    for at, name in enumerate(names):
        assert "/" not in name or name.rpartition("/")[0] in names[:at]


def test_the_same_inputs_give_the_same_bytes() -> None:
    def build() -> bytes:
        return build_initramfs(collect_modules(Modules({"a": "b", "b": ""}), ["a"]), init=b"I", agent=b"A")

    assert build() == build()
