"""Every route of operators with every role, without a token and with a merchant's key. A route that is not in the table fails here: say who
may knock at it before anybody can.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec
import pytest

from payorch.domain.roles import Role
from payorch.keys import KeyKind
from tests.api.merchant_world import KEY, World, new_id, new_key

LEAST: Final[dict[str, Role]] = {
    "POST /ops/v1/settlements/<connector>": Role.OPERATOR,
    "POST /ops/v1/plans": Role.OPERATOR,
    "POST /ops/v1/actions": Role.OPERATOR,
    "POST /ops/v1/actions/<act_id>/approve": Role.APPROVER,
    "POST /ops/v1/actions/<act_id>/reject": Role.OPERATOR,  # whoever asked may take it back; another's takes an approver (test_acts)
    "POST /ops/v1/actions/<act_id>/halt": Role.OPERATOR,
    "POST /ops/v1/actions/<act_id>/review": Role.APPROVER,
}
"""Whatever changes anything. Every GET takes a viewer, and needs no row."""
CHANGE_NOTHING: Final = frozenset({"POST /ops/v1/routing/simulations"})
"""POST because of what they are told; they take a viewer as well."""
BODIES: Final[dict[str, dict[str, Any]]] = {
    "POST /ops/v1/plans": {"action": "payment.resync", "subject": "pay_1"},
    "POST /ops/v1/actions": {"plan": new_id("pln"), "reason": "r"},
    "POST /ops/v1/actions/<act_id>/approve": {"hash": "0" * 64},
    "POST /ops/v1/actions/<act_id>/reject": {"reason": "r"},
    "POST /ops/v1/actions/<act_id>/halt": {"reason": "r"},
    "POST /ops/v1/actions/<act_id>/review": {"note": "n"},
}
_PLACES: Final = {"connector": "psp_one", "day": "2026-02-27", "act_id": new_id("act")}


def routes() -> list[str]:
    """Every route of operators that the app has."""
    return sorted(
        f"{method} {rule.rule}"
        for rule in World().app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule.startswith("/ops/")
    )


ROUTES: Final = routes()


def least(route: str) -> Role | None:
    return Role.VIEWER if route.startswith("GET ") or route in CHANGE_NOTHING else LEAST.get(route)


async def knock(world: World, route: str, key: Any) -> Any:
    method, _, rule = route.partition(" ")
    path = re.sub(r"<(?:\w+:)?(\w+)>", lambda place: _PLACES.get(place[1], f"x{place[1]}"), rule)
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    data = b"report\n" if route not in BODIES else msgspec.json.encode(BODIES[route])
    return await world.call(method, path, key=key, **({} if method == "GET" else {"data": data, "headers": headers}))


def test_every_route_says_who_may_knock() -> None:
    assert [route for route in ROUTES if least(route) is None] == []
    assert sorted(set(LEAST) - set(ROUTES)) == [], "there are no such routes any more"
    assert len(ROUTES) > 10


@pytest.mark.parametrize("route", ROUTES)
async def test_each_role_at_each_route(route: str) -> None:
    world = World()
    wanted = least(route)
    assert wanted is not None
    for role in Role:
        answer = await knock(world, route, world.reconciling.operator(role))
        if role.may(wanted):
            assert answer.status_code not in (401, 403, 405, 415, 500), (role, answer.raw)
        else:
            assert (answer.status_code, answer.seen["code"]) == (403, "forbidden"), role
    refused = len([role for role in Role if not role.may(wanted)])
    assert len(_refusals(world)) == refused


@pytest.mark.parametrize("route", ROUTES)
async def test_no_route_opens_without_an_operators_token(route: str) -> None:
    world = World()
    assert (await knock(world, route, None)).status_code == 401
    assert (await knock(world, route, new_key(KeyKind.OPERATOR))).status_code == 401
    assert (await knock(world, route, KEY)).status_code == 403
    assert len(_refusals(world)) == 3


def _refusals(world: World) -> list[dict[str, Any]]:
    """What stands in the journal of it: written at the door, or by the desk."""
    entries = [*world.reconciling.entries, *world.acting.store.told("Refused")]
    return [told for told in (msgspec.json.decode(one.body) for one in entries) if told["route"]]
