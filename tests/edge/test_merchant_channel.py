"""Sending to merchants' URLs over real sockets: only to addresses that were judged, under the name that was given."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Sequence
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from connectors.contract import HttpRequest, HttpResponse
from payorch.merchant_reach import GuardedReach, SystemNames
from payorch.network import Network, NetworkLimits
from payorch.ports import Channel, NotSent, OutcomeLost, Timeouts
from tests.edge.loopback import OK, TIMEOUTS, Server, answering, server_tls

MESSAGE = HttpRequest(method="POST", path="/hook?x=1", headers=(("webhook-id", "evt_1"),), body=b'{"amount":1}')
NAME = "hooks.example"


class Names:
    """Answers each look-up with the next list of addresses, and the last one again and again."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        await trio.lowlevel.checkpoint()
        self.asked.append((host, port))
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


HERE = ("127.0.0.1",)


def to(server: Server, names: Names | None = None, **limits: Any) -> Channel:
    """A channel of a developer's platform to that server, under a name."""
    network = Network(NetworkLimits(**limits), merchant_names=names or Names(HERE))
    return network.merchant_channel(f"http://{NAME}:{server.port}/hook?x=1", local=True)


async def send(channel: Channel, timeouts: Timeouts = TIMEOUTS) -> HttpResponse:
    return await channel.exchange(MESSAGE, timeouts=timeouts)


async def not_sent(channel: Channel, timeouts: Timeouts = TIMEOUTS) -> str:
    with pytest.raises(NotSent) as caught:
        await send(channel, timeouts)
    assert not any(address in str(caught.value) for address in ("10.0.0.1", "169.254.169.254"))  # what a name led to is not told
    return caught.value.reason


