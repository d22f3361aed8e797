"""The connector and the simulated Stripe, which were written apart from each other, understand one another: whole lives, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from msgspec.structs import replace

from connectors.contract import AuthorizeOrder
from connectors.simulator.dialect import Settings
from connectors.simulator.ledger import Ledger
from connectors.stripe import connector
from connectors.stripe.dialect import StripeDialect
from payorch.domain.intent import PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import (
    Absent,
    Approved,
    Declined,
    ErrorClass,
    Evidence,
    NotExecuted,
    Pending,
    Released,
    Source,
)
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall
from tests.connectors.stripe import stripe_cases as cases

CREDENTIALS = {"api_key": "sk_test_roundtrip"}
INDEXED = cases.NOW + timedelta(minutes=5)
E = ErrorClass


@dataclass(frozen=True, slots=True, kw_only=True)
class Psp:
    dialect: StripeDialect
    ledger: Ledger

    def ask(self, subject: Attempt | Operation, call: PreparedCall | None, source: Source, at: datetime = cases.NOW) -> Evidence:
        assert call is not None
        sent = connector.request(call, psp_key=subject.id, credentials=CREDENTIALS)
        answer = self.dialect.handle(self.ledger, sent, at).response
        return connector.read(subject, call, answer, source=source, at=at)

    def authorize(self, token: str, number: int = 1, **options: object) -> tuple[Attempt, Evidence]:
        intent = cases.intent(method=PaymentMethod(type="card", token=token), connector_options={"stripe": options})
        order = AuthorizeOrder(attempt_id=f"att_{number}", payment_id="pay_1", intent=intent, return_url=cases.RETURN_URL)
        fresh = replace(cases.attempt(reference=None, call=connector.authorize(order)), id=order.attempt_id)
        evidence = self.ask(fresh, fresh.call, Source.RESPONSE)
        return replace(fresh, psp_reference=evidence.psp_reference), evidence

    def operate(
        self, attempt: Attempt, kind: OperationKind, number: int, minor: int = 0, *, final: bool = True
    ) -> tuple[Operation, Evidence]:
        one = replace(cases.operation(kind, minor=minor, final=final), id=f"op_{number}")
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        call = build[kind](cases.operation_order(one, of=attempt))
        answered = self.ask(one, call, Source.RESPONSE)
        replayed = self.ask(one, call, Source.REPLAY)
        assert (replayed.finding, replayed.psp_reference, replayed.captured) == (
            answered.finding,
            answered.psp_reference,
            answered.captured,
        )
        return one, answered


@pytest.fixture
def psp() -> Iterator[Psp]:
    ledger = Ledger(psp="stripe")
    yield Psp(dialect=StripeDialect(Settings(base_url="https://simulator.example")), ledger=ledger)
    ledger.close()


@pytest.mark.parametrize(
    ("token", "finding", "error_class"),
    [
        ("pm_card_visa", Approved, None),
        ("tok_visa", Approved, None),
        ("tok_mastercard", Approved, None),
        ("tok_soft_decline", Declined, E.SOFT_TRY_OTHER),
        ("tok_insufficient_funds", Declined, E.SOFT_RETRY_LATER),
        ("tok_hard_decline", Declined, E.HARD_DECLINE),
        ("tok_expired_card", Declined, E.FIX_DATA),
        ("tok_fraud", Declined, E.FRAUD_BLOCKED),
        ("tok_3ds", Pending, None),
        ("tok_pending", Pending, None),
        ("tok_nobody_knows", NotExecuted, E.INVALID_REQUEST),
    ],
)
def test_an_authorisation_means_the_same_in_every_answer(psp: Psp, token: str, finding: type, error_class: E | None) -> None:
    attempt, answered = psp.authorize(token)
    seen = [answered, psp.ask(attempt, attempt.call, Source.REPLAY)]
    assert [one.stored for one in seen] == [False, True]
    if attempt.psp_reference is not None:
        seen.append(psp.ask(attempt, connector.inquire(attempt, attempt), Source.INQUIRY))
        assert (answered.amount, answered.our_reference) == (Money(1999, "EUR"), attempt.id)
    for evidence in seen:
        assert type(evidence.finding) is finding
        if isinstance(evidence.finding, (Declined, NotExecuted)):
            assert evidence.finding.failure.error_class is error_class


def test_a_search_finds_an_attempt_after_a_while(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa")
    lost = replace(attempt, psp_reference=None)
    assert psp.ask(lost, connector.inquire(lost, lost), Source.INQUIRY).finding == Absent()
    found = psp.ask(lost, connector.inquire(lost, lost), Source.INQUIRY, INDEXED)
    assert (found.finding, found.psp_reference) == (Approved(captured=False), attempt.psp_reference)


def test_capture_and_refund(psp: Psp) -> None:
    attempt, held = psp.authorize("tok_visa")
    assert held.expires_at is not None
    capture, taken = psp.operate(attempt, OperationKind.CAPTURE, 1, 700)
    assert (taken.finding, taken.captured) == (Approved(captured=True), Money(700, "EUR"))
    assert psp.ask(capture, connector.inquire(capture, attempt), Source.INQUIRY).finding == Approved(captured=True)
    refund = replace(cases.operation(OperationKind.REFUND, minor=300), id="op_2")
    assert psp.ask(refund, connector.inquire(refund, attempt), Source.INQUIRY).finding == Absent()
    refund, back = psp.operate(attempt, OperationKind.REFUND, 2, 300)
    assert (back.finding, back.our_reference, back.amount) == (Approved(), "op_2", Money(300, "EUR"))
    for known in (refund, replace(refund, psp_reference=back.psp_reference)):
        assert psp.ask(known, connector.inquire(known, attempt), Source.INQUIRY).finding == Approved()
    whole = psp.ask(attempt, connector.inquire(attempt, attempt), Source.INQUIRY)
    assert (whole.captured, whole.refunded) == (Money(700, "EUR"), Money(300, "EUR"))
    _, again = psp.operate(attempt, OperationKind.CAPTURE, 3, 100)
    assert isinstance(again.finding, Declined)
    _, late = psp.operate(attempt, OperationKind.VOID, 4)
    assert isinstance(late.finding, Declined)


def test_void_and_what_comes_after_it(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa")
    void = replace(cases.operation(OperationKind.VOID), id="op_1")
    assert psp.ask(void, connector.inquire(void, attempt), Source.INQUIRY).finding == Absent()
    void, done = psp.operate(attempt, OperationKind.VOID, 1)
    assert done.finding == Approved()
    assert psp.ask(void, connector.inquire(void, attempt), Source.INQUIRY).finding == Approved()
    assert psp.ask(attempt, connector.inquire(attempt, attempt), Source.INQUIRY).finding == Released(expired=False)
    _, again = psp.operate(attempt, OperationKind.VOID, 2)
    assert again.finding == Approved()
    _, late = psp.operate(attempt, OperationKind.CAPTURE, 3, 100)
    assert isinstance(late.finding, Declined)
    assert late.finding.failure.error_class is E.EXPIRED


def test_an_open_shopper_action_is_closed_by_a_void(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_3ds")
    _, closed = psp.operate(attempt, OperationKind.VOID, 1)
    assert closed.finding == Approved()


def test_several_captures(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa", request_multicapture="if_available")
    for number, minor in ((1, 700), (2, 500)):
        capture, taken = psp.operate(attempt, OperationKind.CAPTURE, number, minor, final=False)
        assert taken.finding == Approved(captured=True)
        assert psp.ask(capture, connector.inquire(capture, attempt), Source.INQUIRY).finding == Approved(captured=True)
    void, rest = psp.operate(attempt, OperationKind.VOID, 3)
    assert (rest.finding, rest.captured) == (Approved(), Money(1200, "EUR"))
    assert psp.ask(void, connector.inquire(void, attempt), Source.INQUIRY).finding == Approved()


def test_a_hold_that_ran_out(psp: Psp) -> None:
    attempt, held = psp.authorize("tok_visa")
    assert held.expires_at is not None
    over = held.expires_at + timedelta(seconds=1)
    assert psp.ask(attempt, connector.inquire(attempt, attempt), Source.INQUIRY, over).finding == Released(expired=True)
    capture = cases.operation(OperationKind.CAPTURE, minor=100)
    refused = psp.ask(capture, connector.capture(cases.operation_order(capture, of=attempt)), Source.RESPONSE, over)
    assert isinstance(refused.finding, Declined)
    assert refused.finding.failure.error_class is E.EXPIRED
