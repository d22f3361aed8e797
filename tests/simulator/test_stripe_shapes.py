"""Every object the dialect shows is one that Stripe's published OpenAPI document describes.

`stripe_schemas.json` is cut out of that document (its first line says which, and its licence). Newer fields than it knows are allowed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from tests.simulator.world import MANUAL, World

SCHEMAS: dict[str, Any] = json.loads((Path(__file__).parent / "stripe_schemas.json").read_text())


def check(kind: str, shown: dict[str, Any]) -> None:
    """Fails with the first way in which it is no such object."""
    validator = Draft202012Validator({"$ref": f"#/$defs/{kind}", "$defs": SCHEMAS["$defs"]})
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator.iter_errors(shown)]
    assert not problems, problems


def test_the_check_would_notice() -> None:
    with pytest.raises(AssertionError, match="amount"):
        check("payment_intent", {"id": "pi_1"})


def lives(world: World) -> list[str]:
    """Payments in every state there is, with everything that can have happened to them."""
    ids = []
    for method in ("tok_visa", "tok_pending", "tok_3ds", "tok_capture_fails_late", "tok_refund_fails_late", "pm_card_pendingRefund"):
        for more in ({}, MANUAL, MANUAL | {"payment_method_options[card][request_multicapture]": "if_available"}):
            ids += [world.pay(method, more).json["id"] for _ in range(4)]
    ids.append(world.post("/v1/payment_intents", {"amount": 100, "currency": "eur", "description": "d", "metadata[a]": "b"}).json["id"])
    for place, id in enumerate(ids):
        path = f"/v1/payment_intents/{id}"
        match place % 4:
            case 1:
                world.post(f"{path}/cancel", {"cancellation_reason": "duplicate"})
            case 2:
                world.post(f"{path}/capture", {"amount_to_capture": 999})
                world.post(f"/_3ds/{id}-1", {"outcome": "approve"}, headers=())
                world.post("/v1/refunds", {"payment_intent": id, "amount": 300})
            case 3:
                world.post(f"{path}/capture", {"amount_to_capture": 500, "final_capture": "false"})
                world.post(f"/_3ds/{id}-1", {"outcome": "fail"}, headers=())
                world.post("/v1/refunds", {"payment_intent": id})
            case _:
                pass
    return ids


@pytest.mark.parametrize("seconds", [0.0, 4.0, 60.0, 8 * 86400.0])
def test_objects_are_as_published_at_any_time(world: World, seconds: float) -> None:
    ids = lives(world)
    world.later(seconds)
    seen = set()
    for id in ids:
        intent = world.get(f"/v1/payment_intents/{id}", {"expand[0]": "latest_charge.refunds", "expand[1]": "payment_method"}).json
        check("payment_intent", intent)
        check("payment_intent", world.get(f"/v1/payment_intents/{id}").json)
        seen.add(intent["status"])
        if intent["latest_charge"] is not None:
            check("charge", intent["latest_charge"])
            assert intent["latest_charge"]["refunds"]["object"] == "list"
            for charge in world.get("/v1/charges", {"payment_intent": id}).json["data"]:
                check("charge", charge)
    if not seconds:
        expected = {"succeeded", "processing", "requires_action", "requires_capture", "canceled", "requires_payment_method"}
        assert seen == expected
    refunds = world.get("/v1/refunds", {"limit": 100}).json["data"]
    assert refunds
    for refund in refunds:
        check("refund", refund)
        check("refund", world.post(f"/v1/refunds/{refund['id']}", {"metadata[note]": "x"}).json)
    for event in world.get("/v1/events", {"limit": 100}).json["data"]:
        check("event", event)
        check(event["data"]["object"]["object"], event["data"]["object"])


def test_errors_are_as_published(world: World) -> None:
    id = world.pay("tok_visa").json["id"]
    for answer in (
        world.pay("tok_hard_decline"),
        world.pay("tok_fraud"),
        world.pay("tok_visa", {"amount": "x"}),
        world.post(f"/v1/payment_intents/{id}/capture"),
        world.get("/v1/payment_intents/pi_1"),
        world.get("/v1/payment_intents", headers=()),
        world.pay("tok_visa", key="k", busy=True),
        world.pay("tok_visa", headers=(("authorization", "Bearer rk_test_readonly_1"),)),
        world.post("/v1/refunds", {"payment_intent": id, "amount": 5000}),
        world.post(f"/v1/refunds/{world.post('/v1/refunds', {'payment_intent': id}).json['id']}/cancel"),
    ):
        assert answer.status >= 400
        check("error", answer.json)
