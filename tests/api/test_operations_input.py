"""Whatever is sent to an operators' route is answered by the caller's fault or well, and never by ours: queries, paths and bodies."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payorch.api.openapi import openapi
from payorch.domain.acts import KINDS
from payorch.domain.roles import Role
from tests.api.merchant_world import World, new_id
from tests.api.test_role_matrix import LEAST

DOCUMENT: Final = openapi()
NAUGHTY: Final = (
    *("", "0", "-1", "1" * 13, "9" * 40, "1e9", "nan", "null", "true", "x" * 300, "\0", "a\0b", "\n", "\u202e", "\U0001f4a5", "\u0663"),
    *("%", "'", '"', "\\", "{}", "a,b", ",", "../x", "2026-02-30", "0001-01-01", "9999-12-31", "0001-01-01T00:00:00+14:00"),
    *("9999-12-31T23:59:59-14:00", "pay_7zzzzzzzzzzzzzzzzzzzzzzzzz", new_id("pay"), "4111111111111111", "open,x", "OUTCOME_UNKNOWN"),
)
LISTS: Final = {
    path: [one["name"] for one in methods["get"].get("parameters", []) if one["in"] == "query"]
    for path, methods in DOCUMENT["paths"].items()
    if path.startswith("/ops/v1") and path != "/ops/v1/stream" and "get" in methods
}
"""Of each list and page, its parameters."""
VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**19), 10**19) | st.sampled_from(NAUGHTY) | st.text(max_size=20),
    lambda some: st.lists(some, max_size=3) | st.dictionaries(st.text(max_size=10), some, max_size=3),
    max_leaves=6,
)
FIELDS: Final = st.dictionaries(
    st.sampled_from(["plan", "reason", "hash", "note", "routing", "changes", "from", "to", "limit", "amount"]), VALUES, max_size=6
)


def known(answer: Any) -> None:
    assert answer.status_code < 500, answer.raw


@pytest.mark.parametrize("path", LISTS)
async def test_no_value_of_a_parameter_is_our_fault(path: str) -> None:
    world = World()
    token = world.reconciling.operator(Role.ADMIN)
    for n, value in enumerate(NAUGHTY):
        known(await world.call("GET", re.sub(r"{\w+}", quote(value or "x", safe=""), path), key=token))
        for name in LISTS[path][n % 3 :: 3]:  # each parameter has a third of the values
            place = re.sub(r"{\w+}", new_id("pay"), path)
            known(await world.call("GET", f"{place}?{name}={quote(value, safe='')}", key=token))


@st.composite
def wishes(draw: st.DrawFn) -> dict[str, Any]:
    name = draw(st.sampled_from(list(KINDS)))
    known = [one.removesuffix("?") for one in KINDS[name].parameters]
    parameters = draw(st.dictionaries(st.sampled_from([*known, "other"]), VALUES) | VALUES)
    return {"action": name, "subject": draw(st.sampled_from(NAUGHTY)), "parameters": parameters, "break_glass": draw(st.booleans())}


@pytest.mark.parametrize("path", ["/ops/v1/routing/simulations", *(route[5:] for route in LEAST if "settlements" not in route)])
@given(body=FIELDS | wishes())
@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
async def test_no_body_is_our_fault(path: str, body: dict[str, Any]) -> None:
    world = World()
    place = re.sub(r"<\w+>", new_id("act"), path)
    headers = {"Content-Type": "application/json", "Idempotency-Key": "k"}
    token = world.reconciling.operator(Role.ADMIN)
    known(await world.call("POST", place, key=token, data=msgspec.json.encode(body), headers=headers))
