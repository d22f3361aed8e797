"""The network client against small servers on loopback, each with one fault: what is certainly not executed, and what may be."""

from __future__ import annotations

import gzip
import socket
import ssl
from typing import Any

import pytest
import trio
import trio.testing
import trustme

from connectors.contract import HttpRequest, HttpResponse
from payorch.network import Channel, Network, NetworkLimits
from payorch.ports import NotSent, OutcomeLost, Timeouts
from tests.edge.loopback import OK, TIMEOUTS, Server, answering, server_tls

SECRET = "sk_live_very_secret"
RESET = b"\x01\x00\x00\x00\x00\x00\x00\x00"  # SO_LINGER on, zero seconds: close() sends RST


def post(path: str = "/charge", body: bytes = b'{"amount":1}', header: tuple[str, str] = ("x-y", "z")) -> HttpRequest:
    return HttpRequest(method="POST", path=path, headers=(("authorization", f"Bearer {SECRET}"), header), body=body)


def channel_to(server: Server, **limits: Any) -> Channel:
    return Network(NetworkLimits(**limits)).channel(f"http://127.0.0.1:{server.port}")


async def lost(channel: Channel, request: HttpRequest | None = None, timeouts: Timeouts = TIMEOUTS) -> str:
    """The reason of the OutcomeLost that must come; the channel has let go of its connection then."""
    with pytest.raises(OutcomeLost) as caught:
        await channel.exchange(request or post(), timeouts=timeouts)
    assert_no_secret(caught.value)
    assert not channel.statistics().connected
    assert not channel.statistics().busy
    return caught.value.reason


async def not_sent(channel: Channel, timeouts: Timeouts = TIMEOUTS) -> str:
    with pytest.raises(NotSent) as caught:
        await channel.exchange(post(), timeouts=timeouts)
    assert_no_secret(caught.value)
    assert not channel.statistics().connected
    return caught.value.reason


def assert_no_secret(error: BaseException | None) -> None:
    while error is not None:
        assert SECRET not in f"{error!s} {error!r} {vars(error)}"
        error = error.__cause__ or error.__context__


# The plain case


async def test_a_request_and_its_answer(start: Any) -> None:
    server = await start(answering(b"HTTP/1.1 201 Created\r\nX-Id: 7\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"))
    channel = Network().channel(f"http://127.0.0.1:{server.port}/v71/")
    response = await channel.exchange(post("/payments?x=1"), timeouts=TIMEOUTS)
    assert response == HttpResponse(status=201, headers=(("x-id", "7"), ("transfer-encoding", "chunked")), body=b"ok")
    head, _, body = server.requests[0].partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    assert lines[0] == b"POST /v71/payments?x=1 HTTP/1.1"
    assert {f"host: 127.0.0.1:{server.port}".encode(), b"accept-encoding: identity", b"content-length: 12"} <= set(lines)
    assert body == b'{"amount":1}'


async def test_a_connection_is_kept_alive(start: Any) -> None:
    server = await start(answering(OK))
    channel = channel_to(server)
    for _ in range(3):
        assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
    assert server.connections == channel.statistics().connections == 1
    assert channel.statistics().answers == 3


async def test_get_has_no_body_and_post_without_one_says_so(start: Any) -> None:
    server = await start(answering(OK))
    channel = channel_to(server)
    await channel.exchange(HttpRequest(method="GET", path="/", headers=(), body=b""), timeouts=TIMEOUTS)
    await channel.exchange(HttpRequest(method="POST", path="/", headers=(), body=b""), timeouts=TIMEOUTS)
    assert b"content-length" not in server.requests[0]
    assert b"content-length: 0" in server.requests[1]


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\n\r\nok",
    ],
)
async def test_an_answer_that_ends_the_connection(start: Any, answer: bytes) -> None:
    server = await start(answering(answer, times=1))
    channel = channel_to(server)
    for _ in range(2):
        assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
        assert not channel.statistics().connected
    assert server.connections == 2


async def test_interim_answers_are_passed_over(start: Any) -> None:
    server = await start(answering(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + OK))
    assert (await channel_to(server).exchange(post(), timeouts=TIMEOUTS)).status == 200


