"""`workspace.inspect`: what of the user's git checkout would travel; first of all, so that a refusal costs nothing."""

from typing import ClassVar

from banger.model.handles import Checkout
from banger.model.vm import WorkspaceRequest
from banger.tasks import Context, Query
from banger.workspace.inspect import inspect_repository


class InspectWorkspace(Query[Checkout], frozen=True, kw_only=True):
    """Asked anew each time: a checkout changes whenever its user saves a file."""

    kind: ClassVar[str] = "workspace.inspect"
    version: ClassVar[int] = 2
    deadline_s: ClassVar[int] = 300
    request: WorkspaceRequest

    async def ask(self, ctx: Context) -> Checkout:
        """Look. Raises SpecError for a repository that cannot travel."""
        found = await inspect_repository(
            self.request.path,
            include_untracked=self.request.include_untracked,
            branch=self.request.branch,
            from_ref=self.request.from_ref,
            full_copy=self.request.full_copy,
        )
        return found.checkout
