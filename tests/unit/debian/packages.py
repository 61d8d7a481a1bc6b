"""Packages made by hand: ar containers with control and data tars, good and broken."""

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable, Mapping

import zstandard

CONTROL = "Package: toy\nVersion: 1.0\nArchitecture: all\nDescription: a toy\n of two lines\n"
COMPRESSIONS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": lambda data: gzip.compress(data, mtime=0),
    ".xz": lzma.compress,
    ".zst": lambda data: zstandard.ZstdCompressor().compress(data),
}


def tar(files: Mapping[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:", format=tarfile.GNU_FORMAT) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mtime = len(content), 1_600_000_000
            archive.addfile(member, io.BytesIO(content))
    return out.getvalue()


def ar(members: Mapping[str, bytes], date: int = 1_700_000_000) -> bytes:
    out = b"!<arch>\n"
    for name, content in members.items():
        out += f"{name:<16}{date:<12}{0:<6}{0:<6}{'100644':<8}{len(content):<10}`\n".encode()
        out += content + b"\n" * (len(content) % 2)
    return out


def deb(data: Mapping[str, bytes], *, control: str = CONTROL, compression: str = ".xz") -> bytes:
    squeeze = COMPRESSIONS[compression]
    return ar(
        {
            "debian-binary": b"2.0\n",
            f"control.tar{compression}": squeeze(tar({"./control": control.encode()})),
            f"data.tar{compression}": squeeze(tar(data)),
        }
    )
