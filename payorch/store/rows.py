"""The columns of what the journal writes: values as PostgreSQL's binary format, tables as pieces of one statement.

A batch is one statement: per table one `INSERT ... SELECT FROM unnest(...)`, each column one array parameter. Here a value becomes a
*frame* (its length and its bytes, as in a binary array), a column of frames becomes an array, and the tables that a batch touches become
the text of its statement. Encoding the arrays here instead of in psycopg was measured to save a third of the client's time.

A frame is length-prefixed, so the hash chain is computed over the same frames (`audit`). Not here: which rows an item makes (`batch`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import ClassVar, Final, TypeAlias

from psycopg import AsyncConnection
from psycopg.abc import AdaptContext
from psycopg.adapt import Dumper
from psycopg.pq import Format
from psycopg.rows import TupleRow

Row: TypeAlias = tuple[bytes, ...]

_integer: Final = struct.Struct(">ii").pack
_bigint: Final = struct.Struct(">iq").pack
_length: Final = struct.Struct(">i").pack
_header: Final = struct.Struct(">iiIii").pack
_UUID_LENGTH: Final = _length(16)
# PostgreSQL counts time from here.
_POSTGRES_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_POSTGRES_EPOCH_MS: Final = 946_684_800_000

NULL: Final = _length(-1)
TRUE: Final = _length(1) + b"\x01"
FALSE: Final = _length(1) + b"\x00"


def integer(value: int) -> bytes:
    """A frame of 32 bits. Raises struct.error when it does not fit."""
    return _integer(4, value)


def bigint(value: int) -> bytes:
    """A frame of 64 bits. Raises struct.error when it does not fit."""
    return _bigint(8, value)


def boolean(value: bool) -> bytes:
    """A frame for true or false."""
    return TRUE if value else FALSE


def words(value: str | None) -> bytes:
    """A frame of UTF-8, or NULL. Raises UnicodeEncodeError for half a surrogate pair."""
    if value is None:
        return NULL
    data = value.encode()
    return _length(len(data)) + data


def learned_words(value: str | None) -> bytes:
    """As `words`, for text that a PSP gave us: PostgreSQL's text knows no NUL character, and what we learn must be writable."""
    return words(value if value is None or "\0" not in value else value.replace("\0", "\ufffd"))


def raw(value: bytes) -> bytes:
    """A frame of these bytes: for bytea, and for json that is UTF-8 text already."""
    return _length(len(value)) + value


def uuid(sixteen: bytes) -> bytes:
    """A frame of a UUID's sixteen bytes."""
    return _UUID_LENGTH + sixteen


def milliseconds(at: datetime) -> int:
    """Whole milliseconds since 1970, cut, not rounded. Raises TypeError for a time without a zone."""
    since = at - _POSTGRES_EPOCH
    return (since.days * 86_400 + since.seconds) * 1000 + since.microseconds // 1000 + _POSTGRES_EPOCH_MS


def moment(at: datetime | None) -> bytes:
    """A frame of a point in time, cut to whole milliseconds, or NULL."""
    return NULL if at is None else moment_of_ms(milliseconds(at))


def moment_of_ms(at_ms: int) -> bytes:
    """A frame of a point in time that is known in milliseconds since 1970."""
    return _bigint(8, (at_ms - _POSTGRES_EPOCH_MS) * 1000)


class Column(bytes):
    """An array in PostgreSQL's binary format. A subclass per element type, because psycopg finds the type by the Python class."""

    element_oid: ClassVar[int]
    array_oid: ClassVar[int]
    type_name: ClassVar[str]

    @classmethod
    def of(cls, frames: Iterable[bytes], size: int) -> Column:
        """The array of these `size` frames: one dimension from index 1, may hold NULLs."""
        return cls(b"".join((_header(1, 1, cls.element_oid, size, 1), *frames)))


class Booleans(Column):
    element_oid, array_oid, type_name = 16, 1000, "boolean"


class Blobs(Column):
    element_oid, array_oid, type_name = 17, 1001, "bytea"


class Bigints(Column):
    element_oid, array_oid, type_name = 20, 1016, "bigint"


class Integers(Column):
    element_oid, array_oid, type_name = 23, 1007, "integer"


class Texts(Column):
    element_oid, array_oid, type_name = 25, 1009, "text"


class Jsons(Column):
    element_oid, array_oid, type_name = 114, 199, "json"


class Moments(Column):
    element_oid, array_oid, type_name = 1184, 1185, "timestamptz"


class Uuids(Column):
    element_oid, array_oid, type_name = 2950, 2951, "uuid"


