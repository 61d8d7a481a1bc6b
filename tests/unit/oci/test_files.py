"""Images on disk: OCI layouts and what `docker save` writes."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banger.host.clock import SystemClock
from banger.model.errors import BangerError, NotFoundError, SpecError
from banger.oci import BlobDir, ImageManifest, RegistrySettings, open_source, values
from banger.oci.errors import ContentError
from tests.fakes.images import Image, descriptor, digest, encode, index_of, layer_tar, make_image, platform_entry

pytestmark = pytest.mark.anyio
NAME = "org.opencontainers.image.ref.name"
Files = dict[str, bytes]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def layout_of(*images: Image, names: tuple[str | None, ...] = (None,)) -> Files:
    entries = [
        {**platform_entry(image), "annotations": {NAME: name}} if name else platform_entry(image)
        for image, name in zip(images, names, strict=True)
    ]
    files: Files = {"oci-layout": b'{"imageLayoutVersion":"1.0.0"}', "index.json": encode(index_of(*entries))}
    for image in images:
        for name, data in {**image.blobs, image.digest: image.raw}.items():
            files[f"blobs/sha256/{name[7:]}"] = data
    return files


def put(root: Path, files: Files) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


async def pull(text: str, tmp_path: Path) -> tuple[ImageManifest, list[bytes]]:
    source = open_source(text, RegistrySettings(), SystemClock())
    image = await source.resolve()
    paths = await source.fetch(image.layers, BlobDir(tmp_path / "blobs"))
    return image, [path.read_bytes() for path in paths]


IMAGE, SECOND = make_image((5000, 70)), make_image((10,), seed=4)


async def test_a_layout_is_read_and_its_layers_are_copied(tmp_path: Path) -> None:
    root = put(tmp_path / "lay", layout_of(IMAGE))
    image, layers = await pull(f"oci:{root}", tmp_path)
    assert image.digest == IMAGE.digest
    assert layers == IMAGE.layers
    assert image.config.env == ("PATH=/bin",)


async def test_a_layout_with_several_images_needs_a_name(tmp_path: Path) -> None:
    root = put(tmp_path / "lay", layout_of(IMAGE, SECOND, names=("a", "b")))
    assert (await pull(f"oci:{root}:b", tmp_path))[0].digest == SECOND.digest
    with pytest.raises(SpecError, match="several images"):
        await pull(f"oci:{root}", tmp_path)
    with pytest.raises(NotFoundError, match="there is 'a', 'b'"):
        await pull(f"oci:{root}:c", tmp_path)


async def test_a_layout_of_one_image_for_several_platforms_has_one_for_us(tmp_path: Path) -> None:
    files = layout_of(IMAGE, SECOND, names=(None, None))
    files["index.json"] = encode(index_of(platform_entry(SECOND, "arm64"), platform_entry(IMAGE)))
    root = put(tmp_path / "lay", files)
    assert (await pull(f"oci:{root}", tmp_path))[0].digest == IMAGE.digest


def blob_name(data: bytes) -> str:
    return f"blobs/sha256/{digest(data)[7:]}"


LAYOUTS: dict[str, Callable[[Files], object]] = {
    "no version": lambda it: it.pop("oci-layout"),
    "another version": lambda it: it.update({"oci-layout": b'{"imageLayoutVersion":"2.0.0"}'}),
    "a version of 5 kB": lambda it: it.update({"oci-layout": b" " * 5000}),
    "no index": lambda it: it.pop("index.json"),
    "an index that is an image": lambda it: it.update({"index.json": IMAGE.raw}),
    "an index of 5 MB": lambda it: it.update({"index.json": b" " * 5_000_000}),
    "no manifest": lambda it: it.pop(blob_name(IMAGE.raw)),
    "another manifest": lambda it: it.update({blob_name(IMAGE.raw): IMAGE.raw[:-1] + b" "}),
    "a shorter manifest": lambda it: it.update({blob_name(IMAGE.raw): IMAGE.raw[:-1]}),
    "no config": lambda it: it.pop(blob_name(IMAGE.config_raw)),
    "another config": lambda it: it.update({blob_name(IMAGE.config_raw): IMAGE.config_raw[:-1] + b" "}),
    "no layer": lambda it: it.pop(blob_name(IMAGE.layers[0])),
    "another layer": lambda it: it.update({blob_name(IMAGE.layers[0]): IMAGE.layers[0][:-1] + b"x"}),
    "a shorter layer": lambda it: it.update({blob_name(IMAGE.layers[0]): IMAGE.layers[0][:-1]}),
    "a longer layer": lambda it: it.update({blob_name(IMAGE.layers[0]): IMAGE.layers[0] + b"x"}),
}


@pytest.mark.parametrize("name", LAYOUTS)
async def test_a_layout_with_something_wrong_is_refused(tmp_path: Path, name: str) -> None:
    files = layout_of(IMAGE)
    LAYOUTS[name](files)
    root = put(tmp_path / "lay", files)
    with pytest.raises(BangerError):
        await pull(f"oci:{root}", tmp_path)
    assert not [path for path in (tmp_path / "blobs" / "sha256").glob("*") if path.read_bytes() == b""]


async def test_a_layout_that_is_a_fifo_or_not_there_holds_nobody_up(tmp_path: Path) -> None:
    root = put(tmp_path / "lay", layout_of(IMAGE))
    (root / "index.json").unlink()
    os.mkfifo(root / "index.json")
    with pytest.raises(ContentError, match="not a regular file"):
        await pull(f"oci:{root}", tmp_path)
    with pytest.raises(NotFoundError):
        await pull(f"oci:{tmp_path}/nothing", tmp_path)
    with pytest.raises(SpecError):
        await pull("oci:", tmp_path)


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def archive_of(entries: list[dict[str, Any]], files: Files, links: dict[str, str] | None = None) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, data in {**files, "manifest.json": encode(entries)}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
        for name, target in (links or {}).items():
            info = tarfile.TarInfo(name)
            info.type, info.linkname = tarfile.SYMTYPE, target
            tar.addfile(info)
    return out.getvalue()


TARS = [layer_tar(5000), layer_tar(70, 1)]
CONFIG = f"{digest(IMAGE.config_raw)[7:]}.json"
ENTRY = {"Config": CONFIG, "RepoTags": ["team/app:1"], "Layers": ["a/layer.tar", "b/layer.tar"]}
FILES: Files = {CONFIG: IMAGE.config_raw, "a/layer.tar": TARS[0], "b/layer.tar": TARS[1]}


async def test_an_archive_is_read_in_place(tmp_path: Path) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(archive_of([ENTRY], FILES))
    image, layers = await pull(f"docker-archive:{file}", tmp_path)
    assert layers == TARS
    assert [layer.digest for layer in image.layers] == [layer.diff_id for layer in image.layers]
    assert (await pull(f"docker-archive:{file}:team/app:1", tmp_path))[0] == image
    assert (await pull(f"docker-archive:{file}:@0", tmp_path))[0] == image
    assert names_in(tmp_path) == ["blobs", "image.tar"]


async def test_layers_of_an_archive_may_be_compressed_shared_or_links(tmp_path: Path) -> None:
    packed = gzip.compress(TARS[1], mtime=0)
    named = f"blobs/sha256/{digest(packed)[7:]}"
    entry = {**ENTRY, "Layers": ["link/layer.tar", named]}
    file = tmp_path / "image.tar"
    file.write_bytes(archive_of([entry], {**FILES, named: packed}, {"link/layer.tar": "../a/layer.tar"}))
    image, layers = await pull(f"docker-archive:{file}", tmp_path)
    assert layers == [TARS[0], packed]
    assert [layer.compression for layer in image.layers] == ["none", "gzip"]
    assert image.layers[1].media_type == values.OCI_LAYER_GZIP


ARCHIVES: dict[str, Callable[[], bytes]] = {
    "empty": lambda: b"",
    "no tar": lambda: b"hello" * 1000,
    "zeros": lambda: b"\0" * 10240,
    "cut": lambda: archive_of([ENTRY], FILES)[:3000],
    "compressed": lambda: gzip.compress(archive_of([ENTRY], FILES)),
    "no manifest": lambda: archive_of([ENTRY], FILES).replace(b"manifest.json", b"manifest.jsom"),
    "no images": lambda: archive_of([], FILES),
    "two images": lambda: archive_of([ENTRY, ENTRY], FILES),
    "no config": lambda: archive_of([{**ENTRY, "Config": "x.json"}], FILES),
    "a config of another name": lambda: archive_of([{**ENTRY, "Config": "f" * 64 + ".json"}], {**FILES, "f" * 64 + ".json": IMAGE.config_raw}),  # noqa: E501
    "no layer": lambda: archive_of([{**ENTRY, "Layers": ["a/layer.tar", "c"]}], FILES),
    "one layer": lambda: archive_of([{**ENTRY, "Layers": ["a/layer.tar"]}], FILES),
    "another layer": lambda: archive_of([ENTRY], {**FILES, "a/layer.tar": TARS[1]}),
    "a layer outside": lambda: archive_of([{**ENTRY, "Layers": ["../../etc/passwd", "b/layer.tar"]}], FILES),
    "a link outside": lambda: archive_of([{**ENTRY, "Layers": ["l", "b/layer.tar"]}], FILES, {"l": "/etc/passwd"}),
    "links in a circle": lambda: archive_of([{**ENTRY, "Layers": ["l", "b/layer.tar"]}], FILES, {"l": "m", "m": "l"}),
    "layers no list": lambda: archive_of([{**ENTRY, "Layers": "a"}], FILES),
    "a manifest no list": lambda: archive_of({}, FILES),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", ARCHIVES)
async def test_an_archive_with_something_wrong_is_refused(tmp_path: Path, name: str) -> None:
    file = tmp_path / "image.tar"
    file.write_bytes(ARCHIVES[name]())
    with pytest.raises(BangerError) as failure:
        await pull(f"docker-archive:{file}", tmp_path)
    assert failure.value.message.isprintable()
    assert names_in(tmp_path) in (["blobs", "image.tar"], ["image.tar"])


@pytest.mark.parametrize("at", [124, 136, 148, 156, 100, 0])
@pytest.mark.parametrize("bytes_", [b"\x80" + b"\xff" * 11, b"\xff" * 12, b"-1", b"9999999", b"\0" * 12])
async def test_a_header_that_is_bent_is_an_error_of_ours_or_harmless(tmp_path: Path, at: int, bytes_: bytes) -> None:
    raw = bytearray(archive_of([ENTRY], FILES))
    raw[at : at + len(bytes_)] = bytes_
    if at != 148:
        total = sum(raw[:148]) + 8 * 32 + sum(raw[156:512])
        raw[148:156] = b"%06o\0 " % total
    file = tmp_path / "image.tar"
    file.write_bytes(raw)
    try:
        _, layers = await pull(f"docker-archive:{file}", tmp_path)
    except BangerError:
        return
    assert layers == TARS


async def test_descriptor_sizes_of_a_layout_are_held_to(tmp_path: Path) -> None:
    files = layout_of(IMAGE)
    files["index.json"] = encode(index_of({**descriptor(IMAGE.raw, values.OCI_MANIFEST), "size": 3}))
    with pytest.raises(ContentError):
        await pull(f"oci:{put(tmp_path / 'lay', files)}", tmp_path)
