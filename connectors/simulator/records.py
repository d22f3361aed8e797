"""What the simulated PSP's books are made of: payments, entries, operations, timers, stored answers, notifications and their delivery.

Plain records and the ledger's errors. Not here: how they are kept (`ledger`), what a PSP calls them on the wire (each dialect).
Amounts are whole ISO 4217 minor units; times are aware UTC, whole milliseconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND: Final = timedelta(milliseconds=1)

Facts = dict[str, Any]
"""What only the dialect understands about a record: JSON, kept with it."""


class Impossible(Exception):
    """The dialect asked for money that is not there. A bug in the dialect: nothing was written, the request fails as a whole."""


class EntryType(StrEnum):
    """What really happened to money. `released` is what a final capture left over; the last two take an earlier entry back."""

    AUTHORIZED = "authorized"
    CAPTURED = "captured"
    RELEASED = "released"
    VOIDED = "voided"
    EXPIRED = "expired"
    REFUNDED = "refunded"
    CAPTURE_FAILED = "capture_failed"
    REFUND_FAILED = "refund_failed"


class OperationKind(StrEnum):
    """What an operation is. A dispute is the shopper's bank taking back from the PSP what it had paid: no movement of the payment's."""

    REFUND = "refund"
    DISPUTE = "dispute"


class OperationStatus(StrEnum):
    """Where a refund or an asynchronous capture stands; of a dispute, whether the merchant has kept the money (SUCCEEDED) or not."""

    PENDING = "pending"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Payment:
    """One payment as the PSP knows it. `reference` is the merchant side's own id; `refunding` is reserved by pending refunds."""

    number: int
    id: str
    reference: str | None
    currency: str
    amount: int
    created_at: datetime
    authorized: int = 0
    captured: int = 0
    released: int = 0
    refunded: int = 0
    refunding: int = 0
    facts: Facts = field(repr=False, default_factory=dict)

    @property
    def held(self) -> int:
        """What the shopper's bank still reserves and a capture could take."""
        return self.authorized - self.captured - self.released

    @property
    def refundable(self) -> int:
        """What was taken and could still be given back."""
        return self.captured - self.refunded - self.refunding


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One refund or dispute as the PSP knows it; `reference` is the merchant side's own id for it."""

    number: int
    id: str
    payment: str
    kind: OperationKind
    reference: str | None
    amount: int
    status: OperationStatus
    created_at: datetime
    facts: Facts = field(repr=False, default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the books. Numbers are dense and in order of happening."""

    number: int
    payment: str
    reference: str | None
    operation: str | None
    operation_reference: str | None
    type: EntryType
    amount: int
    currency: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Timer:
    """Something the PSP will do by itself to `payment` when `at` has come; `subject` narrows it (an operation, a charge)."""

    number: int
    at: datetime
    payment: str
    kind: str
    subject: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAnswer:
    """The first answer given under an idempotency key, replayed to the same request until the key expires."""

    key: str
    fingerprint: str
    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One event that a PSP tells of. `body` is the JSON as it is posted and as its own list of events shows it."""

    number: int
    id: str
    type: str
    payment: str
    created_at: datetime
    body: bytes = field(repr=False)


class DeliveryState(StrEnum):
    """Where the delivery of a notification to the merchant's endpoint stands. Only what is waiting is sent."""

    WAITING = "waiting"
    DELIVERED = "delivered"
    GIVEN_UP = "given_up"
    LOST = "lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """The one endpoint that a PSP sends its webhooks to, and the secret it signs them with."""

    url: str
    secret: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """A notification whose time to be sent has come. `attempts` failed so far; `forgery` names the forged copy to be sent beside it."""

    notification: Notification
    attempts: int
    copies: int
    forgery: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page of a list, newest first, and whether there is more behind it."""

    items: tuple[Any, ...]
    more: bool


def milliseconds(at: datetime) -> int:
    """Whole milliseconds since the epoch: how the ledger stores a time."""
    return (at - _EPOCH) // _MILLISECOND


def moment(stored: int) -> datetime:
    """The time that `milliseconds` made that number from."""
    return _EPOCH + timedelta(milliseconds=stored)


def rfc3339(at: datetime) -> str:
    """The time as the control endpoints show it."""
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def summary(psp: str, payment: Payment) -> Mapping[str, Any]:
    """A payment's totals for the books check."""
    return {
        "psp": psp,
        "payment": payment.id,
        "our_reference": payment.reference,
        "currency": payment.currency,
        "amount": payment.amount,
        "authorized": payment.authorized,
        "held": payment.held,
        "captured": payment.captured,
        "released": payment.released,
        "refunded": payment.refunded,
        "refunding": payment.refunding,
        "created_at": rfc3339(payment.created_at),
    }


def line(psp: str, entry: Entry) -> Mapping[str, Any]:
    """A line of the books as `GET /_ledger` shows it."""
    return {
        "number": entry.number,
        "psp": psp,
        "payment": entry.payment,
        "our_reference": entry.reference,
        "operation": entry.operation,
        "operation_reference": entry.operation_reference,
        "type": entry.type.value,
        "amount": entry.amount,
        "currency": entry.currency,
        "at": rfc3339(entry.at),
    }
