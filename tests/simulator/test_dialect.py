"""Stripe's side of the wire, without a wire: what each endpoint does, refuses, remembers, and what happens later by itself."""

from __future__ import annotations

import base64
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from connectors.contract import HttpRequest
from connectors.simulator.dialect import Settings
from connectors.simulator.faults import After, Before, Malformed, Verdict
from connectors.stripe import dialect_money
from connectors.stripe.dialect_cards import CARDS
from tests.simulator.world import BASE_URL, MANUAL, World

DAY = 86400.0


def test_authorise_capture_and_refund(world: World) -> None:
    paid = world.pay(params=MANUAL | {"metadata[payorch_attempt]": "att_1"})
    assert paid.status == 200
    assert paid.json["status"] == "requires_capture"
    assert paid.json["amount_capturable"] == 1999
    assert paid.webhooks == ("payment_intent.created", "charge.succeeded", "payment_intent.amount_capturable_updated")
    id = paid.json["id"]
    captured = world.post(f"/v1/payment_intents/{id}/capture", {"amount_to_capture": 1500, "metadata[payorch_operation]": "cap_1"})
    assert captured.webhooks == ("charge.captured", "payment_intent.succeeded")
    assert (captured.json["status"], captured.json["amount_received"], captured.json["amount_capturable"]) == ("succeeded", 1500, 0)
    refunded = world.post("/v1/refunds", {"payment_intent": id, "amount": 500, "metadata[payorch_operation]": "ref_1"})
    assert (refunded.json["status"], refunded.json["amount"]) == ("succeeded", 500)
    assert refunded.webhooks == ("charge.refunded", "refund.created")
    charge = world.intent(id)["latest_charge"]
    # The 499 that were never taken count as refunded as well: that is how Stripe shows a partial capture.
    assert (charge["amount_captured"], charge["amount_refunded"], charge["refunded"]) == (1500, 999, False)
    assert world.books() == [("authorized", 1999), ("captured", 1500), ("released", 499), ("refunded", 500)]
    entries = world.ledger.entries()
    assert {entry.reference for entry in entries} == {"att_1"}
    assert [entry.operation_reference for entry in entries] == [None, "cap_1", None, "ref_1"]


def test_automatic_capture_takes_the_money_at_once(world: World) -> None:
    paid = world.pay()
    assert (paid.json["status"], paid.json["amount_received"]) == ("succeeded", 1999)
    assert paid.webhooks[1:] == ("charge.succeeded", "payment_intent.succeeded")
    assert world.books() == [("authorized", 1999), ("captured", 1999)]


def test_create_then_confirm(world: World) -> None:
    made = world.post("/v1/payment_intents", {"amount": 1999, "currency": "EUR"})
    assert (made.json["status"], made.json["currency"], world.books()) == ("requires_payment_method", "eur", [])
    path = f"/v1/payment_intents/{made.json['id']}/confirm"
    assert world.post(path, {"return_url": "https://a.test"}).error["code"] == "payment_intent_unexpected_state"
    confirmed = world.post(path, {"payment_method": "pm_card_visa", "return_url": "https://a.test"})
    assert confirmed.json["status"] == "succeeded"
    again = world.post(path, {"payment_method": "pm_card_visa"})
    assert "already succeeded" in again.error["message"]
    assert len(world.books()) == 2


@pytest.mark.parametrize(
    ("method", "code", "decline_code", "advice", "network"),
    [
        ("tok_soft_decline", "card_declined", "do_not_honor", None, "05"),
        ("tok_insufficient_funds", "card_declined", "insufficient_funds", "try_again_later", "51"),
        ("tok_hard_decline", "card_declined", "stolen_card", "do_not_try_again", "43"),
        ("tok_expired_card", "expired_card", "expired_card", "confirm_card_data", "54"),
        ("tok_fraud", "card_declined", "fraudulent", None, None),
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline", "try_again_later", "01"),
        ("pm_card_chargeDeclinedLostCard", "card_declined", "lost_card", "do_not_try_again", "41"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error", "try_again_later", "96"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc", "confirm_card_data", "N7"),
    ],
)
def test_a_decline_is_a_402_with_an_intent_that_can_be_paid_otherwise(
    world: World, method: str, code: str, decline_code: str, advice: str | None, network: str | None
) -> None:
    declined = world.pay(method)
    error = declined.error
    assert (declined.status, error["type"], error["code"], error["decline_code"]) == (402, "card_error", code, decline_code)
    assert (error.get("advice_code"), error.get("network_decline_code")) == (advice, network)
    assert declined.webhooks == ("payment_intent.created", "charge.failed", "payment_intent.payment_failed")
    embedded = error["payment_intent"]
    assert (embedded["status"], embedded["payment_method"]) == ("requires_payment_method", None)
    assert embedded["last_payment_error"]["decline_code"] == decline_code
    assert embedded["last_payment_error"]["payment_method"]["object"] == "payment_method"
    charge = world.intent(embedded["id"])["latest_charge"]
    assert (charge["id"], charge["status"], charge["paid"]) == (error["charge"], "failed", False)
    assert charge["outcome"]["network_status"] == ("not_sent_to_network" if method == "tok_fraud" else "declined_by_network")
    assert world.books() == []
    paid = world.post(f"/v1/payment_intents/{embedded['id']}/confirm", {"payment_method": "tok_visa"})
    assert (paid.json["status"], paid.json["last_payment_error"]) == ("succeeded", None)


