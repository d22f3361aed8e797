"""The front door over real loopback sockets: what a hostile, slow, absent or ordinary client gets."""

from __future__ import annotations

import json
import logging
import os
import random
import re
import resource
import socket
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib.metadata import version
from itertools import pairwise
from typing import Any

import h11
import pytest
import trio
from hypercorn.protocol.h11 import H11Protocol
from quart import Response, request
from quart_trio import QuartTrio

from payorch.api import hot
from payorch.door import CannotListen, Door, DoorLimits, DoorState, LeanHTTPConnection

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
CHUNKED = b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


async def lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def respond(send: Any, status: int = 200, body: bytes = b"ok") -> None:
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """An app that answers at once and reads no body."""
    if scope["type"] == "lifespan":
        await lifespan(receive, send)
    else:
        await respond(send)


class Held:
    """An app whose requests wait until the test says go."""

    def __init__(self, body: bytes = b"ok") -> None:
        self.body = body
        self.waiting = 0
        self.finished = 0
        self.go = trio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        self.waiting += 1
        await self.go.wait()
        await respond(send, body=self.body)
        self.finished += 1
        return None


def quart_app(http_class: Any = LeanHTTPConnection) -> QuartTrio:
    app = QuartTrio("edge")
    app.asgi_http_class = http_class
    streamed: list[int | str] = []
    app.config.update(MAX_CONTENT_LENGTH=1_000, BODY_TIMEOUT=0.1, STREAMED=streamed)

    @app.route("/echo", methods=["GET", "POST"])
    async def echo() -> Response:
        return Response(await request.get_data(), 200)

    @app.post("/ignore")
    async def ignore() -> str:
        return "ignored"

    @app.get("/events")
    async def events() -> Response:
        async def produce() -> AsyncIterator[bytes]:
            try:
                for number in range(1_000_000):
                    streamed.append(number)
                    yield b"data: %d\n\n" % number
                    await trio.sleep(0.01 if number > 2 else 0)
            finally:
                streamed.append("closed")

        response = Response(produce(), content_type="text/event-stream")
        response.timeout = None
        return response

    @app.get("/broken")
    async def broken() -> str:
        raise RuntimeError("a bug in a route")

    return app


@pytest.fixture(params=["lean", "ordinary"])
def quart(request: pytest.FixtureRequest) -> QuartTrio:
    return quart_app(LeanHTTPConnection if request.param == "lean" else QuartTrio.asgi_http_class)


# The socket and the app below it


async def test_without_an_app_the_answer_is_503_with_retry_after(open_door: Any) -> None:
    running = await open_door(retry_after_seconds=7)
    client = await running.connect()
    await client.send(GET)
    answer = await client.answer()
    assert (answer.status, answer.headers["retry-after"], answer.headers["connection"]) == (503, "7", "close")
    assert answer.headers["content-type"] == "application/problem+json"
    assert json.loads(answer.body)["code"] == "service_unavailable"
    assert await client.everything() == b""
    assert running.door.statistics().state is DoorState.UNAVAILABLE


async def test_head_without_an_app_gets_no_body(open_door: Any) -> None:
    running = await open_door()
    client = await running.connect()
    await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await client.everything()).endswith(b"\r\n\r\n")


async def test_a_large_upload_without_an_app_still_reads_its_503(open_door: Any) -> None:
    running = await open_door()
    client = await running.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 500000\r\n\r\n" + b"x" * 500_000)
    assert (await client.answer("POST")).status == 503


async def test_the_socket_outlives_the_app(open_door: Any) -> None:
    running = await open_door(hello)
    assert (await running.ask(GET)).status == 200
    running.app_scope.cancel()
    await running.until(lambda now: now.state is DoorState.UNAVAILABLE and not now.open_connections)
    assert (await running.ask(GET)).status == 503
    await running.run_app(hello)
    assert (await running.ask(GET)).status == 200


