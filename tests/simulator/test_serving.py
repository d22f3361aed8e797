"""The simulators as servers: HTTP on real sockets, faults acted out on connections, and a life that survives kill -9."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import h11
import pytest
import trio

from connectors.stripe.dialect import StripeDialect
from payorch.simulators import Bound, serve
from payorch.system import SystemClock
from tests.simulator.conftest import ROOT, Start

PAY = {"amount": 1999, "currency": "eur", "confirm": "true", "payment_method": "tok_visa", "return_url": "https://a.test"}
AUTHORISED = (("host", "x"), ("authorization", "Bearer sk_test_1"))
POST = b"POST /v1/payment_intents HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sk_test_1\r\n"
FORM = ("content-type", "application/x-www-form-urlencoded")


class Client:
    """One connection, spoken over by h11."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self.stream = stream
        self.http = h11.Connection(h11.CLIENT)

    async def send(self, method: str, path: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = AUTHORISED) -> None:
        sized = (*headers, ("content-length", str(len(body))))
        data = self.http.send(h11.Request(method=method, target=path, headers=list(sized))) or b""
        if body:
            data += self.http.send(h11.Data(data=body)) or b""
        await self.stream.send_all(data + (self.http.send(h11.EndOfMessage()) or b""))

    async def receive(self) -> tuple[int, dict[str, str], bytes]:
        response: h11.Response | None = None
        body = b""
        while True:
            event = self.http.next_event()
            if event is h11.NEED_DATA:
                self.http.receive_data(await self.stream.receive_some(65536))
            elif isinstance(event, h11.Response):
                response = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and response is not None:
                if self.http.our_state is h11.DONE and self.http.their_state is h11.DONE:
                    self.http.start_next_cycle()
                return response.status_code, {name.decode(): value.decode() for name, value in response.headers}, body
            elif isinstance(event, h11.ConnectionClosed):
                raise trio.BrokenResourceError("closed without an answer")

    async def pay(self, key: str = "k") -> None:
        await self.send("POST", "/v1/payment_intents", urlencode(PAY).encode(), (*AUTHORISED, FORM, ("idempotency-key", key)))