class _ColumnDumper(Dumper):
    """Hands a column to libpq as it is."""

    format = Format.BINARY

    def __init__(self, cls: type[Column], context: AdaptContext | None = None) -> None:
        super().__init__(cls, context)
        self.oid = cls.array_oid

    def dump(self, obj: Column) -> bytes:
        return obj


def register(connection: AsyncConnection[TupleRow]) -> None:
    """Makes that connection understand columns as parameters."""
    for column in (Booleans, Blobs, Bigints, Integers, Texts, Jsons, Moments, Uuids):
        connection.adapters.register_dumper(column, _ColumnDumper)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One piece of the statement. `template` is SQL with the places {columns} and {source}; {source} yields rows only if the head moved.

    rank: its place in the statement, so that the same set of tables always makes the same text.
    """

    rank: int
    name: str
    columns: tuple[tuple[str, type[Column]], ...]
    template: str

    def piece(self, first_parameter: int) -> str:
        """The table's part of the statement, its parameters numbered from `first_parameter` on."""
        names = ", ".join(name for name, _ in self.columns)
        arrays = ", ".join(f"${first_parameter + n}::{kind.type_name}[]" for n, (_, kind) in enumerate(self.columns))
        source = f"head CROSS JOIN unnest({arrays}) WITH ORDINALITY AS new ({names}, n)"
        return f"{self.name} AS ({self.template.format(columns=names, source=source)})"

    def arrays(self, rows: list[Row]) -> list[Column]:
        """The parameters for these rows."""
        size = len(rows)
        return [kind.of(frames, size) for (_, kind), frames in zip(self.columns, zip(*rows, strict=True), strict=True)]


def _columns(**kinds: type[Column]) -> tuple[tuple[str, type[Column]], ...]:
    return tuple(kinds.items())


def _insert(table: str, conflict: str = "") -> str:
    """Plain INSERT, or one with an answer to conflicts."""
    return f"INSERT INTO payorch.{table} ({{columns}}) SELECT {{columns}} FROM {{source}} {conflict}"


def _upsert(table: str, key: str, changing: str, further: str = "") -> str:
    """INSERT or UPDATE in one piece. No join, so no plan that a fresh database without statistics could get wrong."""
    assignments = ", ".join(f"{name} = excluded.{name}" for name in changing.split())
    return _insert(table, f"ON CONFLICT ({key}) DO UPDATE SET {assignments}{further}")


JOURNAL: Final = Table(
    rank=1,
    name="journal",
    columns=_columns(
        position=Bigints, stream=Texts, stream_id=Uuids, sequence=Integers, name=Texts, at=Moments, actor=Texts, cause=Texts, body=Jsons,
        hash=Blobs,
    ),
    template=_insert("journal"),
)  # fmt: skip

PAYMENTS: Final = Table(
    rank=2,
    name="payments",
    columns=_columns(
        id=Uuids, merchant_id=Uuids, state=Texts, version=Integers, previous_version=Integers, amount=Bigints, currency=Texts,
        capture=Texts, reference=Texts, connector=Texts, psp_reference=Texts, authorized=Bigints, captured=Bigints,
        capture_reserved=Bigints, refunded=Bigints, refund_reserved=Bigints, unfinished=Booleans, due_at=Moments, held=Booleans,
        created_at=Moments, updated_at=Moments,
    ),
    template=_upsert(
        "payments",
        "id",
        "state version previous_version connector psp_reference authorized captured capture_reserved refunded refund_reserved"
        " unfinished due_at held updated_at",
    ),
)  # fmt: skip

ATTEMPTS: Final = Table(
    rank=3,
    name="attempts",
    columns=_columns(
        payment_id=Uuids, id=Uuids, connector=Texts, state=Texts, exclusive=Booleans, amount=Bigints, currency=Texts, psp_key=Texts,
        psp_key_safe_until=Moments, call_method=Texts, call_path=Texts, call_content_type=Texts, call_body=Texts, psp_reference=Texts,
        next_action_at=Moments, created_at=Moments, updated_at=Moments,
    ),
    # A definitive no stays one (items.is_exclusive). In the order of the rows: a closed attempt gives way before the next one comes in.
    template=_upsert(
        "attempts",
        "payment_id, id",
        "state psp_reference next_action_at updated_at",
        ", exclusive = excluded.exclusive AND attempts.exclusive",
    ).replace("ON CONFLICT", "ORDER BY new.n ON CONFLICT"),
)  # fmt: skip

