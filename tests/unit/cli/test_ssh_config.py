"""`banger ssh-config`: nothing is written unless asked for, and the user's own file keeps what is the user's."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.fakes.installation import ROOT, Installation

OWN = "# mine\nHost *.example\n    User me\n\n"


@pytest.fixture
def user(tmp_path: Path) -> Path:
    return tmp_path / ".ssh/config"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / ".config/banger/ssh_config"


@pytest.mark.requirement("CLI-045")
@pytest.mark.requirement("TST-004")
def test_it_says_where_and_how_and_writes_nothing(banger: Installation, user: Path, config: Path) -> None:
    before = sorted(user.parents[1].rglob("*"))
    assert banger.ok("ssh-config").splitlines() == [
        f"file:      {config}",
        f'line:      Include "{config}"',
        f"installed: no, in {user}",
        "to install: banger ssh-config --install",
    ]
    assert json.loads(banger.ok("ssh-config", "--json"))["installed"] is False
    assert sorted(user.parents[1].rglob("*")) == before


@pytest.mark.requirement("CLI-046")
@pytest.mark.requirement("SSH-006")
@pytest.mark.requirement("SSH-007")
@pytest.mark.requirement("TST-004")
def test_installing_twice_is_installing_once_and_keeps_what_was_there(
    banger: Installation, user: Path, config: Path
) -> None:
    user.parent.mkdir()
    user.write_text(OWN)
    user.chmod(0o644)
    assert "installed: yes" in banger.ok("ssh-config", "--install")
    once = user.read_text()
    assert once.endswith("# END banger\n" + OWN)
    assert once.splitlines()[1] == f'Include "{config}"'
    banger.ok("ssh-config", "--install")
    assert user.read_text() == once
    assert (user.stat().st_mode & 0o777, config.stat().st_mode & 0o777) == (0o644, 0o600)
    assert sorted(path.name for path in user.parent.iterdir()) == ["config"]


@pytest.mark.requirement("CLI-047")
@pytest.mark.requirement("TST-004")
def test_uninstalling_removes_the_block_and_nothing_else(banger: Installation, user: Path, config: Path) -> None:
    assert "installed: no" in banger.ok("ssh-config", "--uninstall")
    assert not user.exists()
    user.parent.mkdir()
    user.write_text(OWN)
    banger.ok("ssh-config", "--install")
    assert "installed: no" in banger.ok("ssh-config", "--uninstall")
    assert user.read_text() == OWN
    assert not config.exists()


def test_a_user_file_that_is_a_link_stays_one(banger: Installation, user: Path, tmp_path: Path) -> None:
    user.parent.mkdir()
    (tmp_path / "dotfiles").write_text(OWN)
    user.symlink_to("../dotfiles")
    banger.ok("ssh-config", "--install")
    assert user.is_symlink()
    assert (tmp_path / "dotfiles").read_text().endswith(OWN)


def test_a_block_whose_end_is_missing_is_left_alone(banger: Installation, user: Path) -> None:
    user.parent.mkdir()
    cut = "# BEGIN banger: `banger ssh-config --uninstall` removes these lines\n" + OWN
    user.write_text(cut)
    banger.ok("ssh-config", "--uninstall")
    assert user.read_text() == cut


@pytest.mark.requirement("SSH-006")
def test_ssh_itself_understands_what_is_written(banger: Installation, config: Path, tmp_path: Path) -> None:
    banger.ok("ssh-config", "--install")
    asked = subprocess.run(
        ["/usr/bin/ssh", "-F", config, "-G", "box.vm"], capture_output=True, text=True, check=True, timeout=20
    )
    told = dict(line.split(" ", 1) for line in asked.stdout.splitlines() if " " in line)
    assert told["user"] == "root"
    assert told["proxycommand"].endswith("-P -m banger.cli.main ssh-proxy connect %n")
    assert told["identityfile"] == str(tmp_path / "state/ssh/id_ed25519")
    assert (told["stricthostkeychecking"], told["identityagent"], told["forwardagent"]) == ("true", "none", "no")
    assert "ssh-proxy" not in banger.ok("--help")


@pytest.mark.requirement("DMN-012")
@pytest.mark.requirement("TST-004")
def test_the_daemon_writes_nothing_into_a_home_but_its_state(banger: Installation, tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.iterdir()}
    banger.create("a")
    banger.ok("vm", "stop", "a")
    banger.ok("vm", "start", "a")
    banger.ok("vm", "delete", "a")
    assert {path.name for path in tmp_path.iterdir()} - before <= {"state"}


@pytest.mark.requirement("SSH-011")
@pytest.mark.requirement("SEC-006")
def test_what_the_user_put_beside_bangers_file_stays(banger: Installation, config: Path, user: Path) -> None:
    banger.ok("ssh-config", "--install")
    (config.parent / "mine").write_text("mine")
    (user.parent / "id_mine").write_text("mine")
    banger.ok("ssh-config", "--uninstall")
    assert [path.name for path in config.parent.iterdir()] == ["mine"]
    assert (user.parent / "id_mine").read_text() == "mine"


@pytest.mark.requirement("SSH-011")
def test_one_place_removes_trees_and_only_below_what_banger_made() -> None:
    users = [path for path in (ROOT / "banger").rglob("*.py") if "rmtree(" in path.read_text()]
    assert [str(path.relative_to(ROOT)) for path in users] in ([], ["banger/store/scratch.py"])


@pytest.mark.requirement("SSH-001")
def test_the_key_that_is_configured_is_the_one_that_ssh_offers(banger: Installation, config: Path) -> None:
    config.parent.mkdir(parents=True)
    (config.parent / "config.toml").write_text('ssh_key_path = "~/other"\n')
    banger.ok("ssh-config", "--install")
    assert f'IdentityFile "{banger.env["HOME"]}/other"' in config.read_text()
