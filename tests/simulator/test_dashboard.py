"""What somebody does at the PSP without us, and what faults do to each kind of operation: the books are the judge."""

from __future__ import annotations

import json
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator import dashboard
from connectors.simulator.dialect import Deed
from connectors.simulator.faults import HEALTHY, After, Before, Malformed, Verdict
from tests.simulator.conftest import Server
from tests.simulator.world import MANUAL, Answer, World

JSON = (("content-type", "application/json; charset=utf-8"),)
SEVERAL = MANUAL | {"payment_method_options[card][request_multicapture]": "if_available"}


def press(world: World, body: object, *, method: str = "POST", headers: tuple[tuple[str, str], ...] = JSON) -> HttpResponse:
    encoded = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = HttpRequest(method=method, path=dashboard.PATH, headers=headers, body=encoded)
    return dashboard.answer(world.ledger, world.dialect, request, world.now)


def done(world: World, id: str, do: str, amount: int | None = None) -> dict[str, Any]:
    answer = press(world, {"payment": id, "do": do} | ({} if amount is None else {"amount": amount}))
    assert answer.status == 200, answer.body
    shown: dict[str, Any] = json.loads(answer.body)
    return shown


def test_a_refund_made_in_the_dashboard_is_a_refund_without_our_reference(world: World) -> None:
    id = world.pay(params={"metadata[payorch_attempt]": "att_1"}).json["id"]
    shown = done(world, id, "refund", 500)
    assert (shown["payment"]["refunded"], shown["webhooks"]) == (500, ["charge.refunded", "refund.created"])
    [refund] = world.get("/v1/refunds", {"payment_intent": id}).json["data"]
    assert (refund["amount"], refund["metadata"], refund["status"]) == (500, {}, "succeeded")
    entry = world.ledger.entries()[-1]
    assert (entry.type, entry.reference, entry.operation_reference) == ("refunded", "att_1", None)
    assert done(world, id, "refund")["payment"]["refunded"] == 1999
    refused = press(world, {"payment": id, "do": "refund"})
    assert (refused.status, "already been refunded" in refused.body.decode()) == (409, True)


def test_captures_and_cancels_made_in_the_dashboard(world: World) -> None:
    id = world.pay(params=SEVERAL).json["id"]
    world.post(f"/v1/payment_intents/{id}/capture", {"amount_to_capture": 500, "final_capture": "false"})
    assert done(world, id, "capture", 300)["payment"]["captured"] == 800
    assert world.intent(id)["status"] == "succeeded"  # a capture in the dashboard is the last
    held = world.pay(params=MANUAL).json["id"]
    assert done(world, held, "cancel")["payment"]["held"] == 0
    assert (world.intent(held)["status"], world.intent(held)["cancellation_reason"]) == ("canceled", "requested_by_customer")
    assert press(world, {"payment": held, "do": "cancel"}).status == 409
    assert press(world, {"payment": held, "do": "capture"}).status == 409


def test_a_hold_can_be_made_to_run_out_now(world: World) -> None:
    id = world.pay(params=MANUAL).json["id"]
    assert done(world, id, "expire")["webhooks"] == ["charge.expired", "payment_intent.canceled"]
    assert world.intent(id)["cancellation_reason"] == "automatic"
    assert press(world, {"payment": id, "do": "expire"}).status == 409
    assert world.later(8 * 86400) == ()  # the timer finds nothing left


def test_amounts_are_iso_minor_units_as_in_the_ledger(world: World) -> None:
    id = world.pay(params={"currency": "isk", "amount": 50000}).json["id"]
    assert done(world, id, "refund", 200)["payment"]["refunded"] == 200
    assert world.get("/v1/refunds", {"payment_intent": id}).json["data"][0]["amount"] == 20000


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[" * 100_000,
        [],
        {},
        {"payment": "pi_1"},
        {"payment": 1, "do": "refund"},
        {"payment": "pi_1", "do": "destroy"},
        {"payment": "pi_1", "do": ["refund"]},
        {"payment": "pi_1", "do": "refund", "amount": 0},
        {"payment": "pi_1", "do": "refund", "amount": True},
        {"payment": "pi_1", "do": "refund", "amount": 1.5},
        {"payment": "pi_1", "do": "cancel", "amount": 5},
        {"payment": "pi_1", "do": "refund", "because": "x"},
    ],
)
def test_what_is_no_deed_is_refused(world: World, body: object) -> None:
    answer = press(world, body)
    assert (answer.status, json.loads(answer.body)["known"]) == (400, list(Deed))


