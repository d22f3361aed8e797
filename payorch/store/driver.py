"""psycopg 3 driven by trio: what turns its asyncio connection into one that waits on trio's loop.

psycopg's core is generators that yield "wait until this socket is readable/writable". `Connection` drives them with
trio and keeps everything else of psycopg (cursors, transactions, adaptation, COPY, LISTEN). It is not a pool
(`payorch.store.pool`), knows no SQL of ours and never decides whether to try again.

**A statement once sent is never interrupted.** Cancelling a task in the middle of a statement would leave the
connection in a state that psycopg's own clean-up cannot leave either, and throwing such connections away collapses
under many deadlines. So a running statement is shielded; cancellation is seen at the caller's next checkpoint. Three
bounds keep that finite: the server's `statement_timeout`, its `lock_timeout`, and `answer_within_seconds` here, after
which the connection is closed. One consequence to know: a `transaction()` block without a checkpoint of its own
between its statements *commits* although its task was cancelled meanwhile. It is atomic either way.

The seams are two methods: `wait` (every statement) and `wait_connecting` (opening, cancelling). A subclass that
overrides both with blocking waits gives the deterministic simulation a real database. With a literal address or a
socket folder no thread is used.

Errors, by what they mean:
  psycopg.errors.ConnectionTimeout   nobody answered while connecting; nothing was sent
  psycopg.OperationalError           refused, unknown name, or lost; if a statement was running, its outcome is unknown
  AnswerOverdue                      the server fell silent inside a statement; outcome unknown, connection closed
  ClosedWhileWaiting                 another task of ours closed the connection under this statement; outcome unknown
"""

from __future__ import annotations

import contextlib
import math
import select
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType, TracebackType
from typing import Any, Self, TypeVar, cast

import psycopg
import trio
from psycopg import errors
from psycopg._conninfo_utils import get_param, is_ip_address
from psycopg.abc import ConnDict, PQGen, PQGenConn
from psycopg.conninfo import conninfo_attempts, conninfo_to_dict, make_conninfo
from psycopg.pq import TransactionStatus
from psycopg.pq.abc import PGconn
from psycopg.rows import TupleRow
from psycopg.waiting import Ready, Wait

Result = TypeVar("Result")

_POLLED = {Wait.R: select.POLLIN, Wait.W: select.POLLOUT, Wait.RW: select.POLLIN | select.POLLOUT}


class AnswerOverdue(psycopg.OperationalError):
    """A statement was sent and no answer came in time. Its outcome is unknown; the connection has been closed."""


