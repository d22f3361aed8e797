"""Disputes and inquiries: what banks do, what the merchant can do about it, and what Stripe tells of it; also through Stripe's own SDK."""

from __future__ import annotations

import json
from typing import Any

import pytest
import stripe

from connectors.simulator.records import OperationKind, OperationStatus
from connectors.stripe import objects, verdicts
from connectors.stripe.dialect_disputes import RESPOND_WITHIN
from payorch.domain.disputes import DisputeStage, DisputeStatus
from tests.simulator.conftest import Server
from tests.simulator.test_dashboard import done, press
from tests.simulator.test_stripe_sdk import call, client_of, confirmed
from tests.simulator.test_stripe_shapes import check
from tests.simulator.world import MANUAL, World

OPENED = ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
WON = ["charge.dispute.closed", "charge.dispute.funds_reinstated"]
LONG = RESPOND_WITHIN.total_seconds()


def disputes(world: World, id: str) -> list[dict[str, Any]]:
    data: list[dict[str, Any]] = world.get("/v1/disputes", {"payment_intent": id}).json["data"]
    for one in data:
        check("dispute", one)
    return data


def only(world: World, id: str) -> dict[str, Any]:
    [dispute] = disputes(world, id)
    return dispute


def disputed(world: World, what: str = "dispute", amount: int | None = None) -> tuple[str, dict[str, Any]]:
    """A paid payment's id, and its dispute."""
    id = world.pay().json["id"]
    done(world, id, what, amount)
    return id, only(world, id)


def standing(dispute: dict[str, Any]) -> tuple[DisputeStage, DisputeStatus] | None:
    """What the connector makes of it."""
    seen = objects.dispute(dispute)
    assert seen is not None
    return verdicts.of_dispute(seen)


def test_a_dispute_takes_the_money_from_the_balance_and_leaves_the_books_of_the_payment_alone(world: World) -> None:
    id = world.pay(params={"metadata[payorch_attempt]": "att_1"}).json["id"]
    before, totals = world.books(), world.totals(id)
    assert done(world, id, "dispute")["webhooks"] == OPENED
    dispute = only(world, id)
    assert (dispute["amount"], dispute["currency"], dispute["status"], dispute["reason"]) == (1999, "eur", "needs_response", "fraudulent")
    assert (dispute["payment_intent"], dispute["charge"]) == (id, world.intent(id)["latest_charge"]["id"])
    assert dispute["evidence_details"]["due_by"] == int((world.now + RESPOND_WITHIN).timestamp())
    assert [it["amount"] for it in dispute["balance_transactions"]] == [-1999]
    assert (dispute["is_charge_refundable"], world.intent(id)["latest_charge"]["disputed"]) == (False, True)
    assert (world.books(), world.totals(id)) == (before, totals)
    assert standing(dispute) == (DisputeStage.DISPUTE, DisputeStatus.OPENED)
    [event, _] = world.get("/v1/events", {"limit": 2}).json["data"]
    assert event["data"]["object"] == dispute
    assert world.get("/v1/refunds").json["data"] == []
    assert world.get(f"/v1/refunds/{dispute['id']}").status == 404


def test_what_is_charged_back_is_not_refunded_as_well(world: World) -> None:
    id, dispute = disputed(world)
    refused = world.post("/v1/refunds", {"payment_intent": id})
    assert (refused.status, refused.error["code"]) == (400, "charge_disputed")
    assert "has been charged back" in press(world, {"payment": id, "do": "refund"}).body.decode()
    assert done(world, id, "win_dispute")["webhooks"] == WON
    assert world.post("/v1/refunds", {"payment_intent": id}).status == 200
    assert [it["amount"] for it in only(world, id)["balance_transactions"]] == [-1999, 1999]
    assert only(world, id)["id"] == dispute["id"]


def test_the_rest_of_what_is_disputed_in_part_can_be_refunded(world: World) -> None:
    id, dispute = disputed(world, amount=500)
    assert dispute["amount"] == 500
    for amount in (1500, 1999):
        assert world.post("/v1/refunds", {"payment_intent": id, "amount": amount}).error["code"] == "charge_disputed"
    assert "greater than unrefunded" in world.post("/v1/refunds", {"payment_intent": id, "amount": 2000}).error["message"]
    assert world.post("/v1/refunds", {"payment_intent": id}).json["amount"] == 1499
    assert world.post("/v1/refunds", {"payment_intent": id}).error["code"] == "charge_disputed"


