"""The table of a VM's states, exhaustively."""

import itertools

import pytest

from banger.model.errors import ConflictError
from banger.vm.lifecycle import REQUESTS, TRANSITIONS, VmMove, VmState, allowed_requests, next_state

PAIRS = list(itertools.product(VmState, VmMove))


@pytest.mark.parametrize(("state", "move"), PAIRS)
def test_every_move_in_every_state_is_made_or_refused(state: VmState, move: VmMove) -> None:
    if move in TRANSITIONS[state]:
        assert next_state(state, move, name="box") is TRANSITIONS[state][move]
    elif move in REQUESTS:
        with pytest.raises(ConflictError, match=f"VM box is {state}: it cannot {move}; it can ") as caught:
            next_state(state, move, name="box")
        assert caught.value.hint
        assert caught.value.hint.startswith("banger vm ")
        assert caught.value.hint.endswith(" box")
        for possible in allowed_requests(state):
            assert possible in caught.value.message.partition(";")[2]
    else:
        with pytest.raises(AssertionError, match="observed"):
            next_state(state, move, name="box")


def test_the_table_has_a_row_for_every_state() -> None:
    assert set(TRANSITIONS) == set(VmState)


def test_every_state_can_be_reached() -> None:
    reached, todo = set(), [VmState.CREATING]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += TRANSITIONS[state].values()
    assert reached == set(VmState)


def test_a_vm_can_be_deleted_whatever_it_does() -> None:
    for state in VmState:
        assert TRANSITIONS[state][VmMove.DELETE] is VmState.DELETING


def test_the_end_of_the_vmm_is_understood_wherever_there_is_one() -> None:
    with_process = {VmState.STARTING, VmState.RUNNING, VmState.PAUSED, VmState.STOPPING, VmState.DELETING}
    assert {state for state in VmState if VmMove.EXITED in TRANSITIONS[state]} == with_process


def test_a_guest_that_powers_itself_off_is_stopped_and_one_that_dies_while_starting_has_failed() -> None:
    assert TRANSITIONS[VmState.RUNNING][VmMove.EXITED] is VmState.STOPPED
    assert TRANSITIONS[VmState.STARTING][VmMove.EXITED] is VmState.FAILED


def test_nothing_leads_out_of_deleting_but_its_failure() -> None:
    assert set(TRANSITIONS[VmState.DELETING].values()) == {VmState.DELETING, VmState.FAILED}
