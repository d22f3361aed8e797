"""Whatever anybody sends, to the running process over real sockets: a clear 4xx or a clean close, never a 5xx, and others are served."""

from __future__ import annotations

import json
import random
import re
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from tests.e2e.stack import WITHIN_SECONDS, Stack, order

_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


async def send(stack: Stack, *pieces: bytes, pause: float = 0.0, eof: bool = False) -> bytes:
    """Sends the pieces on a connection of its own; everything that came back until the server had said all, or closed."""
    got = b""
    stream = await trio.open_tcp_stream("127.0.0.1", stack.port)
    async with stream:
        try:
            for piece in pieces:
                await stream.send_all(piece)
                await trio.sleep(pause)
            if eof:
                await stream.send_eof()
        except trio.BrokenResourceError:
            pass  # it has had enough; what it said before is still to be read
        with trio.move_on_after(WITHIN_SECONDS):
            try:
                while data := await stream.receive_some(65536):
                    got += data
            except trio.BrokenResourceError:
                pass
    return got


def statuses(got: bytes) -> list[int]:
    return [int(status) for status in _STATUS.findall(got)]


def request(method: bytes = b"GET", target: bytes = b"/livez", *headers: bytes, body: bytes = b"", host: bytes = b"host: x") -> bytes:
    lines = [method + b" " + target + b" HTTP/1.1", *([host] if host else []), *headers, b"connection: close"]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def post(stack: Stack, body: bytes, *headers: bytes, key: bytes = b"hostile") -> bytes:
    own = [b"authorization: " + stack.authorization["authorization"].encode(), b"idempotency-key: " + key]
    own += list(headers) or [b"content-type: application/json"]
    return request(b"POST", b"/v1/payments", *own, b"content-length: %d" % len(body), body=body)


BROKEN: dict[str, bytes] = {
    "nothing http": b"hello\r\n\r\n",
    "tls on a plain port": bytes.fromhex("16030100f8010000f40303") + bytes(240),
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9),
    "no host": request(host=b""),
    "two hosts": request(b"GET", b"/livez", b"host: y"),
    "length and chunked": request(b"POST", b"/v1/payments", b"content-length: 3", b"transfer-encoding: chunked", body=b"0\r\n\r\n"),
    "two lengths": request(b"POST", b"/v1/payments", b"content-length: 3", b"content-length: 4", body=b"abcd"),
    "negative length": request(b"POST", b"/v1/payments", b"content-length: -1"),
    "length in words": request(b"POST", b"/v1/payments", b"content-length: many"),
    "length with a plus": request(b"POST", b"/v1/payments", b"content-length: +3", body=b"abc"),
    "other transfer coding": request(b"POST", b"/v1/payments", b"transfer-encoding: gzip, chunked", body=b"0\r\n\r\n"),
    "chunk size of letters": request(b"POST", b"/v1/payments", b"transfer-encoding: chunked", body=b"zz\r\nabc\r\n0\r\n\r\n"),
    "chunk without end": request(b"POST", b"/v1/payments", b"transfer-encoding: chunked", body=b"3\r\nabcdef\r\n0\r\n\r\n"),
    "chunked and trailers": request(b"POST", b"/v1/payments", b"transfer-encoding: chunked", body=b"2\r\n{}\r\n0\r\nx-a: b\r\n\r\n"),
    "space before colon": request(b"GET", b"/livez", b"x-a : b"),
    "folded header": request(b"GET", b"/livez", b"x-a: b\r\n c"),
    "nul in header": request(b"GET", b"/livez", b"x-a: \x00"),
    "bare lf": b"GET /nowhere HTTP/1.1\nhost: x\nconnection: close\n\n",
    "header of 20 KiB": request(b"GET", b"/livez", b"x-a: " + b"a" * 20_480),
    "header of 100 KiB": request(b"GET", b"/livez", b"x-a: " + b"a" * 102_400),
    "1,000 headers": request(b"GET", b"/livez", *(b"x-%d: %s" % (n, b"v" * 20) for n in range(1000))),
    "path of 8 KiB": request(b"GET", b"/" + b"a" * 8192),
    "path of 64 KiB": request(b"GET", b"/" + b"a" * 65536),
    "1,000 parameters": request(b"GET", b"/v1/payments?" + b"&".join(b"a%d=1" % n for n in range(1000))),
    "path with nul": request(b"GET", b"/v1/payments/%00"),
    "path climbing": request(b"GET", b"/v1/payments/%2e%2e/%2e%2e/etc/passwd"),
    "path of two slashes": request(b"GET", b"//v1/payments"),
    "path without slash": request(b"GET", b"v1/payments"),
    "path not utf-8": request(b"GET", b"/v1/payments/%ff%fe"),
    "path of raw bytes": request(b"GET", b"/v1/\xff\xfe"),
    "absolute form": request(b"GET", b"http://other.example/nowhere"),
    "asterisk": request(b"OPTIONS", b"*"),
    "trace": request(b"TRACE", b"/v1/payments"),
    "connect": request(b"CONNECT", b"other.example:443"),
    "delete": request(b"DELETE", b"/v1/payments"),
    "method of letters": request(b"A" * 300, b"/livez"),
    "upgrade to a websocket": request(
        b"GET", b"/livez?x", b"upgrade: websocket", b"sec-websocket-version: 13", b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ=="
    ).replace(b"connection: close", b"connection: upgrade"),
    "no key": request(b"GET", b"/v1/payments"),
    "two keys": request(b"GET", b"/v1/payments", b"authorization: Bearer a", b"authorization: Bearer b"),
    "basic": request(b"GET", b"/v1/payments", b"authorization: Basic YTpi"),
    "garbage key": request(b"GET", b"/v1/payments", b"authorization: Bearer \xff\xfe"),
    "operator calls without the product": request(b"GET", b"/ops/v1/meta"),
    "webhook of nobody": request(b"POST", b"/webhooks/nobody", b"content-length: 2", body=b"{}"),
    "version 0.9": b"GET /nowhere\r\n\r\n",
    "version 3.0": b"GET /livez HTTP/3.0\r\nhost: x\r\n\r\n",
}
"""Name -> bytes, none of which may be answered with a 5xx or with a 2xx that acts on anything."""
PROTOCOL = {501, 505}
"""What HTTP itself has for codings and versions that a server does not speak: the two that are no fault of the server."""
HARMLESS = {"two hosts", "folded header", "method of letters", "1,000 headers"}
"""May also be taken for what it says."""


