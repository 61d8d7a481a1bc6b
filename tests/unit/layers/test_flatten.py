"""The whole: equal bytes everywhere, digests checked, limits kept, a confined child, a seed, nothing left behind."""

import dataclasses
import functools
import gzip
import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from banger.layers import packed as packed_module
from banger.layers.child import flatten
from banger.layers.options import Compression, Flattened, Layer, Request, Seed
from banger.model.errors import DeadlineError, HostError, NotFoundError, SpecError
from tests.unit.ext4.images import OPTIONS, Entry, assert_clean, tar_of
from tests.unit.ext4.test_image import EVERYTHING
from tests.unit.layers.images import REQUEST, flatten_here, layer_of, layers_of, tree_of

ALL_KINDS = [entry for entry in EVERYTHING if entry.name != b"late.link"]


def in_child(
    layers: list[Layer], image: Path, request: Request = REQUEST, deadline_s: float = 60, **more: object
) -> Flattened:
    return anyio.run(functools.partial(flatten, layers, image, request, deadline_s=deadline_s, **more))  # type: ignore[arg-type]


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.root
def test_the_kernel_sees_every_kind_of_entry_as_the_layer_has_it(tmp_path: Path) -> None:
    image = tmp_path / "out.img"
    flatten_here(layers_of(tmp_path, [ALL_KINDS]), image)
    assert_clean(image)
    seen = tree_of(image)
    for entry in ALL_KINDS:
        if entry.kind == tarfile.LNKTYPE:
            continue
        found = seen[entry.name.removeprefix(b"./").rstrip(b"/")]
        assert (found.mode & 0o7777, found.uid, found.gid) == (entry.mode, entry.uid, entry.gid), entry.name
        assert found.content == (entry.link or entry.data), entry.name
        assert found.rdev == entry.device, entry.name
        assert found.mtime_ns == int(entry.mtime * 1000) * 1_000_000, entry.name
        kept = {key: value for key, value in entry.xattrs.items() if not key.startswith("trusted.overlay.")}
        assert found.xattrs == kept, entry.name
    assert seen[b"bin/su.hard"].same_file == seen[b"bin/su"].same_file
    assert seen[b"bin/su"].links == 2


def test_every_way_of_packing_gives_the_same_bytes(tmp_path: Path) -> None:
    tars = [tar_of(entries) for entries in ([Entry(b"d/f", data=b"x" * 9999)], ALL_KINDS)]
    images = []
    for name in Compression:
        image = tmp_path / f"{name}.img"
        flatten_here([layer_of(tmp_path, tar, name) for tar in tars], image)
        images.append(digest_of(image))
    members = [gzip.compress(tar[:700]) + gzip.compress(tar[700:]) for tar in tars]
    layers = []
    for tar, blob in zip(tars, members, strict=True):
        path = tmp_path / hashlib.sha256(blob).hexdigest()
        path.write_bytes(blob)
        layers.append(Layer(path, Compression.GZIP, hashlib.sha256(tar).hexdigest()))
    flatten_here(layers, tmp_path / "members.img")
    assert {*images, digest_of(tmp_path / "members.img")} == {images[0]}


def test_zlib_gives_the_same_bytes_as_isal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    layers = layers_of(tmp_path, [[], ALL_KINDS])
    flatten_here(layers, tmp_path / "isal.img")
    monkeypatch.setattr(packed_module, "igzip_lib", None)
    flatten_here(layers, tmp_path / "zlib.img")
    assert digest_of(tmp_path / "isal.img") == digest_of(tmp_path / "zlib.img")


@pytest.mark.root
def test_two_users_in_two_directories_get_the_same_bytes(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, [ALL_KINDS, [Entry(b"bin/.wh.su"), Entry(b"x", data=b"x" * 99_999)]])
    in_child(layers, tmp_path / "root.img")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(tmp_path, elsewhere, ignore=shutil.ignore_patterns("*.img"))
    code = "\n".join(
        (
            "import os, sys",
            "from pathlib import Path",
            f"sys.path[:0] = {sys.path!r}",
            "from banger.layers.options import *",
            "from tests.unit.layers.images import flatten_here",
            "import os; os.setgroups([]); os.setgid(65534); os.setuid(65534)",
            "layers = [Layer(Path(p), Compression(c), d) for p, c, d in eval(sys.argv[1])]",
            f"flatten_here(layers, Path({str(elsewhere / 'user.img')!r}))",
        )
    )
    for path in (elsewhere, tmp_path, *tmp_path.parents):
        if path != Path("/"):
            path.chmod(path.stat().st_mode | 0o007 if path == elsewhere else path.stat().st_mode | 0o005)
    for path in elsewhere.iterdir():
        path.chmod(0o666)
    told = [(str(elsewhere / layer.path.name), str(layer.compression), layer.diff_id) for layer in layers]
    subprocess.run([sys.executable, "-c", code, repr(told)], check=True, cwd=elsewhere)
    assert digest_of(tmp_path / "root.img") == digest_of(elsewhere / "user.img")


