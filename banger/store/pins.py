"""Pins: artifacts that the user wants kept, whatever else needs them."""

from dataclasses import dataclass

from banger.model.clock import Clock
from banger.model.digest import Digest
from banger.store.database import Database


@dataclass(frozen=True, slots=True)
class Pin:
    """`note`: why, in the user's words. `pinned_at`: seconds since the epoch."""

    digest: Digest
    note: str
    pinned_at: float


class Pins:
    """Pins in the database."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def add(self, digest: Digest, note: str = "") -> None:
        """Pin an artifact; again is fine, and the newer note stays."""
        with self._database.transaction("pin") as connection:
            connection.execute("INSERT OR REPLACE INTO pins VALUES (?, ?, ?)", (digest, note, self._clock.wall()))

    def remove(self, digest: Digest) -> None:
        """Unpin; absent is fine."""
        with self._database.transaction("unpin") as connection:
            connection.execute("DELETE FROM pins WHERE digest = ?", (digest,))

    def all(self) -> list[Pin]:
        """Every pin, by digest."""
        rows = self._database.rows("SELECT digest, note, pinned_at FROM pins ORDER BY digest")
        return [Pin(Digest(row["digest"]), row["note"], row["pinned_at"]) for row in rows]
