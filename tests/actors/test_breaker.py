"""The circuit: when it opens, how it is tried again, what an operator may do; and what holds for any series of calls."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.breaker import Circuit, CircuitLimits, Mode, Permit, Reason, Verdict

LIMITS = CircuitLimits(
    window_calls=20,
    window_seconds=60,
    minimum_calls=10,
    failure_rate=0.5,
    slow_rate=0.8,
    failures_in_a_row=5,
    open_seconds=5,
    longest_open_seconds=30,
    probes=2,
    successes_to_close=2,
)
LETTERS = {"g": Verdict.GOOD, "b": Verdict.BAD, "s": Verdict.SLOW, "n": Verdict.NOTHING}


def circuit(**changes: float) -> Circuit:
    return Circuit(replace(LIMITS, **changes), 0)  # type: ignore[arg-type]


def call(one: Circuit, verdict: Verdict, now: float, code: str | None = None) -> bool:
    """One call that comes and ends at once; whether it passed."""
    permit = one.enter(now)
    if permit is None:
        return False
    one.ended(permit, verdict, now, code)
    return True


def calls(one: Circuit, verdicts: str, now: float = 1) -> None:
    for letter in verdicts:
        call(one, LETTERS[letter], now)


def opened(**changes: float) -> Circuit:
    """Opened at second 1 by failures in a row."""
    one = circuit(**changes)
    calls(one, "bbbbb")
    assert one.view(1).mode is Mode.OPEN
    return one


# --- opening


@pytest.mark.parametrize(
    ("verdicts", "reason"),
    [
        ("bbbbb", Reason.FAILURES_IN_A_ROW),
        ("ggggggggbbbbb", Reason.FAILURES_IN_A_ROW),
        ("gbgbgbgbgb", Reason.FAILURE_RATE),
        ("bgbgbgbgb" + "b", Reason.FAILURE_RATE),
        ("ssgsssgsss", Reason.SLOW_RATE),
        ("sbsbsbsbsb", Reason.FAILURE_RATE),
    ],
)
def test_it_opens(verdicts: str, reason: Reason) -> None:
    one = circuit()
    calls(one, verdicts[:-1])
    assert one.view(1).mode is Mode.CLOSED
    calls(one, verdicts[-1])
    view = one.view(1)
    assert (view.mode, view.reason, view.until) == (Mode.OPEN, reason, 6)
    assert one.refuses(5.999)
    assert not one.refuses(6)


@pytest.mark.parametrize(
    "verdicts",
    [
        "bbbb",
        "bbbbgbbbb",
        "bbbbsbbb",  # a slow answer is an answer
        "gggbgbgbgbg",
        "gsgsgsgsgsgsgsgsgsgs",
        "n" * 100,
        "bbbbnnnn",
    ],
)
def test_it_stays_closed(verdicts: str) -> None:
    one = circuit()
    calls(one, verdicts)
    assert one.view(1).mode is Mode.CLOSED


def test_what_is_older_than_the_window_is_forgotten() -> None:
    one = circuit()
    calls(one, "bgbgbgbgb", now=1)
    calls(one, "b", now=61)
    assert one.view(61).calls == 1
    assert one.view(61).mode is Mode.CLOSED


def test_the_window_holds_only_the_last_calls() -> None:
    one = circuit()
    calls(one, "bg" * 4 + "g" * 16)
    assert one.view(1).failures == 2
    calls(one, "bgbgbgbg" + "b")
    assert one.view(1).mode is Mode.CLOSED


def test_the_last_failure_is_named() -> None:
    one = circuit()
    for code in ("connect", "read_timeout"):
        call(one, Verdict.BAD, 1, code)
    assert one.view(1).code == "read_timeout"


# --- trying again


def test_it_is_tried_with_a_few_calls_and_closes_by_good_ones() -> None:
    one = opened()
    first, second = one.enter(6), one.enter(6)
    assert first is not None
    assert second is not None
    assert one.enter(6) is None
    assert one.view(6).mode is Mode.HALF_OPEN
    one.ended(first, Verdict.GOOD, 7)
    third = one.enter(7)
    assert third is not None
    one.ended(second, Verdict.GOOD, 8)
    assert (one.view(8).mode, one.view(8).calls) == (Mode.CLOSED, 0)
    one.ended(third, Verdict.BAD, 9)  # of a period that is over
    assert one.view(9).failures_in_a_row == 0


@pytest.mark.parametrize("verdict", [Verdict.BAD, Verdict.SLOW])
def test_a_probe_that_fails_opens_it_for_longer_each_time_up_to_a_bound(verdict: Verdict) -> None:
    one, now, waits = opened(), 6.0, []
    for _ in range(5):
        assert call(one, verdict, now)
        until = one.view(now).until
        assert until is not None
        waits.append(until - now)
        assert not call(one, Verdict.GOOD, until - 0.001)
        now = until
    assert waits == [10, 20, 30, 30, 30]


def test_a_probe_that_shows_nothing_gives_its_place_back() -> None:
    one = opened(probes=1)
    for _ in range(3):
        assert call(one, Verdict.NOTHING, 6)
    assert one.view(6).mode is Mode.HALF_OPEN
    assert one.view(6).probing == 0


def test_an_illness_that_comes_back_soon_is_the_old_one() -> None:
    one = opened()
    calls(one, "gg", now=6)
    assert one.view(6).mode is Mode.CLOSED
    calls(one, "bbbbb", now=35.9)
    assert one.view(35.9).until == pytest.approx(45.9)
    calls(one, "gg", now=46)
    calls(one, "bbbbb", now=76)
    assert one.view(76).until == 81


def test_answers_to_calls_from_before_the_opening_count_for_nothing() -> None:
    one = circuit()
    early = [one.enter(1) for _ in range(8)]
    calls(one, "bbbbb", now=2)
    for permit in early:
        assert permit is not None
        one.ended(permit, Verdict.GOOD, 8)
    assert one.view(8).mode is Mode.OPEN
    probe = one.enter(8)
    assert probe is not None
    for permit in early:
        assert permit is not None
        one.ended(permit, Verdict.GOOD, 8)
    assert (one.view(8).mode, one.view(8).probing) == (Mode.HALF_OPEN, 1)


def test_calls_whose_maker_is_gone_free_their_places() -> None:
    one = opened()
    lost = [one.enter(6), one.enter(6)]
    assert one.refuses(6)
    one.forget_calls()
    assert not one.refuses(6)
    assert call(one, Verdict.NOTHING, 6)
    for permit in lost:
        assert permit is not None
        one.ended(permit, Verdict.BAD, 7)
    assert one.view(7).mode is Mode.HALF_OPEN


def test_signs_of_recovery_bring_the_next_probe_forward_once() -> None:
    one = opened(open_seconds=30)
    assert one.refuses(2)
    one.hasten(2)
    assert call(one, Verdict.BAD, 2)
    one.hasten(3)
    assert not one.refuses(3)
    later = opened(open_seconds=30)
    later.hasten(2)
    later.hold_off(20, 2)
    later.hasten(3)
    assert later.refuses(19)


# --- the PSP's own word


def test_it_stays_open_until_the_psp_wants_to_be_asked_again() -> None:
    one = circuit()
    for until in (20, 40, 30):
        one.hold_off(until, 10)
        call(one, Verdict.BAD, 10)
        assert not one.refuses(10), "one answer is about one call"
    calls(one, "bb", now=10)
    assert (one.view(10).reason, one.view(10).until) == (Reason.RETRY_AFTER, 40)
    one.hold_off(20, 11)
    assert one.refuses(39)
    one.hold_off(50, 12)
    assert one.refuses(49)
    calls(one, "gg", now=50)
    assert one.view(50).mode is Mode.CLOSED
    one.hold_off(49, 50)
    assert not one.refuses(50)


def test_an_answer_takes_the_psps_word_back() -> None:
    one = circuit()
    one.hold_off(1000, 10)
    calls(one, "bgbbbbb", now=10)
    assert (one.view(10).mode, one.view(10).reason) == (Mode.OPEN, Reason.FAILURES_IN_A_ROW)
    assert not one.refuses(10 + LIMITS.open_seconds)


def test_a_probe_that_is_turned_away_opens_it_until_then() -> None:
    one = opened()
    permit = one.enter(100)
    assert permit is not None
    one.hold_off(150, 100)
    one.ended(permit, Verdict.BAD, 100)
    assert (one.view(100).reason, one.view(100).until) == (Reason.RETRY_AFTER, 150)


def test_a_failed_probe_does_not_come_before_the_psps_word() -> None:
    one = opened()
    one.hold_off(50, 2)
    assert one.refuses(49)
    assert not one.refuses(50)


# --- an operator's word


def test_forced_open_lets_nothing_pass_and_is_then_tried() -> None:
    one = circuit()
    one.force(Mode.FORCED_OPEN, 100, 10, "operator:ann")
    assert one.view(10).by == "operator:ann"
    assert one.refuses(99)
    one.hold_off(200, 50)
    one.hasten(50)
    assert one.refuses(99)
    assert not one.refuses(100)
    assert (one.view(100).mode, one.view(100).reason) == (Mode.HALF_OPEN, Reason.OPERATOR_EXPIRED)
    calls(one, "gg", now=101)
    assert one.view(101).mode is Mode.CLOSED


def test_forced_closed_lets_everything_pass_and_then_goes_by_its_window() -> None:
    one = opened()
    one.force(Mode.FORCED_CLOSED, 100, 2, "operator:ann")
    calls(one, "b" * 20, now=90)
    one.hold_off(200, 90)
    assert not one.refuses(99)
    calls(one, "b", now=100)
    assert one.view(100).mode is Mode.OPEN


def test_a_reset_forgets() -> None:
    one = opened()
    one.reset(2, "operator:ann")
    view = one.view(2)
    assert (view.mode, view.by, view.calls, view.failures_in_a_row, view.openings) == (Mode.CLOSED, "operator:ann", 0, 0, 0)


def test_nobody_forces_it_half_open() -> None:
    with pytest.raises(ValueError, match="half_open"):
        circuit().force(Mode.HALF_OPEN, 10, 1, "operator:ann")


# --- what is told, and remembered


def test_each_change_is_told_once_in_order() -> None:
    one = opened()
    calls(one, "b", now=6)
    calls(one, "gg", now=16)
    told = [(view.mode, view.reason) for view in one.take_transitions()]
    assert told == [
        (Mode.OPEN, Reason.FAILURES_IN_A_ROW),
        (Mode.HALF_OPEN, Reason.PROBING),
        (Mode.OPEN, Reason.PROBE_FAILED),
        (Mode.HALF_OPEN, Reason.PROBING),
        (Mode.CLOSED, Reason.PROBES_SUCCEEDED),
    ]
    assert one.take_transitions() == []


def test_an_open_circuit_is_remembered_as_it_was_left() -> None:
    left = opened()
    calls(left, "b", now=6)
    view = left.view(6)
    one = Circuit(LIMITS, 8)
    one.remember_mode(view.mode, view.reason, view.since, view.until, view.openings, view.code, view.by)
    one.remember_call(7, Verdict.GOOD)
    assert one.refuses(15.9)
    assert call(one, Verdict.BAD, 16)
    assert one.view(16).until == 16 + 20


def test_one_that_was_being_tried_is_tried_anew() -> None:
    one = Circuit(LIMITS, 8)
    one.remember_mode(Mode.HALF_OPEN, Reason.PROBING, 7, None, 2, None, None)
    assert call(one, Verdict.GOOD, 8)
    assert one.view(8).mode is Mode.HALF_OPEN


def test_remembered_calls_fill_the_window_and_open_nothing() -> None:
    one = Circuit(LIMITS, 0)
    for at in range(-8, 0):
        one.remember_call(at, Verdict.BAD, "connect")
    assert one.view(0).mode is Mode.CLOSED
    calls(one, "b", now=1)
    assert one.view(1).reason is Reason.FAILURES_IN_A_ROW


def test_calls_of_before_the_closing_are_not_remembered() -> None:
    one = Circuit(LIMITS, 0)
    one.remember_mode(Mode.CLOSED, Reason.PROBES_SUCCEEDED, -10, None, 1, None, None)
    one.remember_call(-11, Verdict.BAD)
    one.remember_call(-9, Verdict.GOOD)
    assert (one.view(0).calls, one.view(0).failures) == (1, 0)


# --- whatever happens

steps = st.lists(
    st.tuples(
        st.sampled_from(["enter", "end", "hold_off", "hasten", "open", "closed", "reset", "forget", "look"]),
        st.floats(0, 20),
        st.sampled_from(Verdict),
        st.integers(0, 5),
    ),
    max_size=60,
)


@given(steps)
@settings(max_examples=300, deadline=None)
def test_what_always_holds(moves: Sequence[tuple[str, float, Verdict, int]]) -> None:
    one, now = circuit(), 0.0
    permits: list[Permit] = []
    probes: list[Permit] = []
    for move, wait, verdict, which in moves:
        now += wait
        expected = one.refuses(now)
        match move:
            case "enter":
                permit = one.enter(now)
                assert (permit is None) == expected, "what is asked first is what happens then"
                if permit is not None:
                    (probes if permit.probe else permits).append(permit)
            case "end" if permits or probes:
                held = probes if (which % 2 and probes) or not permits else permits
                one.ended(held.pop(which % len(held)), verdict, now)
            case "hold_off":
                one.hold_off(now + which, now)
            case "hasten":
                one.hasten(now)
            case "open" | "closed":
                one.force(Mode.FORCED_OPEN if move == "open" else Mode.FORCED_CLOSED, now + which, now, "operator:ann")
            case "reset":
                one.reset(now, "operator:ann")
            case "forget":
                one.forget_calls()
            case _:
                pass
        view = one.view(now)
        assert 0 <= view.probing <= LIMITS.probes, "probes at once are bounded, and none is given back twice"
        assert view.calls <= LIMITS.window_calls
        assert view.failures + view.slow <= view.calls
        if view.mode is Mode.OPEN and view.reason is not Reason.RETRY_AFTER:
            assert view.until is not None
            assert view.until - view.since <= LIMITS.longest_open_seconds
    # However it was left, time and good answers close it: no probe is ever lost, and nothing is open for ever.
    one.forget_calls()
    for _ in range(10):
        now += 60
        call(one, Verdict.GOOD, now)
    assert one.view(now).mode is Mode.CLOSED
