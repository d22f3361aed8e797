"""How payments, announcements and timelines look: the contract's fields, nothing secret, and a sentence for every event."""

from __future__ import annotations

import string
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any
from uuid import UUID

import msgspec
import pytest
from msgspec.structs import replace

from payorch.api.present import announcement_json, operation_json, page_json, payment_json, rfc3339
from payorch.api.shapes import OperationAnswerShape, PaymentList, PaymentShape, TimelineShape
from payorch.api.timeline import SENTENCES, timeline_json
from payorch.domain import events as e
from payorch.domain.announcements import BY_STATE
from payorch.domain.disputes import Dispute, DisputeStage, DisputeStatus
from payorch.domain.identifiers import uuid_of
from payorch.domain.intent import CaptureMode, Customer, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ConnectorDetail, Declined, Evidence, Failure, NetworkDetail, Source
from payorch.domain.payment import PUBLIC_STATUS, AttemptState, Name, OperationState, State
from payorch.domain.records import Fence, Hold, Operation, OperationKind, Origin
from payorch.domain.routing import Decision, Exclusion
from payorch.domain.settlement import SettlementState
from tests.api.merchant_world import START, Life, a_method, an_intent, funds_failure, new_id

CONTRACT = frozenset(
    {
        "id", "object", "status", "state", "outcome", "amount", "currency", "amount_authorized", "amount_captured", "amount_capturable",
        "amount_refunded", "amount_refundable", "capture", "reference", "connector", "psp_reference", "next_action", "failure",
        "authorization_expires_at", "attempts", "captures", "refunds", "voids", "disputes", "settlement", "retry_of", "metadata", "version",
        "created_at", "updated_at",
    }
)  # fmt: skip


def view(life: Life) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(payment_json(life.payment))
    return found


def story(life: Life) -> list[dict[str, Any]]:
    raw = timeline_json(life.payment_id, life.events)
    TimelineShape.model_validate_json(raw)
    entries: list[dict[str, Any]] = msgspec.json.decode(raw)["data"]
    return entries


def manual() -> Life:
    return Life(intent=an_intent(capture=CaptureMode.MANUAL)).created().sent().authorized()


def operation_of(life: Life, kind: OperationKind, minor: int) -> Operation:
    return Operation(
        id=new_id("cap" if kind is OperationKind.CAPTURE else "ref"), kind=kind, state=OperationState.REQUESTED, origin=Origin.MERCHANT,
        attempt_id=life.attempt.id, amount=Money(minor, "EUR"), created_at=life.at, updated_at=life.at, psp_key="secret_psp_key",
    )  # fmt: skip


def capturing(minor: int = 1999) -> Life:
    life = manual()
    return life.tell(Name.CAPTURE_REQUESTED, State.CAPTURING, e.OperationOpened(operation=operation_of(life, OperationKind.CAPTURE, minor)))


def captured(minor: int = 1999, state: State = State.CAPTURED) -> Life:
    life = capturing(minor)
    evidence = Evidence(source=Source.RESPONSE, finding=Approved(captured=True), at=life.at, psp_reference="ch_1")
    change = e.OperationChange(operation_id=life.payment.operations[-1].id, state=OperationState.SUCCEEDED, evidence=evidence)
    return life.tell(Name.CAPTURE_SUCCEEDED, state, change)


def refunding() -> Life:
    life = captured()
    opened = e.OperationOpened(operation=operation_of(life, OperationKind.REFUND, 500))
    life.tell(Name.REFUND_REQUESTED, State.CAPTURED, opened)
    change = e.OperationChange(operation_id=life.payment.operations[-1].id, state=OperationState.UNKNOWN)
    return life.tell(Name.REFUND_UNKNOWN, State.CAPTURED, change)


LIVES: dict[str, Callable[[], Life]] = {
    "created": lambda: Life(intent=an_intent(method=None, customer=Customer(reference="c-1", email="a@b.test"))).created(),
    "sent": lambda: Life().created().sent(),
    "charged": lambda: Life().created().sent().charged(),
    "declined": lambda: Life().created().sent().declined(),
    "lost": lambda: Life().created().sent().lost(),
    "wants action": lambda: Life().created().sent().wants_action(),
    "authorized": manual,
    "capturing": capturing,
    "captured": captured,
    "partly captured": lambda: captured(500, State.PARTIALLY_CAPTURED),
    "refund unknown": refunding,
    "canceled": lambda: Life().created().tell(Name.MERCHANT_CANCELED, State.CANCELED, e.Ending()),
}


