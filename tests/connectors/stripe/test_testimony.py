"""What one snapshot says about one payment, by table: what is said, what is only a reason to ask, and what is nobody's business here."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from connectors.stripe import connector
from connectors.stripe.redaction import MAXIMUM_BYTES
from payorch.domain.disputes import DisputeReport, DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, Finding, NextAction, Pending, Released, Source
from payorch.domain.payment import AttemptState, OperationState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment
from payorch.domain.testimony import Testimony
from tests.connectors.stripe import stripe_cases as cases
from tests.connectors.stripe.stripe_webhooks import encoded, payment

CAPTURE, VOID, REFUND = OperationKind.CAPTURE, OperationKind.VOID, OperationKind.REFUND
A, Op = AttemptState, OperationState
E = ErrorClass
AT = cases.NOW + timedelta(minutes=5)
NOTHING = Testimony()
LOOK = Testimony(look_at=(cases.ATTEMPT_ID,))
CARD_ERROR = {"type": "card_error", "code": "card_declined", "decline_code": "do_not_honor", "message": "No."}
SDK = {"type": "use_stripe_sdk", "use_stripe_sdk": {}}
REDIRECT = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3ds"}}


def attempt(state: AttemptState, *, reference: str | None = cases.INTENT_ID, held: bool = False) -> Attempt:
    return replace(cases.attempt(reference=reference), state=state, held_since=cases.NOW if held else None)


def operation(kind: OperationKind, state: OperationState, **changes: Any) -> Operation:
    return replace(cases.operation(kind), state=state, **changes)


def heard(of: Payment, kind: str, subject: dict[str, Any], **changes: Any) -> Testimony:
    testimony = connector.testify(encoded(kind, subject, **changes), of, at=AT)
    for statement in testimony.statements:
        assert (statement.evidence.source, statement.evidence.at, statement.evidence.psp_request_id) == (Source.WEBHOOK, AT, None)
        assert statement.evidence.raw is not None
    return testimony


def about(testimony: Testimony) -> dict[str, Finding]:
    """Who is said what about, in order, where nothing needs to be asked."""
    assert not testimony.look_at
    assert not testimony.disputes
    return {one.subject_id: one.evidence.finding for one in testimony.statements}


def only(testimony: Testimony) -> Evidence:
    [statement] = testimony.statements
    return statement.evidence


def error_class(finding: Finding) -> ErrorClass:
    assert isinstance(finding, Declined)
    return finding.failure.error_class


# --- a PaymentIntent and its attempt ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "changes", "finding"),
    [
        ("requires_capture", {}, Approved(captured=False)),
        ("succeeded", {}, Approved(captured=True)),
        ("processing", {}, Pending()),
        ("requires_action", {"next_action": REDIRECT}, Pending(action=NextAction(url="https://hooks.stripe.com/3ds"))),
        ("canceled", {"cancellation_reason": "automatic"}, Released(expired=True)),
        ("canceled", {"cancellation_reason": "requested_by_customer"}, Released(expired=False)),
        ("canceled", {"amount_received": 500}, Approved(captured=True)),
    ],
)
def test_a_payment_intent_says_what_an_inquiry_would(status: str, changes: dict[str, Any], finding: Finding) -> None:
    testimony = heard(payment(attempt(A.UNKNOWN)), "payment_intent.x", cases.payment_intent(status, **changes))
    assert about(testimony) == {cases.ATTEMPT_ID: finding}
    inquiry = cases.read(attempt(A.UNKNOWN), 200, cases.payment_intent(status, **changes), source=Source.INQUIRY, at=AT)
    said = only(testimony)
    assert replace(said, source=Source.INQUIRY, raw=inquiry.raw, psp_request_id=inquiry.psp_request_id) == inquiry


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"last_payment_error": CARD_ERROR}, E.SOFT_TRY_OTHER),
        ({"last_payment_error": CARD_ERROR | {"code": "expired_card", "decline_code": None}}, E.FIX_DATA),
        ({"status": "requires_action", "next_action": SDK}, E.AUTHENTICATION_REQUIRED),
    ],
)
def test_a_no_is_a_no(changes: dict[str, Any], expected: ErrorClass) -> None:
    shown = cases.payment_intent("requires_payment_method") | changes
    said = only(heard(payment(attempt(A.UNKNOWN)), "payment_intent.payment_failed", shown))
    inquiry = cases.read(attempt(A.UNKNOWN), 200, shown, source=Source.INQUIRY)
    assert error_class(said.finding) is error_class(inquiry.finding)
    assert error_class(said.finding) is expected
    assert isinstance(said.finding, Declined)
    assert said.finding.failure.connector is not None
    assert said.finding.failure.connector.http_status is None


@pytest.mark.parametrize("status", ["requires_confirmation", "requires_payment_method", "requires_source", "a_word_of_tomorrow"])
@pytest.mark.parametrize("age", [timedelta(0), timedelta(days=2)])
def test_a_confirmation_that_did_not_happen_is_never_said(status: str, age: timedelta) -> None:
    """The snapshot may be of the moment between making and confirming, however late it comes."""
    content = encoded("payment_intent.created", cases.payment_intent(status))
    assert connector.testify(content, payment(attempt(A.UNKNOWN)), at=cases.NOW + age) == NOTHING


def test_an_attempt_whose_answer_was_lost_learns_its_id() -> None:
    lost = payment(attempt(A.PREPARED, reference=None))
    said = only(heard(lost, "payment_intent.succeeded", cases.payment_intent("succeeded")))
    assert (said.psp_reference, said.our_reference) == (cases.INTENT_ID, cases.ATTEMPT_ID)
    assert (said.amount, said.captured) == (Money(1999, "EUR"), Money(1999, "EUR"))


def test_what_is_less_or_more_than_ours_is_told_as_it_is() -> None:
    said = only(
        heard(payment(attempt(A.UNKNOWN)), "payment_intent.succeeded", cases.payment_intent("succeeded", amount=5, amount_received=5))
    )
    assert (said.amount, said.captured) == (Money(5, "EUR"), Money(5, "EUR"))
    partly = cases.payment_intent("requires_capture", amount_capturable=1000)
    assert only(heard(payment(attempt(A.UNKNOWN)), "payment_intent.x", partly)).amount == Money(1000, "EUR")


# --- whose it is ------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "pi_another", "metadata": {}},
        {"id": "pi_another", "metadata": {"payorch_attempt": "att_01kavq7c1zfz6b3x"}},
        {"id": "pi_another", "metadata": {"payorch_operation": "cap_01kavq7c1zfz6b3p"}},
        {"id": "pi_another", "metadata": {"payorch_payment": "pay_01kavq7c1zfz6b3m"}},
        {"id": None}, {"object": "charge"}, {"status": None},
    ],
)  # fmt: skip
def test_another_payments_intent_says_nothing_here(changes: dict[str, Any]) -> None:
    mine = payment(attempt(A.UNKNOWN), operation(CAPTURE, Op.UNKNOWN))
    assert heard(mine, "payment_intent.succeeded", cases.payment_intent("succeeded") | changes) == NOTHING


def test_an_attempt_at_another_psp_is_not_meant() -> None:
    elsewhere = replace(attempt(A.UNKNOWN), connector="another")
    for kind, subject in (
        ("payment_intent.succeeded", cases.payment_intent("succeeded")),
        ("refund.created", cases.refund("succeeded")),
        ("charge.refunded", charge()),
        ("charge.dispute.created", dispute("needs_response")),
    ):
        assert heard(payment(elsewhere, operation(REFUND, Op.UNKNOWN)), kind, subject) == NOTHING


def test_of_two_attempts_the_one_that_stripe_names_is_meant() -> None:
    first, second = attempt(A.DECLINED, reference="pi_first"), replace(attempt(A.UNKNOWN, reference=None), id="att_second")
    both = replace(payment(first), attempts=(first, second))
    shown = cases.payment_intent("succeeded", metadata={"payorch_attempt": "att_second"})
    assert list(about(heard(both, "payment_intent.succeeded", shown))) == ["att_second"]
    assert list(about(heard(both, "payment_intent.succeeded", cases.payment_intent("succeeded", id="pi_first")))) == [cases.ATTEMPT_ID]


def test_a_second_payment_intent_under_our_id_is_a_reason_to_ask() -> None:
    """Its id must not take the place of the first one's."""
    assert heard(payment(), "payment_intent.succeeded", cases.payment_intent("succeeded", id="pi_twin")) == LOOK


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[" * 100_000, b"\xff", encoded("x", {}), encoded("payout.paid", {"object": "payout", "id": "po_1"})]
)
def test_what_is_no_event_about_a_payment_says_nothing(content: bytes) -> None:
    assert connector.testify(content, payment(), at=AT) == NOTHING


