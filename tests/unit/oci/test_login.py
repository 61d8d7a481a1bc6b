"""Credentials go to whom they are for, and to nobody else: held against what the servers saw."""

import base64
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from banger.model.errors import BangerError, SpecError, TransientError
from banger.oci.challenge import parse_challenges
from banger.oci.credentials import Credential
from banger.oci.errors import AuthError, RegistryError
from banger.oci.urls import Origin, check_step, mirror_base, registry_base
from tests.fakes.badserver import BadServer, Handler, Reply, Request, serving
from tests.fakes.images import encode, make_image
from tests.unit.oci.pulling import FixedCredentials, Puller, blob_path, manifest_path, put_image

IMAGE = make_image((200_000,))
DATA = IMAGE.layers[0]
SECRET = "s3cr3t-Password"
BASIC = "Basic " + base64.b64encode(f"alice:{SECRET}".encode()).decode()
PASSWORD = Credential("alice", SECRET)


@dataclass
class World:
    """A registry that wants a login, and a stranger on this machine."""

    server: BadServer
    stranger: BadServer
    puller: Puller
    tokens: list[str] = field(default_factory=lambda: ["good"])

    def give(self, credential: Credential) -> FixedCredentials:
        credentials = FixedCredentials({self.server.host: credential})
        self.puller.credentials = credentials
        return credentials

    def guard(self, challenge: str, *accepted: str) -> None:
        """Have every path of the registry want one of these `Authorization`s."""
        for path, handler in list(self.server.routes.items()):
            if path.startswith("/v2/"):
                self.server.routes[path] = guarded(handler, challenge, accepted)

    def guard_by_token(self, **more: str) -> None:
        realm = more.pop("realm", f"{self.server.url}/token")
        parameters = ",".join(f'{key}="{value}"' for key, value in {"realm": realm, "service": "it", **more}.items())
        self.guard(f"Bearer {parameters}", *(f"Bearer {token}" for token in self.tokens))
        self.server.on("/token", *(Reply(200, encode({"token": token})) for token in self.tokens))


def guarded(handler: Handler, challenge: str, accepted: tuple[str, ...]) -> Handler:
    def answer(request: Request) -> Reply:
        if request.headers.get("authorization") in accepted:
            return handler(request)
        return Reply(401, b"{}", (("WWW-Authenticate", challenge),))

    return answer


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with BadServer() as server, BadServer() as stranger:
        put_image(server, IMAGE)
        world = World(server, stranger, Puller(server, tmp_path))
        yield world
        assert not [request for request in stranger.log if "authorization" in request.headers]
        assert SECRET not in repr(stranger.log)
        assert all(SECRET not in request.path for request in server.log)


def test_an_anonymous_token_is_got_once_and_used_for_everything(world: World) -> None:
    world.guard_by_token()
    world.puller.pull()
    (asked,) = world.server.asked("/token")
    assert "authorization" not in asked.headers
    query = urllib.parse.parse_qs(urllib.parse.urlsplit(asked.path).query)
    assert query == {"service": ["it"], "scope": ["repository:team/app:pull"]}


def test_a_password_goes_to_the_token_service_and_the_token_to_the_registry(world: World) -> None:
    world.guard_by_token()
    world.give(PASSWORD)
    world.puller.pull()
    (asked,) = world.server.asked("/token")
    assert asked.headers["authorization"] == BASIC
    others = {request.headers.get("authorization") for request in world.server.log if "/token" not in request.path}
    assert others == {None, "Bearer good"}


def test_an_identity_token_is_posted_and_never_in_a_url(world: World) -> None:
    world.guard_by_token()
    world.give(Credential("", SECRET, "identity"))
    world.puller.pull()
    (asked,) = world.server.asked("/token")
    form = dict(urllib.parse.parse_qsl(asked.body.decode()))
    assert (asked.method, form["grant_type"], form["refresh_token"]) == ("POST", "refresh_token", SECRET)
    assert "authorization" not in asked.headers


def test_a_registry_token_is_sent_as_it_is(world: World) -> None:
    world.guard('Bearer realm="http://127.0.0.1:1/never"', f"Bearer {SECRET}")
    world.give(Credential("", SECRET, "bearer"))
    assert world.puller.pull()


