"""What all simulated PSPs' settlement reports have in common: each movement once, sums, days, fees, exchanges, faults that stay."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from connectors.simulated import SIMULATED
from connectors.simulator import settlement
from connectors.simulator.bookings import Exchange, SimulatedFee, major
from connectors.simulator.faults import REQUEST_FAULTS, SETTLEMENT_FAULTS, FaultKind
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import EXPONENTS, Money
from payorch.domain.rules import Fee, Plan, RuleBook, Weights, When, asked
from tests.simulator.conftest import Server, Start
from tests.simulator.settling import NOON, PSPS, READERS, TODAY, Psp, Row

Make = Callable[..., Psp]
KINDS = {
    "stripe": ("charge", "charge_failure", "refund", "refund_failure", "dispute", "dispute_reversal"),
    "adyen": ("Settled", "SettledReversed", "Refunded", "RefundedReversed", "Chargeback", "ChargebackReversed"),
    "paypal": ("T0006", "T1106", "T1107", "T1107", "T1201", "T1202"),
}
"""capture, its failure, refund, its failure, chargeback, its reversal."""
PAYOUT = {"stripe": "payout", "adyen": "MerchantPayout", "paypal": "T0400"}
SIDE = frozenset({*PAYOUT.values(), "other_adjustment", "Balancetransfer", "Fee", "T0106", "T0200"})
DISPUTE_FEE = {"stripe": "20.00", "adyen": "7.50", "paypal": "16.00"}
TOMORROW = "2026-03-03"


@pytest.fixture(params=PSPS)
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes that PSP; several over one file are the same PSP, restarted."""
    made: list[Psp] = []

    def one(**more: Any) -> Psp:
        made.append(Psp(name=request.param, **more))
        return made[-1]

    yield one
    for psp in made:
        psp.ledger.close()


@pytest.fixture
def psp(make: Make) -> Psp:
    return make()


def of_payments(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row.type not in SIDE]


def moved(rows: list[Row]) -> list[tuple[str, Decimal | None, str]]:
    return [(row.type, row.gross, row.currency) for row in of_payments(rows)]


def payouts(psp: Psp, rows: list[Row]) -> dict[str, Decimal]:
    return {row.settled_in: row.net for row in rows if row.type == PAYOUT[psp.name]}


def tied(psp: Psp, rows: list[Row]) -> None:
    """All that was booked on a day went out with its payout, or there is none and it was nothing or less."""
    sums: dict[str, Decimal] = {}
    for row in rows:
        sums[row.settled_in] = sums.get(row.settled_in, Decimal(0)) + row.net
    for currency, left in sums.items():
        assert left == 0 or (left < 0 and currency not in payouts(psp, rows)), (currency, left)


# --- what was booked ----------------------------------------------------------------------------------------------------------------------


def test_every_kind_of_booking_appears_once_and_the_payout_is_all_of_it(psp: Psp) -> None:
    paid = psp.pay(2000)
    psp.pay(300, token="tok_capture_fails_late")
    back = psp.pay(700, token="tok_refund_fails_late")
    disputed = psp.pay(5000)
    psp.done(paid, "refund", 500)
    psp.done(back, "refund")
    psp.later(minutes=1)
    psp.done(disputed, "dispute")
    psp.later(minutes=1)
    psp.done(disputed, "win_dispute")
    held = psp.pay(900, capture=False)
    psp.pay(900, capture=False)
    psp.done(held, "capture", 400)
    taken, failed, refund, returned, chargeback, reversed_ = KINDS[psp.name]
    rows = psp.rows()
    assert sorted((kind, f"{gross:.2f}") for kind, gross, _ in moved(rows)) == sorted(
        [
            (taken, "20.00"), (taken, "3.00"), (taken, "7.00"), (taken, "50.00"), (taken, "4.00"), (failed, "-3.00"), (refund, "-5.00"),
            (refund, "-7.00"), (returned, "7.00"), (chargeback, "-50.00"), (reversed_, "50.00"),
        ]
    )  # fmt: skip
    fee = next(one for one in SIMULATED[psp.name].fees if one.currency == "EUR" and one.method in (None, "card"))
    fees = Decimal(sum(fee.of(minor) for minor in (2000, 300, 700, 5000, 400))) / 100
    assert payouts(psp, rows) == {"EUR": -(Decimal("76.00") - fees - Decimal(DISPUTE_FEE[psp.name]))}
    tied(psp, rows)


