"""Mailboxes, refs and replies: how a message reaches an actor and how an answer comes back.

A `Mailbox` is a bounded queue with one reader, the actor. A `Ref` is the address others hold: it stays the same while
the actor behind it dies and is started again. A `Reply` travels inside a message and wakes the one who asked.

This module does not run actors (actor.py) and does not restart them (supervisor.py). Nothing here survives the process:
a message in a mailbox is lost with its actor, so what must not be lost belongs in a journal before it is told to
anyone.

Errors, by who is at fault:
    MailboxFull     the load: the bound is reached; try again later
    ActorStopped    the actor: there is no live one behind the ref now; whether it had begun on a message is not known
    AskTimeout      nobody: the asker stopped waiting; the message may still be handled
    MailboxClosed   nobody: tells the reader inside the actor that it is to stop
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, final

import outcome
import trio

M = TypeVar("M")
T = TypeVar("T")


class MailboxFull(Exception):
    """The mailbox holds as many messages as it may. The message was not accepted."""


class ActorStopped(Exception):
    """No live actor is behind the ref now: it has not started, or it died, stopped, or is between two lives."""


class AskTimeout(Exception):
    """No answer within the time the asker gave. The message may still be handled; its answer will be ignored."""


class MailboxClosed(Exception):
    """Raised to the reader of a mailbox when the actor is to stop. It ends the actor normally if it is let through."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MailboxStatistics:
    """One mailbox at one moment. The counters run over all lives of the actor."""

    name: str
    depth: int
    """messages waiting now"""
    capacity: int
    received: int
    """messages accepted"""
    refused: int
    """messages refused because the mailbox was full"""
    lost: int
    """messages accepted and then thrown away because the actor died or stopped before it took them"""
    waiting_askers: int
    """askers without an answer, whether their message is still waiting or was taken by the actor"""


