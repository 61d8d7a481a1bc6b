"""References as users write them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.model.errors import SpecError
from banger.oci import parse_reference
from banger.oci.reference import DEFAULT_REGISTRY

HEX = "0123456789abcdef" * 4
DIGEST = f"sha256:{HEX}"

GOOD = {
    "debian": "docker.io/library/debian:latest",
    "debian:bookworm": "docker.io/library/debian:bookworm",
    "library/debian": "docker.io/library/debian:latest",
    "docker.io/debian": "docker.io/library/debian:latest",
    "docker.io/library/debian": "docker.io/library/debian:latest",
    "index.docker.io/debian": "docker.io/library/debian:latest",
    "team/app": "docker.io/team/app:latest",
    "a/b/c": "docker.io/a/b/c:latest",
    "localhost/app": "localhost/app:latest",
    "localhost:5000/app": "localhost:5000/app:latest",
    "host.example/app": "host.example/app:latest",
    "host.example:443/a/b-c/d_e/f__g/h.i:V1.0_x-y": "host.example:443/a/b-c/d_e/f__g/h.i:V1.0_x-y",
    "HOST/app": "HOST/app:latest",
    "127.0.0.1/app": "127.0.0.1/app:latest",
    "127.0.0.1:5000/app:1": "127.0.0.1:5000/app:1",
    "[::1]:5000/app": "[::1]:5000/app:latest",
    "[2001:db8::1]/app:1": "[2001:db8::1]/app:1",
    f"debian@{DIGEST}": f"docker.io/library/debian@{DIGEST}",
    f"debian:bookworm@{DIGEST}": f"docker.io/library/debian:bookworm@{DIGEST}",
    f"host:5000/app@{DIGEST}": f"host:5000/app@{DIGEST}",
    "a---b/c": "docker.io/a---b/c:latest",
    "xn--n3h.example/app": "xn--n3h.example/app:latest",
    "debian:_1": "docker.io/library/debian:_1",
    f"debian:{'t' * 128}": f"docker.io/library/debian:{'t' * 128}",
    "host.example": "docker.io/library/host.example:latest",
    "host.example:5000": "docker.io/library/host.example:5000",
    "0/1": "docker.io/0/1:latest",
    HEX[:63]: f"docker.io/library/{HEX[:63]}:latest",
    f"host.example/{HEX}": f"host.example/{HEX}:latest",
}

BAD = [
    "", " ", "debian ", " debian", "Debian", "library/Debian", "host.example/App", ":tag", "@", "/", "//", "a//b", "/a",
    "a/", "debian:", "debian@", "debian:tag@", "debian:a:b", "debian:-x", "debian:.x", f"debian:{'t' * 129}", HEX,
    "debian:ta g", "debian:tag\n", "debian\n", "deb\x00ian", "debian@sha256:abc", f"debian@sha256:{HEX.upper()}",
    f"debian@sha512:{HEX * 2}", f"debian@md5:{HEX}", f"debian@{DIGEST}x", f"debian@{DIGEST}@{DIGEST}", f"@{DIGEST}",
    "debian@sha256:../../../../etc/passwd", "../debian", "./debian", "a/../b", "a/./b", "..", ".", "-a", "a-", "a_", "_a",  # noqa: E501
    "a..b", "a___b", "a._b", "a-_b", "localhost:5000/", "host:port/app",
    "host:0/app", "host:65536/app", "host:99999999999999999999/app", "host:-1/app", "-host.example/app",
    "host-.example/app", "host..example/app", ".host/app", "host./app", "[::1/app", "::1/app", "[gg::1]/app",
    "[::1]x/app", "user:pw@host.example/app", "https://host.example/app", "http://host/app", "docker://debian",
    "host.example/app?x=1", "host.example/app#x", "a\\b", "a%2fb", "é", "host.é/app", "debian:é", "a" * 256,
    f"host.example/{'a/' * 130}a", "x" * 5000, "a b/c", "a\tb", "\x1b[31mred", "a/b:c/d", "host.example:5000:6000/app",
]  # fmt: skip


@pytest.mark.parametrize(("text", "full"), GOOD.items())
def test_a_reference_is_filled_in_as_docker_does_and_its_full_form_means_the_same(text: str, full: str) -> None:
    reference = parse_reference(text)
    assert str(reference) == full
    assert parse_reference(full) == reference


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_reference_is_refused_with_its_reason(text: str) -> None:
    with pytest.raises(SpecError) as failure:
        parse_reference(text)
    assert failure.value.message.isprintable()
    assert len(failure.value.message) < 700


@pytest.mark.requirement("IMG-023")
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("host.example/library/debian:bookworm", "debian-bookworm"),
        ("debian:bookworm", "debian-bookworm"),
        ("debian", "debian-latest"),
        ("host:5000/team/my_app:V1.2", "my-app-v1-2"),
        (f"debian@{DIGEST}", "debian-0123456789ab"),
        (f"debian:12@{DIGEST}", "debian-12"),
        ("a:_", "a"),
        (f"{'a' * 70}:{'b' * 70}", "a" * 63),
    ],
)
def test_the_image_has_a_name_even_if_nobody_gave_it_one(text: str, name: str) -> None:
    assert parse_reference(text).image_name == name


def test_a_digest_is_what_is_asked_for_even_beside_a_tag() -> None:
    assert parse_reference(f"debian:bookworm@{DIGEST}").wanted == DIGEST
    assert parse_reference("debian").wanted == "latest"


# A second description of the same language, after the grammar's own comments, to hold the parser against.
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_WHOLE = re.compile(
    rf"(?:(?:{_LABEL}(?:\.{_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?/)?{_PART}(?:/{_PART})*"
    r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
)

alphabet = st.sampled_from([*"abcXYZ019._-:/@[]", "localhost", "docker.io", "sha256:", HEX, "..", "//", "é", "\n"])
pieces = st.lists(alphabet, max_size=12).map("".join)

well_formed = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["", "localhost/", "host.example:5000/", "Host/", "[::1]:1/", "docker.io/"]),
    st.lists(st.sampled_from(["a", "b--c", "d__e", "f.g", "0", "library", "x" * 90]), min_size=1, max_size=4).map(
        "/".join
    ),
    st.sampled_from(["", ":latest", ":_", ":V1.0-x", f":{'t' * 128}"]),
    st.sampled_from(["", f"@{DIGEST}"]),
)


@given(st.one_of(pieces, st.text(max_size=30), well_formed))
def test_any_text_is_a_reference_or_an_error_of_ours(text: str) -> None:
    try:
        reference = parse_reference(text)
    except SpecError:
        return
    assert _WHOLE.fullmatch(text)
    assert parse_reference(str(reference)) == reference
    assert _WHOLE.fullmatch(str(reference))
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", reference.image_name)
    assert reference.registry != DEFAULT_REGISTRY or "/" in reference.repository
    assert not any(part in {"", ".", ".."} for part in reference.repository.split("/"))