OPERATIONS: Final = Table(
    rank=4,
    name="operations",
    columns=_columns(
        payment_id=Uuids, id=Uuids, attempt_id=Uuids, kind=Texts, state=Texts, origin=Texts, amount=Bigints, currency=Texts, final=Booleans,
        psp_key=Texts, psp_key_safe_until=Moments, call_method=Texts, call_path=Texts, call_content_type=Texts, call_body=Texts,
        psp_reference=Texts, reason=Texts, reference=Texts, next_action_at=Moments, in_review=Booleans, created_at=Moments,
        updated_at=Moments,
    ),
    template=_upsert(
        "operations",
        "payment_id, id",
        "state amount final psp_reference reason reference next_action_at in_review updated_at",
    ),
)  # fmt: skip

OUTBOX: Final = Table(
    rank=5,
    name="outbox",
    columns=_columns(payment_id=Uuids, sequence=Integers, event_id=Uuids, merchant_id=Uuids, type=Texts, body=Jsons, created_at=Moments),
    template=_insert("outbox", "RETURNING payment_id, event_id, merchant_id, type, created_at"),
)

CLAIMS: Final = Table(
    rank=6,
    name="claims",
    columns=_columns(
        merchant_id=Uuids, key=Texts, fingerprint=Blobs, method_path=Texts, payment_id=Uuids, subject_id=Texts, request_id=Texts,
        created_at=Moments, answered_at=Moments, status=Integers, body=Blobs,
    ),
    template=_insert("idempotency_keys"),
)  # fmt: skip

ANSWERS: Final = Table(
    rank=7,
    name="answers",
    columns=_columns(merchant_id=Uuids, key=Texts, answered_at=Moments, status=Integers, body=Blobs),
    template=(
        "UPDATE payorch.idempotency_keys AS old SET answered_at = new.answered_at, status = new.status, body = new.body FROM {source}"
        ' WHERE old.merchant_id = new.merchant_id AND old.key = new.key COLLATE "C" AND old.answered_at IS NULL RETURNING new.n'
    ),
)

MERCHANTS: Final = Table(
    rank=8, name="merchants", columns=_columns(id=Uuids, name=Texts, created_at=Moments), template=_insert("merchants")
)
MERCHANT_KEYS: Final = Table(
    rank=9,
    name="merchant_keys",
    columns=_columns(lookup_id=Texts, merchant_id=Uuids, digest=Blobs, mode=Texts, created_at=Moments, expires_at=Moments),
    template=_insert("merchant_keys"),
)
OPERATORS: Final = Table(
    rank=10, name="operators", columns=_columns(id=Uuids, name=Texts, person=Texts, created_at=Moments), template=_insert("operators")
)
OPERATOR_TOKENS: Final = Table(
    rank=11,
    name="operator_tokens",
    columns=_columns(lookup_id=Texts, operator_id=Uuids, digest=Blobs, role=Texts, created_at=Moments, expires_at=Moments),
    template=_insert("operator_tokens"),
)
_REVOKE: Final = (
    "UPDATE payorch.{table} AS old SET revoked_at = new.revoked_at FROM {{source}}"
    ' WHERE old.lookup_id = new.lookup_id COLLATE "C" AND old.revoked_at IS NULL'
)
REVOKED_MERCHANT_KEYS: Final = Table(
    rank=12,
    name="revoked_merchant_keys",
    columns=_columns(lookup_id=Texts, revoked_at=Moments),
    template=_REVOKE.format(table="merchant_keys"),
)
REVOKED_OPERATOR_TOKENS: Final = Table(
    rank=13,
    name="revoked_operator_tokens",
    columns=_columns(lookup_id=Texts, revoked_at=Moments),
    template=_REVOKE.format(table="operator_tokens"),
)

