"""The journal's one writer: commits batches of items, each batch one statement and one transaction, and never guesses what a lost answer
meant.

Three rules:

1. **One order.** Every batch moves the one row of `journal_head` (position, hash, epoch) by compare-and-set in its own transaction. So
   positions are dense and in commit order, the hash chain cannot fork, and a process whose epoch is not the current one writes nothing.
2. **A refusal hurts its own item only.** A batch that the database refuses is divided until the item at fault stands alone.
3. **A lost answer is looked up.** The writer connects again, moves its epoch (which waits for a statement still under way, and shuts out
   one that arrives later), and then looks for its batch in the journal. Until it knows, it holds the batch and writes nothing else.

Losing the database is not an error here: the writer tries again, with pauses that grow to a bound, for as long as it takes.

Errors:
  Fenced               another process has taken over: this one must never write again
  JournalUnavailable   nothing was written, and nothing will be: for those who still wait while the database is away
  psycopg.Error        a bug or a broken installation (wrong schema, missing right). What it was about was rolled back

Not here: the statement (`rows`), what an item becomes (`batch`), the mailbox in front (`actors.journal`), reading (`reads`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar
from uuid import UUID

import psycopg
from psycopg.types.numeric import Int8

from payorch.domain.identifiers import uuid_of
from payorch.store import tables
from payorch.store.batch import Batch, Encoded, Head, apart, encode, link
from payorch.store.driver import Session
from payorch.store.items import (
    Answer,
    Append,
    Appended,
    Claim,
    ClaimLost,
    Conflict,
    Entry,
    Item,
    OutboxRow,
    Refused,
    Result,
    SettledBefore,
)
from payorch.store.line import Connect, Line, WhileAway, passes

__all__ = [
    "LARGEST_BATCH", "WRITER_SESSION", "Answer", "Append", "Appended", "Claim", "ClaimLost", "Conflict", "Entry", "Fenced", "Head", "Item",
    "Journal", "JournalStatistics", "JournalUnavailable", "OutboxRow", "Refused", "Result", "is_about_an_item", "verdict",
]  # fmt: skip

T = TypeVar("T")

LARGEST_BATCH: Final = 256
"""Items per statement. Far above what waits at full speed (16 to 64), far below the seconds that a statement may take."""
FIRST_PAUSE_SECONDS: Final = 0.05
LONGEST_PAUSE_SECONDS: Final = 1.0

WRITER_SESSION: Final = Session(
    application_name="payorch-journal",
    # On a fresh database, without statistics, cached plans of UPDATE ... FROM unnest would be joins over whole tables: 5.8 ms a batch and
    # growing, against 1.5 ms (MEASURED.md 2). Every access of the writer is by a key.
    settings={
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
        "plan_cache_mode": "force_generic_plan",
        "jit": "off",
    },
)
"""For the writer's own connection."""


class Fenced(Exception):
    """Another process has taken the journal over, or its history is not the one we know. This process must stop writing for good."""


