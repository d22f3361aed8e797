"""The modes as plain lists of real data: each is replaced by a screen of its own, one by one.

Not here: anything that only one subject needs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from textual.app import ComposeResult

from tui import paint
from tui.acts import Subject
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty
from tui.widgets.vlist import Column, VList

CONNECTOR_COLUMNS: Final = (
    Column("name", "connector", 14, lambda row: paint.line((row.get("name"), "strong"))),
    Column("state", "breaker", 16, lambda row: paint.state(row.get("state"))),
    Column("ok", "ok%", 6, lambda row: paint.line(paint.percent(row.get("ok_percent"))), align="right"),
    Column("p50", "p50", 6, lambda row: paint.line(paint.count((row.get("latency") or {}).get("p50_ms"))), align="right"),
    Column("p99", "p99", 7, lambda row: paint.line(paint.count((row.get("latency") or {}).get("p99_ms"))), align="right"),
    Column("unknown", "unknown", 8, lambda row: paint.line((paint.count(row.get("unknown")), "unknown")), align="right", least=80),
    Column("dlq", "dlq", 6, lambda row: paint.line(paint.count(row.get("dead_letters"))), align="right", least=80),
    Column("share", "share", 16, lambda row: paint.bar(row.get("share_percent"), 10), grow=True, least=64),
)


class ConnectorsView(View):
    """Connectors side by side, as the stream tells them."""

    def body(self) -> ComposeResult:
        yield VList(CONNECTOR_COLUMNS, key=lambda row: str(row.get("name")), empty=_nothing("connectors"), id="rows")

    def repaint(self, dirty: Dirty) -> None:
        self.query_one("#rows", VList).show(list(self.console.state.connectors.values()))

    def opened(self, row: Mapping[str, Any]) -> None:
        self.console.open(Place("connector", str(row.get("name"))))

    def subject(self) -> Subject | None:
        row = self.current()
        return None if row is None else Subject(id=str(row["name"]), kind="connector", title=str(row["name"]))


def _nothing(what: str) -> paint.Line:
    return paint.line((f"No {what} match. esc clears the filter, r asks again.", "dim"))
