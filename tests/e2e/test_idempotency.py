"""API.md's table of idempotency through the front door: one key, one payment, one charge, one answer, whatever happens in between."""

from __future__ import annotations

import signal
from collections import Counter

import httpx2
import pytest
import trio

from tests.e2e.stack import Stack, order, payorch

PARALLEL = 200
PATIENCE = {"PAYORCH_HTTP__ANSWER_WITHIN_SECONDS": "3"}


async def charged(stack: Stack, payment_id: str) -> int:
    """How many charges the PSP's own books have for that payment."""
    payment = (await stack.get(f"/v1/payments/{payment_id}")).json()
    ours = {attempt["id"] for attempt in payment["attempts"]}
    return sum(one["our_reference"] in ours and one["captured"] > 0 for one in await stack.charges())


async def all_at_once(stack: Stack, key: str, many: int = PARALLEL) -> list[httpx2.Response]:
    answers: list[httpx2.Response] = []

    async def ask(client: httpx2.AsyncClient) -> None:
        answers.append(await client.post("/v1/payments", json=order(key), headers={"idempotency-key": key}))

    async with stack.client() as client, trio.open_nursery() as nursery:
        for _ in range(many):
            nursery.start_soon(ask, client)
    return answers


def assert_problem(answer: httpx2.Response, status: int, code: str, money_moved: str = "no") -> None:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"], problem["money_moved"]) == (status, status, code, money_moved), problem
    assert problem["request_id"] == answer.headers["x-request-id"]


async def test_two_hundred_at_once_are_one_payment(healthy: Stack) -> None:
    """Through a restart and a kill -9, too."""
    stack = healthy
    await stack.fault("slow", seconds=0.7, count=1)  # so that the first is surely still being executed when others come
    answers = await all_at_once(stack, "one")

    seen = Counter(answer.status_code for answer in answers)
    assert seen.keys() <= {201, 409}, seen
    assert seen[201] >= 1
    assert seen[409] >= 100
    accepted = {answer.content for answer in answers if answer.status_code == 201}
    assert len(accepted) == 1
    (body,) = accepted
    for answer in answers:
        if answer.status_code == 409:
            assert_problem(answer, 409, "idempotency_in_progress", "unknown")
            assert int(answer.headers["retry-after"]) >= 1
    (original,) = [one for one in answers if one.status_code == 201 and "idempotency-replayed" not in one.headers]
    payment_id = original.json()["id"]

    async def replayed_everywhere() -> None:
        for answer in await all_at_once(stack, "one", 20):
            if answer.status_code != 409:  # the others of this crowd, who are read for at the same moment
                assert (answer.status_code, answer.content, answer.headers["idempotency-replayed"]) == (201, body, "true")
        answer = await stack.pay("one")
        assert (answer.status_code, answer.content, answer.headers["idempotency-replayed"]) == (201, body, "true")
        assert [one["id"] for one in (await stack.get("/v1/payments", reference="one")).json()["data"]] == [payment_id]
        assert await charged(stack, payment_id) == 1
        assert_problem(await stack.pay("one", amount=2000), 422, "idempotency_key_reused")
        assert_problem(await stack.post(f"/v1/payments/{payment_id}/cancel", "one"), 422, "idempotency_key_reused")

    await replayed_everywhere()
    assert await stack.stop(signal.SIGTERM) == 0
    await stack.start(**PATIENCE, PAYORCH_CRASH_AT="connector.after_answer:1")
    await replayed_everywhere()
    charges = len(await stack.charges())
    with pytest.raises(httpx2.TransportError):
        await stack.pay("crashed")
    assert await stack.ended() == -signal.SIGKILL
    assert len(await stack.charges()) == charges + 1
    await stack.start(**PATIENCE)
    await a_claim_that_a_crash_left_without_an_answer(stack, "crashed")
    await replayed_everywhere()


async def a_claim_that_a_crash_left_without_an_answer(stack: Stack, key: str) -> None:
    """Claimed, charged, killed before the answer was stored: 409 while young, then 202 as it stands, and that stays the answer."""
    claimed = "SELECT count(*) FROM payorch.idempotency_keys WHERE key = %s AND status IS NULL"
    assert await stack.rows(claimed, key) == [(1,)]
    answer = await stack.pay(key)
    while answer.status_code == 409:
        assert_problem(answer, 409, "idempotency_in_progress", "unknown")
        assert 1 <= int(answer.headers["retry-after"]) <= 3
        await trio.sleep(0.1)
        answer = await stack.pay(key)
    assert answer.status_code == 202
    again = await stack.pay(key)
    assert (again.status_code, again.content, again.headers["idempotency-replayed"]) == (202, answer.content, "true")
    found = await stack.until(answer.json()["id"], "CAPTURED")
    assert found["outcome"] is None
    assert (await stack.pay(key)).content == answer.content  # the later outcome never overwrites it
    assert await charged(stack, found["id"]) == 1


