"""What apt prints, read strictly; what makes two locks the same."""

from pathlib import Path

import msgspec
import pytest

from banger.debian.resolve import _checked, parse_uri_line, read_release, resolve
from banger.debian.values import Archive, Lock, PackagePin, Release, Source
from banger.model.errors import HostError, TransientError

SHA = "1896a2aacf4ad681ff5eacc24a5b0ca4d5d9c9b9c9e4b6de5197bc1e116ea619"
ARCHIVE = Archive(
    (
        Source("http://m.example/debian", ("bookworm",), ("main",)),
        Source("http://m.example/debian-security", ("bookworm-security",), ("main",)),
    ),
    "bookworm",
    "amd64",
    "/keys",
    "a test",
)
PIN = PackagePin("git", "1:2.39.5-0+deb12u3", "amd64", "pool/main/g/git/git_2.39.5.deb", 7, SHA, security=False)


def test_a_uri_line_becomes_a_pin() -> None:
    line = (
        "'http://m.example/debian-security/pool/updates/main/g/git/git_2.39.5-0%2bdeb12u3_amd64.deb' "
        f"git_1%3a2.39.5-0+deb12u3_amd64.deb 7264380 SHA256:{SHA}"
    )
    assert parse_uri_line(line, ARCHIVE) == PackagePin(
        "git",
        "1:2.39.5-0+deb12u3",
        "amd64",
        "pool/updates/main/g/git/git_2.39.5-0+deb12u3_amd64.deb",
        7264380,
        SHA,
        security=True,
    )


@pytest.mark.parametrize(
    "line",
    [
        f"'http://m.example/debian/pool/main/a/a_1_all.deb' a_1_all.deb 5 MD5Sum:{SHA[:32]}",
        f"'http://other.example/debian/pool/main/a/a_1_all.deb' a_1_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/../../../etc/a_1_all.deb' a_1_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/%2e%2e/a_1_all.deb' a_1_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian//etc/a_1_all.deb' a_1_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/a/a_1_all.deb' ../a_1_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/a/a_1_all.deb' aa_1_all.deb 0 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/a/a_1_all.deb' aa_1_all.deb 99999999999 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/a/a_1_all.deb' aa_1;rm_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/a/a_1_all.deb' -aa_1_all.deb 5 SHA256:{SHA}",
        f"'http://m.example/debian/pool/main/a/a%0a_1_all.deb' aa_1_all.deb 5 SHA256:{SHA}",
        "'",
    ],
)
def test_a_line_that_names_something_else_is_refused(line: str) -> None:
    with pytest.raises(HostError):
        parse_uri_line(line, ARCHIVE)


def test_a_refusal_hides_the_password_of_an_archive() -> None:
    with pytest.raises(HostError) as caught:
        parse_uri_line("'http://me:secret@m.example/x'", ARCHIVE)
    assert "secret" not in caught.value.message


def test_an_inrelease_file_tells_its_suite_and_date() -> None:
    signed = (
        b"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA256\n\nOrigin: Debian\nCodename: bookworm\n"
        b"Date: Sat, 11 Jul 2026 10:16:37 UTC\nSHA256:\n 00 1 main\n-----BEGIN PGP SIGNATURE-----\n\nabc\n"
    )
    release = read_release(signed)
    assert (release.suite, release.date) == ("bookworm", "Sat, 11 Jul 2026 10:16:37 UTC")


@pytest.mark.parametrize("signed", [b"", b"head\n\n", b"head\n\nCodename: x\n", b"head\n\n broken\n"])
def test_an_inrelease_file_without_its_fields_is_refused(signed: bytes) -> None:
    with pytest.raises(HostError, match="codename"):
        read_release(signed)


def test_a_lock_is_the_same_while_its_packages_are() -> None:
    lock = Lock("bookworm", "amd64", (PIN,), (Release("bookworm", "today", SHA),))
    moved = msgspec.structs.replace(PIN, filename="pool/updates/main/g/git/git_2.39.5.deb", security=True)
    assert msgspec.structs.replace(lock, packages=(moved,), releases=()).digest() == lock.digest()
    for change in ({"version": "1:2.39.6"}, {"sha256": "0" * 64}, {"name": "got"}, {"architecture": "all"}):
        other = msgspec.structs.replace(lock, packages=(msgspec.structs.replace(PIN, **change),))
        assert other.digest() != lock.digest()


@pytest.mark.parametrize("name", ["git-", "git+", "git=1", "git/sid", "?all", "-o", "Git", "~n.", "./a.deb", ""])
def test_what_apt_reads_as_more_than_a_name_is_refused(name: str) -> None:
    with pytest.raises(HostError, match="not the name"):
        _checked([name])


async def test_an_archive_that_is_not_there_is_a_transient_error(tmp_path: Path) -> None:
    archive = msgspec.structs.replace(ARCHIVE, sources=(Source(f"file:{tmp_path}/no", ("bookworm",), ("main",)),))
    with pytest.raises(TransientError, match="a test: its index could not be read"):
        await resolve(archive, ["git"], tmp_path / "state")


async def test_an_archive_that_is_not_signed_is_refused(tmp_path: Path) -> None:
    dists = tmp_path / "archive/dists/bookworm"
    dists.mkdir(parents=True)
    (dists / "Release").write_text("Origin: Debian\nCodename: bookworm\nDate: Sat, 11 Jul 2026 10:16:37 UTC\n")
    sources = (Source(f"file:{tmp_path}/archive", ("bookworm",), ("main",)),)
    with pytest.raises(HostError, match="not signed") as caught:
        await resolve(msgspec.structs.replace(ARCHIVE, sources=sources), ["git"], tmp_path / "state")
    assert not isinstance(caught.value, TransientError)
