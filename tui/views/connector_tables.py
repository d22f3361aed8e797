"""The tables of a connector's page: its breakers, how calls went wrong, changes of breakers, and decisions of routing for and against it.

Not here: the head and the charts (`tui.views.connectors`), the screen.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from tui import paint
from tui.paint import Line, Piece, Tone
from tui.views.connectors import count, mode, operations, share
from tui.views.table import Data, fields, rows_of, said, table_of, whole
from tui.widgets.rows import Column

TRANSITIONS_MOST: Final = 10
DECISIONS_MOST: Final = 50

TABS: Final = (("breakers", "Breakers"), ("errors", "Errors"), ("transitions", "Transitions"), ("decisions", "Decisions"))


# --- rows ------------------------------------------------------------------------------------------------------------------------------


def rows(tab: str, connector: Data, now: datetime) -> list[dict[str, Any]]:
    """The rows of that table, each with a key of its own."""
    match tab:
        case "breakers":
            found = [_breaker(name, table_of(connector, "circuits", name), now) for name in operations(connector)]
        case "errors":
            found = [{**one, "key": f"{said(one, 'class')}/{said(one, 'code')}"} for one in rows_of(connector, "errors")]
        case "transitions":
            found = [
                {**one, "key": f"{said(one, 'at')}/{said(one, 'operation')}/{said(one, 'to')}"}
                for one in rows_of(connector, "transitions")[:TRANSITIONS_MOST]
            ]
        case _:
            name = said(connector, "name")
            found = [
                {**one, "name": name, "key": f"{said(one, 'at')}/{said(one, 'payment_id')}"}
                for one in rows_of(connector, "decisions")[:DECISIONS_MOST]
            ]
    seen: dict[str, int] = {}
    for one in found:
        seen[one["key"]] = number = seen.get(one["key"], 0) + 1
        one["key"] = f"{one['key']}#{number}"
    return found


def _breaker(name: str, circuit: Data, now: datetime) -> dict[str, Any]:
    return {**circuit, "key": name, "operation": name, "state": mode(circuit.get("mode"), circuit.get("until"), now)}


def titles(connector: Data) -> list[tuple[str, str]]:
    """The names of the tables, with how many rows each has."""
    counts = {"errors": len(rows_of(connector, "errors")), "transitions": len(rows_of(connector, "transitions")[:TRANSITIONS_MOST])}
    counts["decisions"] = len(rows_of(connector, "decisions")[:DECISIONS_MOST])
    return [(name, title + (f" {counts[name]}" if counts.get(name) else "")) for name, title in TABS]


def nothing(tab: str, connector: Data) -> Line:
    """Why a table is empty."""
    texts = {
        "breakers": "The server tells of no breakers here.",
        "errors": "No call of the last hour went wrong, and none was declined.",
        "transitions": "No breaker of it has changed as far back as the journal was read.",
        "decisions": "No decision of routing names it yet.",
    }
    return paint.line((texts[tab] if connector else "asking the server", "dim"))


# --- columns ---------------------------------------------------------------------------------------------------------------------------


def _text(name: str, tone: Tone = "") -> Any:
    return lambda row: paint.line(Piece(said(row, name), tone, 300) if said(row, name) else Piece(paint.glyph("none"), "dim"))


def _time(name: str) -> Any:
    return lambda row: paint.line((paint.moment(row.get(name))[:8], "dim"))


def _day(row: Data) -> Line:
    return paint.line((paint.moment(row.get("at"), day=True)[5:19], "dim"))


def _until(row: Data) -> Line:
    """The next probe of an open breaker, or the end of an operator's word."""
    if not row.get("until"):
        return paint.line((paint.glyph("none"), "dim"))
    word = "probe " if said(row, "mode") == "open" else "ends "
    return paint.line((word, "dim"), paint.moment(row.get("until"))[:8])


def _failed(row: Data) -> Line:
    failures, calls = whole(row, "failures"), whole(row, "calls")
    return paint.line((paint.count(failures), "bad" if failures else ""), (" of ", "dim"), paint.count(calls))


def _move(row: Data) -> Line:
    """closed → open"""
    before, after = row.get("from"), row.get("to")
    came = paint.line((str(before).replace("_", " "), "") if before else (paint.glyph("none"), "dim"))
    tone = paint.state_tone(after)
    return came + paint.line((f" {paint.glyph('arrow')} ", "dim"), (str(after).replace("_", " "), tone))


