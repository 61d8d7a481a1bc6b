"""Reading a .deb: every compression, every kind of damage, and a kernel."""

import random
import tarfile
from pathlib import Path

import pytest

from banger.debian import package as module
from banger.debian.kernel import extract_kernel
from banger.debian.package import build_date, control, open_data
from banger.model.errors import HostError
from tests.unit.debian.packages import COMPRESSIONS, ar, deb, tar


def write(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_control_date_and_data_are_read(tmp_path: Path, compression: str) -> None:
    path = write(tmp_path / "toy.deb", deb({"./usr/bin/toy": b"toy" * 1000}, compression=compression))
    assert control(path) == {
        "package": "toy",
        "version": "1.0",
        "architecture": "all",
        "description": "a toy\nof two lines",
    }
    assert build_date(path) == 1_700_000_000
    with open_data(path) as data:
        for member in data:
            file = data.extractfile(member)
            assert file
            assert (member.name, file.read()) == ("./usr/bin/toy", b"toy" * 1000)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "no ar magic"),
        (b"!<arch>\n", "no debian-binary"),
        (b"!<arch>\nshort", "malformed ar header"),
        (b"!<arch>\n" + b"debian-binary   1700000000  0     0     100644  -4        `\n2.0\n", "malformed ar header"),
        (ar({"debian-binary": b"2.0\n"}), "has no control.tar"),
        (ar({"debian-binary": b"2.0\n", "control.tar.lzo": b"x"}), "unknown compression"),
        (ar({"debian-binary": b"2.0\n", "control.tar.xz": b"not xz"}), "damaged"),
        (ar({"debian-binary": b"2.0\n", "control.tar.gz": b"not gz"}), "damaged"),
        (ar({"debian-binary": b"2.0\n", "control.tar.zst": b"not zst"}), "damaged"),
        (ar({"debian-binary": b"2.0\n", "control.tar": b"x" * 2000}), "damaged"),
        (ar({"debian-binary": b"2.0\n", "control.tar": tar({"./other": b""})}), "has no control file"),
        (deb({}, control="no field\n"), "malformed"),
        (deb({}, control=""), "malformed"),
        (deb({})[:-40], "cut short"),
    ],
)
def test_a_broken_package_is_refused_by_name(tmp_path: Path, content: bytes, reason: str) -> None:
    with pytest.raises(HostError, match=rf"toy\.deb: .*{reason}"):
        control(write(tmp_path / "toy.deb", content))


@pytest.mark.parametrize("compression", [".gz", ".xz", ".zst"])
def test_a_package_that_decompresses_without_end_is_stopped(tmp_path: Path, compression: str) -> None:
    path = write(tmp_path / "bomb.deb", deb({"./zeros": bytes(8 * 1024 * 1024)}, compression=compression))
    assert path.stat().st_size < 100_000
    with pytest.raises(HostError, match="more than its limit"), open_data(path, limit_bytes=1024 * 1024) as data:
        list(data)


def test_damage_anywhere_gives_content_or_an_error_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CONTROL_LIMIT_BYTES", 1024 * 1024)
    rng = random.Random(5)
    for compression in COMPRESSIONS:
        whole = deb({"./a": bytes(range(256)) * 8}, compression=compression)
        for _ in range(300):
            broken = bytearray(whole)
            for _flip in range(rng.randint(1, 4)):
                broken[rng.randrange(len(broken))] = rng.randrange(256)
            path = write(tmp_path / "broken.deb", bytes(broken))
            try:
                control(path)
                with open_data(path, 1024 * 1024) as data:
                    list(data)
            except HostError as error:
                assert "broken.deb" in error.message  # noqa: PT017 - each outcome is right


def test_a_kernel_and_its_modules_are_taken_out_the_same_each_time(tmp_path: Path) -> None:
    release = "6.1.0-99-cloud-amd64"
    path = write(
        tmp_path / "linux.deb",
        deb(
            {
                f"./boot/vmlinuz-{release}": b"kernel",
                "./boot/config-x": b"config",
                f"./lib/modules/{release}/kernel/a.ko": b"module",
                f"./usr/lib/modules/{release}/modules.builtin": b"builtin",
                "./usr/share/doc/copyright": b"text",
            }
        ),
    )
    assert extract_kernel(path, tmp_path / "image", tmp_path / "modules.tar") == release
    assert (tmp_path / "image").read_bytes() == b"kernel"
    with tarfile.open(tmp_path / "modules.tar") as modules:
        found = {member.name: (member.mode, member.uid, member.mtime) for member in modules}
    assert found == {
        f"lib/modules/{release}/kernel/a.ko": (0o644, 0, 1_600_000_000),
        f"lib/modules/{release}/modules.builtin": (0o644, 0, 1_600_000_000),
    }
    extract_kernel(path, tmp_path / "image", tmp_path / "again.tar")
    assert (tmp_path / "again.tar").read_bytes() == (tmp_path / "modules.tar").read_bytes()


def test_a_package_without_a_kernel_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "toy.deb", deb({"./boot/../vmlinuz-1": b"", "./boot/vmlinuz-../../x": b""}))
    with pytest.raises(HostError, match="no kernel below boot"):
        extract_kernel(path, tmp_path / "image", tmp_path / "modules.tar")