def test_what_does_not_move_the_balance_is_not_in_it(psp: Psp) -> None:
    assert moved(psp.rows(over=False)) == []
    psp.pay(900, capture=False)
    psp.done(psp.pay(800, capture=False), "cancel")
    psp.done(psp.pay(700, capture=False), "expire")
    asked = psp.pay(1200)
    psp.done(asked, "inquiry")
    psp.done(asked, "win_dispute")
    assert moved(psp.rows()) == [(KINDS[psp.name][0], Decimal("12.00"), "EUR")]


def test_refunds_cost_nothing_and_a_chargeback_costs_its_fee_once(psp: Psp) -> None:
    first, second = psp.pay(2000), psp.pay(3000)
    psp.done(first, "refund")
    psp.done(second, "dispute")
    psp.done(second, "win_dispute")
    rows = psp.rows()
    captured = KINDS[psp.name][0]
    apart = [row for row in rows if row.type in ("Fee", "T0106")]
    within = sum(row.fee for row in rows if row.type not in SIDE and row.type != captured)
    assert within - sum(row.net for row in apart) == Decimal(DISPUTE_FEE[psp.name])
    assert len(apart) == (0 if psp.name == "stripe" else 1)
    assert [row.fee for row in rows if row.type == KINDS[psp.name][2]] == [0]
    assert [row.net for row in rows if row.type == KINDS[psp.name][5]] == [Decimal("30.00")]


@pytest.mark.parametrize(("minor", "currency"), [(2000, "EUR"), (1999, "USD"), (1, "EUR"), (12345, "GBP"), (500, "JPY"), (99999999, "EUR")])
def test_a_fee_is_what_the_platforms_own_cost_model_expects(psp: Psp, minor: int, currency: str) -> None:
    if psp.name == "stripe" and minor == 1:
        minor = 50  # its smallest charge
    psp.pay(minor, currency)
    fees = tuple(
        Fee(
            connector=psp.name,
            when=When(currencies=() if one.currency is None else (one.currency,), methods=() if one.method is None else (one.method,)),
            fixed_minor=one.fixed_minor,
            basis_points=one.basis_points,
        )
        for one in SIMULATED[psp.name].fees
    )
    weights = Weights(success=0, cost=0, latency=0, preference=0, exploration=0)
    plan = Plan(RuleBook(default=(psp.name,), weights=weights, fees=fees), zones={}, connectors=[psp.name])
    intent = Intent(amount=Money(minor, currency), capture=CaptureMode.AUTOMATIC, method=PaymentMethod(type="card", token="tok_visa"))
    expected = plan.fee_minor(psp.name, asked(intent, merchant_id="mer_1", draw=0, at=NOON))
    assert expected is not None
    assert expected > 0
    [row] = of_payments(psp.rows())
    assert row.fee == Decimal(expected).scaleb(-EXPONENTS[currency])
    assert (row.gross, row.net) == (Decimal(minor).scaleb(-EXPONENTS[currency]), (row.gross or 0) - row.fee)


def test_a_currency_that_is_not_held_settles_in_another_at_the_published_rate(psp: Psp) -> None:
    currency, exchange = next(one for one in psp.terms.exchanges.items() if one[1].into == "EUR" and one[0] != "TND")
    minor = 7300
    psp.pay(minor, currency)
    psp.pay(1000)
    rows = psp.rows()
    [gross] = [row.gross for row in of_payments(rows) if row.currency == currency]
    assert gross == Decimal(minor).scaleb(-EXPONENTS[currency])
    assert set(payouts(psp, rows)) == {"EUR"} == {exchange.into}
    [net] = [row.net for row in rows if row.currency == currency and row.type not in SIDE]
    if psp.name == "paypal":  # what is left of it is exchanged, by two lines
        sold, bought = (row for row in rows if row.type == "T0200")
        assert (sold.gross, sold.currency, bought.currency) == (-net, "SEK", "EUR")
        net = bought.net
        assert sold.raw["PayPal Reference ID"] == bought.raw["PayPal Reference ID"] == rows[0].raw["Transaction ID"]
        assert net == (-(sold.gross or 0) * Decimal(exchange.rate)).quantize(Decimal("0.01"), rounding="ROUND_HALF_UP")
    else:
        fee = exchange.of(psp.terms.fee(None, minor, currency), currency)
        assert net == Decimal(exchange.of(minor, currency) - fee) / 100
    tied(psp, rows)


