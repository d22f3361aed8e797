"""The audit search: who did what to which subject, newest first, and whether the chain of records is whole.

Not here: what is said (`tui.views.audit`), and the verification itself (the server, and `payorch audit verify` from outside of it).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll

from tui import paint
from tui.api import Problem
from tui.keys import Key, view_keys
from tui.paint import Line, Words
from tui.places import Place
from tui.problems import told
from tui.screens.asked import AskedView
from tui.screens.dead_letters import beside, counted
from tui.store import Dirty
from tui.views import asking
from tui.views import audit as records
from tui.views.table import hung, said
from tui.widgets.modal import Reading
from tui.widgets.vlist import Column, Part, VList

COLUMNS: Final = (
    Column("at", "time UTC", 14, records.at),
    Column("actor", "who", 14, lambda row: paint.line((said(row, "actor"), "accent"))),
    Column("event", "what", 16, records.event),
    Column("subject_id", "subject", 18, lambda row: paint.line(paint.middle(said(row, "subject_id"), 18)), least=110),
    Column("text", "", 10, lambda row: paint.line(said(row, "text")), grow=True, least=50),
    Column("position", "position", 10, lambda row: paint.line((paint.count(row.get("position")), "dim")), align="right", least=110),
)


class AuditView(AskedView):
    """See the module."""

    WORDS = records.AUDIT_WORDS
    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(WORDS.names))
    OWN_KEYS: ClassVar[tuple[Key, ...]] = (
        Key(
            keys="p", shown="p", action="subject", short="its subject", about="the payment, act or dead letter of this record", where="pane"
        ),
    )
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)
    WATCHES: ClassVar[tuple[str, ...]] = ("audit:",)

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.verification: Mapping[str, Any] = {}
        self._searched: Line = paint.EMPTY
        self._new = 0

    def body(self) -> ComposeResult:
        yield Words(id="chain", classes="strip")
        yield Words(id="above", classes="strip")
        with Horizontal(classes="panes"):
            yield VList(
                COLUMNS,
                key=lambda row: said(row, "position"),
                problem=records.is_problem,
                empty=self.empty(),
                id="rows",
            )
            with VerticalScroll(classes="side"):
                yield Words(id="detail")

    def empty(self) -> Line:
        return records.nothing(self.place.filter)

    async def load(self) -> None:
        self._new = 0
        pane = self.query_one("#chain", Words)
        found = await self.ask(pane, "audit/verification")
        if found is not None:
            self.verification = found
        await self._records()
        self._say()

    async def _records(self) -> None:
        query = dict(self.asked.query)

        async def fetch(cursor: str | None) -> Part:
            page = await self.console.source.get("audit", {**query, "limit": self.console.page, "cursor": cursor})
            self._searched = records.searched(page)
            return Part.of(page)

        try:
            await self.query_one("#rows", VList).feed(fetch)
            self.notice()
        except Problem as problem:
            self.notice(*told("audit", problem))

    def repaint(self, dirty: Dirty) -> None:
        """What people did since: counted, and shown when somebody asks, so that a search does not move under the eyes."""
        self._new += sum(key.startswith(("action:", "refusal:", "identity:")) for key in dirty)

    def tick(self) -> None:
        self._say()

    def _say(self) -> None:
        vlist = self.query_one("#rows", VList)
        if self.verification:
            self.query_one("#chain", Words).say(records.chain(self.verification, self.console.clock.now()))
        new = paint.line((f"+{self._new} new: r shows them", "key")) if self._new else paint.EMPTY
        filtered = asking.above(self.place.filter, self.asked, 'what people did   /who:ana act:Approved since:2d "INC-4412"')
        self.query_one("#above", Words).say(paint.join([filtered, counted(vlist, "records"), self._searched, new], "   "))
        self.moved(vlist.current)

    def moved(self, row: Mapping[str, Any] | None) -> None:
        beside(self, records.short(row or {}))

    def opened(self, row: Mapping[str, Any]) -> None:
        lines = hung(records.short(row), min(90, max(30, self.size.width - 10)))
        self.console.push_screen(Reading(paint.line((f" record #{said(row, 'position')} ", "info")), lines))

    def action_subject(self) -> None:
        place = records.place_of(self.current() or {})
        if place is None:
            paint.toast(self.console, paint.line("there is no screen about what this record is about"))
        else:
            self.console.open(Place(*place))

    def copies(self) -> Sequence[tuple[str, str]]:
        vlist = self.query_one("#rows", VList)
        chosen = vlist.marked or [row for row in (vlist.current,) if row is not None]
        if not chosen:
            return []
        one = chosen[0]
        named = (("subject", "subject_id"), ("cause", "cause"), ("hash", "hash"), ("who", "actor"))
        found = [(label, said(one, name)) for label, name in named if one.get(name)] if len(chosen) == 1 else []
        rows = "record" if len(chosen) == 1 else f"{len(chosen)} records"
        return [*found, (f"{rows} as TSV", "\n".join(records.as_row_text(row) for row in chosen))]

    def export_data(self) -> Any:
        rows = list(self.query_one("#rows", VList).rows)
        return {"search": self.place.filter, "asked": dict(self.asked.query), "verification": self.verification, "records": rows}

    def export_text(self) -> str:
        return "\n".join(records.as_text(row) for row in self.query_one("#rows", VList).rows)

    def twin(self) -> str:
        query = " ".join(f"--{name} {value!r}" if " " in value else f"--{name} {value}" for name, value in self.asked.query.items())
        return " ".join(part for part in ("payorch ops audit", query, "--json") if part)
