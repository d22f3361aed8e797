"""Plans and acts: reading them, and each change of an act as an entry of the journal with the act's row.

Not here: which changes there are (`payorch.domain.approving`), rows (`act_rows`), writing (`entries`, the journal's writer).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.types.numeric import Int8

from payorch.domain.act_records import ActRecord, Plan, Step
from payorch.domain.acts import OPEN, UNFINISHED, ActName, ActState
from payorch.domain.identifiers import uuid_of
from payorch.store.act_rows import ACT_COLUMNS, PLAN_COLUMNS, act_of, plan_of
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import ACT_STREAM
from payorch.store.query import all_rows

_SELECT: Final = f"SELECT {ACT_COLUMNS} FROM payorch.acts AS a"


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """Which acts; everything given must hold. who: a name or person that asked, decided or reviewed. to_review: done with the glass broken,
    and nobody has looked at it yet.
    """

    states: tuple[ActState, ...] = ()
    subject: str | None = None
    name: ActName | None = None
    who: str | None = None
    to_review: bool = False


async def load_plan(connection: Connection, plan_id: str) -> Plan | None:
    """That plan; None where there is none, or none any more."""
    rows = await all_rows(connection, f"SELECT {PLAN_COLUMNS} FROM payorch.plans WHERE id = $1", [uuid_of(plan_id)])
    return plan_of(rows[0]) if rows else None


async def load(connection: Connection, act_id: str) -> ActRecord | None:
    """That act; None where there is none."""
    return await _one(connection, "id = $1", [uuid_of(act_id)])


async def numbered(connection: Connection, act_id: str) -> tuple[ActRecord, int] | None:
    """That act, and the number that its next entry in the journal has, as of one moment."""
    query = (
        f"SELECT {ACT_COLUMNS}, (SELECT coalesce(max(sequence), 0) + 1 FROM payorch.journal WHERE stream_id = a.id)"
        " FROM payorch.acts AS a WHERE id = $1"
    )
    rows = await all_rows(connection, query, [uuid_of(act_id)])
    return (act_of(rows[0][:-1]), rows[0][-1]) if rows else None


async def by_plan(connection: Connection, plan_id: str) -> ActRecord | None:
    """The act that was asked for with that plan."""
    return await _one(connection, "plan_id = $1", [uuid_of(plan_id)])


async def by_key(connection: Connection, operator_id: str, key: str) -> ActRecord | None:
    """The act that this operator asked for with that Idempotency-Key."""
    return await _one(connection, 'requested_by = $1 AND idempotency_key = $2 COLLATE "C"', [uuid_of(operator_id), key])


async def open_one(connection: Connection, subject: str, name: ActName) -> ActRecord | None:
    """The act of that kind upon that subject which is open now; there is at most one."""
    return await _one(connection, "subject = $1 AND name = $2 AND state IN ('proposed', 'approved', 'running')", [subject, name.value])


async def unfinished(connection: Connection, *, limit: int) -> list[ActRecord]:
    """Acts that are to be carried out still, oldest first."""
    states = [one.value for one in UNFINISHED]
    rows = await all_rows(connection, f"{_SELECT} WHERE state = ANY($1) ORDER BY id LIMIT $2", [states, Int8(limit)])
    return [act_of(row) for row in rows]


async def overdue(connection: Connection, at: datetime, *, limit: int) -> list[ActRecord]:
    """Proposals that nobody has decided in time, oldest first."""
    query = f"{_SELECT} WHERE state = 'proposed' AND expires_at <= $1 ORDER BY id LIMIT $2"
    return [act_of(row) for row in await all_rows(connection, query, [at, Int8(limit)])]


async def find(connection: Connection, what: Filter, *, limit: int, after: str | None = None) -> tuple[list[ActRecord], str | None]:
    """A page of acts, newest first, and the cursor for the next page (None: there is no more)."""
    where, parameters = _where(what)
    if after is not None:
        parameters.append(uuid_of(after))
        where.append(f"id < ${len(parameters)}")
    condition = f" WHERE {' AND '.join(where)}" if where else ""
    parameters.append(Int8(limit + 1))
    rows = await all_rows(connection, f"{_SELECT}{condition} ORDER BY id DESC LIMIT ${len(parameters)}", parameters)
    found = [act_of(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


def changed(step: Step) -> Change:
    """The record of a step, with the act as it is afterwards. Its version must be the one after that which was read."""
    act = step.act
    assert step.name is not None, "a step without a name is a row, and no record"
    told = {"action": act.wish.name.value, "subject": act.wish.subject, "state": act.state.value, "hash": act.hash.hex()}
    if act.version == 1:
        told["reason"] = act.reason
    return Change(stream=ACT_STREAM, stream_id=act.id, name=step.name, rows=(act,), detail={**told, **step.detail})


def _where(what: Filter) -> tuple[list[str], list[Any]]:
    conditions: list[str] = []
    parameters: list[Any] = []

    def add(condition: str, value: object) -> None:
        if value is not None:
            parameters.append(value)
            conditions.append(condition.format(f"${len(parameters)}"))

    add("state = ANY({})", [one.value for one in what.states] or None)
    add("subject = {}", what.subject)
    add("name = {}", what.name and what.name.value)
    add(
        "{0} IN (requested_name, requested_person, coalesce(decided_name, ''), coalesce(decided_person, ''), coalesce(reviewed_name, ''))",
        what.who,
    )
    if what.to_review:
        conditions.append("review_due_at IS NOT NULL AND reviewed_at IS NULL")
    return conditions, parameters


OPEN_STATES: Final = tuple(sorted(OPEN))


async def _one(connection: Connection, condition: str, parameters: Sequence[Any]) -> ActRecord | None:
    rows = await all_rows(connection, f"{_SELECT} WHERE {condition}", parameters)
    return act_of(rows[0]) if rows else None
