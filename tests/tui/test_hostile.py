"""Text from strangers in every field of every screen: it crashes nothing, styles nothing, clicks nothing, and reaches no terminal raw."""

from __future__ import annotations

import asyncio
import copy
from typing import Any, Final

import pytest

from tests.tui.pictures import NOW, press, settle
from tests.tui.test_screens import PAGES
from tests.tui.world import FakeSource, event, snapshot
from tui import places
from tui.api import Problem
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Happened, Link, Snapshot
from tui.screens import SCREENS

NAUGHTY: Final = "[/bold][@click=app.quit]x[/] [type=x, v={'a[0]'}] \x1b]52;c;aGFja2Vk\x1b\\ \x9b31m \u202egnp \x00\r\n 日本 \ud800"
KEPT: Final = frozenset(
    {"at", "object", "position", "cursor", "schema", "next_cursor", "screen", "kind", "state", "name", "amount", "currency"}
)
"""What is not text of strangers, or tells the console where something belongs."""


def hostile(value: Any, key: str = "") -> Any:
    """The same data with every text made hostile."""
    if isinstance(value, dict):
        return {name: hostile(one, name) for name, one in value.items()}
    if isinstance(value, list):
        return [hostile(one, key) for one in value]
    return NAUGHTY if isinstance(value, str) and key not in KEPT and not key.endswith("_at") else value


def raw(grid: str) -> list[str]:
    return [
        character
        for character in grid
        if (ord(character) < 32 and character != "\n") or 127 <= ord(character) < 160 or character == "\u202e"
    ]


@pytest.mark.parametrize("screen", [*places.ROOTS, *places.DETAILS])
def test_no_screen_obeys_a_stranger(screen: str) -> None:
    async def scenario() -> None:
        data = hostile(copy.deepcopy(snapshot()))
        pages = {key: hostile(page) for key, page in PAGES.items()}
        detail = hostile({"id": "x", "text": "x", "nested": {"rows": [{"a": "b"}]}})
        for path in ("payments/x", "connectors/x", "dead-letters/x", "actions/x", "routing", "reconciliation/days/x"):
            pages[path, ""] = detail
        source = FakeSource(pages, [Link(state="live"), Snapshot(data=data), Happened(event=hostile(event(130)))])
        console = Console(source, StandingClock(NOW), at=places.Place(screen, "x" if screen in places.DETAILS else None), ticking=False)
        async with console.run_test(size=(140, 40)) as pilot:
            await settle(console, pilot)
            for keys in ((), ("question_mark", "escape"), ("a", "escape"), ("y", "escape"), ("l", "escape")):
                await press(console, pilot, *keys)
                assert raw(console.grid()) == []
                assert console.is_running

    assert screen in SCREENS
    asyncio.run(scenario())


def test_a_hostile_problem_and_a_hostile_link_are_only_text() -> None:
    async def scenario() -> None:
        problem = Problem(
            500, {"title": NAUGHTY, "detail": NAUGHTY, "request_id": NAUGHTY, "errors": [{"pointer": NAUGHTY, "detail": NAUGHTY}]}
        )
        source = FakeSource({("payments", ""): problem}, [Snapshot(data=snapshot()), Link(state="lost", reason=NAUGHTY, retry_seconds=3)])
        console = Console(source, StandingClock(NOW), at=places.Place("payments"), ticking=False)
        async with console.run_test(size=(140, 40)) as pilot:
            await settle(console, pilot)
            grid = console.grid()
            assert "[@click=app.quit]" in grid
            assert raw(grid) == []

    asyncio.run(scenario())
