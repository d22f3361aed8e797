"""The cost model expects of each simulated capture exactly what its report says was taken, in every currency and through every exchange.

Not here: findings about fees that are wrong (`test_faults`).
"""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.registry import CONNECTORS
from connectors.simulated import SIMULATED
from connectors.simulator.bookings import Booking, BookingKind, Day
from connectors.simulator.records import Payment
from connectors.simulator.settlement_faults import priced
from payorch.domain.differences import fee_variance
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import EXPONENTS, Money
from payorch.domain.rules import Plan, asked
from payorch.domain.settlement import RowKind, SettlementRow
from payorch.settings import load
from payorch.simulator_settings import fee_overrides

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
EXCHANGED = [(psp, currency) for psp, simulation in SIMULATED.items() for currency in simulation.settlement.terms.exchanges]
_HALF_A_UNIT = 50
PLAIN = [(psp, currency) for psp in SIMULATED for currency in ("EUR", "USD", "JPY", "HUF")]


@cache
def plan() -> Plan:
    """As `payorch up` has it."""
    shipped = load({})
    return load({}, overrides=fee_overrides(shipped, SIMULATED)).routing.plan(list(SIMULATED))


@pytest.mark.parametrize(("psp", "currency"), EXCHANGED + PLAIN)
@given(amounts=st.lists(st.integers(1, 10**8), min_size=1, max_size=40), method=st.sampled_from(["card", "paypal"]))
@settings(max_examples=25, deadline=None)
def test_no_fee_of_a_report_without_faults_is_a_finding(psp: str, currency: str, amounts: list[int], method: str) -> None:
    method = method if psp == "paypal" else "card"
    step = 100 if currency in ("TWD", "HUF") and psp == "paypal" else 10 if EXPONENTS[currency] == 3 else 1
    least = least_minor(psp, currency, step)
    captures = [least + number * step for number in amounts]
    rows = [row for row in report(psp, currency, captures, method) if row.kind is RowKind.CAPTURE]
    assert [row.gross.minor for row in rows] == captures
    for row in rows:
        paid_with = PaymentMethod(type=method, token="tok_visa")
        intent = Intent(amount=row.gross, capture=CaptureMode.AUTOMATIC, method=paid_with)
        question = asked(intent, merchant_id="mer_1", draw=0, at=NOON)
        assert plan().fee_minor(psp, question), "the model says something of each"
        assert fee_variance(plan(), psp, question, row, Money(row.gross.minor, currency), 0) is None


def least_minor(psp: str, currency: str, step: int) -> int:
    """PSPs take nothing that is worth less than half a unit of what they settle in. Of less, a rate that stands in no column, and has to be
    worked out of two rounded amounts (Stripe's), would say nothing.
    """
    exchange = SIMULATED[psp].settlement.terms.exchanges.get(currency)
    return 0 if exchange is None else next(minor for minor in itertools.count(0, step) if exchange.of(minor, currency) >= _HALF_A_UNIT)


def report(psp: str, currency: str, amounts: list[int], method: str) -> list[SettlementRow]:
    """The lines of a report with these captures, as the connector reads them."""
    reporting = SIMULATED[psp].settlement
    bookings = [priced(reporting.terms, capture(number, minor, currency, method)) for number, minor in enumerate(amounts, start=1)]
    day = Day(date=date(2026, 3, 2), terms=reporting.terms, bookings=bookings)
    chunks = [line.encode() for line in reporting.write(day)]
    return [item for item in CONNECTORS[psp].settlement(chunks) if isinstance(item, SettlementRow)]


def capture(number: int, minor: int, currency: str, method: str) -> Booking:
    made = Payment(
        number=number, id=f"pay{number}", reference=f"att_{number}", currency=currency, amount=minor, created_at=NOON, authorized=minor,
        captured=minor, facts={"source": "card"} if method == "card" else {},
    )  # fmt: skip
    return Booking(
        identity=f"e{number}", kind=BookingKind.CAPTURE, gross=minor, currency=currency, net=0, settled_in=currency, happened_at=NOON,
        booked_at=NOON, payment=made, operation_id=f"cap{number}",
    )  # fmt: skip
