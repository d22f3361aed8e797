"""What a migration leaves to be filled in for payments that were there before it: movements, page by page, as the owner.

SQL files run in one transaction each and are for the schema; this is the data work that takes minutes. Each page is one transaction with
the note of how far it came, so whoever is interrupted goes on from there, and a row that is there already stays as it is. Memory does not
grow with the number of payments. The platform does not start before it is done (`migrate.check`), and an older one was made to stop by the
migration, so nothing is written meanwhile that would be missed.

Not here: the schema (`migrations/`), which movements an event makes (`payorch.domain.movements`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain.events import Event, UnreadableEvent, decode
from payorch.domain.evolve import evolve
from payorch.domain.identifiers import text
from payorch.domain.movements import Movement, movements
from payorch.domain.payment import IllegalTransition
from payorch.domain.records import Payment
from payorch.store import rows
from payorch.store.driver import Connection
from payorch.store.movement_rows import movement
from payorch.store.query import all_rows, utc
from payorch.store.tables import MOVEMENTS

PAGE_PAYMENTS: Final = 500
"""Payments in memory at a time: some 10 MB, and the round trips for a page are nothing beside its replay."""
_NAME: Final = "movements"


class BackfillFailed(Exception):
    """A payment's events cannot be replayed. The text names it; what was filled in before it stays."""


async def undone(connection: Connection) -> bool:
    """Whether movements of earlier payments are still missing. False where the schema knows of none yet."""
    found = await all_rows(connection, "SELECT to_regclass('payorch.backfills')::text", [])
    if found[0][0] is None:
        return False
    return bool(await all_rows(connection, "SELECT FROM payorch.backfills WHERE done_at IS NULL LIMIT 1", []))


async def fill(connection: Connection, *, page_payments: int = PAGE_PAYMENTS) -> None:
    """Fills in what is missing; at once where nothing is. Raises BackfillFailed, psycopg's errors."""
    if not await undone(connection):
        return
    rows.register(connection)
    while await _page(connection, page_payments):
        pass


async def _page(connection: Connection, page_payments: int) -> bool:
    """One page, in one transaction; False after the last one."""
    async with connection.transaction():
        [(after,)] = await all_rows(connection, "SELECT after_id FROM payorch.backfills WHERE name = $1 FOR UPDATE", [_NAME])
        ids = await all_rows(connection, "SELECT id FROM payorch.payments WHERE id > $1 ORDER BY id LIMIT $2", [after, Int8(page_payments)])
        if not ids:
            await all_rows(connection, "UPDATE payorch.backfills SET done_at = now() WHERE name = $1 RETURNING name", [_NAME])
            return False
        found = _of_journals(await all_rows(connection, _EVENTS, [[row[0] for row in ids]]))
        if made := [movement(one) for one in found]:
            await all_rows(connection, _INSERT, MOVEMENTS.arrays(made))
        await all_rows(connection, "UPDATE payorch.backfills SET after_id = $2 WHERE name = $1 RETURNING name", [_NAME, ids[-1][0]])
    return True


_EVENTS: Final = """
SELECT stream_id, name, at, actor, cause, body::text FROM payorch.journal WHERE stream_id = ANY($1::uuid[]) ORDER BY stream_id, sequence
"""
_ARRAYS: Final = ", ".join(f"${number}::{kind.type_name}[]" for number, (_, kind) in enumerate(MOVEMENTS.columns, start=1))
_COLUMNS: Final = ", ".join(name for name, _ in MOVEMENTS.columns)
_INSERT: Final = f"INSERT INTO payorch.movements ({_COLUMNS}) SELECT * FROM unnest({_ARRAYS}) ON CONFLICT DO NOTHING RETURNING sequence"


def _of_journals(recorded: Iterable[Sequence[Any]]) -> list[Movement]:
    """The movements of these events, which come payment by payment, each in order."""
    made: list[Movement] = []
    payment: Payment | None = None
    current: UUID | None = None
    for stream_id, *row in recorded:
        if stream_id != current:
            payment, current = None, stream_id
        try:
            event = _event(row)
            before, payment = payment, evolve(payment, event)
        except (UnreadableEvent, IllegalTransition, KeyError, ValueError) as problem:
            raise BackfillFailed(
                f"the events of {text('pay', stream_id)} make no payment ({type(problem).__name__}: {problem}): look at it with"
                " `payorch books check` of the version that wrote it"
            ) from problem
        made += movements(before, payment, event)
    return made


def _event(row: Sequence[Any]) -> Event:
    name, at, actor, cause, body = row
    return decode(name=name, at=utc(at), actor=actor, cause=cause, body=body)
