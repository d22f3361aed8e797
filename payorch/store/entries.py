"""Writing entries: records of the journal outside payments (an act, a refusal, a change of who may knock or of what people have to answer).

There is one write path: a change becomes an `Entry` and goes to the journal, either through the running writer or, from the command line,
by `visit`. The entries of one stream are numbered from 1; `changed` reads the next number, and tries again where somebody was faster.

Not here: which changes there are (`identities`, `dead_letters`), the writer (`journal`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, TypeAlias

import msgspec
import psycopg

from payorch.domain.identifiers import uuid_of
from payorch.store import rows
from payorch.store.batch import Head, encode, link
from payorch.store.driver import Connection
from payorch.store.items import Appended, Conflict, Entry, EntryRow, Refused, Result, SettledBefore
from payorch.store.journal import Fenced, is_about_an_item, verdict

WriteEntry: TypeAlias = Callable[[Entry], Awaitable[Result]]

_TRIES: Final = 5
"""Two people at the same merchant at the same moment are rare; five times in a row is something else."""


class ChangeRefused(Exception):
    """The change was not made: a rule of the database forbids it (a name twice, a third live key, an unknown merchant)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change to write: what happened to whom, with the rows that follow from it. `detail` is told in the audit record: no secrets."""

    stream: str
    stream_id: str
    name: str
    rows: tuple[EntryRow, ...]
    detail: Mapping[str, str | None]


async def changed(connection: Connection, write: WriteEntry, change: Change, *, at: datetime, actor: str, cause: str) -> int:
    """Writes the change and returns its position in the journal. `connection` is only read from.

    Raises ChangeRefused, and whatever `write` raises.
    """
    for _ in range(_TRIES):
        entry = entry_of(change, sequence=await next_sequence(connection, change.stream_id), at=at, actor=actor, cause=cause)
        match await write(entry):
            case Appended(position):
                return position
            case Conflict():
                continue
            case Refused(reason):
                raise ChangeRefused(reason)
            case SettledBefore():
                raise ChangeRefused("it has had its effect meanwhile")
            case unexpected:
                raise AssertionError(f"an entry claims nothing, and yet: {unexpected}")
    raise ChangeRefused("somebody else keeps changing the same")


def entry_of(change: Change, *, sequence: int, at: datetime, actor: str, cause: str) -> Entry:
    """The change as the entry of that number in its stream.

    Read the number before what the change is made of: then a change that came between the two makes a Conflict, and is not lost.
    """
    return Entry(
        stream=change.stream,
        stream_id=change.stream_id,
        sequence=sequence,
        name=change.name,
        at=at,
        actor=actor,
        cause=cause,
        body=msgspec.json.encode(change.detail),
        rows=change.rows,
    )


async def visit(connection: Connection, *some: Entry) -> Result:
    """Writes entries, all or none, from outside the writing process, while that runs or while none does: for the command line, and for
    what has more rows than an entry may bring and writes them first, in the same transaction.

    They go through the same statement and move the same head, whose row is locked until the transaction ends, this one's or the caller's;
    the writer then follows. Entries only: a payment's steps belong to the process that owns the journal. Raises psycopg errors; where the
    connection was lost, whether the entries were written is not known, and the caller says so.
    """
    encoded = [encode(entry) for entry in some]
    rows.register(connection)
    try:
        async with connection.transaction(), psycopg.AsyncRawCursor(connection) as cursor:
            await cursor.execute("SELECT position, hash, epoch FROM payorch.journal_head FOR UPDATE", binary=True)
            found = await cursor.fetchone()
            if found is None:
                raise Fenced("the journal has no head: the schema is damaged")
            batch = link(encoded, Head(position=found[0], hash=found[1], epoch=found[2]))
            await cursor.execute(batch.statement, batch.parameters)
            if await cursor.fetchone() is None:
                raise AssertionError("the journal's head moved although its row is locked")
    except psycopg.Error as error:
        if not is_about_an_item(error):
            raise
        return verdict(error)
    return Appended(batch.head.position)


async def next_sequence(connection: Connection, stream_id: str) -> int:
    """The number that the next entry of that stream has, as far as is committed."""
    found = await _one(connection, "SELECT coalesce(max(sequence), 0) + 1 FROM payorch.journal WHERE stream_id = $1", [uuid_of(stream_id)])
    return int(found[0])


async def _one(connection: Connection, query: str, parameters: Sequence[Any]) -> tuple[Any, ...]:
    async with psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(query, parameters, binary=True)
        row = await cursor.fetchone()
    assert row is not None, "a sum over nothing is a row as well"
    return row