async def test_the_lifespan_starts_before_and_ends_after_the_connections(open_door: Any) -> None:
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "lifespan":
            seen.append("request")
            try:
                await trio.sleep_forever()
            finally:
                seen.append("request cut")
        for step in ("startup", "shutdown"):
            await receive()
            seen.append(step)
            with trio.CancelScope(shield=True):
                await trio.lowlevel.checkpoint()
            await send({"type": f"lifespan.{step}.complete"})

    running = await open_door(app)
    client = await running.connect()
    await client.send(GET)
    await running.until(lambda now: now.busy_connections == 1)
    await trio.testing.wait_all_tasks_blocked()
    running.app_scope.cancel()
    await client.everything()
    await trio.testing.wait_all_tasks_blocked()
    assert seen == ["startup", "request", "request cut", "shutdown"]


async def test_a_lifespan_that_fails_fails_run_app(open_door: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})

    running = await open_door()
    with pytest.raises(ExceptionGroup) as caught:
        await running.door.run_app(app)
    assert "no database" in str(caught.value.exceptions)
    assert (await running.ask(GET)).status == 503


@pytest.mark.parametrize("refusal", [None, NotImplementedError("no lifespan here")])
async def test_an_app_without_a_lifespan_is_served(open_door: Any, refusal: Exception | None) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await respond(send)
        elif refusal is not None:
            raise refusal

    running = await open_door(app)
    assert (await running.ask(GET)).status == 200


async def test_a_port_in_use_is_said_to_be_in_use(open_door: Any) -> None:
    running = await open_door()
    with pytest.raises(CannotListen, match=f"127.0.0.1:{running.port}: the port is in use"):
        await Door(DoorLimits()).open("127.0.0.1", running.port)


async def test_one_app_at_a_time(open_door: Any) -> None:
    running = await open_door(hello)
    with pytest.raises(ExceptionGroup) as caught:
        await running.door.run_app(hello)
    assert caught.group_contains(RuntimeError, match="another app")
    assert (await running.ask(GET)).status == 200


async def test_running_out_of_file_descriptors_pauses_accepting(open_door: Any) -> None:
    running = await open_door(hello, accept_pause_seconds=0.01)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    client = socket.create_connection(("127.0.0.1", running.port))  # the kernel connects it; nobody has accepted yet
    lowest_free = os.dup(client.fileno())
    os.close(lowest_free)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, before[1]))
        await running.until(lambda now: now.accept_failures >= 2)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    stream = trio.SocketStream(trio.socket.from_stdlib_socket(client))
    running.streams.append(stream)
    await stream.send_all(GET)
    assert (await stream.receive_some(100)).startswith(b"HTTP/1.1 200")


# Bounds


async def test_one_connection_too_many_gets_503_and_the_others_go_on(open_door: Any) -> None:
    running = await open_door(hello, max_connections=2)
    first, second = await running.connect(), await running.connect()
    await first.send(GET)
    await second.send(GET)
    assert (await first.answer()).status == (await second.answer()).status == 200
    refused = await running.ask(GET)
    assert refused.status == 503
    assert "too_many_connections" in refused.body.decode()
    await first.send(GET)
    assert (await first.answer()).status == 200
    await first.stream.aclose()
    await running.until(lambda now: now.open_connections == 1)
    assert (await running.ask(GET)).status == 200


async def test_refusals_are_bounded_as_well(open_door: Any) -> None:
    running = await open_door(max_refusals=1, linger_seconds=5)
    await running.connect()
    await running.until(lambda now: now.refused == 1)
    silent = await running.connect()
    assert await silent.everything() == b""
    assert running.door.statistics().refused == 2


@pytest.mark.parametrize("bytes_at_once", [100_000, 700])
async def test_too_many_header_bytes_are_431(open_door: Any, bytes_at_once: int) -> None:
    running = await open_door(hello, header_bytes=2_000)
    client = await running.connect()
    head = b"GET / HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 3_000 + b"\r\n\r\n"
    for start in range(0, len(head), bytes_at_once):
        await client.send(head[start : start + bytes_at_once])
        await trio.testing.wait_all_tasks_blocked()
    assert (await client.answer()).status == 431
    assert await client.everything() == b""