def test_who_presses_what_is_not_there(world: World) -> None:
    assert press(world, {"payment": "pi_none", "do": "refund"}).status == 404
    assert press(world, {"payment": "pi_none", "do": "refund"}, headers=()).status == 400
    assert press(world, b"", method="GET").status == 400


def test_the_dashboard_over_http(server: Server) -> None:
    def call(door: str, body: dict[str, Any]) -> Any:
        request = Request(door, json.dumps(body).encode(), {"content-type": "application/json"})
        with urlopen(request) as response:
            return json.load(response)

    for door in (f"{server.stripe}/_dashboard", f"{server.control}/stripe/_dashboard"):
        with pytest.raises(HTTPError) as missing:
            call(door, {"payment": "pi_none", "do": "refund"})
        assert missing.value.code == 404
        missing.value.close()


# --- what a fault does to each operation


def held(world: World) -> str:
    return str(world.pay(params=MANUAL).json["id"])


def operate(world: World, kind: str, id: str, verdict: Verdict = HEALTHY) -> Answer:
    if kind == "refund":
        return world.post("/v1/refunds", {"payment_intent": id, "amount": 700}, key="k", verdict=verdict)
    params = {"amount_to_capture": 700} if kind == "capture" else {}
    return world.post(f"/v1/payment_intents/{id}/{kind}", params, key="k", verdict=verdict)


EFFECTS = {"capture": [("captured", 700), ("released", 1299)], "cancel": [("voided", 1999)], "refund": [("refunded", 700)]}


@pytest.mark.parametrize("kind", list(EFFECTS))
def test_an_error_before_or_after_an_operation_is_sticky_and_the_books_tell_which(world: World, kind: str) -> None:
    for verdict, effect in ((Verdict(before=Before.ERROR_500), []), (Verdict(after=After.ERROR_500), EFFECTS[kind])):
        id = str(world.pay().json["id"]) if kind == "refund" else held(world)
        before = len(world.books())
        assert operate(world, kind, id, verdict).status == 500
        replayed = operate(world, kind, id)
        assert (replayed.status, replayed.response.header("idempotent-replayed")) == (500, "true")
        assert world.books()[before:] == effect
        world.later(86400)  # so that the key is free again


@pytest.mark.parametrize("kind", list(EFFECTS))
def test_a_lost_an_unreadable_or_a_wrong_answer_changes_nothing_of_what_was_done(world: World, kind: str) -> None:
    for verdict in (*(Verdict(after=After.MALFORMED, malformed=how) for how in Malformed), Verdict(after=After.WRONG_AMOUNT)):
        id = str(world.pay().json["id"]) if kind == "refund" else held(world)
        before = len(world.books())
        said = operate(world, kind, id, verdict)
        assert said.status == 200
        right = operate(world, kind, id)
        assert right.response.header("idempotent-replayed") == "true"
        assert world.books()[before:] == EFFECTS[kind]
        if verdict.after is After.WRONG_AMOUNT:
            assert said.json["amount"] == right.json["amount"] + 100
            if kind == "capture":
                assert (said.json["amount_received"], right.json["amount_received"]) == (800, 700)
        world.later(86400)


@pytest.mark.parametrize("kind", list(EFFECTS))
def test_what_is_turned_away_at_the_door_was_not_done_and_may_be_sent_again(world: World, kind: str) -> None:
    id = str(world.pay().json["id"]) if kind == "refund" else held(world)
    before = len(world.books())
    assert operate(world, kind, id, Verdict(before=Before.RATE_LIMIT, retry_after_seconds=3)).response.header("retry-after") == "3"
    assert world.books()[before:] == []
    assert operate(world, kind, id).status == 200
    assert world.books()[before:] == EFFECTS[kind]
