"""What a simulated PSP's settlement report is made of: bookings, a day of them, and the terms on which the PSP settles. Plain records.

A booking is one line of the merchant's balance at the PSP. Amounts are signed as that balance sees them, whole ISO 4217 minor units: what
comes in is above zero. Everything is integers; what a rate or a percentage leaves over is rounded as said here.

Not here: which bookings there were on a day (`settlement`), what a PSP calls them (each dialect's `dialect_settlement`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from fractions import Fraction
from hashlib import blake2b
from typing import Final
from zoneinfo import ZoneInfo

from connectors.simulator.records import Operation, Payment
from payorch.domain.money import EXPONENTS

BASIS: Final = 10_000
"""Basis points in the whole."""


class BookingKind(StrEnum):
    """What a booking is. The first six are of payments; the others follow from them or end the day."""

    CAPTURE = "capture"
    CAPTURE_FAILED = "capture_failed"
    REFUND = "refund"
    REFUND_FAILED = "refund_failed"
    CHARGEBACK = "chargeback"
    CHARGEBACK_REVERSED = "chargeback_reversed"
    DISPUTE_FEE = "dispute_fee"  # of a chargeback, where the PSP books it by itself
    CONVERSION = "conversion"  # one of the two sides of an exchange, where the PSP books that by itself
    CARRIED = "carried"  # what a day could not pay out, taken over into the next, where the PSP books that
    PAYOUT = "payout"


@dataclass(frozen=True, slots=True, kw_only=True)
class Booking:
    """One line. `gross` is in `currency`, the payment's; `fee` and `net` (gross less fee) in `settled_in`, which is another only where
    `rate` says how many of its units one unit of the payment's currency makes.

    identity: what tells it from every other of this PSP's; ids that the report needs and nothing else has made follow from it. booked_at:
    when the balance moved; happened_at: when what it books happened, which is earlier where a fault has moved it. operation: the refund or
    dispute it is of, and operation_id the PSP's id of exactly this movement. unreadable: its line is to be one that nobody can parse.
    again: it has been booked before, and this is a mistake. cause: the booking that a fee or an exchange follows from.
    """

    identity: str
    kind: BookingKind
    gross: int
    currency: str
    fee: int = 0
    net: int
    settled_in: str
    rate: str | None = None
    happened_at: datetime
    booked_at: datetime
    payment: Payment | None = None
    operation: Operation | None = None
    operation_id: str | None = None
    operation_reference: str | None = None
    unreadable: bool = False
    again: bool = False
    cause: Booking | None = None

    def made_up(self, letters: str, length: int, salt: str = "", *, identity: str | None = None) -> str:
        """An id that follows from the identity (or from another one), for what has none anywhere else: out of those letters."""
        whose = "" if self.payment is None else self.payment.id
        digest = blake2b(f"{identity or self.identity}:{whose}:{salt}".encode(), digest_size=length).digest()
        return "".join(letters[byte % len(letters)] for byte in digest)


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedFee:
    """What the PSP takes of a capture: a fixed part in minor units of its currency, and basis points of it, rounded up as the platform's
    own cost model does. `method` and `currency` are for which; None is for any. As it stands it can be told to the platform, in [[fees]].
    """

    method: str | None = None
    currency: str | None = None
    fixed_minor: int = 0
    basis_points: int = 0

    def of(self, minor: int) -> int:
        """The fee for that amount."""
        return self.fixed_minor - (-minor * self.basis_points // BASIS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """In which other currency a payment's currency settles, and how many of its (major) units one unit makes: a decimal number."""

    into: str
    rate: str

    def of(self, minor: int, currency: str) -> int:
        """That amount in the other currency, rounded half up (away from zero, so that what was taken can be given back to the unit)."""
        exact = Fraction(self.rate) * abs(minor) * int(10 ** EXPONENTS[self.into]) / int(10 ** EXPONENTS[currency])
        rounded = (2 * exact.numerator + exact.denominator) // (2 * exact.denominator)
        return rounded if minor >= 0 else -rounded


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On what terms a simulated PSP settles: its own time zone, list prices and rates.

    fees: the first that fits a capture is its fee; refunds and captures that fail cost and give back nothing. dispute_fees: by the currency
    that the payment settles in, for each chargeback, kept also where it is reversed; none where a currency is not named.
    dispute_fee_apart: it is a booking of its own. exchanges: the payment's currency -> how it settles; what is not named settles as it is.
    exchange_apart: the payment is booked in its own currency and exchanged at once, by two bookings. carries: what a day cannot pay out,
    being below zero, is booked over into the next day. method: the platform's word for how a payment was paid.
    """

    zone: str
    fees: tuple[SimulatedFee, ...]
    dispute_fees: Mapping[str, int]
    dispute_fee_apart: bool = False
    exchanges: Mapping[str, Exchange] = field(default_factory=dict)
    exchange_apart: bool = False
    carries: bool = False
    method: Callable[[Payment | None], str] = lambda payment: "card"

    def fee(self, payment: Payment | None, minor: int, currency: str) -> int:
        """What a capture of that amount costs, in its currency."""
        method = self.method(payment)
        fitting = (one for one in self.fees if one.method in (None, method) and one.currency in (None, currency))
        return next((one.of(minor) for one in fitting), 0)

    def day_of(self, at: datetime) -> date:
        """On which of the PSP's days that moment is."""
        return at.astimezone(ZoneInfo(self.zone)).date()

    def begins(self, day: date) -> datetime:
        """The first moment of that day."""
        return datetime.combine(day, time(), tzinfo=ZoneInfo(self.zone)).astimezone(UTC)

    def ends(self, day: date) -> datetime:
        """The first moment after that day."""
        return self.begins(day + timedelta(days=1))

    def local(self, at: datetime) -> datetime:
        """That moment by the PSP's clocks."""
        return at.astimezone(ZoneInfo(self.zone))


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """One day of a PSP's, as its report tells it: `bookings` in the order of the report, payouts last.

    opening: what was left in the balance before, by currency, where that is not nothing. paid_out: the currencies of which there is a
    payout.
    """

    date: date
    terms: Terms
    bookings: Iterable[Booking]
    opening: Mapping[str, int] = field(default_factory=dict)
    paid_out: Collection[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Reporting:
    """How a simulated PSP reports what it settled: its terms, and what writes a day as its file, whole lines at a time."""

    terms: Terms
    write: Callable[[Day], Iterator[str]]


def major(minor: int, currency: str) -> str:
    """An amount in major units, with as many decimals as the currency has: -12.34, 500."""
    places = EXPONENTS[currency]
    whole, part = divmod(abs(minor), int(10**places))
    return f"{'-' if minor < 0 else ''}{whole}{f'.{part:0{places}d}' if places else ''}"


def separated(values: Iterable[str]) -> str:
    """One line of a file of comma-separated values; in quotes what needs them."""
    return ",".join([quoted(value) if any(mark in value for mark in ',"\r\n') else value for value in values]) + "\n"


def quoted(value: str) -> str:
    """In quotes, with those that are in it twice."""
    return '"' + value.replace('"', '""') + '"'


def unreadable(written: str) -> str:
    """An amount as a broken program would write it, and nobody can read it: 12,x4."""
    return f"{written[:-1]},x{written[-1]}"
