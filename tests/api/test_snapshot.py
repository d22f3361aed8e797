"""What a console begins with: meta and the snapshot."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from payorch.api.operations.feed import Kind, Told
from payorch.api.problems import Code
from payorch.domain.acts import KINDS, ActName
from payorch.domain.roles import Role
from tests.api.merchant_world import KEY, START, World
from tests.api.test_openapi import check
from tests.api.webhook_calls import refused

EVENT = (
    b'{"position":%d,"at":"2026-03-01T12:00:00.000Z","kind":"identity","event":"X","stream":"merchant","subject_id":"mer_1","sequence":1,'
    b'"actor":"cli","cause":"c","text":"t","tone":"info","change":null,"payment":null,"connector":null}'
)


def a_world() -> World:
    world = World()
    world.live.told = [Told(n, Kind.IDENTITY, EVENT % n) for n in range(1, 131)]
    return world


async def test_meta_says_who_and_where_one_is() -> None:
    world = a_world()
    key = world.reconciling.operator(Role.OPERATOR, "olga")
    tokens = world.reconciling.tokens
    tokens[key.lookup_id] = replace(tokens[key.lookup_id], expires_at=START.replace(year=2027))
    answer = await world.call("GET", "/ops/v1/meta", key=key)
    found = answer.seen
    check(found, "MetaShape")
    assert found["environment"] == {"name": "a test", "kind": "sim"}
    assert (found["version"], found["schema"], found["head"]) == ("0.0.1", 1, 130)
    assert found["operator"] == {
        "id": tokens[key.lookup_id].operator_id, "name": "olga", "person": "olga", "role": "operator",
        "token_expires_at": "2027-03-01T12:00:00.000Z",
    }  # fmt: skip
    assert found["currencies"]["JPY"] == 0
    assert found["limits"]["page"] == 200


async def test_meta_says_what_one_may_and_why_not() -> None:
    world = a_world()
    world.live.planned = frozenset(ActName) - {ActName.PAYMENT_VOID}
    acts: dict[str, Any] = {}
    for role in Role:
        found = (await world.call("GET", "/ops/v1/meta", key=world.reconciling.operator(role))).seen
        acts = {one["name"]: one for one in found["actions"]}
        assert set(acts) == set(ActName)
        for name, kind in KINDS.items():
            assert acts[name]["may"] == (role.may(kind.least) and name is not ActName.PAYMENT_VOID)
            assert (acts[name]["why_not"] is None) == acts[name]["may"]
    assert acts["payment.resolve"]["parameters"][:2] == [
        {"name": "to", "required": True, "choices": None, "about": "what it is to be from now on"},
        {"name": "evidence", "required": True, "choices": None,
         "about": "where one sees that it is so: a PSP's reference, a line of a report, a ticket"},
    ]  # fmt: skip
    assert all(parameter["about"] for act in acts.values() for parameter in act["parameters"])
    assert [one["required"] for one in acts["payment.capture"]["parameters"]] == [False, False]


async def test_the_snapshot_has_everything_that_a_console_begins_with() -> None:
    world = a_world()
    world.live.approvals = [{"id": "act_1"}]
    answer = await world.call("GET", "/ops/v1/snapshot", key=world.reconciling.operator(Role.VIEWER))
    found = answer.seen
    check(found, "SnapshotShape")
    assert found["cursor"] == 130
    assert [one["position"] for one in found["live"]] == list(range(31, 131))
    assert found["approvals"] == [{"id": "act_1"}]
    assert found["overview"]["tiles"]["approvals"]["mine"] == 1
    other = await world.call("GET", "/ops/v1/snapshot", key=world.reconciling.operator(Role.VIEWER, "ben"))
    assert other.seen["overview"]["tiles"]["approvals"]["mine"] == 0


@pytest.mark.parametrize("views", ["overview", "connectors", "approvals", "overview,approvals"])
async def test_only_the_views_that_were_asked_for(views: str) -> None:
    world = a_world()
    found = (await world.call("GET", f"/ops/v1/snapshot?views={views}", key=world.reconciling.operator(Role.ADMIN))).seen
    check(found, "SnapshotShape")
    assert {name for name in ("overview", "connectors", "approvals") if found[name] is not None} == set(views.split(","))


async def test_a_view_that_is_none_is_refused() -> None:
    world = a_world()
    answer = await world.call("GET", "/ops/v1/snapshot?views=overview,moon", key=world.reconciling.operator(Role.VIEWER))
    refused(answer, 400, Code.VALIDATION_FAILED, "/views")


@pytest.mark.parametrize("path", ["/ops/v1/meta", "/ops/v1/snapshot"])
async def test_it_takes_an_operator(path: str) -> None:
    world = a_world()
    refused(await world.call("GET", path, key=None), 401, Code.UNAUTHENTICATED)
    refused(await world.call("GET", path, key=KEY), 403, Code.FORBIDDEN)
