"""Which objects are known to be durable, and which of them were verified in this boot.

A row says that the object's directory was fsynced; its stamp says as which file the content was last verified. A file
that was written to, replaced or restored has another inode, size, mtime or ctime, and is read in full again.
"""

import os

from banger.host.clock import boot_id
from banger.model.digest import Digest
from banger.store.database import Database


class Stamps:
    """Stamps in the database, remembered in memory once read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[Digest, str] = {}

    def size(self, digest: Digest) -> int | None:
        """Size in bytes of an object that was once put in full, whatever became of it since; None if it never was."""
        stamp = self._stamp(digest)
        return None if stamp is None else int(stamp.split(":")[1])

    def holds(self, digest: Digest, status: os.stat_result) -> bool:
        """Whether this very file was verified in this boot."""
        return self._stamp(digest) == _stamp_of(status)

    def set(self, digest: Digest, status: os.stat_result) -> None:
        """The file is durable and was verified just now."""
        stamp = _stamp_of(status)
        with self._database.transaction("stamp") as connection:
            connection.execute(
                "INSERT OR REPLACE INTO blobs (digest, size, stamp) VALUES (?, ?, ?)", (digest, status.st_size, stamp)
            )
        self._known[digest] = stamp

    def drop(self, *digests: Digest) -> None:
        """The objects are gone."""
        with self._database.transaction("unstamp") as connection:
            connection.executemany("DELETE FROM blobs WHERE digest = ?", [(digest,) for digest in digests])
        for digest in digests:
            self._known.pop(digest, None)

    def all(self) -> list[Digest]:
        """Every object that should be there, sorted."""
        return [Digest(row["digest"]) for row in self._database.rows("SELECT digest FROM blobs ORDER BY digest")]

    def _stamp(self, digest: Digest) -> str | None:
        known = self._known.get(digest)
        if known is None:
            row = self._database.row("SELECT stamp FROM blobs WHERE digest = ?", digest)
            if row is None:
                return None
            known = self._known[digest] = row["stamp"]
        return known


def _stamp_of(status: os.stat_result) -> str:
    return f"{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{boot_id()}"
