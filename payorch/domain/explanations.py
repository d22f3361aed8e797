"""What people make of a finding, as data: which explanations there are, for what, how many people each takes, and what follows. Pure.

    settlement.review      a reason is stated, whatever the finding                      one person
    settlement.link        a line is said to be a movement of ours                       two
    settlement.accept      the difference is taken into our books                        one within the tolerance, two above it
    settlement.psp_error   the PSP is to put it right                                    one

Two people where an explanation changes the truth about money: a link says that a movement settled of which no key told, an accepted
difference is won or lost for good. A review and a claim against the PSP change no books: the difference stays counted, with who said what.
Closing a day takes one person, since it is refused while anything is unexplained, and opening one again only makes it stricter.

A finding is explained once. What was asked for by one person waits for another; meanwhile nothing else may be asked for.

Not here: which findings there are (`matching`, `differences`), what a day comes to (`reconciliation`), writing any of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.differences import named
from payorch.domain.matching import EXACT, Candidate, Tolerance
from payorch.domain.money import Money
from payorch.domain.persons import same_eyes
from payorch.domain.reconciliation import UNEXPLAINED, Refusal
from payorch.domain.settlement import FindingKind, FindingState, SettlementRow, SettlementState


class Action(StrEnum):
    """What people may do in reconciliation. The names are those of the operations API."""

    REVIEW = "settlement.review"
    LINK = "settlement.link"
    ACCEPT = "settlement.accept"
    PSP_ERROR = "settlement.psp_error"
    CLOSE_DAY = "settlement.close_day"
    REOPEN_DAY = "settlement.reopen_day"


class People(StrEnum):
    """How many an action takes."""

    ONE = "one"
    TWO = "two"
    BY_AMOUNT = "by_amount"  # two where the difference is above what one person may accept


PEOPLE: Final[Mapping[Action, People]] = {
    Action.REVIEW: People.ONE,
    Action.LINK: People.TWO,
    Action.ACCEPT: People.BY_AMOUNT,
    Action.PSP_ERROR: People.ONE,
    Action.CLOSE_DAY: People.ONE,
    Action.REOPEN_DAY: People.ONE,
}


class Explanation(Struct, frozen=True, kw_only=True, gc=False):
    """One way to explain a finding. kinds: of which. state: how the finding stands when it is done."""

    kinds: frozenset[FindingKind]
    state: FindingState


_F = FindingKind
EXPLANATIONS: Final[Mapping[Action, Explanation]] = {
    Action.REVIEW: Explanation(kinds=frozenset(_F), state=FindingState.REVIEWED),
    # Only what has a line that belongs to no movement yet can be linked.
    Action.LINK: Explanation(kinds=frozenset({_F.MISSING_HERE, _F.DUPLICATE, _F.STATUS_CONFLICT}), state=FindingState.LINKED),
    # Not a conflict about whether something happened: that is the payment's to resolve, with its own evidence and people. Nor what has no
    # amount that anybody could accept.
    Action.ACCEPT: Explanation(
        kinds=frozenset({_F.AMOUNT, _F.FEE, _F.DUPLICATE, _F.MISSING_HERE, _F.MISSING_AT_PSP, _F.TOTALS}), state=FindingState.ACCEPTED
    ),
    Action.PSP_ERROR: Explanation(kinds=frozenset(_F), state=FindingState.PSP_ERROR),
}


class Case(Struct, frozen=True, kw_only=True, gc=False):
    """A finding as it stands, as far as people's work goes. proposed_by: the person, not the account."""

    kind: FindingKind
    state: FindingState
    version: int
    difference: Money | None = None
    proposed_action: Action | None = None
    proposed_by: str | None = None


class Decision(Struct, frozen=True, kw_only=True, gc=False):
    """What a person has brought about. state: how the finding stands now. needs_second: another person has to agree first.

    settlement: how the movement that it is about stands as far as this finding goes, once it is explained; another finding may keep it
    mismatched (`reconciliation.movement_status`). from_version: the finding must still be of it when this is written. reason: of whoever
    decided it; None where somebody agreed with another's.
    """

    action: Action
    state: FindingState
    person: str
    needs_second: bool
    from_version: int
    settlement: SettlementState | None = None
    reason: str | None = None


def actions_for(case: Case) -> tuple[Action, ...]:
    """What may be asked for now, in order."""
    if case.state is not FindingState.OPEN:
        return ()
    return tuple(action for action in EXPLANATIONS if _unsuitable(action, case) is None)


def propose(
    action: Action, case: Case, *, person: str, reason: str, version: int | None = None, tolerance: Tolerance = EXACT
) -> Decision | Refusal:
    """What follows when that person asks to explain the finding so: done at once, or waiting for a second person.

    version: the one that the person has seen. tolerance: of the connector, in the currency of the difference.
    """
    refusal = _changed(case, version) or _explained(case) or _unsuitable(action, case) or _unfounded(reason)
    if refusal is None and case.state is FindingState.PROPOSED:
        asked = f"{case.proposed_action}, asked for by {case.proposed_by}"
        refusal = Refusal(code="awaits_second_person", why=f"the finding waits for a second person: {asked}; agree or reject that first")
    if refusal is not None:
        return refusal
    if _takes_two(action, case, tolerance):
        return Decision(
            action=action, state=FindingState.PROPOSED, person=person, reason=reason, needs_second=True, from_version=case.version
        )
    return _done(action, case, person, reason)


