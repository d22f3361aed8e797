"""What a ledger keeps for settlement reports: money that disputes moved, which days were reported, and what went wrong with them for good.

A part of the ledger (`Ledger.reported`), in the ledger's database and transactions. Not here: what a day's report holds (`settlement`),
the tables (`schema`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, final

from msgspec.json import decode, encode

from connectors.simulator.records import Entry, EntryType, Operation, Payment, milliseconds, moment
from connectors.simulator.rows import read_entry

_SETTLING: Final = (EntryType.CAPTURED, EntryType.CAPTURE_FAILED, EntryType.REFUNDED, EntryType.REFUND_FAILED)
_TYPES: Final = ", ".join(f"'{one}'" for one in _SETTLING)
"""What moves money between the merchant and the PSP; holding and releasing it does not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """What a dispute took from the merchant's balance (below zero) or gave back. Numbers are dense and in order of happening."""

    number: int
    dispute: str
    payment: str
    amount: int
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a day has been reported: up to which entry and withdrawal it is settled what goes wrong with them. left: what was in the
    balance at the day's end, by currency; None as long as it has not ended.
    """

    date: date
    entries: int
    withdrawals: int
    left: Mapping[str, int] | None


@final
class Reported:
    """Statements over the ledger's own connection. What writes belongs into a transaction of the ledger."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._run = database.execute

    def withdraw(self, payment: Payment, dispute: Operation, at: datetime) -> None:
        """A dispute takes its amount from the merchant's balance."""
        self._move(payment, dispute, -dispute.amount, at)

    def reinstate(self, payment: Payment, dispute: Operation, at: datetime) -> None:
        """What a dispute took comes back. Nothing, where it took nothing: it only asked, or took it before there were reports."""
        (taken,) = self._run("SELECT coalesce(sum(amount), 0) FROM withdrawal WHERE dispute = ?", (dispute.id,)).fetchone()
        if taken < 0:
            self._move(payment, dispute, -taken, at)

    def _move(self, payment: Payment, dispute: Operation, amount: int, at: datetime) -> None:
        self._run("INSERT INTO withdrawal VALUES (NULL, ?, ?, ?, ?)", (dispute.id, payment.id, amount, milliseconds(at)))

    def entries(self, first: datetime, end: datetime) -> list[Entry]:
        """The entries from `first` up to, not including, `end` that move money between the merchant and the PSP, in order."""
        span = (milliseconds(first), milliseconds(end))
        rows = self._run(f"SELECT * FROM entry WHERE at >= ? AND at < ? AND type IN ({_TYPES}) ORDER BY at, number", span).fetchall()
        return [read_entry(row) for row in rows]

    def withdrawals(self, first: datetime, end: datetime) -> list[Withdrawal]:
        """What disputes moved in that time, in order."""
        span = (milliseconds(first), milliseconds(end))
        rows = self._run("SELECT * FROM withdrawal WHERE at >= ? AND at < ? ORDER BY at, number", span).fetchall()
        return [_withdrawal(row) for row in rows]

    def entry(self, number: int) -> Entry:
        """The entry with that number, which there is."""
        return read_entry(self._run("SELECT * FROM entry WHERE number = ?", (number,)).fetchone())

    def withdrawal(self, number: int) -> Withdrawal:
        """The withdrawal with that number, which there is."""
        return _withdrawal(self._run("SELECT * FROM withdrawal WHERE number = ?", (number,)).fetchone())

    def count(self, first: datetime, end: datetime) -> int:
        """How many of both there are in that time."""
        span = (milliseconds(first), milliseconds(end))
        (entries,) = self._run(f"SELECT count(*) FROM entry WHERE at >= ? AND at < ? AND type IN ({_TYPES})", span).fetchone()
        (withdrawals,) = self._run("SELECT count(*) FROM withdrawal WHERE at >= ? AND at < ?", span).fetchone()
        return int(entries + withdrawals)

    def numbers(self) -> tuple[int, int]:
        """The last entry's number and the last withdrawal's."""
        (entry,) = self._run("SELECT coalesce(max(number), 0) FROM entry").fetchone()
        (withdrawal,) = self._run("SELECT coalesce(max(number), 0) FROM withdrawal").fetchone()
        return int(entry), int(withdrawal)

    def begun(self) -> datetime | None:
        """When the first entry was made; None where there is none."""
        (at,) = self._run("SELECT min(at) FROM entry").fetchone()
        return None if at is None else moment(at)

    def mark(self, day: date) -> Mark | None:
        """How far that day has been reported; None where it never was."""
        return self._read("SELECT * FROM settlement_day WHERE date = ?", day)

    def last_left(self, before: date) -> Mark | None:
        """The last day before that one whose end has been reported."""
        return self._read("SELECT * FROM settlement_day WHERE date < ? AND left_over IS NOT NULL ORDER BY date DESC LIMIT 1", before)

    def _read(self, statement: str, day: date) -> Mark | None:
        row = self._run(statement, (day.isoformat(),)).fetchone()
        if row is None:
            return None
        text, entries, withdrawals, left = row
        return Mark(
            date=date.fromisoformat(text),
            entries=entries,
            withdrawals=withdrawals,
            left=None if left is None else decode(left, type=dict[str, int]),
        )

    def keep(self, mark: Mark) -> None:
        """Keeps how far a day has been reported."""
        left = None if mark.left is None else encode(mark.left)
        row = (mark.date.isoformat(), mark.entries, mark.withdrawals, left)
        self._run("INSERT OR REPLACE INTO settlement_day VALUES (?, ?, ?, ?)", row)

    def faults(self, day: date) -> dict[str, str]:
        """booking -> what went wrong with it, of that day's bookings."""
        return dict(self._run("SELECT booking, kind FROM settlement_fault WHERE date = ?", (day.isoformat(),)).fetchall())

    def strike(self, day: date, booking: str, kind: str) -> None:
        """Something goes wrong with a booking of that day, for good."""
        self._run("INSERT INTO settlement_fault VALUES (?, ?, ?)", (booking, day.isoformat(), kind))


def _withdrawal(row: tuple[Any, ...]) -> Withdrawal:
    number, dispute, payment, amount, at = row
    return Withdrawal(number=number, dispute=dispute, payment=payment, amount=amount, at=moment(at))
