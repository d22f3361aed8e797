"""Connectors side by side, as the stream tells them; beside the list everything about the one under the cursor.

`t` tries other rules of routing on past decisions, which changes nothing. Not here: one connector's hour (`tui.screens.connector`), what is
said (`tui.views.connectors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll

from tui import paint
from tui.acts import Subject
from tui.keys import Key, view_keys
from tui.paint import Words
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty
from tui.views import connectors as listed
from tui.views.table import hung, member, said, whole, words_of
from tui.what_if import WhatIf
from tui.widgets.vlist import VList

PANE_EDGES: Final = 3

WHAT_IF: Final = Key(
    keys="t", shown="t", action="what_if", short="what if", about="other routing rules on past payments; changes nothing", where="pane"
)


class ConnectorsView(View):
    """See the module."""

    OWN_KEYS: ClassVar[tuple[Key, ...]] = (WHAT_IF,)
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)
    FIELDS: ClassVar[tuple[str, ...]] = ()

    def body(self) -> ComposeResult:
        yield Words(id="rules", classes="strip")
        with Horizontal(classes="panes"):
            yield VList(listed.LIST, key=listed.key, problem=listed.is_problem, id="rows")
            with VerticalScroll(classes="side"):
                yield Words(id="beside")

    async def load(self) -> None:
        """The rules in force; everything else comes with the stream."""
        words = self.query_one("#rules", Words)
        found = await self.ask(words, "routing")
        if found is not None:
            words.say(rules_line(found))

    def repaint(self, dirty: Dirty) -> None:
        if dirty & {"connectors", "overview", "all"}:
            self.show_rows()
        if any(key.startswith("routing:") and not key.startswith("routing:pay_") for key in dirty):
            self.reload()

    def tick(self) -> None:
        self.show_rows()

    def show_rows(self) -> None:
        """The list, and what stands beside it."""
        state = self.console.state
        vlist = self.query_one("#rows", VList)
        why = "No connector matches. Clear: esc" if self.place.filter else "No connector is switched on: see config/connectors.toml."
        vlist.empty = paint.line((why if state.meta else "waiting for the snapshot", "dim"))
        vlist.show(listed.rows(state.connectors.values(), self.now(), whole(member(state.overview, "tiles", "authorize"), "slo_ms")))
        self.moved(vlist.current)

    def moved(self, row: Mapping[str, Any] | None) -> None:
        words = self.query_one("#beside", Words)
        room = max(20, words.size.width or 44)
        words.say(*hung(listed.beside(row or {}, self.now()), room))

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.open(Place("connector", said(row, "name")))

    def action_what_if(self) -> None:
        row = self.current()
        self.console.act(WhatIf(self.console).ask(None if row is None else said(row, "name")))

    def subject(self) -> Subject | None:
        row = self.current()
        if row is None:
            return None
        name = said(row, "name")
        return Subject(id=name, kind="connector", title=name, actions=listed.actions(row, self.console.state.meta))

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current()
        return [] if row is None else [("connector", said(row, "name")), ("command that opens it", f":conn {said(row, 'name')}")]

    def export_data(self) -> Any:
        return {"connectors": list(self.console.state.connectors.values())}


def rules_line(found: Mapping[str, Any]) -> paint.Line:
    """The rules in force in one line, with what is doubtful about them."""
    book = member(found, "book")
    order = f" {paint.glyph('arrow')} ".join(words_of(book, "default"))
    rules = member(book, "rules")
    count = len(rules) if isinstance(rules, list) else 0
    line = paint.line(("routing ", "dim"), (said(found, "version")[:16], "accent"), ("  default ", "dim"), order)
    line += paint.line((f"  {count} rules" if count != 1 else "  1 rule", "dim"))
    if since := said(found, "since"):
        line += paint.line((f"  since {paint.moment(since, day=True)[:16]}Z by {said(found, 'by').removeprefix('operator:')}", "dim"))
    doubts = words_of(found, "doubts")
    return line + paint.line((f"  {len(doubts)} doubts: {doubts[0]}" if doubts else "", "warn"))
