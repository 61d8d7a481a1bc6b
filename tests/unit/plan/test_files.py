"""file_sync in a plan: where it stands, and that it is not there where nothing is configured."""

import dataclasses

import pytest

from banger.model.config import FileSync
from banger.model.vm import Sizes, VmRequest, WorkspaceRequest
from banger.plan.create import plan_create
from banger.plan.machine import HostFacts
from banger.plan.start import plan_start
from banger.plan.template import plan_template

HOST = HostFacts("boot", "vmm", "programs", "ssh-ed25519 AAAA user")
FILES = dataclasses.replace(HOST, file_sync=(FileSync("~/.netrc", "/root/.netrc"),))
REQUEST = VmRequest(Sizes(2, 512, 1 << 30))


def above(nodes: dict[str, set[str]], node: str) -> set[str]:
    """All that a node waits for."""
    return nodes[node].union(*(above(nodes, one) for one in nodes[node]))


@pytest.mark.requirement("FSY-001")
def test_without_entries_there_is_no_such_node() -> None:
    assert "guest.files" not in plan_create(REQUEST, vm="a", name="a", host=HOST).tasks
    assert "guest.files" not in plan_start(REQUEST, vm="a", name="a", host=HOST).tasks


@pytest.mark.requirement("FSY-015", "DMN-016")
@pytest.mark.parametrize("from_template", [False, True])
def test_files_are_copied_at_create_and_start_once_the_home_is_there(*, from_template: bool) -> None:
    request = dataclasses.replace(REQUEST, workspace=WorkspaceRequest("/app"))
    made = plan_create(request, vm="a", name="a", host=FILES, from_template=from_template)
    started = plan_start(REQUEST, vm="a", name="a", host=FILES)
    for plan in (made, started):
        nodes = {node.id: {*node.inputs.values(), *node.after} for node in plan.nodes}
        assert "guest.identity" in above(nodes, "guest.files")
    nodes = {node.id: {*node.inputs.values(), *node.after} for node in made.nodes}
    assert "workspace.sync" in above(nodes, "guest.files")


@pytest.mark.requirement("SEC-004")
def test_files_are_no_part_of_a_template() -> None:
    plan = plan_template(REQUEST.image, REQUEST.sizes, host=FILES)
    assert "guest.files" not in plan.tasks
    assert plan.graph().nodes == plan_template(REQUEST.image, REQUEST.sizes, host=HOST).graph().nodes