def test_evidence_goes_to_the_bank_once(world: World) -> None:
    id, dispute = disputed(world)
    path = f"/v1/disputes/{dispute['id']}"
    staged = world.post(path, {"evidence[customer_name]": "Ä", "submit": "false", "metadata[a]": "b"})
    assert (staged.json["status"], staged.json["evidence_details"]["has_evidence"]) == ("needs_response", True)
    sent = world.post(path, {"submit": "true"})
    assert (sent.json["status"], sent.json["evidence_details"]["submission_count"]) == ("under_review", 1)
    assert (sent.json["evidence"]["customer_name"], sent.json["metadata"]) == ("Ä", {"a": "b"})
    assert staged.webhooks == sent.webhooks == ("charge.dispute.updated",)
    assert standing(sent.json) == (DisputeStage.DISPUTE, DisputeStatus.CHALLENGED)
    assert world.post(path, {"evidence[customer_name]": "B"}).status == 400
    assert world.post(path, {"metadata[a]": ""}).json["metadata"] == {}
    assert world.later(LONG) == ()  # the bank has an answer and takes its time
    assert done(world, id, "lose_dispute")["webhooks"] == ["charge.dispute.closed"]
    assert standing(only(world, id)) == (DisputeStage.DISPUTE, DisputeStatus.LOST)


@pytest.mark.parametrize(
    "params",
    [
        {"submit": "true"},
        {"submit": "perhaps"},
        {"evidence": "x"},
        {"evidence[nonsense]": "x"},
        {"evidence[customer_name][first]": "x"},
        {"evidence[uncategorized_text]": "x" * 20_001},
        {"amount": "5"},
    ],
)
def test_what_is_no_evidence_changes_nothing(world: World, params: dict[str, Any]) -> None:
    _, dispute = disputed(world)
    refused = world.post(f"/v1/disputes/{dispute['id']}", params)
    assert (refused.status, refused.webhooks) == (400, ())
    check("error", refused.json)
    assert world.get(f"/v1/disputes/{dispute['id']}").json == dispute


@pytest.mark.parametrize(
    ("text", "status", "told"),
    [
        ("winning_evidence", "won", ("charge.dispute.closed", "charge.dispute.funds_reinstated")),
        ("losing_evidence", "lost", ("charge.dispute.closed",)),
        ("what a bank would read", "under_review", ()),
    ],
)
def test_stripes_test_evidence_decides(world: World, text: str, status: str, told: tuple[str, ...]) -> None:
    _, dispute = disputed(world)
    world.post(f"/v1/disputes/{dispute['id']}", {"evidence[uncategorized_text]": text})
    assert world.later(5) == told
    assert world.get(f"/v1/disputes/{dispute['id']}").json["status"] == status


def test_what_is_decided_stays_decided(world: World) -> None:
    id, dispute = disputed(world)
    world.post(f"/v1/disputes/{dispute['id']}", {"evidence[uncategorized_text]": "winning_evidence"})
    done(world, id, "lose_dispute")
    assert world.later(LONG) == ()
    assert only(world, id)["status"] == "lost"


def test_who_does_not_answer_loses(world: World) -> None:
    id, _ = disputed(world)
    assert world.later(LONG - 1) == ()
    assert world.later(1) == ("charge.dispute.closed",)
    assert only(world, id)["status"] == "lost"
    kept = world.ledger.operation(only(world, id)["id"], OperationKind.DISPUTE)
    assert kept is not None
    assert kept.status is OperationStatus.FAILED
    assert press(world, {"payment": id, "do": "win_dispute"}).status == 409
    assert press(world, {"payment": id, "do": "dispute"}).status == 409  # there is nothing left to take


def test_accepting_a_dispute(world: World) -> None:
    id, dispute = disputed(world)
    closed = world.post(f"/v1/disputes/{dispute['id']}/close")
    assert (closed.json["status"], closed.webhooks) == ("lost", ("charge.dispute.closed",))
    assert world.post(f"/v1/disputes/{dispute['id']}/close").status == 400
    assert world.later(LONG) == ()
    assert world.intent(id)["latest_charge"]["disputed"] is True


# --- inquiries


def test_an_inquiry_takes_nothing_and_comes_to_nothing(world: World) -> None:
    id, inquiry = disputed(world, "inquiry")
    assert (inquiry["status"], inquiry["balance_transactions"], inquiry["is_charge_refundable"]) == ("warning_needs_response", [], True)
    assert standing(inquiry) == (DisputeStage.PRE_DISPUTE, DisputeStatus.OPENED)
    assert world.post("/v1/refunds", {"payment_intent": id, "amount": 100}).status == 200
    assert press(world, {"payment": id, "do": "lose_dispute"}).status == 409
    answered = world.post(f"/v1/disputes/{inquiry['id']}", {"evidence[product_description]": "A book"})
    assert answered.json["status"] == "warning_under_review"
    assert world.later(LONG) == ("charge.dispute.closed",)
    assert only(world, id)["status"] == "warning_closed"
    again, other = disputed(world, "inquiry")
    assert world.post(f"/v1/disputes/{other['id']}/close").json["status"] == "warning_closed"
    assert press(world, {"payment": again, "do": "win_dispute"}).status == 409


