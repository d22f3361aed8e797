"""What the dialogs look like, and the console in ASCII and at the edge of its size."""

from __future__ import annotations

from typing import Any

from textual.pilot import Pilot

from tests.tui.pictures import check, press
from tests.tui.test_console import PLAN
from tests.tui.test_screens import PAGES
from tests.tui.world import FakeSource, snapshot
from tui.app import Console
from tui.messages import Link, Snapshot


async def to_plan(console: Console, pilot: Pilot[None]) -> None:
    assert isinstance(console.source, FakeSource)
    console.source.answers["plans"] = {
        **PLAN,
        "checks": [
            {"what": "version 17 is current", "holds": True, "detail": None, "binds": True},
            {"what": "webhook evidence", "holds": False, "detail": "none came yet", "binds": False},
        ],
        "proofs": [{"reference": "req_9f2c", "at": "2026-10-16T14:22:59.020Z", "text": "inquiry #3 says captured 249.00"}],
    }
    await press(console, pilot, "ctrl+e", *"INC", "enter", "a", "enter")


def test_the_plan_before_it_is_sent() -> None:
    check("plan", at="payments", pages=PAGES, then=to_plan)


def test_the_help() -> None:
    check("help", at="payments", pages=PAGES, keys=("question_mark",), sizes=((100, 30),))


def test_stale_data_says_so() -> None:
    messages = (Link(state="live"), Snapshot(data=snapshot()), Link(state="lost", reason="ConnectError", attempt=6, retry_seconds=8))
    check("lost", pages=PAGES, messages=messages, sizes=((140, 40), (80, 24)))


def test_ascii_has_nothing_else() -> None:
    async def only_ascii(console: Console, pilot: Pilot[Any]) -> None:
        for keys in ((), ("2",), ("a", "escape"), ("question_mark", "escape"), ("3",), ("7",)):
            await press(console, pilot, *keys)
            strange = {character for character in console.grid() if not character.isascii()}
            assert not strange, (keys, strange)

    check("ascii", pages=PAGES, sizes=((100, 30),), then=only_ascii, ascii_only=True)


def test_what_is_typed_into_a_bar_is_seen() -> None:
    async def both(console: Console, pilot: Pilot[Any]) -> None:
        await press(console, pilot, "slash", *"state:failed")
        assert console.grid().rstrip().splitlines()[-1].startswith(" / state:failed")
        await press(console, pilot, "escape", "colon", *"conn str")
        assert console.grid().rstrip().splitlines()[-1].startswith(" : conn str")
        await press(console, pilot, "escape")
        assert "? help" in console.grid().rstrip().splitlines()[-1]

    check("bars", at="payments", pages=PAGES, sizes=((100, 30),), then=both)
