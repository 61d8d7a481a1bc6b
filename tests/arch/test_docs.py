"""The documentation: what must be in it, that its links lead somewhere, and that its commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import click
import pytest

from banger.cli.app import LazyGroup, _tree

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "AGENTS.md", *sorted((ROOT / "docs").glob("*.md"))]
README = (ROOT / "README.md").read_text()
WAS = re.compile(r"\b(legacy|previously|no longer|migrat(?:e|ed|ion|ions|ing))\b", re.IGNORECASE)


def section(title: str) -> str:
    """What the README says under a title."""
    found = re.search(rf"^## {title}\n(.*?)(?=^## |\Z)", README, re.DOTALL | re.MULTILINE)
    assert found, title
    return found[1]


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings are linked to."""
    heads = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)?(?:#[\w-]+)?\)", page.read_text()):
        if target and not target.startswith(("https://", "http://")):
            assert (page.parent / target).exists(), target
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([\w-]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert anchor in anchors(page.parent / target if target else page), (target, anchor)


@pytest.mark.requirement("DCS-014")
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_says_what_is_and_not_what_was(page: Path) -> None:
    assert WAS.findall(page.read_text()) == []


def commands(text: str) -> list[list[str]]:
    """The words after `banger` of each command in a block of code, and in running text."""
    blocks = "\n".join(re.findall(r"```(?:sh|console)\n(.*?)```", text, re.DOTALL))
    lines = re.findall(r"(?:^|\$ |[|&(] ?|\$\()banger ([^#\n|)]*)", blocks, re.MULTILINE)
    return [line.split() for line in lines + re.findall(r"`banger ([a-z][^`…]*)`", text)]


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "requirements.md"], ids=lambda page: page.name)
def test_every_command_that_is_named_is_one_that_there_is(page: Path) -> None:
    for words in commands(page.read_text()):
        _resolve([word.split("|")[0].split("\\")[0].rstrip(".,;:)") for word in words])


def _resolve(words: list[str]) -> None:
    """Follow words down the tree of commands; the options of the one at the end must be its own."""
    command: click.Command = _tree()
    rest = list(words)
    while isinstance(command, LazyGroup) and rest and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        if found is None and command.name == "bench":  # which has a command that need not be named
            break
        assert found is not None, f"banger {' '.join(words)}"
        command = found
        rest.pop(0)
    if isinstance(command, LazyGroup):
        return
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest[: rest.index("--")] if "--" in rest else rest:
        if word.startswith("--"):
            assert word.split("=")[0] in known | {"--help"}, f"banger {' '.join(words)}: {word}"


@pytest.mark.requirement("DCS-001")
def test_the_readme_begins_with_what_is_needed_and_ends_with_where_to_go_on() -> None:
    begin = README[:600]
    assert "Linux on x86_64 (amd64)" in begin
    assert "arm64 is not supported, since" in begin
    order = [
        "Quick start",
        "What it is like",
        "Names, image, configuration",
        "File sync",
        "Security",
        "Further reading",
    ]
    places = [README.index(f"## {title}") for title in order]
    assert places == sorted(places)
    reading = section("Further reading")
    pages = {page.name for page in (ROOT / "docs").glob("*.md")}
    assert pages <= set(re.findall(r"docs/([\w-]+\.md)", reading))


@pytest.mark.requirement("CFG-002")
def test_the_readme_names_the_configuration_first() -> None:
    assert re.findall(r"docs/([\w-]+\.md)", section("Further reading"))[0] == "config.md"


@pytest.mark.requirement("DCS-002")
def test_the_readme_shows_the_three_ways_and_when_rm_keeps_a_vm() -> None:
    text = section("What it is like")
    for line in ("banger vm run  ", "banger vm run ~/src/app  ", "banger vm run --rm ~/src/app -- make test"):
        assert f"\n{line}" in text
    assert re.search(r"if its SSH never\s+answers in time, it stays", text)


