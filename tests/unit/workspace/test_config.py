"""git's configuration as git itself reads it, and which includes count."""

import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from banger.model.errors import SpecError
from banger.workspace.config import is_true, parse_config, read_user_config
from banger.workspace.names import check_path, display, public_url
from tests.unit.workspace.repositories import environment

WRITTEN = {
    "plain": "[a]\nb = c\n",
    "bare variable": "[a]\nb\n[a]c\n",
    "quotes": '[a]\nb = "x # y" ; z\nc = a "b  c" d\n',
    "escapes": '[a]\nb = "a\\tb\\nc\\\\d\\"e"\nc = x\\ty\n',
    "continuation": "[a]\nb = one \\\n  two\n",
    "comments": "# x\n[a] ; y\nb = c # d\n",
    "subsection": '[a "B.c\\"d\\\\"]\nKey = 1\n[A.B]\nkey = 2\n',
    "spaces": "[a]\n   b   =   c  d   \n",
    "empty": '[a]\nb =\nc = ""\n',
    "several": "[a]\nb = 1\nb = 2\n[c]\n[a]\nb = 3\n",
    "carriage returns": "[a]\r\nb = c\r\n",
    "one line": "[a] b = c\n",
    "byte order mark": "\ufeff[a]\nb = c\n",
    "not ASCII": "[a]\nb = über\n",
}
BAD = ["[a\nb = c", '[a]\nb = "c', "[a]\n1b = c", "[a]\nb = \\q", '[a "b]\nc = d', "[a]\nb c"]


def ask_git(path: Path) -> tuple[int, list[tuple[str, str]]]:
    argv = ["git", "config", "-f", str(path), "--list", "-z"]
    done = subprocess.run(argv, env=environment(path.parent), capture_output=True, check=False, cwd=path.parent)
    pairs = [one.partition("\n") for one in done.stdout.decode("utf-8", "surrogateescape").split("\0")[:-1]]
    return done.returncode, [(key, value if newline else "true") for key, newline, value in pairs]


def flat(text: str) -> list[tuple[str, str]]:
    return sorted((key, value) for key, values in parse_config(text, "it").items() for value in values)


@pytest.mark.parametrize("text", WRITTEN.values(), ids=WRITTEN)
def test_what_git_reads_is_read_the_same(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_bytes(text.encode())
    status, pairs = ask_git(tmp_path / "file")
    assert status == 0
    assert flat(text) == sorted(pairs)


@pytest.mark.parametrize("text", BAD)
def test_what_git_refuses_is_refused_with_the_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    assert ask_git(tmp_path / "file")[0] != 0
    with pytest.raises(SpecError, match=r"it: bad git configuration in line [12]"):
        parse_config(text, "it")


@given(st.text(alphabet='[]"\\=#; \t\nab.-1', max_size=40))
@settings(max_examples=100, deadline=None)
def test_any_text_is_read_as_git_does_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.config"
    path.write_text(text)
    status, pairs = ask_git(path)
    try:
        found = flat(text)
    except SpecError:
        return  # stricter than git is safe
    assert status == 0
    assert found == sorted(pairs)


@pytest.mark.parametrize("word", ["yes", "on", "true", "1", "no", "off", "false", "0", ""])
def test_booleans(word: str) -> None:
    assert is_true({"a.b": ["no", word]}, "a.b", default=False) == (word in {"yes", "on", "true", "1"})
    assert is_true({}, "a.b", default=True)


@pytest.mark.parametrize(
    ("condition", "counts"),
    [
        ("gitdir:@/work/", True),
        ("gitdir:~/work/", True),
        ("gitdir:work/", True),
        ("gitdir:@/elsewhere/", False),
        ("gitdir:WORK/", False),
        ("gitdir/i:WORK/", True),
        ("gitdir:**/.git", True),
        ("gitdir:@/w?rk/*/.git", True),
        ("onbranch:**", False),
        ("hasconfig:remote.*.url:**", False),
    ],
)
def test_the_users_own_includes_count_by_place(tmp_path: Path, condition: str, *, counts: bool) -> None:
    git_dir = tmp_path / "work/repo/.git"
    git_dir.mkdir(parents=True)
    (tmp_path / ".gitconfig").write_text(
        f'[includeIf "{condition.replace("@", str(tmp_path))}"]\npath = more\n[user]\nemail = last\n'
    )
    (tmp_path / "more").write_text("[user]\nname = included\n")
    found = read_user_config({"HOME": str(tmp_path)}, git_dir)
    assert found.get("user.name") == (["included"] if counts else None)
    assert found["user.email"] == ["last"]


def test_an_include_of_itself_ends(tmp_path: Path) -> None:
    (tmp_path / ".gitconfig").write_text("[include]\npath = ~/.gitconfig\n[a]\nb = c\n")
    assert set(read_user_config({"HOME": str(tmp_path)}, tmp_path)["a.b"]) == {"c"}


URLS = {
    "https://example.org/a.git": "https://example.org/a.git",
    "https://user:token@example.org:8443/a?key=x#y": "https://example.org:8443/a",
    "ssh://git@example.org/a": "ssh://git@example.org/a",
    "ssh://git:pw@[::1]:22/a": "ssh://git@[::1]:22/a",
    "git@example.org:a/b.git": "git@example.org:a/b.git",
    "example.org:a": "example.org:a",
    "git://example.org/a": "git://example.org/a",
    "/srv/a.git": None,
    "../a.git": None,
    "file:///srv/a.git": None,
    "ext::sh -c evil": None,
    "https://example.org/a\nb": None,
    "ssh://-oProxyCommand=evil/a": None,
    "-oProxyCommand@example.org:a": None,
    "ssh://[bad/a": None,
    "": None,
}


@pytest.mark.parametrize(("url", "public"), URLS.items())
def test_of_an_origin_only_what_is_public_travels(url: str, public: str | None) -> None:
    assert public_url(url) == public


@pytest.mark.parametrize("path", ["a//b", "", "/a", "../a", "a/..", "./a", ".git/config", "a/.GIT/x", "a/"])
def test_a_path_that_leads_out_or_into_git_is_refused(path: str) -> None:
    with pytest.raises(SpecError, match="the index names"):
        check_path(path, "the index")


def test_names_are_shown_as_git_shows_them(tmp_path: Path) -> None:
    names = ["plain", "with space", "a\nb", 'q"', "back\\slash", "\x1b[2J", "tab\t"]
    for name in names:
        (tmp_path / name).write_bytes(b"")
    env = environment(tmp_path)
    subprocess.run(["git", "init", "-q", "--template=", tmp_path / ".repo"], env=env, check=True)
    argv = ["git", f"--git-dir={tmp_path}/.repo/.git", f"--work-tree={tmp_path}", "-c", "core.quotePath=false"]
    listing = subprocess.run([*argv, "ls-files", "-o"], cwd=tmp_path, env=env, check=True, capture_output=True).stdout
    shown = listing.decode("utf-8", "surrogateescape").splitlines()
    assert set(shown) == {display(name) for name in names}
    assert display(b"\xff".decode("utf-8", "surrogateescape")) == '"\\377"'
