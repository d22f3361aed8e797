"""The journal writer: the one actor through which everything durable goes. It drains its mailbox into one batch at a time.

While a batch is being committed the next one gathers in the mailbox, and those who are ready to run get their turn before it is taken;
that is all the grouping there is (waiting for more to come was measured to cost speed). Every item is answered after its commit. While the
database is away the writer holds the batch whose outcome it does not know, and tells those who wait behind it, after
`pause_answer_after_seconds`, that nothing was written for them.

Not here: how a batch is committed and what a lost answer means (`payorch.store.journal`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

import trio

from actors.actor import Actor
from payorch.ports import Process
from payorch.store.journal import LARGEST_BATCH, Item, Journal, JournalStatistics, JournalUnavailable, Result

BEFORE_COMMIT: Final = "journal.before_commit"
AFTER_COMMIT: Final = "journal.after_commit"


class ReplyTo(Protocol):
    """Where a result goes: an `actors.mailbox.Reply` for one who asks, or whatever an actor puts there to be told."""

    def answer(self, value: Result) -> None:
        """What became of the item."""
        ...

    def fail(self, error: Exception) -> None:
        """JournalUnavailable: nothing was or will be written for it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """Write this item, and answer when it is durable or surely not written."""

    item: Item
    reply_to: ReplyTo


class JournalWriter(Actor[Write]):
    """The actor in front of the journal. The journal outlives it: a new life of the actor goes on with the same one."""

    def __init__(
        self,
        *,
        journal: Journal,
        process: Process,
        pause_answer_after_seconds: float,
        batch_limit: int = LARGEST_BATCH,
        committed: Callable[[int, float], None] = lambda items, seconds: None,
    ) -> None:
        """committed: told of each batch, its items and the seconds it took.

        pause_answer_after_seconds: how long the database may be away before those who wait are told so. batch_limit: in items.
        """
        self._journal = journal
        self._process = process
        self._pause_answer_after_seconds = pause_answer_after_seconds
        self._batch_limit = batch_limit
        self._committed = committed

    async def started(self) -> None:
        """Takes the journal over, or goes on with it; waits for the database. Raises Fenced where another process has it now."""
        await self._journal.open(self._while_away)

    async def receive(self, message: Write) -> None:
        """Commits what waits, this message first. Raises Fenced when another process has taken over."""
        # Whoever is about to run may have something to write: one turn of the loop saves a fifth of the commits (docs/performance.md).
        await trio.lowlevel.checkpoint()
        batch = [message, *self.mailbox.take_waiting(self._batch_limit - 1)]
        self._process.reached(BEFORE_COMMIT)
        began = trio.current_time()
        results = await self._journal.write([write.item for write in batch], self._while_away)
        self._committed(len(batch), trio.current_time() - began)
        self._process.reached(AFTER_COMMIT)
        for write, result in zip(batch, results, strict=True):
            write.reply_to.answer(result)

    def statistics(self) -> JournalStatistics:
        """The journal at this moment; `available` says whether the database answers."""
        return self._journal.statistics()

    def _while_away(self, away_seconds: float) -> None:
        """Not one byte of what still waits in the mailbox has been sent, so it can be told for certain."""
        if away_seconds < self._pause_answer_after_seconds:
            return
        for write in self.mailbox.take_waiting(self.mailbox.depth):
            write.reply_to.fail(JournalUnavailable("the database is away"))
