"""Connectors and routing over HTTP: what programs read, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from actors.admission import CallKind
from payorch.api.operations.connector_views import (
    CircuitNow,
    ConnectorNow,
    ConnectorWhole,
    Decided,
    Draining,
    Hour,
    Offer,
    Traffic,
    Transition,
    connector_view,
    traffic_view,
)
from payorch.api.problems import Code
from payorch.domain.outcome import ErrorClass
from payorch.domain.roles import Role
from payorch.domain.routing import Decision, Exclusion
from payorch.domain.vital_signs import ErrorBucket
from tests.api.merchant_world import KEY, START, World, new_id
from tests.api.webhook_calls import check, refused

READS = ("/ops/v1/connectors", "/ops/v1/connectors/psp_one", "/ops/v1/routing", "/ops/v1/routing/decisions")
SIMULATE = "/ops/v1/routing/simulations"
CIRCUIT = CircuitNow(
    mode="closed", reason="fresh", since=START, until=None, calls=20, failures=1, slow=0, failures_in_a_row=0, code="read_timeout", by=None
)  # fmt: skip


def now(**changes: Any) -> ConnectorNow:
    one = ConnectorNow(
        name="psp_one", circuits={str(kind): CIRCUIT for kind in CallKind}, draining=None, ok_percent=97.2, calls_per_second=41.0,
        share_percent=71.0, p50_ms=180, p90_ms=400, p99_ms=920, in_flight=3, connections=44, waiting=0, mailbox_depth=1,
        mailbox_capacity=256, retry_tokens=9.96, retry_most=20.0, dead_letters=2, unknown=1, webhook_lag_seconds=0.4,
    )  # fmt: skip
    return replace(one, **changes)


def decided(*order: str, **excluded: str) -> Decided:
    why = tuple(Exclusion(connector=name, reason=reason) for name, reason in excluded.items())
    return Decided(payment_id=new_id("pay"), at=START, decision=Decision(order=order, excluded=why, version="v1"))


def whole(one: ConnectorNow) -> ConnectorWhole:
    minutes: list[int | None] = [None] * 59
    return ConnectorWhole(
        now=one, slo_ms=2500, hour=Hour(
            step_seconds=60, since=START, calls=[0] * 60, ok_percent=[None, *minutes], p50_ms=[*minutes, 180], p99_ms=[*minutes, 920]
        ),
        errors=[ErrorBucket(
            error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", count=7, share=87.5, payment_id=new_id("pay"), last_at=START
        )],
        transitions=[Transition(
            at=START, operation="authorize", before=None, after="forced_open", reason="operator", by="operator:ana", cause="act_1"
        )],
        decisions=[decided("psp_two", "psp_one"), decided("psp_two", psp_one="draining until 14:30Z by ana: slow"), decided()],
        offers=[Offer(action="connector.resume", verb="resume", subject="psp_one", allowed=False, why_not="It is not.", people=1)],
    )  # fmt: skip


async def look(world: World, path: str, role: Role = Role.VIEWER) -> Any:
    return await world.call("GET", path, key=world.reconciling.operator(role))


async def simulate(world: World, body: Any, role: Role = Role.VIEWER) -> Any:
    return await world.post(SIMULATE, body, idempotency=None, key=world.reconciling.operator(role))


@pytest.mark.parametrize("role", Role)
async def test_whoever_may_look_sees_all_of_it(role: Role) -> None:
    world = World()
    world.overseeing.pages["psp_one"] = whole(now())
    for path in READS:
        assert (await look(world, path, role)).status_code == 200
        refused(await world.call("GET", path, key=KEY), 403, Code.FORBIDDEN)
        refused(await look(world, f"{path}?file=x", role), 400, Code.VALIDATION_FAILED, "/file")
    assert (await simulate(world, {}, role)).status_code == 200
    refused(await world.post(SIMULATE, {}, idempotency=None), 403, Code.FORBIDDEN)


async def test_connectors_as_they_are_now() -> None:
    world = World()
    drained = Draining(until=START + timedelta(hours=1), reason="it is slow", by="operator:ana")
    forced = {**now().circuits, "authorize": replace(CIRCUIT, mode="forced_open", until=START, by="operator:ana")}
    world.overseeing.connectors = (now(), now(name="psp_two", circuits=forced), now(name="psp_three", circuits=forced, draining=drained))
    answer = await look(world, "/ops/v1/connectors")
    check(answer.seen, "ConnectorList")
    one, two, three = answer.seen["data"]
    assert [one["state"], two["state"], three["state"]] == ["closed", "forced_open", "draining"]
    assert (two["circuits"]["authorize"]["by"], two["circuits"]["capture"]["mode"]) == ("ana", "closed")
    assert three["draining"] == {"until": "2026-03-01T13:00:00.000Z", "reason": "it is slow", "by": "ana"}
    assert (one["retry_budget"], one["mailbox"]) == ({"tokens": 10.0, "most": 20.0}, {"depth": 1, "capacity": 256})
    assert set(one["circuits"]) == set(CallKind)


async def test_what_the_database_does_not_tell_is_null() -> None:
    world = World()
    world.overseeing.connectors = (now(dead_letters=None, unknown=None, webhook_lag_seconds=None, ok_percent=None, p50_ms=None),)
    answer = await look(world, "/ops/v1/connectors")
    check(answer.seen, "ConnectorList")
    assert answer.seen["data"][0]["unknown"] is None


async def test_a_connectors_page() -> None:
    world = World()
    world.overseeing.pages["psp_one"] = whole(now())
    answer = await look(world, "/ops/v1/connectors/psp_one")
    check(answer.seen, "ConnectorPageShape")
    first, second, third = answer.seen["decisions"]
    assert (first["chosen"], first["position"], first["excluded"]) == ("psp_two", 2, None)
    assert (second["position"], second["excluded"]) == (None, "draining until 14:30Z by ana: slow")
    assert (third["chosen"], third["position"]) == (None, None)
    assert answer.seen["errors"][0]["class"] == "UNKNOWN_OUTCOME"
    assert (answer.seen["transitions"][0]["from"], answer.seen["transitions"][0]["by"]) == (None, "ana")
    refused(await look(world, "/ops/v1/connectors/psp_nine"), 404, Code.NOT_FOUND)


async def test_decisions_are_read_by_the_page() -> None:
    world = World()
    world.overseeing.decided = [decided("psp_one", psp_two="its circuit is open")]
    after = new_id("pay")
    answer = await look(world, f"/ops/v1/routing/decisions?connector=psp_one&limit=200&cursor={after}")
    check(answer.seen, "DecisionList")
    assert answer.seen["data"][0]["excluded"] == [{"connector": "psp_two", "reason": "its circuit is open"}]
    assert (answer.seen["data"][0]["chosen"], answer.seen["next_cursor"]) == ("psp_one", None)
    assert world.overseeing.asked == [("psp_one", 200, after)]
    refused(await look(world, "/ops/v1/routing/decisions?limit=201"), 400, Code.VALIDATION_FAILED, "/limit")
    refused(await look(world, "/ops/v1/routing/decisions?cursor=x"), 400, Code.VALIDATION_FAILED, "/cursor")


async def test_the_rules_in_force() -> None:
    world = World()
    world.overseeing.rules = replace(world.overseeing.rules, since=START, by="system", doubts=["a rule never decides"])
    answer = await look(world, "/ops/v1/routing")
    check(answer.seen, "RulesShape")
    assert (answer.seen["version"], answer.seen["book"], answer.seen["doubts"]) == ("v1", {"default": ["a"]}, ["a rule never decides"])


async def test_other_rules_are_tried_on_a_span_of_time() -> None:
    world = World()
    text = 'default = ["a"]\n\n[[rules]]\n\tname = "x"\r\n'
    answer = await simulate(world, {"routing": text, "from": "2026-02-28T12:00:00Z", "to": "2026-03-01T12:00:00Z", "limit": 5})
    check(answer.seen, "SimulationShape")
    assert (answer.seen["from"], answer.seen["to"]) == ("2026-02-28T12:00:00.000Z", "2026-03-01T12:00:00.000Z")
    assert (await simulate(world, {"changes": {"default": ["b"]}})).status_code == 200
    (first, since, until), (second, lately, open_end) = world.overseeing.asked
    assert (first.routing, first.limit, until - since) == (text, 5, timedelta(days=1))
    assert (second.changes, second.routing, lately, open_end) == ({"default": ["b"]}, None, START - timedelta(days=1), None)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"from": "2026-03-01T12:00:00Z", "to": "2026-03-01T12:00:00Z"}, "/from"),
        ({"from": "2026-01-01T12:00:00Z"}, "/from"),
        ({"limit": 0}, "/limit"),
        ({"routing": "a\x07b"}, "/routing"),
        ({"changes": {"default": ["a\nb"]}}, "/changes/default/0"),
        ({"rules": []}, "/rules"),
    ],
)
async def test_a_span_or_a_text_that_is_none_is_refused(body: dict[str, Any], pointer: str) -> None:
    refused(await simulate(World(), body), 422, Code.VALIDATION_FAILED, pointer)


async def test_rules_that_cannot_be_used_say_where() -> None:
    world = World()
    world.overseeing.faults = [("/routing/rules/0/prefer", "names nobody"), ("/routing/default", "is missing")]
    answer = await simulate(world, {"routing": "x"})
    refused(answer, 422, Code.VALIDATION_FAILED, "/routing/rules/0/prefer", "/routing/default")


def test_the_tiles_have_the_names_of_the_contract() -> None:
    series: list[Any] = [None] * 12
    at = datetime(2026, 3, 1, tzinfo=UTC)
    traffic = Traffic(
        since=at, rate_percent=91.4, rate_change_points=-3.1, rate_count=900, rate_series=series, unknown_series=series, p50_ms=180,
        p95_ms=900, p99_ms=1920, platform_p95_ms=12, psp_p95_ms=890, slo_ms=2500, latency_series=series,
    )  # fmt: skip
    seen: dict[str, Any] = traffic_view(traffic)
    assert set(seen) == {"authorization_rate", "authorize", "unknown_series"}
    assert set(seen["authorization_rate"]) == {"percent", "change_points", "count", "series"}
    assert set(seen["authorize"]) == {"p50_ms", "p95_ms", "p99_ms", "platform_p95_ms", "psp_p95_ms", "slo_ms", "series"}
    assert connector_view(now())["object"] == "connector"
