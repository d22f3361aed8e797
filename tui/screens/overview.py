"""Everything at a glance: figures, what needs attention, and what happens.

Not here: any one subject.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from textual.app import ComposeResult

from tui import paint
from tui.paint import Line, Words
from tui.places import Place
from tui.screens.base import View
from tui.store import Dirty, position
from tui.widgets.vlist import Column, VList

ATTENTION_COLUMNS: Final = (
    Column("sign", "", 2, lambda row: paint.line((paint.glyph(_tone(row)), _tone(row)))),
    Column("what", "what", 20, lambda row: paint.line(row.get("what")), grow=True),
    Column("count", "count", 6, lambda row: paint.line(paint.count(row.get("count"))), align="right"),
    Column("at_risk", "at risk", 20, lambda row: paint.line(paint.amounts(row.get("at_risk"))), align="right", least=64),
)
LIVE_COLUMNS: Final = (
    Column("at", "time UTC", 12, lambda row: paint.line((paint.moment(row.get("at")), "dim"))),
    Column("kind", "kind", 12, lambda row: paint.line((row.get("kind"), "accent"))),
    Column("sign", "", 1, lambda row: paint.line((paint.glyph(paint.told(row.get("tone"))), paint.told(row.get("tone"))))),
    Column("subject_id", "subject", 18, lambda row: paint.line(paint.middle(row.get("subject_id") or "", 18)), least=80),
    Column("text", "what happened", 20, lambda row: paint.line(row.get("change") or row.get("text") or ""), grow=True),
    Column("actor", "who", 14, lambda row: paint.line((row.get("actor") or "", "dim")), least=100),
)


class OverviewView(View):
    """See the module."""

    def body(self) -> ComposeResult:
        yield Words(id="tiles", classes="strip")
        yield VList(
            ATTENTION_COLUMNS, key=lambda row: str(row.get("what")), empty=paint.line(("Nothing needs attention.", "dim")), id="attention"
        )
        yield Words(id="live-title")
        yield VList(
            LIVE_COLUMNS, key=lambda row: f"{row.get('kind')}{position(row)}", empty=paint.line(("No events yet.", "dim")), id="live"
        )

    def repaint(self, dirty: Dirty) -> None:
        state = self.console.state
        if dirty & {"overview", "all"}:
            self.query_one("#tiles", Words).say(*tiles(state.overview or {}))
            self.query_one("#attention", VList).show((state.overview or {}).get("attention") or [])
        if dirty & {"live", "all"}:
            live = self.query_one("#live", VList)
            live.show(list(reversed(state.live)))
            self.query_one("#live-title", Words).say(paint.rule(paint.line(("Live  ", "strong")) + live.counts(), self.size.width))

    def opened(self, row: Mapping[str, Any]) -> None:
        view = row.get("view")
        if isinstance(view, dict):
            self.console.open(Place(str(view.get("screen")), view.get("id"), str(view.get("filter") or "")))
        elif row.get("kind") == "payment":
            self.console.open(Place("payment", str(row.get("subject_id"))))


def tiles(overview: Mapping[str, Any]) -> list[Line]:
    """The figures in two lines."""
    found = overview.get("tiles") or {}
    rate, unknown = found.get("authorization_rate") or {}, found.get("unknown") or {}
    speed, queues = found.get("authorize") or {}, found.get("queues") or {}
    return [
        paint.join(
            (
                paint.line(("auth rate ", "dim"), (paint.percent(rate.get("percent")), "strong")),
                paint.line(("unknown ", "dim"), (paint.count(unknown.get("count")), "unknown")),
                paint.line(
                    ("authorize p95 ", "dim"),
                    f"platform {paint.count(speed.get('platform_p95_ms'))} ms, PSP {paint.count(speed.get('psp_p95_ms'))} ms",
                ),
            ),
            "   ",
        ),
        paint.line(("queues ", "dim"), "  ".join(f"{name} {paint.count(size)}" for name, size in queues.items())),
    ]


def _tone(row: Mapping[str, Any]) -> paint.Tone:
    severity = row.get("severity")
    return "bad" if severity == "critical" else "warn" if severity == "warning" else "info"