@pytest.mark.parametrize("name", BROKEN)
async def test_broken_requests(healthy: Stack, name: str) -> None:
    got = await send(healthy, BROKEN[name], eof=True)
    for status in statuses(got):
        assert 400 <= status < 500 or status in PROTOCOL or (name in HARMLESS and status == 200), got[:500]
    assert await healthy.status_of("/readyz") == 200


async def test_the_words_for_it(healthy: Stack) -> None:
    expected = {"no host": 400, "length and chunked": 400, "two lengths": 400, "negative length": 400, "header of 20 KiB": 431}
    expected |= {"header of 100 KiB": 431, "no key": 401, "two keys": 401, "delete": 405, "trace": 405, "path of two slashes": 404}
    for name, status in expected.items():
        assert statuses(await send(healthy, BROKEN[name])) == [status], name
    large = b'{"metadata":{"a":"' + b"a" * 70_000 + b'"}}'
    assert statuses(await send(healthy, post(healthy, large))) == [413]
    chunked = post(healthy, b"").replace(b"content-length: 0", b"transfer-encoding: chunked")
    assert statuses(await send(healthy, chunked, *[b"10000\r\n" + b"a" * 65536 + b"\r\n"] * 20)) == [413]
    endless = post(healthy, b"").replace(b"content-length: 0", b"content-length: 30000000")
    assert statuses(await send(healthy, endless, *[b"a" * 65536] * 20)) == [413]


async def test_slow_clients_are_cut_and_hurt_nobody(healthy: Stack) -> None:
    """The deadlines are 5 s here. Headers and bodies that dribble end with them, however often a byte comes."""
    ends: dict[str, tuple[float, list[int]]] = {}

    async def dribble(name: str, start: bytes) -> None:
        stream = await trio.open_tcp_stream("127.0.0.1", healthy.port)
        begun, got = trio.current_time(), b""

        async def drip() -> None:
            try:
                while True:
                    await stream.send_all(b"a")
                    await trio.sleep(0.2)
            except (trio.BrokenResourceError, trio.ClosedResourceError):
                return

        async with stream, trio.open_nursery() as nursery:
            await stream.send_all(start)
            nursery.start_soon(drip)
            with trio.fail_after(WITHIN_SECONDS):
                try:
                    while data := await stream.receive_some(65536):
                        got += data
                except trio.BrokenResourceError:
                    pass
            nursery.cancel_scope.cancel()
        ends[name] = (trio.current_time() - begun, statuses(got))

    body = post(healthy, b"").replace(b"content-length: 0", b"content-length: 1000")
    async with trio.open_nursery() as nursery:
        for number in range(10):
            nursery.start_soon(dribble, f"headers {number}", b"GET /livez HTTP/1.1\r\nhost: x\r\nx-a: ")
            nursery.start_soon(dribble, f"body {number}", body)
        await trio.sleep(0.5)
        assert (await healthy.pay("beside-dribblers")).status_code == 201
    for name, (seconds, got) in ends.items():
        assert seconds > 4.0, (name, seconds)  # not at once; without a deadline it goes on for minutes, which nobody waits for
        assert got in ([], [408]), name