class Running:
    """Simulators in this process."""

    def __init__(self, bound: Bound) -> None:
        self.bound = bound

    @asynccontextmanager
    async def client(self, url: str = "") -> AsyncIterator[Client]:
        port = urlsplit(url or self.bound.simulators["stripe"]).port or 0
        async with await trio.open_tcp_stream("127.0.0.1", port) as stream:
            yield Client(stream)

    async def control(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        async with self.client(self.bound.control) as client:
            sent = b"" if body is None else json.dumps(body).encode()
            await client.send(method, path, sent, (("host", "x"), ("content-type", "application/json")))
            status, _, received = await client.receive()
            return status, json.loads(received)

    async def fault(self, **asked: Any) -> None:
        status, answer = await self.control("POST", "/stripe/_faults", asked)
        assert status == 201, answer

    async def books(self) -> list[str]:
        _, page = await self.control("GET", "/stripe/_ledger")
        return [entry["type"] for entry in page["entries"]]

    async def pays(self, key: str = "k") -> tuple[int, dict[str, str], bytes]:
        async with self.client() as client:
            await client.pay(key)
            return await client.receive()


@pytest.fixture
async def running(nursery: trio.Nursery) -> Running:
    """Simulators in the test's own nursery, gone with it."""
    return Running(await nursery.start(partial(serve, None, ports={}, clock=SystemClock())))


async def test_one_connection_carries_many_requests(running: Running) -> None:
    async with running.client() as client:
        for number in range(3):
            await client.pay(f"k{number}")
            assert (await client.receive())[0] == 200
        # Two at once, before any answer.
        await client.stream.send_all(b"GET /_health HTTP/1.1\r\nhost: x\r\n\r\n" * 2)
        received = b""
        while received.count(b'"payments": 3') < 2:
            received += await client.stream.receive_some(4096)


async def test_ways_of_sending_a_request(running: Running) -> None:
    body = urlencode(PAY).encode()
    head = POST + b"content-type: application/x-www-form-urlencoded\r\n"
    async with running.client() as client:
        await client.stream.send_all(head + b"transfer-encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        assert b" 200 " in await client.stream.receive_some(65536)
        await client.stream.send_all(head + b"expect: 100-continue\r\ncontent-length: %d\r\n\r\n" % len(body))
        assert b"100" in await client.stream.receive_some(65536)
        await client.stream.send_all(body)
        assert b" 200 " in await client.stream.receive_some(65536)
        await client.stream.send_all(b"HEAD /_health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await client.stream.receive_some(65536)).endswith(b"\r\n\r\n")
        await client.stream.send_all(b"GET /_health HTTP/1.0\r\n\r\n")
        received = [part async for part in client.stream]
        assert b"200" in received[0]


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\na: " + b"a" * 70_000, 431),
        (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2000000\r\n\r\n" + b"a" * 1_100_000, 413),
        (b"GET /v1/payment_intents HTTP/1.1\r\nhost: x\r\nauthorization: \xff\xfe\r\nidempotency-key: \xff\r\n\r\n", 401),
    ],
)
async def test_hostile_requests_get_an_answer_and_hurt_nobody(running: Running, sent: bytes, status: int) -> None:
    async with running.client() as client:
        try:
            await client.stream.send_all(sent)
        except trio.BrokenResourceError:
            return  # it was turned away before it had said everything
        received = await client.stream.receive_some(65536)
        assert received.startswith(b"HTTP/1.1 %d" % status)
    assert (await running.pays())[0] == 200


async def test_a_key_outside_ascii_is_a_key(running: Running) -> None:
    async with running.client() as client:
        await client.stream.send_all(POST + b"idempotency-key: \xe4\r\ncontent-length: 0\r\n\r\n")
        received = await client.stream.receive_some(65536)
        assert b"idempotency-key: \xe4" in received


# Faults on sockets


async def test_refusing_closes_the_port_until_it_is_lifted(running: Running) -> None:
    async with running.client() as kept:
        await running.fault(fault="refuse")
        assert await kept.stream.receive_some(10) == b""
    with pytest.raises(OSError, match=r"."):
        await running.pays()
    assert (await running.control("GET", "/stripe/_health"))[1]["status"] == "ok"
    assert (await running.control("DELETE", "/stripe/_faults"))[1]["faults"] == []
    with trio.fail_after(5):
        assert await _first(running) == 200


async def test_refusing_ends_by_itself(running: Running) -> None:
    await running.fault(fault="refuse", for_seconds=0.05)
    with trio.fail_after(5):
        assert await _first(running) == 200
    assert (await running.control("GET", "/stripe/_faults"))[1]["faults"] == []


async def _first(running: Running) -> int:
    """The status of the first payment that finds an open port."""
    while True:
        try:
            return (await running.pays())[0]
        except OSError:
            await trio.lowlevel.checkpoint()


async def test_refusing_some_resets_connections(running: Running) -> None:
    await running.fault(fault="refuse", count=1)
    with pytest.raises((trio.BrokenResourceError, OSError)):
        await running.pays()
    assert (await running.pays())[0] == 200
    await running.fault(fault="refuse", rate=0.5)
    outcomes = set()
    for _ in range(40):
        try:
            _, headers, _ = await running.pays()
            outcomes.add(headers["connection"])
        except (trio.BrokenResourceError, OSError):
            outcomes.add("reset")
    assert outcomes == {"close", "reset"}


@pytest.mark.parametrize(("fault", "books"), [("hang_before", []), ("charge_then_hang", ["authorized", "captured"])])
async def test_a_hang_never_answers_and_disturbs_no_other(running: Running, fault: str, books: list[str]) -> None:
    await running.fault(fault=fault, count=1)
    async with running.client() as client:
        await client.pay()
        with trio.move_on_after(0.1):
            await client.receive()
            pytest.fail("it answered")
        assert await running.books() == books
    status, headers, _ = await running.pays()
    assert status == 200
    assert ("idempotent-replayed" in headers) == bool(books)
    assert await running.books() == ["authorized", "captured"]


@pytest.mark.parametrize(("fault", "books"), [("reset_before", []), ("reset_after", ["authorized", "captured"])])
async def test_a_reset_breaks_the_connection_off(running: Running, fault: str, books: list[str]) -> None:
    await running.fault(fault=fault, count=1)
    with pytest.raises(trio.BrokenResourceError) as caught:
        await running.pays()
    assert isinstance(caught.value.__cause__, ConnectionResetError)
    assert await running.books() == books
    assert (await running.pays())[0] == 200


async def test_a_slow_request_occupies_its_key_and_goes_on_without_its_client(running: Running) -> None:
    await running.fault(fault="slow", seconds=0.2, count=1)
    async with running.client() as client:
        await client.pay()
        status = 0
        with trio.fail_after(5):
            while status != 409:
                status, _, _ = await running.pays()
                assert status in (409, 200)
                if status == 200:
                    pytest.fail("the second request under the key was not told that the first is under way")
        assert await running.books() == []
    with trio.fail_after(5):
        while await running.books() == []:
            await trio.lowlevel.checkpoint()
    status, headers, _ = await running.pays()
    assert (status, headers["idempotent-replayed"]) == (200, "true")


async def test_a_dripping_answer_arrives_whole(running: Running) -> None:
    await running.fault(fault="drip", seconds=0.02, count=1)
    _, _, body = await running.pays()
    assert json.loads(body)["status"] == "succeeded"


@pytest.mark.parametrize(("fault", "status"), [("error_500", 500), ("charge_then_500", 500), ("rate_limit_429", 429)])
async def test_a_scope_leaves_the_rest_alone(running: Running, fault: str, status: int) -> None:
    await running.fault(fault=fault, scope="authorize")
    assert (await running.pays())[0] == status
    async with running.client() as client:
        await client.send("GET", "/v1/payment_intents")
        assert (await client.receive())[0] == 200


# The simulator's own endpoints


async def test_faults_are_listed_and_lifted_one_by_one(running: Running) -> None:
    await running.fault(fault="slow", rate=0.25, for_seconds=60, scope="refund", seconds=1)
    await running.fault(fault="malformed", count=3)
    _, listed = await running.control("GET", "/stripe/_faults")
    first, second = listed["faults"]
    assert (first["fault"], first["rate"], first["scope"], first["seconds"]) == ("slow", 0.25, "refund", 1.0)
    assert 20 < first["remaining_seconds"] <= 60
    assert (second["id"], second["remaining_count"]) == (2, 3)
    assert "charge_then_hang" in listed["known"]
    _, left = await running.control("DELETE", "/stripe/_faults/1")
    assert [fault["id"] for fault in left["faults"]] == [2]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/stripe/_faults", {"fault": "settlement_rows_missing"}, 400),
        ("POST", "/stripe/_faults", {"fault": "webhooks_lost", "scope": "capture"}, 400),
        ("POST", "/stripe/_faults", [], 400),
        ("GET", "/stripe/_ledger?since=x", None, 400),
        ("GET", "/stripe/_ledger?until=1", None, 400),
        ("DELETE", "/stripe/_faults/x", None, 404),
        ("POST", "/stripe/_clock", {}, 404),
        ("GET", "/nobody/_faults", None, 404),
        ("GET", "/", None, 404),
        ("GET", "/_health", None, 200),
    ],
)
async def test_control_says_what_is_wrong(running: Running, method: str, path: str, body: Any, status: int) -> None:
    answered, answer = await running.control(method, path, body)
    assert answered == status
    assert ("error" in answer) == (status != 200)


