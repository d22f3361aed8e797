"""The schema's version: applies the numbered SQL files of `migrations/`, and refuses a database that does not match
them.

Each `NNNN_name.sql` runs once, in number order, in one transaction together with the row that records it, as the
owner role and with `search_path = payorch`. What has been applied is never edited: its checksum is compared each
time, and the way to change something is another file. There is no way down. Statements that refuse a transaction
(CREATE INDEX CONCURRENTLY) have no place here, nor has data work that takes minutes: that follows the files, page by
page (`backfill`).

Errors:
  MigrationFailed   a file's SQL failed, or the folder is not well numbered: nothing of that file was applied
  SchemaMismatch    the database and this program do not belong together: the platform refuses to start
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources.abc import Traversable
from typing import Final

import psycopg
from psycopg import sql
from psycopg.pq import TransactionStatus

from payorch.store import backfill
from payorch.store.backfill import BackfillFailed
from payorch.store.driver import Connection, Session
from payorch.store.pool import is_connection_lost

_FILE_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")
# Any number will do, as long as nothing else in this database locks the same one: "payorch" read as base 36.
_LOCK_KEY: Final = int("payorch", 36)

_PREPARE: Final = """
CREATE SCHEMA IF NOT EXISTS payorch;
CREATE TABLE IF NOT EXISTS payorch.schema_migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
"""


class MigrationFailed(Exception):
    """A migration could not be read or applied. The text names the file."""


class SchemaMismatch(Exception):
    """The database is older or newer than this program, or an applied file was edited. The text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Migration:
    """One file: `number` from 1, `name` without number and ending, `checksum` the SHA-256 of its text in
    hexadecimal."""

    number: int
    name: str
    checksum: str
    script: str = field(repr=False, compare=False, default="")

    def __str__(self) -> str:
        return f"{self.number:04}_{self.name}"


def shipped() -> Traversable:
    """The folder of migrations that comes with this program."""
    return importlib.resources.files("payorch.store").joinpath("migrations")


def load(folder: Traversable | None = None) -> tuple[Migration, ...]:
    """The migrations of a folder (by default the program's own) in number order; an absent folder holds none.

    Raises MigrationFailed for a misnamed file, a number used twice, or a gap: any of them is a merge gone wrong.
    """
    folder = shipped() if folder is None else folder
    files = [file for file in folder.iterdir() if file.name.endswith(".sql")] if folder.is_dir() else []
    migrations = sorted((_read(file) for file in files), key=lambda migration: migration.number)
    for expected, migration in enumerate(migrations, start=1):
        if migration.number != expected:
            raise MigrationFailed(f"expected migration {expected:04} but found {migration}: each number once, without gaps")
    return tuple(migrations)


async def migrate(
    conninfo: str,
    *,
    folder: Traversable | None = None,
    app_role: str = "payorch_app",
    wait_within_seconds: float = 60.0,
    statement_within_seconds: float = 600.0,
    connection_class: type[Connection] = Connection,
) -> list[Migration]:
    """Brings the database of `conninfo` (the owner's) up to date and returns what was applied; [] when nothing was to
    do.

    Two programs that migrate at once take turns: the second waits at most `wait_within_seconds`, which is also the
    longest wait for any table lock, so that a migration does not queue the platform's statements up behind it.
    `statement_within_seconds` bounds each file. What a file leaves to be filled in for earlier payments is filled in after
    the last one, however long that takes; who is interrupted calls again. `app_role` gets the right to see the schema and the list of
    migrations; all other grants are the migrations' own.

    Raises SchemaMismatch (newer, or edited), MigrationFailed, and psycopg.OperationalError when the database is away.
    What was applied before an error stays applied.
    """
    known = load(folder)
    session = Session(
        application_name="payorch-migrate",
        statement_timeout_seconds=statement_within_seconds,
        lock_timeout_seconds=wait_within_seconds,
    )
    connection = await connection_class.connect(conninfo, session=session, answer_within_seconds=statement_within_seconds + 10)
    try:
        await _take_turn(connection)
        await _prepare(connection, app_role)
        applied = await _applied(connection)
        _refuse_foreign(applied, known)
        for migration in known[len(applied) :]:
            await _apply(connection, migration)
        await _fill(connection)
        return list(known[len(applied) :])
    finally:
        await connection.close()


