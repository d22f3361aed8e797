"""What a plan about a finding or a day of reconciliation finds: how it would stand, what goes into the accounts, what speaks against it.

Not here: what may be done (`payorch.domain.explanations`, `payorch.domain.reconciliation`), carrying it out (`settlements`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Final

import msgspec

from payorch.domain.acts import Check, Draft, Effect, Objection, Proof
from payorch.domain.differences import said
from payorch.domain.explanations import EXPLANATIONS, PEOPLE, Action, People, people_for, propose
from payorch.domain.matching import Tolerance
from payorch.domain.money import Money
from payorch.domain.postings import relinked
from payorch.domain.reconciliation import UNEXPLAINED, Refusal, may_close
from payorch.domain.settlement import RowState, SettlementState
from payorch.store.reconciliation_findings import case_of
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_links import StoredLine, StoredMovement
from payorch.store.reconciliation_sums import Day

NOTHING_POSTED: Final = "no double entry is written: the difference stays counted, as manually reviewed"
_WHY_PEOPLE: Final = {
    (Action.ACCEPT, 1): "the difference is within what one person may accept",
    (Action.ACCEPT, 2): "an accepted difference is won or lost for good: above the tolerance that takes two",
    (Action.LINK, 2): "a link says that a movement settled of which no key told: that takes two",
    (Action.CLOSE_DAY, 1): "closing is refused while anything is unexplained, so that one person may do it",
    (Action.REOPEN_DAY, 1): "opening a day again only makes it stricter",
}
_ONE_EXPLAINS: Final = "it changes no books: the difference stays counted, with who said what"


@dataclass(frozen=True, slots=True, kw_only=True)
class Linking:
    """What a finding's line would be linked to."""

    line: StoredLine
    movement: StoredMovement


# --- findings ---------------------------------------------------------------------------------------------------------------------------


def finding_draft(
    action: Action, finding: FindingRow, *, person: str, tolerance: Tolerance, day: Day | None, link: Linking | Refusal | None = None
) -> Draft:
    """A dry run of explaining it. day: what its day comes to now, where that is known. link: only of a link."""
    case = case_of(finding)
    asked = propose(action, case, person=person, reason="a dry run", tolerance=tolerance)
    refusal = asked if isinstance(asked, Refusal) else link if isinstance(link, Refusal) else None
    people = people_for(action, case, tolerance=tolerance)
    linking = link if isinstance(link, Linking) else None
    return Draft(
        effects=tuple(_finding_effects(action, finding, day, linking)),
        people=people,
        why_people=_WHY_PEOPLE.get((action, people), _ONE_EXPLAINS),
        version=str(finding.version),
        confirm=finding.id[-4:] if case.difference is None else _plain(case.difference),
        undo="A finding is explained once: the explanation stays. A wrong one is put right by what the PSP books next, and its finding.",
        checks=tuple(_finding_checks(finding, linking)),
        proofs=_proofs(finding),
        objections=() if refusal is None else (Objection(code=refusal.code, why=refusal.why),),
        amount=None if case.difference is None else Money(abs(case.difference.minor), case.difference.currency),
        basis=() if linking is None else (linking.movement.subject_id, linking.movement.settlement.value, linking.line.state.value),
    )


def _finding_effects(action: Action, finding: FindingRow, day: Day | None, linking: Linking | None) -> list[Effect]:
    effects = [Effect(what="finding", before=finding.state.value, after=EXPLANATIONS[action].state.value)]
    if linking is not None:
        movement = linking.movement
        subject = f"{movement.kind.value.replace('_', ' ')} {movement.subject_id} of {said(movement.amount)}"
        after = f"{SettlementState.MANUALLY_REVIEWED.value}, by line {linking.line.row.line} of its report"
        effects.append(Effect(what="movement", before=f"{subject}: {movement.settlement.value}", after=after))
        effects += [Effect(what="ledger", before="in suspense", after=entry) for entry in _entries(linking)]
    if not any(one.what == "ledger" for one in effects):
        effects.append(Effect(what="ledger", before="as booked", after=NOTHING_POSTED))
    if day is not None and finding.state in UNEXPLAINED and finding.difference is not None and finding.amount_currency == finding.currency:
        gross = day.figures.gross_difference
        rest = Money(max(0, gross.minor - abs(finding.difference)), gross.currency)
        effects.append(Effect(what="day", before=f"{said(gross)} unexplained", after=f"{said(rest)} unexplained"))
    return effects


