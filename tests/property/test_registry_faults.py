"""Any sequence of faults, anywhere in a pull: the bytes are right, or there is an error of ours, and all ends."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from banger.model.errors import BangerError
from tests.fakes.badserver import BadServer, Handler, Reply, Request
from tests.fakes.images import encode, index_of, make_image, platform_entry
from tests.unit.oci.pulling import PATIENCE, Puller, blob_path, manifest_path, put_image

IMAGE = make_image((40_000, 300))
INDEX = encode(index_of(platform_entry(IMAGE)))
BUDGET_S = 10.0
Bend = Callable[[Reply, int], Reply]


def flip(reply: Reply, at: int) -> Reply:
    body = bytearray(reply.body)
    if body:
        body[at % len(body)] ^= 1
    return Reply(reply.status, bytes(body), reply.headers)


def chunked(reply: Reply, at: int) -> Reply:
    """The same body in chunks, cut or not."""
    head = "".join(f"{name}: {value}\r\n" for name, value in reply.headers)
    raw = f"HTTP/1.1 {reply.status} OK\r\nTransfer-Encoding: chunked\r\n{head}\r\n".encode()
    raw += b"".join(
        b"%x\r\n%s\r\n" % (len(piece), piece)
        for piece in (reply.body[start : start + 997] for start in range(0, len(reply.body), 997))
    )
    raw += b"0\r\n\r\n"
    return Reply(raw=raw if at % 2 else raw[: at % len(raw)], ending="close")


# Each bends what a decent server would answer; `at` is any number.
FAULTS: dict[str, Bend] = {
    "none": lambda reply, _at: reply,
    "cut": lambda reply, at: Reply(reply.status, reply.body, reply.headers, cut=at % (len(reply.body) + 1), ending="close"),  # noqa: E501
    "reset": lambda reply, at: Reply(reply.status, reply.body, reply.headers, cut=at % (len(reply.body) + 1), ending="reset"),  # noqa: E501
    "flip": flip,
    "longer": lambda reply, at: Reply(reply.status, reply.body + b"x" * (at % 9 + 1), reply.headers),
    "shorter": lambda reply, at: Reply(reply.status, reply.body[: -(at % 9 + 1)], reply.headers),
    "length": lambda reply, at: Reply(reply.status, reply.body, reply.headers, length=str(at), ending="close"),
    "no length": lambda reply, _at: Reply(reply.status, reply.body, reply.headers, length=None),
    "chunked": chunked,
    "status": lambda reply, at: Reply((400, 401, 403, 404, 408, 416, 429, 500, 503, 206, 200, 304)[at % 12], reply.body, reply.headers),  # noqa: E501
    "retry": lambda _reply, at: Reply(503, headers=(("Retry-After", str(at)),)),
    "again": lambda _reply, _at: Reply(307, headers=(("Location", "?again"),)),
    "redirect": lambda _reply, at: Reply(302, headers=(("Location", ("/", "//", "", "http://192.0.2.1/", "x:y", "../..")[at % 6]),)),  # noqa: E501
    "range": lambda reply, at: Reply(206, reply.body[at % 99 :], (("Content-Range", f"bytes {at % 99}-{len(reply.body)}/*"),)),  # noqa: E501
    "closed": lambda _reply, _at: Reply(raw=b"", ending="close"),
    "garbage": lambda _reply, at: Reply(raw=(b"HTTP/1.1 2", b"\0" * 99, b"HTTP/0.9 200\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n")[at % 4], ending="close"),  # noqa: E501
}  # fmt: skip
POINTS = {
    "tag": manifest_path("1"),
    "manifest": manifest_path(IMAGE.digest),
    "config": blob_path(IMAGE.config_raw),
    "first": blob_path(IMAGE.layers[0]),
    "second": blob_path(IMAGE.layers[1]),
}

faults = st.tuples(st.sampled_from(sorted(FAULTS)), st.integers(0, 100_000))
schedules = st.dictionaries(st.sampled_from(sorted(POINTS)), st.lists(faults, min_size=1, max_size=5), max_size=3)


def bent(handler: Handler, schedule: list[tuple[str, int]]) -> Handler:
    """Answer with these faults in turn, and decently afterwards."""

    def answer(request: Request) -> Reply:
        name, at = schedule[request.hits] if request.hits < len(schedule) else ("none", 0)
        return FAULTS[name](handler(request), at)

    return answer


def check(schedule: dict[str, list[tuple[str, int]]]) -> None:
    with BadServer() as server, tempfile.TemporaryDirectory() as directory:
        put_image(server, IMAGE)
        server.on(POINTS["tag"], Reply(200, INDEX, (("Content-Type", "application/vnd.oci.image.index.v1+json"),)))
        for point, faults_there in schedule.items():
            server.routes[POINTS[point]] = bent(server.routes[POINTS[point]], faults_there)
        puller = Puller(server, Path(directory))
        began = time.monotonic()
        try:
            paths = puller.pull()
        except BangerError as error:
            assert error.message.isprintable()  # noqa: PT017 - every error is as good as success
        else:
            assert [path.read_bytes() for path in paths] == IMAGE.layers
        assert time.monotonic() - began < BUDGET_S
        assert sum(puller.stop.waits) <= PATIENCE.waits_s * 4
        whole = {name.rpartition("/")[2] for name in puller.written() if name.startswith("blobs/sha256/")}
        assert whole <= {digest.removeprefix("sha256:") for digest in IMAGE.blobs}


slow = [HealthCheck.too_slow]


@settings(max_examples=40, deadline=None, suppress_health_check=slow)
@given(schedules)
def test_any_sequence_of_faults_ends_in_the_right_bytes_or_an_error(schedule: dict[str, list[tuple[str, int]]]) -> None:
    check(schedule)


@pytest.mark.nightly
@pytest.mark.timeout(3600)
@settings(max_examples=20_000, deadline=None, suppress_health_check=slow)
@given(schedules)
def test_twenty_thousand_sequences_of_faults_do(schedule: dict[str, list[tuple[str, int]]]) -> None:
    check(schedule)
