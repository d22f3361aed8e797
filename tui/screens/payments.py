"""Payments of all merchants: filtered by the server as far as it can, loaded page by page, and kept up to date by the stream.

Rows change where they stand: nothing is sorted or moved under the cursor, and a row that does not match the filter any more stays until
somebody asks again (`r`). New payments are counted; while the cursor is on the first row and nothing is frozen, they come by themselves.

Not here: what a filter asks and what a row shows (`tui.views.payment_list`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult

from tui import paint
from tui.acts import Subject
from tui.filters import Filter, Unclear
from tui.paint import Words
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty
from tui.views import payment_list as listed
from tui.views.table import said
from tui.widgets.vlist import Column, VList

_NOTHING: Final = listed.Question(query={}, here=Filter())
CREATED: Final = "PaymentCreated"
COLUMNS: Final = (
    Column("id", "payment", 19, lambda row: paint.line((paint.middle(row.get("id"), 19), "accent")), sort=lambda row: said(row, "id")),
    Column("state", "state", 20, lambda row: paint.state(row.get("state")), sort=lambda row: said(row, "state")),
    Column("held", "held", 6, listed.held, least=72),
    Column("amount", "amount", 16, listed.amount, align="right", sort=listed.amount_rank),
    Column("moved", "moved", 19, listed.moved, align="right", least=132),
    Column("connector", "connector", 10, lambda row: listed.words(row, "connector"), least=100, sort=lambda row: row.get("connector")),
    Column("merchant", "merchant", 12, lambda row: listed.words(row, "merchant"), least=110, sort=lambda row: said(row, "merchant")),
    Column("reference", "reference", 6, lambda row: listed.words(row, "reference"), grow=True, sort=lambda row: row.get("reference")),
    Column("psp_reference", "psp ref", 20, lambda row: listed.words(row, "psp_reference", "dim"), least=160),
    Column("created_at", "created UTC", 12, listed.created, align="right", least=92, sort=lambda row: row.get("created_at")),
    Column("updated_at", "updated", 8, listed.updated, align="right", least=124, sort=lambda row: row.get("updated_at")),
)


class PaymentsView(View):
    """See the module."""

    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(listed.NAMES))

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self._asked = _NOTHING
        self._waiting: dict[str, Mapping[str, Any]] = {}
        self._new: set[str] = set()

    def body(self) -> ComposeResult:
        yield Words(id="above", classes="strip")
        yield VList(COLUMNS, key=lambda row: said(row, "id"), problem=listed.is_problem, empty=listed.nothing(""), id="rows")

    @property
    def rows(self) -> VList:
        """The list."""
        return self.query_one("#rows", VList)

    async def load(self) -> None:
        self._new.clear()
        if await self.rows_of("#rows", "payments", self._asked.query):
            self._waiting.clear()
        self.say_counts()

    # --- live ---------------------------------------------------------------------------------------------------------------------------

    def repaint(self, dirty: Dirty) -> None:
        """What the stream says of payments in the list, and how many new ones there are."""
        touched = {key.removeprefix("payment:") for key in dirty if key.startswith("payment:")}
        if touched:
            for event in self.console.state.live:  # once over all of them: a busy second touches hundreds of payments
                identity = said(event, "subject_id")
                if identity in touched:
                    self._touch(identity, self.rows.find(identity), event)
            self._patch()
        self.say_counts()

    def _touch(self, identity: str, row: Mapping[str, Any] | None, event: Mapping[str, Any]) -> None:
        if row is not None:
            new = listed.patched(self._waiting.get(identity, row), event)
            if new is not None:
                self._waiting[identity] = new
        elif event.get("event") == CREATED or event.get("sequence") == 1:
            self._new.add(identity)

    def _patch(self) -> None:
        if self.rows.frozen:
            return
        self.rows.patch(self._waiting)
        self._waiting.clear()
        if self._new and self.rows.cursor == 0 and not self.rows.marks:
            self.reload()

    def tick(self) -> None:
        self.say_counts()

    def say_counts(self) -> None:
        """The line above: what is filtered by, how many there are, how many are held back."""
        waiting = len(self._waiting) if self.rows.frozen else 0
        parts = [listed.above(self._asked, self.place.filter), self.rows.counts()]
        if waiting:
            parts.append(paint.line((f"{waiting} changes held: space follows again", "warn")))
        if self._new:
            parts.append(paint.line((f"+{len(self._new)} new: r shows them", "key")))
        self.query_one("#above", Words).say(paint.join(parts, "   "))

    # --- what the keys do ---------------------------------------------------------------------------------------------------------------

    def _set_filter(self, text: str) -> bool:
        try:
            asked = listed.question(text, self.console.clock.now())
        except Unclear as unclear:
            self.notice(paint.line((f"/{text}: {unclear}", "warn")))
            return False
        self.notice()
        self._asked = asked
        self.place = Place(self.place.screen, self.place.id, text)
        self.rows.empty = listed.nothing(text)
        self.rows.keep(asked.keeps if asked.here else None)
        return True

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.open(Place("payment", said(row, "id")))

    def moved(self, row: Mapping[str, Any] | None) -> None:
        self._patch()
        self.say_counts()

    def subject(self) -> Subject | None:
        row = self.current()
        return None if row is None else Subject(id=said(row, "id"), kind="payment", title=said(row, "id"))

    def copies(self) -> Sequence[tuple[str, str]]:
        chosen = self.rows.marked or [row for row in (self.current(),) if row is not None]
        if not chosen:
            return []
        named = [("payment id", "id"), ("psp reference", "psp_reference"), ("merchant's reference", "reference")]
        one = chosen[0]
        found = [(label, said(one, name)) for label, name in named if one.get(name)] if len(chosen) == 1 else []
        rows = "row" if len(chosen) == 1 else f"{len(chosen)} rows"
        return [
            *found,
            (f"{rows} as TSV", "\n".join(listed.as_row_text(row) for row in chosen)),
            ("command that opens it", f":pay {said(one, 'id')}"),
        ]

    def export_data(self) -> Any:
        return {"filter": self.place.filter, "asked": dict(self._asked.query), "payments": list(self.rows.rows)}
