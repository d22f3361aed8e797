"""A small chart of text: columns on a scale that is fixed beforehand, so that 99.93 % looks like 99.95 % and not like an outage.

`chart` gives as many lines as it is told, `spark` one. What was not measured is a gap, and nothing like zero: a column that was measured
has at least the lowest step. What is above the scale is full. What is beyond a limit (an SLO) has the tone of what is wrong, and the limit
is a line across the columns that do not reach it. Every line is exactly as wide as it is said to be. Pure.

Not here: what is charted (`tui.views`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tui import paint
from tui.paint import Line, Piece, Tone

STEPS: Final = ("\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588", ".:=+*x%#")
"""From the lowest to a full cell, and its ASCII twin, in which no step looks like the line."""
RULE: Final = ("\u2500", "-")
LARGEST: Final = 1e15
"""What is further from zero is no measurement of ours."""
_FULL: Final = len(STEPS[0])


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """What a chart is drawn on, the same for every series. limit: where the line is; worse: on which side of it a value is a bad one.

    Of several values in one column the worst counts: the highest, or where less is worse the lowest.
    """

    low: float
    high: float
    limit: float | None = None
    worse: Literal["above", "below"] = "above"

    def is_bad(self, value: float) -> bool:
        """Whether it is beyond the limit."""
        return self.limit is not None and (value > self.limit if self.worse == "above" else value < self.limit)


PERCENT: Final = Scale(low=0.0, high=100.0, worse="below")


def spark(values: object, cells: int, scale: Scale) -> Line:
    """One line."""
    return chart(values, cells, 1, scale)[0]


def chart(values: object, cells: int, rows: int, scale: Scale) -> list[Line]:
    """That many lines, the topmost first, each of exactly `cells` cells. values: as the API gives them; what is no figure is a gap."""
    columns = _columns(_figures(values), max(0, cells), scale)
    heights = [None if one is None else _height(one, rows, scale) for one in columns]
    tones: list[Tone] = ["bad" if one is not None and scale.is_bad(one) else "accent" for one in columns]
    ruled = None if scale.limit is None or rows < 2 else (max(1, _height(scale.limit, rows, scale)) - 1) // _FULL
    lines = []
    for row in range(rows - 1, -1, -1):
        signs = ((_sign(height, row, row == ruled), tone) for height, tone in zip(heights, tones, strict=True))
        lines.append(_line(signs, max(0, cells), row == ruled))
    return lines


def _figures(values: object) -> list[float | None]:
    """The series, or nothing where there is none. A truth value is no figure."""
    if not isinstance(values, Sequence) or isinstance(values, str):
        return []
    return [_figure(one) for one in values]


def _figure(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not -LARGEST <= value <= LARGEST:
        return None  # and NaN is not between any two numbers
    return float(value)


def _columns(values: list[float | None], cells: int, scale: Scale) -> list[float | None]:
    """One value for each column: the worst of several where there are more values than cells, else each as often as it fits."""
    if not values or not cells:
        return []
    if len(values) <= cells:
        return [one for one in values for _ in range(cells // len(values))]
    worst: Callable[[Iterable[float]], float] = max if scale.worse == "above" else min
    found: list[float | None] = []
    for at in range(cells):
        some = [one for one in values[at * len(values) // cells : (at + 1) * len(values) // cells] if one is not None]
        found.append(worst(some) if some else None)
    return found


def _height(value: float, rows: int, scale: Scale) -> int:
    """Steps of a column, from 1 to all there are."""
    share = (value - scale.low) / (scale.high - scale.low) if scale.high > scale.low else 0.0
    return round(min(1.0, max(0.0, share)) * (rows * _FULL - 1)) + 1


def _sign(height: int | None, row: int, ruled: bool) -> str:
    """One cell: a step of the column, or what is behind it."""
    which = 1 if paint.Glyphs.ascii else 0
    filled = 0 if height is None else min(_FULL, height - row * _FULL)
    if filled > 0:
        return STEPS[which][filled - 1]
    return RULE[which] if ruled else " "


def _line(signs: Iterable[tuple[str, Tone]], cells: int, ruled: bool) -> Line:
    """The cells as few pieces, filled up to the width."""
    runs: list[tuple[str, Tone]] = []
    rule = RULE[1 if paint.Glyphs.ascii else 0]
    for sign, tone in signs:
        meant: Tone = "dim" if sign == rule else "" if sign == " " else tone
        if runs and runs[-1][1] == meant:
            runs[-1] = (runs[-1][0] + sign, meant)
        else:
            runs.append((sign, meant))
    missing = cells - sum(len(text) for text, _ in runs)
    if missing > 0:
        runs.append(((rule if ruled else " ") * missing, "dim" if ruled else ""))
    return tuple(Piece(text, tone) for text, tone in runs)
