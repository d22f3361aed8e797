"""What one day of a PSP consists of, as data: findings with their difference and what is suggested, and ours beside the PSP's line.

Only fields in which the two differ are coloured. Not here: days beside each other (`tui.views.reconciliation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from tui import paint
from tui.acts import Subject
from tui.paint import Line, Piece, Tone
from tui.views import reconciliation as days
from tui.views.asking import Words
from tui.views.table import Data, rows_of, said, table_of, wrapped

ITEM_WORDS: Final = Words(names={"kind": "kind", "state": "state", "payment": "payment_id", "payment_id": "payment_id"})
STATUSES: Final = (
    ("mismatched", "Mismatched"),
    ("manually_reviewed", "Reviewed"),
    ("pending", "Pending"),
    ("settled", "Settled"),
)
EXPLAINED: Final = frozenset({"reviewed", "linked", "accepted", "psp_error", "resolved"})
LABEL: Final = 11


def flat(pieces: Sequence[Data]) -> list[dict[str, Any]]:
    """A row for each finding; one for a line or a movement without any. `id` is the finding's, else the piece's."""
    rows = []
    for place, piece in enumerate(pieces):
        line, movement = table_of(piece, "line"), table_of(piece, "movement")
        about = line or movement
        own = f"{said(line, 'report')}:{said(line, 'number')}" if line else said(movement, "subject_id") or str(place)
        base = {"piece": piece, "line": line, "movement": movement, "status": said(piece, "status")}
        for finding in rows_of(piece, "findings"):
            rows.append({**base, "finding": finding, "id": said(finding, "id"), **_words(finding, about)})
        if not rows_of(piece, "findings"):
            rows.append({**base, "finding": {}, "id": own, **_words(about, about)})
    return rows


def _words(first: Data, about: Data) -> dict[str, Any]:
    payment = first.get("payment_id") or about.get("payment_id")
    return {"kind": said(first, "kind"), "state": said(first, "state"), "payment_id": payment}


def is_problem(row: Data) -> bool:
    """Whether nobody has explained it yet."""
    return bool(row.get("finding")) and said(row, "finding", "state") not in EXPLAINED


def kind(row: Data) -> Line:
    """What is wrong, with its sign: differs, missing and not yet overdue, explained."""
    finding = table_of(row, "finding")
    if not finding:
        return paint.line((f"{paint.glyph('good')} {said(row, 'kind')}", "good" if said(row, "status") == "settled" else "info"))
    if not is_problem(row):
        return paint.line((f"{paint.glyph('check')} {said(finding, 'kind')}", "good"))
    missing = said(finding, "kind") == "missing_at_psp"
    return paint.line((f"{paint.glyph('gap' if missing else 'differs')} {said(finding, 'kind')}", "warn" if missing else "bad"))


def reference(row: Data) -> Line:
    """The PSP's own name of the booking."""
    text = said(row, "line", "identity")
    return (Piece(paint.middle(text, 16), ""),) if text else paint.line((paint.glyph("none"), "dim"))


def ours(row: Data) -> Line:
    """What our books say."""
    finding, movement = table_of(row, "finding"), table_of(row, "movement")
    if finding:
        return days.amount(finding.get("expected"))
    return days.amount(movement.get("amount") if movement else table_of(row, "line").get("gross"))


def theirs(row: Data) -> Line:
    """What the PSP's report says."""
    finding, line = table_of(row, "finding"), table_of(row, "line")
    return days.amount(finding.get("actual") if finding else line.get("gross") if line else None)


def difference(row: Data) -> Line:
    """By how much, with its sign; unknown where nobody can say."""
    finding = table_of(row, "finding")
    if not finding:
        return paint.line((paint.glyph("none"), "dim"))
    value = finding.get("difference")
    if value is None:
        return paint.line(("unknown", "unknown"))
    return days.amount(value, sign=True, tone="bad" if is_problem(row) else "dim")


