"""What the load generator sends and reads, without sending anything."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from collections.abc import Callable
from functools import partial
from urllib.parse import parse_qsl

import pytest
import trio
import trio.testing

from bench import events
from bench.load import Load, Plan, payment_request, stripe_request
from bench.processes import free_port
from bench.stub import Stub, serve
from bench.wire import Unframed, content_length

_PAID = [events.Paid(intent_id=f"pi_{n}", attempt_id=f"att_{n}", payment_id=f"pay_{n}") for n in range(3)]
_NOW = 1_764_000_000.75


def webhooks(capture: str = "automatic") -> Callable[[int], bytes]:
    return events.Events(_PAID, capture=capture, port=8080, secret="whsec_100%", now=lambda: _NOW).request


@pytest.mark.parametrize("request_of", [payment_request(8080, "mk_test_100%", "manual"), stripe_request(9101), webhooks()])
def test_the_length_is_right_whatever_the_number(request_of: Callable[[int], bytes]) -> None:
    for number in (0, 12345, 9_999_999_999):
        head, _, body = request_of(number).partition(b"\r\n\r\n")
        assert content_length(head.lower()) == len(body)


def test_each_payment_has_a_key_and_a_reference_of_its_own() -> None:
    head, _, body = payment_request(8080, "mk", "manual")(7).partition(b"\r\n\r\n")
    assert b"\r\nIdempotency-Key: bench-0000000007\r\n" in head
    assert json.loads(body)["reference"] == "order-0000000007"
    assert json.loads(body)["capture"] == "manual"


def test_webhooks_are_events_of_their_own_about_one_payment_after_the_other() -> None:
    requests = [webhooks()(number) for number in range(4)]
    told = [json.loads(one.partition(b"\r\n\r\n")[2]) for one in requests]
    assert len({one["id"] for one in told}) == 4
    assert [one["data"]["object"]["id"] for one in told] == ["pi_0", "pi_1", "pi_2", "pi_0"]
    first = told[0]["data"]["object"]
    assert first["metadata"] == {"payorch_attempt": "att_0", "payorch_payment": "pay_0"}
    assert (told[0]["type"], first["status"], first["amount_received"]) == ("payment_intent.succeeded", "succeeded", events.AMOUNT)


def test_webhooks_about_holds_say_so() -> None:
    told = json.loads(webhooks("manual")(0).partition(b"\r\n\r\n")[2])
    assert (told["type"], told["data"]["object"]["status"]) == ("payment_intent.amount_capturable_updated", "requires_capture")


def test_webhooks_are_signed_over_their_bytes_at_the_time_of_sending() -> None:
    head, _, body = webhooks()(7).partition(b"\r\n\r\n")
    found = re.search(rb"Stripe-Signature: t=(\d+),v1=([0-9a-f]{64})\r\n", head)
    assert found is not None
    assert int(found[1]) == int(_NOW)
    assert found[2].decode() == hmac.new(b"whsec_100%", found[1] + b"." + body, hashlib.sha256).hexdigest()


def test_the_stub_lists_what_the_load_reads() -> None:
    stub = Stub()
    form = b"amount=1&currency=eur&metadata%5Bpayorch_attempt%5D=att_1&metadata%5Bpayorch_payment%5D=pay_1"
    intent = json.loads(stub.answer(b"post /v1/payment_intents http/1.1", form).partition(b"\r\n\r\n")[2])
    stub.answer(b"post /v1/payment_intents http/1.1", b"amount=1&currency=eur")
    listed = stub.answer(b"get /paid http/1.1", b"").partition(b"\r\n\r\n")[2].decode()
    assert events.read(listed) == [events.Paid(intent_id=intent["id"], attempt_id="att_1", payment_id="pay_1")]


def test_there_is_nothing_to_tell_of_no_payments() -> None:
    with pytest.raises(ValueError, match="no payments"):
        events.Events([], capture="automatic", port=8080, secret="whsec", now=lambda: _NOW)


async def test_a_load_of_so_many_requests_ends_with_the_last_of_them() -> None:
    stub = Stub()
    async with trio.open_nursery() as nursery:
        port = await nursery.start(partial(_served, stub))
        plan = Plan(
            port=port,
            request=stripe_request(port),
            connections=3,
            seconds=60.0,
            warm_up_seconds=0.0,
            rate=None,
            limit=10,
            watched={},
        )
        with trio.fail_after(20):
            told = await Load(plan).run()
        nursery.cancel_scope.cancel()
    assert (told["answers"], told["lost"], stub.charges) == ({"200": 10}, 0, 10)
    assert told["seconds"] < 20


async def _served(stub: Stub, task_status: trio.TaskStatus[int] = trio.TASK_STATUS_IGNORED) -> None:
    port = free_port()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(serve, port, stub.answer)
        await trio.testing.wait_all_tasks_blocked()
        task_status.started(port)


@pytest.mark.parametrize(
    "head", [b"http/1.1 200 ok", b"post / http/1.1\r\ntransfer-encoding: chunked", b"get / http/1.1\r\ncontent-length: x"]
)
def test_other_framing_is_refused(head: bytes) -> None:
    with pytest.raises(Unframed):
        content_length(head)


@pytest.mark.parametrize(("capture", "status", "received"), [("manual", "requires_capture", 0), ("automatic", "succeeded", 1999)])
def test_the_stub_answers_as_it_was_asked(capture: str, status: str, received: int) -> None:
    stub = Stub()
    form = f"amount=1999&currency=eur&capture_method={capture}&metadata%5Bpayorch_attempt%5D=att_1&expand%5B0%5D=latest_charge"
    assert dict(parse_qsl(form))["expand[0]"] == "latest_charge"
    head, _, body = stub.answer(b"post /v1/payment_intents http/1.1\r\nhost: x", form.encode()).partition(b"\r\n\r\n")
    intent = json.loads(body)
    assert content_length(head.lower()) == len(body)
    assert (intent["status"], intent["amount"], intent["amount_received"]) == (status, 1999, received)
    assert intent["metadata"] == {"payorch_attempt": "att_1"}
    assert intent["latest_charge"]["amount_captured"] == received


def test_every_charge_is_counted_and_has_an_id_of_its_own() -> None:
    stub = Stub()
    answers = {stub.answer(b"post /v1/payment_intents http/1.1", b"amount=1&currency=eur") for _ in range(3)}
    assert len(answers) == stub.charges == 3
    assert stub.answer(b"get / http/1.1", b"").endswith(b'{"charges": 3}')
