"""`banger doctor` and `banger daemon logs`: what they ask, what they print, and how they end."""

import json

import pytest

from tests.fakes.installation import Installation


@pytest.mark.requirement("DOC-009")
def test_a_deep_look_makes_a_vm_and_tells_of_it_last(banger: Installation) -> None:
    assert "probe" not in banger.ok("doctor")
    shown = banger.ok("doctor", "--deep", "--quiet").splitlines()
    assert shown[-1] == "ok    probe: boot: Linux 6.1.0, ready after 3.0 s"
    assert json.loads(banger.ok("doctor", "--deep", "--json"))[-1]["name"] == "probe: boot"


def test_fix_prints_commands_and_nothing_else(banger: Installation) -> None:
    assert banger.ok("doctor", "--fix") == ""
    banger.stop()
    done = banger.run("doctor", "--fix", FAKE_DOCTOR="fail")
    assert (done.returncode, done.stdout) == (1, "banger cache prune\n")


def test_the_log_of_the_daemon_is_shown_and_none_is_started_for_it(banger: Installation) -> None:
    done = banger.run("daemon", "logs")
    assert done.returncode == 1
    assert "no daemon has written anything yet" in done.stderr
    assert banger.daemon_pid() is None
    banger.ok("vm", "list")
    banger.stop()
    everything = banger.ok("daemon", "logs").splitlines()
    assert everything
    assert banger.ok("daemon", "logs", "-n", "1").splitlines() == everything[-1:]
    assert banger.daemon_pid() is None
