"""Webhooks over real sockets: a receiver on loopback, Stripe's own library at its door, and time that only the tests turn.

Where time stands still, what arrives was sent because it was owed and not because somebody looked again.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import stripe
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.ledger import Ledger
from connectors.stripe.dialect import StripeDialect
from payorch.simulator_webhooks import ANSWER_WITHIN_SECONDS, AT_ONCE
from payorch.simulators import Bound, Conversation, serve
from payorch.system import SystemClock
from tests.simulator.conftest import Start
from tests.simulator.test_serving import AUTHORISED, FORM, PAY, Running

SECRET = "whsec_of_a_test"
PAID = Counter(["payment_intent.created", "charge.succeeded", "payment_intent.succeeded"])
TURNS = 20_000
"""Of trio's loop, after which a test gives up that would otherwise wait for ever: seconds."""


class TurnedClock:
    """Wall time that began now and goes on with trio's clock."""

    def __init__(self) -> None:
        self._began = SystemClock().now()

    def now(self) -> datetime:
        return self._began + timedelta(seconds=trio.current_time())


class Receiver:
    """An endpoint that believes only what Stripe's library believes, and answers as a test will have it."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.heard: list[stripe.Event] = []
        self.requests: list[HttpRequest] = []
        self.refused: list[str] = []
        self.connections = 0
        self.open = trio.Event()
        """While it is not set nobody is answered."""
        self.open.set()
        self.close_after_each = False
        self.idle: set[trio.CancelScope] = set()
        self._changed = trio.Event()

    async def serve(self, port: int = 0, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED) -> None:
        listeners = await trio.open_tcp_listeners(port, host="127.0.0.1")
        self.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/webhooks/stripe"
        async with trio.open_nursery() as nursery:
            await nursery.start(partial(trio.serve_listeners, self._talk, listeners))
            task_status.started(self.url)

    async def _talk(self, stream: trio.SocketStream) -> None:
        self.connections += 1
        await Conversation(stream, self.idle).run(self._answer)

    async def _answer(self, conversation: Conversation, request: HttpRequest) -> bool:
        self.requests.append(request)
        status = self.status
        try:
            event = stripe.Webhook.construct_event(request.body, dict(request.headers).get("stripe-signature", ""), SECRET)
        except stripe.SignatureVerificationError as problem:
            self.refused.append(str(problem))
            status = 400
        else:
            if 200 <= status < 300:
                self.heard.append(event)
        self._changed.set()
        self._changed = trio.Event()
        await self.open.wait()
        headers = (("location", f"{self.url}/elsewhere"),) if status == 302 else ()
        answer = HttpResponse(status=status, headers=headers, body=b"")
        return await conversation.send(request, answer, last=self.close_after_each)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Waits for something that requests bring about, in this process: without time, which may stand still."""
        for _ in range(TURNS):
            if condition():
                return
            await trio.lowlevel.checkpoint()
        raise AssertionError("what was waited for did not come")

    async def until_heard(self, count: int) -> None:
        await self.until(lambda: len(self.heard) >= count)

    async def until_requests(self, count: int) -> None:
        """The same, also for requests of another process."""
        while len(self.requests) < count:
            await self._changed.wait()

    def hang_up_idle(self) -> None:
        """Ends the connections on which nothing is under way."""
        for scope in tuple(self.idle):
            scope.cancel()

    @property
    def types(self) -> Counter[str]:
        return Counter(event.type for event in self.heard)


class Psp(Running):
    """Simulators in this process, with an endpoint."""

    def __init__(self, bound: Bound, receiver: Receiver) -> None:
        super().__init__(bound)
        self.receiver = receiver

    async def point(self, url: str | None) -> None:
        status, told = await self.control("POST", "/stripe/_webhooks", {"url": url, "secret": SECRET})
        assert status == 200, told

    async def webhooks(self) -> dict[str, Any]:
        shown: dict[str, Any] = (await self.control("GET", "/stripe/_webhooks"))[1]
        return shown

    async def counts(self) -> dict[str, int]:
        return {name: count for name, count in (await self.webhooks())["counts"].items() if count}

    async def until_counts(self, **wanted: int) -> None:
        """Waits until exactly that has become of the webhooks: attempts end a moment after the receiver has answered."""
        turns = 0
        while (counts := await self.counts()) != wanted:
            turns += 1
            assert turns < TURNS // 20, f"{counts} instead of {wanted}"

    async def until_failed(self, waiting: int = 1) -> str:
        """Waits until so many wait after an attempt; what was wrong with it."""
        turns = 0
        while (told := await self.webhooks())["problem"] is None or told["counts"]["waiting"] != waiting:
            turns += 1
            assert turns < TURNS // 20, told
        return str(told["problem"])

    async def creates(self) -> str:
        """One payment that only one webhook tells of; its id."""
        async with self.client() as client:
            await client.send("POST", "/v1/payment_intents", b"amount=100&currency=eur", (*AUTHORISED, FORM))
            return str(json.loads((await client.receive())[2])["id"])


