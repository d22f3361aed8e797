"""Fixtures of the store's own tests: clusters that a test may break, and connections and pools that are closed after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import Protocol

import pytest
import trio

from payorch.store import embedded
from payorch.store.driver import Connection, Session
from payorch.store.embedded import Cluster
from payorch.store.pool import Pool
from tests.conftest import Database

# Where the owner of a database without our schema may create things.
_PUBLIC = Session(search_path="public")


class MakePool(Protocol):
    """Makes a pool with bounds that suit a test; it is closed after the test."""

    def __call__(self, conninfo: str, *, size: int = 4, lease_within_seconds: float = 10.0) -> Pool: ...


@pytest.fixture(scope="session")
def own_names() -> Callable[[], str]:
    """Gives a folder name that no other test of this run has had."""
    taken: list[str] = []

    def another() -> str:
        taken.append(f"own-{len(taken)}")
        return taken[-1]

    return another


@pytest.fixture
def own_folder(open_folder: Path, own_names: Callable[[], str]) -> Iterator[Path]:
    """A place for a cluster of the test's own, not made yet. A server that a failed test left there is stopped."""
    folder = open_folder / own_names()
    yield folder
    if (folder / "cluster" / "data" / "postmaster.pid").exists():
        trio.run(trio.run(embedded.start, folder).stop, "immediate")


@pytest.fixture
def own_cluster(own_folder: Path) -> Iterator[Cluster]:
    """A server with the roles and the database, for one test alone: kill it, freeze it, restart it."""
    server = trio.run(partial(embedded.start, own_folder, durable=False))
    trio.run(embedded.ensure_roles, server)
    yield server
    trio.run(server.stop, "immediate")


@pytest.fixture
async def make_pool() -> AsyncIterator[MakePool]:
    async with AsyncExitStack() as stack:

        def make(conninfo: str, *, size: int = 4, lease_within_seconds: float = 10.0) -> Pool:
            pool = Pool(
                conninfo,
                size=size,
                connect_timeout_seconds=5,
                answer_within_seconds=20,
                lease_within_seconds=lease_within_seconds,
                session=_PUBLIC,
            )
            stack.push_async_callback(pool.aclose)
            return pool

        yield make


class Connect(Protocol):
    """Opens a connection as the owner of an empty database, in whose `public` schema it may create what it needs."""

    async def __call__(self, *, session: Session = ..., answer_within_seconds: float = ..., autocommit: bool = ...) -> Connection: ...


@pytest.fixture
async def connect(empty_database: Database) -> AsyncIterator[Connect]:
    async with AsyncExitStack() as stack:

        async def opened(
            *,
            session: Session = _PUBLIC,
            answer_within_seconds: float = 20,
            autocommit: bool = True,
        ) -> Connection:
            connection = await Connection.connect(
                empty_database.owner,
                session=session,
                answer_within_seconds=answer_within_seconds,
                autocommit=autocommit,
            )
            stack.push_async_callback(connection.close)
            return connection

        yield opened