INBOX: Final = Table(
    rank=14,
    name="arrivals",
    columns=_columns(
        id=Uuids, connector=Texts, identity=Texts, digest=Blobs, kind=Texts, content=Blobs, refers=Jsons, occurred_at=Moments,
        received_at=Moments, request_id=Texts, state=Texts, tries=Integers, next_try_at=Moments, outcome=Texts, settled_at=Moments,
    ),
    template=_insert("inbox", "ON CONFLICT (connector, identity) DO NOTHING RETURNING id"),
)  # fmt: skip
NOTICES: Final = Table(
    rank=15,
    name="notices",
    columns=_columns(
        id=Uuids, state=Texts, tries=Integers, next_try_at=Moments, payment_id=Uuids, outcome=Texts, settled_at=Moments
    ),
    template=(
        "UPDATE payorch.inbox AS old SET state = new.state, tries = new.tries, next_try_at = new.next_try_at,"
        " payment_id = new.payment_id, outcome = new.outcome, settled_at = new.settled_at FROM {source} WHERE old.id = new.id"
    ),
)  # fmt: skip
ENDPOINTS: Final = Table(
    rank=16,
    name="endpoints",
    columns=_columns(
        id=Uuids, merchant_id=Uuids, url=Texts, events=Texts, description=Texts, state=Texts, disabled_reason=Texts, secret=Blobs,
        previous_secret=Blobs, previous_until=Moments, version=Integers, created_at=Moments, updated_at=Moments,
    ),
    template=_upsert(
        "webhook_endpoints",
        "id",
        "url events description state disabled_reason secret previous_secret previous_until version updated_at",
    ),
)  # fmt: skip
DELIVERIES: Final = Table(
    rank=17,
    name="deliveries",
    columns=_columns(
        payment_id=Uuids, event_id=Uuids, endpoint_id=Uuids, merchant_id=Uuids, type=Texts, state=Texts, attempts=Integers,
        next_attempt_at=Moments, last_attempt_at=Moments, last_status=Integers, last_error=Texts, delivered_at=Moments, created_at=Moments,
    ),
    template=_upsert(
        "deliveries",
        "payment_id, event_id, endpoint_id",
        "state attempts next_attempt_at last_attempt_at last_status last_error delivered_at",
    ),
)  # fmt: skip
DEAD_LETTERS: Final = Table(
    rank=18,
    name="dead_letters",
    columns=_columns(
        id=Uuids, kind=Texts, origin=Texts, merchant_id=Uuids, payment_id=Uuids, subject=Jsons, reason_class=Texts, reason=Texts,
        fingerprint=Texts, payload=Texts, attempts=Integers, first_failed_at=Moments, last_failed_at=Moments, state=Texts,
        resolved_at=Moments, resolved_by=Texts, resolution=Texts,
    ),
    template=_upsert(
        "dead_letters",
        "id",
        "reason_class reason fingerprint payload attempts last_failed_at state resolved_at resolved_by resolution",
    ),
)  # fmt: skip
_ERASE: Final = (
    "UPDATE payorch.{table} SET {column} = '' FROM {{source}} WHERE id IN (SELECT id FROM payorch.{table} AS old"
    " WHERE {settled} < new.before AND {column} <> '' ORDER BY {settled}, id LIMIT new.most)"
)
ERASED_NOTICES: Final = Table(
    rank=19,
    name="erased_notices",
    columns=_columns(before=Moments, most=Integers),
    template=_ERASE.format(table="inbox", column="content", settled="settled_at"),
)
ERASED_DEAD_LETTERS: Final = Table(
    rank=20,
    name="erased_dead_letters",
    columns=_columns(before=Moments, most=Integers),
    template=_ERASE.format(table="dead_letters", column="payload", settled="resolved_at"),
)

# Each event becomes a delivery for each endpoint of its merchant that wants it, in the same statement: none is forgotten, and nobody has to
# follow the events to find out.
_FAN_OUT: Final = (
    "fanned_out AS (INSERT INTO payorch.deliveries"
    " (payment_id, event_id, endpoint_id, merchant_id, type, state, attempts, next_attempt_at, created_at)"
    " SELECT told.payment_id, told.event_id, one.id, told.merchant_id, told.type, 'pending', 0, told.created_at, told.created_at"
    " FROM outbox AS told JOIN payorch.webhook_endpoints AS one ON one.merchant_id = told.merchant_id AND one.state = 'enabled'"
    " AND (told.type = ANY(one.event_types) OR one.events = '*'))"
)

# $1 position and $2 hash where we believe the head to be, $3 our epoch; $4 and $5 where it goes.
_HEAD: Final = (
    "head AS (UPDATE payorch.journal_head SET position = $4, hash = $5 WHERE position = $1 AND hash = $2 AND epoch = $3"
    " RETURNING position AS reached)"
)
_FIRST_COLUMN: Final = 6


@lru_cache(maxsize=256)
def statement(tables: tuple[Table, ...]) -> str:
    """The statement that moves the head and writes these tables, in order of rank. Nothing is written when the head is elsewhere.

    Answers one row (position, numbers of the answers that were stored, from 1, ids of the notices that were), or none when the head is
    elsewhere.
    """
    pieces, parameter = [_HEAD], _FIRST_COLUMN
    for table in tables:
        pieces.append(table.piece(parameter))
        parameter += len(table.columns)
    if OUTBOX in tables:
        pieces.append(_FAN_OUT)
    stored = "(SELECT array_agg(n) FROM answers)" if ANSWERS in tables else "NULL::bigint[]"
    arrived = "(SELECT array_agg(id) FROM arrivals)" if INBOX in tables else "NULL::uuid[]"
    return f"WITH {', '.join(pieces)} SELECT head.reached, {stored}, {arrived} FROM head"
