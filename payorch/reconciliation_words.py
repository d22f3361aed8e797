"""Days and findings as finance people read them: a summary at a terminal, and a table for a spreadsheet. What is different comes first.

Pure. Not here: what programs read (`payorch.api.operations.reconciliation_views`), printing.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from payorch.domain.differences import said
from payorch.domain.explanations import Action, actions_for
from payorch.domain.money import Money, MoneyError
from payorch.domain.reconciliation import Bucket, may_close
from payorch.domain.settlement import FindingState
from payorch.store.reconciliation import Piece
from payorch.store.reconciliation_closing import Closing
from payorch.store.reconciliation_findings import case_of
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_sums import Day, Days, Stray
from payorch.wording import aligned, printable, shortened

_DETAIL_COLUMNS: Final = 100
_COMMANDS: Final = {Action.REVIEW: "review", Action.LINK: "link", Action.ACCEPT: "accept", Action.PSP_ERROR: "psp-error"}
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def day_text(day: Day, findings: Sequence[FindingRow]) -> str:
    """One day of a connector in one currency, with its open findings and what may be done about each."""
    figures = day.figures
    lines = [f"{printable(figures.connector)} {figures.currency}, {figures.day}: {state_text(day)}"]
    rows = [("gross difference", _amounts(figures.unexplained) or said(figures.gross_difference), _headline(day))]
    buckets = (
        ("settled", figures.settled),
        ("pending", figures.pending),
        ("mismatched", figures.mismatched),
        ("manually reviewed", figures.manually_reviewed),
    )
    rows += [(name, said(bucket.gross), _counted(bucket)) for name, bucket in buckets]
    rows += [
        (name, _amounts(amounts), "")
        for name, amounts in (("fees", figures.fees), ("net", figures.net), ("payouts", figures.payouts))
        if amounts
    ]
    if figures.explained:
        rows.append(("explained", _amounts(figures.explained), "different all the same"))
    if figures.claims:
        rows.append(("of that, claims", _amounts(figures.claims), "for the PSP to put right"))
    lines += [f"  {line}" for line in aligned(rows).splitlines()]
    if findings:
        lines += ["", *(f"  {line}" for line in findings_text(findings).splitlines())]
    refusal = None if day.closed else may_close(figures)
    if refusal is not None:
        lines += ["", f"  left to do: {printable(refusal.why)}"]
    return "\n".join(lines)


def days_text(found: Days) -> str:
    """One line a day, with what nobody has explained first."""
    head = ("day", "connector", "currency", "gross difference", "settled", "pending", "mismatched", "reviewed", "")
    rows = [
        (
            str(one.figures.day),
            printable(one.figures.connector),
            one.figures.currency,
            _amounts(one.figures.unexplained) or said(one.figures.gross_difference),
            said(one.figures.settled.gross),
            said(one.figures.pending.gross),
            str(one.figures.mismatched.count),
            str(one.figures.manually_reviewed.count),
            state_text(one),
        )
        for one in found.days
    ]
    return "\n".join([aligned([head, *rows]), *map(stray_text, found.strays)])


def stray_text(stray: Stray) -> str:
    """Findings that belong to no currency."""
    words = f"{stray.findings} findings of no known currency, {stray.unexplained} of them unexplained"
    return f"{stray.day} {printable(stray.connector)}: {words}"


def state_text(day: Day) -> str:
    """How the day stands, in a few words."""
    left = day.left
    if left is None:
        return "open" if day.reported else "open, no report of it yet"
    if day.closed:
        return f"closed by {printable(left.changed_by)}"
    return f"open again: {printable(shortened(left.reason, _DETAIL_COLUMNS))}"


def findings_text(findings: Sequence[FindingRow]) -> str:
    """One line a finding: how much, what it is, and what may be done."""
    rows = [
        (
            one.id,
            one.kind.value.replace("_", " "),
            difference_text(one),
            printable(shortened(one.detail, _DETAIL_COLUMNS)),
            f"-> {what_next(one)}",
        )
        for one in findings
    ]
    return aligned(rows) if rows else ""


def difference_text(finding: FindingRow) -> str:
    """By how much, as finance people write it."""
    return _plain_amount(finding.difference, finding.amount_currency) or "unknown amount"


def what_next(finding: FindingRow) -> str:
    """What people may do about it, as commands."""
    if finding.state is FindingState.PROPOSED:
        return f"{finding.proposed_action}, asked for by {printable(finding.proposed_by or '')}: approve or reject"
    if finding.state is not FindingState.OPEN:
        return finding.state.value.replace("_", " ")
    return ", ".join(_COMMANDS[action] for action in actions_for(case_of(finding)))


def finding_text(finding: FindingRow) -> str:
    """Everything of one finding."""
    expected = _plain_amount(finding.expected, finding.amount_currency)
    actual = _plain_amount(finding.actual, finding.amount_currency)
    rows = [
        ("id", finding.id),
        ("kind", finding.kind.value.replace("_", " ")),
        ("state", finding.state.value.replace("_", " ")),
        ("day", f"{finding.connector} {finding.currency} {finding.day}"),
        ("detail", finding.detail),
        ("expected", expected),
        ("actual", actual),
        ("difference", difference_text(finding)),
        ("report", "" if finding.batch_id is None else f"{finding.batch_id}, line {finding.line}"),
        ("payment", " ".join(one for one in (finding.payment_id, finding.subject_id) if one is not None)),
        ("dead letter", finding.dead_letter_id or ""),
        ("proposed", "" if finding.proposed_by is None else f"{finding.proposed_action} by {finding.proposed_by}"),
        ("resolved by", finding.resolved_by or ""),
        ("resolution", finding.resolution or ""),
        ("version", str(finding.version)),
        ("next", what_next(finding)),
    ]
    told = [aligned((name, printable(value)) for name, value in rows if value)]
    suggestions = msgspec.json.decode(finding.suggestions)
    if suggestions:
        told += ["", "it could be:", aligned([tuple(printable(str(value)) for value in one.values()) for one in suggestions])]
    return "\n".join(told)


def closings_text(closings: Sequence[Closing]) -> str:
    """What became of each day."""
    rows = [
        (
            str(one.day),
            printable(one.connector),
            one.currency,
            "closed" if one.changed else "closed already" if one.closed else "left open",
            "" if one.closed else printable(one.why),
        )
        for one in closings
    ]
    return aligned(rows)


def _headline(day: Day) -> str:
    figures = day.figures
    if not figures.open_findings:
        return "everything is explained"
    unknown = f", {figures.unknown} of them of unknown amount" if figures.unknown else ""
    return f"{figures.open_findings} {'finding' if figures.open_findings == 1 else 'findings'} unexplained{unknown}"


def _counted(bucket: Bucket) -> str:
    return f"{bucket.count}, balance {said(bucket.balance)}" if bucket.count else ""


def _amounts(amounts: Iterable[Money]) -> str:
    return ", ".join(map(said, amounts))


def _plain_amount(minor: int | None, currency: str) -> str:
    if minor is None:
        return ""
    try:
        return said(Money(minor, currency))
    except MoneyError:
        return str(minor)


# --- for a spreadsheet ------------------------------------------------------------------------------------------------------------------

COLUMNS: Final = (
    "day", "connector", "currency", "status", "object", "report", "line", "kind", "psp_type", "psp_identity", "gross", "fee", "net",
    "net_currency", "payout", "matched_by", "payment_id", "subject_id", "findings", "difference", "difference_currency", "resolution",
)  # fmt: skip


def csv_rows(day: str, pieces: Iterable[Piece]) -> str:
    """The pieces as lines of CSV (RFC 4180), without a header. Amounts are in major units, with a point.

    What came from outside cannot be a formula: a spreadsheet would calculate it.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    for piece in pieces:
        writer.writerow([day, piece.connector, piece.currency, piece.status.value, *_cells(piece)])
    return text.getvalue()


