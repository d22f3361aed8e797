"""The arithmetic under every published figure: percentiles, medians, ratios of pairs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import figures

_SECONDS = st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=200)


@pytest.mark.parametrize(
    ("fraction", "expected"),
    [(0.001, 1), (0.01, 1), (0.011, 2), (0.07, 7), (0.29, 29), (0.50, 50), (0.57, 57), (0.95, 95), (0.99, 99), (0.991, 100), (1.0, 100)],
)
def test_a_percentile_is_the_nearest_rank(fraction: float, expected: float) -> None:
    assert figures.percentile(range(1, 101), fraction) == expected


def test_percentiles_of_few_values() -> None:
    assert figures.percentile([7.0], 0.01) == figures.percentile([7.0], 0.99) == 7.0
    assert figures.percentile([1.0, 9.0], 0.5) == 1.0
    assert figures.percentile([1.0, 9.0], 0.51) == 9.0


@pytest.mark.parametrize("fraction", [0.0, -0.1, 1.01])
def test_a_percentile_out_of_bounds_is_refused(fraction: float) -> None:
    with pytest.raises(ValueError, match="not in"):
        figures.percentile([1.0], fraction)


def test_no_values_have_no_percentile_and_no_median() -> None:
    with pytest.raises(ValueError, match="no values"):
        figures.percentile([], 0.5)
    with pytest.raises(ValueError, match="no values"):
        figures.median([])


@given(values=_SECONDS, fraction=st.floats(min_value=0.01, max_value=1))
def test_a_percentile_is_the_least_value_that_covers_its_fraction(values: list[float], fraction: float) -> None:
    ascending = sorted(values)
    found = figures.percentile(ascending, fraction)
    needed = fraction * len(ascending) - 1e-6
    assert sum(value <= found for value in ascending) >= needed
    assert sum(value < found for value in ascending) < needed + 1e-5


def test_medians() -> None:
    assert figures.median([3.0, 1.0, 2.0]) == 2.0
    assert figures.median([4.0, 1.0, 2.0, 3.0]) == 2.5


def test_latencies_are_summed_up_in_milliseconds_in_any_order() -> None:
    summary = figures.latencies(number / 1000 for number in range(100, 0, -1))
    assert summary == figures.Latencies(count=100, p50_ms=50.0, p95_ms=95.0, p99_ms=99.0, max_ms=100.0)


def test_no_latencies_are_no_error() -> None:
    assert figures.latencies([]).count == 0


@given(values=_SECONDS)
def test_percentiles_rise(values: list[float]) -> None:
    summary = figures.latencies(values)
    assert summary.p50_ms <= summary.p95_ms <= summary.p99_ms <= summary.max_ms


def test_ratios_are_taken_pair_by_pair() -> None:
    # The second pair ran while the machine was at half its speed: the pairs still agree, the totals would not.
    ratios = figures.paired_ratios([800.0, 400.0, 1000.0], [600.0, 300.0, 900.0])
    assert ratios.each == (0.75, 0.75, 0.9)
    assert ratios.median == 0.75


@pytest.mark.parametrize(("first", "second"), [([1.0], []), ([], []), ([0.0], [1.0])])
def test_rounds_that_are_no_pairs_are_refused(first: list[float], second: list[float]) -> None:
    with pytest.raises(ValueError, match=r"pairs|zero"):
        figures.paired_ratios(first, second)


def test_cpu_per_request() -> None:
    assert figures.per_request_us(1.5, 1000) == pytest.approx(1500)
    assert figures.per_request_us(None, 1000) is None
    assert figures.per_request_us(1.5, 0) is None
