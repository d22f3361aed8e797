"""psycopg on trio: what cancellation, silence and closing do to a statement, and the names of psycopg this rests on."""

from __future__ import annotations

import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
import trio
from psycopg import errors, sql, waiting
from psycopg.abc import PQGen, PQGenConn
from psycopg.pq import TransactionStatus
from trio.testing import MockClock, wait_all_tasks_blocked

from payorch.store.driver import AnswerOverdue, ClosedWhileWaiting, Connection, Session
from payorch.store.embedded import Cluster
from tests.conftest import Database
from tests.store.conftest import Connect, MakePool

Result = TypeVar("Result")


async def one(connection: Connection, query: str, *params: object) -> object:
    row = await (await connection.execute(query.encode(), params)).fetchone()
    return row[0] if row else None


@asynccontextmanager
async def tcp_door(socket_folder: Path) -> AsyncIterator[int]:
    """A port on 127.0.0.1 that leads to the server's Unix socket."""

    async def copy(source: trio.SocketStream, target: trio.SocketStream) -> None:
        async for data in source:
            await target.send_all(data)
        await target.send_eof()

    async def serve(client: trio.SocketStream) -> None:
        server = await trio.open_unix_socket(socket_folder / ".s.PGSQL.5432")
        async with client, server, trio.open_nursery() as nursery:
            nursery.start_soon(copy, client, server)
            nursery.start_soon(copy, server, client)

    async with trio.open_nursery() as nursery:
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        nursery.start_soon(trio.serve_listeners, serve, listeners)
        yield listeners[0].socket.getsockname()[1]
        nursery.cancel_scope.cancel()


class TestNamesOfPsycopg:
    """A canary: these are private or undocumented, and `payorch.store.driver` uses them. Look there when one goes."""

    def test_private_names_are_there(self) -> None:
        for name in ("_connect_gen", "_cancel_gen", "_should_cancel", "_try_cancel", "cancel_safe", "wait"):
            assert callable(getattr(psycopg.AsyncConnection, name)), name
        assert issubclass(errors._WaitTimeout, psycopg.OperationalError)

    async def test_attributes_of_an_instance_are_there(self, connect: Connect) -> None:
        connection = await connect()
        for name in ("lock", "_autocommit", "_closed", "_pipeline"):
            assert hasattr(connection, name), name

    def test_the_version_is_the_one_that_was_read(self) -> None:
        assert psycopg.__version__ == "3.3.9"


