"""Stripe's settlement report: payout reconciliation, itemised (`payout_reconciliation.itemized.5`), with the columns that are pinned here.

Amounts are in major units, as decimals, in the currency of the balance; what the customer paid, where that was another, stands in
`customer_facing_amount`. Every line names the automatic payout that it belongs to, and the payout is a line of its own, so that the lines
of a payout come to nothing together; those of a day that pays out nothing name none. What such a day owes is taken over into the next by
two lines of `other_adjustment`. A dispute's fee stands in the dispute's line. (unverified: that the metadata of a payment captured several
times is shown as it was at each capture; that a card's capture which failed is `charge_failure`.)

Not here: which bookings there are (`connectors.simulator.settlement`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final

from connectors.simulator.bookings import Booking, BookingKind, Day, Exchange, Reporting, SimulatedFee, Terms, major, separated, unreadable
from connectors.simulator.records import Facts, moment
from connectors.stripe.dialect_objects import card_of

ZONE: Final = "UTC"
_BASIS_POINTS: Final = 150
_FIXED: Final[Mapping[str, int]] = MappingProxyType(
    {
        "EUR": 25, "USD": 30, "GBP": 20, "CHF": 30, "CAD": 30, "AUD": 30, "SGD": 50, "HKD": 235, "SEK": 180, "NOK": 200, "DKK": 180,
        "PLN": 100, "CZK": 650, "RON": 100, "MXN": 300, "BRL": 39, "JPY": 40, "KRW": 350, "ISK": 35, "KWD": 80, "BHD": 100,
    }
)  # fmt: skip
"""The fixed part in minor units: 25 cents, or what is about as much. In currencies that are not named only the percentage is taken."""

TERMS: Final = Terms(
    zone=ZONE,
    fees=(
        *(SimulatedFee(currency=currency, fixed_minor=fixed, basis_points=_BASIS_POINTS) for currency, fixed in _FIXED.items()),
        SimulatedFee(basis_points=_BASIS_POINTS),
    ),
    dispute_fees=MappingProxyType({"EUR": 2000, "USD": 1500, "GBP": 2000, "CHF": 2000, "JPY": 2000}),
    exchanges=MappingProxyType(
        {
            "ISK": Exchange(into="EUR", rate="0.0068"),
            "UGX": Exchange(into="EUR", rate="0.00024"),
            "KWD": Exchange(into="USD", rate="3.2543"),
            "BHD": Exchange(into="USD", rate="2.6525"),
        }
    ),
    carries=True,
)

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ATTEMPT, _PAYMENT, _OPERATION = "payorch_attempt", "payorch_payment", "payorch_operation"
"""The metadata that the report is asked to show: columns of metadata are named when a report is run."""
COLUMNS: Final = (
    "automatic_payout_id", "automatic_payout_effective_at_utc", "automatic_payout_effective_at", "balance_transaction_id", "created_utc",
    "created", "available_on_utc", "available_on", "currency", "gross", "fee", "net", "reporting_category", "source_id", "description",
    "customer_facing_amount", "customer_facing_currency", "charge_id", "payment_intent_id", "charge_created_utc", "charge_created",
    "payment_method_type", "card_brand", "card_country", "card_funding", "statement_descriptor", "dispute_reason",
    f"payment_metadata[{_ATTEMPT}]", f"payment_metadata[{_PAYMENT}]", f"payment_metadata[{_OPERATION}]", f"refund_metadata[{_OPERATION}]",
)  # fmt: skip

_CATEGORIES: Final[Mapping[BookingKind, str]] = MappingProxyType(
    {
        BookingKind.CAPTURE: "charge",
        BookingKind.CAPTURE_FAILED: "charge_failure",
        BookingKind.REFUND: "refund",
        BookingKind.REFUND_FAILED: "refund_failure",
        BookingKind.CHARGEBACK: "dispute",
        BookingKind.CHARGEBACK_REVERSED: "dispute_reversal",
        BookingKind.CARRIED: "other_adjustment",
        BookingKind.PAYOUT: "payout",
    }
)


def report(day: Day) -> Iterator[str]:
    """The file, line by line."""
    yield separated(COLUMNS)
    for booking in day.bookings:
        line = _line(day, booking)
        yield separated([line.get(column, "") for column in COLUMNS])


def _line(day: Day, booking: Booking) -> dict[str, str]:
    currency = booking.settled_in
    gross = major(booking.net + booking.fee, currency)
    effective = _stamp(day.terms.ends(day.date)) if currency in day.paid_out else ""
    line = {
        "automatic_payout_id": _payout_id(day, currency) if currency in day.paid_out else "",
        "automatic_payout_effective_at_utc": effective,
        "automatic_payout_effective_at": effective,
        "balance_transaction_id": _transaction_id(booking),
        **_times("created", booking.booked_at),
        **_times("available_on", booking.booked_at),
        "currency": currency.lower(),
        "gross": unreadable(gross) if booking.unreadable else gross,
        "fee": major(booking.fee, currency),
        "net": major(booking.net, currency),
        "reporting_category": _CATEGORIES[booking.kind],
    }
    if booking.kind is BookingKind.PAYOUT:
        return line | {"source_id": _payout_id(day, currency), "description": "STRIPE PAYOUT"}
    if booking.kind is BookingKind.CARRIED:
        return line | {"source_id": "", "description": "Negative balance carried over to the next payout"}
    return line | _of_payment(booking)


def _of_payment(booking: Booking) -> dict[str, str]:
    """The columns about the charge, and about its refund or dispute."""
    charge = _charge(booking)
    charge_id = charge.get("id") or booking.operation_id or f"ch_3{booking.made_up(_ALPHABET, 23)}"
    source = charge_id if booking.operation is None else booking.operation.id
    payment, operation = booking.payment, booking.operation
    metadata = {} if payment is None else payment.facts.get("metadata", {_ATTEMPT: payment.reference or ""})
    if booking.kind is BookingKind.CAPTURE and booking.operation_reference is not None:
        metadata = metadata | {_OPERATION: booking.operation_reference}
    refunded = booking.kind in (BookingKind.REFUND, BookingKind.REFUND_FAILED)
    of_refund: Mapping[str, str] = operation.facts["metadata"] if operation is not None and refunded else {}
    disputed = operation is not None and not refunded
    return {
        "source_id": source,
        "description": "" if payment is None else payment.facts.get("description") or "",
        "customer_facing_amount": major(booking.gross, booking.currency),
        "customer_facing_currency": booking.currency.lower(),
        "charge_id": charge_id,
        "payment_intent_id": f"pi_3{booking.made_up(_ALPHABET, 23, 'intent')}" if payment is None else payment.id,
        **_times("charge_created", moment(charge["created"] * 1000) if charge else booking.happened_at),
        "payment_method_type": "card",
        **_card(charge),
        "statement_descriptor": "" if payment is None else payment.facts.get("statement_descriptor") or "",
        "dispute_reason": operation.facts["reason"] if operation is not None and disputed else "",
        **{f"payment_metadata[{name}]": metadata.get(name, "") for name in (_ATTEMPT, _PAYMENT, _OPERATION)},
        f"refund_metadata[{_OPERATION}]": of_refund.get(_OPERATION, ""),
    }


def _charge(booking: Booking) -> Facts:
    """The charge that it is about; {} where nothing is known of one."""
    if booking.payment is None:
        return {}
    wanted = booking.operation_id if booking.operation is None else booking.operation.facts["charge"]
    charges: list[dict[str, Any]] = booking.payment.facts.get("charges", [])
    return next((it for it in charges if it["id"] == wanted), {})


def _card(charge: Facts) -> dict[str, str]:
    if not charge:
        return {}
    card = card_of(charge["method"])
    return {"card_brand": card.brand, "card_country": card.country, "card_funding": card.funding}


def _transaction_id(booking: Booking) -> str:
    """The same as the API shows, where it shows one; of several captures of one charge it shows none."""
    source = (booking.operation_id or "")[3:]
    several = booking.payment is not None and booking.payment.facts.get("multicapture", False)
    known = {
        BookingKind.CAPTURE: f"txn_{source}",
        BookingKind.REFUND: f"txn_{source}",
        BookingKind.REFUND_FAILED: f"txn_f{source[1:]}",
        BookingKind.CHARGEBACK: f"txn_d{source}",
        BookingKind.CHARGEBACK_REVERSED: f"txn_r{source}",
    }.get(booking.kind)
    if known is None or not source or booking.again or (several and booking.kind is BookingKind.CAPTURE):
        return f"txn_3{booking.made_up(_ALPHABET, 23, 'transaction')}"
    return known


def _payout_id(day: Day, currency: str) -> str:
    return f"po_1{day.date:%Y%m%d}{currency.lower()}Simulated"


def _times(name: str, at: datetime) -> dict[str, str]:
    """The time twice, for the report's own zone is UTC."""
    return {f"{name}_utc": _stamp(at), name: _stamp(at)}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


SETTLEMENT: Final = Reporting(terms=TERMS, write=report)
