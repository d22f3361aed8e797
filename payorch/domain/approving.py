"""Who may have what done, and when: from a plan that somebody was shown to an act that was carried out, as decisions over records.

    a plan       the wish, what its dry run found, and the hash of both
    asked        done at once where it takes one person or the glass is broken; else it waits for a second one
    approved     by another person, who has seen the plan as it comes out now, which is as it came out then
    carried out  if the plan still comes out so; begun is written before anything is done, so that a crash in between is carried on

Four eyes are two persons: not two accounts, tokens or sessions, and neither a new spelling of a name nor an account that was given to
somebody else while the act waited makes two of one. The database holds the same (`0008_operations.sql`).

Pure. Not here: the records (`act_records`), the table of acts (`acts`), planning and carrying out (`payorch.operations`), keeping records
(`payorch.store.acts`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from payorch.domain.act_records import ActRecord, By, Decision, Halt, No, Plan, Refusal, Review, Step, Terms
from payorch.domain.acts import (
    APPROVES,
    BREAKS_GLASS,
    EDGES,
    KINDS,
    OPEN,
    ActName,
    ActState,
    Draft,
    Nonsense,
    Objection,
    Performed,
    Person,
    Wish,
)
from payorch.domain.persons import same_eyes
from payorch.domain.roles import Role

_HASH_FORM: Final = b"payorch plan 1"


# --- plans ------------------------------------------------------------------------------------------------------------------------------


def plan_hash(wish: Wish, draft: Draft) -> bytes:
    """32 bytes that are the same for the same thing wanted and found, whoever looks and whenever. Forecasts are no part of it."""
    wanted = {"name": wish.name, "subject": wish.subject, "parameters": dict(wish.parameters), "break_glass": wish.break_glass}
    digest = hashlib.sha256(_HASH_FORM)
    for part in (msgspec.json.encode(wanted, order="sorted"), msgspec.json.encode(draft.binding, order="sorted")):
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.digest()


def may_wish(name: ActName, by: By, *, break_glass: bool) -> Refusal | None:
    """Whether the role is large enough to plan it, which is what it takes to ask for it."""
    least = KINDS[name].least
    if not by.role.may(least):
        why = f"{name} takes the role {least}, and this token has the role {by.role}; nothing was done"
        return Refusal(code=No.FORBIDDEN, why=why, named=True)
    if break_glass and not by.role.may(BREAKS_GLASS):
        why = f"doing alone what takes two persons takes the role {BREAKS_GLASS}, and this token has the role {by.role}; nothing was done"
        return Refusal(code=No.FORBIDDEN, why=why)
    return None


def check_parameters(name: ActName, parameters: Mapping[str, Any]) -> None:
    """That there are those which it takes, and no others; what may stand in them is its planner's to say. Raises Nonsense."""
    known = {one.removesuffix("?"): one.endswith("?") for one in KINDS[name].parameters}
    for given in parameters:
        if given not in known:
            takes = ", ".join(known) or "no parameters"
            raise Nonsense(f"/parameters/{given}", f"There is no such parameter: {name} takes {takes}.")
    for wanted, may_be_left_out in known.items():
        if not may_be_left_out and parameters.get(wanted) is None:
            raise Nonsense(f"/parameters/{wanted}", f"This is required: {name} cannot be planned without it.")


def planned(wish: Wish, draft: Draft, *, id: str, at: datetime, terms: Terms) -> Plan:
    """The plan to show. Where the glass need not be broken, it may not be."""
    draft = with_glass(wish, draft)
    return Plan(
        id=id,
        wish=wish,
        draft=draft,
        hash=plan_hash(wish, draft),
        created_at=at,
        expires_at=at + timedelta(seconds=terms.plan_seconds),
    )


def with_glass(wish: Wish, draft: Draft) -> Draft:
    """What the dry run found, with what breaking the glass has against it."""
    objection = Objection(code="no_glass_to_break", why="It takes one person only: ask for it without breaking the glass.")
    if not wish.break_glass or draft.people > 1 or objection in draft.objections:
        return draft
    return replace(draft, objections=(*draft.objections, objection))


def is_same(shown: bytes, wish: Wish, draft: Draft | None) -> bool:
    """Whether the plan made anew is the one that was shown. None: it cannot be made any more."""
    return draft is not None and plan_hash(wish, with_glass(wish, draft)) == shown


# --- asking -----------------------------------------------------------------------------------------------------------------------------


def may_ask(plan: Plan, by: By, *, at: datetime) -> Refusal | None:
    """Whether he may have that plan carried out, as far as the plan itself goes: it is his, it holds still, and he may wish for it."""
    if plan.wish.who.operator != by.person.operator:
        why = f"this plan was made by {plan.wish.who.name}: make one of your own; nothing was done"
        return Refusal(code=No.FORBIDDEN, why=why)
    refusal = may_wish(plan.wish.name, by, break_glass=plan.wish.break_glass)
    if refusal is not None:
        return refusal
    if at >= plan.expires_at:
        return Refusal(code=No.PLAN_EXPIRED, why="the plan is too old to be acted upon: make it anew and look at it; nothing was done")
    return None


