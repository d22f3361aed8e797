"""The pool: what it lends and keeps, what it says when the database is away, and that nothing acknowledged is lost."""

from __future__ import annotations

import os
import signal
from dataclasses import FrozenInstanceError

import psycopg
import pytest
import trio
from psycopg import errors
from trio.testing import wait_all_tasks_blocked

from payorch.store.driver import Connection, Session
from payorch.store.embedded import OWNER_ROLE, Cluster
from payorch.store.pool import (
    DatabaseUnavailable,
    Pool,
    PoolClosed,
    PoolExhausted,
    Trouble,
    is_connection_lost,
    is_unavailable,
    trouble_of,
)
from tests.conftest import Database
from tests.store.conftest import MakePool

POOL_SIZE = 4
WAITING_INSERTS = "SELECT count(*) FROM pg_locks WHERE relation = 'public.entries'::regclass AND NOT granted"


async def backend_of(pool: Pool) -> int:
    async with pool.lease() as connection:
        return connection.pgconn.backend_pid


class TestLending:
    async def test_a_connection_is_used_again(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner)
        assert await backend_of(pool) == await backend_of(pool)
        assert pool.statistics().opened_total == 1

    async def test_statistics_are_a_frozen_snapshot(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner, size=3)
        async with pool.lease():
            before = pool.statistics()
        assert (before.size, before.leased, before.idle) == (3, 1, 0)
        assert (pool.statistics().leased, pool.statistics().idle) == (0, 1)
        with pytest.raises(FrozenInstanceError):
            before.leased = 0  # type: ignore[misc]

    async def test_waiting_for_a_free_connection_has_an_end(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner, size=1, lease_within_seconds=0.01)
        async with pool.lease():
            with pytest.raises(PoolExhausted, match="all 1 database connections"):
                await backend_of(pool)
        await backend_of(pool)

    async def test_those_who_wait_are_served_in_order(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner, size=1)
        served: list[int] = []

        async def borrow(number: int) -> None:
            async with pool.lease():
                served.append(number)

        async with trio.open_nursery() as nursery, pool.lease():
            for number in range(3):
                nursery.start_soon(borrow, number)
                await wait_all_tasks_blocked()
            assert pool.statistics().waiting == 3
        assert served == [0, 1, 2]

    async def test_who_gives_up_waiting_takes_nothing_along(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner, size=1)
        async with pool.lease():
            with trio.CancelScope() as scope:
                scope.cancel()
                await backend_of(pool)
        assert scope.cancelled_caught
        await backend_of(pool)
        assert pool.statistics().leased == 0

    async def test_what_comes_back_in_a_transaction_is_closed(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner)
        async with pool.lease() as connection:
            await connection.execute("BEGIN")
        assert connection.closed
        async with pool.lease() as connection:
            await connection.execute("SELECT 1")
        assert pool.statistics().idle == 1

    async def test_a_cancelled_borrower_returns_a_usable_connection(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner)
        backend = await backend_of(pool)
        with trio.CancelScope() as scope:
            async with pool.lease() as connection, connection.transaction():
                await connection.execute("CREATE TABLE never (i int)")
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert await backend_of(pool) == backend

    async def test_a_closed_pool_lends_nothing_and_takes_back_what_is_out(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner)
        async with pool.lease() as connection:
            await pool.aclose()
            await connection.execute("SELECT 1")
        assert connection.closed
        with pytest.raises(PoolClosed):
            async with pool.lease():
                pass

    async def test_nonsense_is_refused_when_the_pool_is_made(self, make_pool: MakePool) -> None:
        with pytest.raises(psycopg.ProgrammingError):
            make_pool("nonsense")
        with pytest.raises(ValueError, match="at least one"):
            make_pool("host=/tmp", size=0)