class JournalUnavailable(Exception):
    """The database is away. Nothing was written for this item, and nothing will be: it may be handed in again later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalStatistics:
    """The writer at one moment. The totals count since this process started."""

    available: bool
    """the database answers"""
    fenced: bool
    position: int
    epoch: int
    batches_total: int
    items_total: int
    divided_total: int
    """batches that the database refused and that were divided"""
    lost_total: int
    """how often the database was lost"""
    last_trouble: str | None


class Journal:
    """The writer: one per process, in one task at a time, alive over all lives of the actor in front of it.

    connect: opens the writer's own connection, with WRITER_SESSION. writer: a UUID of this process's own, by which it knows its hand again.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        writer: UUID,
        first_pause_seconds: float = FIRST_PAUSE_SECONDS,
        longest_pause_seconds: float = LONGEST_PAUSE_SECONDS,
    ) -> None:
        self._line = Line(connect, first_pause_seconds=first_pause_seconds, longest_pause_seconds=longest_pause_seconds)
        self._writer = writer
        self._head: Head | None = None
        self._fenced = False
        self._lost_before = 0  # losses of the line when the present `write` began
        self._batches = self._items = self._divided = 0

    async def open(self, while_away: WhileAway | None = None) -> Head:
        """Connects and makes this process the one that writes; whoever wrote before is fenced. Waits until the database is there.

        Called again (a new life of the actor), it only continues: raises Fenced where another process took over in between.
        """
        self._prepare(while_away)
        return await self._line.regain(self._take_over if self._head is None else self._continue)

    async def write(self, items: Sequence[Item], while_away: WhileAway | None = None) -> list[Result]:
        """Commits the items and returns what became of each, in their order. Each is durable, or surely not written, on return.

        Items that touch the same payment, stream or key are written one after the other. Raises Fenced; then, and when cancelled, the
        outcome of these items is not known here and stands in the journal.
        """
        self._prepare(while_away)
        self._lost_before = self._line.lost_total
        results: list[Result | None] = [None] * len(items)
        waiting: list[tuple[int, Encoded]] = []
        for number, item in enumerate(items):
            try:
                waiting.append((number, encode(item)))
            except Exception as error:  # whatever it is, it is this item's own fault: encoding is pure
                results[number] = Refused(f"{type(error).__name__}: {error}")
        while waiting:
            now, later = apart([encoded for _, encoded in waiting], LARGEST_BATCH)
            written = await self._settle([waiting[n][1] for n in now])
            for n, result in zip(now, written, strict=True):
                results[waiting[n][0]] = result
            waiting = [waiting[n] for n in later]
        self._items += len(items)
        return [result for result in results if result is not None]

    async def aclose(self) -> None:
        """Closes the connection. The journal can be opened again."""
        await self._line.aclose()

    def statistics(self) -> JournalStatistics:
        """A frozen snapshot."""
        head = self._head
        return JournalStatistics(
            available=self._line.available and not self._fenced,
            fenced=self._fenced,
            position=head.position if head is not None else 0,
            epoch=head.epoch if head is not None else 0,
            batches_total=self._batches,
            items_total=self._items,
            divided_total=self._divided,
            lost_total=self._line.lost_total,
            last_trouble=self._line.last_trouble,
        )

    def _prepare(self, while_away: WhileAway | None) -> None:
        if self._fenced:
            raise Fenced("another process writes the journal")
        self._line.while_away = while_away or (lambda _: None)

    # ---- one batch

    async def _settle(self, items: list[Encoded]) -> list[Result]:
        """What became of each, after dividing as often as it takes."""
        if not items:
            return []
        try:
            return await self._commit(items)
        except psycopg.Error as error:
            if not is_about_an_item(error):
                raise
            if _is_about_a_key(error):
                return await self._settle_claims(items)
            if len(items) == 1:
                return [verdict(error)]
        self._divided += 1
        middle = len(items) // 2
        return await self._settle(items[:middle]) + await self._settle(items[middle:])

    async def _settle_claims(self, items: list[Encoded]) -> list[Result]:
        """Some key is taken: those whose it was lose, the others are written."""
        taken = await self._taken_keys(items)
        results: list[Result | None] = [self._lost_claim(item, taken) for item in items]
        if not any(results):
            # Taken when we tried, and free when we looked: not with one writer and no deletions.
            raise AssertionError("a key was taken and is not there")
        written = iter(await self._settle([item for item, result in zip(items, results, strict=True) if result is None]))
        return [next(written) if result is None else result for result in results]

    def _lost_claim(self, item: Encoded, taken: dict[tuple[bytes, str], tuple[UUID, str]]) -> Result | None:
        claim = item.claim
        owner = taken.get(_key_of(item)) if claim is not None else None
        if claim is None or owner is None:
            return None
        if owner != (uuid_of(claim.payment_id), claim.request_id):
            return ClaimLost()
        # Taken by the very same request: this item has been written before, by a writer that could not say so any more.
        return Conflict() if item.records else Appended(self._known.position, item.answered_claim)

    async def _commit(self, items: list[Encoded]) -> list[Result]:
        """Writes them as one batch, however often the database goes away meanwhile. Raises what the server says against the batch."""
        while True:
            batch = link(items, self._known)
            try:
                row = await self._line.run(batch.statement, batch.parameters)
            except psycopg.Error as error:
                if not passes(error):
                    raise
                if await self._line.regain(partial(self._find, batch), after=error):
                    # Whether a notice of it was there before is not asked: to look at one twice is harmless.
                    arrived = frozenset(one.arrival for one in items if one.arrival is not None)
                    return _appended(items, batch, await self._stored_answers(batch), arrived)
                continue
            if row is None:
                await self._look(self._follow_head)
                continue
            self._head = batch.head
            self._batches += 1
            stored = frozenset(number - 1 for number in row[1] or ())
            arrived = frozenset(UUID(bytes=one.bytes) for one in row[2] or ())
            if len(stored) < len(batch.answers) and self._line.lost_total > self._lost_before:
                # It may have been stored by ourselves, in a try whose answer was lost.
                stored = await self._stored_answers(batch)
            return _appended(items, batch, stored, arrived)

    # ---- the head

    @property
    def _known(self) -> Head:
        if self._head is None:
            raise RuntimeError("the journal has not been opened")
        return self._head

    async def _take_over(self) -> Head:
        row = await self._line.run(
            "UPDATE payorch.journal_head SET epoch = epoch + 1, writer = $1 RETURNING position, hash, epoch",
            [self._writer],
        )
        if row is None:
            raise self._fence("the journal has no head: the schema is damaged")
        self._head = Head(position=row[0], hash=row[1], epoch=row[2])
        return self._head

    async def _continue(self) -> Head:
        """Moves our own epoch on: no statement that was sent before can take effect afterwards."""
        row = await self._line.run(
            "UPDATE payorch.journal_head SET epoch = epoch + 1 WHERE writer = $1 RETURNING position, hash, epoch",
            [self._writer],
        )
        return await self._adopt(row)

    async def _follow_head(self) -> Head:
        """The head was not where we left it: a visitor's entry (`entries.visit`) moved it, or we are fenced."""
        row = await self._line.run(
            "SELECT position, hash, epoch FROM payorch.journal_head WHERE writer = $1 AND epoch = $2",
            [self._writer, Int8(self._known.epoch)],
        )
        return await self._adopt(row)

    async def _adopt(self, row: tuple[Any, ...] | None) -> Head:
        """Goes on from that head if it continues the history we know. A standby promoted without its last seconds does not."""
        if row is None:
            raise self._fence("another process has taken the journal over")
        known, head = self._known, Head(position=row[0], hash=row[1], epoch=row[2])
        if head.position != known.position and known.position > 0:
            found = await self._line.run("SELECT hash FROM payorch.journal WHERE position = $1", [Int8(known.position)])
            same = head.position > known.position and found is not None and found[0] == known.hash
        else:
            same = head.position > known.position or head.hash == known.hash
        if not same:
            raise self._fence(f"the journal's history up to position {known.position} is not the one this process wrote")
        self._head = head
        return head

    async def _find(self, batch: Batch) -> bool:
        """Whether the batch was committed. What was under way is over, or shut out, once our epoch has moved."""
        await self._continue()
        if batch.last is None:
            # Without a record there is no trace to find. Writing it again is harmless: an answer is stored once, a claim known as ours.
            return False
        row = await self._line.run(
            "SELECT hash FROM payorch.journal WHERE stream_id = $1 AND sequence = $2",
            [UUID(bytes=batch.last.stream_id[4:]), batch.last.sequence],
        )
        return row is not None and bool(row[0] == batch.head.hash)

    def _fence(self, reason: str) -> Fenced:
        self._fenced = True
        return Fenced(reason)

    # ---- looking things up

    async def _taken_keys(self, items: list[Encoded]) -> dict[tuple[bytes, str], tuple[UUID, str]]:
        claimed = [_key_of(item) for item in items if item.claim is not None]
        parameters = [[UUID(bytes=merchant) for merchant, _ in claimed], [key for _, key in claimed]]

        async def look() -> list[tuple[Any, ...]]:
            return await self._line.run_all(
                "SELECT old.merchant_id, old.key, old.payment_id, old.request_id"
                " FROM unnest($1::uuid[], $2::text[]) AS new (merchant_id, key)"
                ' JOIN payorch.idempotency_keys AS old ON old.merchant_id = new.merchant_id AND old.key = new.key COLLATE "C"',
                parameters,
            )

        return {(row[0].bytes, row[1]): (row[2], row[3]) for row in await self._look(look)}

    async def _stored_answers(self, batch: Batch) -> frozenset[int]:
        """Which of the batch's answers are the stored ones, by comparing: after a lost answer nobody else can tell."""
        if not batch.answers:
            return frozenset()
        parameters = tables.ANSWERS.arrays(list(batch.answers))

        async def look() -> list[tuple[Any, ...]]:
            return await self._line.run_all(
                "SELECT new.n FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::integer[], $5::bytea[])"
                " WITH ORDINALITY AS new (merchant_id, key, answered_at, status, body, n) JOIN payorch.idempotency_keys AS old"
                ' ON old.merchant_id = new.merchant_id AND old.key = new.key COLLATE "C"'
                " WHERE old.answered_at = new.answered_at AND old.status = new.status AND old.body = new.body",
                parameters,
            )

        return frozenset(row[0] - 1 for row in await self._look(look))

    async def _look(self, step: Callable[[], Awaitable[T]]) -> T:
        """Runs a step that only reads, again after the database was away."""
        while True:
            try:
                return await step()
            except psycopg.Error as error:
                if not passes(error):
                    raise
                await self._line.regain(self._continue, after=error)


