"""What a payment consists of: its attempts at PSPs and the operations on it, and everything that is known of one of them.

Not here: in which order things happened (`payment_timeline`), who was chosen and who was told (`payment_reasons`), money (`payment_books`).
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
    raw,
    rows_of,
    said,
    section,
    table_of,
)

COLUMNS: Final = (
    Column(name="what", cells=11),
    Column(name="at / of", cells=12),
    Column(name="state", cells=16),
    Column(name="amount", cells=17, align="right"),
    Column(name="psp ref / why not"),
    Column(name="looks", cells=5, align="right", wide=True),
    Column(name="next UTC", cells=8, align="right", wide=True),
    Column(name="updated", cells=12, align="right", wide=True),
)


def attempts(payment: Data) -> Table:
    """Attempts, then captures, voids and refunds, then disputes."""
    rows = [_attempt(number, one) for number, one in enumerate(rows_of(payment, "attempts"), start=1)]
    operations = rows_of(payment, "operations")
    if operations:
        rows += [section("operations", "Operations"), *(_operation(payment, one) for one in operations)]
    disputes = rows_of(payment, "disputes")
    if disputes:
        rows += [
            section("disputes", "Disputes", "money that the shopper's bank has taken back or may take"),
            *(_dispute(one) for one in disputes),
        ]
    return Table(columns=COLUMNS, rows=tuple(rows), empty=paint.line(("No attempt was prepared: no PSP has heard of this payment.", "dim")))


def _attempt(number: int, one: Data) -> Row:
    state = said(one, "state")
    cells = (
        cell(f"attempt {number}"),
        cell(one.get("connector"), "accent", 40),
        paint.state(state),
        cell(paint.amount(one.get("amount"))),
        _outcome(one),
        cell(one.get("looks"), longest=6),
        _clock(one.get("next_action_at")),
        cell(paint.moment(one.get("updated_at"))),
    )
    problem = state in ("UNKNOWN", "DECLINED", "REJECTED", "NOT_SENT")
    return Row(key=said(one, "id"), cells=cells, problem=problem, detail=tuple(attempt_detail(number, one)), copies=_copies(one))


def _operation(payment: Data, one: Data) -> Row:
    state = said(one, "state")
    of = next(
        (place for place, attempt in enumerate(rows_of(payment, "attempts"), start=1) if attempt.get("id") == one.get("attempt_id")), None
    )
    cells = (
        cell(one.get("object")),
        cell(f"attempt {of}" if of else None),
        paint.state("IN_REVIEW" if one.get("in_review") is True else state),
        cell(paint.amount(one.get("amount"))),
        _outcome(one),
        cell(one.get("looks"), longest=6),
        _clock(one.get("next_action_at")),
        cell(paint.moment(one.get("updated_at"))),
    )
    return Row(key=said(one, "id"), cells=cells, problem=state not in ("SUCCEEDED",), detail=_operation_detail(one), copies=_copies(one))


def _dispute(one: Data) -> Row:
    amount = {"amount": one.get("amount"), "currency": one.get("currency")}
    cells = (
        cell("dispute"),
        cell(one.get("stage"), longest=40),
        paint.line((f"{paint.glyph('bad')} {said(one, 'status')}", "bad")),
        cell(paint.amount(amount)),
        paint.line(Piece(said(one, "psp_reference"), longest=60), "  ", Piece(said(one, "reason"), "dim", 60)),
        paint.EMPTY,
        paint.EMPTY,
        cell(paint.moment(one.get("updated_at"))),
    )
    detail = (
        heading("dispute"),
        *fields(one, (("id", "id"), ("stage", "stage"), ("status", "status"), ("reason", "reason"), ("psp ref", "psp_reference"))),
        labelled("amount", paint.amount(amount)),
        labelled("answer by", paint.moment(one.get("respond_by"), day=True)),
        labelled("opened", paint.moment(one.get("created_at"), day=True)),
    )
    return Row(key=said(one, "id"), cells=cells, problem=True, detail=detail, copies=_copies(one))


def _outcome(one: Data) -> Line:
    """The PSP's id where there is one, and why not where it was not."""
    failure = table_of(one, "failure")
    parts = [paint.line(Piece(said(one, "psp_reference"), longest=60))] if one.get("psp_reference") else []
    if failure:
        parts.append(paint.line(Piece(f"{said(failure, 'class')} {said(failure, 'code')}", "bad", 80)))
    return paint.join(parts) or cell(None)


