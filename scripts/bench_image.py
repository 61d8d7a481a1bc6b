"""Flatten a large image in interleaved rounds: banger, what it cannot be faster than, and the ways of others.

The image is like one from real life: Debian, a compiler and its friends on top, large files with whiteouts, and 49,000
small files; 860 MB of tars. It is made once in the work directory. Figures are wall/CPU seconds.

floor   unpack with the same libraries, sha256 of blob and tar, write the tar; one thread; then fsync, as banger does
umoci   skopeo copy from a registry on this machine, umoci unpack, mke2fs -d
loop    mount a new ext4 by a loop device, tar -x every layer (no whiteouts, no digests), umount
"""

import argparse
import functools
import gc
import hashlib
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import anyio

from banger.ext4.options import ImageOptions
from banger.layers import Compression, Layer, Request
from banger.layers.child import flatten
from banger.layers.options import DEFAULT_LIMITS
from banger.layers.packed import BlobReader, unpack

MORE = "git,python3,build-essential,openssh-server,sudo,curl,vim,gdb"
OPTIONS = ImageOptions(bytes(range(16)), bytes(range(16)), time=1_700_000_000)
KINDS = {"gz": Compression.GZIP, "zst": Compression.ZSTD}
PORT = 5123
LIMITS = {"umoci": 6.0, "loop": 1.8}
Took = tuple[float, float]


def main() -> int:
    """Measure, print, compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("/var/tmp/banger-bench-image"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--kind", choices=KINDS, default="gz")
    parser.add_argument("--only", nargs="*", default=["floor", "banger", "umoci", "loop"])
    chosen = parser.parse_args()
    work: Path = chosen.work
    layers = prepare(work, chosen.kind)
    ways: dict[str, Callable[[Path, list[Layer]], None]] = {
        "floor": floor, "banger": banger, "umoci": umoci, "loop": loop_mount,
    }  # fmt: skip
    registry = serve(work, layers, chosen.kind) if "umoci" in chosen.only else None
    taken: dict[str, list[Took]] = {name: [] for name in ways if name in chosen.only}
    try:
        for number in range(1, chosen.rounds + 1):
            for name, times in taken.items():
                times.append(timed(functools.partial(ways[name], work, layers)))
            print(f"round {number}: " + "  ".join(f"{name} {t[-1][0]:.2f}/{t[-1][1]:.2f}" for name, t in taken.items()))
    finally:
        if registry is not None:
            registry.terminate()
    return report(taken, chosen.kind)


def report(taken: dict[str, list[Took]], kind: str) -> int:
    """Print medians and ratios; 1 if a target is missed."""
    wall = {name: statistics.median(one[0] for one in times) for name, times in taken.items()}
    cpu = {name: statistics.median(one[1] for one in times) for name, times in taken.items()}
    for name in taken:
        print(f"{name:8} {kind}: wall {wall[name]:6.2f} s, CPU {cpu[name]:6.2f} s (medians)")
    missed = 0
    if {"floor", "banger"} <= taken.keys():
        ratio = statistics.median(b[1] / f[1] for b, f in zip(taken["banger"], taken["floor"], strict=True))
        print(f"CPU of banger / floor: {ratio:.2f} (at most 1.25)")
        print(f"wall of banger / CPU of floor: {wall['banger'] / cpu['floor']:.2f} (at most 2.5)")
        missed |= ratio > 1.25
    for name in LIMITS.keys() & taken.keys():
        ratios = [other[0] / own[0] for own, other in zip(taken["banger"], taken[name], strict=True)]
        print(f"banger is {statistics.median(ratios):.1f} x as fast as {name} (least {min(ratios):.1f})")
        missed |= statistics.median(ratios) < LIMITS[name]
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
    print(f"peak memory of the largest child of any kind: {peak} MB")
    return int(missed)


def timed(action: Callable[[], None]) -> Took:
    """Wall and CPU seconds, children's included."""
    os.sync()
    before, start = _cpu(), time.perf_counter()
    action()
    return time.perf_counter() - start, _cpu() - before


