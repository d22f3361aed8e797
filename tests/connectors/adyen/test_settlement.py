"""Adyen's settlement details report: every journal type, its layouts of fees, two currencies, and what is wrong with a bad line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.adyen import connector
from payorch.domain.identifiers import of_name
from payorch.domain.money import Money
from payorch.domain.settlement import BadRow, NotAReport, ReportItem, RowKind, SettlementRow
from tests.connectors.report_cases import bad_of, outcome, pieces, rows_of, table, ties_of

ATTEMPT, CAPTURE, REFUND = of_name("att", "1"), of_name("cap", "1"), of_name("ref", "1")

COLUMNS = (
    "Company Account", "Merchant Account", "Psp Reference", "Merchant Reference", "Payment Method", "Creation Date", "TimeZone", "Type",
    "Modification Reference", "Gross Currency", "Gross Debit (GC)", "Gross Credit (GC)", "Exchange Rate", "Net Currency", "Net Debit (NC)",
    "Net Credit (NC)", "Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)", "Payment Method Variant",
    "Modification Merchant Reference", "Batch Number", "Reserved4", "Reserved5", "Reserved6", "Reserved7", "Reserved8", "Reserved9",
    "Reserved10",
)  # fmt: skip
NEWER = (
    *COLUMNS, "Booking Date", "Booking Date TimeZone", "Metadata", "Balance Currency", "Net Debit (BC)", "Net Credit (BC)",
    "Payment Fees (NC)", "DCC Markup (NC)", "Shopper Country", "Gross Fees (NC)",
)  # fmt: skip

SETTLED = {
    "Company Account": "Shops", "Merchant Account": "ShopECOM", "Psp Reference": "KHQC5N7G84BLNK43", "Merchant Reference": ATTEMPT,
    "Payment Method": "visa", "Creation Date": "2026-01-30 23:59:30", "TimeZone": "CET", "Type": "Settled",
    "Modification Reference": "GWMTQ9WX5NGV8N52", "Gross Currency": "EUR", "Gross Credit (GC)": "25.00", "Exchange Rate": "1",
    "Net Currency": "EUR", "Net Credit (NC)": "24.45", "Markup (NC)": "0.15", "Scheme Fees (NC)": "0.10", "Interchange (NC)": "0.30",
    "Payment Method Variant": "visastandarddebit", "Modification Merchant Reference": CAPTURE, "Batch Number": "12",
}  # fmt: skip


def line(**changes: str) -> Mapping[str, str]:
    """A capture with these columns changed; `type` for Type, and the like for those without blanks in their names."""
    return SETTLED | {name.replace("_", " "): value for name, value in changes.items()}


def with_columns(changes: Mapping[str, str], base: Mapping[str, str] = SETTLED) -> Mapping[str, str]:
    return dict(base) | dict(changes)


def booked(kind: str, amount: str, **changes: str) -> Mapping[str, str]:
    """A line that costs nothing: what goes out below zero."""
    column = "Debit" if amount.startswith("-") else "Credit"
    amounts = {f"Gross {column} (GC)": amount.lstrip("-"), f"Net {column} (NC)": amount.lstrip("-")}
    cleared = dict.fromkeys(("Gross Credit (GC)", "Net Credit (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)"), "")
    return with_columns({**cleared, **amounts, "Type": kind, **{name.replace("_", " "): value for name, value in changes.items()}})


def without_gross(kind: str, net: str, text: str = "") -> Mapping[str, str]:
    """A line about no payment: only what it does to the balance."""
    column = "Net Debit (NC)" if net.startswith("-") else "Net Credit (NC)"
    kept = {
        name: SETTLED[name] for name in ("Company Account", "Merchant Account", "Creation Date", "TimeZone", "Net Currency", "Batch Number")
    }
    return {**kept, "Type": kind, column: net.lstrip("-"), "Modification Reference": text}


PAID_OUT = without_gross("MerchantPayout", "-24.45", "TX1234567XT batch 12, ShopECOM")


def read(*rows: Mapping[str, str], columns: tuple[str, ...] = COLUMNS) -> list[ReportItem]:
    return list(connector.settlement([table(columns, rows).encode()]))


def one(row: Mapping[str, str], columns: tuple[str, ...] = COLUMNS) -> SettlementRow:
    (found,) = rows_of(read(row, columns=columns))
    return found


def refused(row: Mapping[str, str], columns: tuple[str, ...] = COLUMNS) -> str:
    (found,) = read(row, columns=columns)
    assert isinstance(found, BadRow)
    return found.reason


def test_a_capture() -> None:
    assert one(line()) == SettlementRow(
        line=2,
        kind=RowKind.CAPTURE,
        type="Settled",
        identity="KHQC5N7G84BLNK43/GWMTQ9WX5NGV8N52/Settled/ShopECOM/12/2500EUR/",
        booked_on=date(2026, 1, 30),
        gross=Money(2500, "EUR"),
        fee=Money(55, "EUR"),
        net=Money(2445, "EUR"),
        psp_operation=("GWMTQ9WX5NGV8N52",),
        psp_payment=("KHQC5N7G84BLNK43",),
        our_references=(CAPTURE, ATTEMPT),
        payout="ShopECOM/12",
        booked_at=datetime(2026, 1, 30, 22, 59, 30, tzinfo=UTC),
    )


def test_an_automatic_capture_is_known_by_the_payment() -> None:
    assert one(line(Modification_Reference="")).psp_operation == ("KHQC5N7G84BLNK43",)
    assert one(line(Modification_Reference="KHQC5N7G84BLNK43")).psp_operation == ("KHQC5N7G84BLNK43",)


def test_a_refund() -> None:
    found = one(booked("Refunded", "-10.00", Modification_Merchant_Reference=REFUND))
    assert (found.kind, found.gross, found.net, found.fee) == (RowKind.REFUND, Money(-1000, "EUR"), Money(-1000, "EUR"), Money(0, "EUR"))
    assert found.our_references == (REFUND, ATTEMPT)


@pytest.mark.parametrize(
    ("word", "amount", "kind"),
    [
        ("SettledInstallment", "5.00", RowKind.CAPTURE),
        ("SettledReversed", "-5.00", RowKind.CAPTURE_REVERSED),
        ("CaptureFailed", "-5.00", RowKind.CAPTURE_REVERSED),
        ("RefundedReversed", "5.00", RowKind.REFUND_REVERSED),
        ("Chargeback", "-25.00", RowKind.CHARGEBACK),
        ("SecondChargeback", "-25.00", RowKind.CHARGEBACK),
        ("ChargebackReversed", "25.00", RowKind.CHARGEBACK_REVERSED),
        ("ManualCorrected", "-1.00", RowKind.ADJUSTMENT),
        ("SettledExternallyWithInfo", "5.00", RowKind.ADJUSTMENT),
        ("SomethingOfTomorrow", "5.00", RowKind.ADJUSTMENT),
    ],
)
def test_every_type_of_a_payment(word: str, amount: str, kind: RowKind) -> None:
    found = one(booked(word, amount))
    assert (found.kind, found.type, found.net.minor) == (kind, word, int(Decimal(amount) * 100))


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("Fee", RowKind.FEE),
        ("InvoiceDeduction", RowKind.FEE),
        ("MiscCosts", RowKind.FEE),
        ("PaymentCost", RowKind.FEE),
        ("MerchantPayout", RowKind.PAYOUT),
        ("BankInstructionReturned", RowKind.PAYOUT),
        ("DepositCorrection", RowKind.ADJUSTMENT),
        ("ReserveAdjustment", RowKind.ADJUSTMENT),
        ("Balancetransfer", RowKind.ADJUSTMENT),
    ],
)
def test_every_type_of_no_payment(word: str, kind: RowKind) -> None:
    found = one(without_gross(word, "-12.00", "Fees of January"))
    assert (found.kind, found.gross, found.fee, found.net) == (kind, Money(-1200, "EUR"), Money(0, "EUR"), Money(-1200, "EUR"))
    assert (found.psp_operation, found.psp_payment, found.our_references) == ((), (), ())


def test_bookings_of_no_payment_are_told_apart_by_their_time() -> None:
    first, second = without_gross("MiscCosts", "-1.00", "Fees"), dict(without_gross("MiscCosts", "-1.00", "Fees"))
    second["Creation Date"] = "2026-01-30 10:00:00"
    assert len({row.identity for row in rows_of(read(first, second))}) == 2


# --- fees -------------------------------------------------------------------------------------------------------------------------------

NO_PARTS = dict.fromkeys(("Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)"), "")


@pytest.mark.parametrize(
    "fees",
    [
        {},
        {**NO_PARTS, "Commission (NC)": "0.55"},
        {"Commission (NC)": "0.00"},
        {"Commission (NC)": "0.25", "Interchange (NC)": "0.05"},
        {"Payment Fees (NC)": "0.55"},
        {"Payment Fees (NC)": "0.55", "Gross Fees (NC)": "0.55"},
        {**NO_PARTS, "Payment Fees (NC)": "0.55"},
        {**NO_PARTS, "Gross Fees (NC)": "0.55", "Payment Fees (NC)": "0.00"},
        {"Payment Fees (NC)": "0.00", "Gross Fees (NC)": "0.00"},
    ],
)
def test_one_fee_however_it_is_shown(fees: Mapping[str, str]) -> None:
    found = one(with_columns(fees), NEWER)
    assert (found.fee, found.net) == (Money(55, "EUR"), Money(2445, "EUR"))
    foreign = one(with_columns({**fees, "Gross Currency": "JPY", "Gross Credit (GC)": "4000", "Exchange Rate": "0.00625"}), NEWER)
    assert foreign.fee == Money(55, "EUR")


def test_a_fee_that_is_given_back() -> None:
    found = one(with_columns({"Net Debit (NC)": "9.80", "Commission (NC)": "-0.20"}, booked("Refunded", "-10.00")))
    assert (found.gross.minor, found.fee.minor, found.net.minor) == (-1000, -20, -980)


def test_another_currency_than_the_one_paid_out() -> None:
    found = one(
        with_columns({"Gross Currency": "JPY", "Gross Credit (GC)": "4000", "Exchange Rate": "0.00625", "Net Credit (NC)": "24.45"}),
    )
    assert (found.gross, found.fee, found.net, found.rate) == (Money(4000, "JPY"), Money(55, "EUR"), Money(2445, "EUR"), "0.00625")


def test_a_rate_that_is_not_written_is_the_one_of_the_amounts() -> None:
    found = one(with_columns({"Gross Currency": "JPY", "Gross Credit (GC)": "4000", "Exchange Rate": ""}))
    assert found.rate == "0.00625"


@pytest.mark.parametrize(("text", "currency", "minor"), [("500", "JPY", 500), ("5.120", "KWD", 5120), ("5.00", "ISK", 5)])
def test_currencies_with_other_decimals(text: str, currency: str, minor: int) -> None:
    found = one(with_columns({"Gross Currency": currency, "Net Currency": currency}, booked("Settled", text)))
    assert found.gross == found.net == Money(minor, currency)


# --- times ------------------------------------------------------------------------------------------------------------------------------


def test_the_booking_date_comes_first_and_is_taken_as_it_is_written() -> None:
    found = one(with_columns({"Booking Date": "2026-07-01 00:30:00", "Booking Date TimeZone": "CEST"}), NEWER)
    assert (found.booked_on, found.booked_at) == (date(2026, 7, 1), datetime(2026, 6, 30, 22, 30, tzinfo=UTC))


@pytest.mark.parametrize(
    ("zone", "moment"),
    [
        ("PST", datetime(2026, 1, 31, 7, 59, 30, tzinfo=UTC)),
        ("PDT", datetime(2026, 1, 31, 6, 59, 30, tzinfo=UTC)),
        ("GMT", datetime(2026, 1, 30, 23, 59, 30, tzinfo=UTC)),
        ("AEST", datetime(2026, 1, 30, 13, 59, 30, tzinfo=UTC)),
        ("CST", None),
        ("", None),
    ],
)
def test_zones(zone: str, moment: datetime | None) -> None:
    found = one(line(TimeZone=zone))
    assert (found.booked_on, found.booked_at) == (date(2026, 1, 30), moment)


# --- what is wrong ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Net Credit (NC)": "24.46"}, "the line: it does not add up: gross less fees is not net"),
        ({"Markup (NC)": "0.16"}, "the line: it does not add up: gross less fees is not net"),
        ({"Gross Credit (GC)": "12,x4"}, "Gross Credit (GC): it is not a decimal number"),
        ({"Gross Credit (GC)": ""}, "Gross Credit (GC): it is empty, and so is the debit"),
        ({"Gross Debit (GC)": "1.00"}, "Gross Debit (GC): there is a credit as well"),
        ({"Gross Credit (GC)": "-25.00"}, "Gross Credit (GC): it is below zero"),
        ({"Gross Currency": "EU"}, "Gross Currency: it is not the code of a currency"),
        ({"Net Currency": ""}, "Net Currency: it is empty"),
        ({"Interchange (NC)": "0.301"}, "Interchange (NC): it is no whole number of minor units of EUR"),
        ({"Psp Reference": ""}, "Psp Reference: it is empty"),
        ({"Psp Reference": "x y"}, "Psp Reference: it is not an id"),
        ({"Type": ""}, "Type: it is empty"),
        ({"Modification Reference": "x" * 201}, "Modification Reference: it is too long"),
        ({"Modification Reference": "x\ny"}, "Modification Reference: it is too long, or no text"),
        ({"Creation Date": "30-01-2026"}, "Creation Date: it is not a date and time"),
        ({"Gross Currency": "USD", "Exchange Rate": "1,2"}, "Exchange Rate: it is not a decimal number above zero"),
        ({"Gross Currency": "USD", "Exchange Rate": "0.0"}, "Exchange Rate: it is not a decimal number above zero"),
    ],
)
def test_what_is_wrong_with_a_line(changes: Mapping[str, str], reason: str) -> None:
    assert refused(with_columns(changes)).startswith(reason)


def test_a_bad_line_shows_nothing_of_the_shopper() -> None:
    (found,) = read(with_columns({"Net Currency": "", "Metadata": "jane@example.com", "Merchant Reference": "Jane Doe"}), columns=NEWER)
    assert isinstance(found, BadRow)
    assert "Psp Reference=KHQC5N7G84BLNK43" in found.raw
    assert "Merchant Reference=[not shown]" in found.raw
    assert not [secret for secret in ("Jane", "example") if secret in found.raw]


def test_columns_are_found_by_their_names() -> None:
    shuffled = (*reversed(NEWER), "Tomorrow")
    assert rows_of(read(line(), PAID_OUT, columns=shuffled)) == rows_of(read(line(), PAID_OUT))


@pytest.mark.parametrize("name", ["Psp Reference", "Type", "Net Credit (NC)", "Batch Number"])
def test_a_report_without_a_column_is_none(name: str) -> None:
    with pytest.raises(NotAReport, match=name.split(" (", maxsplit=1)[0]):
        read(line(), columns=tuple(one for one in COLUMNS if one != name))


# --- batches ----------------------------------------------------------------------------------------------------------------------------


def test_a_batch_is_paid_out() -> None:
    assert [(tie.line, tie.what, tie.declared, tie.holds) for tie in ties_of(read(line(), PAID_OUT))] == [
        (3, "payout ShopECOM/12 in EUR", Money(2445, "EUR"), True)
    ]
    (tie,) = ties_of(read(PAID_OUT, line(), booked("Refunded", "-1.00")))
    assert (tie.declared, tie.computed) == (Money(2445, "EUR"), Money(2345, "EUR"))


def test_a_batch_with_a_line_that_cannot_be_read_is_not_added_up() -> None:
    items = read(with_columns({"Gross Credit (GC)": "12,x4"}), PAID_OUT)
    assert (len(bad_of(items)), ties_of(items)) == (1, [])
    other = with_columns({"Gross Credit (GC)": "12,x4", "Batch Number": "11"})
    assert [tie.holds for tie in ties_of(read(other, line(), PAID_OUT))] == [True]


@given(st.lists(st.tuples(st.integers(101, 10**9), st.integers(0, 100), st.booleans()), max_size=10), st.data())
def test_sum_of_parts_in_any_order(lines: list[tuple[int, int, bool]], data: st.DataObject) -> None:
    rows: list[Mapping[str, str]] = []
    total = 0
    for number, (gross, fee, refund) in enumerate(lines):
        net = -gross - fee if refund else gross - fee
        total += net
        row = booked("Refunded" if refund else "Settled", f"{Decimal(-gross if refund else gross).scaleb(-2):f}")
        column = "Net Debit (NC)" if net < 0 else "Net Credit (NC)"
        fees = {"Commission (NC)": f"{Decimal(fee).scaleb(-2):f}", column: f"{Decimal(abs(net)).scaleb(-2):f}"}
        rows.append(with_columns({**fees, "Modification Reference": f"MOD{number}"}, row))
    rows.append(without_gross("MerchantPayout", f"{Decimal(-total).scaleb(-2):f}", "TX1"))
    items = read(*data.draw(st.permutations(rows)))
    (tie,) = ties_of(items)
    assert tie.holds
    assert sum(row.net.minor for row in rows_of(items)) == 0


# --- files that are not whole ----------------------------------------------------------------------------------------------------------

WHOLE = table(NEWER, [line(), booked("Refunded", "-10.00"), booked("Chargeback", "-5.00"), PAID_OUT]).encode()


def test_a_file_that_breaks_off_in_a_line() -> None:
    items = list(connector.settlement([WHOLE[:-20]]))
    assert [bad.line for bad in bad_of(items)] == [5]
    assert ties_of(items) == []


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_how_the_bytes_are_cut_changes_nothing(at: list[int]) -> None:
    assert list(connector.settlement(pieces(WHOLE, at))) == list(connector.settlement([WHOLE]))


@given(st.integers(0, len(WHOLE)), st.sampled_from([b"", b'"', b"\0", b"\xff", b"\n", b",", b"9" * 70_000]), st.integers(0, 30))
@settings(max_examples=300)
def test_whatever_is_broken_is_a_bad_line(at: int, instead: bytes, length: int) -> None:
    found = outcome(connector.settlement, [WHOLE[:at] + instead + WHOLE[at + length :]])
    assert found
    for item in found if isinstance(found, list) else ():
        assert not isinstance(item, BadRow) or len(item.raw) <= 2000