def test_the_child_writes_the_same_image_and_tells_how_far_it_is(tmp_path: Path) -> None:
    layers = layers_of(tmp_path, [ALL_KINDS, [Entry(b"noise", data=random.Random(1).randbytes(9_000_000))]])
    told: list[tuple[int, int]] = []
    stats = in_child(layers, tmp_path / "child.img", progress=lambda done, total: told.append((done, total)))
    assert stats == flatten_here(layers, tmp_path / "here.img")
    assert digest_of(tmp_path / "child.img") == digest_of(tmp_path / "here.img")
    total = sum(layer.path.stat().st_size for layer in layers)
    assert told[-1] == (total, total)
    assert told == sorted(told)
    assert len(told) > 1


def test_errors_of_the_child_are_raised_here_and_leave_no_file(tmp_path: Path) -> None:
    good = layer_of(tmp_path, tar_of([Entry(b"f")]))
    before = set(tmp_path.iterdir())
    bad = layer_of(tmp_path, tar_of([Entry(b"a/../b")]))
    before.add(bad.path)
    with pytest.raises(SpecError, match=rf"layer {bad.digest[:12] if bad.digest else ''}: tar entry a/../b: .*'\.\.'"):
        in_child([good, bad], tmp_path / "out.img")
    with pytest.raises(NotFoundError, match="no such blob"):
        in_child([dataclasses.replace(good, path=tmp_path / "gone")], tmp_path / "out.img")
    with pytest.raises(HostError, match="cannot be written"):
        in_child([good], tmp_path / "no" / "where.img")
    seed = Request(OPTIONS, seed=Seed(tmp_path / "seed.img", "home", OPTIONS))
    with pytest.raises(NotFoundError, match="the image has no directory home"):
        in_child([good], tmp_path / "out.img", seed)
    assert set(tmp_path.iterdir()) == before


def test_a_child_past_its_deadline_and_a_cancelled_one_leave_nothing(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, tar_of([Entry(b"%05d" % n, data=b"x" * 300) for n in range(30_000)]), Compression.NONE)
    with pytest.raises(DeadlineError):
        in_child([layer], tmp_path / "out.img", deadline_s=0.3)

    async def cancelled() -> None:
        with anyio.move_on_after(0.3):
            await flatten([layer], tmp_path / "out.img", REQUEST, deadline_s=60)

    anyio.run(cancelled)
    assert list(tmp_path.iterdir()) == [layer.path]


@pytest.mark.root
def test_the_child_opens_nothing_for_writing(tmp_path: Path) -> None:
    """Only descriptors that the parent made are written to: the image's, and the pipe for answers."""
    upper = [Entry(b"bin/.wh.su"), Entry(b"/etc/x"), Entry(b"big", data=b"x" * 300_000)]
    layers = layers_of(tmp_path, [ALL_KINDS, upper])
    told = [(str(layer.path), str(layer.compression), layer.diff_id) for layer in layers]
    trace = tmp_path / "trace"
    code = f"""
import functools, anyio, sys
sys.path[:0] = {sys.path!r}
from pathlib import Path
from tests.unit.layers.test_flatten import in_child, Layer, Compression
in_child([Layer(Path(p), Compression(c), d) for p, c, d in {told!r}], Path({str(tmp_path / "out.img")!r}))
"""
    makers = ("mkdir", "mkdirat", "link", "linkat", "symlink", "symlinkat", "rename", "renameat2", "unlink", "creat")
    calls = ",".join(("execve", "open", "openat", "openat2", *makers))
    subprocess.run(["strace", "-f", "-e", f"trace={calls}", "-o", trace, sys.executable, "-c", code], check=True)
    lines = trace.read_text().splitlines()
    child = next(line.split()[0] for line in lines if "banger.layers" in line and "execve" in line)
    started = next(index for index, line in enumerate(lines) if line.startswith(child) and "banger.layers" in line)
    of_child = [line for line in lines[started:] if line.startswith(child) and " = -1 " not in line]
    assert len(of_child) > 50
    writing = [line for line in of_child if "O_WRONLY" in line or "O_RDWR" in line or "O_CREAT" in line]
    assert writing == []
    assert [line for line in of_child if any(f" {call}(" in line for call in makers)] == []


def test_a_child_that_is_killed_is_said_to_have_been(tmp_path: Path) -> None:
    layer = layer_of(tmp_path, tar_of([Entry(b"%05d" % n, data=b"x" * 300) for n in range(40_000)]), Compression.NONE)

    async def killed() -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(_kill_children)
            await flatten([layer], tmp_path / "out.img", REQUEST, deadline_s=60)

    with pytest.raises(BaseExceptionGroup) as caught:
        anyio.run(killed)
    [error] = caught.value.exceptions
    assert isinstance(error, HostError)
    assert "-9" in error.message
    assert list(tmp_path.iterdir()) == [layer.path]


async def _kill_children() -> None:
    for _ in range(1000):
        await anyio.sleep(0.05)
        if await anyio.to_thread.run_sync(_kill_child):
            return


def _kill_child() -> bool:
    for pid in Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split():
        if b"banger.layers" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(int(pid), signal.SIGKILL)
            return True
    return False