def _clock(at: object) -> Line:
    return cell(paint.moment(at)[:8]) if at else cell(None)


# --- the pane beside it ------------------------------------------------------------------------------------------------------------------


def attempt_detail(number: int, one: Data) -> list[Line]:
    """Everything that is known of one attempt: what was sent under which key, and what came back."""
    return [
        (Piece(f"attempt {number} {paint.glyph('dim')} ", "strong"), Piece(said(one, "connector"), "accent", 40)),
        labelled("state", one.get("state"), paint.state_tone(one.get("state"))),
        *_ids(one),
        labelled("amount", paint.amount(one.get("amount"))),
        labelled("looks", one.get("looks")),
        *([labelled("next", paint.moment(one["next_action_at"], day=True))] if one.get("next_action_at") else []),
        labelled("created", paint.moment(one.get("created_at"), day=True)),
        labelled("updated", paint.moment(one.get("updated_at"), day=True)),
        *failure_lines(table_of(one, "failure")),
        *_sent(table_of(one, "sent")),
        *(raw("response", one.get("raw")) or [paint.EMPTY, labelled("response", "none")]),
    ]


def _ids(one: Data) -> list[Line]:
    names = (("id", "id"), ("psp ref", "psp_reference"), ("psp key", "psp_key"), ("request_id", "request_id"), ("trace", "trace_id"))
    return fields(one, names)


def _sent(sent: Data) -> list[Line]:
    if not sent:
        return [paint.EMPTY, labelled("sent", "nothing")]
    call = f"{said(sent, 'method')} {said(sent, 'path')}"
    return [paint.EMPTY, labelled("sent", call), labelled("", sent.get("content_type"), "dim"), *body(said(sent, "body"))]


def failure_lines(failure: Data) -> list[Line]:
    """Why not, in its three layers."""
    if not failure:
        return []
    network = table_of(failure, "network")
    return [
        paint.EMPTY,
        heading("why not", "bad"),
        *fields(failure, (("class", "class"), ("code", "code"), ("message", "message"))),
        labelled("psp said", " ".join(filter(None, (said(failure, "connector", "http_status"), said(failure, "connector", "code"))))),
        *fields(table_of(failure, "connector"), (("", "message"),)),
        *fields(network, (("decline", "decline_code"), ("advice", "advice_code"))),
    ]


def _operation_detail(one: Data) -> tuple[Line, ...]:
    return (
        (Piece(one.get("object"), "strong", 40),),
        labelled("state", one.get("state"), paint.state_tone(one.get("state"))),
        *([labelled("", "in review: people decide", "unknown")] if one.get("in_review") is True else []),
        *_ids(one),
        *fields(
            one, (("attempt", "attempt_id"), ("origin", "origin"), ("reason", "reason"), ("reference", "reference"), ("looks", "looks"))
        ),
        labelled("amount", paint.amount(one.get("amount"))),
        *([labelled("next", paint.moment(one["next_action_at"], day=True))] if one.get("next_action_at") else []),
        labelled("created", paint.moment(one.get("created_at"), day=True)),
        labelled("updated", paint.moment(one.get("updated_at"), day=True)),
        *failure_lines(table_of(one, "failure")),
    )


def _copies(one: Data) -> tuple[tuple[str, str], ...]:
    named = (
        ("id", "id"),
        ("psp reference", "psp_reference"),
        ("idempotency key", "psp_key"),
        ("request id", "request_id"),
        ("trace", "trace_id"),
    )
    return tuple((label, said(one, name)) for label, name in named if one.get(name))