class TestCancellation:
    async def test_a_running_statement_is_not_interrupted(self, connect: Connect) -> None:
        holder, waiter = await connect(), await connect()
        await holder.execute("SELECT pg_advisory_lock(1)")
        done: list[str] = []

        async def wait_for_lock() -> None:
            await waiter.execute("SELECT pg_advisory_lock(1)")
            done.append("answered")
            await trio.lowlevel.checkpoint()
            done.append("not reached")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_lock)
            await wait_all_tasks_blocked()
            nursery.cancel_scope.cancel()
            with trio.CancelScope(shield=True):
                await wait_all_tasks_blocked()
                assert done == []
                await holder.execute("SELECT pg_advisory_unlock(1)")
        assert done == ["answered"]
        assert waiter.pgconn.transaction_status == TransactionStatus.IDLE
        assert await one(waiter, "SELECT 42") == 42

    async def test_cancelled_between_statements_rolls_back_and_keeps_the_connection(self, connect: Connect) -> None:
        connection = await connect()
        await connection.execute("CREATE TABLE notes (text text)")
        with trio.CancelScope() as scope:
            async with connection.transaction():
                await connection.execute("INSERT INTO notes VALUES ('lost')")
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert await one(connection, "SELECT count(*) FROM notes") == 0

    async def test_nothing_is_sent_for_a_cancelled_task(self, connect: Connect) -> None:
        connection = await connect()
        await connection.execute("CREATE TABLE notes (text text)")
        with trio.CancelScope() as scope:
            scope.cancel()
            await connection.execute("INSERT INTO notes VALUES ('never')")
        assert scope.cancelled_caught
        assert await one(connection, "SELECT count(*) FROM notes") == 0

    async def test_a_transaction_without_checkpoints_of_its_own_commits(self, connect: Connect) -> None:
        connection = await connect()
        await connection.execute("CREATE TABLE notes (text text)")
        with trio.CancelScope() as scope:
            async with connection.transaction():
                scope.cancel()
                await connection.execute("INSERT INTO notes VALUES ('one')")
                await connection.execute("INSERT INTO notes VALUES ('two')")
        assert await one(connection, "SELECT count(*) FROM notes") in (0, 2)

    async def test_a_storm_of_deadlines_keeps_the_sum(self, empty_database: Database, make_pool: MakePool) -> None:
        pool = make_pool(empty_database.owner, size=4)
        async with pool.lease() as connection:
            await connection.execute("CREATE TABLE accounts (id int PRIMARY KEY, balance bigint NOT NULL)")
            await connection.execute("INSERT INTO accounts SELECT i, 1000 FROM generate_series(0, 9) i")
        outcomes = {"done": 0, "cancelled": 0}

        async def transfer(rng: random.Random) -> None:
            # Always from the lower to the higher number or nothing would be tested but deadlocks.
            low, high = sorted(rng.sample(range(10), 2))
            async with pool.lease() as connection, connection.transaction():
                await connection.execute("UPDATE accounts SET balance = balance - 1 WHERE id = %s", [low])
                await trio.lowlevel.checkpoint()
                await connection.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s", [high])

        async def many(seed: int) -> None:
            rng = random.Random(seed)
            for _ in range(100):
                with trio.move_on_after(rng.uniform(0, 0.006)) as scope:
                    await transfer(rng)
                outcomes["cancelled" if scope.cancelled_caught else "done"] += 1

        async with trio.open_nursery() as nursery:
            for seed in range(16):
                nursery.start_soon(many, seed)
        assert outcomes["done"] > 0
        assert outcomes["cancelled"] > 0
        async with pool.lease() as connection:
            assert await one(connection, "SELECT sum(balance)::bigint FROM accounts") == 10_000
        assert pool.statistics().dropped_total == 0

    async def test_copy_and_server_cursor_survive_cancellation(self, connect: Connect) -> None:
        connection = await connect()
        await connection.execute("CREATE TABLE numbers AS SELECT i FROM generate_series(1, 20000) i")
        with trio.CancelScope() as scope:
            async with connection.cursor() as cursor, cursor.copy("COPY numbers TO STDOUT") as copy:
                assert await copy.read()
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        with trio.CancelScope() as scope:
            async with connection.transaction(), connection.cursor("portal") as portal:
                await portal.execute("SELECT i FROM numbers")
                assert await portal.fetchmany(10)
                scope.cancel()
                await trio.lowlevel.checkpoint()
        assert scope.cancelled_caught
        assert await one(connection, "SELECT count(*) FROM numbers") == 20000

    async def test_a_listener_can_be_cancelled_and_the_connection_used_again(self, connect: Connect) -> None:
        listener, speaker = await connect(), await connect()
        await listener.execute("LISTEN bell")
        heard: list[str] = []

        async def listen() -> None:
            async with aclosing(listener.notifies()) as notifies:
                async for notify in notifies:
                    heard.append(notify.payload)
                    nursery.cancel_scope.cancel()

        async with trio.open_nursery() as nursery:
            nursery.start_soon(listen)
            await wait_all_tasks_blocked()
            await speaker.execute("NOTIFY bell, 'ding'")
        assert heard == ["ding"]
        assert await one(listener, "SELECT 1") == 1


