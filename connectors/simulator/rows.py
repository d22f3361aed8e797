"""The ledger's records out of SQLite's rows and into them, column by column in the order of `schema`.

Not here: the statements that read and write them (`ledger`).
"""

from __future__ import annotations

from typing import Any

from msgspec.json import decode, encode

from connectors.simulator.records import (
    Entry,
    EntryType,
    Notification,
    Operation,
    OperationKind,
    OperationStatus,
    Payment,
    StoredAnswer,
    milliseconds,
    moment,
)


def read_payment(row: tuple[Any, ...]) -> Payment:
    """A row of `payment`."""
    number, id, reference, currency, amount, created, authorized, captured, released, refunded, refunding, facts = row
    return Payment(
        number=number,
        id=id,
        reference=reference,
        currency=currency,
        amount=amount,
        created_at=moment(created),
        authorized=authorized,
        captured=captured,
        released=released,
        refunded=refunded,
        refunding=refunding,
        facts=decode(facts),
    )


def read_operation(row: tuple[Any, ...]) -> Operation:
    """A row of `operation`."""
    number, id, payment, kind, reference, amount, status, created, facts = row
    return Operation(
        number=number,
        id=id,
        payment=payment,
        kind=OperationKind(kind),
        reference=reference,
        amount=amount,
        status=OperationStatus(status),
        created_at=moment(created),
        facts=decode(facts),
    )


def read_entry(row: tuple[Any, ...]) -> Entry:
    """A row of `entry`."""
    number, payment, reference, operation, operation_reference, type, amount, currency, at = row
    return Entry(
        number=number,
        payment=payment,
        reference=reference,
        operation=operation,
        operation_reference=operation_reference,
        type=EntryType(type),
        amount=amount,
        currency=currency,
        at=moment(at),
    )


def read_notification(row: tuple[Any, ...]) -> Notification:
    """A row of `notification`."""
    number, id, type, payment, created, body = row
    return Notification(number=number, id=id, type=type, payment=payment, created_at=moment(created), body=body)


def read_answer(row: tuple[Any, ...]) -> StoredAnswer:
    """A row of `stored_answer`."""
    key, fingerprint, status, headers, body, created = row
    return StoredAnswer(
        key=key,
        fingerprint=fingerprint,
        status=status,
        headers=tuple((name, value) for name, value in decode(headers)),
        body=body,
        created_at=moment(created),
    )


def write_payment(payment: Payment) -> tuple[Any, ...]:
    """A row of `payment`, from the record."""
    return (
        payment.number,
        payment.id,
        payment.reference,
        payment.currency,
        payment.amount,
        milliseconds(payment.created_at),
        payment.authorized,
        payment.captured,
        payment.released,
        payment.refunded,
        payment.refunding,
        encode(payment.facts),
    )
