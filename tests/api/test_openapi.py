"""The OpenAPI document: it is one, it names every route, its examples validate, and it leads nowhere else."""

from __future__ import annotations

import re
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from actors.messages import Forbidden
from payorch.api.calls import EXAMPLE_BODY
from payorch.api.contracts import Connectors, CreatePaymentBody, create_from
from payorch.api.openapi import ALL_CALLS, openapi
from payorch.api.present import operation_json, page_json, payment_json
from payorch.api.timeline import timeline_json
from payorch.domain.decide import Refused
from payorch.domain.events import CancelIntent
from payorch.domain.payment import Name, State
from tests.api.merchant_world import Life, World, charge, new_id

DOCUMENT = openapi()


def schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}


def check(value: Any, name: str) -> None:
    jsonschema.Draft202012Validator(schema(name)).validate(value)


async def test_it_is_served_as_it_is() -> None:
    answer = await World().call("GET", "/openapi.json", key=None)
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    assert answer.seen == DOCUMENT
    assert DOCUMENT["openapi"].startswith("3.1")


def test_it_names_every_route_and_no_other() -> None:
    routes = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in World().app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    described = {(method, path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == routes
    assert len({call.name for call in ALL_CALLS}) == len(ALL_CALLS)


def test_every_reference_leads_somewhere() -> None:
    text = msgspec.json.encode(DOCUMENT).decode()
    for name in re.findall(r'"#/components/schemas/([^"]+)"', text):
        assert name in DOCUMENT["components"]["schemas"]
    for one in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(one)


def test_it_leads_to_no_other_host() -> None:
    hosts = set(re.findall(r"https?://([^/\"' ]+)", msgspec.json.encode(DOCUMENT).decode()))
    assert hosts <= {"shop.example"}
    assert DOCUMENT["servers"] == [{"url": "/"}]


@pytest.mark.parametrize(("path", "method"), [(path, method) for path, methods in DOCUMENT["paths"].items() for method in methods])
def test_examples_validate(path: str, method: str) -> None:
    for media in DOCUMENT["paths"][path][method].get("requestBody", {}).get("content", {}).values():
        for example in media.get("examples", {}).values():
            check(example["value"], media["schema"]["$ref"].rpartition("/")[2])


async def test_examples_are_taken() -> None:
    world = World()
    examples = DOCUMENT["paths"]["/v1/payments"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    for name, example in examples.items():
        assert (await world.post(body=example["value"], idempotency=name)).status_code == 201


async def test_answers_are_what_the_document_says() -> None:
    world = World()
    life = world.has(Life().created().sent().declined())
    check(msgspec.json.decode(payment_json(life.payment)), "PaymentShape")
    check(msgspec.json.decode(page_json([life.payment], None)), "PaymentList")
    check(msgspec.json.decode(timeline_json(life.payment_id, life.events)), "TimelineShape")
    voided = world.has(Life().created().sent().tell(Name.CANCEL_INTENT_RECORDED, State.AUTHORIZING, CancelIntent(reference="v-1")))
    check(msgspec.json.decode(operation_json(voided.payment, new_id("void"))), "OperationAnswerShape")
    check((await world.post(body=charge(amount=0))).seen, "ProblemShape")
    check((await world.call("GET", "/readyz", key=None)).seen, "ReadinessShape")


def test_every_refusal_of_a_call_is_in_it() -> None:
    responses = DOCUMENT["paths"]["/v1/payments"]["post"]["responses"]
    assert set(responses) == {"201", "202", "400", "401", "403", "408", "409", "413", "415", "422", "429", "500", "503"}


async def test_the_page_needs_nobody_else() -> None:
    answer = await World().call("GET", "/docs", key=None)
    text = answer.raw.decode()
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    assert "<script" not in text
    assert not re.findall(r"(?:src|href)=[\"'](?!#|/openapi\.json)", text)
    for call in ALL_CALLS:
        assert call.name in text
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


BODIES = schemathesis.openapi.from_dict(DOCUMENT)["/v1/payments"]["POST"].as_strategy()


@given(case=BODIES)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_the_document_allows_is_no_5xx(case: Any) -> None:
    answer = await World().post(body=msgspec.json.encode(case.body) if isinstance(case.body, dict) else b"{}")
    assert answer.status_code in (201, 400, 422), answer.raw


OPERATIONS = {
    what: schemathesis.openapi.from_dict(DOCUMENT)[f"/v1/payments/{{payment_id}}/{what}"]["POST"].as_strategy()
    for what in ("captures", "voids", "refunds")
}


@pytest.mark.parametrize("what", OPERATIONS)
@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_an_operation_may_say_is_no_5xx(what: str, data: st.DataObject) -> None:
    world = World()

    async def forbid(message: Any) -> Any:
        return Forbidden(refusal=Refused("operation_not_allowed", "no"), payment=life.payment)

    world.behave = forbid
    life = world.has(Life().created().sent().charged())
    case: Any = data.draw(OPERATIONS[what])
    body = msgspec.json.encode(case.body) if isinstance(case.body, dict) else b""
    answer = await world.post(f"/v1/payments/{life.payment_id}/{what}", body)
    assert answer.status_code in (400, 409, 422), answer.raw


@given(amount=st.integers(1, 10**12))
def test_the_example_becomes_an_intent(amount: int) -> None:
    body = CreatePaymentBody.model_validate(dict(EXAMPLE_BODY) | {"amount": amount})
    intent, confirm = create_from(dict(EXAMPLE_BODY) | {"amount": amount}, Connectors(options={}, methods={"card": True}))
    assert (intent.amount.minor, confirm) == (body.amount, True)