async def test_every_row_of_the_table(healthy: Stack) -> None:
    async def post(body: object, *keys: bytes, authorization: str = healthy.authorization["authorization"]) -> httpx2.Response:
        headers = [(b"authorization", authorization.encode()), *((b"idempotency-key", key) for key in keys)]
        async with healthy.client(headers={}) as client:
            return await client.post("/v1/payments", json=body, headers=headers)

    body = order("table")
    assert_problem(await post(body), 400, "idempotency_key_missing")
    for bad in (b"", b"k" * 256, b'"', b'"open', b'""', b"k\xc3\xbc", b"\x7f", b'"a"b'):
        assert_problem(await post(body, bad), 400, "idempotency_key_invalid")
    assert_problem(await post(body, b"table", b"table"), 400, "idempotency_key_invalid")
    assert_problem(await post(body, b"table", b"other"), 400, "idempotency_key_invalid")

    # A refusal before execution leaves the key free: 400, 401, 422.
    assert_problem(await post({**body, "amount": 0}, b"table"), 422, "validation_failed")
    assert_problem(await post({**body, "surprise": 1}, b"table"), 422, "validation_failed")
    assert_problem(await post({**body, "reference": "4242424242424242"}, b"table"), 422, "card_data_refused")
    assert_problem(await post(body, b"table", authorization="Bearer mk_test_nonsense"), 401, "unauthenticated")
    assert_problem(await healthy.post("/v1/payments/pay_00000000000000000000000000/cancel", "table"), 404, "not_found")
    first = await post(body, b"table")
    assert first.status_code == 201
    assert "idempotency-replayed" not in first.headers

    # Bare and quoted are one key; the order of members is not another body.
    reordered = dict(reversed(body.items()))
    for replay in (await post(body, b'"table"'), await post(reordered, b"table")):
        assert (replay.status_code, replay.content, replay.headers["idempotency-replayed"]) == (201, first.content, "true")
    assert_problem(await post({**body, "metadata": {"a": "b"}}, b"table"), 422, "idempotency_key_reused")

    longest = b"K" * 255
    assert (await post(order("longest"), longest)).status_code == 201
    assert (await post(order("longest"), longest)).headers["idempotency-replayed"] == "true"

    # A decline is an answer like any other. (And so is a 202: test_shopper.)
    declined = await post(order("declined", "tok_hard_decline"), b"declined")
    assert (declined.status_code, declined.json()["status"]) == (201, "failed")
    assert (await post(order("declined", "tok_hard_decline"), b"declined")).content == declined.content


async def test_one_key_of_two_merchants_is_two_keys(healthy: Stack) -> None:
    added = (await payorch("merchants", "add", "Other shop", "--json", "--data-dir", str(healthy.folder))).data
    ours = await healthy.pay("same")
    async with healthy.client(headers={"authorization": f"Bearer {added['key']}"}) as other:
        theirs = await other.post("/v1/payments", json=order("same"), headers={"idempotency-key": "same"})
        assert theirs.status_code == 201
        assert "idempotency-replayed" not in theirs.headers
        assert theirs.json()["id"] != ours.json()["id"]
        # Another merchant's payment does not exist, whatever one does to it.
        path = f"/v1/payments/{ours.json()['id']}"
        assert_problem(await other.get(path), 404, "not_found")
        assert_problem(await other.get(f"{path}/timeline"), 404, "not_found")
        for command in ("cancel", "confirm"):
            assert_problem(await other.post(f"{path}/{command}", json={}, headers={"idempotency-key": command}), 404, "not_found")


async def test_follow_ups_have_keys_too(healthy: Stack) -> None:
    created = (await healthy.pay("two-steps", confirm=False)).json()
    assert created["state"] == "CREATED"
    path = f"/v1/payments/{created['id']}"
    answers: list[httpx2.Response] = []

    async def confirm() -> None:
        answers.append(await healthy.post(f"{path}/confirm", "two-steps-confirm"))

    async with trio.open_nursery() as nursery:
        for _ in range(20):
            nursery.start_soon(confirm)
    assert {answer.status_code for answer in answers} <= {200, 409}
    (body,) = {answer.content for answer in answers if answer.status_code == 200}
    replay = await healthy.post(f"{path}/confirm", "two-steps-confirm")
    assert (replay.status_code, replay.content, replay.headers["idempotency-replayed"]) == (200, body, "true")
    assert_problem(await healthy.post(f"{path}/cancel", "two-steps-confirm"), 422, "idempotency_key_reused")
    again = await healthy.post(f"{path}/confirm", "another-key")
    assert_problem(again, 409, "operation_not_allowed")
    assert again.json()["allowed"] == ["refund"]
    assert await charged(healthy, created["id"]) == 1
