"""The books: what they refuse, what survives, and that no order of operations breaks them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors.simulator.ledger import Ledger
from connectors.simulator.records import EntryType, Impossible, Payment, StoredAnswer
from tests.simulator.world import MANUAL, START, World


def opened(ledger: Ledger, amount: int = 1000) -> Payment:
    return ledger.open_payment(id=ledger.new_id("p_"), reference="att_1", currency="EUR", amount=amount, at=START, facts={"a": 1})


def test_a_payment_goes_through_its_whole_life() -> None:
    ledger = Ledger(psp="x")
    with ledger.transaction():
        payment = ledger.authorize(opened(ledger), 1000, START)
        payment = ledger.capture(payment, 700, START)
        payment = ledger.release(payment, 300, START, why=EntryType.RELEASED)
        payment, refund = ledger.open_refund(payment, id="r_1", reference="ref_1", amount=200, at=START, facts={})
        assert (payment.refundable, payment.refunded) == (500, 0)
        payment, refund = ledger.finish_refund(payment, refund, START)
        payment, refund = ledger.fail_refund(payment, refund, START)
    assert ledger.payment(payment.id) == payment
    assert (payment.held, payment.captured, payment.refunded, payment.refunding) == (0, 700, 0, 0)
    assert [(entry.number, entry.type.value, entry.amount) for entry in ledger.entries()] == [
        (1, "authorized", 1000),
        (2, "captured", 700),
        (3, "released", 300),
        (4, "refunded", 200),
        (5, "refund_failed", 200),
    ]
    assert ledger.entries()[3].operation_reference == "ref_1"
    ledger.close()


def within(ledger: Ledger, work: Callable[[], object]) -> None:
    """Runs the work in a transaction of its own."""
    with ledger.transaction():
        work()


def test_money_that_is_not_there_cannot_move() -> None:
    ledger = Ledger(psp="x")
    with ledger.transaction():
        payment = ledger.capture(ledger.authorize(opened(ledger), 1000, START), 400, START)
    for too_much in (
        lambda: ledger.capture(payment, 601, START),
        lambda: ledger.release(payment, 601, START, why=EntryType.VOIDED),
        lambda: ledger.open_refund(payment, id="r_1", reference=None, amount=401, at=START, facts={}),
        lambda: ledger.fail_capture(payment, 401, START),
        lambda: ledger.capture(payment, 0, START),
        lambda: ledger.capture(payment, -1, START),
    ):
        with pytest.raises(Impossible):
            within(ledger, too_much)
        assert ledger.payment(payment.id) == payment
        assert len(ledger.entries()) == 2
    ledger.close()


def test_a_stale_record_cannot_be_saved_over_a_movement() -> None:
    ledger = Ledger(psp="x")

    def work() -> None:
        before = opened(ledger)
        ledger.authorize(before, 1000, START)
        ledger.save(before)

    with pytest.raises(Impossible, match="before its last movement"):
        within(ledger, work)
    ledger.close()


def test_a_transaction_that_raises_leaves_nothing_and_the_next_is_as_if_it_had_not_been() -> None:
    ledger = Ledger(psp="x", seed=3)
    twin = Ledger(psp="x", seed=3)

    def work() -> None:
        payment = ledger.authorize(opened(ledger), 1000, START)
        ledger.add_labels(payment, {"a": "b"})
        ledger.schedule(at=START, payment=payment, kind="k")
        ledger.notify(id="e_1", type="t", payment=payment.id, at=START, body=b"{}")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        within(ledger, work)
    assert (ledger.count_payments(), ledger.entries(), ledger.next_due()) == (0, [], None)
    assert ledger.notifications(limit=10).items == ()
    with ledger.transaction(), twin.transaction():
        assert opened(ledger) == opened(twin)
    ledger.close()
    twin.close()


def test_ids_follow_from_seed_and_counter_across_a_restart(tmp_path: Path) -> None:
    whole = Ledger(psp="x", seed=5)
    wanted = [whole.new_id("a_"), whole.new_id("b_", 10)]
    assert len(set(wanted)) == 2
    first = Ledger(psp="x", seed=5, path=tmp_path / "l")
    with first.transaction():
        assert first.new_id("a_") == wanted[0]
    first.close()
    # The seed given later does not matter: the file keeps its own.
    second = Ledger(psp="x", seed=99, path=tmp_path / "l")
    assert second.new_id("b_", 10) == wanted[1]
    second.close()
    whole.close()


def test_a_file_holds_everything_and_belongs_to_one_process(tmp_path: Path) -> None:
    ledger = Ledger(psp="x", path=tmp_path / "l")
    answer = StoredAnswer(key="k", fingerprint="f", status=402, headers=(("a", "b"),), body=b"\x00{}", created_at=START)
    with ledger.transaction():
        payment = ledger.authorize(opened(ledger), 1000, START)
        ledger.add_alias(id="c_1", payment=payment)
        ledger.store_answer(answer)
        ledger.schedule(at=START + timedelta(seconds=9), payment=payment, kind="k", subject="s")
        ledger.notify(id="e_1", type="t", payment=payment.id, at=START, body=b"{}")
    ledger.close()
    ledger = Ledger(psp="x", path=tmp_path / "l")
    assert ledger.payment("c_1") == payment
    assert ledger.answer("k") == answer
    assert ledger.next_due() == START + timedelta(seconds=9)
    assert ledger.outbox.notification("e_1") is not None
    other = sqlite3.connect(tmp_path / "l", timeout=0)
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        other.execute("SELECT * FROM payment")
    other.close()
    with ledger.transaction(), pytest.raises(sqlite3.IntegrityError):
        ledger.store_answer(answer)
    ledger.close()


def test_the_database_itself_refuses_what_the_code_should_have() -> None:
    ledger = Ledger(psp="x")

    def work() -> None:
        payment = opened(ledger)
        # Round the back of the checks in Python.
        ledger._changed[payment.number] = replace(payment, authorized=1, captured=2)

    with pytest.raises(sqlite3.IntegrityError):
        within(ledger, work)
    assert ledger.count_payments() == 0
    ledger.close()


def test_timers_come_in_order_and_once() -> None:
    ledger = Ledger(psp="x")
    with ledger.transaction():
        payment = opened(ledger)
        for seconds in (3, 1, 2):
            ledger.schedule(at=START + timedelta(seconds=seconds), payment=payment, kind=str(seconds))
        assert ledger.take_due(START) is None
        taken = []
        while (timer := ledger.take_due(START + timedelta(seconds=2))) is not None:
            taken.append(timer.kind)
    assert taken == ["1", "2"]
    assert ledger.next_due() == START + timedelta(seconds=3)
    ledger.close()


Step = tuple[str, int, int]
STEPS: st.SearchStrategy[list[Step]] = st.lists(
    st.tuples(
        st.sampled_from(["pay", "confirm", "capture", "part", "cancel", "refund", "wait", "shopper"]),
        st.integers(0, 3),
        st.integers(1, 2500),
    ),
    max_size=40,
)
METHODS = [
    "tok_visa",
    "tok_soft_decline",
    "tok_3ds",
    "tok_3ds_fail",
    "tok_pending",
    "tok_capture_fails_late",
    "tok_refund_fails_late",
    "pm_card_pendingRefund",
]


def _do(world: World, intents: list[str], step: Step) -> None:
    name, which, number = step
    method = METHODS[number % len(METHODS)]
    more: dict[str, Any] = MANUAL | {"payment_method_options[card][request_multicapture]": "if_available"} if number % 2 else {}
    if name == "pay" or not intents:
        answer = world.pay(method, more)
        body = answer.json if answer.status == 200 else answer.error["payment_intent"]
        intents.append(body["id"])
        return
    id = intents[which % len(intents)]
    path = f"/v1/payment_intents/{id}"
    match name:
        case "confirm":
            world.post(f"{path}/confirm", {"payment_method": method})
        case "capture":
            world.post(f"{path}/capture", {"amount_to_capture": number})
        case "part":
            world.post(f"{path}/capture", {"amount_to_capture": number, "final_capture": "false"})
        case "cancel":
            world.post(f"{path}/cancel")
        case "refund":
            world.post("/v1/refunds", {"payment_intent": id, "amount": number})
        case "wait":
            world.later(number * 400.0)
        case _:
            world.post(f"/_3ds/{id}-1", {"outcome": "approve"})


@settings(max_examples=300, deadline=None)
@given(STEPS)
def test_no_order_of_requests_breaks_the_books(steps: list[Step]) -> None:
    world = World()
    intents: list[str] = []
    for step in steps:
        _do(world, intents, step)
    for id in intents:
        _check_totals(world, id)
    world.later(30 * 86400.0)
    for id in intents:
        _check_totals(world, id)
        assert world.totals(id)["held"] == 0, "nothing is held for ever"
        assert world.totals(id)["refunding"] == 0
    world.ledger.close()


def _check_totals(world: World, id: str) -> None:
    """The payment's totals, the entries in the books and the object on the wire say the same, and nothing exceeds anything."""
    totals = world.totals(id)
    assert totals["captured"] + totals["released"] <= totals["authorized"]
    assert 0 <= totals["refunded"] + totals["refunding"] <= totals["captured"]
    sums = dict.fromkeys(EntryType, 0)
    for entry in world.ledger.entries():
        if entry.payment == id:
            sums[entry.type] += entry.amount
    assert totals["authorized"] == sums[EntryType.AUTHORIZED]
    assert totals["captured"] == sums[EntryType.CAPTURED] - sums[EntryType.CAPTURE_FAILED]
    assert totals["refunded"] == sums[EntryType.REFUNDED] - sums[EntryType.REFUND_FAILED]
    gone = sums[EntryType.RELEASED] + sums[EntryType.VOIDED] + sums[EntryType.EXPIRED] + sums[EntryType.CAPTURE_FAILED]
    assert totals["released"] == gone
    shown = world.intent(id)
    assert shown["amount_capturable"] == totals["held"]
    assert shown["amount_received"] == totals["captured"]
    if totals["captured"]:
        charge = shown["latest_charge"]
        assert charge["amount_captured"] == totals["captured"]
        left = charge["amount"] - charge["amount_captured"] - totals["held"]
        assert charge["amount_refunded"] == left + totals["refunded"] + totals["refunding"]
    assert (shown["status"] == "requires_capture") == (totals["held"] > 0)
