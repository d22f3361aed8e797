"""Charts of text: exactly as wide as they are said to be, on a scale that no data changes."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui import paint
from tui.widgets.minichart import PERCENT, RULE, STEPS, Scale, chart, spark

SLO = Scale(low=0, high=5_000, limit=2_500)
FIGURES = st.one_of(st.none(), st.integers(-10_000, 10_000), st.floats(allow_nan=True, allow_infinity=True))
ANYTHING = st.recursive(st.one_of(FIGURES, st.booleans(), st.text()), lambda inner: st.lists(inner), max_leaves=80)
SCALES = st.sampled_from([PERCENT, SLO, Scale(low=0, high=0), Scale(low=10, high=20, limit=12, worse="below")])


@pytest.fixture
def in_ascii() -> Iterator[None]:
    paint.Glyphs.ascii = True
    yield
    paint.Glyphs.ascii = False


@given(ANYTHING, st.integers(0, 150), st.integers(1, 6), SCALES)
def test_each_line_is_exactly_so_wide_whatever_is_charted(values: object, cells: int, rows: int, scale: Scale) -> None:
    lines = chart(values, cells, rows, scale)
    assert len(lines) == rows
    assert [paint.width(one) for one in lines] == [cells] * rows


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.integers(1, 4))
def test_more_is_never_lower(values: list[float], rows: int) -> None:
    ordered = sorted(values)
    heights = [_height([one], rows, PERCENT) for one in ordered]
    assert heights == sorted(heights)


@given(st.lists(FIGURES, min_size=1, max_size=60), FIGURES)
def test_what_stands_beside_a_value_does_not_change_its_height(others: list[float | None], value: float | None) -> None:
    """The scale is not of the data."""
    alone, among = spark([value], 1, PERCENT), spark([value, *others], 1 + len(others), PERCENT)
    assert paint.plain(among)[0] == paint.plain(alone)


def test_nearly_the_same_looks_the_same() -> None:
    lines = chart([99.93, 99.95, 100.0], 3, 3, PERCENT)
    assert all(len(set(paint.plain(one))) == 1 for one in lines)


def test_a_fall_is_seen() -> None:
    assert paint.plain(spark([97, 61], 2, PERCENT)) == "\u2588\u2585"


def test_what_was_not_measured_is_a_gap_and_zero_is_none() -> None:
    assert paint.plain(spark([None, 0, None, 100], 4, PERCENT)) == f" {STEPS[0][0]} {STEPS[0][-1]}"


def test_the_limit_is_a_line_across_what_does_not_reach_it() -> None:
    top, bottom = (paint.plain(one) for one in chart([100, None, 4_000], 5, 2, SLO))
    assert top == f"{RULE[0] * 2}\u2585{RULE[0] * 2}"
    assert bottom == f"{STEPS[0][0]} {STEPS[0][-1]}  "


def test_what_is_beyond_the_limit_has_the_tone_of_what_is_wrong() -> None:
    below, above = spark([2_500, 2_501], 2, SLO)
    assert (below.tone, above.tone) == ("accent", "bad")
    less = Scale(low=0, high=100, limit=90, worse="below")
    assert [piece.tone for piece in spark([90, 89], 2, less)] == ["accent", "bad"]


def test_of_several_values_in_a_cell_the_worst_counts() -> None:
    assert spark([100, 4_000, 100, 100], 2, SLO)[0].tone == "bad"
    assert paint.plain(spark([100, 20, 100, 100], 2, PERCENT)) == f"{STEPS[0][1]}{STEPS[0][-1]}"
    assert paint.plain(spark([None, 100], 1, PERCENT)) == STEPS[0][-1]


def test_no_step_is_like_the_line_or_a_gap(in_ascii: None) -> None:
    assert len(set(STEPS[1])) == len(STEPS[1]) == len(STEPS[0])
    assert RULE[1] not in STEPS[1]
    assert " " not in STEPS[1]
    assert all(paint.plain(one).isascii() for one in chart([1, None, 5_000], 9, 3, SLO))


def _height(values: list[float], rows: int, scale: Scale) -> int:
    signs = ["", *STEPS[0]]
    return sum(signs.index(paint.plain(one).strip()) for one in chart(values, 1, rows, scale))
