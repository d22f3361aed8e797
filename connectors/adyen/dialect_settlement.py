"""Adyen's settlement details report, with the booking date beside the standard columns.

Amounts are in major units, as decimals, debit and credit apart; times are local, with the zone's abbreviation. One batch a day; what a
batch owes is taken over into the next by two lines of `Balancetransfer`. What Adyen takes stands in one of two layouts: of Visa apart, as
markup, scheme fees and interchange, of every other brand as one commission; both come to what the list price says. A chargeback's fee is a
line of its own (`Fee`). (unverified: that a capture which failed after it was settled is `SettledReversed`.)

Not here: which bookings there are (`connectors.simulator.settlement`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Final

from connectors.adyen.dialect_cards import brand, card_of
from connectors.simulator.bookings import Booking, BookingKind, Day, Exchange, Reporting, SimulatedFee, Terms, major, separated, unreadable

ZONE: Final = "Europe/Amsterdam"
_BASIS_POINTS: Final = 120
_FIXED: Final[Mapping[str, int]] = MappingProxyType(
    {
        "EUR": 11, "USD": 13, "GBP": 10, "CHF": 11, "CAD": 17, "AUD": 18, "SGD": 16, "HKD": 100, "SEK": 125, "NOK": 125, "DKK": 80,
        "PLN": 50, "CZK": 280, "RON": 55, "MXN": 225, "BRL": 65, "JPY": 18, "KRW": 160, "ISK": 16, "KWD": 36, "BHD": 45,
    }
)  # fmt: skip
"""The fixed part in minor units: 11 cents, or what is about as much. In currencies that are not named only the percentage is taken."""

TERMS: Final = Terms(
    zone=ZONE,
    fees=(
        *(SimulatedFee(currency=currency, fixed_minor=fixed, basis_points=_BASIS_POINTS) for currency, fixed in _FIXED.items()),
        SimulatedFee(basis_points=_BASIS_POINTS),
    ),
    dispute_fees=MappingProxyType({"EUR": 750, "USD": 750, "GBP": 650, "JPY": 1000}),
    dispute_fee_apart=True,
    exchanges=MappingProxyType(
        {
            "KWD": Exchange(into="USD", rate="3.2511"),
            "BHD": Exchange(into="USD", rate="2.6498"),
            "TND": Exchange(into="EUR", rate="0.2974"),
            "ISK": Exchange(into="EUR", rate="0.0067"),
        }
    ),
    carries=True,
)

COMPANY: Final = "Payorch"
_APART: Final = frozenset({"visa"})
"""Brands of which the fee is told in its parts; the sharing out is by hundredths, and what is left over is interchange."""
_MARKUP_PERCENT, _SCHEME_PERCENT = 25, 15
_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FIRST_BATCH: Final = 737_791
"""The day before the first batch, as an ordinal: 2020-12-31."""
COLUMNS: Final = (
    "Company Account", "Merchant Account", "Psp Reference", "Merchant Reference", "Payment Method", "Creation Date", "TimeZone", "Type",
    "Modification Reference", "Gross Currency", "Gross Debit (GC)", "Gross Credit (GC)", "Exchange Rate", "Net Currency", "Net Debit (NC)",
    "Net Credit (NC)", "Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)", "Payment Method Variant",
    "Modification Merchant Reference", "Batch Number", "Reserved4", "Reserved5", "Reserved6", "Reserved7", "Reserved8", "Reserved9",
    "Reserved10", "Booking Date", "Booking Date TimeZone",
)  # fmt: skip

_TYPES: Final[Mapping[BookingKind, str]] = MappingProxyType(
    {
        BookingKind.CAPTURE: "Settled",
        BookingKind.CAPTURE_FAILED: "SettledReversed",
        BookingKind.REFUND: "Refunded",
        BookingKind.REFUND_FAILED: "RefundedReversed",
        BookingKind.CHARGEBACK: "Chargeback",
        BookingKind.CHARGEBACK_REVERSED: "ChargebackReversed",
        BookingKind.DISPUTE_FEE: "Fee",
        BookingKind.CARRIED: "Balancetransfer",
        BookingKind.PAYOUT: "MerchantPayout",
    }
)


def report(day: Day) -> Iterator[str]:
    """The file, line by line."""
    account = ""
    yield separated(COLUMNS)
    for booking in day.bookings:
        if booking.payment is not None:
            account = booking.payment.facts.get("account", account)
        line = _line(day, booking) | {"Company Account": COMPANY, "Merchant Account": account or "PayorchECOM"}
        yield separated([line.get(column, "") for column in COLUMNS])


def batch(day: Day) -> int:
    """The number of the day's batch: one more each day."""
    return day.date.toordinal() - _FIRST_BATCH