class TestSilenceAndClosing:
    async def test_the_server_ends_a_slow_statement_and_the_connection_stays(self, connect: Connect) -> None:
        connection = await connect(session=Session(statement_timeout_seconds=0.05))
        with pytest.raises(errors.QueryCanceled):
            await connection.execute("SELECT pg_sleep(60)")
        assert await one(connection, "SELECT 1") == 1

    async def test_a_frozen_backend_is_given_up(self, connect: Connect) -> None:
        connection = await connect(session=Session(statement_timeout_seconds=0.1), answer_within_seconds=0.2)
        backend = connection.pgconn.backend_pid
        os.kill(backend, signal.SIGSTOP)
        try:
            with pytest.raises(AnswerOverdue, match="unknown"):
                await connection.execute("SELECT 1")
            assert connection.closed
        finally:
            os.kill(backend, signal.SIGCONT)

    async def test_closing_wakes_whoever_waits(self, connect: Connect) -> None:
        holder, waiter = await connect(), await connect()
        await holder.execute("SELECT pg_advisory_lock(1)")

        async def wait_for_lock() -> None:
            with pytest.raises(ClosedWhileWaiting):
                await waiter.execute("SELECT pg_advisory_lock(1)")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_lock)
            await wait_all_tasks_blocked()
            await waiter.close()
        assert waiter.closed

    async def test_a_statement_may_be_cancelled_on_the_server(self, connect: Connect) -> None:
        holder, waiter = await connect(), await connect()
        await holder.execute("SELECT pg_advisory_lock(1)")

        async def wait_for_lock() -> None:
            with pytest.raises(errors.QueryCanceled):
                await waiter.execute("SELECT pg_advisory_lock(1)")

        async with trio.open_nursery() as nursery:
            nursery.start_soon(wait_for_lock)
            # A request that comes before the server has begun with the statement does nothing.
            while not await one(holder, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"):
                pass
            await waiter.cancel_safe()
        assert await one(waiter, "SELECT 1") == 1

    async def test_bounds_that_contradict_each_other_are_refused(self, connect: Connect) -> None:
        with pytest.raises(ValueError, match="answer_within_seconds"):
            await connect(session=Session(statement_timeout_seconds=10), answer_within_seconds=10)


class TestSession:
    async def test_settings_hold_from_the_first_statement(self, connect: Connect) -> None:
        session = Session(
            application_name="payorch test",
            search_path='"my schema", public',
            statement_timeout_seconds=7,
            lock_timeout_seconds=0.25,
            idle_in_transaction_seconds=3,
            settings={"enable_seqscan": "off"},
        )
        connection = await connect(session=session)
        expected = {
            "application_name": "payorch test",
            "search_path": '"my schema", public',
            "statement_timeout": "7s",
            "lock_timeout": "250ms",
            "idle_in_transaction_session_timeout": "3s",
            "enable_seqscan": "off",
        }
        for name, value in expected.items():
            assert await one(connection, "SELECT current_setting(%s)", name) == value

    async def test_options_of_the_connection_string_are_kept(self, empty_database: Database) -> None:
        conninfo = empty_database.owner + " options='-c work_mem=5MB -c lock_timeout=1h'"
        connection = await Connection.connect(conninfo, session=Session(lock_timeout_seconds=2))
        assert await one(connection, "SHOW work_mem") == "5MB"
        assert await one(connection, "SHOW lock_timeout") == "2s"
        await connection.close()


class TestVolume:
    async def test_a_large_value_goes_there_and_back(self, connect: Connect) -> None:
        connection = await connect()
        value = b"\x00\xff" * 4_000_000
        assert await one(connection, "SELECT %b::bytea", value) == value

    async def test_a_pipeline_full_in_both_directions_does_not_lock_up(self, connect: Connect) -> None:
        connection = await connect()
        text = "x" * 20_000
        async with connection.pipeline():
            cursors = [await connection.execute("SELECT %s::text, %s::int", [text, i]) for i in range(500)]
        assert [await cursor.fetchone() for cursor in cursors] == [(text, i) for i in range(500)]

    async def test_copy_in(self, connect: Connect) -> None:
        connection = await connect()
        await connection.execute("CREATE TABLE numbers (i int)")
        async with connection.cursor() as cursor, cursor.copy("COPY numbers FROM STDIN") as copy:
            for i in range(20_000):
                await copy.write_row([i])
        assert await one(connection, "SELECT sum(i)::bigint FROM numbers") == 199_990_000


class TestConnecting:
    async def test_by_name_and_by_address(self, cluster: Cluster, empty_database: Database) -> None:
        async with tcp_door(cluster.socket_folder) as port:
            for host in ("localhost", "127.0.0.1"):
                conninfo = f"host={host} port={port} user=payorch_owner dbname={empty_database.name}"
                connection = await Connection.connect(conninfo)
                assert await one(connection, "SELECT current_database()::text") == empty_database.name
                await connection.close()

    async def test_the_second_of_two_hosts_answers(self, cluster: Cluster, empty_database: Database) -> None:
        conninfo = f"host=/nowhere,{cluster.socket_folder} user=payorch_owner dbname={empty_database.name}"
        connection = await Connection.connect(conninfo)
        assert await one(connection, "SELECT 1") == 1
        await connection.close()

    async def test_every_address_that_failed_is_named(self) -> None:
        with pytest.raises(psycopg.OperationalError, match=r"(?s)/nowhere.*/nobody"):
            await Connection.connect("host=/nowhere,/nobody")

    async def test_an_unknown_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object, **__: object) -> None:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", unknown)
        with pytest.raises(psycopg.OperationalError, match="failed to resolve"):
            await Connection.connect("host=no-such-host.invalid")

    async def test_what_cannot_be_a_name(self) -> None:
        with pytest.raises(psycopg.OperationalError, match="cannot be a host's name"):
            await Connection.connect(f"host={'x' * 70}.invalid")

    async def test_a_silent_server(self) -> None:
        listener = (await trio.open_tcp_listeners(0, host="127.0.0.1"))[0]
        async with listener:
            port = listener.socket.getsockname()[1]
            with pytest.raises(errors.ConnectionTimeout):
                await Connection.connect(f"host=127.0.0.1 port={port}", connect_timeout_seconds=0.05)

    async def test_a_refusal_says_why(self, cluster: Cluster) -> None:
        with pytest.raises(psycopg.OperationalError, match='database "nonsense" does not exist'):
            await Connection.connect(cluster.conninfo(role="postgres", database="nonsense"))

    async def test_no_thread_for_addresses_and_socket_folders(
        self, cluster: Cluster, empty_database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def no_thread(*_: object, **__: object) -> None:
            raise AssertionError("a thread was asked for")

        monkeypatch.setattr(trio.to_thread, "run_sync", no_thread)
        await (await Connection.connect(empty_database.owner)).close()
        async with tcp_door(cluster.socket_folder) as port:
            conninfo = f"host=127.0.0.1 port={port} user=payorch_owner dbname={empty_database.name}"
            await (await Connection.connect(conninfo)).close()


class BlockingConnection(Connection):
    """How the simulation will wait: the loop stands still, and virtual time with it."""

    async def wait(self, gen: PQGen[Result], interval: float = 0.0, timeout: float | None = None) -> Result:
        await trio.lowlevel.cancel_shielded_checkpoint()
        return waiting.wait(gen, self.pgconn.socket, interval=0.1)

    @classmethod
    async def wait_connecting(cls, gen: PQGenConn[Result], within_seconds: float) -> Result:
        return waiting.wait_conn(gen, interval=0.1, timeout=within_seconds)


class TestSimulationSeam:
    def test_two_methods_are_enough_to_stop_virtual_time(self, empty_database: Database) -> None:
        async def main() -> float:
            began = trio.current_time()
            connection = await BlockingConnection.connect(empty_database.owner, session=Session(search_path="public"))
            async with connection.transaction():
                await connection.execute("CREATE TABLE notes (text text)")
                await connection.execute("SELECT pg_sleep(0.05)")
            for name in ("a", "b"):
                await connection.execute(sql.SQL("INSERT INTO notes VALUES ({})").format(name))
            assert await one(connection, "SELECT count(*) FROM notes") == 2
            await connection.close()
            return trio.current_time() - began

        assert trio.run(main, clock=MockClock(autojump_threshold=0)) == 0
