"""Tools that a checkout asks for: begun in the background, with a log, and never a failure."""

import os
import subprocess
import time
from pathlib import Path

import pytest

import banger.workspace

pytestmark = pytest.mark.requirement("WSP-009")
SCRIPT = Path(banger.workspace.__file__).with_name("mise.sh")


def begin(folder: Path, mise: str | None) -> "subprocess.CompletedProcess[str]":
    """Run the script as the guest does, with a program of that text called mise, or none."""
    bin_dir = folder / "bin"
    bin_dir.mkdir(exist_ok=True)
    for name in ("sh", "mkdir", "tee", "setsid", "sleep"):
        program = next(path for path in (Path("/usr/bin", name), Path("/bin", name)) if path.exists())
        (bin_dir / name).symlink_to(program)
    if mise is not None:
        (bin_dir / "mise").write_text(f"#!/bin/sh\n{mise}\n")
        (bin_dir / "mise").chmod(0o755)
    return subprocess.run(
        ["sh", "-c", SCRIPT.read_text(), "sh", folder / "repo", folder / "cache/mise.log"],
        env={"PATH": str(bin_dir), "HOME": str(folder)},
        capture_output=True,
        text=True,
        check=False,
        timeout=5,
    )


def log_of(folder: Path, ending: str) -> str:
    log = folder / "cache/mise.log"
    for _ in range(100):
        if log.exists() and log.read_text().endswith(ending):
            break
        time.sleep(0.05)
    return log.read_text()


@pytest.mark.parametrize("name", ["mise.toml", ".tool-versions", ".config/mise/config.toml"])
def test_what_a_checkout_asks_for_is_begun_and_not_waited_for(tmp_path: Path, name: str) -> None:
    (tmp_path / "repo" / name).parent.mkdir(parents=True)
    (tmp_path / "repo" / name).touch()
    done = begin(tmp_path, 'sleep 0.5; echo "$1 in $PWD, trusting $MISE_TRUSTED_CONFIG_PATHS"')
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"installing what {name} asks for; its log in the VM: {tmp_path}/cache/mise.log\n"
    place = os.fspath(tmp_path / "repo")
    assert log_of(tmp_path, f"{place}\n") == f"install in {place}, trusting {place}\n"


def test_a_checkout_that_asks_for_nothing_gets_nothing(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    done = begin(tmp_path, "exit 1")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not (tmp_path / "cache").exists()


def test_an_image_without_mise_is_said_to_be_one(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/mise.toml").touch()
    done = begin(tmp_path, None)
    assert done.returncode == 0
    assert "which this image does not have" in done.stderr
    assert "which this image does not have" in log_of(tmp_path, "\n")


def test_an_installation_that_fails_is_in_the_log_alone(tmp_path: Path) -> None:
    (tmp_path / "repo").mkdir()
    (tmp_path / "repo/mise.toml").touch()
    assert begin(tmp_path, "echo no network >&2; exit 1").returncode == 0
    assert log_of(tmp_path, "network\n") == "no network\n"


def test_no_checkout_at_all_is_no_failure(tmp_path: Path) -> None:
    assert begin(tmp_path, None).returncode == 0
