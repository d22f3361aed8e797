"""Which fault hits which request, and when it is over."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest

from connectors.simulator import faults
from connectors.simulator.faults import HEALTHY, After, Before, Dice, FaultKind, FaultRefused, FaultState, RequestKind, Verdict
from tests.simulator.world import START

KINDS = RequestKind


def state(*asked: dict[str, Any]) -> FaultState:
    made = FaultState()
    for one in asked:
        _, made = faults.add(made, one, START)
    return made


def decide(made: FaultState, kind: RequestKind = KINDS.AUTHORIZE, seconds: float = 0.0) -> tuple[Verdict, FaultState]:
    return faults.decide(made, kind, Dice("test"), START + timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("fault", "before", "after"),
    [
        ("hang_before", Before.HANG, After.ANSWER),
        ("charge_then_hang", Before.PROCESS, After.HANG),
        ("charge_then_500", Before.PROCESS, After.ERROR_500),
        ("error_500", Before.ERROR_500, After.ANSWER),
        ("reset_before", Before.RESET, After.ANSWER),
        ("reset_after", Before.PROCESS, After.RESET),
        ("rate_limit_429", Before.RATE_LIMIT, After.ANSWER),
        ("malformed", Before.PROCESS, After.MALFORMED),
        ("wrong_amount", Before.PROCESS, After.WRONG_AMOUNT),
    ],
)
def test_each_fault_has_its_effect(fault: str, before: Before, after: After) -> None:
    verdict, _ = decide(state({"fault": fault}))
    assert (verdict.before, verdict.after, verdict.fault) == (before, after, 1)


def test_every_kind_of_fault_can_be_set_and_does_something() -> None:
    for kind in faults.REQUEST_FAULTS:
        on = KINDS.CONNECT if kind is FaultKind.REFUSE else KINDS.CAPTURE
        assert decide(state({"fault": kind.value}), on)[0] != HEALTHY, kind


def test_slow_adds_to_another_fault_and_others_exclude_each_other() -> None:
    verdict, _ = decide(state({"fault": "error_500"}, {"fault": "slow", "seconds": 9}, {"fault": "reset_after"}))
    assert (verdict.before, verdict.after, verdict.delay_seconds) == (Before.ERROR_500, After.ANSWER, 9.0)


def test_retry_after_is_said_only_where_asked_for() -> None:
    assert decide(state({"fault": "rate_limit_429"}))[0].retry_after_seconds is None
    assert decide(state({"fault": "rate_limit_429_retry_after"}))[0].retry_after_seconds == faults.DEFAULT_RETRY_AFTER_SECONDS
    assert decide(state({"fault": "rate_limit_429_retry_after", "seconds": 30}))[0].retry_after_seconds == 30


def test_a_scope_spares_other_operations_and_connections_are_apart() -> None:
    made = state({"fault": "error_500", "scope": "capture"})
    assert decide(made, KINDS.AUTHORIZE)[0] == HEALTHY
    assert decide(made, KINDS.CAPTURE)[0].before is Before.ERROR_500
    assert decide(made, KINDS.CONNECT)[0] == HEALTHY
    refusing = state({"fault": "refuse"})
    assert decide(refusing, KINDS.CAPTURE)[0] == HEALTHY
    assert decide(refusing, KINDS.CONNECT)[0].before is Before.REFUSE


def test_a_fault_ends_by_time_by_count_or_by_hand() -> None:
    timed = state({"fault": "error_500", "for_seconds": 10})
    assert decide(timed, seconds=9.9)[0] != HEALTHY
    assert decide(timed, seconds=10)[0] == HEALTHY
    counted = state({"fault": "error_500", "count": 2})
    for hit in (True, True, False):
        verdict, counted = decide(counted)
        assert (verdict != HEALTHY) == hit
    assert faults.live(counted, START).faults == ()
    both = state({"fault": "error_500"}, {"fault": "slow"})
    assert [fault.id for fault in faults.remove(both, 1).faults] == [2]
    assert faults.remove(both).faults == ()
    assert faults.remove(both).next_id == 3


def test_the_rate_holds_and_the_series_is_the_seeds() -> None:
    made = state({"fault": "error_500", "rate": 0.3})

    def series(seed: str) -> list[bool]:
        dice = Dice(seed)
        return [faults.decide(made, KINDS.VOID, dice, START)[0] != HEALTHY for _ in range(5000)]

    assert series("a") == series("a") != series("b")
    assert 0.27 < sum(series("a")) / 5000 < 0.33
    rng = random.Random(1)
    assert any(faults.decide(made, KINDS.VOID, rng, START)[0] != HEALTHY for _ in range(100))


def test_all_ways_of_being_malformed_come_up() -> None:
    dice = Dice("m")
    made = state({"fault": "malformed"})
    seen = {faults.decide(made, KINDS.VOID, dice, START)[0].malformed for _ in range(100)}
    assert seen == set(faults.Malformed)


def test_a_port_is_closed_only_when_all_connections_are_refused_for_a_time() -> None:
    assert faults.refuses_all(state({"fault": "refuse"}), START) is not None
    assert faults.refuses_all(state({"fault": "refuse", "rate": 0.5}), START) is None
    assert faults.refuses_all(state({"fault": "refuse", "count": 3}), START) is None
    assert faults.refuses_all(state({"fault": "refuse", "for_seconds": 1}), START + timedelta(seconds=1)) is None


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"fault": "settlement_rows_missing"},
        {"fault": "webhooks_lost", "scope": "capture"},
        {"fault": "settlement_missing", "scope": "capture"},
        {"fault": ["refuse"]},
        {"fault": "slow", "rate": 1.1},
        {"fault": "slow", "rate": True},
        {"fault": "slow", "rate": float("nan")},
        {"fault": "slow", "seconds": "3"},
        {"fault": "slow", "count": 0},
        {"fault": "slow", "count": True},
        {"fault": "slow", "for_seconds": 0},
        {"fault": "slow", "for_seconds": 1e300},
        {"fault": "slow", "scope": "connect"},
        {"fault": "refuse", "scope": "capture"},
        {"fault": "slow", "until": "tomorrow"},
    ],
)
def test_what_is_no_fault_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(FaultRefused):
        state(asked)


def test_an_unknown_fault_is_answered_with_those_there_are() -> None:
    with pytest.raises(FaultRefused, match="charge_then_hang"):
        state({"fault": "settlement_rows_missing"})
    with pytest.raises(FaultRefused, match="webhooks_late is about webhooks, not requests: it has no scope"):
        state({"fault": "webhooks_late", "scope": "refund"})
