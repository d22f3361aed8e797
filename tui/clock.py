"""The console's clock: wall time for what is shown, monotonic time for what is measured. Tests hand in one that stands still.

Not here: the platform's clock; the console runs in a process of its own and asks nobody.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the console asks about time."""

    def now(self) -> datetime:
        """The wall time, in UTC."""

    def monotonic(self) -> float:
        """Seconds that never go back, for ages and deadlines."""


class RealClock:
    """The machine's."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()


class StandingClock:
    """Moves only when it is told to: for tests and for pictures."""

    def __init__(self, at: datetime) -> None:
        self._at = at
        self._seconds = 1_000.0

    def now(self) -> datetime:
        return self._at

    def monotonic(self) -> float:
        return self._seconds

    def forward(self, seconds: float) -> None:
        """That much time passes."""
        self._seconds += seconds
        self._at += timedelta(seconds=seconds)
