"""Whom the router chose for a payment and why, and who was told what: the notices of PSPs, and what was announced to the merchant.

Not here: what came of the attempts (`payment_parts`).
"""

from __future__ import annotations

from typing import Final

from tui import paint
from tui.paint import Line, Piece
from tui.views.table import (
    Column,
    Data,
    Row,
    Table,
    body,
    cell,
    fields,
    heading,
    labelled,
    member,
    remark,
    rows_of,
    said,
    section,
    table_of,
)

ROUTING_COLUMNS: Final = (
    Column(name="place", cells=8),
    Column(name="connector", cells=12),
    Column(name="score", cells=9, align="right"),
    Column(name="parts / reason"),
)


def routing(decisions: list[Data]) -> Table:
    """Each decision with its candidates in order, what their scores are made of, and who was left out and why."""
    rows: list[Row] = []
    for number, one in enumerate(decisions):
        rows += _decision(number, one)
    return Table(
        columns=ROUTING_COLUMNS, rows=tuple(rows), empty=paint.line(("It was not routed yet: nobody has chosen a connector for it.", "dim"))
    )


def _decision(number: int, one: Data) -> list[Row]:
    key = f"decision:{number}"
    rule = f"{said(one, 'rule')}@{said(one, 'version')}"
    head = (
        Piece(f"{paint.moment(one.get('at'))}  rule ", "strong"),
        Piece(rule, "strong", 80),
        Piece(f"  {paint.glyph('arrow')} ", "dim"),
        Piece(said(one, "chosen") or "nobody", "accent" if one.get("chosen") else "bad", 40),
    )
    detail = (
        heading(f"decision {number + 1}"),
        labelled("at", paint.moment(one.get("at"), day=True)),
        labelled("rule", rule),
        *body(dict(one)),
    )
    rows = [Row(key=key, cells=(head,), across=True, detail=detail, problem=not one.get("chosen"))]
    scores = {said(score, "connector"): score for score in rows_of(one, "scores")}
    order = member(one, "order")
    for place, name in enumerate(order if isinstance(order, list) else [], start=1):
        rows.append(_candidate(f"{key}:{place}", place, str(name), scores.get(str(name), {}), str(name) == said(one, "chosen"), detail))
    for place, left in enumerate(rows_of(one, "excluded")):
        rows.append(_excluded(f"{key}:out:{place}", left, detail))
    reasons = member(one, "reasons")
    rows += [
        remark(f"{key}:why:{place}", f"         {reason}") for place, reason in enumerate(reasons if isinstance(reasons, list) else [])
    ]
    return rows


def _candidate(key: str, place: int, name: str, score: Data, chosen: bool, detail: tuple[Line, ...]) -> Row:
    parts = " ".join(f"{part} {_points(value)}" for part, value in table_of(score, "parts").items())
    cells = (
        paint.line((f"{paint.glyph('check') if chosen else ' '} #{place}", "good" if chosen else "")),
        cell(name, "accent", 40),
        cell(_points(score.get("score"))),
        cell(parts, "dim"),
    )
    return Row(key=key, cells=cells, detail=detail, copies=(("connector", name),))


def _excluded(key: str, left: Data, detail: tuple[Line, ...]) -> Row:
    cells = (
        paint.line((f"{paint.glyph('cross')} out", "bad")),
        cell(left.get("connector"), "accent", 40),
        paint.EMPTY,
        cell(left.get("reason"), "warn"),
    )
    return Row(key=key, cells=cells, detail=detail, copies=(("connector", said(left, "connector")),))


def _points(value: object) -> str:
    if type(value) is int:
        return ("-" if value < 0 else "") + paint.count(abs(value))
    return f"{value:.2f}" if isinstance(value, float) else said({"value": value}, "value")


# --- told in and out ---------------------------------------------------------------------------------------------------------------------

WEBHOOK_COLUMNS: Final = (
    Column(name="time UTC", cells=12),
    Column(name="who", cells=12),
    Column(name="event", cells=26),
    Column(name="state", cells=13),
    Column(name="what came of it"),
)


def webhooks(payment: Data) -> Table:
    """What PSPs told us of it, and what we told the merchant."""
    came, went = rows_of(payment, "notices"), rows_of(payment, "deliveries")
    rows: list[Row] = []
    if came:
        rows += [section("in", "In", "from PSPs"), *(_notice(number, one) for number, one in enumerate(came))]
    if went:
        rows += [section("out", "Out", "to the merchant"), *(_delivery(number, one) for number, one in enumerate(went))]
    return Table(
        columns=WEBHOOK_COLUMNS,
        rows=tuple(rows),
        empty=paint.line(("No PSP has sent a notice about it, and nothing was announced to the merchant.", "dim")),
    )


def _notice(number: int, one: Data) -> Row:
    bad = said(one, "state") in ("refused", "dead", "failed")
    cells = (
        cell(paint.moment(one.get("received_at"))),
        cell(one.get("connector"), "accent", 40),
        cell(one.get("event"), longest=80),
        paint.state(one.get("state"), "bad" if bad else None),
        cell(one.get("outcome")),
    )
    detail = (
        heading("notice"),
        *fields(
            one,
            (("id", "id"), ("connector", "connector"), ("event", "event"), ("kind", "kind"), ("state", "state"), ("outcome", "outcome")),
        ),
        labelled("received", paint.moment(one.get("received_at"), day=True)),
        labelled("happened", paint.moment(one.get("occurred_at"), day=True)),
    )
    return Row(key=f"notice:{number}:{said(one, 'id')}", cells=cells, problem=bad, detail=detail, copies=(("id", said(one, "id")),))


def _delivery(number: int, one: Data) -> Row:
    bad = bool(one.get("last_error"))
    tries = f"{said(one, 'attempts')} tried"
    came = f"{said(one, 'last_status')} {said(one, 'last_error')}".strip()
    coming = f"next {paint.moment(one['next_attempt_at'])[:8]}" if one.get("next_attempt_at") else ""
    cells = (
        cell(None),
        cell(paint.middle(one.get("endpoint_id"), 12)),
        cell(one.get("type"), longest=80),
        paint.state(one.get("state"), "good" if one.get("state") == "delivered" else None),
        paint.line((tries, "dim"), "  ", Piece(came, "bad" if bad else "", 200), f"  {coming}"),
    )
    detail = (
        heading("delivery"),
        *fields(one, (("event id", "event_id"), ("type", "type"), ("endpoint", "endpoint_id"), ("state", "state"), ("tried", "attempts"))),
        *fields(one, (("status", "last_status"), ("error", "last_error"), ("next", "next_attempt_at"))),
    )
    copies = (("event id", said(one, "event_id")), ("endpoint id", said(one, "endpoint_id")))
    return Row(key=f"delivery:{number}:{said(one, 'event_id')}", cells=cells, problem=bad, detail=detail, copies=copies)
