"""Extended attributes: in the inode where they fit, else in a block of their own.

Source: kernel Documentation/filesystems/ext4, "Extended Attributes". POSIX ACLs are converted: a tar carries the form
of the system call (version 2), the disk the compact form of fs/ext4/acl.h (version 1).
"""

import struct
from collections.abc import Mapping

from banger.ext4.checksum import crc32c
from banger.ext4.names import shown
from banger.model.errors import SpecError

BLOCK_BYTES = 4096
MAGIC = 0xEA020000
_BLOCK_HEADER = struct.Struct("<IIIII12x")
_ENTRY = struct.Struct("<BBHIII")
_TERMINATOR_BYTES = 4
_PREFIXES = ((1, b"user."), (4, b"trusted."), (6, b"security."))
_ACLS = {b"system.posix_acl_access": 2, b"system.posix_acl_default": 3}
_ACL_NAMED = (0x02, 0x08)  # ACL_USER, ACL_GROUP: the only entries with an id on disk
_ACL_UNNAMED = (0x01, 0x04, 0x10, 0x20)
_MAX_NAME_BYTES = 255

_Attribute = tuple[int, int, bytes, bytes]


def check_xattrs(xattrs: Mapping[bytes, bytes], path: bytes) -> None:
    """Raise SpecError that names the entry if its attributes cannot be stored."""
    attributes = _attributes(xattrs, path)
    if any(length > _MAX_NAME_BYTES for _, length, _, _ in attributes):
        raise SpecError(f"tar entry {shown(path)}: the name of an extended attribute is too long")
    if _BLOCK_HEADER.size + _size(attributes) > BLOCK_BYTES:
        raise SpecError(f"tar entry {shown(path)}: its extended attributes do not fit into {BLOCK_BYTES} bytes")


def in_inode(xattrs: Mapping[bytes, bytes], space: int) -> bytes | None:
    """Encode the attributes for the `space` bytes behind an inode's extra fields; None if they do not fit."""
    attributes = _attributes(xattrs, b"")
    if not attributes:
        return b""
    if 4 + _size(attributes) > space:
        return None
    return struct.pack("<I", MAGIC) + _encode(attributes, space - 4, 0, with_hash=False)


def in_block(xattrs: Mapping[bytes, bytes], block: int, fs_seed: int) -> bytes:
    """Encode the attributes as the block with number `block`."""
    attributes = _attributes(xattrs, b"")
    body = _encode(attributes, BLOCK_BYTES - _BLOCK_HEADER.size, _BLOCK_HEADER.size, with_hash=True)
    hashed = 0
    for _, _, name, value in attributes:
        hashed = _rotate(hashed, 16) ^ _hash(name, value)
    bare = _BLOCK_HEADER.pack(MAGIC, 1, 1, hashed, 0) + body
    return _BLOCK_HEADER.pack(MAGIC, 1, 1, hashed, crc32c(struct.pack("<Q", block) + bare, fs_seed)) + body


def _attributes(xattrs: Mapping[bytes, bytes], path: bytes) -> list[_Attribute]:
    """The attributes in the order that the disk wants. Name spaces that Linux does not have are left out."""
    found = []
    for name, value in xattrs.items():
        if name in _ACLS:
            found.append((_ACLS[name], 0, b"", _acl(value, path)))
            continue
        for index, prefix in _PREFIXES:
            if name.startswith(prefix) and len(name) > len(prefix):
                found.append((index, len(name) - len(prefix), name[len(prefix) :], value))
    return sorted(found)


def _size(attributes: list[_Attribute]) -> int:
    return _TERMINATOR_BYTES + sum(
        _ENTRY.size + _padded(length) + _padded(len(value)) for _, length, _, value in attributes
    )


def _padded(length: int) -> int:
    return (length + 3) & ~3


def _encode(attributes: list[_Attribute], space: int, base: int, *, with_hash: bool) -> bytes:
    """Entries grow from the start, values from the end; an offset counts from `base` before the first entry."""
    area = bytearray(space)
    at, end = 0, space
    for index, length, name, value in attributes:
        end -= _padded(len(value))
        area[end : end + len(value)] = value
        offset = end + base if value else 0
        hashed = _hash(name, value) if with_hash else 0
        _ENTRY.pack_into(area, at, length, index, offset, 0, len(value), hashed)
        area[at + _ENTRY.size : at + _ENTRY.size + length] = name
        at += _ENTRY.size + _padded(length)
    return bytes(area)


def _rotate(value: int, bits: int) -> int:
    return (value << bits | value >> (32 - bits)) & 0xFFFFFFFF


def _hash(name: bytes, value: bytes) -> int:
    """ext4_xattr_hash_entry of fs/ext4/xattr.c."""
    hashed = 0
    for byte in name:
        hashed = _rotate(hashed, 5) ^ byte
    padded = value.ljust(_padded(len(value)), b"\0")
    for (word,) in struct.iter_unpack("<I", padded):
        hashed = _rotate(hashed, 16) ^ word
    return hashed


def _acl(value: bytes, path: bytes) -> bytes:
    entries = list(struct.iter_unpack("<HHI", value[4:])) if len(value) % 8 == 4 else []  # noqa: PLR2004
    if not entries or value[:4] != struct.pack("<I", 2):
        raise SpecError(f"tar entry {shown(path)}: its POSIX ACL is malformed")
    packed = struct.pack("<I", 1)
    for tag, permissions, identity in entries:
        if tag not in _ACL_NAMED + _ACL_UNNAMED:
            raise SpecError(f"tar entry {shown(path)}: its POSIX ACL has an unknown tag {tag:#x}")
        packed += struct.pack("<HH", tag, permissions)
        if tag in _ACL_NAMED:
            packed += struct.pack("<I", identity)
    return packed