# --- captures and voids -----------------------------------------------------------------------------------------------------------------


def named(status: str, by: str = "cap_01kavq7c1zfz6b3p", **changes: Any) -> dict[str, Any]:
    return cases.payment_intent(status, **changes) | {"metadata": {"payorch_attempt": cases.ATTEMPT_ID, "payorch_operation": by}}


@pytest.mark.parametrize("state", [Op.REQUESTED, Op.SENT, Op.PENDING, Op.UNKNOWN, Op.FAILED])
def test_operations_are_spoken_of_before_their_attempt(state: OperationState) -> None:
    capture = operation(CAPTURE, state)
    testimony = heard(payment(attempt(A.AUTHORIZED, held=True), capture), "payment_intent.succeeded", named("succeeded"))
    assert about(testimony) == {capture.id: Approved(captured=True), cases.ATTEMPT_ID: Approved(captured=True)}
    assert [one.subject_id for one in testimony.statements] == [capture.id, cases.ATTEMPT_ID]
    said = testimony.statements[0].evidence
    assert (said.our_reference, said.psp_reference, said.amount, said.captured) == (
        capture.id, cases.INTENT_ID, None, Money(1999, "EUR"),
    )  # fmt: skip


def test_of_several_captures_each_is_told_as_far_as_it_can_be() -> None:
    """The snapshot names the last capture only. The smaller total of an older one says nothing about a later capture."""
    first = operation(CAPTURE, Op.UNKNOWN, id="cap_1", amount=Money(300, "EUR"), final=False)
    second = operation(CAPTURE, Op.UNKNOWN, id="cap_2", amount=Money(500, "EUR"), final=False)
    both = payment(attempt(A.AUTHORIZED, held=True), first, second)
    held = Approved(captured=False)
    newer = heard(both, "payment_intent.amount_capturable_updated", named("requires_capture", "cap_2", amount_received=800))
    assert about(newer) == {"cap_2": Approved(captured=True), cases.ATTEMPT_ID: held}
    older = heard(both, "payment_intent.amount_capturable_updated", named("requires_capture", "cap_1", amount_received=300))
    assert about(older) == {"cap_1": Approved(captured=True), cases.ATTEMPT_ID: held}
    oldest = heard(both, "payment_intent.amount_capturable_updated", cases.payment_intent("requires_capture"))
    assert about(oldest) == {cases.ATTEMPT_ID: held}


