"""A fixed number of database connections, lent out one at a time, and what a database error means to whoever borrowed
one.

The pool opens connections when they are first needed, keeps the healthy ones, and drops everything idle as soon as
one is found lost. It does not retry, does not reset session state (do not SET, LISTEN or lock advisorily on a
borrowed connection) and does not decide what a failed statement did: after a lost connection the outcome of a running
statement is unknown, and the caller has to look.

Errors, by who is at fault:
  the environment  DatabaseUnavailable   connecting failed: pause, answer 503, try later
  the load         PoolExhausted         every connection was busy for too long: answer 503
  a bug            PoolClosed            used after `aclose()`
Errors of statements stay psycopg's; `trouble_of` sorts them.
"""

from __future__ import annotations

import enum
import select
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psycopg
import trio
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import PipelineStatus, TransactionStatus

from payorch.store.driver import Connection, Session


class DatabaseUnavailable(Exception):
    """No connection to the database could be opened. `reason` is the server's or libpq's text; it holds no password."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the database cannot be reached: {reason}")
        self.reason = reason


class PoolExhausted(Exception):
    """No connection came free within `waited_seconds`: all `size` of them are in use."""

    def __init__(self, *, size: int, waited_seconds: float) -> None:
        super().__init__(f"all {size} database connections were in use for {waited_seconds} s")
        self.size = size
        self.waited_seconds = waited_seconds


class PoolClosed(Exception):
    """The pool has been closed for good."""


class Trouble(enum.Enum):
    """What a database error means to the platform, whatever its SQLSTATE."""

    CONNECTION_LOST = "connection lost"  # the outcome of the running statement is unknown; the connection is gone
    NO_ROOM = "no room"  # disk, memory or connections are used up: pause
    READ_ONLY = "read only"  # the server became a standby: pause until the address leads to the primary again
    CONTENTION = "contention"  # deadlock, serialization, lock timeout: rolled back, surely; may be tried again
    TIMED_OUT = "timed out"  # statement_timeout or a cancel request: rolled back, surely
    STATEMENT = "statement"  # the statement itself: a constraint, a type, a syntax error, a privilege


# Shutdown, crash, starting up, database dropped, idle session closed; idle-in-transaction and transaction timeout end
# the session as well.
_SESSION_ENDED = frozenset({"57P01", "57P02", "57P03", "57P04", "57P05", "25P03", "25P04"})
_CONTENTION = frozenset({"40001", "40P01", "55P03"})


def trouble_of(error: psycopg.Error) -> Trouble:
    """Sorts an error of a running statement.

    An OperationalError without a SQLSTATE did not come from the server: the connection broke, or nothing answered.
    That is counted as lost; the few others of that kind (a second statement on a busy connection) are bugs and end no
    better.
    """
    sqlstate = error.sqlstate
    if sqlstate is None:
        return Trouble.CONNECTION_LOST if isinstance(error, psycopg.OperationalError) else Trouble.STATEMENT
    fatal = error.diag.severity_nonlocalized in ("FATAL", "PANIC")
    # Refused while connecting (53300) is FATAL too, but what it means is "full".
    if sqlstate.startswith("53"):
        return Trouble.NO_ROOM
    if fatal or sqlstate in _SESSION_ENDED or sqlstate.startswith("08"):
        return Trouble.CONNECTION_LOST
    if sqlstate == "25006":
        return Trouble.READ_ONLY
    if sqlstate in _CONTENTION:
        return Trouble.CONTENTION
    if sqlstate == "57014":
        return Trouble.TIMED_OUT
    return Trouble.STATEMENT


def is_connection_lost(error: BaseException) -> bool:
    """True when a statement failed because its connection is gone: whether it took effect is then unknown."""
    return isinstance(error, psycopg.Error) and trouble_of(error) is Trouble.CONNECTION_LOST


def is_unavailable(error: BaseException) -> bool:
    """True when the database as a whole cannot serve now (cannot connect, lost, full, read-only): pause and answer
    503."""
    if isinstance(error, DatabaseUnavailable):
        return True
    pausing = (Trouble.CONNECTION_LOST, Trouble.NO_ROOM, Trouble.READ_ONLY)
    return isinstance(error, psycopg.Error) and trouble_of(error) in pausing


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolStatistics:
    """A snapshot. The totals count since the pool was made."""

    size: int
    leased: int
    idle: int
    waiting: int
    opened_total: int
    dropped_total: int
    failed_total: int
    last_failure: str | None


class Pool:
    """At most `size` connections to one database, all set up alike and in autocommit."""

    def __init__(
        self,
        conninfo: str,
        *,
        size: int,
        connect_timeout_seconds: float,
        answer_within_seconds: float,
        lease_within_seconds: float,
        session: Session | None = None,
        connection_class: type[Connection] = Connection,
    ) -> None:
        """Opens nothing yet, so that a platform can start while its database is away.

        `connect_timeout_seconds` bounds each address tried, `answer_within_seconds` the silence inside a statement,
        and `lease_within_seconds` the wait for a free connection. `connection_class` is where the simulation puts its
        blocking driver. Raises psycopg.ProgrammingError when `conninfo` is malformed, ValueError when `size` is below
        one.
        """
        if size < 1:
            raise ValueError(f"a pool needs at least one connection, not {size}")
        conninfo_to_dict(conninfo)
        self._conninfo = conninfo
        self._size = size
        self._connect_timeout_seconds = connect_timeout_seconds
        self._answer_within_seconds = answer_within_seconds
        self._lease_within_seconds = lease_within_seconds
        self._session = session or Session()
        self._connection_class = connection_class
        self._free = trio.Semaphore(size, max_value=size)
        self._idle: list[Connection] = []
        self._closed = False
        self._opened_total = 0
        self._dropped_total = 0
        self._failed_total = 0
        self._last_failure: str | None = None

    @asynccontextmanager
    async def lease(self) -> AsyncIterator[Connection]:
        """Lends a connection for the length of the block; statements commit one by one unless
        `connection.transaction()` is used.

        Raises DatabaseUnavailable, PoolExhausted or PoolClosed before the block starts. A connection that comes back
        lost, or still inside a transaction, a COPY or a pipeline, is closed; a lost one takes the idle ones with it,
        as they died of the same cause.
        """
        await self._await_turn()
        try:
            connection = await self._idle_or_new()
            try:
                yield connection
            finally:
                await self._give_back(connection)
        finally:
            self._free.release()

    def statistics(self) -> PoolStatistics:
        """What the pool is doing right now."""
        return PoolStatistics(
            size=self._size,
            leased=self._size - self._free.value,
            idle=len(self._idle),
            waiting=self._free.statistics().tasks_waiting,
            opened_total=self._opened_total,
            dropped_total=self._dropped_total,
            failed_total=self._failed_total,
            last_failure=self._last_failure,
        )

    async def aclose(self) -> None:
        """Closes the idle connections now and the leased ones when they come back; no new leases. Waits for nobody."""
        self._closed = True
        await self._drop_idle()

    async def _await_turn(self) -> None:
        self._refuse_when_closed()
        await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._free.acquire_nowait()  # nearly always; a time limit and a turn of the loop cost as much as the statement's own client
        except trio.WouldBlock:
            await self._await_a_free_one()

    async def _await_a_free_one(self) -> None:
        try:
            with trio.fail_after(self._lease_within_seconds):
                await self._free.acquire()
        except trio.TooSlowError:
            raise PoolExhausted(size=self._size, waited_seconds=self._lease_within_seconds) from None

    def _refuse_when_closed(self) -> None:
        if self._closed:
            raise PoolClosed("the connection pool is closed")

    async def _idle_or_new(self) -> Connection:
        self._refuse_when_closed()
        while self._idle:
            # The most recently used one: its caches are warm, on both sides.
            connection = self._idle.pop()
            if _is_silent(connection):
                return connection
            await self._drop(connection)
        return await self._open()

    async def _open(self) -> Connection:
        try:
            connection = await self._connection_class.connect(
                self._conninfo,
                connect_timeout_seconds=self._connect_timeout_seconds,
                answer_within_seconds=self._answer_within_seconds,
                session=self._session,
            )
        except psycopg.OperationalError as error:
            self._failed_total += 1
            self._last_failure = str(error)
            raise DatabaseUnavailable(str(error)) from error
        self._opened_total += 1
        return connection

    async def _give_back(self, connection: Connection) -> None:
        lost = connection.closed
        if not self._closed and not lost and _is_at_rest(connection):
            self._idle.append(connection)
            return
        await self._drop(connection)
        if lost:
            await self._drop_idle()

    async def _drop_idle(self) -> None:
        while self._idle:
            await self._drop(self._idle.pop())

    async def _drop(self, connection: Connection) -> None:
        self._dropped_total += 1
        await connection.close()


def _is_at_rest(connection: Connection) -> bool:
    """Nothing begun: no transaction, no COPY, no pipeline."""
    pgconn = connection.pgconn
    return pgconn.transaction_status == TransactionStatus.IDLE and pgconn.pipeline_status == PipelineStatus.OFF


def _is_silent(connection: Connection) -> bool:
    """An idle connection has nothing to say. If it has, it is a farewell: the server shut down or restarted
    meanwhile."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.pgconn.socket, select.POLLIN)
    return not poll.poll(0)
