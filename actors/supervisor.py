"""The supervisor of a fixed list of children: starts them in order, restarts them by rule, stops them in reverse.

The list of children, read from top to bottom, is the architecture of what runs. A child is started when the `started`
hook of the one before it is done. A death is answered by the restart rule of the child and the strategy of the
supervisor; too many restarts within a period escalate: the supervisor stops its children and fails, which is the death
of a child to its own supervisor, and leaves `run` at the root.

A failing start counts as a death: it is tried again under the same intensity, also when the supervisor comes up for the
first time. When a child is restarted by rest_for_one, later children that are TEMPORARY are stopped and not started
again, as in OTP.

An Exception is a death. Any other BaseException (KeyboardInterrupt, a simulated power cut) cancels the whole tree at
once, without order, deadline or restart, and leaves `run` at the root.

For children that come and go at run time see dynamic.py.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, final

import trio

from actors.actor import Life, Owner, unwrapped
from actors.child import (
    ChildAlreadyStarted,
    ChildSpec,
    ChildState,
    Report,
    ReportKind,
    Restart,
    RestartIntensityExceeded,
    RestartWindow,
    Run,
    TooManyChildren,
    how_it_ended,
    orderly_nursery,
    single_error,
)
from actors.dynamic import DynamicSupervisor, DynamicSupervisorStatistics
from actors.mailbox import Mailbox, MailboxStatistics, Ref

__all__ = [
    "ChildAlreadyStarted",
    "ChildSpec",
    "ChildState",
    "ChildStatistics",
    "DynamicSupervisor",
    "DynamicSupervisorStatistics",
    "Report",
    "ReportKind",
    "Restart",
    "RestartIntensityExceeded",
    "Strategy",
    "Supervisor",
    "SupervisorStatistics",
    "TooManyChildren",
]


class Strategy(Enum):
    """Who is restarted when a child dies."""

    ONE_FOR_ONE = "one_for_one"
    """the child alone"""
    REST_FOR_ONE = "rest_for_one"
    """the child and all that were started after it"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ChildStatistics:
    """One child at one moment, with what it knows of itself: its mailbox, or its own children."""

    name: str
    state: ChildState
    restarts: int
    """since the supervisor was made"""
    detail: "MailboxStatistics | SupervisorStatistics | DynamicSupervisorStatistics"


@dataclass(frozen=True, slots=True, kw_only=True)
class SupervisorStatistics:
    """One supervisor at one moment; children in start order."""

    name: str
    children: tuple[ChildStatistics, ...]


@final
class _Child:
    """What the supervisor keeps of one child over all its runs."""

    def __init__(self, what: "ChildSpec | Supervisor | DynamicSupervisor") -> None:
        self.what = what
        self.name = what.name
        self.restart = Restart.PERMANENT
        # A nested supervisor is given the time its own children may take; each of those has its own limit.
        self.shutdown_seconds = float("inf")
        self.ref: Ref[Any] | None = None
        if isinstance(what, ChildSpec):
            self.restart = what.restart
            self.shutdown_seconds = what.shutdown_seconds
            mailbox = Mailbox[Any](capacity=what.mailbox_capacity, name=what.name)
            mailbox.close()
            self.ref = Ref(mailbox)
        self.state = ChildState.ENDED
        self.restarts = 0
        self.run: Run | None = None

    def new_run(self, owner: "Supervisor", nursery: trio.Nursery) -> Run:
        if isinstance(self.what, ChildSpec):
            assert self.ref is not None
            return Life(ref=self.ref, start=self.what.start, owner=owner, nursery=nursery)
        return _SupervisorRun(self.what, owner=owner, nursery=nursery)

    def statistics(self) -> ChildStatistics:
        detail: MailboxStatistics | SupervisorStatistics | DynamicSupervisorStatistics
        if isinstance(self.what, ChildSpec):
            assert self.ref is not None
            detail = self.ref.statistics()
        else:
            detail = self.what.statistics()
        return ChildStatistics(name=self.name, state=self.state, restarts=self.restarts, detail=detail)