@final
class Reply(Generic[T]):
    """The place for one answer. An actor answers it at once, or keeps it and answers from a later message."""

    __slots__ = ("_outcome", "_task")

    def __init__(self) -> None:
        self._outcome: outcome.Value[T] | outcome.Error | None = None
        self._task: trio.lowlevel.Task | None = None

    @property
    def settled(self) -> bool:
        """True once it has an answer or an error, or the asker has gone."""
        return self._outcome is not None

    def answer(self, value: T) -> None:
        """Give the asker its answer. Only the first settle counts; later ones are ignored."""
        self._settle(outcome.Value(value))

    def fail(self, error: Exception) -> None:
        """Raise `error` to the asker. Only the first settle counts; later ones are ignored."""
        self._settle(outcome.Error(error))

    def _settle(self, result: outcome.Value[T] | outcome.Error) -> None:
        if self._outcome is not None:
            return
        self._outcome = result
        if self._task is not None:
            trio.lowlevel.reschedule(self._task)
            self._task = None

    async def _wait(self, name: str, within_seconds: float) -> T:
        with trio.move_on_after(within_seconds):
            if self._outcome is None:
                self._task = trio.lowlevel.current_task()
                await trio.lowlevel.wait_task_rescheduled(self._leave)
        if self._outcome is None:
            self.fail(AskTimeout(f"no answer from {name!r} within {within_seconds} s"))
        assert self._outcome is not None
        return self._outcome.unwrap()

    def _leave(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._task = None
        return trio.lowlevel.Abort.SUCCEEDED


@final
class Mailbox(Generic[M]):
    """A bounded queue with any number of senders and one reader.

    `capacity` (messages) has no default: whoever makes a mailbox decides how much may wait. A mailbox is open when it
    is made.
    """

    __slots__ = (
        "_accepting",
        "_askers",
        "_closed",
        "_lost",
        "_messages",
        "_reader",
        "_received",
        "_refused",
        "capacity",
        "name",
    )

    def __init__(self, *, capacity: int, name: str = "mailbox") -> None:
        if capacity < 1:
            raise ValueError(f"mailbox {name!r}: capacity must be at least 1, not {capacity}")
        self.name = name
        self.capacity = capacity
        self._messages: deque[M] = deque()
        # A dict as an ordered set: the askers are told in the order in which they asked.
        self._askers: dict[Reply[Any], None] = {}
        self._reader: trio.lowlevel.Task | None = None
        self._accepting = True
        self._closed = False
        self._received = self._refused = self._lost = 0

    @property
    def depth(self) -> int:
        """Messages waiting now. An actor that stops when idle looks here first: what waits at its end is lost."""
        return len(self._messages)

    @property
    def closed(self) -> bool:
        """True after `close`: the actor has ended."""
        return self._closed

    def put_nowait(self, message: M) -> None:
        """Add a message at the end. Raises ActorStopped when closed, MailboxFull at the bound."""
        if not self._accepting:
            raise ActorStopped(self.name)
        if len(self._messages) >= self.capacity:
            self._refused += 1
            raise MailboxFull(f"{self.name}: {self.capacity} messages are waiting")
        self._messages.append(message)
        self._received += 1
        if self._reader is not None:
            self._wake_reader()

    async def get(self) -> M:
        """Wait for the oldest message and take it. Always a checkpoint; a cancelled get takes no message.

        Raises MailboxClosed when the actor is to stop, RuntimeError when another task is reading.
        """
        if self._accepting and self._messages:
            # Not only when there is nothing: an actor with a long queue must let others run and must notice a
            # cancellation.
            await trio.lowlevel.checkpoint()
        while self._accepting and not self._messages:
            if self._reader is not None:
                raise RuntimeError(f"mailbox {self.name!r} has a reader already")
            self._reader = trio.lowlevel.current_task()
            await trio.lowlevel.wait_task_rescheduled(self._reader_leaves)
        if not self._accepting:
            raise MailboxClosed(self.name)
        return self._messages.popleft()

    def take_waiting(self, limit: int) -> list[M]:
        """Take up to `limit` of the messages that are there now, oldest first, without waiting. May be empty.

        It also works while the actor finishes its last message, so that a writer that drains can put them into its last
        batch.
        """
        messages = self._messages
        return [messages.popleft() for _ in range(min(limit, len(messages)))]

    def reopen(self) -> None:
        """Accept messages again, for a new life of the actor."""
        self._accepting, self._closed = True, False

    def refuse(self) -> None:
        """Accept no more messages and tell the reader to stop. Askers go on waiting until `close`."""
        self._accepting = False
        if self._reader is not None:
            self._wake_reader()

    def close(self) -> None:
        """Refuse, throw away what waits (counted as lost), raise ActorStopped to every asker. Idempotent."""
        if self._closed:
            return
        self._closed = True
        self.refuse()
        self._lost += len(self._messages)
        self._messages.clear()
        for reply in list(self._askers):
            reply.fail(ActorStopped(self.name))

    def statistics(self) -> MailboxStatistics:
        """A frozen snapshot."""
        return MailboxStatistics(
            name=self.name,
            depth=len(self._messages),
            capacity=self.capacity,
            received=self._received,
            refused=self._refused,
            lost=self._lost,
            waiting_askers=len(self._askers),
        )

    def _wake_reader(self) -> None:
        assert self._reader is not None
        trio.lowlevel.reschedule(self._reader)
        self._reader = None

    def _reader_leaves(self, _raise_cancel: object) -> trio.lowlevel.Abort:
        self._reader = None
        return trio.lowlevel.Abort.SUCCEEDED


@final
class Ref(Generic[M]):
    """The address of an actor, the same over all its lives. Hold it, pass it on, put it into messages.

    A test may make one for a mailbox it reads itself: `Ref(Mailbox(capacity=4, name="probe"))`.
    """

    __slots__ = ("_mailbox", "name")

    def __init__(self, mailbox: Mailbox[M]) -> None:
        self.name = mailbox.name
        self._mailbox = mailbox

    def __repr__(self) -> str:
        return f"<Ref {self.name}>"

    def tell(self, message: M) -> None:
        """Send a message; never waits. Raises MailboxFull or ActorStopped, and then the message was not accepted."""
        self._mailbox.put_nowait(message)

    async def ask(self, make: Callable[[Reply[T]], M], *, within_seconds: float) -> T:
        """Send `make(reply)` and wait for the answer.

        Raises MailboxFull and ActorStopped as `tell` does; ActorStopped also when the actor ends before it has answered
        (whether it acted on the message is then unknown); AskTimeout after `within_seconds`; and whatever error the
        actor put into the reply.
        """
        reply: Reply[T] = Reply()
        mailbox = self._mailbox
        mailbox.put_nowait(make(reply))
        mailbox._askers[reply] = None
        try:
            return await reply._wait(self.name, within_seconds)
        finally:
            del mailbox._askers[reply]
            if not reply.settled:
                reply.fail(AskTimeout("the asker was cancelled"))

    def statistics(self) -> MailboxStatistics:
        """A frozen snapshot of the mailbox behind this ref."""
        return self._mailbox.statistics()
