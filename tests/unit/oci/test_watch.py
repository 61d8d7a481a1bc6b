"""When a transfer has stalled: the law, without waiting for it."""

import pytest

from banger.model.errors import DeadlineError, TransientError
from banger.oci.errors import StoppedError
from banger.oci.limits import PATIENCE
from banger.oci.watch import Stop, Watch
from tests.fakes.clock import FakeClock

SIZE = 10**9


def seconds_until_stalled(bytes_each: int, every_s: float, before: int = 0) -> float:
    """Bytes come like this after `before` have come at once; 1000 s are for ever."""
    watch = Watch(PATIENCE, FakeClock(), Stop())
    watch.expect_flow(SIZE)
    watch.arrived(before, 0.0)
    now = 0.0
    while now < 1000:
        now += every_s
        try:
            watch.arrived(bytes_each, every_s)
        except DeadlineError:
            return now
    return now


@pytest.mark.parametrize(("bytes_each", "every_s"), [(0, 0.2), (1, 1.0), (1, 0.2), (100, 0.2), (1000, 1.0)])
@pytest.mark.parametrize("before", [0, 500_000_000])
def test_less_than_a_kibibyte_a_second_is_a_stall_within_ten_percent_of_thirty_seconds(
    bytes_each: int, every_s: float, before: int
) -> None:
    stalled = seconds_until_stalled(bytes_each, every_s, before)
    assert 30 <= stalled <= (34 if before == 0 else 37)


@pytest.mark.parametrize(("bytes_each", "every_s"), [(1100, 1.0), (220, 0.2), (25_000, 20.0)])
def test_a_slow_network_is_no_stall(bytes_each: int, every_s: float) -> None:
    assert seconds_until_stalled(bytes_each, every_s) >= 1000


def test_a_slow_disk_is_no_stall_of_the_server() -> None:
    clock = FakeClock()
    watch = Watch(PATIENCE, clock, Stop())
    watch.expect_flow(SIZE)
    for _ in range(100):
        clock.now += 60
        watch.arrived(1, 0.0)


def test_a_small_answer_has_a_deadline_for_all_of_it() -> None:
    clock = FakeClock()
    watch = Watch(PATIENCE, clock, Stop())
    watch.expect_within(60)
    clock.now += 59
    watch.arrived(10_000_000, 1)
    clock.now += 1
    with pytest.raises(DeadlineError, match="60 s"):
        watch.arrived(10_000_000, 1)


def test_there_is_an_end_to_what_is_read() -> None:
    watch = Watch(PATIENCE, FakeClock(), Stop())
    watch.expect_flow(10)
    watch.arrived(1_000_000, 0.1)
    with pytest.raises(TransientError, match="no end"):
        watch.arrived(100_000, 0.1)


def test_a_stop_is_seen_with_the_next_tick_and_calls_who_wanted_to_know() -> None:
    stop, called = Stop(), []
    watch = Watch(PATIENCE, FakeClock(), stop)
    with stop.calling(lambda: called.append(1)):
        stop.set()
        with stop.calling(lambda: called.append(2)):
            pass
    with pytest.raises(StoppedError):
        watch.arrived(1, 0.1)
    with pytest.raises(StoppedError):
        stop.wait(60)
    assert called == [1, 2]