@pytest.fixture
def no_connection(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that a connection was opened to. None ever is."""
    opened: list[str] = []

    async def open_tcp_stream(host: str, port: int) -> trio.SocketStream:
        opened.append(host)
        raise OSError("refused")

    monkeypatch.setattr(trio, "open_tcp_stream", open_tcp_stream)
    return opened


# The plain case


async def test_a_message_goes_to_the_address_under_the_name(start: Any) -> None:
    server, names = await start(answering(OK)), Names(HERE)
    response = await send(to(server, names))
    assert (response.status, response.body) == (200, b"ok")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /hook?x=1 HTTP/1.1"
    assert {f"host: {NAME}:{server.port}".encode(), b"accept-encoding: identity", b"webhook-id: evt_1"} <= set(lines)
    assert body == MESSAGE.body
    assert names.asked == [(NAME, server.port)]


async def test_a_connection_is_kept_and_its_name_asked_once(start: Any) -> None:
    server, names = await start(answering(OK)), Names(HERE)
    channel = to(server, names)
    for _ in range(3):
        await send(channel)
    assert (server.connections, len(names.asked)) == (1, 1)


async def test_the_certificate_is_checked_for_the_name_and_not_for_the_address(start: Any) -> None:
    authority, client = trustme.CA(), ssl.create_default_context()
    authority.configure_trust(client)
    names_seen: list[str | None] = []
    context = server_tls(authority, NAME)
    context.sni_callback = lambda _connection, name, _context: names_seen.append(name)
    server = await start(answering(OK), context)
    network = Network(ssl_context=client, merchant_names=Names(HERE))
    assert (await send(network.merchant_channel(f"https://{NAME}:{server.port}/", local=True))).status == 200
    assert names_seen == [NAME]
    assert await not_sent(network.merchant_channel(f"https://other.example:{server.port}/", local=True)) == "tls"
    assert await not_sent(network.merchant_channel(f"https://127.0.0.1:{server.port}/", local=True)) == "tls"
    assert len(server.requests) == 1


async def test_an_untrusted_certificate_is_not_sent(start: Any) -> None:
    server = await start(answering(OK), server_tls(trustme.CA(), NAME))
    network = Network(merchant_names=Names(HERE))
    assert await not_sent(network.merchant_channel(f"https://{NAME}:{server.port}/", local=True)) == "tls"
    assert not server.requests


async def test_proxies_of_the_environment_are_ignored(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    assert (await send(to(await start(answering(OK))))).status == 200


# Addresses


@pytest.mark.parametrize(
    "addresses",
    [
        ("10.0.0.1",),
        ("169.254.169.254",),
        ("127.0.0.1",),
        ("1.1.1.1", "10.0.0.1"),
        ("2606:4700:4700::1111", "::ffff:10.0.0.1"),
        ("fe80::1%eth0",),
        ("64:ff9b::a9fe:a9fe",),
        (),
        ("not an address",),
    ],
)
async def test_one_address_that_is_not_public_blocks_all(addresses: tuple[str, ...], no_connection: list[str]) -> None:
    channel = Network(merchant_names=Names(addresses)).merchant_channel(f"https://{NAME}/", local=False)
    assert await not_sent(channel) == "blocked"
    assert no_connection == []


async def test_a_developers_platform_connects_to_loopback_and_to_nothing_else_that_is_private(no_connection: list[str]) -> None:
    channel = Network(merchant_names=Names(("127.0.0.1", "192.168.0.1"))).merchant_channel(f"http://{NAME}/", local=True)
    assert await not_sent(channel) == "blocked"
    assert no_connection == []


async def test_what_is_connected_to_is_the_address_that_was_judged(no_connection: list[str]) -> None:
    names = Names(("1.1.1.1", "2606:4700:4700::1111", "1.1.1.1"), ("127.0.0.1",))
    assert await not_sent(Network(merchant_names=names).merchant_channel(f"https://{NAME}/", local=False)) == "connect"
    assert no_connection == ["1.1.1.1", "2606:4700:4700::1111"]
    assert len(names.asked) == 1


async def test_a_name_that_leads_elsewhere_the_second_time_leads_nowhere(start: Any) -> None:
    server = await start(answering(OK, times=1))
    names = Names(HERE, ("10.0.0.1",))
    channel = to(server, names)
    assert (await send(channel)).status == 200
    await trio.testing.wait_all_tasks_blocked()  # the server has closed, so the next message needs a new connection
    assert await not_sent(channel) == "blocked"
    assert (server.connections, len(names.asked)) == (1, 2)


async def test_no_more_than_four_addresses_are_tried(no_connection: list[str]) -> None:
    names = Names([f"1.1.1.{number}" for number in range(1, 100)])
    assert await not_sent(Network(merchant_names=names).merchant_channel(f"https://{NAME}/", local=False)) == "connect"
    assert no_connection == ["1.1.1.1", "1.1.1.2", "1.1.1.3", "1.1.1.4"]


async def test_an_address_that_leads_nowhere_leaves_time_for_the_next(autojump_clock: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[tuple[str, float]] = []

    async def open_tcp_stream(host: str, port: int) -> trio.SocketStream:
        tried.append((host, trio.current_time()))
        await trio.sleep_forever()

    monkeypatch.setattr(trio, "open_tcp_stream", open_tcp_stream)
    began = trio.current_time()
    with trio.move_on_after(5) as scope, pytest.raises(OSError, match="share"):
        await GuardedReach(Names(("2606:4700::1", "1.1.1.1")), local=False)(NAME, 443)
    assert [(host, round(at - began, 3)) for host, at in tried] == [("2606:4700::1", 0), ("1.1.1.1", 2.5)]
    assert scope.cancel_called


async def test_a_refused_address_is_followed_by_the_next(start: Any) -> None:
    server = await start(answering(OK))  # on 127.0.0.1 alone
    assert (await send(to(server, Names(("127.0.0.2", "127.0.0.1"))))).status == 200


@pytest.mark.parametrize(
    "url", ["http://hooks.example/", "https://127.0.0.1/", "https://hooks.example:22/", "https://u:p@hooks.example/", ""]
)
async def test_a_url_that_is_refused_is_never_looked_up(url: str, no_connection: list[str]) -> None:
    names = Names(("1.1.1.1",))
    channel = Network(merchant_names=names).merchant_channel(url, local=False)
    assert await not_sent(channel) == "blocked"
    await channel.aclose()
    assert not names.asked
    assert not no_connection


# Names


async def test_a_name_that_leads_nowhere_is_connected_to_nowhere(no_connection: list[str]) -> None:
    async def nowhere(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    assert await not_sent(Network(merchant_names=nowhere).merchant_channel(f"https://{NAME}/", local=False)) == "dns"
    assert no_connection == []


async def test_a_name_server_that_hangs_takes_no_longer_than_connecting_may(autojump_clock: trio.testing.MockClock) -> None:
    async def hang(host: str, port: int) -> Sequence[str]:
        await trio.sleep_forever()
        raise AssertionError

    assert await not_sent(Network(merchant_names=hang).merchant_channel(f"https://{NAME}/", local=False)) == "connect"
    assert trio.current_time() == pytest.approx(TIMEOUTS.connect_seconds)


async def test_the_systems_resolver_knows_this_machine(start: Any) -> None:
    assert "127.0.0.1" in await SystemNames()("localhost", 80)
    server = await start(answering(OK))
    channel = Network().merchant_channel(f"http://127.0.0.1:{server.port}/hook", local=True)
    assert (await send(channel)).status == 200


async def test_names_that_hang_take_no_thread_that_others_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A merchant's name server that never answers holds the threads of merchants' look-ups, at most; PSPs have trio's own."""
    answer = threading.Event()

    def hang(*_: Any, **__: Any) -> list[Any]:
        answer.wait(10)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    others = trio.to_thread.current_default_thread_limiter()
    names = SystemNames()
    try:
        async with trio.open_nursery() as nursery:
            for _ in range(100):
                nursery.start_soon(names, NAME, 443)
            await trio.testing.wait_all_tasks_blocked()
            assert others.borrowed_tokens == 0
            nursery.cancel_scope.cancel()  # nobody waits any more, and the threads are still held
        with trio.move_on_after(0.02) as scope:
            await names(NAME, 443)
        assert scope.cancelled_caught
        assert others.borrowed_tokens == 0
    finally:
        answer.set()


# Answers


async def test_a_redirect_is_an_answer_and_goes_nowhere(start: Any) -> None:
    elsewhere = await start(answering(OK))
    for there in ("http://169.254.169.254/latest/meta-data/", f"http://127.0.0.1:{elsewhere.port}/"):
        server = await start(answering(b"HTTP/1.1 307 X\r\nLocation: %b\r\nContent-Length: 0\r\n\r\n" % there.encode()))
        names = Names(HERE)
        response = await send(to(server, names))
        assert (response.status, response.header("location")) == (307, there)
        assert names.asked == [(NAME, server.port)]
    assert elsewhere.connections == 0


@pytest.mark.parametrize("status", [200, 204, 410, 429, 500])
async def test_any_status_is_an_answer(start: Any, status: int) -> None:
    server = await start(answering(b"HTTP/1.1 %d X\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n" % status))
    response = await send(to(server))
    assert (response.status, response.header("retry-after")) == (status, "3")


async def test_a_body_of_any_length_does_not_undo_the_answer(start: Any) -> None:
    sent = 0

    async def serve(server: Server, stream: Any) -> None:
        nonlocal sent
        await server.request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 100_000)
            sent += 100_000

    server = await start(serve)
    channel = to(server)
    response = await send(channel)
    assert (response.status, response.body) == (200, b"x" * 65_536)
    assert sent < 20_000_000  # what fits into the buffers of two sockets
    await send(channel)
    assert server.connections == 2  # what follows such an answer is nobody's


