"""The circuit breaker of one kind of call at one PSP: a machine without a clock. Whoever asks brings `now`, in seconds, never going back.

    CLOSED         calls pass, and how they end is kept in a sliding window
    OPEN           no call passes before `until`; after that the next one is a probe
    HALF_OPEN      a few calls at a time pass, to try: enough good ones close the circuit, a bad one opens it for longer than before
    FORCED_OPEN    an operator's word, until it expires: no call passes; then it is tried as after OPEN
    FORCED_CLOSED  an operator's word, until it expires: every call passes, whatever the window says

It opens by the share of failures or of slow answers among the last calls, and by failures in a row, which is what finds an outage where
there is little traffic. Each call that passes has a permit, and every permit comes back with what the call showed; one that showed nothing
(our own obstacle, not the PSP's) leaves no trace and frees its place. A permit of a period that is over counts for nothing.

Not here: what a call's end shows (`admission.judge`), which circuits a connector has (`admission`), how transitions are made durable
(`circuit_log`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from enum import StrEnum
from typing import final


class Mode(StrEnum):
    """Where a circuit stands."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"


class Verdict(StrEnum):
    """What the end of a call shows about its PSP. NOTHING: it tells us nothing, for instance because our own obstacle kept it back."""

    GOOD = "good"
    SLOW = "slow"
    BAD = "bad"
    NOTHING = "nothing"


class Reason(StrEnum):
    """Why a circuit stands where it stands."""

    FRESH = "fresh"
    FAILURES_IN_A_ROW = "failures_in_a_row"
    FAILURE_RATE = "failure_rate"
    SLOW_RATE = "slow_rate"
    PROBE_FAILED = "probe_failed"
    RETRY_AFTER = "retry_after"  # it failed, and the PSP said when to come back
    PROBING = "probing"
    PROBES_SUCCEEDED = "probes_succeeded"
    OPERATOR = "operator"
    OPERATOR_EXPIRED = "operator_expired"


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitLimits:
    """When a circuit opens and how it is tried again. The reasons for the values stand in config/connectors.toml.

    failure_rate, slow_rate: shares in (0, 1], counted once `minimum_calls` of the window are there. open_seconds doubles with each opening
    that follows too soon after the one before, up to longest_open_seconds. probes: at once, while HALF_OPEN.
    """

    window_calls: int
    window_seconds: float
    minimum_calls: int
    failure_rate: float
    slow_rate: float
    failures_in_a_row: int
    open_seconds: float
    longest_open_seconds: float
    probes: int
    successes_to_close: int


@dataclass(frozen=True, slots=True)
class Permit:
    """One call that may pass now. Must be given back with `Circuit.ended`, whatever becomes of the call."""

    period: int
    probe: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitView:
    """A circuit at one moment. `since`, `until`: by the caller's clock; `until` None where no time is set. `code`: of the last failure."""

    mode: Mode
    reason: Reason
    since: float
    until: float | None
    calls: int
    failures: int
    slow: int
    failures_in_a_row: int
    openings: int
    probing: int
    code: str | None
    by: str | None = None


