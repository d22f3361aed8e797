"""Events over HTTP: the list to follow, with what was delivered where; and sending one, or a span of time, again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from msgspec.structs import replace

from actors.mailbox import AskTimeout
from payorch.api.present import announcement_json
from payorch.api.problems import Code
from payorch.domain import identifiers
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Delivery, DeliveryState, Endpoint, EndpointState
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable
from tests.api.merchant_world import MERCHANT, OTHER_KEY, OTHER_MERCHANT, START, Life, World, new_id
from tests.api.webhook_calls import DOCUMENT, check, refused, send
from tests.api.webhook_world import Told, announced

PATH = "/v1/events"
HOUR = {"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T13:00:00Z"}


def event_id(at: datetime, number: int = 0) -> str:
    """That of an event made at that moment."""
    return identifiers.text("evt", UUID(int=identifiers.earliest(at).int | 0x7 << 76 | 0x2 << 62 | number))


def an_event(
    world: World, *, at: datetime = START, merchant_id: str = MERCHANT, type: str = "payment.succeeded", life: Life | None = None
) -> EventRow:
    life = life if life is not None else Life(merchant_id=merchant_id).created().sent().charged()
    id = event_id(at, len(world.told.told))
    body = announcement_json(id, type, 20, life.payment, replace(life.events[-1], at=at))
    row = announced(id, life.payment_id, merchant_id, at, type=type, body=body)
    world.told.told.append(row)
    return row


def an_endpoint(world: World, *, events: Sequence[str] = ("*",), merchant_id: str = MERCHANT, **changes: Any) -> Endpoint:
    row = Endpoint(
        id=new_id("whe"), merchant_id=merchant_id, url="https://shop.example/in", events=tuple(events), state=EndpointState.ENABLED,
        secret=b"sealed", version=1, created_at=START, updated_at=START,
    )  # fmt: skip
    world.told.rows[row.id] = replace(row, **changes)
    return world.told.rows[row.id]


def a_delivery(world: World, event: EventRow, endpoint: Endpoint, **changes: Any) -> Delivery:
    row = Delivery(
        payment_id=event.payment_id, event_id=event.event_id, endpoint_id=endpoint.id, merchant_id=event.merchant_id, type=event.type,
        state=DeliveryState.PENDING, created_at=START, next_attempt_at=START,
    )  # fmt: skip
    world.told.deliveries[event.event_id, endpoint.id] = replace(row, **changes)
    return world.told.deliveries[event.event_id, endpoint.id]


def scheduled(answer: Any) -> set[tuple[str, str]]:
    assert answer.status_code == 202, answer.raw
    check(answer.seen, "ResendShape")
    pairs = {(one["event"], one["endpoint"]) for one in answer.seen["deliveries"]}
    assert answer.seen["scheduled"] == len(answer.seen["deliveries"]) == len(pairs)
    return pairs


# --- the list


async def test_an_event_is_what_is_delivered_and_what_became_of_it() -> None:
    world = World()
    event, endpoint = an_event(world), an_endpoint(world)
    a_delivery(
        world, event, endpoint, attempts=2, last_status=500, last_error="answered 500", last_attempt_at=START,
        next_attempt_at=START + timedelta(minutes=5),
    )  # fmt: skip
    answer = await send(world, "GET", f"{PATH}/{event.event_id}")
    check(answer.seen, "EventShape")
    assert answer.seen == msgspec.json.decode(event.body) | {
        "object": "event",
        "deliveries": [
            {
                "endpoint": endpoint.id, "state": "pending", "attempts": 2, "last_status": 500, "last_error": "answered 500",
                "last_attempt_at": "2026-03-01T12:00:00.000Z", "next_attempt_at": "2026-03-01T12:05:00.000Z", "delivered_at": None,
            }
        ],
    }  # fmt: skip
    # Member by member as it is stored: what was signed then can be compared with what is read now.
    data = msgspec.json.decode(event.body, type=dict[str, msgspec.Raw])["data"]
    assert bytes(data) in answer.raw


async def test_events_are_there_without_any_endpoint_in_pages_newest_first() -> None:
    world = World()
    events = [an_event(world, at=START + timedelta(seconds=n)) for n in range(3)]
    an_event(world, merchant_id=OTHER_MERCHANT)
    first = (await send(world, "GET", f"{PATH}?limit=2")).seen
    check(first, "EventList")
    assert [one["id"] for one in first["data"]] == [events[2].event_id, events[1].event_id]
    assert first["data"][0]["deliveries"] == []
    rest = (await send(world, "GET", f"{PATH}?limit=2&cursor={first['next_cursor']}")).seen
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([events[0].event_id], None)


async def test_events_of_one_type_or_payment() -> None:
    world = World()
    paid, failed = an_event(world), an_event(world, type="payment.failed")
    for query, expected in (("type=payment.failed", failed), (f"payment={paid.payment_id}", paid)):
        assert [one["id"] for one in (await send(world, "GET", f"{PATH}?{query}")).seen["data"]] == [expected.event_id]
    assert (await send(world, "GET", f"{PATH}?payment={new_id('pay')}")).seen == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("type=payment.lost", "/type"), ("type=*", "/type"), ("payment=evt_1", "/payment"), ("cursor=x", "/cursor"),
        ("types=payment.failed", "/types"), ("limit=-1", "/limit"), ("limit=101", "/limit"),
    ],
)  # fmt: skip
async def test_a_parameter_that_cannot_be_meant_is_refused(query: str, pointer: str) -> None:
    refused(await send(World(), "GET", f"{PATH}?{query}"), 400, Code.VALIDATION_FAILED, pointer)


async def test_another_merchants_event_is_not_there() -> None:
    world = World()
    event = an_event(world)
    an_endpoint(world)
    for named in (event.event_id, new_id("evt"), event.payment_id, "evt_", "resend", event.event_id.upper(), "%00"):
        refused(await send(world, "GET", f"{PATH}/{named}", key=OTHER_KEY), 404, Code.NOT_FOUND)
        if named != "resend":
            refused(await send(world, "POST", f"{PATH}/{named}/resend", key=OTHER_KEY), 404, Code.NOT_FOUND)
    assert scheduled(await send(world, "POST", f"{PATH}/resend", HOUR, key=OTHER_KEY)) == set()
    assert not world.told.deliveries


async def test_nobody_comes_in_without_a_key_or_faster_than_the_pace() -> None:
    world = World(requests_per_second_per_merchant=0.001, requests_burst_per_merchant=1)
    one = f"{PATH}/{new_id('evt')}"
    calls = [("GET", PATH), ("GET", one), ("POST", f"{one}/resend"), ("POST", f"{PATH}/resend")]
    for method, path in calls:
        refused(await send(world, method, path, b"", key=None), 401, Code.UNAUTHENTICATED)
    assert (await send(world, "GET", PATH)).status_code == 200
    for method, path in calls:
        refused(await send(world, method, path, b""), 429, Code.RATE_LIMITED)


# --- one again


async def test_an_event_goes_again_to_everyone_who_wants_it_now() -> None:
    world = World()
    event = an_event(world)
    all_types, this_type = an_endpoint(world), an_endpoint(world, events=["refund.failed", "payment.succeeded"])
    an_endpoint(world, events=["payment.failed"])
    an_endpoint(world, state=EndpointState.DISABLED)
    an_endpoint(world, state=EndpointState.DELETED)
    an_endpoint(world, merchant_id=OTHER_MERCHANT)
    world.clock.at += timedelta(hours=1)
    answer = await send(world, "POST", f"{PATH}/{event.event_id}/resend")
    assert scheduled(answer) == {(event.event_id, all_types.id), (event.event_id, this_type.id)}
    row = world.told.deliveries[event.event_id, this_type.id]
    assert row == Delivery(
        payment_id=event.payment_id, event_id=event.event_id, endpoint_id=this_type.id, merchant_id=MERCHANT, type="payment.succeeded",
        state=DeliveryState.PENDING, created_at=world.clock.at, next_attempt_at=world.clock.at,
    )  # fmt: skip
    assert len(world.told.deliveries) == 2


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.DEAD, DeliveryState.PENDING])
async def test_what_is_known_of_the_last_try_stays(state: DeliveryState) -> None:
    world = World()
    event, endpoint = an_event(world), an_endpoint(world)
    before = a_delivery(
        world, event, endpoint, state=state, attempts=10, last_status=500, last_error="answered 500", last_attempt_at=START,
        next_attempt_at=START + timedelta(days=1) if state is DeliveryState.PENDING else None,
        delivered_at=START if state is DeliveryState.DELIVERED else None,
    )  # fmt: skip
    world.clock.at += timedelta(hours=1)
    for _ in range(2):  # it is meant to be repeated
        assert scheduled(await send(world, "POST", f"{PATH}/{event.event_id}/resend", {})) == {(event.event_id, endpoint.id)}
    after = world.told.deliveries[event.event_id, endpoint.id]
    assert after == replace(before, state=DeliveryState.PENDING, attempts=0, next_attempt_at=world.clock.at)


async def test_to_the_endpoint_that_is_named_only() -> None:
    world = World()
    event = an_event(world)
    named, _ = an_endpoint(world), an_endpoint(world)
    unwilling = an_endpoint(world, events=["payment.failed"])
    path = f"{PATH}/{event.event_id}/resend"
    assert scheduled(await send(world, "POST", path, {"endpoint": named.id})) == {(event.event_id, named.id)}
    assert scheduled(await send(world, "POST", path, {"endpoint": unwilling.id})) == set()


async def test_an_endpoint_that_nothing_is_sent_to_is_refused_with_the_reason() -> None:
    world = World()
    event = an_event(world)
    off, gone = an_endpoint(world, state=EndpointState.DISABLED), an_endpoint(world, state=EndpointState.DELETED)
    theirs = an_endpoint(world, merchant_id=OTHER_MERCHANT)
    for path, more in ((f"{PATH}/{event.event_id}/resend", {}), (f"{PATH}/resend", HOUR)):
        problem = refused(await send(world, "POST", path, more | {"endpoint": off.id}), 422, Code.VALIDATION_FAILED, "/endpoint")
        assert "enable it first" in problem["errors"][0]["detail"]
        for named in (gone.id, theirs.id, new_id("whe")):
            problem = refused(await send(world, "POST", path, more | {"endpoint": named}), 422, Code.VALIDATION_FAILED, "/endpoint")
            assert "no webhook endpoint of yours" in problem["errors"][0]["detail"]
        refused(await send(world, "POST", path, more | {"endpoint": event.event_id}), 422, Code.VALIDATION_FAILED, "/endpoint")
    assert not world.told.deliveries


async def test_one_event_takes_nothing_but_an_endpoint() -> None:
    world = World()
    path = f"{PATH}/{an_event(world).event_id}/resend"
    refused(await send(world, "POST", path, {"types": ["*"]}), 422, Code.VALIDATION_FAILED, "/types")
    refused(await send(world, "POST", path, b"[]"), 400, Code.INVALID_JSON, "")
    refused(await send(world, "POST", path, {"endpoint": "4111111111111111"}), 422, Code.CARD_DATA_REFUSED, "/endpoint")


# --- a span of time again


async def test_a_span_of_time_goes_again() -> None:
    world = World()
    second = timedelta(seconds=1)
    times = (START - second, START, START + timedelta(hours=1) - second, START + timedelta(hours=1))
    _, first, last, _ = (an_event(world, at=at) for at in times)
    failed = an_event(world, at=START + second, type="payment.failed")
    all_types, some = an_endpoint(world), an_endpoint(world, events=["payment.failed"])
    everything = {(one.event_id, all_types.id) for one in (first, failed, last)} | {(failed.event_id, some.id)}
    assert scheduled(await send(world, "POST", f"{PATH}/resend", HOUR)) == everything
    elsewhere = {"from": "2026-03-01T13:00:00+01:00", "to": "2026-03-01t14:00:00.000+01:00", "types": ["*"]}
    assert scheduled(await send(world, "POST", f"{PATH}/resend", elsewhere)) == everything
    paid = HOUR | {"types": ["payment.succeeded", "refund.failed"]}
    assert scheduled(await send(world, "POST", f"{PATH}/resend", paid)) == {(one.event_id, all_types.id) for one in (first, last)}
    there = HOUR | {"endpoint": some.id}
    assert scheduled(await send(world, "POST", f"{PATH}/resend", there)) == {(failed.event_id, some.id)}


async def test_more_than_a_call_may_send_is_refused_and_nothing_is_sent() -> None:
    world = World(told=Told(resend_limit=3))
    for n in range(3):
        an_event(world, at=START + timedelta(seconds=n))
    endpoint = an_endpoint(world)
    assert len(scheduled(await send(world, "POST", f"{PATH}/resend", HOUR))) == 3
    an_event(world, at=START + timedelta(seconds=9), type="payment.failed")
    world.told.deliveries.clear()
    problem = refused(await send(world, "POST", f"{PATH}/resend", HOUR | {"endpoint": endpoint.id}), 422, Code.VALIDATION_FAILED, "/to")
    assert "More than 3 events" in problem["errors"][0]["detail"]
    assert not world.told.deliveries


async def test_a_thousand_go_through_the_journal_a_few_at_a_time() -> None:
    world = World()
    life = Life().created().sent().charged()
    for n in range(1000):
        an_event(world, at=START + timedelta(seconds=n), life=life)
    for _ in range(2):
        an_endpoint(world)
    assert len(scheduled(await send(world, "POST", f"{PATH}/resend", HOUR))) == len(world.told.deliveries) == 2000


BAD_SPANS: dict[str, tuple[Any, tuple[str, ...]]] = {
    "nothing": ({}, ("/from", "/to")),
    "no end": ({"from": HOUR["from"]}, ("/to",)),
    "backwards": ({"from": HOUR["to"], "to": HOUR["from"]}, ("/to",)),
    "empty": ({"from": HOUR["to"], "to": HOUR["to"]}, ("/to",)),
    "no zone": (HOUR | {"from": "2026-03-01T12:00:00"}, ("/from",)),
    "a number": (HOUR | {"from": 1772366400}, ("/from",)),
    "no day": (HOUR | {"from": "2026-02-30T12:00:00Z"}, ("/from",)),
    "long ago": (HOUR | {"from": "0001-01-01T00:00:00+14:00"}, ("/from",)),
    "for ever": (HOUR | {"to": "9999-12-31T23:59:59-14:00"}, ("/to",)),
    "by our names": ({"since": HOUR["from"], "until": HOUR["to"]}, ("/from", "/to", "/since", "/until")),
    "unknown type": (HOUR | {"types": ["payment.lost"]}, ("/types/0",)),
    "no types": (HOUR | {"types": []}, ("/types",)),
    "more": (HOUR | {"merchant": MERCHANT}, ("/merchant",)),
}


@pytest.mark.parametrize("name", BAD_SPANS)
async def test_a_span_that_is_not_one_is_refused(name: str) -> None:
    world = World()
    an_event(world)
    an_endpoint(world)
    body, pointers = BAD_SPANS[name]
    refused(await send(world, "POST", f"{PATH}/resend", body), 422, Code.VALIDATION_FAILED, *pointers)
    assert not world.told.deliveries


BODIES = schemathesis.openapi.from_dict(DOCUMENT)[f"{PATH}/resend"]["POST"].as_strategy()


@given(case=BODIES)
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
async def test_whatever_the_document_allows_is_no_5xx(case: Any) -> None:
    body = msgspec.json.encode(case.body) if isinstance(case.body, dict) else b"{}"
    assert (await send(World(), "POST", f"{PATH}/resend", body)).status_code in (202, 400, 422)


# --- while the database is away


@pytest.mark.parametrize("part", ["events", "event", "events_between", "endpoints"])
async def test_reads_that_fail_are_503_and_nothing_was_scheduled(part: str) -> None:
    world = World()
    event = an_event(world)
    an_endpoint(world)
    world.told.fail[part] = DatabaseUnavailable("password=hunter2")
    calls = {
        "events": ("GET", PATH, None),
        "event": ("GET", f"{PATH}/{event.event_id}", None),
        "events_between": ("POST", f"{PATH}/resend", HOUR),
        "endpoints": ("POST", f"{PATH}/{event.event_id}/resend", None),
    }
    method, path, body = calls[part]
    answer = await send(world, method, path, body)
    refused(answer, 503, Code.UNAVAILABLE)
    assert b"hunter2" not in answer.raw
    assert not world.told.deliveries


@pytest.mark.parametrize("error", [JournalUnavailable("hunter2"), AskTimeout("hunter2")])
async def test_a_journal_that_goes_away_half_way_leaves_it_uncertain(error: Exception) -> None:
    world = World()
    life = Life().created().sent().charged()
    for n in range(200):
        an_event(world, at=START + timedelta(seconds=n), life=life)
    an_endpoint(world)
    left = iter(range(100))

    def until_it_is_away(_: Any) -> None:
        if next(left, None) is None:
            raise error

    world.told.before_write = until_it_is_away
    answer = await send(world, "POST", f"{PATH}/resend", HOUR)
    problem = refused(answer, 503, Code.UNAVAILABLE)
    assert ("not certain" in problem["detail"], answer.headers["Retry-After"], b"hunter2" in answer.raw) == (True, "1", False)
    assert len(world.told.deliveries) == 100
    world.told.before_write = lambda item: None
    assert len(scheduled(await send(world, "POST", f"{PATH}/resend", HOUR))) == 200