def test_a_hold_that_is_gone_is_gone_for_its_capture_too() -> None:
    capture = operation(CAPTURE, Op.SENT)
    testimony = heard(payment(attempt(A.AUTHORIZED, held=True), capture), "payment_intent.canceled", cases.payment_intent("canceled"))
    said = about(testimony)
    assert list(said) == [capture.id, cases.ATTEMPT_ID]
    assert error_class(said[capture.id]) is E.EXPIRED


def test_what_is_settled_is_not_spoken_of_again() -> None:
    settled = [operation(CAPTURE, Op.SUCCEEDED, id="cap_1"), operation(VOID, Op.SUCCEEDED), operation(VOID, Op.FAILED, id="void_2")]
    for status in ("succeeded", "canceled", "requires_capture"):
        testimony = heard(payment(attempt(A.AUTHORIZED, held=True), *settled), "payment_intent.x", named(status, "cap_2"))
        assert [one.subject_id for one in testimony.statements] == [cases.ATTEMPT_ID]
    # A capture that had failed was done after all only where the PaymentIntent names it: the same total may be somebody else's.
    failed = payment(attempt(A.AUTHORIZED, held=True), operation(CAPTURE, Op.FAILED))
    assert list(about(heard(failed, "payment_intent.succeeded", cases.payment_intent("succeeded")))) == [cases.ATTEMPT_ID]


