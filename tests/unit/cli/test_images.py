"""The image verbs: what they ask of the daemon, what they print, and how they end."""

import json
from pathlib import Path

import pytest

from tests.fakes.installation import Installation


def asked(banger: Installation, call: str) -> list[dict[str, object]]:
    lines = (banger.state / "calls.jsonl").read_text().splitlines()
    return [argument for name, argument in map(json.loads, lines) if name == call]


def test_pull_passes_on_what_was_typed_and_prints_the_name(
    banger: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert banger.ok("image", "pull", "host.example:5000/team/app@sha256:" + "0" * 64, "--name", "app") == "app\n"
    assert banger.ok("image", "pull", "oci:./dir:v1", "--pull", "missing", "-q") == "dir-v1\n"
    assert [one["source"] for one in asked(banger, "image_pull")] == [
        "host.example:5000/team/app@sha256:" + "0" * 64,
        f"oci:{tmp_path}/dir:v1",
    ]
    assert [(one["name"], one["pull"]) for one in asked(banger, "image_pull")] == [("app", "always"), (None, "missing")]


def test_list_and_show_say_where_an_image_comes_from_and_who_uses_it(shared: Installation) -> None:
    head, line, *_ = shared.ok("image", "list").splitlines()
    assert head.split() == ["NAME", "STATE", "ON", "DISK", "ADDED", "VMS", "SOURCE"]
    assert line.split() == ["base", "ready", "17.6", "KiB", "-", "1", "host.example/base:1"]
    shown = shared.ok("image", "show", "host.example/base:1")
    assert "used by:   web" in shown
    assert "layers:    2, 2.9 KiB" in shown
    assert json.loads(shared.ok("image", "show", "base", "--json"))["vms"] == ["web"]
    assert shared.run("image", "show", "nothing").returncode == 1


@pytest.mark.requirement("IMG-032")
def test_an_image_in_use_is_not_deleted_and_the_vm_is_named(banger: Installation) -> None:
    done = banger.run("image", "delete", "base")
    assert done.returncode == 1
    assert done.stderr == "banger: image base is used by VM web\n  try: banger vm delete web\n"
    banger.ok("image", "pull", "host.example/other:1", "-q")
    assert banger.ok("image", "delete", "host.example/other:1").startswith("deleted other-1, which took ")


@pytest.mark.requirement("IMG-003", "IMG-004")
def test_register_sends_absolute_paths_and_promote_makes_it_ready(
    banger: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert banger.ok("image", "register", "mine", "--rootfs", "root.ext4", "--work-seed", "work.ext4") == "mine\n"
    (sent,) = asked(banger, "image_register")
    assert (sent["rootfs"], sent["seed"]) == (f"{tmp_path}/root.ext4", f"{tmp_path}/work.ext4")
    assert banger.ok("image", "promote", "mine") == "mine\n"
    assert "state:     ready" in banger.ok("image", "show", "mine")


def test_a_vm_is_made_of_files_named_from_here(
    banger: Installation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    banger.ok("vm", "create", "--image", "docker-archive:a.tar:x/y:1", "--pull", "always")
    (sent,) = asked(banger, "create_vm")
    assert (sent["image"], sent["pull"]) == (f"docker-archive:{tmp_path}/a.tar:x/y:1", "always")
