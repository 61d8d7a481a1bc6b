"""The configuration: what is taken, and that what is not is one clear error with its place."""

import os
import re
import string
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.model.config import FileSync
from banger.model.config_keys import KEYS
from banger.model.config_lines import line_of
from banger.model.config_text import parse_config
from banger.model.errors import SpecError
from banger.oci.urls import mirror_base
from tests.unit.model.config_corpus import BAD

PATH = "/home/me/.config/banger/config.toml"
ENVIRON = {"HOME": "/home/me"}
GOOD = """\
# everything
ssh_key_path = "~/.ssh/id_banger"
firecracker_bin = "/opt/fc/firecracker"
templates = false
daemon_idle_s = 60

[vm_defaults]
image = "debian-bookworm-slim"
vcpu = 4
memory = 2048
disk_size = "20G"

[catalogs]
images = "~/images.json"
kernels = "/srv/kernels.json"

[mirrors]
"docker.io" = [
  "https://mirror.example.org/",
  "http://127.0.0.1:5000",
]
"host:5000" = []

[[file_sync]]
host = "~/.netrc"
guest = "~//.netrc"

[[file_sync]]
host = "/home/me/bin"
guest = "/root/./bin"
mode = "755"
"""


def refused(text: str, environ: dict[str, str] | None = None) -> SpecError:
    with pytest.raises(SpecError) as caught:
        parse_config(text, path=PATH, environ=ENVIRON | (environ or {}))
    return caught.value


@pytest.mark.requirement("CFG-001", "CFG-004", "FSY-002", "TST-002", "SSH-002")
def test_every_key_is_read() -> None:
    config = parse_config(GOOD, path=PATH, environ=ENVIRON, places=True)
    assert config.ssh_key_path == "/home/me/.ssh/id_banger"
    assert config.firecracker_bin == "/opt/fc/firecracker"
    assert (config.templates, config.daemon_idle_s) == (False, 60.0)
    assert (config.image, config.vcpu, config.memory_mib) == ("debian-bookworm-slim", 4, 2048)
    assert config.disk_bytes == 20 << 30
    assert (config.image_catalog, config.kernel_catalog) == ("/home/me/images.json", "/srv/kernels.json")
    mirrors = ("https://mirror.example.org", "http://127.0.0.1:5000")
    assert config.mirrors == {"docker.io": mirrors, "host:5000": ()}
    assert config.file_sync == (
        FileSync("~/.netrc", "/root/.netrc"),
        FileSync("/home/me/bin", "/root/bin", 0o755),
    )
    assert set(config.origins) == {key.name for key in KEYS}
    assert config.origins["vm_defaults.memory"].where == f"{PATH}:10"
    assert config.origins["mirrors"].where == f"{PATH}:17"
    assert config.origins["file_sync"].where == f"{PATH}:24"


@pytest.mark.requirement("FSY-001")
def test_nothing_is_configured_by_default() -> None:
    for text in ("", "\n", "# nothing\n"):
        config = parse_config(text, path=PATH, environ=ENVIRON)
        assert config.file_sync == ()
        assert config.origins == {}


@pytest.mark.requirement("CFG-008", "FSY-004", "FSY-005", "SSH-002", "TST-002")
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_one_line_that_names_place_key_and_reason(name: str) -> None:
    bad = BAD[name]
    error = refused(bad.text)
    place = PATH if bad.line is None else f"{PATH}:{bad.line}"
    assert error.message.startswith(f"{place}: "), error.message
    assert bad.says in error.message
    assert len(error.message) < 500
    assert "\n" not in error.message
    assert error.hint
    assert PATH in error.hint


def test_there_are_enough_of_them() -> None:
    assert len(BAD) >= 150


def test_a_variable_goes_before_the_file_and_is_named_when_it_is_wrong() -> None:
    environ = ENVIRON | {
        "BANGER_MEMORY": "1G",
        "BANGER_VCPU": "3",
        "BANGER_TEMPLATES": "on",
        "BANGER_DAEMON_IDLE_S": "0.5",
    }
    config = parse_config(GOOD, path=PATH, environ=environ)
    assert (config.memory_mib, config.vcpu, config.templates, config.daemon_idle_s) == (1024, 3, True, 0.5)
    assert config.disk_bytes == 20 << 30
    assert config.origins["vm_defaults.vcpu"].where == "BANGER_VCPU"
    error = refused("", {"BANGER_VCPU": "many"})
    assert error.message == "BANGER_VCPU: 'many' is not a whole number"
    assert error.hint == "unset BANGER_VCPU"
    assert parse_config("", path=PATH, environ=ENVIRON | {"BANGER_VCPU": ""}).vcpu is None


