"""Fixtures for every test that wants a real PostgreSQL: one server for the whole run, a fresh database for each test.

    async def test_something(database: Database) -> None:
        async with Pool(database.app, ...).lease() as connection: ...

All of them are ordinary (not async) fixtures that work outside the test's own loop, so a test may use trio's mock clock. Nothing starts
unless a test asks for it.
"""

from __future__ import annotations

import gc
import itertools
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
import trio

from payorch.store import embedded
from payorch.store.embedded import Cluster

_TEMPLATE = "payorch_template"


_LONGEST_FIRST = ("tests/simulation/test_simulation.py", "tests/simulation/", "tests/e2e/")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Where several processes share the tests, the longest are handed out first, so that none of them is left alone at the end."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        items.sort(key=lambda item: next((place for place, path in enumerate(_LONGEST_FIRST) if item.nodeid.startswith(path)), 9))


def pytest_configure() -> None:
    """Ten thousand collected tests are no garbage, and their collection makes little: looking through them again and again is a seventh of
    its time."""
    gc.set_threshold(50_000, 20, 50)


def pytest_collection_finish() -> None:
    """What was collected stays to the end: no later look for garbage has to pass through it."""
    gc.collect()
    gc.freeze()


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """Connection strings of one database: as the role that runs the platform, as the one that migrates, and as superuser."""

    name: str
    app: str
    owner: str
    superuser: str


@pytest.fixture(scope="session")
def open_folder() -> Iterator[Path]:
    """A folder of this run which the server's user can pass through (pytest's own temporary folders are closed to it)."""
    folder = Path(tempfile.mkdtemp(prefix="payorch-tests-", dir="/tmp"))
    os.chmod(folder, 0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def cluster(open_folder: Path) -> Iterator[Cluster]:
    """The server of this run, quick instead of durable. Do not stop or restart it: make your own for that."""
    server = trio.run(partial(embedded.start, open_folder / "cluster", durable=False))
    trio.run(embedded.ensure_roles, server)
    yield server
    trio.run(server.stop, "immediate")


@pytest.fixture(scope="session")
def template_database(cluster: Cluster) -> str:
    """The name of a database with all migrations applied, to be copied and never to be connected to."""
    # Here and not above, so that a broken migration fails the tests that need one, and no others.
    from payorch.store.migrate import migrate

    trio.run(embedded.create_database, cluster, _TEMPLATE)
    trio.run(migrate, cluster.conninfo(role=embedded.OWNER_ROLE, database=_TEMPLATE))
    return _TEMPLATE


@pytest.fixture(scope="session")
def database_names() -> Callable[[], str]:
    """Gives a name that no other test of this run has had."""
    numbers = itertools.count(1)
    return lambda: f"test_{next(numbers)}"


@pytest.fixture
def empty_database(cluster: Cluster, database_names: Callable[[], str]) -> Iterator[Database]:
    """A database with the roles and no schema, for the tests of migrating itself."""
    yield from _temporary(cluster, database_names(), template="template1")


@pytest.fixture
def database(cluster: Cluster, template_database: str, database_names: Callable[[], str]) -> Iterator[Database]:
    """A database with the whole schema and no rows. Gone after the test, whoever is still connected to it."""
    yield from _temporary(cluster, database_names(), template=template_database)


@pytest.fixture
def make_database(cluster: Cluster, template_database: str, database_names: Callable[[], str]) -> Iterator[Callable[[], Database]]:
    """Makes as many databases as a test asks for, each as `database` is."""
    with ExitStack() as stack:
        make = contextmanager(_temporary)
        yield lambda: stack.enter_context(make(cluster, database_names(), template=template_database))


def _temporary(cluster: Cluster, name: str, *, template: str) -> Iterator[Database]:
    trio.run(partial(embedded.create_database, cluster, name, template=template))
    conninfo = partial(cluster.conninfo, database=name)
    yield Database(
        name=name,
        app=conninfo(role=embedded.APP_ROLE),
        owner=conninfo(role=embedded.OWNER_ROLE),
        superuser=conninfo(role=embedded.SUPERUSER),
    )
    trio.run(embedded.drop_database, cluster, name)
