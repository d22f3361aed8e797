"""What the database itself forbids, whoever asks: the journal is append-only, partitions carry the same rules, rights are few."""

from __future__ import annotations

from datetime import timedelta

import psycopg
import pytest

from payorch.store.driver import Connection
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, rows_of

_APPEND_ONLY = [
    "UPDATE journal SET actor = 'x'",
    "UPDATE journal SET at = at",
    "DELETE FROM journal",
    "TRUNCATE journal",
    "UPDATE journal_head SET position = position - 1",
    "UPDATE journal_head SET hash = decode(repeat('ff', 32), 'hex')",
    "UPDATE journal_head SET epoch = epoch - 1",
    "DELETE FROM journal_head",
    "TRUNCATE journal_head",
]
_PARTITIONED = ("journal", "payments", "attempts", "operations", "outbox", "deliveries", "disputes", "movements")
_WHOLE = (
    "idempotency_keys", "merchants", "merchant_keys", "operators", "operator_tokens", "inbox", "webhook_endpoints", "dead_letters",
)  # fmt: skip


async def refused(connection: Connection, statement: str) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await connection.execute(statement)


async def journal_partitions(connection: Connection) -> list[str]:
    found = await rows_of(connection, "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'journal'::regclass ORDER BY 1")
    return [row[0] for row in found]


@pytest.mark.parametrize("role", ["app", "owner", "superuser"])
async def test_nobody_changes_the_journal(database: Database, role: str) -> None:
    async with journal_on(database.app) as journal:
        await journal.write([Story().sent()])
    async with connected(getattr(database, role)) as connection:
        await connection.execute("SET search_path = payorch")
        for statement in _APPEND_ONLY:
            await refused(connection, statement)
        assert await rows_of(connection, "SELECT count(*) FROM journal") == [(4,)]


@pytest.mark.parametrize("mode", ["replica", "local"])
async def test_not_even_with_triggers_switched_off_for_the_session(database: Database, mode: str) -> None:
    async with journal_on(database.app) as journal:
        await journal.write([Story().sent()])
    async with connected(database.app) as app:
        await refused(app, f"SET session_replication_role = {mode}")
    async with connected(database.superuser) as root:
        await root.execute("SET search_path = payorch")
        await root.execute(f"SET session_replication_role = {mode}")
        for statement in _APPEND_ONLY:
            await refused(root, statement)


async def test_every_partition_is_protected_by_itself_also_one_made_later(database: Database) -> None:
    months = [START.replace(year=2031, month=5), START.replace(year=2031, month=6), START.replace(year=2071)]
    async with connected(database.owner) as owner:
        assert await rows_of(owner, "SELECT ensure_partitions('2031-05-01', 2)") == [(2 * 8,)]
        async with journal_on(database.app) as journal:
            await journal.write([Story(at=at).sent() for at in months])
        partitions = await journal_partitions(owner)
        assert {"journal_2031_05", "journal_2031_06", "journal_default"} <= set(partitions)
        filled = [name for name in partitions if await rows_of(owner, f"SELECT FROM {name} LIMIT 1")]
        assert len(filled) == 3
        for name in partitions:
            await refused(owner, f"TRUNCATE {name}")
        for name in filled:
            await refused(owner, f"UPDATE {name} SET actor = 'x'")
            await refused(owner, f"DELETE FROM {name}")
    async with connected(database.superuser) as root:
        await root.execute("SET session_replication_role = replica")
        for name in filled:
            await refused(root, f"DELETE FROM payorch.{name}")
            await refused(root, f"TRUNCATE payorch.{name}")


@pytest.mark.parametrize("table", [*_PARTITIONED, *_WHOLE])
async def test_the_application_deletes_nothing(database: Database, table: str) -> None:
    async with connected(database.app) as app:
        await refused(app, f"DELETE FROM {table}")
        await refused(app, f"TRUNCATE {table}")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE payments SET amount = 1",
        "UPDATE payments SET merchant_id = id",
        "UPDATE attempts SET amount = 1",
        "UPDATE operations SET psp_key = 'x'",
        "UPDATE outbox SET body = '{}'",
        "UPDATE inbox SET identity = 'x'",
        "UPDATE inbox SET digest = ''",
        "UPDATE webhook_endpoints SET merchant_id = id",
        "UPDATE deliveries SET event_id = payment_id",
        "UPDATE dead_letters SET subject = '{}'",
        "UPDATE disputes SET psp_reference = 'x'",
        "UPDATE movements SET amount = 1",
        "UPDATE movements SET credit = 'x'",
        "UPDATE idempotency_keys SET payment_id = merchant_id",
        "UPDATE idempotency_keys SET fingerprint = ''",
        "UPDATE merchant_keys SET digest = ''",
        "UPDATE operator_tokens SET role = 'admin'",
        "UPDATE operators SET person = 'x'",
        "ALTER TABLE journal DISABLE TRIGGER ALL",
        "DROP TABLE journal",
        "SELECT ensure_partitions('2031-01-01', 1)",
        "CREATE TABLE payorch.mine (id int)",
    ],
)
async def test_the_application_changes_only_what_it_must(database: Database, statement: str) -> None:
    async with connected(database.app) as app:
        await refused(app, statement)


