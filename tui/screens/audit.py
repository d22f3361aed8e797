"""The audit search: who did what to which subject, newest first, and whether the chain of records is whole.

The example of a complete simple screen; see `tui.screens.base` for what each method is for.

Not here: the verification itself (the server, and `payorch audit verify` from outside of it).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll

from tui import paint
from tui.paint import Line, Words
from tui.screens.base import View
from tui.widgets.vlist import Column, VList

COLUMNS: Final = (
    Column("day", "day", 10, lambda row: paint.line((str(row.get("at"))[:10], "dim")), least=80),
    Column("at", "time UTC", 12, lambda row: paint.line((paint.moment(row.get("at")), "dim"))),
    Column("actor", "who", 14, lambda row: paint.line((row.get("actor") or "", "accent"))),
    Column("event", "what", 16, lambda row: paint.line((row.get("event"), "strong"))),
    Column("subject_id", "subject", 18, lambda row: paint.line(paint.middle(row.get("subject_id") or "", 18)), least=100),
    Column("text", "", 20, lambda row: paint.line(row.get("text") or ""), grow=True),
    Column("position", "position", 10, lambda row: paint.line((paint.count(row.get("position")), "dim")), align="right", least=100),
)


class AuditView(View):
    """See the module."""

    FIELDS: ClassVar[tuple[str, ...]] = ("who", "act", "subject", "stream", "connector", "from", "to", "scope", "q")

    def body(self) -> ComposeResult:
        yield Words(id="chain", classes="strip")
        with Horizontal(classes="panes"):
            yield VList(
                COLUMNS,
                key=lambda row: str(row.get("position")),
                problem=lambda row: row.get("event") == "Refused",
                empty=paint.line(("No records match. esc clears the filter; scope:all shows what the platform did by itself.", "dim")),
                id="rows",
            )
            with VerticalScroll(classes="side"):
                yield Words(id="record")

    async def load(self) -> None:
        pane = self.query_one("#chain", Words)
        found = await self.ask(pane, "audit/verification")
        if found is not None:
            pane.say(chain(found))
        await self.rows_of("#rows", "audit", self.filter.query(self.FIELDS))

    def moved(self, row: Mapping[str, Any] | None) -> None:
        self.query_one("#record", Words).say(*record(row or {}))


def chain(found: Mapping[str, Any]) -> Line:
    """`chain whole to #88 213, checked 14:30Z`, or exactly where it breaks."""
    state, head = found.get("state"), paint.count(found.get("head_position"))
    anchors = found.get("anchors") or {}
    checked = f"  checked {paint.moment(found.get('checked_at'))}Z"
    checked += f", {paint.count(anchors.get('count'))} anchors, the last at {paint.moment(anchors.get('last_at'))}Z"
    if state == "whole":
        return paint.line((f"{paint.glyph('good')} chain whole", "good"), f" to #{head}", (checked, "dim"))
    if state == "broken":
        where = f" at #{paint.count(found.get('position'))}: {found.get('fault')} {found.get('detail') or ''}"
        return paint.line((f"{paint.glyph('bad')} CHAIN BROKEN", "bad"), where, (checked, "dim"))
    return paint.line((f"{paint.glyph('unknown')} chain not checked yet", "unknown"), (checked, "dim"))


def record(row: Mapping[str, Any]) -> list[Line]:
    """One record in full: the side pane."""
    lines = [
        paint.line((f"{name:<11}", "dim"), str(row[name]))
        for name in ("position", "stream", "sequence", "subject_id", "actor", "cause", "hash")
        if row.get(name) is not None
    ]
    if isinstance(row.get("body"), dict):
        lines.extend(paint.paragraphs(json.dumps(row["body"], indent=1, ensure_ascii=False)))
    return lines