def suggestion(row: Data) -> Line:
    """What is known that may explain it: who asked for what, who explained it, the likeliest movement, or the detail."""
    finding = table_of(row, "finding")
    if said(finding, "state") == "proposed":
        return paint.line((f"{said(finding, 'proposed_by')} asks: {said(finding, 'proposed_action')}; ", "warn"), said(finding, "detail"))
    if said(finding, "resolved_by"):
        return paint.line((f"{said(finding, 'state')} by {said(finding, 'resolved_by')}: ", "good"), said(finding, "resolution"))
    found = suggested(finding)
    if found:
        return paint.line((f"{found[0]}? ", "info"), said(finding, "detail"))
    return (Piece(said(finding, "detail") or said(row, "line", "type"), "", 300),)


def suggested(finding: Data) -> list[str]:
    """What it could be, the likeliest first."""
    found = finding.get("suggestions")
    if not isinstance(found, list):
        return []
    return [_candidate(one) if isinstance(one, dict) else str(one) for one in found[:5]]


def _candidate(one: Data) -> str:
    """A movement of ours that it could be."""
    minor = one.get("amount")
    if not isinstance(minor, int):
        return ", ".join(f"{name} {value}" for name, value in one.items())
    return f"{said(one, 'kind')} {paint.money(minor, said(one, 'currency'))} of {said(one, 'day')}, {said(one, 'payment')}"


