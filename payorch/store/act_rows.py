"""The rows of plans and acts, as the statement takes them and as they are read back.

Pure. Not here: what they mean (`payorch.domain.approving`), reading them (`acts`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec

from payorch.domain import identifiers
from payorch.domain.act_records import ActRecord, Decision, Halt, Plan, Review
from payorch.domain.acts import ActName, ActState, Draft, Person, Wish
from payorch.domain.identifiers import bytes_of
from payorch.store import tables
from payorch.store.items import PlansForgotten
from payorch.store.query import utc
from payorch.store.rows import NULL, Row, Table, boolean, integer, moment, raw, uuid, words

PLAN_COLUMNS: Final = (
    "id, name, subject, parameters::text, break_glass, draft::text, hash, operator_id, operator_name, person, created_at, expires_at"
)
ACT_COLUMNS: Final = (
    "id, plan_id, name, subject, parameters::text, draft::text, hash, break_glass, state, version, reason, idempotency_key, requested_by,"
    " requested_name, requested_person, requested_at, expires_at, decided_by, decided_name, decided_person, decided_at, decision,"
    " decision_reason, progress::text, result::text, finished_at, halted_by, halted_name, halted_person, halted_at, halt_reason,"
    " review_due_at, reviewed_by, reviewed_name, reviewed_person, reviewed_at, review_note"
)


def plan_row(item: Plan | PlansForgotten) -> tuple[Table, Row]:
    """The row of a plan, or of what is to be forgotten of them."""
    if isinstance(item, PlansForgotten):
        return tables.FORGOTTEN_PLANS, (moment(item.before), integer(item.limit))
    wish = item.wish
    row = (
        uuid(bytes_of(item.id)),
        *(words(wish.name), words(wish.subject), _json(wish.parameters), boolean(wish.break_glass)),
        *(raw(msgspec.json.encode(item.draft)), raw(item.hash)),
        *_person(wish.who),
        *(moment(item.created_at), moment(item.expires_at)),
    )
    return tables.PLANS, row


def act_row(act: ActRecord) -> tuple[Table, Row]:
    """The row of an act as it stands."""
    wish = act.wish
    row = (
        *(uuid(bytes_of(act.id)), words(act.id), uuid(bytes_of(act.plan_id))),
        *(words(wish.name), words(wish.subject), _json(wish.parameters), raw(msgspec.json.encode(act.draft)), raw(act.hash)),
        *(integer(act.people), boolean(wish.break_glass), words(act.state), integer(act.version), words(act.reason), words(act.key)),
        *(*_person(wish.who), moment(act.requested_at), moment(act.expires_at)),
        *_decision_row(act.decision),
        *(_json(act.progress), _json(act.result), moment(act.finished_at)),
        *_halt_row(act.halt),
        *_review_row(act.review),
    )
    return tables.ACTS, row


def plan_of(row: Sequence[Any]) -> Plan:
    """A row of PLAN_COLUMNS."""
    id, name, subject, parameters, break_glass, draft, hash_, operator_id, operator_name, person, created_at, expires_at = row
    who = _read_person(operator_id, operator_name, person)
    assert who is not None, "somebody made it"
    return Plan(
        id=identifiers.text("pln", id),
        wish=Wish(name=ActName(name), subject=subject, parameters=_read(parameters) or {}, who=who, break_glass=break_glass),
        draft=msgspec.json.decode(draft, type=Draft),
        hash=hash_,
        created_at=utc(created_at),
        expires_at=utc(expires_at),
    )


def act_of(row: Sequence[Any]) -> ActRecord:
    """A row of ACT_COLUMNS."""
    id, plan_id, name, subject, parameters, draft, hash_, break_glass, state, version, reason, key = row[:12]
    requested, requested_at, expires_at = _read_person(*row[12:15]), row[15], row[16]
    decided, decided_at, decision, decision_reason = _read_person(*row[17:20]), *row[20:23]
    progress, result, finished_at = row[23:26]
    assert requested is not None, "somebody asked for it"
    return ActRecord(
        id=identifiers.text("act", id),
        plan_id=identifiers.text("pln", plan_id),
        wish=Wish(name=ActName(name), subject=subject, parameters=_read(parameters) or {}, who=requested, break_glass=break_glass),
        draft=msgspec.json.decode(draft, type=Draft),
        hash=hash_,
        reason=reason,
        key=key,
        state=ActState(state),
        version=version,
        requested_at=utc(requested_at),
        expires_at=utc(expires_at),
        decision=None
        if decided is None
        else Decision(approved=decision == "approved", by=decided, at=utc(decided_at), reason=decision_reason),
        halt=_halt(row[26:31]),
        progress=_read(progress),
        result=_read(result),
        finished_at=utc(finished_at),
        review=_review(row[31:37]),
    )


def _decision_row(decision: Decision | None) -> Row:
    if decision is None:
        return (NULL,) * 6
    said = "approved" if decision.approved else "rejected"
    return *_person(decision.by), moment(decision.at), words(said), words(decision.reason)


def _halt_row(halt: Halt | None) -> Row:
    return (NULL,) * 5 if halt is None else (*_person(halt.by), moment(halt.at), words(halt.reason))


def _review_row(review: Review | None) -> Row:
    return (NULL,) * 6 if review is None else (moment(review.due_at), *_person(review.by), moment(review.at), words(review.note))


def _halt(row: Sequence[Any]) -> Halt | None:
    by = _read_person(*row[:3])
    return None if by is None else Halt(by=by, at=utc(row[3]), reason=row[4])


def _review(row: Sequence[Any]) -> Review | None:
    due_at, operator, name, person, at, note = row
    return None if due_at is None else Review(due_at=utc(due_at), by=_read_person(operator, name, person), at=utc(at), note=note)


def _person(person: Person | None) -> Row:
    if person is None:
        return NULL, NULL, NULL
    return uuid(bytes_of(person.operator)), words(person.name), words(person.person)


def _read_person(operator: Any, name: str | None, person: str | None) -> Person | None:
    if operator is None or name is None or person is None:
        return None
    return Person(operator=identifiers.text("opr", operator), name=name, person=person)


def _json(value: Mapping[str, Any] | None) -> bytes:
    return NULL if value is None else raw(msgspec.json.encode(value))


def _read(text: str | None) -> dict[str, Any] | None:
    return None if text is None else msgspec.json.decode(text, type=dict[str, Any])