@final
class Circuit:
    """One circuit. Whatever changes its mode is in `take_transitions`, in order."""

    def __init__(self, limits: CircuitLimits, now: float) -> None:
        self._limits = limits
        self._window: deque[tuple[float, Verdict]] = deque(maxlen=limits.window_calls)
        self._mode, self._reason = Mode.CLOSED, Reason.FRESH
        self._since = self._closed_since = now
        self._until: float | None = None
        self._in_a_row = self._openings = self._period = self._probing = self._succeeded = 0
        self._hastened = False
        self._named: float | None = None  # before which the PSP wants no such call; told since its last good answer
        self._code: str | None = None
        self._by: str | None = None
        self._transitions: list[CircuitView] = []

    # --- asking

    def refuses(self, now: float) -> bool:
        """Whether a call that came now would not pass. Changes nothing but what time has changed."""
        self._expire(now)
        match self._mode:
            case Mode.CLOSED | Mode.FORCED_CLOSED:
                return False
            case Mode.OPEN:
                return self._until is not None and now < self._until
            case Mode.HALF_OPEN:
                return self._probing >= self._limits.probes
            case Mode.FORCED_OPEN:
                return True

    def enter(self, now: float) -> Permit | None:
        """A permit for one call, or None. The first one after an opening's time makes the circuit HALF_OPEN."""
        if self.refuses(now):
            return None
        if self._mode is Mode.OPEN:
            self._move(Mode.HALF_OPEN, Reason.PROBING, now)
        probe = self._mode is Mode.HALF_OPEN
        self._probing += probe
        return Permit(self._period, probe)

    def view(self, now: float) -> CircuitView:
        """The circuit at this moment."""
        self._expire(now)
        self._forget_old(now)
        return self._view()

    def take_transitions(self) -> list[CircuitView]:
        """The circuit as it was after each change of its mode since the last time this was asked."""
        taken, self._transitions = self._transitions, []
        return taken

    # --- being told

    def ended(self, permit: Permit, verdict: Verdict, now: float, code: str | None = None) -> None:
        """The call of that permit is over. `code`: what went wrong, in one word, where something did."""
        self._expire(now)
        if permit.period != self._period:
            return
        self._probing -= permit.probe
        if verdict is Verdict.NOTHING:
            return
        if verdict is Verdict.BAD:
            self._code = code
        else:
            self._named = None  # it takes such calls after all
        self._in_a_row = self._in_a_row + 1 if verdict is Verdict.BAD else 0
        if self._mode is Mode.HALF_OPEN:
            self._probed(verdict, now)
        else:
            self._window.append((now, verdict))
            if self._mode is Mode.CLOSED and verdict is not Verdict.GOOD:
                self._open_if_ill(now)

    def hold_off(self, until: float, now: float) -> None:
        """The PSP said when it will take such calls again; to be told before that call's end. Never sooner than was said before.

        One such answer is about one call and opens nothing: a limit per second turns away one call of many. But when the circuit opens by
        its failures, it stays open until then, and one that is open already does so, too.
        """
        self._expire(now)
        if self._mode in (Mode.FORCED_OPEN, Mode.FORCED_CLOSED) or until <= now:
            return
        self._named = max(until, self._named or until)
        if self._mode is Mode.OPEN and self._named > (self._until or now):
            self._until, self._reason = self._named, Reason.RETRY_AFTER

    def hasten(self, now: float) -> None:
        """There are signs that the PSP is well again: the next probe may come now. Once per opening, and not where the PSP named a time."""
        if self._mode is Mode.OPEN and self._reason is not Reason.RETRY_AFTER and not self._hastened:
            self._until, self._hastened = now, True

    def force(self, mode: Mode, until: float, now: float, by: str) -> None:
        """An operator's word, FORCED_OPEN or FORCED_CLOSED, until then."""
        if mode not in (Mode.FORCED_OPEN, Mode.FORCED_CLOSED):
            raise ValueError(f"nobody forces a circuit to be {mode}")
        self._by = by
        self._move(mode, Reason.OPERATOR, now, until=until)

    def reset(self, now: float, by: str) -> None:
        """An operator's word: closed, and everything before forgotten."""
        self._window.clear()
        self._in_a_row = self._openings = 0
        self._named = None
        self._by = by
        self._move(Mode.CLOSED, Reason.OPERATOR, now)

    def forget_calls(self) -> None:
        """Whoever made the calls under way is gone: their permits will not come back, and their places are free."""
        self._period += 1
        self._probing = 0

    def remember_call(self, at: float, verdict: Verdict, code: str | None = None) -> None:
        """A call that ended before this process began. Filled into the window and the row of failures; nothing opens by it."""
        before_its_closing = self._reason is not Reason.FRESH and at < self._since
        if verdict is Verdict.NOTHING or self._mode is not Mode.CLOSED or before_its_closing:
            return
        self._window.append((at, verdict))
        self._in_a_row = self._in_a_row + 1 if verdict is Verdict.BAD else 0
        self._code = code if verdict is Verdict.BAD else self._code

    def remember_mode(
        self, mode: Mode, reason: Reason, since: float, until: float | None, openings: int, code: str | None, by: str | None
    ) -> None:
        """The mode in which the process before this one left it. One that was being tried is to be tried anew."""
        self._mode = Mode.OPEN if mode is Mode.HALF_OPEN else mode
        self._reason, self._since, self._until = reason, since, until
        self._openings, self._code, self._by = openings, code, by
        self._closed_since = since

    # --- inside

    def _probed(self, verdict: Verdict, now: float) -> None:
        if verdict is not Verdict.GOOD:
            return self._open(Reason.PROBE_FAILED if verdict is Verdict.BAD else Reason.SLOW_RATE, now)
        self._succeeded += 1
        if self._succeeded < self._limits.successes_to_close:
            return None
        self._window.clear()
        self._in_a_row = 0
        return self._move(Mode.CLOSED, Reason.PROBES_SUCCEEDED, now)

    def _open_if_ill(self, now: float) -> None:
        limits = self._limits
        if self._in_a_row >= limits.failures_in_a_row:
            return self._open(Reason.FAILURES_IN_A_ROW, now)
        self._forget_old(now)
        if len(self._window) < limits.minimum_calls:
            return None
        if self._count(Verdict.BAD) >= limits.failure_rate * len(self._window):
            return self._open(Reason.FAILURE_RATE, now)
        if self._count(Verdict.SLOW) >= limits.slow_rate * len(self._window):
            return self._open(Reason.SLOW_RATE, now)
        return None

    def _open(self, reason: Reason, now: float) -> None:
        limits = self._limits
        if self._mode is Mode.CLOSED and now - self._closed_since >= limits.longest_open_seconds:
            self._openings = 0  # it was well for long enough: this is a new illness, not the old one
        # Bounded before it is a power: a circuit may open for ever.
        longer = min(limits.open_seconds * 2.0 ** min(self._openings, 30), limits.longest_open_seconds)
        self._openings += 1
        until, named = now + longer, self._named or now
        self._move(Mode.OPEN, Reason.RETRY_AFTER if named > until else reason, now, until=max(until, named))

    def _expire(self, now: float) -> None:
        """What an operator forced ends by itself: forced open is tried first, forced closed goes on with what its window says."""
        if self._until is None or now < self._until:
            return
        if self._mode is Mode.FORCED_OPEN:
            self._move(Mode.HALF_OPEN, Reason.OPERATOR_EXPIRED, now)
        elif self._mode is Mode.FORCED_CLOSED:
            self._move(Mode.CLOSED, Reason.OPERATOR_EXPIRED, now)

    def _move(self, mode: Mode, reason: Reason, now: float, *, until: float | None = None) -> None:
        self._mode, self._reason, self._since, self._until = mode, reason, now, until
        self._period += 1
        self._probing = self._succeeded = 0
        self._hastened = False
        if mode is Mode.CLOSED:
            self._closed_since = now
        if reason is not Reason.OPERATOR:
            self._by = None
        self._transitions.append(self._view())

    def _forget_old(self, now: float) -> None:
        oldest = now - self._limits.window_seconds
        while self._window and self._window[0][0] <= oldest:
            self._window.popleft()

    def _count(self, verdict: Verdict) -> int:
        return sum(one is verdict for _, one in self._window)

    def _view(self) -> CircuitView:
        return CircuitView(
            mode=self._mode,
            reason=self._reason,
            since=self._since,
            until=self._until,
            calls=len(self._window),
            failures=self._count(Verdict.BAD),
            slow=self._count(Verdict.SLOW),
            failures_in_a_row=self._in_a_row,
            openings=self._openings,
            probing=self._probing,
            code=self._code,
            by=self._by,
        )