@pytest.fixture
def clock() -> MockClock:
    """Time stands still until a test turns it."""
    return MockClock()


@pytest.fixture
async def psp(clock: MockClock, nursery: trio.Nursery) -> Psp:
    receiver = Receiver()
    await nursery.start(receiver.serve)
    made = Psp(await nursery.start(partial(serve, None, ports={}, clock=TurnedClock())), receiver)
    await made.point(receiver.url)
    return made


async def test_stripes_own_library_believes_what_comes_at_once(psp: Psp, clock: MockClock) -> None:
    _, _, answered = await psp.pays()
    await psp.receiver.until_heard(3)
    assert psp.receiver.types == PAID
    paid = next(event for event in psp.receiver.heard if event.type == "payment_intent.succeeded")
    assert paid.data.object["id"] == json.loads(answered)["id"]
    headers = dict(psp.receiver.requests[0].headers)
    assert headers["user-agent"] == "Stripe/1.0 (+https://stripe.com/docs/webhooks)"
    assert headers["content-type"].startswith("application/json")
    await psp.until_counts(owed=3, delivered=3)
    async with psp.client() as client:
        await client.send("GET", "/v1/events")
        listed = json.loads((await client.receive())[2])["data"]
    assert {event["id"] for event in listed} == {event.id for event in psp.receiver.heard}
    assert trio.current_time() == 0.0


async def test_what_a_psp_does_by_itself_and_in_its_dashboard_is_told_too(psp: Psp, clock: MockClock) -> None:
    id = json.loads((await psp.pays())[2])["id"]
    assert (await psp.control("POST", "/stripe/_dashboard", {"payment": id, "do": "refund", "amount": 500}))[0] == 200
    assert (await psp.control("POST", "/stripe/_dashboard", {"payment": id, "do": "dispute", "amount": 700}))[0] == 200
    await psp.receiver.until_heard(7)
    assert psp.receiver.types - PAID == Counter(
        ["charge.refunded", "refund.created", "charge.dispute.created", "charge.dispute.funds_withdrawn"]
    )
    async with psp.client() as client:
        await client.send("POST", "/v1/payment_intents", urlencode({**PAY, "payment_method": "tok_pending"}).encode(), (*AUTHORISED, FORM))
        await client.receive()
    await psp.until_counts(owed=10, delivered=10)
    await wait_all_tasks_blocked()
    clock.jump(3.0)
    await psp.receiver.until_heard(12)
    assert psp.receiver.types["payment_intent.succeeded"] == 2


@pytest.mark.parametrize("status", [500, 404, 302, 400])
async def test_what_is_not_taken_is_tried_again_and_again(psp: Psp, clock: MockClock, status: int) -> None:
    psp.receiver.status = status
    await psp.creates()
    for tries, pause in enumerate((1.0, 2.0, 4.0), start=1):
        await psp.receiver.until_requests(tries)
        await psp.until_counts(owed=1, waiting=1)
        await until_asleep(psp, tries)
        clock.jump(pause)
    psp.receiver.status = 204
    await psp.receiver.until_heard(1)
    await psp.until_counts(owed=1, delivered=1)
    assert len(psp.receiver.requests) == 4
    assert {request.path for request in psp.receiver.requests} == {"/webhooks/stripe"}  # no redirect is followed


async def until_asleep(psp: Psp, tries: int) -> None:
    """The attempt has been weighed, and nothing more is tried while time stands still."""
    await psp.until_failed()
    await wait_all_tasks_blocked()
    assert len(psp.receiver.requests) == tries


async def test_a_platform_that_is_down_and_comes_up_again(clock: MockClock, nursery: trio.Nursery) -> None:
    receiver = Receiver()
    psp = Psp(await nursery.start(partial(serve, None, ports={}, clock=TurnedClock())), receiver)
    async with trio.open_nursery() as first:
        await first.start(receiver.serve)
        await psp.point(receiver.url)
        first.cancel_scope.cancel()
    await psp.pays()
    assert (await psp.until_failed(3)).startswith("nobody listens at 127.0.0.1:")
    await nursery.start(receiver.serve, int(receiver.url.split(":")[2].partition("/")[0]))
    clock.jump(1.0)
    await receiver.until_heard(3)
    assert receiver.types == PAID


