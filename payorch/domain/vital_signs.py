"""How the traffic does, now and over the last hour: calls and how they ended, latencies, authorisations, errors by class and code.

Counts are kept in steps: of FINE_SECONDS for the last minutes, and of COARSE_SECONDS for the last hour; older ones are forgotten, so memory
is bounded whatever the traffic. Latencies are histograms, which add up, so percentiles can be read over any window; see `histogram` for
their error. A step that is under way counts as far as it goes. `now` in seconds comes from outside and never goes back.

A call counts here when it was tried. One that our own circuit, budget or bulkhead kept back is no sign of the PSP's, and is counted beside.

Pure; not durable: a process begins to count when it starts. Not here: who feeds it (`payorch.operations.vitals`), what the breaker
concludes from the same calls (`actors.admission`).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final, final

from msgspec import Struct

from payorch.domain.histogram import Histogram, added, bucket_of
from payorch.domain.outcome import (
    POLICY,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    Failure,
    NotExecuted,
    Pending,
    Unknown,
)

FINE_SECONDS: Final = 5
COARSE_SECONDS: Final = 60
FINE_KEPT: Final = 72
"""Six minutes, so that a window of five is whole whatever the step it begins in."""
COARSE_KEPT: Final = 61
"""An hour, and the minute under way."""
ERRORS_KEPT: Final = 64
"""Pairs of class and code at one connector, some 200 bytes each and 60 counts; the one that is longest ago gives way."""

APPROVED: Final = "approved"
PENDING: Final = "pending"
DECLINED: Final = "declined"
REFUSED: Final = "refused"
NOT_SENT: Final = "not_sent"
UNKNOWN: Final = "unknown"
LOOKED_UP: Final = "looked_up"
KEPT_BACK: Final = "kept_back"
ENDS: Final = (APPROVED, PENDING, DECLINED, REFUSED, NOT_SENT, UNKNOWN, LOOKED_UP, KEPT_BACK)
"""How a call ends, in one word. refused: the PSP did not take the message. not_sent: the PSP could not be reached. looked_up: an answer
that a look-up brings (released, absent). kept_back: our own circuit, budget or bulkhead did not let it."""
ILL: Final = "ill"
"""Counted beside its end: one that speaks against the PSP (unknown, not reached, too many at once)."""

_UNREACHED: Final = frozenset({"dns", "connect", "tls", "sign_in"})
"""Why a call was not sent that is about the PSP or the way to it; every other reason is our own."""


def end_of(evidence: Evidence) -> tuple[str, Failure | None]:
    """How that call ended, and why, where something was wrong with it or somebody said no."""
    match evidence.finding:
        case Approved():
            return APPROVED, None
        case Declined(failure=failure):
            return DECLINED, failure
        case Unknown(failure=failure):
            return UNKNOWN, failure
        case Pending():
            return PENDING, None
        case NotExecuted(failure=failure, sent=True):
            return REFUSED, failure
        case NotExecuted(failure=failure):
            return (NOT_SENT if failure.code in _UNREACHED else KEPT_BACK), failure
        case _:
            return LOOKED_UP, None


def is_ill(end: str, failure: Failure | None) -> bool:
    """Whether a call that ended so speaks against the PSP. A decline is a good answer."""
    if end in (UNKNOWN, NOT_SENT):
        return True
    return end == REFUSED and failure is not None and POLICY[failure.error_class].counts_for_breaker


class Window(Struct, frozen=True, kw_only=True):
    """What was counted in a span. seconds: its length, as far as it is over. latencies: one histogram for each measure."""

    seconds: float
    counts: Mapping[str, int]
    latencies: tuple[Histogram, ...]

    def count(self, *whats: str) -> int:
        """How many of these there were."""
        return sum(self.counts.get(what, 0) for what in whats)


class _Step:
    __slots__ = ("counts", "latencies", "number")

    def __init__(self, number: int, measures: int) -> None:
        self.number = number
        self.counts: dict[str, int] = {}
        self.latencies: list[dict[int, int]] = [{} for _ in range(measures)]

    def add(self, other: _Step) -> None:
        for what, count in other.counts.items():
            self.counts[what] = self.counts.get(what, 0) + count
        for mine, theirs in zip(self.latencies, other.latencies, strict=True):
            for bucket, count in theirs.items():
                mine[bucket] = mine.get(bucket, 0) + count


@final
class Series:
    """Counts and latencies of one thing over the last hour. measures: how many latencies each of them has."""

    def __init__(self, now: float, *, measures: int = 1) -> None:
        self._measures = measures
        self._began = now
        self._now = _Step(int(now // FINE_SECONDS), measures)
        self._fine: deque[_Step] = deque(maxlen=FINE_KEPT)  # steps that are over
        self._coarse: deque[_Step] = deque(maxlen=COARSE_KEPT)  # of the same, by the minute

    def tell(self, now: float, whats: Iterable[str], latencies_ms: Sequence[float | None] = ()) -> None:
        """Something happened: one more of each of `whats`. It runs for each call."""
        step = self._now
        if step.number != now // FINE_SECONDS:
            self._roll(now)
            step = self._now
        counts = step.counts
        for what in whats:
            counts[what] = counts.get(what, 0) + 1
        for histogram, ms in zip(step.latencies, latencies_ms, strict=False):
            if ms is not None:
                bucket = bucket_of(ms)
                histogram[bucket] = histogram.get(bucket, 0) + 1

    def window(self, now: float, seconds: int) -> Window:
        """The last so many seconds: to the step where they reach back no further than the fine ones, else to the minute."""
        self._roll(now)
        begins = now - seconds
        if seconds <= FINE_SECONDS * (FINE_KEPT - 1):
            steps = [one for one in self._fine if one.number * FINE_SECONDS > begins - FINE_SECONDS]
        else:
            steps = [one for one in self._coarse if one.number * COARSE_SECONDS > begins - COARSE_SECONDS]
        lasted = min(float(seconds), max(now - self._began, 1.0))
        return self._merged([*steps, self._now], lasted)

    def steps(self, now: float, *, minutes: int, count: int) -> list[Window]:
        """The last `count` steps of so many whole minutes by the clock, oldest first; the last one is under way."""
        self._roll(now)
        last = int(now // COARSE_SECONDS) // minutes
        found: dict[int, list[_Step]] = {number: [] for number in range(last - count + 1, last + 1)}
        for step in self._coarse:
            if step.number // minutes in found:
                found[step.number // minutes].append(step)
        found[last].append(self._now)
        return [self._merged(steps, float(minutes * COARSE_SECONDS)) for steps in found.values()]

    def _merged(self, steps: Sequence[_Step], seconds: float) -> Window:
        counts: dict[str, int] = {}
        for step in steps:
            for what, count in step.counts.items():
                counts[what] = counts.get(what, 0) + count
        latencies = tuple(added(step.latencies[measure] for step in steps) for measure in range(self._measures))
        return Window(seconds=seconds, counts=counts, latencies=latencies)

    def _roll(self, now: float) -> None:
        """Puts away what is over; what is too old gives way to it."""
        number = int(now // FINE_SECONDS)
        if number <= self._now.number:
            return
        over, self._now = self._now, _Step(number, self._measures)
        minute = over.number * FINE_SECONDS // COARSE_SECONDS
        if over.counts or any(over.latencies):
            self._fine.append(over)
            if not self._coarse or self._coarse[-1].number != minute:
                self._coarse.append(_Step(minute, self._measures))
            self._coarse[-1].add(over)


@final
class Levels:
    """The last known value of something that is looked at now and then, by the minute over the last hour."""

    def __init__(self) -> None:
        self._values: deque[tuple[int, int]] = deque(maxlen=COARSE_KEPT)

    def tell(self, now: float, value: int) -> None:
        """It is that many now."""
        minute = int(now // COARSE_SECONDS)
        if self._values and self._values[-1][0] == minute:
            self._values.pop()
        self._values.append((minute, value))

    def steps(self, now: float, *, minutes: int, count: int) -> list[int | None]:
        """The value at the end of each of the last so many steps, oldest first; None where nobody had looked yet."""
        last = int(now // COARSE_SECONDS) // minutes
        found: list[int | None] = []
        for number in range(last - count + 1, last + 1):
            found.append(next((value for minute, value in reversed(self._values) if minute // minutes <= number), None))
        return found


class ErrorBucket(Struct, frozen=True, kw_only=True):
    """Calls of the last hour that went wrong, or were told no, in the same way. payment_id: of the last one. share: of all, in percent."""

    error_class: ErrorClass
    code: str
    count: int
    share: float
    payment_id: str
    last_at: datetime


class _Error:
    __slots__ = ("counts", "last_at", "payment_id")

    def __init__(self) -> None:
        self.counts: deque[list[int]] = deque(maxlen=COARSE_KEPT)  # [minute, count]
        self.payment_id = ""
        self.last_at: datetime | None = None


@final
class Errors:
    """What went wrong at one connector, by class and code, over the last hour."""

    def __init__(self) -> None:
        self._errors: dict[tuple[ErrorClass, str], _Error] = {}  # the one told least recently first

    def tell(self, now: float, failure: Failure, payment_id: str, at: datetime) -> None:
        """One more."""
        key, minute = (failure.error_class, failure.code), int(now // COARSE_SECONDS)
        error = self._errors.pop(key, None) or _Error()
        self._errors[key] = error
        if len(self._errors) > ERRORS_KEPT:
            del self._errors[next(iter(self._errors))]
        error.payment_id, error.last_at = payment_id, at
        if error.counts and error.counts[-1][0] == minute:
            error.counts[-1][1] += 1
        else:
            error.counts.append([minute, 1])

    def buckets(self, now: float) -> list[ErrorBucket]:
        """Those of the last hour, the most frequent first."""
        oldest = int(now // COARSE_SECONDS) - 60
        counted = [(key, error, sum(count for minute, count in error.counts if minute > oldest)) for key, error in self._errors.items()]
        total = sum(count for _, _, count in counted)
        found = [
            ErrorBucket(
                error_class=key[0],
                code=key[1],
                count=count,
                share=round(100 * count / total, 1),
                payment_id=error.payment_id,
                last_at=error.last_at,
            )
            for key, error, count in counted
            if count and error.last_at is not None
        ]
        return sorted(found, key=lambda one: (-one.count, one.error_class, one.code))


def ok_percent(window: Window) -> float | None:
    """The share of the calls of that span that the PSP answered as one that is well; None where there was none."""
    tried = window.count(*(end for end in ENDS if end != KEPT_BACK))
    return None if not tried else round(100 * (tried - window.count(ILL)) / tried, 1)


def tried(window: Window) -> int:
    """The calls of that span that were tried."""
    return window.count(*(end for end in ENDS if end != KEPT_BACK))


def authorization_rate(window: Window) -> tuple[float | None, int]:
    """The share of authorisations that were approved, in percent, of those that came to a yes or a no; and how many those are."""
    total = window.count(APPROVED, DECLINED)
    return (None if not total else round(100 * window.count(APPROVED) / total, 1)), total