async def check(connection: Connection, *, folder: Traversable | None = None) -> None:
    """Raises SchemaMismatch unless exactly this program's migrations have been applied, with everything they leave to be filled
    in. Runs as the application role."""
    known = load(folder)
    found = await (await connection.execute("SELECT to_regclass('payorch.schema_migrations')::text")).fetchone()
    applied = await _applied(connection) if found and found[0] else ()
    _refuse_foreign(applied, known)
    if len(applied) < len(known):
        has = f"is at migration {applied[-1]}" if applied else "has no schema of ours yet"
        raise SchemaMismatch(
            f"the database {has}; this program needs {known[-1]}. Run `payorch migrate` with the owner's URL, then start again"
        )
    if await backfill.undone(connection):
        raise SchemaMismatch(
            "movements of money are not filled in yet for the payments that were there before: `payorch migrate` was interrupted."
            " Run it again with the owner's URL until it ends, then start again"
        )


async def _fill(connection: Connection) -> None:
    try:
        await backfill.fill(connection)
    except BackfillFailed as error:
        raise MigrationFailed(str(error)) from error


def _read(file: Traversable) -> Migration:
    parts = _FILE_NAME.fullmatch(file.name)
    if parts is None:
        raise MigrationFailed(f"{file.name}: a migration is called NNNN_name.sql, in small letters, digits and underscores")
    # A checkout on Windows has other line ends, and is the same migration.
    script = file.read_bytes().replace(b"\r\n", b"\n")
    return Migration(number=int(parts[1]), name=parts[2], checksum=hashlib.sha256(script).hexdigest(), script=script.decode("utf-8"))


async def _take_turn(connection: Connection) -> None:
    """The lock is the session's and not a transaction's: it spans all files, and goes with the connection."""
    try:
        await connection.execute("SELECT pg_advisory_lock(%s)", [_LOCK_KEY])
    except psycopg.errors.LockNotAvailable:
        raise MigrationFailed("another program has been migrating this database for too long; look for it, and try again") from None


async def _prepare(connection: Connection, app_role: str) -> None:
    async with connection.transaction():
        await connection.execute(_PREPARE)
        role = sql.Identifier(app_role)
        try:
            await connection.execute(sql.SQL("GRANT USAGE ON SCHEMA payorch TO {}").format(role))
        except psycopg.errors.UndefinedObject:
            raise MigrationFailed(f"the role {app_role} does not exist; create it first: CREATE ROLE {app_role} LOGIN") from None
        await connection.execute(sql.SQL("GRANT SELECT ON payorch.schema_migrations TO {}").format(role))


async def _applied(connection: Connection) -> tuple[Migration, ...]:
    cursor = await connection.execute("SELECT number, name, checksum FROM payorch.schema_migrations ORDER BY number")
    return tuple([Migration(number=row[0], name=row[1], checksum=row[2]) for row in await cursor.fetchall()])


def _refuse_foreign(applied: Sequence[Migration], known: Sequence[Migration]) -> None:
    """What has been applied must be the beginning of what we know."""
    if len(applied) > len(known):
        ours = known[-1] if known else "none"
        raise SchemaMismatch(
            f"the database is at migration {applied[-1]}, this program knows none after {ours}: it is older than the database."
            " Start the newer program"
        )
    for theirs, ours in zip(applied, known, strict=False):
        if theirs != ours:
            raise SchemaMismatch(
                f"migration {theirs} was applied with checksum {theirs.checksum[:12]}, this program's {ours} has {ours.checksum[:12]}:"
                " the file was edited after it had been applied. Restore it, and put the change into a new migration"
            )


async def _apply(connection: Connection, migration: Migration) -> None:
    try:
        async with connection.transaction():
            # Bytes, and no parameters: the server takes a whole script then, and per cent signs mean nothing to
            # psycopg.
            await connection.execute(migration.script.encode())
            if connection.pgconn.transaction_status != TransactionStatus.INTRANS:
                raise MigrationFailed(f"{migration} ended its transaction itself: COMMIT and ROLLBACK have no place in it")
            await connection.execute(
                "INSERT INTO payorch.schema_migrations (number, name, checksum) VALUES (%s, %s, %s)",
                [migration.number, migration.name, migration.checksum],
            )
    except psycopg.Error as error:
        if is_connection_lost(error):
            raise
        raise MigrationFailed(f"{migration} failed, and nothing of it was applied: {error}") from error
