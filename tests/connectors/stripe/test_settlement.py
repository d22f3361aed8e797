"""Stripe's payout reconciliation report: every category, exact amounts in every kind of currency, and what is wrong with a bad line."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.stripe import connector
from payorch.domain.identifiers import of_name
from payorch.domain.money import Money
from payorch.domain.settlement import BadRow, NotAReport, ReportItem, RowKind, SettlementRow
from tests.connectors.report_cases import bad_of, outcome, pieces, rows_of, table, ties_of

ATTEMPT, CAPTURE, REFUND = of_name("att", "1"), of_name("cap", "1"), of_name("ref", "1")
PAID_BY = "payment_metadata[payorch_attempt]"
CAPTURED_BY = "payment_metadata[payorch_operation]"
REFUNDED_BY = "refund_metadata[payorch_operation]"

COLUMNS = (
    "automatic_payout_id", "automatic_payout_effective_at", "balance_transaction_id", "created_utc", "created", "available_on", "currency",
    "gross", "fee", "net", "reporting_category", "source_id", "description", "customer_facing_amount", "customer_facing_currency",
    "customer_id", "customer_email", "customer_name", "charge_id", "payment_intent_id", "payment_method_type", "card_brand", PAID_BY,
    "payment_metadata[payorch_payment]", CAPTURED_BY, REFUNDED_BY, "trace_id",
)  # fmt: skip

CHARGE = {
    "automatic_payout_id": "po_1", "balance_transaction_id": "txn_1", "created_utc": "2026-01-30 23:30:00",
    "created": "2026-01-31 00:30:00", "currency": "eur", "gross": "25.00", "fee": "0.63", "net": "24.37", "reporting_category": "charge",
    "source_id": "ch_1", "charge_id": "ch_1", "payment_intent_id": "pi_1", "customer_email": "jane@example.com",
    "customer_name": "Jane Doe", "description": "For Jane\nand \"others\", cheers", PAID_BY: ATTEMPT,
}  # fmt: skip


def line(**changes: str) -> Mapping[str, str]:
    return CHARGE | changes


def amounts(gross: str, fee: str = "0", **changes: str) -> Mapping[str, str]:
    """A line that adds up."""
    return line(gross=gross, fee=fee, net=f"{Decimal(gross) - Decimal(fee):f}", **changes)


REFUNDED = amounts(
    "-10.00", balance_transaction_id="txn_2", reporting_category="refund", source_id="re_1", **{REFUNDED_BY: REFUND, CAPTURED_BY: CAPTURE}
)
DISPUTED = amounts("-25.00", "15.00", balance_transaction_id="txn_3", reporting_category="dispute", source_id="du_1")
PAID_OUT = amounts(
    "-24.37", balance_transaction_id="txn_4", reporting_category="payout", source_id="po_1", charge_id="", payment_intent_id=""
)


def read(*rows: Mapping[str, str], columns: tuple[str, ...] = COLUMNS) -> list[ReportItem]:
    return list(connector.settlement([table(columns, rows).encode()]))


def one(row: Mapping[str, str]) -> SettlementRow:
    (found,) = rows_of(read(row))
    return found


def refused(row: Mapping[str, str]) -> str:
    (found,) = read(row)
    assert isinstance(found, BadRow)
    return found.reason


def test_a_charge() -> None:
    assert one(line()) == SettlementRow(
        line=2,
        kind=RowKind.CAPTURE,
        type="charge",
        identity="txn_1",
        booked_on=date(2026, 1, 31),
        gross=Money(2500, "EUR"),
        fee=Money(63, "EUR"),
        net=Money(2437, "EUR"),
        psp_operation=("ch_1",),
        psp_payment=("pi_1",),
        our_references=(ATTEMPT,),
        payout="po_1",
        booked_at=datetime(2026, 1, 30, 23, 30, tzinfo=UTC),
    )


def test_a_charge_that_takes_money_out_is_for_matching_to_wonder_at() -> None:
    found = one(line(gross="-25.00", net="-25.63"))
    assert (found.kind, found.gross) == (RowKind.CAPTURE, Money(-2500, "EUR"))


def test_a_refund_is_told_by_its_own_ids() -> None:
    found = one(REFUNDED)
    assert (found.kind, found.gross, found.fee) == (RowKind.REFUND, Money(-1000, "EUR"), Money(0, "EUR"))
    assert (found.psp_operation, found.psp_payment) == (("re_1",), ("pi_1", "ch_1"))
    assert found.our_references == (REFUND, ATTEMPT), "not the capture that the payment's metadata name"


def test_a_capture_is_told_by_our_operation_first() -> None:
    assert one(line(**{CAPTURED_BY: CAPTURE})).our_references == (CAPTURE, ATTEMPT)


def test_a_dispute_costs_its_fee_as_well() -> None:
    found = one(DISPUTED)
    assert (found.kind, found.gross.minor, found.fee.minor, found.net.minor) == (RowKind.CHARGEBACK, -2500, 1500, -4000)
    assert found.psp_operation == ("du_1",)


@pytest.mark.parametrize(
    ("category", "gross", "kind"),
    [
        ("charge_failure", "-25.00", RowKind.CAPTURE_REVERSED),
        ("partial_capture_reversal", "-5.00", RowKind.CAPTURE_REVERSED),
        ("refund_failure", "10.00", RowKind.REFUND_REVERSED),
        ("dispute_reversal", "25.00", RowKind.CHARGEBACK_REVERSED),
        ("fee", "-0.50", RowKind.FEE),
        ("network_cost", "-0.50", RowKind.FEE),
        ("tax", "-0.19", RowKind.FEE),
        ("payout", "-100.00", RowKind.PAYOUT),
        ("payout_reversal", "100.00", RowKind.PAYOUT),
        ("risk_reserved_funds", "-3.00", RowKind.ADJUSTMENT),
        ("other_adjustment", "3.00", RowKind.ADJUSTMENT),
        ("something_of_tomorrow", "0.00", RowKind.ADJUSTMENT),
    ],
)
def test_every_category(category: str, gross: str, kind: RowKind) -> None:
    found = one(amounts(gross, reporting_category=category))
    assert (found.kind, found.type, found.gross) == (kind, category, Money(int(Decimal(gross) * 100), "EUR"))


@pytest.mark.parametrize(
    ("text", "currency", "minor"), [("500", "jpy", 500), ("5.120", "KWD", 5120), ("5.00", "isk", 5), ("10.45", "huf", 1045)]
)
def test_currencies_with_other_decimals(text: str, currency: str, minor: int) -> None:
    found = one(line(gross=text, fee="0", net=text, currency=currency))
    assert found.gross == found.net == Money(minor, currency.upper())


def test_another_currency_than_the_balances() -> None:
    """1,000 yen were 6.25 euro: the payment's money, the balance's, and one for the other."""
    found = one(amounts("6.25", "0.35", customer_facing_amount="1000", customer_facing_currency="jpy"))
    assert (found.gross, found.fee, found.net) == (Money(1000, "JPY"), Money(35, "EUR"), Money(590, "EUR"))
    assert found.rate == "0.00625"
    back = one(amounts("-6.25", reporting_category="refund", customer_facing_amount="-1000", customer_facing_currency="jpy"))
    assert (back.gross, back.net, back.rate) == (Money(-1000, "JPY"), Money(-625, "EUR"), "0.00625")


def test_a_rate_that_does_not_end() -> None:
    found = one(amounts("10.00", currency="usd", customer_facing_amount="3.000", customer_facing_currency="kwd"))
    assert (found.gross, found.rate) == (Money(3000, "KWD"), "3.3333333333333333333")


def test_the_same_currency_is_no_exchange() -> None:
    found = one(line(customer_facing_amount="40.00", customer_facing_currency="eur"))
    assert (found.gross, found.rate) == (Money(2500, "EUR"), None)


def test_the_time_zone_of_the_report_says_the_day() -> None:
    assert one(line(created="")).booked_on == date(2026, 1, 30)
    without = tuple(name for name in COLUMNS if name != "created_utc")
    (found,) = rows_of(read(line(), columns=without))
    assert (found.booked_on, found.booked_at) == (date(2026, 1, 31), None)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"gross": "25,00"}, "gross: it is not a decimal number"),
        ({"gross": ""}, "gross: it is empty"),
        ({"fee": "0.635"}, "fee: it is no whole number of minor units of EUR"),
        ({"currency": "isk", "gross": "5.50"}, "gross: it is no whole number of minor units of ISK"),
        ({"net": "24.38"}, "net: the line does not add up: gross less fee is another amount"),
        ({"currency": "eurx"}, "currency: it is not the code of a currency"),
        ({"currency": ""}, "currency: it is empty"),
        ({"reporting_category": ""}, "reporting_category: it is empty"),
        ({"reporting_category": "<script>"}, "reporting_category: it is not a word"),
        ({"balance_transaction_id": ""}, "balance_transaction_id: it is empty"),
        ({"balance_transaction_id": "txn 1"}, "balance_transaction_id: it is not an id"),
        ({"created": "30/01/2026"}, "created: it is not a date and time"),
        ({"created": "2026-02-30 10:00:00"}, "created: it is not a date and time"),
        ({"created_utc": "2026-01-30T10"}, "created_utc: it is not a date and time"),
        ({"customer_facing_currency": "jpy"}, "customer_facing_amount: it is empty"),
        ({"customer_facing_currency": "jpy", "customer_facing_amount": "0"}, "customer_facing_amount: there is no rate"),
    ],
)
def test_what_is_wrong_with_a_line(changes: Mapping[str, str], reason: str) -> None:
    assert refused(line(**changes)).startswith(reason)


def test_a_bad_line_shows_nothing_of_the_shopper() -> None:
    (found,) = read(line(gross="x@y.example", source_id="Jane Doe"))
    assert isinstance(found, BadRow)
    assert "txn_1" in found.raw
    assert "gross=[not shown]" in found.raw
    assert not [secret for secret in ("Jane", "example", "cheers") if secret in found.raw + found.reason]


def test_a_bad_amount_can_be_seen() -> None:
    (found,) = read(line(gross="2,x5", automatic_payout_id="4111111111111111"))
    assert isinstance(found, BadRow)
    assert "gross=2,x5" in found.raw
    assert "4111" not in found.raw


def test_a_line_with_too_few_fields_shows_nothing_at_all() -> None:
    text = table(COLUMNS, [line()]) + "po_1,x,txn_9\n" + table(COLUMNS, [REFUNDED]).split("\n", 1)[1]
    charge, bad, refund = list(connector.settlement([text.encode()]))
    assert isinstance(charge, SettlementRow)
    assert isinstance(refund, SettlementRow)
    assert bad == BadRow(line=4, reason="the line: it has 3 fields where the header has 27", raw="[12 bytes, 3 fields]")


def test_columns_are_found_by_their_names() -> None:
    shuffled = (*reversed(COLUMNS), "a_new_column")
    assert rows_of(read(line(), REFUNDED, columns=shuffled)) == rows_of(read(line(), REFUNDED))
    (bare,) = rows_of(read(line(), columns=("balance_transaction_id", "created", "currency", "gross", "fee", "net", "reporting_category")))
    assert (bare.psp_operation, bare.psp_payment, bare.our_references, bare.payout) == ((), (), (), None)


@pytest.mark.parametrize("name", ["balance_transaction_id", "currency", "gross", "fee", "net", "reporting_category"])
def test_a_report_without_a_column_is_none(name: str) -> None:
    with pytest.raises(NotAReport, match=name):
        read(line(), columns=tuple(one for one in COLUMNS if one != name))


def test_two_columns_of_one_name_are_no_header() -> None:
    with pytest.raises(NotAReport, match="same name"):
        read(line(), columns=(*COLUMNS, "Gross"))


# --- payouts ----------------------------------------------------------------------------------------------------------------------------


def test_a_payout_is_what_its_lines_come_to() -> None:
    assert [(tie.line, tie.what, tie.declared, tie.holds) for tie in ties_of(read(line(), PAID_OUT))] == [
        (4, "payout po_1 in EUR", Money(2437, "EUR"), True)
    ]


def test_a_payout_that_is_not() -> None:
    (tie,) = ties_of(read(line(), REFUNDED, PAID_OUT))
    assert (tie.declared, tie.computed, tie.holds) == (Money(2437, "EUR"), Money(1437, "EUR"), False)


def test_a_payout_without_a_row_of_its_own_says_nothing() -> None:
    assert ties_of(read(line(), REFUNDED)) == []


def test_a_payout_with_a_line_that_cannot_be_read_is_not_added_up() -> None:
    other = {"automatic_payout_id": "po_2", "balance_transaction_id": "txn_9"}
    items = read(line(gross="12,x4"), PAID_OUT, line(**other), dict(PAID_OUT) | other)
    assert [tie.what for tie in ties_of(items)] == ["payout po_2 in EUR"]
    assert len(bad_of(items)) == 1


@given(
    st.lists(st.tuples(st.integers(1, 10**9), st.integers(0, 500), st.sampled_from(["charge", "refund", "fee"])), max_size=12), st.data()
)
def test_sum_of_parts_in_any_order(lines: list[tuple[int, int, str]], data: st.DataObject) -> None:
    rows = []
    for number, (gross, fee, category) in enumerate(lines):
        signed = Decimal(gross if category == "charge" else -gross).scaleb(-2)
        rows.append(
            amounts(f"{signed:f}", f"{Decimal(fee).scaleb(-2):f}", balance_transaction_id=f"txn_a{number}", reporting_category=category)
        )
    total = sum((Decimal(row["net"]) for row in rows), Decimal(0))
    rows.append(amounts(f"{-total:f}", balance_transaction_id="txn_p", reporting_category="payout", source_id="po_1"))
    items = read(*data.draw(st.permutations(rows)))
    (tie,) = ties_of(items)
    assert tie.holds
    assert sum(row.net.minor for row in rows_of(items)) == 0


# --- files that are not whole ----------------------------------------------------------------------------------------------------------

WHOLE = table(COLUMNS, [line(), REFUNDED, DISPUTED, PAID_OUT]).encode()


def test_a_file_that_breaks_off_in_a_line() -> None:
    items = list(connector.settlement([WHOLE[:-40]]))
    assert [bad.line for bad in bad_of(items)] == [8], "the payout, of which every line has two in the file"
    assert ties_of(items) == []


def test_a_last_line_without_an_end_may_be_cut_off_in_a_column_that_counts() -> None:
    short = ("balance_transaction_id", "created", "currency", "fee", "net", "reporting_category", "gross")
    (found,) = connector.settlement([table(short, [line()]).rstrip("\n").encode()])
    assert isinstance(found, BadRow)
    assert "may be cut off" in found.reason
    assert rows_of(connector.settlement([table(COLUMNS, [line()]).rstrip("\n").encode()])) == [one(line())]


def test_windows_line_ends_and_a_mark_of_the_byte_order() -> None:
    assert rows_of(connector.settlement([b"\xef\xbb\xbf" + WHOLE.replace(b"\n", b"\r\n")])) == rows_of(connector.settlement([WHOLE]))


def test_only_a_header_is_a_report_of_nothing() -> None:
    assert read() == []


@given(st.lists(st.integers(0, len(WHOLE)), max_size=6))
def test_how_the_bytes_are_cut_changes_nothing(at: list[int]) -> None:
    assert list(connector.settlement(pieces(WHOLE, at))) == list(connector.settlement([WHOLE]))


@given(st.integers(0, len(WHOLE)), st.sampled_from([b"", b'"', b"\0", b"\xff", b"\n", b",", b"x" * 70_000]), st.integers(0, 30))
@settings(max_examples=300)
def test_whatever_is_broken_is_a_bad_line(at: int, instead: bytes, length: int) -> None:
    found = outcome(connector.settlement, [WHOLE[:at] + instead + WHOLE[at + length :]])
    assert found
    for item in found if isinstance(found, list) else ():
        assert not isinstance(item, BadRow) or len(item.raw) <= 2000
