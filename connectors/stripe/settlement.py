"""Stripe's payout reconciliation report, itemised (`payout_reconciliation.itemized.5`), as rows: one for each balance transaction.

Amounts are decimal numbers of major units, unlike everywhere else at Stripe. Where a payment was in another currency than the balance, the
customer-facing amount is the payment's, and the report's own gross divided by it is the rate, to twenty digits. The date is the one in the
report's own time zone; the columns that end in `_utc` say the moment.

A partial capture has two balance transactions at Stripe: the whole authorised amount as a charge, and the rest as a reversal of it.

Source: docs.stripe.com/reports/payout-reconciliation and /reporting-categories. Not here: reading the file and its values
(`connectors.reports`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import Final, final

from connectors import reports
from connectors.reports import Columns, Misread
from connectors.stripe.requests import ATTEMPT_KEY, OPERATION_KEY
from payorch.domain.money import Money
from payorch.domain.settlement import OF_PAYMENTS, NotAReport, ReportItem, RowKind, SettlementRow

_REQUIRED: Final = ("balance_transaction_id", "currency", "gross", "fee", "net", "reporting_category")
_PAYOUT: Final = "payout"
_KINDS: Final[Mapping[str, RowKind]] = MappingProxyType(
    {
        "charge": RowKind.CAPTURE,
        # Of a method that answers late: it succeeded, and then did not. The other gives back what a capture left of the hold.
        "charge_failure": RowKind.CAPTURE_REVERSED,
        "partial_capture_reversal": RowKind.CAPTURE_REVERSED,
        "refund": RowKind.REFUND,
        "refund_failure": RowKind.REFUND_REVERSED,
        "dispute": RowKind.CHARGEBACK,
        "dispute_reversal": RowKind.CHARGEBACK_REVERSED,
        "fee": RowKind.FEE,
        "network_cost": RowKind.FEE,
        "tax": RowKind.FEE,
        _PAYOUT: RowKind.PAYOUT,
        "payout_reversal": RowKind.PAYOUT,
    }
)
"""Reporting category -> kind. Every other one (reserves, transfers, top-ups, other_adjustment, what is new) is an adjustment."""

_SHOWN: Final = frozenset(
    {
        "automatic_payout_id", "balance_transaction_id", "created", "created_utc", "available_on", "available_on_utc", "currency", "gross",
        "fee", "net", "reporting_category", "source_id", "charge_id", "payment_intent_id", "customer_facing_amount",
        "customer_facing_currency", f"payment_metadata[{ATTEMPT_KEY}]", f"payment_metadata[{OPERATION_KEY}]",
        f"refund_metadata[{OPERATION_KEY}]",
    }
)  # fmt: skip


def settlement(chunks: Iterable[bytes]) -> Iterator[ReportItem]:
    """The lines of a report, and its payouts beside the sums of their lines. Raises NotAReport before the first."""
    return reports.table(chunks, _Layout)


@final
class _Layout:
    """The columns of one file."""

    def __init__(self, header: list[str]) -> None:
        columns = self.columns = Columns(header, allowed=_SHOWN)
        missing = columns.missing(_REQUIRED)
        if columns.missing(("created",)) and columns.missing(("created_utc",)):
            missing.append("created (or created_utc)")
        if missing:
            raise NotAReport(f"no payout reconciliation report: it has no column {', '.join(missing)}")
        at = columns.at
        self._id, self._currency, self._gross, self._fee, self._net, self._category = (at(name) for name in _REQUIRED)
        self._created, self._created_utc = at("created"), at("created_utc")
        self._payout, self._source = at("automatic_payout_id"), at("source_id")
        self._charge, self._intent = at("charge_id"), at("payment_intent_id")
        self._facing_amount, self._facing_currency = at("customer_facing_amount"), at("customer_facing_currency")
        self._attempt, self._operation = at(f"payment_metadata[{ATTEMPT_KEY}]"), at(f"payment_metadata[{OPERATION_KEY}]")
        self._refund_operation = at(f"refund_metadata[{OPERATION_KEY}]")

    def row(self, line: int, fields: list[str]) -> SettlementRow:
        """Raises Misread."""
        identity = fields[self._id]
        if not reports.is_reference(identity):
            raise Misread("balance_transaction_id", "it is not an id" if identity else "it is empty")
        category = reports.type_of(fields[self._category], "reporting_category")
        kind = _KINDS.get(category, RowKind.ADJUSTMENT)
        currency = reports.currency_of(fields[self._currency], "currency")
        booked = reports.minor_units(fields[self._gross], currency, "gross")
        fee = reports.minor_units(fields[self._fee] or "0", currency, "fee")
        net = reports.minor_units(fields[self._net], currency, "net")
        if booked - fee != net:
            raise Misread("net", "the line does not add up: gross less fee is another amount")
        gross, rate = self._gross_of(fields, kind, booked, currency)
        source, charge = fields[self._source], fields[self._charge]
        capture = kind is RowKind.CAPTURE
        booked_on, booked_at = self._times(fields)
        return SettlementRow(
            line=line,
            kind=kind,
            type=category,
            identity=identity,
            booked_on=booked_on,
            gross=gross,
            fee=Money(fee, currency),
            net=Money(net, currency),
            psp_operation=reports.references(source, charge) if capture else reports.references(source),
            psp_payment=reports.references(fields[self._intent]) if capture else reports.references(fields[self._intent], charge),
            our_references=self._ours(fields, kind),
            rate=rate,
            payout=self._payout_id(fields, category),
            booked_at=booked_at,
        )

    def pays_out(self, row: SettlementRow) -> bool:
        """The payout's own row; one that came back is a row like any other of the payout it is made good in."""
        return row.type == _PAYOUT

    def payout_of(self, fields: list[str]) -> str | None:
        return self._payout_id(fields, fields[self._category])

    def _payout_id(self, fields: list[str], category: str) -> str | None:
        own = fields[self._payout] or (fields[self._source] if category == _PAYOUT else "")
        return own if reports.is_reference(own) else None

    def _gross_of(self, fields: list[str], kind: RowKind, booked: int, currency: str) -> tuple[Money, str | None]:
        """What moved in the payment's own currency, and at what rate, where that is another than the balance's."""
        facing = fields[self._facing_currency]
        if not facing or kind not in OF_PAYMENTS or (paid := reports.currency_of(facing, "customer_facing_currency")) == currency:
            return Money(booked, currency), None
        # Stripe does not say whether it has a sign: the direction is the booking's.
        amount = abs(reports.minor_units(fields[self._facing_amount], paid, "customer_facing_amount"))
        if not amount or not booked:
            raise Misread("customer_facing_amount", "there is no rate between it and gross: one of the two is zero")
        return Money(amount if booked > 0 else -amount, paid), reports.rate_of(abs(booked), currency, amount, paid)

    def _ours(self, fields: list[str], kind: RowKind) -> tuple[str, ...]:
        """The metadata of a PaymentIntent name its last capture, which is nothing that a refund or a dispute is about."""
        if kind is RowKind.CAPTURE:
            return reports.our_references(fields[self._operation], fields[self._attempt])
        return reports.our_references(fields[self._refund_operation], fields[self._attempt])

    def _times(self, fields: list[str]) -> tuple[date, datetime | None]:
        """The day by the report's own clock, and the moment where the report has it."""
        local, utc = fields[self._created], fields[self._created_utc]
        moment = reports.local_time(utc, "created_utc") if utc or not local else None
        written = moment if moment is not None and local in ("", utc) else reports.local_time(local, "created")
        return written.date(), moment.replace(tzinfo=UTC) if moment is not None else None
