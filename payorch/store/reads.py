"""Reading what the journal wrote: payments by replaying their events, search over the view rows, stored answers, timers, the tail.

Every function takes a connection (lend one from the pool) and is one statement. Nothing here changes anything or decides anything, and
nothing here is needed for correctness between two processes: that is what the journal's keys are for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from psycopg.types.numeric import Int8

from payorch.domain import identifiers
from payorch.domain.events import Event, decode
from payorch.domain.evolve import replay
from payorch.domain.identifiers import MalformedIdentifier, uuid_of
from payorch.domain.payment import State
from payorch.domain.records import Payment
from payorch.store.driver import Connection
from payorch.store.items import STREAMS
from payorch.store.query import all_rows

# An identifier is made in the same moment as its payment, so a span of creation is a range of identifiers, and the index on them finds it.
# The margin is for a clock that was set back; the exact comparison is on the column.
_CLOCK_MARGIN: Final = timedelta(minutes=1)
_LAST_CHARACTER: Final = "\U0010ffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """An event as it stands in the journal: `sequence` in its payment, `position` in the journal."""

    sequence: int
    position: int
    event: Event


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalRow:
    """Any record of the journal, payments' or others', as text. `stream_id` is an identifier with its prefix."""

    position: int
    stream: str
    stream_id: str
    sequence: int
    name: str
    at: datetime
    actor: str
    cause: str
    body: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRow:
    """What a list shows of a payment. The whole payment: `load_payment`."""

    id: str
    merchant_id: str
    state: State
    version: int
    amount_minor: int
    currency: str
    reference: str | None
    connector: str | None
    psp_reference: str | None
    captured_minor: int
    refunded_minor: int
    held: bool
    created_at: datetime
    updated_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """What to search for; everything given must hold. `merchant_id` None is for operators only, and so are the last two.

    created_from is included, created_to is not; amounts are both included, in minor units. q: an identifier of the payment or of one of its
    attempts or operations, a PSP's reference, or the beginning of the merchant's reference. merchants: of any of these. problem: only what
    people should look at: an unknown outcome, a review, of the payment or of one of its operations, or held.
    """

    merchant_id: str | None
    states: tuple[State, ...] = ()
    connector: str | None = None
    reference: str | None = None
    psp_reference: str | None = None
    currency: str | None = None
    amount_min: int | None = None
    amount_max: int | None = None
    created_from: datetime | None = None
    created_to: datetime | None = None
    held: bool | None = None
    q: str | None = None
    merchants: tuple[str, ...] = ()
    problem: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredClaim:
    """An idempotency key as it was taken, and its answer once there is one (`answered_at`, `status`, `body`)."""

    merchant_id: str
    key: str
    fingerprint: bytes
    method_path: str
    payment_id: str
    subject_id: str | None
    request_id: str
    created_at: datetime
    answered_at: datetime | None
    status: int | None
    body: bytes | None


async def load_payment(connection: Connection, payment_id: str) -> Payment | None:
    """The payment as its events make it; None where there is none. Raises UnreadableEvent for what this program cannot read."""
    recorded = await load_events(connection, payment_id)
    return replay(one.event for one in recorded) if recorded else None


async def load_events(connection: Connection, payment_id: str) -> list[Recorded]:
    """All events of the payment, in order; none where there is no such payment."""
    rows = await all_rows(
        connection,
        "SELECT sequence, position, name, at, actor, cause, body::text FROM payorch.journal WHERE stream_id = $1 ORDER BY sequence",
        [uuid_of(payment_id)],
    )
    return [Recorded(sequence=row[0], position=row[1], event=_event(row[2:])) for row in rows]


async def caused(connection: Connection, payment_id: str, cause: str) -> bool:
    """Whether the payment has an event of that cause: an act that has had its effect is not to have it twice."""
    query = "SELECT FROM payorch.journal WHERE stream_id = $1 AND cause = $2 LIMIT 1"
    return bool(await all_rows(connection, query, [uuid_of(payment_id), cause]))


async def load_many(connection: Connection, payment_ids: Sequence[str]) -> dict[str, Payment]:
    """Those of the payments that exist, by id, in one round trip. Give it a page, not everything."""
    asked = {uuid_of(one): one for one in payment_ids}
    rows = await all_rows(
        connection,
        "SELECT stream_id, name, at, actor, cause, body::text FROM payorch.journal WHERE stream_id = ANY($1::uuid[])"
        " ORDER BY stream_id, sequence",
        [list(asked)],
    )
    events: dict[str, list[Event]] = {}
    for row in rows:
        events.setdefault(asked[row[0]], []).append(_event(row[1:]))
    return {payment_id: replay(happened) for payment_id, happened in events.items()}


async def find_operation(connection: Connection, operation_id: str) -> str | None:
    """The payment that the capture, void or refund of that id belongs to; None where there is no such operation."""
    prefix, uuid = identifiers.parse(operation_id)
    kind = _OPERATION_KINDS.get(prefix)
    rows = await all_rows(connection, "SELECT payment_id FROM payorch.operations WHERE id = $1 AND kind = $2", [uuid, kind])
    return identifiers.text("pay", rows[0][0]) if rows else None


async def search(connection: Connection, what: Search, *, limit: int, after: str | None = None) -> tuple[list[PaymentRow], str | None]:
    """A page of what was found, newest first, and the cursor for the next page (None: there is no more).

    The cursor is the last payment's identifier: pages stay stable while payments are made and changed. Raises MalformedIdentifier for a
    cursor that is none.
    """
    where, parameters = conditions(what, after=after)
    rows = await all_rows(
        connection,
        f"SELECT {_PAYMENT_COLUMNS} FROM payorch.payments {where} ORDER BY id DESC LIMIT ${len(parameters) + 1}",
        [*parameters, Int8(limit + 1)],
    )
    found = [_payment_row(row) for row in rows[:limit]]
    return found, found[-1].id if len(rows) > limit else None


async def stored_answer(connection: Connection, merchant_id: str, key: str) -> StoredClaim | None:
    """The claim of that key with its answer, if it has one; None where nobody took the key."""
    rows = await all_rows(
        connection,
        "SELECT fingerprint, method_path, payment_id, subject_id, request_id, created_at, answered_at, status, body"
        " FROM payorch.idempotency_keys WHERE merchant_id = $1 AND key = $2",
        [uuid_of(merchant_id), key],
    )
    if not rows:
        return None
    row = rows[0]
    return StoredClaim(
        merchant_id=merchant_id,
        key=key,
        fingerprint=row[0],
        method_path=row[1],
        payment_id=identifiers.text("pay", row[2]),
        subject_id=row[3],
        request_id=row[4],
        created_at=_utc(row[5]),
        answered_at=None if row[6] is None else _utc(row[6]),
        status=row[7],
        body=row[8],
    )


async def due(connection: Connection, now: datetime, *, limit: int) -> list[str]:
    """Payments with a timer that is over, the longest overdue first. Without those on hold: nothing of theirs moves by itself."""
    rows = await all_rows(
        connection,
        "SELECT id FROM payorch.payments WHERE due_at <= $1 AND NOT held ORDER BY due_at, id LIMIT $2",
        [now, Int8(limit)],
    )
    return [identifiers.text("pay", row[0]) for row in rows]


async def unfinished(connection: Connection, *, limit: int, after: str | None = None) -> list[str]:
    """Payments with an open attempt, an open operation or a timer, held or not, oldest first: those that recovery wakes.

    A page; the next one begins `after` its last. What becomes unfinished before the place reached is not seen: whoever does that in this
    process knows of it.
    """
    rows = await all_rows(
        connection,
        "SELECT id FROM payorch.payments WHERE unfinished AND id > $1 ORDER BY id LIMIT $2",
        [UUID(int=0) if after is None else uuid_of(after), Int8(limit)],
    )
    return [identifiers.text("pay", row[0]) for row in rows]


async def unanswered(connection: Connection, after: str | None, *, limit: int) -> list[str]:
    """Payments with a call that was committed as about to be sent and has no answer, oldest first, beginning after that payment.

    While a process runs these are its calls under way; when it has just started they are what the last one left behind.
    """
    rows = await all_rows(
        connection,
        "SELECT id FROM payorch.payments AS p WHERE unfinished AND NOT held AND id > $1 AND ("
        "EXISTS (SELECT FROM payorch.attempts AS a WHERE a.payment_id = p.id AND a.state IN ('PREPARED', 'SENT')) OR "
        "EXISTS (SELECT FROM payorch.operations AS o WHERE o.payment_id = p.id AND o.state IN ('REQUESTED', 'SENT')))"
        " ORDER BY id LIMIT $2",
        [UUID(int=0) if after is None else uuid_of(after), Int8(limit)],
    )
    return [identifiers.text("pay", row[0]) for row in rows]


async def count_in(connection: Connection, state: State) -> int:
    """How many payments stand in that state."""
    rows = await all_rows(connection, "SELECT count(*) FROM payorch.payments WHERE state = $1", [state.value])
    return int(rows[0][0])


async def tail(connection: Connection, after_position: int, *, limit: int) -> list[JournalRow]:
    """The records after that position, in order, without gaps: positions are dense and in commit order."""
    rows = await all_rows(
        connection,
        "SELECT position, stream, stream_id, sequence, name, at, actor, cause, body::text FROM payorch.journal WHERE position > $1"
        " ORDER BY position LIMIT $2",
        [Int8(after_position), Int8(limit)],
    )
    return [_journal_row(row) for row in rows]


async def writer_now(connection: Connection) -> UUID | None:
    """Whose hand the journal is in: the id that its writer gave itself when it took over; None before the first one."""
    rows = await all_rows(connection, "SELECT writer FROM payorch.journal_head", [])
    return None if rows[0][0] is None else UUID(bytes=rows[0][0].bytes)


async def head_position(connection: Connection) -> int:
    """The journal's last position; 0 where it is empty."""
    rows = await all_rows(connection, "SELECT position FROM payorch.journal_head", [])
    return int(rows[0][0])


