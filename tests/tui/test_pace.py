"""A busy stream: whatever comes between two turns is taken in once and painted once, and nothing that is kept has no bound."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual._compositor import Compositor
from textual.pilot import Pilot

from tests.tui.pictures import NOW, settle
from tests.tui.test_screens import PAGES
from tests.tui.world import FakeSource, event, snapshot
from tui import app, store
from tui.app import Console
from tui.clock import StandingClock
from tui.messages import Happened, Link, Message, Snapshot
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty
from tui.widgets.rows import Part, Rows

LIVE: tuple[Message, ...] = (Link(state="live"), Snapshot(data=snapshot()))
KEYS = st.lists(st.integers(0, 60).map(str), unique=True)


def busy(console: Console, count: int, first: int = 1_000) -> None:
    for position in range(first, first + count):
        console.hear(Happened(event=event(position)))


def on(at: str, scenario: Callable[[Console, Pilot[None]], Awaitable[None]]) -> None:
    async def whole() -> None:
        console = Console(FakeSource(PAGES, LIVE), StandingClock(NOW), at=Place(at), ticking=False)
        async with console.run_test(size=(120, 34)) as pilot:
            await settle(console, pilot)
            await scenario(console, pilot)

    asyncio.run(whole())


@pytest.mark.parametrize("at", ["overview", "payments"])
def test_a_turn_takes_in_and_repaints_once_whatever_came(at: str, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    repainted: list[Dirty] = []
    apply = store.apply

    def counted(state: store.State, messages: Sequence[Message]) -> tuple[store.State, Dirty]:
        taken.append(len(messages))
        return apply(state, messages)

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        view = console.view
        assert isinstance(view, View)
        repaint = view.repaint

        def noted(dirty: Dirty) -> None:
            repainted.append(dirty)
            repaint(dirty)

        monkeypatch.setattr(store, "apply", counted)
        monkeypatch.setattr(view, "repaint", noted)
        busy(console, 1_000)
        await pilot.pause()
        assert (taken, repainted) == ([], [])  # until the clock turns
        console.turn()
        assert taken == [1_000]
        assert len(repainted) == 1
        assert "live" in repainted[0]

    on(at, scenario)


def test_an_age_that_takes_the_same_room_does_not_arrange_the_screen_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    arranged = 0
    reflow = Compositor.reflow

    def counted(self: Compositor, *arguments: Any, **named: Any) -> Any:
        nonlocal arranged
        arranged += 1
        return reflow(self, *arguments, **named)

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        monkeypatch.setattr(Compositor, "reflow", counted)
        grids = set()
        for _ in range(6):  # 0.25 s to 1.5 s: always of the same length, and always another
            assert isinstance(console.clock, StandingClock)
            console.clock.forward(0.25)
            console.turn()
            await pilot.pause()
            grids.add(console.grid().splitlines()[0])
        assert len(grids) >= 4
        assert arranged == 0

    on("overview", scenario)


def test_what_is_kept_of_a_stream_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "WAITING_MOST", 500)

    async def scenario(console: Console, pilot: Pilot[None]) -> None:
        for second in range(30):
            busy(console, 100, first=1_000 + second * 100)
            console.turn()
        assert len(console.state.live) == store.LIVE_MOST
        busy(console, 5_000, first=10_000)  # and nobody turns
        assert len(console._waiting) <= 500

    on("overview", scenario)


def test_a_further_page_costs_the_same_however_long_the_list_is() -> None:
    asked = 0

    def key(row: Any) -> str:
        nonlocal asked
        asked += 1
        return str(row)

    rows = Rows(key, None)
    costs = []
    for first in range(0, 20_000, 200):
        before = asked
        rows.add(range(first, first + 200), Part(rows=()))  # type: ignore[arg-type]  # any row will do
        costs.append(asked - before)
    assert len(rows.shown) == 20_000
    assert max(costs) == min(costs) <= 5 * 200


@given(KEYS, KEYS, st.booleans(), st.booleans(), st.booleans())
def test_a_further_page_shows_what_both_at_once_would_show(
    first: list[str], second: list[str], even: bool, faults: bool, frozen: bool
) -> None:
    def made() -> Rows:
        rows = Rows(lambda row: str(row["key"]), lambda row: int(row["key"]) % 3 == 0)
        rows.faults_only = faults
        rows.keep((lambda row: int(row["key"]) % 2 == 0) if even else None)
        return rows

    bit_by_bit, at_once = made(), made()
    old, new = ([{"key": key} for key in keys] for keys in (first, second))
    bit_by_bit.take(old)
    if frozen:
        bit_by_bit.freeze()
    bit_by_bit.add(new, Part(rows=(), next_cursor="c"))
    if frozen:
        bit_by_bit.freeze()
    at_once.take([*old, *(row for row in new if row["key"] not in first)])
    assert bit_by_bit.shown == at_once.shown
    assert bit_by_bit.loaded == at_once.loaded
    assert bit_by_bit.part.next_cursor == "c"
    assert all((bit_by_bit.find(key) is None) == (at_once.find(key) is None) for key in map(str, range(61)))
