"""Fetch one blob: go on after a cut, believe no answer about where it goes on, and verify at the end.

RFC 9110, 14: a server may ignore `Range` (200) or be wrong about what it sends (206); 13.1.5: `If-Range`.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from banger.model.errors import DeadlineError, TransientError
from banger.oci.blobs import BlobDir, Count, Partial
from banger.oci.errors import ContentError, RegistryError, shown
from banger.oci.retry import Retry
from banger.oci.transport import Answer
from banger.oci.values import Layer
from banger.oci.watch import Watch

_CONTENT_RANGE = re.compile(r"bytes (\d{1,19})-(\d{1,19})/(?:(\d{1,19})|\*)\Z")
_STRONG_ETAG = re.compile(r"\"[\x21\x23-\x7e]{1,200}\"\Z")
_PARTIAL, _BAD_RANGE = 206, 416

Open = Callable[[dict[str, str]], Answer]
"""GET the blob with these headers."""


@dataclass(frozen=True, slots=True)
class Fetch:
    """One blob to fetch: how to ask, how often, and whom to tell. `count` gets how many bytes of it are there."""

    layer: Layer
    blobs: BlobDir
    watch: Watch
    retry: Retry
    count: Count

    def find(self) -> Path | None:
        """The blob, if it is there already."""
        path = self.blobs.find(self.layer.digest, self.layer.size)
        if path is not None:
            self.count(self.layer.size)
        return path

    def run(self, open_blob: Open, tries: int) -> Path:
        """Fetch it. Raises what `open_blob` raises, and TransientError, DeadlineError, ContentError, HostError."""
        with self.blobs.write(self.layer.digest, self.layer.size, self.watch.stop.wait) as partial:
            # Whoever held the lock may have finished it.
            if (path := self.find()) is not None:
                return path
            resumed = partial.resume(self.watch.stop.check)
            partial.need_space()
            try:
                # Whole already: whoever wrote it ended just before it had its name.
                return partial.commit() if resumed == partial.size else self._complete(partial, open_blob, tries)
            except ContentError:
                if not resumed:
                    raise
                # What lay here may have been no part of it.
                partial.restart()
            return self._complete(partial, open_blob, tries)

    def _complete(self, partial: Partial, open_blob: Open, tries: int) -> Path:
        """Ask until every byte is there: tries without a new byte are counted, and so are tries at all."""
        for _ in range(self.watch.patience.resumes):
            before = partial.offset
            try:
                self._once(partial, open_blob)
                if partial.offset == partial.size:
                    return partial.commit()
                error: TransientError | DeadlineError = TransientError(f"{self.layer.digest}: the transfer ended early")
            except (TransientError, DeadlineError) as fault:
                error = fault
            if partial.offset > before:
                self.retry.progressed()
            self.retry.pause(error, tries)
        raise TransientError(f"{self.layer.digest}: cut more than {self.watch.patience.resumes} times")

    def _once(self, partial: Partial, open_blob: Open) -> None:
        headers = {}
        if partial.offset:
            headers["Range"] = f"bytes={partial.offset}-"
            if partial.tag:
                headers["If-Range"] = partial.tag
        self.count(partial.offset)
        with open_blob(headers) as answer:
            self._check(answer, partial)
            partial.tag = _strong(answer.header("etag"))
            self.watch.expect_flow(partial.size - partial.offset)
            try:
                partial.pour(answer.read, self.count)
            except ContentError:
                partial.restart()
                raise

    def _check(self, answer: Answer, partial: Partial) -> None:
        """Make the partial file ready for what the answer is going to send. Raises ContentError if it lies."""
        what = f"{self.layer.digest}: {answer.origin}"
        length = answer.header("content-length")
        if answer.status == _BAD_RANGE:
            if not partial.offset:
                raise RegistryError(f"{what} answers {_BAD_RANGE} to a request without a range")
            partial.restart()
            raise TransientError(f"{what} does not have the rest of it")
        if answer.status == _PARTIAL:
            _check_range(answer.header("content-range"), partial, what)
        elif partial.offset:
            # 200: the whole of it, from the beginning.
            partial.restart()
        expected = partial.size - partial.offset
        if length and (not length.isdecimal() or int(length[:20]) != expected):
            raise ContentError(f"{what} sends {shown(length)} bytes; {expected} were due")


def _check_range(text: str, partial: Partial, what: str) -> None:
    match = _CONTENT_RANGE.match(text)
    if not partial.offset:
        raise ContentError(f"{what} answers {_PARTIAL} to a request without a range")
    if not match:
        raise ContentError(f"{what} sends a range that cannot be read: {shown(text)}")
    first, last, total = int(match[1]), int(match[2]), match[3]
    if first != partial.offset or last != partial.size - 1 or (total is not None and int(total) != partial.size):
        raise ContentError(f"{what} sends another range than was asked for: {shown(text)}")


def _strong(etag: str) -> str:
    """An entity tag that may be sent back in If-Range: a weak one may not (RFC 9110, 13.1.5)."""
    return etag if _STRONG_ETAG.match(etag) else ""
