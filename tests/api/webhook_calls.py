"""How the tests of endpoints, events and disputes call the API, and hold its answers to the document that merchants read."""

from __future__ import annotations

from typing import Any, Final

import jsonschema  # type: ignore[import-untyped]
import msgspec

from payorch.api.openapi import openapi
from payorch.api.problems import Code
from tests.api.merchant_world import World

DOCUMENT: Final = openapi()


def check(value: Any, name: str) -> None:
    """That it has the shape of that name."""
    schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
    jsonschema.Draft202012Validator(schema).validate(value)


async def send(world: World, method: str, path: str, body: Any = None, **how: Any) -> Any:
    """One request. `body`: bytes as they are, anything else but None as JSON."""
    if body is None:
        return await world.call(method, path, **how)
    data = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return await world.call(method, path, data=data, headers={"Content-Type": "application/json"} | how.pop("headers", {}), **how)


def refused(answer: Any, status: int, code: Code, *pointers: str) -> dict[str, Any]:
    """The problem in that answer, which names these places; by none of these calls money moves."""
    found: dict[str, Any] = answer.seen
    assert (answer.status_code, found["code"]) == (status, code), answer.raw
    assert {one["pointer"] for one in found["errors"]} == set(pointers)
    assert found["money_moved"] == "no"
    return found
