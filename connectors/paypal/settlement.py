"""PayPal's settlement report (STL) as rows: sections of lines, each with its columns, and footers with what they add up to.

The first field of a record says what it is: RH and FH begin the report and the file, SH a section (of one account), CH names its columns,
SB is a line of it, SF has its totals in one currency and SC its number of lines; RF and RC have the same of the whole report, FF ends the
file. A large report comes in several files, of which only the last has RF and RC, of all of them: those are compared where the report is
in one file. Amounts are whole numbers without a sign, a hundred for each major unit of every currency, also of those without decimals.

An event code is a group and a number in it; which way the money went (DR, CR) tells a payment from one of the merchant's own, and a
chargeback from its reversal.

Source: developer.paypal.com, "Settlement Report Specification" and "Transaction event codes". Not here: reading the file and its values
(`connectors.reports`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from types import MappingProxyType
from typing import Final, final

from connectors import reports
from connectors.reports import Columns, Misread, Record
from payorch.domain.money import EXPONENTS, Money
from payorch.domain.settlement import BadRow, NotAReport, ReportItem, RowKind, SettlementRow, Tie

_REQUIRED: Final = (
    "Transaction ID", "Transaction Event Code", "Transaction Completion Date", "Transaction Debit or Credit", "Gross Transaction Amount",
    "Gross Transaction Currency",
)  # fmt: skip
_SHOWN: Final = frozenset(
    {
        *_REQUIRED, "PayPal Reference ID", "PayPal Reference ID Type", "Transaction Initiation Date", "Fee Debit or Credit", "Fee Amount",
        "Fee Currency",
    }
)  # fmt: skip
_BEGINS: Final = frozenset({"RH", "FH", "SH", "CH"})
_OFFSET: Final = re.compile(r" [+-](?:0\d|1[0-4])[0-5]\d", re.ASCII)
_OF_A_PAYMENT: Final = frozenset({"TXN", "ODR"})
"""Types of the id to which a line refers: a transaction (of a refund, what it gives back) or an order. Others are subscriptions."""
_DIRECTIONS: Final = MappingProxyType({"CR": 1, "DR": -1})

_PAYMENTS: Final = frozenset(f"T00{number:02}" for number in (0, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 18, 19))
"""Payments that a merchant gets. Not among them: mass payments, postage, rebates, payouts to third parties, transfers between stores."""
_DISPUTED: Final = frozenset({"T1201", "T1202", "T1205", "T1207", "T1208"})
"""Chargebacks, and what undoes them or is done again: the direction says which."""
_GROUPS: Final[Mapping[str, RowKind]] = MappingProxyType(
    {
        "T01": RowKind.FEE,
        "T02": RowKind.CONVERSION,
        "T04": RowKind.PAYOUT,
        "T17": RowKind.PAYOUT,
    }
)
_SINGLE: Final[Mapping[str, RowKind]] = MappingProxyType(
    {
        "T0109": RowKind.PAYOUT,  # a sweep of the balance, though its group is of fees
        "T1101": RowKind.PAYOUT,  # one that came back
        "T1108": RowKind.FEE,
        "T1109": RowKind.FEE,
    }
)


def kind_of(code: str, direction: int) -> RowKind:
    """What a line with that event code is; direction: above zero where the merchant is given money. Unknown codes are adjustments."""
    if code in _PAYMENTS:
        # What the merchant pays himself is nothing that we know of.
        return RowKind.CAPTURE if direction > 0 else RowKind.ADJUSTMENT
    if code == "T1107":
        return RowKind.REFUND if direction < 0 else RowKind.REFUND_REVERSED
    if code == "T1106":
        # PayPal takes a payment back, as PAYMENT.CAPTURE.REVERSED tells; where it thinks better of it, the merchant has won.
        return RowKind.CAPTURE_REVERSED if direction < 0 else RowKind.CHARGEBACK_REVERSED
    if code in _DISPUTED:
        return RowKind.CHARGEBACK if direction < 0 else RowKind.CHARGEBACK_REVERSED
    return _SINGLE.get(code) or _GROUPS.get(code[:3], RowKind.ADJUSTMENT)


def settlement(chunks: Iterable[bytes]) -> Iterator[ReportItem]:
    """The lines of a report, its totals and numbers of lines beside what was read. Raises NotAReport before the first."""
    return _Reading().items(reports.records(chunks))


# --- one line ---------------------------------------------------------------------------------------------------------------------------


@final
class _Layout:
    """The columns of one section."""

    def __init__(self, header: list[str]) -> None:
        """Raises NotAReport where it lacks one that is needed."""
        columns = self.columns = Columns(header, allowed=_SHOWN)
        if missing := columns.missing(_REQUIRED):
            raise NotAReport(f"no settlement report: a section has no column {', '.join(missing)}")
        at = columns.at
        self._id, self._code, self._completed, self._direction, self._gross, self._currency = (at(name) for name in _REQUIRED)
        self._initiated = at("Transaction Initiation Date")
        self._fee_direction, self._fee, self._fee_currency = at("Fee Debit or Credit"), at("Fee Amount"), at("Fee Currency")
        self._reference, self._reference_type = at("PayPal Reference ID"), at("PayPal Reference ID Type")
        self._invoice, self._custom = at("Invoice ID"), at("Custom Field")

    def row(self, line: int, fields: list[str]) -> SettlementRow:
        """Raises Misread."""
        identity, code = fields[self._id], reports.type_of(fields[self._code], "Transaction Event Code")
        if not reports.is_reference(identity):
            raise Misread("Transaction ID", "it is not an id" if identity else "it is empty")
        direction = _direction(fields[self._direction], "Transaction Debit or Credit")
        kind = kind_of(code, direction)
        currency = reports.currency_of(fields[self._currency], "Gross Transaction Currency")
        gross = direction * _amount(fields[self._gross], currency, "Gross Transaction Amount")
        fee = self._fee_of(fields, currency)
        booked_on, booked_at = self._times(fields)
        return SettlementRow(
            line=line,
            kind=kind,
            type=code,
            identity=f"{identity}/{code}",
            booked_on=booked_on,
            gross=Money(gross, currency),
            fee=Money(fee, currency),
            net=Money(gross - fee, currency),
            psp_operation=(identity,),
            psp_payment=reports.references(fields[self._reference]) if fields[self._reference_type] in _OF_A_PAYMENT else (),
            our_references=reports.our_references(fields[self._invoice], fields[self._custom]),
            payout=identity if kind is RowKind.PAYOUT else None,
            booked_at=booked_at,
        )

    def _fee_of(self, fields: list[str], currency: str) -> int:
        """What PayPal keeps: above zero where it is taken out of the balance."""
        text = fields[self._fee]
        if not text or not text.strip("0"):
            return 0
        if fields[self._fee_currency] != currency:
            raise Misread("Fee Currency", "it is another than that of the amount")
        return -_direction(fields[self._fee_direction], "Fee Debit or Credit") * _amount(text, currency, "Fee Amount")

    def _times(self, fields: list[str]) -> tuple[date, datetime]:
        """The day as it is written, and the moment."""
        if text := fields[self._completed]:
            column = "Transaction Completion Date"
        else:
            text, column = fields[self._initiated], "Transaction Initiation Date"
        written = reports.local_time(text[:19].replace("/", "-"), column)
        zone = _zone(text[19:])
        if zone is None:
            raise Misread(column, "it has no offset from UTC")
        return written.date(), written.replace(tzinfo=zone).astimezone(UTC)


@lru_cache(maxsize=64)
def _zone(text: str) -> timezone | None:
    """The offset from UTC as it stands after a time; None where there is none."""
    if not _OFFSET.fullmatch(text):
        return None
    distance = timedelta(hours=int(text[2:4]), minutes=int(text[4:6]))
    return timezone(-distance if text[1] == "-" else distance)


def _direction(text: str, column: str) -> int:
    direction = _DIRECTIONS.get(text)
    if direction is None:
        raise Misread(column, "it is neither CR nor DR" if text else "it is empty")
    return direction


def _amount(text: str, currency: str, column: str) -> int:
    """ISO minor units. Raises Misread for what is no whole number, or no whole number of minor units."""
    if not (text.isdigit() and text.isascii() and len(text) <= 18):
        raise Misread(column, "it is not a whole number" if text else "it is empty")
    minor, rest = divmod(int(text) * int(10 ** EXPONENTS[currency]), 100)
    if rest:
        raise Misread(column, f"it is no whole number of minor units of {currency}")
    if minor > reports.LARGEST_AMOUNT:
        raise Misread(column, f"it is larger than {reports.LARGEST_AMOUNT} minor units")
    return minor


# --- footers ----------------------------------------------------------------------------------------------------------------------------

_TOTALS: Final = ("gross credits", "gross debits", "fee credits", "fee debits")
"""What a footer adds up, in its order after the currency. Balances follow, which say nothing about the lines."""


@final
class _Sums:
    """What the lines of a section, or of the report, come to."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._totals: Counter[tuple[str, int]] = Counter()
        self._rows = 0
        self._unreadable = False

    def add(self, row: SettlementRow | None) -> None:
        """One more line; None where it cannot be read: then what it adds to the totals is not known, and they are not compared."""
        self._rows += 1
        if row is None:
            self._unreadable = True
            return
        gross, fee = row.gross.minor, row.fee.minor
        self._totals[row.gross.currency, 0 if gross > 0 else 1] += abs(gross)
        if fee:
            self._totals[row.fee.currency, 2 if fee < 0 else 3] += abs(fee)

    def footer(self, record: Record) -> Iterator[Tie]:
        """The totals in a footer. Raises Misread."""
        fields = _whole(record)
        if len(fields) < 2 + len(_TOTALS):
            raise Misread("the line", f"a footer has {2 + len(_TOTALS)} fields or more, this has {len(fields)}")
        currency = reports.currency_of(fields[1], "the footer's currency")
        declared = [_amount(text, currency, f"the footer's {what}") for what, text in zip(_TOTALS, fields[2:], strict=False)]
        if self._unreadable:
            return
        for index, (what, amount) in enumerate(zip(_TOTALS, declared, strict=True)):
            computed = Money(self._totals[currency, index], currency)
            yield Tie(line=record.line, what=f"{what} of {self._what} in {currency}", declared=Money(amount, currency), computed=computed)

    def count(self, record: Record) -> Tie:
        """The number of lines in a count. Raises Misread."""
        fields = _whole(record)
        text = fields[1] if len(fields) > 1 else ""
        if not (text.isdigit() and text.isascii() and len(text) <= 9):
            raise Misread("the count", "it is not a whole number" if text else "it is empty")
        return Tie(line=record.line, what=f"lines of {self._what}", declared_rows=int(text), computed_rows=self._rows)