def _line(day: Day, booking: Booking) -> dict[str, str]:
    currency = booking.settled_in
    zone, stamp = _local(day, booking.happened_at)
    booked_zone, booked = _local(day, booking.booked_at)
    line = {
        "Creation Date": stamp,
        "TimeZone": zone,
        "Type": _TYPES[booking.kind],
        "Net Currency": currency,
        **_sides("Net", "NC", booking.net, currency),
        "Batch Number": str(batch(day)),
        "Booking Date": booked,
        "Booking Date TimeZone": booked_zone,
    }
    if booking.kind is BookingKind.PAYOUT:
        return line | {"Modification Reference": f"TX{booking.made_up('0123456789', 10)}XT batch {batch(day)}, {day.date:%Y%m%d}"}
    if booking.kind is BookingKind.CARRIED:
        number = batch(day) + (1 if booking.net > 0 else -1)
        return line | {"Modification Reference": f"{'to' if booking.net > 0 else 'from'} batch {number}"}
    return line | _of_payment(booking)


def _of_payment(booking: Booking) -> dict[str, str]:
    payment = booking.payment
    own = booking.made_up(_LETTERS, 16)
    method = _method(booking)
    line = {
        "Psp Reference": own if payment is None else payment.id,
        "Merchant Reference": "" if payment is None else payment.reference or "",
        "Payment Method": method,
        "Payment Method Variant": method,
        "Modification Reference": booking.operation_id or booking.made_up(_LETTERS, 16, "modification"),
        "Modification Merchant Reference": booking.operation_reference or "",
    }
    if booking.kind is BookingKind.DISPUTE_FEE:
        return line
    gross = _sides("Gross", "GC", booking.gross, booking.currency)
    if booking.unreadable:
        gross = {name: unreadable(value) if value else value for name, value in gross.items()}
    return line | {"Gross Currency": booking.currency, **gross, "Exchange Rate": booking.rate or "1", **_fees(booking, method)}


def _fees(booking: Booking, method: str) -> dict[str, str]:
    """What Adyen takes, in one column or in three."""
    fee, currency = booking.fee, booking.settled_in
    if not fee:
        return {}
    if method not in _APART:
        return {"Commission (NC)": major(fee, currency)}
    markup, scheme = fee * _MARKUP_PERCENT // 100, fee * _SCHEME_PERCENT // 100
    return {
        "Markup (NC)": major(markup, currency),
        "Scheme Fees (NC)": major(scheme, currency),
        "Interchange (NC)": major(fee - markup - scheme, currency),
    }


def _method(booking: Booking) -> str:
    card = None if booking.payment is None else booking.payment.facts.get("card")
    return "visa" if card is None else brand(card_of(card))


def _sides(name: str, unit: str, amount: int, currency: str) -> dict[str, str]:
    """An amount on the side where it belongs, above zero."""
    side = "Credit" if amount >= 0 else "Debit"
    return {f"{name} {side} ({unit})": major(abs(amount), currency)}


def _local(day: Day, at: datetime) -> tuple[str, str]:
    local = day.terms.local(at)
    return local.tzname() or "", local.strftime("%Y-%m-%d %H:%M:%S")


SETTLEMENT: Final = Reporting(terms=TERMS, write=report)