def _verdict(row: Data) -> Line:
    """For it, at which place, or against it."""
    position = whole(row, "position")
    if said(row, "chosen") and said(row, "chosen") == said(row, "name"):
        return paint.line((f"{paint.glyph('good')} for: first", "good"))
    if position is not None:
        return paint.line((f"{paint.glyph('info')} for: place {position}", "info"))
    if row.get("excluded"):
        return paint.line((f"{paint.glyph('bad')} against", "bad"))
    return paint.line((f"{paint.glyph('dim')} not asked", "dim"))


def _why(row: Data) -> Line:
    if row.get("excluded"):
        return paint.line(Piece(said(row, "excluded"), "", 300))
    chosen = said(row, "chosen")
    return paint.line(("went to ", "dim"), Piece(chosen, "", 60)) if chosen else paint.line(("nobody could take it", "warn"))


def _payment(row: Data) -> Line:
    identity = said(row, "payment_id")
    return paint.line((paint.middle(identity, 19), "accent") if identity else (paint.glyph("none"), "dim"))


COLUMNS: Final[dict[str, tuple[Column, ...]]] = {
    "breakers": (
        Column("operation", "breaker", 10, _text("operation", "strong")),
        Column("state", "state", 17, lambda row: row["state"]),
        Column("failed", "failed", 10, _failed, align="right"),
        Column("slow", "slow", 5, count("slow", "warn"), align="right", least=90),
        Column("in_a_row", "row", 4, count("failures_in_a_row", "bad"), align="right", least=90),
        Column("since", "since", 8, _time("since")),
        Column("until", "next", 14, _until, least=72),
        Column("code", "last code", 14, _text("code"), least=110),
        Column("reason", "why", 8, _text("reason"), grow=True),
        Column("by", "by", 10, _text("by", "dim"), least=96),
    ),
    "errors": (
        Column("class", "class", 18, _text("class", "bad"), sort=lambda row: said(row, "class")),
        Column("code", "code", 12, _text("code"), grow=True),
        Column("count", "count", 6, count("count"), align="right", sort=lambda row: whole(row, "count")),
        Column("share", "share", 14, share, least=90),
        Column("payment", "sample payment", 19, _payment),
        Column("last_at", "last", 8, _time("last_at"), align="right", least=64, sort=lambda row: row.get("last_at")),
    ),
    "transitions": (
        Column("at", "time UTC", 14, _day),
        Column("operation", "breaker", 10, _text("operation", "strong")),
        Column("move", "change", 22, _move),
        Column("reason", "why", 12, _text("reason"), grow=True),
        Column("by", "by", 12, _text("by", "dim"), least=80),
        Column("cause", "cause", 18, _text("cause", "dim"), least=120),
    ),
    "decisions": (
        Column("at", "time UTC", 14, _day),
        Column("payment", "payment", 19, _payment),
        Column("verdict", "this connector", 15, _verdict),
        Column("why", "why", 12, _why, grow=True),
    ),
}
"""By the name of the table."""


# --- as text ---------------------------------------------------------------------------------------------------------------------------

_FIELDS: Final = (
    ("since", "since"),
    ("until", "until"),
    ("at", "at"),
    ("from", "from"),
    ("to", "to"),
    ("reason", "why"),
    ("code", "last code"),
    ("calls", "calls"),
    ("failures", "failed"),
    ("slow", "slow"),
    ("failures_in_a_row", "in a row"),
    ("by", "by"),
    ("cause", "cause"),
)


def detail(row: Data) -> list[Line]:
    """Everything about one breaker, or about one change of it."""
    state = [row["state"]] if isinstance(row.get("state"), tuple) else []
    return [*state, *fields(row, _FIELDS)]


def text(connector: Data, now: datetime) -> str:
    """All of the tables, for an export."""
    lines: list[str] = []
    for name, title in TABS:
        lines += ["", title]
        found = rows(name, connector, now)
        lines += ["  ".join(paint.plain(column.draw(row)).strip() for column in COLUMNS[name]) for row in found] or ["none"]
    return "\n".join(lines) + "\n"
