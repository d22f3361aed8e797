"""What Stripe tells of when nobody asked: every step that it, a bank, a shopper or a person in the dashboard takes is told, and each event
carries what its payment is found by."""

from __future__ import annotations

import json
from typing import Any

import pytest

from connectors.stripe import notices
from tests.simulator.test_dashboard import SEVERAL, done
from tests.simulator.world import MANUAL, World

OURS = {"metadata[payorch_attempt]": "att_01hzy3v8w4c6d8f0g2j4k6m8n0"}


def told(world: World, since: int) -> list[dict[str, Any]]:
    """The events after that many, oldest first."""
    page = world.ledger.notifications(limit=1000)
    return [json.loads(one.body) for one in reversed(page.items)][since:]


def count(world: World) -> int:
    return len(world.ledger.notifications(limit=1000).items)


def pay(world: World, method: str = "tok_visa", **more: Any) -> str:
    return str(world.pay(method, OURS | more).json["id"])


def capture_late_failure(world: World) -> None:
    pay(world, "tok_capture_fails_late")
    world.later(5)


def refund_late_failure(world: World) -> None:
    world.post("/v1/refunds", {"payment_intent": pay(world, "tok_refund_fails_late"), "metadata[payorch_operation]": "ref_1"})
    world.later(5)


def refund_pending(world: World) -> None:
    world.post("/v1/refunds", {"payment_intent": pay(world, "pm_card_pendingRefund"), "amount": 5})
    world.later(5)


def expiry(world: World) -> None:
    pay(world, **MANUAL)
    world.later(8 * 86400)


def expiry_of_a_rest(world: World) -> None:
    id = pay(world, **SEVERAL)
    world.post(f"/v1/payment_intents/{id}/capture", {"amount_to_capture": 5, "final_capture": "false"})
    world.later(8 * 86400)


def pending(world: World) -> None:
    pay(world, "tok_pending")
    world.later(3)


def pending_hold(world: World) -> None:
    pay(world, "tok_pending", **MANUAL)
    world.later(3)


def shopper(outcome: str) -> Any:
    def acts(world: World) -> None:
        world.post(f"/_3ds/{pay(world, 'tok_3ds')}-1", {"outcome": outcome}, headers=())

    return acts


def dashboard(deed: str, amount: int | None = None, more: Any = None) -> Any:
    def acts(world: World) -> None:
        done(world, pay(world, **(more or {})), deed, amount)

    return acts


CREATED = "payment_intent.created"
PAID = [CREATED, "charge.succeeded", "payment_intent.succeeded"]
HELD = [CREATED, "charge.succeeded", "payment_intent.amount_capturable_updated"]
REFUNDED = [*PAID, "charge.refunded", "refund.created"]
PROCESSING = [CREATED, "charge.pending", "payment_intent.processing"]
ASKED = [CREATED, "payment_intent.requires_action"]


@pytest.mark.parametrize(
    ("acts", "expected"),
    [
        (capture_late_failure, [*PAID, "charge.failed", "payment_intent.payment_failed"]),
        (refund_late_failure, [*REFUNDED, "refund.updated", "refund.failed", "charge.refund.updated"]),
        (refund_pending, [*REFUNDED, "refund.updated", "charge.refund.updated"]),
        (expiry, [*HELD, "charge.expired", "payment_intent.canceled"]),
        (
            expiry_of_a_rest,
            [*HELD, "charge.captured", "payment_intent.amount_capturable_updated", "charge.expired", "payment_intent.succeeded"],
        ),
        (pending, [*PROCESSING, "charge.succeeded", "payment_intent.succeeded"]),
        (pending_hold, [*PROCESSING, "charge.succeeded", "payment_intent.amount_capturable_updated"]),
        (shopper("approve"), [*ASKED, "charge.succeeded", "payment_intent.succeeded"]),
        (shopper("fail"), [*ASKED, "payment_intent.payment_failed"]),
        (shopper("cancel"), [*ASKED, "payment_intent.payment_failed"]),
        (dashboard("refund", 700), REFUNDED),
        (dashboard("capture", 700, MANUAL), [*HELD, "charge.captured", "payment_intent.succeeded"]),
        (dashboard("cancel", more=MANUAL), [*HELD, "charge.refunded", "payment_intent.canceled"]),
        (dashboard("expire", more=MANUAL), [*HELD, "charge.expired", "payment_intent.canceled"]),
        (dashboard("dispute"), [*PAID, "charge.dispute.created", "charge.dispute.funds_withdrawn"]),
        (dashboard("inquiry"), [*PAID, "charge.dispute.created"]),
    ],
)
def test_each_step_is_told_and_can_be_found(world: World, acts: Any, expected: list[str]) -> None:
    acts(world)
    events = told(world, 0)
    assert [event["type"] for event in events] == expected
    [payment] = world.ledger.payments(limit=10).items
    for event in events:
        notice = notices.notice(json.dumps(event).encode())
        assert (notice.identity, notice.kind, notice.relevant, notice.problem) == (event["id"], event["type"], True, None)
        assert payment.id in notice.psp_references
        shown = event["data"]["object"]
        if shown["object"] in ("payment_intent", "charge"):
            assert shown["metadata"] == {"payorch_attempt": OURS["metadata[payorch_attempt]"]}


def test_what_the_psp_or_a_person_does_has_no_request_of_ours(world: World) -> None:
    id = world.pay(params=OURS, key="our-key").json["id"]
    assert {event["request"]["idempotency_key"] for event in told(world, 0)} == {"our-key"}
    since = count(world)
    done(world, id, "refund", 5)
    done(world, id, "dispute")
    assert all(event["request"] == {"id": None, "idempotency_key": None} for event in told(world, since))


def test_snapshots_show_the_moment_they_are_of(world: World) -> None:
    id = world.pay(params=OURS).json["id"]
    for amount in (500, 700):
        world.post("/v1/refunds", {"payment_intent": id, "amount": amount, "metadata[payorch_operation]": f"ref_{amount}"})
    events = told(world, 3)
    charges = [event["data"]["object"] for event in events if event["type"] == "charge.refunded"]
    assert [(charge["amount_refunded"], charge["refunded"]) for charge in charges] == [(500, False), (1200, False)]
    refunds = [event["data"]["object"] for event in events if event["type"] == "refund.created"]
    assert [(one["amount"], one["metadata"], one["payment_intent"], one["status"]) for one in refunds] == [
        (500, {"payorch_operation": "ref_500"}, id, "succeeded"),
        (700, {"payorch_operation": "ref_700"}, id, "succeeded"),
    ]