def _whole(record: Record) -> list[str]:
    if not record.ended:
        raise Misread("the line", "the file ends in it, without a line break: it may be cut off")
    return record.fields


# --- the file ---------------------------------------------------------------------------------------------------------------------------


@final
class _Reading:
    """Where the reading of one file stands."""

    def __init__(self) -> None:
        self._layout: _Layout | None = None
        self._sections = 0
        self._section = _Sums("section 1")
        self._report = _Sums("the report")
        self._whole = True  # whether all of the report is in this file
        self._open = False  # the file has said where it begins, and not yet where it ends
        self._given = False  # an item was given: whatever comes now, it is a report

    def items(self, records: Iterator[Record]) -> Iterator[ReportItem]:
        """Raises NotAReport, before the first item."""
        record = _first(records)
        cut = False
        while True:
            try:
                for item in self._items_of(record):
                    self._given = True
                    yield item
            except Misread as problem:
                self._given = True
                cut = not record.ended
                yield BadRow(line=record.line, reason=str(problem), raw=self._raw(record))
            following = next(records, None)
            if following is None:
                break
            record = following
        if self._open and not cut:
            yield BadRow(line=record.last + 1, reason="the file: it ends before its last record (FF)", raw="")

    def _items_of(self, record: Record) -> Iterator[ReportItem]:
        """What there is in one record. Raises Misread, and NotAReport where nothing was given yet."""
        if record.problem is not None:
            self._count(None)
            raise Misread("the line", record.problem)
        match record.fields[0]:
            case "SB":
                yield self._row(record)
            case "RH":
                pass
            case "FH":
                self._open = True
                self._whole = "".join(record.fields[1:2]).strip("0") in ("", "1")
            case "SH":
                self._sections += 1
                self._section = _Sums(f"section {self._sections}")
                self._layout = None
            case "CH":
                self._layout = self._columns(record)
            case "SF":
                yield from self._section.footer(record)
            case "SC":
                yield self._section.count(record)
            case "RF":
                yield from self._report.footer(record) if self._whole else ()
            case "RC":
                yield from (self._report.count(record),) if self._whole else ()
            case "FF":
                self._open = False
            case _:
                self._count(None)
                raise Misread("the line", f"its first field is not a kind of record that is known{record.where}")

    def _columns(self, record: Record) -> _Layout | None:
        self._layout = None
        try:
            return _Layout(record.fields)
        except NotAReport as problem:
            if self._given:
                raise Misread("the columns", str(problem)) from None
            raise

    def _row(self, record: Record) -> SettlementRow:
        if self._layout is None and not self._given:
            raise NotAReport("no settlement report: a line (SB) comes before the names of its columns (CH)")
        try:
            if self._layout is None:
                raise Misread("the line", "which columns it has is not known")
            self._layout.columns.check(record)
            row = self._layout.row(record.line, [*record.fields, ""])
        except Misread:
            self._count(None)
            raise
        self._count(row)
        return row

    def _count(self, row: SettlementRow | None) -> None:
        self._section.add(row)
        self._report.add(row)

    def _raw(self, record: Record) -> str:
        is_row = record.problem is None and record.fields[0] == "SB" and self._layout is not None
        return self._layout.columns.raw(record) if is_row and self._layout is not None else reports.sized(record)


def _first(records: Iterator[Record]) -> Record:
    record = next(records, None)
    if record is None:
        raise NotAReport("the file is empty")
    if record.problem is not None:
        raise NotAReport(f"the first line cannot be read: {record.problem}")
    if record.fields[0] not in _BEGINS:
        raise NotAReport("no settlement report: its first record is not RH, FH, SH or CH")
    return record