def test_every_test_method_behaves_as_its_card_says(world: World) -> None:
    for method, card in CARDS.items():
        answer = world.pay(method)
        if card.challenge != "none":
            assert answer.json["status"] == "requires_action", method
        elif card.decline is not None:
            assert answer.status == 402, method
        else:
            assert answer.json["status"] == ("processing" if card.pending else "succeeded"), method


# The shopper's page


def challenge(world: World, method: str = "tok_3ds", **params: Any) -> tuple[str, str]:
    asked = world.pay(method, params)
    assert asked.json["status"] == "requires_action"
    assert world.books() == []
    action = asked.json["next_action"]["redirect_to_url"]
    assert action["return_url"] == "https://shop.test/back?order=1"
    assert action["url"].startswith(f"{BASE_URL}/_3ds/")
    return asked.json["id"], urlsplit(action["url"]).path


def location(world: World, path: str, outcome: str) -> dict[str, list[str]]:
    sent_back = world.post(path, {"outcome": outcome}, headers=())
    assert sent_back.status == 303
    return parse_qs(urlsplit(sent_back.response.header("location") or "").query)


def test_an_approved_challenge_authorises_and_sends_the_shopper_back(world: World) -> None:
    id, path = challenge(world, **MANUAL)
    page = world.get(path, headers=())
    assert page.status == 200
    assert b"19.99" in page.response.body
    assert b"<script" not in page.response.body
    query = location(world, path, "approve")
    assert (query["order"], query["payment_intent"], query["redirect_status"]) == (["1"], [id], ["succeeded"])
    assert query["payment_intent_client_secret"] == [world.intent(id)["client_secret"]]
    assert world.intent(id)["status"] == "requires_capture"
    assert world.books() == [("authorized", 1999)]
    assert world.post(path, {"outcome": "approve"}, headers=()).status == 404
    assert world.books() == [("authorized", 1999)]


@pytest.mark.parametrize(
    ("method", "outcome"), [("tok_3ds", "fail"), ("tok_3ds", "cancel"), ("tok_3ds_fail", "approve"), ("tok_3ds_fail", "fail")]
)
def test_a_failed_challenge_leaves_no_charge(world: World, method: str, outcome: str) -> None:
    id, path = challenge(world, method)
    assert location(world, path, outcome)["redirect_status"] == ["failed"]
    intent = world.intent(id)
    assert (intent["status"], intent["latest_charge"]) == ("requires_payment_method", None)
    assert intent["last_payment_error"]["code"] == "payment_intent_authentication_failure"
    assert world.books() == []


def test_a_bank_can_decline_after_the_challenge(world: World) -> None:
    id, path = challenge(world, "pm_card_threeDSecureRequiredChargeDeclined")
    assert location(world, path, "approve")["redirect_status"] == ["failed"]
    assert world.intent(id)["last_payment_error"]["decline_code"] == "generic_decline"


def test_an_old_challenge_does_not_answer_a_new_one(world: World) -> None:
    id, old = challenge(world)
    world.post(f"/v1/payment_intents/{id}/confirm", {"payment_method": "tok_3ds"})
    assert world.post(old, {"outcome": "approve"}, headers=()).status == 404
    assert world.intent(id)["status"] == "requires_action"
    assert world.books() == []


def test_a_canceled_intent_cannot_be_approved_any_more(world: World) -> None:
    id, path = challenge(world)
    assert world.post(f"/v1/payment_intents/{id}/cancel").json["status"] == "canceled"
    assert world.post(path, {"outcome": "approve"}, headers=()).status == 404
    assert world.books() == []