def test_rounding_is_half_up_and_gives_back_to_the_unit_what_it_took() -> None:
    exchange = Exchange(into="EUR", rate="0.005")
    assert [exchange.of(minor, "ISK") for minor in (1, -1, 2, 3, -3, 0)] == [1, -1, 1, 2, -2, 0]
    assert Exchange(into="USD", rate="3.2543").of(1001, "KWD") == 326  # 3.2575… dollars
    assert (SimulatedFee(fixed_minor=25, basis_points=150).of(1), SimulatedFee(basis_points=150).of(200)) == (26, 3)
    assert [major(minor, currency) for minor, currency in ((-5, "EUR"), (123456, "EUR"), (-7, "JPY"), (1, "KWD"))] == [
        "-0.05", "1234.56", "-7", "0.001",
    ]  # fmt: skip


# --- days ---------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "second", "day"),
    [
        # A day and the next, by each PSP's clocks: an ordinary one, and the days that are an hour shorter or longer somewhere.
        ("2026-03-02T{}", "2026-03-03T{}", TODAY),
        ("2026-03-08T{}", "2026-03-09T{}", "2026-03-08"),
        ("2026-03-29T{}", "2026-03-30T{}", "2026-03-29"),
        ("2026-10-25T{}", "2026-10-26T{}", "2026-10-25"),
        ("2026-11-01T{}", "2026-11-02T{}", "2026-11-01"),
    ],
)
def test_a_day_ends_by_the_psps_own_clocks(make: Make, first: str, second: str, day: str) -> None:
    psp = make()
    # UTC offsets at the beginning and the end of that day: written down by hand, not asked of the same database of zones.
    offsets = {
        "stripe": {},
        "adyen": {TODAY: (1, 1), "2026-03-08": (1, 1), "2026-03-29": (1, 2), "2026-10-25": (2, 1), "2026-11-01": (1, 1)},
        "paypal": {TODAY: (-8, -8), "2026-03-08": (-8, -7), "2026-03-29": (-7, -7), "2026-10-25": (-7, -7), "2026-11-01": (-7, -8)},
    }[psp.name].get(day, (0, 0))
    begins = datetime.fromisoformat(first.format("00:00:00")).replace(tzinfo=UTC) - timedelta(hours=offsets[0])
    ends = datetime.fromisoformat(second.format("00:00:00")).replace(tzinfo=UTC) - timedelta(hours=offsets[1])
    before, after = timedelta(milliseconds=-1), timedelta()
    for at, minor in ((begins + before, 100), (begins + after, 200), (ends + before, 400), (ends + after, 800)):
        psp.now = at
        psp.pay(minor)
    rows = psp.rows(day)
    assert [row.gross for row in of_payments(rows)] == [Decimal(2), Decimal(4)]
    tied(psp, rows)
    assert [row.gross for row in of_payments(psp.rows(second[:10], over=False))] == [Decimal(8)]
    assert psp.ask(f"/_settlements/{ends + timedelta(days=2):%Y-%m-%d}").status == 404


def test_a_day_that_goes_on_is_told_as_far_as_it_has_come_and_paid_out_once_it_is_over(psp: Psp) -> None:
    psp.pay(1000)
    rows = psp.rows(over=False)
    assert len(of_payments(rows)) == len(rows) == 1
    psp.later(hours=1)
    psp.pay(2000)
    rows = psp.rows(over=False)
    assert len(of_payments(rows)) == len(rows) == 2
    *whole, payout = psp.rows()
    tied(psp, [*whole, payout])
    assert [(row.gross, row.fee, row.net) for row in whole] == [(row.gross, row.fee, row.net) for row in rows]
    assert psp.rows() == [*whole, payout]
    assert of_payments(psp.rows(TOMORROW)) == []


