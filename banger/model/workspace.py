"""A workspace as it is asked for and shown over the API: prepared, and exported."""

from dataclasses import dataclass, field

from banger.model.vm import WorkspaceRequest


@dataclass(frozen=True, slots=True)
class PrepareRequest:
    """Bring a VM's checkout up to date. `workspace` None: as it was asked for the last time.

    `replace`: send it whole, and put aside what is there.
    """

    workspace: WorkspaceRequest | None = None
    replace: bool = False


@dataclass(frozen=True, slots=True)
class PreparedView:
    """What was sent. `how`: whole, changes or nothing; `changed`: how many files that were.

    `untracked`: how many files stayed behind that git neither tracks nor ignores.
    """

    path: str
    branch: str | None
    files: int
    how: str
    changed: int
    untracked: int


@dataclass(frozen=True, slots=True)
class CommitView:
    """A commit that was made in the VM. What it says is a guest's word."""

    id: str
    author: str
    subject: str


@dataclass(frozen=True, slots=True)
class FileChangeView:
    """A file that differs. `status`: A, D, M or T (another type); lines added and removed, None for what is no text."""

    status: str
    path: str
    added: int | None
    removed: int | None


@dataclass(frozen=True, slots=True)
class ExportView:
    """What was done in a VM's checkout since the commit `base` that it was made from; nothing of it is in `repository`
    yet.

    `tip` None: nothing was done. `uncommitted`: the last commit is what was not committed. `patch` is a file with all
    of the difference. `descends`: whether `tip` stands on `base`. `others`: branches in the VM with commits that are
    not in this. `left_behind`: repositories inside the checkout.
    """

    id: str
    vm: str
    repository: str
    base: str | None
    tip: str | None
    branch: str | None
    uncommitted: bool
    descends: bool
    commits: list[CommitView] = field(default_factory=list)
    files: list[FileChangeView] = field(default_factory=list)
    patch: str | None = None
    others: list[str] = field(default_factory=list)
    left_behind: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class BranchView:
    """A branch that was made in the user's repository."""

    repository: str
    name: str
    commit: str
