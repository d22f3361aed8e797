"""Lives of which we hear by webhooks: what a simulated Stripe did, told late, twice and in any order, comes to what an inquiry says."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from connectors.contract import Forged, HttpRequest
from connectors.simulator.dialect import Deed
from connectors.stripe import connector
from payorch.domain.outcome import Source
from payorch.domain.payment import OperationState, State
from payorch.domain.proof import looks_due
from payorch.domain.records import OperationKind, Payment
from payorch.domain.testimony import weigh_testimony
from tests.connectors.stripe import stripe_webhooks as webhooks
from tests.connectors.stripe.stripe_life import Life
from tests.domain.worlds import DAY, HOUR

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
ENDED = {OperationState.FAILED, OperationState.REVERSED}
"""A refund that came back: failed, or reversed for whoever had heard of its success before."""


@pytest.fixture
def life() -> Iterator[Life]:
    made = Life()
    yield made
    made.ledger.close()


# --- telling ----------------------------------------------------------------------------------------------------------------------------


def told(life: Life) -> list[bytes]:
    """All that Stripe has to tell by now, oldest first."""
    life.dialect.due(life.ledger, life.at)
    return [one.body for one in reversed(life.ledger.notifications(limit=1000).items)]


def hear(life: Life, payment: Payment, body: bytes) -> Payment:
    """One delivery, from its signature to its effect. Where Stripe should be asked, it is."""
    received = connector.receive(webhooks.delivery(body, webhooks.signature(body, at=life.at)), secrets=(webhooks.SECRET,), at=life.at)
    assert not isinstance(received, Forged), received.reason
    [notice] = received
    assert notice.problem is None
    testimony = connector.testify(notice.content, payment, at=life.at)
    assert {(one.evidence.source, one.evidence.at) for one in testimony.statements} <= {(Source.WEBHOOK, life.at)}
    heard = life.kept(weigh_testimony(payment, testimony, life.desk("psp:stripe", "ntc_1")))
    due_before = {look.subject_id for look in looks_due(payment, life.desk())}
    asked_for = [look for look in looks_due(heard, life.desk()) if look.subject_id not in due_before]
    return life.take(heard, asked_for)


def fork(life: Life) -> Life:
    """The same payment at the same Stripe, from here on with a life of its own."""
    return replace(life, events=[*life.events], numbers=itertools.count(10_000))


def orders(bodies: list[bytes]) -> Iterator[list[bytes]]:
    """Orders in which they may arrive: all where they are few, otherwise many; each event once or twice."""
    dice = random.Random(len(bodies))
    few = len(bodies) <= 4
    for order in itertools.permutations(bodies) if few else (dice.sample(bodies, len(bodies)) for _ in range(40)):
        twice = dice.choices(order, k=2)
        yield [*order]
        yield [*twice, *order, *twice]


def picture(payment: Payment) -> object:
    """What a payment has come to: money, states, and by which of its operations."""
    operations = sorted(
        (one.kind, "ended" if one.state in ENDED else one.state, one.amount.minor, one.psp_reference or "") for one in payment.operations
    )
    attempts = [(one.state, one.psp_reference) for one in payment.attempts]
    return payment.state, payment.captured_minor, payment.refunded_minor, attempts, operations


def asked(life: Life, payment: Payment) -> Payment:
    """The same payment, found out by inquiries and replays alone."""
    return life.inquire(life.on(payment, seconds=HOUR / 2))


# --- lives: what we know of them when the webhooks begin --------------------------------------------------------------------------------


def _lost(token: str = "tok_visa", *, hold: bool = False) -> Callable[[Life], Payment]:
    def live(life: Life) -> Payment:
        life.deaf = True
        return life.paid(token, hold=hold)

    return live


def _operation_lost(kind: OperationKind, minor: int | None = None, *, hold: bool = True) -> Callable[[Life], Payment]:
    def live(life: Life) -> Payment:
        payment = life.paid(hold=hold)
        life.later(seconds=1)
        life.deaf = True
        if kind is VOID:
            return life.void(payment)
        return life.capture(payment, minor, final=True) if kind is CAPTURE else life.refund(payment, minor)

    return live


def _second_capture_lost(life: Life) -> Payment:
    payment = life.capture(life.paid(hold=True, request_multicapture="if_available"), 300)
    life.later(seconds=1)
    life.deaf = True
    return life.capture(payment, 500)


def _void_of_the_rest_lost(life: Life) -> Payment:
    payment = life.capture(life.paid(hold=True, request_multicapture="if_available"), 300)
    life.later(seconds=1)
    life.deaf = True
    return life.void(payment)


def _several_captures_and_a_refund_lost(life: Life) -> Payment:
    payment = life.paid(hold=True, request_multicapture="if_available")
    for minor in (300, 500):
        life.later(seconds=1)
        payment = life.capture(payment, minor)
    life.deaf = True
    return life.refund(payment, 100)


def _two_refunds_lost(life: Life) -> Payment:
    payment = life.paid()
    for minor in (300, 500):
        life.deaf = True
        payment = life.refund(payment, minor)
    return payment


def _by_hand(deed: Deed, minor: int | None = None, *, hold: bool = True) -> Callable[[Life], Payment]:
    def live(life: Life) -> Payment:
        payment = life.paid(hold=hold)
        life.by_hand(payment, deed, minor)
        return payment

    return live


def _refund_by_hand_beside_ours(life: Life) -> Payment:
    payment = life.paid()
    life.deaf = True
    payment = life.refund(payment, 500)
    life.by_hand(payment, Deed.REFUND, 500)
    return payment


def _refund_that_comes_back(*, known: bool) -> Callable[[Life], Payment]:
    def live(life: Life) -> Payment:
        payment = life.paid("tok_refund_fails_late")
        life.deaf = not known
        payment = life.refund(payment, 500)
        life.later(seconds=HOUR)
        return payment

    return live


def _pending_refund(life: Life) -> Payment:
    payment = life.refund(life.paid("pm_card_pendingRefund"), 500)
    life.later(seconds=HOUR)
    return payment


def _shopper(life: Life, outcome: str) -> None:
    [theirs] = life.ledger.payments(limit=2).items
    page = f"/_3ds/{theirs.id}-{theirs.facts['challenge']}"
    life.dialect.handle(life.ledger, HttpRequest(method="POST", path=page, headers=(), body=f"outcome={outcome}".encode()), life.at)


def _challenge(outcome: str, *, hold: bool = False, known: bool = True) -> Callable[[Life], Payment]:
    def live(life: Life) -> Payment:
        life.deaf = not known
        payment = life.paid("tok_3ds", hold=hold)
        _shopper(life, outcome)
        return payment

    return live


def _closed_just_after_the_shopper_finished(life: Life) -> Payment:
    payment = life.paid("tok_3ds", hold=True)
    _shopper(life, "approve")
    return life.void(payment)


def _hold_that_ran_out(life: Life) -> Payment:
    payment = life.paid(hold=True)
    life.later(seconds=7 * DAY + 1)
    return payment


def _rest_that_ran_out(life: Life) -> Payment:
    payment = life.capture(life.paid(hold=True, request_multicapture="if_available"), 500)
    life.later(seconds=7 * DAY + 1)
    return payment


LIVES: dict[str, Callable[[Life], Payment]] = {
    "charged": _lost(),
    "held": _lost(hold=True),
    "declined": _lost("tok_hard_decline"),
    "declined for a while": _lost("tok_insufficient_funds", hold=True),
    "blocked": _lost("tok_fraud"),
    "pending": _lost("tok_pending"),
    "waiting for the shopper": _lost("tok_3ds"),
    "captured": _operation_lost(CAPTURE),
    "captured in part": _operation_lost(CAPTURE, 1200),
    "voided": _operation_lost(VOID),
    "refunded": _operation_lost(REFUND, hold=False),
    "refunded in part": _operation_lost(REFUND, 700, hold=False),
    "captured a second time": _second_capture_lost,
    "rest voided": _void_of_the_rest_lost,
    "captured, captured, refunded": _several_captures_and_a_refund_lost,
    "refunded twice": _two_refunds_lost,
    "refund that comes back, lost": _refund_that_comes_back(known=False),
    "refund that comes back": _refund_that_comes_back(known=True),
    "pending refund": _pending_refund,
    "canceled by hand": _by_hand(Deed.CANCEL),
    "captured by hand": _by_hand(Deed.CAPTURE),
    "captured in part by hand": _by_hand(Deed.CAPTURE, 800),
    "refunded by hand": _by_hand(Deed.REFUND, hold=False),
    "refunded in part by hand": _by_hand(Deed.REFUND, 700, hold=False),
    "refunded by hand beside ours": _refund_by_hand_beside_ours,
    "expired by hand": _by_hand(Deed.EXPIRE),
    "expired": _hold_that_ran_out,
    "rest expired": _rest_that_ran_out,
    "challenge approved": _challenge("approve"),
    "challenge approved, lost": _challenge("approve", known=False),
    "challenge approved, held": _challenge("approve", hold=True),
    "challenge failed": _challenge("fail"),
    "challenge canceled": _challenge("cancel", known=False),
    "closed just after the shopper finished": _closed_just_after_the_shopper_finished,
}


@pytest.mark.parametrize("name", LIVES)
def test_in_any_order_webhooks_say_what_inquiries_say(life: Life, name: str) -> None:
    before = LIVES[name](life)
    life.later(seconds=60)
    bodies = told(life)
    expected = picture(asked(fork(life), before))
    assert len(told(life)) == len(bodies), "asking moved something at the PSP"
    for order in orders(bodies):
        mine = fork(life)
        payment = before
        for body in order:
            payment = hear(mine, payment, body)
            mine.later(seconds=1)
        assert picture(payment) == expected, mine.names


def test_a_capture_that_fails_later_goes_to_people_at_once(life: Life) -> None:
    payment = life.capture(life.paid("tok_capture_fails_late", hold=True), 1200, final=True)
    life.later(seconds=DAY)
    bodies = told(life)
    for order in orders(bodies):
        mine, heard = fork(life), payment
        for body in order:
            heard = hear(mine, heard, body)
        assert (heard.state, heard.captured_minor, heard.review_reason) == (State.MANUAL_REVIEW, 0, "LateCaptureFailure")
        assert [one.state for one in heard.operations] == [OperationState.REVERSED]


def test_every_capture_of_a_payment_fails_with_it(life: Life) -> None:
    payment = life.paid("tok_capture_fails_late", hold=True, request_multicapture="if_available")
    for minor in (300, 500):
        payment = life.capture(payment, minor)
        life.later(seconds=1)
    life.later(seconds=DAY)
    payment = hear(life, payment, told(life)[-1])
    assert (payment.state, payment.captured_minor) == (State.MANUAL_REVIEW, 0)
    assert [one.state for one in payment.operations] == [OperationState.REVERSED] * 2


def test_a_charge_that_fails_later_is_asked_about_and_goes_to_people(life: Life) -> None:
    payment = life.paid("tok_capture_fails_late")
    life.later(seconds=DAY)
    for body in reversed(told(life)):
        payment = hear(life, payment, body)
    assert (payment.state, payment.review_reason) == (State.MANUAL_REVIEW, "IntegrityMismatch")


def test_what_is_told_by_webhooks_alone(life: Life) -> None:
    """Not one answer and not one inquiry arrives: from the authorisation to the refund."""
    life.deaf = True
    payment = life.paid(hold=True)
    assert (payment.state, payment.attempts[0].psp_reference) == (State.OUTCOME_UNKNOWN, None)
    steps: list[Callable[[Payment], Payment]] = [
        lambda known: life.capture(known, 1200, final=True),
        lambda known: life.refund(known, 200),
        lambda known: life.refund(known),
    ]
    heard: list[bytes] = []
    for step in (*steps, None):
        calls, fresh = life.calls, [body for body in told(life) if body not in heard]
        for body in reversed(fresh):
            payment = hear(life, payment, body)
        assert life.calls == calls, "nobody had to ask"
        heard += fresh
        life.later(seconds=60)
        if step is not None:
            life.deaf = True
            payment = step(payment)
    assert (payment.state, payment.captured_minor, payment.refunded_minor) == (State.CAPTURED, 1200, 1200)
    life.agrees(payment)
