"""What people make of findings: the table of explanations, how many people each takes, and that nobody does alone what takes two."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payorch.domain.explanations import (
    EXPLANATIONS,
    PEOPLE,
    Action,
    Case,
    Decision,
    People,
    actions_for,
    approve,
    people_for,
    propose,
    reject,
    together,
    unlinkable,
)
from payorch.domain.matching import Candidate, Tolerance
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.reconciliation import BY_PEOPLE, UNEXPLAINED, Refusal
from payorch.domain.settlement import FindingKind, FindingState, RowKind, SettlementState
from tests.domain.test_matching import ACME, eur, line, movement

ANA, BEN = "ana", "ben"
WHY = "the bank's statement of the 16th has it"


def case(kind: FindingKind = FindingKind.MISSING_HERE, **changes: Any) -> Case:
    fields: dict[str, Any] = {"kind": kind, "state": FindingState.OPEN, "version": 1, "difference": eur(2000)}
    return Case(**fields | changes)


def decided(answer: Decision | Refusal) -> Decision:
    assert isinstance(answer, Decision), answer
    return answer


def refused(answer: Decision | Refusal) -> str:
    assert isinstance(answer, Refusal), answer
    assert answer.why
    return answer.code


def asked_for(action: Action, kind: FindingKind = FindingKind.MISSING_HERE, by: str = ANA) -> Case:
    return case(kind, state=FindingState.PROPOSED, version=2, proposed_action=action, proposed_by=by)


# --- the table --------------------------------------------------------------------------------------------------------------------------


def test_every_action_says_how_many_people_it_takes() -> None:
    assert set(PEOPLE) == set(Action)
    assert set(EXPLANATIONS) == set(Action) - {Action.CLOSE_DAY, Action.REOPEN_DAY}


def test_what_explains_leaves_the_finding_explained_and_each_kind_can_be() -> None:
    assert {one.state for one in EXPLANATIONS.values()} == BY_PEOPLE
    for kind in FindingKind:
        assert [action for action, one in EXPLANATIONS.items() if kind in one.kinds]


@pytest.mark.parametrize(
    ("kind", "difference", "actions"),
    [
        (FindingKind.AMOUNT, eur(1), [Action.REVIEW, Action.ACCEPT, Action.PSP_ERROR]),
        (FindingKind.MISSING_HERE, eur(1), [Action.REVIEW, Action.LINK, Action.ACCEPT, Action.PSP_ERROR]),
        (FindingKind.STATUS_CONFLICT, eur(1), [Action.REVIEW, Action.LINK, Action.PSP_ERROR]),
        (FindingKind.UNPARSEABLE, None, [Action.REVIEW, Action.PSP_ERROR]),
        (FindingKind.TOTALS, None, [Action.REVIEW, Action.PSP_ERROR]),
    ],
)
def test_a_person_is_offered_what_fits_the_finding(kind: FindingKind, difference: Money | None, actions: list[Action]) -> None:
    assert list(actions_for(case(kind, difference=difference))) == actions
    for action in Action:
        answer = propose(action, case(kind, difference=difference), person=ANA, reason=WHY)
        assert isinstance(answer, Decision) == (action in actions)


@pytest.mark.parametrize("state", sorted(set(FindingState) - {FindingState.OPEN}))
def test_nothing_is_offered_for_what_is_not_open(state: FindingState) -> None:
    assert actions_for(case(state=state)) == ()


# --- one person -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("action", "state"), [(Action.REVIEW, FindingState.REVIEWED), (Action.PSP_ERROR, FindingState.PSP_ERROR)])
def test_one_person_states_a_reason_or_claims_it_from_the_psp(action: Action, state: FindingState) -> None:
    decision = decided(propose(action, case(version=7), person=ANA, reason=WHY))
    assert decision == Decision(
        action=action, state=state, person=ANA, reason=WHY, needs_second=False, from_version=7, settlement=SettlementState.MANUALLY_REVIEWED
    )


def test_a_reason_is_needed() -> None:
    assert refused(propose(Action.REVIEW, case(), person=ANA, reason=" \n")) == "reason_missing"


@pytest.mark.parametrize(
    ("kind", "difference", "alone"),
    [
        (FindingKind.AMOUNT, 5, True), (FindingKind.AMOUNT, -5, True), (FindingKind.AMOUNT, 6, False), (FindingKind.AMOUNT, -6, False),
        (FindingKind.FEE, 9, True), (FindingKind.FEE, 10, False),
    ],
)  # fmt: skip
def test_one_person_accepts_what_is_within_the_tolerance_and_two_what_is_above(kind: FindingKind, difference: int, alone: bool) -> None:
    tolerance = Tolerance(amount_minor=2, fee_minor=9, accept_minor=5)
    decision = decided(propose(Action.ACCEPT, case(kind, difference=eur(difference)), person=ANA, reason=WHY, tolerance=tolerance))
    assert decision.needs_second == (not alone)
    assert decision.state is (FindingState.ACCEPTED if alone else FindingState.PROPOSED)


def test_without_a_tolerance_two_accept_everything() -> None:
    assert decided(propose(Action.ACCEPT, case(difference=eur(1)), person=ANA, reason=WHY)).needs_second


def test_nobody_accepts_an_amount_that_nobody_knows() -> None:
    assert refused(propose(Action.ACCEPT, case(FindingKind.TOTALS, difference=None), person=ANA, reason=WHY)) == "amount_unknown"


# --- two people -------------------------------------------------------------------------------------------------------------------------


def test_a_link_waits_for_a_second_person_and_changes_nothing_until_then() -> None:
    decision = decided(propose(Action.LINK, case(), person=ANA, reason=WHY))
    assert (decision.state, decision.needs_second, decision.settlement) == (FindingState.PROPOSED, True, None)


def test_another_person_agrees() -> None:
    decision = decided(approve(asked_for(Action.LINK), person=BEN, version=2))
    assert (decision.action, decision.state, decision.person, decision.from_version) == (Action.LINK, FindingState.LINKED, BEN, 2)
    assert not decision.needs_second
    assert decision.settlement is SettlementState.MANUALLY_REVIEWED


def test_the_same_person_does_not() -> None:
    assert refused(approve(asked_for(Action.LINK), person=ANA, version=2)) == "same_person"


def test_what_has_changed_since_it_was_seen_is_not_agreed_with() -> None:
    assert refused(approve(asked_for(Action.LINK), person=BEN, version=1)) == "changed"
    assert refused(propose(Action.REVIEW, case(version=3), person=BEN, reason=WHY, version=2)) == "changed"
    assert refused(reject(asked_for(Action.LINK), person=BEN, reason=WHY, version=1)) == "changed"


def test_while_something_waits_nothing_else_is_asked_for() -> None:
    assert refused(propose(Action.REVIEW, asked_for(Action.LINK), person=BEN, reason=WHY)) == "awaits_second_person"


@pytest.mark.parametrize("person", [ANA, BEN])
def test_what_is_rejected_or_taken_back_is_open_again(person: str) -> None:
    decision = decided(reject(asked_for(Action.LINK), person=person, reason=WHY))
    assert (decision.state, decision.settlement, decision.from_version) == (FindingState.OPEN, None, 2)
    assert refused(reject(asked_for(Action.LINK), person=person, reason="")) == "reason_missing"


def test_where_nothing_was_asked_for_nobody_agrees() -> None:
    assert refused(approve(case(), person=BEN)) == "nothing_proposed"
    assert refused(reject(case(), person=BEN, reason=WHY)) == "nothing_proposed"


@pytest.mark.parametrize("state", sorted(set(FindingState) - UNEXPLAINED))
def test_a_finding_is_explained_once(state: FindingState) -> None:
    done = case(state=state, proposed_action=Action.LINK, proposed_by=ANA)
    assert refused(propose(Action.REVIEW, done, person=BEN, reason=WHY)) == "already_explained"
    assert refused(approve(done, person=BEN)) == "already_explained"
    assert refused(reject(done, person=BEN, reason=WHY)) == "already_explained"


def test_days_are_not_findings() -> None:
    assert refused(propose(Action.CLOSE_DAY, case(), person=ANA, reason=WHY)) == "not_for_findings"


_STEPS = st.tuples(st.sampled_from(["propose", "approve", "reject"]), st.sampled_from([ANA, BEN]), st.sampled_from(list(Action)))


@given(
    kind=st.sampled_from(FindingKind),
    difference=st.one_of(st.none(), st.integers(-20, 20)),
    limit=st.integers(0, 10),
    steps=st.lists(_STEPS, max_size=8),
)
@settings(max_examples=200, deadline=None)
def test_whatever_people_do_what_takes_two_was_decided_by_two(
    kind: FindingKind, difference: int | None, limit: int, steps: list[tuple[str, str, Action]]
) -> None:
    now = case(kind, difference=None if difference is None else eur(difference))
    for verb, person, action in steps:
        if verb == "propose":
            answer = propose(action, now, person=person, reason=WHY, tolerance=Tolerance(accept_minor=limit))
        else:
            answer = approve(now, person=person) if verb == "approve" else reject(now, person=person, reason=WHY)
        if isinstance(answer, Refusal):
            continue
        asker, now = now.proposed_by, _after(now, answer)
        if now.state in BY_PEOPLE:
            two = PEOPLE[answer.action] is People.TWO
            above = PEOPLE[answer.action] is People.BY_AMOUNT and abs(difference or 0) > limit
            assert (asker is not None and asker != person) if two or above else asker is None
            assert kind in EXPLANATIONS[answer.action].kinds
        else:
            assert answer.settlement is None


def _after(before: Case, decision: Decision) -> Case:
    """The finding as the store leaves it."""
    waits = decision.needs_second
    return Case(
        kind=before.kind,
        state=decision.state,
        version=decision.from_version + 1,
        difference=before.difference,
        proposed_action=decision.action if waits else None,
        proposed_by=decision.person if waits else None,
    )


# --- linking ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("candidate", [movement(), movement(9, amount=eur(1)), movement(settlement=None)])
def test_a_line_can_be_linked_with_a_movement_that_has_none(candidate: Candidate) -> None:
    assert unlinkable(line(), candidate, connector=ACME) is None


@pytest.mark.parametrize(
    ("candidate", "why"),
    [
        (movement(sequence=None, settlement=None), "has not moved any money"),
        (movement(connector="other"), "is at other"),
        (movement(kind=MovementKind.REFUND), "the movement a refund"),
        (movement(amount=Money(2000, "USD")), "in USD"),
        (movement(settlement=SettlementState.SETTLED), "has a line already"),
        (movement(settlement=SettlementState.MISMATCHED), "has a line already"),
    ],
)
def test_not_with_anything_else(candidate: Candidate, why: str) -> None:
    refusal = unlinkable(line(kind=RowKind.CAPTURE), candidate, connector=ACME)
    assert refusal is not None
    assert refusal.code == "not_linkable"
    assert why in refusal.why


# --- agreed with elsewhere --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", FindingKind)
@pytest.mark.parametrize("action", EXPLANATIONS)
@pytest.mark.parametrize("difference", [None, eur(1), eur(2000)])
@pytest.mark.parametrize("second", [None, ANA, BEN])
def test_together_takes_as_many_as_the_table_says(kind: FindingKind, action: Action, difference: Money | None, second: str | None) -> None:
    some, tolerance = case(kind, difference=difference), Tolerance(accept_minor=100)
    answer = together(action, some, asked_by=ANA, agreed_by=second, alone=False, reason=WHY, tolerance=tolerance)
    people = people_for(action, some, tolerance=tolerance)
    if action not in actions_for(some):
        assert isinstance(answer, Refusal)
    elif people == 1:
        assert (decided(answer).person, decided(answer).state) == (ANA, EXPLANATIONS[action].state)
    elif second == BEN:
        assert (decided(answer).person, decided(answer).state) == (BEN, EXPLANATIONS[action].state)
    else:
        assert refused(answer) == ("same_person" if second == ANA else "second_person_missing")


def test_with_the_glass_broken_one_does_what_takes_two() -> None:
    answer = together(Action.LINK, case(), asked_by=ANA, agreed_by=None, alone=True, reason=WHY)
    assert (decided(answer).person, decided(answer).state, decided(answer).needs_second) == (ANA, FindingState.LINKED, False)
    proposed = asked_for(Action.LINK, by=BEN)
    waits = together(Action.LINK, proposed, asked_by=ANA, agreed_by=None, alone=True, reason=WHY)
    assert refused(waits) == "awaits_second_person"
