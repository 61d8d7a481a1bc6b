"""What a VM's checkout was made from, so that the next time only what changed is sent, and what came back can be told.

One JSON file in the VM's directory. `pending` is a state that was being sent when we were last heard of: the guest may
be in it, in `current`, or, if it was stopped at the very moment, in the midst between them.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from banger.model.errors import StoreError
from banger.model.vm import WorkspaceRequest
from banger.workspace.values import Workspace

RECORD_FILE = "workspace.json"
STAMPS_FILE = "workspace.stamps"
_FORMAT = 1

Entry = tuple[int, str]
"""Mode and object id of a file."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A checkout as it was sent: files are those of `base`, but for `overlay` and `deleted`."""

    digest: str
    root: str
    object_format: str
    head: str | None
    base: str | None
    branch: str | None
    shallow: tuple[str, ...]
    overlay: dict[str, Entry]
    deleted: tuple[str, ...]
    added: tuple[str, ...]
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """What is known of a VM's checkout. `request` is what was asked for last."""

    request: WorkspaceRequest
    current: Sent | None
    pending: Sent | None = None


def sent(workspace: Workspace) -> Sent:
    """Return what sending a checkout makes of the guest's."""
    return Sent(
        digest=workspace.digest,
        root=str(workspace.repository.root),
        object_format=workspace.repository.object_format,
        head=workspace.head,
        base=workspace.base,
        branch=workspace.branch,
        shallow=workspace.shallow,
        overlay={file.path: (file.mode, file.oid) for file in workspace.overlay},
        deleted=workspace.deleted,
        added=workspace.added,
        parts=tuple(path for path, _ in workspace.parts),
    )


def load_record(directory: Path) -> Record | None:
    """Read a VM's record; None if it has none. Raises StoreError for one that is damaged."""
    file = directory / RECORD_FILE
    try:
        raw = json.loads(file.read_text(encoding="ascii"))
        if raw["format"] != _FORMAT:
            return None
        return Record(WorkspaceRequest(**raw["request"]), _sent(raw["current"]), _sent(raw["pending"]))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file}: cannot be read: {error}", hint="banger vm workspace prepare --replace NAME PATH"
        ) from error


def save_record(directory: Path, record: Record) -> None:
    """Write a VM's record: whole, or as it was."""
    raw = {
        "format": _FORMAT,
        "request": asdict(record.request),
        "current": _plain(record.current),
        "pending": _plain(record.pending),
    }
    new = directory / f"{RECORD_FILE}.new"
    new.write_text(json.dumps(raw), encoding="ascii")  # ASCII: a path of any bytes is escaped, and comes back
    new.replace(directory / RECORD_FILE)


def _plain(value: Sent | None) -> dict[str, Any] | None:
    return None if value is None else asdict(value)


def _sent(raw: dict[str, Any] | None) -> Sent | None:
    if raw is None:
        return None
    tuples = {name: tuple(raw[name]) for name in ("shallow", "deleted", "added", "parts")}
    overlay = {path: (int(mode), str(oid)) for path, (mode, oid) in raw["overlay"].items()}
    return Sent(**{**raw, **tuples, "overlay": overlay})
