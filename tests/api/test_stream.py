"""The live stream: taken up again, cut off, filtered, ended by us; over the app itself, and through the door over real sockets."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from payorch.api.problems import Code
from payorch.domain.roles import Role
from payorch.keys import KeyKind
from payorch.operations.overview import Seen
from payorch.operations.vital import Vitals
from tests.api.listening import STREAM, Watched, messages
from tests.api.merchant_world import KEY, START, new_key
from tests.api.webhook_calls import refused
from tests.operations.watching import Limits


@pytest.fixture
async def watched(nursery: trio.Nursery) -> Watched:
    return Watched(nursery)


# --- what is told -----------------------------------------------------------------------------------------------------------------------


async def test_what_happens_is_told_as_it_happens(watched: Watched) -> None:
    listening = await watched.listens()
    watched.happens()
    await listening.until(b"id: 1\n")
    assert (listening.status, listening.headers[b"content-type"]) == (200, b"text/event-stream")
    assert listening.headers[b"cache-control"] == b"no-store"
    [told] = [one for one in messages(listening.body) if "id" in one]
    assert (told["id"], told["event"]) == ("1", "identity")
    assert json.loads(told["data"]) == {
        "position": 1, "at": "2026-03-01T12:00:00.001Z", "kind": "identity", "event": "MerchantAdded", "stream": "merchant",
        "subject_id": watched.written.rows[0].stream_id, "sequence": 1, "actor": "cli:olga", "cause": "req_1",
        "text": "The merchant Shop 1 was added.", "tone": "info", "change": None, "payment": None, "connector": None,
    }  # fmt: skip


async def test_it_begins_now_where_nothing_is_said(watched: Watched) -> None:
    watched.happens(5)
    listening = await watched.listens()
    watched.happens(2)
    await listening.until(b"id: 7\n")
    assert listening.positions == [6, 7]


@pytest.mark.parametrize("how", ["header", "address", "both"])
async def test_it_is_taken_up_where_it_was_left(watched: Watched, how: str) -> None:
    watched.happens(5)
    headers = {} if how == "address" else {"Last-Event-ID": "2"}
    listening = await watched.listens({"header": "", "address": "after=2", "both": "after=4"}[how], headers=headers)
    await listening.until(b"id: 5\n")
    watched.happens()
    await listening.until(b"id: 6\n")
    assert listening.positions == [3, 4, 5, 6]


async def test_nothing_is_lost_between_a_snapshot_and_the_stream(watched: Watched) -> None:
    watched.happens(150)
    taken = (await watched.world.call("GET", "/ops/v1/snapshot", key=watched.token())).seen
    watched.happens(3)
    listening = await watched.listens(f"after={taken['cursor']}")
    await listening.until(b"id: 153\n")
    assert [one["position"] for one in taken["live"]] == list(range(51, 151))
    assert listening.positions == [151, 152, 153]


@pytest.mark.parametrize("after", ["11", "999999999999", "x", "-1", ""])
async def test_a_place_that_is_none_is_a_gap(watched: Watched, after: str) -> None:
    watched.happens(10)
    answer = await watched.world.call("GET", STREAM, key=watched.token(), headers={"Last-Event-ID": after})
    refused(answer, 410, Code.STREAM_GAP)


async def test_a_place_too_far_back_is_a_gap(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    watched = Watched(nursery, Limits(behind_limit=10))
    watched.happens(12)
    refused(await watched.world.call("GET", f"{STREAM}?after=1", key=watched.token()), 410, Code.STREAM_GAP)
    listening = await watched.listens("after=2")
    await listening.until(b"id: 12\n")
    assert listening.positions == list(range(3, 13))


async def test_topics(autojump_clock: MockClock, watched: Watched) -> None:
    listening = await watched.listens("topics=connector,refusal")
    watched.happens(3)
    watched.happens(stream="act", name="Refused", body='{"reason":"no token"}', stream_id="act_1")
    watched.happens(2)
    await listening.until(b"id: 6\n")  # with the next heartbeat: so far it has been told, whatever its topics
    assert [(one["position"], one["text"]) for one in listening.events()] == [(4, "Refused: no token.")]
    refused(await watched.world.call("GET", f"{STREAM}?topics=payment,money", key=watched.token()), 400, Code.VALIDATION_FAILED, "/topics")


async def test_the_overview_is_told_where_it_has_changed(watched: Watched) -> None:
    def looks(number: int, waiting: int) -> None:
        tiles = {"approvals": {"waiting": waiting, "mine": 0, "reviews_due": 0}}
        seen = Seen(overview={"tiles": tiles}, connectors=[{"name": "psp_one"}], waiting={"olga": 1})
        watched.vital.now = Vitals(number, seen)
        watched.tail.vital_changed()

    looks(1, 1)
    listening = await watched.listens()
    quiet = await watched.listens("topics=audit")
    looks(2, 2)
    watched.happens()
    await listening.until(b"id: 1\n")
    await listening.until(b"event: vital")
    looks(3, 3)
    await listening.until(b"event: vital", 2)
    await quiet.until(b"event: vital", 2)
    # Not the first: a snapshot that is newer came before. What is one's own is one's own.
    assert [one["overview"]["tiles"]["approvals"] for one in listening.events("vital")] == [
        {"waiting": 2, "mine": 1, "reviews_due": 0},
        {"waiting": 3, "mine": 1, "reviews_due": 0},
    ]
    assert listening.events("vital")[0]["connectors"] == [{"name": "psp_one"}]


# --- how it ends ------------------------------------------------------------------------------------------------------------------------


async def test_heartbeats(autojump_clock: MockClock, watched: Watched) -> None:
    watched.happens(2)
    listening = await watched.listens()
    began = trio.current_time()
    await listening.until(b"event: hb", 4)
    assert trio.current_time() - began == pytest.approx(15, abs=0.1)
    assert listening.body.count(b": hb\n\n") == 4
    assert listening.events("hb")[-1] == {"server_time": "2026-03-01T12:00:00.000Z", "head": 2}


@pytest.mark.parametrize("how", ["revoked", "expired"])
async def test_a_token_that_is_not_valid_any_more_hears_no_more(autojump_clock: MockClock, watched: Watched, how: str) -> None:
    key = watched.token()
    listening = await watched.listens(key=key)
    tokens = watched.world.reconciling.tokens
    changes: Any = {"revoked_at": START} if how == "revoked" else {"expires_at": START + timedelta(seconds=1)}
    tokens[key.lookup_id] = replace(tokens[key.lookup_id], **changes)
    watched.world.clock.at = START + timedelta(seconds=30)
    began = trio.current_time()
    await listening.end()
    assert trio.current_time() - began == pytest.approx(60, abs=0.1)
    assert messages(listening.body)[-1] == {"event": "reset", "data": '{"reason":"token"}'}
    assert watched.world.reconciling.entries[-1].name == "Refused"
    assert watched.tail.statistics().listeners == 0


async def test_whoever_does_not_read_is_dropped(nursery: trio.Nursery, autojump_clock: MockClock) -> None:
    watched = Watched(nursery, Limits(waiting_limit=1000))
    listening, quick = await watched.listens(), await watched.listens()
    await trio.testing.wait_all_tasks_blocked()  # both have caught up
    listening.reads = False
    for _ in range(12):
        watched.happens(100)
        await quick.until(b"id: %d\n" % len(watched.written.rows))
    listening.reads_again()
    await listening.end()
    assert messages(listening.body)[-1] == {"event": "reset", "data": '{"reason":"slow"}'}
    assert quick.positions == list(range(1, 1201))
    assert watched.tail.statistics().dropped == 1


async def test_the_end_of_the_platform_is_told(watched: Watched) -> None:
    listening = await watched.listens()
    watched.happens()
    await listening.until(b"id: 1\n")
    watched.tail.stop()
    await listening.end()
    assert messages(listening.body)[-1] == {"event": "reset", "data": '{"reason":"stopping"}'}
    late = await watched.listens()
    await late.end()
    assert messages(late.body)[-1]["event"] == "reset"


async def test_so_many_and_no_more(watched: Watched) -> None:
    some = [await watched.listens() for _ in range(3)]
    answer = await watched.world.call("GET", STREAM, key=watched.token())
    refused(answer, 503, Code.OVERLOADED)
    assert int(answer.headers["Retry-After"]) > 0
    some[0].hangs_up()
    await some[0].end()
    assert watched.tail.statistics().listeners == 2
    await watched.listens()


@pytest.mark.parametrize("role", Role)
async def test_every_role_may_listen(watched: Watched, role: Role) -> None:
    assert (await watched.listens(key=watched.token(role))).status == 200


async def test_nobody_else_may(watched: Watched) -> None:
    refused(await watched.world.call("GET", STREAM, key=None), 401, Code.UNAUTHENTICATED)
    refused(await watched.world.call("GET", STREAM, key=KEY), 403, Code.FORBIDDEN)
    refused(await watched.world.call("GET", STREAM, key=new_key(KeyKind.OPERATOR)), 401, Code.UNAUTHENTICATED)
