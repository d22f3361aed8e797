"""Vital signs: percentiles within their error, windows and steps that count what fell into them, and memory that is bounded."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.domain.histogram import LEAST_MS, MOST_MS, RELATIVE_ERROR, added, bucket_of, percentile, percentile_ms
from payorch.domain.outcome import (
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    NotExecuted,
    Pending,
    Released,
    Source,
    Unknown,
)
from payorch.domain.vital_signs import (
    APPROVED,
    COARSE_KEPT,
    DECLINED,
    ERRORS_KEPT,
    FINE_KEPT,
    ILL,
    KEPT_BACK,
    UNKNOWN,
    Errors,
    Levels,
    Series,
    authorization_rate,
    end_of,
    is_ill,
    ok_percent,
    tried,
)

AT = datetime(2026, 3, 1, tzinfo=UTC)
LATENCIES = st.lists(st.one_of(st.integers(1, 240_000), st.floats(LEAST_MS, MOST_MS)), min_size=1, max_size=200)


def counted(latencies: list[float]) -> dict[int, int]:
    return added({bucket_of(ms): 1} for ms in latencies)


def exact(latencies: list[float], share: float) -> float:
    return sorted(latencies)[max(1, math.ceil(share * len(latencies))) - 1]


def failure(code: str, error_class: ErrorClass = ErrorClass.UNKNOWN_OUTCOME) -> Failure:
    return Failure(error_class=error_class, code=code, message="")


# --- histograms -------------------------------------------------------------------------------------------------------------------------


@given(latencies=LATENCIES, share=st.sampled_from((0.0, 0.5, 0.9, 0.95, 0.99, 1.0)))
def test_a_percentile_is_within_its_relative_error(latencies: list[float], share: float) -> None:
    found = percentile(counted(latencies), share)
    assert found is not None
    assert abs(found / exact(latencies, share) - 1) <= RELATIVE_ERROR + 1e-9


@given(first=LATENCIES, second=LATENCIES)
def test_the_sum_of_two_is_the_histogram_of_both(first: list[float], second: list[float]) -> None:
    assert added([counted(first), counted(second)]) == counted([*first, *second])


@given(ms=st.integers(0, 10_000))
def test_whole_milliseconds_take_the_short_way_to_the_same_bucket(ms: int) -> None:
    assert bucket_of(ms) == bucket_of(float(ms))


def test_what_is_outside_counts_as_the_bound() -> None:
    assert bucket_of(0) == bucket_of(-5) == bucket_of(0.2) == bucket_of(LEAST_MS)
    assert bucket_of(MOST_MS * 1000) == bucket_of(MOST_MS)
    assert percentile({}, 0.5) is None
    assert percentile_ms({}, 0.5) is None
    assert percentile_ms({bucket_of(100): 1}, 0.5) == pytest.approx(100, rel=RELATIVE_ERROR)


# --- windows and steps --------------------------------------------------------------------------------------------------------------------


@given(
    gaps=st.lists(st.floats(0, 40), min_size=1, max_size=300),
    start=st.floats(0, 1e6),
    seconds=st.sampled_from((5, 60, 300)),
)
def test_a_window_counts_what_happened_in_it_and_at_most_a_step_more(gaps: list[float], start: float, seconds: int) -> None:
    series, now, times = Series(start), start, []
    for gap in gaps:
        now += gap
        series.tell(now, (APPROVED,), (100,))
        times.append(now)
    found = series.window(now, seconds)
    inside = sum(one > now - seconds for one in times)
    near = sum(one > now - seconds - 5 for one in times)
    assert inside <= found.count(APPROVED) <= near
    assert sum(found.latencies[0].values()) == found.count(APPROVED)


@given(gaps=st.lists(st.floats(0, 400), min_size=1, max_size=100), start=st.floats(0, 1e6))
def test_the_hour_counts_each_thing_once(gaps: list[float], start: float) -> None:
    series, now, times = Series(start), start, []
    for gap in gaps:
        now += gap
        series.tell(now, (APPROVED,))
        times.append(now)
    minutes = series.steps(now, minutes=1, count=60)
    expected = [sum(int(one // 60) == int(now // 60) - back for one in times) for back in reversed(range(60))]
    assert [step.count(APPROVED) for step in minutes] == expected
    five = [step.count(APPROVED) for step in series.steps(now, minutes=5, count=12)]
    assert five == [sum(int(one // 300) == int(now // 300) - back for one in times) for back in reversed(range(12))]
    hour = series.window(now, 3600).count(APPROVED)
    assert sum(one > now - 3600 for one in times) <= hour <= sum(one > now - 3660 for one in times)


def test_what_is_too_old_is_forgotten_also_where_nothing_follows() -> None:
    series = Series(0)
    series.tell(1, (APPROVED,), (5,))
    assert series.window(299, 300).count(APPROVED) == 1
    assert series.window(400, 300).count(APPROVED) == 0
    assert series.window(400, 3600).count(APPROVED) == 1
    assert series.window(3700, 3600).count(APPROVED) == 0
    assert [step.count(APPROVED) for step in series.steps(4000, minutes=5, count=12)] == [0] * 12


def test_memory_is_bounded() -> None:
    series = Series(0)
    for second in range(20_000):
        series.tell(second, (APPROVED, ILL), (second % 500,))
    assert len(series._fine) <= FINE_KEPT
    assert len(series._coarse) <= COARSE_KEPT


def test_a_young_process_has_rates_over_its_own_life() -> None:
    series = Series(1000)
    for _ in range(20):
        series.tell(1002, (APPROVED,))
    assert series.window(1010, 60).seconds == 10
    assert Series(1000).window(1000, 60).seconds == 1


def test_levels_keep_the_last_value_of_each_step() -> None:
    levels = Levels()
    assert levels.steps(600, minutes=5, count=2) == [None, None]
    levels.tell(10, 3)
    levels.tell(50, 4)
    levels.tell(700, 9)
    assert levels.steps(900, minutes=5, count=4) == [4, 4, 9, 9]


# --- what a call shows -------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("finding", "end", "ill"),
    [
        (Approved(), "approved", False),
        (Pending(), "pending", False),
        (Declined(failure=failure("lost_card", ErrorClass.HARD_DECLINE)), "declined", False),
        (Unknown(failure=failure("read_timeout")), "unknown", True),
        (NotExecuted(failure=failure("connect", ErrorClass.NOT_SENT), sent=False), "not_sent", True),
        (NotExecuted(failure=failure("circuit_open", ErrorClass.NOT_SENT), sent=False), "kept_back", False),
        (NotExecuted(failure=failure("too_many", ErrorClass.RATE_LIMITED), sent=True), "refused", True),
        (NotExecuted(failure=failure("bad", ErrorClass.INVALID_REQUEST), sent=True), "refused", False),
        (Released(expired=True), "looked_up", False),
        (Absent(), "looked_up", False),
    ],
)
def test_how_a_call_ended(finding: Any, end: str, ill: bool) -> None:
    found, why = end_of(Evidence(source=Source.RESPONSE, finding=finding, at=AT))
    assert (found, is_ill(found, why)) == (end, ill)
    assert why == getattr(finding, "failure", None)


def test_what_was_kept_back_is_no_sign() -> None:
    series = Series(0)
    assert ok_percent(series.window(1, 60)) is None
    for whats in [(APPROVED,)] * 3 + [(UNKNOWN, ILL)] + [(KEPT_BACK,)] * 50:
        series.tell(1, whats)
    window = series.window(2, 60)
    assert (ok_percent(window), tried(window)) == (75.0, 4)


def test_a_rate_is_of_yes_and_no() -> None:
    series = Series(0)
    assert authorization_rate(series.window(0, 60)) == (None, 0)
    for whats in [(APPROVED,)] * 9 + [(DECLINED,)] + [(UNKNOWN,)] * 5:
        series.tell(1, whats)
    assert authorization_rate(series.window(2, 60)) == (90.0, 10)


# --- errors -------------------------------------------------------------------------------------------------------------------------------


def test_errors_are_counted_by_class_and_code_over_an_hour() -> None:
    errors = Errors()
    for minute in range(90):
        errors.tell(minute * 60, failure("read_timeout"), f"pay_{minute}", AT + timedelta(minutes=minute))
    for _ in range(20):
        errors.tell(5400, failure("lost_card", ErrorClass.HARD_DECLINE), "pay_x", AT)
    first, second = errors.buckets(5400)
    assert (first.code, first.count, first.payment_id, first.last_at) == ("read_timeout", 59, "pay_89", AT + timedelta(minutes=89))
    assert (second.error_class, second.count) == (ErrorClass.HARD_DECLINE, 20)
    assert first.share + second.share == pytest.approx(100, abs=0.2)
    assert errors.buckets(5400 + 7200) == []


def test_the_kind_of_error_that_is_longest_ago_gives_way() -> None:
    errors = Errors()
    errors.tell(0, failure("first"), "pay_1", AT)
    errors.tell(0, failure("kept"), "pay_1", AT)
    for number in range(ERRORS_KEPT - 1):
        errors.tell(1, failure("kept"), "pay_1", AT)
        errors.tell(1, failure(f"other_{number}"), "pay_1", AT)
    codes = {one.code for one in errors.buckets(2)}
    assert len(codes) == ERRORS_KEPT
    assert "kept" in codes
    assert "first" not in codes