@pytest.mark.parametrize("name", LIVES)
def test_every_payment_has_the_shape_of_the_contract(name: str) -> None:
    life = LIVES[name]()
    PaymentShape.model_validate_json(payment_json(life.payment))
    PaymentList.model_validate_json(page_json([life.payment], None))
    found = view(life)
    assert set(found) >= CONTRACT
    assert found["status"] == PUBLIC_STATUS[life.payment.state]
    assert (found["id"], found["object"], found["version"]) == (life.payment_id, "payment", len(life.events))
    assert len(story(life)) == len(life.events)


@pytest.mark.parametrize("name", LIVES)
def test_nothing_secret_is_shown(name: str) -> None:
    life = LIVES[name]()
    announced = announcement_json("evt_1", "payment.succeeded", 1, life.payment, life.events[-1])
    for raw in (payment_json(life.payment), announced, timeline_json(life.payment_id, life.events)):
        for secret in (b"tok_visa_secret", b"secret_path", b"secret_body", b"secret_psp_key", b"a@b.test", b"fingerprint"):
            assert secret not in raw


def test_a_charged_payment_is_the_example_of_the_contract() -> None:
    found = view(LIVES["charged"]())
    wanted: dict[str, Any] = {
        "status": "succeeded", "state": "CAPTURED", "outcome": None, "amount": 1999, "currency": "EUR", "amount_authorized": 1999,
        "amount_captured": 1999, "amount_capturable": 0, "amount_refunded": 0, "amount_refundable": 1999, "capture": "automatic",
        "reference": "order-1001", "connector": "stripe", "psp_reference": "pi_1", "next_action": None, "failure": None,
        "authorization_expires_at": None, "captures": [], "refunds": [], "voids": [], "disputes": [], "settlement": {"status": "pending"},
        "retry_of": None, "metadata": {}, "version": 5, "created_at": "2026-03-01T12:00:00.000Z",
    }  # fmt: skip
    assert {name: found[name] for name in wanted} == wanted
    (attempt,) = found["attempts"]
    assert attempt | {"id": "", "created_at": ""} == {
        "id": "", "connector": "stripe", "state": "CHARGED", "psp_reference": "pi_1", "failure": None, "created_at": "",
    }  # fmt: skip


def test_unconfirmed_while_money_may_have_moved() -> None:
    found = view(LIVES["lost"]())
    assert (found["status"], found["outcome"]) == ("processing", "unconfirmed")


def test_unconfirmed_while_a_call_that_moves_money_has_no_answer() -> None:
    life = Life().created().sent()
    assert (view(life)["status"], view(life)["outcome"]) == ("processing", "unconfirmed")
    assert view(life.charged())["outcome"] is None


def test_a_failure_has_three_layers() -> None:
    failure = Failure(
        error_class=funds_failure().error_class, code="insufficient_funds", message="No funds.",
        connector=ConnectorDetail(code="card_declined", message="Your card...", http_status=402),
        network=NetworkDetail(scheme="visa", decline_code="51", advice_code="02"),
    )  # fmt: skip
    life = Life().created().sent().heard(Name.DECLINED_TERMINAL, State.FAILED, AttemptState.DECLINED, Declined(failure=failure))
    found = view(life)
    assert found["failure"] == found["attempts"][0]["failure"]
    assert found["failure"] == {
        "class": "SOFT_RETRY_LATER", "code": "insufficient_funds", "message": "No funds.",
        "connector": {"code": "card_declined", "message": "Your card...", "http_status": 402},
        "network": {"decline_code": "51", "advice_code": "02"},
    }  # fmt: skip


def test_the_next_action_is_shown_while_it_is_wanted() -> None:
    life = LIVES["wants action"]()
    assert view(life)["next_action"] == {"type": "redirect", "url": "https://bank.test/3ds", "method": "GET", "fields": {}}
    assert view(life.charged())["next_action"] is None