def test_what_a_day_owes_is_made_up_for_on_the_next(psp: Psp) -> None:
    paid = psp.pay(5000)
    psp.later(days=1)
    psp.done(paid, "refund")
    psp.later(days=1)
    psp.pay(5000)
    psp.later(days=1)
    psp.pay(3000)
    psp.later(days=1)
    first, second, third, fourth = (psp.rows(f"2026-03-0{day}") for day in (2, 3, 4, 5))
    fee = of_payments(first)[0].fee
    assert payouts(psp, first) == {"EUR": fee - 50}
    assert (payouts(psp, second), payouts(psp, third)) == ({}, {})  # the third day's 50.00 less its fee do not make up for it
    assert payouts(psp, fourth) == {"EUR": -(30 - of_payments(fourth)[0].fee - fee)}
    if psp.name != "paypal":  # whose footers tell the balance instead
        assert [row.net for row in second if row.type not in KINDS[psp.name]] == [50]
        assert [row.net for row in third if row.type not in KINDS[psp.name]] == [-50, fee]
        for rows in (first, second, third, fourth):
            assert sum(row.net for row in rows) == 0


def test_asking_for_a_later_day_first_changes_nothing(make: Make) -> None:
    def lived() -> Psp:
        psp = make()
        paid = psp.pay(5000)
        psp.later(days=1)
        psp.done(paid, "refund")
        psp.later(days=2)
        psp.pay(9000)
        psp.later(days=1)
        return psp

    days = [f"2026-03-0{day}" for day in range(1, 7)]
    forwards, backwards = lived(), lived()
    assert [forwards.report(day) for day in days] == [*reversed([backwards.report(day) for day in reversed(days)])]


def test_what_happens_by_itself_is_booked_when_it_was_due(psp: Psp) -> None:
    psp.now = datetime(2026, 3, 2, 23, 59, 58, tzinfo=UTC)
    psp.pay(300, token="tok_capture_fails_late")
    psp.now += timedelta(hours=12)  # nobody has asked anything since
    booked = [row.type for day in (TODAY, TOMORROW) for row in of_payments(psp.rows(day))]
    assert booked == list(KINDS[psp.name][:2])


# --- faults -------------------------------------------------------------------------------------------------------------------------------


def three(psp: Psp) -> list[Row]:
    """Three payments, as a report without faults would tell them."""
    for minor in (1000, 2000, 4000):
        psp.pay(minor)
    return []


def grosses(rows: list[Row]) -> list[str | None]:
    return [None if row.gross is None else f"{row.gross:.2f}" for row in of_payments(rows)]


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("settlement_missing", ["20.00", "40.00"]),
        ("settlement_doubled", ["10.00", "10.00", "20.00", "40.00"]),
        ("settlement_extra", ["10.00", "10.00", "20.00", "40.00"]),
        ("settlement_shifted", ["20.00", "40.00"]),
        ("settlement_wrong_amount", ["11.00", "20.00", "40.00"]),
        ("settlement_wrong_fee", ["10.00", "20.00", "40.00"]),
        ("settlement_bad_row", [None, "20.00", "40.00"]),
    ],
)
def test_a_fault_does_exactly_what_it_says_and_stays(make: Make, tmp_path: Path, fault: str, told: list[str | None]) -> None:
    whole = make()
    three(whole)
    right = whole.rows()
    psp = make(path=tmp_path / "ledger")
    three(psp)
    psp.broken(fault, count=1)
    report = psp.report()
    rows = READERS[psp.name](report)
    assert grosses(rows) == told
    if fault != "settlement_bad_row":  # whose line has no amount, while its money is in the totals
        tied(psp, rows)
    assert [row.fee for row in of_payments(rows)[-2:]] == [row.fee for row in of_payments(right)[-2:]]
    if fault == "settlement_wrong_fee":
        assert of_payments(rows)[0].fee > of_payments(right)[0].fee
    elif fault == "settlement_wrong_amount":
        assert of_payments(rows)[0].fee == of_payments(right)[0].fee
    elif fault == "settlement_bad_row":
        assert payouts(psp, rows) == payouts(psp, right)
    # Its one hit is used up, and what it hit stays hit: also after the fault is over, the day has gone by, and the PSP was restarted.
    assert psp.report() == report
    psp.later(days=2)
    psp.ledger.close()
    psp.open()
    assert psp.report() == report
    assert grosses(psp.rows(TOMORROW)) == (["10.00"] if fault == "settlement_shifted" else [])
    tied(psp, psp.rows(TOMORROW))