@pytest.mark.parametrize("status", [301, 308, 402, 429, 500, 503])
async def test_any_status_is_an_answer_and_redirects_are_not_followed(start: Any, status: int) -> None:
    elsewhere = await start(answering(OK))
    there = b"http://127.0.0.1:%d/" % elsewhere.port
    server = await start(answering(b"HTTP/1.1 %d X\r\nLocation: %b\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n" % (status, there)))
    response = await channel_to(server).exchange(post(), timeouts=TIMEOUTS)
    assert response.status == status
    assert ("retry-after", "3") in response.headers
    assert elsewhere.connections == 0


async def test_a_gzip_bomb_is_left_as_it_is(start: Any) -> None:
    bomb = gzip.compress(b"\0" * 10_000_000)
    server = await start(answering(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%b" % (len(bomb), bomb)))
    assert (await channel_to(server).exchange(post(), timeouts=TIMEOUTS)).body == bomb


async def test_proxies_of_the_environment_are_ignored(start: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    server = await start(answering(OK))
    assert (await channel_to(server).exchange(post(), timeouts=TIMEOUTS)).status == 200


# Definitely not executed


async def test_a_refused_connection_is_not_sent() -> None:
    with socket.socket() as unlistened:
        unlistened.bind(("127.0.0.1", 0))
        channel = Network().channel(f"http://127.0.0.1:{unlistened.getsockname()[1]}")
        assert await not_sent(channel) == "connect"


class Names(trio.abc.HostnameResolver):
    """A resolver that knows nobody, or never answers."""

    def __init__(self, answers: bool) -> None:
        self._answers = answers

    async def getaddrinfo(self, *_: Any, **__: Any) -> Any:
        if self._answers:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        await trio.sleep_forever()

    async def getnameinfo(self, *_: Any) -> Any:
        raise NotImplementedError


@pytest.mark.parametrize("host", ["psp.invalid", "x" * 64 + ".invalid"])
async def test_an_unknown_name_is_not_sent(host: str) -> None:
    trio.socket.set_custom_hostname_resolver(Names(answers=True))
    assert await not_sent(Network().channel(f"http://{host}")) == "dns"


async def test_a_slow_name_server_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Names(answers=False))
    assert await not_sent(Network().channel("http://psp.invalid")) == "connect"
    assert trio.current_time() == pytest.approx(TIMEOUTS.connect_seconds)


async def test_the_total_deadline_counts_while_connecting(autojump_clock: trio.testing.MockClock) -> None:
    trio.socket.set_custom_hostname_resolver(Names(answers=False))
    timeouts = Timeouts(connect_seconds=5, write_seconds=5, read_seconds=5, total_seconds=2)
    assert await not_sent(Network().channel("http://psp.invalid"), timeouts) == "deadline"
    assert trio.current_time() == pytest.approx(2)


async def test_a_deadline_that_has_passed_sends_nothing_on_a_kept_connection(start: Any) -> None:
    server = await start(answering(OK))
    channel = channel_to(server)
    await channel.exchange(post(), timeouts=TIMEOUTS)
    passed = Timeouts(connect_seconds=1, write_seconds=1, read_seconds=1, total_seconds=0)
    assert await not_sent(channel, passed) == "deadline"
    assert len(server.requests) == 1


async def test_two_exchanges_at_once_are_refused_and_the_first_goes_on(start: Any) -> None:
    go = trio.Event()

    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        await go.wait()
        await stream.send_all(OK)

    server = await start(serve)
    channel = channel_to(server)
    answers: list[HttpResponse] = []

    async def first() -> None:
        answers.append(await channel.exchange(post(), timeouts=TIMEOUTS))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await trio.testing.wait_all_tasks_blocked()
        with pytest.raises(NotSent) as caught:
            await channel.exchange(post(), timeouts=TIMEOUTS)
        go.set()
    assert caught.value.reason == "pool"
    assert answers[0].body == b"ok"


@pytest.mark.parametrize(
    "request_",
    [
        post(path="/a b"),
        post(path="/a\r\nx: y"),
        post(header=("x-y", f"{SECRET}\r\nx: y")),
        post(header=("x-y", f"{SECRET}€")),
        post(header=(f"{SECRET} ", "y")),
        post(header=("host", "other")),
        post(header=("Content-Length", "3")),
        HttpRequest(method="GE T", path="/", headers=(), body=b""),
    ],
)
async def test_what_is_not_http_is_a_bug_and_is_not_sent(start: Any, request_: HttpRequest) -> None:
    server = await start(answering(OK))
    channel = channel_to(server)
    await channel.exchange(post(), timeouts=TIMEOUTS)
    with pytest.raises(NotSent) as caught:
        await channel.exchange(request_, timeouts=TIMEOUTS)
    assert caught.value.reason == "unsendable"
    assert_no_secret(caught.value)
    assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
    assert len(server.requests) == 2


@pytest.mark.parametrize("url", ["ftp://x", "http://", "https://user:pw@x", "https://x/?q", "x.example", "http://x:99999"])
def test_what_is_no_base_url_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"base URL|[Pp]ort"):
        Network().channel(url)


@pytest.mark.parametrize(
    ("url", "host"),
    [("http://a.example:80", "a.example"), ("http://[::1]:8080", "[::1]:8080"), ("https://A.example:443/", "a.example")],
)
def test_the_host_header_names_the_port_only_where_it_must(url: str, host: str) -> None:
    assert Network().channel(url)._address.authority == host


# TLS


def trusting(authority: trustme.CA) -> Network:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return Network(ssl_context=context)


async def test_https_is_verified_and_kept_alive(start: Any) -> None:
    authority = trustme.CA()
    server = await start(answering(OK), server_tls(authority))
    channel = trusting(authority).channel(f"https://127.0.0.1:{server.port}")
    for _ in range(3):
        assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
    assert server.connections == 1


async def test_an_untrusted_certificate_is_not_sent(start: Any) -> None:
    server = await start(answering(OK), server_tls(trustme.CA()))
    assert await not_sent(Network().channel(f"https://127.0.0.1:{server.port}")) == "tls"
    assert not server.requests


async def test_a_certificate_for_another_name_is_not_sent(start: Any) -> None:
    authority = trustme.CA()
    server = await start(answering(OK), server_tls(authority, "other.example"))
    assert await not_sent(trusting(authority).channel(f"https://127.0.0.1:{server.port}")) == "tls"
    assert not server.requests


@pytest.mark.parametrize("instead", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b""])
async def test_a_peer_that_does_not_speak_tls_is_not_sent(start: Any, instead: bytes) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await stream.receive_some(1000)
        if instead:
            await stream.send_all(instead)

    server = await start(serve)
    assert await not_sent(Network().channel(f"https://127.0.0.1:{server.port}")) == "tls"


