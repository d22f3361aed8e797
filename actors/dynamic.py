"""The supervisor of children that come and go at run time, all alike, one_for_one: one payment, one child.

Two things differ from the supervisor of a fixed list. Restart intensity is counted per child name, so that one poison
child is given up alone (`gave_up`) and neither escalates nor hurts its siblings. And at the end all children are told
to stop at the same time, newest first, each with its own deadline: one after the other would take hours for 100,000
children.

Children are not remembered: after a restart of this supervisor it is empty, and whoever knows what must run starts it
again.
"""

import contextvars
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, final

import trio

from actors.actor import Life, Owner
from actors.child import (
    ChildAlreadyStarted,
    ChildSpec,
    Report,
    ReportKind,
    Restart,
    RestartWindow,
    TooManyChildren,
    how_it_ended,
    orderly_nursery,
    single_error,
)
from actors.mailbox import ActorStopped, Mailbox, Ref


@dataclass(frozen=True, slots=True, kw_only=True)
class DynamicSupervisorStatistics:
    """One dynamic supervisor at one moment. The counters run since it was made."""

    name: str
    children: int
    """children it holds now, also those that are starting or stopping"""
    max_children: int
    started: int
    """children accepted by start_child"""
    refused: int
    """start_child calls refused because of max_children"""
    died: int
    restarts: int
    gave_up: int
    lost: int
    """messages thrown away by children that have left, over all their lives; see MailboxStatistics.lost"""


@final
class _DynamicChild:
    """One child over all its lives."""

    __slots__ = ("asked_to_stop", "life", "ref", "restarts", "spec", "successor")

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.ref: Ref[Any] = Ref(Mailbox(capacity=spec.mailbox_capacity, name=spec.name))
        self.life: Life | None = None
        self.restarts = 0
        self.asked_to_stop = False
        self.successor: _DynamicChild | None = None

    @property
    def is_leaving(self) -> bool:
        """True if it is stopping and will not be started again."""
        stopping = self.life is not None and self.life.stopping
        return self.asked_to_stop or (stopping and self.spec.restart is not Restart.PERMANENT)