def test_manual_confirmation_waits_for_the_merchants_server(world: World) -> None:
    id, path = challenge(world, confirmation_method="manual")
    assert location(world, path, "approve")["redirect_status"] == ["succeeded"]
    assert (world.intent(id)["status"], world.books()) == ("requires_confirmation", [])
    assert world.post(f"/v1/payment_intents/{id}/confirm").json["status"] == "succeeded"


@pytest.mark.parametrize("flag", ["off_session", "error_on_requires_action"])
def test_where_no_shopper_is_there_the_bank_declines_softly(world: World, flag: str) -> None:
    declined = world.pay("pm_card_authenticationRequired", {flag: "true"})
    assert (declined.status, declined.error["code"], world.books()) == (402, "authentication_required", [])


def test_a_step_up_asks_for_any_card(world: World) -> None:
    _, path = challenge(world, "tok_visa", **{"payment_method_options[card][request_three_d_secure]": "any"})
    location(world, path, "approve")
    assert len(world.books()) == 2


def test_the_page_escapes_and_refuses_nonsense(world: World) -> None:
    _, path = challenge(world)
    assert world.post(path, {"outcome": "steal"}, headers=()).status == 400
    assert world.post(path, {}, headers=()).status == 400
    assert world.get('/_3ds/"><script>-1', headers=()).status == 404
    assert world.get("/_3ds/", headers=()).status == 404


# Later


def test_a_pending_payment_is_approved_later_and_by_nobody_else(world: World) -> None:
    pending = world.pay("tok_pending", MANUAL)
    id = pending.json["id"]
    assert (pending.json["status"], world.books()) == ("processing", [])
    assert pending.webhooks[1:] == ("charge.pending", "payment_intent.processing")
    refused = world.post(f"/v1/payment_intents/{id}/cancel")
    assert (refused.status, refused.error["code"]) == (400, "payment_intent_unexpected_state")
    assert refused.error["payment_intent"]["id"] == id
    assert world.later(2.9) == ()
    assert world.later(0.1) == ("charge.succeeded", "payment_intent.amount_capturable_updated")
    assert world.later(100) == ()
    assert world.intent(id)["status"] == "requires_capture"


def test_time_passes_also_without_anybody_looking(world: World) -> None:
    id = world.pay("tok_pending").json["id"]
    world.now = world.now.replace(hour=13)
    assert world.intent(id)["status"] == "succeeded"
    # It happened when it was due, not when it was noticed.
    assert world.ledger.entries()[0].at < world.now


def test_an_authorisation_expires_after_seven_days(world: World) -> None:
    id = world.pay(params=MANUAL).json["id"]
    held = world.intent(id)["latest_charge"]["payment_method_details"]["card"]["capture_before"]
    assert held == int(world.now.timestamp() + 7 * DAY)
    assert world.later(7 * DAY - 1) == ()
    assert world.later(1) == ("charge.expired", "payment_intent.canceled")
    intent = world.intent(id)
    assert (intent["status"], intent["cancellation_reason"], intent["amount_capturable"]) == ("canceled", "automatic", 0)
    late = world.post(f"/v1/payment_intents/{id}/capture")
    assert (late.status, late.error["code"]) == (400, "charge_expired_for_capture")
    assert world.books() == [("authorized", 1999), ("expired", 1999)]


def test_a_captured_payment_does_not_expire(world: World) -> None:
    id = world.pay(params=MANUAL).json["id"]
    world.post(f"/v1/payment_intents/{id}/capture")
    assert world.later(8 * DAY) == ()
    assert world.intent(id)["status"] == "succeeded"


def test_a_capture_can_fail_late(world: World) -> None:
    id = world.pay("tok_capture_fails_late", MANUAL).json["id"]
    assert world.post(f"/v1/payment_intents/{id}/capture").json["status"] == "succeeded"
    assert world.later(5) == ("charge.failed", "payment_intent.payment_failed")
    intent = world.intent(id)
    assert (intent["status"], intent["amount_received"]) == ("requires_payment_method", 0)
    assert world.books()[-1] == ("capture_failed", 1999)


def test_a_late_failure_takes_what_several_captures_left_open_with_it(world: World) -> None:
    multi = MANUAL | {"payment_method_options[card][request_multicapture]": "if_available"}
    id = world.pay("tok_capture_fails_late", multi).json["id"]
    for _ in range(2):
        world.post(f"/v1/payment_intents/{id}/capture", {"amount_to_capture": 500, "final_capture": "false"})
    world.later(5)
    assert (world.intent(id)["status"], world.totals(id)["held"], world.totals(id)["captured"]) == ("requires_payment_method", 0, 0)
    assert world.books()[-2:] == [("voided", 999), ("capture_failed", 1000)]


