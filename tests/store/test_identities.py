"""Merchants, keys, operators: written with their record in one transaction, from inside and from outside the writing process."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
import trio
from msgspec.structs import replace

from payorch.store import identities, reads
from payorch.store.audit import verify
from payorch.store.driver import Connection
from payorch.store.entries import Change, ChangeRefused, changed, visit
from payorch.store.items import Appended, Entry, MerchantKeyRow, MerchantRow, OperatorRow, OperatorTokenRow, OperatorTokenUsed, Result
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id, rows_of

MERCHANT = MerchantRow(id=new_id("mer"), name="Shop", created_at=START)
OPERATOR = OperatorRow(id=new_id("opr"), name="ann", person="Ann Example", created_at=START)
KEY = MerchantKeyRow(lookup_id="mk_test_a", merchant_id=MERCHANT.id, digest=b"d" * 32, mode="test", created_at=START)
TOKEN = OperatorTokenRow(lookup_id="op_live_a", operator_id=OPERATOR.id, digest=b"t" * 32, role="approver", created_at=START)


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        yield opened


async def make(journal: Journal, connection: Connection, change: Change) -> int:
    async def write(entry: Entry) -> Result:
        [result] = await journal.write([entry])
        return result

    return await changed(connection, write, change, at=START, actor="operator:root", cause="req_7")


async def test_a_merchant_and_its_keys_are_written_with_their_records(journal: Journal, connection: Connection) -> None:
    assert await make(journal, connection, identities.merchant_added(MERCHANT)) == 1
    assert await make(journal, connection, identities.merchant_key_added(KEY)) == 2
    assert [merchant.name for merchant in await identities.merchants(connection)] == ["Shop"]
    key = await identities.merchant_key(connection, "mk_test_a")
    assert key is not None
    assert (key.merchant_id, key.digest, key.is_live(START)) == (MERCHANT.id, b"d" * 32, True)

    assert await make(journal, connection, identities.merchant_key_revoked(MERCHANT.id, "mk_test_a", START)) == 3
    [revoked] = await identities.merchant_keys(connection, MERCHANT.id)
    assert not revoked.is_live(START)
    later = START + timedelta(days=1)
    await make(journal, connection, identities.merchant_key_revoked(MERCHANT.id, "mk_test_a", later))
    assert await identities.merchant_keys(connection, MERCHANT.id) == [revoked]

    told = await reads.tail(connection, 0, limit=10)
    assert [(row.stream, row.stream_id, row.sequence, row.name) for row in told] == [
        ("merchant", MERCHANT.id, 1, "MerchantAdded"),
        ("merchant", MERCHANT.id, 2, "MerchantKeyAdded"),
        ("merchant", MERCHANT.id, 3, "MerchantKeyRevoked"),
        ("merchant", MERCHANT.id, 4, "MerchantKeyRevoked"),
    ]
    assert {row.actor for row in told} == {"operator:root"}
    assert (await verify(connection)).whole


async def test_no_secret_reaches_the_journal(journal: Journal, connection: Connection) -> None:
    await make(journal, connection, identities.merchant_added(MERCHANT))
    await make(journal, connection, identities.merchant_key_added(KEY))
    told = await reads.tail(connection, 0, limit=10)
    assert "dddd" not in "".join(row.body for row in told)


async def test_operators_and_their_tokens(journal: Journal, connection: Connection) -> None:
    await make(journal, connection, identities.operator_added(OPERATOR))
    await make(journal, connection, identities.operator_token_added(TOKEN))
    token = await identities.operator_token(connection, "op_live_a")
    assert token is not None
    assert (token.operator_name, token.person, token.role, token.is_live(START)) == ("ann", "Ann Example", "approver", True)
    await make(journal, connection, identities.operator_token_revoked(OPERATOR.id, "op_live_a", START))
    assert [token.is_live(START) for token in await identities.operator_tokens(connection, OPERATOR.id)] == [False]
    assert [operator.name for operator in await identities.operators(connection)] == ["ann"]
    assert await identities.operator_token(connection, "op_live_b") is None


async def test_a_tokens_last_use_is_a_row_without_a_record_and_unlocking_is_on_record(journal: Journal, connection: Connection) -> None:
    await make(journal, connection, identities.operator_added(OPERATOR))
    await make(journal, connection, identities.operator_token_added(TOKEN))
    later, allowed = START + timedelta(days=40), timedelta(days=30)
    for at in (START + timedelta(days=2), START + timedelta(days=1)):  # an older one changes nothing
        await journal.write([OperatorTokenUsed(lookup_id="op_live_a", at=at)])
    token = await identities.operator_token(connection, "op_live_a")
    assert token is not None
    assert token.used_at == START + timedelta(days=2)
    assert (token.is_idle(later, allowed), token.is_idle(START + timedelta(days=32), allowed)) == (True, False)
    assert await rows_of(connection, "SELECT count(*) FROM journal") == [(2,)]
    await make(journal, connection, identities.operator_token_unlocked(OPERATOR.id, "op_live_a", later))
    token = await identities.operator_token(connection, "op_live_a")
    assert token is not None
    assert not token.is_idle(later, allowed)
    assert (await reads.tail(connection, 2, limit=1))[0].name == "OperatorTokenUnlocked"
    assert (await verify(connection)).whole


async def test_two_keys_of_a_mode_may_be_live_and_a_third_may_not(journal: Journal, connection: Connection) -> None:
    await make(journal, connection, identities.merchant_added(MERCHANT))
    for n, mode in ((1, "test"), (2, "test"), (3, "live"), (4, "live")):
        await make(journal, connection, identities.merchant_key_added(replace(KEY, lookup_id=f"k{n}", mode=mode)))
    with pytest.raises(ChangeRefused, match="revoke one first"):
        await make(journal, connection, identities.merchant_key_added(replace(KEY, lookup_id="k5")))
    assert await rows_of(connection, "SELECT count(*) FROM journal") == [(5,)]
    await make(journal, connection, identities.merchant_key_revoked(MERCHANT.id, "k1", START))
    await make(journal, connection, identities.merchant_key_added(replace(KEY, lookup_id="k5", created_at=START + timedelta(days=1))))


async def test_an_expired_key_makes_room(journal: Journal, connection: Connection) -> None:
    await make(journal, connection, identities.merchant_added(MERCHANT))
    soon = START + timedelta(hours=1)
    for n in (1, 2):
        await make(journal, connection, identities.merchant_key_added(replace(KEY, lookup_id=f"k{n}", expires_at=soon)))
    with pytest.raises(ChangeRefused):
        await make(journal, connection, identities.merchant_key_added(replace(KEY, lookup_id="k3", created_at=soon - timedelta(seconds=1))))
    await make(journal, connection, identities.merchant_key_added(replace(KEY, lookup_id="k3", created_at=soon)))


@pytest.mark.parametrize(
    "change",
    [
        identities.merchant_key_added(replace(KEY, merchant_id=new_id("mer"))),
        identities.merchant_key_added(replace(KEY, digest=b"short")),
        identities.merchant_key_added(replace(KEY, mode="sandbox")),
        identities.operator_added(replace(OPERATOR, id=new_id("opr"))),
        identities.operator_token_added(replace(TOKEN, role="root")),
        identities.operator_token_added(replace(TOKEN, operator_id=new_id("opr"))),
        identities.merchant_added(replace(MERCHANT, id=new_id("mer"), name="")),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_record(journal: Journal, connection: Connection, change: Change) -> None:
    await make(journal, connection, identities.merchant_added(MERCHANT))
    await make(journal, connection, identities.operator_added(OPERATOR))
    with pytest.raises(ChangeRefused):
        await make(journal, connection, change)
    assert await rows_of(connection, "SELECT count(*) FROM journal") == [(2,)]


async def test_somebody_faster_is_no_obstacle(journal: Journal, connection: Connection, database: Database) -> None:
    """Between reading the next number and writing, another entry of the same merchant came in."""
    await make(journal, connection, identities.merchant_added(MERCHANT))
    tries = 0

    async def write(entry: Entry) -> Result:
        nonlocal tries
        tries += 1
        if tries < 3:
            await make(journal, connection, identities.merchant_key_revoked(MERCHANT.id, "none", START))
        [result] = await journal.write([entry])
        return result

    change = identities.merchant_key_added(KEY)
    assert await changed(connection, write, change, at=START, actor="cli", cause="c") == 4
    assert tries == 3


async def test_the_command_line_writes_while_the_platform_runs(journal: Journal, connection: Connection, database: Database) -> None:
    async with connected(database.app) as visitor:

        async def write(entry: Entry) -> Result:
            return await visit(visitor, entry)

        story = Story()
        await journal.write([story.created()])
        assert await changed(connection, write, identities.merchant_added(MERCHANT), at=START, actor="cli", cause="c") == 2
        await journal.write([story.noted()])
        with pytest.raises(ChangeRefused):
            await changed(connection, write, identities.merchant_added(MERCHANT), at=START, actor="cli", cause="c")
        assert await changed(connection, write, identities.merchant_key_added(KEY), at=START, actor="cli", cause="c") == 4
    found = await verify(connection)
    assert (found.whole, found.records) == (True, 4)


async def test_a_visitor_and_a_busy_writer_lose_nothing(journal: Journal, connection: Connection, database: Database) -> None:
    """Each of both finds the head moved by the other all the time."""
    acts = [Entry(stream="act", stream_id=new_id("act"), sequence=1, name="Noted", at=START, actor="cli", cause="c") for _ in range(40)]
    stories = [Story() for _ in range(40)]
    positions: list[int] = []

    async def write() -> None:
        for story in stories:
            [result] = await journal.write([story.created()])
            assert isinstance(result, Appended)
            positions.append(result.position)

    async with connected(database.app) as visitor, trio.open_nursery() as nursery:
        nursery.start_soon(write)
        for act in acts:
            result = await visit(visitor, act)
            assert isinstance(result, Appended)
            positions.append(result.position)
    assert sorted(positions) == list(range(1, 81))
    assert (await verify(connection)).records == 80


async def test_the_command_line_writes_while_nothing_runs(connection: Connection, database: Database) -> None:
    async with connected(database.app) as visitor:

        async def write(entry: Entry) -> Result:
            return await visit(visitor, entry)

        assert await changed(connection, write, identities.merchant_added(MERCHANT), at=START, actor="cli", cause="c") == 1
    async with journal_on(database.app) as journal:
        await journal.write([Story().created()])
    assert (await verify(connection)).whole