@final
class Supervisor:
    """A fixed list of children under one strategy.

    `children` are in start order: child specs, and supervisors for a deeper tree. All names in a tree differ
    (ValueError). `intensity` restarts are allowed within any `period_seconds`; one more escalates. `report` receives
    every start, death, restart, escalation and stop; it must neither raise nor wait. Nested supervisors are PERMANENT
    and have reports of their own.
    """

    def __init__(
        self,
        *,
        name: str,
        strategy: Strategy,
        children: "Sequence[ChildSpec | Supervisor | DynamicSupervisor]",
        intensity: int,
        period_seconds: float,
        report: Callable[[Report], None],
    ) -> None:
        self.name = name
        self._strategy = strategy
        self._intensity = intensity
        self._period_seconds = period_seconds
        self._window = RestartWindow(intensity=intensity, period_seconds=period_seconds)
        self._report_to = report
        self._children = [_Child(what) for what in children]
        self._parent: Owner | None = None
        self._nursery: trio.Nursery | None = None
        self._ended_runs: deque[Run] = deque()
        self._stop_requested = False
        self._abandoned = False
        self._wake = trio.Event()
        for nested in self._nested():
            nested._parent = self
        names = list(self._names())
        if twice := sorted({each for each in names if names.count(each) > 1}):
            raise ValueError(f"{name}: children share a name: {twice}")

    # The public door.

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Start the children, keep them running, and return after `stop` when all have ended.

        For `nursery.start`: `started` is called when every child is up. Cancelled from outside, it stops the children
        in reverse within their shutdown times, then lets the cancellation go on. Raises RestartIntensityExceeded after
        an escalation (from the last death). May be run again after it has ended.
        """
        failure: RestartIntensityExceeded | None = None
        try:
            async with orderly_nursery(self.stop) as self._nursery:
                failure = await self._supervise(task_status)
                for child in reversed(self._children):
                    await self._stop_child(child)
        except BaseExceptionGroup as group:
            error = single_error(group)
            if error is group:
                raise
            raise error from error.__cause__
        finally:
            self._forget_run()
        if failure is not None:
            raise failure

    def stop(self) -> None:
        """Ask it to stop its children, in reverse, and to return from `run`. Does not wait."""
        self._stop_requested = True
        self._wake.set()

    def ref(self, name: str) -> Ref[Any]:
        """The ref of the actor of this name, here or in a nested supervisor; valid before it runs. Raises KeyError."""
        for child in self._children:
            if child.name == name and child.ref is not None:
                return child.ref
            if isinstance(child.what, Supervisor) and name in child.what._names():
                return child.what.ref(name)
        raise KeyError(f"{self.name} has no actor {name!r}")

    def statistics(self) -> SupervisorStatistics:
        """A frozen snapshot of the whole tree below."""
        return SupervisorStatistics(name=self.name, children=tuple(child.statistics() for child in self._children))

    # What the tree calls.

    def life_started(self, run: Run) -> None:
        """A child is up. See actor.Owner."""
        child = self._child_of(run)
        if child is not None and child.state is ChildState.STARTING:
            child.state = ChildState.RUNNING
            self._report(ReportKind.STARTED, child)
            self._wake.set()

    def life_ended(self, run: Run) -> None:
        """A child has ended. See actor.Owner."""
        self._ended_runs.append(run)
        self._wake.set()

    def abandon_tree(self) -> None:
        """Cancel the tree from its root. See actor.Owner."""
        if self._parent is not None:
            self._parent.abandon_tree()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Cancel everything from here down, at once: no order, no deadlines, no restarts, no reports."""
        self._abandoned = True
        for nested in self._nested():
            nested.abandon()
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # The loop: look at what has ended, start what waits, sleep.

    async def _supervise(self, task_status: trio.TaskStatus[None]) -> RestartIntensityExceeded | None:
        for child in self._children:
            child.state = ChildState.WAITING
        announced = False
        while True:
            self._wake = trio.Event()
            while self._ended_runs and not self._stop_requested:
                failure = await self._answer_end(self._ended_runs.popleft())
                if failure is not None:
                    return failure
            if self._stop_requested:
                return None
            self._start_next()
            if not announced and self._all_up():
                announced = True
                task_status.started()
            await self._wake.wait()
            if self._abandoned:
                # The nursery is cancelled, but this task was woken before that: it must not answer any death now.
                await trio.sleep_forever()

    def _start_next(self) -> None:
        """Start the first child that waits, unless one before it is still starting."""
        for child in self._children:
            if child.state is ChildState.STARTING:
                return
            if child.state is ChildState.WAITING:
                assert self._nursery is not None
                child.state = ChildState.STARTING
                child.run = child.new_run(self, self._nursery)
                child.run.begin()
                return

    def _all_up(self) -> bool:
        return all(child.state not in (ChildState.WAITING, ChildState.STARTING) for child in self._children)

    async def _answer_end(self, run: Run) -> RestartIntensityExceeded | None:
        """A child has ended by itself: report it, then restart by its rule, or return why that is no longer allowed."""
        child = self._child_of(run)
        if child is None:
            return None  # it was stopped in the meantime, and reported then
        self._report_end(child, run, asked=False)
        if not child.restart.applies_to(run.error):
            return None
        if not self._window.allows_one_more():
            return self._escalate(child, run.error)
        self._restart_later(child)
        if self._strategy is Strategy.REST_FOR_ONE:
            await self._stop_after(child)
        return None

    def _escalate(self, child: _Child, error: Exception | None) -> RestartIntensityExceeded:
        self._report(ReportKind.ESCALATED, child, error)
        failure = RestartIntensityExceeded(
            supervisor=self.name, child=child.name, intensity=self._intensity, period_seconds=self._period_seconds
        )
        failure.__cause__ = error
        return failure

    async def _stop_after(self, dead: _Child) -> None:
        for child in reversed(self._children[self._children.index(dead) + 1 :]):
            run = child.run
            if run is None:
                continue
            asked = await self._stop_child(child)
            if child.restart.applies_to(run.error) or (asked and child.restart is not Restart.TEMPORARY):
                self._restart_later(child)

    async def _stop_child(self, child: _Child) -> bool:
        """Stop one child and wait for its end; False if it needed no asking."""
        run = child.run
        if run is None:
            return False
        asked = not run.ended
        if asked:
            child.state = ChildState.STOPPING
            run.stop(child.shutdown_seconds)
            await run.wait_ended()
        self._report_end(child, run, asked=asked)
        return asked

    def _restart_later(self, child: _Child) -> None:
        child.state = ChildState.WAITING
        child.restarts += 1
        self._report(ReportKind.RESTARTING, child)

    # Small things.

    def _report_end(self, child: _Child, run: Run, *, asked: bool) -> None:
        child.run = None
        child.state = ChildState.ENDED
        self._report(how_it_ended(run.error, asked=asked, killed=run.killed), child, run.error)

    def _report(self, kind: ReportKind, child: _Child, error: Exception | None = None) -> None:
        self._report_to(Report(kind=kind, supervisor=self.name, child=child.name, restarts=child.restarts, error=error))

    def _child_of(self, run: Run) -> _Child | None:
        return next((child for child in self._children if child.run is run), None)

    def _nested(self) -> "Iterator[Supervisor | DynamicSupervisor]":
        for child in self._children:
            if not isinstance(child.what, ChildSpec):
                yield child.what

    def _names(self) -> Iterator[str]:
        for child in self._children:
            yield child.name
            if isinstance(child.what, Supervisor):
                yield from child.what._names()

    def _forget_run(self) -> None:
        self._nursery = None
        self._stop_requested = False
        self._abandoned = False
        self._ended_runs.clear()
        self._window = RestartWindow(intensity=self._intensity, period_seconds=self._period_seconds)
        for child in self._children:
            child.run = None
            child.state = ChildState.ENDED


@final
class _SupervisorRun:
    """One run of a nested supervisor; to its parent it looks like the life of an actor."""

    def __init__(self, supervisor: Supervisor | DynamicSupervisor, *, owner: Supervisor, nursery: trio.Nursery) -> None:
        self._supervisor = supervisor
        self._owner = owner
        self._nursery = nursery
        self._end = trio.Event()
        self.error: Exception | None = None
        self.killed = False

    @property
    def ended(self) -> bool:
        return self._end.is_set()

    def begin(self) -> None:
        self._nursery.start_soon(self._run, name=self._supervisor.name)

    def stop(self, within_seconds: float) -> None:
        self._supervisor.stop()

    async def wait_ended(self) -> None:
        await self._end.wait()

    def started(self, value: None = None) -> None:
        """The run calls this as its task_status when all children are up."""
        self._owner.life_started(self)

    async def _run(self) -> None:
        try:
            await self._supervisor.run(task_status=self)
        except Exception as error:
            self.error = unwrapped(error)
        self._end.set()
        self._owner.life_ended(self)
