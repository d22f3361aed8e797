"""The arithmetic of a benchmark: percentiles, medians, ratios of pairs. Pure; nothing here measures anything.

Rounds of this machine differ by 5 to 7 % for no reason. So what is quoted is the ratio of two rounds that ran next to each other, and the
median of several such ratios, never one absolute figure against another run's.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """What `count` requests took, in milliseconds; all zero where there were none."""

    count: int
    p50_ms: float
    p95_ms: float
    p99_ms: float
    max_ms: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Ratios:
    """Second to first, pair by pair, and their median."""

    each: tuple[float, ...]
    median: float


def percentile(ascending: Sequence[float], fraction: float) -> float:
    """The smallest value that at least this fraction (above 0, at most 1) of the values does not exceed: nearest rank, never interpolated.

    Raises ValueError for no values or a fraction out of bounds. The values must be sorted.
    """
    if not ascending:
        raise ValueError("no values have no percentile")
    if not 0 < fraction <= 1:
        raise ValueError(f"{fraction} is not in (0, 1]")
    # The subtraction forgives what binary floats add: 0.07 * 100 is a little more than 7, and still means the seventh.
    return ascending[math.ceil(fraction * len(ascending) - 1e-9) - 1]


def median(values: Iterable[float]) -> float:
    """The middle value, or the mean of the two in the middle. Raises ValueError for no values."""
    ascending = sorted(values)
    if not ascending:
        raise ValueError("no values have no median")
    middle = len(ascending) // 2
    return ascending[middle] if len(ascending) % 2 else (ascending[middle - 1] + ascending[middle]) / 2


def latencies(seconds: Iterable[float]) -> Latencies:
    """Summary of what requests took, given in seconds and in any order."""
    ascending = sorted(seconds)
    if not ascending:
        return Latencies(count=0, p50_ms=0.0, p95_ms=0.0, p99_ms=0.0, max_ms=0.0)
    p50, p95, p99 = (round(percentile(ascending, fraction) * 1000, 3) for fraction in (0.50, 0.95, 0.99))
    return Latencies(count=len(ascending), p50_ms=p50, p95_ms=p95, p99_ms=p99, max_ms=round(ascending[-1] * 1000, 3))


def paired_ratios(first: Sequence[float], second: Sequence[float]) -> Ratios:
    """second/first for each pair of rounds. Raises ValueError where the rounds are not pairs or a first one is not positive."""
    if len(first) != len(second) or not first:
        raise ValueError(f"{len(first)} and {len(second)} rounds are not pairs")
    if min(first) <= 0:
        raise ValueError("nothing can be compared with a rate of zero")
    each = tuple(after / before for before, after in zip(first, second, strict=True))
    return Ratios(each=each, median=median(each))


def per_request_us(cpu_seconds: float | None, requests: int) -> float | None:
    """Microseconds of CPU for each request; None where it was not measured or nothing was answered."""
    return None if cpu_seconds is None or requests == 0 else cpu_seconds / requests * 1e6
