"""Every status that a registry may answer with, at every point of a pull, with every kind of `Retry-After`."""

import email.utils
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from banger.model.errors import BangerError, NotFoundError, TransientError
from banger.oci.errors import AuthError, RegistryError
from banger.oci.retry import Retry, retry_after
from tests.fakes.badserver import BadServer, Handler, Reply, Request, serving
from tests.fakes.clock import FakeClock
from tests.fakes.images import encode, index_of, make_image, platform_entry
from tests.unit.oci.pulling import PATIENCE, Puller, blob_path, manifest_path, put_image

IMAGE = make_image((100,))
INDEX = encode(index_of(platform_entry(IMAGE)))
PASSING = (408, 429, 500, 502, 503, 504)
LASTING = {401: AuthError, 403: AuthError, 404: NotFoundError}
POINTS = ("tag", "manifest", "config", "blob", "token", "redirected")
RETRY_AFTER = (None, "2", "100", "99999999999999999999", "Fri, 31 Dec 9999 23:59:59 GMT", "-7", "soon")


@dataclass
class World:
    """A registry whose every answer goes through `faulty`, except where it is to fail."""

    server: BadServer
    puller: Puller

    def path(self, point: str) -> str:
        return {
            "tag": manifest_path("1"),
            "manifest": manifest_path(IMAGE.digest),
            "config": blob_path(IMAGE.config_raw),
            "blob": blob_path(IMAGE.layers[0]),
            "token": "/token",
            "redirected": "/cdn",
        }[point]

    def break_at(self, point: str, *replies: Reply) -> None:
        """Answer so at a point, and decently after that if there are more than one."""
        path = self.path(point)
        decent = self.server.routes[path]
        self.server.on(path, *replies, *([decent] if len(replies) > 1 else []))


def guarded(handler: Handler, url: str) -> Handler:
    def answer(request: Request) -> Reply:
        if request.headers.get("authorization") == "Bearer good":
            return handler(request)
        return Reply(401, headers=(("WWW-Authenticate", f'Bearer realm="{url}/token",service="s"'),))

    return answer


@pytest.fixture
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    point = request.getfixturevalue("point")
    with BadServer() as server:
        put_image(server, IMAGE)
        server.on(manifest_path("1"), serving(INDEX, "application/vnd.oci.image.index.v1+json"))
        server.on("/token", Reply(200, encode({"token": "good"})))
        server.on("/cdn", serving(IMAGE.layers[0]))
        if point == "redirected":
            server.on(blob_path(IMAGE.layers[0]), Reply(307, headers=(("Location", "/cdn"),)))
        if point == "token":
            server.on(manifest_path("1"), guarded(server.routes[manifest_path("1")], server.url))
        yield World(server, Puller(server, tmp_path))


def reply(status: int, wait: str | None) -> Reply:
    return Reply(status, b'{"errors":[{"code":"SOME_CODE"}]}', (("Retry-After", wait),) if wait else ())


@pytest.mark.parametrize("wait", RETRY_AFTER)
@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("status", PASSING)
def test_a_server_that_stays_away_is_asked_six_times_at_most_and_not_for_ever(
    world: World, point: str, status: int, wait: str | None
) -> None:
    world.break_at(point, reply(status, wait))
    with pytest.raises(TransientError):
        world.puller.pull()
    waits = world.puller.stop.waits
    assert len(world.server.asked(world.path(point))) == len(waits) + 1 <= PATIENCE.tries
    assert all(0 <= seconds <= PATIENCE.retry_after_cap_s for seconds in waits)
    assert sum(waits) <= PATIENCE.waits_s
    if wait == "2":
        assert all(seconds >= 2 for seconds in waits)
    assert not [path for path in world.puller.written() if "sha256" in path]


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("status", PASSING)
def test_a_server_that_comes_back_is_forgiven(world: World, point: str, status: int) -> None:
    world.break_at(point, reply(status, None), reply(status, "1"))
    (path,) = world.puller.pull()
    assert path.read_bytes() == IMAGE.layers[0]
    assert len(world.puller.stop.waits) == 2


@pytest.mark.parametrize("point", POINTS)
@pytest.mark.parametrize("status", LASTING)
def test_a_refusal_is_not_argued_with(world: World, point: str, status: int) -> None:
    world.break_at(point, reply(status, "1"))
    expected: type[BangerError] = LASTING[status]
    if point == "token" and status == 404:
        expected = RegistryError
    with pytest.raises(expected) as failure:
        world.puller.pull()
    assert world.puller.stop.waits == []
    assert failure.value.hint is None or "login" in failure.value.hint


def test_the_pauses_grow_have_full_jitter_and_a_cap() -> None:
    waits: list[float] = []
    for draw in (0.0, 0.5, 1.0):
        retry = Retry(PATIENCE, FakeClock(), waits.append, lambda draw=draw: draw)  # type: ignore[misc]
        for _ in range(5):
            retry.pause(TransientError("x"), 6)
        with pytest.raises(TransientError):
            retry.pause(TransientError("x"), 6)
    assert waits == [0.0] * 5 + [0.5, 1, 2, 4, 8] + [1, 2, 4, 8, 16]


def test_after_three_minutes_without_a_new_byte_it_is_not_tried_again() -> None:
    clock = FakeClock()

    def wait(_seconds: float) -> None:
        clock.now += 70

    retry = Retry(PATIENCE, clock, wait, lambda: 0.0)
    for _ in range(2):
        retry.pause(TransientError("x"), 99)
    retry.progressed()
    for _ in range(3):
        retry.pause(TransientError("x"), 99)
    with pytest.raises(TransientError):
        retry.pause(TransientError("x"), 99)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("", None),
        ("9" * 5000, 999999999999.0),
        (email.utils.formatdate(1_000_030, usegmt=True), 30.0),
        (email.utils.formatdate(5, usegmt=True), 0.0),
        ("Fri, 99 Foo 2025 99:99:99 GMT", None),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_retry_after_is_read_in_both_forms(text: str, seconds: float | None) -> None:
    assert retry_after(text, FakeClock(1_000_000.0)) == seconds