def test_the_end_of_a_hold_is_shown_while_it_stands() -> None:
    life = Life(intent=an_intent(capture=CaptureMode.MANUAL)).created().sent()
    until = START + timedelta(days=7)
    evidence = Evidence(source=Source.RESPONSE, finding=Approved(), at=life.at, psp_reference="pi_1", expires_at=until)
    change = e.AttemptChange(attempt_id=life.attempt.id, state=AttemptState.AUTHORIZED, evidence=evidence)
    life.tell(Name.PROVIDER_AUTHORIZED, State.AUTHORIZED, change)
    assert view(life)["authorization_expires_at"] == "2026-03-08T12:00:00.000Z"
    assert view(life)["amount_capturable"] == 1999


def test_operations_stand_in_their_lists() -> None:
    found = view(refunding())
    assert [one["status"] for one in found["captures"]] == ["succeeded"]
    (refund,) = found["refunds"]
    assert (refund["object"], refund["status"], refund["outcome"], refund["amount"]) == ("refund", "pending", "unconfirmed", 500)
    assert (found["amount_captured"], found["amount_refunded"], found["amount_refundable"]) == (1999, 0, 1499)


def test_an_operation_is_shown_with_its_payment_inside() -> None:
    life = refunding()
    refund = life.payment.operations[-1]
    found = msgspec.json.decode(operation_json(life.payment, refund.id))
    OperationAnswerShape.model_validate(found)
    assert found == view(life)["refunds"][0] | {"payment": view(life)}
    with pytest.raises(KeyError):
        operation_json(life.payment, new_id("ref"))


def test_how_money_settled_is_told_of_the_whole_and_of_each_operation() -> None:
    life = refunding()
    [capture, refund] = life.payment.operations
    of_capture, of_refund = uuid_of(capture.id), uuid_of(refund.id)

    def told(*settled: tuple[UUID, SettlementState]) -> tuple[str, str, str]:
        found = msgspec.json.decode(payment_json(life.payment, settled))
        assert msgspec.json.decode(operation_json(life.payment, refund.id, settled))["settlement"] == found["refunds"][0]["settlement"]
        return tuple(one["settlement"]["status"] for one in (found, found["captures"][0], found["refunds"][0]))

    pending, done, bad, reviewed = (
        SettlementState.PENDING, SettlementState.SETTLED, SettlementState.MISMATCHED, SettlementState.MANUALLY_REVIEWED,
    )  # fmt: skip
    assert told() == ("not_due", "not_due", "not_due")
    assert told((of_capture, pending)) == ("pending", "pending", "not_due")
    assert told((of_capture, done), (of_refund, pending)) == ("pending", "settled", "pending")
    assert told((of_capture, done), (of_refund, done)) == ("settled", "settled", "settled")
    assert told((of_capture, done), (of_refund, reviewed)) == ("manually_reviewed", "settled", "manually_reviewed")
    assert told((of_capture, bad), (of_refund, pending)) == ("mismatched", "mismatched", "pending")
    assert told((of_capture, reviewed), (of_refund, pending)) == ("pending", "manually_reviewed", "pending")
    assert told((of_refund, done), (of_refund, pending)) == ("pending", "not_due", "pending")


def test_where_nobody_asked_what_has_moved_is_pending() -> None:
    found = view(refunding())
    assert [one["settlement"]["status"] for one in (found, found["captures"][0], found["refunds"][0])] == ["pending", "pending", "not_due"]
    assert view(Life().created().sent().authorized())["settlement"] == {"status": "not_due"}


def wished(life: Life) -> Life:
    return life.tell(Name.CANCEL_INTENT_RECORDED, life.payment.state, e.CancelIntent(reference="v-1", metadata={"why": "late"}))


