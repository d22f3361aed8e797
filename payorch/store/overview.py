"""What waits for people, as sums: outcomes that are not known, payments for review or set aside, queues, findings, acts.

As in `reads`, every function takes a connection, is one statement and changes nothing. Each statement goes by an index that holds only what
it counts, so its cost follows what waits and not what is stored. Not here: what is made of it (`payorch.operations.overview`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final

from psycopg.types.numeric import Int8

from payorch.domain.money import EXPONENTS, Money
from payorch.domain.payment import State
from payorch.store.driver import Connection
from payorch.store.query import all_rows, utc

QUEUE_COUNTED: Final = 100_000
"""A queue is counted so far: to count a million entries every two seconds would be a load of its own, and nobody reads the last digits."""
LETTER_GROUPS: Final = 50
"""Groups of dead letters that are told apart. The largest come first; all others stand in the total."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Payments that wait, of one kind, connector and currency. since: when the first of them was made, or stopped moving."""

    what: str
    connector: str | None
    count: int
    amount: Money
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Mismatches:
    """Findings that nobody has explained, of a PSP's day in one currency. gross: of those whose amount is known; None of no currency."""

    connector: str
    day: date
    count: int
    gross: Money | None
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Letters:
    """Open dead letters that failed alike."""

    fingerprint: str
    kind: str
    origin: str
    reason_class: str
    count: int
    since: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Queues:
    """What is still to be tried: deliveries to merchants, notices of PSPs; counted up to QUEUE_COUNTED."""

    outbox: int
    inbox: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Acts:
    """Acts that wait for a second person, by whoever asked; and what was done with the glass broken and nobody has looked at since."""

    waiting: Mapping[str, int]
    waiting_since: datetime | None
    reviews: int
    review_due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LastDay:
    """The latest day that any report has lines of, and how many of them are matched."""

    day: date
    lines: int
    matched: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """All of it but the last day, which changes rarely and costs more."""

    waiting: Sequence[Waiting]
    mismatches: Sequence[Mismatches]
    letters: Sequence[Letters]
    letters_open: int
    queues: Queues
    acts: Acts


UNKNOWN: Final = State.OUTCOME_UNKNOWN.value
REVIEW: Final = State.MANUAL_REVIEW.value
HELD: Final = "held"
OPERATION_REVIEW: Final = "operation_review"
"""What a `Waiting` is of."""


async def facts(connection: Connection) -> Facts:
    """All of it, one statement after the other."""
    letters = await dead_letters(connection)
    return Facts(
        waiting=await waiting(connection),
        mismatches=await mismatches(connection),
        letters=letters[:LETTER_GROUPS],
        letters_open=sum(one.count for one in letters),
        queues=await queues(connection),
        acts=await acts(connection),
    )


async def waiting(connection: Connection) -> list[Waiting]:
    """Payments that do not go on by themselves, or of which nobody knows whether money moved."""
    rows = await all_rows(connection, _WAITING, [UNKNOWN, REVIEW])
    return [Waiting(what=row[0], connector=row[1], count=row[3], amount=Money(row[4], row[2]), since=utc(row[5])) for row in rows]


async def mismatches(connection: Connection) -> list[Mismatches]:
    """Findings that nobody has explained, newest day first."""
    rows = await all_rows(connection, _MISMATCHES, [])
    return [Mismatches(connector=row[0], day=row[1], count=row[3], gross=_money(row[4], row[2]), since=utc(row[5])) for row in rows]


async def dead_letters(connection: Connection) -> list[Letters]:
    """Open dead letters by what they failed of, the largest group first."""
    rows = await all_rows(connection, _LETTERS, [])
    return [Letters(fingerprint=row[0], kind=row[1], origin=row[2], reason_class=row[3], count=row[4], since=utc(row[5])) for row in rows]


async def queues(connection: Connection) -> Queues:
    """How long the two queues in the database are."""
    [row] = await all_rows(connection, _QUEUES, [Int8(QUEUE_COUNTED)])
    return Queues(outbox=row[0], inbox=row[1])


async def acts(connection: Connection) -> Acts:
    """What waits for a second person."""
    by_person = await all_rows(connection, _ACTS, [])
    [reviews] = await all_rows(connection, _REVIEWS, [])
    return Acts(
        waiting={row[0]: row[1] for row in by_person},
        waiting_since=min((utc(row[2]) for row in by_person), default=None),
        reviews=reviews[0],
        review_due_at=utc(reviews[1]),
    )


async def last_day(connection: Connection) -> LastDay | None:
    """The latest day of any report; None where no report has come. It reads that day's lines: ask rarely."""
    [[day]] = await all_rows(connection, "SELECT max(booked_on) FROM payorch.settlement_rows", [])
    if day is None:
        return None
    [row] = await all_rows(connection, _LAST_DAY, [day])
    return LastDay(day=day, lines=row[0], matched=row[1])


def _money(minor: int, currency: str) -> Money | None:
    """An amount; None where it is of no currency that anybody knows (XXX: a line that cannot be read)."""
    return Money(minor, currency) if currency in EXPONENTS else None


_WAITING: Final = """
SELECT state, connector, currency, count(*), sum(amount)::bigint, min(created_at) FROM payorch.payments
WHERE state IN ($1, $2) GROUP BY state, connector, currency
UNION ALL
SELECT 'held', connector, currency, count(*), sum(amount)::bigint, min(updated_at) FROM payorch.payments WHERE held
GROUP BY connector, currency
UNION ALL
SELECT 'operation_review', NULL, currency, count(DISTINCT payment_id), sum(amount)::bigint, min(updated_at) FROM payorch.operations
WHERE in_review GROUP BY currency
ORDER BY 1, 2, 3
"""
_MISMATCHES: Final = """
SELECT connector, day, amount_currency, count(*), coalesce(sum(abs(difference)), 0)::bigint, min(found_at)
FROM payorch.reconciliation_findings WHERE state IN ('open', 'proposed')
GROUP BY connector, day, amount_currency ORDER BY day DESC, connector, amount_currency
"""
_LETTERS: Final = """
SELECT fingerprint, min(kind), min(origin), min(reason_class), count(*), min(first_failed_at) FROM payorch.dead_letters
WHERE state = 'open' GROUP BY fingerprint ORDER BY count(*) DESC, fingerprint
"""
_QUEUES: Final = """
SELECT (SELECT count(*) FROM (SELECT FROM payorch.deliveries WHERE next_attempt_at IS NOT NULL LIMIT $1) AS counted),
       (SELECT count(*) FROM (SELECT FROM payorch.inbox WHERE next_try_at IS NOT NULL LIMIT $1) AS counted)
"""
_ACTS: Final = """
SELECT requested_person, count(*), min(requested_at) FROM payorch.acts WHERE state = 'proposed'
GROUP BY requested_person ORDER BY requested_person
"""
_REVIEWS: Final = """
SELECT count(*), min(review_due_at) FROM payorch.acts WHERE review_due_at IS NOT NULL AND reviewed_at IS NULL
"""
_LAST_DAY: Final = """
SELECT count(*) FILTER (WHERE state <> 'beside'), count(*) FILTER (WHERE state = 'matched') FROM payorch.settlement_rows
WHERE booked_on = $1
"""
