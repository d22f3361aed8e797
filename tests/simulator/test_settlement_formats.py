"""Each PSP's settlement report in its own words: columns, ids, references, times, layouts and totals, down to the characters."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from connectors.contract import HttpRequest
from tests.simulator.settling import TODAY, Psp

TOMORROW = "2026-03-03"


@pytest.fixture
def stripe() -> Iterator[Psp]:
    yield from made("stripe")


@pytest.fixture
def adyen() -> Iterator[Psp]:
    yield from made("adyen")


@pytest.fixture
def paypal() -> Iterator[Psp]:
    yield from made("paypal")


def made(name: str) -> Iterator[Psp]:
    psp = Psp(name=name)
    yield psp
    psp.ledger.close()


def raw(psp: Psp, day: str = TODAY, *, over: bool = True) -> list[dict[str, str]]:
    return [row.raw for row in psp.rows(day, over=over)]


def told(line: dict[str, str], *names: str) -> list[str]:
    return [line[name] for name in names]


# --- Stripe -------------------------------------------------------------------------------------------------------------------------------

OURS = ("payment_metadata[payorch_attempt]", "payment_metadata[payorch_operation]", "refund_metadata[payorch_operation]")


def get(psp: Psp, path: str) -> dict[str, Any]:
    request = HttpRequest(method="GET", path=path, headers=(("authorization", "Bearer sk_test_1"),), body=b"")
    shown: dict[str, Any] = json.loads(psp.dialect.handle(psp.ledger, request, psp.now).response.body)
    return shown


def test_stripe_names_what_the_api_names(stripe: Psp) -> None:
    paid = stripe.pay(2000)
    charge = get(stripe, f"/v1/payment_intents/{paid}?expand[0]=latest_charge")["latest_charge"]
    refund = stripe.post("/v1/refunds", {"payment_intent": paid, "amount": 500, "metadata[payorch_operation]": "ref_1"})
    stripe.later(hours=1)
    stripe.done(paid, "dispute", 700)
    dispute = get(stripe, "/v1/disputes")["data"][0]
    first, second, third, payout = raw(stripe)
    names = ("balance_transaction_id", "source_id", "charge_id", "payment_intent_id", "reporting_category")
    assert told(first, *names) == [charge["balance_transaction"], charge["id"], charge["id"], paid, "charge"]
    assert told(second, *names) == [refund["balance_transaction"], refund["id"], charge["id"], paid, "refund"]
    assert told(third, *names) == [dispute["balance_transactions"][0]["id"], dispute["id"], charge["id"], paid, "dispute"]
    assert (third["dispute_reason"], third["created"], third["charge_created"]) == (
        "fraudulent", "2026-03-02 13:00:00", "2026-03-02 12:00:00",
    )  # fmt: skip
    [attempt] = {line["payment_metadata[payorch_attempt]"] for line in (first, second, third)}
    assert (attempt[:4], *(told(line, *OURS[1:]) for line in (first, second))) == ("att_", ["", ""], ["", "ref_1"])
    assert told(first, "card_brand", "payment_method_type", "currency", "gross", "fee", "net") == [
        "visa", "card", "eur", "20.00", "0.55", "19.45",
    ]  # fmt: skip
    assert told(third, "gross", "fee", "net") == ["-7.00", "20.00", "-27.00"]
    assert payout["reporting_category"] == "other_adjustment"  # the day's 20.00 do not make up for the dispute and its fee
    assert {line["automatic_payout_id"] for line in (first, second, third, payout)} == {""}


def test_stripe_says_which_payout_each_line_is_of(stripe: Psp) -> None:
    stripe.pay(2000)
    stripe.pay(2000, "USD")
    euro, dollar, *payouts = raw(stripe)
    for line, payout in ((euro, payouts[0]), (dollar, payouts[1])):
        assert line["automatic_payout_id"] == payout["automatic_payout_id"] == payout["source_id"] != ""
        assert Decimal(line["net"]) == -Decimal(payout["net"])
    assert euro["automatic_payout_id"] != dollar["automatic_payout_id"]
    assert euro["automatic_payout_effective_at_utc"] == "2026-03-03 00:00:00"


def test_stripe_shows_both_currencies_where_it_exchanges(stripe: Psp) -> None:
    stripe.pay(5000, "ISK")
    line = raw(stripe)[0]
    names = ("currency", "gross", "fee", "net", "customer_facing_amount", "customer_facing_currency")
    # 5000 kr at 0.0068; the fee is 35 kr and 1.5 %.
    assert told(line, *names) == ["eur", "34.00", "0.75", "33.25", "5000", "isk"]


def test_stripe_tells_several_captures_of_one_charge_apart(stripe: Psp) -> None:
    held = stripe.pay(2000, capture=False)
    for amount, name in ((500, "cap_1"), (700, "cap_2")):
        asked = {"amount_to_capture": amount, "final_capture": "false", "metadata[payorch_operation]": name}
        stripe.post(f"/v1/payment_intents/{held}/capture", asked)
    first, second, _ = raw(stripe)
    assert [line["payment_metadata[payorch_operation]"] for line in (first, second)] == ["cap_1", "cap_2"]
    assert first["charge_id"] == second["charge_id"]
    assert first["balance_transaction_id"] != second["balance_transaction_id"]


def test_stripe_books_twice_under_an_id_of_its_own_and_breaks_an_amount(stripe: Psp) -> None:
    stripe.pay(1240)
    stripe.broken("settlement_doubled", count=1)
    first, second = raw(stripe, over=False)
    assert first.pop("balance_transaction_id") != second.pop("balance_transaction_id")
    assert first == second
    stripe.broken("settlement_bad_row", count=1)
    stripe.pay(1240)
    *_, broken, _ = raw(stripe)
    assert told(broken, "gross", "net") == ["12.4,x0", "11.96"]


# --- Adyen --------------------------------------------------------------------------------------------------------------------------------


def test_adyen_names_payment_and_modification_with_our_references(adyen: Psp) -> None:
    held = adyen.pay(2000, capture=False)
    asked = {"merchantAccount": "TestECOM", "amount": {"currency": "EUR", "value": 1500}}
    captured = adyen.post(f"/v71/payments/{held}/captures", asked | {"reference": "cap_1"})["pspReference"]
    refunded = adyen.post(f"/v71/payments/{held}/refunds", asked | {"reference": "ref_1"})["pspReference"]
    first, second, fee_is_owed = raw(adyen)
    names = ("Company Account", "Merchant Account", "Psp Reference", "Merchant Reference", "Modification Reference")
    ours = ("Type", "Modification Merchant Reference")
    attempt = first["Merchant Reference"]
    assert attempt.startswith("att_")
    assert told(first, *names, *ours) == ["Payorch", "TestECOM", held, attempt, captured, "Settled", "cap_1"]
    assert told(second, *names, *ours) == ["Payorch", "TestECOM", held, attempt, refunded, "Refunded", "ref_1"]
    sums = ("Gross Debit (GC)", "Gross Credit (GC)", "Exchange Rate", "Net Debit (NC)", "Net Credit (NC)")
    assert told(first, *sums) == ["", "15.00", "1", "", "14.71"]
    assert told(second, *sums) == ["15.00", "", "1", "15.00", ""]
    assert told(fee_is_owed, "Type", "Modification Reference", "Net Credit (NC)") == ["Balancetransfer", "to batch 1887", "0.29"]


def test_adyen_tells_fees_in_parts_for_one_brand_and_as_one_for_others(adyen: Psp) -> None:
    adyen.pay(10000)
    adyen.pay(10000, token="tok_mastercard")
    visa, other, payout = raw(adyen)
    parts = ("Payment Method", "Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)", "Net Credit (NC)")
    assert told(visa, *parts) == ["visa", "", "0.32", "0.19", "0.80", "98.69"]
    assert told(other, *parts) == ["mc", "1.31", "", "", "", "98.69"]
    assert told(payout, "Type", "Net Debit (NC)", "Batch Number") == ["MerchantPayout", "197.38", "1886"]
    assert payout["Modification Reference"].startswith("TX")
    assert payout["Modification Reference"].endswith("XT batch 1886, 20260302")


@pytest.mark.parametrize(
    ("at", "day", "stamp", "zone"),
    [
        (datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC), "2026-03-29", "2026-03-29 01:59:59", "CET"),
        (datetime(2026, 3, 29, 1, 0, 0, tzinfo=UTC), "2026-03-29", "2026-03-29 03:00:00", "CEST"),
        (datetime(2026, 10, 25, 0, 30, 0, tzinfo=UTC), "2026-10-25", "2026-10-25 02:30:00", "CEST"),
        (datetime(2026, 10, 25, 1, 30, 0, tzinfo=UTC), "2026-10-25", "2026-10-25 02:30:00", "CET"),
    ],
)
def test_adyen_writes_local_times_with_the_zones_abbreviation(adyen: Psp, at: datetime, day: str, stamp: str, zone: str) -> None:
    adyen.now = at
    adyen.pay()
    names = ("Creation Date", "TimeZone", "Booking Date", "Booking Date TimeZone")
    assert told(raw(adyen, day)[0], *names) == [stamp, zone, stamp, zone]


def test_adyen_exchanges_at_the_rate_it_names(adyen: Psp) -> None:
    adyen.pay(10500, "KWD")
    names = ("Gross Currency", "Gross Credit (GC)", "Exchange Rate", "Net Currency", "Net Credit (NC)")
    # 10.500 dinar at 3.2511 are 34.14 dollars; the fee is 36 fils and 1.2 %, 0.53 dollars.
    assert told(raw(adyen)[0], *names) == ["KWD", "10.500", "3.2511", "USD", "33.61"]


def test_adyen_books_a_chargebacks_fee_by_itself(adyen: Psp) -> None:
    adyen.pay(3000)
    paid = adyen.pay(2000)
    adyen.done(paid, "dispute")
    *_, chargeback, fee, _ = raw(adyen)
    assert told(chargeback, "Type", "Gross Debit (GC)", "Net Debit (NC)", "Commission (NC)") == ["Chargeback", "20.00", "20.00", ""]
    assert told(fee, "Type", "Gross Currency", "Gross Debit (GC)", "Net Currency", "Net Debit (NC)") == ["Fee", "", "", "EUR", "7.50"]
    assert chargeback["Modification Reference"] == fee["Modification Reference"]


def test_adyen_tells_when_what_it_books_late_had_happened(adyen: Psp) -> None:
    adyen.pay(1000)
    adyen.broken("settlement_shifted", count=1)
    assert raw(adyen) == []
    line = raw(adyen, TOMORROW, over=False)[0]
    assert told(line, "Creation Date", "Booking Date", "Batch Number") == ["2026-03-02 13:00:00", "2026-03-03 00:00:00", "1887"]
    adyen.pay(1000)
    adyen.broken("settlement_doubled", count=1)
    *_, first, second, _ = raw(adyen, TOMORROW)
    assert first == second


# --- PayPal -------------------------------------------------------------------------------------------------------------------------------


def lines(psp: Psp, day: str = TODAY) -> list[list[str]]:
    return list(csv.reader(psp.report(day).splitlines()))


def test_paypal_writes_its_sections_around_the_lines(paypal: Psp) -> None:
    paypal.pay(2000)
    found = lines(paypal)
    assert [line[0] for line in found] == ["RH", "FH", "SH", "CH", "SB", "SB", "SF", "SC", "RF", "RC", "FF"]
    text = paypal.report().splitlines()
    assert text[:3] == [
        '"RH",2026/03/03 05:00:00 -0800,"A","2J6QB8YJQSJRJ",009,',
        '"FH",01',
        '"SH",2026/03/02 00:00:00 -0800,2026/03/02 23:59:59 -0800,"2J6QB8YJQSJRJ",""',
    ]
    assert text[-5:] == [
        '"SF","EUR",2000,1909,0,91,"CR",0,"CR",0,"CR",0,"CR",0,"CR",0,"CR",0,2',
        '"SC",2',
        '"RF","EUR",2000,1909,0,91,"CR",0,"CR",0,"CR",0,"CR",0,"CR",0,"CR",0,2',
        '"RC",2',
        '"FF",2',
    ]
    assert ',"CR",2000,"EUR","DR",91,"EUR",' in text[4]


def test_paypals_footers_are_the_sums_of_the_lines_and_carry_the_balance(paypal: Psp) -> None:
    for currency in ("EUR", "USD", "JPY", "SEK"):
        paypal.pay(7000, currency)
    paid = paypal.pay(4000)
    paypal.done(paid, "refund", 1000)
    paypal.later(days=1)
    paypal.done(paid, "dispute", 3000)
    paypal.later(days=1)
    paypal.pay(1000)
    paypal.later(days=1)
    ending: dict[str, str] = {}
    for day in (TODAY, TOMORROW, "2026-03-04"):
        found = lines(paypal, day)
        names = next(line for line in found if line[0] == "CH")
        rows = [dict(zip(names, line, strict=True)) for line in found if line[0] == "SB"]
        for kind in ("SF", "RF"):
            for footer in (line for line in found if line[0] == kind):
                own = [row for row in rows if row["Gross Transaction Currency"] == footer[1]]
                sums = [
                    sum(int(row[amount] or 0) for row in own if row[side] == direction)
                    for side, amount in (("Transaction Debit or Credit", "Gross Transaction Amount"), ("Fee Debit or Credit", "Fee Amount"))
                    for direction in ("CR", "DR")
                ]
                assert [int(one) for one in footer[2:6]] == sums
                begins, ends = (int(footer[at + 1]) * (1 if footer[at] == "CR" else -1) for at in (6, 8))
                assert ends == begins + sums[0] - sums[1] + sums[2] - sums[3]
                assert (str(begins), footer[10:18]) == (ending.get(footer[1], "0"), footer[6:10] * 2)
                if kind == "RF":
                    ending[footer[1]] = str(ends)
        assert [line[1] for line in found if line[0] in ("SC", "RC", "FF")] == [str(len(rows))] * 3
    assert int(ending["EUR"]) < 0  # a chargeback of 30.00 and its fee, less the 10.00 of the next day


def test_paypal_writes_the_yen_in_hundredths_too(paypal: Psp) -> None:
    paypal.pay(500, "JPY")
    row = raw(paypal)[0]
    assert told(row, "Gross Transaction Amount", "Gross Transaction Currency", "Fee Amount") == ["50000", "JPY", "5300"]


def test_paypal_refers_to_what_went_before_and_brings_our_references_back(paypal: Psp) -> None:
    held = paypal.pay(2000, capture=False)
    authorization = paypal.ledger.entries()[0].operation
    amount = {"currency_code": "EUR", "value": "15.00"}
    asked = {"amount": amount, "invoice_id": "cap_1", "final_capture": True}
    capture = paypal.post(f"/v2/payments/authorizations/{authorization}/capture", asked)["id"]
    given = {"amount": {"currency_code": "EUR", "value": "5.00"}, "custom_id": "ref_1", "invoice_id": "ref_1"}
    refund = paypal.post(f"/v2/payments/captures/{capture}/refund", given)["id"]
    paypal.later(seconds=1)
    paypal.done(held, "dispute", 700)
    paypal.later(seconds=1)
    automatic = paypal.pay(9000)
    names = ("Transaction Event Code", "Transaction ID", "PayPal Reference ID", "PayPal Reference ID Type", "Invoice ID", "Custom Field")
    first, second, third, fee, last, _ = raw(paypal)
    attempt = first["Custom Field"]
    assert attempt.startswith("att_")
    assert told(first, *names) == ["T0006", capture, authorization, "TXN", "cap_1", attempt]
    assert told(second, *names) == ["T1107", refund, capture, "TXN", "ref_1", "ref_1"]
    assert told(third, *names[:1], *names[2:]) == ["T1201", capture, "TXN", "cap_1", attempt]
    assert told(fee, *names[:1], *names[2:]) == ["T0106", third["Transaction ID"], "TXN", "", attempt]
    assert told(last, "PayPal Reference ID", "PayPal Reference ID Type") == [automatic, "ODR"]
    assert len({row["Transaction ID"] for row in (first, second, third, fee, last)}) == 5


@pytest.mark.parametrize(
    ("at", "day", "stamp"),
    [
        (datetime(2026, 3, 8, 9, 59, 59, tzinfo=UTC), "2026-03-08", "2026/03/08 01:59:59 -0800"),
        (datetime(2026, 3, 8, 10, 0, 0, tzinfo=UTC), "2026-03-08", "2026/03/08 03:00:00 -0700"),
        (datetime(2026, 11, 1, 8, 30, 0, tzinfo=UTC), "2026-11-01", "2026/11/01 01:30:00 -0700"),
        (datetime(2026, 11, 1, 9, 30, 0, tzinfo=UTC), "2026-11-01", "2026/11/01 01:30:00 -0800"),
    ],
)
def test_paypal_writes_its_own_time_with_the_offset(paypal: Psp, at: datetime, day: str, stamp: str) -> None:
    paypal.now = at
    paypal.pay()
    assert told(raw(paypal, day)[0], "Transaction Initiation Date", "Transaction Completion Date") == [stamp, stamp]


def test_paypal_doubles_a_line_to_the_letter_moves_one_and_breaks_one(paypal: Psp) -> None:
    paypal.pay(1000)
    paypal.broken("settlement_doubled", count=1)
    first, second = raw(paypal, over=False)
    assert first == second
    paypal.pay(2000)
    paypal.broken("settlement_bad_row", count=1)
    *_, broken = raw(paypal, over=False)
    assert broken["Gross Transaction Amount"] == "200,x0"
    paypal.broken("settlement_shifted", count=1)
    paypal.pay(3000)
    paypal.report()
    moved = raw(paypal, TOMORROW)[0]
    names = ("Transaction Initiation Date", "Transaction Completion Date", "Gross Transaction Amount")
    assert told(moved, *names) == ["2026/03/02 04:00:00 -0800", "2026/03/03 00:00:00 -0800", "3000"]


def test_paypal_takes_more_of_the_wallet_than_of_a_card(paypal: Psp) -> None:
    paypal.pay(10000)
    unit = {"amount": {"currency_code": "EUR", "value": "100.00"}, "custom_id": "att_w"}
    urls = {"return_url": "https://s.test/b", "cancel_url": "https://s.test/c"}
    body = {"intent": "CAPTURE", "purchase_units": [unit], "payment_source": {"paypal": {"experience_context": urls}}}
    order = paypal.post("/v2/checkout/orders", body)["id"]
    pressed = HttpRequest(method="POST", path=f"/checkoutnow?token={order}", headers=(), body=b"outcome=approve")
    paypal.dialect.handle(paypal.ledger, pressed, paypal.now)
    paypal.post(f"/v2/checkout/orders/{order}/capture", {})
    card, wallet, _ = raw(paypal)
    assert [line["Fee Amount"] for line in (card, wallet)] == ["298", "338"]
