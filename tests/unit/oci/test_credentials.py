"""Credentials that the user already has: in files of docker, podman and skopeo, and with helpers."""

import base64
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from banger.model.errors import BangerError, DeadlineError, HostError, SpecError
from banger.oci.credentials import Credential, FileCredentials, auth_files, name_of_entry
from banger.oci.errors import StoppedError
from banger.oci.helper import ask_helper, helper_asker
from banger.oci.watch import Stop

HUB = "https://index.docker.io/v1/"


def auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


@dataclass
class Asked:
    """A helper that has an answer for some servers, and notes who was asked for."""

    known: dict[tuple[str, str], Credential] = field(default_factory=dict)
    log: list[tuple[str, str]] = field(default_factory=list)

    def __call__(self, name: str, server: str, stop: Stop) -> Credential | None:
        stop.check()
        self.log.append((name, server))
        return self.known.get((name, server))


@pytest.fixture
def find(tmp_path: Path) -> Callable[..., Credential | None]:
    def look(
        file: dict[str, Any], registry: str, repository: str = "a/b", asked: Asked | None = None
    ) -> Credential | None:
        (tmp_path / "auth.json").write_text(json.dumps(file))
        environ = {"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}
        return FileCredentials(environ, asked or Asked()).find(registry, repository, Stop())

    return look


@pytest.mark.parametrize(
    ("key", "registry", "repository", "found"),
    [
        ("host.example", "host.example", "a/b", True),
        ("host.example:5000", "host.example:5000", "a/b", True),
        ("host.example", "host.example:5000", "a/b", False),
        ("host.example:5000", "host.example", "a/b", False),
        ("https://host.example", "host.example", "a/b", True),
        ("https://host.example/v1/", "host.example", "a/b", True),
        ("https://host.example/v2/", "host.example", "a/b", True),
        ("host.example/a", "host.example", "a/b", True),
        ("host.example/a/b", "host.example", "a/b", True),
        ("host.example/a", "host.example", "ab/b", False),
        ("host.example/a/b/c", "host.example", "a/b", False),
        ("example", "host.example", "a/b", False),
        ("evil-host.example", "host.example", "a/b", False),
        ("host.example.evil", "host.example", "a/b", False),
        (HUB, "docker.io", "library/debian", True),
        ("docker.io", "docker.io", "library/debian", True),
        ("registry-1.docker.io", "docker.io", "library/debian", True),
        ("docker.io/library", "docker.io", "library/debian", True),
        (HUB, "host.example", "a/b", False),
    ],
)
def test_a_credential_is_found_by_its_host_and_for_no_other(
    find: Callable[..., Credential | None],
    key: str,
    registry: str,
    repository: str,
    found: bool,  # noqa: FBT001
) -> None:
    assert (find({"auths": {key: auth("u", "p")}}, registry, repository) is not None) == found


def test_the_most_specific_entry_counts(find: Callable[..., Credential | None]) -> None:
    file = {
        "auths": {"host.example": auth("u", "1"), "host.example/a": auth("u", "2"), "host.example/a/b": auth("u", "3")}
    }
    assert [getattr(find(file, "host.example", name), "secret", None) for name in ("x", "a/x", "a/b", "a/b/c")] == list(
        "1233"
    )


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        (auth("u", "p:q"), ("u", "p:q", "password")),
        (auth("u", "p\0\0"), ("u", "p", "password")),
        ({"username": "u", "password": "p"}, ("u", "p", "password")),
        ({**auth("u", ""), "identitytoken": "t"}, ("u", "t", "identity")),
        ({"registrytoken": "t"}, ("", "t", "bearer")),
        ({"email": "x"}, None),
        ({}, None),
    ],
)
def test_every_form_of_an_entry_is_read(
    find: Callable[..., Credential | None], entry: dict[str, str], expected: tuple[str, str, str] | None
) -> None:
    found = find({"auths": {"h.example": entry}, "HttpHeaders": {"X": "y"}}, "h.example")
    assert (found and (found.username, found.secret, found.kind)) == expected


def test_the_helper_of_the_registry_comes_first_then_entries_then_the_store(
    find: Callable[..., Credential | None],
) -> None:
    file = {
        "auths": {"a.example": auth("u", "entry"), "b.example": {}},
        "credHelpers": {"c.example": "special"},
        "credsStore": "all",
    }
    asked = Asked({("special", "c.example"): Credential("u", "s"), ("all", "b.example"): Credential("u", "t")})
    secrets = [
        getattr(find(file, host, "x", asked), "secret", None)
        for host in ("a.example", "b.example", "c.example", "d.example")
    ]
    assert secrets == ["entry", "t", "s", None]
    assert asked.log == [("all", "b.example"), ("special", "c.example"), ("all", "d.example")]


def test_helpers_know_the_default_registry_by_its_old_name(find: Callable[..., Credential | None]) -> None:
    asked = Asked()
    find({"credsStore": "all"}, "docker.io", "library/x", asked)
    assert asked.log == [("all", HUB), ("all", "docker.io")]