@pytest.mark.parametrize(
    ("status", "changes", "finding"),
    [
        ("canceled", {}, Approved()),
        ("canceled", {"cancellation_reason": "automatic"}, Released(expired=True)),
        ("requires_capture", {}, None),
        ("requires_action", {"next_action": REDIRECT}, None),
        ("processing", {}, None),
    ],
)
def test_a_void_under_way(status: str, changes: dict[str, Any], finding: Finding | None) -> None:
    void = operation(VOID, Op.SENT)
    shown = cases.payment_intent(status, **changes)
    said = about(heard(payment(attempt(A.AUTHORIZED, held=True), void), "payment_intent.x", shown))
    assert said.get(void.id) == finding
    assert list(said)[-1] == cases.ATTEMPT_ID


def test_a_void_that_came_too_late() -> None:
    void = operation(VOID, Op.SENT)
    said = about(heard(payment(attempt(A.ACTION_REQUIRED), void), "payment_intent.succeeded", cases.payment_intent("succeeded")))
    assert error_class(said[void.id]) is E.OPERATION_NOT_ALLOWED
    assert said[cases.ATTEMPT_ID] == Approved(captured=True)


def test_a_capture_that_was_done_and_failed_is_told_and_asked_about() -> None:
    back = cases.payment_intent("requires_payment_method", last_payment_error=CARD_ERROR)
    capture = operation(CAPTURE, Op.SUCCEEDED)
    testimony = heard(payment(attempt(A.AUTHORIZED, held=True), capture), "payment_intent.payment_failed", back)
    assert [one.subject_id for one in testimony.statements] == [capture.id, cases.ATTEMPT_ID]
    assert all(isinstance(one.evidence.finding, Declined) for one in testimony.statements)
    assert testimony.look_at == (cases.ATTEMPT_ID,)
    # With something still received, or without an error, it does not say that.
    for other in (back | {"amount_received": 1}, back | {"amount_received": None}, back | {"last_payment_error": None}):
        testimony = heard(payment(attempt(A.AUTHORIZED, held=True), capture), "payment_intent.payment_failed", other)
        assert capture.id not in [one.subject_id for one in testimony.statements]


def test_a_decline_of_what_is_charged_is_asked_about() -> None:
    back = cases.payment_intent("requires_payment_method", last_payment_error=CARD_ERROR)
    assert heard(payment(attempt(A.CHARGED, held=True)), "payment_intent.payment_failed", back).look_at == (cases.ATTEMPT_ID,)
    assert heard(payment(attempt(A.UNKNOWN)), "payment_intent.payment_failed", back).look_at == ()


def test_a_hold_seen_just_before_its_session_was_closed_is_asked_about() -> None:
    held, charged = cases.payment_intent("requires_capture"), cases.payment_intent("succeeded")
    assert heard(payment(attempt(A.VOIDED)), "payment_intent.amount_capturable_updated", held) == LOOK
    # A charge is for ever, so the closing cannot have come after it.
    assert about(heard(payment(attempt(A.VOIDED)), "payment_intent.succeeded", charged)) == {cases.ATTEMPT_ID: Approved(captured=True)}
    was_held = payment(attempt(A.VOIDED, held=True))
    assert about(heard(was_held, "payment_intent.x", held)) == {cases.ATTEMPT_ID: Approved(captured=False)}


# --- refunds ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["refund.created", "refund.updated", "refund.failed", "charge.refund.updated"])
@pytest.mark.parametrize(
    ("status", "finding"),
    [("succeeded", Approved()), ("pending", Pending()), ("requires_action", Pending()), ("failed", None), ("canceled", None)],
)
def test_a_refund_of_ours(kind: str, status: str, finding: Finding | None) -> None:
    ours = operation(REFUND, Op.UNKNOWN)
    said = only(heard(payment(attempt(A.CHARGED, held=True), ours), kind, cases.refund(status)))
    assert said.finding == finding or (finding is None and isinstance(said.finding, Declined))
    assert (said.our_reference, said.psp_reference, said.amount) == (ours.id, "re_3PgafyB7WZ01zgkW", Money(1999, "EUR"))
    assert (said.captured, said.refunded, said.refunds) == (None, None, None)