@pytest.mark.parametrize(
    ("life", "status"),
    [
        (lambda: wished(Life().created().sent()), "pending"),
        (lambda: wished(Life().created().sent().lost()), "pending"),
        (lambda: wished(Life().created().sent()).declined(), "succeeded"),
        (lambda: wished(Life().created().sent()).charged(), "failed"),
        (LIVES["canceled"], "succeeded"),
    ],
)
def test_a_void_that_is_only_a_wish_is_shown_without_an_id(life: Callable[[], Life], status: str) -> None:
    payment = life().payment
    found = msgspec.json.decode(operation_json(payment, new_id("void")))
    OperationAnswerShape.model_validate(found)
    assert (found["id"], found["object"], found["status"], found["amount"]) == (None, "void", status, None)
    assert (found["reference"], found["metadata"]) == (("v-1", {"why": "late"}) if payment.cancel_requested else (None, {}))
    assert (found["failure"] or {}).get("code") == ("captured_first" if status == "failed" else None)


def test_moments_are_utc_with_milliseconds() -> None:
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, 678999, tzinfo=UTC)) == "2026-01-02T03:04:05.678Z"
    assert rfc3339(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=2)))) == "2026-01-02T01:04:05.000Z"


@pytest.mark.parametrize("kind", sorted(BY_STATE.values()))
def test_an_announcement_holds_the_payment(kind: str) -> None:
    life = LIVES["charged"]()
    found = msgspec.json.decode(announcement_json("evt_1", kind, 5, life.payment, replace(life.events[-1], at=START)))
    assert found == {"id": "evt_1", "type": kind, "created_at": "2026-03-01T12:00:00.000Z", "sequence": 5, "data": {"payment": view(life)}}


def test_an_announcement_of_an_operation_holds_it_too() -> None:
    life = captured()
    found = msgspec.json.decode(announcement_json("evt_1", "capture.succeeded", 7, life.payment, life.events[-1]))
    assert found["data"] == {"payment": view(life), "capture": view(life)["captures"][0]}


def a_dispute(life: Life) -> Dispute:
    return Dispute(
        id=new_id("dsp"), attempt_id=life.payment.attempts[0].id, psp_reference="dp_1", stage=DisputeStage.DISPUTE,
        status=DisputeStatus.OPENED, amount=Money(500, "EUR"), created_at=START, updated_at=START, reason="fraudulent",
    )  # fmt: skip


def test_of_two_that_one_moment_changed_the_events_own_is_told() -> None:
    life = captured()
    first, second = a_dispute(life), replace(a_dispute(life), psp_reference="dp_2")
    for dispute in (first, second):
        life.tell(Name.DISPUTE_OPENED, life.payment.state, e.DisputeOpened(dispute=dispute))
    for event, dispute in zip(life.events[-2:], (first, second), strict=True):
        found = msgspec.json.decode(announcement_json("evt_1", "dispute.opened", 9, life.payment, event))
        assert found["data"]["dispute"]["psp_reference"] == dispute.psp_reference


def test_a_dispute_is_shown_with_its_payment_and_told_of() -> None:
    life = captured()
    dispute = a_dispute(life)
    life.tell(Name.DISPUTE_OPENED, life.payment.state, e.DisputeOpened(dispute=dispute))
    shown = view(life)
    assert [(one["id"], one["stage"], one["status"], one["amount"]) for one in shown["disputes"]] == [
        (dispute.id, "dispute", "opened", 500)
    ]
    assert shown["amount_refundable"] == shown["amount_captured"] - 500
    found = msgspec.json.decode(announcement_json("evt_1", "dispute.opened", 9, life.payment, life.events[-1]))
    assert found["data"] == {"payment": shown, "dispute": shown["disputes"][0]}
    assert story(life)[-1]["sentence"] == "The shopper's bank disputes 5.00 EUR at Stripe: fraudulent."


# The timeline


def test_there_is_a_sentence_for_every_event() -> None:
    assert set(SENTENCES) == set(Name)
    places = {"amount", "connector", "method", "operation", "because", "choice", "finding", "who", "named", "deed", "status"}
    places |= {"disputes", "dispute", "standing", "people", "ended", "asker"}
    for sentence in SENTENCES.values():
        assert {name for _, name, _, _ in string.Formatter().parse(sentence) if name} <= places
        assert sentence.endswith(".")