def test_a_home_that_is_not_known_is_said_only_where_it_is_needed() -> None:
    assert parse_config("templates = true", path=PATH, environ={}).templates
    with pytest.raises(SpecError, match="HOME is not set"):
        parse_config('ssh_key_path = "~/a"', path=PATH, environ={})


@pytest.mark.parametrize(
    "url",
    [
        "https://a.org", "https://a.org:5000/x", "http://127.0.0.1:5000", "http://[::1]:5000", "http://localhost",
        "http://a.org", "https://a:b@c.org", "https://a.org?x", "https://a.org/#x", "ftp://a.org", "a.org", "https://",
        "https://a.org:port", "https://a .org", "http://127.1.2.3/", "http://128.0.0.1", "https://[::2]",
    ],
)  # fmt: skip
def test_a_mirror_that_the_configuration_takes_is_one_to_the_registry_client(url: str) -> None:
    try:
        wanted = mirror_base(url)
    except SpecError:
        refused(f'[mirrors]\n"a.org" = ["{url}"]')
        return
    config = parse_config(f'[mirrors]\n"a.org" = ["{url}"]', path=PATH, environ=ENVIRON)
    assert config.mirrors == {"a.org": (wanted,)}


def test_lines_are_found_behind_strings_and_lists_of_many() -> None:
    text = 'a = """\n[b]\nc = 1\n"""\nd = [\n  # ]\n  1,\n]\n[b]\nc = 1\n[[e]]\nf = 1\n[[e]]\n[e.g]\nf = 2\nh.i = 3\n'
    lines = {
        ("a",): 1, ("d", 0): 5, ("b",): 9, ("b", "c"): 10, ("e", 0, "f"): 12, ("e", 1): 13, ("e", 1, "g", "f"): 15,
        ("e", 1, "g", "h", "i"): 16, ("z",): None,
    }  # fmt: skip
    assert {path: line_of(text, path) for path in lines} == lines


_NAMES = st.sampled_from([
    *(part for key in KEYS for part in key.name.split(".")), "host", "guest", "mode", "docker.io", "x", "vcpus", "",
])  # fmt: skip
_SCALARS = st.one_of(
    st.integers(),
    st.booleans(),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=30),
    st.sampled_from(["~/a", "/root/a", "~x/y", "8G", "0755", "https://a.org", "http://127.0.0.1:1", "/a/../b", "~/"]),
)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_toml(name)} = {_toml(one)}" for name, one in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, bool | float):
        return str(value).lower()
    if isinstance(value, str):
        plain = string.ascii_letters + string.digits + " /.~:_-"
        return '"' + "".join(one if one in plain else f"\\U{ord(one):08x}" for one in value) + '"'
    return str(value)


_VALUES = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_NAMES, inner, max_size=3), max_leaves=6
)
_DOCUMENTS = st.dictionaries(_NAMES, _VALUES, max_size=5).map(
    lambda document: "".join(f"{_toml(name)} = {_toml(value)}\n" for name, value in document.items())
)
_GARBAGE = st.text(st.sampled_from("[]{}=\"'#\n\\.,-~/0aGx\0\x1b é"), max_size=60)


def _refusal(text: str) -> str | None:
    try:
        parse_config(text, path=PATH, environ=ENVIRON, places=True)
    except SpecError as error:
        return error.message
    return None


def _read_or_refused(text: str) -> None:
    said = _refusal(text)
    assert said is None or (said.startswith(f"{PATH}:") and "\n" not in said)


@given(st.one_of(_DOCUMENTS, _GARBAGE))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    _read_or_refused(text)


@pytest.mark.nightly
@given(st.one_of(_DOCUMENTS, _GARBAGE))
@settings(max_examples=200_000, deadline=None)
def test_200_000_texts_are_read_or_refused_with_their_place(text: str) -> None:
    _read_or_refused(text)


@pytest.mark.requirement("CFG-002")
def test_the_page_has_every_key_as_the_code_has_it() -> None:
    root = Path(__file__).parents[3]
    argv = [sys.executable, str(root / "scripts" / "make_config_docs.py"), "--check"]
    environ = os.environ | {"PYTHONPATH": str(root)}
    assert subprocess.run(argv, check=False, env=environ, timeout=60).returncode == 0, "run scripts/make_config_docs.py"


@pytest.mark.requirement("CFG-002")
def test_every_example_of_the_page_is_right() -> None:
    page = (Path(__file__).parents[3] / "docs" / "config.md").read_text()
    examples = re.findall(r"```toml\n(.*?)```", page, re.DOTALL)
    assert len(examples) >= len(KEYS) + 2
    for example in examples:
        parse_config(example, path=PATH, environ=ENVIRON)
