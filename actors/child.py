"""What both supervisors share: child specs, restart rules, restart intensity, reports, and a nursery that ends in good
order.

The words are OTP's. This module restarts nothing itself (supervisor.py, dynamic.py).
"""

from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Protocol, final

import trio

from actors.actor import Actor


class Restart(Enum):
    """What follows the end of a child that nobody asked to stop."""

    PERMANENT = "permanent"
    """started again, whether it died or ended normally"""
    TRANSIENT = "transient"
    """started again only if it died"""
    TEMPORARY = "temporary"
    """never started again"""

    def applies_to(self, error: Exception | None) -> bool:
        """True if a child that died of `error` (None: ended normally) is to be started again."""
        return self is Restart.PERMANENT or (self is Restart.TRANSIENT and error is not None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildSpec:
    """How to start, restart and stop one actor."""

    name: str
    start: Callable[[], Actor[Any]]
    """a factory: a new instance at every start; an exception out of it is a death as well"""
    mailbox_capacity: int
    """messages"""
    restart: Restart = Restart.PERMANENT
    shutdown_seconds: float = 5.0
    """time to finish the current message when told to stop, then it is cancelled; OTP's default for workers"""


class Run(Protocol):
    """One run of a child: the life of an actor (actor.Life), or one run of a nested supervisor."""

    @property
    def ended(self) -> bool: ...
    @property
    def error(self) -> Exception | None: ...
    @property
    def killed(self) -> bool: ...
    def begin(self) -> None: ...
    def stop(self, within_seconds: float) -> None: ...
    async def wait_ended(self) -> None: ...


class ChildState(Enum):
    """Where a child is."""

    WAITING = "waiting"
    """to be started when those before it are up"""
    STARTING = "starting"
    """its `started` hook runs; messages are accepted and wait"""
    RUNNING = "running"
    STOPPING = "stopping"
    """told to stop, has not ended yet"""
    ENDED = "ended"
    """not running and not to be started again by itself"""


class ReportKind(Enum):
    """What happened to a child."""

    STARTED = "started"
    """its `started` hook is done, or all children of a supervisor are up"""
    DIED = "died"
    """it ended with an exception, also while it was being stopped"""
    ENDED = "ended"
    """it ended normally, by itself"""
    RESTARTING = "restarting"
    STOPPED = "stopped"
    """it ended because its supervisor told it to"""
    KILLED = "killed"
    """it was told to stop, was too slow and was cancelled"""
    ESCALATED = "escalated"
    """its death exceeded the restart intensity: its supervisor stops all children and fails"""
    GAVE_UP = "gave_up"
    """its death exceeded its restart intensity: a dynamic supervisor drops this child alone"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """One event in the life of a child. The receiver must not raise and must not wait."""

    kind: ReportKind
    supervisor: str
    child: str
    restarts: int
    """restarts of this child so far"""
    error: Exception | None = None
    """a group of one is unwrapped"""


def how_it_ended(error: Exception | None, *, asked: bool, killed: bool) -> ReportKind:
    """The report for an end: `asked` by the supervisor to stop or not, cancelled for being slow (`killed`) or not."""
    if error is not None:
        return ReportKind.DIED
    if not asked:
        return ReportKind.ENDED
    return ReportKind.KILLED if killed else ReportKind.STOPPED


class RestartIntensityExceeded(Exception):
    """More restarts than `intensity` within `period_seconds`. Its cause is the last death."""

    def __init__(self, *, supervisor: str, child: str, intensity: int, period_seconds: float) -> None:
        super().__init__(f"{supervisor}: the death of {child!r} needs more than {intensity} restarts within {period_seconds} s")
        self.supervisor = supervisor
        self.child = child


class ChildAlreadyStarted(Exception):
    """A child of this name runs already (or is to run, as soon as the one that is stopping has ended)."""


class TooManyChildren(Exception):
    """The dynamic supervisor holds as many children as it may. The child was not started."""


@final
class RestartWindow:
    """Counts restarts on trio's clock: at most `intensity` within any `period_seconds`."""

    __slots__ = ("_at", "_intensity", "_period_seconds")

    def __init__(self, *, intensity: int, period_seconds: float) -> None:
        self._intensity = intensity
        self._period_seconds = period_seconds
        self._at: deque[float] = deque()

    def allows_one_more(self) -> bool:
        """Count a restart now; False if it is one too many."""
        now = trio.current_time()
        self._at.append(now)
        while self._at[0] <= now - self._period_seconds:
            self._at.popleft()
        return len(self._at) <= self._intensity

    def is_over(self) -> bool:
        """True when nothing counts any more."""
        return not self._at or self._at[-1] <= trio.current_time() - self._period_seconds


@asynccontextmanager
async def orderly_nursery(on_cancelled: Callable[[], None]) -> AsyncIterator[trio.Nursery]:
    """A nursery that a cancellation from outside does not reach; `on_cancelled` is called instead, once, and must not
    wait.

    Whoever opens it then stops its tasks in good order. The cancellation goes on outwards when the nursery has ended.
    """
    async with trio.open_nursery() as watcher:
        watcher.start_soon(_wait_for_cancellation, on_cancelled)
        with trio.CancelScope(shield=True):
            async with trio.open_nursery() as nursery:
                yield nursery
        watcher.cancel_scope.cancel()


async def _wait_for_cancellation(on_cancelled: Callable[[], None]) -> None:
    try:
        await trio.sleep_forever()
    finally:
        on_cancelled()


def single_error(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The error inside groups of one, or the group itself if it holds several."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error
