"""The connector and the simulated PayPal, which were written apart from each other, understand one another: whole lives, without HTTP."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import parse_qsl, urlsplit

import pytest
from msgspec.structs import replace

from connectors.contract import AuthorizeOrder, CompletionOrder, HttpRequest, NotSupported
from connectors.paypal import connector
from connectors.paypal.dialect import PaypalDialect
from connectors.simulator.dialect import Deed, Settings
from connectors.simulator.faults import HEALTHY, After, Before, Verdict
from connectors.simulator.ledger import Ledger
from payorch.domain.intent import CaptureMode, Initiator, Intent, PaymentMethod
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
    Unknown,
)
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall
from tests.connectors.paypal import paypal_cases as cases

E = ErrorClass
CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
MANUAL, AUTOMATIC = CaptureMode.MANUAL, CaptureMode.AUTOMATIC


@dataclass(kw_only=True)
class Psp:
    dialect: PaypalDialect
    ledger: Ledger
    at: datetime = cases.NOW
    intents: dict[str, Intent] = field(default_factory=dict)

    def token(self) -> str:
        sent = connector.sign_in({"account": "test_client", "api_key": "secret"})
        assert sent is not None
        token = connector.signed_in(self.dialect.handle(self.ledger, sent, self.at).response, at=self.at)
        assert token is not None
        return token.value

    def ask(
        self, subject: Attempt | Operation, call: PreparedCall | None, source: Source, *, key: str | None = None, verdict: Verdict = HEALTHY
    ) -> Evidence:
        assert call is not None
        sent = connector.request(call, psp_key=key or subject.id, credentials={"access_token": self.token()})
        answer = self.dialect.handle(self.ledger, sent, self.at, verdict=verdict).response
        return connector.read(subject, call, answer, source=source, at=self.at)

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> Evidence:
        return self.ask(subject, connector.inquire(subject, attempt), Source.INQUIRY)

    def authorize(
        self, token: str | None, capture: CaptureMode = MANUAL, *, number: int = 1, verdict: Verdict = HEALTHY, **options: object
    ) -> tuple[Attempt, Evidence]:
        """A payment by a saved card, or by the wallet where there is no token."""
        method = PaymentMethod(type="paypal") if token is None else PaymentMethod(type="card", token=token)
        intent = cases.intent(method=method, capture=capture, connector_options={"paypal": options})
        order = AuthorizeOrder(attempt_id=f"att_{number}", payment_id="pay_1", intent=intent, return_url=cases.RETURN_URL)
        fresh = replace(cases.attempt(reference=None, money_reference=None, call=connector.authorize(order)), id=order.attempt_id)
        self.intents[fresh.id] = intent
        evidence = self.ask(fresh, fresh.call, Source.RESPONSE, verdict=verdict)
        return self.learnt(fresh, evidence), evidence

    def learnt(self, attempt: Attempt, evidence: Evidence) -> Attempt:
        """The attempt as the domain would keep it after that evidence."""
        action = evidence.finding.action if isinstance(evidence.finding, Pending) else None
        return replace(
            attempt,
            psp_reference=evidence.psp_reference or attempt.psp_reference,
            money_reference=evidence.money_reference or attempt.money_reference,
            action=action or attempt.action,
        )

    def complete(self, attempt: Attempt, returned: Mapping[str, str], *, key: str = "complete_1") -> Evidence | None:
        call = connector.complete(CompletionOrder(payment_id="pay_1", attempt=attempt, intent=self.intents[attempt.id], returned=returned))
        return None if call is None else self.ask(attempt, call, Source.RESPONSE, key=key)

    def shopper(self, attempt: Attempt, outcome: str) -> dict[str, str]:
        """Presses that button; what the browser brings back in the query of our address."""
        assert attempt.action is not None
        path = attempt.action.url.removeprefix("https://simulator.example")
        page = HttpRequest(method="GET", path=path, headers=(), body=b"")
        assert b'value="approve"' in self.dialect.handle(self.ledger, page, self.at).response.body
        pressed = HttpRequest(method="POST", path=path, headers=(), body=f"outcome={outcome}".encode())
        sent = self.dialect.handle(self.ledger, pressed, self.at).response
        where = sent.header("location")
        assert where is not None
        assert where.startswith("https://pay.example/v1/payments/pay_1/return?attempt=a&sig=b")
        return dict(parse_qsl(urlsplit(where).query))

    def operate(
        self,
        attempt: Attempt,
        kind: OperationKind,
        number: int,
        minor: int = 0,
        *,
        final: bool = True,
        capture: Operation | None = None,
        verdict: Verdict = HEALTHY,
    ) -> tuple[Operation, Evidence]:
        one = replace(cases.operation(kind, minor=minor, final=final), id=f"op_{number}")
        build = {CAPTURE: connector.capture, VOID: connector.void, REFUND: connector.refund}
        one = replace(one, call=build[kind](cases.operation_order(one, of=attempt, capture=capture)))
        answered = self.ask(one, one.call, Source.RESPONSE, verdict=verdict)
        return replace(one, psp_reference=answered.psp_reference), answered

    def books(self) -> list[tuple[str, int]]:
        return [(entry.type.value, entry.amount) for entry in self.ledger.entries()]


@pytest.fixture
def psp() -> Iterator[Psp]:
    ledger = Ledger(psp="paypal")
    yield Psp(dialect=PaypalDialect(Settings(base_url="https://simulator.example", authorization_seconds=1e9)), ledger=ledger)
    ledger.close()


# --- authorisations -----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", [MANUAL, AUTOMATIC])
@pytest.mark.parametrize(
    ("token", "finding", "error_class"),
    [
        ("tok_visa", Approved, None),
        ("tok_mastercard", Approved, None),
        ("tok_soft_decline", Declined, E.SOFT_TRY_OTHER),
        ("tok_insufficient_funds", Declined, E.SOFT_RETRY_LATER),
        ("tok_hard_decline", Declined, E.HARD_DECLINE),
        ("tok_expired_card", Declined, E.FIX_DATA),
        ("tok_fraud", Declined, E.FRAUD_BLOCKED),
        ("tok_3ds", Pending, None),
        ("tok_pending", Pending, None),
        ("tok_capture_fails_late", Approved, None),
        ("vault_processing_error", Declined, E.SOFT_TRY_OTHER),
        ("vault_velocity", Declined, E.SOFT_RETRY_LATER),
        ("vault_incorrect_cvc", Declined, E.FIX_DATA),
        ("tok_nobody_knows", NotExecuted, E.INVALID_REQUEST),
        (None, Pending, None),
    ],
)
def test_an_authorisation_means_the_same_in_every_answer(
    psp: Psp, token: str | None, finding: type, error_class: E | None, capture: CaptureMode
) -> None:
    attempt, answered = psp.authorize(token, capture)
    seen = [answered, psp.ask(attempt, attempt.call, Source.REPLAY)]
    if attempt.psp_reference is not None:
        seen.append(psp.inquire(attempt, attempt))
        assert (answered.amount, answered.our_reference) == (Money(1999, "EUR"), attempt.id)
    for evidence in seen:
        assert type(evidence.finding) is finding
        if isinstance(evidence.finding, Approved):
            assert evidence.finding.captured is (capture is AUTOMATIC)
            assert evidence.captured == Money(1999 if capture is AUTOMATIC else 0, "EUR")
            assert evidence.money_reference not in (None, evidence.psp_reference)
        if isinstance(evidence.finding, (Declined, NotExecuted)):
            assert evidence.finding.failure.error_class is error_class


def test_a_lost_answer_is_found_by_the_same_call_again_and_charges_once(psp: Psp) -> None:
    attempt, answered = psp.authorize("tok_visa", AUTOMATIC, verdict=Verdict(after=After.ERROR_500))
    assert isinstance(answered.finding, Unknown)
    assert connector.inquire(attempt, attempt) is None
    found = psp.ask(attempt, attempt.call, Source.REPLAY)
    assert found.finding == Approved(captured=True)
    assert psp.books() == [("authorized", 1999), ("captured", 1999)]


def test_the_books_name_an_attempt_and_only_real_operations(psp: Psp) -> None:
    psp.authorize("tok_visa", AUTOMATIC)
    attempt, _ = psp.authorize("tok_visa", number=2)
    psp.operate(attempt, CAPTURE, 1, 700)
    named = [(entry.type.value, entry.reference, entry.operation_reference) for entry in psp.ledger.entries()]
    assert named == [
        ("authorized", "att_1", None),
        ("captured", "att_1", None),
        ("authorized", "att_2", None),
        ("captured", "att_2", "op_1"),
        ("released", "att_2", None),
    ]


def test_a_second_order_of_the_same_attempt_is_refused_and_looked_for(psp: Psp) -> None:
    """A day later PayPal knows the key no more: what is left against a second charge is the invoice id."""
    attempt, _ = psp.authorize("tok_visa", AUTOMATIC)
    psp.at += timedelta(hours=7)
    again = psp.ask(replace(attempt, psp_reference=None), attempt.call, Source.REPLAY)
    assert isinstance(again.finding, Unknown)
    assert again.finding.failure.error_class is E.DUPLICATE_AT_PSP
    assert psp.books() == [("authorized", 1999), ("captured", 1999)]


def test_a_repeat_shows_the_latest_status(psp: Psp) -> None:
    attempt, answered = psp.authorize("tok_pending", AUTOMATIC)
    assert answered.finding == Pending()
    psp.at += timedelta(seconds=10)
    assert psp.ask(attempt, attempt.call, Source.REPLAY).finding == Approved(captured=True)
    _, back = psp.operate(psp.learnt(attempt, psp.inquire(attempt, attempt)), REFUND, 1, 500)
    assert back.finding == Approved()
    latest = psp.ask(attempt, attempt.call, Source.REPLAY)
    assert (latest.finding, latest.captured, latest.refunded) == (Approved(captured=True), Money(1999, "EUR"), Money(500, "EUR"))


def test_a_card_without_its_holder(psp: Psp) -> None:
    intent = cases.intent(initiator=Initiator.MERCHANT, method=PaymentMethod(type="card", token="tok_3ds"))
    order = AuthorizeOrder(attempt_id="att_1", payment_id="pay_1", intent=intent, return_url=cases.RETURN_URL)
    attempt = replace(cases.attempt(reference=None, money_reference=None, call=connector.authorize(order)), id="att_1")
    evidence = psp.ask(attempt, attempt.call, Source.RESPONSE)
    assert isinstance(evidence.finding, Declined)
    assert evidence.finding.failure.error_class is E.AUTHENTICATION_REQUIRED


# --- the shopper --------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("capture", [MANUAL, AUTOMATIC])
def test_the_wallet_is_finished_by_a_call_of_ours(psp: Psp, capture: CaptureMode) -> None:
    attempt, _ = psp.authorize(None, capture)
    returned = psp.shopper(attempt, "approve")
    assert set(returned) == {"attempt", "sig", "token", "PayerID"}
    assert psp.inquire(attempt, attempt).finding == Pending(ready=True)
    assert psp.books() == []
    done = psp.complete(attempt, returned)
    assert done is not None
    assert done.finding == Approved(captured=capture is AUTOMATIC)
    assert done.psp_reference == attempt.psp_reference
    again = psp.complete(attempt, {}, key="complete_2")
    assert again is not None
    assert isinstance(again.finding, Unknown)
    assert again.finding.failure.error_class is E.DUPLICATE_AT_PSP
    assert psp.inquire(attempt, attempt).finding == done.finding


def test_what_the_shopper_has_not_approved_goes_on_waiting(psp: Psp) -> None:
    attempt, first = psp.authorize(None)
    early = psp.complete(attempt, {"token": "x"})
    assert early is not None
    assert early.finding == first.finding
    returned = psp.shopper(attempt, "cancel")
    assert returned["shopper"] == "gave_up"
    assert psp.complete(attempt, returned) is None
    assert psp.inquire(attempt, attempt).finding == first.finding


def test_a_wallet_whose_money_is_declined(psp: Psp) -> None:
    attempt, _ = psp.authorize(None)
    done = psp.complete(attempt, psp.shopper(attempt, "fail"))
    assert done is not None
    assert isinstance(done.finding, Declined)
    assert done.finding.failure.error_class is E.SOFT_TRY_OTHER


def test_a_shopper_who_comes_back_too_late(psp: Psp) -> None:
    attempt, _ = psp.authorize(None)
    returned = psp.shopper(attempt, "approve")
    psp.at += timedelta(hours=4)
    done = psp.complete(attempt, returned)
    assert done is not None
    assert isinstance(done.finding, Declined)
    assert done.finding.failure.error_class is E.EXPIRED


@pytest.mark.parametrize(
    ("token", "outcome", "passes"), [("tok_3ds", "approve", True), ("tok_3ds", "fail", False), ("tok_3ds_fail", "approve", False)]
)
def test_a_cards_holder_is_believed_by_the_order_only(psp: Psp, token: str, outcome: str, passes: bool) -> None:
    attempt, _ = psp.authorize(token)
    assert psp.complete(attempt, psp.shopper(attempt, outcome)) is None
    seen = psp.inquire(attempt, attempt)
    if not passes:
        assert isinstance(seen.finding, Declined)
        assert seen.finding.failure.error_class is E.FIX_DATA
        return
    assert seen.finding == Pending(ready=True)
    done = psp.complete(attempt, {})
    assert done is not None
    assert done.finding == Approved(captured=False)


def test_a_challenge_that_is_asked_for(psp: Psp) -> None:
    attempt, first = psp.authorize("tok_visa", verification="SCA_ALWAYS")
    assert isinstance(first.finding, Pending)
    psp.shopper(attempt, "approve")
    done = psp.complete(attempt, {})
    assert done is not None
    assert done.finding == Approved(captured=False)


# --- captures, voids, refunds -------------------------------------------------------------------------------------------------------------


def test_captures_and_refunds_of_them(psp: Psp) -> None:
    attempt, held = psp.authorize("tok_visa")
    assert held.expires_at == cases.NOW + timedelta(days=29)
    part, taken = psp.operate(attempt, CAPTURE, 1, 700, final=False)
    assert (taken.finding, taken.amount, taken.our_reference) == (Approved(captured=True), Money(700, "EUR"), "op_1")
    assert psp.inquire(attempt, attempt).finding == Approved(captured=False)
    rest, taken = psp.operate(attempt, CAPTURE, 2, 500)
    for known in (rest, replace(rest, psp_reference=None)):
        assert psp.inquire(known, attempt).finding == Approved(captured=True)
    whole = psp.inquire(attempt, attempt)
    assert (whole.finding, whole.captured, whole.refunded) == (Approved(captured=True), Money(1200, "EUR"), Money(0, "EUR"))
    unsent = replace(cases.operation(REFUND, minor=300), id="op_3")
    assert psp.inquire(unsent, attempt).finding == Absent()
    refund, back = psp.operate(attempt, REFUND, 3, 300, capture=part)
    assert (back.finding, back.our_reference, back.amount) == (Approved(), "op_3", Money(300, "EUR"))
    for known in (refund, replace(refund, psp_reference=None)):
        assert psp.inquire(known, attempt).finding == Approved()
    whole = psp.inquire(attempt, attempt)
    assert (whole.captured, whole.refunded) == (Money(1200, "EUR"), Money(300, "EUR"))
    assert whole.refunds is not None
    assert [(one.our_reference, one.amount, one.finding) for one in whole.refunds] == [("op_3", Money(300, "EUR"), Approved())]
    _, again = psp.operate(attempt, CAPTURE, 4, 100)
    assert isinstance(again.finding, Unknown)
    closed = psp.inquire(replace(cases.operation(CAPTURE, minor=100), id="op_4"), attempt)
    assert isinstance(closed.finding, Declined)
    assert (closed.finding.failure.error_class, closed.captured) == (E.EXPIRED, Money(1200, "EUR"))
    _, late = psp.operate(attempt, VOID, 5)
    assert isinstance(late.finding, Unknown)
    assert psp.inquire(replace(cases.operation(VOID), id="op_5"), attempt).finding == Approved()
    with pytest.raises(NotSupported):
        psp.operate(attempt, REFUND, 6, 100)


@pytest.mark.parametrize("kind", [CAPTURE, VOID, REFUND])
@pytest.mark.parametrize("verdict", [Verdict(after=After.ERROR_500), Verdict(after=After.MALFORMED), Verdict(before=Before.ERROR_500)])
def test_an_operation_whose_answer_is_lost_is_found_in_its_order(psp: Psp, kind: OperationKind, verdict: Verdict) -> None:
    attempt, _ = psp.authorize("tok_visa", AUTOMATIC if kind is REFUND else MANUAL)
    one, answered = psp.operate(attempt, kind, 1, 700, verdict=verdict)
    assert isinstance(answered.finding, Unknown)
    one = replace(one, psp_reference=None)
    done = {CAPTURE: Approved(captured=True), VOID: Approved(), REFUND: Approved()}[kind]
    never = verdict.before is Before.ERROR_500
    assert psp.inquire(one, attempt).finding == (Absent() if never else done)
    assert psp.ask(one, one.call, Source.REPLAY).finding == done
    assert psp.inquire(one, attempt).finding == done


def test_a_void_and_what_comes_after_it(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa")
    void = replace(cases.operation(VOID), id="op_1")
    assert psp.inquire(void, attempt).finding == Absent()
    void, done = psp.operate(attempt, VOID, 1)
    assert (done.finding, done.psp_reference) == (Approved(), attempt.money_reference)
    assert psp.inquire(void, attempt).finding == Approved()
    assert psp.inquire(attempt, attempt).finding == Released(expired=False)
    _, again = psp.operate(attempt, VOID, 2)
    assert again.finding == Approved()
    _, late = psp.operate(attempt, CAPTURE, 3, 100)
    assert isinstance(late.finding, Declined)
    assert late.finding.failure.error_class is E.EXPIRED


def test_the_rest_of_a_hold_is_voided(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa")
    psp.operate(attempt, CAPTURE, 1, 700, final=False)
    void, rest = psp.operate(attempt, VOID, 2)
    assert rest.finding == Approved()
    seen = psp.inquire(void, attempt)
    assert (seen.finding, seen.captured) == (Approved(), Money(700, "EUR"))
    assert psp.inquire(attempt, attempt).finding == Approved(captured=True)


def test_a_hold_that_ran_out(psp: Psp) -> None:
    attempt, held = psp.authorize("tok_visa")
    assert held.expires_at is not None
    psp.at = held.expires_at + timedelta(seconds=1)
    assert psp.inquire(attempt, attempt).finding == Released(expired=True)
    assert psp.inquire(replace(cases.operation(VOID), id="op_1"), attempt).finding == Released(expired=True)
    _, refused = psp.operate(attempt, CAPTURE, 1, 100)
    assert isinstance(refused.finding, Declined)
    assert refused.finding.failure.error_class is E.EXPIRED


def test_an_order_that_waits_for_the_shopper_cannot_be_voided(psp: Psp) -> None:
    attempt, _ = psp.authorize(None)
    with pytest.raises(NotSupported):
        psp.operate(attempt, VOID, 1)


def test_failures_days_later(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_capture_fails_late", AUTOMATIC)
    psp.at += timedelta(seconds=60)
    late = psp.inquire(attempt, attempt)
    assert isinstance(late.finding, Declined)
    assert late.captured == Money(0, "EUR")
    other, _ = psp.authorize("tok_refund_fails_late", AUTOMATIC, number=2)
    refund, back = psp.operate(other, REFUND, 1, 500)
    assert back.finding == Approved()
    psp.at += timedelta(seconds=60)
    assert isinstance(psp.inquire(refund, other).finding, Declined)
    whole = psp.inquire(other, other)
    assert whole.refunded == Money(0, "EUR")
    assert whole.refunds is not None
    assert [type(one.finding) for one in whole.refunds] == [Declined]


def test_a_refund_that_takes_its_time(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_refund_pending", AUTOMATIC)
    refund, back = psp.operate(attempt, REFUND, 1, 500)
    assert back.finding == Pending()
    psp.at += timedelta(seconds=60)
    assert psp.inquire(refund, attempt).finding == Approved()


def test_what_was_done_in_the_dashboard_is_seen(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa")
    theirs = psp.ledger.payment(attempt.psp_reference or "")
    assert theirs is not None
    psp.dialect.by_hand(psp.ledger, theirs, Deed.CAPTURE, psp.at, amount=1500)
    psp.dialect.by_hand(psp.ledger, psp.ledger.payment(theirs.id) or theirs, Deed.REFUND, psp.at, amount=400)
    seen = psp.inquire(attempt, attempt)
    assert (seen.finding, seen.captured, seen.refunded) == (Approved(captured=True), Money(1500, "EUR"), Money(400, "EUR"))
    assert seen.refunds is not None
    assert [(one.our_reference, one.amount) for one in seen.refunds] == [(None, Money(400, "EUR"))]
    _, refused = psp.operate(attempt, VOID, 1)
    assert isinstance(refused.finding, Unknown)


def test_a_wrong_amount_is_told_as_it_is(psp: Psp) -> None:
    _, answered = psp.authorize("tok_visa", AUTOMATIC, verdict=Verdict(after=After.WRONG_AMOUNT))
    assert (answered.finding, answered.amount) == (Approved(captured=True), Money(2099, "EUR"))


def test_a_busy_key_and_a_full_house(psp: Psp) -> None:
    attempt, answered = psp.authorize("tok_visa", verdict=Verdict(before=Before.RATE_LIMIT))
    assert isinstance(answered.finding, NotExecuted)
    assert answered.finding.failure.error_class is E.RATE_LIMITED
    sent = connector.request(attempt.call, psp_key="k", credentials={"access_token": psp.token()})
    busy = psp.dialect.handle(psp.ledger, sent, psp.at, busy=True).response
    seen = connector.read(attempt, attempt.call, busy, source=Source.REPLAY, at=psp.at)
    assert isinstance(seen.finding, Unknown)
    assert psp.books() == []


def test_a_token_that_ran_out_is_refused(psp: Psp) -> None:
    attempt, _ = psp.authorize("tok_visa")
    old = psp.token()
    psp.at += timedelta(hours=10)
    sent = connector.request(attempt.call, psp_key="k", credentials={"access_token": old})
    answer = psp.dialect.handle(psp.ledger, sent, psp.at).response
    assert answer.status == 401
    seen = connector.read(attempt, attempt.call, answer, source=Source.RESPONSE, at=psp.at)
    assert isinstance(seen.finding, NotExecuted)
    assert seen.finding.failure.error_class is E.CONFIGURATION
