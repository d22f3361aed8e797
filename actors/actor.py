"""The actor: one base with two hooks, and the life of one instance from its start to its end.

An actor is thin: a loop that takes one message at a time and calls plain functions and objects. Whoever writes one
overrides `started` and `receive`; a supervisor makes the instance, runs it as one trio task, and makes a new one after
a death. State that must outlive a death is not kept here: `started` loads it from where it is durable.

An exception out of `started`, `receive` or a spawned task is the death of the actor. Only `Exception` is a death:
KeyboardInterrupt, SystemExit and other BaseExceptions end the whole tree at once and leave through the root.

This module does not decide what follows a death (supervisor.py, dynamic.py).
"""

from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar, TypeVarTuple, final

import trio

from actors.mailbox import ActorStopped, Mailbox, MailboxClosed, Ref

M = TypeVar("M")
Ts = TypeVarTuple("Ts")


class Actor(Generic[M]):
    """One base with two hooks. `ref` and `mailbox` are set before `started` runs, so not yet in `__init__`."""

    ref: Ref[M]
    mailbox: Mailbox[M]
    _life: "Life | None" = None

    async def started(self) -> None:
        """Hook 1: load the state. Runs before any message; messages wait meanwhile. An exception is a death."""

    async def receive(self, message: M) -> None:
        """Hook 2: handle one message; the next one waits until this returns. An exception is a death."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it does with a message")

    def spawn(self, async_fn: Callable[[*Ts], Awaitable[object]], *args: *Ts) -> None:
        """Run `async_fn(*args)` beside the message loop, as a task that is cancelled when the actor ends.

        Its exception is the actor's death. Raises ActorStopped when the actor is ending or has no life yet.
        """
        if self._life is None:
            raise ActorStopped(f"{type(self).__name__} does not run")
        self._life.spawn(async_fn, args)

    def stop(self) -> None:
        """End normally after the current message. From now on tells raise ActorStopped; messages that wait are lost.

        An actor that stops when it is idle therefore asks `self.mailbox.depth == 0` first.
        """
        if self._life is not None:
            self._life.stop()


class Owner(Protocol):
    """What a life tells its supervisor. The calls come from the life's own task and must not wait."""

    def life_started(self, life: "Life") -> None:
        """`started` has returned."""

    def life_ended(self, life: "Life") -> None:
        """Everything of it has ended; `life.error` says how."""

    def abandon_tree(self) -> None:
        """Something that is no Exception came out of it: cancel everything at once, restart nothing."""