def test_an_inquiry_becomes_a_dispute_of_the_same_name(world: World) -> None:
    id, inquiry = disputed(world, "inquiry", 700)
    assert press(world, {"payment": id, "do": "inquiry"}).status == 409
    assert press(world, {"payment": id, "do": "dispute", "amount": 900}).status == 409
    assert done(world, id, "dispute")["webhooks"] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]
    dispute = only(world, id)
    assert (dispute["id"], dispute["amount"], dispute["status"]) == (inquiry["id"], 700, "needs_response")
    assert press(world, {"payment": id, "do": "dispute"}).status == 409
    assert world.later(LONG) == ("charge.dispute.closed",)
    assert only(world, id)["status"] == "lost"
    _, second = disputed(world, "inquiry")
    world.post(f"/v1/disputes/{second['id']}", {"evidence[uncategorized_text]": "escalate_inquiry_evidence"})
    assert world.later(5) == ("charge.dispute.updated", "charge.dispute.funds_withdrawn")


# --- which payments


@pytest.mark.parametrize(
    ("method", "reason", "status"),
    [
        ("pm_card_createDispute", "fraudulent", "needs_response"),
        ("tok_createDispute", "fraudulent", "needs_response"),
        ("pm_card_createDisputeProductNotReceived", "product_not_received", "needs_response"),
        ("pm_card_createDisputeInquiry", "fraudulent", "warning_needs_response"),
    ],
)
def test_stripes_test_cards_are_disputed_once_the_money_is_taken(world: World, method: str, reason: str, status: str) -> None:
    paid = world.pay(method)
    assert (paid.json["status"], world.get("/v1/disputes").json["data"] == []) == ("succeeded", False)
    assert (only(world, paid.json["id"])["reason"], only(world, paid.json["id"])["status"]) == (reason, status)
    held = world.pay(method, MANUAL).json["id"]
    assert world.later(60) == ()
    assert "charge.dispute.created" not in world.post(f"/v1/payment_intents/{held}/capture", {"amount_to_capture": 500}).webhooks
    told = world.later(0)
    assert told[0] == "charge.dispute.created"
    assert only(world, held)["amount"] == 500


def test_only_what_was_taken_can_be_disputed(world: World) -> None:
    held = world.pay(params=MANUAL).json["id"]
    assert press(world, {"payment": held, "do": "dispute"}).status == 409
    paid = world.pay().json["id"]
    assert press(world, {"payment": paid, "do": "dispute", "amount": 2000}).status == 409
    done(world, paid, "dispute", 1500)
    done(world, paid, "lose_dispute")
    assert press(world, {"payment": paid, "do": "dispute", "amount": 500}).status == 409
    done(world, paid, "dispute")
    assert sorted(it["amount"] for it in disputes(world, paid)) == [499, 1500]


def test_units_of_currencies(world: World) -> None:
    id = world.pay(params={"currency": "isk", "amount": 50000}).json["id"]
    done(world, id, "dispute", 200)
    assert (only(world, id)["amount"], only(world, id)["balance_transactions"][0]["amount"]) == (20000, -20000)


def test_every_event_of_a_dispute_is_as_published(world: World) -> None:
    for what in ("win_dispute", "lose_dispute"):
        id, dispute = disputed(world)
        world.post(f"/v1/disputes/{dispute['id']}", {"evidence[uncategorized_text]": "x"})
        done(world, id, what)
    events = world.get("/v1/events", {"limit": 100}).json["data"]
    seen = {event["type"] for event in events if event["type"].startswith("charge.dispute.")}
    assert seen == {f"charge.dispute.{name}" for name in ("created", "funds_withdrawn", "updated", "closed", "funds_reinstated")}
    for event in events:
        check("event", event)
        check(event["data"]["object"]["object"], event["data"]["object"])


# --- Stripe's own SDK


def test_the_sdk_answers_disputes(server: Server) -> None:
    client = client_of(server)
    paid = client.v1.payment_intents.create(confirmed("pm_card_createDispute"))
    [dispute] = client.v1.disputes.list({"payment_intent": paid.id}).data
    assert isinstance(dispute, stripe.Dispute)
    assert client.v1.disputes.retrieve(dispute.id).status == "needs_response"
    with pytest.raises(stripe.InvalidRequestError) as refused:
        client.v1.refunds.create({"payment_intent": paid.id})
    assert refused.value.code == "charge_disputed"
    sent = client.v1.disputes.update(dispute.id, {"evidence": {"product_description": "A book"}, "metadata": {"a": "b"}})
    assert (sent.status, sent.evidence.product_description, sent.evidence_details.submission_count) == ("under_review", "A book", 1)
    shown = call(server, "POST", "/stripe/_dashboard", {"payment": paid.id, "do": "win_dispute"})
    assert shown["webhooks"] == WON
    assert client.v1.disputes.retrieve(dispute.id).status == "won"
    other = client.v1.payment_intents.create(confirmed("pm_card_createDisputeProductNotReceived"))
    [dispute] = client.v1.disputes.list({"charge": str(other.latest_charge)}).data
    assert client.v1.disputes.close(dispute.id).status == "lost"
    with pytest.raises(stripe.InvalidRequestError, match="No such dispute"):
        client.v1.disputes.retrieve("dp_none")
    assert len(client.v1.disputes.list({"limit": 1}).data) == 1
    known = call(server, "GET", "/stripe/_ledger?limit=1000")
    assert "dispute" not in json.dumps(known["entries"])  # no money of a payment's moved
