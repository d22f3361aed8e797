"""What happened to a payment, in one lane: who said what, how long after the one before, and where nothing was heard at all.

    14:21:09.412 second    → attempt 2 authorize sent                                +1 008 ms
    14:21:19.413 second    ? attempt 2 OUTCOME UNKNOWN (read timeout)                10 001 ms
                           ┊ 1m 37s  no events
    14:22:59.020 poller    ↻ status look #3 at second -> 404 no such payment yet         61 ms

Events stand where they happened by their own clock; one that arrived later says so. Not here: the order of events of one moment, which is
the server's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import Final

from tui import paint
from tui.paint import Line, Piece, Tone
from tui.views.payment_parts import attempt_detail
from tui.views.table import Column, Data, Row, Table, cell, fields, labelled, raw, rows_of, said, whole

GAP_SECONDS: Final = 30.0
"""A silence that is shown: longer than any answer that is waited for (the longest timeout of a call is below it), so it is worth a row."""
LATE_SECONDS: Final = 1.0
"""Between happening and arriving. Below it is the network, not a webhook that came late."""
OVER: Final = frozenset({"CAPTURED", "CANCELED", "FAILED"})
"""States in which nothing more is expected: silence after them is not worth a row."""

COLUMNS: Final = (
    Column(name="time UTC", cells=12),
    Column(name="source", cells=10),
    Column(name="event"),
    Column(name="+ / latency", cells=11, align="right"),
)
SIGNS: Final = {
    "api": "arrow",
    "router": "info",
    "psp": "arrow",
    "webhook": "late",
    "poller": "retry",
    "ledger": "full",
    "recon": "differs",
    "people": "approval",
}
NAMED_AS_THEY_ARE: Final = frozenset({"psp", "people"})
"""Sources of which the name says more than the kind."""


def timeline(payment: Data, events: Sequence[Data], now: datetime) -> Table:
    """The lane, with its gaps and days, and the time since the last event where more is expected."""
    return since(lane(payment, events), payment, events, now)


def lane(payment: Data, events: Sequence[Data]) -> Table:
    """What happened, with its gaps and days: all of it that does not change with the time."""
    rows: list[Row] = []
    before: datetime | None = None
    for number, event in enumerate(events):
        at = paint.instant(event.get("at"))
        if at is not None and before is not None:
            rows += _between(number, before, at)
        rows.append(_event(payment, number, event, before))
        before = at or before
    return Table(columns=COLUMNS, rows=tuple(rows), empty=paint.line(("Nothing is known of what happened to it.", "dim")))


def since(made: Table, payment: Data, events: Sequence[Data], now: datetime) -> Table:
    """The lane with how long nothing has been heard, where more is expected."""
    last = next((at for event in reversed(events) if (at := paint.instant(event.get("at"))) is not None), None)
    if last is None or said(payment, "state") in OVER or (silent := (now - last).total_seconds()) < GAP_SECONDS:
        return made
    return replace(made, rows=(*made.rows, _gap("gap:now", silent, "nothing since")))


def _between(number: int, before: datetime, at: datetime) -> list[Row]:
    rows = []
    silent = (at - before).total_seconds()
    if silent >= GAP_SECONDS:
        rows.append(_gap(f"gap:{number}", silent, "no events"))
    if at.date() != before.date():
        rows.append(Row(key=f"day:{number}", cells=(paint.line((f"{at:%Y-%m-%d}", "dim")),), across=True))
    return rows


def _gap(key: str, seconds: float, words: str) -> Row:
    return Row(
        key=key, cells=(paint.EMPTY, paint.EMPTY, paint.line((f"{paint.glyph('gap')} {length(seconds)}  {words}", "dim")), paint.EMPTY)
    )


def length(seconds: float) -> str:
    """A silence in words: 45s, 1m 40s, 2h 05m, 3d 4h."""
    whole_seconds = int(seconds)
    minutes, rest = divmod(whole_seconds, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days}d {hours}h"
    if hours:
        return f"{hours}h {minutes:02d}m"
    return f"{minutes}m {rest:02d}s" if minutes else f"{rest}s"


def _event(payment: Data, number: int, event: Data, before: datetime | None) -> Row:
    problem = event.get("problem") is True
    tone = paint.told(event.get("tone"))
    return Row(
        key=f"{said(event, 'position') or said(event, 'at')}:{number}",
        cells=(cell(paint.moment(event.get("at"))), cell(_source(event), "accent", 40), _text(event, tone), _span(event, before)),
        problem=problem,
        later=partial(detail, payment, event),
        copies=_copies(event),
    )


def _source(event: Data) -> str:
    source = said(event, "source")
    return (said(event, "who") if source in NAMED_AS_THEY_ARE else source) or source


def _text(event: Data, tone: Tone) -> Line:
    sign = paint.glyph(tone if tone != "info" else SIGNS.get(said(event, "source"), "dim"))
    loud: Tone = tone if tone in ("bad", "unknown", "warn") else ""
    parts = [Piece(f"{sign} ", tone), Piece(said(event, "text") or said(event, "event"), loud, 300)]
    at, arrived = paint.instant(event.get("at")), paint.instant(event.get("received_at"))
    if at is not None and arrived is not None and (arrived - at).total_seconds() > LATE_SECONDS:
        # In front, where no cut takes it away: it says that the order on the screen is not the order in which we learned of it.
        parts.insert(1, Piece(f"{paint.glyph('late')} received {paint.moment(event.get('received_at'))[:8]}  ", "warn"))
    return tuple(parts)


def _span(event: Data, before: datetime | None) -> Line:
    latency = whole(event, "latency_ms")
    if latency is not None:
        return cell(f"{paint.count(latency)} ms")
    at = paint.instant(event.get("at"))
    if before is None or at is None:
        return paint.EMPTY
    passed = round((at - before).total_seconds() * 1000)
    if abs(passed) < 10_000:
        return cell(f"+{paint.count(passed)} ms" if passed >= 0 else f"{passed} ms", "dim")
    return cell(f"+{length(passed / 1000)}" if passed > 0 else f"-{length(-passed / 1000)}", "dim")


# --- the pane beside it ------------------------------------------------------------------------------------------------------------------


def detail(payment: Data, event: Data) -> tuple[Line, ...]:
    """Everything about one event, and the attempt that it is about."""
    lines = [
        (Piece(said(event, "event") or "event", "strong", 80),),
        labelled("at", paint.moment(event.get("at"), day=True)),
        *([labelled("received", paint.moment(event["received_at"], day=True))] if event.get("received_at") else []),
        *fields(
            event,
            (
                ("source", "source"),
                ("who", "who"),
                ("text", "text"),
                ("subject", "subject_id"),
                ("attempt", "attempt_id"),
                ("request", "cause"),
            ),
        ),
        *fields(event, (("sequence", "sequence"), ("position", "position"))),
    ]
    for number, attempt in enumerate(rows_of(payment, "attempts"), start=1):
        if attempt.get("id") == event.get("attempt_id"):
            lines += [paint.EMPTY, *attempt_detail(number, attempt)]
    lines += [*raw("evidence", event.get("evidence")), *raw("details", event.get("details"))]
    return tuple(lines)


def _copies(event: Data) -> tuple[tuple[str, str], ...]:
    named = (("subject id", "subject_id"), ("attempt id", "attempt_id"), ("cause", "cause"), ("text", "text"))
    return tuple((label, said(event, name)) for label, name in named if event.get(name))


__all__ = ["COLUMNS", "GAP_SECONDS", "LATE_SECONDS", "detail", "length", "timeline"]
