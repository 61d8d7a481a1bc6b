"""`make install` and `make uninstall`: links into a prefix, and nothing of it is left, and nothing else is gone."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.installation import ROOT

SCRIPT = ROOT / "scripts" / "install.sh"


def script(what: str, home: Path) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": os.environ["PATH"]}
    return subprocess.run([SCRIPT, what], env=env, capture_output=True, text=True, check=False, timeout=120)


def tree(home: Path) -> dict[str, str]:
    """Every file and link, with what it holds or where it leads."""
    files = [path for path in sorted(home.rglob("*")) if path.is_symlink() or path.is_file()]
    return {str(path): str(path.readlink()) if path.is_symlink() else path.read_text() for path in files}


@pytest.mark.requirement("DMN-011")
def test_what_is_installed_runs_and_goes_and_what_is_the_users_stays(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for name in (".local/state/banger/vms/disk", ".config/banger/config.toml", ".local/bin/other"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(f"# {name}\n")
    before = tree(home)
    for _ in range(2):  # a second time changes nothing
        done = script("install", home)
        assert done.returncode == 0, done.stderr
    version = subprocess.run([home / ".local/bin/banger", "--version"], capture_output=True, text=True, check=True)
    assert version.stdout.startswith("banger ")
    assert (home / ".local/share/man/man1/banger-vm-run.1").read_text().startswith('.TH "BANGER')
    done = script("uninstall", home)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [f"{home}/.local/state/banger", f"{home}/.config/banger"]
    assert tree(home) == before
    assert script("uninstall", home).returncode == 0


def test_a_program_of_that_name_that_is_not_ours_is_left_alone(tmp_path: Path) -> None:
    theirs = tmp_path / ".local/bin/banger"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("theirs\n")
    done = script("install", tmp_path)
    assert done.returncode == 1
    assert "is not banger's" in done.stderr
    script("uninstall", tmp_path)
    assert theirs.read_text() == "theirs\n"