def approve(case: Case, *, person: str, version: int | None = None) -> Decision | Refusal:
    """What follows when that person agrees with what another has asked for. version: the one that the person has seen."""
    refusal = _changed(case, version) or _not_proposed(case)
    if refusal is not None:
        return refusal
    assert case.proposed_action is not None, "what is proposed has an action"
    assert case.proposed_by is not None, "what is proposed was asked for by somebody"
    if same_eyes(person, case.proposed_by):
        return Refusal(code="same_person", why=f"{person} asked for it, so that another person has to agree")
    return _done(case.proposed_action, case, person, None)


def together(
    action: Action,
    case: Case,
    *,
    asked_by: str,
    agreed_by: str | None,
    alone: bool,
    reason: str,
    version: int | None = None,
    tolerance: Tolerance = EXACT,
) -> Decision | Refusal:
    """What follows when all whom it takes have said so already, elsewhere: done at once, by the person who agreed where there is one.

    alone: one person does what takes two, with the glass broken; another looks at it afterwards.
    """
    asked = propose(action, case, person=asked_by, reason=reason, version=version, tolerance=tolerance)
    if isinstance(asked, Refusal) or not asked.needs_second:
        return asked
    if agreed_by is not None:
        waiting = replace(case, state=FindingState.PROPOSED, proposed_action=action, proposed_by=asked_by)
        return approve(waiting, person=agreed_by)
    if alone:
        return _done(action, case, asked_by, reason)
    return Refusal(code="second_person_missing", why=f"{action.value} takes two persons here, and nobody but {asked_by} has agreed")


def people_for(action: Action, case: Case, *, tolerance: Tolerance = EXACT) -> int:
    """How many it takes, also where it may not be done now. Where nobody knows how much is accepted: two."""
    if action is Action.ACCEPT and case.difference is None:
        return 2
    return 2 if _takes_two(action, case, tolerance) else 1


def reject(case: Case, *, person: str, reason: str, version: int | None = None) -> Decision | Refusal:
    """What follows when that person does not agree, or whoever asked takes it back: the finding is open again."""
    refusal = _changed(case, version) or _not_proposed(case) or _unfounded(reason)
    if refusal is not None:
        return refusal
    assert case.proposed_action is not None, "what is proposed has an action"
    return Decision(
        action=case.proposed_action, state=FindingState.OPEN, person=person, reason=reason, needs_second=False, from_version=case.version
    )


def unlinkable(row: SettlementRow, candidate: Candidate, *, connector: str) -> Refusal | None:
    """Why a line cannot be said to be that movement, by however many people; None where it can. Another amount can: they have seen it."""
    why = None
    if candidate.sequence is None:
        why = f"{candidate.subject_id} has not moved any money; resolve its payment first"
    elif candidate.connector != connector:
        why = f"the movement is at {candidate.connector}, the line is from {connector}"
    elif candidate.kind != str(row.kind):
        why = f"the line is a {named(row.kind)}, the movement a {named(candidate.kind)}"
    elif candidate.amount.currency != row.gross.currency:
        why = f"the line is in {row.gross.currency}, the movement in {candidate.amount.currency}"
    elif candidate.settlement not in (None, SettlementState.PENDING):
        why = "the movement has a line already"
    return None if why is None else Refusal(code="not_linkable", why=why)


def _done(action: Action, case: Case, person: str, reason: str | None) -> Decision:
    return Decision(
        action=action,
        state=EXPLANATIONS[action].state,
        person=person,
        reason=reason,
        needs_second=False,
        from_version=case.version,
        settlement=SettlementState.MANUALLY_REVIEWED,
    )


def _takes_two(action: Action, case: Case, tolerance: Tolerance) -> bool:
    people = PEOPLE[action]
    if people is not People.BY_AMOUNT:
        return people is People.TWO
    assert case.difference is not None, "nothing is accepted whose amount is unknown"
    passed = tolerance.fee_minor if case.kind is FindingKind.FEE else tolerance.amount_minor
    return abs(case.difference.minor) > max(passed, tolerance.accept_minor)


def _changed(case: Case, version: int | None) -> Refusal | None:
    if version is None or version == case.version:
        return None
    why = f"the finding has changed: it is of version {case.version}, you have seen version {version}; look at it again"
    return Refusal(code="changed", why=why)


def _explained(case: Case) -> Refusal | None:
    if case.state in UNEXPLAINED:
        return None
    return Refusal(code="already_explained", why=f"the finding is explained already: {case.state.value}")


def _not_proposed(case: Case) -> Refusal | None:
    if case.state is FindingState.PROPOSED:
        return None
    return _explained(case) or Refusal(
        code="nothing_proposed", why="nobody has asked for an explanation of the finding that takes two people"
    )


def _unsuitable(action: Action, case: Case) -> Refusal | None:
    explanation = EXPLANATIONS.get(action)
    if explanation is None:
        return Refusal(code="not_for_findings", why=f"{action.value} is done to days, not to findings")
    if case.kind not in explanation.kinds:
        return Refusal(code="not_for_this_kind", why=f"a finding of the kind {case.kind.value} cannot be explained by {action.value}")
    if action is Action.ACCEPT and case.difference is None:
        return Refusal(
            code="amount_unknown", why="nobody can say how much the difference is, so that nobody can accept it; review it instead"
        )
    return None


def _unfounded(reason: str) -> Refusal | None:
    return None if reason.strip() else Refusal(code="reason_missing", why="an explanation needs a reason, in words")
