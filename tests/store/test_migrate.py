"""The migration runner: what it applies, what it refuses, and that two at once do no harm."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
import trio

from payorch.store.driver import Connection
from payorch.store.migrate import Migration, MigrationFailed, SchemaMismatch, check, load, migrate
from tests.conftest import Database

FILES = {
    "0001_things.sql": "CREATE TABLE things (name text); -- 100 % SQL\nINSERT INTO things VALUES ('a');",
    "0002_more.sql": "ALTER TABLE things ADD COLUMN size int;\nGRANT SELECT ON things TO payorch_app;",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, script in FILES.items():
        (tmp_path / name).write_text(script)
    (tmp_path / "README.md").write_text("not a migration")
    return tmp_path


async def rows(conninfo: str, query: str) -> list[tuple[object, ...]]:
    connection = await Connection.connect(conninfo)
    try:
        return await (await connection.execute(query.encode())).fetchall()
    finally:
        await connection.close()


async def checked(conninfo: str, folder: Path) -> None:
    connection = await Connection.connect(conninfo)
    try:
        await check(connection, folder=folder)
    finally:
        await connection.close()


class TestApplying:
    async def test_applies_what_is_missing_in_order_and_once(self, empty_database: Database, folder: Path) -> None:
        applied = await migrate(empty_database.owner, folder=folder)
        assert [str(migration) for migration in applied] == ["0001_things", "0002_more"]
        assert await migrate(empty_database.owner, folder=folder) == []
        (folder / "0003_last.sql").write_text("INSERT INTO things VALUES ('b', 1)")
        assert [migration.number for migration in await migrate(empty_database.owner, folder=folder)] == [3]
        found = await rows(empty_database.app, "SELECT name, size FROM payorch.things ORDER BY name")
        assert found == [("a", None), ("b", 1)]

    async def test_records_what_was_applied(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        found = await rows(empty_database.app, "SELECT number, name, checksum FROM schema_migrations ORDER BY number")
        assert found == [(one.number, one.name, one.checksum) for one in load(folder)]

    async def test_everything_belongs_to_the_owner(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        query = "SELECT DISTINCT schemaname, tableowner FROM pg_tables WHERE schemaname !~ '^(pg_|information)'"
        assert await rows(empty_database.superuser, query) == [("payorch", "payorch_owner")]

    async def test_a_file_that_fails_leaves_nothing_and_stops_the_rest(self, empty_database: Database, folder: Path) -> None:
        (folder / "0003_bad.sql").write_text("CREATE TABLE half (i int); SELECT 1/0;")
        (folder / "0004_never.sql").write_text("CREATE TABLE never (i int)")
        with pytest.raises(MigrationFailed, match="0003_bad failed, and nothing of it was applied: division by zero"):
            await migrate(empty_database.owner, folder=folder)
        assert await rows(empty_database.app, "SELECT max(number) FROM schema_migrations") == [(2,)]
        assert await rows(empty_database.app, "SELECT to_regclass('half')::text, to_regclass('never')::text") == [(None, None)]

    async def test_a_file_may_not_end_its_transaction(self, empty_database: Database, folder: Path) -> None:
        (folder / "0003_commits.sql").write_text("COMMIT")
        with pytest.raises(MigrationFailed, match="0003_commits ended its transaction itself"):
            await migrate(empty_database.owner, folder=folder)

    async def test_two_at_once_take_turns(self, empty_database: Database, folder: Path) -> None:
        results: list[list[Migration]] = []

        async def one() -> None:
            results.append(await migrate(empty_database.owner, folder=folder))

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(one)
        assert sorted(len(applied) for applied in results) == [0, 0, 2]

    async def test_waiting_for_another_has_an_end(self, empty_database: Database, folder: Path) -> None:
        other = await Connection.connect(empty_database.owner)
        await other.execute("SELECT pg_advisory_lock(%s)", [int("payorch", 36)])
        with pytest.raises(MigrationFailed, match="another program"):
            await migrate(empty_database.owner, folder=folder, wait_within_seconds=0.05)
        await other.close()

    async def test_a_missing_role_is_named(self, empty_database: Database, folder: Path) -> None:
        with pytest.raises(MigrationFailed, match="the role nobody_here does not exist"):
            await migrate(empty_database.owner, folder=folder, app_role="nobody_here")

    async def test_the_application_cannot_forge_the_record(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        for statement in ("DELETE FROM schema_migrations", "CREATE TABLE payorch.mine (i int)"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                await rows(empty_database.app, statement)


class TestChecking:
    async def test_a_database_that_fits(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        await checked(empty_database.app, folder)

    async def test_an_empty_database(self, empty_database: Database, folder: Path) -> None:
        with pytest.raises(SchemaMismatch, match=r"has no schema of ours yet.*needs 0002_more.*payorch migrate"):
            await checked(empty_database.app, folder)

    async def test_an_older_database(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        (folder / "0003_last.sql").write_text("SELECT 1")
        with pytest.raises(SchemaMismatch, match=r"is at migration 0002_more.*needs 0003_last.*payorch migrate"):
            await checked(empty_database.app, folder)

    async def test_a_newer_database(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        (folder / "0002_more.sql").unlink()
        with pytest.raises(SchemaMismatch, match=r"at migration 0002_more.*none after 0001_things.*newer program"):
            await checked(empty_database.app, folder)
        with pytest.raises(SchemaMismatch):
            await migrate(empty_database.owner, folder=folder)

    async def test_an_edited_file(self, empty_database: Database, folder: Path) -> None:
        await migrate(empty_database.owner, folder=folder)
        (folder / "0001_things.sql").write_text("CREATE TABLE other (name text)")
        with pytest.raises(SchemaMismatch, match=r"0001_things was applied with checksum .* edited"):
            await checked(empty_database.app, folder)
        with pytest.raises(SchemaMismatch):
            await migrate(empty_database.owner, folder=folder)


class TestReading:
    def test_line_ends_do_not_count(self, folder: Path) -> None:
        before = load(folder)
        for file in folder.glob("*.sql"):
            file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
        assert load(folder) == before

    @pytest.mark.parametrize(
        ("name", "complaint"),
        [
            ("0004_gap.sql", "expected migration 0003 but found 0004_gap"),
            ("0002_twice.sql", "expected migration 0003 but found 0002"),
            ("3_short.sql", "NNNN_name.sql"),
            ("0003_Capital.sql", "NNNN_name.sql"),
        ],
    )
    def test_a_merge_gone_wrong_is_refused(self, folder: Path, name: str, complaint: str) -> None:
        (folder / name).write_text("SELECT 1")
        with pytest.raises(MigrationFailed, match=complaint):
            load(folder)

    def test_an_absent_folder_holds_none(self, tmp_path: Path) -> None:
        assert load(tmp_path / "absent") == ()

    async def test_the_programs_own_can_be_applied(self, database: Database) -> None:
        connection = await Connection.connect(database.app)
        await check(connection)
        await connection.close()