def test_a_refund_is_found_by_stripes_id_where_it_does_not_name_ours() -> None:
    theirs = operation(REFUND, Op.PENDING, id="ref_adopted", psp_reference="re_3PgafyB7WZ01zgkW")
    shown = cases.refund("succeeded", metadata={})
    assert about(heard(payment(attempt(A.CHARGED, held=True), theirs), "refund.updated", shown)) == {"ref_adopted": Approved()}
    without_intent = cases.refund("succeeded", payment_intent=None)
    ours = operation(REFUND, Op.UNKNOWN)
    assert about(heard(payment(attempt(A.CHARGED, held=True), ours), "refund.updated", without_intent)) == {ours.id: Approved()}


@pytest.mark.parametrize(
    ("known", "changes"),
    [
        ([], {}),
        ([], {"metadata": {}}),
        ([operation(REFUND, Op.UNKNOWN, id="ref_another")], {"metadata": {}}),
        ([operation(CAPTURE, Op.UNKNOWN, id="ref_01kavq7c1zfz6b3p")], {}),  # whatever it is called, it is no refund
        ([operation(REFUND, Op.SUCCEEDED, psp_reference="re_another")], {}),  # a second refund under our id
        ([operation(REFUND, Op.UNKNOWN)], {"status": "a_word_of_tomorrow"}),
        ([operation(REFUND, Op.UNKNOWN)], {"amount": None}),
    ],
)
def test_a_refund_of_nobody_here_is_a_reason_to_ask(known: list[Operation], changes: dict[str, Any]) -> None:
    assert heard(payment(attempt(A.CHARGED, held=True), *known), "refund.created", cases.refund("succeeded") | changes) == LOOK


def test_another_payments_refund_says_nothing_here() -> None:
    mine = payment(attempt(A.CHARGED, held=True), operation(REFUND, Op.UNKNOWN))
    assert heard(mine, "refund.created", cases.refund("succeeded", payment_intent="pi_another")) == NOTHING
    assert heard(mine, "refund.created", cases.refund("succeeded", payment_intent=None, metadata={})) == NOTHING


@pytest.mark.parametrize("state", [Op.FAILED, Op.REVERSED])
def test_the_success_of_a_refund_that_ended_without_one_may_be_older(state: OperationState) -> None:
    """Stripe tells of a card's refund as succeeded first, and that it came back later: the first may arrive last."""
    seen_there = operation(REFUND, state, psp_reference="re_3PgafyB7WZ01zgkW")
    assert heard(payment(attempt(A.CHARGED, held=True), seen_there), "refund.created", cases.refund("succeeded")) == LOOK
    # One that Stripe was never seen to have is news.
    refused = operation(REFUND, state)
    assert about(heard(payment(attempt(A.CHARGED, held=True), refused), "refund.created", cases.refund("succeeded"))) == {
        refused.id: Approved()
    }


# --- charges ----------------------------------------------------------------------------------------------------------------------------


def charge(**changes: Any) -> dict[str, Any]:
    """The charge of 19.99 euro, all of it captured and given back."""
    values = {
        "object": "charge", "id": "ch_1", "payment_intent": cases.INTENT_ID, "currency": "eur",
        "amount": 1999, "amount_captured": 1999, "amount_refunded": 1999,
        "metadata": {"payorch_attempt": cases.ATTEMPT_ID},
    }  # fmt: skip
    return values | changes


@pytest.mark.parametrize(
    ("books", "changes", "asks"),
    [
        ([], {}, True),
        ([(Op.SUCCEEDED, 1999)], {}, False),
        ([(Op.SUCCEEDED, 1500)], {}, True),
        ([(Op.SUCCEEDED, 1500), (Op.UNKNOWN, 499)], {}, False),  # that one is searched for anyway
        ([(Op.SUCCEEDED, 1500), (Op.REVERSED, 499)], {}, True),
        ([(Op.SUCCEEDED, 1999)], {"amount_refunded": 500}, False),  # of a moment before
        ([], {"amount_captured": 0}, False),  # a hold that was released
        ([(Op.SUCCEEDED, 1999)], {"amount_refunded": None}, True),
        ([(Op.SUCCEEDED, 1999)], {"currency": "usd"}, True),
    ],
)
def test_the_total_of_a_charge_is_no_evidence_and_a_reason_to_ask(
    books: list[tuple[OperationState, int]], changes: dict[str, Any], asks: bool
) -> None:
    refunds = [operation(REFUND, state, id=f"ref_{number}", amount=Money(minor, "EUR")) for number, (state, minor) in enumerate(books)]
    of = payment(attempt(A.CHARGED, held=True), *refunds, state=State.CAPTURED)
    assert heard(of, "charge.refunded", charge(**changes)) == (LOOK if asks else NOTHING)