def test_a_booking_that_was_reported_in_order_stays_so(psp: Psp) -> None:
    psp.pay(1000)
    psp.report()
    psp.broken("settlement_missing")
    psp.pay(2000)
    assert grosses(psp.rows()) == ["10.00"]
    psp.later(days=2)
    psp.pay(4000)
    psp.later(days=1)
    assert grosses(psp.rows("2026-03-04")) == []
    assert grosses(psp.rows()) == ["10.00"]


def test_what_nobody_asked_for_in_time_is_in_order(psp: Psp) -> None:
    psp.pay(1000)
    psp.later(days=1)
    psp.broken("settlement_missing", count=1)
    psp.pay(2000)
    psp.later(days=1)
    assert grosses(psp.rows(TOMORROW)) == []  # the fault was not spent on the day before
    assert grosses(psp.rows()) == ["10.00"]


def test_a_rate_hits_about_its_share_and_always_the_same(make: Make) -> None:
    def told() -> list[str | None]:
        psp = make()
        for minor in range(1000, 1060):
            psp.pay(minor)
        psp.broken("settlement_missing", rate=0.3)
        psp.broken("settlement_wrong_amount", rate=0.3)
        return grosses(psp.rows())

    first = told()
    assert 30 <= len(first) <= 54
    assert len([amount for amount in first if amount is not None and Decimal(amount) > Decimal("10.60")]) >= 5
    assert told() == first


def test_a_fault_befalls_refunds_and_disputes_with_all_that_follows_from_them(psp: Psp) -> None:
    paid = psp.pay(1000)
    psp.report(over=False)
    psp.done(paid, "refund", 100)
    psp.done(paid, "dispute", 500)
    psp.broken("settlement_missing")
    assert grosses(psp.rows()) == ["10.00"]
    assert [row.type for row in psp.rows() if row.type in ("Fee", "T0106")] == []


def test_only_what_has_a_fee_can_have_a_wrong_one(psp: Psp) -> None:
    paid = psp.pay(1000)
    psp.report(over=False)
    psp.done(paid, "refund", 100)
    psp.pay(2000)
    psp.broken("settlement_wrong_fee", count=1)
    fees = [row.fee for row in of_payments(psp.rows())]
    assert fees[1] == 0
    assert [fault.remaining for fault in psp.state.faults] == [0]


def test_a_strange_row_names_nothing_that_was_made_here(psp: Psp) -> None:
    paid = psp.pay(1000)
    psp.broken("settlement_extra")
    _, extra = of_payments(psp.rows())
    names = " ".join(extra.raw.values())
    assert "att_" not in names
    assert paid not in names


def test_faults_of_reports_and_of_requests_do_not_meet(psp: Psp) -> None:
    for kind in REQUEST_FAULTS:
        psp.broken(kind)
    psp.pay(1000)
    assert grosses(psp.rows()) == ["10.00"]
    assert {kind for kind in FaultKind if kind.startswith("settlement")} == SETTLEMENT_FAULTS
    assert len(SETTLEMENT_FAULTS) == 7


