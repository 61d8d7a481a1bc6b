"""The catalog of kernels: what it may say, what of it is believed, and the user's own laid over it."""

import json
from pathlib import Path
from typing import Any

import pytest

from banger.kernels.catalog import VARIABLE, load_catalog, read_catalog
from banger.model.errors import SpecError
from banger.model.kernel import DEFAULT_KERNEL, check_kernel_name
from banger.model.kernel_source import BundleKernel, DebianKernel
from banger.plan.kernel import DEFAULT_CHOICE

BUNDLE = {
    "name": "own-6.6",
    "arch": "x86_64",
    "kernel_version": "6.6",
    "sha256": "ab" * 32,
    "size": 10,
    "url": "https://kernels.test/own-6.6-x86_64.tar.zst",
}


def document(*entries: dict[str, Any], version: int = 1) -> bytes:
    return json.dumps({"version": version, "kernels": entries}).encode()


@pytest.mark.requirement("KRN-001", "KRN-002", "KRN-007")
def test_the_catalog_has_the_usual_kernel_and_linux_6_12() -> None:
    catalog = load_catalog({})
    usual, other = catalog.get(DEFAULT_KERNEL), catalog.get("generic-6.12")
    assert usual is not None
    assert other is not None
    assert usual.choice() == DEFAULT_CHOICE
    assert other.choice().source == DebianKernel("linux-image-6.12-cloud-amd64")
    assert {entry.arch for entry in catalog.all()} == {"x86_64"}


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_catalog_of_the_users_own_goes_before_the_embedded_one(form: str, tmp_path: Path) -> None:
    path = tmp_path / "my catalog.json"
    path.write_bytes(document(BUNDLE, BUNDLE | {"name": "generic-6.12"}))
    catalog = load_catalog({VARIABLE: form.format(str(path).replace(" ", "%20") if ":" in form else path)})
    names = [entry.name for entry in catalog.all()]
    assert names == ["debian-cloud", "generic-6.12", "own-6.6"]
    replaced = catalog.get("generic-6.12")
    assert replaced is not None
    assert replaced.choice().source == BundleKernel("ab" * 32, 10)
    assert catalog.places("ab" * 32) == (BUNDLE["url"],)


@pytest.mark.parametrize("value", ["relative.json", "/nowhere/catalog.json", "file:relative"])
def test_a_catalog_that_cannot_be_read_is_an_error_that_names_it(value: str) -> None:
    with pytest.raises(SpecError, match=r"catalog|CATALOG"):
        load_catalog({VARIABLE: value})


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        (b"{", "truncated"),
        (b"\xff\xfe", "catalog"),
        (b"[]", "object"),
        (document(BUNDLE, version=2), "version 2"),
        (document(BUNDLE, BUNDLE), "there twice"),
        (document(BUNDLE | {"name": "../x"}), "not a name"),
        (document(BUNDLE | {"name": ""}), "not a name"),
        (document(BUNDLE | {"arch": "arm64"}), "built for arm64"),
        (document(BUNDLE | {"sha256": "AB" * 32}), "sha256"),
        (document(BUNDLE | {"sha256": "ab"}), "sha256"),
        (document(BUNDLE | {"size": 0}), "out of bounds"),
        (document(BUNDLE | {"size": 1 << 50}), "out of bounds"),
        (document(BUNDLE | {"size": None}), "needs package, or"),
        (document(BUNDLE | {"url": None}), "needs package, or"),
        (document(BUNDLE | {"url": "http://kernels.test/x"}), "neither https: nor file:"),
        (document(BUNDLE | {"url": "ftp://kernels.test/x"}), "neither https: nor file:"),
        (document(BUNDLE | {"url": "file://host/x"}), "neither https: nor file:"),
        (document(BUNDLE | {"url": "https://user:secret@kernels.test/x"}), "user name or password"),
        (document(BUNDLE | {"package": "linux-image-x"}), "signature"),
        (document({"name": "a", "arch": "x86_64", "kernel_version": "6", "package": "bash"}), "no name of a kernel"),
        (document(BUNDLE | {"signature": "x"}), "unknown field"),
    ],
    ids=range(21),
)
def test_a_bad_catalog_is_one_clear_error(raw: bytes, said: str) -> None:
    with pytest.raises(SpecError, match=said) as caught:
        read_catalog(raw, "mine.json")
    assert caught.value.message.startswith("kernel catalog mine.json: ")
    assert "secret" not in caught.value.message


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "a b", "a" * 64, "ä"])
def test_a_name_that_a_kernel_cannot_have_is_refused(name: str) -> None:
    with pytest.raises(SpecError):
        check_kernel_name(name)
