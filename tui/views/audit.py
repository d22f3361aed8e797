"""Audit records as data: what a search asks, rows, one record in full, and whether the chain of records is whole.

    who:ana act:Approved since:2d psp:NAME "INC-4412"

Not here: the verification itself (the server, and `payorch audit verify` from outside of it).
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from tui import paint
from tui.paint import Line, Piece, Tone
from tui.views.asking import Words
from tui.views.table import Data, body, fields, heading, labelled, said, table_of, whole

AUDIT_WORDS: Final = Words(
    names={
        **{name: name for name in ("who", "act", "subject", "stream", "connector", "from", "to", "scope", "q")},
        "event": "act",
        "since": "from",
        "until": "to",
        "psp": "connector",
    },
    times=frozenset({"from", "to"}),
)
BAD: Final = frozenset({"Refused", "ActRefused", "ActFailed", "ActHalted", "BadTestimony"})
"""Records that people look for with `n`: somebody was refused something, or it did not end well."""
HASH_CELLS: Final = 16
"""As much of a hash as two people compare by eye."""


def is_problem(row: Data) -> bool:
    """Whether somebody was refused something, or it did not end well."""
    return said(row, "event") in BAD


def event(row: Data) -> Line:
    """What happened, by the journal's name of it."""
    return paint.line((said(row, "event"), "bad" if is_problem(row) else "strong"))


def at(row: Data) -> Line:
    """When, with the day: 10-16 14:21:07."""
    return paint.line((paint.moment(row.get("at"), day=True)[5:19] or paint.glyph("none"), "dim"))


def chain(found: Data, now: datetime) -> Line:
    """`chain ok to #88 213, checked 14:30:00Z (02:55 ago), anchors 412, last 14:30:00Z`, or exactly where it breaks."""
    anchors = table_of(found, "anchors")
    checked_at = found.get("checked_at")
    checked = f", checked {_clock(checked_at)} ({paint.age(checked_at, now)} ago)" if checked_at else ", not checked since the start"
    where = f", anchors {paint.count(whole(anchors, 'count'))}, last {_clock(anchors.get('last_at'))}"
    if not said(anchors, "where"):
        where = ", anchored nowhere: nothing outside the database proves it"
    rest = (checked, "dim"), (where, "dim" if said(anchors, "where") else "warn")
    state, head = said(found, "state"), paint.count(whole(found, "head_position"))
    if state == "whole":
        return paint.line((f"{paint.glyph('good')} chain ok", "good"), f" to #{head}", *rest)
    if state == "broken":
        fault = f" at #{paint.count(whole(found, 'position'))}: {said(found, 'fault')} {said(found, 'detail')}"
        return paint.line((f"{paint.glyph('bad')} CHAIN BROKEN", "bad"), (fault, "bad"), *rest)
    walked = f" {paint.count(whole(found, 'records'))} records were good so far" if whole(found, "records") else ""
    return paint.line((f"{paint.glyph('unknown')} chain not walked to its end yet", "unknown"), (walked, "dim"), *rest)


def _clock(moment: object) -> str:
    text = paint.moment(moment)
    return f"{text[:8]}Z" if text != paint.glyph("none") else text


def short(row: Data) -> list[Line]:
    """The record in the pane beside the list."""
    if not row:
        return []
    tone: Tone = "bad" if is_problem(row) else "strong"
    lines = [heading(row.get("event"), tone), (Piece(said(row, "text"), "", 600),), paint.EMPTY]
    lines.append(labelled("at", paint.moment(row.get("at"), day=True)))
    lines += fields(
        row,
        (
            ("who", "actor"),
            ("stream", "stream"),
            ("subject", "subject_id"),
            ("number", "sequence"),
            ("cause", "cause"),
        ),
    )
    lines.append(labelled("position", f"#{paint.count(whole(row, 'position'))}"))
    lines.append(labelled("hash", said(row, "hash")))
    return [*lines, *_body(row)]


def _body(row: Data) -> list[Line]:
    found = row.get("body")
    return [paint.EMPTY, heading("body, redacted"), *body(found)] if found else []


def nothing(typed: str) -> Line:
    """Why the list is empty."""
    if not typed:
        return paint.line("Nobody has done anything yet. scope:all shows what the platform did by itself.")
    return paint.line("No records match ", Piece(typed, "key", 120), ". Clear: esc. scope:all shows what the platform did by itself.")


def searched(page: Data) -> Line:
    """How far back was searched, where that was not to the beginning."""
    to = page.get("searched_to")
    return paint.line((f"searched back to {paint.moment(to, day=True)}; further down goes on", "warn")) if to else paint.EMPTY


def as_row_text(row: Data) -> str:
    """The record as tab-separated values."""
    names = ("position", "at", "actor", "event", "stream", "subject_id", "sequence", "cause", "text", "hash")
    return "\t".join(paint.safe(said(row, name)) for name in names)


def as_text(row: Data) -> str:
    """The record as a line of a report."""
    what = f"{said(row, 'event'):<22} {said(row, 'subject_id')}  {said(row, 'text')}"
    return paint.safe(f"#{said(row, 'position')} {paint.moment(row.get('at'), day=True)} {said(row, 'actor'):<18} {what}", 1_000)


def place_of(row: Data) -> tuple[str, str] | None:
    """The screen about what a record is about, and its id there."""
    identity = said(row, "subject_id")
    rooms = {"pay": "payment", "act": "action", "dlq": "dead_letter"}
    screen = rooms.get(identity.partition("_")[0])
    return None if screen is None else (screen, identity)
