"""The fixture for screens: a console on a recording, at four sizes, compared with a grid of text that a person has read.

    def test_it_looks_like_this() -> None:
        check("payments", at="payments", pages={("payments", ""): PAGE}, keys=("j", "enter"))

Renew after a wanted change with `PAYORCH_RENEW_SNAPSHOTS=1 pytest tests/tui`, and read the diff. With PAYORCH_SNAPSHOT_FOLDER set, each is
also written there as SVG. Tests are sync functions: `trio_mode` must not grab them, and Textual runs on asyncio.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from textual import events
from textual.keys import _character_to_key
from textual.pilot import Pilot

from tests.tui.world import FakeSource, snapshot
from tui import places
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Link, Message, Snapshot

SIZES: Final = ((140, 40), (100, 30), (80, 24), (60, 18))
FOLDER: Final = Path(__file__).parent / "snapshots"
NOW: Final = datetime(2026, 10, 16, 14, 33, 10, tzinfo=UTC)
ROUNDS: Final = 30
"""Turns of the loop that a key, a worker and a new dialog take together, and more."""
TURNS_MORE: Final = 10
"""Until nothing is left to lay out, at most: something that never comes to rest is to be seen in the picture, not to hang."""
_CHARACTERS: Final = {"space": " ", "colon": ":", "slash": "/", "question_mark": "?"}
RENEW: Final = "PAYORCH_RENEW_SNAPSHOTS"

Pages = Mapping[tuple[str, str], Any]
Then = Callable[[Console, Pilot[None]], Awaitable[None]]


async def settle(console: Console, pilot: Pilot[None], turns: int = 2) -> None:
    """What is under way comes to its end: questions to the source, messages, paint. Counted in turns of the loop, not in time."""
    for _ in range(turns):
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        await pilot._wait_for_screen()
        console.turn()
        while any(worker.is_running for worker in console.workers if worker.group in ("load", "pages")):  # noqa: ASYNC110 - not in time
            await asyncio.sleep(0)
        await pilot._wait_for_screen()
        console.screen._on_timer_update()  # paints what is due
    for _ in range(TURNS_MORE):
        screen = console.screen
        if not (console._batch_count or screen._callbacks or screen._layout_required or screen._dirty_widgets):
            break  # a footer that is made anew, for one, is empty for some turns in the middle of it
        for _ in range(ROUNDS):
            await asyncio.sleep(0)
        console.screen._on_timer_update()


async def press(console: Console, pilot: Pilot[None], *keys: str) -> None:
    """Presses these keys, one after the other, and waits for what each does. Names are Textual's; a character stands for itself."""
    for key in keys:
        name = _character_to_key(key) if len(key) == 1 else key
        event = events.Key(name, key if len(key) == 1 else _CHARACTERS.get(key))
        event.set_sender(console)
        console.post_message(event)
        await settle(console, pilot)


async def shown(
    source: FakeSource, *, size: tuple[int, int], at: str = "overview", keys: Sequence[str] = (), then: Then | None = None, **options: Any
) -> str:
    """The grid of a console that was opened at that place, after those keys."""
    console = Console(source, StandingClock(NOW), at=places.place(at), ticking=False, **options)
    async with console.run_test(size=size, notifications=False) as pilot:
        await settle(console, pilot)
        await press(console, pilot, *keys)
        if then is not None:
            await then(console, pilot)
            await settle(console, pilot)
        grid = console.grid()
        folder = os.environ.get("PAYORCH_SNAPSHOT_FOLDER")
        if folder:
            name = f"{at.replace('/', '-').replace(' ', '-')}-{size[0]}x{size[1]}.svg"
            Path(folder).joinpath(name).write_text(console.export_screenshot())
        return grid


def check(
    name: str,
    *,
    at: str = "overview",
    pages: Pages | None = None,
    messages: Sequence[Message] | None = None,
    keys: Sequence[str] = (),
    sizes: Sequence[tuple[int, int]] = SIZES,
    then: Then | None = None,
    **options: Any,
) -> None:
    """Compares the screen with its files at every size; all that differ are named."""
    wrong = []
    for size in sizes:
        source = FakeSource(pages or {}, messages if messages is not None else (Link(state="live"), Snapshot(data=snapshot())))
        grid = asyncio.run(shown(source, size=size, at=at, keys=keys, then=then, **options))
        path = FOLDER / f"{name}-{size[0]}x{size[1]}.txt"
        if os.environ.get(RENEW):
            path.write_text(grid)
        elif not path.exists() or path.read_text() != grid:
            wrong.append(f"{path.name} is different; this is shown now:\n{grid}")
    assert not wrong, "\n".join(wrong) + f"\nrenew with {RENEW}=1 and read the diff"