@final
class Life:
    """One life of one actor: its task, its background tasks, and how it ended. Made and read by supervisors only."""

    __slots__ = (
        "_background",
        "_background_ended",
        "_end",
        "_errors",
        "_mailbox",
        "_nursery",
        "_owner",
        "_ref",
        "_scope",
        "_start",
        "ended",
        "stopping",
    )

    def __init__(self, *, ref: Ref[Any], start: Callable[[], Actor[Any]], owner: Owner, nursery: trio.Nursery) -> None:
        self._ref = ref
        self._mailbox = ref._mailbox
        self._start = start
        self._owner = owner
        self._nursery = nursery
        self._scope = trio.CancelScope()
        # Most actors spawn nothing: the two stay None. The dict is an ordered set.
        self._background: dict[trio.CancelScope, None] | None = None
        self._background_ended: trio.Event | None = None
        self._end: trio.Event | None = None
        self._errors: tuple[Exception, ...] = ()
        self.stopping = False
        """it was told to stop, by itself or by its supervisor"""
        self.ended = False

    @property
    def name(self) -> str:
        """The name of the actor, the same over all its lives."""
        return self._ref.name

    @property
    def error(self) -> Exception | None:
        """What it died of; None while it lives and after a normal end."""
        if len(self._errors) > 1:
            return ExceptionGroup(f"{self.name} died of several errors", self._errors)
        return self._errors[0] if self._errors else None

    @property
    def killed(self) -> bool:
        """True if it did not end within its shutdown time and was cancelled."""
        return self._scope.cancelled_caught and not self._errors

    def begin(self) -> None:
        """Open the mailbox and start the task. Messages are accepted from now on."""
        self._mailbox.reopen()
        self._nursery.start_soon(self._run, name=self._ref.name)

    def stop(self, within_seconds: float | None = None) -> None:
        """End after the current message (or `started`); be cancelled if that takes more than `within_seconds`."""
        self.stopping = True
        self._mailbox.refuse()
        if within_seconds is not None:
            self._scope.deadline = min(self._scope.deadline, trio.current_time() + within_seconds)

    async def wait_ended(self) -> None:
        """Wait until its task and all its background tasks have ended."""
        if self.ended:
            return
        if self._end is None:
            self._end = trio.Event()
        await self._end.wait()

    def spawn(self, async_fn: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]) -> None:
        """See Actor.spawn. The task lives in the supervisor's nursery: one per actor would double its size."""
        if self._mailbox.closed:
            raise ActorStopped(self.name)
        if self._background is None:
            self._background = {}
        scope = trio.CancelScope()
        self._background[scope] = None
        self._nursery.start_soon(self._run_background, scope, async_fn, args, name=f"{self.name} (background)")

    async def _run(self) -> None:
        actor: Actor[Any] | None = None
        try:
            with self._scope:
                # A tree that is being cancelled must not run the first steps of a new life.
                await trio.lowlevel.checkpoint_if_cancelled()
                if not self.stopping:
                    actor = self._make_actor()
                    await actor.started()
                    self._owner.life_started(self)
                    while not self.stopping:
                        await actor.receive(await actor.mailbox.get())
        except MailboxClosed as error:
            if not self.stopping:
                self._fail(error)
        except Exception as error:
            self._fail(error)
        except BaseException as error:
            self._mailbox.close()
            if is_fatal(error):
                self._owner.abandon_tree()
            raise
        self._mailbox.close()
        await self._finish(actor)

    def _make_actor(self) -> Actor[Any]:
        actor = self._start()
        actor.ref = self._ref
        actor.mailbox = self._mailbox
        actor._life = self
        return actor

    async def _run_background(self, scope: trio.CancelScope, async_fn: Callable[[*Ts], Awaitable[object]], args: tuple[*Ts]) -> None:
        try:
            with scope:
                await async_fn(*args)
        except Exception as error:
            self._fail(error)
        except BaseException as error:
            if is_fatal(error):
                self._owner.abandon_tree()
            raise
        assert self._background is not None
        del self._background[scope]
        if not self._background and self._background_ended is not None:
            self._background_ended.set()

    def _fail(self, error: Exception) -> None:
        """The actor dies of `error`: its askers hear of it now, its message loop is cancelled."""
        self._errors = (*self._errors, unwrapped(error))
        self._mailbox.close()
        self._scope.cancel()

    async def _finish(self, actor: Actor[Any] | None) -> None:
        if self._background:
            await self._end_background(self._background)
        if actor is not None:
            # The mailbox outlives this life: an instance that someone still holds must not be able to stop the next one.
            actor._life = None
        self.ended = True
        if self._end is not None:
            self._end.set()
        self._owner.life_ended(self)

    async def _end_background(self, background: dict[trio.CancelScope, None]) -> None:
        self._background_ended = trio.Event()
        for scope in list(background):
            scope.cancel()
        await self._background_ended.wait()


def unwrapped(error: Exception) -> Exception:
    """The error inside a group of one (trio's nurseries wrap even a single error), else `error` itself."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def is_fatal(error: BaseException) -> bool:
    """True if the error is, or a group holds, something that is neither an Exception nor a cancellation."""
    if isinstance(error, BaseExceptionGroup):
        return any(is_fatal(each) for each in error.exceptions)
    return not isinstance(error, (Exception, trio.Cancelled))
