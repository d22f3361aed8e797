"""What shoppers and merchants meet, over real HTTP: declines, 3-D Secure, results that come later, cancelling, hanging up."""

from __future__ import annotations

import itertools
import json
import socket
import struct
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import trio

from tests.e2e.stack import Stack, order


async def story(stack: Stack, payment_id: str) -> list[str]:
    """The names of the payment's events, in order."""
    timeline = (await stack.get(f"/v1/payments/{payment_id}/timeline")).json()
    assert timeline["payment_id"] == payment_id
    assert [one["sequence"] for one in timeline["data"]] == list(range(1, len(timeline["data"]) + 1))
    assert all(one["sentence"].endswith(".") and one["actor"] and one["cause"] for one in timeline["data"])
    assert [one["at"] for one in timeline["data"]] == sorted(one["at"] for one in timeline["data"])
    steps = [(one["from"], one["to"]) for one in timeline["data"]]
    assert all(before[1] == after[0] for before, after in itertools.pairwise(steps))
    return [one["name"] for one in timeline["data"]]


async def taken(stack: Stack, payment: dict[str, Any]) -> tuple[int, int]:
    """(held, captured) at the PSP, over all of the payment's attempts."""
    ours = {attempt["id"] for attempt in payment["attempts"]}
    mine = [one for one in await stack.charges() if one["our_reference"] in ours]
    return sum(one["held"] for one in mine), sum(one["captured"] for one in mine)


BEGUN = ["PaymentCreated", "Confirmed", "Routed", "AttemptPrepared"]


async def test_an_approval(healthy: Stack) -> None:
    answer = await healthy.pay("approved")
    payment = answer.json()
    assert (answer.status_code, payment["status"], payment["amount_captured"]) == (201, "succeeded", 1999)
    assert await story(healthy, payment["id"]) == [*BEGUN, "ProviderCharged"]
    manual = (await healthy.pay("held", capture="manual")).json()
    assert (manual["status"], manual["amount_authorized"], manual["amount_capturable"]) == ("requires_capture", 1999, 1999)
    assert await story(healthy, manual["id"]) == [*BEGUN, "ProviderAuthorized"]
    assert (await taken(healthy, payment), await taken(healthy, manual)) == ((0, 1999), (1999, 0))


@pytest.mark.parametrize(
    ("token", "error_class"),
    [
        ("tok_insufficient_funds", "SOFT_RETRY_LATER"),
        ("tok_soft_decline", "SOFT_TRY_OTHER"),
        ("tok_hard_decline", "HARD_DECLINE"),
        ("tok_expired_card", "FIX_DATA"),
        ("tok_fraud", "FRAUD_BLOCKED"),
    ],
)
async def test_a_decline_is_a_payment_that_failed(healthy: Stack, token: str, error_class: str) -> None:
    answer = await healthy.pay(f"declined-{token}", order(token, token))
    payment = answer.json()
    assert (answer.status_code, payment["status"], payment["outcome"]) == (201, "failed", None)
    assert payment["failure"]["class"].upper() == error_class
    assert payment["failure"]["message"]
    assert payment["failure"]["connector"]["http_status"] == 402
    names = await story(healthy, payment["id"])
    assert names[:4] == BEGUN
    assert names[4:] in (["DeclinedTerminal"], ["DeclinedRetriable", "AttemptsExhausted"])
    assert await taken(healthy, payment) == (0, 0)
    assert (await healthy.post(f"/v1/payments/{payment['id']}/cancel", f"cancel-{token}")).status_code == 409


async def browse(stack: Stack, payment: dict[str, Any], outcome: str) -> httpx2.Response:
    """A shopper's browser: opens the page, presses a button, and follows the way back as far as the merchant's own site."""
    url = payment["next_action"]["url"]
    async with httpx2.AsyncClient(trust_env=False, verify=False) as browser:
        page = await browser.get(url)
        assert page.status_code == 200
        assert "text/html" in page.headers["content-type"]
        pressed = await browser.post(url, data={"outcome": outcome})
        assert pressed.status_code == 303
        back = pressed.headers["location"]
        assert back.startswith(f"{stack.url}/v1/payments/{payment['id']}/return?")
        answer = await browser.get(back)
        again = await browser.get(back)  # a reload is no harm
        assert (again.status_code, again.headers["location"]) == (answer.status_code, answer.headers["location"])
        forged = await browser.get(back.replace("token=att_", "token=att_0"))
        assert forged.status_code == 404
    assert answer.status_code == 303
    return answer