async def test_an_endpoint_that_hangs_costs_a_bounded_number_of_tasks(psp: Psp, clock: MockClock) -> None:
    psp.receiver.open = trio.Event()
    for _ in range(AT_ONCE + 5):
        await psp.creates()
    await psp.receiver.until(lambda: len(psp.receiver.requests) >= AT_ONCE)
    await wait_all_tasks_blocked()
    assert len(psp.receiver.requests) == psp.receiver.connections == AT_ONCE
    clock.jump(ANSWER_WITHIN_SECONDS)
    await psp.receiver.until(lambda: len(psp.receiver.requests) >= AT_ONCE + 5)
    assert "did not answer within 10 s" in (await psp.webhooks())["problem"]
    psp.receiver.open.set()
    await psp.until_counts(owed=AT_ONCE + 5, waiting=AT_ONCE, delivered=5)
    clock.jump(1.0)
    await psp.until_counts(owed=AT_ONCE + 5, delivered=AT_ONCE + 5)


async def test_connections_are_kept_and_one_that_was_closed_meanwhile_costs_nothing(psp: Psp, clock: MockClock) -> None:
    for count in range(1, 4):
        await psp.creates()
        await psp.until_counts(owed=count, delivered=count)
    assert psp.receiver.connections == 1
    psp.receiver.close_after_each = True
    await psp.creates()
    await psp.until_counts(owed=4, delivered=4)
    psp.receiver.close_after_each = False
    for count in range(5, 7):
        await psp.creates()
        await psp.until_counts(owed=count, delivered=count)
    assert psp.receiver.connections == 2
    psp.receiver.hang_up_idle()
    await psp.creates()
    await psp.until_counts(owed=7, delivered=7)
    assert (await psp.webhooks())["problem"] is None


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 2", b"nonsense\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n"])
async def test_an_answer_that_is_none_is_a_failure(psp: Psp, clock: MockClock, nursery: trio.Nursery, said: bytes) -> None:
    async def talk(stream: trio.SocketStream) -> None:
        async with stream:
            await stream.receive_some(65536)
            await stream.send_all(said)

    listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(partial(trio.serve_listeners, talk, listeners))
    await psp.point(f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/")
    await psp.creates()
    assert "hung up without an answer" in await psp.until_failed()


async def test_a_bug_costs_a_pause(psp: Psp, clock: MockClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*args: Any, **more: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(StripeDialect, "webhook_headers", broken)
        await psp.creates()
        assert await psp.until_failed() == "a bug in the simulator"
    assert "ZeroDivisionError" in caplog.text
    assert SECRET not in caplog.text
    clock.jump(1.0)
    await psp.receiver.until_heard(1)


async def test_an_endpoint_that_is_taken_away_hears_nothing_more(psp: Psp, clock: MockClock) -> None:
    psp.receiver.status = 500
    await psp.creates()
    await psp.receiver.until(lambda: len(psp.receiver.requests) == 1)
    await until_asleep(psp, 1)
    await psp.point(None)
    await psp.creates()
    clock.jump(60.0)
    await wait_all_tasks_blocked()
    assert len(psp.receiver.requests) == 1
    await psp.until_counts(owed=1, given_up=1)
    # At the simulator's own port as well.
    async with psp.client() as client:
        await client.send("GET", "/_webhooks", headers=(("host", "x"),))
        assert json.loads((await client.receive())[2])["url"] is None


# --- faults


async def test_lost_webhooks_never_come_and_are_counted(psp: Psp, clock: MockClock) -> None:
    await psp.fault(fault="webhooks_lost", count=2)
    await psp.pays()
    await psp.until_counts(owed=3, lost=2, delivered=1)
    clock.jump(4 * 86400.0)
    await wait_all_tasks_blocked()
    assert len(psp.receiver.requests) == 1


async def test_late_webhooks_come_later(psp: Psp, clock: MockClock) -> None:
    await psp.fault(fault="webhooks_late", seconds=7, count=1)
    await psp.creates()
    await psp.creates()
    await psp.until_counts(owed=2, delivered=1, waiting=1, late=1)
    await wait_all_tasks_blocked()
    clock.jump(6.9)
    await wait_all_tasks_blocked()
    assert len(psp.receiver.heard) == 1
    clock.jump(0.1)
    await psp.until_counts(owed=2, delivered=2, late=1)


async def test_reordered_webhooks_are_overtaken(psp: Psp, clock: MockClock) -> None:
    await psp.fault(fault="webhooks_reordered", count=1)
    first = await psp.creates()
    second = await psp.creates()
    await psp.until_counts(owed=2, delivered=1, waiting=1, reordered=1)
    clock.jump(2.0)
    await psp.until_counts(owed=2, delivered=2, reordered=1)
    assert [event.data.object["id"] for event in psp.receiver.heard] == [second, first]


async def test_duplicates_come_at_the_same_time(psp: Psp, clock: MockClock) -> None:
    psp.receiver.open = trio.Event()
    await psp.fault(fault="webhooks_duplicated")
    await psp.creates()
    await psp.receiver.until(lambda: len(psp.receiver.requests) >= 2)  # and none of them is answered
    await wait_all_tasks_blocked()
    psp.receiver.open.set()
    await psp.until_counts(owed=1, delivered=1, duplicated=1)
    assert 2 <= len(psp.receiver.heard) <= 5
    assert len({event.id for event in psp.receiver.heard}) == 1
    assert len(psp.receiver.heard) == psp.receiver.connections


async def test_forged_ones_come_beside_the_true_ones_and_are_not_believed(psp: Psp, clock: MockClock) -> None:
    await psp.fault(fault="webhooks_forged")
    for number in range(8):
        await psp.pays(f"k{number}")
    await psp.until_counts(owed=24, delivered=24, forged=24)
    assert (len(psp.receiver.heard), len(psp.receiver.refused)) == (24, 24)
    for why in ("No signatures found matching", "Timestamp outside the tolerance zone", "No Stripe-Signature header value"):
        assert any(why in problem for problem in psp.receiver.refused), why


# --- a life of their own


async def test_stopping_finishes_what_is_under_way_and_owes_the_rest(clock: MockClock, nursery: trio.Nursery, tmp_path: Path) -> None:
    receiver, stop, ended = Receiver(), trio.Event(), trio.Event()
    await nursery.start(receiver.serve)

    async def served(*, task_status: trio.TaskStatus[Bound]) -> None:
        await serve(tmp_path, ports={}, clock=TurnedClock(), stop=stop, task_status=task_status)
        ended.set()

    psp = Psp(await nursery.start(served), receiver)
    await psp.point(receiver.url)
    await psp.fault(fault="webhooks_late", seconds=60, count=1)
    await psp.creates()
    receiver.open = trio.Event()
    await psp.creates()
    await receiver.until(lambda: len(receiver.requests) == 1)
    stop.set()
    await wait_all_tasks_blocked()
    assert not ended.is_set()
    receiver.open.set()
    await ended.wait()
    ledger = Ledger(psp="stripe", path=tmp_path / "stripe.ledger.sqlite3")
    assert {name: count for name, count in ledger.outbox.counts().items() if count} == {"owed": 2, "delivered": 1, "waiting": 1, "late": 1}
    ledger.close()


async def test_stopping_does_not_wait_for_an_endpoint_that_hangs(clock: MockClock, nursery: trio.Nursery, tmp_path: Path) -> None:
    receiver, stop, ended = Receiver(), trio.Event(), trio.Event()
    await nursery.start(receiver.serve)

    async def served(*, task_status: trio.TaskStatus[Bound]) -> None:
        await serve(tmp_path, ports={}, clock=TurnedClock(), stop=stop, task_status=task_status)
        ended.set()

    psp = Psp(await nursery.start(served), receiver)
    await psp.point(receiver.url)
    receiver.open = trio.Event()
    await psp.creates()
    await receiver.until(lambda: len(receiver.requests) == 1)
    stop.set()
    await wait_all_tasks_blocked()
    clock.jump(2.0)
    await ended.wait()
    ledger = Ledger(psp="stripe", path=tmp_path / "stripe.ledger.sqlite3")
    assert ledger.outbox.counts()["waiting"] == 1
    ledger.close()


async def test_kill_9_forgets_no_webhook_and_no_endpoint(start: Start, nursery: trio.Nursery, tmp_path: Path) -> None:
    receiver = Receiver()
    await nursery.start(receiver.serve)
    with trio.fail_after(60):
        receiver.open = trio.Event()
        server = await trio.to_thread.run_sync(start, tmp_path)
        psp = Psp(Bound(simulators={"stripe": server.stripe}, control=server.control, pid=0), receiver)
        await psp.point(receiver.url)
        for _ in range(AT_ONCE + 3):
            await psp.creates()
        await receiver.until_requests(AT_ONCE)
        await trio.to_thread.run_sync(server.kill)
        receiver.open.set()
        receiver.heard.clear()
        server = await trio.to_thread.run_sync(start, tmp_path)
        psp = Psp(Bound(simulators={"stripe": server.stripe}, control=server.control, pid=0), receiver)
        await psp.until_counts(owed=AT_ONCE + 3, delivered=AT_ONCE + 3)
    assert len({event.id for event in receiver.heard}) == AT_ONCE + 3
