"""Days of settlement, newest first: how much of each is unexplained, gross before net, and whether it can be closed.

Not here: what is said (`tui.views.reconciliation`), and the findings of one day (`tui.screens.recon_day`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult

from tui import paint
from tui.acts import Subject
from tui.paint import Line, Words
from tui.places import Place
from tui.screens.asked import AskedView
from tui.screens.dead_letters import counted
from tui.views import asking
from tui.views import reconciliation as days
from tui.views.table import rows_of, said
from tui.widgets.vlist import Column, VList

OF_SERVER: Final = ("from", "to", "connector")
"""What the server chooses by; the rest is judged here: all days of the span are one page."""
LOW_BELOW: Final = 22
"""Rows of the terminal below which there is no room for the day under the list; enter shows it."""


class ReconciliationView(AskedView):
    """See the module."""

    WORDS = days.DAY_WORDS
    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(WORDS.names))
    WATCHES: ClassVar[tuple[str, ...]] = ("reconciliation:", "action:")

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.found: Mapping[str, Any] = {}

    def body(self) -> ComposeResult:
        yield Words(id="above", classes="strip")
        yield VList(self._columns(), key=days.key, problem=days.is_problem, empty=self.empty(), id="rows")
        yield Words(id="below", classes="below", hides=True)

    def _columns(self) -> tuple[Column, ...]:
        now = self.console.clock.now
        return (
            Column("day", "day", 10, lambda row: paint.line((said(row, "day"), "strong")), sort=lambda row: said(row, "day")),
            Column("connector", "psp", 9, lambda row: paint.line((said(row, "connector"), "accent")), grow=True),
            Column("currency", "cur", 3, lambda row: paint.line(said(row, "currency")), least=50),
            Column("state", "state", 11, days.state),
            Column("lines", "lines", 6, lambda row: paint.line((paint.count(days.lines_of(row)), "dim")), align="right", least=96),
            Column("settled", "settled", 7, lambda row: days.figure(row, "settled", "good"), align="right", least=80),
            Column("pending", "pend", 5, lambda row: days.figure(row, "pending", "info"), align="right", least=64),
            Column("mismatched", paint.glyph("differs"), 4, lambda row: days.figure(row, "mismatched", "bad"), align="right"),
            Column("reviewed", "rev", 4, lambda row: days.figure(row, "manually_reviewed", "warn"), align="right", least=64),
            Column("gross", "gross diff", 15, days.gross, align="right", sort=days.gross_rank),
            Column("age", "age", 4, lambda row: days.age(row, now()), align="right", least=56),
            Column("share", "as it should be", days.BAR_CELLS + 8, days.bar, least=90),
        )

    def empty(self) -> Line:
        return asking.nothing(
            self.place.filter, "days", "No day of the last seven has anything to settle. from:2026-10-01 shows earlier ones."
        )

    async def load(self) -> None:
        here = {name: value for name, value in self.asked.query.items() if name in OF_SERVER}
        found = await self.ask(None, "reconciliation/days", here)
        if found is None:
            return
        self.found = found
        self.notice(*days.strays(found))
        rows = [row for row in rows_of(found, "data") if self._chosen(row)]
        self.query_one("#rows", VList).show(rows)
        self._say()

    def _chosen(self, row: Mapping[str, Any]) -> bool:
        wanted = {name: value for name, value in self.asked.query.items() if name not in OF_SERVER}
        return all(said(row, name).casefold() == value.casefold() for name, value in wanted.items())

    def tick(self) -> None:
        self._say()

    def _say(self) -> None:
        vlist = self.query_one("#rows", VList)
        lines = days.in_all(vlist.rows, self.console.clock.now())
        filtered = asking.above(self.place.filter, self.asked, "the last seven days")
        self.query_one("#above", Words).say(*lines, paint.join([filtered, counted(vlist, "days")], "   "))
        self.moved(vlist.current)

    def moved(self, row: Mapping[str, Any] | None) -> None:
        pane = self.query_one("#below", Words)
        pane.say(*(days.detail(row or {}, self.size.width) if self.size.height >= LOW_BELOW else []))

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.open(Place("day", days.key(row)))

    def subject(self) -> Subject | None:
        return days.of_day(self.current() or {})

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current()
        return [] if row is None else [("day", days.key(row)), ("row as TSV", days.as_row_text(row))]

    def export_data(self) -> Any:
        return self.found

    def twin(self) -> str:
        query = " ".join(f"--{name} {value}" for name, value in self.asked.query.items() if name in OF_SERVER)
        return " ".join(part for part in ("payorch ops reconciliation days", query, "--json") if part)
