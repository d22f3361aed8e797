"""The hash chain over the journal: how a link is made, and how the whole chain is checked.

Each record's hash is `sha256(previous hash + content)`. The content is the record's columns, each with its length before it: position,
stream, stream id, sequence, name, time in milliseconds since 1970, actor, cause, body text. Everything in it can be read back from the
columns exactly, so anybody with a copy of the journal can compute the chain again.

What it shows: any record changed, removed, put in, moved, or cut off the end. What it cannot show by itself: a chain that somebody with
every right computed anew from some point on. Against that helps the last hash, kept in a place that this somebody does not reach: an anchor
(`payorch.operations.anchors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from hashlib import sha256
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg
from psycopg.types.numeric import Int4, Int8

from payorch.store import rows
from payorch.store.driver import Connection
from payorch.store.query import all_rows

GENESIS: Final = bytes(32)
"""The hash before the first record."""

_NO_STREAM: Final = UUID(int=0)
PAGE_ROWS: Final = 5_000
"""Records in memory at a time: a few megabytes, and one round trip per page is nothing beside its hashing."""


class Fault(StrEnum):
    """What is wrong with a chain."""

    MISSING = "missing"  # one or more records are not there
    SURPLUS = "surplus"  # a position is taken twice, or lies outside the chain
    ALTERED = "altered"  # a record does not match its hash: changed, moved, or put in the place of another
    CUT = "cut"  # records at the end are not there
    HEAD_DIFFERS = "head_differs"  # all records fit, and the head says another hash
    REWRITTEN = "rewritten"  # all records fit, and an anchor says that another was there: somebody computed the chain anew
    ANCHORS_DAMAGED = "anchors_damaged"  # the file of anchors itself was changed, or is signed with another key


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The outcome of a verification. `position` is the first bad one; None where the chain is whole.

    records: how many were checked and found good. head_position, head_hash: what the head said, worth keeping elsewhere.
    """

    records: int
    head_position: int
    head_hash: bytes
    fault: Fault | None = None
    position: int | None = None
    detail: str = ""

    @property
    def whole(self) -> bool:
        """True if nothing is wrong."""
        return self.fault is None


def content(what: rows.Row, at_ms: bytes, by_whom: rows.Row) -> bytes:
    """A record's content without its position, from frames (`rows`).

    what: stream, stream id, sequence, name. by_whom: actor, cause, body.
    """
    return b"".join((*what, at_ms, *by_whom))


def link(previous: bytes, position: bytes, content: bytes) -> bytes:
    """The hash of the record with this content at this position (a frame), after the record with the hash `previous`."""
    return sha256(b"".join((previous, position, content))).digest()


async def verify(connection: Connection, *, page_rows: int = PAGE_ROWS) -> Verdict:
    """Computes the chain again from the first record to the head and says what is wrong first, if anything.

    All reads see one moment, so the platform may go on writing. Memory is bounded by `page_rows`. Raises psycopg errors when the database
    goes away meanwhile; nothing is known then.
    """
    async with connection.transaction():
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        found = await (await connection.execute("SELECT position, hash FROM payorch.journal_head", binary=True)).fetchone()
        if found is None:
            return Verdict(records=0, head_position=0, head_hash=GENESIS, fault=Fault.CUT, position=1, detail="the journal has no head")
        walk, after = _Walk(*found), _Place(0, UUID(int=0), 0)
        while page := await _page(connection, after, page_rows):
            for row in page:
                if (verdict := walk.step(row)) is not None:
                    return verdict
            after = _Place(page[-1][0], page[-1][2], page[-1][3])
        return walk.end()


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """How far a walk has come: everything up to here was found good. The next step begins here, whenever."""

    position: int = 0
    stream_id: UUID = _NO_STREAM
    sequence: int = 0
    hash: bytes = GENESIS


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A part of a walk. ended: it has reached the head; then, or where something is wrong, the verdict holds."""

    mark: Mark
    verdict: Verdict
    ended: bool


async def advance(connection: Connection, mark: Mark, *, page_rows: int) -> Step:
    """Walks on from that mark by so many records: for a platform that goes along the chain while it works. One statement, one moment.

    A head before the mark is a fault: what was there when the mark was made is not any more.
    """
    async with psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(_STEP, [Int8(mark.position), mark.stream_id, Int4(mark.sequence), Int8(page_rows)], binary=True)
        rows_ = await cursor.fetchall()
    if not rows_:
        nothing = Verdict(records=0, head_position=0, head_hash=GENESIS, fault=Fault.CUT, position=1, detail="the journal has no head")
        return Step(mark=mark, verdict=nothing, ended=True)
    walk = _Walk(rows_[0][0], bytes(rows_[0][1]))
    walk.position, walk.hash = mark.position, mark.hash
    if walk.head_position < mark.position:
        detail = f"it ended at {mark.position} or behind when it was last looked at, and now its head says {walk.head_position}"
        return Step(mark=mark, verdict=walk.verdict(Fault.CUT, walk.head_position + 1, detail), ended=True)
    page = [row[2:] for row in rows_ if row[2] is not None]
    for row in page:
        if (verdict := walk.step(row)) is not None:
            return Step(mark=mark, verdict=verdict, ended=True)
    if page:
        mark = Mark(position=page[-1][0], stream_id=page[-1][2], sequence=page[-1][3], hash=walk.hash)
    ended = len(page) < page_rows
    return Step(mark=mark, verdict=walk.end() if ended else walk.verdict(), ended=ended)


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """The journal's end as it says itself. epoch: which process's hand it is in."""

    position: int
    hash: bytes
    epoch: int


async def head(connection: Connection) -> Head | None:
    """The journal's end; None where it has lost even that."""
    rows_ = await all_rows(connection, "SELECT position, hash, epoch FROM payorch.journal_head", [])
    return Head(position=rows_[0][0], hash=bytes(rows_[0][1]), epoch=rows_[0][2]) if rows_ else None


