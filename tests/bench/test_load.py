"""What the load generator sends and reads, without sending anything."""

from __future__ import annotations

import json
from urllib.parse import parse_qsl

import pytest

from bench.load import payment_request, stripe_request
from bench.stub import Stub
from bench.wire import Unframed, content_length


@pytest.mark.parametrize("template", [payment_request(8080, "mk_test_100%", "manual"), stripe_request(9101)])
def test_the_length_is_right_whatever_the_number(template: bytes) -> None:
    for number in (0, 12345, 9_999_999_999):
        head, _, body = (template % (number, number)).partition(b"\r\n\r\n")
        assert content_length(head.lower()) == len(body)


def test_each_payment_has_a_key_and_a_reference_of_its_own() -> None:
    head, _, body = (payment_request(8080, "mk", "manual") % (7, 7)).partition(b"\r\n\r\n")
    assert b"\r\nIdempotency-Key: bench-0000000007\r\n" in head
    assert json.loads(body)["reference"] == "order-0000000007"
    assert json.loads(body)["capture"] == "manual"


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
