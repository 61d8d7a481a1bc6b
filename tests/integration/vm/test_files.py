"""file_sync in real VMs: at each start, from a template too; and what is in the files is nowhere but in the guest."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real import Banger, copy_state

pytestmark = [pytest.mark.vm, pytest.mark.network]
SECRET = "hunter2-canary-of-file-sync"
SHAPE = ("--vcpu", "1", "--memory", "256", "--disk-size", "1G")
CONFIG = """\
[[file_sync]]
host = "~/.netrc"
guest = "~/.netrc"

[[file_sync]]
host = "~/tools"
guest = "/root/.local/tools"

[[file_sync]]
host = "~/none"
guest = "~/none"
"""


@pytest.fixture
def home(banger: Banger) -> Iterator[Path]:
    """A home with a configuration and the files that it names."""
    folder = banger.home / ".config/banger"
    folder.mkdir(parents=True)
    (folder / "config.toml").write_text(CONFIG)
    (banger.home / ".netrc").write_text(f"password {SECRET}\n")
    (banger.home / "tools").mkdir()
    (banger.home / "tools/deploy").write_text("#!/bin/sh\necho deployed\n")
    (banger.home / "tools/deploy").chmod(0o755)
    (banger.home / "tools/link").symlink_to("../.netrc")
    yield banger.home
    shutil.rmtree(banger.home / ".config")
    shutil.rmtree(banger.home / "tools")
    (banger.home / ".netrc").unlink()


def places(banger: Banger) -> list[str]:
    """Files of the state directory, and of the temporary one, that hold the secret, once no VM is left."""
    files = [path for path in [*banger.state.rglob("*"), *banger.temporary.rglob("*")] if path.is_file()]
    return [str(path) for path in files if not path.is_symlink() and SECRET.encode() in path.read_bytes()]


@pytest.mark.requirement("FSY-015", "FSY-006", "FSY-008", "FSY-009", "FSY-011", "SEC-004")
def test_files_are_there_at_every_start_and_nowhere_else(banger: Banger, home: Path) -> None:
    done = banger.run("vm", "create", "--name", "box", *SHAPE)
    assert done.returncode == 0, done.stderr
    assert "file_sync skipped symlink (would escape the requested tree): '~/tools/link'" in done.stderr
    assert "file_sync skipped ~/none: it is not there" in done.stderr
    inside = "stat -c '%a %u:%g' .netrc; cat .netrc; .local/tools/deploy; ls .local/tools"
    shown = banger.ok("vm", "exec", "box", "--", "sh", "-c", inside)
    assert shown == f"600 0:0\npassword {SECRET}\ndeployed\ndeploy\n"
    assert banger.ok("vm", "exec", "box", "--", "cat", "/root/.ssh/authorized_keys").count("ssh-ed25519") == 1

    (home / ".netrc").write_text("password another\n")
    banger.ok("vm", "stop", "box")
    banger.ok("vm", "start", "box")
    assert banger.ok("vm", "exec", "box", "--", "cat", ".netrc") == "password another\n"
    banger.ok("why", "guest.files")
    banger.ok("trace")
    banger.ok("vm", "delete", "box")
    banger.stop()
    assert places(banger) == []


@pytest.mark.requirement("FSY-007")
def test_a_file_that_cannot_be_copied_ends_the_create_and_leaves_nothing(banger: Banger, home: Path) -> None:
    (home / ".netrc").unlink()
    (home / ".netrc").symlink_to("/etc/hostname")
    done = banger.run("vm", "create", "--name", "none", *SHAPE)
    assert done.returncode == 1
    assert "file_sync[0]: ~/.netrc leads to /etc/hostname, which is not in your home" in done.stderr
    assert json.loads(banger.ok("vm", "list", "--json")) == []


def test_a_checkout_and_files_in_it_do_not_stand_in_each_others_way(banger: Banger, home: Path) -> None:
    config = home / ".config/banger/config.toml"
    config.write_text('[[file_sync]]\nhost = "~/.netrc"\nguest = "~/repo/.env"\n')
    repository = home / "app"
    repository.mkdir()
    (repository / "README").write_text("app\n")
    for words in (["init", "-q"], ["add", "."], ["-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "x"]):
        subprocess.run(["git", *words], cwd=repository, check=True)
    run = ("vm", "run", "--rm", *SHAPE, str(repository), "--", "cat", "README", ".env")
    done = banger.run(*run)
    shutil.rmtree(repository)
    assert done.stdout == f"app\npassword {SECRET}\n", done.stderr


@pytest.mark.slow
def test_a_restored_vm_has_them_and_its_template_has_not(
    ready_state: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    banger = copy_state(ready_state, tmp_path_factory.mktemp("frozen"))
    banger.env["BANGER_TEMPLATES"] = "on"
    (banger.home / "config.toml").write_text('[[file_sync]]\nhost = "~/.netrc"\nguest = "~/.netrc"\n')
    banger.env["BANGER_CONFIG"] = str(banger.home / "config.toml")
    (banger.home / ".netrc").write_text(f"password {SECRET}\n")
    try:
        banger.ok("template", "build", *SHAPE[:4])
        banger.ok("vm", "create", "--name", "box", *SHAPE)
        vm = json.loads(banger.ok("vm", "show", "box", "--json"))
        assert b"\0-incoming\0" in Path(f"/proc/{vm['pid']}/cmdline").read_bytes()
        assert banger.ok("vm", "exec", "box", "--", "cat", ".netrc") == f"password {SECRET}\n"
        banger.ok("vm", "delete", "box")
    finally:
        banger.stop()
    assert places(banger) == []
