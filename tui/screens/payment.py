"""One payment: did money move, what happens next, who says so, what may be done, and how many more like it there are.

The head says the first three; below it are the lane of events and six more tables, and beside them everything about the row under the
cursor where there is room (enter shows it everywhere). It follows the payment: what the stream says of it is asked for again, and the lane
stays at its end while the cursor is there. `space` freezes a table.

Not here: what is said (`tui.views.payment_page` and what it is made of).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import ContentSwitcher

from tui import paint
from tui.acts import Subject
from tui.keys import Key, view_keys
from tui.paint import Words
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty
from tui.views import payment_head, payment_page
from tui.views.payment_page import TABS, Page
from tui.views.table import Column as Named
from tui.views.table import Data, Row, Table, comfortable, hung, rows_of, said, table_of
from tui.widgets.modal import Reading
from tui.widgets.tabs import TabLine
from tui.widgets.vlist import Column, VList

BESIDE_FROM: Final = 100
"""Cells from which there is room for a pane beside a table, if the table has enough with the rest."""
PANE_SHARE: Final = 0.34
PANE_EDGES: Final = 4
"""Its border, its padding, and its scroll bar."""
WIDE_FROM: Final = 116
"""Cells of a table from which columns that are only nice to have are shown."""


class PaymentView(View):
    """See the module."""

    OWN_KEYS: ClassVar[tuple[Key, ...]] = (
        Key(keys="full_stop", shown=".", action="table(1)", short="next table", about="the next of the seven tables", where="pane"),
        Key(keys="comma", shown=",", action="table(-1)", about="the table before", where="pane"),
        Key(keys="c", shown="c", action="cohort", short="more like it", about="the list of payments like this one", where="pane"),
    )
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)
    WATCHES: ClassVar[tuple[str, ...]] = ("action:",)
    DEFAULT_CSS = """
    PaymentView #head { height: auto; padding: 0 1; background: $surface; }
    PaymentView ContentSwitcher { width: 1fr; height: 1fr; }
    PaymentView .tab { height: 1fr; }
    PaymentView .trouble { height: auto; max-height: 4; padding: 0 1; }
    PaymentView #beside { display: none; height: 1fr; padding: 0 1; border-left: solid $panel; scrollbar-size-vertical: 1; }
    PaymentView #beside.-ascii { border-left: ascii $panel; }
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.page = Page()
        self.tab = TABS[0][0]
        self._made: tuple[Page, str, Table] | None = None
        self._shown: Table | None = None
        self._listed: list[Data] = []

    def body(self) -> ComposeResult:
        yield Words(paint.line(("asking for ", "dim"), (self.place.id, "accent")), id="head")
        yield TabLine(id="tabs")
        with Horizontal():
            with ContentSwitcher(initial=f"tab-{self.tab}"):
                for name, _, columns in TABS:
                    with Vertical(id=f"tab-{name}", classes="tab"):
                        yield Words(id=f"trouble-{name}", classes="trouble", hides=True)
                        yield VList(drawn(columns), key=_key, problem=_problem, across=_across, id=name)
            with VerticalScroll(id="beside", classes="-ascii" if paint.Glyphs.ascii else ""):
                yield Words(id="detail")

    # --- asking -------------------------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        root = f"payments/{self.place.id}"
        whole, events_, decisions = await asyncio.gather(
            self.ask(None, root),
            self.ask(self.query_one("#trouble-timeline", Words), f"{root}/timeline"),
            self.ask(self.query_one("#trouble-routing", Words), f"{root}/routing"),
        )
        if whole is None and not self.page.payment:
            self.query_one("#head", Words).say(paint.line(("nothing is known of ", "warn"), (self.place.id, "accent")))
            return
        for found, name in ((events_, "timeline"), (decisions, "routing")):
            if found is not None:
                self.query_one(f"#trouble-{name}", Words).say()
        if whole is not None:
            self.notice()
        self.page = Page(
            payment=self.page.payment if whole is None else whole,
            events=self.page.events if events_ is None else rows_of(events_, "data"),
            decisions=self.page.decisions if decisions is None else rows_of(decisions, "data"),
        )
        self.show_page()

    def repaint(self, dirty: Dirty) -> None:
        if f"payment:{self.place.id}" in dirty or f"routing:{self.place.id}" in dirty:
            self.reload()
        if dirty & {"all", "meta"}:  # a snapshot says what time it is
            self.show_page()

    def tick(self) -> None:
        """Countdowns and the silence since the last event."""
        if self.page.payment:
            self.show_page()

    # --- showing ------------------------------------------------------------------------------------------------------------------------

    def show_page(self) -> None:
        """The head, the names of the tables, and the table that is chosen."""
        self.query_one(TabLine).show([(name, title + payment_page.badge(name, self.page.payment)) for name, title, _ in TABS], self.tab)
        if not self.page.payment:
            return
        now = self.now()
        within = payment_head.room(self.size.height)
        self.query_one("#head", Words).say(*payment_head.head(self.page.payment, now, max(20, self.size.width - 2), within))
        if self._made is None or self._made[0] is not self.page or self._made[1] != self.tab:
            self._made, self._shown = (self.page, self.tab, payment_page.lasting(self.tab, self.page, now)), None
            self._listed = [_data(row) for row in self._made[2].rows]
        self._show_table(payment_page.later(self.tab, self.page, self._made[2], now))

    def _show_table(self, made: Table) -> None:
        if made is self._shown:
            return
        self._shown = made
        vlist = self.shown
        follows = len(vlist.rows) > 1 and vlist.cursor >= len(vlist.rows) - 1 and self.tab == "timeline"
        vlist.empty = made.empty
        vlist.show(self._rows(made))
        if follows and not vlist.frozen:
            vlist.move(len(vlist.rows) - 1)
        self.moved(vlist.current)

    def _rows(self, made: Table) -> list[Data]:
        """The rows as the list wants them. A second later all but the last are the same, and there may be thousands: made once."""
        same = len(self._listed)
        if self._made is not None and made.rows[:same] == self._made[2].rows:
            return [*self._listed, *(_data(row) for row in made.rows[same:])]
        return [_data(row) for row in made.rows]

    @property
    def shown(self) -> VList:
        """The table that is chosen."""
        return self.query_one(f"#{self.tab}", VList)

    def on_resize(self, _: events.Resize) -> None:
        if not self._built:
            return
        self._shown = None
        self.show_page()

    def _pane(self) -> int:
        """Cells of the pane beside the table that is chosen; 0 where there is no room for both."""
        width = self.size.width
        pane = round(width * PANE_SHARE)
        columns = next(columns for name, _, columns in TABS if name == self.tab)
        return pane if width >= BESIDE_FROM and width - pane >= comfortable(columns) else 0

    def moved(self, row: Mapping[str, Any] | None) -> None:
        pane = self._pane()
        beside = self.query_one("#beside")
        beside.styles.display = "block" if pane else "none"
        if pane:
            beside.styles.width = pane
            detail = _beside(row) or (paint.line(("nothing more is known of this row", "dim")),)
            self.query_one("#detail", Words).say(*hung(detail, pane - PANE_EDGES))

    def choose(self, tab: str) -> None:
        """That table instead."""
        self.tab = tab
        self.query_one(ContentSwitcher).current = f"tab-{tab}"
        self.shown.focus()
        self.show_page()
        self.moved(self.shown.current)
        self.say_head()

    # --- keys and mouse -----------------------------------------------------------------------------------------------------------------

    def action_table(self, by: int) -> None:
        names = [name for name, _, _ in TABS]
        self.choose(names[(names.index(self.tab) + by) % len(names)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        event.stop()
        self.choose(event.name)

    def action_cohort(self) -> None:
        alike = table_of(self.page.payment, "like_it")
        if not said(alike, "filter"):
            paint.toast(self.console, paint.line("there is no other payment like this one in its quarter of an hour"))
            return
        self.console.open(Place("payments", None, said(alike, "filter")))

    def opened(self, row: Mapping[str, Any]) -> None:
        detail = _beside(row)
        if said(row, "key").startswith("act:"):
            self.console.open(Place("action", said(row, "key").rpartition(":")[2]))
        elif detail:
            self.console.push_screen(Reading(paint.line((f" {said(row, 'title')} ", "info")), detail))

    def _focus_list(self) -> None:
        self.shown.focus()

    def current(self) -> Mapping[str, Any] | None:
        return self.shown.current

    def subject(self) -> Subject | None:
        identity = said(self.page.payment, "id")
        actions = tuple(rows_of(self.page.payment, "actions"))
        return Subject(id=identity, kind="payment", title=identity, actions=actions) if identity else None

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current() or {}
        of_row = [(f"{name} of the row", value) for name, value in row.get("copies") or ()]
        return [*of_row, *payment_page.copies(self.page.payment)]

    def card(self) -> Sequence[paint.Line]:
        if not self.page.payment:
            return super().card()
        return payment_head.head(self.page.payment, self.now(), max(20, self.size.width - 2), payment_head.LOWEST)

    def crumbs(self) -> tuple[str, ...]:
        title = next(title for name, title, _ in TABS if name == self.tab)
        return ("Payments", paint.middle(self.place.id, 16), title)

    def export_data(self) -> Any:
        return {"payment": self.page.payment, "timeline": list(self.page.events), "routing": list(self.page.decisions)}

    def export_text(self) -> str:
        return payment_page.text(self.page, self.now()) if self.page.payment else ""


# --- rows as the list wants them ---------------------------------------------------------------------------------------------------------


def drawn(columns: tuple[Named, ...]) -> list[Column]:
    """The columns of a table, each of which draws its own cell of a row."""
    return [
        Column(
            one.name,
            one.name,
            one.cells or 10,
            lambda row, at=place: row["cells"][at],  # type: ignore[misc]
            align=one.align,
            grow=not one.cells,
            least=WIDE_FROM if one.wide else 0,
        )
        for place, one in enumerate(columns)
    ]


def _data(row: Row) -> Data:
    """A row of a table as a row of the list; `text` is what a filter looks at."""
    text = " ".join(paint.plain(one).strip() for one in row.cells)
    return {
        "key": row.key,
        "cells": row.cells,
        "across": row.cells[0] if row.across else None,
        "problem": row.problem,
        "row": row,
        "copies": row.copies,
        "title": text[:60],
        "text": text,
    }


def _beside(row: Mapping[str, Any] | None) -> tuple[paint.Line, ...]:
    found = (row or {}).get("row")
    return found.beside if isinstance(found, Row) else ()


def _key(row: Mapping[str, Any]) -> str:
    return said(row, "key")


def _problem(row: Mapping[str, Any]) -> bool:
    return row.get("problem") is True


def _across(row: Mapping[str, Any]) -> paint.Line | None:
    return row.get("across")
