"""Dead letters: those that failed alike, the letters of one group with marks, and one letter with its redacted contents.

`a` gives another life to, or discards, one letter, the marked ones, or the whole group; a replay that is under way is followed, and can be
halted there. Not here: what is said (`tui.views.dead_letters`), and how a replay keeps its pace (the server).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from tui import paint
from tui.acts import Subject
from tui.paint import Line, Words
from tui.places import Place
from tui.screens.asked import AskedView
from tui.screens.base import View
from tui.screens.page import PageView
from tui.store import Dirty
from tui.views import asking
from tui.views import dead_letters as letters
from tui.views.table import hung, rows_of, said
from tui.widgets.vlist import Column, VList

REPLAYS: Final = {"action": "dead_letter.replay", "open": "true"}
"""Replays that wait or are under way."""
SIDE_EDGES: Final = 4
"""Of the pane beside a list: its border, its padding, and its scroll bar."""
WIDE_SIDE: Final = 48
NARROW_SIDE: Final = 38
WIDE_FROM: Final = 140
"""Cells of that pane, and of the terminal from which it is the wide one; as in console.tcss."""


def beside(view: View, lines: Sequence[Line]) -> None:
    """Says that in the pane beside the list, where there is one."""
    pane = WIDE_SIDE if view.size.width >= WIDE_FROM else NARROW_SIDE
    view.query_one("#detail", Words).say(*hung(lines, pane - SIDE_EDGES))


def counted(vlist: VList, noun: str) -> Line:
    """How many of what the list shows."""
    return paint.join([paint.line((noun, "dim")), vlist.counts()], " ") if vlist.known else paint.EMPTY


class DeadLettersView(AskedView):
    """Groups of letters that failed alike."""

    WORDS = letters.GROUP_WORDS
    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(WORDS.names))
    WATCHES: ClassVar[tuple[str, ...]] = ("dead_letter:", "action:")

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.replays: list[Mapping[str, Any]] = []

    def body(self) -> ComposeResult:
        yield Words(id="above", classes="strip")
        yield Words(id="running", classes="strip", hides=True)
        with Horizontal(classes="panes"):
            yield VList(
                self._columns(),
                key=lambda row: said(row, "fingerprint"),
                problem=lambda row: bool(row.get("open")),
                empty=self.empty(),
                id="rows",
            )
            with VerticalScroll(classes="side"):
                yield Words(id="detail")

    def _columns(self) -> tuple[Column, ...]:
        now = self.console.clock.now
        return (
            Column("fingerprint", "failed alike", 14, lambda row: letters.words(row, "fingerprint", "strong"), grow=True),
            Column("kind", "kind", 11, lambda row: letters.words(row, "kind"), least=110),
            Column("origin", "origin", 10, lambda row: letters.words(row, "origin", "accent"), least=64),
            Column("open", "open", 6, letters.open_count, align="right", sort=lambda row: row.get("open")),
            Column("all", "all", 6, lambda row: paint.line((paint.count(row.get("letters")), "dim")), align="right", least=100),
            Column("first", "first", 6, lambda row: letters.aged(row, "first_failed_at", now()), align="right", least=50),
            Column("last", "last", 6, lambda row: letters.aged(row, "last_failed_at", now()), align="right"),
            Column("replay", "last replay", 16, lambda row: letters.last_replay(row, now()), least=60),
        )

    def empty(self) -> Line:
        return asking.nothing(self.place.filter, "dead letters", "No dead letters: everything that came was understood and delivered.")

    async def load(self) -> None:
        replays, _ = await asyncio.gather(
            self.ask(self.query_one("#running", Words), "actions", REPLAYS),
            self.rows_of("#rows", "dead-letters", {"group": "fingerprint", **self.asked.query}),
        )
        if replays is not None:
            self.replays = [*rows_of(replays, "data")]
            self.query_one("#running", Words).say(*letters.running(self.replays, self.size.width))
        self._say()

    def tick(self) -> None:
        self._say()

    def _say(self) -> None:
        vlist, now = self.query_one("#rows", VList), self.console.clock.now()
        whole = letters.in_all(vlist.rows, now) if vlist.known else paint.line(("asking for dead letters", "dim"))
        filtered = asking.above(self.place.filter, self.asked, "grouped by fingerprint")
        self.query_one("#above", Words).say(paint.join([whole, filtered, counted(vlist, "groups")], "   "))
        self.moved(vlist.current)

    def moved(self, row: Mapping[str, Any] | None) -> None:
        beside(self, letters.group_detail(row or {}, self.console.clock.now()))

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.open(Place("dead_letter_group", said(row, "fingerprint")))

    def subject(self) -> Subject | None:
        return letters.of_group(self.current() or {}, self.replays)

    def twin(self) -> str:
        return "payorch ops dead-letters --group fingerprint --json"


class LettersView(AskedView):
    """The letters of one group: marks, and what is known of the one under the cursor."""

    WORDS = letters.LETTER_WORDS
    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(WORDS.names))
    WATCHES: ClassVar[tuple[str, ...]] = ("dead_letter:", "action:")

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.group: Mapping[str, Any] = {}
        self.replay: Mapping[str, Any] = {}

    def body(self) -> ComposeResult:
        yield Words(id="above", classes="strip")
        yield Words(id="running", classes="strip", hides=True)
        with Horizontal(classes="panes"):
            yield VList(self._columns(), key=lambda row: said(row, "id"), problem=letters.is_open, empty=self.empty(), id="rows")
            with VerticalScroll(classes="side"):
                yield Words(id="detail")

    def _columns(self) -> tuple[Column, ...]:
        now = self.console.clock.now
        return (
            Column("mark", "", 1, self._mark),
            Column("id", "letter", 16, lambda row: paint.line((paint.middle(row.get("id"), 16), "accent"))),
            Column("state", "state", 11, lambda row: paint.state(row.get("state"), "bad" if letters.is_open(row) else None), least=60),
            Column("first", "first UTC", 9, lambda row: letters.clock(row, "first_failed_at"), least=100),
            Column("age", "age", 6, lambda row: letters.aged(row, "first_failed_at", now()), align="right"),
            Column("tries", "tries", 5, lambda row: paint.line(paint.count(row.get("attempts"))), align="right"),
            Column("payment", "payment", 16, lambda row: paint.line((paint.middle(row.get("payment_id") or "", 16), "accent")), least=110),
            Column("reason", "why", 12, lambda row: letters.words(row, "reason"), grow=True),
        )

    def _mark(self, row: Mapping[str, Any]) -> Line:
        marked = said(row, "id") in self.query_one("#rows", VList).marks
        return paint.line((paint.glyph("mark"), "key") if marked else " ")

    def empty(self) -> Line:
        return asking.nothing(
            self.place.filter, "letters of this group", "No open letter of this group is left. state:replayed shows others."
        )

    async def load(self) -> None:
        query = {"fingerprint": self.place.id or "", **({} if "state" in self.asked.query else {"state": "open"}), **self.asked.query}
        groups, replays, _ = await asyncio.gather(
            self.ask(None, "dead-letters", {"group": "fingerprint", "fingerprint": self.place.id or ""}),
            self.ask(self.query_one("#running", Words), "actions", {**REPLAYS, "subject": self.place.id or ""}),
            self.rows_of("#rows", "dead-letters", query),
        )
        if groups is not None:
            self.group = next((one for one in rows_of(groups, "data") if said(one, "fingerprint") == self.place.id), {})
        if replays is not None:
            self.replay = letters.replay_of(rows_of(replays, "data"), self.place.id or "")
            self.query_one("#running", Words).say(*([letters.progress(self.replay, self.size.width)] if self.replay else []))
        self._say()

    def tick(self) -> None:
        self._say()

    def _say(self) -> None:
        vlist, now = self.query_one("#rows", VList), self.console.clock.now()
        name = (paint.Piece(self.place.id or "", "strong", 80),)
        last = paint.join([paint.line(("last replay", "dim")), letters.last_replay(self.group, now)], " ") if self.group else paint.EMPTY
        filtered = asking.above(self.place.filter, self.asked, "open ones   x marks")
        self.query_one("#above", Words).say(name, paint.join([counted(vlist, "letters"), last, filtered], "   "))
        self.moved(vlist.current)

    def moved(self, row: Mapping[str, Any] | None) -> None:
        beside(self, letters.letter_detail(row or {}, self.console.clock.now()))

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.open(Place("dead_letter", said(row, "id")))

    def subject(self) -> Subject | None:
        vlist = self.query_one("#rows", VList)
        group = letters.of_group(self.group, (self.replay,)) if self.group else None
        return letters.of_letters(vlist.current or {}, vlist.marked, group)

    def copies(self) -> Sequence[tuple[str, str]]:
        rows = self.query_one("#rows", VList).marked or [row for row in (self.current(),) if row is not None]
        found = [(label, said(rows[0], name)) for label, name in letters.COPIED if rows[0].get(name)] if len(rows) == 1 else []
        ids = "\n".join(said(row, "id") for row in rows)
        return [*found, ("fingerprint", self.place.id or ""), (f"ids of {len(rows)} letters", ids)]

    def crumbs(self) -> tuple[str, ...]:
        return ("Dead letters", paint.safe(self.place.id or "", 40))

    def twin(self) -> str:
        return f"payorch ops dead-letters --fingerprint {paint.safe(self.place.id or '', 200)!r} --json"


class LetterView(PageView):
    """One letter with its contents."""

    async def load(self) -> None:
        await self.fetch(f"dead-letters/{self.place.id}")

    def repaint(self, dirty: Dirty) -> None:
        if f"dead_letter:{self.place.id}" in dirty:
            self.reload()

    def lines(self, cells: int) -> Sequence[Line]:
        told = letters.letter_detail(self.data, self.console.clock.now())
        return hung([*told, *letters.allowed(self.data), *letters.contents(self.data)], cells)

    def subject(self) -> Subject | None:
        return letters.of_letters(self.data, (), None)

    def copies(self) -> Sequence[tuple[str, str]]:
        found = [(label, said(self.data, name)) for label, name in letters.COPIED if self.data.get(name)]
        payload = said(self.data, "payload")
        return [*found, ("contents, redacted", payload)] if payload else found
