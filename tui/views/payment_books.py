"""A payment's money on paper: the postings of our ledger with what each account has, the lines of settlement reports, and what people did.

Not here: the four opinions in one line (`payment_head`).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from tui import paint
from tui.paint import Line, Piece
from tui.views.payment_head import opinions
from tui.views.table import Column, Data, Row, Table, cell, fields, heading, labelled, raw, remark, rows_of, said, section, table_of, whole

LEDGER_COLUMNS: Final = (
    Column(name="time UTC", cells=12),
    Column(name="debit", cells=22),
    Column(name="credit", cells=22),
    Column(name="amount", cells=17, align="right"),
    Column(name="event"),
    Column(name="source", cells=10, wide=True),
)


def ledger(payment: Data) -> Table:
    """Each posting, and the balance of each account after all of them; debits and credits cancel out, or it says that they do not."""
    postings = rows_of(payment, "postings")
    rows = [_posting(number, one) for number, one in enumerate(postings)]
    if postings:
        rows += [section("balances", "Balances", "debits less credits"), *_balances(postings)]
    moved = whole(payment, "amount_captured")
    empty = (
        "No posting: our ledger says that no money moved." if not moved else "No posting, although money was captured: run the books check."
    )
    return Table(columns=LEDGER_COLUMNS, rows=tuple(rows), empty=paint.line((empty, "dim" if not moved else "bad")))


def _posting(number: int, one: Data) -> Row:
    cells = (
        cell(paint.moment(one.get("at"))),
        cell(one.get("debit"), longest=80),
        cell(one.get("credit"), longest=80),
        cell(paint.amount(one.get("amount"))),
        cell(one.get("event"), longest=80),
        cell(one.get("source"), "dim", 40),
    )
    detail = (
        heading("posting"),
        labelled("at", paint.moment(one.get("at"), day=True)),
        *fields(one, (("debit", "debit"), ("credit", "credit"), ("event", "event"), ("source", "source"))),
        labelled("amount", paint.amount(one.get("amount"))),
    )
    return Row(key=f"posting:{number}", cells=cells, detail=detail)


def balances(postings: list[Data]) -> dict[tuple[str, str], int]:
    """(account, currency) -> debits less credits."""
    found: dict[tuple[str, str], int] = {}
    for one in postings:
        amount, currency = whole(one, "amount", "amount"), said(one, "amount", "currency")
        for side, sign in (("debit", 1), ("credit", -1)):
            key = (said(one, side), currency)
            found[key] = found.get(key, 0) + sign * (amount or 0)
    return found


def _balances(postings: list[Data]) -> list[Row]:
    found = balances(postings)
    rows = []
    for number, ((account, currency), balance) in enumerate(sorted(found.items())):
        shown = paint.line((paint.money(balance, currency, sign=True), "" if balance else "dim"))
        rows.append(
            Row(key=f"balance:{number}", cells=(paint.EMPTY, cell(account, "accent", 80), paint.EMPTY, shown, paint.EMPTY, paint.EMPTY))
        )
    return rows


# --- settlement --------------------------------------------------------------------------------------------------------------------------

RECON_COLUMNS: Final = (
    Column(name="day", cells=10),
    Column(name="report", cells=14, wide=True),
    Column(name="line", cells=6, align="right"),
    Column(name="kind"),
    Column(name="state", cells=12),
    Column(name="gross", cells=16, align="right"),
    Column(name="fee", cells=13, align="right", wide=True),
    Column(name="net", cells=16, align="right"),
)


def reconciliation(payment: Data) -> Table:
    """The four opinions with their times, and the lines of reports that book it."""
    lines = rows_of(payment, "settlement_lines")
    found = [Row(key=f"opinion:{number}", cells=(one,), across=True) for number, one in enumerate(opinions(payment))]
    if said(payment, "money", "disagreement"):
        found.append(remark("disagreement", f"{paint.glyph('differs')} {said(payment, 'money', 'disagreement')}", "bad"))
    rows = [section("opinions", "What each says"), *found, section("lines", "Lines of settlement reports")]
    rows += [_line(number, one) for number, one in enumerate(lines)]
    if not lines:
        rows.append(remark("none", _not_reported(payment)))
    return Table(columns=RECON_COLUMNS, rows=tuple(rows), empty=paint.EMPTY)


def _not_reported(payment: Data) -> str:
    status = said(payment, "money", "settlement", "status") or said(payment, "settlement", "status")
    why = {"not_due": "nothing has moved that a report could book", "pending": "it has moved, and no report has booked it yet"}
    return f"No line books it: {why.get(status, status or 'nobody knows')}."


def _line(number: int, one: Data) -> Row:
    bad = said(one, "state") not in ("matched", "evidence")
    cells = (
        cell(one.get("day"), longest=20),
        cell(paint.middle(one.get("report"), 14)),
        cell(one.get("line"), longest=12),
        cell(one.get("kind"), longest=40),
        paint.state(one.get("state")),
        *(cell(paint.amount(one.get(name))) for name in ("gross", "fee", "net")),
    )
    detail = (
        heading("settlement line"),
        *fields(one, (("day", "day"), ("report", "report"), ("line", "line"), ("kind", "kind"), ("state", "state"))),
        *(labelled(name, paint.amount(one.get(name))) for name in ("gross", "fee", "net")),
    )
    copies = (("report and line", f"{said(one, 'report')} {said(one, 'line')}"),)
    return Row(key=f"line:{number}", cells=cells, problem=bad, detail=detail, copies=copies)


# --- what people may do and did ----------------------------------------------------------------------------------------------------------

ACT_COLUMNS: Final = (
    Column(name="action", cells=24),
    Column(name="state", cells=14),
    Column(name="who / people", cells=14),
    Column(name="when", cells=12),
    Column(name="reason"),
)


def acts(payment: Data, now: datetime) -> Table:
    """What may be done to it and why the rest may not, then what was asked for and done."""
    rows = [
        section("may", "May be done", "a opens the menu"),
        *(_may(number, one) for number, one in enumerate(rows_of(payment, "actions"))),
    ]
    done = rows_of(payment, "acts")
    rows.append(section("done", "Asked for and done"))
    rows += [_act(number, one, now) for number, one in enumerate(done)] or [remark("none", "Nobody has asked for anything.")]
    return Table(columns=ACT_COLUMNS, rows=tuple(rows), empty=paint.EMPTY)


def _may(number: int, one: Data) -> Row:
    allowed = one.get("allowed") is True
    cells = (
        cell(one.get("verb"), "" if allowed else "dim", 60),
        paint.line((f"{paint.glyph('check')} allowed", "good")) if allowed else paint.line((f"{paint.glyph('cross')} not now", "dim")),
        cell(people(one.get("people"))),
        paint.EMPTY,
        cell(one.get("why_not"), "warn", 300) if one.get("why_not") else paint.EMPTY,
    )
    detail = (
        heading(one.get("verb")),
        *fields(one, (("action", "action"), ("people", "people"), ("why not", "why_not"), ("open act", "open_action"))),
    )
    return Row(key=f"may:{number}", cells=cells, detail=detail)


def people(number: object) -> str:
    """How many it takes."""
    return {1: "one person", 2: "two people"}.get(number, "") if isinstance(number, int) else ""


def _act(number: int, one: Data, now: datetime) -> Row:
    cells = (
        cell(one.get("verb"), longest=60),
        paint.state(one.get("state")),
        cell(said(one, "requested_by", "name"), "accent", 40),
        cell(f"{paint.age(one.get('requested_at'), now)} ago"),
        cell(one.get("reason"), longest=300),
    )
    return Row(
        key=f"act:{number}:{said(one, 'id')}",
        cells=cells,
        problem=said(one, "state") == "proposed",
        detail=act_detail(one),
        copies=(("id", said(one, "id")),),
    )


def act_detail(one: Data) -> tuple[Line, ...]:
    """Everything about one act: who asked and why, who decided, what it did."""
    lines = [
        (Piece(one.get("verb"), "strong", 60),),
        *fields(one, (("id", "id"), ("action", "action"), ("subject", "subject"), ("state", "state"), ("reason", "reason"))),
        *_somebody("asked by", one, "requested_by", "requested_at"),
        *_somebody(said(one, "decision") or "decided by", one, "decided_by", "decided_at"),
        *fields(one, (("said", "decision_reason"),)),
        *([labelled("glass", "broken: one person did what takes two", "bad")] if one.get("break_glass") is True else []),
        *effects(table_of(one, "plan")),
        *([labelled("result", said(one, "result", "text"))] if one.get("result") else []),
        *raw("parameters", one.get("parameters")),
    ]
    return tuple(lines)


def effects(plan: Data) -> list[Line]:
    """What it changes: before and after."""
    found: list[Line] = []
    for one in rows_of(plan, "effects"):
        arrow = Piece(f" {paint.glyph('arrow')} ", "dim")
        found.append(
            (
                Piece(said(one, "what").ljust(12), "dim", 40),
                Piece(said(one, "before"), longest=100),
                arrow,
                Piece(said(one, "after"), "strong", 100),
            )
        )
    return found


def _somebody(label: str, one: Data, who: str, when: str) -> list[Line]:
    name: Any = said(one, who, "name")
    return [labelled(label, f"{name} at {paint.moment(one.get(when), day=True)}")] if name else []