def test_basic_is_spoken_only_when_asked_for(world: World) -> None:
    world.guard('Basic realm="it"', BASIC)
    world.give(PASSWORD)
    world.puller.pull()
    assert "authorization" not in world.server.log[0].headers
    assert [request.headers.get("authorization") for request in world.server.log[1:]] == [BASIC] * 3


@pytest.mark.parametrize(
    "credential", [None, PASSWORD, Credential("", SECRET, "identity"), Credential("", SECRET, "bearer")]
)
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_registry_that_always_wants_more_is_asked_twice(
    world: World, credential: Credential | None, scheme: str
) -> None:
    world.tokens = ["other"]
    world.server.on("/token", Reply(200, encode({"token": "never-enough"})))
    world.guard(f'{scheme} realm="{world.server.url}/token"', "nothing")
    if credential:
        world.give(credential)
    with pytest.raises(AuthError) as failure:
        world.puller.pull()
    assert len(world.server.asked(manifest_path("1"))) <= 2
    assert failure.value.hint
    assert "login" in failure.value.hint or scheme == "Bearer"
    assert SECRET not in f"{failure.value!r} {failure.value.hint}"


def test_a_token_that_expires_in_the_middle_of_a_blob_is_got_anew(world: World) -> None:
    world.tokens = ["first", "second"]
    cut = Reply(200, DATA, cut=len(DATA) // 2, ending="close")
    world.server.on(blob_path(DATA), cut, serving(DATA))
    world.guard_by_token()
    accepting = world.server.routes[blob_path(DATA)]

    def expires(request: Request) -> Reply:
        if request.hits > 0 and request.headers.get("authorization") == "Bearer first":
            return Reply(401, headers=(("WWW-Authenticate", f'Bearer realm="{world.server.url}/token"'),))
        return accepting(request)

    world.server.routes[blob_path(DATA)] = expires
    (path,) = world.puller.pull()
    assert path.read_bytes() == DATA
    last = world.server.asked(blob_path(DATA))[-1].headers
    assert (last["authorization"], last["range"]) == ("Bearer second", f"bytes={len(DATA) // 2}-")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("scheme", ["Basic", "Bearer"])
def test_a_redirect_to_another_server_takes_no_credentials_along(world: World, code: int, scheme: str) -> None:
    world.stranger.on("/cdn", serving(DATA))
    world.server.on(blob_path(DATA), Reply(code, headers=(("Location", f"{world.stranger.url}/cdn?sig=1"),)))
    if scheme == "Basic":
        world.guard('Basic realm="it"', BASIC)
    else:
        world.guard_by_token()
    world.give(PASSWORD)
    (path,) = world.puller.pull()
    assert path.read_bytes() == DATA
    assert len(world.stranger.log) == 1


def test_credentials_do_not_come_back_after_a_detour(world: World) -> None:
    world.stranger.on("/cdn", Reply(307, headers=(("Location", f"{world.server.url}/back"),)))
    world.server.on("/back", serving(DATA))
    world.server.on(blob_path(DATA), Reply(307, headers=(("Location", f"{world.stranger.url}/cdn"),)))
    world.guard('Basic realm="it"', BASIC)
    world.give(PASSWORD)
    world.puller.pull()
    assert "authorization" not in world.server.asked("/back")[0].headers


@pytest.mark.parametrize("challenge", ['Basic realm="x"', 'Bearer realm="{url}/token",service="it"'])
def test_a_stranger_cannot_ask_for_the_login(world: World, challenge: str) -> None:
    world.stranger.on("/cdn", Reply(401, headers=(("WWW-Authenticate", challenge.format(url=world.stranger.url)),)))
    world.stranger.on("/token", Reply(200, encode({"token": "x"})))
    world.server.on(blob_path(DATA), Reply(307, headers=(("Location", f"{world.stranger.url}/cdn"),)))
    credentials = world.give(PASSWORD)
    with pytest.raises(AuthError):
        world.puller.pull()
    assert credentials.asked == []
    assert [request.path for request in world.stranger.log] == ["/cdn"]


def test_a_token_service_that_points_elsewhere_gets_no_further_with_the_password(world: World) -> None:
    world.guard_by_token()
    world.server.on("/token", Reply(307, headers=(("Location", f"{world.stranger.url}/token"),)))
    world.stranger.on("/token", Reply(200, encode({"token": "good"})))
    world.give(PASSWORD)
    world.puller.pull()
    assert len(world.stranger.log) == 1


def test_a_posted_identity_token_is_not_redirected(world: World) -> None:
    world.guard_by_token()
    world.server.on("/token", Reply(307, headers=(("Location", f"{world.stranger.url}/token"),)))
    world.give(Credential("", SECRET, "identity"))
    with pytest.raises(RegistryError):
        world.puller.pull()
    assert world.stranger.log == []


@pytest.mark.parametrize(
    "realm",
    ["http://192.0.2.1/token", "file:///etc/passwd", "ftp://127.0.0.1/", "data:,x", "token", "//", "", "http://", "http://[",
     "http://u:p@127.0.0.1/", "http://127.0.0.1:x/", "javascript:1", "http://127.0.0.1/a b", "http://127.0.0.1/\x1b[2J"],
)  # fmt: skip
def test_a_realm_that_no_token_comes_from_is_refused(world: World, realm: str) -> None:
    world.guard_by_token(realm=realm)
    world.give(PASSWORD)
    with pytest.raises(RegistryError) as failure:
        world.puller.pull()
    assert failure.value.message.isprintable()
    assert SECRET not in repr(failure.value)


@pytest.mark.parametrize(
    "answer",
    [{}, {"token": ""}, {"token": "a\nX-Evil: 1"}, {"token": "a b"}, {"token": "é"}, {"token": "x" * 70_000}, {"token": 5},  # noqa: E501
     {"token": None}, {"token": ["x"]}, {"token": "x", "expires_in": -1}, {"token": "x", "expires_in": "soon"}, [], "x", None],  # noqa: E501
    ids=lambda value: repr(value)[:30],
)  # fmt: skip
def test_an_answer_that_is_no_token_is_refused(world: World, answer: Any) -> None:
    world.guard_by_token()
    world.server.on("/token", Reply(200, encode(answer)))
    with pytest.raises(RegistryError):
        world.puller.pull()


def test_a_scope_may_name_the_repository_and_nothing_more_than_reading(world: World) -> None:
    for number, (scope, expected) in enumerate({
        "repository:team/app:pull": "repository:team/app:pull",
        "repository:proxy/team/app:pull,push": "repository:proxy/team/app:pull",
        "repository:other:push": "repository:team/app:pull",
        "registry:catalog:*": "repository:team/app:pull",
        "repository:a:pull repository:b:push": "repository:team/app:pull",
    }.items()):  # fmt: skip
        world.guard_by_token(scope=scope)
        world.puller.pull()
        query = urllib.parse.urlsplit(world.server.asked("/token")[number].path).query
        assert urllib.parse.parse_qs(query)["scope"] == [expected]
        world.server.routes.clear()
        put_image(world.server, IMAGE)


def test_an_error_that_repeats_what_was_sent_is_not_repeated_by_us(world: World) -> None:
    world.guard('Basic realm="it"', BASIC)
    body = encode({"errors": [{"code": "DENIED", "message": f"you sent {BASIC}, alice:{SECRET}"}]})
    world.server.on(manifest_path("1"), Reply(401, body, (("WWW-Authenticate", "Basic realm=x"),)), Reply(403, body))
    world.give(PASSWORD)
    with pytest.raises(AuthError, match="DENIED") as failure:
        world.puller.pull()
    assert SECRET not in str(failure.value)
    assert BASIC.split()[1] not in str(failure.value)


def test_no_value_shows_its_secret() -> None:
    assert SECRET not in repr([PASSWORD, {"x": PASSWORD}])
    assert "alice" not in f"{PASSWORD}"


# Mirrors


def mirrored(world: World) -> None:
    world.puller.mirrors = {world.server.host: [world.stranger.url]}


def test_a_mirror_is_asked_first_and_its_own_login_is_used(world: World) -> None:
    put_image(world.stranger, IMAGE)
    mirrored(world)
    world.give(PASSWORD)
    world.puller.pull()
    assert world.server.log == []


@pytest.mark.parametrize("fault", ["down", "empty", "503", "401", "wrong bytes", "not a manifest", "cut"])
def test_behind_a_mirror_that_cannot_there_is_the_registry(world: World, fault: str) -> None:
    mirrored(world)
    credentials = world.give(PASSWORD)
    put_image(world.stranger, IMAGE)
    replies: dict[str, Reply] = {
        "503": Reply(503),
        "401": Reply(401, headers=(("WWW-Authenticate", 'Basic realm="x"'),)),
        "wrong bytes": Reply(200, DATA[:-1] + b"x"),
        "not a manifest": Reply(200, b"<html>"),
        "cut": Reply(200, DATA, cut=len(DATA) // 2, ending="close"),
    }
    for name in list(world.stranger.routes):
        if fault in {"503", "401"} or (fault == "not a manifest" and "manifests" in name):
            world.stranger.on(name, replies[fault])
    if fault in {"wrong bytes", "cut"}:
        world.stranger.on(blob_path(DATA), replies[fault])
    if fault == "empty":
        world.stranger.routes.clear()
    if fault == "down":
        world.stranger.close()
    (path,) = world.puller.pull()
    assert path.read_bytes() == DATA
    assert set(credentials.asked) <= {world.stranger.host}
    assert world.server.log


def test_a_blob_that_a_mirror_cut_goes_on_from_the_registry(world: World) -> None:
    mirrored(world)
    world.stranger.on(blob_path(DATA), Reply(200, DATA, cut=len(DATA) // 2, ending="close"), Reply(404))
    world.puller.pull()
    assert world.server.asked(blob_path(DATA))[0].headers["range"] == f"bytes={len(DATA) // 2}-"


@pytest.mark.parametrize(
    "url", ["http://192.0.2.1", "ftp://x", "x", "", "https://u:p@host", "https://host/?x", "https://h#f", "https://h:x"]
)
def test_a_mirror_that_is_none_is_refused_at_once(world: World, url: str) -> None:
    world.puller.mirrors = {world.server.host: [url]}
    with pytest.raises(SpecError, match="mirror"):
        world.puller.pull()


# The rules, by themselves


def test_nobody_outside_points_inside_and_nobody_leaves_tls() -> None:
    inside, secure = Origin("http", "127.0.0.1", 5000), Origin("https", "localhost", 443)
    outside, plain = Origin("https", "host.example", 443), Origin("http", "host.example", 80)
    for source, target in [(inside, inside), (inside, outside), (inside, secure), (outside, outside), (secure, inside)]:
        check_step(source, target)
    for source, target in [(outside, inside), (outside, secure), (outside, plain), (inside, plain)]:
        with pytest.raises(RegistryError, match="not followed"):
            check_step(source, target)
    assert registry_base("localhost:5000") == "http://localhost:5000"
    assert registry_base("[::1]:5000") == "http://[::1]:5000"
    assert registry_base("127.8.9.1") == "http://127.8.9.1"
    assert registry_base("localhost.example") == "https://localhost.example"
    assert registry_base("127.0.0.1.example:5000") == "https://127.0.0.1.example:5000"
    assert mirror_base("https://host.example/prefix/") == "https://host.example/prefix"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('Bearer realm="https://a/t",service="s",scope="repository:x:pull,push"', [("bearer", 3)]),
        ('Basic realm="a, b=\\"c\\"", Bearer realm="x"', [("basic", 1), ("bearer", 1)]),
        ("Negotiate, Basic realm=x", [("negotiate", 0), ("basic", 1)]),
        ("BEARER REALM=x", [("bearer", 1)]),
        ("", []),
        (",,,", []),
        ('Bearer realm="', [("bearer", 0)]),
        ("é", []),
        ("x" * 9000, []),
        ('Bearer realm="' + "\\" * 5000, [("bearer", 0)]),
    ],
)
def test_challenges_are_read_as_far_as_they_can_be(text: str, expected: list[tuple[str, int]]) -> None:
    assert [(each.scheme, len(each.parameters)) for each in parse_challenges([text])] == expected


def test_nobody_listens(world: World) -> None:
    world.server.close()
    with pytest.raises(TransientError) as failure:
        world.puller.pull()
    assert isinstance(failure.value, BangerError)
