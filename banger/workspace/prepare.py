"""Have a checkout in a guest: whole the first time, by what changed after that. The record says which it is."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from banger.model.errors import ConflictError
from banger.model.vm import WorkspaceRequest
from banger.workspace.inspect import inspect_repository
from banger.workspace.record import STAMPS_FILE, Record, Sent, load_record, save_record, sent
from banger.workspace.sync import sync_workspace
from banger.workspace.update import REPLACE_HINT, ElsewhereError, Way, update_workspace
from banger.workspace.values import Workspace


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done; `changed` files were sent."""

    workspace: Workspace
    how: Literal["whole", "changes", "nothing"]
    changed: int


async def prepare_workspace(
    request: WorkspaceRequest, directory: Path, way: Way, *, is_replacing: bool = False
) -> Prepared:
    """Bring the checkout of a guest, whose directory here is `directory`, up to date with the one at `request.path`.

    `is_replacing`: send it whole, and put aside what is there. Raises what `inspect_repository`, `sync_workspace` and
    `update_workspace` raise, and ConflictError if the guest has another checkout.
    """
    found = await inspect_repository(
        request.path,
        include_untracked=request.include_untracked,
        branch=request.branch,
        from_ref=request.from_ref,
        full_copy=request.full_copy,
        stamps_file=directory / STAMPS_FILE,
    )
    record = None if is_replacing else load_record(directory)
    before = record.current or record.pending if record else None
    if record is None or before is None:
        return await _whole(found, request, directory, way, is_replacing=is_replacing)
    _check_same(found, before)
    states = Record(request, record.current, record.pending)
    save_record(directory, replace(states, pending=sent(found)))
    try:
        changed = await update_workspace(found, states, way)
    except ElsewhereError as error:
        if not error.says:
            return await _whole(found, request, directory, way, is_replacing=False)
        raise ConflictError(f"{way.place} in the VM is not what banger put there", hint=REPLACE_HINT) from error
    except ConflictError:
        save_record(directory, states)  # nothing was touched
        raise
    save_record(directory, Record(request, sent(found)))
    return Prepared(found, "changes" if changed or before.digest != found.digest else "nothing", changed)


async def _whole(
    found: Workspace, request: WorkspaceRequest, directory: Path, way: Way, *, is_replacing: bool
) -> Prepared:
    save_record(directory, Record(request, None, sent(found)))
    await sync_workspace(
        found,
        way.run,
        scratch=way.scratch,
        program=way.program,
        place=way.place,
        replace=is_replacing,
        report=way.report,
    )
    save_record(directory, Record(request, sent(found)))
    return Prepared(found, "whole", found.checkout.files)


def _check_same(found: Workspace, before: Sent) -> None:
    """Raises ConflictError if what is in the guest cannot become this by changes."""
    if before.object_format != found.repository.object_format:
        raise ConflictError(
            f"{found.repository.root} has another object format than the VM's checkout", hint=REPLACE_HINT
        )
    if before.parts or found.parts:
        raise ConflictError(
            f"{found.repository.root}: a checkout with submodules cannot be brought up to date, only be sent again",
            hint=REPLACE_HINT,
        )
