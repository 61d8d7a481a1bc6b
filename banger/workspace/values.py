"""What travels into a guest: history by commits, the rest of the checkout by files; and its identity."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from banger.host.git import Repository
from banger.model.digest import Canonical, Digest, digest_of
from banger.model.handles import Checkout
from banger.workspace.names import display

FILE_MODE, EXECUTABLE_MODE, SYMLINK_MODE, TREE_MODE, SUBMODULE_MODE = 0o100644, 0o100755, 0o120000, 0o040000, 0o160000


@dataclass(frozen=True, slots=True)
class OverlayFile:
    """A file whose bytes in the checkout are not those of the base commit.

    `path` is relative to the root; bytes that are not UTF-8 are surrogates (PEP 383). `mode` is one of git's three,
    `oid` the object id git would give the bytes as they are, `size` bytes.
    """

    path: str
    mode: int
    oid: str
    size: int


@dataclass(frozen=True, slots=True)
class Author:
    """Who commits in the guest."""

    name: str
    email: str


@dataclass(frozen=True, slots=True)
class Workspace:
    """A checkout as it was when it was inspected.

    `head` is None in a repository without commits; `base` is where the guest's branch begins. `branch` is what the
    guest checks out (None: detached), `source_branch` what is checked out here. `overlay`, `deleted` and `unchanged`
    are relative to `base` and sorted; `added` are the tracked ones that `base` lacks. `untracked_paths` are those that
    git neither tracks nor ignores; `nested` are repositories inside this one, which never travel. `base_files` are the
    mode and object id of each file of `base`; `modules` are the places of submodules, and `parts` those among them that
    are checked out here and travel along.
    """

    repository: Repository
    head: str | None
    base: str | None
    branch: str | None
    source_branch: str | None
    shallow: tuple[str, ...]
    overlay: tuple[OverlayFile, ...]
    deleted: tuple[str, ...]
    added: tuple[str, ...]
    unchanged: tuple[str, ...]
    untracked_paths: tuple[str, ...]
    nested: tuple[str, ...]
    include_untracked: bool
    author: Author | None
    origin: str | None
    base_files: Mapping[str, tuple[int, str]] = field(default_factory=dict, repr=False, compare=False)
    modules: tuple[str, ...] = ()
    parts: "tuple[tuple[str, Workspace], ...]" = ()

    @property
    def files(self) -> tuple[str, ...]:
        """Every file that the guest's checkout will have, sorted, written for people."""
        return tuple(sorted(display(path) for path in self.paths))

    @property
    def paths(self) -> list[str]:
        """The same as they are, in no order."""
        own = [*self.unchanged, *(file.path for file in self.overlay)]
        return own + [f"{place}/{path}" for place, part in self.parts for path in part.paths]

    @property
    def untracked(self) -> tuple[str, ...]:
        """Files that git neither tracks nor ignores, sorted, written for people."""
        return tuple(display(path) for path in self.untracked_paths)

    @property
    def checkout(self) -> Checkout:
        """The same in a few words, for the record."""
        return Checkout(
            digest=self.digest,
            branch=self.branch,
            files=len(self.unchanged) + len(self.overlay),
            overlay=len(self.overlay),
            untracked=len(self.untracked_paths),
        )

    @property
    def identity(self) -> dict[str, Canonical]:
        """All that the guest's checkout depends on, and nothing else: no path, no time of this machine."""
        return {
            "object_format": self.repository.object_format,
            "head": self.head,
            "base": self.base,
            "branch": self.branch,
            "source_branch": self.source_branch,
            "shallow": list(self.shallow),
            "overlay": [[file.path, file.mode, file.oid] for file in self.overlay],
            "deleted": list(self.deleted),
            "added": list(self.added),
            "author": [self.author.name, self.author.email] if self.author else None,
            "origin": self.origin,
            **({"parts": [[path, part.digest] for path, part in self.parts]} if self.parts else {}),
        }

    @property
    def digest(self) -> Digest:
        """The digest of `identity`: equal digests give equal checkouts."""
        return digest_of("banger.workspace", self.identity)
