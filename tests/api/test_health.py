"""Alive, ready, figures: without a key, and without a word about payments."""

from __future__ import annotations

from typing import Any

import pytest
import trio

from payorch.api.health import PARTS_ANSWER_WITHIN_SECONDS
from payorch.api.shapes import ReadinessShape
from tests.api.merchant_world import World


async def test_it_is_alive_whatever_the_rest() -> None:
    world = World()
    world.fail["parts"] = RuntimeError()
    answer = await world.call("GET", "/livez", key=None)
    assert (answer.status_code, answer.seen) == (200, {"alive": True})


async def test_it_is_ready_when_every_part_answers() -> None:
    world = World()
    answer = await world.call("GET", "/readyz", key=None)
    ReadinessShape.model_validate_json(answer.raw)
    assert (answer.status_code, answer.seen["ready"]) == (200, True)
    assert answer.seen["parts"]["database"] == {"ok": True, "detail": "answers"}


@pytest.mark.parametrize("parts", [{"database": (True, "answers"), "journal": (False, "fenced")}, {}])
async def test_one_part_that_does_not_answer_is_enough(parts: dict[str, tuple[bool, str]]) -> None:
    world = World()
    world.ready = parts
    answer = await world.call("GET", "/readyz", key=None)
    assert (answer.status_code, answer.seen["ready"]) == (503, False)
    assert set(answer.seen["parts"]) == set(parts)


async def test_parts_that_fail_are_not_ready() -> None:
    world = World()
    world.fail["parts"] = RuntimeError("a secret")
    answer = await world.call("GET", "/readyz", key=None)
    assert (answer.status_code, answer.seen["ready"]) == (503, False)
    assert b"secret" not in answer.raw
    assert world.log.lines[0][0] == "readiness.failed"


async def test_parts_that_hang_are_not_ready(autojump_clock: trio.testing.MockClock) -> None:
    world = World()

    async def hang() -> Any:
        await trio.sleep_forever()

    world.parts = hang  # type: ignore[method-assign]
    answer = await world.call("GET", "/readyz", key=None)
    assert answer.status_code == 503
    assert trio.current_time() == pytest.approx(PARTS_ANSWER_WITHIN_SECONDS, abs=0.1)


async def test_figures_are_prometheus_text() -> None:
    answer = await World().call("GET", "/metrics", key=None)
    assert answer.status_code == 200
    assert answer.content_type.startswith("text/plain")
    assert b"payorch_http_requests" in answer.raw
