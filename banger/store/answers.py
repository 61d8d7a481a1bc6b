"""Answers of Queries, kept with the time they were given. A diskcache, without its pickle."""

import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import diskcache
import msgspec

from banger.model.clock import Clock
from banger.model.digest import Digest

_Disk: Any = diskcache.Disk  # the library has no types, and a checker that infers some would hold us to them
_NOT_ITS_DIRECTORY = (FileExistsError, NotADirectoryError)


class _Entry(msgspec.Struct):
    at: float
    value: object


class JsonDisk(_Disk):  # type: ignore[misc]
    """Stores UTF-8 text and nothing else, and refuses to read a pickle that somebody else put into the file."""

    def put(self, key: object) -> tuple[str, bool]:
        """Take a key into the database."""
        if type(key) is not str:
            raise TypeError("keys are digests")
        return key, True

    def get(self, key: object, raw: bool) -> str:  # noqa: FBT001 - the library's signature
        """Take a key out of the database."""
        if not raw or type(key) is not str:
            raise TypeError("not one of our keys")
        return key

    def store(
        self,
        value: object,
        read: bool,  # noqa: FBT001
        key: object = diskcache.UNKNOWN,
    ) -> tuple[int, int, str | None, object]:
        """Take a value into the database."""
        if type(value) is not str or read:
            raise TypeError("values are JSON text")
        result: tuple[int, int, str | None, object] = super().store(value, read, key)
        return result

    def fetch(self, mode: int, filename: str | None, value: object, read: bool) -> object:  # noqa: FBT001
        """Take a value out of the database. Raises TypeError for a pickle."""
        if mode == diskcache.core.MODE_PICKLE:
            raise TypeError("not one of our values")
        return super().fetch(mode, filename, value, read)


class Answers:
    """Answers by action digest. They can all be asked for again, so a damaged file is put aside and begun anew."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        try:
            self._cache: Any = diskcache.Cache(str(directory), disk=JsonDisk)
        except (sqlite3.DatabaseError, *_NOT_ITS_DIRECTORY):
            directory.rename(directory.with_name(f"{directory.name}.bad-{uuid.uuid4().hex[:8]}"))
            self._cache = diskcache.Cache(str(directory), disk=JsonDisk)
        self._clock = clock

    def put(self, digest: Digest, value: object) -> None:
        """Keep an answer given now, if it can be kept."""
        text = msgspec.json.encode({"at": self._clock.wall(), "value": value}).decode()
        with suppress(sqlite3.DatabaseError, OSError):
            self._cache.set(digest, text)

    def get(self, digest: Digest, *, not_older_than_s: float | None) -> tuple[bool, object]:
        """(True, answer) if there is one and it is young enough (None: of any age); else (False, None)."""
        try:
            text = self._cache.get(digest)
            if not isinstance(text, str):
                return False, None
            entry = msgspec.json.decode(text, type=_Entry)
        except (sqlite3.DatabaseError, OSError, msgspec.MsgspecError):
            return False, None
        age = self._clock.wall() - entry.at
        if not_older_than_s is not None and not 0 <= age <= not_older_than_s:
            return False, None
        return True, entry.value

    def outdate(self, digest: Digest) -> None:
        """Have it asked for again; until that succeeds, the answer that there is stays good."""
        known, value = self.get(digest, not_older_than_s=None)
        if known:
            with suppress(sqlite3.DatabaseError, OSError):
                self._cache.set(digest, msgspec.json.encode({"at": 0.0, "value": value}).decode())

    def all(self) -> Iterator[tuple[Digest, float, object]]:
        """Every answer: of which action, when it was given (seconds since the epoch), and what it is."""
        try:
            for key in self._cache.iterkeys():
                text = self._cache.get(key)
                if isinstance(text, str):
                    entry = msgspec.json.decode(text, type=_Entry)
                    yield Digest(str(key)), entry.at, entry.value
        except (sqlite3.DatabaseError, OSError, TypeError, msgspec.MsgspecError):
            return  # they can all be asked for again

    def clear(self) -> None:
        """Forget all of them."""
        self._cache.clear()

    def close(self) -> None:
        """Close the file."""
        self._cache.close()
