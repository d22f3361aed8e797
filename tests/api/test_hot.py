"""The short way and the framework's way answer a creation alike: the same status, headers, body, metrics and log lines."""

from __future__ import annotations

import re
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from quart_trio import QuartTrio

from payorch.api import hot
from payorch.store.pool import DatabaseUnavailable
from tests.api.merchant_world import KEY, World, charge, new_key

_IDS = re.compile(rb"[a-z]+_[0-9a-hjkmnp-tv-z]{26}")
_GONE: dict[str, Any] = {"type": "http.disconnect"}
PLAIN = msgspec.json.encode(charge())


def chunk(body: bytes, *, more: bool = False) -> dict[str, Any]:
    return {"type": "http.request", "body": body, "more_body": more}


def headers(**changes: str | None) -> list[tuple[bytes, bytes]]:
    """Those of a plain creation; None takes one away."""
    given: dict[str, str | None] = {
        "host": "pay.test", "authorization": f"Bearer {KEY.text.reveal()}", "content-type": "application/json", "idempotency-key": "key-1",
        "content-length": str(len(PLAIN)),
    }  # fmt: skip
    given |= {name.replace("_", "-"): value for name, value in changes.items()}
    return [(name.encode(), value.encode("latin-1")) for name, value in given.items() if value is not None]


async def asked(
    app: Any, head: list[tuple[bytes, bytes]], messages: list[dict[str, Any]], method: str = "POST", arrived: bytes | None = None
) -> list[dict[str, Any]]:
    """What the app sends back. After its messages the client says nothing more, for ever. `arrived`: what the door has of the body."""
    coming, sent = iter(messages), []

    async def receive() -> Any:
        message = next(coming, None)
        if message is None:
            await trio.sleep_forever()
        return message

    async def send(message: Any) -> None:
        sent.append(dict(message))

    scope = {
        "type": "http", "asgi": {}, "method": method, "path": "/v1/payments", "raw_path": b"/v1/payments", "query_string": b"limit=1",
        "http_version": "1.1", "scheme": "http", "root_path": "", "headers": head, "client": ("127.0.0.1", 1), "server": ("127.0.0.1", 2),
        "extensions": {} if arrived is None else {hot.ARRIVED: lambda: arrived},
    }  # fmt: skip
    await app(scope, receive, send)
    return sent


def seen(world: World, answers: list[list[dict[str, Any]]]) -> Any:
    """All that is to be equal. Identifiers count by their place only, the order of headers does not count."""
    told = []
    for sent in answers:
        body = b"".join(message.get("body", b"") for message in sent)
        starts = [
            (one["status"], sorted((name, _IDS.sub(b"id", value)) for name, value in one["headers"])) for one in sent if "status" in one
        ]
        told.append((starts, _IDS.sub(b"id", body)))
    counted = [line for line in world.metrics.exposition().splitlines() if line.startswith(b"payorch_http_requests_total")]
    return told, counted, [(event, details["route"], details["method"]) for event, details in world.log.lines]


