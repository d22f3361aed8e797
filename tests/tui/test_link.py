"""The live source against an operations API made of a few lines: resume, gaps, resets, refusals, and that it never gives up."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from tests.tui.world import event, snapshot
from tui.api import LARGEST_ANSWER, Api, CommandLog, Problem
from tui.clock import StandingClock
from tui.link import LiveSource
from tui.messages import Happened, Heartbeat, Link, Message, Snapshot, Vital

NOW = datetime(2026, 10, 16, 14, 33, tzinfo=UTC)
TOKEN = "ops_secret_token"


class Server:
    """Answers by a list of streams, one for each connection; keeps what it was asked."""

    def __init__(self, *streams: Any) -> None:
        self.streams = list(streams)
        self.asked: list[tuple[str, str | None]] = []
        self.over = asyncio.Event()

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append((request.url.path.removeprefix("/ops/v1/"), request.headers.get("Last-Event-ID")))
        if request.url.path.endswith("/snapshot"):
            return httpx2.Response(200, json=snapshot())
        if not self.streams:
            self.over.set()
            await asyncio.Event().wait()
        answer = self.streams.pop(0)
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx2.Response):
            return answer
        return httpx2.Response(200, headers={"Content-Type": "text/event-stream"}, content=_chunks(answer))


async def _chunks(text: str) -> AsyncIterator[bytes]:
    for at in range(0, len(text), 7):  # an event is never one read
        yield text[at : at + 7].encode()


def told(kind: str, data: dict[str, Any], position: int | None = None) -> str:
    return (f"id: {position}\n" if position else "") + f"event: {kind}\ndata: {json.dumps(data)}\n\n"


def made(server: Callable[..., Any], log: CommandLog | None = None) -> LiveSource:
    client = httpx2.AsyncClient(transport=httpx2.MockTransport(server), base_url="http://ops.test")
    return LiveSource(Api(client, TOKEN, StandingClock(NOW), log or CommandLog()), jitter=_Impatient())


class _Impatient(random.Random):
    """Waits as little as a timer can."""

    def uniform(self, a: float, b: float) -> float:
        return 0.0


def heard(*streams: Any) -> tuple[list[Message], Server]:
    async def scenario() -> tuple[list[Message], Server]:
        server = Server(*streams)
        messages: list[Message] = []
        source = made(server)
        work = asyncio.create_task(source.run(messages.append))
        async with asyncio.timeout(10):
            await server.over.wait()
        work.cancel()
        return messages, server

    return asyncio.run(scenario())


def test_a_snapshot_then_the_stream_from_there() -> None:
    messages, server = heard(": hb\n\n" + told("payment", event(121), 121) + told("hb", {"server_time": "t", "head": 130}))
    assert [type(message) for message in messages[:4]] == [Snapshot, Link, Happened, Heartbeat]
    assert server.asked[:2] == [("snapshot", None), ("stream", "120")]


def test_it_goes_on_by_the_last_position_it_saw() -> None:
    messages, server = heard(told("payment", event(121), 121), httpx2.ConnectError("refused"), told("payment", event(122), 122))
    assert [message.position for message in messages if isinstance(message, Happened)] == [121, 122]
    assert [asked for asked in server.asked if asked[0] == "stream"][:3] == [("stream", "120"), ("stream", "121"), ("stream", "121")]
    assert [message.state for message in messages if isinstance(message, Link)] == ["live", "lost", "lost", "live", "lost"]
    assert [message for message in messages if isinstance(message, Snapshot)][1:] == []
    assert [message for message in messages if isinstance(message, Vital)], "figures are asked for anew after a break"


def test_a_place_that_is_gone_costs_a_marked_snapshot() -> None:
    gone = httpx2.Response(410, json={"title": "stream gap", "code": "stream_gap"})
    messages, _ = heard(told("payment", event(121), 121), gone, told("payment", event(125), 125))
    assert [message.gap for message in messages if isinstance(message, Snapshot)] == [False, True]


def test_a_server_that_forgets_at_once_is_not_asked_in_a_loop() -> None:
    def gone() -> httpx2.Response:
        return httpx2.Response(410, json={"code": "stream_gap"})

    messages, _ = heard(gone(), gone(), told("payment", event(125), 125))
    assert any(isinstance(message, Link) and message.state == "lost" for message in messages)


@pytest.mark.parametrize(
    ("reason", "said"), [("slow", "too slow"), ("stopping", "is stopping"), ("token", "revoked"), ("of the future", "of the future")]
)
def test_a_reset_says_why(reason: str, said: str) -> None:
    messages, _ = heard(told("reset", {"reason": reason}))
    assert said in next(message.reason for message in messages if isinstance(message, Link) and message.state == "lost")


def test_a_refused_token_is_said_with_what_is_missing() -> None:
    refused = httpx2.Response(403, json={"title": "not allowed", "detail": "takes a viewer", "code": "forbidden"})
    messages, _ = heard(refused)
    denied = next(message for message in messages if isinstance(message, Link) and message.state == "denied")
    assert denied.reason == "not allowed: takes a viewer"


@pytest.mark.parametrize("broken", ["event: payment\ndata: {\n\n", "data: [1]\n\n", "data: " + "x" * 100_000 + "\n\n"])
def test_a_broken_stream_is_a_lost_one(broken: str) -> None:
    messages, _ = heard(broken)
    assert [message.state for message in messages if isinstance(message, Link)][:2] == ["live", "lost"]


def test_waits_are_cut_short_by_a_key() -> None:
    async def scenario() -> None:
        server = Server(httpx2.ConnectError("refused"))
        source = made(server)
        source._jitter.uniform = lambda a, b: 3_600.0  # type: ignore[method-assign]
        lost = asyncio.Event()
        work = asyncio.create_task(source.run(lambda message: lost.set() if isinstance(message, Link) else None))
        async with asyncio.timeout(10):
            await lost.wait()
            await asyncio.sleep(0)
            source.retry_now()
            await server.over.wait()
        work.cancel()

    asyncio.run(scenario())


# --- questions -----------------------------------------------------------------------------------------------------------------------


def asked(answer: httpx2.Response | Exception, method: str = "GET") -> tuple[Any, CommandLog]:
    async def scenario() -> tuple[Any, CommandLog]:
        async def server(request: httpx2.Request) -> httpx2.Response:
            if isinstance(answer, Exception):
                raise answer
            return answer

        log = CommandLog()
        source = made(server, log)
        try:
            if method == "GET":
                return await source.get("payments", {"state": "X Y", "limit": 200, "cursor": None}), log
            return await source.post("actions", {"plan": "pln_1", "reason": "it's"}, key="console-1", match="ab"), log
        except Problem as problem:
            return problem, log

    return asyncio.run(scenario())


def test_a_call_is_logged_as_curl_without_the_token() -> None:
    answer = httpx2.Response(201, json={"id": "act_1"}, headers={"X-Request-Id": "req_1", "Idempotency-Replayed": "true"})
    found, log = asked(answer, "POST")
    assert found.replayed
    call = log.calls[-1]
    assert (call.status, call.request_id) == (201, "req_1")
    assert TOKEN not in call.curl
    assert "$PAYORCH_OPS_TOKEN" in call.curl
    assert "'Idempotency-Key: console-1'" in call.curl


def test_a_refusal_is_a_problem_with_its_request() -> None:
    problem, _ = asked(
        httpx2.Response(412, json={"title": "plan changed", "code": "plan_changed", "plan": {"id": "pln_2"}, "request_id": "req_2"})
    )
    assert (problem.status, problem.code, problem.request_id, problem.body["plan"]["id"]) == (412, "plan_changed", "req_2", "pln_2")


@pytest.mark.parametrize(("method", "money"), [("GET", "no"), ("POST", "unknown")])
def test_no_answer_to_a_write_means_that_nobody_knows(method: str, money: str) -> None:
    problem, log = asked(httpx2.ReadTimeout("slow"), method)
    assert (problem.status, problem.money_moved) == (0, money)
    assert log.calls[-1].status == 0


@pytest.mark.parametrize("body", [b"<html>", b"[1]", b'"x"', b"x" * (LARGEST_ANSWER + 1), b"[" * 100_000])
def test_an_answer_that_is_none_is_a_problem(body: bytes) -> None:
    problem, _ = asked(httpx2.Response(200, content=body))
    assert problem.code == "answer_unreadable"


def test_a_wrong_token_does_not_unlock() -> None:
    async def scenario() -> None:
        async def server(request: httpx2.Request) -> httpx2.Response:
            good = request.headers["Authorization"] == "Bearer ops_renewed"
            return httpx2.Response(200 if good else 401, json={"title": "who are you"})

        source = made(server)
        assert await source.unlock(TOKEN)
        assert not await source.unlock("wrong")
        assert await source.unlock("ops_renewed")

    asyncio.run(scenario())