def test_a_refund_can_fail_late_and_then_be_made_again(world: World) -> None:
    id = world.pay("tok_refund_fails_late").json["id"]
    refund = world.post("/v1/refunds", {"payment_intent": id}).json
    assert (refund["status"], world.totals(id)["refunded"]) == ("succeeded", 1999)
    assert world.later(5) == ("refund.updated", "refund.failed", "charge.refund.updated")
    shown = world.get(f"/v1/refunds/{refund['id']}").json
    assert (shown["status"], shown["failure_reason"]) == ("failed", "expired_or_canceled_card")
    assert world.totals(id)["refunded"] == 0
    assert world.post("/v1/refunds", {"payment_intent": id}).status == 200


def test_a_pending_refund_reserves_and_then_goes_through(world: World) -> None:
    id = world.pay("pm_card_pendingRefund").json["id"]
    refund = world.post("/v1/refunds", {"payment_intent": id, "amount": 1000}).json
    assert refund["status"] == "pending"
    assert (world.totals(id)["refunded"], world.totals(id)["refunding"]) == (0, 1000)
    assert world.post("/v1/refunds", {"payment_intent": id, "amount": 1000}).error["param"] == "amount"
    assert world.later(5) == ("refund.updated", "charge.refund.updated")
    assert world.totals(id)["refunded"] == 1000


# Captures, cancels, refunds


def test_several_captures_need_to_be_asked_for(world: World) -> None:
    id = world.pay(params=MANUAL).json["id"]
    path = f"/v1/payment_intents/{id}/capture"
    assert world.post(path, {"amount_to_capture": 500, "final_capture": "false"}).error["param"] == "final_capture"
    multi = MANUAL | {"payment_method_options[card][request_multicapture]": "if_available"}
    id = world.pay(params=multi).json["id"]
    path = f"/v1/payment_intents/{id}/capture"
    first = world.post(path, {"amount_to_capture": 500, "final_capture": "false"}).json
    assert (first["status"], first["amount_received"], first["amount_capturable"]) == ("requires_capture", 500, 1499)
    rest = world.post(f"/v1/payment_intents/{id}/cancel")
    assert (rest.json["status"], rest.json["amount_received"]) == ("succeeded", 500)
    assert world.books()[-2:] == [("captured", 500), ("voided", 1499)]


def test_what_cannot_be_captured(world: World) -> None:
    id = world.pay(params=MANUAL).json["id"]
    path = f"/v1/payment_intents/{id}/capture"
    assert world.post(path, {"amount_to_capture": 2000}).error["code"] == "amount_too_large"
    assert world.post(path, {"amount_to_capture": 0}).error["code"] == "parameter_invalid_integer"
    assert world.post(path).status == 200
    again = world.post(path)
    assert (again.status, again.error["code"]) == (400, "payment_intent_unexpected_state")
    assert "already been captured" in again.error["message"]
    assert world.post("/v1/payment_intents/pi_none/capture").status == 404


def test_cancel_gives_the_hold_back(world: World) -> None:
    id = world.pay(params=MANUAL).json["id"]
    canceled = world.post(f"/v1/payment_intents/{id}/cancel", {"cancellation_reason": "duplicate"})
    assert (canceled.json["status"], canceled.json["cancellation_reason"]) == ("canceled", "duplicate")
    assert canceled.json["canceled_at"] == int(world.now.timestamp())
    assert canceled.webhooks == ("charge.refunded", "payment_intent.canceled")
    assert world.books() == [("authorized", 1999), ("voided", 1999)]
    again = world.post(f"/v1/payment_intents/{id}/cancel")
    assert again.error["message"].startswith("You cannot cancel this PaymentIntent because it has a status of canceled.")
    assert world.post(f"/v1/payment_intents/{id}/cancel", {"cancellation_reason": "automatic"}).error["param"] == "cancellation_reason"


