"""The columns of what the journal writes: values as PostgreSQL's binary format, tables as pieces of one statement.

A batch is one statement: per table one `INSERT ... SELECT FROM unnest(...)`, each column one array parameter. Here a value becomes a
*frame* (its length and its bytes, as in a binary array), a column of frames becomes an array, and the tables that a batch touches become
the text of its statement. Encoding the arrays here instead of in psycopg was measured to save a third of the client's time.

A frame is length-prefixed, so the hash chain is computed over the same frames (`audit`). Not here: which tables there are (`tables`), which
rows an item makes (`batch`, `entry_rows`).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime
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
_POSTGRES_EPOCH_DAY: Final = date(2000, 1, 1).toordinal()

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


def date_of(day: date) -> bytes:
    """A frame of a day of the calendar."""
    return _integer(4, day.toordinal() - _POSTGRES_EPOCH_DAY)


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


class Dates(Column):
    element_oid, array_oid, type_name = 1082, 1182, "date"


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
    for column in (Booleans, Blobs, Bigints, Integers, Texts, Jsons, Dates, Moments, Uuids):
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
