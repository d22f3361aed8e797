"""PayPal's settlement report (STL, version 9): sections between a report's header and its footers, what each line is in its first column.

Amounts have no sign and no decimals: hundredths of the major unit in every currency, the yen too; the side is in a column of its own. Times
are PayPal's own, with the offset. One section, of the one account. Its footer (SF), and the report's (RF), give for each currency the gross
credits and debits, fees credited and debited, the balance at the beginning and the end three times over (all, available, payable), and the
lines of the whole section. What a day owes stays in the balance, as the footers show. Currencies that the account does not hold are
exchanged at once, by two lines (T0200). A chargeback's fee is a line of its own (T0106). (unverified: the order of the footers' balances;
that a refund which came back is credited under the code of refunds, and that a capture which failed after all is T1106.)

Not here: which bookings there are (`connectors.simulator.settlement`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from connectors.paypal.dialect_objects import MERCHANT
from connectors.simulator.bookings import Booking, BookingKind, Day, Exchange, Reporting, SimulatedFee, Terms, quoted
from connectors.simulator.bookings import unreadable as broken
from connectors.simulator.records import Facts, Payment
from payorch.domain.money import EXPONENTS

ZONE: Final = "America/Los_Angeles"
_WALLET_BASIS_POINTS, _CARD_BASIS_POINTS = 299, 259
_FIXED: Final[Mapping[str, int]] = MappingProxyType(
    {
        "EUR": 39, "USD": 49, "GBP": 30, "AUD": 30, "BRL": 60, "CAD": 30, "CHF": 55, "CZK": 1000, "DKK": 260, "HKD": 235, "HUF": 9000,
        "ILS": 120, "JPY": 40, "MXN": 400, "MYR": 200, "NOK": 280, "NZD": 45, "PHP": 1500, "PLN": 135, "SEK": 325, "SGD": 50, "THB": 1100,
        "TWD": 1000,
    }
)  # fmt: skip
"""The fixed part in ISO 4217 minor units. In currencies that are not named only the percentage is taken."""


def method(payment: Payment | None) -> str:
    """How the order was paid, in the platform's word: by card, or by the wallet."""
    return "card" if payment is not None and payment.facts.get("source") == "card" else "paypal"


TERMS: Final = Terms(
    zone=ZONE,
    fees=tuple(
        SimulatedFee(method=name, currency=currency, fixed_minor=fixed, basis_points=points)
        for name, points in (("paypal", _WALLET_BASIS_POINTS), ("card", _CARD_BASIS_POINTS))
        for currency, fixed in (*_FIXED.items(), (None, 0))
    ),
    dispute_fees=MappingProxyType({"EUR": 1600, "USD": 2000, "GBP": 1400, "JPY": 2000}),
    dispute_fee_apart=True,
    exchanges=MappingProxyType(
        {
            "SEK": Exchange(into="EUR", rate="0.0893"),
            "CZK": Exchange(into="EUR", rate="0.0401"),
            "TWD": Exchange(into="USD", rate="0.0306"),
            "THB": Exchange(into="USD", rate="0.0278"),
        }
    ),
    exchange_apart=True,
    method=method,
)

_LETTERS: Final = "0123456789ABCDEFGHJKLMNPRSTUVWXY"
_VERSION: Final = "009"
_MADE_AFTER: Final = timedelta(hours=5)
"""How long after the day's end a report is made, by what it says itself: it does not depend on when somebody asks."""
COLUMNS: Final = (
    "Transaction ID", "Invoice ID", "PayPal Reference ID", "PayPal Reference ID Type", "Transaction Event Code",
    "Transaction Initiation Date", "Transaction Completion Date", "Transaction Debit or Credit", "Gross Transaction Amount",
    "Gross Transaction Currency", "Fee Debit or Credit", "Fee Amount", "Fee Currency", "Custom Field", "Consumer ID",
    "Payment Tracking ID", "Store ID", "Bank Reference ID", "Credit Transactional Fee", "Credit Promotional Fee", "Credit Term",
)  # fmt: skip
_PLAIN: Final = frozenset({"Transaction Initiation Date", "Transaction Completion Date", "Gross Transaction Amount", "Fee Amount"})
"""Numbers and dates stand without quotes."""

_CODES: Final[Mapping[BookingKind, str]] = MappingProxyType(
    {
        BookingKind.CAPTURE: "T0006",
        BookingKind.CAPTURE_FAILED: "T1106",
        BookingKind.REFUND: "T1107",
        BookingKind.REFUND_FAILED: "T1107",
        BookingKind.CHARGEBACK: "T1201",
        BookingKind.CHARGEBACK_REVERSED: "T1202",
        BookingKind.DISPUTE_FEE: "T0106",
        BookingKind.CONVERSION: "T0200",
        BookingKind.PAYOUT: "T0400",
    }
)


@dataclass(slots=True)
class _Totals:
    """Of one currency, in minor units."""

    credits: int = 0
    debits: int = 0
    fees_credited: int = 0
    fees_debited: int = 0
    beginning: int = 0

    def add(self, booking: Booking) -> None:
        """One more line."""
        self.credits += max(0, booking.gross)
        self.debits += max(0, -booking.gross)
        self.fees_credited += max(0, -booking.fee)
        self.fees_debited += max(0, booking.fee)

    @property
    def ending(self) -> int:
        """The balance after all of it."""
        return self.beginning + self.credits - self.debits + self.fees_credited - self.fees_debited