def onward(answer: httpx2.Response) -> tuple[str, dict[str, list[str]]]:
    parts = urlsplit(answer.headers["location"])
    return f"{parts.scheme}://{parts.netloc}{parts.path}", parse_qs(parts.query)


@pytest.mark.parametrize(
    ("token", "outcome", "state", "status", "end"),
    [
        ("tok_3ds", "approve", "CAPTURED", "succeeded", "ProviderCharged"),
        ("tok_3ds", "fail", "FAILED", "failed", "ActionFailed"),
        ("tok_3ds", "cancel", "FAILED", "failed", "ActionFailed"),  # Stripe does not tell the two apart
        ("tok_3ds_fail", "approve", "FAILED", "failed", "ActionFailed"),
    ],
)
async def test_three_d_secure(healthy: Stack, token: str, outcome: str, state: str, status: str, end: str) -> None:
    created = await healthy.pay(f"3ds-{token}-{outcome}", order("3ds", token))
    payment = created.json()
    assert (created.status_code, payment["status"]) == (201, "requires_action")
    assert await taken(healthy, payment) == (0, 0)
    where, query = onward(await browse(healthy, payment, outcome))
    assert where == "https://shop.example/back"
    assert query == {"basket": ["7"], "payment_id": [payment["id"]], "status": [status]}
    payment = await healthy.until(payment["id"], state)
    assert payment["next_action"] is None
    names = await story(healthy, payment["id"])
    assert names[:5] == [*BEGUN, "ProviderActionRequired"]
    assert end in names
    assert await taken(healthy, payment) == ((0, 1999) if state == "CAPTURED" else (0, 0))


async def test_what_is_not_known_at_once(healthy: Stack) -> None:
    """Each takes seconds, so they wait together."""
    async with trio.open_nursery() as nursery:
        await healthy.fault("charge_then_hang", count=1, scope="authorize")
        nursery.start_soon(a_lost_answer, healthy)
        await healthy.struck()
        nursery.start_soon(a_result_that_comes_later, healthy)
        nursery.start_soon(a_result_that_nobody_wants_any_more, healthy)


async def a_result_that_comes_later(healthy: Stack) -> None:
    answer = await healthy.pay("later", order("later", "tok_pending"))
    payment = answer.json()
    assert (answer.status_code, payment["status"], payment["state"]) == (202, "processing", "PROVIDER_PENDING")
    found = await healthy.until(payment["id"], "CAPTURED")
    names = await story(healthy, payment["id"])
    assert (names[:5], names[-1]) == ([*BEGUN, "ProviderAccepted"], "ProviderCharged")
    assert await taken(healthy, found) == (0, 1999)
    replay = await healthy.pay("later", order("later", "tok_pending"))  # the answer stays what it was; GET tells the truth
    assert (replay.status_code, replay.content, replay.headers["idempotency-replayed"]) == (202, answer.content, "true")


async def a_result_that_nobody_wants_any_more(healthy: Stack) -> None:
    held = (await healthy.pay("later-unwanted", order("later-unwanted", "tok_pending", capture="manual"))).json()
    canceled = await healthy.post(f"/v1/payments/{held['id']}/cancel", "later-cancel")
    assert (canceled.status_code, canceled.json()["cancel_requested"]) == (202, True)
    ended = await healthy.until(held["id"], "CANCELED")  # given back as soon as it came
    names = await story(healthy, held["id"])
    assert names[:6] == [*BEGUN, "ProviderAccepted", "CancelIntentRecorded"]
    assert names[-2:] == ["AutoVoid", "VoidSucceeded"]
    assert await taken(healthy, ended) == (0, 0)


async def a_lost_answer(healthy: Stack) -> None:
    answer = await healthy.pay("lost")
    payment = answer.json()
    assert answer.status_code == 202
    assert payment["status"] == "processing"
    found = await healthy.until(payment["id"], "CAPTURED")
    names = await story(healthy, payment["id"])
    assert names[:5] == [*BEGUN, "OutcomeLost"]
    assert names[-1] == "ResolvedCharged"
    assert await taken(healthy, found) == (0, 1999)


