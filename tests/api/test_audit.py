"""The audit over HTTP: what was searched for, what is shown of a record and what is not, whether the chain is whole."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from payorch.api.operations.audit import Anchored, Verification
from payorch.api.problems import Code
from payorch.domain import events as e
from payorch.domain.intent import Customer
from payorch.domain.roles import Role
from payorch.store.audit_search import Asked, Found, Record
from tests.api.merchant_world import KEY, START, Life, World, an_intent, new_id
from tests.api.webhook_calls import check, refused

AUDIT, VERIFICATION = "/ops/v1/audit", "/ops/v1/audit/verification"


async def look(world: World, path: str, role: Role = Role.VIEWER) -> Any:
    return await world.call("GET", path, key=world.reconciling.operator(role))


def record(stream: str = "act", name: str = "Refused", body: Any = None, **changes: Any) -> Record:
    values: dict[str, Any] = {
        "position": 88213, "stream": stream, "stream_id": new_id("act"), "sequence": 1, "name": name, "at": START, "actor": "operator:ana",
        "cause": "req_1", "body": body if isinstance(body, str) else msgspec.json.encode(body or {}).decode(), "hash": b"\xab" * 32,
    }  # fmt: skip
    return Record(**values | changes)


@pytest.mark.parametrize("path", [AUDIT, VERIFICATION])
async def test_it_takes_an_operator(path: str) -> None:
    world = World()
    refused(await world.call("GET", path, key=KEY), 403, Code.FORBIDDEN)
    refused(await world.call("GET", path, key=None), 401, Code.UNAUTHENTICATED)
    for role in Role:
        assert (await look(world, path, role)).status_code == 200


async def test_a_record_is_told_in_a_sentence_with_its_hash() -> None:
    world = World()
    world.auditing.records = [record(body={"route": "GET /ops/v1/payments", "reason": "viewer is not admin", "lookup_id": "op_test_a"})]
    seen = (await look(world, AUDIT)).seen
    check(seen, "AuditRecordList")
    (one,) = seen["data"]
    assert (one["position"], one["event"], one["actor"], one["hash"]) == (88213, "Refused", "operator:ana", "ab" * 32)
    assert one["text"]
    assert one["body"]["reason"] == "viewer is not admin"


async def test_payments_are_told_as_their_timeline_tells_them_and_shoppers_stay_unseen() -> None:
    world = World()
    life = Life(intent=an_intent(customer=Customer(reference="c-1", email="shopper@secret.example"))).created().sent().charged()
    world.auditing.records = [
        record("payment", event.name.value, e.encode(event).decode(), stream_id=life.payment_id, actor=event.actor) for event in life.events
    ]
    answer = await look(world, f"{AUDIT}?stream=payment")
    check(answer.seen, "AuditRecordList")
    texts = [one["text"] for one in answer.seen["data"]]
    assert texts[0] == "The merchant asked for 19.99 EUR."
    assert "charged" in texts[-1]
    assert b"shopper@secret" not in answer.raw
    assert b"tok_visa_secret" not in answer.raw
    assert answer.seen["data"][-1]["body"]["data"]["evidence"]["amount"] == {"minor": 1999, "currency": "EUR"}


async def test_what_cannot_be_read_is_shown_by_its_name() -> None:
    world = World()
    world.auditing.records = [record("payment", "FromTheFuture", {"to": "X"}), record("act", "Odd", "[1]")]
    assert [one["text"] for one in (await look(world, AUDIT)).seen["data"]] == ["FromTheFuture", "Odd"]


async def test_what_is_searched_for() -> None:
    world = World()
    await look(world, AUDIT)
    span = "from=2026-03-01T00:00:00Z&to=2026-03-02T00:00:00Z"
    await look(world, f"{AUDIT}?who=ana&act=resolve&subject=pay_1&q=INC-4412&{span}&limit=7&cursor=99")
    await look(world, f"{AUDIT}?connector=stripe")
    await look(world, f"{AUDIT}?connector=stripe&scope=people")
    since = START.replace(hour=0)
    assert world.auditing.asked == [
        (Asked(people=True), 50, None),
        (Asked(people=True, who="ana", act="resolve", subject="pay_1", q="INC-4412", since=since, until=since + timedelta(days=1)), 7, 99),
        (Asked(people=False, connector="stripe"), 50, None),
        (Asked(people=True, connector="stripe"), 50, None),
    ]


async def test_how_far_a_look_came() -> None:
    world = World()
    world.auditing.found = Found(records=[], after=41, searched_to=START)
    seen = (await look(world, AUDIT)).seen
    assert seen == {"data": [], "next_cursor": "41", "searched_to": "2026-03-01T12:00:00.000Z"}


@pytest.mark.parametrize(
    ("query", "pointer"), [("scope=mine", "/scope"), ("stream=x", "/stream"), ("cursor=x", "/cursor"), ("limit=0", "/limit")]
)
async def test_what_is_wrong_is_named(query: str, pointer: str) -> None:
    refused(await look(World(), f"{AUDIT}?{query}"), 400, Code.VALIDATION_FAILED, pointer)


async def test_whether_the_chain_is_whole() -> None:
    world = World()
    seen = (await look(world, VERIFICATION)).seen
    check(seen, "AuditVerificationShape")
    assert (seen["state"], seen["checked_at"], seen["anchors"]["where"]) == ("unknown", None, None)
    world.auditing.verification = Verification(
        state="broken", checked_at=START, records=11, head_position=20, fault="rewritten", position=12, detail="another hash"
    )
    world.auditing.anchored = Anchored(where="/mnt/anchors", count=3, last_position=12, last_at=START, next_at=START + timedelta(minutes=1))
    seen = (await look(world, VERIFICATION)).seen
    check(seen, "AuditVerificationShape")
    assert (seen["state"], seen["fault"], seen["position"]) == ("broken", "rewritten", 12)
    assert seen["anchors"] == {
        "where": "/mnt/anchors", "count": 3, "last_position": 12, "last_at": "2026-03-01T12:00:00.000Z",
        "next_at": "2026-03-01T12:01:00.000Z",
    }  # fmt: skip