_OPERATION_KINDS: Final = {"cap": "capture", "void": "void", "ref": "refund"}
_PAYMENT_COLUMNS: Final = """
    id, merchant_id, state, version, amount, currency, reference, connector, psp_reference, captured, refunded, held, created_at, updated_at
"""

# A payment is also found by the reference of an attempt that was given up, or of an operation.
_BY_PSP_REFERENCE: Final = (
    "id IN (SELECT payment_id FROM payorch.attempts WHERE psp_reference = {0}"
    " UNION ALL SELECT payment_id FROM payorch.attempts WHERE money_reference = {0}"
    " UNION ALL SELECT payment_id FROM payorch.operations WHERE psp_reference = {0})"
)
_COMPARISONS: Final[Mapping[str, str]] = {
    "connector": "connector = {0}",
    "reference": "reference = {0}",
    "psp_reference": _BY_PSP_REFERENCE,
    "currency": "currency = {0}",
    "amount_min": "amount >= {0}",
    "amount_max": "amount <= {0}",
    "created_from": "created_at >= {0}",
    "created_to": "created_at < {0}",
    "held": "held = {0}",
}


# Not as `OR`: with that, no index helps, and whoever asks what needs people has all payments read.
_PROBLEM: Final = (
    "id IN (SELECT id FROM payorch.payments WHERE state IN ('OUTCOME_UNKNOWN', 'MANUAL_REVIEW')"
    " UNION ALL SELECT id FROM payorch.payments WHERE held"
    " UNION ALL SELECT payment_id FROM payorch.operations WHERE in_review)"
)