def asked(plan: Plan, now: Draft | None, by: By, *, id: str, reason: str, key: str, at: datetime, terms: Terms) -> Step | Refusal:
    """What follows when he asks for what he was shown, with the plan made anew beside it."""
    refusal = may_ask(plan, by, at=at)
    if refusal is not None:
        return refusal
    if not is_same(plan.hash, plan.wish, now):
        return Refusal(
            code=No.PLAN_CHANGED, why="what it is about has changed since the plan was made: look at the new one; nothing was done"
        )
    draft = plan.draft
    if not draft.allowed:
        why = " ".join(one.why for one in draft.objections) + " Nothing was done."
        return Refusal(code=No.NOT_ALLOWED, why=why, objections=draft.objections)
    act = ActRecord(
        id=id,
        plan_id=plan.id,
        wish=replace(plan.wish, who=by.person),
        draft=draft,
        hash=plan.hash,
        reason=reason,
        key=key,
        state=ActState.PROPOSED,
        requested_at=at,
        expires_at=at + timedelta(seconds=terms.decision_seconds),
    )
    if plan.wish.break_glass:
        due = Review(due_at=at + timedelta(seconds=terms.review_seconds))
        return Step(name="GlassBroken", act=replace(act, state=ActState.APPROVED, review=due))
    if draft.people == 1:
        return Step(name="Ordered", act=replace(act, state=ActState.APPROVED))
    return Step(name="Proposed", act=act)


# --- deciding ---------------------------------------------------------------------------------------------------------------------------


def same_person(one: Person, other: Person) -> bool:
    """Whether these are the eyes of one person, or of one account."""
    return one.operator == other.operator or same_eyes(one.person, other.person)


def may_decide(by: By) -> Refusal | None:
    """Whether the role is large enough to approve and to review at all."""
    if by.role.may(APPROVES):
        return None
    return Refusal(code=No.FORBIDDEN, why=f"this takes the role {APPROVES}, and this token has the role {by.role}; nothing was done")


def why_not_approve(act: ActRecord, by: By, *, at: datetime) -> Refusal | None:
    """Why he may not approve it, whatever its plan comes to now."""
    if act.state is not ActState.PROPOSED:
        return _decided(act)
    if same_person(by.person, act.wish.who):
        why = f"{act.wish.who.name} asked for it, so another person has to approve it; nothing was done"
        return Refusal(code=No.SAME_PERSON, why=why, named=True)
    least = max(APPROVES, KINDS[act.wish.name].least, key=lambda role: tuple(Role).index(role))
    if not by.role.may(least):
        return Refusal(code=No.FORBIDDEN, why=f"approving takes the role {least}, and this token has the role {by.role}; nothing was done")
    if at >= act.expires_at:
        return Refusal(code=No.PLAN_EXPIRED, why="nobody decided in time: whoever asked for it asks again; nothing was done")
    return None


def approved(act: ActRecord, seen: bytes, now: Draft | None, by: By, *, at: datetime) -> Step | Refusal:
    """What follows when he agrees. seen: the hash of the plan that he had before him. now: the plan made anew at this moment."""
    refusal = why_not_approve(act, by, at=at)
    if refusal is not None:
        return _expired(act, at, refusal) if refusal.code is No.PLAN_EXPIRED else refusal
    if not is_same(act.hash, act.wish, now):
        why = "what it is about has changed since it was asked for, so it is refused; whoever asked looks and asks again; nothing was done"
        return withdrawn(act, why, at=at, refusal=Refusal(code=No.PLAN_CHANGED, why=why))
    if seen != act.hash:
        return Refusal(code=No.PLAN_CHANGED, why="this is not the plan that was asked for: look at it as it is now; nothing was done")
    return _to(act, ActState.APPROVED, "Approved", decision=Decision(approved=True, by=by.person, at=at))


def rejected(act: ActRecord, by: By, *, reason: str, at: datetime) -> Step | Refusal:
    """What follows when an approver says no, or whoever asked takes it back."""
    if act.state is not ActState.PROPOSED:
        return _decided(act)
    if not by.role.may(APPROVES) and not same_person(by.person, act.wish.who):
        return Refusal(code=No.FORBIDDEN, why=f"rejecting what another has asked for takes the role {APPROVES}; nothing was done")
    if at >= act.expires_at:
        return _expired(act, at, Refusal(code=No.PLAN_EXPIRED, why="nobody decided in time: it is over already; nothing was done"))
    said = Decision(approved=False, by=by.person, at=at, reason=reason)
    return _to(act, ActState.REJECTED, "Rejected", decision=said, finished_at=at, detail={"reason": reason})


def expired(act: ActRecord, *, at: datetime) -> Step | None:
    """What follows from nobody having decided in time; None where it is not so."""
    return _expired(act, at, None) if act.state is ActState.PROPOSED and at >= act.expires_at else None


def _expired(act: ActRecord, at: datetime, refusal: Refusal | None) -> Step:
    step = _to(act, ActState.EXPIRED, "Expired", finished_at=at, result={"text": "nobody decided in time; nothing was done"})
    return replace(step, refusal=refusal)


