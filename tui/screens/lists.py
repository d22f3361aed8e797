"""The modes as plain lists of real data: each is replaced by a screen of its own, one by one.

Not here: anything that only one subject needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from textual.app import ComposeResult

from tui import paint
from tui.screens.base import View
from tui.widgets.vlist import Column, VList

GROUP_COLUMNS: Final = (
    Column("fingerprint", "fingerprint", 20, lambda row: paint.line((row.get("fingerprint"), "strong")), grow=True),
    Column("kind", "kind", 12, lambda row: paint.line(row.get("kind") or "")),
    Column("open", "open", 7, lambda row: paint.line((paint.count(row.get("open")), "bad")), align="right"),
)
DAY_COLUMNS: Final = (
    Column("day", "day", 12, lambda row: paint.line((row.get("day") or row.get("date") or "", "strong"))),
    Column("connector", "connector", 12, lambda row: paint.line(row.get("connector") or "")),
    Column("currency", "currency", 8, lambda row: paint.line(row.get("currency") or "")),
    Column("state", "state", 16, lambda row: paint.state(row.get("state") or row.get("status"))),
)
ACTION_COLUMNS: Final = (
    Column("id", "action", 16, lambda row: paint.line((paint.middle(row.get("id"), 16), "accent"))),
    Column("verb", "what", 24, lambda row: paint.line((row.get("verb") or row.get("action"), "strong"))),
    Column("subject", "subject", 20, lambda row: paint.line(paint.middle(row.get("subject"), 20)), grow=True),
    Column("state", "state", 14, lambda row: paint.state(row.get("state"))),
    Column("who", "asked by", 14, lambda row: paint.line((row.get("requested_by") or {}).get("name") or ""), least=80),
)


class DeadLettersView(View):
    """Dead letters by fingerprint."""

    WATCHES: ClassVar[tuple[str, ...]] = ("dead_letter:",)

    def body(self) -> ComposeResult:
        yield VList(GROUP_COLUMNS, key=lambda row: str(row.get("fingerprint")), empty=_nothing("dead letters"), id="rows")

    async def load(self) -> None:
        await self.rows_of("#rows", "dead-letters", {"group": "fingerprint"})


class ReconciliationView(View):
    """Days of settlement."""

    WATCHES: ClassVar[tuple[str, ...]] = ("reconciliation:",)

    def body(self) -> ComposeResult:
        yield VList(DAY_COLUMNS, key=_day, empty=_nothing("days"), id="rows")

    async def load(self) -> None:
        await self.rows_of("#rows", "reconciliation/days")


class ApprovalsView(View):
    """What waits for a second person."""

    WATCHES: ClassVar[tuple[str, ...]] = ("action:",)

    def body(self) -> ComposeResult:
        yield VList(ACTION_COLUMNS, key=lambda row: str(row.get("id")), empty=_nothing("open actions"), id="rows")

    async def load(self) -> None:
        await self.rows_of("#rows", "actions", {"open": "true"})

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.act(self.console.acting.approve(str(row.get("id"))))


def _day(row: Mapping[str, Any]) -> str:
    return "/".join(str(row.get(name)) for name in ("day", "date", "connector", "currency"))


def _nothing(what: str) -> paint.Line:
    return paint.line((f"No {what} match. esc clears the filter, r asks again.", "dim"))