def conditions(what: Search, *, after: str | None = None) -> tuple[str, list[Any]]:
    """The WHERE clause of a search over `payorch.payments`, with its parameters; none where everything is searched for."""
    some: list[str] = []
    parameters: list[Any] = []

    def also(condition: str, *values: Any) -> None:
        places = [f"${len(parameters) + n}" for n in range(1, len(values) + 1)]
        some.append(condition.format(*places))
        parameters.extend(values)

    if what.merchant_id is not None:
        also("merchant_id = {0}", uuid_of(what.merchant_id))
    if what.states:
        also("state = ANY({0}::text[])", [str(state) for state in what.states])
    for name, condition in _COMPARISONS.items():
        value = getattr(what, name)
        if value is not None:
            also(condition, Int8(value) if type(value) is int else value)
    if what.created_from is not None:
        also("id >= {0}", identifiers.earliest(what.created_from - _CLOCK_MARGIN))
    if what.created_to is not None:
        also("id < {0}", identifiers.earliest(what.created_to + _CLOCK_MARGIN))
    if what.q is not None:
        _any_of(what.q, also)
    if what.merchants:
        also("merchant_id = ANY({0}::uuid[])", [uuid_of(one) for one in what.merchants])
    if what.problem:
        also(_PROBLEM)
    if after is not None:
        also("id < {0}", uuid_of(after))
    return f"WHERE {' AND '.join(some)}" if some else "", parameters


def _any_of(q: str, also: Any) -> None:
    try:
        prefix, uuid = identifiers.parse(q)
    except MalformedIdentifier:
        # The beginning of a reference as a range, which an index knows how to find; a pattern in a parameter it does not.
        also(f"(reference >= {{0}} AND reference < {{1}} OR {_BY_PSP_REFERENCE})", q, q + _LAST_CHARACTER)
        return
    match prefix:
        case "pay":
            also("id = {0}", uuid)
        case "att":
            also("id IN (SELECT payment_id FROM payorch.attempts WHERE id = {0})", uuid)
        case "cap" | "void" | "ref":
            also("id IN (SELECT payment_id FROM payorch.operations WHERE id = {0})", uuid)
        case _:
            also("false")


def _utc(at: datetime) -> datetime:
    # psycopg gives the session's zone, which need not be ours.
    return at.astimezone(UTC)


def _event(row: tuple[Any, ...]) -> Event:
    name, at, actor, cause, body = row
    return decode(name=name, at=_utc(at), actor=actor, cause=cause, body=body)


def _journal_row(row: tuple[Any, ...]) -> JournalRow:
    position, stream, stream_id, sequence, name, at, actor, cause, body = row
    return JournalRow(
        position=position,
        stream=stream,
        stream_id=identifiers.text(STREAMS[stream], stream_id),
        sequence=sequence,
        name=name,
        at=_utc(at),
        actor=actor,
        cause=cause,
        body=body,
    )


def _payment_row(row: tuple[Any, ...]) -> PaymentRow:
    return PaymentRow(
        id=identifiers.text("pay", row[0]),
        merchant_id=identifiers.text("mer", row[1]),
        state=State(row[2]),
        version=row[3],
        amount_minor=row[4],
        currency=row[5],
        reference=row[6],
        connector=row[7],
        psp_reference=row[8],
        captured_minor=row[9],
        refunded_minor=row[10],
        held=row[11],
        created_at=_utc(row[12]),
        updated_at=_utc(row[13]),
    )