class ClosedWhileWaiting(psycopg.OperationalError):
    """The connection was closed by another task while a statement ran on it. Its outcome is unknown."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """How the server treats a connection, set in the start packet: it costs no round trip and holds from the first
    statement.

    Durations are seconds; the server counts milliseconds, so smaller than 0.001 means "no limit" to it, as 0 does.
    """

    application_name: str = "payorch"
    # Where our tables are. Said by every session itself, since a database of somebody else's making may not say it.
    search_path: str = "payorch"
    # Every statement of ours takes milliseconds. One that takes this long is stuck, and its caller has long answered
    # 202.
    statement_timeout_seconds: float = 10.0
    # A row lock is held for one commit. Waiting longer means a session that hangs: better an error than a queue
    # behind it.
    lock_timeout_seconds: float = 5.0
    # A lost COMMIT leaves "in transaction" with its locks held until the server notices: this is when it does.
    idle_in_transaction_seconds: float = 10.0
    # Unacknowledged bytes and silence on TCP, both ends of a cable pulled out. Meaningless on a Unix socket.
    tcp_user_timeout_seconds: float = 10.0
    keepalive_idle_seconds: int = 10
    keepalive_interval_seconds: int = 3
    keepalive_probes: int = 3
    # Further server settings by name, for instance the writer's planner switches.
    settings: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    def connection_parameters(self, options: str) -> dict[str, str | int]:
        """The libpq keywords for this session; `options` is what the connection string itself asks for, which ours
        follow."""
        settings = {
            "search_path": self.search_path,
            "statement_timeout": _milliseconds(self.statement_timeout_seconds),
            "lock_timeout": _milliseconds(self.lock_timeout_seconds),
            "idle_in_transaction_session_timeout": _milliseconds(self.idle_in_transaction_seconds),
            **self.settings,
        }
        ours = " ".join(f"-c {name}={_escaped(value)}" for name, value in settings.items())
        return {
            "application_name": self.application_name,
            "options": f"{options} {ours}".strip(),
            "tcp_user_timeout": _milliseconds(self.tcp_user_timeout_seconds),
            "keepalives_idle": self.keepalive_idle_seconds,
            "keepalives_interval": self.keepalive_interval_seconds,
            "keepalives_count": self.keepalive_probes,
        }


class Connection(psycopg.AsyncConnection[TupleRow]):
    """A psycopg connection on trio. Use it in one task at a time; ask `payorch.store.pool.Pool` for one.

    Everything of `psycopg.AsyncConnection` works except `notifies(timeout=)`, which reads the machine's clock and not
    trio's: put a cancel scope round it, and iterate inside `contextlib.aclosing`.
    """

    # Set by `connect`; the value here only serves a connection that is made without it.
    answer_within_seconds: float = 30.0

    def __init__(self, pgconn: PGconn) -> None:
        super().__init__(pgconn)
        # psycopg's own is asyncio's. It only ever enters and leaves it.
        self.lock = cast(Any, _Lock(pgconn))

    @classmethod
    async def connect(  # type: ignore[override]  # fewer ways to connect than psycopg, all of them bounded
        cls,
        conninfo: str = "",
        *,
        connect_timeout_seconds: float = 5.0,
        answer_within_seconds: float = 30.0,
        session: Session | None = None,
        autocommit: bool = True,
    ) -> Self:
        """Opens a connection.

        `conninfo` is libpq's string or URL. `connect_timeout_seconds` bounds each address tried.
        `answer_within_seconds` bounds the silence of the server in any later statement and must be longer than the
        session's statement timeout, so that normally the server is first and says how it ended. With `autocommit`
        (the default here) each statement is a transaction unless `transaction()` is used.

        Raises psycopg.OperationalError (refused, unknown name, rejected) or psycopg.errors.ConnectionTimeout,
        ValueError for bounds that contradict each other, psycopg.ProgrammingError for a malformed `conninfo`. Can be
        cancelled.
        """
        session = session or Session()
        if answer_within_seconds <= session.statement_timeout_seconds:
            raise ValueError(
                f"answer_within_seconds ({answer_within_seconds}) must be longer than"
                f" statement_timeout_seconds ({session.statement_timeout_seconds}):"
                " else we hang up before the server can say why"
            )
        params = conninfo_to_dict(conninfo)
        params.update(session.connection_parameters(str(params.get("options", ""))))
        connection = await cls._first_that_answers(params, connect_timeout_seconds)
        connection._autocommit = autocommit
        connection.answer_within_seconds = answer_within_seconds
        return connection

    @classmethod
    async def _first_that_answers(cls, params: ConnDict, connect_timeout_seconds: float) -> Self:
        failures: list[psycopg.OperationalError] = []
        for attempt in await _addresses(params, connect_timeout_seconds):
            try:
                return await cls.wait_connecting(cls._connect_gen(make_conninfo("", **attempt)), connect_timeout_seconds)
            except psycopg.OperationalError as failure:
                failures.append(failure)
        last = failures[-1]
        if len(failures) == 1:
            raise last
        raise type(last)("no address answered: " + "; ".join(str(failure) for failure in failures))

    async def wait(self, gen: PQGen[Result], interval: float = 0.0, timeout: float | None = None) -> Result:
        """Runs one of psycopg's statement generators to its end: the one place where a statement waits for the server.

        Shielded from cancellation once something was sent. `interval` is not used. `timeout` only matters to
        `notifies()`, the only generator that waits with nothing sent; that wait can be cancelled. Always a scheduling
        point.

        Raises what the server says as psycopg errors, AnswerOverdue, ClosedWhileWaiting.
        """
        try:
            want = next(gen)
        except StopIteration as finished:
            # Nothing to wait for. Long COPYs consist of such rounds, and the other tasks have to live too.
            await trio.lowlevel.cancel_shielded_checkpoint()
            return cast(Result, finished.value)
        if self.pgconn.transaction_status == TransactionStatus.IDLE:
            with trio.move_on_after(math.inf if timeout is None else timeout):
                return await _drive(gen, self.pgconn.socket, want)
            raise errors._WaitTimeout("wait timeout expired")
        with trio.CancelScope(deadline=trio.current_time() + self.answer_within_seconds, shield=True):
            return await _drive(gen, self.pgconn.socket, want)
        await self.close()
        raise AnswerOverdue(
            f"the server did not answer within {self.answer_within_seconds} s; the connection is closed;"
            " whether the statement took effect is unknown"
        )

    @classmethod
    async def wait_connecting(cls, gen: PQGenConn[Result], within_seconds: float) -> Result:
        """Runs one of psycopg's connecting generators to its end: the other place where this module waits. Can be
        cancelled.

        Raises psycopg.errors.ConnectionTimeout after `within_seconds`, psycopg.OperationalError when refused.
        """
        with trio.move_on_after(within_seconds):
            return await _drive_connecting(gen)
        raise errors.ConnectionTimeout(f"no answer within {within_seconds} s while connecting")

    async def cancel_safe(self, *, timeout: float = 30.0) -> None:
        """Asks the server to end the running statement, which then fails with QueryCanceled in the task that waits
        for it.

        Shielded, at most `timeout` seconds: psycopg's clean-up after COPY and stream() relies on it.
        """
        if not self._should_cancel():
            return
        try:
            with trio.CancelScope(shield=True):
                await self.wait_connecting(self._cancel_gen(), timeout)
        except errors.ConnectionTimeout:
            raise errors.CancellationTimeout(f"the server did not take the cancel request within {timeout} s") from None

    async def close(self) -> None:
        """Closes at once, without a word to a running statement; whoever waits for one gets ClosedWhileWaiting. No
        checkpoint."""
        self._closed = True
        # A connection that libpq already gave up has no socket any more.
        with contextlib.suppress(psycopg.OperationalError):
            trio.lowlevel.notify_closing(self.pgconn.socket)
        self.pgconn.finish()


class _Lock:
    """psycopg's "one statement at a time" on trio. Only an idle connection may be left alone because of a
    cancellation: in the middle of a transaction psycopg's own ROLLBACK comes through here, and has to get in."""

    def __init__(self, pgconn: PGconn) -> None:
        self._pgconn = pgconn
        self._lock = trio.Lock()

    async def __aenter__(self) -> None:
        idle = self._pgconn.transaction_status == TransactionStatus.IDLE
        if idle:
            await trio.lowlevel.checkpoint_if_cancelled()
        try:
            self._lock.acquire_nowait()
        except trio.WouldBlock:
            # When idle, the holder is a listener, and may hold it for ever: that wait must be free to end.
            with trio.CancelScope(shield=not idle):
                await self._lock.acquire()

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._lock.release()


