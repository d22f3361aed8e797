"""Latencies in fixed logarithmic buckets: small, quick to add to, and the sum of two is the histogram of both.

A value between LEAST_MS and MOST_MS comes back from `percentile` with an error of at most RELATIVE_ERROR; what is outside counts as the
bound. A bucket is as wide as a twentieth of where it stands, so a second and a minute are told with the same care.

Pure. Not here: over which time something is counted (`vital_signs`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

GROWTH: Final = 1.05
"""From one bucket to the next. Some 250 of them reach from a millisecond to four minutes."""
RELATIVE_ERROR: Final = math.sqrt(GROWTH) - 1
"""At most 2.5 %: a bucket answers with its geometric middle."""
LEAST_MS: Final = 1.0
MOST_MS: Final = 240_000.0
"""No call lives as long."""

Histogram: TypeAlias = Mapping[int, int]
"""bucket -> count. Empty where nothing was counted."""

_PER_LOG: Final = 1 / math.log(GROWTH)
_LAST: Final = math.floor(math.log(MOST_MS) * _PER_LOG)
_SMALL: Final = tuple(0 if ms < 1 else math.floor(math.log(ms) * _PER_LOG) for ms in range(4096))


def bucket_of(ms: float) -> int:
    """The bucket of that latency."""
    if isinstance(ms, int) and 0 <= ms < len(_SMALL):
        return _SMALL[ms]  # whole milliseconds, which nearly all are: no logarithm
    if ms <= LEAST_MS:
        return 0
    return min(math.floor(math.log(ms) * _PER_LOG), _LAST)


def added(histograms: Iterable[Histogram]) -> dict[int, int]:
    """All of them together."""
    whole: dict[int, int] = {}
    for one in histograms:
        for bucket, count in one.items():
            whole[bucket] = whole.get(bucket, 0) + count
    return whole


def percentile(histogram: Histogram, share: float) -> float | None:
    """The least latency, in ms, that `share` (0 to 1) of the counted ones do not exceed; None where nothing was counted."""
    total = sum(histogram.values())
    if not total:
        return None
    rank = max(1, math.ceil(share * total))
    for bucket in sorted(histogram):
        rank -= histogram[bucket]
        if rank <= 0:
            middle: float = GROWTH ** (bucket + 0.5)
            return middle
    raise AssertionError("the ranks of a histogram add up to its total")


def percentile_ms(histogram: Histogram, share: float) -> int | None:
    """The same in whole milliseconds, as people read it."""
    found = percentile(histogram, share)
    return None if found is None else round(found)
