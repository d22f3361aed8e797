"""Who may have what done: no way leads to an act of two persons that one of them did alone, and an act goes along its table's edges."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from payorch.domain import approving
from payorch.domain.act_records import ActRecord, By, No, Plan, Refusal, Step, Terms
from payorch.domain.acts import EDGES, KINDS, ActName, ActState, Check, Draft, Effect, Nonsense, Objection, Performed, Person, Proof, Wish
from payorch.domain.money import Money
from payorch.domain.roles import Role

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
LATE = START + timedelta(hours=1)
TERMS = Terms(plan_seconds=1800, decision_seconds=1800, review_seconds=86400)
ANA = Person(operator="opr_1", name="ana", person="Ana Example")
ANA_AGAIN = Person(operator="opr_2", name="root", person=" ana  EXAMPLE")
RENAMED = Person(operator="opr_1", name="ben", person="Ben Example")
BEN = Person(operator="opr_3", name="ben", person="Ben Example")
DRAFT = Draft(
    effects=(Effect(what="state", before="a", after="b"),), people=2, why_people="money", version="1", confirm="2.00", undo="no way back",
    amount=Money(200, "EUR"), checks=(Check(what="evidence", holds=True),),
)  # fmt: skip
OTHER = replace(DRAFT, version="2")


def by(who: Person = ANA, role: Role = Role.APPROVER) -> By:
    return By(person=who, role=role, cause="req_1", route="POST /")


def a_wish(**changes: Any) -> Wish:
    return replace(Wish(name=ActName.PAYMENT_RESOLVE, subject="pay_1", parameters={"to": "CAPTURED"}, who=ANA), **changes)


def a_plan(draft: Draft = DRAFT, **changes: Any) -> Plan:
    return approving.planned(a_wish(**changes), draft, id="pln_1", at=START, terms=TERMS)


def asked(plan: Plan, now: Draft | None = None, who: By | None = None, at: datetime = START) -> Step | Refusal:
    return approving.asked(plan, now or plan.draft, who or by(), id="act_1", reason="r", key="k", at=at, terms=TERMS)


def step(found: Step | Refusal | None) -> Step:
    assert isinstance(found, Step), found
    return found


def no(found: Step | Refusal | None) -> No:
    refusal = found.refusal if isinstance(found, Step) else found
    assert refusal is not None
    return refusal.code


# --- every way ------------------------------------------------------------------------------------------------------------------------

PEOPLE = [by(ANA), by(ANA_AGAIN, Role.ADMIN), by(RENAMED), by(BEN), by(BEN, Role.OPERATOR)]
_Move = Callable[[ActRecord], Step | Refusal | None]


def moves(draft: Draft) -> Iterator[tuple[str, _Move]]:
    """Everything that anybody can say or do to an act whose plan came to `draft`."""
    for who, at, now in itertools.product(PEOPLE, (START, LATE), (draft, OTHER, None)):
        yield f"{who.person.name} approves", lambda act, w=who, a=at, n=now: approving.approved(act, act.hash, n, w, at=a)  # type: ignore[misc]
    for who, at in itertools.product(PEOPLE, (START, LATE)):
        yield "rejects", lambda act, w=who, a=at: approving.rejected(act, w, reason="r", at=a)  # type: ignore[misc]
        yield "halts", lambda act, w=who, a=at: approving.halt_asked(act, w, reason="r", at=a)  # type: ignore[misc]
        yield "reviews", lambda act, w=who, a=at: approving.reviewed(act, w, note="n", at=a)  # type: ignore[misc]
    yield "time passes", lambda act: approving.expired(act, at=LATE)
    for now in (draft, OTHER, None):
        yield "begins", lambda act, n=now: approving.begun(act, n, at=START) if act.state in _CARRIED else None  # type: ignore[misc]
    yield "progresses", lambda act: approving.progressed(act, {"done": 1}) if act.state is ActState.RUNNING else None
    yield "ends", lambda act: _ended(act) if act.state in _CARRIED else None


_CARRIED = (ActState.APPROVED, ActState.RUNNING)


def _ended(act: ActRecord) -> Step:
    return approving.finished(act, Performed(state=ActState.DONE, text="done"), at=START)


def ways(act: ActRecord, depth: int, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], ActRecord, ActRecord]]:
    """Every change that a sequence of moves can bring about: how, from what, to what."""
    if depth == 0:
        return
    seen: set[bytes] = set()
    for name, move in moves(act.draft):
        found = move(act)
        if not isinstance(found, Step) or repr(found.act).encode() in seen:
            continue
        seen.add(repr(found.act).encode())
        yield (*path, name), act, found.act
        yield from ways(found.act, depth - 1, (*path, name))


@pytest.mark.parametrize("glass", [False, True])
@pytest.mark.parametrize("people", [1, 2])
def test_no_way_leads_round_the_second_person_or_off_the_edges(people: int, glass: bool) -> None:
    first = asked(a_plan(replace(DRAFT, people=people), break_glass=glass))
    if people == 1 and glass:
        assert no(first) is No.NOT_ALLOWED
        return
    begun = step(first).act
    count = 0
    for path, before, after in ways(begun, 4):
        count += 1
        assert after.version == before.version + 1, path
        assert after.state in EDGES[before.state] or (after.state is before.state and after.review != before.review), path
        if after.state in (*_CARRIED, ActState.DONE, ActState.FAILED, ActState.HALTED) and people == 2 and not glass:
            assert after.decision is not None, path
            assert after.decision.approved, path
            assert after.decision.by == BEN, path
        if after.review is not None and after.review.by is not None:
            assert after.review.by == BEN, path
        if before.decision is not None:
            assert after.decision == before.decision, path
    assert count > 10


# --- plans ----------------------------------------------------------------------------------------------------------------------------


def test_the_same_wish_and_finding_have_the_same_hash_and_others_another() -> None:
    first = approving.plan_hash(a_wish(), DRAFT)
    assert first == approving.plan_hash(a_wish(who=BEN, parameters=dict(reversed(list({"to": "CAPTURED"}.items())))), replace(DRAFT))
    others = [
        approving.plan_hash(a_wish(subject="pay_2"), DRAFT),
        approving.plan_hash(a_wish(parameters={"to": "FAILED"}), DRAFT),
        approving.plan_hash(a_wish(break_glass=True), DRAFT),
        approving.plan_hash(a_wish(name=ActName.PAYMENT_VOID), DRAFT),
        *(approving.plan_hash(a_wish(), replace(DRAFT, **{name: value})) for name, value in CHANGES.items()),
    ]
    assert len({first, *others}) == len(others) + 1
    forecast = Effect(what="traffic", before="3 a second", after="0", forecast=True)
    assert first == approving.plan_hash(a_wish(), replace(DRAFT, effects=(*DRAFT.effects, forecast))), "a figure of the moment binds nobody"
    circuit = Check(what="connector", holds=False, forecast=True)
    assert first == approving.plan_hash(a_wish(), replace(DRAFT, checks=(*DRAFT.checks, circuit))), "nor does a circuit"
    proof = Proof(reference="r", at=START, text="t")
    assert first == approving.plan_hash(a_wish(), replace(DRAFT, proofs=(proof,))), "what a proof changes is another version"


CHANGES: dict[str, Any] = {
    "effects": (), "people": 1, "why_people": "x", "version": "2", "confirm": "x", "undo": "x", "checks": (), "amount": Money(201, "EUR"),
    "objections": (Objection(code="c", why="w"),), "basis": ("x",),
}  # fmt: skip


def test_every_part_of_a_finding_is_in_its_hash() -> None:
    assert set(CHANGES) == set(Draft.__struct_fields__) - {"proofs"}


def test_a_forecast_is_shown_and_no_plan_falls_with_it() -> None:
    before, after = (Effect(what="traffic", before=f"{n}/s", after="0/s", forecast=True) for n in (40, 41))
    first, later = (replace(DRAFT, effects=(*DRAFT.effects, one)) for one in (before, after))
    plan = a_plan(first)
    assert before in plan.draft.effects
    assert step(asked(plan, later)).act.draft == first
    assert no(asked(plan, replace(later, effects=(replace(DRAFT.effects[0], after="c"), after)))) is No.PLAN_CHANGED


@given(st.dictionaries(st.text(max_size=5), st.one_of(st.integers(), st.text(max_size=5), st.none(), st.booleans())))
def test_the_order_of_parameters_makes_no_difference(parameters: dict[str, Any]) -> None:
    back = dict(reversed(list(parameters.items())))
    assert approving.plan_hash(a_wish(parameters=parameters), DRAFT) == approving.plan_hash(a_wish(parameters=back), DRAFT)


@pytest.mark.parametrize("name", ActName)
def test_parameters_are_those_of_the_table(name: ActName) -> None:
    kind = KINDS[name]
    required = {one: "x" for one in kind.parameters if not one.endswith("?")}
    approving.check_parameters(name, required)
    approving.check_parameters(name, {one.removesuffix("?"): "x" for one in kind.parameters})
    with pytest.raises(Nonsense) as unknown:
        approving.check_parameters(name, required | {"colour": "red"})
    assert unknown.value.field == "/parameters/colour"
    for one in required:
        with pytest.raises(Nonsense) as missing:
            approving.check_parameters(name, {other: "x" for other in required if other != one})
        assert missing.value.field == f"/parameters/{one}"


@pytest.mark.parametrize("role", Role)
@pytest.mark.parametrize("name", ActName)
def test_the_table_says_which_role_may_wish_for_what(name: ActName, role: Role) -> None:
    assert (approving.may_wish(name, by(role=role), break_glass=False) is None) is role.may(KINDS[name].least)
    alone = role.may(KINDS[name].least) and role.may(Role.APPROVER)
    assert (approving.may_wish(name, by(role=role), break_glass=True) is None) is alone


# --- asking and deciding --------------------------------------------------------------------------------------------------------------


def test_asking() -> None:
    assert step(asked(a_plan())).act.state is ActState.PROPOSED
    assert step(asked(a_plan(replace(DRAFT, people=1)))).act.state is ActState.APPROVED
    glass = step(asked(a_plan(break_glass=True))).act
    assert glass.review is not None
    assert (glass.state, glass.review.due_at) == (ActState.APPROVED, START + timedelta(days=1))
    assert no(asked(a_plan(), now=OTHER)) is No.PLAN_CHANGED
    assert no(asked(a_plan(), who=by(BEN))) is No.FORBIDDEN
    assert no(asked(a_plan(), who=by(ANA, Role.VIEWER))) is No.FORBIDDEN
    assert no(asked(a_plan(), at=START + timedelta(seconds=1800))) is No.PLAN_EXPIRED
    assert no(asked(a_plan(replace(DRAFT, objections=(Objection(code="c", why="w"),))))) is No.NOT_ALLOWED


def test_deciding() -> None:
    act = step(asked(a_plan())).act
    assert no(approving.approved(act, act.hash, DRAFT, by(BEN, Role.OPERATOR), at=START)) is No.FORBIDDEN
    changed = step(approving.approved(act, act.hash, OTHER, by(BEN), at=START))
    assert (changed.act.state, no(changed), changed.act.decision) == (ActState.REFUSED, No.PLAN_CHANGED, None)
    assert no(approving.approved(act, b"0" * 32, DRAFT, by(BEN), at=START)) is No.PLAN_CHANGED
    late = step(approving.approved(act, act.hash, DRAFT, by(BEN), at=LATE))
    assert (late.act.state, no(late)) == (ActState.EXPIRED, No.PLAN_EXPIRED)
    good = step(approving.approved(act, act.hash, DRAFT, by(BEN), at=START)).act
    assert no(approving.approved(good, good.hash, DRAFT, by(BEN), at=START)) is No.NOT_ALLOWED
    assert no(approving.rejected(good, by(BEN), reason="r", at=START)) is No.NOT_ALLOWED
    assert step(approving.rejected(act, by(ANA, Role.OPERATOR), reason="r", at=START)).act.state is ActState.REJECTED
    assert no(approving.rejected(act, by(BEN, Role.OPERATOR), reason="r", at=START)) is No.FORBIDDEN


def test_what_is_about_to_be_done_is_looked_at_once_more_and_never_after_it_was_begun() -> None:
    act = step(asked(a_plan(replace(DRAFT, people=1)))).act
    assert step(approving.begun(act, OTHER, at=START)).act.state is ActState.REFUSED
    assert step(approving.begun(act, None, at=START)).act.state is ActState.REFUSED
    running = step(approving.begun(act, act.draft, at=START)).act
    assert running.state is ActState.RUNNING
    assert approving.begun(running, OTHER, at=START) is None


def test_an_act_does_not_leave_its_edges() -> None:
    act = step(asked(a_plan())).act
    with pytest.raises(AssertionError, match="no act goes from proposed to done"):
        _ended(act)