async def test_cancelling_in_every_reachable_state(healthy: Stack) -> None:
    async def cancel(payment: dict[str, Any]) -> httpx2.Response:
        return await healthy.post(f"/v1/payments/{payment['id']}/cancel", f"cancel-{payment['id']}")

    created = (await healthy.pay("c-created", confirm=False)).json()
    answer = await cancel(created)
    assert (answer.status_code, answer.json()["state"]) == (200, "CANCELED")
    assert await story(healthy, created["id"]) == ["PaymentCreated", "MerchantCanceled"]
    assert (await healthy.post(f"/v1/payments/{created['id']}/confirm", "c-after")).status_code == 409

    asked = (await healthy.pay("c-action", order("c-action", "tok_3ds"))).json()
    answer = await cancel(asked)
    assert answer.status_code in (200, 202)
    ended = await healthy.until(asked["id"], "CANCELED")
    names = await story(healthy, asked["id"])
    assert names == [*BEGUN, "ProviderActionRequired", "CancelIntentRecorded", "CancelRequested", "VoidSucceeded"]
    async with httpx2.AsyncClient(trust_env=False, verify=False) as browser:  # the shopper is too late
        assert (await browser.post(asked["next_action"]["url"], data={"outcome": "approve"})).status_code == 404
    assert await taken(healthy, ended) == (0, 0)

    for state, key in (("CAPTURED", "c-captured"), ("AUTHORIZED", "c-held")):
        payment = (await healthy.pay(key, capture="manual" if state == "AUTHORIZED" else "automatic")).json()
        answer = await cancel(payment)
        assert (answer.status_code, answer.json()["code"]) == (409, "operation_not_allowed")
        assert (await healthy.until(payment["id"], state))["cancel_requested"] is False


async def test_cancelling_while_the_psp_is_asked(healthy: Stack) -> None:
    await healthy.fault("slow", seconds=1.0, count=1, scope="authorize")
    answers: list[httpx2.Response] = []
    async with trio.open_nursery() as nursery:

        async def create() -> None:
            answers.append(await healthy.pay("c-moving", capture="manual"))

        nursery.start_soon(create)
        moving = await healthy.made("c-moving")
        assert moving["state"] == "AUTHORIZING"
        answer = await healthy.post(f"/v1/payments/{moving['id']}/cancel", "c-moving-cancel")
        assert (answer.status_code, answer.json()["cancel_requested"]) == (202, True)
    ended = await healthy.until(moving["id"], "CANCELED")
    names = await story(healthy, ended["id"])
    assert names == [*BEGUN, "CancelIntentRecorded", "ProviderAuthorized", "AutoVoid", "VoidSucceeded"]
    assert answers[0].status_code in (201, 202)
    assert await taken(healthy, ended) == (0, 0)


def hang_up(stack: Stack, path: str, key: str, body: bytes, *, reset: bool) -> None:
    """Sends a whole request and is gone at once, politely or not."""
    head = (
        f"POST {path} HTTP/1.1\r\nhost: x\r\nauthorization: {stack.authorization['authorization']}\r\nidempotency-key: {key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", stack.port)) as one:
        one.sendall(head.encode() + body)
        if reset:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


async def test_a_client_that_hangs_up_has_paid(healthy: Stack) -> None:
    """Confirming first reads what is there: a request that ended with its client would end here, before it had said a word."""
    prepared = [(await healthy.pay(f"hang-up-{number}", confirm=False)).json()["id"] for number in range(20)]
    for payment_id in prepared:
        hang_up(healthy, f"/v1/payments/{payment_id}/confirm", f"confirm-{payment_id}", b"", reset=False)
    for payment_id in prepared:
        await healthy.until(payment_id, "CAPTURED")

    for number in range(20):
        hang_up(healthy, "/v1/payments", f"gone-{number}", json.dumps(order(f"gone-{number}")).encode(), reset=False)
    for number in range(20):
        payment = await healthy.made(f"gone-{number}")
        payment = await healthy.until(payment["id"], "CAPTURED")
        assert await taken(healthy, payment) == (0, 1999)
        answer = await healthy.pay(f"gone-{number}")  # and whoever asks again hears what became of it
        assert (answer.status_code, answer.json()["id"], answer.headers["idempotency-replayed"]) == (201, payment["id"], "true")


async def test_a_client_that_resets_is_charged_once_or_not_at_all(healthy: Stack) -> None:
    """A reset may come before the request was even accepted: then there is nothing. With the same key it is made now, and once."""
    for number in range(30):
        hang_up(healthy, "/v1/payments", f"reset-{number}", json.dumps(order(f"reset-{number}")).encode(), reset=True)
    for number in range(30):
        answer = await healthy.pay(f"reset-{number}")
        while answer.status_code == 409:
            await trio.sleep(0.1)
            answer = await healthy.pay(f"reset-{number}")
        assert answer.status_code in (201, 202)
        payment = await healthy.made(f"reset-{number}")
        payment = await healthy.until(payment["id"], "CAPTURED")
        assert await taken(healthy, payment) == (0, 1999)
