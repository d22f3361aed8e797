"""One connector: whether it takes payments, how its breakers stand and why, the last hour, what went wrong, and how routing decided.

The head and the breakers follow the stream; the hour, the errors and the decisions are asked for again every RENEW_SECONDS and as soon as a
breaker changes. `a` on a row of the breakers is about that breaker, elsewhere about all of them.

Not here: what is said (`tui.views.connectors`, `tui.views.connector_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import ContentSwitcher

from tui import paint
from tui.acts import Subject
from tui.keys import Key, view_keys
from tui.paint import Words
from tui.places import Place
from tui.screens.base import View
from tui.screens.connectors import WHAT_IF
from tui.store import Dirty
from tui.views import connector_tables as tables
from tui.views import connectors as listed
from tui.views.table import Data, said
from tui.what_if import WhatIf
from tui.widgets.modal import Reading
from tui.widgets.tabs import TabLine
from tui.widgets.vlist import VList

RENEW_SECONDS: Final = 10.0
"""A step of the hour is a minute: six looks in each."""
TALL_FROM: Final = 34
"""Rows of the screen from which there are four charts; with fewer, two, and below LOW two flat ones."""
LOW: Final = 28


class ConnectorView(View):
    """See the module."""

    OWN_KEYS: ClassVar[tuple[Key, ...]] = (
        Key(keys="tab", shown="tab", action="tab(1)", short="next tab", about="the next of the four tables", where="pane"),
        Key(keys="shift+tab", shown="shift+tab", action="tab(-1)", about="the one before", where="pane"),
        WHAT_IF,
    )
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)
    DEFAULT_CSS = """
    ConnectorView #head, ConnectorView #charts { height: auto; padding: 0 1; background: $surface; }
    ConnectorView ContentSwitcher { height: 1fr; }
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.page: Data = {}
        self.tab = tables.TABS[0][0]
        self._loaded: float | None = None
        self._modes: tuple[str, ...] = ()

    def body(self) -> ComposeResult:
        yield Words(paint.line(("asking for ", "dim"), (self.place.id, "accent")), id="head")
        yield Words(id="charts")
        yield TabLine(id="tabs")
        with ContentSwitcher(initial=self.tab):
            for name, _ in tables.TABS:
                yield VList(tables.COLUMNS[name], key=lambda row: said(row, "key"), problem=_problem(name), id=name)

    # --- asking and showing -------------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        self._loaded = self.console.clock.monotonic()
        found = await self.ask(None, f"connectors/{self.place.id}")
        if found is not None:
            self.notice()
            self.page = found
        elif not self.known:
            self.query_one("#head", Words).say(paint.line(("nothing is known of ", "warn"), (self.place.id, "accent")))
        self.show_page()

    @property
    def known(self) -> Data:
        """The page as it was asked for, under what the stream has said since; empty where neither knows of it."""
        return {**self.page, **self.console.state.connectors.get(self.place.id or "", {})}

    def repaint(self, dirty: Dirty) -> None:
        touched = any(key.startswith(f"connector:{self.place.id}") for key in dirty)
        if touched or "all" in dirty:
            self.show_page()
        modes = tuple(said(self.known, "circuits", one, "mode") for one in listed.operations(self.known))
        if touched and modes != self._modes:
            self.reload()
        self._modes = modes

    def tick(self) -> None:
        """Countdowns; and from time to time everything anew."""
        self.show_page()
        if self._loaded is not None and self.console.clock.monotonic() - self._loaded >= RENEW_SECONDS and not self.console.fresh().stale:
            self.reload()

    def show_page(self) -> None:
        """The head, the charts, the names of the tables, and the one that is chosen."""
        page, now = self.known, self.now()
        if not page:
            return
        room = max(20, self.size.width - 2)
        rows = 3 if self.size.height >= TALL_FROM else 2 if self.size.height >= LOW else 1
        self.query_one("#head", Words).say(*listed.head(page, now, room))
        self.query_one("#charts", Words).say(*listed.charts(page, room, rows, 4 if self.size.height >= TALL_FROM else 2))
        self.query_one(TabLine).show(tables.titles(page), self.tab)
        shown = self.shown
        shown.empty = tables.nothing(self.tab, self.page)
        shown.show(tables.rows(self.tab, page, now))

    @property
    def shown(self) -> VList:
        """The table that is chosen."""
        return self.query_one(f"#{self.tab}", VList)

    def on_resize(self, _: events.Resize) -> None:
        if self.query(TabLine):
            self.show_page()

    def choose(self, tab: str) -> None:
        """That table instead."""
        self.tab = tab
        self.query_one(ContentSwitcher).current = tab
        self.shown.focus()
        self.show_page()
        self.say_head()

    # --- keys and mouse -----------------------------------------------------------------------------------------------------------------

    def action_tab(self, by: int) -> None:
        names = [name for name, _ in tables.TABS]
        self.choose(names[(names.index(self.tab) + by) % len(names)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        event.stop()
        self.choose(event.name)

    def action_what_if(self) -> None:
        self.console.act(WhatIf(self.console).ask(self.place.id))

    def opened(self, row: Mapping[str, Any]) -> None:
        payment = said(row, "payment_id")
        if payment:
            self.console.open(Place("payment", payment))
        else:
            self.console.push_screen(Reading(paint.line((f" {said(row, 'operation')} ", "info")), tables.detail(row)))

    def _focus_list(self) -> None:
        self.shown.focus()

    def current(self) -> Mapping[str, Any] | None:
        return self.shown.current

    def subject(self) -> Subject | None:
        name = said(self.known, "name")
        if not name:
            return None
        operation = said(self.shown.current, "operation") if self.tab == "breakers" else ""
        actions = listed.actions(self.known, self.console.state.meta, operation or None)
        title = f"{name} {operation}".strip()
        return Subject(id=name, kind="connector", title=title, actions=actions)

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current() or {}
        named = [("payment id", "payment_id"), ("code", "code"), ("why", "reason"), ("cause", "cause")]
        return [("connector", self.place.id or ""), *((label, said(row, name)) for label, name in named if said(row, name))]

    def card(self) -> Sequence[paint.Line]:
        known = self.known
        return listed.head(known, self.now(), max(20, self.size.width - 2), 12) if known else super().card()

    def crumbs(self) -> tuple[str, ...]:
        return ("Connectors", self.place.id or "", dict(tables.TABS)[self.tab])

    def export_data(self) -> Any:
        return self.known

    def export_text(self) -> str:
        return tables.text(self.known, self.now()) if self.known else ""


def _problem(tab: str) -> Any:
    """Whether `n` stops at a row of that table."""
    return {
        "breakers": lambda row: said(row, "mode") != "closed",
        "errors": lambda row: said(row, "class") in ("UNKNOWN_OUTCOME", "INTEGRITY_CONFLICT"),
        "transitions": lambda row: said(row, "to") in listed.STOPPED,
        "decisions": lambda row: bool(row.get("excluded")),
    }[tab]