def test_what_cannot_be_refunded(world: World) -> None:
    held = world.pay(params=MANUAL).json["id"]
    assert "successful charge" in world.post("/v1/refunds", {"payment_intent": held}).error["message"]
    paid = world.pay().json
    too_much = world.post("/v1/refunds", {"payment_intent": paid["id"], "amount": 2000})
    assert (too_much.status, too_much.error["param"], "code" in too_much.error) == (400, "amount", False)
    assert too_much.error["message"] == "Refund amount (€20.00) is greater than unrefunded amount on charge (€19.99)"
    assert world.post("/v1/refunds", {"charge": paid["latest_charge"]}).status == 200
    assert world.post("/v1/refunds", {"payment_intent": paid["id"]}).error["code"] == "charge_already_refunded"
    assert world.post("/v1/refunds", {}).status == 400
    for params in ({"charge": "ch_none"}, {"payment_intent": "pi_none"}, {"charge": paid["id"]}):
        assert world.post("/v1/refunds", params).error["code"] == "resource_missing"


# Idempotency


def test_the_same_request_under_the_same_key_is_done_once(world: World) -> None:
    first = world.pay(key="k1")
    again = world.pay(key="k1")
    assert again.response.body == first.response.body
    assert again.webhooks == ()
    assert first.response.header("idempotent-replayed") is None
    assert again.response.header("idempotent-replayed") == "true"
    assert again.response.header("original-request") == first.response.header("request-id")
    assert again.response.header("request-id") != first.response.header("request-id")
    assert again.response.header("idempotency-key") == "k1"
    assert len(world.books()) == 2


def test_the_same_key_for_another_request_is_an_idempotency_error(world: World) -> None:
    world.pay(key="k1")
    for other in (world.pay(params={"amount": 2000}, key="k1"), world.post("/v1/refunds", {"payment_intent": "pi_1"}, key="k1")):
        assert (other.status, other.error["type"]) == (400, "idempotency_error")
    assert len(world.books()) == 2


def test_the_order_of_parameters_does_not_matter_to_a_key(world: World) -> None:
    params = {"amount": "100", "currency": "eur"}
    first = world.post("/v1/payment_intents", params, key="k")
    again = world.post("/v1/payment_intents", dict(reversed(params.items())), key="k")
    assert again.json["id"] == first.json["id"]


def test_declines_and_refusals_are_remembered(world: World) -> None:
    declined = world.pay("tok_soft_decline", key="k1")
    assert world.pay("tok_soft_decline", key="k1").response.body == declined.response.body
    id = world.pay().json["id"]
    refused = world.post(f"/v1/payment_intents/{id}/capture", key="k2")
    replayed = world.post(f"/v1/payment_intents/{id}/capture", key="k2")
    assert (replayed.status, replayed.response.header("idempotent-replayed")) == (400, "true")
    assert replayed.response.body == refused.response.body


def test_what_never_executed_is_not_remembered(world: World) -> None:
    assert world.pay(params={"amount": "x"}, key="k1").status == 400
    assert world.pay(key="k1", headers=()).status == 401
    assert world.pay(key="k1", verdict=Verdict(before=Before.RATE_LIMIT)).status == 429
    assert world.pay(key="k1", busy=True).status == 409
    fresh = world.pay(key="k1")
    assert (fresh.status, fresh.response.header("idempotent-replayed")) == (200, None)


def test_a_request_under_way_makes_its_key_unavailable(world: World) -> None:
    busy = world.pay(key="k1", busy=True)
    assert (busy.status, busy.error["code"], busy.response.header("stripe-should-retry")) == (409, "idempotency_key_in_use", "true")
    assert world.books() == []


def test_a_key_is_forgotten_after_its_window_and_then_charges_again(world: World) -> None:
    world.pay(key="k1")
    world.later(DAY - 1)
    assert world.pay(key="k1").response.header("idempotent-replayed") == "true"
    world.later(1)
    assert world.pay(key="k1").response.header("idempotent-replayed") is None
    assert len(world.books()) == 4


@pytest.mark.parametrize("key", ["", "k" * 256])
def test_a_key_has_a_length(world: World, key: str) -> None:
    assert world.pay(key=key).status == 400
    assert world.pay(key="k" * 255).status == 200


# Faults


def test_an_error_500_is_sticky_under_its_key_with_or_without_a_charge(world: World) -> None:
    charged = Verdict(after=After.ERROR_500)
    assert world.pay(key="k1", verdict=charged).status == 500
    assert len(world.books()) == 2
    replayed = world.pay(key="k1")
    assert (replayed.status, replayed.error["type"], replayed.response.header("idempotent-replayed")) == (500, "api_error", "true")
    assert len(world.books()) == 2
    assert world.pay(key="k2", verdict=Verdict(before=Before.ERROR_500)).status == 500
    assert world.pay(key="k2").status == 500
    assert len(world.books()) == 2
    # Under a key that has its answer, a 500 is only on the way: the answer is still there.
    world.pay(key="k3")
    assert world.pay(key="k3", verdict=charged).status == 500
    assert world.pay(key="k3").status == 200