def _entries(linking: Linking) -> list[str]:
    """The double entries that a link would write."""
    line = linking.line
    corrections = relinked(line.row, line.state, RowState.MATCHED, connector=line.connector, first_leg=1)
    return [f"{said(one.amount)} from {one.credit} to {one.debit}" for one in corrections]


def _finding_checks(finding: FindingRow, linking: Linking | None) -> list[Check]:
    checks = []
    if finding.payment_id is not None:
        checks.append(Check(what="its payment is known", holds=True, detail=finding.payment_id))
    if linking is not None:
        ours, theirs = linking.movement.amount, linking.line.row.gross
        same = ours.currency == theirs.currency and abs(ours.minor) == abs(theirs.minor)
        detail = None if same else f"ours {said(ours)}, the line {said(theirs)}"
        checks.append(Check(what="the line and the movement are of one amount", holds=same, detail=detail))
    return checks


def _proofs(finding: FindingRow) -> tuple[Proof, ...]:
    where = finding.payment_id or finding.id
    if finding.batch_id is not None:
        where = finding.batch_id if finding.line is None else f"{finding.batch_id} line {finding.line}"
    told = [Proof(reference=where, at=finding.found_at, text=finding.detail)]
    for one in msgspec.json.decode(finding.suggestions):
        told.append(Proof(reference=str(one.get("payment", "")), at=None, text=", ".join(f"{name} {value}" for name, value in one.items())))
    return tuple(told)


# --- days -------------------------------------------------------------------------------------------------------------------------------


def close_draft(day: Day, *, today: date) -> Draft:
    """A dry run of closing it. today: by the PSP's clock."""
    figures = day.figures
    refusal = may_close(figures, today=today)
    if day.closed:
        refusal = Refusal(code="already_closed", why="the day is closed already; open it again first where that was wrong")
    pending, left = figures.pending, may_close(figures)
    waits = f"{pending.count} of {said(pending.gross)}: each becomes a finding on the day on which its window ends"
    checks = (
        Check(
            what="nothing on it is unexplained",
            holds=left is None,
            detail=None if left is None else left.why,
            binds=True,
        ),
        Check(what="the day is over where the PSP keeps its books", holds=figures.day < today, binds=True),
        Check(what="a report of it has come", holds=day.reported),
        Check(what="nothing is pending", holds=not pending.count, detail=waits if pending.count else None),
    )
    effects = [
        Effect(what="day", before=_standing(day), after="closed, with these figures"),
        Effect(what="figures", before=f"{said(figures.gross_difference)} unexplained", after=_figures(day)),
    ]
    return _day_draft(day, Action.CLOSE_DAY, effects, checks, refusal, "It may be opened again for a reason, by an approver.")


def reopen_draft(day: Day) -> Draft:
    """A dry run of opening it again."""
    refusal = None if day.closed else Refusal(code="not_closed", why="the day is not closed: there is nothing to open")
    effects = [Effect(what="day", before=_standing(day), after="open again; what it was closed with is kept")]
    return _day_draft(day, Action.REOPEN_DAY, effects, (), refusal, "It is closed again like any other day.")


def _day_draft(day: Day, action: Action, effects: Sequence[Effect], checks: tuple[Check, ...], refusal: Refusal | None, undo: str) -> Draft:
    people = 1 if PEOPLE[action] is People.ONE else 2
    return Draft(
        effects=tuple(effects),
        people=people,
        why_people=_WHY_PEOPLE[action, people],
        version=_version(day),
        confirm=day.figures.day.isoformat(),
        undo=undo,
        checks=checks,
        objections=() if refusal is None else (Objection(code=refusal.code, why=refusal.why),),
    )


def _standing(day: Day) -> str:
    if day.left is None:
        return "open" if day.reported else "open, no report of it yet"
    return f"{day.left.state.value} by {day.left.changed_by}: {day.left.reason}"


def _figures(day: Day) -> str:
    figures = day.figures
    named = (("settled", figures.settled), ("pending", figures.pending), ("manually reviewed", figures.manually_reviewed))
    return ", ".join(f"{bucket.count} {word} ({said(bucket.gross)})" for word, bucket in named)


def _version(day: Day) -> str:
    """Another one whenever anything of the day has changed."""
    left = 0 if day.left is None else day.left.version
    return f"{left}/{hashlib.sha256(msgspec.json.encode(day.figures)).hexdigest()[:16]}"


def _plain(money: Money) -> str:
    """An amount as people type it."""
    return f"{abs(money.major()):f}"