async def test_connections_are_limited_and_come_back(healthy: Stack) -> None:
    """More clients than are let in: the rest hear 503 or a close, those inside are served, and afterwards all is as before."""
    opened: list[socket.socket] = []
    try:
        for _ in range(1100):
            one = socket.create_connection(("127.0.0.1", healthy.port))
            one.setblocking(False)
            opened.append(one)
            if len(opened) % 50 == 0:
                await trio.lowlevel.checkpoint()
        got = await send(healthy, request())
        assert statuses(got) in ([503], [])
        assert b"retry-after: " in got or not got
    finally:
        for one in opened:
            one.close()
    await healthy.until_ready(10)


async def test_pipelined_requests_are_answered_in_order(healthy: Stack) -> None:
    one = request(b"GET", b"/livez").replace(b"connection: close\r\n", b"")
    other = request(b"GET", b"/nowhere").replace(b"connection: close\r\n", b"")
    assert statuses(await send(healthy, one + other + one + other.replace(b"host", b"connection: close\r\nhost"))) == [200, 404, 200, 404]
    expecting = post(healthy, b"").replace(b"content-length: 0", b"content-length: 2\r\nexpect: 100-continue")
    assert statuses(await send(healthy, expecting, b"{}", pause=0.2))[-1] == 422
    assert statuses(await send(healthy, request(b"HEAD", b"/livez"))) in ([200], [405])


def _with(**members: Any) -> bytes:
    return json.dumps({**order("hostile"), **members}).encode()


def hostile_bodies() -> Iterator[tuple[str, bytes]]:
    good = json.dumps(order("hostile"))
    for text in ("NaN", "Infinity", "-Infinity", "1e400", "1e2", "19.99", "1.0", "true", "null", '"100"', "-1", "0", "1000000000001", "01"):
        yield f"amount {text}", good.replace("1999", text).encode()
    for digits in (20, 4000, 5000, 60_000):
        yield f"amount of {digits} digits", good.replace("1999", "9" * digits).encode()
    yield "amount twice", good.replace('"amount": 1999', '"amount": 1, "amount": 100000').encode()
    yield "amount twice, escaped", good.replace('"amount": 1999', '"amount": 1, "\\u0061mount": 100000').encode()
    for many in (17, 100, 30_000):
        yield f"{many} arrays", b"[" * many + b"]" * many
        yield f"{many} objects", b'{"a":' * min(many, 9000) + b"1" + b"}" * min(many, 9000)
        yield f"{many} open arrays", b"[" * many
    for text in ("\\ud800", "\\udfff\\ud800", "\\u0000", "a\\u0000b", "\\u001b[2J", "\\u0007"):
        yield f"reference {text}", good.replace("hostile", text).encode()
    yield "utf-16", good.encode("utf-16")
    yield "utf-16 without a mark", good.encode("utf-16-le")
    yield "utf-8 with a mark", b"\xef\xbb\xbf" + good.encode()
    yield "latin-1", good.replace("hostile", "caf\u00e9").encode("latin-1")
    yield "overlong", good.encode().replace(b"hostile", b"\xc0\xaf")
    yield "surrogate in utf-8", good.encode().replace(b"hostile", b"\xed\xa0\x80")
    yield "raw newline", good.replace("hostile", "a\nb").encode()
    for currency in ("eur", "EU\u212a", "\u0131SK", "XTS", "XXX", "XAU", "HRK", "DEM", "EURO", "", "E R", "\uff25\uff35\uff32", "ZZZ"):
        yield f"currency {currency!r}", _with(currency=currency)
    for name in (
        "state",
        "status",
        "merchant_id",
        "captured_amount",
        "amount_captured",
        "id",
        "version",
        "__proto__",
        "held",
        "psp_reference",
    ):
        yield f"member {name}", _with(**{name: "x"})
    for url in ("javascript:alert(1)", "//evil.example", "file:///etc/passwd", "https://", "https://u:p@h/\r\nx: y", "x" * 5000):
        yield f"return_url {url[:30]}", _with(return_url=url)
    yield "reference of 1 MB", _with(reference="a" * 60_000)
    yield "metadata of 1,000 members", _with(metadata={f"k{n}": "v" for n in range(1000)})
    yield "metadata of metadata", _with(metadata={"a": {"b": "c"}})
    yield "method in a list", _with(payment_method=[{"type": "card", "token": "tok_visa"}])
    yield "method without a token", _with(payment_method={"type": "card"})
    yield "connector that is none", _with(connector="nobody")
    yield "options of nobody", _with(connector_options={"nobody": {}})
    yield "retry of nothing", _with(retry_of="pay_00000000000000000000000000")
    yield "retry of another kind", _with(retry_of="'; DROP TABLE payments; --")
    for text in ("", " ", "[]", '"x"', "1", "null", "{", "{}{}", "{,}", "{'a':1}", "// c\n{}", '{"a":1,}', "\x00", '{"a":"\t"}'):
        yield f"body {text!r}", text.encode()
    dice = random.Random(5)
    for number in range(60):
        mutated = bytearray(good.encode())
        for _ in range(dice.randrange(1, 4)):
            mutated[dice.randrange(len(mutated))] = dice.randrange(256)
        yield f"mutation {number} {bytes(mutated)!r}", bytes(mutated)