def _appended(items: list[Encoded], batch: Batch, stored: frozenset[int], arrived: frozenset[UUID]) -> list[Result]:
    answered = {number for n, number in enumerate(batch.answering) if n in stored}
    return [
        Appended(position, item.answered_claim or number in answered, item.arrival in arrived)
        for number, (item, position) in enumerate(zip(items, batch.positions, strict=True))
    ]


def _key_of(item: Encoded) -> tuple[bytes, str]:
    assert item.claim is not None
    return uuid_of(item.claim.merchant_id).bytes, item.claim.key


# By class of SQLSTATE: the data does not fit its type, a constraint forbids it, an index cannot hold it. All else is nobody's item.
_ABOUT_AN_ITEM: Final = ("22", "23", "54")


def is_about_an_item(error: psycopg.Error) -> bool:
    """Whether the database refused an item's data. The statement was rolled back; whatever else it held may be written."""
    return (error.sqlstate or "").startswith(_ABOUT_AN_ITEM)


def _is_about_a_key(error: psycopg.Error) -> bool:
    return isinstance(error, psycopg.errors.UniqueViolation) and error.diag.table_name == "idempotency_keys"


def verdict(error: psycopg.Error) -> Result:
    """What the database's refusal means for the one item it was about. The server's detail is left out: it quotes the row."""
    if error.diag.constraint_name == "inbox_settled_once":
        return SettledBefore()
    follows = error.diag.constraint_name in ("payments_version_follows", "acts_decided_once")
    # The same wish twice at once, by one plan, one key or two people: whoever loses looks at what the other has asked for.
    asked_before = isinstance(error, psycopg.errors.UniqueViolation) and error.diag.table_name == "acts"
    # A movement has its event's number, and which of the two rows the database sees first is its own affair.
    numbered = (error.diag.table_name or "").startswith(("journal", "movements"))
    sequence_taken = isinstance(error, psycopg.errors.UniqueViolation) and numbered
    if follows or sequence_taken or asked_before:
        return Conflict()
    return Refused(error.diag.message_primary or type(error).__name__)