@pytest.mark.requirement("DCS-003", "DCS-007")
def test_the_readme_is_true_to_what_sshd_allows() -> None:
    from banger.guest.files import SSHD_DROP_IN

    text = section("Security")
    assert re.search(r"by key only: no password, no keyboard-interactive", text)
    for setting in (
        b"PermitRootLogin prohibit-password",
        b"PasswordAuthentication no",
        b"KbdInteractiveAuthentication no",
    ):
        assert setting in SSHD_DROP_IN.content
    assert re.search(r"`ssh_key_path` .* a whole path or one that begins with `~/`", text, re.DOTALL)
    assert re.search(r"`ssh NAME.vm` .* is a convenience that you can opt into", text, re.DOTALL)


@pytest.mark.requirement("DCS-004")
def test_the_readme_installs_completion_for_three_shells() -> None:
    text = section("Completion")
    for shell in ("bash", "zsh", "fish"):
        assert f"banger completion {shell}" in text


@pytest.mark.requirement("DCS-005")
def test_install_and_uninstall_stand_side_by_side() -> None:
    lines = README.splitlines()
    (at,) = [number for number, line in enumerate(lines) if line.startswith("make install")]
    assert lines[at + 1].startswith("make uninstall")


@pytest.mark.requirement("DCS-006", "FSY-013")
def test_the_readme_shows_file_sync_and_what_becomes_of_links() -> None:
    from banger.model.config_text import parse_config

    text = section("File sync")
    (example,) = re.findall(r"```toml\n(.*?)```", text, re.DOTALL)
    assert len(parse_config(example, path="/x", environ={"HOME": "/h"}).file_sync) == 2
    assert "**links in it are skipped**" in text


@pytest.mark.requirement("CLI-027")
def test_the_advanced_page_tells_scripts_of_create() -> None:
    assert "banger vm create" in (ROOT / "docs" / "advanced.md").read_text()


@pytest.mark.requirement("DCS-011", "DCS-012")
def test_who_works_on_it_is_told_where_to_look_and_in_which_order_locks_are_taken() -> None:
    agents = (ROOT / "AGENTS.md").read_text()
    for said in ("banger vm run", "debian-bookworm-slim", "docs/architecture.md", "docs/kernel-catalog.md", "publish"):
        assert said in agents
    architecture = (ROOT / "docs" / "architecture.md").read_text()
    order = ["the lock of the state directory", "the lock of one VM", "the pools of the host", "the claim on a Build"]
    places = [architecture.index(said) for said in order]
    assert places == sorted(places)


@pytest.mark.requirement("SCR-004")
def test_the_root_directory_is_clean() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    top = {name.partition("/")[0] for name in listed.splitlines()}
    wanted = {
        "banger",
        "configs",
        "docs",
        "scripts",
        "tests",
        "AGENTS.md",
        "CHANGELOG.md",
        "LICENSE",
        "Makefile",
        "README.md",
    }
    assert {name for name in top - wanted if not name.startswith(".")} <= {"pyproject.toml", "requirements.lock"}


@pytest.mark.requirement("SCR-007", "SEC-010")
def test_keys_and_what_is_built_are_ignored() -> None:
    names = ["build/bin/x", "build/man/x", "x.pem", "x.key", "id_rsa", ".env"]
    done = subprocess.run(["git", "check-ignore", *names], cwd=ROOT, check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == names


@pytest.mark.requirement("SCR-008")
def test_the_licence_is_mit() -> None:
    assert (ROOT / "LICENSE").read_text().startswith("MIT License")


def test_manual_pages_are_whole_and_groff_finds_nothing_wrong(tmp_path: Path) -> None:
    argv = [sys.executable, str(ROOT / "scripts" / "make_man.py"), str(tmp_path)]
    subprocess.run(argv, check=True, cwd=ROOT, timeout=60)
    pages = sorted((tmp_path / "man1").iterdir())
    names = {page.stem for page in pages}
    assert {"banger", "banger-vm", "banger-vm-run", "banger-config-show"} <= names
    for page in pages:
        text = page.read_text()
        assert ".SH NAME" in text
        named = set(re.findall(r"^\.BR ([\w\\-]+) \(1\)", text, re.MULTILINE))
        assert {name.replace("\\-", "-") for name in named} <= names
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", *pages], check=False, capture_output=True, text=True, timeout=60
    )
    assert (done.returncode, done.stderr) == (0, "")
