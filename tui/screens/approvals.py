"""The inbox of acts, in its parts: mine to approve, waiting for others, done; and one act, with its plan as proposed and as it is now.

Approving goes through the plan's dialog, with what one types to confirm, as proposing does. Not here: what is said
(`tui.views.approvals`), and sending it (`tui.acting`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, VerticalScroll

from tui import paint
from tui.acts import Subject
from tui.keys import Key, view_keys
from tui.paint import Line, Words
from tui.places import Place
from tui.screens.asked import AskedView
from tui.screens.dead_letters import beside
from tui.screens.page import PageView
from tui.store import Dirty
from tui.views import approvals as acts
from tui.views import asking
from tui.views.table import rows_of, said
from tui.widgets.vlist import Column, VList

LOOKED_AT_MOST: Final = 8
"""Acts of which the plan is made anew for the inbox: those that expire first. Each is a dry run on the server."""
DONE_MOST: Final = 50
"""Acts that are not open any more; a filter finds older ones."""


class ApprovalsView(AskedView):
    """See the module."""

    WORDS = acts.ACT_WORDS
    FIELDS: ClassVar[tuple[str, ...]] = tuple(sorted(WORDS.names))
    WATCHES: ClassVar[tuple[str, ...]] = ("action:", "approvals")

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.acts: list[Mapping[str, Any]] = []
        self._changed: dict[str, tuple[Any, bool | None]] = {}

    def body(self) -> ComposeResult:
        yield Words(id="above", classes="strip")
        with Horizontal(classes="panes"):
            yield VList(
                self._columns(),
                key=lambda row: said(row, "id"),
                problem=acts.is_problem,
                across=acts.heading_of,
                empty=self.empty(),
                id="rows",
            )
            with VerticalScroll(classes="side"):
                yield Words(id="detail")

    def _columns(self) -> tuple[Column, ...]:
        now = self.console.clock.now
        return (
            Column("verb", "what", 18, acts.verb),
            Column("subject", "subject", 12, lambda row: paint.line((paint.middle(row.get("subject"), 34), "accent")), grow=True),
            Column("amount", "amount", 14, acts.amount, align="right", least=84),
            Column("state", "state", 11, acts.state),
            Column("who", "asked by", 9, acts.who, least=60),
            Column("age", "age", 6, lambda row: acts.age(row, now()), align="right", least=110),
            Column("expires", "left", 8, lambda row: acts.expires(row, now()), align="right", least=50),
            Column("changed", "plan", 10, acts.changed, least=70),
        )

    def empty(self) -> Line:
        return asking.nothing(self.place.filter, "acts", "Nobody has asked for anything yet.")

    async def load(self) -> None:
        if self.asked.query:
            found = await self.ask(None, "actions", {**self.asked.query, "limit": DONE_MOST})
            pages = [found]
        else:
            pages = list(
                await asyncio.gather(
                    self.ask(None, "actions", {"open": "true", "limit": self.console.page}),
                    self.ask(None, "actions", {"review": "due", "limit": DONE_MOST}),
                    self.ask(None, "actions", {"limit": DONE_MOST}),
                )
            )
        if all(one is None for one in pages):
            return
        self.acts = [act for one in pages if one is not None for act in rows_of(one, "data")]
        self.show_inbox()
        await self._look_anew()
        self.show_inbox()

    async def _look_anew(self) -> None:
        """Whether the plans that wait for me are still what was proposed."""
        known = {said(act, "id"): act for act in self.acts}
        wanted = [id for id in acts.waits(list(known.values())) if self._changed.get(id, (None, None))[0] != known[id].get("version")]
        pages = await asyncio.gather(*(self.ask(None, f"actions/{id}") for id in wanted[:LOOKED_AT_MOST]))
        for one in pages:
            if one is not None:
                found = one.get("changed")
                self._changed[said(one, "id")] = (one.get("version"), found if isinstance(found, bool) else None)

    def show_inbox(self) -> None:
        """All parts; the cursor goes to the first act."""
        vlist = self.query_one("#rows", VList)
        rows = acts.inbox(self.acts, {id: found for id, (_, found) in self._changed.items()}) if self.acts else []
        first = not vlist.rows
        vlist.show(rows)
        if first and len(rows) > 1:
            vlist.move(next((at for at, row in enumerate(rows) if "heading" not in row), 0))
        self._say()

    def tick(self) -> None:
        self._say()

    def _say(self) -> None:
        vlist = self.query_one("#rows", VList)
        filtered = asking.above(self.place.filter, self.asked, "enter: the whole act   a: approve, reject, halt, review")
        self.query_one("#above", Words).say(paint.join([acts.waiting(vlist.rows), filtered], "   "))
        self.moved(vlist.current)

    def repaint(self, dirty: Dirty) -> None:
        self.query_one("#rows", VList).refresh()

    def moved(self, row: Mapping[str, Any] | None) -> None:
        beside(self, acts.short(row or {}))

    def opened(self, row: Mapping[str, Any]) -> None:
        if "heading" not in row:
            self.console.open(Place("action", said(row, "id")))

    def subject(self) -> Subject | None:
        return acts.of_act(self.current() or {})

    def card(self) -> Sequence[Line]:
        rows = self.query_one("#rows", VList).rows
        mine = [row for row in rows if acts.is_problem(row)]
        told = [paint.join([acts.verb(row), paint.line((said(row, "subject"), "accent")), acts.amount(row)]) for row in mine[:6]]
        return [acts.waiting(rows), *told] if rows else super().card()

    def copies(self) -> Sequence[tuple[str, str]]:
        row = self.current() or {}
        return [
            (label, said(row, name)) for label, name in (("act id", "id"), ("subject", "subject"), ("plan hash", "hash")) if row.get(name)
        ]

    def export_data(self) -> Any:
        return {"actions": list(self.acts)}

    def twin(self) -> str:
        query = " ".join(f"--{name} {value}" for name, value in self.asked.query.items())
        return " ".join(part for part in ("payorch ops actions", query, "--json") if part)


class ActView(PageView):
    """One act."""

    OWN_KEYS: ClassVar[tuple[Key, ...]] = (
        Key(
            keys="p",
            shown="p",
            action="subject",
            short="its subject",
            about="what it is about: the payment, connector or day",
            where="pane",
        ),
    )
    BINDINGS: ClassVar[list[BindingType]] = view_keys(*OWN_KEYS)

    async def load(self) -> None:
        await self.fetch(f"actions/{self.place.id}")

    def repaint(self, dirty: Dirty) -> None:
        """What is asked again: the act where it moved, and while it waits its plan, where its subject moved."""
        subject = said(self.data, "subject")
        if f"action:{self.place.id}" in dirty or (subject and any(key.partition(":")[2] == subject for key in dirty)):
            self.reload()

    def lines(self, cells: int) -> Sequence[Line]:
        return acts.page(self.data, self.console.clock.now(), cells)

    def action_subject(self) -> None:
        place = acts.place_of(said(self.data, "action"), said(self.data, "subject"))
        if place is None:
            paint.toast(self.console, paint.line("there is no screen about what this act is about"))
        else:
            self.console.open(Place(*place))

    def subject(self) -> Subject | None:
        return acts.of_act(self.data)

    def copies(self) -> Sequence[tuple[str, str]]:
        named = (("act id", "id"), ("subject", "subject"), ("plan hash", "hash"), ("reason", "reason"))
        return [(label, said(self.data, name)) for label, name in named if self.data.get(name)]

    def crumbs(self) -> tuple[str, ...]:
        return ("Approvals", paint.middle(self.place.id, 16))
