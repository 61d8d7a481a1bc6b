"""The same references, read by skopeo: where the two differ, it is known why."""

import random
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from banger.model.errors import SpecError
from banger.oci import parse_reference
from tests.unit.oci.test_reference import BAD, DIGEST, GOOD

# Nothing is asked of anybody: whoever is not this machine is behind a proxy that is not there.
NOWHERE = "http://127.0.0.1:9"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "HTTP_PROXY": NOWHERE, "HTTPS_PROXY": NOWHERE}
_REFUSED = (
    "invalid reference format",
    "Invalid image name",
    "parsing reference",
    "repository name",
    "both a tag and digest",
)
DIGESTS = ("@" + DIGEST, "@sha256:abc", "@sha512:" + "0" * 128)


def skopeo_reads(text: str) -> bool:
    """Whether skopeo takes a text for a reference; `docker-archive` reads it before it looks for the file."""
    asked = ["skopeo", "inspect", f"docker-archive:/nonexistent/file:{text}"]
    done = subprocess.run(asked, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode != 0
    if "no such file" in done.stderr:
        return True
    assert any(reason in done.stderr for reason in _REFUSED), done.stderr
    return False


def we_read(text: str) -> bool:
    try:
        parse_reference(text)
    except SpecError:
        return False
    return True


def explained(text: str, theirs: bool) -> bool:  # noqa: FBT001
    """Known differences, all on the side of `ours is stricter` or newer."""
    first = text.partition("/")[0]
    if first != first.lower() and not any(mark in first for mark in ".:"):
        return not theirs  # a capital makes it a host: newer than Debian's skopeo
    if "." in first and "_" in first:
        return theirs  # neither a host nor, with a dot, a directory of the default registry: nobody could answer
    if "[" in text:
        return True  # addresses in brackets: in the grammar since distribution 2.8.2
    port = re.match(r"[^/@]*:([0-9]+)/", text)
    if port and not 0 < int(port[1][:6]) < 65536:
        return theirs  # the grammar lets a port be any number
    return False


def samples(count: int) -> list[str]:
    """Texts near references, with a fixed seed; without digests, which `docker-archive` does not have."""
    rng = random.Random(20)
    found = [text for text in [*GOOD, *BAD] if "@" not in text and "\x00" not in text and text]
    parts = [
        "a",
        "B",
        "9",
        ".",
        "_",
        "__",
        "-",
        "--",
        ":",
        "/",
        "host",
        "localhost",
        ".example",
        ":5000",
        "é",
        " ",
        "library",
    ]
    while len(found) < count:
        if rng.random() < 0.5:
            found.append("".join(rng.choices(parts, k=rng.randint(1, 7))))
        else:
            base = list(rng.choice([text for text in GOOD if "@" not in text]))
            base[rng.randrange(len(base))] = rng.choice(["", *parts])
            found.append("".join(base))
    return [text for text in found if text and not text.startswith("@")]


def differences(texts: list[str]) -> list[tuple[str, bool]]:
    with ThreadPoolExecutor(4) as pool:
        theirs = list(pool.map(skopeo_reads, texts))
    return [
        (text, they)
        for text, they in zip(texts, theirs, strict=True)
        if they != we_read(text) and not explained(text, they)
    ]


def test_banger_and_skopeo_read_the_same_references() -> None:
    assert differences(samples(140)) == []


@pytest.mark.nightly
def test_banger_and_skopeo_read_the_same_two_thousand_references() -> None:
    assert differences(samples(2500)) == []
