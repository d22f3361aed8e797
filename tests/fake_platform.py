"""A platform of a few lines on loopback, in a thread of its own, so that a command can be run against it as a person runs it.

It takes payments, lists events as `GET /v1/events` does, and plays a simulated PSP's dashboard and faults. What follows from a call is said
by each test. Not here: anything that decides about money.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from itertools import count
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs
from uuid import UUID

import h11
import trio

from payorch.domain import identifiers

KEY = "mk_test_of_a_fake"
_numbers = count(1)


class Request(NamedTuple):
    """What a client sent."""

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)


Answer: TypeAlias = tuple[int, Any] | None
"""Status and body; None hangs up without a word."""
Handle: TypeAlias = Callable[[Request], Answer]


def new_id(prefix: str) -> str:
    """An id made now, never the same twice in one run."""
    milliseconds = int(datetime.now(UTC).timestamp() * 1000)
    return identifiers.text(prefix, UUID(int=milliseconds << 80 | 0x7 << 76 | 0x2 << 62 | next(_numbers)))


def an_event(type: str, payment: Mapping[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """An event as the list shows it."""
    paid = {"id": new_id("pay"), "status": "succeeded", "amount": 1999, "currency": "EUR", **(payment or {})}
    return {
        "id": new_id("evt"), "object": "event", "type": type, "created_at": "2026-11-28T12:34:56.789Z", "sequence": 12,
        "data": {"payment": paid, **more}, "deliveries": [{"endpoint": "whe_1", "status": "pending"}],
    }  # fmt: skip


@dataclass
class FakePlatform:
    """events: oldest first. follows: (method, path's last part) -> what happens then.

    answers: None as it should; a status, or 0 for hanging up, for every call.
    """

    events: list[dict[str, Any]] = field(default_factory=list)
    follows: dict[tuple[str, str], Callable[[FakePlatform], None]] = field(default_factory=dict)
    answers: int | None = None
    payment: dict[str, Any] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    key: str = KEY

    def happens(self, type: str, **more: Any) -> None:
        """An event of the payment."""
        self.events.append(an_event(type, self.payment, **more))

    def handle(self, request: Request) -> Answer:
        """One call."""
        self.requests.append(request)
        if self.answers is not None:
            return (self.answers, {"detail": f"it answers {self.answers}"}) if self.answers else None
        if not request.path.startswith("/_") and request.headers.get("authorization") != f"Bearer {self.key}":
            return 401, {"title": "Unauthorized", "detail": "There is no such key."}
        answer = self._answer(request)
        last = request.said["do"] if request.path == "/_dashboard" else request.path.rpartition("/")[2]
        if (request.method, last) in self.follows:
            self.follows[request.method, last](self)
        return answer

    def _answer(self, request: Request) -> Answer:
        match request.method, request.path.strip("/").split("/"):
            case "GET", ["v1", "events"]:
                return 200, self._page(request.query)
            case "POST", ["v1", "payments"]:
                self.payment |= {"id": new_id("pay"), "object": "payment", "psp_reference": "ref_1", "amount": 1999, "currency": "EUR"}
                return 201, {"status": "processing", "outcome": None, **self.payment}
            case "POST", ["v1", "payments", _, what]:
                return 201, {"id": new_id("cap"), "object": what.removesuffix("s"), "status": "pending", "payment": self.payment}
            case "POST", ["_faults"]:
                return 201, {"id": 7, **request.said}
            case _, [("_dashboard" | "_faults"), *_]:
                return 200, {}
            case _:
                return 404, {"detail": "nothing here"}

    def _page(self, query: Mapping[str, str]) -> dict[str, Any]:
        limit, cursor = int(query["limit"]), query.get("cursor")
        of, type = query.get("payment"), query.get("type")
        meant = [one for one in self.events if of in (None, one["data"]["payment"]["id"]) and type in (None, one["type"])]
        after = [one for one in reversed(meant) if cursor is None or one["id"] < cursor]
        return {"data": after[:limit], "next_cursor": after[limit - 1]["id"] if len(after) > limit else None}


@contextmanager
def serving(handle: Handle) -> Iterator[str]:
    """A server on loopback, in a thread, for the length of the block; gives its address."""
    ready, ended = threading.Event(), trio.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        found["token"] = trio.lowlevel.current_trio_token()
        async with trio.open_nursery() as nursery:
            [listener] = await nursery.start(partial(trio.serve_tcp, partial(_converse, handle), 0, host="127.0.0.1"))
            found["port"] = listener.socket.getsockname()[1]
            ready.set()
            await ended.wait()
            nursery.cancel_scope.cancel()

    thread = threading.Thread(target=trio.run, args=(serve,))
    thread.start()
    ready.wait(10)
    try:
        yield f"http://127.0.0.1:{found['port']}"
    finally:
        found["token"].run_sync_soon(ended.set)
        thread.join(10)


async def _converse(handle: Handle, stream: trio.SocketStream) -> None:
    """One request, its answer, and the end of the connection."""
    connection = h11.Connection(h11.SERVER)
    async with stream:
        request = await _request(connection, stream)
        answer = None if request is None else handle(request)
        if answer is None:
            return
        body = json.dumps(answer[1]).encode()
        headers = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close")]
        with suppress(trio.BrokenResourceError):  # a client that is stopped does not wait for its answer
            for event in (h11.Response(status_code=answer[0], headers=headers), h11.Data(data=body), h11.EndOfMessage()):
                await stream.send_all(connection.send(event) or b"")


async def _request(connection: h11.Connection, stream: trio.SocketStream) -> Request | None:
    head: h11.Request | None = None
    body = b""
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            try:
                connection.receive_data(await stream.receive_some(65536))
            except trio.BrokenResourceError:
                return None
        elif isinstance(event, h11.Request):
            head = event
        elif isinstance(event, h11.Data):
            body += bytes(event.data)
        elif isinstance(event, h11.EndOfMessage) and head is not None:
            path, _, query = head.target.decode().partition("?")
            headers = {name.decode(): value.decode() for name, value in head.headers}
            values = {name: found[0] for name, found in parse_qs(query).items()}
            return Request(method=head.method.decode(), path=path, query=values, headers=headers, body=body)
        else:
            return None
