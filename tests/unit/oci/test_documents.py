"""Manifests, indices and configs that a stranger wrote: which are believed."""

import contextlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.errors import BangerError, NotFoundError
from banger.oci import values
from banger.oci.document import read_document
from banger.oci.errors import ContentError, RegistryError
from banger.oci.manifest import Manifest, check_manifest, parse_config, parse_manifest
from tests.fakes.badserver import BadServer, Reply, serving
from tests.fakes.images import Image, descriptor, digest, encode, index_of, make_image, platform_entry
from tests.unit.oci.pulling import Puller, blob_path, manifest_path, put_image

GOOD = make_image((10, 20))
Bend = Callable[[dict[str, Any]], object]


@pytest.fixture
def puller(tmp_path: Path) -> Iterator[Puller]:
    with BadServer() as server:
        yield Puller(server, tmp_path)


def bent(bend: Bend) -> Image:
    """An image whose manifest was changed."""
    image = make_image((10, 20))
    bend(image.manifest)
    return image


def layer(manifest: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = manifest["layers"][0]
    return found


DIGESTS = ["", "sha256:", "sha256:abc", "sha512:" + "a" * 128, "sha256:" + "A" * 64, "md5:" + "a" * 32,
           "sha256:" + "a" * 63 + "\n", "sha256:" + "../" * 21 + "a", "../../../../etc/passwd", "sha256:" + "a" * 64 + "/x",  # noqa: E501
           "sha256:" + "\x00" * 64, "a" * 64, "sha256:" + "g" * 64, "\ud800", 5, None, [], {}]  # fmt: skip

MANIFESTS: dict[str, Bend] = {
    "manifests beside layers": lambda it: it.update(manifests=[]),
    "an index beside a config": lambda it: (it.update(manifests=[]), it.pop("layers")),
    "fsLayers beside layers": lambda it: it.update(fsLayers=[]),
    "schema 1": lambda it: it.update(schemaVersion=1),
    "schema 3": lambda it: it.update(schemaVersion=3),
    "schema true": lambda it: it.update(schemaVersion=True),
    "schema 2.5": lambda it: it.update(schemaVersion=2.5),
    "schema in a text": lambda it: it.update(schemaVersion="2"),
    "no schema": lambda it: it.pop("schemaVersion"),
    "no layers": lambda it: it.pop("layers"),
    "no config": lambda it: it.pop("config"),
    "layers of nothing": lambda it: it.update(layers=[]),
    "layers no list": lambda it: it.update(layers={}),
    "layers of null": lambda it: it.update(layers=None),
    "128 layers": lambda it: it.update(layers=it["layers"][:1] * 128),
    "one layer less than the config": lambda it: it["layers"].pop(),
    "one layer more than the config": lambda it: it["layers"].append(layer(it)),
    "another type in the head": lambda it: it.update(mediaType=values.DOCKER_MANIFEST),
    "an index by its own word": lambda it: it.update(mediaType=values.OCI_INDEX),
    "a type no text": lambda it: it.update(mediaType=7),
    "a helm chart": lambda it: it["config"].update(mediaType="application/vnd.cncf.helm.config.v1+json"),
    "an empty config": lambda it: it["config"].update(mediaType="application/vnd.oci.empty.v1+json"),
    "a config without a type": lambda it: it["config"].pop("mediaType"),
    "a config larger than allowed": lambda it: it["config"].update(size=values.CONFIG_LIMIT_BYTES + 1),
    "a config that is longer": lambda it: it["config"].update(size=it["config"]["size"] - 1),
    "a config that is shorter": lambda it: it["config"].update(size=it["config"]["size"] + 1),
    "a config that is another": lambda it: it["config"].update(digest=layer(it)["digest"]),
    "a foreign layer": lambda it: layer(it).update(mediaType="application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),  # noqa: E501
    "a nondistributable layer": lambda it: layer(it).update(mediaType="application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),  # noqa: E501
    "a layer kept elsewhere": lambda it: layer(it).update(urls=["https://192.0.2.1/x"]),
    "a layer kept in a file": lambda it: layer(it).update(urls=["file:///etc/shadow"]),
    "an encrypted layer": lambda it: layer(it).update(mediaType=f"{values.OCI_LAYER_GZIP}+encrypted"),
    "a layer of an unknown kind": lambda it: layer(it).update(mediaType="application/x-\x1b[2Jcpio"),
    "a layer without a kind": lambda it: layer(it).pop("mediaType"),
    "a layer of no bytes": lambda it: layer(it).update(size=0),
    "a layer of less than none": lambda it: layer(it).update(size=-1),
    "a layer of 2**70 bytes": lambda it: layer(it).update(size=2**70),
    "a layer of 10**30 bytes": lambda it: layer(it).update(size=10**30),
    "a layer of 65 GiB": lambda it: layer(it).update(size=65 * 2**30),
    "a layer of 1.5 bytes": lambda it: layer(it).update(size=1.5),
    "a size in a text": lambda it: layer(it).update(size="10"),
    "no size": lambda it: layer(it).pop("size"),
    "no digest": lambda it: layer(it).pop("digest"),
    "a layer that is a text": lambda it: it.update(layers=["x"]),
    "a config that is a list": lambda it: it.update(config=[]),
}  # fmt: skip


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_that_is_not_plainly_an_image_is_refused_before_any_blob_is_asked_for(
    puller: Puller, name: str
) -> None:
    image = bent(MANIFESTS[name])
    put_image(puller.server, GOOD)
    puller.server.on(manifest_path("1"), serving(image.raw, values.OCI_MANIFEST))
    with pytest.raises(RegistryError) as failure:
        puller.pull()
    assert failure.value.message.isprintable()
    assert puller.written() == []
    assert not [request for request in puller.server.log if request.path == blob_path(GOOD.layers[1])]


@pytest.mark.parametrize("text", DIGESTS)
@pytest.mark.parametrize("where", ["layer", "config", "index", "diff_id"])
def test_a_digest_that_is_none_never_becomes_a_path(puller: Puller, text: object, where: str) -> None:
    image = make_image((10, 20))
    put_image(puller.server, image)
    if where == "diff_id":
        image.config["rootfs"]["diff_ids"][0] = text
        image.seal()
        put_image(puller.server, image)
    elif where == "index":
        index = encode(index_of({**platform_entry(image), "digest": text}))
        puller.server.on(manifest_path("1"), serving(index, values.OCI_INDEX))
    else:
        (image.manifest["config"] if where == "config" else layer(image.manifest))["digest"] = text
        puller.server.on(manifest_path("1"), serving(image.raw, values.OCI_MANIFEST))
    with pytest.raises(ContentError):
        puller.pull()
    assert puller.written() == []
    assert all(".." not in request.path for request in puller.server.log)


@pytest.mark.parametrize(
    "raw",
    [b"", b"null", b"[]", b"5", b'"x"', b"{", b"{}x", b"\xff", b"\xef\xbb\xbf{}", b"{'a':1}", b'{"a":NaN}', b'{"a":Infinity}',  # noqa: E501
     b'{"a":1,"a":1}', b'{"x":{"b":1,"b":2}}', b'{"a":' + b"9" * 5000 + b"}", b"[" * 100_000, b'{"a":' * 100_000,
     b'{"a":"\n"}', b"{" + b" " * values.MANIFEST_LIMIT_BYTES + b"}", b'{"a":1e999999}'[:-1], b"{\x00}"],
    ids=lambda raw: repr(raw[:16]),
)  # fmt: skip
def test_what_is_not_json_or_could_be_read_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(ContentError) as failure:
        read_document(raw, "it", values.MANIFEST_LIMIT_BYTES)
    assert len(failure.value.message) < 400


@pytest.mark.parametrize(
    ("content_type", "own", "good"),
    [
        (values.OCI_MANIFEST, values.OCI_MANIFEST, True),
        (f"{values.OCI_MANIFEST}; charset=utf-8", values.OCI_MANIFEST, True),
        (values.OCI_MANIFEST, None, True),
        (values.DOCKER_MANIFEST, values.DOCKER_MANIFEST, True),
        ("application/json", values.OCI_MANIFEST, True),
        ("", values.OCI_MANIFEST, True),
        ("", None, True),
        (values.OCI_INDEX, None, False),
        (values.OCI_INDEX, values.OCI_MANIFEST, False),
        (values.OCI_MANIFEST, values.OCI_INDEX, False),
        (values.DOCKER_MANIFEST, values.OCI_MANIFEST, False),
        ("application/vnd.docker.distribution.manifest.v1+prettyjws", None, False),
        ("text/html", None, False),
        ("text/html", values.OCI_MANIFEST, False),
        ("", "application/vnd.example", False),
    ],
)
def test_sender_and_document_must_agree_on_what_it_is(content_type: str, own: str | None, good: bool) -> None:  # noqa: FBT001
    manifest = {**GOOD.manifest, "mediaType": own}
    if own is None:
        del manifest["mediaType"]
    if good:
        parse_manifest(encode(manifest), content_type, "it")
    else:
        with pytest.raises(ContentError):
            parse_manifest(encode(manifest), content_type, "it")


CONFIGS: dict[str, Bend] = {
    "for arm64": lambda it: it.update(architecture="arm64"),
    "for windows": lambda it: it.update(os="windows"),
    "without an architecture": lambda it: it.pop("architecture"),
    "with an empty one": lambda it: it.update(architecture=""),
    "without a rootfs": lambda it: it.pop("rootfs"),
    "of another rootfs": lambda it: it["rootfs"].update(type="vhd"),
    "without diff_ids": lambda it: it["rootfs"].pop("diff_ids"),
    "with numbers for diff_ids": lambda it: it["rootfs"].update(diff_ids=[1, 2]),
    "with an Env no list": lambda it: it["config"].update(Env="A=b"),
    "with a Cmd of numbers": lambda it: it["config"].update(Cmd=[1]),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_that_is_not_for_this_machine_is_refused(puller: Puller, name: str) -> None:
    image = make_image((10, 20))
    CONFIGS[name](image.config)
    put_image(puller.server, image.seal())
    with pytest.raises(ContentError):
        puller.pull()
    assert puller.written() == []


def test_a_config_that_is_other_bytes_is_refused(puller: Puller) -> None:
    put_image(puller.server, GOOD)
    swapped = GOOD.config_raw.replace(b"PATH=/bin", b"PATH=/pwn")
    puller.server.on(blob_path(GOOD.config_raw), serving(swapped))
    with pytest.raises(ContentError, match="has the digest"):
        puller.resolve()


def test_a_manifest_larger_than_allowed_is_not_read_to_its_end(puller: Puller) -> None:
    puller.server.on(manifest_path("1"), Reply(200, b"{" + b" " * (values.MANIFEST_LIMIT_BYTES + 10)))
    with pytest.raises(RegistryError, match="more than"):
        puller.resolve()


def test_a_manifest_asked_for_by_digest_must_have_it(puller: Puller) -> None:
    puller.server.on(manifest_path(GOOD.digest), serving(GOOD.raw + b" ", values.OCI_MANIFEST))
    with pytest.raises(ContentError, match="has the digest"):
        puller.resolve(f"@{GOOD.digest}")


def test_a_digest_that_the_registry_states_must_be_true(puller: Puller) -> None:
    said = {"Docker-Content-Digest": digest(b"other")}
    puller.server.on(manifest_path("1"), serving(GOOD.raw, values.OCI_MANIFEST, **said))
    with pytest.raises(ContentError, match="the registry says"):
        puller.resolve()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(DIGESTS),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(["schemaVersion", "mediaType", "config", "layers", "manifests", "fsLayers", "digest", "size", "urls",  # noqa: E501
                        "annotations", "platform", "os", "architecture", "rootfs", "type", "diff_ids", "Env"])  # fmt: skip  # noqa: E501
paths = st.sampled_from([(), ("config",), ("layers", 0), ("rootfs",)])


@given(paths, keys, json_values, st.sampled_from(["", values.OCI_MANIFEST, values.OCI_INDEX]))
def test_any_document_is_understood_or_an_error_of_ours(
    path: tuple[str | int, ...], key: str, value: object, content_type: str
) -> None:
    for whole in (make_image((1,)).manifest, index_of(descriptor(b"x", values.OCI_MANIFEST)), GOOD.config):
        document = json.loads(encode(whole))
        target = document
        for step in path:
            target = target.get(step, {}) if isinstance(target, dict) else target[step]
        target[key] = value
        raw = json.dumps(document).encode()
        try:
            parsed = parse_manifest(raw, content_type, "it")
            if isinstance(parsed, Manifest):
                check_manifest(parsed, "it")
        except ContentError:
            pass
        with contextlib.suppress(ContentError):
            parse_config(raw, "it")


@given(st.binary(max_size=200))
def test_any_bytes_are_understood_or_an_error_of_ours(raw: bytes) -> None:
    for read in (lambda: parse_manifest(raw, "", "it"), lambda: parse_config(raw, "it")):
        with pytest.raises(BangerError):
            read()


def test_an_index_without_this_platform_says_what_there_is(puller: Puller) -> None:
    arm = platform_entry(GOOD, "arm64", variant="v8")
    raw = encode(index_of(arm, platform_entry(GOOD, "s390x"), arm))
    puller.server.on(manifest_path("1"), serving(raw, values.OCI_INDEX))
    with pytest.raises(NotFoundError, match=r"there is linux/arm64/v8, linux/s390x$"):
        puller.resolve()
