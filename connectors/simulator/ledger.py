"""What a simulated PSP really charged: its payments, every movement of money, and the requests it has already answered.

One SQLite database. A request is one `transaction`: the movement, the notifications it causes and the answer stored under its idempotency
key appear together or not at all, so a process killed between charging and answering comes back having done both. In a file, the
write-ahead log without fsync survives the death of the process (not of the machine, which a simulator need not survive).

Everything is a function of its arguments: no clock, no chance, no threads. Ids come from a seed and a counter.
Not here: any PSP's name, words or rules about what may follow what (the dialects); faults; how far notifications have come (`outbox`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final, final

from msgspec.json import encode

from connectors.simulator.outbox import Outbox
from connectors.simulator.records import (
    Entry,
    EntryType,
    Facts,
    Impossible,
    Notification,
    Operation,
    OperationKind,
    OperationStatus,
    Page,
    Payment,
    StoredAnswer,
    Timer,
    milliseconds,
    moment,
)
from connectors.simulator.reported import Reported
from connectors.simulator.rows import read_answer, read_entry, read_operation, read_payment, write_payment
from connectors.simulator.schema import CHANGE_PAYMENT, LATER, MAKE_PAYMENT, SCHEMA_VERSION, TABLES

_LETTERS: Final = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_TO_LETTERS: Final = bytes(_LETTERS[byte % len(_LETTERS)] for byte in range(256))
_NEVER: Final = 2**62
_SETTINGS: Final = (
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=OFF",
    "wal_autocheckpoint=10000",  # 40 MB: rarely, for every page is written twice
    "cache_size=-32000",  # 32 MB
    "temp_store=MEMORY",
)
_LOCK_WAIT_SECONDS: Final = 2.0
"""How long a restarted process waits for its dead predecessor's lock. The kernel frees it at once."""