async def test_a_long_target_counts_as_header(open_door: Any) -> None:
    running = await open_door(hello, header_bytes=2_000)
    assert (await running.ask(b"GET /" + b"p" * 1_900 + b"?" + b"q" * 200 + b" HTTP/1.1\r\nHost: x\r\n\r\n")).status == 431


@pytest.mark.parametrize("body", [b"0\r\n\r\n" + GET, b"fff\r\n" + b"x" * 10, b"1\r\nx\r\n" * 50_000])
async def test_content_length_with_transfer_encoding_is_400_and_the_end(open_door: Any, body: bytes) -> None:
    reached = Held()
    running = await open_door(reached)
    client = await running.connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n" + body)
    answer = await client.answer("POST")
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert await client.everything() == b""  # what was smuggled behind it gets no answer
    assert reached.waiting == 0
    await running.until(lambda now: now.open_connections == 0)


# Time


async def test_a_header_that_dribbles_ends_at_its_deadline(open_door: Any, autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05  # real sockets need a moment before virtual time may jump
    running = await open_door(hello, header_seconds=10, keep_alive_seconds=1_000)
    client = await running.connect()

    async def dribble_header() -> None:
        for byte in GET[:-1]:
            await client.send(bytes([byte]))
            await trio.sleep(1)

    await swallow_broken(dribble_header)
    assert 10 <= trio.current_time() <= 13
    assert running.door.statistics().timed_out == 1


async def test_the_header_deadline_also_holds_for_later_requests(open_door: Any, autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05
    running = await open_door(hello, header_seconds=10, keep_alive_seconds=1_000)
    client = await running.connect()
    await client.send(GET)
    assert (await client.answer()).status == 200
    await trio.sleep(500)
    began = trio.current_time()
    await client.send(GET[:-1])
    assert await client.stream.receive_some(1) == b""
    assert trio.current_time() - began == pytest.approx(10, abs=0.5)


async def test_an_idle_connection_ends_after_keep_alive(open_door: Any, autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05
    running = await open_door(hello, keep_alive_seconds=30)
    client = await running.connect()
    await client.send(GET)
    assert (await client.answer()).status == 200
    began = trio.current_time()
    assert await client.stream.receive_some(1) == b""
    assert trio.current_time() - began == pytest.approx(30, abs=0.5)


async def test_a_slow_app_is_not_cut_by_the_edge(open_door: Any, autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05
    held = Held()
    running = await open_door(held, header_seconds=1, keep_alive_seconds=1, write_seconds=1)
    client = await running.connect()
    await client.send(GET)
    await trio.sleep(1_000)
    held.go.set()
    answer_began = trio.current_time()
    assert (await client.stream.receive_some(100)).startswith(b"HTTP/1.1 200")
    assert trio.current_time() - answer_began < 1


async def test_a_client_that_does_not_read_is_cut(open_door: Any) -> None:
    held = Held(b"x" * 20_000_000)
    held.go.set()
    running = await open_door(held, write_seconds=0.1)
    client = await running.connect()
    await client.send(GET)
    assert (await running.until(lambda now: now.timed_out == 1)).open_connections == 0


async def test_body_limits_of_quart_hold_through_the_door(open_door: Any, quart: QuartTrio) -> None:
    running = await open_door(quart)
    declared = b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n"
    assert (await running.ask(declared + b"x" * 1001, "POST")).status == 413
    assert (await running.ask(declared, "POST")).status == 413
    assert (await running.ask(CHUNKED + b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n", "POST")).status == 413
    assert (await running.ask(CHUNKED + b"40\r\n" + b"x" * 64 + b"\r\n", "POST")).status == 408
    assert (await running.ask(declared.replace(b"1001", b"10") + b"x", "POST")).status == 408
    await running.until(lambda now: now.busy_connections == 0 and now.open_connections <= 2)  # two bodies were whole: kept alive


async def test_a_body_that_dribbles_is_408_in_the_end(open_door: Any, quart: QuartTrio) -> None:
    running = await open_door(quart)
    client = await running.connect()
    await client.send(CHUNKED)

    async def dribble() -> None:
        while True:
            await client.send(b"1\r\nx\r\n")
            await trio.sleep(0.02)

    running.nursery.start_soon(swallow_broken, dribble)
    assert (await client.answer("POST")).status == 408


async def swallow_broken(function: Any) -> None:
    with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
        await function()


async def test_a_large_chunked_upload_gets_its_413(open_door: Any, quart: QuartTrio) -> None:
    """More chunks than the queue to the app holds: neither side may wait for the other for ever."""
    running = await open_door(quart)
    client = await running.connect()
    await client.send(CHUNKED + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 500)
    assert (await client.answer("POST")).status == 413
    await running.until(lambda now: now.open_connections == 0)


@pytest.mark.parametrize("app", [hello, quart_app()], ids=["plain", "quart"])
async def test_an_answer_that_ignores_a_large_body_arrives(open_door: Any, app: Any) -> None:
    running = await open_door(app)
    client = await running.connect()
    await client.send(b"POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 300000\r\n\r\n" + b"x" * 299_000)
    assert (await client.answer("POST")).status in (200, 404, 413)
    await running.until(lambda now: now.open_connections == 0)


# Protocols and odd requests


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", {400}),
        (b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", {400}),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", {400}),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", {400}),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", {400, 501}),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", {400}),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 50, {400}),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {400, 505}),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX-Bad : y\r\n\r\n", {400}),
        (b"\r\n\r\n\r\n", {400}),
        (b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", {404, 405}),
        (b"CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404, 405}),
        (b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", {400, 404}),
        (b"GET http://x/echo HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        (b"GET http://x HTTP/1.1\r\nHost: x\r\n\r\n", {308, 400, 404}),
        (b"GET //echo HTTP/1.1\r\nHost: x\r\n\r\n", {200, 308, 404}),
        (b"GET /%2e%2e/echo HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
        (b"GET /%00%ff HTTP/1.1\r\nHost: x\r\n\r\n", {404}),
        (b"GET echo HTTP/1.1\r\nHost: x\r\n\r\n", {200, 400, 404}),
        (b"GET /echo?" + b"a=1&" * 1_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", {200}),
        (b"GET /echo HTTP/1.0\r\n\r\n", {200}),
        (b"POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nhi", {200}),
        (CHUNKED + b"2\r\nhi\r\n0\r\nX-Trailer: y\r\n\r\n", {200}),
    ],
)
async def test_odd_requests_are_answered_and_never_5xx(open_door: Any, quart: QuartTrio, sent: bytes, statuses: set[int]) -> None:
    running = await open_door(quart)
    client = await running.connect()
    await client.send(sent)
    assert await final_status(client) in statuses
    assert (await running.ask(GET)).status == 404  # the door still works


async def final_status(client: Any) -> int:
    received = b""
    with trio.fail_after(60):
        while not (found := re.search(rb"HTTP/1.1 ([2-5]\d\d)", received)):
            received += await client.stream.receive_some(65536) or pytest.fail(f"only {received!r}")
    return int(found[1])


@pytest.mark.parametrize("upgrade", [b"Upgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\nConnection: Upgrade, HTTP2-Settings"])
async def test_h2c_is_ignored(open_door: Any, upgrade: bytes) -> None:
    running = await open_door(hello)
    client = await running.connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n" + upgrade + b"\r\n\r\n")
    assert (await client.answer()).status == 200
    await client.send(GET)
    assert (await client.answer()).status == 200


async def test_websockets_are_refused(open_door: Any, quart: QuartTrio) -> None:
    running = await open_door(quart)
    client = await running.connect()
    await client.send(
        b"GET /echo HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert (await client.answer()).status == 403
    await running.until(lambda now: now.open_connections == 0)


async def test_pipelined_requests_are_answered_in_order(open_door: Any, quart: QuartTrio) -> None:
    running = await open_door(quart)
    client = await running.connect()
    bodies = [b"%d" % number for number in range(20)]
    await client.send(b"".join(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) for body in bodies))
    assert [(await client.answer("POST")).body for _ in bodies] == bodies


@pytest.mark.parametrize("behind", [b"\r\n", GET * 3, b"\x00garbage"])
async def test_bytes_behind_the_last_request_neither_spoil_its_answer_nor_keep_the_connection(open_door: Any, behind: bytes) -> None:
    held = Held()
    running = await open_door(held)
    client = await running.connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n" + behind)
    await trio.testing.wait_all_tasks_blocked()
    held.go.set()
    assert (await client.answer()).status == 200
    assert await client.everything() == b""
    assert held.waiting == 1
    await running.until(lambda now: now.open_connections == 0)


# Clients that go away, apps that fail


@pytest.mark.parametrize(
    "sent",
    [b"", b"GET / HT", GET, GET * 3, CHUNKED, CHUNKED + b"5\r\nhe", b"POST /ignore HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"],
)
@pytest.mark.parametrize("abruptly", [True, False])
async def test_a_client_that_hangs_up_leaves_no_trace(
    open_door: Any, quart: QuartTrio, caplog: pytest.LogCaptureFixture, sent: bytes, abruptly: bool
) -> None:
    running = await open_door(quart)
    client = await running.connect()
    await client.send(sent)
    if abruptly:
        client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    await client.stream.aclose()
    await running.until(lambda now: now.accepted == 1 and now.open_connections == 0)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert (await running.ask(GET)).status == 404


async def test_a_lean_request_runs_to_its_end_though_the_client_is_gone(open_door: Any, caplog: pytest.LogCaptureFixture) -> None:
    app, go, done = QuartTrio("edge"), trio.Event(), trio.Event()
    app.asgi_http_class = LeanHTTPConnection

    @app.post("/pay")
    async def pay() -> str:
        await go.wait()
        done.set()
        return "x" * 1_000_000

    running = await open_door(app)
    client = await running.connect()
    await client.send(b"POST /pay HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
    await running.until(lambda now: now.busy_connections == 1)
    client.stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    await client.stream.aclose()
    await trio.testing.wait_all_tasks_blocked()
    go.set()
    await running.until(lambda now: now.open_connections == 0)
    assert done.is_set()
    assert not caplog.records


async def test_an_endless_stream_ends_with_its_reader(open_door: Any, quart: QuartTrio, caplog: pytest.LogCaptureFixture) -> None:
    running = await open_door(quart)
    client = await running.connect()
    await client.send(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
    received = b""
    while b"data: 3" not in received:
        received += await client.stream.receive_some(1000)
    assert b"transfer-encoding: chunked" in received.lower()
    await client.stream.aclose()
    await running.until(lambda now: now.open_connections == 0)
    assert quart.config["STREAMED"][-1] == "closed"
    assert not caplog.records


async def test_the_head_of_a_stream_does_not_wait_for_its_body(open_door: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        else:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
            await trio.sleep_forever()

    running = await open_door(app)
    client = await running.connect()
    await client.send(GET)
    with trio.fail_after(60):
        assert (await client.stream.receive_some(1000)).endswith(b"chunked\r\n\r\n")


@pytest.mark.parametrize("method", [b"HEAD", b"GET"])
async def test_head_and_body_arrive_in_one_piece(open_door: Any, quart: QuartTrio, method: bytes) -> None:
    running = await open_door(quart)
    client = await running.connect()
    for _ in range(2):
        await client.send(method + b" /nowhere HTTP/1.1\r\nHost: x\r\n\r\n")
        received = await client.stream.receive_some(65536)
        assert received.startswith(b"HTTP/1.1 404")
        assert received.endswith(b"\r\n\r\n" if method == b"HEAD" else b"</p>\n")


async def test_a_body_that_has_arrived_whole_can_be_taken_at_once(open_door: Any) -> None:
    """The short way sets no time limit then; a body that is still coming is waited for as ever."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        whole = scope["extensions"][hot.ARRIVED]()
        kind = b"at once: " if whole is not None else b"in parts: "
        while whole is None or not whole.endswith(b"."):
            whole = (whole or b"") + (await receive())["body"]
        return await respond(send, body=kind + whole)

    running = await open_door(app)
    client = await running.connect()
    for _ in range(2):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nwhole.")
        assert (await client.answer("POST")).body == b"at once: whole."
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nwho")
    await trio.testing.wait_all_tasks_blocked()
    await client.send(b"le.")
    assert (await client.answer("POST")).body == b"in parts: whole."


async def test_mangled_requests_leave_neither_5xx_nor_connections_nor_tracebacks(
    open_door: Any, quart: QuartTrio, caplog: pytest.LogCaptureFixture
) -> None:
    running = await open_door(quart, header_seconds=0.2, keep_alive_seconds=0.2, linger_seconds=0.1)
    dice = random.Random(7)
    received: list[bytes] = []

    async def client(request: bytes, cuts: list[int], reads: bool) -> None:
        connection = await running.connect()
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            for start, end in pairwise([0, *cuts, len(request)]):
                await connection.send(request[start:end])
                await trio.lowlevel.checkpoint()
        if reads:
            received.append(await connection.everything())
        await trio.aclose_forcefully(connection.stream)

    async with trio.open_nursery() as nursery:
        for _ in range(300):
            request = bytearray(dice.choice([GET * 2, CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n"]))
            for _ in range(dice.randrange(4)):
                request[dice.randrange(len(request))] = dice.choice(b"\r\n\x00 :;/0aZ\xff")
            cuts = sorted(dice.sample(range(len(request)), dice.randrange(5)))
            reads = dice.random() < 0.5 and b"/events" not in request
            nursery.start_soon(client, bytes(request[: dice.randrange(len(request) + 1)]), cuts, reads)
    await running.until(lambda now: now.open_connections == 0)
    assert not [answer for answer in received if b"HTTP/1.1 5" in answer.replace(b"HTTP/1.1 501", b"")]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


async def test_a_bug_in_a_route_is_500_and_hurts_nobody_else(open_door: Any, quart: QuartTrio) -> None:
    held = await open_door(quart)
    other = await held.connect()
    await other.send(CHUNKED + b"2\r\nhi\r\n")
    assert (await held.ask(b"GET /broken HTTP/1.1\r\nHost: x\r\n\r\n")).status == 500
    await other.send(b"0\r\n\r\n")
    assert (await other.answer("POST")).body == b"hi"


@pytest.mark.parametrize("fault", ["raises", "group", "stops early", "too much body", "nothing"])
async def test_an_app_that_breaks_the_contract_hurts_nobody_else(open_door: Any, fault: str) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
        elif scope["path"] == "/good":
            await respond(send)
        elif fault == "raises":
            raise RuntimeError("app")
        elif fault == "group":
            raise ExceptionGroup("app", [ValueError("app")])
        elif fault != "nothing":
            await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"5")]})
            await send({"type": "http.response.body", "body": b"xx" if fault == "stops early" else b"x" * 9})

    running = await open_door(app)
    good = await running.connect()
    await good.send(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await good.answer()).status == 200
    bad = await running.connect()
    await bad.send(GET)
    received = await bad.everything()
    begins = {"stops early": b"HTTP/1.1 200", "too much body": b""}.get(fault, b"HTTP/1.1 500")
    assert received.startswith(begins)
    assert received or fault == "too much body"  # its head was still waiting for a body that could be sent
    await good.send(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\n")
    assert (await good.answer()).status == 200


async def test_an_app_that_asks_for_ever_after_the_end_does_not_stop_the_world(open_door: Any) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        while scope["path"] == "/stubborn":
            await receive()
        await respond(send)
        return None

    running = await open_door(app)
    stubborn = await running.connect()
    await stubborn.send(b"GET /stubborn HTTP/1.1\r\nHost: x\r\n\r\n")
    await stubborn.stream.aclose()
    assert (await running.ask(GET)).status == 200
    assert running.door.statistics().busy_connections >= 1


# Drain


async def test_drain_lets_requests_end_and_closes_idle_connections(open_door: Any) -> None:
    held = Held()
    running = await open_door(held)
    idle, busy = await running.connect(), await running.connect()
    await busy.send(GET)
    await running.until(lambda now: now.busy_connections == 1 and now.open_connections == 2)
    cut: list[int] = []

    async def drain() -> None:
        cut.append(await running.door.drain(5))

    running.nursery.start_soon(drain)
    assert await idle.everything() == b""
    assert running.door.statistics().state is DoorState.DRAINING
    with pytest.raises(OSError, match="connect"):
        await running.connect()
    held.go.set()
    answer = await busy.answer()
    assert (answer.status, answer.headers["connection"]) == (200, "close")
    await busy.stream.aclose()
    await running.until(lambda now: now.state is DoorState.CLOSED)
    await trio.testing.wait_all_tasks_blocked()
    assert cut == [0]


async def test_drain_of_nobody_returns_at_once(open_door: Any) -> None:
    running = await open_door(hello)
    with trio.fail_after(50):
        assert await running.door.drain(60) == 0
    assert running.door.statistics().state is DoorState.CLOSED


async def test_drain_ends_an_answer_that_had_begun_before(open_door: Any) -> None:
    begun, go = trio.Event(), trio.Event()
    paths: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        paths.append(scope["path"])
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        begun.set()
        await go.wait()
        await send({"type": "http.response.body", "body": b"b"})
        return None

    running = await open_door(app)
    client = await running.connect()
    await client.send(GET + GET.replace(b"/", b"/second", 1))
    await begun.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(running.door.drain, 5)
        await trio.testing.wait_all_tasks_blocked()
        go.set()
        assert (await client.everything()).endswith(b"\r\n\r\nab")
    assert paths == ["/"]  # the pipelined one was not begun


@pytest.mark.parametrize("reads", ["nothing", "a byte now and then"])
async def test_drain_returns_in_time_with_a_client_that_does_not_read(open_door: Any, reads: str) -> None:
    held = Held(b"x" * 20_000_000)
    held.go.set()
    running = await open_door(held)
    client = await running.connect()
    await client.send(GET)
    await running.until(lambda now: now.busy_connections == 1)
    await trio.testing.wait_all_tasks_blocked()

    async def dribble() -> None:
        for _ in range(1_000 if reads != "nothing" else 0):
            await client.stream.receive_some(1)
            await trio.sleep(0.005)

    running.nursery.start_soon(swallow_broken, dribble)
    began = trio.current_time()
    with trio.fail_after(50):
        assert await running.door.drain(0.2) == 1
    assert trio.current_time() - began > 0.19
    assert (await running.until(lambda now: now.open_connections == 0)).cut == 1


async def test_drain_returns_in_time_with_an_app_that_will_not_be_cancelled(open_door: Any) -> None:
    go = trio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return await lifespan(receive, send)
        with trio.CancelScope(shield=True):
            await go.wait()
        return None

    running = await open_door(app)
    client = await running.connect()
    await client.send(GET)
    await running.until(lambda now: now.busy_connections == 1)
    assert await running.door.drain(0.1) == 1
    assert await client.everything() == b""  # its socket is closed though its task lives
    go.set()
    await running.until(lambda now: now.open_connections == 0)


async def test_drain_with_dribbling_requests_returns_in_time(open_door: Any, quart: QuartTrio) -> None:
    quart.config["BODY_TIMEOUT"] = None
    running = await open_door(quart)
    header, body = await running.connect(), await running.connect()
    await header.send(b"GET / HT")
    await body.send(CHUNKED + b"2\r\nhi\r\n")
    await running.until(lambda now: now.busy_connections == 1 and now.open_connections == 2)
    assert await running.door.drain(0.1) == 1


# The engine we stand on


def test_hypercorn_still_has_what_the_door_overrides() -> None:
    assert version("hypercorn") == "0.18.0"
    assert H11Protocol._check_protocol.__annotations__ == {"event": "h11.Request", "return": "None"}
    assert h11.Request is not None