@pytest.mark.parametrize("name", Name)
def test_every_event_can_be_told(name: Name) -> None:
    """Also out of its order, with nothing before it, and with every kind of data that it may carry."""
    life = refunding()
    operation = life.payment.operations[-1]
    data: dict[type, e.Data] = {
        type(event.data): event.data for event in life.events
    } | {
        e.Ending: e.Ending(failure=funds_failure()),
        e.CancelIntent: e.CancelIntent(),
        e.Discrepancy: e.Discrepancy(kind="odd", detail="Two of them."),
        e.HoldSet: e.HoldSet(hold=Hold(reason="poison", since=START, by="system")),
        e.HoldEnded: e.HoldEnded(reason="looked at"),
        e.Correction: e.Correction(requester="ann", approver="ben", reason="seen", evidence_reference="ticket 1", operation=operation),
        e.ReviewWanted: e.ReviewWanted(reason="seen at the PSP"),
        e.Resync: e.Resync(attempt_id=None, operation_id=operation.id, reason="again", next_action_at=START),
        e.DisputeOpened: e.DisputeOpened(dispute=a_dispute(life)),
        e.DisputeChange: e.DisputeChange(dispute=replace(a_dispute(life), status=DisputeStatus.WON)),
        e.FenceOpened: e.FenceOpened(
            attempt_id=life.attempt.id, fence=Fence(call=life.attempt.call, psp_key="secret_psp_key", prepared_at=START)
        ),
        e.Completion: e.Completion(
            attempt_id=life.attempt.id, call=life.attempt.call, psp_key="secret_psp_key", psp_key_safe_until=START, next_action_at=START
        ),
    }  # fmt: skip
    for kind in e.DATA[name]:
        event = e.Event(name=name, to=State.CAPTURED, at=START, actor="system", cause="x", data=data[kind])
        raw = timeline_json(life.payment_id, [event])
        TimelineShape.model_validate_json(raw)
        sentence = msgspec.json.decode(raw)["data"][0]["sentence"]
        assert "{" not in sentence
        assert len(sentence) > 10


@pytest.mark.parametrize(("alone", "said"), [(False, "Two people"), (True, "One person, with the glass broken,")])
def test_what_people_found_out_says_how_many_they_were(alone: bool, said: str) -> None:
    life = refunding()
    refund = replace(life.payment.operations[-1], state=OperationState.FAILED)
    found = e.Correction(requester="ann", approver="ben", reason="seen", evidence_reference="ticket 1", operation=refund, alone=alone)
    life.tell(Name.OPERATION_CORRECTED, life.payment.state, found)
    sentence = story(life)[-1]["sentence"]
    assert sentence == f"{said} found out what became of the refund of 5.00 EUR at Stripe: it has failed: seen (ticket 1)."


def test_merchants_are_not_told_an_operators_name_and_words() -> None:
    excluded = Exclusion(connector="adyen", reason="draining until 2026-03-01 12:30Z by ana: their account manager asked for it")
    decision = Decision(order=("stripe",), excluded=(excluded,), version="1")
    event = e.Event(name=Name.ROUTED, to=State.ROUTING, at=START, actor="router", cause="x", data=e.Choice(decision=decision))
    raw = timeline_json(new_id("pay"), [event])
    assert b"ana" not in raw
    assert b"it takes no new payments for a while" in raw


def test_the_story_of_a_decline_reads_as_one() -> None:
    entries = story(LIVES["declined"]())
    assert [one["sentence"] for one in entries] == [
        "The merchant asked for 19.99 EUR.",
        "The payment was confirmed.",
        "Connectors were chosen: Stripe, then Adyen.",
        "An attempt for 19.99 EUR at Stripe was recorded, to be sent now.",
        "Stripe declined the card: Insufficient funds (insufficient_funds).",
    ]
    assert [(one["from"], one["to"]) for one in entries][-1] == ("AUTHORIZING", "FAILED")
    assert [one["sequence"] for one in entries] == [1, 2, 3, 4, 5]
    assert entries[2]["routing"] == {
        "order": ["stripe", "adyen"], "excluded": [{"connector": "paypal", "reason": "no token"}], "rule": "default", "version": "1",
    }  # fmt: skip
    last = entries[-1]
    assert (last["actor"], last["cause"]) == ("psp:stripe", "req_1")
    assert last["evidence"]["raw"] == {"ok": [1, None]}
    assert (last["evidence"]["source"], last["evidence"]["finding"], last["evidence"]["latency_ms"]) == ("response", "Declined", 31)
    assert last["evidence"]["amount"] == {"amount": 1999, "currency": "EUR"}
    assert last["failure"]["code"] == "insufficient_funds"