async def _drive(gen: PQGen[Result], fd: int, want: Wait) -> Result:
    try:
        while True:
            want = gen.send(await _ready(fd, want))
    except StopIteration as finished:
        return cast(Result, finished.value)
    except (OSError, trio.ClosedResourceError) as error:
        raise ClosedWhileWaiting("the connection was closed while a statement was running on it") from error


async def _drive_connecting(gen: PQGenConn[Result]) -> Result:
    try:
        # The socket may change between two steps: libpq starts again for another address or without encryption.
        fd, want = next(gen)
        while True:
            fd, want = gen.send(await _ready(fd, want))
    except StopIteration as finished:
        return cast(Result, finished.value)
    except OSError as error:
        raise psycopg.OperationalError(f"connecting failed: {error}") from error


async def _ready(fd: int, want: Wait) -> int:
    if want == Wait.R:
        await trio.lowlevel.wait_readable(fd)
        return Ready.R
    # A socket asked for writing nearly always is writable, and asking costs far less than a round through the loop.
    if ready := _ready_now(fd, want):
        await trio.lowlevel.checkpoint()
        return ready
    if want == Wait.W:
        await trio.lowlevel.wait_writable(fd)
        return Ready.W
    await _readable_or_writable(fd)
    return _ready_now(fd, want)


def _ready_now(fd: int, want: Wait) -> int:
    poll = select.poll()
    poll.register(fd, _POLLED[want])
    ready: int = Ready.NONE
    for _, events in poll.poll(0):
        if events & (select.POLLERR | select.POLLHUP | select.POLLNVAL):
            # Let libpq try, and find out what is the matter.
            ready |= want
        if events & select.POLLIN:
            ready |= Ready.R
        if events & select.POLLOUT:
            ready |= Ready.W
    return ready


async def _readable_or_writable(fd: int) -> None:
    # One trio task waits for one direction. Both directions full only happens in a pipeline, so two tasks are no cost.
    async with trio.open_nursery() as nursery:

        async def until_readable() -> None:
            await trio.lowlevel.wait_readable(fd)
            nursery.cancel_scope.cancel()

        nursery.start_soon(until_readable)
        await trio.lowlevel.wait_writable(fd)
        nursery.cancel_scope.cancel()


async def _addresses(params: ConnDict, within_seconds: float) -> list[ConnDict]:
    """The addresses to try, in order. A thread is spent only when a name has to be looked up, since that blocks."""
    if not _has_name(params):
        return conninfo_attempts(params)
    with trio.move_on_after(within_seconds):
        try:
            return await trio.to_thread.run_sync(conninfo_attempts, params, abandon_on_cancel=True)
        except UnicodeError as error:
            raise psycopg.OperationalError(f"{params.get('host')!r} cannot be a host's name: {error}") from error
    raise errors.ConnectionTimeout(f"looking up {params.get('host')!r} took longer than {within_seconds} s")


def _has_name(params: ConnDict) -> bool:
    if get_param(params, "hostaddr"):
        return False
    hosts = (get_param(params, "host") or "").split(",")
    return any(host and not host.startswith("/") and not is_ip_address(host) for host in hosts)


def _milliseconds(seconds: float) -> str:
    return str(round(seconds * 1000))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(" ", "\\ ")
