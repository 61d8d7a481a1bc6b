"""The kernel verbs: what they ask of the daemon, what they print, and how they end."""

import json

import pytest

from tests.fakes.installation import Installation


def test_the_list_says_what_is_here_what_is_kept_and_where_it_is_from(banger: Installation) -> None:
    banger.ok("kernel", "pull", "generic-6.12", "-q")
    head, usual, other = banger.ok("kernel", "list").splitlines()
    assert head.split() == ["NAME", "RELEASE", "HERE", "SIZE", "USED", "BY", "SOURCE"]
    assert usual.split()[:4] == ["debian-cloud", "6.1.0-56-cloud-amd64", "yes", "70.0"]
    assert other.split()[:4] == ["generic-6.12", "6.12", "kept", "-"]
    names = [one["name"] for one in json.loads(banger.ok("kernel", "list", "--json"))]
    assert names == ["debian-cloud", "generic-6.12"]


def test_an_import_sends_absolute_paths(banger: Installation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/usr")
    assert banger.ok("kernel", "import", "mine", "share/k", "--modules", "../lib") == "mine: Linux 6.6.1\n"
    shown = json.loads(banger.ok("kernel", "show", "mine", "--json"))
    assert (shown["source"], shown["origin"]) == ("/usr/share/k", "imported")
    done = banger.run("kernel", "import", "mine", "share/k")
    assert done.returncode == 1
    assert "there is a kernel called mine already" in done.stderr


def test_a_kernel_is_shown_and_removed(banger: Installation) -> None:
    shown = banger.ok("kernel", "show", "debian-cloud")
    assert "release:      6.1.0-56-cloud-amd64" in shown
    assert "used by:      no VM" in shown
    assert banger.ok("kernel", "rm", "debian-cloud", "generic-6.12") == "removed debian-cloud\nremoved generic-6.12\n"
    banger.ok("kernel", "import", "mine", "/k", "-q")
    assert [one["name"] for one in json.loads(banger.ok("kernel", "rm", "mine", "--json"))] == ["mine"]
    done = banger.run("kernel", "show", "debian-cloud")
    assert done.returncode == 1
    assert "try: banger kernel list" in done.stderr


def test_a_name_that_no_kernel_can_have_is_refused_before_anything_is_done(banger: Installation) -> None:
    done = banger.run("kernel", "import", "../x", "/boot/k")
    assert done.returncode == 1
    assert "cannot be a kernel's name" in done.stderr
    assert not banger.state.exists()


@pytest.mark.parametrize("verb", [["vm", "create"], ["plan", "vm", "create"], ["plan", "vm", "run"]])
def test_the_kernel_of_a_vm_is_asked_for_by_its_name(verb: list[str], banger: Installation) -> None:
    banger.ok(*verb, "--kernel-ref", "generic-6.12")
    (asked,) = banger.calls("create_vm" if verb[0] == "vm" else "plan_create")
    assert isinstance(asked, dict)
    assert asked["kernel"] == "generic-6.12"