async def test_a_body_that_just_fits_is_whole_and_the_connection_is_kept(start: Any) -> None:
    server = await start(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 65536\r\n\r\n" + b"x" * 65_536))
    channel = to(server)
    for _ in range(2):
        assert len((await send(channel)).body) == 65_536
    assert server.connections == 1


@pytest.mark.parametrize(
    "rest",
    [
        b"Content-Length: 10\r\n\r\nhalf",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nzz\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
async def test_a_broken_body_does_not_undo_the_answer(start: Any, rest: bytes) -> None:
    server = await start(answering(b"HTTP/1.1 202 Accepted\r\n" + rest, times=1))
    response = await send(to(server))
    assert (response.status, response.body) == (202, b"half")


async def test_a_body_that_drips_ends_at_the_deadline_with_its_answer(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.01)

    timeouts = Timeouts(connect_seconds=60, write_seconds=60, read_seconds=60, total_seconds=0.5)
    channel = to(await start(serve))
    response = await send(channel, timeouts)
    assert response.status == 200
    assert 0 < len(response.body) < 1000


async def lost(channel: Channel, timeouts: Timeouts = TIMEOUTS) -> str:
    with pytest.raises(OutcomeLost) as caught:
        await send(channel, timeouts)
    return caught.value.reason


async def test_one_that_hangs_is_no_answer(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        await trio.sleep_forever()

    timeouts = Timeouts(connect_seconds=1, write_seconds=1, read_seconds=0.05, total_seconds=1)
    assert await lost(to(await start(serve)), timeouts) == "read_timeout"


async def test_a_head_that_drips_is_no_answer(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nX: ")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.01)

    timeouts = Timeouts(connect_seconds=1, write_seconds=1, read_seconds=0.3, total_seconds=0.1)
    assert await lost(to(await start(serve)), timeouts) == "deadline"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200 OK\r\nX", "closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed_http"),
        (b"\x00\xff\x16\x03\x01garbage\r\n\r\n", "malformed_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", "malformed_http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000, "response_too_large"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed"),
    ],
)
async def test_garbage_is_no_answer(start: Any, answer: bytes, reason: str) -> None:
    assert await lost(to(await start(answering(*[answer] if answer else [], times=1)))) == reason