@final
class Ledger:
    """The books of one simulated PSP. Open it with a path (or nothing, for memory) and the PSP's label; `close` it in the end.

    `seed` fixes the ids of a new ledger; an existing file keeps the seed it was made with. One process at a time: a second one that opens
    the same file gets `sqlite3.OperationalError`.
    """

    def __init__(self, *, psp: str, seed: int = 0, path: Path | None = None) -> None:
        self.psp = psp
        self._database = sqlite3.connect(path or ":memory:", isolation_level=None, timeout=_LOCK_WAIT_SECONDS)
        self._run = self._database.execute
        for setting in _SETTINGS:
            self._run(f"PRAGMA {setting}").close()
        self._prepare(seed)
        self._seed = str(self._meta("seed")).encode()
        self._counter = self._stored_counter = int(self._meta("counter"))
        self._next_due = self._first_timer()
        self._last_payment = self._last_number()
        self.outbox = Outbox(self._database)
        self.reported = Reported(self._database)
        # Written when the transaction ends, or when something is read: most payments are made and changed in one request.
        self._made: list[Payment] = []
        self._changed: dict[int, Payment] = {}

    def close(self) -> None:
        """Closes the database. What was committed stays."""
        self._database.close()

    def _prepare(self, seed: int) -> None:
        (version,) = self._run("PRAGMA user_version").fetchone()
        if version == 0:
            first = f"INSERT INTO meta VALUES ('seed', {int(seed)}), ('counter', 0);"
            self._database.executescript(f"BEGIN;{TABLES}{first}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version in LATER:
            self._database.executescript(f"BEGIN;{LATER[version]}PRAGMA user_version={SCHEMA_VERSION};COMMIT;")
        elif version != SCHEMA_VERSION:
            raise Impossible(f"this ledger has format {version}, not {SCHEMA_VERSION}: start with an empty data folder")

    def _meta(self, name: str) -> Any:
        (value,) = self._run("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return value

    def _first_timer(self) -> int:
        (at,) = self._run("SELECT min(at) FROM timer").fetchone()
        return _NEVER if at is None else int(at)

    def _last_number(self) -> int:
        (number,) = self._run("SELECT max(number) FROM payment").fetchone()
        return number or 0

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside is kept together, or, if the block raises, not at all."""
        counter = self._counter
        self._run("BEGIN IMMEDIATE")
        try:
            yield
            self._flush()
            if self._counter != self._stored_counter:
                self._run("UPDATE meta SET value = ? WHERE name = 'counter'", (self._counter,))
            self._run("COMMIT")
        except BaseException:
            self._run("ROLLBACK")
            self._counter = counter
            self._forget()
            raise
        self._stored_counter = self._counter

    def _flush(self) -> None:
        for payment in self._made:
            self._run(MAKE_PAYMENT, write_payment(self._changed.pop(payment.number, payment)))
        for payment in self._changed.values():
            self._run(CHANGE_PAYMENT, (*write_payment(payment)[6:], payment.number))
        if self.outbox.unwritten:
            self.outbox.flush()
        self._made, self._changed = [], {}

    def _forget(self) -> None:
        self._made, self._changed = [], {}
        self._next_due = self._first_timer()
        self._last_payment = self._last_number()
        self.outbox.forget()

    def _read(self, statement: str, values: tuple[Any, ...]) -> sqlite3.Cursor:
        if self._made or self._changed or self.outbox.unwritten:
            self._flush()
        return self._run(statement, values)

    def new_id(self, prefix: str, length: int = 24) -> str:
        """A fresh id: the prefix and `length` letters and digits that follow from the seed and the counter alone."""
        self._counter += 1
        digest = blake2b(b"%s:%d:%s" % (self._seed, self._counter, prefix.encode()), digest_size=length).digest()
        return prefix + digest.translate(_TO_LETTERS).decode()

    # Payments

    def open_payment(self, *, id: str, reference: str | None, currency: str, amount: int, at: datetime, facts: Facts) -> Payment:
        """A new payment that holds nothing yet."""
        self._last_payment += 1
        payment = Payment(
            number=self._last_payment, id=id, reference=reference, currency=currency, amount=amount, created_at=at, facts=facts
        )
        self._made.append(payment)
        return payment

    def save(self, payment: Payment) -> None:
        """Keeps the payment as it is, with the dialect's facts. Its money only changes through the movements below."""
        known = self._changed.get(payment.number, payment)
        if known.held != payment.held or known.refundable != payment.refundable:
            raise Impossible(f"{payment.id} would be saved as it was before its last movement")
        self._changed[payment.number] = payment

    def payment(self, id: str) -> Payment | None:
        """The payment with that id, or that has it as an alias; None if there is none."""
        row = self._read("SELECT * FROM payment WHERE id = ?", (id,)).fetchone()
        if row is None:
            row = self._run("SELECT payment.* FROM alias JOIN payment ON payment.id = alias.payment WHERE alias.id = ?", (id,)).fetchone()
        return None if row is None else read_payment(row)

    def add_alias(self, *, id: str, payment: Payment) -> None:
        """Another id under which the payment can be found (a charge, a session)."""
        self._run("INSERT INTO alias VALUES (?, ?)", (id, payment.id))

    def add_labels(self, payment: Payment, labels: Mapping[str, str]) -> None:
        """Names and values under which `payments` finds it."""
        self._database.executemany("INSERT OR IGNORE INTO label VALUES (?, ?, ?)", [(*pair, payment.number) for pair in labels.items()])

    def payments(
        self,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        created: tuple[datetime | None, datetime | None] = (None, None),
        labels: Mapping[str, str] | None = None,
    ) -> Page:
        """Payments, newest first: older than `before` or newer than `after` (numbers), made in `created` (from, to; inclusive)."""
        sources = "".join(
            f" JOIN label l{i} ON l{i}.payment = number AND l{i}.name = ? AND l{i}.value = ?" for i in range(len(labels or {}))
        )
        first, last = (None if at is None else milliseconds(at) for at in created)
        values = [part for pair in (labels or {}).items() for part in pair]
        rows = self._read(
            f"SELECT payment.* FROM payment{sources} WHERE number < ? AND number > ? AND created_at >= ? AND created_at <= ?"
            f" ORDER BY number {'ASC' if after is not None else 'DESC'} LIMIT ?",
            (*values, _NEVER if before is None else before, after or 0, first or 0, _NEVER if last is None else last, limit + 1),
        ).fetchall()
        return _page([read_payment(row) for row in rows], limit, backwards=after is not None)

    # Movements of money

    def authorize(self, payment: Payment, amount: int, at: datetime, *, operation: str | None = None) -> Payment:
        """The shopper's bank reserves `amount`."""
        after = replace(payment, authorized=payment.authorized + amount)
        return self._move(after, EntryType.AUTHORIZED, amount, at, operation)

    def capture(
        self,
        payment: Payment,
        amount: int,
        at: datetime,
        *,
        operation: str | None = None,
        operation_reference: str | None = None,
    ) -> Payment:
        """Takes `amount` of what is held."""
        after = replace(payment, captured=payment.captured + amount)
        return self._move(after, EntryType.CAPTURED, amount, at, operation, operation_reference)

    def release(self, payment: Payment, amount: int, at: datetime, *, why: EntryType, operation: str | None = None) -> Payment:
        """Gives back `amount` of what is held: VOIDED, EXPIRED, or RELEASED with a final capture."""
        after = replace(payment, released=payment.released + amount)
        return self._move(after, why, amount, at, operation)

    def fail_capture(self, payment: Payment, amount: int, at: datetime, *, operation: str | None = None) -> Payment:
        """A capture that had succeeded turns out not to: neither the money nor the hold is there any more."""
        after = replace(payment, captured=payment.captured - amount, released=payment.released + amount)
        return self._move(after, EntryType.CAPTURE_FAILED, amount, at, operation)

    def open_refund(
        self, payment: Payment, *, id: str, reference: str | None, amount: int, at: datetime, facts: Facts
    ) -> tuple[Payment, Operation]:
        """A refund the PSP has accepted: its amount is reserved, no money has moved."""
        after = replace(payment, refunding=payment.refunding + amount)
        self._write(after)
        return after, self._open(OperationKind.REFUND, payment, id, reference, amount, at, facts)

    def open_dispute(self, payment: Payment, *, id: str, amount: int, at: datetime, facts: Facts) -> Operation:
        """The shopper's bank questions `amount` of what was captured. What the payment has captured and refunded stays as it is."""
        if not 0 < amount <= payment.captured:
            raise Impossible(f"a dispute about {amount} of {payment.id}, which captured {payment.captured}")
        return self._open(OperationKind.DISPUTE, payment, id, None, amount, at, facts)

    def _open(
        self, kind: OperationKind, payment: Payment, id: str, reference: str | None, amount: int, at: datetime, facts: Facts
    ) -> Operation:
        status = OperationStatus.PENDING
        row = (id, payment.id, kind, reference, amount, status, milliseconds(at), encode(facts))
        number = self._run("INSERT INTO operation VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)", row).lastrowid or 0
        return Operation(
            number=number,
            id=id,
            payment=payment.id,
            kind=kind,
            reference=reference,
            amount=amount,
            status=status,
            created_at=at,
            facts=facts,
        )

    def finish_refund(self, payment: Payment, refund: Operation, at: datetime) -> tuple[Payment, Operation]:
        """A pending refund goes through: the money is back."""
        amount = refund.amount
        after = replace(payment, refunding=payment.refunding - amount, refunded=payment.refunded + amount)
        after = self._move(after, EntryType.REFUNDED, amount, at, refund.id, refund.reference)
        return after, self._settle(refund, OperationStatus.SUCCEEDED)

    def fail_refund(self, payment: Payment, refund: Operation, at: datetime) -> tuple[Payment, Operation]:
        """A refund fails, pending or already through: the merchant still has the money."""
        if refund.status is OperationStatus.PENDING:
            after = replace(payment, refunding=payment.refunding - refund.amount)
            self._write(after)
        else:
            after = replace(payment, refunded=payment.refunded - refund.amount)
            after = self._move(after, EntryType.REFUND_FAILED, refund.amount, at, refund.id, refund.reference)
        return after, self._settle(refund, OperationStatus.FAILED)

    def save_operation(self, operation: Operation) -> None:
        """Keeps an operation's status and the dialect's facts about it. A refund's money only changes through the movements above."""
        self._run(
            "UPDATE operation SET status = ?, facts = ? WHERE number = ?", (operation.status, encode(operation.facts), operation.number)
        )

    def _settle(self, operation: Operation, status: OperationStatus) -> Operation:
        after = replace(operation, status=status)
        self.save_operation(after)
        return after

    def _move(
        self,
        payment: Payment,
        type: EntryType,
        amount: int,
        at: datetime,
        operation: str | None,
        operation_reference: str | None = None,
    ) -> Payment:
        if amount <= 0:
            raise Impossible(f"{type} of {amount}")
        self._write(payment)
        self._run(
            "INSERT INTO entry VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                payment.id,
                payment.reference,
                operation,
                operation_reference,
                type,
                amount,
                payment.currency,
                milliseconds(at),
            ),
        )
        return payment

    def _write(self, payment: Payment) -> None:
        totals = (payment.authorized, payment.captured, payment.released, payment.refunded, payment.refunding)
        if min(totals) < 0 or payment.held < 0 or payment.refundable < 0:
            raise Impossible(f"{payment.id} would have authorized, captured, released, refunded, refunding = {totals}")
        self._changed[payment.number] = payment

    # Operations, books

    def operation(self, id: str, kind: OperationKind = OperationKind.REFUND) -> Operation | None:
        """The refund, or other operation, with that id, or None."""
        row = self._run("SELECT * FROM operation WHERE id = ? AND kind = ?", (id, kind)).fetchone()
        return None if row is None else read_operation(row)

    def operations(
        self,
        *,
        limit: int,
        payment: str | None = None,
        before: int | None = None,
        kind: OperationKind = OperationKind.REFUND,
    ) -> Page:
        """Refunds, or other operations, newest first, of one payment or of all."""
        rows = self._run(
            "SELECT * FROM operation WHERE number < ? AND kind = ? AND (? IS NULL OR payment = ?) ORDER BY number DESC LIMIT ?",
            (_NEVER if before is None else before, kind, payment, payment, limit + 1),
        ).fetchall()
        return _page([read_operation(row) for row in rows], limit)

    def entries(self, *, since: int = 0, limit: int = -1) -> list[Entry]:
        """The books, oldest first, after entry number `since`. A negative limit means all."""
        rows = self._run("SELECT * FROM entry WHERE number > ? ORDER BY number LIMIT ?", (since, limit)).fetchall()
        return [read_entry(row) for row in rows]

    def count_payments(self) -> int:
        """How many payments there are."""
        (count,) = self._read("SELECT count(*) FROM payment", ()).fetchone()
        return int(count)

    # Timers

    def schedule(self, *, at: datetime, payment: Payment, kind: str, subject: str = "") -> None:
        """Has the PSP do `kind` to the payment by itself, once `at` has come."""
        due = milliseconds(at)
        self._run("INSERT INTO timer VALUES (NULL, ?, ?, ?, ?)", (due, payment.id, kind, subject))
        self._next_due = min(self._next_due, due)

    def next_due(self) -> datetime | None:
        """When the first timer is due; None if there is none."""
        return None if self._next_due == _NEVER else moment(self._next_due)

    def take_due(self, now: datetime) -> Timer | None:
        """Removes and returns the first timer that is due, if any. Cheap when there is none."""
        if self._next_due > milliseconds(now):
            return None
        row = self._run("SELECT * FROM timer ORDER BY at, number LIMIT 1").fetchone()
        self._run("DELETE FROM timer WHERE number = ?", (row[0],))
        self._next_due = self._first_timer()
        number, at, payment, kind, subject = row
        return Timer(number=number, at=moment(at), payment=payment, kind=kind, subject=subject)

    # Stored answers and notifications

    def answer(self, key: str) -> StoredAnswer | None:
        """What was answered under that idempotency key, or None."""
        row = self._run("SELECT * FROM stored_answer WHERE key = ?", (key,)).fetchone()
        return None if row is None else read_answer(row)

    def store_answer(self, answer: StoredAnswer) -> None:
        """Keeps the first answer under a key. A second one for the same key is a bug and fails."""
        row = (answer.key, answer.fingerprint, answer.status, encode(answer.headers), answer.body, milliseconds(answer.created_at))
        self._run("INSERT INTO stored_answer VALUES (?, ?, ?, ?, ?, ?)", row)

    def forget_answer(self, key: str) -> None:
        """Drops what was stored under a key: its window is over, the next request under it is a new one."""
        self._run("DELETE FROM stored_answer WHERE key = ?", (key,))

    def notify(self, *, id: str, type: str, payment: str, at: datetime, body: bytes) -> Notification:
        """Keeps an event that the merchant is told of."""
        return self.outbox.notify(id=id, type=type, payment=payment, at=at, body=body)

    def notifications(self, *, limit: int, before: int | None = None, types: tuple[str, ...] = ()) -> Page:
        """Events, newest first, of the given types or of all."""
        self._flush()
        return _page(self.outbox.notifications(limit=limit + 1, before=before, types=types), limit)


def _page(rows: list[Any], limit: int, *, backwards: bool = False) -> Page:
    kept = rows[:limit]
    return Page(items=tuple(reversed(kept) if backwards else kept), more=len(rows) > limit)
