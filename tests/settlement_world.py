"""For the tests of importing reports: a report format of no PSP's, payments whose money has moved, and imports of the one for the other.

The format is one JSON object a line under a first line that says what it is; a line that is no such object cannot be read.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from payorch import settlements
from payorch.domain.identifiers import uuid_of
from payorch.domain.matching import Policy
from payorch.domain.money import Money
from payorch.domain.settlement import BadRow, NotAReport, ReportItem, RowKind, SettlementRow, Tie
from payorch.settlement_file import Report
from payorch.settlements import Imported, Progress, Rules
from payorch.store import rows
from payorch.store.driver import Connection
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id

CONNECTOR = "psp_one"
DAY = START.date()
MAGIC = b"a report"


class Line(msgspec.Struct, omit_defaults=True):
    """What a line of the format may hold: one of the two."""

    row: SettlementRow | None = None
    tie: Tie | None = None


def parse(chunks: Iterable[bytes]) -> Iterator[ReportItem]:
    """As a connector's `settlement`."""
    lines = _lines(chunks)
    if next(lines, b"") != MAGIC:
        raise NotAReport("its first line is another")
    for number, raw in enumerate(lines, start=2):
        try:
            line = msgspec.json.decode(raw, type=Line)
        except msgspec.DecodeError:
            yield BadRow(line=number, reason=f"gross: {raw[:9].decode(errors='replace')!r} is no amount", raw=raw.decode(errors="replace"))
            continue
        if line.row is not None:
            yield msgspec.structs.replace(line.row, line=number)
        if line.tie is not None:
            yield msgspec.structs.replace(line.tie, line=number)


def _lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        yield from whole
    if rest:
        yield rest


def report_of(*items: SettlementRow | Tie | str) -> bytes:
    """The bytes of a report; a text is a line that cannot be read."""
    lines = [MAGIC]
    for item in items:
        if isinstance(item, str):
            lines.append(item.encode())
        else:
            lines.append(msgspec.json.encode(Line(row=item) if isinstance(item, SettlementRow) else Line(tie=item)))
    return b"\n".join(lines)


def booking(
    kind: RowKind, minor: int, identity: str, *, currency: str = "EUR", fee: int = 0, day: date = DAY, **more: Any
) -> SettlementRow:
    """A line that says so. minor: signed."""
    return SettlementRow(
        line=1, kind=kind, type=kind.value, identity=identity, booked_on=day, gross=Money(minor, currency), fee=Money(fee, currency),
        net=Money(minor - fee, currency), **more,
    )  # fmt: skip


def capture_of(story: Story, minor: int | None = None, *, identity: str = "", fee: int = 0, day: date = DAY, **more: Any) -> SettlementRow:
    """The line of what the story's attempt captured."""
    psp = story.attempt.psp_reference
    named = {"psp_payment": (psp,) if psp is not None else (), "our_references": (story.attempt.id,), **more}
    amount = story.minor if minor is None else minor
    return booking(RowKind.CAPTURE, amount, identity or f"txn_{story.payment_id}", currency=story.currency, fee=fee, day=day, **named)


@dataclass
class Ids:
    """Identifiers one after the other."""

    made: list[UUID] = field(default_factory=list)

    def identifier(self) -> UUID:
        self.made.append(uuid_of(new_id("bat")))
        return self.made[-1]

    def fraction(self) -> float:
        raise AssertionError("an import leaves nothing to chance")

    def secret(self, size_bytes: int) -> bytes:
        raise AssertionError("an import has no secrets")


@dataclass
class Hands:
    """A clock that goes on by itself, a second each time it is read."""

    at: datetime = START + timedelta(days=3)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


@dataclass
class World:
    """A database with a journal, and imports into it."""

    database: Database
    journal: Journal
    connection: Connection
    clock: Hands = field(default_factory=Hands)
    ids: Ids = field(default_factory=Ids)

    async def captured(self, count: int = 1, **changes: Any) -> list[Story]:
        """So many payments that were captured."""
        made = []
        for _ in range(count):
            story = Story(**changes)
            await self.journal.write([story.sent()])
            await self.journal.write([story.authorized()])
            await self.journal.write([story.capture_requested(story.minor)])
            await self.journal.write([story.captured()])
            made.append(story)
        return made

    async def unknown(self, **changes: Any) -> Story:
        """A payment that was sent, and nobody knows what became of it."""
        story = Story(**changes)
        await self.journal.write([story.sent()])
        return story

    async def take(
        self,
        content: bytes,
        *,
        chunk_rows: int = 1000,
        name: str = "report.csv",
        progress: Callable[[Progress], None] = lambda _: None,
        policy: Policy | None = None,
        **rules: Any,
    ) -> Imported:
        """Imports these bytes."""
        with Report.of(name, [content], limit_bytes=1 << 30) as report:
            return await settlements.import_report(
                lambda: nullcontext(self.connection),
                CONNECTOR,
                parse,
                report,
                Rules(policy=policy or Policy(), chunk_rows=chunk_rows, **rules),
                actor="cli:olga",
                cause="payorch settlements import",
                clock=self.clock,
                entropy=self.ids,
                progress=progress,
            )

    async def take_lines(self, *items: SettlementRow | Tie | str) -> Imported:
        """Imports a report of these lines."""
        return await self.take(report_of(*items))

    def uuid(self, identifier: str) -> UUID:
        """As it stands in the database."""
        return uuid_of(identifier)

    async def all(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query."""
        return await (await self.connection.execute(query, parameters)).fetchall()

    async def states(self) -> list[tuple[Any, ...]]:
        """Every stored line as finance people see it, whatever its number and report."""
        return await self.all(
            "SELECT identity, state, key, payment_id, sequence, gross, currency FROM payorch.settlement_rows ORDER BY identity, state"
        )

    async def findings(self) -> list[tuple[Any, ...]]:
        """Every finding without its place and time."""
        return await self.all(
            "SELECT kind, state, expected, actual, difference, amount_currency, payment_id, sequence"
            " FROM payorch.reconciliation_findings ORDER BY kind, payment_id, actual, difference, state"
        )

    async def movements(self) -> list[tuple[Any, ...]]:
        """Every movement of ours and how it stands."""
        return await self.all(
            "SELECT payment_id, sequence, kind, amount, settlement, booked_on FROM payorch.movements ORDER BY payment_id, sequence"
        )

    async def contents(self) -> list[Sequence[Any]]:
        """Everything that an import writes."""
        tables = ("settlement_batches", "settlement_rows", "settlement_postings", "reconciliation_findings", "dead_letters", "movements")
        return [await self.all(f"SELECT * FROM payorch.{table} ORDER BY 1, 2, 3") for table in (*tables, "journal")]


@asynccontextmanager
async def world_on(database: Database) -> AsyncIterator[World]:
    """A world on that database."""
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        rows.register(connection)
        yield World(database, journal, connection)