@final
class DynamicSupervisor:
    """Children by name, at most `max_children` at once.

    A child that needs more than `intensity` restarts within `period_seconds` is given up: it is removed, reported, and
    `gave_up(name, error)` is called with its last death (what asks for a restart without a death, a PERMANENT child
    that ends normally, is given up with an ActorStopped). `report` and `gave_up` must neither raise nor wait.
    """

    def __init__(
        self,
        *,
        name: str,
        max_children: int,
        intensity: int,
        period_seconds: float,
        report: Callable[[Report], None],
        gave_up: Callable[[str, Exception], None],
    ) -> None:
        self.name = name
        self.max_children = max_children
        self.runs = 0
        """how often it was run, this time included: a new number tells whoever starts children that none of before is left"""
        self._intensity = intensity
        self._period_seconds = period_seconds
        self._report_to = report
        self._gave_up = gave_up
        self._parent: Owner | None = None
        self._nursery: trio.Nursery | None = None
        self._context = contextvars.Context()
        self._children: dict[str, _DynamicChild] = {}
        # Only names that died lately, the latest death last. By name and not by child, so that a child that is started
        # again and again from outside does not escape.
        self._windows: dict[str, RestartWindow] = {}
        self._stop_requested = trio.Event()
        self._empty = trio.Event()
        self._abandoned = False
        self._started = self._refused = self._died = self._restarts = self._given_up = self._lost = 0

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Accept children until `stop`, then stop them all and return. Cancellation as in Supervisor.run."""
        try:
            async with orderly_nursery(self.stop) as self._nursery:
                self._context = contextvars.copy_context()
                self.runs += 1
                task_status.started()
                await self._stop_requested.wait()
                await self._stop_children()
        except BaseExceptionGroup as group:
            error = single_error(group)
            if error is group:
                raise
            raise error from error.__cause__
        finally:
            self._forget_run()

    def stop(self) -> None:
        """Ask it to stop its children and to return from `run`. Does not wait; from now on no child is accepted."""
        self._stop_requested.set()

    def start_child(self, spec: ChildSpec) -> Ref[Any]:
        """Start a child; its ref takes messages at once, they wait until its `started` hook is done.

        If a child of this name is just stopping, the new one follows it when it has ended; its messages wait until
        then. Raises ChildAlreadyStarted, TooManyChildren, and ActorStopped when this supervisor does not run.
        """
        if self._nursery is None or self._stop_requested.is_set():
            raise ActorStopped(self.name)
        present = self._children.get(spec.name)
        if present is not None:
            return self._start_after(present, spec)
        if len(self._children) >= self.max_children:
            self._refused += 1
            raise TooManyChildren(f"{self.name}: {self.max_children} children run")
        child = _DynamicChild(spec)
        self._started += 1
        self._begin(child)
        return child.ref

    async def stop_child(self, name: str) -> bool:
        """Stop a child within its shutdown_seconds and wait for its end; False if there is none of this name.

        It is not restarted, also if it dies of an error while stopping. The stop goes on if the waiting is cancelled. A
        child must not wait for its own end: it uses Actor.stop.
        """
        child = self._children.get(name)
        if child is None:
            await trio.lowlevel.checkpoint()
            return False
        assert child.life is not None
        self._ask_to_stop(child)
        await child.life.wait_ended()
        return True

    def ref_of(self, name: str) -> Ref[Any] | None:
        """The ref of the child of this name; None if there is none that stays (start_child is then allowed)."""
        child = self._children.get(name)
        if child is not None and child.is_leaving:
            child = child.successor
        return child.ref if child is not None else None

    def statistics(self) -> DynamicSupervisorStatistics:
        """A frozen snapshot."""
        return DynamicSupervisorStatistics(
            name=self.name,
            children=len(self._children),
            max_children=self.max_children,
            started=self._started,
            refused=self._refused,
            died=self._died,
            restarts=self._restarts,
            gave_up=self._given_up,
            lost=self._lost,
        )

    # What the tree calls.

    def life_started(self, life: Life) -> None:
        """A child is up. See actor.Owner."""
        self._report(ReportKind.STARTED, self._children[life.name])

    def life_ended(self, life: Life) -> None:
        """A child has ended. See actor.Owner."""
        if self._abandoned:
            return
        child = self._children[life.name]
        error = life.error
        self._died += error is not None
        self._report(how_it_ended(error, asked=child.asked_to_stop, killed=life.killed), child, error)
        if child.asked_to_stop or not child.spec.restart.applies_to(error):
            self._remove(child)
        elif self._allows_restart(life.name):
            self._restart(child)
        else:
            self._give_up(child, error or ActorStopped(f"{life.name} ended normally again and again"))

    def abandon_tree(self) -> None:
        """Cancel the tree from its root. See actor.Owner."""
        if self._parent is not None:
            self._parent.abandon_tree()
        else:
            self.abandon()

    def abandon(self) -> None:
        """Cancel everything at once: no order, no deadlines, no restarts, no reports."""
        self._abandoned = True
        if self._nursery is not None:
            self._nursery.cancel_scope.cancel()

    # The children.

    def _begin(self, child: _DynamicChild) -> None:
        assert self._nursery is not None
        self._children[child.spec.name] = child
        child.life = Life(ref=child.ref, start=child.spec.start, owner=self, nursery=self._nursery)
        # In the supervisor's context: a task inherits the context of whoever starts it, and an actor that lives on
        # would keep the request of the one who asked for it alive.
        self._context.run(child.life.begin)

    def _start_after(self, present: _DynamicChild, spec: ChildSpec) -> Ref[Any]:
        if not present.is_leaving or present.successor is not None:
            raise ChildAlreadyStarted(f"{self.name}: {spec.name!r} runs already")
        self._started += 1
        present.successor = _DynamicChild(spec)
        return present.successor.ref

    def _restart(self, child: _DynamicChild) -> None:
        if child.successor is not None:
            self._begin(child.successor)
            return
        child.restarts += 1
        self._restarts += 1
        self._report(ReportKind.RESTARTING, child)
        self._begin(child)

    def _give_up(self, child: _DynamicChild, error: Exception) -> None:
        self._given_up += 1
        # Whoever starts this name again has decided to: it gets its full intensity back.
        del self._windows[child.spec.name]
        self._drop_successor(child)
        self._remove(child)
        self._report(ReportKind.GAVE_UP, child, error)
        self._gave_up(child.spec.name, error)

    def _remove(self, child: _DynamicChild) -> None:
        del self._children[child.spec.name]
        self._lost += child.ref.statistics().lost
        if child.successor is not None:
            self._begin(child.successor)
        if not self._children:
            self._empty.set()

    def _ask_to_stop(self, child: _DynamicChild) -> None:
        assert child.life is not None
        self._drop_successor(child)
        child.asked_to_stop = True
        child.life.stop(child.spec.shutdown_seconds)

    def _drop_successor(self, child: _DynamicChild) -> None:
        if child.successor is not None:
            child.successor.ref._mailbox.close()
            self._lost += child.successor.ref.statistics().lost
            self._report(ReportKind.STOPPED, child.successor)
            child.successor = None

    async def _stop_children(self) -> None:
        if not self._children:
            return
        self._empty = trio.Event()
        for child in reversed(self._children.values()):
            self._ask_to_stop(child)
        await self._empty.wait()

    def _allows_restart(self, name: str) -> bool:
        window = self._windows.pop(name, None)
        if window is None:
            window = RestartWindow(intensity=self._intensity, period_seconds=self._period_seconds)
        self._windows[name] = window
        # The oldest stand first: what is over is dropped here, so the table is as long as the deaths of one period are
        # many.
        while (first := next(iter(self._windows))) != name and self._windows[first].is_over():
            del self._windows[first]
        return window.allows_one_more()

    def _report(self, kind: ReportKind, child: _DynamicChild, error: Exception | None = None) -> None:
        self._report_to(Report(kind=kind, supervisor=self.name, child=child.spec.name, restarts=child.restarts, error=error))

    def _forget_run(self) -> None:
        self._nursery = None
        self._stop_requested = trio.Event()
        self._abandoned = False
        self._children.clear()
        self._windows.clear()