def _cpu() -> float:
    return sum(
        used.ru_utime + used.ru_stime
        for used in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def floor(work: Path, layers: list[Layer]) -> None:
    """In a process of its own, so that it pays for its start as banger does."""
    told = [[str(layer.path), layer.compression, layer.diff_id, layer.digest] for layer in layers]
    subprocess.run([sys.executable, __file__, "--floor", str(work), json.dumps(told)], check=True)


def floor_here(work: Path, told: str) -> None:
    """What cannot be left out."""
    gc.disable()
    target = work / "floor.out"
    target.unlink(missing_ok=True)
    out = os.open(target, os.O_RDWR | os.O_CREAT)
    for path, compression, diff_id, digest in json.loads(told):
        blob, tar = hashlib.sha256(), hashlib.sha256()
        reader = BlobReader(os.open(path, os.O_RDONLY), blob, lambda _: None)
        for piece in unpack(reader, Compression(compression), DEFAULT_LIMITS):
            tar.update(piece)
            os.write(out, piece)
        assert (tar.hexdigest(), blob.hexdigest()) == (diff_id, digest)
    os.fsync(out)


def banger(work: Path, layers: list[Layer]) -> None:
    """The product's own way: a confined child, everything verified, fsync."""
    image = work / "banger.img"
    image.unlink(missing_ok=True)
    anyio.run(functools.partial(flatten, layers, image, Request(OPTIONS), deadline_s=600))


def umoci(work: Path, _: list[Layer]) -> None:
    """Copy from a registry, unpack as root, make an ext4 of the directory."""
    subprocess.run(["rm", "-rf", work / "oci", work / "bundle", work / "umoci.img"], check=True)
    source = f"docker://127.0.0.1:{PORT}/big:test"
    subprocess.run(["skopeo", "copy", "-q", "--src-tls-verify=false", source, f"oci:{work}/oci:test"], check=True)
    subprocess.run(
        ["umoci", "raw", "unpack", "--image", f"{work}/oci:test", work / "bundle"], check=True, capture_output=True
    )
    subprocess.run(["mke2fs", "-q", "-t", "ext4", "-d", work / "bundle", work / "umoci.img", "2G"], check=True)


def loop_mount(work: Path, layers: list[Layer]) -> None:
    """A loop device and tar."""
    image, where = work / "loop.img", work / "mnt"
    image.unlink(missing_ok=True)
    where.mkdir(exist_ok=True)
    subprocess.run(["mke2fs", "-q", "-t", "ext4", image, "2G"], check=True)
    subprocess.run(["mount", "-o", "loop", image, where], check=True)
    try:
        for layer in layers:
            subprocess.run(["tar", "-C", where, "--xattrs", "-xf", layer.path], check=True)
    finally:
        subprocess.run(["umount", where], check=True)


def serve(work: Path, layers: list[Layer], kind: str) -> "subprocess.Popen[bytes]":
    """A registry on the loopback interface with the image in it."""
    config = work / "registry.yml"
    config.write_text(
        f"version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {work}/registry}}}}\n"
        f"http: {{addr: 127.0.0.1:{PORT}}}\n"
    )
    process = subprocess.Popen(
        ["docker-registry", "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(2)
    layout = work / f"layout-{kind}"
    if not layout.exists():
        sys.path.insert(0, str(Path(__file__).parents[1]))
        from tests.unit.layers.images import oci_layout

        oci_layout(layout, layers)
    target = f"docker://127.0.0.1:{PORT}/big:test"
    subprocess.run(["skopeo", "copy", "-q", "--dest-tls-verify=false", f"oci:{layout}:test", target], check=True)
    return process


def prepare(work: Path, kind: str) -> list[Layer]:
    """Make the image, once."""
    work.mkdir(parents=True, exist_ok=True)
    digests = work / "digests.json"
    if not digests.exists():
        print("making the image, once: some minutes", flush=True)
        _debian(work)
        _large_files(work / "l2.tar")
        _small_files(work / "l3.tar")
        for number in range(4):
            tar = work / f"l{number}.tar"
            with (work / f"l{number}.tar.gz").open("wb") as out:
                subprocess.run(["gzip", "-6", "-n", "-c", tar], check=True, stdout=out)
            subprocess.run(["zstd", "-q", "-3", "-f", tar], check=True)
        found = {path.name: _sha256(path) for path in work.glob("l?.tar*")}
        digests.write_text(json.dumps(found))
    known = json.loads(digests.read_text())
    names = [f"l{number}.tar" for number in range(4)]
    return [Layer(work / f"{name}.{kind}", KINDS[kind], known[name], known[f"{name}.{kind}"]) for name in names]


def _debian(work: Path) -> None:
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
    for name, more in (("l0", []), ("full", [f"--include={MORE}"])):
        argv = ["mmdebstrap", "-q", "--variant=minbase", *more, "bookworm", str(work / f"{name}.tar")]
        subprocess.run(argv, check=True, env=environment)
    with tarfile.open(work / "l0.tar") as tar:
        known = {member.name: _of(member, tar) for member in tar}
    with tarfile.open(work / "full.tar") as tar, tarfile.open(work / "l1.tar", "w") as out:
        for member in tar:
            if known.get(member.name) != _of(member, tar):
                out.addfile(member, tar.extractfile(member) if member.isreg() else None)
    (work / "full.tar").unlink()


def _of(member: tarfile.TarInfo, tar: tarfile.TarFile) -> tuple[object, ...]:
    content = tar.extractfile(member) if member.isreg() else None
    digest = hashlib.sha256(content.read()).digest() if content else b""
    return member.type, member.mode, member.uid, member.gid, member.size, int(member.mtime), member.linkname, digest


def _large_files(path: Path) -> None:
    chosen = random.Random(7)
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for name in ("etc/.wh.motd", "usr/share/doc/git/.wh..wh..opq"):
            tar.addfile(tarfile.TarInfo(name))
        for number in range(9):
            _add(tar, f"opt/blob{number}", b" ".join(chosen.choices(_words(), k=900_000))[:4_000_000])


def _small_files(path: Path) -> None:
    chosen, words = random.Random(8), _words()
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT) as tar:
        for directory in range(1000):
            info = tarfile.TarInfo(f"srv/tree/d{directory:04}")
            info.type, info.mode, info.mtime = tarfile.DIRTYPE, 0o755, 1_690_000_000 + directory
            tar.addfile(info)
            for number in range(49):
                content = b" ".join(chosen.choices(words, k=chosen.randint(40, 720)))
                _add(tar, f"srv/tree/d{directory:04}/file-{number:03}.txt", content)


def _add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = len(content), 0o644, 1_690_000_000
    tar.addfile(info, BytesIO(content))


@functools.cache
def _words() -> list[bytes]:
    chosen = random.Random(9)
    return [bytes(chosen.choices(b"abcdefghijklmnopqrstuvwxyz", k=chosen.randint(2, 9))) for _ in range(4000)]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--floor"]:
        floor_here(Path(sys.argv[2]), sys.argv[3])
    else:
        sys.exit(main())