class TestLosingTheDatabase:
    async def test_nobody_there(self, make_pool: MakePool) -> None:
        pool = make_pool("host=/nowhere")
        with pytest.raises(DatabaseUnavailable, match="cannot be reached") as caught:
            await backend_of(pool)
        assert "/nowhere" in caught.value.reason
        assert is_unavailable(caught.value)
        assert pool.statistics().failed_total == 1
        assert pool.statistics().last_failure == caught.value.reason
        assert pool.statistics().leased == 0

    async def test_too_many_connections(self, empty_database: Database, make_pool: MakePool) -> None:
        async with await Connection.connect(empty_database.superuser) as administrator:
            await administrator.execute(f"ALTER DATABASE {empty_database.name} CONNECTION LIMIT 0".encode())
        with pytest.raises(DatabaseUnavailable, match="too many connections"):
            await backend_of(make_pool(empty_database.owner))

    async def test_a_lost_connection_takes_the_idle_ones_along(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner, size=2)
        async with pool.lease(), pool.lease():
            pass
        assert pool.statistics().idle == 2
        with pytest.raises(errors.AdminShutdown) as caught:
            async with pool.lease() as connection:
                await connection.execute("SELECT pg_terminate_backend(pg_backend_pid())")
        assert is_connection_lost(caught.value)
        assert pool.statistics().idle == 0
        await backend_of(pool)

    async def test_a_connection_that_died_while_idle_is_not_lent(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner)
        backend = await backend_of(pool)
        async with await Connection.connect(empty_database.superuser) as administrator:
            # With a time limit the function waits until the backend is gone.
            await administrator.execute("SELECT pg_terminate_backend(%s, 10000)", [backend])
        async with pool.lease() as connection:
            await connection.execute("SELECT 1")
            assert connection.pgconn.backend_pid != backend

    async def test_a_frozen_server_costs_one_connection_and_no_hanging(self, own_cluster: Cluster, make_pool: MakePool) -> None:
        pool = Pool(
            own_cluster.conninfo(role=OWNER_ROLE),
            size=1,
            connect_timeout_seconds=2,
            answer_within_seconds=0.2,
            lease_within_seconds=5,
            session=Session(statement_timeout_seconds=0.1),
        )
        backend = await backend_of(pool)
        os.kill(backend, signal.SIGSTOP)
        with pytest.raises(psycopg.OperationalError) as caught:
            async with pool.lease() as connection:
                await connection.execute("SELECT 1")
        os.kill(backend, signal.SIGCONT)
        assert is_connection_lost(caught.value)
        assert await backend_of(pool) != backend
        await pool.aclose()

    async def test_crashes_under_load_lose_nothing_acknowledged(self, own_cluster: Cluster, make_pool: MakePool) -> None:
        conninfo = own_cluster.conninfo(role=OWNER_ROLE)
        load = Load(make_pool(conninfo, size=POOL_SIZE))
        await load.create_table()
        async with trio.open_nursery() as nursery:
            for writer in range(8):
                nursery.start_soon(load.write, writer)
            await load.acknowledges(500)
            # Wherever the writers happen to be.
            await own_cluster.restart("immediate")
            await load.acknowledges(500)
            # And with every connection in the middle of a statement, for certain.
            blocker = await Connection.connect(conninfo)
            await blocker.execute("BEGIN")
            await blocker.execute("LOCK TABLE public.entries IN SHARE MODE")
            with trio.fail_after(60):
                while (await (await blocker.execute(WAITING_INSERTS)).fetchone()) != (POOL_SIZE,):
                    await trio.lowlevel.checkpoint()
            lost_before = load.lost
            await own_cluster.restart("immediate")
            await blocker.close()
            await load.acknowledges(500)
            nursery.cancel_scope.cancel()
        stored = await load.stored()
        assert load.lost >= lost_before + POOL_SIZE
        assert load.acknowledged <= stored
        assert stored <= load.acknowledged | load.unknown


class Load:
    """Writers that count what was acknowledged, and what ended without an answer."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self.acknowledged: set[int] = set()
        self.unknown: set[int] = set()
        self.lost = 0
        self._goal = 0
        self._reached = trio.Event()

    async def create_table(self) -> None:
        async with self.pool.lease() as connection:
            await connection.execute("CREATE TABLE entries (id bigint PRIMARY KEY)")

    async def write(self, writer: int) -> None:
        for number in range(writer * 10_000_000, (writer + 1) * 10_000_000):
            self.unknown.add(number)
            try:
                async with self.pool.lease() as connection:
                    await connection.execute("INSERT INTO entries VALUES (%s)", [number])
                    self._note(number)
            except DatabaseUnavailable:
                self.unknown.discard(number)
                await trio.lowlevel.checkpoint()
            except psycopg.OperationalError as error:
                if not is_connection_lost(error):
                    raise
                self.lost += 1

    def _note(self, number: int) -> None:
        self.unknown.discard(number)
        self.acknowledged.add(number)
        if len(self.acknowledged) >= self._goal:
            self._reached.set()

    async def acknowledges(self, more: int) -> None:
        self._goal = len(self.acknowledged) + more
        self._reached = trio.Event()
        await self._reached.wait()

    async def stored(self) -> set[int]:
        async with self.pool.lease() as connection:
            return {row[0] for row in await (await connection.execute("SELECT id FROM entries")).fetchall()}


class TestTrouble:
    @pytest.mark.parametrize(
        ("error", "trouble"),
        [
            (psycopg.OperationalError("server closed the connection unexpectedly"), Trouble.CONNECTION_LOST),
            (errors.ConnectionTimeout("no answer"), Trouble.CONNECTION_LOST),
            (errors.AdminShutdown(), Trouble.CONNECTION_LOST),
            (errors.CrashShutdown(), Trouble.CONNECTION_LOST),
            (errors.CannotConnectNow(), Trouble.CONNECTION_LOST),
            (errors.IdleInTransactionSessionTimeout(), Trouble.CONNECTION_LOST),
            (errors.ConnectionFailure(), Trouble.CONNECTION_LOST),
            (errors.TooManyConnections(), Trouble.NO_ROOM),
            (errors.DiskFull(), Trouble.NO_ROOM),
            (errors.ReadOnlySqlTransaction(), Trouble.READ_ONLY),
            (errors.SerializationFailure(), Trouble.CONTENTION),
            (errors.DeadlockDetected(), Trouble.CONTENTION),
            (errors.LockNotAvailable(), Trouble.CONTENTION),
            (errors.QueryCanceled(), Trouble.TIMED_OUT),
            (errors.UniqueViolation(), Trouble.STATEMENT),
            (errors.InsufficientPrivilege(), Trouble.STATEMENT),
            (psycopg.InterfaceError("no SQLSTATE"), Trouble.STATEMENT),
        ],
    )
    def test_is_sorted_by_what_it_means(self, error: psycopg.Error, trouble: Trouble) -> None:
        assert trouble_of(error) is trouble
        assert is_connection_lost(error) == (trouble is Trouble.CONNECTION_LOST)
        assert is_unavailable(error) == (trouble in {Trouble.CONNECTION_LOST, Trouble.NO_ROOM, Trouble.READ_ONLY})

    def test_other_errors_are_no_trouble_of_the_database(self) -> None:
        assert not is_connection_lost(ValueError())
        assert not is_unavailable(ValueError())