async def test_a_tls_handshake_that_hangs_is_not_sent(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await trio.sleep_forever()

    server = await start(serve)
    timeouts = Timeouts(connect_seconds=0.05, write_seconds=1, read_seconds=1, total_seconds=1)
    assert await not_sent(Network().channel(f"https://127.0.0.1:{server.port}"), timeouts) == "tls"


async def test_an_answer_cut_short_under_tls_is_lost(start: Any) -> None:
    authority = trustme.CA()
    server = await start(answering(OK[:-1], times=1), server_tls(authority))
    assert await lost(trusting(authority).channel(f"https://127.0.0.1:{server.port}")) == "closed"


async def test_a_second_tls_record_behind_the_answer_is_never_the_next_answer(start: Any) -> None:
    authority = trustme.CA()

    async def serve(server: Server, stream: Any) -> None:
        while await server.request(stream):
            with_one_segment = Coalescing(stream)
            await with_one_segment.send(OK, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong")

    server = await start(serve, server_tls(authority))
    channel = trusting(authority).channel(f"https://127.0.0.1:{server.port}")
    for _ in range(3):
        assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
    assert server.connections == 3


class Coalescing:
    """Sends several TLS records in one TCP segment, so that the client's TLS layer holds the last ones back."""

    def __init__(self, stream: trio.SSLStream[trio.SocketStream]) -> None:
        self._stream = stream

    async def send(self, *records: bytes) -> None:
        transport = self._stream.transport_stream
        sent: list[bytes] = []

        class Recorder:
            async def send_all(self, data: bytes) -> None:
                sent.append(bytes(data))

        self._stream.transport_stream = Recorder()  # type: ignore[assignment]
        for record in records:
            await self._stream.send_all(record)
        self._stream.transport_stream = transport
        await transport.send_all(b"".join(sent))


# May have been executed


async def test_silence_after_the_request_is_lost(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await trio.sleep_forever()

    timeouts = Timeouts(connect_seconds=1, write_seconds=1, read_seconds=0.05, total_seconds=1)
    assert await lost(channel_to(await start(serve)), timeouts=timeouts) == "read_timeout"


async def test_a_server_that_does_not_read_is_lost(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await trio.sleep_forever()

    timeouts = Timeouts(connect_seconds=1, write_seconds=0.05, read_seconds=1, total_seconds=1)
    assert await lost(channel_to(await start(serve)), post(body=b"x" * 20_000_000), timeouts) == "write"


@pytest.mark.parametrize("reads", [True, False])
async def test_a_reset_is_lost(start: Any, reads: bool) -> None:
    async def serve(server: Server, stream: Any) -> None:
        if reads:
            await server.request(stream)
        else:
            await stream.receive_some(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    assert await lost(channel_to(await start(serve))) == "reset"


async def test_a_reset_while_writing_is_lost(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await stream.receive_some(1)
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)

    assert await lost(channel_to(await start(serve)), post(body=b"x" * 20_000_000)) == "write"


async def test_a_refusal_while_writing_is_the_answer(start: Any) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    async def serve(server: Server, stream: Any) -> None:
        await stream.receive_some(1)
        await stream.send_all(refusal)
        await stream.send_eof()
        while await stream.receive_some(65536):
            pass

    channel = channel_to(await start(serve))
    response = await channel.exchange(post(body=b"x" * 5_000_000), timeouts=TIMEOUTS)
    assert response.status == 413
    assert not channel.statistics().connected


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"", "closed"),
        (b"HTTP/1.1 200", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n", "closed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", "closed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", "closed"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "closed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed_http"),
        (f"authorization: {SECRET}\r\n\r\n".encode(), "malformed_http"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nokk", "malformed_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed_http"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nxx", "malformed_http"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: upgrade\r\n\r\n", "malformed_http"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 5_000, "response_too_large"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n" + b"x" * 3_000, "response_too_large"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + (b"3e8\r\n" + b"x" * 1000 + b"\r\n") * 3, "response_too_large"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 2_001, "response_too_large"),
    ],
)
async def test_half_an_answer_or_none_is_lost(start: Any, answer: bytes, reason: str) -> None:
    server = await start(answering(*[answer] if answer else [], times=1))
    assert await lost(channel_to(server, response_bytes=2_000, response_header_bytes=4_000)) == reason


async def test_reading_stops_at_the_cap(start: Any) -> None:
    sent = 0

    async def serve(server: Server, stream: Any) -> None:
        nonlocal sent
        await server.request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            await stream.send_all(b"x" * 100_000)
            sent += 100_000

    server = await start(serve)
    assert await lost(channel_to(server, response_bytes=200_000)) == "response_too_large"
    assert sent < 20_000_000  # what fits into the buffers of two sockets


async def test_a_drip_ends_at_the_total_deadline(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            await stream.send_all(b"x")
            await trio.sleep(0.01)

    timeouts = Timeouts(connect_seconds=60, write_seconds=60, read_seconds=60, total_seconds=0.1)
    assert await lost(channel_to(await start(serve)), timeouts=timeouts) == "deadline"


# Stale connections, and never another request's answer


async def test_a_connection_the_server_closed_while_idle_is_opened_anew(start: Any) -> None:
    server = await start(answering(OK, times=1))
    channel = channel_to(server)
    for _ in range(3):
        assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
        await trio.testing.wait_all_tasks_blocked()  # the server's FIN has arrived
    assert server.connections == 3


async def test_a_connection_closed_before_any_answer_byte_is_lost_though_it_was_kept(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        await stream.send_all(OK)
        await server.request(stream)

    server = await start(serve)
    channel = channel_to(server)
    await channel.exchange(post(), timeouts=TIMEOUTS)
    assert await lost(channel) == "closed"
    assert len(server.requests) == 2  # never repeated by itself
    assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"


async def test_an_idle_connection_is_not_used_beyond_keepalive_seconds(start: Any, autojump_clock: trio.testing.MockClock) -> None:
    autojump_clock.autojump_threshold = 0.05  # real sockets need a moment before virtual time may jump
    patient = Timeouts(connect_seconds=1e6, write_seconds=1e6, read_seconds=1e6, total_seconds=1e6)
    server = await start(answering(OK))
    channel = channel_to(server, keepalive_seconds=15)
    await channel.exchange(post(), timeouts=patient)
    await trio.sleep(14)
    await channel.exchange(post(), timeouts=patient)
    assert server.connections == 1
    await trio.sleep(15)
    await channel.exchange(post(), timeouts=patient)
    assert server.connections == 2


@pytest.mark.parametrize("later", [False, True])
async def test_an_answer_nobody_asked_for_is_never_the_next_one(start: Any, later: bool) -> None:
    wrong = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong"

    async def serve(server: Server, stream: Any) -> None:
        while await server.request(stream):
            await stream.send_all(OK if later else OK + wrong)
            if later:
                await stream.send_all(wrong)

    server = await start(serve)
    channel = channel_to(server)
    for _ in range(3):
        assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
        await trio.testing.wait_all_tasks_blocked()
    assert server.connections == 3


async def test_a_cancelled_exchange_closes_and_the_next_gets_its_own_answer(start: Any) -> None:
    go = trio.Event()

    async def serve(server: Server, stream: Any) -> None:
        while request := await server.request(stream):
            path = request.split(b" ")[1]
            if path == b"/slow":
                await go.wait()
            await stream.send_all(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(path), path))

    server = await start(serve)
    channel = channel_to(server)
    assert (await channel.exchange(post("/first"), timeouts=TIMEOUTS)).body == b"/first"
    with trio.move_on_after(0.02) as scope:
        await channel.exchange(post("/slow"), timeouts=TIMEOUTS)
    assert scope.cancelled_caught
    assert not channel.statistics().connected
    go.set()
    assert (await channel.exchange(post("/third"), timeouts=TIMEOUTS)).body == b"/third"
    assert server.connections == 2


async def test_an_exchange_cancelled_before_it_began_leaves_a_channel_that_works(start: Any) -> None:
    server = await start(answering(OK))
    channel = channel_to(server)
    with trio.CancelScope() as scope:
        scope.cancel()
        await channel.exchange(post(), timeouts=TIMEOUTS)
    assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"


async def test_closing_under_an_exchange_loses_it_and_the_channel_still_works(start: Any) -> None:
    async def serve(server: Server, stream: Any) -> None:
        await server.request(stream)
        if server.connections == 1:
            await trio.sleep_forever()
        await stream.send_all(OK)

    server = await start(serve)
    channel = channel_to(server)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(lost, channel)
        await trio.testing.wait_all_tasks_blocked()
        await channel.aclose()
    assert (await channel.exchange(post(), timeouts=TIMEOUTS)).body == b"ok"
    await channel.aclose()
    assert not channel.statistics().connected


def test_requests_and_answers_do_not_show_what_is_secret() -> None:
    assert SECRET not in repr(post())
    assert "amount" not in repr(post())


async def test_a_number_that_python_refuses_to_read_is_an_outcome_lost(start: Any) -> None:
    """Everything has been sent by then: whatever our own libraries make of the answer, it is not the sender's fault."""
    server = await start(answering(b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\nok"))
    assert await lost(channel_to(server)) == "malformed_http"
    assert len(server.requests) == 1