@pytest.mark.parametrize(
    "raw",
    [b"{", b"[]", b'{"auths":[]}', b'{"auths":{"h":5}}', b'{"auths":{"h":{"auth":"%%%"}}}', b'{"auths":{"h":{"auth":"gICA"}}}',  # noqa: E501
     b'{"auths":{},"auths":{}}', b"\xff\xfe", b'{"credHelpers":{"h":5}}', b'{"x":' + b" " * 1024 * 1024 + b"1}"],
    ids=lambda raw: repr(raw[:30]),
)  # fmt: skip
def test_a_file_that_cannot_be_read_is_named_and_not_quoted(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "auth.json"
    path.write_bytes(raw)
    with pytest.raises(SpecError) as failure:
        FileCredentials({"REGISTRY_AUTH_FILE": str(path)}, Asked()).find("h", "x", Stop())
    assert str(path) in failure.value.message
    assert "%%%" not in failure.value.message


@pytest.mark.parametrize("raw", [b"", b"  \n", b"{}", b'{"auths":null}'])
def test_an_empty_file_has_no_credentials(tmp_path: Path, raw: bytes) -> None:
    (tmp_path / "auth.json").write_bytes(raw)
    assert FileCredentials({"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}, Asked()).find("h", "x", Stop()) is None


def test_files_are_looked_at_in_the_order_of_podman_and_a_fifo_holds_nobody_up(tmp_path: Path) -> None:
    environ = {"HOME": "/h", "XDG_RUNTIME_DIR": "/r"}
    assert [str(path) for path in auth_files(environ)] == [
        "/r/containers/auth.json", "/h/.config/containers/auth.json", "/h/.docker/config.json",
    ]  # fmt: skip
    assert [str(path) for path in auth_files({"XDG_CONFIG_HOME": "/c", "DOCKER_CONFIG": "/d"})] == [
        "/c/containers/auth.json", "/d/config.json",
    ]  # fmt: skip
    assert auth_files({}) == []
    os.mkfifo(tmp_path / "auth.json")
    began = time.monotonic()
    assert FileCredentials({"REGISTRY_AUTH_FILE": str(tmp_path / "auth.json")}, Asked()).find("h", "x", Stop()) is None
    assert time.monotonic() - began < 1


def test_names_of_entries() -> None:
    assert name_of_entry("http://h.example:5000/v1/") == "h.example:5000"
    assert name_of_entry("h.example/v1") == "h.example"
    assert name_of_entry("h.example/team/") == "h.example/team"


# Helpers: real programs


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def helper(directory: Path, script: str, name: str = "test") -> dict[str, str]:
    program = directory / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    return {"PATH": f"{directory}:/usr/bin:/bin", "MARK": str(directory / "mark")}


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("script", "expected"),
    [
        (
            'read -r s; echo "{\\"ServerURL\\":\\"$s\\",\\"Username\\":\\"$1\\",\\"Secret\\":\\"$s\\"}"',
            ("get", "h.example", "password"),
        ),
        ('echo \'{"Username":"<token>","Secret":"t"}\'', ("", "t", "identity")),
        ('echo \'{"Username":"u","Secret":""}\'', None),
        ("echo credentials not found in native keychain; exit 1", None),
    ],
)
async def test_a_helper_gets_the_server_on_stdin(tmp_path: Path, script: str, expected: tuple[str, ...] | None) -> None:
    found = await ask_helper("test", "h.example", helper(tmp_path, script), 5)
    assert (found and (found.username, found.secret, found.kind)) == expected


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("echo top-secret; exit 1", HostError),
        ("echo top-secret >&2; exit 1", HostError),
        ("echo top-secret", HostError),
        ('echo \'{"Username":5,"Secret":"top-secret"}\'', HostError),
        ("yes top-secret", HostError),
        ("sleep 60", DeadlineError),
        ("kill -9 $$", HostError),
    ],
)
async def test_a_helper_that_fails_is_named_and_not_quoted(
    tmp_path: Path, script: str, kind: type[BangerError]
) -> None:
    began = time.monotonic()
    with pytest.raises(kind, match="docker-credential-test") as failure:
        await ask_helper("test", "h.example", helper(tmp_path, script), 1)
    assert "top-secret" not in f"{failure.value} {failure.value.hint}"
    assert time.monotonic() - began < 5


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
@pytest.mark.parametrize("name", ["missing", "../test", "te st", "-x", "", "a/b", "$(touch mark)", "x" * 100])
async def test_a_helper_of_a_strange_name_is_not_run(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environ = helper(tmp_path, 'touch "$MARK"')
    here = tmp_path / "here" / "docker-credential-a"
    here.mkdir(parents=True)
    (tmp_path / "docker-credential-test").rename(here / "b")
    monkeypatch.chdir(here.parent)
    with pytest.raises(BangerError):
        await ask_helper(name, "h.example", environ, 1)
    assert names_in(tmp_path) == ["here"]


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_a_helper_that_waits_for_the_user_ends_with_the_pull(tmp_path: Path) -> None:
    ask, stop = helper_asker(helper(tmp_path, "sleep 60"), 60), Stop()
    began = time.monotonic()

    async def stop_soon() -> None:
        await anyio.sleep(0.2)
        stop.set()

    async with anyio.create_task_group() as group:
        group.start_soon(stop_soon)
        with pytest.raises(StoppedError):
            await anyio.to_thread.run_sync(ask, "test", "h.example", stop)
    assert time.monotonic() - began < 5
