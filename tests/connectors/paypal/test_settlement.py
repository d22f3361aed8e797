"""PayPal's settlement report: its records and sections, amounts in hundredths of every currency, event codes both ways, and its totals."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.paypal import connector
from payorch.domain.identifiers import of_name
from payorch.domain.money import Money
from payorch.domain.settlement import BadRow, NotAReport, ReportItem, RowKind, SettlementRow
from tests.connectors.report_cases import bad_of, outcome, pieces, rows_of, table, ties_of

ATTEMPT, CAPTURE, REFUND = of_name("att", "1"), of_name("cap", "1"), of_name("ref", "1")

COLUMNS = (
    "CH", "Transaction ID", "Invoice ID", "PayPal Reference ID", "PayPal Reference ID Type", "Transaction Event Code",
    "Transaction Initiation Date", "Transaction Completion Date", "Transaction Debit or Credit", "Gross Transaction Amount",
    "Gross Transaction Currency", "Fee Debit or Credit", "Fee Amount", "Fee Currency", "Custom Field", "Consumer ID", "Payment Tracking ID",
    "Store ID", "Bank Reference ID", "Credit Transactional Fee", "Credit Promotional Fee", "Credit Term",
)  # fmt: skip

PAID = {
    "CH": "SB", "Transaction ID": "2GG279541U471931P", "Invoice ID": CAPTURE, "PayPal Reference ID": "5O190127TN364715T",
    "PayPal Reference ID Type": "ODR", "Transaction Event Code": "T0006", "Transaction Initiation Date": "2026/01/30 22:00:00 -0800",
    "Transaction Completion Date": "2026/01/30 23:30:00 -0800", "Transaction Debit or Credit": "CR", "Gross Transaction Amount": "2500",
    "Gross Transaction Currency": "USD", "Fee Debit or Credit": "DR", "Fee Amount": "124", "Fee Currency": "USD", "Custom Field": ATTEMPT,
    "Consumer ID": "JANEDOE77",
}  # fmt: skip


def line(changes: Mapping[str, str] | None = None) -> Mapping[str, str]:
    return PAID | dict(changes or {})


def moved(code: str, direction: str, amount: str, changes: Mapping[str, str] | None = None) -> Mapping[str, str]:
    """A line without a fee."""
    free = {"Fee Debit or Credit": "", "Fee Amount": "", "Fee Currency": ""}
    booked = {"Transaction Event Code": code, "Transaction Debit or Credit": direction, "Gross Transaction Amount": amount}
    return line({**free, **booked, **(changes or {})})


REFUNDED = moved(
    "T1107", "DR", "1000",
    {"Transaction ID": "9AB279541U471931P", "Invoice ID": REFUND, "Custom Field": REFUND, "PayPal Reference ID": "2GG279541U471931P",
     "PayPal Reference ID Type": "TXN", "Fee Debit or Credit": "CR", "Fee Amount": "20", "Fee Currency": "USD"},
)  # fmt: skip


def section(*rows: Mapping[str, str], columns: tuple[str, ...] = COLUMNS, footers: str = "") -> str:
    return '"SH",2026/01/30 00:00:00 -0800,2026/01/30 23:59:59 -0800,"ACCOUNT1",""\n' + table(columns, rows) + footers


def file(*sections: str, footers: str = "", number: str = "01") -> bytes:
    return f'"RH",2026/01/31 04:00:00 -0800,"A","ACCOUNT1",009,\n"FH",{number}\n{"".join(sections)}{footers}"FF",1\n'.encode()


def read(*rows: Mapping[str, str], columns: tuple[str, ...] = COLUMNS, footers: str = "") -> list[ReportItem]:
    return list(connector.settlement([file(section(*rows, columns=columns, footers=footers))]))


def one(row: Mapping[str, str]) -> SettlementRow:
    (found,) = rows_of(read(row))
    return found


def refused(row: Mapping[str, str]) -> str:
    (found,) = read(row)
    assert isinstance(found, BadRow)
    return found.reason


def test_a_payment() -> None:
    assert one(PAID) == SettlementRow(
        line=5,
        kind=RowKind.CAPTURE,
        type="T0006",
        identity="2GG279541U471931P/T0006",
        booked_on=date(2026, 1, 30),
        gross=Money(2500, "USD"),
        fee=Money(124, "USD"),
        net=Money(2376, "USD"),
        psp_operation=("2GG279541U471931P",),
        psp_payment=("5O190127TN364715T",),
        our_references=(CAPTURE, ATTEMPT),
        booked_at=datetime(2026, 1, 31, 7, 30, tzinfo=UTC),
    )


def test_a_refund_gives_back_a_capture_and_part_of_the_fee() -> None:
    found = one(REFUNDED)
    assert (found.kind, found.gross, found.fee, found.net) == (RowKind.REFUND, Money(-1000, "USD"), Money(-20, "USD"), Money(-980, "USD"))
    assert (found.psp_operation, found.psp_payment, found.our_references) == (("9AB279541U471931P",), ("2GG279541U471931P",), (REFUND,))


def test_a_subscription_is_no_payment() -> None:
    assert one(line({"PayPal Reference ID Type": "SUB"})).psp_payment == ()


@pytest.mark.parametrize(
    ("code", "direction", "kind"),
    [
        ("T0000", "CR", RowKind.CAPTURE),
        ("T0003", "CR", RowKind.CAPTURE),
        ("T0005", "CR", RowKind.CAPTURE),
        ("T0006", "DR", RowKind.ADJUSTMENT),  # what the merchant pays himself
        ("T0001", "DR", RowKind.ADJUSTMENT),
        ("T1107", "DR", RowKind.REFUND),
        ("T1107", "CR", RowKind.REFUND_REVERSED),
        ("T1106", "DR", RowKind.CAPTURE_REVERSED),
        ("T1106", "CR", RowKind.CHARGEBACK_REVERSED),
        ("T1201", "DR", RowKind.CHARGEBACK),
        ("T1202", "CR", RowKind.CHARGEBACK_REVERSED),
        ("T1205", "CR", RowKind.CHARGEBACK_REVERSED),
        ("T1207", "DR", RowKind.CHARGEBACK),
        ("T0106", "DR", RowKind.FEE),
        ("T0114", "DR", RowKind.FEE),
        ("T1108", "CR", RowKind.FEE),
        ("T1109", "CR", RowKind.FEE),
        ("T0200", "DR", RowKind.CONVERSION),
        ("T0201", "CR", RowKind.CONVERSION),
        ("T0400", "DR", RowKind.PAYOUT),
        ("T0401", "DR", RowKind.PAYOUT),
        ("T1101", "CR", RowKind.PAYOUT),
        ("T1110", "DR", RowKind.ADJUSTMENT),
        ("T2103", "DR", RowKind.ADJUSTMENT),
        ("T1900", "CR", RowKind.ADJUSTMENT),
        ("T8888", "CR", RowKind.ADJUSTMENT),
    ],
)
def test_every_event_code(code: str, direction: str, kind: RowKind) -> None:
    found = one(moved(code, direction, "700"))
    assert (found.kind, found.type, found.gross) == (kind, code, Money(700 if direction == "CR" else -700, "USD"))
    assert found.payout == (PAID["Transaction ID"] if kind is RowKind.PAYOUT else None)


@pytest.mark.parametrize(
    ("amount", "currency", "minor"),
    [("10000", "JPY", 100), ("500", "ISK", 5), ("512", "KWD", 5120), ("1045", "HUF", 1045), ("80000", "TWD", 80000), ("2500", "EUR", 2500)],
)
def test_a_hundred_for_each_major_unit_of_every_currency(amount: str, currency: str, minor: int) -> None:
    assert one(moved("T0006", "CR", amount, {"Gross Transaction Currency": currency})).gross == Money(minor, currency)


@pytest.mark.parametrize(
    "fee", [{}, {"Fee Amount": "0", "Fee Currency": "", "Fee Debit or Credit": ""}, {"Fee Amount": "0", "Fee Currency": "EUR"}]
)
def test_no_fee(fee: Mapping[str, str]) -> None:
    assert one(moved("T0006", "CR", "100", fee)).fee == Money(0, "USD")


def test_the_day_is_the_one_that_is_written() -> None:
    found = one(line({"Transaction Completion Date": "2026/07/01 23:00:00 -0700"}))
    assert (found.booked_on, found.booked_at) == (date(2026, 7, 1), datetime(2026, 7, 2, 6, tzinfo=UTC))
    assert one(line({"Transaction Completion Date": ""})).booked_at == datetime(2026, 1, 31, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Transaction ID": ""}, "Transaction ID: it is empty"),
        ({"Transaction Event Code": ""}, "Transaction Event Code: it is empty"),
        ({"Transaction Debit or Credit": "XX"}, "Transaction Debit or Credit: it is neither CR nor DR"),
        ({"Gross Transaction Amount": "12,x4"}, "Gross Transaction Amount: it is not a whole number"),
        ({"Gross Transaction Amount": "25.00"}, "Gross Transaction Amount: it is not a whole number"),
        ({"Gross Transaction Amount": "-2500"}, "Gross Transaction Amount: it is not a whole number"),
        ({"Gross Transaction Amount": "1" * 18}, "Gross Transaction Amount: it is larger"),
        ({"Gross Transaction Amount": "\u0663"}, "Gross Transaction Amount: it is not a whole number"),
        (
            {"Gross Transaction Currency": "JPY", "Gross Transaction Amount": "150"},
            "Gross Transaction Amount: it is no whole number of minor",
        ),
        ({"Gross Transaction Currency": ""}, "Gross Transaction Currency: it is empty"),
        ({"Fee Currency": "EUR"}, "Fee Currency: it is another than that of the amount"),
        ({"Fee Debit or Credit": ""}, "Fee Debit or Credit: it is empty"),
        ({"Fee Amount": "1.24"}, "Fee Amount: it is not a whole number"),
        ({"Transaction Completion Date": "2026/01/30 23:30:00"}, "Transaction Completion Date: it has no offset from UTC"),
        ({"Transaction Completion Date": "2026/01/30 23:30:00 PST"}, "Transaction Completion Date: it has no offset from UTC"),
        ({"Transaction Completion Date": "30.1.2026"}, "Transaction Completion Date: it is not a date and time"),
    ],
)
def test_what_is_wrong_with_a_line(changes: Mapping[str, str], reason: str) -> None:
    assert refused(line(changes)).startswith(reason)


def test_a_bad_line_shows_nothing_of_the_shopper() -> None:
    (found,) = read(line({"Gross Transaction Amount": "x", "Invoice ID": "Jane Doe", "Custom Field": "jane@example.com"}))
    assert isinstance(found, BadRow)
    assert "Transaction ID=2GG279541U471931P" in found.raw
    assert not [secret for secret in ("Jane", "JANE", "example") if secret in found.raw]


def test_columns_are_found_by_their_names() -> None:
    shuffled = ("CH", *reversed(COLUMNS[1:]), "Tomorrow")
    assert rows_of(read(PAID, REFUNDED, columns=shuffled)) == rows_of(read(PAID, REFUNDED))
    older = tuple(name.replace("Transaction Debit", "Transaction  Debit") for name in COLUMNS)
    text = section(PAID).replace("Transaction Debit", "Transaction  Debit")
    assert older != COLUMNS
    assert rows_of(connector.settlement([file(text)])) == rows_of(read(PAID))


# --- sections and totals ----------------------------------------------------------------------------------------------------------------

FOOTER = '"SF","USD",2500,1000,20,124,"CR",0,"CR",1396,"CR",0,"CR",1396,"CR",0,"CR",0,2\n'
TOTALS = ["gross credits", "gross debits", "fee credits", "fee debits"]


def test_a_section_that_adds_up() -> None:
    ties = ties_of(read(PAID, REFUNDED, footers=FOOTER + '"SC",2\n'))
    assert [tie.what for tie in ties] == [*(f"{what} of section 1 in USD" for what in TOTALS), "lines of section 1"]
    assert [tie.declared.minor for tie in ties if tie.declared is not None] == [2500, 1000, 20, 124]
    assert (ties[-1].declared_rows, ties[-1].computed_rows) == (2, 2)
    assert all(tie.holds for tie in ties)


def test_a_section_that_does_not() -> None:
    ties = ties_of(read(PAID, footers=FOOTER + '"SC",2\n'))
    assert [tie.what for tie in ties if not tie.holds] == [
        "gross debits of section 1 in USD",
        "fee credits of section 1 in USD",
        "lines of section 1",
    ]


def test_sections_have_their_own_columns_and_totals_and_the_report_all() -> None:
    yen = moved("T0006", "CR", "50000", {"Gross Transaction Currency": "JPY", "Transaction ID": "JP1"})
    short = ("CH", "Transaction Event Code", *(name for name in COLUMNS[1:] if name != "Transaction Event Code"))
    first = section(PAID, footers='"SF","USD",2500,0,0,124\n"SC",1\n')
    second = section(yen, REFUNDED, columns=short, footers='"SF","JPY",50000,0,0,0\n"SF","USD",0,1000,20,0\n"SC",2\n')
    whole = file(first, second, footers='"RF","USD",2500,1000,20,124\n"RF","JPY",50000,0,0,0\n"RC",3\n')
    items = list(connector.settlement([whole]))
    assert [row.gross for row in rows_of(items)] == [Money(2500, "USD"), Money(500, "JPY"), Money(-1000, "USD")]
    ties = ties_of(items)
    assert all(tie.holds for tie in ties)
    assert len(ties) == 4 * 5 + 3
    assert ties[-1].what == "lines of the report"


def test_of_a_report_in_several_files_only_the_sections_can_be_compared() -> None:
    last = file(section(PAID, footers='"SC",1\n'), footers='"RF","USD",99,99,99,99\n"RC",99\n', number="02")
    assert [(tie.what, tie.holds) for tie in ties_of(connector.settlement([last]))] == [("lines of section 1", True)]


def test_totals_with_a_line_that_cannot_be_read_are_not_compared_but_lines_are_counted() -> None:
    bad = line({"Gross Transaction Amount": "12,x4"})
    items = read(bad, REFUNDED, footers=FOOTER + '"SC",2\n')
    assert [(tie.what, tie.holds) for tie in ties_of(items)] == [("lines of section 1", True)]
    assert len(bad_of(items)) == 1


@pytest.mark.parametrize("footer", ['"SF","USD",1,2\n', '"SF","XXX",1,2,3,4\n', '"SF","USD",1,x,3,4\n', '"SC",x\n', '"SC"\n', '"ZZ",1\n'])
def test_a_footer_that_cannot_be_read_is_a_bad_line(footer: str) -> None:
    items = read(PAID, footers=footer)
    assert [bad.line for bad in bad_of(items)] == [6]
    assert "USD" not in bad_of(items)[0].raw


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 500), st.sampled_from(["T0006", "T1107", "T0106"])), max_size=12), st.data()
)
def test_sum_of_parts_in_any_order(lines: list[tuple[int, int, str]], data: st.DataObject) -> None:
    rows, credits, debits, fees = [], 0, 0, 0
    for number, (gross, fee, code) in enumerate(lines):
        paid = code == "T0006"
        credits, debits, fees = credits + paid * gross, debits + (not paid) * gross, fees + fee
        took = {"Fee Debit or Credit": "DR", "Fee Amount": str(fee), "Fee Currency": "USD", "Transaction ID": f"TX{number}"}
        rows.append(moved(code, "CR" if paid else "DR", str(gross), took))
    items = read(*data.draw(st.permutations(rows)), footers=f'"SF","USD",{credits},{debits},0,{fees}\n"SC",{len(rows)}\n')
    assert len(ties_of(items)) == 5
    assert all(tie.holds for tie in ties_of(items))
    assert sum(row.net.minor for row in rows_of(items)) == credits - debits - fees


# --- files that are no report, or not whole ---------------------------------------------------------------------------------------------

WHOLE = file(section(PAID, REFUNDED, footers=FOOTER + '"SC",2\n'), footers=FOOTER.replace("SF", "RF") + '"RC",2\n')


def test_a_day_without_a_line_is_a_report() -> None:
    assert list(connector.settlement([file()])) == []
    items = list(connector.settlement([file(section(footers='"SC",0\n'), footers='"RC",0\n')]))
    assert [tie.holds for tie in ties_of(items)] == [True, True]
    assert not bad_of(items)


@pytest.mark.parametrize("name", ["Transaction ID", "Gross Transaction Amount", "Transaction Event Code"])
def test_a_report_without_a_column_is_none(name: str) -> None:
    with pytest.raises(NotAReport, match=name):
        read(PAID, columns=tuple(one for one in COLUMNS if one != name))


def test_lines_without_columns_are_no_report() -> None:
    with pytest.raises(NotAReport, match="before the names"):
        list(connector.settlement([b'"RH",1\n"SB",1,2,3\n']))


def test_a_later_section_without_a_column_is_bad_by_itself() -> None:
    broken = section(REFUNDED, columns=tuple(one for one in COLUMNS if one != "Transaction ID"))
    items = list(connector.settlement([file(section(PAID), broken, section(PAID))]))
    assert [bad.line for bad in bad_of(items)] == [7, 8]
    assert len([item for item in items if isinstance(item, SettlementRow)]) == 2


def test_a_file_that_breaks_off_between_lines() -> None:
    (bad,) = bad_of(connector.settlement([WHOLE[: WHOLE.index(b'"SF"')]]))
    assert (bad.line, bad.reason) == (7, "the file: it ends before its last record (FF)")


def test_a_file_that_breaks_off_in_a_line() -> None:
    (bad,) = bad_of(connector.settlement([WHOLE[: WHOLE.index(b'"SF"') - 30]]))
    assert bad.line == 6
    (bad,) = bad_of(connector.settlement([WHOLE[: WHOLE.index(b'"SC"') + 6]]))
    assert "may be cut off" in bad.reason


def test_the_last_record_may_lack_its_line_break() -> None:
    assert list(connector.settlement([WHOLE.rstrip(b"\n")])) == list(connector.settlement([WHOLE]))


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