@pytest.mark.parametrize("role", ["app", "owner"])
@pytest.mark.parametrize(
    "change",
    [
        "psp_key = 'x'",
        "psp_key_safe_until = now()",
        "call_method = 'GET'",
        "call_path = '/x'",
        "call_content_type = NULL",
        "call_body = 'x'",
        "call_body = 'x', state = 'SENT'",
        "call_body = 'x', psp_key = 'x', state = 'AUTHORIZED'",
    ],
)
async def test_a_call_that_may_be_on_the_wire_stays_as_it_was_committed(database: Database, role: str, change: str) -> None:
    async with journal_on(database.app) as journal:
        await journal.write([Story().sent()])
    async with connected(getattr(database, role)) as connection:
        await refused(connection, f"UPDATE payorch.attempts SET {change}")


async def test_after_the_shoppers_turn_another_call_takes_its_place_under_another_key(database: Database) -> None:
    async with journal_on(database.app) as journal, connected(database.app) as app:
        story = Story()
        await journal.write([story.sent()])
        await journal.write([story.wants_action()])
        await refused(app, "UPDATE payorch.attempts SET call_body = 'x', state = 'SENT'")
        await journal.write([story.completed()])
        rows = await rows_of(app, "SELECT psp_key, call_path, call_body, state FROM payorch.attempts")
        assert rows == [(f"{story.attempt.id}_2", "/v1/finish", "{}", "SENT")]
        await refused(app, "UPDATE payorch.attempts SET psp_key = 'x', state = 'SENT'")


async def test_a_fence_is_committed_once(database: Database) -> None:
    async with journal_on(database.app) as journal, connected(database.app) as app:
        story = Story()
        await journal.write([story.sent()])
        await journal.write([story.fenced()])
        rows = await rows_of(app, "SELECT fence_key, fence_method, fence_path, fence_content_type, fence_body, state FROM payorch.attempts")
        assert rows == [(f"{story.attempt.id}_fence", "POST", "/cancels", None, "{}", "PREPARED")]
        await journal.write([story.authorized()])
        await refused(app, "UPDATE payorch.attempts SET fence_body = 'x'")
        await refused(app, "UPDATE payorch.attempts SET fence_key = NULL, fence_method = NULL, fence_path = NULL, fence_body = NULL")


async def test_months_are_there_ahead_and_a_payment_lies_in_its_own(database: Database) -> None:
    async with connected(database.owner) as owner:
        now = (await rows_of(owner, "SELECT now() AT TIME ZONE 'UTC'"))[0][0]
        async with journal_on(database.app) as journal:
            await journal.write([Story(at=START.replace(year=now.year, month=now.month)).sent()])
        for table in _PARTITIONED:
            names = await rows_of(owner, f"SELECT count(*) FROM pg_inherits WHERE inhparent = '{table}'::regclass")
            assert names == [(4,)]
        for table in ("journal", "payments", "attempts"):
            assert await rows_of(owner, f"SELECT FROM {table}_{now:%Y_%m}")
            assert not await rows_of(owner, f"SELECT FROM {table}_default")
        # What `payorch migrate` asks for each time: one month back, thirteen ahead.
        ahead = "SELECT ensure_partitions((now() AT TIME ZONE 'UTC' - interval '1 month')::date, 15)"
        assert await rows_of(owner, ahead) == [(12 * 8,)]
        assert await rows_of(owner, ahead) == [(0,)]


async def test_a_month_that_came_too_early_stays_in_the_default_partition(database: Database) -> None:
    """Making its partition would fail for ever, and with it every migration."""
    story = Story(at=START.replace(year=2040, month=2))
    async with journal_on(database.app) as journal, connected(database.owner) as owner:
        await journal.write([story.sent()])
        # Of that month, `operations`, `outbox`, `deliveries`, `disputes` and `movements` hold nothing yet.
        assert await rows_of(owner, "SELECT ensure_partitions('2040-02-01', 1)") == [(5,)]
        assert len(await journal.write([story.authorized(outbox=(story.outbox(1),))])) == 1
        assert await rows_of(owner, "SELECT count(*) FROM journal") == [(5,)]


async def test_month_borders_are_exact(database: Database) -> None:
    async with connected(database.owner) as owner:
        await owner.execute("SET timezone = 'America/New_York'")
        await owner.execute("SELECT ensure_partitions('2032-01-31', 3)")
        first = START.replace(year=2032, month=2, day=1, hour=0)
        last, next_ = first - timedelta(milliseconds=1), first.replace(month=3)
        stories = [Story(at=at) for at in (last, first, next_ - timedelta(milliseconds=1), next_)]
        async with journal_on(database.app) as journal:
            await journal.write([story.created() for story in stories])
        counts = [(await rows_of(owner, f"SELECT count(*) FROM payments_2032_0{n}"))[0][0] for n in (1, 2, 3)]
        assert counts == [1, 2, 1]


async def test_no_payment_and_no_attempt_in_a_state_that_does_not_exist(database: Database) -> None:
    async with journal_on(database.app) as journal, connected(database.app) as app:
        await journal.write([Story().sent()])
        for table in ("payments", "attempts"):
            with pytest.raises(psycopg.errors.CheckViolation):
                await app.execute(f"UPDATE {table} SET state = 'PAID'")
        with pytest.raises(psycopg.errors.CheckViolation):
            await app.execute("UPDATE payments SET captured = -1")
