"""The virtual list: fifty thousand rows, a cursor that stays on its row, pages on demand, honest counts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from textual.app import App, ComposeResult
from textual.pilot import Pilot

from tui import paint
from tui.api import Problem
from tui.themes import DARK
from tui.widgets.rows import Rows, widths
from tui.widgets.vlist import Column, Part, VList

COLUMNS = (
    Column("id", "id", 10, lambda row: paint.line(row["id"]), sort=lambda row: row["id"]),
    Column("n", "n", 6, lambda row: paint.line(str(row["n"])), align="right", sort=lambda row: row["n"]),
    Column("text", "text", 10, lambda row: paint.line(row.get("text", "")), grow=True),
    Column("extra", "extra", 20, lambda row: paint.line("extra"), least=100),
)


def rows(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [{"id": f"r{number:05d}", "n": number % 7, "bad": number % 10 == 9} for number in range(start, start + count)]


class Sheet(App[None]):
    """Nothing but a list."""

    CSS = "Screen { layout: vertical; }"

    def __init__(self) -> None:
        super().__init__()
        self.register_theme(DARK)
        self.theme = DARK.name
        self.opened: list[str] = []
        self.failed: list[Problem] = []

    def compose(self) -> ComposeResult:
        empty = paint.line("nothing here")
        yield VList(COLUMNS, key=lambda row: str(row["id"]), problem=lambda row: bool(row["bad"]), empty=empty)

    def on_vlist_opened(self, message: VList.Opened) -> None:
        self.opened.append(message.row["id"])

    def on_vlist_failed(self, message: VList.Failed) -> None:
        self.failed.append(message.problem)


def on(scenario: Callable[[Sheet, VList, Pilot[None]], Awaitable[None]], size: tuple[int, int] = (60, 12)) -> None:
    async def whole() -> None:
        app = Sheet()
        async with app.run_test(size=size) as pilot:
            vlist = app.query_one(VList)
            vlist.focus()
            await pilot.pause()
            await scenario(app, vlist, pilot)

    asyncio.run(whole())


def text(app: Sheet) -> list[str]:
    return [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]


def test_fifty_thousand_rows_are_as_quick_as_fifty() -> None:
    async def scenario(app: Sheet, vlist: VList, pilot: Pilot[None]) -> None:
        many = rows(50_000)
        began = time.process_time()
        vlist.show(many)
        [vlist.render_line(y) for y in range(12)]
        vlist.move(49_999)
        [vlist.render_line(y) for y in range(12)]
        assert time.process_time() - began < 0.1
        await pilot.pause()
        assert "r49999" in text(app)[-1]

    on(scenario)


def test_the_cursor_stays_on_its_row() -> None:
    async def scenario(app: Sheet, vlist: VList, pilot: Pilot[None]) -> None:
        vlist.show(rows(100, start=10))
        vlist.go_to("r00050")
        vlist.show(rows(110))
        assert vlist.current is not None
        assert vlist.current["id"] == "r00050"
        vlist.show([row for row in rows(110) if row["id"] != "r00050"])
        assert vlist.current["id"] == "r00051"
        vlist.show([])
        assert list(vlist.rows) == []
        await pilot.pause()
        assert "nothing here" in text(app)[1]

    on(scenario)


def test_keys_move_mark_sort_freeze_and_find_problems() -> None:
    async def scenario(app: Sheet, vlist: VList, pilot: Pilot[None]) -> None:
        vlist.show(rows(40))
        await pilot.press("G")
        assert vlist.cursor == 39
        await pilot.press("g", "n")
        assert vlist.cursor == 9
        await pilot.press("n", "N")
        assert vlist.cursor == 9
        await pilot.press("x", "x")
        assert vlist.marks == {"r00009", "r00010"}
        await pilot.press("v", "j", "j", "v")
        assert [row["id"] for row in vlist.marked] == ["r00009", "r00010", "r00011", "r00012", "r00013"]
        await pilot.press("z")
        assert len(vlist.rows) == 4
        await pilot.press("z", "s", "s")
        assert [row["n"] for row in vlist.rows][:7] == [0, 0, 0, 0, 0, 0, 1]
        await pilot.press("space")
        vlist.show(rows(50))
        assert "frozen +10 held" in paint.plain(vlist.counts())
        assert len(vlist.rows) == 40
        await pilot.press("space")
        assert len(vlist.rows) == 50
        assert "order changed, press s" in paint.plain(vlist.counts())
        await pilot.press("enter")
        assert vlist.current is not None
        assert app.opened == [vlist.current["id"]]

    on(scenario)


def test_the_mouse_moves_opens_and_sorts() -> None:
    async def scenario(app: Sheet, vlist: VList, pilot: Pilot[None]) -> None:
        vlist.show(rows(40))
        await pilot.click(VList, offset=(3, 4))
        assert vlist.cursor == 3
        await pilot.click(VList, offset=(3, 5), times=2)
        assert app.opened == ["r00004"]
        await pilot.click(VList, offset=(14, 0))
        assert [row["n"] for row in vlist.rows][:3] == [0, 0, 0]
        assert "n▼" in text(app)[0]

    on(scenario)


def test_pages_come_while_one_scrolls_and_the_count_is_honest() -> None:
    asked: list[str | None] = []

    async def fetch(cursor: str | None) -> Part:
        asked.append(cursor)
        at = int(cursor or 0)
        if at >= 600:
            raise Problem(503, {"title": "later"})
        return Part(rows=rows(200, start=at), next_cursor=str(at + 200), total=10_000 if cursor is None else None, exact=False)

    async def scenario(app: Sheet, vlist: VList, pilot: Pilot[None]) -> None:
        await vlist.feed(fetch)
        assert paint.plain(vlist.counts()) == "200 of >10\u2009000"
        for _ in range(3):
            await pilot.press("G")
            await pilot.pause()
        assert asked == [None, "200", "400", "600"]
        assert len(vlist.rows) == 600
        assert [problem.status for problem in app.failed] == [503]
        asked.clear()
        await vlist.feed(fetch)
        assert len(vlist.rows) == 600, "asked for anew, it is as long as it was"

    on(scenario)


def test_columns_give_way_and_a_cell_that_cannot_be_drawn_is_said() -> None:
    assert [column.key for column, _ in widths(COLUMNS, 60)] == ["id", "n", "text"]
    assert sum(cells + 1 for _, cells in widths(COLUMNS, 120)) == 120

    async def scenario(app: Sheet, vlist: VList, pilot: Pilot[None]) -> None:
        vlist.show([{"id": "r1", "bad": False}])
        await pilot.pause()
        assert "unrea…" in text(app)[1]

    on(scenario)


@given(st.lists(st.integers(0, 30), unique=True), st.lists(st.integers(0, 30), unique=True), st.integers(0, 30))
def test_rows_come_and_go_under_a_cursor(first: list[int], second: list[int], cursor: int) -> None:
    model = Rows(lambda row: str(row["id"]), None)
    model.take([{"id": number} for number in first])
    model.cursor = min(cursor, max(0, len(first) - 1))
    before = model.current
    model.take([{"id": number} for number in second])
    if before is not None and before["id"] in second:
        assert model.current == before
    assert (model.current is None) == (not second)
