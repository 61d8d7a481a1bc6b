"""Which image of an index is the one for this machine."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from banger.model.errors import NotFoundError
from banger.oci import values
from banger.oci.errors import ContentError
from tests.fakes.badserver import BadServer, serving
from tests.fakes.images import Image, descriptor, encode, index_of, make_image, platform_entry
from tests.unit.oci.pulling import Puller, manifest_path, put_image

OURS = make_image((10,), seed=1)
OTHER = make_image((10,), seed=2)
ARM = make_image((10,), architecture="arm64", seed=3)
UNKNOWN = {"os": "unknown", "architecture": "unknown"}


@pytest.fixture
def puller(tmp_path: Path) -> Iterator[Puller]:
    with BadServer() as server:
        for image in (OURS, OTHER, ARM):
            put_image(server, image, tag=image.digest)
        yield Puller(server, tmp_path)


def serve(puller: Puller, *entries: dict[str, Any], media_type: str = values.OCI_INDEX) -> dict[str, Any]:
    """Serve an index under the tag and its digest, and return its own entry."""
    raw = encode(index_of(*entries, media_type=media_type))
    entry = descriptor(raw, media_type)
    for name in ("1", entry["digest"]):
        puller.server.on(manifest_path(name), serving(raw, media_type))
    return entry


def entry(image: Image, **more: object) -> dict[str, Any]:
    return {**platform_entry(image), **more}


@pytest.mark.requirement("IMG-015")
@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        ([platform_entry(ARM, "arm64"), platform_entry(OURS)], OURS),
        ([platform_entry(OURS), platform_entry(OTHER)], OURS),
        ([platform_entry(OTHER, variant="v3"), platform_entry(OURS)], OURS),
        ([platform_entry(OTHER, variant="v2"), platform_entry(OURS, variant="v1")], OURS),
        ([platform_entry(OURS, variant="v3")], OURS),
        ([entry(OTHER, platform=UNKNOWN), platform_entry(OURS)], OURS),
        ([entry(OTHER, annotations={"vnd.docker.reference.type": "attestation-manifest"}), entry(OURS)], OURS),
        ([entry(OTHER, artifactType="application/spdx+json"), entry(OURS)], OURS),
        ([entry(OTHER, mediaType="application/vnd.example"), entry(OURS)], OURS),
        ([entry(OURS, platform=None)], OURS),
        ([entry(OTHER, platform=None), entry(OURS)], OURS),
        ([platform_entry(OTHER, os="windows"), platform_entry(OURS)], OURS),
        ([entry(OURS, platform={"os": "linux", "architecture": "amd64", "os.version": "1", "features": ["x"]})], OURS),
    ],
)
def test_the_image_for_this_machine_is_chosen(puller: Puller, entries: list[dict[str, Any]], expected: Image) -> None:
    serve(puller, *entries)
    image = puller.resolve()
    assert image.digest == expected.digest
    assert [layer.diff_id for layer in image.layers] == expected.config["rootfs"]["diff_ids"]


def test_a_docker_list_is_an_index_as_well(puller: Puller) -> None:
    docker = make_image((10,), seed=9)
    docker.manifest["mediaType"] = values.DOCKER_MANIFEST
    docker.manifest["config"]["mediaType"] = values.DOCKER_CONFIG
    docker.manifest["layers"][0]["mediaType"] = values.DOCKER_LAYER_GZIP
    put_image(puller.server, docker)
    there = descriptor(docker.raw, values.DOCKER_MANIFEST, platform={"os": "linux", "architecture": "amd64"})
    serve(puller, there, media_type=values.DOCKER_INDEX)
    assert puller.resolve().digest == docker.digest


@pytest.mark.requirement("IMG-015")
@pytest.mark.parametrize(
    "entries",
    [[], [platform_entry(ARM, "arm64")], [entry(OURS, platform=UNKNOWN)], [platform_entry(OURS, os="windows")]],
)
def test_no_image_for_this_machine_is_an_error(puller: Puller, entries: list[dict[str, Any]]) -> None:
    serve(puller, *entries)
    with pytest.raises(NotFoundError, match="nothing for linux/amd64"):
        puller.resolve()


def test_an_index_in_an_index_is_followed_three_deep(puller: Puller) -> None:
    inner = platform_entry(OURS)
    for _ in range(values.INDEX_DEPTH_LIMIT):
        inner = serve(puller, inner)
    assert puller.resolve().digest == OURS.digest
    serve(puller, inner)
    with pytest.raises(ContentError, match="nested deeper"):
        puller.resolve()


def test_an_image_in_the_second_inner_index_is_found(puller: Puller) -> None:
    first = serve(puller, platform_entry(ARM, "arm64"))
    second = serve(puller, platform_entry(OURS))
    serve(puller, first, second)
    assert puller.resolve().digest == OURS.digest


def test_indices_without_end_are_given_up(puller: Puller) -> None:
    inner = [serve(puller, {**platform_entry(ARM, "arm64"), "size": number}) for number in range(40)]
    serve(puller, *inner)
    with pytest.raises(ContentError, match="documents before an image"):
        puller.resolve()
    assert len(puller.server.log) < 40


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"size": 5}, "more than 5 bytes"),
        ({"size": len(OURS.raw) + 1}, "bytes, not"),
        ({"size": 2**40}, "at most"),
        ({"mediaType": values.DOCKER_MANIFEST}, "was sent as"),
        ({"mediaType": values.OCI_INDEX}, "was sent as"),
        ({"digest": OTHER.digest, "size": len(OURS.raw) + 3}, "bytes, not|at most"),
    ],
)
def test_an_entry_must_tell_the_truth(puller: Puller, change: dict[str, Any], reason: str) -> None:
    serve(puller, {**platform_entry(OURS), **change})
    with pytest.raises(Exception, match=reason) as failure:
        puller.resolve()
    assert failure.type.__module__.startswith("banger.")


def test_an_entry_whose_bytes_are_others_is_refused(puller: Puller) -> None:
    serve(puller, platform_entry(OURS))
    puller.server.on(manifest_path(OURS.digest), serving(OURS.raw.replace(b"linux", b"linuy"), values.OCI_MANIFEST))
    changed = OURS.raw[:-1] + b" "
    puller.server.on(manifest_path(OURS.digest), serving(changed, values.OCI_MANIFEST))
    with pytest.raises(ContentError, match="has the digest"):
        puller.resolve()