def csv_header() -> str:
    """The first line of the table."""
    return ",".join(COLUMNS) + "\r\n"


def _cells(piece: Piece) -> list[str]:
    line, movement = piece.line, piece.movement
    if line is not None:
        return [
            *("line", line.batch_id, str(line.line), line.kind.value, _harmless(line.type), _harmless(line.identity)),
            *(_major(line.gross), _major(line.fee), _major(line.net), line.net.currency, _harmless(line.payout or "")),
            *(line.key.value if line.key is not None else "", line.payment_id or "", line.subject_id or "", *_found(piece.findings)),
        ]
    if movement is not None:
        return [
            *("movement", "", "", movement.kind.value, "", "", _major(movement.amount), "", "", "", "", ""),
            *(movement.payment_id, movement.subject_id, *_found(piece.findings)),
        ]
    finding = piece.findings[0]
    number = "" if finding.line is None else str(finding.line)
    return [
        *("finding", finding.batch_id or "", number, "", "", "", "", "", "", "", "", ""),
        *(finding.payment_id or "", finding.subject_id or "", *_found(piece.findings)),
    ]


def _found(findings: Sequence[FindingRow]) -> list[str]:
    differences = {one.amount_currency for one in findings if one.difference is not None}
    currency = differences.pop() if len(differences) == 1 else ""
    total = sum(one.difference or 0 for one in findings)
    words = "; ".join(f"{one.id} {one.kind.value} {one.state.value}: {one.detail}" for one in findings)
    resolutions = "; ".join(one.resolution for one in findings if one.resolution)
    return [_harmless(words), _major(Money(total, currency)) if currency else "", currency, _harmless(resolutions)]


def _major(money: Money) -> str:
    return f"{money.major():f}"


def _harmless(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown.startswith(_FORMULA) else shown
