"""Plans and acts as operators see them: as in the contract, made of records.

Not here: their shapes for the document (`act_shapes`), who may approve (`payorch.domain.approving`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from payorch.api.operations.operators import Operator
from payorch.api.present import moment_view, money_view, rfc3339
from payorch.domain import approving
from payorch.domain.act_records import ActRecord, By, Plan
from payorch.domain.acts import KINDS, ActState, Draft, Person

View: TypeAlias = dict[str, Any]


def person_of(who: Operator) -> Person:
    """An operator as the domain knows persons."""
    return Person(operator=who.id, name=who.name, person=who.person)


def draft_view(draft: Draft, hash_: bytes | None = None) -> View:
    """What a dry run found. hash_: of the plan that it is of, where it is of one."""
    return {
        "allowed": draft.allowed,
        "objections": [{"code": one.code, "why": one.why} for one in draft.objections],
        "people": draft.people,
        "why_people": draft.why_people,
        "effects": [{"what": one.what, "before": one.before, "after": one.after} for one in draft.effects],
        "undo": draft.undo,
        "checks": [{"what": one.what, "holds": one.holds, "detail": one.detail, "binds": one.binds} for one in draft.checks],
        "proofs": [{"reference": one.reference, "at": moment_view(one.at), "text": one.text} for one in draft.proofs],
        "confirm": draft.confirm,
        "amount": money_view(draft.amount),
        "version": draft.version,
        "hash": None if hash_ is None else hash_.hex(),
    }


def plan_view(plan: Plan) -> View:
    """A plan, to be shown before anything is asked for."""
    wish = plan.wish
    return {
        "id": plan.id,
        "object": "plan",
        "action": wish.name.value,
        "verb": KINDS[wish.name].verb,
        "subject": wish.subject,
        "parameters": dict(wish.parameters),
        "break_glass": wish.break_glass,
        **draft_view(plan.draft, plan.hash),
        "made_by": wish.who.name,
        "created_at": rfc3339(plan.created_at),
        "expires_at": rfc3339(plan.expires_at),
    }


def action_view(act: ActRecord, who: Operator, now: datetime) -> View:
    """An act as it stands, as that operator sees it: whether it is his, and whether he may approve it."""
    wish, decision = act.wish, act.decision
    by = By(person=person_of(who), role=who.role, cause="", route="")
    refusal = approving.why_not_approve(act, by, at=now)
    waits = act.state is ActState.PROPOSED
    return {
        "id": act.id,
        "object": "action",
        "action": wish.name.value,
        "verb": KINDS[wish.name].verb,
        "subject": wish.subject,
        "parameters": dict(wish.parameters),
        "state": act.state.value,
        "people": act.people,
        "break_glass": wish.break_glass,
        "reason": act.reason,
        "plan": draft_view(act.draft, act.hash),
        "hash": act.hash.hex(),
        "requested_by": _person(wish.who),
        "requested_at": rfc3339(act.requested_at),
        "expires_at": rfc3339(act.expires_at),
        "decided_by": _person(decision.by if decision is not None else None),
        "decided_at": moment_view(decision.at if decision is not None else None),
        "decision": None if decision is None else "approved" if decision.approved else "rejected",
        "decision_reason": decision.reason if decision is not None else None,
        "progress": _progress(act.progress),
        "result": None if act.result is None else dict(act.result),
        "finished_at": moment_view(act.finished_at),
        "halt": None if act.halt is None else {"by": _person(act.halt.by), "at": rfc3339(act.halt.at), "reason": act.halt.reason},
        "review": _review(act),
        "version": act.version,
        "mine": approving.same_person(by.person, wish.who),
        "may_approve": refusal is None,
        "why_not_approve": refusal.why if refusal is not None and waits else None,
        "possible": list(approving.possible(act)),
    }


def _progress(progress: Mapping[str, Any] | None) -> View | None:
    """What every long act says of how far it is; what else it keeps for itself is its own."""
    if progress is None:
        return None
    return {name: progress.get(name) for name in ("total", "done", "ok", "failed", "canary", "text")}


def _review(act: ActRecord) -> View | None:
    review = act.review
    if review is None:
        return None
    return {"due_at": rfc3339(review.due_at), "by": _person(review.by), "at": moment_view(review.at), "note": review.note}


def _person(person: Person | None) -> View | None:
    return None if person is None else {"name": person.name, "person": person.person}