async def test_hostile_bodies(healthy: Stack) -> None:
    """0 x 5xx over all of them; what is refused has made nothing, and amounts that pass are the ones that were written."""
    refused = 0
    async with healthy.client() as client:
        for number, (name, body) in enumerate(hostile_bodies()):
            headers = {"idempotency-key": f"hostile-{number}", "content-type": "application/json"}
            answer = await client.post("/v1/payments", content=body, headers=headers)
            if answer.status_code in (201, 202):
                assert name.startswith(("mutation", "reference", "currency", "return_url")), f"{name} was accepted: {answer.text}"
                continue
            refused += 1
            assert answer.status_code in (400, 413, 422), f"{name}: {answer.status_code} {answer.text}"
            problem = answer.json()
            assert (problem["money_moved"], problem["status"]) == ("no", answer.status_code), name
            made = "SELECT count(*) FROM payorch.idempotency_keys WHERE key = %s"
            assert await healthy.rows(made, f"hostile-{number}") == [(0,)], f"{name} was refused and kept its key"
        for kind in ("text/plain", "application/xml", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ""):
            headers = {"idempotency-key": "kind", "content-type": kind}
            assert (await client.post("/v1/payments", content=_with(), headers=headers)).status_code == 415, kind
        headers = {"idempotency-key": "kind", "content-type": "application/json", "content-encoding": "gzip"}
        assert (await client.post("/v1/payments", content=_with(), headers=headers)).status_code == 415
    print(f"{refused} hostile bodies refused")
    assert refused > 120
    assert await healthy.status_of("/readyz") == 200


async def test_hostile_searches(healthy: Stack) -> None:
    bad = [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=1&limit=2",
        "cursor=x",
        "state=NOWHERE",
        "amount_min=1e3",
        "amount_min=-1",
        "nothing=1",
    ]
    bad += [
        "created_from=yesterday",
        "created_from=9999-99-99T00:00:00Z",
        "currency=eur",
        "q=%00",
        "reference=%ff",
        "cursor=%27",
        "limit=%EF%BC%91",
    ]
    async with healthy.client() as client:
        for query in bad:
            answer = await client.get(f"/v1/payments?{query}")
            assert answer.status_code in (400, 422) or (answer.status_code, answer.json()["data"]) == (200, []), f"{query}: {answer.text}"
        for id in ("x", "pay_", "pay_'", "pay_" + "0" * 26, "att_" + "0" * 26, "pay_" + "z" * 26, "%F0%9F%92%A9", "a" * 3000):
            for path in ("", "/timeline", "/return", "/return?token=x"):
                answer = await client.get(f"/v1/payments/{id}{path}")
                assert answer.status_code == 404, f"{id}{path}: {answer.text}"
