"""Plans, reasons and times of real VMs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.docs import commands
from tests.real import Banger

pytestmark = [pytest.mark.vm, pytest.mark.network]


def _json(banger: Banger, *words: str) -> Any:
    return json.loads(banger.ok(*words, "--json"))


@pytest.fixture(scope="module")
def with_template(banger: Banger) -> Banger:
    """A template of the usual shape is there, and used."""
    banger.stop()
    banger.env["BANGER_TEMPLATES"] = "on"
    banger.ok("template", "build", "--quiet")
    return banger


@pytest.mark.parametrize("way", ["booted", "restored"])
def test_a_plan_and_the_run_after_it_agree_on_every_hit_and_the_time_is_accounted_for(
    with_template: Banger, way: str
) -> None:
    banger, cold = with_template, ["--cold"] if way == "booted" else []
    plan = {
        node["id"]: node
        for node in json.loads(banger.ok("plan", "vm", "run", "--json", "--rm", *cold, "--", "true"))["nodes"]
    }
    banger.ok("vm", "run", "--rm", *cold, "--", "true")
    view = _json(banger, "runs", "show", "last")
    ran = {node["id"]: node for node in view["nodes"] if node["flavour"] != "release"}
    assert plan.keys() == ran.keys()
    for name, node in ran.items():
        if node["flavour"] in {"build", "query"}:
            assert (name, plan[name]["cache"]) == (name, node["cache"])
            assert plan[name]["digest"] == node["digest"]
    assert plan["guest.initramfs"]["cache"] == "hit"
    assert view["run"]["mode"] == ("warm" if way == "booted" else "restored")

    lines = [json.loads(line) for line in banger.ok("trace", "--json").splitlines()]
    path = [line for line in lines if line["type"] == "path"]
    assert sum(line["exclusive_s"] for line in path) == pytest.approx(view["run"]["seconds"], abs=0.1)
    boot = [line for line in lines if line["type"] == "span"]
    assert [line["name"] for line in boot][:2] == (["vmm and firmware", "kernel, to init"] if cold else [])
    assert all(0 <= line["start_s"] <= line["end_s"] <= view["run"]["seconds"] for line in boot)


def test_a_changed_size_is_the_reason_for_another_work_disk(banger: Banger) -> None:
    banger.ok("vm", "run", "--rm", "--cold", "--disk-size", "1G", "--", "true")  # an earlier run had the default
    answer = _json(banger, "why", "disk.work")
    changes = {change["what"]: (change["before"], change["after"]) for change in answer["steps"][0]["changes"]}
    assert changes["params.size_bytes"] == (str(8 << 30), str(1 << 30))


def test_every_command_of_the_page_works_on_a_real_vm(
    banger: Banger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in commands("plan-and-trace.md"):
        banger.ok(*words)
    trace = json.loads((tmp_path / "trace.json").read_text())
    assert {event["name"] for event in trace["traceEvents"]} >= {"guest.agent", "guest.identity", "needs"}
