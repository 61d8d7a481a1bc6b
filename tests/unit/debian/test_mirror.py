"""Which archive is used, and which is not Debian's."""

from pathlib import Path

import pytest

from banger.debian.mirror import find_archives, sources_text, usable_sources
from banger.debian.sources import parse_deb822, parse_one_line
from banger.debian.values import Archive, Source
from banger.model.errors import HostError, SpecError

KEYS = "debian-archive-keyring.gpg"
MMDEBSTRAP = """
    my $mirror    = 'http://archive.example/debian';
    my $secmirror = 'http://security.example/debian-security';
        $mirror = 'http://other.example/ubuntu';
"""


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A machine with Debian's keys, no apt sources and a tool that has a default."""
    (tmp_path / "etc/sources.list.d").mkdir(parents=True)
    (tmp_path / KEYS).write_bytes(b"keys")
    (tmp_path / "mmdebstrap").write_text(MMDEBSTRAP)
    return tmp_path


def find(machine: Path, setting: str | None = None) -> tuple[Archive, ...]:
    return find_archives(
        setting,
        etc=machine / "etc",
        keyrings=machine,
        tools=(machine / "mmdebstrap", machine / "missing"),
        architecture="amd64",
    )


def test_deb822_sources_of_the_host_come_before_the_default_of_a_tool(machine: Path) -> None:
    (machine / "etc/sources.list.d/debian.sources").write_text(
        "Types: deb deb-src\n# a comment\nURIs: http://mirror.example/debian/\nSuites: bookworm bookworm-updates\n"
        "Components: main contrib\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n\n"
        "Types: deb\nURIs: https://mirror.example/debian-security\nSuites: bookworm-security\nComponents: main\n"
    )
    host, default = find(machine)
    assert host.sources == (
        Source("http://mirror.example/debian", ("bookworm", "bookworm-updates"), ("main",)),
        Source("https://mirror.example/debian-security", ("bookworm-security",), ("main",)),
    )
    assert [source.security for source in host.sources] == [False, True]
    assert host.keyring == str(machine / KEYS)
    assert default.sources == (
        Source("http://archive.example/debian", ("bookworm", "bookworm-updates"), ("main",)),
        Source("http://security.example/debian-security", ("bookworm-security",), ("main",)),
    )


def test_one_line_sources_with_options_and_comments_are_read(machine: Path) -> None:
    (machine / "etc/sources.list").write_text(
        "# deb http://commented.example/debian bookworm main\n"
        "deb-src http://source.example/debian bookworm main\n"
        "deb [ arch=arm64 ] http://arm.example/debian bookworm main\n"
        "deb [arch=amd64,arm64 signed-by=/k/debian-archive-keyring.gpg] http://m.example/debian bookworm main # why\n"
    )
    assert find(machine)[0].sources == (Source("http://m.example/debian", ("bookworm",), ("main",)),)


@pytest.mark.parametrize(
    "line",
    [
        "deb http://vendor.example/linux/debian bookworm stable",
        "deb [signed-by=/etc/apt/keyrings/vendor.asc] http://vendor.example/debian bookworm main",
        "deb http://archive.example/debian trixie main",
        "deb http://archive.example/debian-security bookworm-security main",
        "deb cdrom:[Debian]/ bookworm main",
        "deb ftp://old.example/debian bookworm main",
        'deb http://bad.example/"quote bookworm main',
        "deb [trusted=yes http://unclosed.example/debian bookworm main",
        "deb http://short.example/debian",
    ],
)
def test_a_source_that_is_not_debians_suite_is_left_out(line: str) -> None:
    assert usable_sources(parse_one_line(line), "amd64") == ()


@pytest.mark.parametrize("switch", ["Enabled: no", "Enabled: false", "Architectures: arm64", "stray line"])
def test_a_disabled_foreign_or_broken_deb822_entry_is_left_out(switch: str) -> None:
    text = f"Types: deb\n{switch}\nURIs: http://m.example/debian\nSuites: bookworm\nComponents: main\n"
    assert usable_sources(parse_deb822(text), "amd64") == ()


def test_a_mirror_list_is_replaced_by_the_mirrors_in_it(machine: Path) -> None:
    mirrors = machine / "mirrors.list"
    mirrors.write_text(f"http://a.example/debian/\tpriority:1\n# no\nmirror+file:{mirrors}\nhttps://b.example/debian\n")
    (machine / "etc/sources.list").write_text(f"deb mirror+file:{mirrors} bookworm main\n")
    assert [source.uri for source in find(machine)[0].sources] == [
        "http://a.example/debian",
        "https://b.example/debian",
    ]


def test_a_setting_is_the_only_archive() -> None:
    tools: tuple[Path, ...] = ()
    archives = find_archives("file:/srv/debian/", tools=tools, architecture="arm64")
    assert [archive.sources for archive in archives] == [(Source("file:/srv/debian", ("bookworm",), ("main",)),)]
    lines = "deb http://m.example/d bookworm main\ndeb http://m.example/s bookworm-security main\n"
    assert len(find_archives(lines, tools=tools)[0].sources) == 2


@pytest.mark.parametrize("setting", ["", "gopher://x/debian", "deb http://x.example/debian sid main", "/srv/debian"])
def test_a_setting_without_an_archive_is_refused(setting: str) -> None:
    with pytest.raises(SpecError, match="archive"):
        find_archives(setting, tools=())


def test_a_machine_without_debians_keys_is_told_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(HostError) as caught:
        find_archives(etc=tmp_path, keyrings=tmp_path, tools=())
    assert caught.value.hint == "sudo apt-get install debian-archive-keyring"


def test_a_machine_that_knows_no_archive_is_told_what_to_install(tmp_path: Path) -> None:
    (tmp_path / KEYS).touch()
    with pytest.raises(HostError, match="no archive") as caught:
        find_archives(etc=tmp_path, keyrings=tmp_path, tools=())
    assert caught.value.hint == "sudo apt-get install mmdebstrap"


def test_the_installed_mmdebstrap_still_carries_a_default_where_we_look(tmp_path: Path) -> None:
    archives = find_archives(etc=tmp_path)
    assert archives[0].origin == "the default of mmdebstrap"
    assert [source.security for source in archives[0].sources] == [False, True]


def test_a_guest_is_not_told_of_this_machines_files_or_passwords(machine: Path) -> None:
    lines = (
        "deb file:/srv/debian bookworm main\ndeb https://me:secret@m.example/debian bookworm main\n"
        "deb http://m.example/debian bookworm main\n"
    )
    assert sources_text(find(machine, lines)[0]) == "deb http://m.example/debian bookworm main\n"
