"""Completion: a script that each shell takes, live names, and never a daemon that was not there."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.fakes.installation import Installation

CHECKS = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}


def words_for(banger: Installation, line: str) -> list[str]:
    """What would be offered at the end of a line."""
    words = line.split(" ")
    env = {"_BANGER_COMPLETE": "bash_complete", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    return [one.partition(",")[2] for one in banger.ok(**env).splitlines() if one]


@pytest.mark.requirement("CLI-051")
@pytest.mark.parametrize("shell", sorted(CHECKS))
def test_each_shell_takes_its_script(shell: str, shared: Installation, tmp_path: Path) -> None:
    script = tmp_path / "script"
    script.write_text(shared.ok("completion", shell))
    subprocess.run([*CHECKS[shell], str(script)], check=True, env={"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"})
    assert "_BANGER_COMPLETE" in script.read_text()


@pytest.mark.requirement("CLI-051")
def test_powershell_has_a_script_and_no_other_shell_has(shared: Installation) -> None:
    assert "Register-ArgumentCompleter -Native -CommandName banger" in shared.ok("completion", "powershell")
    assert shared.run("completion", "tcsh").returncode == 2


def test_bash_completes_what_is_typed(banger: Installation, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    assert bash
    runner = tmp_path / "bin" / "banger"
    runner.write_text(f'#!/bin/sh\nexec {" ".join(banger.argv())} "$@"\n')
    runner.chmod(0o755)
    script = "source <(banger completion bash); COMP_WORDS=(banger kernel sh); COMP_CWORD=2; _banger_completion banger"
    done = subprocess.run(
        [bash, "-c", f'{script}; echo "${{COMPREPLY[@]}}"'], env=banger.env, capture_output=True, text=True, check=True
    )
    assert done.stdout == "show\n"


@pytest.mark.requirement("CLI-055")
@pytest.mark.parametrize("line", ["banger vm stop ", "banger kernel show ", "banger vm run --kernel-ref "])
def test_without_a_daemon_nothing_is_offered_and_none_is_started(line: str, banger: Installation) -> None:
    assert words_for(banger, line) == []
    assert banger.daemon_pid() is None
    assert not banger.state.exists()


@pytest.mark.requirement("CLI-052", "CLI-053")
@pytest.mark.requirement("TST-007")
def test_names_of_vms_are_offered_once_and_to_verbs_of_one_in_the_first_place(banger: Installation) -> None:
    for name in ("alpha", "beta"):
        banger.ok("vm", "create", "--name", name)
    assert words_for(banger, "banger vm stop ") == ["alpha", "beta"]
    assert words_for(banger, "banger vm stop alpha ") == ["beta"]
    assert words_for(banger, "banger vm show be") == ["beta"]
    assert words_for(banger, "banger vm show beta ") == []


@pytest.mark.requirement("CLI-054")
def test_names_of_kernels_are_offered(banger: Installation) -> None:
    banger.ok("vm", "list")
    assert words_for(banger, "banger kernel show ") == ["debian-cloud", "generic-6.12"]
    assert words_for(banger, "banger kernel rm g") == ["generic-6.12"]
    assert words_for(banger, "banger vm run --kernel-ref d") == ["debian-cloud"]


def test_commands_and_options_are_offered(shared: Installation) -> None:
    assert words_for(shared, "banger kernel ") == ["list", "show", "pull", "import", "export", "rm"]
    assert "--kernel-ref" in words_for(shared, "banger vm create --k")