def test_a_rest_that_was_released_is_no_refund() -> None:
    captured = [operation(CAPTURE, Op.SUCCEEDED, amount=Money(1200, "EUR"))]
    closed = payment(attempt(A.AUTHORIZED, held=True), *captured, state=State.CAPTURED)
    shown = charge(amount_captured=1200, amount_refunded=799)
    assert heard(closed, "charge.refunded", shown) == NOTHING
    assert heard(closed, "charge.refunded", shown | {"amount_refunded": 800}) == LOOK
    still_open = payment(attempt(A.AUTHORIZED, held=True), *captured, state=State.PARTIALLY_CAPTURED)
    assert heard(still_open, "charge.refunded", shown) == LOOK


@pytest.mark.parametrize("kind", ["charge.succeeded", "charge.captured", "charge.pending", "charge.failed", "charge.updated"])
def test_what_a_payment_intents_event_says_better_is_not_said(kind: str) -> None:
    assert heard(payment(attempt(A.UNKNOWN)), kind, charge()) == NOTHING


def test_a_charge_that_expired() -> None:
    expired = charge(amount_captured=0)
    held = payment(attempt(A.AUTHORIZED, held=True))
    said = only(heard(held, "charge.expired", expired))
    assert (said.finding, said.psp_reference, said.our_reference) == (Released(expired=True), cases.INTENT_ID, cases.ATTEMPT_ID)
    assert (said.amount, said.captured) == (Money(1999, "EUR"), Money(0, "EUR"))
    assert only(heard(payment(attempt(A.UNKNOWN, reference=None)), "charge.expired", expired)).psp_reference == cases.INTENT_ID
    # Where something was taken, or may be, the PaymentIntent says what became of it.
    assert heard(held, "charge.expired", charge(amount_captured=500)) == NOTHING
    assert heard(held, "charge.expired", charge(amount_captured=None)) == NOTHING
    for kind in (CAPTURE, VOID):
        assert heard(payment(attempt(A.AUTHORIZED, held=True), operation(kind, Op.SENT)), "charge.expired", expired) == NOTHING
    # Another payment's, or of another PaymentIntent under our id.
    assert heard(held, "charge.expired", expired | {"payment_intent": "pi_another"}) == NOTHING
    assert heard(held, "charge.expired", expired | {"payment_intent": None, "metadata": {}}) == NOTHING


# --- disputes ---------------------------------------------------------------------------------------------------------------------------


def dispute(status: str, **changes: Any) -> dict[str, Any]:
    values = {
        "object": "dispute", "id": "du_1", "status": status, "charge": "ch_1", "payment_intent": cases.INTENT_ID, "amount": 1500,
        "currency": "eur", "reason": "fraudulent", "evidence_details": {"due_by": 1796000000, "has_evidence": False},
        "evidence": {"customer_name": "PLANTED", "customer_email_address": "planted@example.com"},
    }  # fmt: skip
    return values | changes


