"""Webhooks for real, both ways: each event takes effect once, whatever is lost, doubled, late, forged or killed; merchants hear of all.

Not here: schedules of hours and days (`tests/actors/test_notifier.py`, in virtual time), what a notice means (`tests/domain`).
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Any, Final

import httpx2
import stripe
import trio

from payorch.system import SystemClock
from tests.e2e import books
from tests.e2e.merchants import Market
from tests.e2e.receivers import Receiver, receiving
from tests.e2e.stack import WITHIN_SECONDS, Stack, eventually, order, payorch

PROVE: Final = os.environ.get("PROVE") == "1"
MUTATIONS: Final = 100_000 if PROVE else 3_000
_TRIES: Final = {"PAYORCH_DELIVERIES__TRIES_SECONDS": "0,1,1,2,3,4,5,6,60"}


def signed(body: str, secret: str, at: int) -> str:
    """By the official library."""
    return f"t={at},v1={stripe.WebhookSignature._compute_signature(f'{at}.{body}', secret)}"


class Postman:
    """Delivers the PSP's events in its place: each one to five times, in any order, while the payments they are about are being made."""

    def __init__(self, stack: Stack, seed: int) -> None:
        self._stack = stack
        self._dice = Random(seed)
        self._secret = stack.credentials["webhook_secrets"]["stripe"]
        self._psp = stack.credentials["simulators"]["stripe"]
        self.bodies: dict[str, str] = {}
        self.answers: Counter[int] = Counter()

    async def run(self, client: httpx2.AsyncClient, over: trio.Event) -> None:
        """Until `over` is set and everything is delivered."""
        async with trio.open_nursery() as nursery:
            while True:
                last = over.is_set()
                fresh = [one for one in await self._events(client) if one["id"] not in self.bodies]
                self._dice.shuffle(fresh)
                for event in fresh:
                    self.bodies[event["id"]] = json.dumps(event)
                    for _ in range(self._dice.randint(1, 5)):
                        nursery.start_soon(self._post, client, event["id"], self._dice.random() * 1.5)
                if last and not fresh:
                    return
                await trio.sleep(0.05)

    async def _events(self, client: httpx2.AsyncClient) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        after = ""
        while True:
            page = await client.get(
                f"{self._psp}/v1/events", params={"limit": 100, **({"starting_after": after} if after else {})},
                headers={"authorization": "Bearer sk_test_x"},
            )  # fmt: skip
            data = page.raise_for_status().json()["data"]
            found += data
            if not data or data[-1]["id"] in self.bodies or len(data) < 100:
                return found
            after = data[-1]["id"]

    async def _post(self, client: httpx2.AsyncClient, event_id: str, after: float) -> None:
        await trio.sleep(after)
        body = self.bodies[event_id]
        at = int(SystemClock().now().timestamp())
        headers = {"stripe-signature": signed(body, self._secret, at), "content-type": "application/json"}
        answer = await client.post(f"{self._stack.url}/webhooks/stripe", content=body.encode(), headers=headers)
        self.answers[answer.status_code] += 1