LARGE = charge(metadata={f"name-{n}": "v" * 400 for n in range(10)})
CASES: dict[str, tuple[list[tuple[bytes, bytes]], list[dict[str, Any]]]] = {
    "plain": (headers(), [chunk(PLAIN)]),
    "in pieces": (headers(), [chunk(PLAIN[:7], more=True), chunk(PLAIN[7:], more=True), chunk(b"")]),
    "chunked": (headers(content_length=None, transfer_encoding="chunked"), [chunk(PLAIN, more=True), chunk(b"")]),
    "its own request id": (headers(x_request_id="a.b:c_d-1"), [chunk(PLAIN)]),
    "a bad request id": (headers(x_request_id="4111111111111111"), [chunk(PLAIN)]),
    "charset": (headers(content_type="Application/JSON; charset=UTF-8", content_encoding="Identity"), [chunk(PLAIN)]),
    "nobody": (headers(authorization=None), [chunk(PLAIN)]),
    "a stranger": (headers(authorization=f"Bearer {new_key().text.reveal()}"), [chunk(PLAIN)]),
    "no idempotency key": (headers(idempotency_key=None), [chunk(PLAIN)]),
    "a bad idempotency key": (headers(idempotency_key="caf\u00e9"), [chunk(PLAIN)]),
    "two idempotency keys": ([*headers(), (b"idempotency-key", b"key-2")], [chunk(PLAIN)]),
    "text": (headers(content_type="text/plain"), [chunk(PLAIN)]),
    "no type": (headers(content_type=None), [chunk(PLAIN)]),
    "two types": ([*headers(content_type="text/plain"), (b"content-type", b"application/json")], [chunk(PLAIN)]),
    "two types, JSON first": ([*headers(), (b"content-type", b"text/plain")], [chunk(PLAIN)]),
    "compressed": (headers(content_encoding="gzip"), [chunk(PLAIN)]),
    "no body": (headers(content_length="0"), [chunk(b"")]),
    "no JSON": (headers(), [chunk(b"{")]),
    "no payment": (headers(), [chunk(b'{"amount": 1, "x": []}')]),
    "card data": (headers(), [chunk(msgspec.json.encode(charge(reference="4111111111111111")))]),
    "said to be too large": (headers(content_length="2001"), []),
    "too large": (headers(content_length=None), [chunk(msgspec.json.encode(LARGE), more=True)]),
    "too large, by a stranger": (headers(content_length="2001", authorization=None), []),
    "too slow": (headers(), [chunk(PLAIN[:7], more=True)]),
    "hung up": (headers(), [chunk(PLAIN[:7], more=True), _GONE]),
}


@pytest.mark.parametrize("case", CASES)
async def test_both_ways_answer_alike(case: str, autojump_clock: trio.testing.MockClock) -> None:
    head, messages = CASES[case]
    short, long = World(body_limit_bytes=2000), World(body_limit_bytes=2000)
    by_short = [await asked(short.app, head, messages) for _ in range(2)]  # the second is a replay, where the first was executed
    by_long = [await asked(lambda *how: QuartTrio.asgi_app(long.app, *how), head, messages) for _ in range(2)]
    assert seen(short, by_short) == seen(long, by_long)
    assert bool(by_short[0]) == (case != "hung up")


@pytest.mark.parametrize("case", ["plain", "in pieces", "chunked", "no body", "said to be too large", "too large"])
async def test_a_body_that_the_door_has_whole_is_read_alike(case: str) -> None:
    head, messages = CASES[case]
    short, long = World(body_limit_bytes=2000), World(body_limit_bytes=2000)
    by_short = [await asked(short.app, head, [], arrived=b"".join(one["body"] for one in messages))]
    by_long = [await asked(lambda *how: QuartTrio.asgi_app(long.app, *how), head, messages)]
    assert seen(short, by_short) == seen(long, by_long)


@pytest.mark.parametrize("error", [RuntimeError("a secret"), DatabaseUnavailable("x"), ExceptionGroup("", [ValueError("a secret")])])
@pytest.mark.parametrize("part", ["find_key", "directory"])
async def test_both_ways_fail_alike(part: str, error: Exception) -> None:
    short, long = World(), World()
    short.fail[part] = long.fail[part] = error
    by_short = [await asked(short.app, headers(), [chunk(PLAIN)])]
    by_long = [await asked(lambda *how: QuartTrio.asgi_app(long.app, *how), headers(), [chunk(PLAIN)])]
    assert seen(short, by_short) == seen(long, by_long)
    assert by_short[0][0]["status"] >= 500
    assert b"secret" not in by_short[0][1]["body"]


async def test_every_other_call_is_the_frameworks() -> None:
    world = World()
    sent = [await asked(world.app, headers(), [chunk(b"")], method=method) for method in ("GET", "HEAD", "PUT")]
    assert [messages[0]["status"] for messages in sent] == [200, 200, 405]
