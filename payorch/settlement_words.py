"""Settlement reports as people and programs read them: what came of an import, which reports there are, how far one has come.

Pure. Not here: importing (`settlements`), printing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from payorch.domain.money import Money
from payorch.domain.settlement import Tie
from payorch.settlements import Imported, Progress
from payorch.store.settlement_batches import Batch, BatchState, Sum
from payorch.wording import aligned, printable

_BAR_COLUMNS: Final = 24
_SHOWN_TIES: Final = 20


def progress_line(name: str, progress: Progress) -> str:
    """How far an import has come, in one line."""
    share = progress.bytes_read / progress.bytes_total if progress.bytes_total else 1.0
    done = round(share * _BAR_COLUMNS)
    return f"{name}  [{'#' * done}{'.' * (_BAR_COLUMNS - done)}] {share:4.0%}  {progress.lines:,} lines"


def data(imported: Imported) -> dict[str, Any]:
    """What came of an import, for programs."""
    return {
        "new": imported.new,
        "changed": imported.changed,
        "resumed_after_line": imported.resumed_after or None,
        **report_data(imported.batch, imported.sums, imported.findings),
        "reopened": [{"day": day.isoformat(), "currency": currency} for day, currency in imported.reopened],
    }


def report_data(batch: Batch, sums: Sequence[Sum], findings: Mapping[str, tuple[int, int]]) -> dict[str, Any]:
    """A report with what became of its lines, for programs. Amounts are minor units."""
    return {
        **batch_data(batch),
        "sums": [
            {
                "kind": one.kind.value,
                "state": one.state.value,
                "rows": one.rows,
                "gross": _money(one.gross),
                "fee": _money(one.fee),
                "net": _money(one.net),
            }
            for one in sums
        ],
        "findings_by_kind": {kind: {"found": found, "unexplained": left} for kind, (found, left) in findings.items()},
        "ties": [_tie(tie) for tie in batch.ties],
    }


def batch_data(batch: Batch) -> dict[str, Any]:
    """A report for programs, without what became of its lines."""
    return {
        "id": batch.id,
        "connector": batch.connector,
        "name": batch.name,
        "sha256": batch.digest.hex(),
        "state": batch.state.value,
        "lines_done": batch.lines_done,
        "rows": batch.rows,
        "bad_rows": batch.bad_rows,
        "repeated": batch.repeated,
        "findings": batch.findings,
        "totals_hold": all(tie.holds for tie in batch.ties),
        "received_at": _moment(batch.received_at),
        "received_by": batch.received_by,
        "imported_at": None if batch.imported_at is None else _moment(batch.imported_at),
    }


def text(imported: Imported) -> str:
    """What came of an import, for people."""
    batch = imported.batch
    if not imported.changed:
        return text_of_known(imported)
    begun = f" (from line {imported.resumed_after + 1:,} on: the rest was imported before)" if imported.resumed_after else ""
    lines = [
        f"{printable(batch.name)} of {batch.connector} is imported{begun}: {batch.id}",
        *_body(batch, imported.sums, imported.findings),
    ]
    if imported.reopened:
        lines += ["", f"open again, since lines came after they were closed: {_days(imported.reopened)}"]
    return "\n".join(lines)


def text_of_known(imported: Imported) -> str:
    """That an import has changed nothing, for people."""
    batch = imported.batch
    since = f", on {batch.imported_at:%Y-%m-%d} by {printable(batch.received_by)}" if batch.imported_at is not None else ""
    known = f"{batch.connector} has this report already{since}: {batch.id} ({printable(batch.name)}). Nothing has changed"
    return "\n".join([known, *_body(batch, imported.sums, imported.findings)])


def report_text(batch: Batch, sums: Sequence[Sum], findings: Mapping[str, tuple[int, int]]) -> str:
    """A report for people."""
    state = "is read to its end" if batch.state is BatchState.IMPORTED else f"is read up to line {batch.lines_done:,}: import it again"
    head = f"{batch.id}: {printable(batch.name)} of {batch.connector} {state}"
    came = f"received {batch.received_at:%Y-%m-%d %H:%M} UTC by {printable(batch.received_by)}, SHA-256 {batch.digest.hex()}"
    return "\n".join([head, came, *_body(batch, sums, findings)])


def table(batches: Sequence[Batch]) -> str:
    """One line a report."""
    head = ("id", "received", "connector", "rows", "unreadable", "repeated", "findings", "state", "name")
    rows = [
        (
            one.id,
            f"{one.received_at:%Y-%m-%d %H:%M}",
            one.connector,
            f"{one.rows:,}",
            f"{one.bad_rows:,}",
            f"{one.repeated:,}",
            f"{one.findings:,}",
            one.state.value if all(tie.holds for tie in one.ties) else f"{one.state.value}, totals do not hold",
            printable(one.name),
        )
        for one in batches
    ]
    return aligned([head, *rows])


def _body(batch: Batch, sums: Sequence[Sum], findings: Mapping[str, tuple[int, int]]) -> list[str]:
    counted = f"{batch.rows:,} lines stored, {batch.bad_rows:,} cannot be read, {batch.repeated:,} were in another report before"
    lines = [counted, ""]
    if sums:
        head = ("kind", "state", "lines", "gross", "fee", "net")
        rows = [
            (one.kind.value.replace("_", " "), one.state.value, f"{one.rows:,}", _said(one.gross), _said(one.fee), _said(one.net))
            for one in sums
        ]
        lines += [aligned([head, *rows]), ""]
    broken = [tie for tie in batch.ties if not tie.holds]
    if broken:
        lines += ["THE REPORT DOES NOT ADD UP TO WHAT IT SAYS ITSELF:", *(f"  {_broken(tie)}" for tie in broken[:_SHOWN_TIES])]
        lines += [f"  and {len(broken) - _SHOWN_TIES:,} more"] if len(broken) > _SHOWN_TIES else []
        lines.append("")
    elif batch.ties:
        lines += [f"all {len(batch.ties):,} totals that the report states hold", ""]
    elif batch.state is BatchState.IMPORTED:
        lines += ["the report states no totals of its own", ""]
    if findings:
        told = ", ".join(f"{found:,} {kind.replace('_', ' ')} ({left:,} unexplained)" for kind, (found, left) in findings.items())
        lines.append(f"findings: {told}")
    else:
        lines.append("no findings")
    if batch.bad_rows:
        lines.append("lines that cannot be read are dead letters: payorch dead-letters list --kind settlement_row")
    return lines


def _broken(tie: Tie) -> str:
    declared = [_said(tie.declared)] if tie.declared is not None else []
    declared += [f"{tie.declared_rows:,} lines"] if tie.declared_rows is not None else []
    computed = [_said(tie.computed)] if tie.computed is not None else []
    computed += [f"{tie.computed_rows:,} lines"] if tie.computed_rows is not None else []
    return f"line {tie.line:,}, {printable(tie.what)}: it says {' and '.join(declared)}, its lines come to {' and '.join(computed)}"


def _days(days: Sequence[tuple[date, str]]) -> str:
    return ", ".join(f"{day.isoformat()} {currency}" for day, currency in days)


def _said(amount: Money) -> str:
    return f"{amount.major():,f} {amount.currency}"


def _money(amount: Money) -> dict[str, Any]:
    return {"amount": amount.minor, "currency": amount.currency}


def _tie(tie: Tie) -> dict[str, Any]:
    return {
        "line": tie.line,
        "what": tie.what,
        "holds": tie.holds,
        "declared": None if tie.declared is None else _money(tie.declared),
        "computed": None if tie.computed is None else _money(tie.computed),
        "declared_rows": tie.declared_rows,
        "computed_rows": tie.computed_rows,
    }


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