def _links(finding: Data) -> tuple[str, ...]:
    """What it may be linked to: the movement itself where the server names it, else its payment."""
    found = finding.get("suggestions")
    some = [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []
    return tuple(str(one.get("subject") or one["payment"]) for one in some if one.get("subject") or one.get("payment"))


def net(rows: Sequence[Data]) -> Line:
    """All differences of findings that are not explained: gross first, then net, per currency."""
    gross: dict[str, int] = {}
    balance: dict[str, int] = {}
    unknown = 0
    for row in rows:
        minor, currency = table_of(row, "finding", "difference").get("amount"), said(row, "finding", "difference", "currency")
        if not is_problem(row):
            continue
        if not isinstance(minor, int):
            unknown += 1
            continue
        gross[currency] = gross.get(currency, 0) + abs(minor)
        balance[currency] = balance.get(currency, 0) + minor
    if not gross and not unknown:
        return paint.line(("nothing here is unexplained", "good"))
    parts = [paint.line(("unexplained gross ", "dim"), (", ".join(paint.money(one, cur) for cur, one in gross.items()) or "?", "bad"))]
    parts.append(paint.line(("net ", "dim"), ", ".join(paint.money(one, cur, sign=True) for cur, one in balance.items()) or "?"))
    if unknown:
        parts.append(paint.line((f"{unknown} of an amount nobody knows", "unknown")))
    return paint.join(parts, "   ")


def head(row: Data, cells: int, *, low: bool) -> list[Line]:
    """The day above its findings: its state and unexplained amount, what is left before it can be closed, and its buckets."""
    if not row:
        return []
    first = paint.join([days.state(row), paint.join([paint.line(("unexplained gross", "dim")), days.gross(row)], " ")], "   ")
    figures = [paint.line((f"{title} ", "dim"), *days.figure(row, name, tone)) for name, title, tone in days.BUCKETS]
    money = paint.line((f"fees {days.sums(row, 'fees')}   net {days.sums(row, 'net')}   payouts {days.sums(row, 'payouts')}", "dim"))
    if low or cells < 90:
        return [paint.join([first, days.bar(row, 8)], "   "), paint.join(figures, "   "), days.left(row)]
    return [paint.join([first, days.bar(row), money], "   "), *days.buckets(row), days.left(row)]


# --- ours beside theirs -----------------------------------------------------------------------------------------------------------------


def _text(value: Any) -> str:
    return paint.amount(dict(value)) if isinstance(value, Mapping) else "" if value is None else paint.safe(value, 200)


def compared(row: Data) -> list[tuple[str, str, str, bool]]:
    """(field, ours, theirs, whether they differ). A field that only one side has is no difference, the amount is."""
    finding, line, movement = table_of(row, "finding"), table_of(row, "line"), table_of(row, "movement")
    expected = finding.get("expected") if finding else movement.get("amount")
    actual = finding.get("actual") if finding else None
    about = said(finding, "kind")
    seen = actual if actual is not None or finding else line.get("gross")
    amount = (about if about == "fee" else "amount", _text(expected), _text(seen))
    rows = [(*amount, bool(finding) and amount[1] != amount[2])]
    if line and about != "fee":
        rows.append(("fee", "", _text(line.get("fee")), False))
        rows.append(("net", "", _text(line.get("net")), False))
    ours_kind, their_kind = said(movement, "kind"), said(line, "kind")
    if ours_kind or their_kind:
        rows.append(("kind", ours_kind, their_kind, bool(ours_kind and their_kind) and ours_kind != their_kind))
    rows += [
        ("payment", said(row, "payment_id"), said(line, "payment_id"), _differ(said(row, "payment_id"), said(line, "payment_id"))),
        ("subject", said(finding, "subject_id") or said(movement, "subject_id"), said(line, "subject_id"), False),
        ("reference", "", said(line, "identity"), False),
        ("payout", "", said(line, "payout"), False),
        ("rate", "", said(line, "rate"), False),
        ("at", paint.moment(movement.get("at"), day=True) if movement else "", "", False),
    ]
    return [one for one in rows if one[1] or one[2]]


def _differ(ours_: str, theirs_: str) -> bool:
    return bool(ours_ and theirs_) and ours_ != theirs_


def beside(row: Data, cells: int, most: int = 40) -> list[Line]:
    """Two columns, only what differs coloured; then what was found, what it could be, and who explained it. Where there are more than
    `most` lines, the last fields are left out."""
    if not row:
        return []
    line = table_of(row, "line")
    title = f"PSP (line {said(line, 'number')} of {paint.middle(said(line, 'report'), 18)})" if line else "PSP (in no report)"
    half = max(20, cells // 2 - 1)
    room = max(4, half - LABEL - 3)
    told = story(row, cells)
    lines = [paint.join([paint.fit(paint.line(("ours (books)", "strong")), half), paint.line((title, "strong"))], " ")]
    for name, mine, other, differs in compared(row)[: max(2, most - len(told) - 1)]:
        tone: Tone = "bad" if differs else ""
        sign = paint.glyph("differs") if differs else " "
        left = paint.line((f"{name:<{LABEL}}", "dim"), (paint.middle(mine, room) or paint.glyph("none"), tone))
        right = paint.line((f"{sign} {name:<{LABEL}}", tone or "dim"), (paint.middle(other, room) or paint.glyph("none"), tone))
        lines.append((*paint.fit(left, half), Piece(" "), *right))
    return [*lines, *told]


def story(row: Data, cells: int) -> list[Line]:
    """What was found, what it could be, who asked, who explained it and why."""
    finding = table_of(row, "finding")
    if not finding:
        return []
    lines = [
        paint.line(("found      ", "dim"), f"{said(finding, 'detail')}", (f"  {paint.moment(finding.get('found_at'), day=True)}", "dim"))
    ]
    lines += [paint.line(("could be   ", "dim"), (one, "info")) for one in suggested(finding)]
    if said(finding, "proposed_by"):
        asked = f"{said(finding, 'proposed_by')} {paint.moment(finding.get('proposed_at'), day=True)}: {said(finding, 'proposed_action')}"
        lines.append(paint.line(("asked      ", "dim"), (asked, "warn")))
    if said(finding, "resolved_by"):
        when = f"{said(finding, 'state')} by {said(finding, 'resolved_by')} {paint.moment(finding.get('resolved_at'), day=True)}: "
        lines.append(paint.line(("explained  ", "dim"), (when, "good"), said(finding, "resolution")))
    return [part for one in lines for part in wrapped(one, max(20, cells), 3)]


def of_finding(row: Data, day: Subject | None) -> Subject | None:
    """The finding under the cursor, or the day where it is meant; the day alone where there is none."""
    finding = table_of(row, "finding")
    if not finding:
        return day
    title = f"finding {said(finding, 'kind')} {paint.amount(dict(table_of(finding, 'difference')), sign=True)}"
    links = _links(finding)
    actions = tuple(rows_of(finding, "actions"))
    choices = {"to": links} if links else {}
    one = Subject(id=said(finding, "id"), kind="finding", title=title, actions=actions, choices=choices)
    return one if day is None else one.among((one, day))
