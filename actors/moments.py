"""Trio's clock and the wall's, side by side: what is measured by the one is told, or remembered, by the other.

Durations and deadlines are trio's, which never goes back; what is stored or shown is wall time. Not here: what either is used for.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import final

import trio

from payorch.ports import Clock


@final
class Moments:
    """Both clocks of this process."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def wall(self, seconds: float) -> datetime:
        """When that moment of trio's clock is, in whole milliseconds."""
        return self._clock.now() + timedelta(milliseconds=round((seconds - trio.current_time()) * 1000))

    def monotonic(self, at: datetime) -> float:
        """That wall time on trio's clock, also where it is long past."""
        return trio.current_time() + (at - self._clock.now()).total_seconds()
