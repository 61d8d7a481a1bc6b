"""The images that this machine has, by name: what each was made of, and the disks that its VMs get."""

import sqlite3

import msgspec

from banger.model.clock import Clock
from banger.model.errors import NotFoundError, StoreError
from banger.model.handles import ImageDisks, PulledImage
from banger.store.database import Database


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An image under a name. `added_at`: seconds since the epoch, when it last got other disks.

    source: where it came from, as the user wrote it. pulled: of a container image, its manifest. disks: what was made
    of it; None while only paths are known. rootfs_path, seed_path: of a registered image, the user's files. stamp: of
    an image in files, what told them from others when they were read.
    """

    name: str
    source: str
    added_at: float = 0.0
    pulled: PulledImage | None = None
    disks: ImageDisks | None = None
    provisioned: bool = False
    stamp: str = ""
    rootfs_path: str | None = None
    seed_path: str | None = None
    kernel_ref: str | None = None


class Images:
    """Image records in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def put(self, record: ImageRecord) -> ImageRecord:
        """Give a name to an image, in place of what had it. Returns the record as it is kept."""
        record = msgspec.structs.replace(record, added_at=self._clock.wall())
        with self._database.transaction("image") as connection:
            connection.execute(
                "INSERT OR REPLACE INTO images (name, source, value, added_at) VALUES (?, ?, ?, ?)",
                (record.name, record.source, msgspec.json.encode(record).decode(), record.added_at),
            )
        return record

    def remove(self, name: str) -> None:
        """Take a name away; absent is fine."""
        with self._database.transaction("image") as connection:
            connection.execute("DELETE FROM images WHERE name = ?", (name,))

    def find(self, reference: str) -> ImageRecord | None:
        """An image by its name or, failing that, by where it came from: the one that was added last."""
        row = self._database.row(
            "SELECT * FROM images WHERE name = ? OR source = ? ORDER BY name = ? DESC, added_at DESC LIMIT 1",
            reference,
            reference,
            reference,
        )
        return None if row is None else _record(row)

    def get(self, reference: str) -> ImageRecord:
        """The same. Raises NotFoundError."""
        record = self.find(reference)
        if record is None:
            raise NotFoundError(f"there is no image called {reference[:80]!r}", hint="banger image list")
        return record

    def all(self) -> list[ImageRecord]:
        """Every image, by name."""
        return [_record(row) for row in self._database.rows("SELECT * FROM images ORDER BY name")]


def _record(row: sqlite3.Row) -> ImageRecord:
    try:
        return msgspec.json.decode(row["value"], type=ImageRecord)
    except msgspec.MsgspecError as error:
        raise StoreError(
            f"the record of image {row['name']!r} cannot be read: {error}", hint=f"banger image delete {row['name']}"
        ) from error