def test_rate_limits_may_say_when_to_come_back(world: World) -> None:
    limited = world.pay(verdict=Verdict(before=Before.RATE_LIMIT, retry_after_seconds=7))
    assert (limited.status, limited.error["code"], limited.response.header("retry-after")) == (429, "rate_limit", "7")
    assert world.pay(verdict=Verdict(before=Before.RATE_LIMIT)).response.header("retry-after") is None
    assert world.get("/v1/payment_intents", verdict=Verdict(before=Before.RATE_LIMIT)).status == 429


def test_a_wrong_amount_is_only_said_not_charged(world: World) -> None:
    wrong = world.pay(key="k1", verdict=Verdict(after=After.WRONG_AMOUNT))
    assert (wrong.json["amount"], wrong.json["amount_received"]) == (2099, 2099)
    assert world.books()[0] == ("authorized", 1999)
    assert world.pay(key="k1").json["amount"] == 1999


@pytest.mark.parametrize("how", list(Malformed))
def test_a_malformed_answer_is_no_json_and_the_charge_is_real(world: World, how: Malformed) -> None:
    answer = world.pay(key="k1", verdict=Verdict(after=After.MALFORMED, malformed=how))
    assert answer.status == 200
    with pytest.raises(ValueError, match=r"."):
        _ = answer.json
    assert len(world.books()) == 2
    assert world.pay(key="k1").json["status"] == "succeeded"


# Looking


def test_search_finds_by_metadata_once_the_index_has_it(world: World) -> None:
    query = {"query": "metadata['payorch_attempt']:'att_7'"}
    id = world.pay(params={"metadata[payorch_attempt]": "att_7"}).json["id"]
    world.pay(params={"metadata[payorch_attempt]": "att_8"})
    found = world.get("/v1/payment_intents/search", query)
    assert (found.json["object"], found.json["data"], found.json["has_more"]) == ("search_result", [], False)
    world.later(20)
    found = world.get("/v1/payment_intents/search", query | {"expand[0]": "data.latest_charge"})
    assert [it["id"] for it in found.json["data"]] == [id]
    assert found.json["data"][0]["latest_charge"]["paid"] is True
    both = {"query": 'metadata["payorch_attempt"]:"att_7" AND status:"succeeded" AND amount:1999'}
    assert len(world.get("/v1/payment_intents/search", both).json["data"]) == 1
    assert world.get("/v1/payment_intents/search", {"query": "status:'canceled'"}).json["data"] == []


def test_search_pages_through_everything(world: World) -> None:
    made = [world.pay().json["id"] for _ in range(5)]
    world.later(60)
    seen: list[str] = []
    page: dict[str, Any] = {}
    while True:
        found = world.get("/v1/payment_intents/search", {"query": "currency:'eur'", "limit": 2, **page}).json
        seen += [it["id"] for it in found["data"]]
        if not found["has_more"]:
            break
        page = {"page": found["next_page"]}
    assert seen == made[::-1]


@pytest.mark.parametrize("query", ["metadata['a']'b'", "created>1", "metadata['a']:'b' OR status:'x'", "metadata['a']:'b", "'", "-"])
def test_a_query_it_does_not_understand_is_refused_not_guessed(world: World, query: str) -> None:
    assert world.get("/v1/payment_intents/search", {"query": query}).status == 400


def test_lists_go_both_ways(world: World) -> None:
    made = [world.pay().json["id"] for _ in range(5)][::-1]

    def listed(**params: Any) -> tuple[list[str], bool]:
        answer = world.get("/v1/payment_intents", params).json
        return [it["id"] for it in answer["data"]], answer["has_more"]

    assert listed() == (made, False)
    assert listed(limit=2) == (made[:2], True)
    assert listed(limit=2, starting_after=made[1]) == (made[2:4], True)
    assert listed(limit=2, ending_before=made[3]) == (made[1:3], True)
    second = int(world.now.timestamp())
    assert listed(**{"created[gte]": second}) == (made, False)
    assert listed(**{"created[gt]": second}) == ([], False)
    assert listed(**{"created[lt]": second}) == ([], False)
    assert world.get("/v1/payment_intents", {"limit": 101}).status == 400


