"""Write what a guest sends as a tar to a directory of this host, and never anywhere else.

The guest may be hostile, so this is no general tar program. Every name is walked from the directory's own descriptor,
component by component, through real directories only. A file is written under a name of ours and renamed into place:
so nothing is written through a link, and what stands in the way is replaced, not followed. Owners, set-id bits and
extended attributes are not taken over; devices, FIFOs and links that lead out of the copy are left out, and told.
"""

import os
import secrets
import stat
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Final

from banger.ext4.names import shown
from banger.ext4.tarfields import BLOCK_BYTES, MAX_EXTENSION_BYTES, ZEROS, check_sum, number
from banger.ext4.tree import Node
from banger.layers.header import EXTENSIONS, Member, Pending, member_of
from banger.model.errors import GuestError, SpecError

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS: Final = 0o777


@dataclass(frozen=True, slots=True)
class Bounds:
    """What is taken at most."""

    content_bytes: int = 64 << 30
    entries: int = 2_000_000


class Unpacker:
    """Takes a tar in pieces. `left_out` says what was not copied, and why.

    `only`: the one file that is expected, and the name that it gets; without it, everything below the directory.
    """

    def __init__(self, directory: int, bounds: Bounds, *, only: bytes | None = None) -> None:
        self.left_out: list[str] = []
        self.files = 0
        self._root = directory
        self._bounds = bounds
        self._only = only
        self._pending = Pending()
        self._head = b""
        self._body = bytearray()
        self._flag = 0
        self._left = 0
        self._skip = 0
        self._is_at_end = False
        self._last = b"the beginning"
        self._content_bytes = 0
        self._entries = 0
        self._placed: set[bytes] = set()
        self._modes: dict[bytes, Node] = {}
        self._file: _NewFile | None = None
        self._umask = os.umask(0o077)
        os.umask(self._umask)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises GuestError if they are no tar, or more than the bounds allow."""
        view = memoryview(data)
        while view and not self._is_at_end:
            if self._left:
                piece, view = view[: self._left], view[self._left :]
                self._left -= len(piece)
                self._content(piece)
            elif self._skip:
                size = min(self._skip, len(view))
                self._skip -= size
                view = view[size:]
            else:
                missing = BLOCK_BYTES - len(self._head)
                self._head += bytes(view[:missing])
                view = view[missing:]
                if len(self._head) == BLOCK_BYTES:
                    block, self._head = self._head, b""
                    self._header(block)

    def finish(self) -> None:
        """The tar has ended. Raises GuestError if it was cut short, or held no file where one was expected."""
        if self._left or self._head or self._pending.is_waiting:
            raise GuestError(f"what the guest sent ends in the middle of {shown(self._last)}")
        for path, node in sorted(self._modes.items(), reverse=True):  # what is in a directory comes before it
            self._set_mode(path, node)
        if self._only is not None and not self.files and not self.left_out:
            raise GuestError("the guest sent no file")

    def close(self) -> None:
        """Leave nothing half written."""
        if self._file is not None:
            self._file.drop()
            self._file = None

    def _header(self, block: bytes) -> None:
        if block == ZEROS:
            self._is_at_end = True
            return
        try:
            check_sum(block, block[148:156], self._last)
            size = _extension_size(block, self._last)
            member = None if size is not None else member_of(block, self._pending)
        except SpecError as error:
            raise GuestError(f"what the guest sent is no tar that can be taken: {error.message}") from error
        if member is None:
            self._flag, self._body = block[156], bytearray()
            self._expect(size or 0)
            return
        self._pending.reset()
        self._flag = 0
        self._begin(member)

    def _expect(self, size: int) -> None:
        self._left, self._skip = size, -size % BLOCK_BYTES
        if not size:
            self._end()

    def _content(self, piece: memoryview) -> None:
        if self._flag:
            self._body += piece
        elif self._file is not None:
            self._file.write(piece)
        if not self._left:
            self._end()

    def _end(self) -> None:
        """All of what was expected has come."""
        if self._flag:
            try:
                self._pending.extend(self._flag, bytes(self._body), self._last)
            except SpecError as error:
                raise GuestError(f"what the guest sent is no tar that can be taken: {error.message}") from error
        elif self._file is not None:
            self._file.finish()
            self._file = None

    def _begin(self, member: Member) -> None:
        self._last = path = member.path
        self._entries += 1
        self._content_bytes += member.size
        if self._entries > self._bounds.entries or self._content_bytes > self._bounds.content_bytes:
            raise GuestError(
                f"the guest sends more than {self._bounds.content_bytes} bytes or {self._bounds.entries} files"
            )
        if member.is_old_sparse or member.sparse:
            raise GuestError(f"tar entry {shown(path)}: a sparse file cannot be taken")
        if self._only is not None and path:
            self._begin_only(member)
        elif path or member.node.children is not None:
            self._place(path, member.node)
        self._expect(member.size)

    def _begin_only(self, member: Member) -> None:
        if self._entries > 1:
            raise GuestError("the guest sends more than the one file")
        assert self._only is not None
        if stat.S_ISREG(member.node.mode):
            self._write_file(self._root, self._only, member.node, self._only)
        else:
            self._leave_out(member.path, "not a regular file")

    def _place(self, path: bytes, node: Node) -> None:
        above, _, name = path.rpartition(b"/")
        if node.mode == 0:
            self._link(path, node.target or b"")
        elif stat.S_ISDIR(node.mode):
            with ExitStack() as stack:
                self._walk(path, stack)
            self._modes[path] = node
        elif stat.S_ISREG(node.mode):
            with ExitStack() as stack:
                self._write_file(self._walk(above, stack), name, node, path)
        elif stat.S_ISLNK(node.mode):
            self._symlink(path, node.target or b"")
        else:
            self._leave_out(path, "a device or FIFO")

    def _write_file(self, parent: int, name: bytes, node: Node, path: bytes) -> None:
        self._refuse_directory(parent, name, path)
        self._file = _NewFile(parent, name, node, node.mode & _PERMISSIONS & ~self._umask)
        self._placed.add(path)
        self.files += 1

    def _symlink(self, path: bytes, target: bytes) -> None:
        """A link that stays below the directory: `..` only in front, and no more of it than there is above."""
        above, _, name = path.rpartition(b"/")
        parts = [part for part in target.split(b"/") if part not in {b"", b"."}]
        up = next((at for at, part in enumerate(parts) if part != b".."), len(parts))
        depth = len(above.split(b"/")) if above else 0
        if target.startswith(b"/") or b".." in parts[up:] or up > depth or not target or b"\0" in target:
            self._leave_out(path, f"a link to {shown(target)}, which is outside")
            return
        with ExitStack() as stack:
            parent = self._walk(above, stack)
            self._refuse_directory(parent, name, path)
            temporary = _temporary()
            os.symlink(target, temporary, dir_fd=parent)
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)

    def _link(self, path: bytes, target: bytes) -> None:
        """Another name of a file that this same tar has brought; of nothing else."""
        if target not in self._placed:
            self._leave_out(path, f"a hard link to {shown(target)}, which was not sent")
            return
        above, _, name = path.rpartition(b"/")
        of_target, _, target_name = target.rpartition(b"/")
        with ExitStack() as stack:
            parent, source = self._walk(above, stack), self._walk(of_target, stack)
            self._refuse_directory(parent, name, path)
            temporary = _temporary()
            os.link(target_name, temporary, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
            os.replace(temporary, name, src_dir_fd=parent, dst_dir_fd=parent)
        self._placed.add(path)

    def _walk(self, path: bytes, stack: ExitStack) -> int:
        """Open a directory below ours, making what is missing. Raises GuestError if a link or a file is in the way."""
        here = self._root
        for part in path.split(b"/") if path else []:
            with suppress(FileExistsError):
                os.mkdir(part, 0o777, dir_fd=here)
            try:
                here = os.open(part, _DIRECTORY, dir_fd=here)
            except OSError as error:
                raise GuestError(f"{shown(path)}: {shown(part)} is no directory of this host") from error
            stack.callback(os.close, here)
        return here

    def _refuse_directory(self, parent: int, name: bytes, path: bytes) -> None:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                raise GuestError(f"{shown(path)}: there is a directory of that name on this host")

    def _set_mode(self, path: bytes, node: Node) -> None:
        with ExitStack() as stack:
            directory = self._walk(path, stack)
            if path:  # the directory itself is the user's
                os.fchmod(directory, (node.mode & _PERMISSIONS | stat.S_IRWXU) & ~self._umask)

    def _leave_out(self, path: bytes, why: str) -> None:
        self.left_out.append(f"{shown(path)}: {why}")


class _NewFile:
    """A file that is being written, under a name of ours until it is whole."""

    def __init__(self, parent: int, name: bytes, node: Node, mode: int) -> None:
        self._parent = os.dup(parent)
        self._name = name
        self._node = node
        self._temporary = _temporary()
        self._descriptor = os.open(self._temporary, _NEW, 0o600, dir_fd=self._parent)
        self._mode = mode

    def write(self, piece: memoryview) -> None:
        while piece:
            piece = piece[os.write(self._descriptor, piece) :]

    def finish(self) -> None:
        try:
            os.fchmod(self._descriptor, self._mode)
            with suppress(OSError, OverflowError):
                os.utime(self._descriptor, (self._node.mtime, self._node.mtime))
            os.replace(self._temporary, self._name, src_dir_fd=self._parent, dst_dir_fd=self._parent)
        except OSError:
            self.drop()
            raise
        os.close(self._descriptor)
        os.close(self._parent)

    def drop(self) -> None:
        with suppress(OSError):
            os.unlink(self._temporary, dir_fd=self._parent)
        os.close(self._descriptor)
        os.close(self._parent)


def _extension_size(block: bytes, last: bytes) -> int | None:
    """The size of an extended header; None for any other."""
    if block[156] not in EXTENSIONS:
        return None
    size = number(block[124:136], last, "size")
    if not 0 <= size <= MAX_EXTENSION_BYTES:
        raise SpecError(f"tar: the extended header after {shown(last)} is too large")
    return size


def _temporary() -> bytes:
    return f".banger-cp-{secrets.token_hex(8)}".encode()
