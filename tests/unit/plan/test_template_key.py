"""A template's key changes with each thing that its state rests on, and with nothing else."""

import dataclasses
from collections.abc import Mapping

import pytest

from banger.model.action import Output, action_digest
from banger.model.digest import Digest
from banger.model.vm import Sizes, VmRequest, WorkspaceRequest
from banger.plan.create import plan_create
from banger.plan.machine import HostFacts
from banger.plan.template import TEMPLATE_NODE, plan_template

HOST = HostFacts("boot", "vmm", "programs", "ssh-ed25519 AAAA user")
REQUEST = VmRequest(Sizes(2, 512, 1 << 30))
VMM = {"version": "7.2", "binary_sha256": "ab", "accelerator": "tcg", "reason": "", "tsc_khz": 2_000_000, "cpu": ""}


def output(value: object) -> Digest:
    return Output(value).digest  # type: ignore[arg-type]  # plain data


def inputs(**changes: object) -> dict[str, Digest]:
    made: dict[str, object] = {"vmm": VMM, "kernel": "kernel 6.1", "initramfs": "init and agent", "image": "rootfs"}
    return {name: output(value) for name, value in (made | changes).items()}


def key(request: VmRequest = REQUEST, given: Mapping[str, Digest] | None = None, host: HostFacts = HOST) -> Digest:
    plan = plan_template(request.image, request.sizes, host=host)
    node = plan.graph().nodes[TEMPLATE_NODE]
    assert set(node.inputs) == set(given or inputs())
    return action_digest(node.action, given or inputs())


@pytest.mark.parametrize(
    "given",
    [
        *(inputs(**{name: "another"}) for name in ("kernel", "initramfs", "image")),
        *(
            inputs(vmm=VMM | {name: value})
            for name, value in {
                "version": "7.3",
                "binary_sha256": "cd",
                "accelerator": "kvm",
                "tsc_khz": 2_000_100,
                "cpu": "EPYC",
            }.items()
        ),
    ],
)
def test_another_vmm_kernel_agent_or_image_is_another_template(given: dict[str, Digest]) -> None:
    assert key(given=given) != key()


@pytest.mark.parametrize("sizes", [Sizes(1, 512, 1 << 30), Sizes(2, 513, 1 << 30)])
def test_another_shape_is_another_template(sizes: Sizes) -> None:
    assert key(dataclasses.replace(REQUEST, sizes=sizes)) != key()


def test_another_format_of_the_files_is_another_template(monkeypatch: pytest.MonkeyPatch) -> None:
    before = key()
    monkeypatch.setattr("banger.plan.template.FORMAT", 999)
    assert key() != before


@pytest.mark.parametrize(
    "request_",
    [
        dataclasses.replace(REQUEST, name="box"),
        dataclasses.replace(REQUEST, sizes=Sizes(2, 512, 9 << 30)),
        dataclasses.replace(REQUEST, workspace=WorkspaceRequest("/home/user/repo")),
        dataclasses.replace(REQUEST, ephemeral=True),
    ],
)
def test_name_disk_size_and_workspace_make_no_other_template(request_: VmRequest) -> None:
    assert key(request_) == key()


def test_whose_key_may_log_in_makes_no_other_template() -> None:
    assert key(host=dataclasses.replace(HOST, authorized_key="ssh-ed25519 BBBB other")) == key()


def test_a_vm_from_a_template_looks_for_the_one_that_is_made_behind_a_boot() -> None:
    made = plan_template(REQUEST.image, REQUEST.sizes, host=HOST).graph().nodes[TEMPLATE_NODE]
    plan = plan_create(REQUEST, vm="0" * 32, name="box", host=HOST, from_template=True)
    used = plan.graph().nodes[TEMPLATE_NODE]
    assert (used.action, used.inputs) == (made.action, made.inputs)


def test_a_restored_vm_has_randomness_then_a_time_then_an_identity_and_only_then_ssh() -> None:
    graph = plan_create(REQUEST, vm="0" * 32, name="box", host=HOST, from_template=True).graph()
    assert "vm.boot" not in graph.nodes
    for before, after in (
        ("vm.restore", "guest.agent"),
        ("guest.agent", "guest.entropy"),
        ("guest.entropy", "guest.clock"),
        ("guest.clock", "guest.identity"),
        ("guest.identity", "guest.ssh"),
    ):
        assert before in graph.predecessors[after]
    assert graph.nodes["guest.identity"].action.params["work_bytes"] == REQUEST.sizes.disk_bytes


def test_a_cold_vm_has_no_template_in_its_plan() -> None:
    graph = plan_create(REQUEST, vm="0" * 32, name="box", host=HOST).graph()
    assert TEMPLATE_NODE not in graph.nodes
    assert "vm.restore" not in graph.nodes
    assert graph.nodes["guest.identity"].action.params["work_bytes"] is None