def test_refunds_charges_and_events_can_be_looked_up(world: World) -> None:
    paid = world.pay().json
    world.pay()
    refund = world.post("/v1/refunds", {"payment_intent": paid["id"], "amount": 1}).json
    assert world.get(f"/v1/refunds/{refund['id']}").json == refund
    for params in ({"payment_intent": paid["id"]}, {"charge": paid["latest_charge"]}, {}):
        assert [it["id"] for it in world.get("/v1/refunds", params).json["data"]] == [refund["id"]]
    assert world.get(f"/v1/charges/{paid['latest_charge']}").json["amount_refunded"] == 1
    events = world.get("/v1/events", {"limit": 2}).json
    assert [it["type"] for it in events["data"]] == ["refund.created", "charge.refunded"]
    assert world.get(f"/v1/events/{events['data'][0]['id']}").json == events["data"][0]
    only = world.get("/v1/events", {"types[0]": "payment_intent.succeeded"}).json["data"]
    assert len(only) == 2
    for path in ("refunds/re_1", "charges/ch_1", "events/evt_1", "payment_intents/pi_1"):
        assert world.get(f"/v1/{path}").error["code"] == "resource_missing"


def test_events_tell_which_request_caused_them(world: World) -> None:
    paid = world.pay("tok_pending", key="k1")
    world.later(10)
    events = world.get("/v1/events").json["data"]
    assert events[-1]["request"] == {"id": paid.response.header("request-id"), "idempotency_key": "k1"}
    assert events[0]["request"] == {"id": None, "idempotency_key": None}
    assert events[-1]["data"]["object"]["status"] == "requires_payment_method"
    assert events[0]["data"]["object"]["status"] == "succeeded"


# Parameters and keys


@pytest.mark.parametrize(
    ("params", "code", "param"),
    [
        ({"amount": None}, "parameter_missing", "amount"),
        ({"currency": None}, "parameter_missing", "currency"),
        ({"amount": ""}, "parameter_invalid_empty", "amount"),
        ({"amount": "19.99"}, "parameter_invalid_integer", "amount"),
        ({"amount": "1_000"}, "parameter_invalid_integer", "amount"),
        ({"amount": "\uff11\uff10\uff10"}, "parameter_invalid_integer", "amount"),
        ({"amount": " 100"}, "parameter_invalid_integer", "amount"),
        ({"amount": "9" * 5000}, "parameter_invalid_integer", "amount"),
        ({"amount": 0}, "parameter_invalid_integer", "amount"),
        ({"amount": -5}, "parameter_invalid_integer", "amount"),
        ({"amount": 49}, "amount_too_small", "amount"),
        ({"amount": 100000000}, "amount_too_large", "amount"),
        ({"amount[a]": 1, "amount": None}, None, "amount"),
        ({"currency": "xxx"}, None, "currency"),
        ({"currency": "eu\u017f"}, None, "currency"),
        ({"confirm": "yes"}, None, "confirm"),
        ({"capture_method": "later"}, None, "capture_method"),
        ({"payment_method": "pm_card_nobody"}, "resource_missing", "payment_method"),
        ({"payment_method": None}, "parameter_missing", "payment_method"),
        ({"return_url": None}, None, None),
        ({"return_url": "javascript:alert(1)"}, "url_invalid", "return_url"),
        ({"confirm": "false"}, None, "return_url"),
        ({"colour": "red"}, "parameter_unknown", "colour"),
        ({"metadata[a][b]": "c"}, None, "metadata[a]"),
        ({"metadata[" + "a" * 41 + "]": "c"}, None, "metadata[" + "a" * 40 + "]"),
        ({"metadata[a]": "c" * 501}, None, "metadata[a]"),
        ({"metadata": "c"}, None, "metadata"),
        ({"a[b]]": "c"}, None, "a[b]]"),
        ({"expand[0]": "card.number"}, None, "expand"),
        ({"payment_method_options[card][request_three_d_secure]": "maybe"}, None, None),
        ({"currency": "jpy", "amount": 49}, "amount_too_small", "amount"),
        ({"currency": "kwd", "amount": 1001}, "parameter_invalid_integer", "amount"),
        ({"currency": "isk", "amount": 550}, "parameter_invalid_integer", "amount"),
    ],
)
def test_parameters_are_checked_in_stripes_words(world: World, params: dict[str, Any], code: str | None, param: str | None) -> None:
    basic = {"amount": 1999, "currency": "eur", "confirm": "true", "payment_method": "tok_visa", "return_url": "https://a.test"}
    sent = {name: value for name, value in {**basic, **params}.items() if value is not None}
    refused = world.post("/v1/payment_intents", sent)
    assert (refused.status, refused.error["type"]) == (400, "invalid_request_error")
    assert refused.error.get("code") == code
    if param is not None:
        assert refused.error["param"] == param
    assert refused.error["message"]
    assert world.ledger.count_payments() == 0