def test_the_story_of_a_dispute_reads_as_one() -> None:
    life = captured()
    opened = replace(a_dispute(life), respond_by=START + timedelta(days=7), told_at=START)
    inquiry = replace(opened, id=new_id("dsp"), stage=DisputeStage.PRE_DISPUTE, respond_by=None)
    challenged = replace(opened, status=DisputeStatus.CHALLENGED)
    last = replace(opened, id=new_id("dsp"), stage=DisputeStage.PRE_ARBITRATION, status=DisputeStatus.LOST)
    state = life.payment.state
    life.tell(Name.DISPUTE_OPENED, state, e.DisputeOpened(dispute=inquiry))
    life.tell(Name.DISPUTE_OPENED, state, e.DisputeOpened(dispute=opened, raw='{"id": "dp_1"}'))
    life.tell(Name.DISPUTE_UPDATED, state, e.DisputeChange(dispute=challenged))
    life.tell(Name.DISPUTE_OPENED, state, e.DisputeOpened(dispute=last))
    doubt = e.Discrepancy(kind="dispute_contradicted", detail="It was lost, and now it is won.", subject_id=last.id)
    life.tell(Name.DISCREPANCY_RAISED, state, doubt)
    entries = story(life)[-5:]
    assert [one["sentence"] for one in entries[:4]] == [
        "The shopper's bank asks about 5.00 EUR at Stripe: fraudulent.",
        "The shopper's bank disputes 5.00 EUR at Stripe: fraudulent; it can be answered until 2026-03-08T12:00:00.000Z.",
        "The dispute of 5.00 EUR at Stripe is challenged now: fraudulent.",
        "The shopper's bank goes on to dispute 5.00 EUR at Stripe: fraudulent; it is lost already.",
    ]
    assert entries[1]["subject"] == {
        "id": opened.id, "object": "dispute", "connector": "stripe", "amount": {"amount": 500, "currency": "EUR"},
    }  # fmt: skip
    evidence = entries[1]["evidence"]
    assert (evidence["source"], evidence["finding"], evidence["psp_reference"], evidence["raw"]) == (
        "webhook",
        "Dispute",
        "dp_1",
        {"id": "dp_1"},
    )
    assert entries[4]["subject"]["id"] == last.id


def test_the_psps_own_words_are_told_where_it_had_some() -> None:
    failure = Failure(
        error_class=funds_failure().error_class, code="declined_for_now", message="The issuer declined.",
        connector=ConnectorDetail(message="Your card has insufficient funds."), network=NetworkDetail(decline_code="51"),
    )  # fmt: skip
    life = Life().created().sent().heard(Name.DECLINED_TERMINAL, State.FAILED, AttemptState.DECLINED, Declined(failure=failure))
    told = "Stripe declined the card: Your card has insufficient funds (declined_for_now, network code 51)."
    assert story(life)[-1]["sentence"] == told


def test_a_raw_answer_that_is_no_json_is_told_as_text() -> None:
    assert story(LIVES["lost"]())[-1]["evidence"]["raw"] == "<html>"


@pytest.mark.parametrize("raw", ["NaN", '{"a":', "", '"\\ud800"', "[" * 5000])
def test_no_raw_answer_can_hurt_the_timeline(raw: str) -> None:
    life = Life().created().sent().heard(Name.OUTCOME_LOST, State.OUTCOME_UNKNOWN, AttemptState.UNKNOWN, Approved(), raw=raw)
    story(life)


def test_a_wallet_is_not_called_a_card() -> None:
    life = Life(intent=an_intent(method=PaymentMethod(type="paypal"))).created().sent().declined()
    assert story(life)[-1]["sentence"].startswith("Stripe declined the payment")
    assert a_method().type == "card"