@pytest.mark.parametrize(
    ("status", "stage", "stands"),
    [
        ("warning_needs_response", DisputeStage.PRE_DISPUTE, DisputeStatus.OPENED),
        ("warning_under_review", DisputeStage.PRE_DISPUTE, DisputeStatus.CHALLENGED),
        ("warning_closed", DisputeStage.PRE_DISPUTE, DisputeStatus.CANCELLED),
        ("needs_response", DisputeStage.DISPUTE, DisputeStatus.OPENED),
        ("under_review", DisputeStage.DISPUTE, DisputeStatus.CHALLENGED),
        ("won", DisputeStage.DISPUTE, DisputeStatus.WON),
        ("lost", DisputeStage.DISPUTE, DisputeStatus.LOST),
        ("prevented", DisputeStage.DISPUTE, DisputeStatus.CANCELLED),
        ("appeal_needs_response", DisputeStage.DISPUTE, DisputeStatus.OPENED),
        ("appeal_under_review", DisputeStage.DISPUTE, DisputeStatus.CHALLENGED),
    ],
)
def test_a_dispute_is_reported(status: str, stage: DisputeStage, stands: DisputeStatus) -> None:
    testimony = heard(payment(attempt(A.CHARGED, held=True)), "charge.dispute.updated", dispute(status))
    assert not testimony.statements
    assert not testimony.look_at
    [report] = testimony.disputes
    assert replace(report, raw=None) == DisputeReport(
        attempt_id=cases.ATTEMPT_ID, psp_reference="du_1", stage=stage, status=stands, amount=Money(1500, "EUR"), at=cases.NOW,
        reason="fraudulent", respond_by=datetime(2026, 11, 30, 0, 53, 20, tzinfo=UTC),
    )  # fmt: skip
    assert report.raw is not None
    assert json.loads(report.raw)["object"]["status"] == status
    assert "PLANTED" not in report.raw


def test_a_dispute_that_cannot_be_answered_has_no_deadline() -> None:
    """Stripe says 0 then."""
    for details in ({"due_by": 0}, {"due_by": None}, {}, None):
        testimony = heard(payment(), "charge.dispute.created", dispute("needs_response", evidence_details=details))
        assert testimony.disputes[0].respond_by is None
    untimed = heard(payment(), "charge.dispute.created", dispute("lost"), created=None)
    assert untimed.disputes[0].at == AT


@pytest.mark.parametrize(
    "changes", [{"payment_intent": "pi_another"}, {"payment_intent": None}, {"status": "tomorrow"}, {"amount": -1}, {"currency": "xxx"}]
)
def test_a_dispute_that_is_anothers_or_not_understood_is_not_reported(changes: dict[str, Any]) -> None:
    assert heard(payment(), "charge.dispute.created", dispute("lost") | changes) == NOTHING


# --- what is kept -----------------------------------------------------------------------------------------------------------------------


def test_what_is_kept_holds_no_secret_and_nobodys_name() -> None:
    planted = {
        "client_secret": "pi_1_secret_PLANTED", "receipt_email": "PLANTED@example.com", "description": "PLANTED words",
        "shipping": {"name": "PLANTED"}, "billing_details": {"name": "PLANTED"}, "evidence": {"customer_name": "PLANTED"},
        "payment_method_details": {"card": {"last4": "PLANTED", "network": "visa"}},
    }  # fmt: skip
    books = payment(attempt(A.AUTHORIZED, held=True), operation(REFUND, Op.UNKNOWN))
    raws = [
        only(heard(books, "payment_intent.succeeded", cases.payment_intent("succeeded") | planted)).raw,
        only(heard(books, "refund.created", cases.refund("succeeded") | planted)).raw,
        only(heard(books, "charge.expired", charge(amount_captured=0) | planted)).raw,
        heard(books, "charge.dispute.created", dispute("lost") | planted).disputes[0].raw,
    ]
    for raw in raws:
        assert raw is not None
        assert "PLANTED" not in raw
        kept = json.loads(raw)
        assert (kept["event"], kept["created"]) == ("evt_1PgafyB7WZ01zgkW", int(cases.NOW.timestamp()))
        assert kept["object"]["currency"] == "eur"


def test_what_is_kept_is_short() -> None:
    long = cases.payment_intent("succeeded", metadata={"payorch_attempt": cases.ATTEMPT_ID, "payorch_payment": "x" * 255})
    refunds = {"object": "list", "has_more": False, "data": [cases.refund("succeeded", id="re_" + "1a" * 120) for _ in range(100)]}
    long["latest_charge"] = {"object": "charge", "id": "ch_1", "refunds": refunds}
    raw = only(heard(payment(), "payment_intent.succeeded", long)).raw
    assert raw is not None
    assert len(raw) <= MAXIMUM_BYTES
    assert json.loads(raw)["object"].keys() == {"too_large_bytes"}
