"""What goes wrong while a blob is on its way: each ends well, or in an error of banger's, and soon."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from banger.model.errors import BangerError, DeadlineError, HostError, TransientError
from banger.oci.errors import ContentError, RegistryError
from tests.fakes.badserver import BadServer, Reply, Request, serving
from tests.fakes.images import Image, make_image, noise
from tests.unit.oci.pulling import IMPATIENT, PATIENCE, Puller, blob_path, put_image

IMAGE = make_image((200_000,))
DATA = IMAGE.layers[0]
SIZE = len(DATA)
HALF = SIZE // 2
GOOD = serving(DATA)
BUDGET_S = 5.0


@dataclass
class World:
    """A registry, another server on this machine, and somebody who pulls."""

    server: BadServer
    other: BadServer
    puller: Puller

    def layer(self, *handlers: Callable[[Request], Reply] | Reply) -> None:
        self.server.on(blob_path(DATA), *handlers)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with BadServer() as server, BadServer() as other:
        put_image(server, IMAGE)
        yield World(server, other, Puller(server, tmp_path))


def ranged(body: bytes, span: str, status: int = 206) -> Reply:
    return Reply(status, body, (("Content-Range", span),))


def cut(at: int, ending: str = "close") -> Reply:
    return Reply(200, DATA, (("ETag", '"tag"'),), cut=at, ending=ending)  # type: ignore[arg-type]


def raw(text: str, ending: str = "close") -> Reply:
    return Reply(raw=text.encode("latin-1"), ending=ending)  # type: ignore[arg-type]


def chunked(*parts: bytes, end: bytes = b"0\r\n\r\n") -> Reply:
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + end, ending="close")


def rest(
    body: bytes = DATA[HALF:], first: int = HALF, last: int = SIZE - 1, total: object = SIZE, cut: int | None = None
) -> Reply:
    span = (("Content-Range", f"bytes {first}-{last}/{total}"),)
    return Reply(206, body, span, cut=cut, ending="keep" if cut is None else "close")


def to(location: str, status: int = 307) -> Reply:
    return Reply(status, headers=(("Location", location),))


HEALS: dict[str, tuple[Callable[[Request], Reply] | Reply, ...]] = {
    "cut before the first byte": (cut(0), GOOD),
    "cut after the first byte": (cut(1), GOOD),
    "cut in the middle": (cut(HALF), GOOD),
    "cut before the last byte": (cut(SIZE - 1), GOOD),
    "cut five times at the beginning": (cut(0),) * 5 + (GOOD,),
    "reset in the middle": (cut(HALF, "reset"), GOOD),
    "reset before the head": (Reply(raw=b"", ending="reset"), GOOD),
    "closed before the head": (Reply(raw=b"", ending="close"), GOOD),
    "closed in the head": (raw("HTTP/1.1 200 OK\r\nContent-"), GOOD),
    "stalled in the middle": (cut(HALF, "hang"), GOOD),
    "silent once": (Reply(raw=b"", ending="hang"), GOOD),
    "range ignored": (cut(HALF), Reply(200, DATA)),
    "range ignored, cut again, then kept": (cut(HALF), cut(10), GOOD),
    "range out of the file": (cut(HALF), Reply(416), GOOD),
    "another entity tag": (cut(HALF), Reply(200, DATA, (("ETag", '"new"'),))),
    "rest without a total": (cut(HALF), rest(total="*")),
    "rest cut in its middle": (cut(HALF), rest(cut=9), GOOD),
    "no length, whole": (Reply(200, DATA, length=None),),
    "no length, cut": (Reply(200, DATA, length=None, cut=HALF), GOOD),
    "chunked": (chunked(DATA[:7], DATA[7:]),),
    "chunked in small pieces": (chunked(*(DATA[at : at + 4096] for at in range(0, SIZE, 4096))),),
    "chunked, cut in a chunk": (Reply(raw=chunked(DATA).raw[:HALF], ending="close"), GOOD),  # type: ignore[index]
    "chunked, without its end": (chunked(DATA[:HALF], end=b""), GOOD),
    "redirected with 301": (to("/elsewhere", 301),),
    "redirected with 302": (to("/elsewhere", 302),),
    "redirected with 303": (to("/elsewhere", 303),),
    "redirected with 307": (to("/elsewhere"),),
    "redirected with 308 and a body": (Reply(308, b"moved", (("Location", "/elsewhere"),)),),
    "redirected by a relative path": (to("../../../../elsewhere"),),
    "redirected with a query and a fragment": (to("/elsewhere?sig=a%2Fb#x"),),
}  # fmt: skip


@pytest.mark.parametrize("name", HEALS)
def test_a_transfer_that_can_still_succeed_does(world: World, name: str) -> None:
    world.puller.patience = IMPATIENT
    world.layer(*HEALS[name])
    world.server.on("/elsewhere", GOOD)
    began = time.monotonic()
    (path,) = world.puller.pull()
    assert path.read_bytes() == DATA
    assert world.puller.written() == [f"blobs/sha256/{path.name}"]
    assert world.puller.counts[-1] == SIZE
    assert time.monotonic() - began < BUDGET_S


def test_after_a_cut_only_the_rest_is_asked_for_and_only_of_the_same_content(world: World) -> None:
    world.layer(cut(HALF), GOOD)
    world.puller.pull()
    asked = world.server.asked(blob_path(DATA))
    assert [request.headers.get("range") for request in asked] == [None, f"bytes={HALF}-"]
    assert [request.headers.get("if-range") for request in asked] == [None, '"tag"']


def head(lines: str) -> Reply:
    return raw(f"HTTP/1.1 200 OK\r\n{lines}\r\n\r\n")


WRONG = noise(SIZE, 7)
CHUNKED = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
ENDLESS = chunked(DATA, end=b"0\r\n" + b"X: yyyyyyyyyyyyyy\r\n" * 200_000)
FAILS: dict[str, tuple[type[BangerError], tuple[Callable[[Request], Reply] | Reply, ...]]] = {
    "other bytes of the same size": (ContentError, (Reply(200, WRONG),)),
    "one bit": (ContentError, (Reply(200, DATA[:-1] + bytes([DATA[-1] ^ 1])),)),
    "nothing at all": (ContentError, (Reply(200, b""),)),
    "a byte too few": (ContentError, (Reply(200, DATA[:-1]),)),
    "a byte too many": (ContentError, (Reply(200, DATA + b"x"),)),
    "a byte too many, chunked": (ContentError, (chunked(DATA, b"x"),)),
    "a byte too many, no length": (ContentError, (Reply(200, DATA + b"x", length=None),)),
    "other bytes, chunked": (ContentError, (chunked(WRONG),)),
    "a page that explains": (ContentError, (Reply(200, b"<html>blocked</html>", (("Content-Type", "text/html"),)),)),
    "length of zero": (ContentError, (Reply(200, DATA, length="0"),)),
    "length negative": (ContentError, (Reply(200, DATA, length="-5", ending="close"),)),
    "length no number": (ContentError, (Reply(200, DATA, length="many", ending="close"),)),
    "length with a sign": (ContentError, (Reply(200, DATA, length=f"+{SIZE}", ending="close"),)),
    "length too large": (ContentError, (Reply(200, DATA, length=str(SIZE + 1), ending="close"),)),
    "length absurd": (ContentError, (Reply(200, DATA, length="9" * 5000, ending="close"),)),
    "two lengths": (RegistryError, (Reply(200, DATA, (("Content-Length", "3"),), ending="close"),)),
    "always cut at once": (TransientError, (cut(0),)),
    "always reset": (TransientError, (cut(0, "reset"),)),
    "always closed before the head": (TransientError, (Reply(raw=b"", ending="close"),)),
    "cut at the same place for ever": (TransientError, (cut(HALF), rest(cut=0))),
    "not HTTP": (TransientError, (raw("SSH-2.0-OpenSSH\r\n"),)),
    "binary": (TransientError, (raw("\x16\x03\x01\x00\xff\xfe" * 20),)),
    "HTTP without a status": (TransientError, (raw("HTTP/1.1 \r\n\r\n"),)),
    "status no number": (TransientError, (raw("HTTP/1.1 two OK\r\n\r\n"),)),
    "status 99": (TransientError, (raw("HTTP/1.1 99 No\r\n\r\n"),)),
    "status 999": (RegistryError, (Reply(999),)),
    "switching protocols": (RegistryError, (raw("HTTP/1.1 101 Go\r\nUpgrade: x\r\n\r\n"),)),
    "a line of 70 kB": (TransientError, (head(f"X: {'a' * 70_000}"),)),
    "a thousand headers": (TransientError, (head("\r\n".join(f"X{number}: y" for number in range(1000))),)),
    "a status line of 70 kB": (TransientError, (raw("HTTP/1.1 200 " + "a" * 70_000),)),
    "no content": (RegistryError, (Reply(204, length=None),)),
    "not modified": (RegistryError, (Reply(304, length=None),)),
    "gone": (BangerError, (Reply(410),)),
    "teapot": (RegistryError, (Reply(418),)),
    "see many": (RegistryError, (Reply(300),)),
    "partial without a range": (ContentError, (rest(DATA, 0),)),
    "416 without a range": (RegistryError, (Reply(416),)),
    "416 for ever": (BangerError, (cut(HALF), Reply(416))),
    "gzip nobody asked for": (RegistryError, (Reply(200, DATA, (("Content-Encoding", "gzip"),)),)),
    "unknown encoding": (RegistryError, (Reply(200, DATA, (("Content-Encoding", "\x1b[31m"),)),)),
    "chunk size no number": (TransientError, (raw(CHUNKED + "zz\r\n"),)),
    "chunk size negative": (TransientError, (raw(CHUNKED + "-5\r\nabcde\r\n"),)),
    "chunk size -1, and no end": (HostError, (raw(CHUNKED + "-1\r\n" + "x" * 300_000),)),
    "trailers without end": (TransientError, (ENDLESS,)),
    "chunk size absurd": (TransientError, (raw(CHUNKED + "" + "f" * 40 + "\r\nx"),)),
    "chunk line endless": (TransientError, (raw(CHUNKED + "" + "0" * 70_000),)),
    "rest from another place": (ContentError, (cut(HALF), rest(DATA[HALF + 1 :], HALF + 1))),
    "rest from the beginning": (ContentError, (cut(HALF), rest(DATA, 0))),
    "rest that says it is from another place": (ContentError, (cut(HALF), rest(first=HALF - 1))),
    "rest with another total": (ContentError, (cut(HALF), rest(total=SIZE + 1))),
    "rest that ends early": (ContentError, (cut(HALF), rest(DATA[HALF:-5], last=SIZE - 6))),
    "rest that ends late": (ContentError, (cut(HALF), rest(DATA[HALF:] + b"x", last=SIZE))),
    "rest in other units": (ContentError, (cut(HALF), ranged(DATA[HALF:], f"lines {HALF}-{SIZE - 1}/{SIZE}"))),
    "rest without a range": (ContentError, (cut(HALF), Reply(206, DATA[HALF:]))),
    "rest of absurd numbers": (ContentError, (cut(HALF), ranged(DATA[HALF:], f"bytes {'9' * 400}-1/1"))),
    "rest in several parts": (ContentError, (cut(HALF), Reply(206, DATA[HALF:], (("Content-Type", "multipart/byteranges; boundary=x"),)))),  # noqa: E501
    "rest of something else": (ContentError, (cut(HALF), rest(WRONG[HALF:]))),
    "redirect without a place": (RegistryError, (Reply(307),)),
    "redirect to an empty place": (RegistryError, (to(""),)),
    "redirect to itself": (RegistryError, (to(blob_path(DATA)),)),
    "redirect to a file": (RegistryError, (to("file:///etc/passwd"),)),
    "redirect to ftp": (RegistryError, (to("ftp://127.0.0.1/x"),)),
    "redirect to data": (RegistryError, (to("data:,x"),)),
    "redirect to a unix socket": (RegistryError, (to("http+unix://%2Fx/y"),)),
    "redirect off this machine without TLS": (RegistryError, (to("http://192.0.2.1/x"),)),
    "redirect to a link-local address": (RegistryError, (to("http://169.254.169.254/latest"),)),
    "redirect with a password": (RegistryError, (to("http://u:p@127.0.0.1/x"),)),
    "redirect to port 99999": (RegistryError, (to("http://127.0.0.1:99999/x"),)),
    "redirect with a space": (RegistryError, (to("/a b"),)),
    "redirect to bad brackets": (RegistryError, (to("http://[::1/x"),)),
    "redirect of 10 kB": (RegistryError, (to("/" + "a" * 10_000),)),
    "redirect with a colour": (RegistryError, (to("/\x1b[31m"),)),
    "redirect to nobody": (TransientError, (to("http://127.0.0.1:1/x"),)),
}  # fmt: skip


@pytest.mark.parametrize("name", FAILS)
def test_a_transfer_that_cannot_succeed_ends_in_an_error_of_ours(world: World, name: str) -> None:
    kind, handlers = FAILS[name]
    world.layer(*handlers)
    began = time.monotonic()
    with pytest.raises(kind) as failure:
        world.puller.pull()
    assert time.monotonic() - began < BUDGET_S
    assert failure.value.message.isprintable()
    assert not [path for path in world.puller.written() if "sha256" in path]
    assert sum(world.puller.stop.waits) <= PATIENCE.waits_s


SLOW: dict[str, Reply] = {
    "silent for ever": Reply(raw=b"", ending="hang"),
    "half a head": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-", ending="hang"),
    "a head byte by byte": Reply(raw=b"HTTP/1.1 200 OK\r\nX: " + b"y" * 1000, drip=0.05),
    "endless interim answers": Reply(raw=b"HTTP/1.1 100 Continue\r\n\r\n" * 50, drip=0.01),
    "no body": Reply(200, DATA, cut=0, ending="hang"),
    "a body byte by byte": Reply(200, DATA, drip=0.02),
    "half a body": Reply(200, DATA, cut=HALF, ending="hang"),
    "a chunk that never comes": Reply(
        raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nff\r\n", ending="hang"
    ),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_server_that_is_too_slow_holds_nobody_up(world: World, name: str) -> None:
    world.puller.patience = replace(IMPATIENT, tries=2)
    world.layer(SLOW[name])
    began = time.monotonic()
    with pytest.raises((DeadlineError, TransientError)):
        world.puller.pull()
    assert time.monotonic() - began < BUDGET_S
    assert not [path for path in world.puller.written() if "sha256" in path]


@pytest.mark.parametrize("name", ["silent for ever", "a head byte by byte", "half a body", "a body byte by byte"])
@pytest.mark.parametrize("point", ["manifest", "config"])
def test_a_document_that_is_too_slow_holds_nobody_up(world: World, name: str, point: str) -> None:
    world.puller.patience = replace(IMPATIENT, tries=2)
    path = f"/v2/team/app/manifests/{IMAGE.digest}" if point == "manifest" else blob_path(IMAGE.config_raw)
    world.server.on(path, SLOW[name])
    began = time.monotonic()
    with pytest.raises((DeadlineError, TransientError, ContentError, RegistryError)):
        world.puller.resolve(f"@{IMAGE.digest}")
    assert time.monotonic() - began < BUDGET_S


def test_what_an_earlier_pull_left_is_hashed_again_and_not_asked_for(world: World) -> None:
    partial = world.puller.blobs.partial_path(world.puller.resolve().layers[0].digest)
    partial.write_bytes(DATA[:HALF])
    (path,) = world.puller.pull()
    assert path.read_bytes() == DATA
    assert [request.headers.get("range") for request in world.server.asked(blob_path(DATA))] == [f"bytes={HALF}-"]


@pytest.mark.parametrize(
    "left", [WRONG[:HALF], WRONG, DATA + b"x", DATA, b""], ids=["other", "all", "long", "whole", "none"]
)
def test_whatever_an_earlier_pull_left_the_blob_is_right(world: World, left: bytes) -> None:
    world.puller.blobs.partial_path(world.puller.resolve().layers[0].digest).write_bytes(left)
    (path,) = world.puller.pull()
    assert path.read_bytes() == DATA
    assert path.stat().st_mode & 0o777 == 0o444
    assert bool(world.server.asked(blob_path(DATA))) == (left != DATA)


def test_what_is_not_a_file_of_ours_is_not_written_through(world: World, tmp_path: Path) -> None:
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    outside.write_bytes(b"precious")
    partial = world.puller.blobs.partial_path(world.puller.resolve().layers[0].digest)
    partial.symlink_to(outside)
    with pytest.raises(HostError):
        world.puller.pull()
    partial.unlink()
    partial.hardlink_to(outside)
    with pytest.raises(HostError, match="not a file of banger's"):
        world.puller.pull()
    assert outside.read_bytes() == b"precious"


@pytest.mark.requirement("IMG-014")
def test_a_second_pull_asks_for_no_blob(world: World) -> None:
    world.puller.pull()
    world.puller.pull()
    assert len(world.server.asked(blob_path(DATA))) == 1


def test_an_image_of_several_platforms_is_pulled_through_its_index(world: World) -> None:
    other: Image = make_image((10,), architecture="arm64", seed=5)
    put_image(world.server, other, tag="arm")
    with pytest.raises(ContentError, match="linux/arm64"):
        world.puller.resolve(":arm")
