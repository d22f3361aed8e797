"""Changes of webhook endpoints in the store: each is a record with its row, and one made of a row that is no longer so is refused."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from msgspec.structs import replace

from payorch.store import delivery_reads, endpoints
from payorch.store.driver import Connection
from payorch.store.entries import Change, changed, entry_of, next_sequence
from payorch.store.items import Appended, Conflict, Endpoint, EndpointState, Entry, MerchantRow, Result
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import MERCHANT, START, connected, journal_on, new_id, rows_of

LATER = START + timedelta(seconds=1)
DAY = timedelta(days=1)


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    async with journal_on(database.app) as opened:
        merchant = MerchantRow(id=MERCHANT, name="Shop", created_at=START)
        await opened.write([entry(Change(stream="merchant", stream_id=MERCHANT, name="MerchantAdded", rows=(merchant,), detail={}), 1)])
        yield opened


@pytest.fixture
async def connection(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as opened:
        yield opened


def entry(change: Change, sequence: int) -> Entry:
    return entry_of(change, sequence=sequence, at=START, actor=f"merchant:{MERCHANT}", cause="req_1")


def an_endpoint(**changes: Any) -> Endpoint:
    made = Endpoint(
        id=new_id("whe"), merchant_id=MERCHANT, url="https://shop.example/in?token=hush", events=("payment.failed", "refund.failed"),
        state=EndpointState.ENABLED, secret=b"sealed one", version=1, created_at=START, updated_at=START, description="the till",
    )  # fmt: skip
    return replace(made, **changes)


async def test_a_life_of_one(journal: Journal, connection: Connection) -> None:
    async def write(item: Entry) -> Result:
        return (await journal.write([item]))[0]

    enter = partial(changed, connection, write, at=LATER, actor=f"merchant:{MERCHANT}", cause="req_1")

    async def now() -> Endpoint:
        found = await delivery_reads.endpoint(connection, first.id)
        assert found is not None
        return found

    first = an_endpoint()
    await enter(endpoints.created(first))
    assert await now() == first
    await enter(endpoints.secret_rotated(first, at=LATER, secret=b"sealed two", previous_until=LATER + DAY))
    second = await now()
    assert second == replace(
        first, secret=b"sealed two", previous_secret=b"sealed one", previous_until=LATER + DAY, version=2, updated_at=LATER
    )
    change = endpoints.changed(second, at=LATER, url="https://b.example", events=("*",), description=None, enabled=False)
    assert change is not None
    await enter(change)
    third = await now()
    assert (third.url, third.events, third.description, third.version) == ("https://b.example", ("*",), None, 3)
    assert (third.state, third.disabled_reason) == (EndpointState.DISABLED, endpoints.SWITCHED_OFF)
    await enter(endpoints.deleted(third, at=LATER))
    last = await now()
    assert (last.state, last.secret, last.previous_secret, last.previous_until, last.version) == (EndpointState.DELETED, b"", None, None, 4)
    recorded = await rows_of(connection, "SELECT name, body::text, actor FROM journal WHERE stream = 'webhook_endpoint' ORDER BY sequence")
    assert [name for name, _, _ in recorded] == [
        *("WebhookEndpointCreated", "WebhookEndpointSecretRotated", "WebhookEndpointChanged", "WebhookEndpointDeleted")
    ]
    assert not any("hush" in body or "sealed" in body for _, body, _ in recorded)
    assert {actor for _, _, actor in recorded} == {f"merchant:{MERCHANT}"}


async def test_of_two_changes_made_of_the_same_row_one_is_refused(journal: Journal, connection: Connection) -> None:
    first = an_endpoint()
    await journal.write([entry(endpoints.created(first), 1)])
    sequence = await next_sequence(connection, first.id)
    rotated = endpoints.secret_rotated(first, at=LATER, secret=b"sealed two", previous_until=LATER + DAY)
    renamed = endpoints.changed(first, at=LATER, url=first.url, events=first.events, description="other", enabled=True)
    assert renamed is not None
    assert await journal.write([entry(rotated, sequence), entry(renamed, sequence)]) == [Appended(3), Conflict()]
    left = await delivery_reads.endpoint(connection, first.id)
    assert left is not None
    assert (left.secret, left.description, left.version) == (b"sealed two", "the till", 2)


def test_what_changes_nothing_is_no_change() -> None:
    on, off = an_endpoint(), an_endpoint(state=EndpointState.DISABLED, disabled_reason="it answered 410 Gone")
    for one in (on, off):
        same = endpoints.changed(
            one, at=LATER, url=one.url, events=one.events, description=one.description, enabled=one.state is EndpointState.ENABLED
        )
        assert same is None


@pytest.mark.parametrize("url", ["https://shop.example?token=hush", "https://shop.example/hush/hush", "https://shop.example:8443/?hush"])
def test_a_record_tells_where_it_is_and_no_more(url: str) -> None:
    told = endpoints.created(an_endpoint(url=url)).detail
    assert "hush" not in str(told)
    assert str(told["url"]).startswith("https://shop.example")
