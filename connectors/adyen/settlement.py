"""Adyen's settlement details report as rows: one for each journal entry of a batch, with the payout that the batch ends in.

Amounts are decimal numbers of major units in two currencies: gross in the payment's, net and fees in the one that is paid out, each in a
column for debits and one for credits. How fees are shown depends on the contract: blended as one commission, or markup, scheme fees and
interchange by themselves; newer columns repeat them as one sum. Where both currencies are the same, only what turns gross into net can be
the fee. Dates are local, and so is the day that an entry is booked on: it is never converted.

Source: docs.adyen.com/reporting, "Settlement details report" and its journal types. Not here: reading the file and its values
(`connectors.reports`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from types import MappingProxyType
from typing import Final, final

from connectors import reports
from connectors.reports import Columns, Misread
from payorch.domain.money import Money
from payorch.domain.settlement import OF_PAYMENTS, NotAReport, ReportItem, RowKind, SettlementRow

_REQUIRED: Final = (
    "Merchant Account", "Psp Reference", "Type", "Modification Reference", "Gross Currency", "Gross Debit (GC)", "Gross Credit (GC)",
    "Net Currency", "Net Debit (NC)", "Net Credit (NC)", "Batch Number",
)  # fmt: skip
_PAYOUT: Final = "MerchantPayout"
_KINDS: Final[Mapping[str, RowKind]] = MappingProxyType(
    {
        "Settled": RowKind.CAPTURE,
        "SettledBulk": RowKind.CAPTURE,
        "SettledInstallment": RowKind.CAPTURE,
        # These two only where payouts are by day of sale: the money was paid out before it had come in.
        "SettledReversed": RowKind.CAPTURE_REVERSED,
        "CaptureFailed": RowKind.CAPTURE_REVERSED,
        "Refunded": RowKind.REFUND,
        "RefundedBulk": RowKind.REFUND,
        "RefundedInstallment": RowKind.REFUND,
        "RefundedReversed": RowKind.REFUND_REVERSED,
        "RefundFailed": RowKind.REFUND_REVERSED,
        "Chargeback": RowKind.CHARGEBACK,
        "SecondChargeback": RowKind.CHARGEBACK,
        "ChargebackReversed": RowKind.CHARGEBACK_REVERSED,
        "Fee": RowKind.FEE,
        "InvoiceDeduction": RowKind.FEE,
        "MiscCosts": RowKind.FEE,
        "PaymentCost": RowKind.FEE,
        "SettleCost": RowKind.FEE,
        "AuthorisationSchemeFee": RowKind.FEE,
        _PAYOUT: RowKind.PAYOUT,
        "BankInstructionReturned": RowKind.PAYOUT,
    }
)
"""Journal type -> kind. Every other one (DepositCorrection, ReserveAdjustment, Balancetransfer, ManualCorrected, what is new) is an
adjustment. What ends in ExternallyWithInfo is told of another acquirer's money and never was in this balance."""

_ZONES: Final[Mapping[str, timezone]] = MappingProxyType(
    {
        name: timezone(timedelta(hours=hours))
        for name, hours in {
            "UTC": 0, "GMT": 0, "WET": 0, "BST": 1, "WEST": 1, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "EST": -5, "EDT": -4, "MST": -7,
            "MDT": -6, "PST": -8, "PDT": -7, "BRT": -3, "SGT": 8, "HKT": 8, "JST": 9, "AEST": 10, "AEDT": 11, "NZST": 12, "NZDT": 13,
        }.items()
    }
)  # fmt: skip
"""Abbreviation -> offset. Each names one offset, so that the hour that a clock goes through twice is told apart. Those that have several
meanings in the world (CST, IST) are left out: then the moment is not known, only the day."""

_LONGEST_TEXT: Final = 200
"""Of a modification reference, which for payouts and costs is a text. It is part of an entry's identity."""
_SHOWN: Final = frozenset(
    {
        *_REQUIRED, "Company Account", "Merchant Reference", "Payment Method", "Creation Date", "TimeZone", "Exchange Rate",
        "Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)", "Payment Method Variant",
        "Modification Merchant Reference", "Booking Date", "Booking Date TimeZone", "Payment Fees (NC)", "Gross Fees (NC)",
    }
)  # fmt: skip


def settlement(chunks: Iterable[bytes]) -> Iterator[ReportItem]:
    """The lines of a report, and its payouts beside the sums of their batches. Raises NotAReport before the first."""
    return reports.table(chunks, _Layout)