def report(day: Day) -> Iterator[str]:
    """The file, line by line."""
    account = quoted(MERCHANT)
    first, end = day.terms.begins(day.date), day.terms.ends(day.date)
    yield f'"RH",{_stamp(day, end + _MADE_AFTER)},"A",{account},{_VERSION},\n'
    yield '"FH",01\n'
    yield f'"SH",{_stamp(day, first)},{_stamp(day, end - timedelta(seconds=1))},{account},""\n'
    yield ",".join(quoted(name) for name in ("CH", *COLUMNS)) + "\n"
    totals: defaultdict[str, _Totals] = defaultdict(_Totals)
    for currency, amount in day.opening.items():
        totals[currency].beginning = amount
    rows = 0
    for booking in day.bookings:
        rows += 1
        totals[booking.settled_in].add(booking)
        line = _line(day, booking)
        yield ",".join(['"SB"', *(line.get(name, "") if name in _PLAIN else quoted(line.get(name, "")) for name in COLUMNS)]) + "\n"
    for kind, count in (("SF", "SC"), ("RF", "RC")):
        for currency, total in sorted(totals.items()):
            yield f'"{kind}",{quoted(currency)},{_sums(total, currency)},{rows}\n'
        yield f'"{count}",{rows}\n'
    yield f'"FF",{rows}\n'


def _sums(total: _Totals, currency: str) -> str:
    moved = (total.credits, total.debits, total.fees_credited, total.fees_debited)
    balances = [f"{quoted(_side(amount))},{_hundredths(amount, currency)}" for amount in (total.beginning, total.ending)]
    return ",".join([*(_hundredths(amount, currency) for amount in moved), *balances * 3])


def _line(day: Day, booking: Booking) -> dict[str, str]:
    gross = _hundredths(booking.gross, booking.currency)
    fee = {
        "Fee Debit or Credit": _side(-booking.fee),
        "Fee Amount": _hundredths(booking.fee, booking.currency),
        "Fee Currency": booking.currency,
    }
    return {
        "Transaction ID": _transaction_id(booking),
        "Transaction Event Code": _CODES[booking.kind],
        "Transaction Initiation Date": _stamp(day, booking.happened_at),
        "Transaction Completion Date": _stamp(day, booking.booked_at),
        "Transaction Debit or Credit": _side(booking.gross),
        # In quotes, for the comma: what is wrong is the amount and not the line around it.
        "Gross Transaction Amount": quoted(broken(gross)) if booking.unreadable else gross,
        "Gross Transaction Currency": booking.currency,
        **(fee if booking.fee else {}),
        **_about(booking),
    }


def _about(booking: Booking) -> dict[str, str]:
    """What the line refers to, and what the merchant said of it."""
    payment, operation = booking.payment, booking.operation
    if booking.kind is BookingKind.PAYOUT:
        return {"Bank Reference ID": booking.made_up("0123456789", 12)}
    if payment is None:
        return {"PayPal Reference ID": booking.made_up(_LETTERS, 17, "order"), "PayPal Reference ID Type": "ODR"}
    facts = payment.facts
    if booking.cause is not None:
        return _refers_to(_transaction_id(booking.cause)) | {"Custom Field": facts.get("custom_id") or ""}
    if operation is not None and booking.kind in (BookingKind.REFUND, BookingKind.REFUND_FAILED):
        told = {"Invoice ID": operation.facts["invoice_id"] or "", "Custom Field": operation.facts["custom_id"] or ""}
        return told | _refers_to(operation.facts["capture"] if booking.kind is BookingKind.REFUND else operation.id)
    taken = (booking.operation_id or "") if operation is None else operation.facts["capture"]
    captured: Facts = next((it for it in facts.get("captures", []) if it["id"] == taken), {})
    told = {"Invoice ID": captured.get("invoice_id") or "", "Custom Field": facts.get("custom_id") or payment.reference or ""}
    if booking.kind is not BookingKind.CAPTURE:
        return told | _refers_to(taken)
    held = facts.get("authorization")
    if held is not None:
        return told | _refers_to(held["id"])
    return told | {"PayPal Reference ID": payment.id, "PayPal Reference ID Type": "ODR"}


def _refers_to(transaction: str) -> dict[str, str]:
    return {"PayPal Reference ID": transaction, "PayPal Reference ID Type": "TXN"}


def _transaction_id(booking: Booking) -> str:
    """A capture and a refund have theirs from the API; everything else has a new one. A line that stands twice has it twice."""
    made_by_api = booking.kind in (BookingKind.CAPTURE, BookingKind.REFUND) and booking.cause is None
    if made_by_api and booking.operation_id is not None:
        return booking.operation_id
    return booking.made_up(_LETTERS, 17, identity=booking.identity.removesuffix(":again"))


def _side(amount: int) -> str:
    return "CR" if amount >= 0 else "DR"


def _hundredths(minor: int, currency: str) -> str:
    """An amount without its sign, in hundredths of the major unit, whatever the currency's own minor unit is."""
    places = EXPONENTS[currency]
    return str(abs(minor) * 10 ** (2 - places))


def _stamp(day: Day, at: datetime) -> str:
    return day.terms.local(at).strftime("%Y/%m/%d %H:%M:%S %z")


SETTLEMENT: Final = Reporting(terms=TERMS, write=report)
