"""The image catalog: what is in it, what may be laid over it, and what is refused."""

import json
from pathlib import Path

import pytest

from banger.model.errors import NotFoundError, SpecError
from banger.oci.catalog import load_catalog, places_of, read_catalog

BUNDLE = {"sha256": "ab" * 32, "size": 5, "urls": ["file:///srv/x.tar"]}


def document(*sources: object, name: str = "mine") -> bytes:
    return json.dumps({"version": 1, "images": [{"name": name, "description": "d", "sources": list(sources)}]}).encode()


@pytest.mark.requirement("IMG-005", "IMG-006")
def test_the_embedded_catalog_is_sound_and_has_the_full_image() -> None:
    (entry,) = load_catalog(None).values()
    assert entry.name == "debian-bookworm"
    assert [str(source) for source in entry.sources] == ["Debian's archive", "debian:bookworm"]
    assert {"docker.io", "docker-compose", "tmux", "build-essential"} <= set(entry.sources[0].packages or ())


def test_a_catalog_of_ones_own_goes_before_the_embedded_one(tmp_path: Path) -> None:
    own = tmp_path / "own.json"
    own.write_bytes(document(BUNDLE, {"reference": "host.example/x:1"}, name="debian-bookworm"))
    for text in (str(own), f"file://{own}"):
        catalog = load_catalog(text)
        entry = catalog["debian-bookworm"]
        assert [str(source) for source in entry.sources] == ["file:///srv/x.tar", "host.example/x:1"]
        assert places_of("sha256:" + "ab" * 32, catalog) == ("file:///srv/x.tar",)
    with pytest.raises(NotFoundError, match="in no catalog"):
        places_of("sha256:" + "cd" * 32, load_catalog(None))


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"{", "truncated"),
        (b'{"version": 2, "images": []}', "version 2"),
        (document(name="Not A Name"), "not a name"),
        (document(), "0 sources"),
        (document({}), "a reference, or packages, or a sha256"),
        (document({"reference": "a:1", "packages": ["x"]}), "a reference, or packages, or a sha256"),
        (document({"reference": "a b"}), "does not name an image"),
        (document({"packages": ["ok", "--option"]}), "no package's name"),
        (document(BUNDLE | {"sha256": "AB" * 32}), "sha256"),
        (document(BUNDLE | {"size": 0}), "size and urls"),
        (document(BUNDLE | {"urls": []}), "size and urls"),
        (document(BUNDLE | {"urls": ["http://host.example/x"]}), "neither https: nor file:"),
        (document(BUNDLE | {"urls": ["https://a:b@host.example/x"]}), "user name or password"),
        (document(BUNDLE | {"urls": ["https://[host/x"]}), "not a URL"),
        (document(BUNDLE | {"more": 1}), "unknown field"),
    ],
)
def test_a_catalog_with_a_mistake_is_refused_and_says_which(raw: bytes, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        read_catalog(raw, "own.json")


def test_an_image_is_there_once() -> None:
    one = json.loads(document(BUNDLE))["images"]
    with pytest.raises(SpecError, match="there twice"):
        read_catalog(json.dumps({"version": 1, "images": one * 2}).encode(), "own.json")


def test_a_catalog_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="No such file"):
        load_catalog(str(tmp_path / "none.json"))
    with pytest.raises(SpecError, match="absolute path"):
        load_catalog("relative.json")