def test_redirects_can_be_ruled_out_instead_of_given_a_way_back(world: World) -> None:
    for more in (
        {"payment_method_types[0]": "card"},
        {"automatic_payment_methods[enabled]": "true", "automatic_payment_methods[allow_redirects]": "never"},
    ):
        paid = world.post(
            "/v1/payment_intents", {"amount": 100, "currency": "eur", "confirm": "true", "payment_method": "tok_visa", **more}
        )
        assert paid.json["status"] == "succeeded"


def test_a_token_may_travel_as_payment_method_data(world: World) -> None:
    params = {"amount": 100, "currency": "eur", "confirm": "true", "return_url": "https://a.test"}
    data = {"payment_method_data[type]": "card", "payment_method_data[card][token]": "tok_visa"}
    assert world.post("/v1/payment_intents", params | data).json["status"] == "succeeded"


def test_bodies_that_are_no_form(world: World) -> None:
    for body in ("a=%ff", "&".join("a=b" for _ in range(1001)), "amount=1&amount[a]=2&currency=eur", "a\x80"):
        answer = _raw(world, body.encode("latin-1"))
        assert answer == 400
    assert _raw(world, b'{"amount": 1}', content_type="application/json") == 400


def _raw(world: World, body: bytes, content_type: str = "application/x-www-form-urlencoded") -> int:
    headers = (("authorization", "Bearer sk_test_1"), ("content-type", content_type))
    request = HttpRequest(method="POST", path="/v1/payment_intents", headers=headers, body=body)
    return world.dialect.handle(world.ledger, request, world.now).response.status


def test_who_may_ask() -> None:
    def status(world: World, value: str | None) -> int:
        answer = world.get("/v1/payment_intents", headers=() if value is None else (("authorization", value),))
        assert answer.response.header("request-id")
        return answer.status

    anybody = World()
    basic = "Basic " + base64.b64encode(b"sk_test_1:").decode()
    assert [status(anybody, value) for value in ("Bearer sk_test_1", "bearer sk_test_1", basic)] == [200, 200, 200]
    for wrong in (None, "", "Bearer", "Bearer pk_test_1", "Bearer sk_live_1", "Basic !", "Digest sk_test_1"):
        assert status(anybody, wrong) == 401
    anybody.ledger.close()
    one = World(settings=Settings(base_url=BASE_URL, api_key="sk_test_right"))
    assert (status(one, "Bearer sk_test_right"), status(one, "Bearer sk_test_wrong")) == (200, 401)
    one.ledger.close()


@pytest.mark.parametrize(
    "path", ["/", "/v1", "/v1/", "/v2/payment_intents", "/v1/payment_intents/", "/v1/nothing", "/v1/payment_intents/a/b/c"]
)
def test_what_is_not_an_endpoint(world: World, path: str) -> None:
    assert world.get(path).status == 404
    assert world.post(path).status == 404
    assert world.send("DELETE", path).status == 404


# Money


@pytest.mark.parametrize(
    ("currency", "wire", "iso"),
    [
        ("eur", 1999, 1999),
        ("jpy", 500, 500),
        ("kwd", 1230, 1230),
        ("isk", 500, 5),
        ("ugx", 10000, 100),
        ("mga", 70, 7000),
        ("huf", 17500, 17500),
    ],
)
def test_the_books_are_in_iso_units_whatever_the_wire_says(world: World, currency: str, wire: int, iso: int) -> None:
    paid = world.pay(params={"currency": currency, "amount": wire})
    assert (paid.json["amount"], paid.json["amount_received"]) == (wire, wire)
    assert [(entry.amount, entry.currency) for entry in world.ledger.entries()] == [(iso, currency.upper())] * 2
    refund = world.post("/v1/refunds", {"payment_intent": paid.json["id"]})
    assert refund.json["amount"] == wire


def test_every_supported_currency_goes_there_and_back() -> None:
    listed = [code for code in dialect_money._SUPPORTED if dialect_money.supported(code)]
    assert len(listed) > 120
    for code in listed:
        for amount in range(1, 10):
            wire = amount * dialect_money.step(code)
            assert dialect_money.to_wire(dialect_money.to_iso(wire, code), code) == wire