async def test_a_form_from_a_web_page_sets_no_fault(running: Running) -> None:
    async with running.client() as client:
        await client.send("POST", "/_faults", b'{"fault": "refuse"}', (("host", "x"), ("content-type", "text/plain")))
        assert (await client.receive())[0] == 400


async def test_a_bug_costs_one_answer(running: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def broken(*args: Any, **more: Any) -> Any:
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(StripeDialect, "handle", broken)
        assert (await running.pays())[0] == 500
    assert "ZeroDivisionError" in caplog.text
    assert (await running.pays())[0] == 200


async def test_a_pending_payment_is_approved_with_nobody_asking() -> None:
    async with trio.open_nursery() as nursery:
        settings = {"pending_seconds": 0.01}
        running = Running(await nursery.start(partial(serve, None, ports={}, clock=SystemClock(), settings=settings)))
        async with running.client() as client:
            body = urlencode({**PAY, "payment_method": "tok_pending"}).encode()
            await client.send("POST", "/v1/payment_intents", body, (*AUTHORISED, FORM))
            assert json.loads((await client.receive())[2])["status"] == "processing"
        with trio.fail_after(5):
            # The books are read without letting the PSP act: what appears there, it did by itself.
            while await running.books() == []:
                await trio.lowlevel.checkpoint()
        nursery.cancel_scope.cancel()


async def test_stopping_finishes_what_is_under_way() -> None:
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        running = Running(await nursery.start(partial(serve, None, ports={}, clock=SystemClock(), stop=stop)))
        await running.fault(fault="slow", seconds=0.1, count=1)
        async with running.client() as idle, running.client() as client:
            await client.pay()
            with trio.fail_after(5):
                while (await running.pays())[0] != 409:
                    await trio.lowlevel.checkpoint()
            stop.set()
            assert (await client.receive())[0] == 200
            assert await idle.stream.receive_some(10) == b""


async def test_a_port_that_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken, pytest.raises(OSError, match="in use"):
        await serve(None, ports={"stripe": taken.getsockname()[1]}, clock=SystemClock())


# A process of their own


def ask(url: str, method: str, path: str, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> tuple[int, dict[str, str], Any]:
    """One request to another process."""

    async def asked() -> tuple[int, dict[str, str], bytes]:
        async with await trio.open_tcp_stream("127.0.0.1", urlsplit(url).port or 0) as stream:
            client = Client(stream)
            await client.send(method, path, body, (*AUTHORISED, *headers))
            return await client.receive()

    status, received, content = trio.run(asked)
    return status, received, json.loads(content)


def pay(url: str, key: str) -> tuple[int, dict[str, str], Any]:
    return ask(url, "POST", "/v1/payment_intents", urlencode(PAY).encode(), (FORM, ("idempotency-key", key)))


def test_kill_9_loses_neither_the_charge_nor_its_key(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    _, _, first = pay(server.stripe, "k1")
    # Charged, and killed before it could answer.
    ask(server.control, "POST", "/stripe/_faults", b'{"fault": "charge_then_hang"}', (("content-type", "application/json"),))
    with socket.create_connection(("127.0.0.1", urlsplit(server.stripe).port or 0)) as connection:
        body = urlencode(PAY).encode()
        connection.sendall(
            POST + b"idempotency-key: k2\r\ncontent-type: application/x-www-form-urlencoded\r\n"
            b"content-length: %d\r\n\r\n%s" % (len(body), body)
        )
        while len(ask(server.control, "GET", "/stripe/_ledger")[2]["entries"]) < 4:
            pass
        server.kill()
    server = start(tmp_path)
    status, headers, replayed = pay(server.stripe, "k1")
    assert (status, headers["idempotent-replayed"], replayed) == (200, "true", first)
    status, headers, second = pay(server.stripe, "k2")
    assert (status, headers["idempotent-replayed"]) == (200, "true")
    assert second["id"] != first["id"]
    _, _, third = pay(server.stripe, "k3")
    assert third["id"] not in (first["id"], second["id"])
    books = ask(server.control, "GET", "/stripe/_ledger")[2]
    assert [entry["type"] for entry in books["entries"]] == ["authorized", "captured"] * 3
    assert ask(server.control, "GET", "/stripe/_faults")[2]["faults"] == []


def test_sigterm_ends_it_in_good_order(start: Start, tmp_path: Path) -> None:
    server = start(tmp_path)
    written = json.loads((tmp_path / "simulators.json").read_text())
    assert written.pop("anchor").startswith("-----BEGIN CERTIFICATE-----")
    assert written == {"simulators": dict(server.urls), "control": server.control, "pid": server.process.pid}
    pay(server.stripe, "k1")
    assert server.stop() == 0
    with pytest.raises(OSError, match=r"."):
        pay(server.stripe, "k1")


def _free_base(count: int) -> int:
    """A port that is free together with those behind it, below those the kernel hands to clients: such a one may go any moment."""
    for base in range(21_000, 32_000, count):
        with contextlib.ExitStack() as held:
            try:
                for port in range(base, base + count):
                    held.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return base
    raise AssertionError("no free ports between 21000 and 32000")


def test_ports_follow_the_base(start: Start, tmp_path: Path) -> None:
    base = _free_base(4)
    server = start(tmp_path, base)
    assert (server.control, server.stripe) == (f"http://127.0.0.1:{base}", f"http://127.0.0.1:{base + 1}")


def test_a_folder_belongs_to_one_process(start: Start, tmp_path: Path) -> None:
    start(tmp_path)
    command = [sys.executable, str(ROOT / "tests/simulator/run_simulators.py"), str(tmp_path), "0"]
    second = subprocess.run(command, capture_output=True, cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, check=False, text=True, timeout=30)
    assert second.returncode != 0
    assert "database is locked" in second.stderr
