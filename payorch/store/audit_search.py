"""Searching the journal: who did what to what, when. Newest first, by positions, so that pages stay stable while the journal grows.

Two ways. `people`: what people did and what was refused to them, which has an index of its own. `all`: every record, of which there are
millions, so that one look goes through a bounded number of them, says how far it came, and goes on from there. A subject that is an id is
found by its stream, whatever its age; what else mentions it is found among people's records.

As in `reads`, every function takes a connection and changes nothing. Not here: what of a record is shown (`payorch.api.operations.audit`),
the chain (`audit`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.identifiers import MalformedIdentifier
from payorch.store.driver import Connection
from payorch.store.items import STREAMS
from payorch.store.query import all_rows

LOOKED_AT_MOST: Final = 20_000
"""Records that one look goes through, some 50 ms where each body has to be read. The next page goes on behind them."""
_LAST: Final = (1 << 63) - 1
_PEOPLE: Final = "(actor LIKE 'operator:%' OR actor LIKE 'cli:%' OR stream IN ('act', 'operator', 'merchant'))"
"""Word for word the condition of the index journal_of_people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What to search for; everything given must hold. people: only what people did and what was refused to them.

    who: an actor, with or without its kind (`ana`, `operator:ana`). act: part of a record's or an action's name. subject: an id, or a text
    that a record has as its subject or cause. until: not included. q: plain text anywhere in body or cause, however it is capitalised.
    """

    people: bool
    who: str | None = None
    act: str | None = None
    subject: str | None = None
    stream: str | None = None
    connector: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A record of the journal, whole. stream_id: with its prefix."""

    position: int
    stream: str
    stream_id: str
    sequence: int
    name: str
    at: datetime
    actor: str
    cause: str
    body: str
    hash: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page. after: the position to go on before; None at the end. searched_to: how far back it came; None: all there is was looked at."""

    records: list[Record]
    after: int | None
    searched_to: datetime | None


async def search(
    connection: Connection, what: Asked, *, limit: int, before: int | None = None, looked_at_most: int = LOOKED_AT_MOST
) -> Found:
    """A page of what was found, newest first. before: a position; only records with a smaller one."""
    start = _LAST if before is None else before
    if what.until is not None:
        start = min(start, await position_at(connection, what.until))
    question = _Question(what, start, looked_at_most)
    rows = await all_rows(connection, question.statement(limit), question.parameters)
    records = [_record(row) for row in rows[:limit]]
    if len(rows) > limit:
        return Found(records=records, after=records[-1].position, searched_to=records[-1].at)
    [(looked, lowest, lowest_at)] = await all_rows(connection, _REACHED.format(_among(what)), [Int8(start), Int8(looked_at_most)])
    old_enough = what.since is not None and lowest_at is not None and lowest_at < what.since
    if looked < looked_at_most or old_enough:
        return Found(records=records, after=None, searched_to=None)
    return Found(records=records, after=int(lowest), searched_to=lowest_at.astimezone(UTC))


async def position_at(connection: Connection, moment: datetime) -> int:
    """The first position whose record is not before that moment; one past the last where there is none. Times follow positions, as far as
    clocks do.
    """
    [(last,)] = await all_rows(connection, "SELECT position FROM payorch.journal_head", [])
    low, high = 1, int(last) + 1
    while low < high:
        middle = (low + high) // 2
        rows = await all_rows(connection, "SELECT at FROM payorch.journal WHERE position = $1", [Int8(middle)])
        if rows and rows[0][0] < moment:
            low = middle + 1
        else:
            high = middle
    return low


class _Question:
    """The statement of one look, with its parameters."""

    def __init__(self, what: Asked, start: int, looked_at_most: int) -> None:
        self.parameters: list[Any] = [Int8(start), Int8(looked_at_most)]
        self._conditions: list[str] = []
        self._what = what
        self._subject = _uuid_of(what.subject)
        self._conditions_of(what)

    def _add(self, condition: str, value: Any) -> None:
        self.parameters.append(value)
        self._conditions.append(condition.format(f"${len(self.parameters)}"))

    def _conditions_of(self, what: Asked) -> None:
        if what.who is not None:
            kinds = ("operator", "cli", "psp", "merchant")
            self._add("actor = ANY({0}::text[])", [what.who, *[f"{kind}:{what.who}" for kind in kinds]])
        if what.act is not None:
            # Of acts, the action's name stands in the body.
            self._add("(strpos(lower(name), {0}) > 0 OR stream = 'act' AND strpos(lower(body::text), {0}) > 0)", what.act.lower())
        if what.subject is not None:
            text = "cause = {0} OR strpos(body::text, {0}) > 0"
            self._add(f"({text})" if self._subject is None else f"(theirs OR {text})", what.subject)
        if what.stream is not None:
            self._add("stream = {0}", what.stream)
        if what.connector is not None:
            self.parameters.append(f"psp:{what.connector}")
            self._add(f"(actor = ${len(self.parameters)} OR strpos(body::text, '\"' || {{0}} || '\"') > 0)", what.connector)
        if what.since is not None:
            self._add("at >= {0}", what.since)
        if what.until is not None:
            self._add("at < {0}", what.until)
        if what.q is not None:
            self._add("(strpos(lower(body::text), {0}) > 0 OR strpos(lower(cause), {0}) > 0)", what.q.lower())

    def statement(self, limit: int) -> str:
        """One statement: so many records are looked at, and of those that fit the newest are found."""
        looked = f"SELECT *, false AS theirs FROM payorch.journal WHERE position < $1 {_among(self._what)} ORDER BY position DESC LIMIT $2"
        if self._subject is not None:
            self.parameters.append(self._subject)
            place = f"${len(self.parameters)}"
            looked = f"""
(SELECT * FROM ({looked}) AS mentions WHERE stream_id <> {place}) UNION ALL
(SELECT *, true FROM payorch.journal WHERE stream_id = {place} AND position < $1 ORDER BY position DESC LIMIT $2)"""
        where = " AND ".join(self._conditions) or "true"
        return f"""
SELECT position, stream, stream_id, sequence, name, at, actor, cause, body::text, hash FROM ({looked}) AS looked WHERE {where}
ORDER BY position DESC LIMIT {limit + 1}
"""


_REACHED: Final = """
SELECT count(*), min(position), min(at)
FROM (SELECT position, at FROM payorch.journal WHERE position < $1 {} ORDER BY position DESC LIMIT $2) AS looked
"""


def _among(what: Asked) -> str:
    """Which records are looked at: a subject's own are looked at beside them."""
    return f"AND {_PEOPLE}" if what.people or _uuid_of(what.subject) is not None else ""


def _uuid_of(subject: str | None) -> UUID | None:
    if subject is None:
        return None
    try:
        prefix, found = identifiers.parse(subject)
    except MalformedIdentifier:
        return None
    return found if prefix in STREAMS.values() else None


def _record(row: tuple[Any, ...]) -> Record:
    position, stream, stream_id, sequence, name, at, actor, cause, body, hash = row[:10]
    return Record(
        position=position,
        stream=stream,
        stream_id=identifiers.text(STREAMS[stream], stream_id),
        sequence=sequence,
        name=name,
        at=at.astimezone(UTC),
        actor=actor,
        cause=cause,
        body=body,
        hash=bytes(hash),
    )
