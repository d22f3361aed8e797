"""One day of one PSP: its findings first, then what was reviewed, is pending, or settled; and ours beside the PSP's line.

`a` is about the finding under the cursor, or the day. Not here: what is said (`tui.views.recon_day`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import BindingType

from tui import paint
from tui.acts import Subject
from tui.api import Problem
from tui.keys import Key, view_keys
from tui.paint import Line, Words
from tui.places import Place
from tui.problems import told
from tui.screens.asked import AskedView
from tui.screens.dead_letters import counted
from tui.views import asking
from tui.views import recon_day as items
from tui.views import reconciliation as days
from tui.views.recon_day import STATUSES
from tui.views.table import rows_of, said, table_of
from tui.widgets.modal import Reading
from tui.widgets.tabs import TabLine
from tui.widgets.vlist import Column, Part, VList

PAGE_MOST: Final = 100
"""Pieces of a page: each carries its line, its movement and its findings."""
LOW_BELOW: Final = 22
"""Rows of the terminal below which there is no room for the comparison under the list; enter shows it."""


class DayView(AskedView):
    """See the module."""

    WORDS = items.ITEM_WORDS
    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(WORDS.names))
    WATCHES: ClassVar[tuple[str, ...]] = ("reconciliation:", "action:")
    OWN_KEYS: ClassVar[tuple[Key, ...]] = (
        Key(
            keys="full_stop",
            shown=".",
            action="status(1)",
            short="next bucket",
            about="mismatched, reviewed, pending, settled",
            where="pane",
        ),
        Key(keys="comma", shown=",", action="status(-1)", about="the bucket before", where="pane"),
        Key(keys="p", shown="p", action="payment", short="payment", about="the payment of this row", where="pane"),
    )
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)
    DEFAULT_CSS = """
    DayView #compare { max-height: 16; }
    """

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        parts = [*(place.id or "").split("/"), "", "", ""]
        self.on, self.psp, self.currency = parts[0], parts[1], parts[2]
        self.status = STATUSES[0][0]
        self.days: list[Mapping[str, Any]] = []

    def body(self) -> ComposeResult:
        yield Words(paint.line(("asking for ", "dim"), (self.place.id, "accent")), id="above", classes="strip")
        yield TabLine(id="buckets")
        yield VList(
            self._columns(),
            key=lambda row: said(row, "id"),
            problem=items.is_problem,
            empty=self.empty(),
            id="rows",
        )
        yield Words(id="compare", classes="below", hides=True)

    def _columns(self) -> tuple[Column, ...]:
        return (
            Column("kind", "what", 17, items.kind, sort=lambda row: said(row, "kind")),
            Column("payment", "payment", 16, lambda row: paint.line((paint.middle(row.get("payment_id") or "", 16), "accent")), least=72),
            Column("reference", "psp ref", 16, items.reference, least=124),
            Column("ours", "ours", 14, items.ours, align="right", least=96),
            Column("theirs", "psp", 14, items.theirs, align="right", least=96),
            Column("difference", "diff", 15, items.difference, align="right"),
            Column("suggestion", "what may explain it", 12, items.suggestion, grow=True, least=50),
        )

    def empty(self) -> Line:
        otherwise = "Nothing of this day is mismatched." if self.status == STATUSES[0][0] else f"Nothing of this day is {self.status}."
        return asking.nothing(self.place.filter, "rows of this day", otherwise)

    # --- asking -------------------------------------------------------------------------------------------------------------------------

    async def load(self) -> None:
        found = await self.ask(None, f"reconciliation/days/{self.on}", {"connector": self.psp} if self.psp else {})
        if found is not None:
            self.days = [row for row in rows_of(found, "data") if self.currency in ("", said(row, "currency"))]
            self.notice(*days.strays(found))
        await self._items()
        self._say()

    async def _items(self) -> None:
        query = {name: value for name, value in (("connector", self.psp), ("currency", self.currency), ("status", self.status)) if value}
        limit = min(PAGE_MOST, self.console.page)

        async def fetch(cursor: str | None) -> Part:
            page = await self.console.source.get(f"reconciliation/days/{self.on}/items", {**query, "limit": limit, "cursor": cursor})
            pieces = [one for one in rows_of(page, "data") if said(one, "status") == self.status]
            return Part(rows=items.flat(pieces), next_cursor=page.get("next_cursor"))

        try:
            await self.query_one("#rows", VList).feed(fetch)
        except Problem as problem:
            self.notice(*told("what this day consists of", problem))

    @property
    def day(self) -> Mapping[str, Any]:
        """The day in the currency of the row under the cursor; the first where it has only one."""
        currency = said(self.current() or {}, "piece", "currency")
        connector = said(self.current() or {}, "piece", "connector")
        alike = [row for row in self.days if (said(row, "currency"), said(row, "connector")) == (currency, connector)]
        return next(iter(alike or self.days), {})

    # --- showing ------------------------------------------------------------------------------------------------------------------------

    def tick(self) -> None:
        self._say()

    def _say(self) -> None:
        low = self.size.height < LOW_BELOW + 8
        vlist, day = self.query_one("#rows", VList), self.day
        lines = (
            items.head(day, self.size.width, low=low) if day else [paint.line(("nothing is known of ", "dim"), (self.place.id, "accent"))]
        )
        sums = items.net(vlist.rows) if self.status == "mismatched" and vlist.rows else paint.EMPTY
        if self.size.height >= LOW_BELOW:
            lines = [*lines, paint.join([sums, counted(vlist, "rows"), *self._filtered()], "   ")]
        self.query_one("#above", Words).say(*lines)
        tabs = [(name, f"{title} {paint.count(days.count_of(day, name))}") for name, title in STATUSES]
        self.query_one(TabLine).show(tabs, self.status)
        self.moved(vlist.current)

    def _filtered(self) -> list[Line]:
        return [paint.line(("filter ", "dim"), (self.place.filter, "key"))] if self.place.filter else []

    def moved(self, row: Mapping[str, Any] | None) -> None:
        pane = self.query_one("#compare", Words)
        height = self.size.height
        pane.say(*(items.beside(row or {}, self.size.width - 2, most=height // 3) if height >= LOW_BELOW else []))

    def on_resize(self, _: events.Resize) -> None:
        if self.query("#rows"):
            self._say()

    def choose(self, status: str) -> None:
        """That bucket instead."""
        self.status = status
        vlist = self.query_one("#rows", VList)
        vlist.empty = self.empty()
        vlist.marks.clear()
        vlist.show([])
        vlist.known = False
        self._say()
        self._loaded_at = None
        self.reload()

    # --- keys ---------------------------------------------------------------------------------------------------------------------------

    def action_status(self, by: int) -> None:
        names = [name for name, _ in STATUSES]
        self.choose(names[(names.index(self.status) + by) % len(names)])

    def on_tab_line_chosen(self, event: TabLine.Chosen) -> None:
        event.stop()
        self.choose(event.name)

    def action_payment(self) -> None:
        payment = said(self.current() or {}, "payment_id")
        if payment:
            self.console.open(Place("payment", payment))
        else:
            paint.toast(self.console, paint.line("no payment of ours is known for this row"))

    def opened(self, row: Mapping[str, Any]) -> None:
        lines = items.beside(row, min(90, self.size.width - 10))
        self.console.push_screen(Reading(paint.line((f" {said(row, 'kind')} {said(row, 'id')} ", "info")), lines))

    def subject(self) -> Subject | None:
        return items.of_finding(self.current() or {}, days.of_day(self.day))

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current() or {}
        named = (
            ("finding", said(row, "finding", "id")),
            ("payment id", said(row, "payment_id")),
            ("psp reference", said(row, "line", "identity")),
            ("report", said(row, "line", "report")),
            ("day", days.key(self.day) if self.day else ""),
        )
        return [(name, value) for name, value in named if value]

    def card(self) -> Sequence[Line]:
        if not self.days:
            return super().card()
        return [*items.head(self.day, self.size.width, low=True), paint.EMPTY, *map(items.kind, self.query_one("#rows", VList).rows[:6])]

    def crumbs(self) -> tuple[str, ...]:
        return ("Reconciliation", " ".join(part for part in (self.on, self.psp, self.currency) if part))

    def export_data(self) -> Any:
        return {"days": self.days, "status": self.status, "items": [dict(row["piece"]) for row in self.query_one("#rows", VList).rows]}

    def export_text(self) -> str:
        rows = self.query_one("#rows", VList).rows
        return "\n\n".join("\n".join(paint.plain(one) for one in items.beside(row, 120)) for row in rows if table_of(row, "finding"))

    def twin(self) -> str:
        chosen = " ".join(f"--{name} {value}" for name, value in (("connector", self.psp), ("currency", self.currency)) if value)
        return " ".join(part for part in ("payorch ops reconciliation day", self.on, chosen, "--json") if part)