async def hashes_at(connection: Connection, positions: Sequence[int]) -> dict[int, bytes]:
    """The hashes of the records at these positions, of those that are there. Give it a page."""
    asked = [Int8(one) for one in positions]
    rows_ = await all_rows(connection, "SELECT position, hash FROM payorch.journal WHERE position = ANY($1::bigint[])", [asked])
    return {row[0]: bytes(row[1]) for row in rows_}


async def identity(connection: Connection) -> str:
    """What tells this database from every other one, also from a copy in another server, and stays when its rows are changed."""
    rows_ = await all_rows(connection, _IDENTITY, [])
    return f"{int(rows_[0][0]) & ((1 << 64) - 1):016x}-{rows_[0][1]}"


class _Place(NamedTuple):
    """A place in the order in which records are read: by position, and those that share one (which must not be) by stream."""

    position: int
    stream_id: UUID
    sequence: int


class _Walk:
    """The state of one walk along the chain: what has been found good so far."""

    def __init__(self, head_position: int, head_hash: bytes) -> None:
        self.head_position, self.head_hash = head_position, head_hash
        self.position, self.hash = 0, GENESIS

    def verdict(self, fault: Fault | None = None, position: int | None = None, detail: str = "") -> Verdict:
        return Verdict(
            records=self.position,
            head_position=self.head_position,
            head_hash=self.head_hash,
            fault=fault,
            position=position,
            detail=detail,
        )

    def step(self, row: tuple[Any, ...]) -> Verdict | None:
        """Takes the next record; a verdict when it is the first bad one."""
        position: int = row[0]
        expected = self.position + 1
        if position > self.head_position:
            return self._end(f"there is a record at {position}, after the head", position)
        if position > expected:
            return self.verdict(Fault.MISSING, expected, f"the record after {self.position} is at {position}")
        if position < expected:
            return self.verdict(Fault.SURPLUS, position, "this position is taken twice")
        if _hash_of(self.hash, row) != row[9]:
            return self.verdict(Fault.ALTERED, position, "the record does not match its hash: changed, moved, or put in")
        self.position, self.hash = position, row[9]
        return None

    def end(self) -> Verdict:
        """All records are read."""
        if self.position < self.head_position:
            return self.verdict(Fault.CUT, self.position + 1, f"the journal ends at {self.position}, its head says {self.head_position}")
        if self.hash != self.head_hash:
            return self.verdict(Fault.HEAD_DIFFERS, self.head_position, "the last record's hash is not the head's")
        return self.verdict()

    def _end(self, detail: str, position: int) -> Verdict:
        so_far = self.end()
        return self.verdict(Fault.SURPLUS, position, detail) if so_far.whole else so_far


_PAGE: Final = """
SELECT position, stream, stream_id, sequence, name, at, actor, cause, body::text, hash
FROM payorch.journal WHERE (position, stream_id, sequence) > ($1, $2, $3)
AND position >= $1 ORDER BY position, stream_id, sequence LIMIT $4
"""


_STEP: Final = f"""
SELECT head.position, head.hash, page.* FROM payorch.journal_head AS head LEFT JOIN LATERAL ({_PAGE}) AS page ON true
ORDER BY page.position, page.stream_id, page.sequence
"""
_IDENTITY: Final = """
SELECT (SELECT system_identifier FROM pg_control_system()), (SELECT oid::bigint FROM pg_database WHERE datname = current_database())
"""


async def _page(connection: Connection, after: _Place, page_rows: int) -> list[tuple[Any, ...]]:
    async with psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(_PAGE, [Int8(after.position), after.stream_id, after.sequence, Int8(page_rows)], binary=True)
        return await cursor.fetchall()


def _hash_of(previous: bytes, row: tuple[Any, ...]) -> bytes:
    position, stream, stream_id, sequence, name, at, actor, cause, body, _ = row
    what = (rows.words(stream), rows.uuid(stream_id.bytes), rows.integer(sequence), rows.words(name))
    by_whom = (rows.words(actor), rows.words(cause), rows.words(body))
    return link(previous, rows.bigint(position), content(what, rows.bigint(rows.milliseconds(at)), by_whom))