async def test_a_thousand_events_in_any_order_take_effect_a_thousand_times(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    stack.hears = False
    await stack.start()
    postman, over = Postman(stack, 1), trio.Event()
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as wire, trio.open_nursery() as nursery:
        nursery.start_soon(postman.run, wire, over)
        for what in ("authorize", "capture", "refund"):
            await stack.fault("charge_then_hang", rate=0.15, scope=what)  # so that events come before answers, and instead of them
        disputed = await _business(stack, payments=150)
        await stack.heal()
        over.set()
    assert len(postman.bodies) >= 1000
    assert set(postman.answers) == {200}
    await stack.until_told()
    rows = await stack.rows("SELECT identity, state, outcome FROM payorch.inbox")
    assert Counter(row[0] for row in rows) == dict.fromkeys(postman.bodies, 1)
    assert {row[1] for row in rows} <= {"applied", "ignored"}
    # One notice, one step: whatever a notice made happen was written in one commit, once.
    steps = await stack.rows("SELECT cause, count(DISTINCT (stream_id, at)) FROM payorch.journal WHERE cause LIKE 'ntc_%' GROUP BY cause")
    assert steps
    assert {row[1] for row in steps} == {1}
    payments = await books.all_payments(stack)
    assert disputed
    assert {one: len(payments[one]["disputes"]) for one in disputed} == dict.fromkeys(disputed, 1)
    ended = await books.check(stack)
    assert ended["MANUAL_REVIEW"] == 0
    assert stack.tracebacks() == []


async def _business(stack: Stack, *, payments: int) -> list[str]:
    """Payments with captures, refunds, and what people do at the PSP; the ids of those that are disputed."""
    made: list[str] = []

    async def one(client: httpx2.AsyncClient, number: int) -> None:
        manual = number % 3 == 0
        body = order(f"w-{number}", amount=1000 + number, capture="manual" if manual else "automatic")
        answer = await client.post("/v1/payments", json=body, headers={"idempotency-key": f"w-{number}"})
        payment = answer.json()
        payment = await stack.until(payment["id"], "AUTHORIZED" if manual else "CAPTURED", "FAILED")
        if payment["state"] == "FAILED":
            return  # a circuit was open: nothing was sent
        if manual:
            await client.post(f"/v1/payments/{payment['id']}/captures", json={}, headers={"idempotency-key": f"w-{number}-c"})
            payment = await stack.until(payment["id"], "CAPTURED")
        for part in range(2):
            key = {"idempotency-key": f"w-{number}-r{part}"}
            await client.post(f"/v1/payments/{payment['id']}/refunds", json={"amount": 100}, headers=key)
        if number % 5 == 0:
            made.append(payment["id"])
            await _at_the_psp(stack, payment, do="dispute", amount=50)
        if number % 5 == 1:
            await _at_the_psp(stack, payment, do="refund", amount=70)

    limit = trio.CapacityLimiter(16)

    async def in_turn(client: httpx2.AsyncClient, number: int) -> None:
        async with limit:
            await one(client, number)

    async with stack.client() as client, trio.open_nursery() as nursery:
        for number in range(payments):
            nursery.start_soon(in_turn, client, number)
    return made


async def _at_the_psp(stack: Stack, payment: dict[str, Any], **deed: Any) -> None:
    async with httpx2.AsyncClient(trust_env=False) as client:
        psp = stack.credentials["simulators"]["stripe"]
        (await client.post(f"{psp}/_dashboard", json={"payment": payment["psp_reference"], **deed})).raise_for_status()


async def test_where_every_answer_is_lost_webhooks_tell(make_stack: Callable[..., Stack]) -> None:
    """Not one answer of the PSP to any call, look-ups included: only what it posts."""
    stack = make_stack()
    await stack.start()
    await stack.fault("charge_then_hang", rate=1.0)
    await stack.fault("webhooks_duplicated", rate=0.5)
    await stack.fault("webhooks_reordered", rate=0.3, seconds=0.5)
    await stack.fault("webhooks_forged", rate=0.3)
    async with stack.client() as client:
        # All at once: calls that nobody answers open the circuit in the end, and no more are sent then.
        made = await _pay_together(
            client,
            *((f"lost-m{n}", {"capture": "manual"}) for n in range(3)),
            *((f"lost-a{n}", {}) for n in range(5)),
            *((f"lost-d{n}", {"token": "tok_insufficient_funds"}) for n in range(2)),
        )
        manual, plain, refused = made[:3], made[3:8], made[8:]
        for payment_id in manual:
            await stack.until(payment_id, "AUTHORIZED")
        for payment_id in refused:
            await stack.until(payment_id, "FAILED")
        for n, payment_id in enumerate(manual):
            what = ("captures", "voids", "captures")[n]
            await client.post(f"/v1/payments/{payment_id}/{what}", json={}, headers={"idempotency-key": f"lost-m{n}-{what}"})
        for n, payment_id in enumerate(manual):
            await stack.until(payment_id, "CANCELED" if n == 1 else "CAPTURED")
        for n, payment_id in enumerate(plain):
            await stack.until(payment_id, "CAPTURED")
            await client.post(f"/v1/payments/{payment_id}/refunds", json={"amount": 100}, headers={"idempotency-key": f"lost-a{n}-r"})
        for payment_id in plain:
            await _until_refunded(client, payment_id, 100)
    sources = await stack.rows(
        "SELECT DISTINCT body::json->'data'->'evidence'->>'source' FROM payorch.journal WHERE stream = 'payment' AND cause LIKE 'ntc_%'"
        " AND body::json->'data'->'evidence'->>'source' IS NOT NULL"
    )
    assert sources == [("webhook",)]
    await stack.heal()
    await stack.until_told()
    hooks = await stack.hooks()
    assert (hooks["forged_believed"], hooks["given_up"]) == (0, 0)
    await books.check(stack)
    assert stack.tracebacks() == []


async def test_where_every_webhook_is_lost_asking_tells(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack()
    await stack.start()
    await stack.fault("webhooks_lost", rate=1.0)
    await stack.fault("charge_then_hang", count=4, scope="authorize")  # one fewer in a row than opens the circuit
    async with stack.client() as client:
        made = [await _pay(client, f"quiet-{n}") for n in range(8)]
        await stack.heal()
        for payment_id in made:
            await stack.until(payment_id, "CAPTURED")
    assert await stack.rows("SELECT count(*) FROM payorch.inbox") == [(0,)]
    assert (await stack.hooks())["lost"] > 0
    await books.check(stack)


async def _pay(client: httpx2.AsyncClient, key: str, **members: Any) -> str:
    token = members.pop("token", "tok_visa")
    answer = await client.post("/v1/payments", json=order(key, token, **members), headers={"idempotency-key": key})
    assert answer.status_code in (201, 202), answer.text
    return str(answer.json()["id"])


async def _pay_together(client: httpx2.AsyncClient, *orders: tuple[str, dict[str, Any]]) -> list[str]:
    """The payments' ids, in the order asked for."""
    ids: dict[str, str] = {}

    async def pay(key: str, members: dict[str, Any]) -> None:
        ids[key] = await _pay(client, key, **members)

    async with trio.open_nursery() as nursery:
        for key, members in orders:
            nursery.start_soon(pay, key, members)
    return [ids[key] for key, _ in orders]


async def _until_refunded(client: httpx2.AsyncClient, payment_id: str, minor: int) -> None:
    async def refunded() -> bool:
        return bool((await client.get(f"/v1/payments/{payment_id}")).json()["amount_refunded"] == minor)

    await eventually(refunded)


# --- what must not be believed


async def test_mutated_deliveries_are_refused(healthy: Stack) -> None:
    """Anything that is changed of a signed request makes it nobody's: never taken, never a fault of ours, nothing kept."""
    dice, secret = Random(5), healthy.credentials["webhook_secrets"]["stripe"]
    before = await healthy.rows("SELECT count(*) FROM payorch.inbox")
    answers: Counter[int] = Counter()
    event = {
        "id": "evt_genuine",
        "object": "event",
        "type": "payout.paid",
        "created": 1,
        "data": {"object": {"id": "po_1", "object": "payout"}},
    }
    body = json.dumps(event).encode()
    limit = trio.CapacityLimiter(16)

    async def post(client: httpx2.AsyncClient, content: bytes, signature: bytes) -> None:
        async with limit:
            headers = [(b"stripe-signature", signature), (b"content-type", b"application/json")]
            answers[(await client.post(f"{healthy.url}/webhooks/stripe", content=content, headers=headers)).status_code] += 1

    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client, trio.open_nursery() as nursery:
        for _ in range(MUTATIONS):
            at = int(SystemClock().now().timestamp())
            content, signature = _mutated(dice, body, signed(body.decode(), secret, at).encode())
            nursery.start_soon(post, client, content, signature)
    assert set(answers) == {400}, answers
    assert sum(answers.values()) == MUTATIONS
    assert await healthy.rows("SELECT count(*) FROM payorch.inbox") == before


def _mutated(dice: Random, body: bytes, signature: bytes) -> tuple[bytes, bytes]:
    """One byte of either changed, added or taken away; or the time moved. Never one that means the same."""
    if dice.random() < 0.5:
        place = dice.randrange(len(body))
        kind = dice.randrange(3)
        if kind == 0:
            return body[:place] + bytes([body[place] ^ (1 << dice.randrange(8))]) + body[place + 1 :], signature
        return (body[:place] + body[place + 1 :] if kind == 1 else body[:place] + b"x" + body[place:]), signature
    at = signature.index(b"v1=") + 3
    place = at + dice.randrange(64)
    if dice.random() < 0.7:
        other = dice.choice([one for one in b"0123456789abcdef" if one != signature[place]])
        return body, signature[:place] + bytes([other]) + signature[place + 1 :]
    when = int(signature[2 : signature.index(b",")])
    moved = when + dice.choice((-1, 1)) * dice.choice((1, 301, 86400, 10**9))
    return body, b"t=%d" % moved + signature[signature.index(b",") :]


# --- killed


async def test_kills_between_storing_and_applying_and_between_sending_and_marking(rough: Stack) -> None:
    """kill -9 again and again while webhooks fly both ways: nothing is lost, nothing is applied twice, and merchants hear of everything."""
    rough.settings = {**rough.settings, **_TRIES}
    async with receiving() as receiver:
        await rough.start()
        await _listen(rough, receiver, "/well", "/flaky")
        market = Market(rough, seed=11, clients=6, business=True)
        await rough.fault("webhooks_duplicated", rate=0.3)
        await rough.fault("charge_then_hang", rate=0.1)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(market.trade)
            for life in range(8 if PROVE else 3):
                await market.until(25 * (life + 1))
                await rough.kill()
                await rough.start()
                await rough.fault("webhooks_duplicated", rate=0.3)
            market.stop()
        await rough.heal()
        await books.check(rough, market.orders, market.wishes)
        # The simulator doubles its pause with each try that meets nobody: after long deaths the last one is minutes off.
        await rough.until_told(3 * WITHIN_SECONDS)
        await _told_of_everything(rough, receiver, "/well", "/flaky")
    assert receiver.wrong == []
    states = await rough.rows("SELECT DISTINCT state FROM payorch.inbox")
    assert {row[0] for row in states} <= {"applied", "ignored"}
    # What a notice's step sends (the void of what is no longer wanted) has the same cause, and so has its answer: that is no effect of it.
    steps = await rough.rows(
        "SELECT cause, count(DISTINCT (stream_id, at)) FROM payorch.journal WHERE cause LIKE 'ntc_%'"
        " AND coalesce(body->'data'->'evidence'->>'source', 'webhook') = 'webhook' GROUP BY cause"
    )
    assert {row[1] for row in steps} <= {1}


async def _listen(stack: Stack, receiver: Receiver, *paths: str) -> None:
    async with stack.client() as client:
        for path in paths:
            answer = await client.post("/v1/webhook-endpoints", json={"url": receiver.url(path)})
            assert answer.status_code == 201, answer.text
            receiver.secrets[path] = answer.json()["secret"]


async def _told_of_everything(stack: Stack, receiver: Receiver, *paths: str) -> None:
    """Each event of the outbox has reached each endpoint, with one body whichever time it came."""
    await none_left(stack, "SELECT 1 FROM payorch.deliveries WHERE state = 'pending' LIMIT 1")
    owed = {row[0] for row in await stack.rows("SELECT body->>'id' FROM payorch.outbox")}
    for path in paths:
        bodies: dict[str, set[bytes]] = defaultdict(set)
        for message in receiver.at(path):
            bodies[message.id].add(message.body)
        assert set(bodies) == owed, f"{path}: {len(owed - set(bodies))} events never came, {len(set(bodies) - owed)} are nobody's"
        assert all(len(one) == 1 for one in bodies.values())
    assert owed


# --- difficult endpoints


async def test_difficult_endpoints_delay_nobody_and_are_told_in_the_end(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(**_TRIES, PAYORCH_DELIVERIES__TOTAL_TIMEOUT_SECONDS="2")
    async with receiving() as receiver:
        await stack.start()
        await _listen(stack, receiver, "/well", "/hang", "/gone", "/redirect", "/ill")
        began = trio.current_time()
        async with stack.client() as client:
            made = [await _pay(client, f"hook-{n}") for n in range(20)]

            async def well_told() -> bool:
                return len(receiver.at("/well")) >= len(made)

            await eventually(well_told)
            # Told while the hanging one still holds its first tries.
            assert {one.event["data"]["payment"]["id"] for one in receiver.at("/well")} == set(made)
            assert all(one.at - began < 60 for one in receiver.at("/well"))
            receiver.cure()

            async def ill_told() -> bool:
                return len({one.id for one in receiver.at("/ill")}) >= len(made) and not await _pending(stack, receiver, "/ill")

            await eventually(ill_told)
            shown = {one["url"]: one for one in (await client.get("/v1/webhook-endpoints")).json()["data"]}
            gone = shown[receiver.url("/gone")]
            assert (gone["enabled"], gone["disabled_reason"]) == (False, "it answered 410 Gone")
            events = (await client.get("/v1/events", params={"limit": "100"})).json()["data"]
            redirected = [
                one for event in events for one in event["deliveries"] if one["endpoint"] == shown[receiver.url("/redirect")]["id"]
            ]
            assert {one["last_status"] for one in redirected if one["attempts"]} == {302}
            assert {one["state"] for one in redirected} <= {"pending", "dead"}
    assert receiver.wrong == []
    assert stack.tracebacks() == []


async def none_left(stack: Stack, query: str) -> None:
    """Waits until that query finds nothing."""

    async def none() -> bool:
        return not await stack.rows(query)

    await eventually(none)


async def _pending(stack: Stack, receiver: Receiver, path: str) -> bool:
    found = await stack.rows(
        "SELECT 1 FROM payorch.deliveries AS d JOIN payorch.webhook_endpoints AS e ON e.id = d.endpoint_id"
        " WHERE e.url = %s AND d.state = 'pending' LIMIT 1",
        receiver.url(path),
    )
    return bool(found)


async def test_a_dead_delivery_is_replayed_from_the_command_line(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(PAYORCH_DELIVERIES__TRIES_SECONDS="0,1")
    async with receiving() as receiver:
        await stack.start()
        await _listen(stack, receiver, "/ill")
        async with stack.client() as client:
            await _pay(client, "dead-1")

        async def died() -> bool:
            return bool(await stack.rows("SELECT 1 FROM payorch.dead_letters"))

        await eventually(died)
        folder = str(stack.folder)
        [letter] = (await payorch("dead-letters", "list", "--json", "--data-dir", folder)).data["data"]
        receiver.cure()
        done = await payorch("dead-letters", "replay", letter["id"], "--reason", "cured", "--data-dir", folder)
        assert done.code == 0, done
        await none_left(stack, "SELECT 1 FROM payorch.deliveries WHERE state <> 'delivered'")
        assert len({one.id for one in receiver.messages}) == 1
        assert len(receiver.messages) == 3
        verdict = await payorch("audit", "verify", "--json", "--data-dir", folder)
        assert verdict.data["whole"] is True