@final
class _Layout:
    """The columns of one file."""

    def __init__(self, header: list[str]) -> None:
        columns = self.columns = Columns(header, allowed=_SHOWN)
        missing = columns.missing(_REQUIRED)
        if columns.missing(("Creation Date",)) and columns.missing(("Booking Date",)):
            missing.append("Creation Date (or Booking Date)")
        if missing:
            raise NotAReport(f"no settlement details report: it has no column {', '.join(missing)}")
        at = columns.at
        self._account, self._psp, self._type, self._modification, self._gross_currency = (at(name) for name in _REQUIRED[:5])
        self._gross_debit, self._gross_credit, self._net_currency, self._net_debit, self._net_credit = (at(n) for n in _REQUIRED[5:10])
        self._batch = at("Batch Number")
        self._merchant, self._modification_merchant = at("Merchant Reference"), at("Modification Merchant Reference")
        self._created, self._created_zone = at("Creation Date"), at("TimeZone")
        self._booked, self._booked_zone = at("Booking Date"), at("Booking Date TimeZone")
        self._rate = at("Exchange Rate")
        names = ("Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)")
        self._parts = tuple((name, at(name)) for name in names if not columns.missing((name,)))
        self._payment_fees, self._gross_fees = at("Payment Fees (NC)"), at("Gross Fees (NC)")

    def row(self, line: int, fields: list[str]) -> SettlementRow:
        """Raises Misread."""
        word = reports.type_of(fields[self._type], "Type")
        kind = _KINDS.get(word, RowKind.ADJUSTMENT)
        of_payment = kind in OF_PAYMENTS
        psp, modification = fields[self._psp], fields[self._modification]
        if of_payment and not psp:
            raise Misread("Psp Reference", "it is empty")
        if len(modification) > _LONGEST_TEXT or not modification.isprintable():
            raise Misread("Modification Reference", "it is too long, or no text")
        if psp and not reports.is_reference(psp):
            raise Misread("Psp Reference", "it is not an id")
        currency = reports.currency_of(fields[self._net_currency], "Net Currency")
        net = _signed(fields[self._net_debit], fields[self._net_credit], currency, "Net Debit (NC)", "Net Credit (NC)")
        gross, fee, rate = self._amounts(fields, of_payment, net, currency)
        written, booked_at = self._times(fields)
        payout = self._payout_id(fields)
        return SettlementRow(
            line=line,
            kind=kind,
            type=word,
            # Adyen has no id of an entry. A capture, refund or dispute has one of its own, which its failure and its reversal have too; of
            # what is about no payment, nothing but its text, time and amount can tell one from another.
            identity="/".join((psp, modification, word, payout or "", f"{gross.minor}{gross.currency}", "" if psp else str(written))),
            booked_on=written.date(),
            gross=gross,
            fee=Money(fee, currency),
            net=Money(net, currency),
            psp_operation=reports.references(modification or psp) if of_payment else (),
            psp_payment=reports.references(psp),
            our_references=reports.our_references(fields[self._modification_merchant], fields[self._merchant]),
            rate=rate,
            payout=payout,
            booked_at=booked_at,
        )

    def pays_out(self, row: SettlementRow) -> bool:
        """What ends the batch; a payout that came back is an entry like any other of the batch it is made good in."""
        return row.type == _PAYOUT

    def payout_of(self, fields: list[str]) -> str | None:
        return self._payout_id(fields)

    def _payout_id(self, fields: list[str]) -> str | None:
        """A batch has a number within its merchant account."""
        account, batch = fields[self._account], fields[self._batch]
        return f"{account}/{batch}" if reports.is_reference(account) and reports.is_reference(batch) else None

    def _amounts(self, fields: list[str], of_payment: bool, net: int, currency: str) -> tuple[Money, int, str | None]:
        """Gross, fee, and the rate where they are in two currencies."""
        fees = self._fees(fields, currency)
        debit, credit = fields[self._gross_debit], fields[self._gross_credit]
        if not of_payment and not debit and not credit:
            # About no payment's money: only what it does to the balance is said.
            return Money(net + fees[0], currency), fees[0], None
        paid = reports.currency_of(fields[self._gross_currency], "Gross Currency")
        gross = _signed(debit, credit, paid, "Gross Debit (GC)", "Gross Credit (GC)")
        if paid == currency:
            if gross - net not in fees:
                raise Misread("the line", "it does not add up: gross less fees is not net")
            return Money(gross, paid), gross - net, None
        return Money(gross, paid), fees[0], self._exchange(fields[self._rate], gross, paid, net + fees[0], currency)

    def _fees(self, fields: list[str], currency: str) -> tuple[int, ...]:
        """What the fee of an entry can be, the likeliest first: its parts, or else a sum that stands for them. Never both."""
        parts = sum(reports.minor_units(text, currency, name) for name, at in self._parts if (text := fields[at]))
        sums = [
            reports.minor_units(fields[at], currency, name)
            for name, at in (("Gross Fees (NC)", self._gross_fees), ("Payment Fees (NC)", self._payment_fees))
            if fields[at]
        ]
        return (parts, *sums) if parts or not sums else (*sums, parts)

    def _exchange(self, text: str, gross: int, paid: str, net: int, currency: str) -> str:
        """The rate that is written; where none is, the one that the amounts come to. `net`: before fees."""
        if not text:
            if not gross or not net:
                raise Misread("Exchange Rate", "it is empty, and the amounts do not tell it")
            return reports.rate_of(net, currency, gross, paid)
        whole, point, part = text.partition(".")
        digits = whole + part
        if not (whole and digits.isascii() and digits.isdigit() and len(digits) <= 40 and bool(part) == bool(point) and digits.strip("0")):
            raise Misread("Exchange Rate", "it is not a decimal number above zero")
        return reports.plain_decimal(Decimal(text))

    def _times(self, fields: list[str]) -> tuple[datetime, datetime | None]:
        """When it was booked, as it is written, and which moment that is; where only the creation is told, that."""
        if text := fields[self._booked]:
            written, zone = reports.local_time(text, "Booking Date"), fields[self._booked_zone]
        else:
            text = fields[self._created]
            written, zone = reports.local_time(text, "Creation Date"), fields[self._created_zone]
        offset = _ZONES.get(zone) if len(text) > len("YYYY-MM-DD") else None
        return written, written.replace(tzinfo=offset) if offset is not None else None


def _signed(debit: str, credit: str, currency: str, debit_column: str, credit_column: str) -> int:
    """What comes in above zero, what goes out below. Raises Misread where it is both, or has a sign of its own."""
    out = reports.minor_units(debit, currency, debit_column) if debit else 0
    into = reports.minor_units(credit, currency, credit_column) if credit else 0
    if out < 0 or into < 0:
        raise Misread(debit_column if out < 0 else credit_column, "it is below zero")
    if out and into:
        raise Misread(debit_column, "there is a credit as well")
    if not debit and not credit:
        raise Misread(credit_column, "it is empty, and so is the debit")
    return into - out