# --- the door -----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path", "status", "words"),
    [
        ("GET", "/_settlements", 400, "YYYY-MM-DD"),
        ("GET", "/_settlements/2026-02-30", 400, "YYYY-MM-DD"),
        ("GET", "/_settlements/20260302", 400, "YYYY-MM-DD"),
        ("GET", "/_settlements/2026-03-02/more", 400, "YYYY-MM-DD"),
        ("POST", "/_settlements/2026-03-02", 405, "only be read"),
        ("GET", "/_settlements/2026-03-09", 404, "not begun"),
        ("GET", "/_settlements/9999-12-31", 404, "not begun"),
        ("GET", "/_settlements/0001-01-01", 404, "before all books"),
    ],
)
def test_what_is_no_day_is_refused_in_words(psp: Psp, method: str, path: str, status: int, words: str) -> None:
    answer = psp.ask(path, method)
    assert (answer.status, words in answer.body.decode()) == (status, True)


def test_a_day_without_anything_is_a_report_too(psp: Psp) -> None:
    for day in ("1970-01-02", "2020-01-01", TODAY):
        assert psp.rows(day) == []


def test_a_day_that_is_too_long_is_refused(psp: Psp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settlement, "MOST_BOOKINGS", 1)
    psp.pay()
    assert psp.ask(f"/_settlements/{TODAY}").status == 200
    psp.pay()
    assert psp.ask(f"/_settlements/{TODAY}").status == 413


def test_a_rehearsed_day_is_of_any_length(psp: Psp) -> None:
    told = settlement.rehearsed(
        psp.terms, NOON.date(), rows=500, currency="EUR", amount=1999,
        payment=lambda number: f"p{number}", operation=lambda number: f"xx_{number}", reference=lambda number: f"att_{number}",
    )  # fmt: skip
    rows = READERS[psp.name]("".join(SIMULATED[psp.name].settlement.write(told)))
    assert len(rows) == 501
    assert len({str(sorted(row.raw.items())) for row in rows}) == 501
    tied(psp, rows)
    assert all(f"att_{number}" in row.raw.values() and f"p{number}" in row.raw.values() for number, row in enumerate(rows[:-1], start=1))


def test_books_from_before_there_were_reports_are_read_on(make: Make, tmp_path: Path) -> None:
    psp = make(path=tmp_path / "ledger")
    disputed = psp.pay(1000)
    psp.done(disputed, "dispute")
    psp.ledger.close()
    with sqlite3.connect(tmp_path / "ledger") as database:
        lacking = "TABLE withdrawal", "TABLE settlement_day", "TABLE settlement_fault", "INDEX entry_at"
        database.executescript("".join(f"DROP {one};" for one in lacking) + "PRAGMA user_version=2;")
    database.close()
    psp.open()
    psp.done(disputed, "win_dispute")
    # What the dispute took was never booked, so that nothing comes back either.
    assert grosses(psp.rows()) == ["10.00"]


def ask(url: str, body: bytes | None = None) -> tuple[int, str, str]:
    try:
        with urlopen(Request(url, data=body, headers={"content-type": "application/json"}), timeout=10) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except HTTPError as refused:
        with refused:
            return refused.code, refused.headers["content-type"], refused.read().decode()


def test_reports_over_http_and_at_the_control_port_and_after_a_kill(start: Start, tmp_path: Path) -> None:
    server: Server = start(tmp_path)
    form = b"amount=1999&currency=eur&confirm=true&payment_method=tok_visa&return_url=https://shop.test/"
    paying = Request(f"{server.stripe}/v1/payment_intents", data=form, headers={"authorization": "Bearer sk_test_1"})
    with urlopen(paying, timeout=10) as answer:
        assert answer.status == 200
    today = json.loads(ask(f"{server.stripe}/_ledger")[2])["entries"][0]["at"][:10]
    status, _, _ = ask(f"{server.stripe}/_faults", b'{"fault": "settlement_doubled", "count": 1}')
    assert status == 201
    assert ask(f"{server.stripe}/_faults", b'{"fault": "settlement_missing", "scope": "capture"}')[0] == 400
    status, kind, report = ask(f"{server.stripe}/_settlements/{today}")
    assert (status, kind) == (200, "text/csv; charset=utf-8")
    assert [line["gross"] for line in csv.DictReader(report.splitlines())][:2] == ["19.99", "19.99"]
    assert ask(f"{server.control}/stripe/_settlements/{today}")[2] == report
    server.kill()
    again: Server = start(tmp_path)
    assert ask(f"{again.stripe}/_settlements/{today}")[2] == report
