"""Events of payments at a steady rate, written into the journal as a command would, beside a platform that runs. Its own process.

    python -m bench.happenings --database "host=... dbname=..." --rate 1000

Every payment that is there lives on by four events, the newest payment first. They are chained to the journal's head like all others, so
the platform tells them to whoever listens. What they say is not applied to the payments: only telling is measured. It runs until SIGTERM;
where it cannot keep the pace it goes on as fast as it can, and says at its end how many it wrote.

Not here: who listens (`console`).
"""

from __future__ import annotations

import argparse
import json
import signal
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Final
from uuid import UUID

import psycopg
import trio

from payorch.domain import events, identifiers
from payorch.domain.events import AttemptChange, Event
from payorch.domain.payment import AttemptState, Name, State
from payorch.store import audit, rows
from payorch.store.batch import Encoded, Head, Record, link
from payorch.store.driver import Connection, Session
from payorch.store.items import PAYMENT_STREAM
from payorch.store.rows import bigint, integer, milliseconds, moment_of_ms, raw, uuid, words

EACH_SECONDS: Final = 0.05
"""How often some are written: at a thousand a second, fifty at once, which is what a full platform gathers into a commit."""
MOST_AT_ONCE: Final = 250
LIFE: Final = (
    (Name.PROVIDER_ACCEPTED, State.PROVIDER_PENDING, AttemptState.PENDING),
    (Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN, AttemptState.UNKNOWN),
    (Name.EVIDENCE_RECORDED, State.OUTCOME_UNKNOWN, AttemptState.UNKNOWN),
    (Name.RESOLVED_CHARGED, State.CAPTURED, AttemptState.CHARGED),
)
"""What is told of each payment. The first has the number 1, by which a list knows that a payment is new."""
STRIDE: Final = 50
"""Payments whose lives go on side by side, as they do in a platform."""


def lives(payments: Sequence[UUID], connector: str) -> Iterator[Encoded]:
    """Records in the order in which they are written. A payment's own follow each other."""
    for first in range(0, len(payments), STRIDE):
        for sequence, (name, to, state) in enumerate(LIFE, start=1):
            for one in payments[first : first + STRIDE]:
                change = AttemptChange(attempt_id=identifiers.text("att", one), state=state)
                actor, cause = f"psp:{connector}", identifiers.text("req", one)
                yield encoded(one, sequence, Event(name=name, to=to, at=datetime.now(UTC), actor=actor, cause=cause, data=change))


def encoded(payment_id: UUID, sequence: int, event: Event) -> Encoded:
    """The event as the journal's writer would encode it, without the payment that it changes."""
    what = (words(PAYMENT_STREAM), uuid(payment_id.bytes), integer(sequence), words(event.name))
    by_whom = (words(event.actor), words(event.cause), raw(events.encode(event)))
    at = milliseconds(event.at)
    row, content = (*what, moment_of_ms(at), *by_whom), audit.content(what, bigint(at), by_whom)
    record = Record(stream_id=uuid(payment_id.bytes), sequence=sequence, row=row, content=content)
    return Encoded(records=(record,), rows=(), touches=frozenset())


async def visit(connection: Connection, some: Sequence[Encoded]) -> None:
    """As `payorch.store.entries.visit` writes what is no payment's: behind the head, whose row is locked meanwhile."""
    async with connection.transaction(), psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute("SELECT position, hash, epoch FROM payorch.journal_head FOR UPDATE", binary=True)
        position, hash_, epoch = await cursor.fetchone() or (0, b"", 0)
        batch = link(some, Head(position=position, hash=hash_, epoch=epoch))
        await cursor.execute(batch.statement, batch.parameters)


class Sender:
    """Writes them. `written`: how many so far."""

    def __init__(self, connection: Connection, entries: Iterator[Encoded], rate: float) -> None:
        self._connection = connection
        self._entries = entries
        self._rate = rate
        self.written = 0

    async def run(self) -> None:
        """To the end of all lives: each moment as many as are due by then."""
        began = trio.current_time()
        while True:
            due = min(MOST_AT_ONCE, int((trio.current_time() - began) * self._rate) - self.written)
            some = tuple(islice(self._entries, max(0, due)))
            if some:
                await visit(self._connection, some)
                self.written += len(some)
            elif due > 0:
                raise SystemExit("every payment has lived its life: there are too few for so long a run")
            await trio.sleep(EACH_SECONDS)


async def write(database: str, rate: float, skip: int) -> int:
    """Until SIGTERM. skip: newest payments that have been used before. Gives how many were written."""
    connection = await Connection.connect(database, session=Session(application_name="payorch-bench"))
    try:
        found = await (await connection.execute(b"SELECT id, connector FROM payorch.payments ORDER BY id DESC")).fetchall()
        rows.register(connection)
        sender = Sender(connection, lives([row[0] for row in found[skip:]], found[0][1]), rate)
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(sender.run)
                await anext(signals)
                nursery.cancel_scope.cancel()
        return sender.written
    finally:
        with trio.CancelScope(shield=True):
            await connection.close()


def main(arguments: Sequence[str] | None = None) -> None:
    """Until SIGTERM; then it says how many it wrote."""
    parser = argparse.ArgumentParser(prog="python -m bench.happenings")
    parser.add_argument("--database", required=True)
    parser.add_argument("--rate", type=float, required=True)
    parser.add_argument("--skip", type=int, default=0)
    given = parser.parse_args(arguments)
    print(json.dumps({"written": trio.run(write, given.database, given.rate, given.skip)}))


if __name__ == "__main__":
    main()
