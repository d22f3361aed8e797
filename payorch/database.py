"""How settings become database connections, and what the owner role does before a platform can run: the schema, and partitions ahead.

Not here: SQL of the platform itself (`payorch.store`), or where a local database comes from (`payorch.local`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Final

import psycopg

from payorch.keys import Secret
from payorch.sections import DatabaseSettings
from payorch.store import migrate
from payorch.store.driver import Connection, Session
from payorch.store.pool import DatabaseUnavailable

MONTHS_AHEAD: Final = 14
"""Partitions are made for this many months from the running one on: more than a year in which nobody has to think of it."""


def session(settings: DatabaseSettings, *, application_name: str = "payorch") -> Session:
    """The server's side of a connection, as [database] wants it."""
    return Session(
        application_name=application_name,
        statement_timeout_seconds=settings.statement_timeout_seconds,
        lock_timeout_seconds=settings.lock_timeout_seconds,
        idle_in_transaction_seconds=settings.idle_in_transaction_timeout_seconds,
    )


@asynccontextmanager
async def connected(url: Secret, settings: DatabaseSettings, *, application_name: str) -> AsyncIterator[Connection]:
    """One connection for the length of the block, for a command that needs no pool. Raises DatabaseUnavailable."""
    try:
        connection = await Connection.connect(
            url.reveal(),
            connect_timeout_seconds=settings.connect_timeout_seconds,
            answer_within_seconds=settings.answer_within_seconds,
            session=session(settings, application_name=application_name),
        )
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise DatabaseUnavailable(str(error).strip()) from None
    try:
        yield connection
    finally:
        await connection.close()


async def prepare(url: Secret, settings: DatabaseSettings, *, now: datetime) -> list[migrate.Migration]:
    """Brings schema and partitions up to date as the owner; may be called at any time. Returns the migrations that were applied.

    Raises MigrationFailed, SchemaMismatch and DatabaseUnavailable.
    """
    try:
        applied = await migrate.migrate(url.reveal())
    except (psycopg.OperationalError, psycopg.ProgrammingError) as error:
        raise DatabaseUnavailable(str(error).strip()) from None
    async with connected(url, settings, application_name="payorch-migrate") as connection:
        await connection.execute("SELECT payorch.ensure_partitions(%s, %s)", [now.date(), MONTHS_AHEAD])
    return applied


async def months_ahead(connection: Connection, *, now: datetime) -> int:
    """For how many months from the running one on every table has its partition. 0: new payments go to the default partition already."""
    query = (
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'payorch' AND c.relispartition"
    )
    names = {row[0] for row in await (await connection.execute(query)).fetchall()}
    tables = {name.removesuffix("_default") for name in names if name.endswith("_default")}
    months = 0
    while tables:
        years, month = divmod(now.month - 1 + months, 12)
        if not all(f"{table}_{now.year + years}_{month + 1:02}" in names for table in tables):
            break
        months += 1
    return months