def _decided(act: ActRecord) -> Refusal:
    who = f" by {act.decision.by.name}" if act.decision is not None else ""
    return Refusal(code=No.NOT_ALLOWED, why=f"it is {act.state}{who}, and is not decided again", allowed=possible(act))


def possible(act: ActRecord) -> tuple[str, ...]:
    """What may be said to it now, by whoever may say so."""
    if act.state is ActState.PROPOSED:
        return ("approve", "reject")
    halts = ("halt",) if act.state is ActState.RUNNING and act.halt is None else ()
    return (*halts, *(("review",) if act.review is not None and act.review.by is None and act.state not in OPEN else ()))


# --- carrying out -----------------------------------------------------------------------------------------------------------------------


def begun(act: ActRecord, now: Draft | None, *, at: datetime) -> Step | None:
    """What follows when it is to be carried out: written before anything is done. None: it was begun before, and is carried on.

    It is looked at once more, since what was approved may be another by now; never after it was begun, since then it is another by it.
    """
    if act.state is ActState.RUNNING:
        return None
    if not is_same(act.hash, act.wish, now):
        return withdrawn(act, "what it is about changed before it was carried out; nothing was done", at=at)
    return _to(act, ActState.RUNNING, "Started")


def progressed(act: ActRecord, progress: Mapping[str, Any]) -> Step:
    """It came so far. Where somebody wants it to stop, it does."""
    return _to(act, ActState.RUNNING, None, progress=progress)


def halted(act: ActRecord, *, at: datetime) -> Step:
    """It stopped because somebody wanted it to."""
    assert act.halt is not None, "somebody has said so"
    result = {"text": f"stopped by {act.halt.by.name}: {act.halt.reason}"}
    return _to(act, ActState.HALTED, "Halted", result=result, finished_at=at, detail={"text": result["text"]})


def finished(act: ActRecord, what: Performed, *, at: datetime) -> Step:
    """What came of it."""
    name = {ActState.HALTED: "Halted", ActState.REFUSED: "Refused"}.get(what.state, "Finished")
    return _to(act, what.state, name, result={**what.data, "text": what.text}, finished_at=at, detail={"text": what.text})


def withdrawn(act: ActRecord, why: str, *, at: datetime, refusal: Refusal | None = None) -> Step:
    """It is not done, since what it is about has changed."""
    detail = {"code": str(No.PLAN_CHANGED), "why": why}
    step = _to(act, ActState.REFUSED, "Refused", result={"text": why, "code": str(No.PLAN_CHANGED)}, finished_at=at, detail=detail)
    return replace(step, refusal=refusal)


# --- afterwards, and in between ---------------------------------------------------------------------------------------------------------


def halt_asked(act: ActRecord, by: By, *, reason: str, at: datetime) -> Step | Refusal:
    """What follows when somebody wants a long act to stop: it is written, and the act stops after the step that it is in."""
    if act.state is not ActState.RUNNING or act.halt is not None:
        why = f"it is {act.state}" if act.halt is None else f"{act.halt.by.name} has stopped it already"
        return Refusal(code=No.NOT_ALLOWED, why=f"{why}: there is nothing to stop", allowed=possible(act), named=act.halt is not None)
    if not by.role.may(KINDS[act.wish.name].least):
        return Refusal(code=No.FORBIDDEN, why=f"stopping it takes the role {KINDS[act.wish.name].least}; it goes on")
    return _to(act, ActState.RUNNING, "HaltAsked", halt=Halt(by=by.person, at=at, reason=reason), detail={"reason": reason})


def reviewed(act: ActRecord, by: By, *, note: str, at: datetime) -> Step | Refusal:
    """What follows when another person has looked at what was done with the glass broken."""
    if act.review is None or act.review.by is not None or act.state in OPEN:
        over = "it is not over yet" if act.state in OPEN else "there is nothing to review"
        return Refusal(code=No.NOT_ALLOWED, why=f"{over}: {act.wish.name} is {act.state}", allowed=possible(act))
    if same_person(by.person, act.wish.who):
        why = f"{act.wish.who.name} broke the glass, so another person has to review it"
        return Refusal(code=No.SAME_PERSON, why=why, named=True)
    if not by.role.may(APPROVES):
        return Refusal(code=No.FORBIDDEN, why=f"reviewing takes the role {APPROVES}, and this token has the role {by.role}")
    review = replace(act.review, by=by.person, at=at, note=note)
    after = replace(act, review=review, version=act.version + 1)
    return Step(name="Reviewed", act=after, detail={"note": note})


def _to(act: ActRecord, state: ActState, name: str | None, *, detail: Mapping[str, str | None] | None = None, **changes: Any) -> Step:
    """The only way from one state to another: along an edge."""
    if state not in EDGES[act.state]:
        raise AssertionError(f"no act goes from {act.state} to {state}")
    return Step(name=name, act=replace(act, state=state, version=act.version + 1, **changes), detail=detail or {})
