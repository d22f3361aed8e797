"""HTTP/1.1 as the door speaks it: hypercorn's protocol and h11's parser, and a short way for what nearly every request is.

The head of an answer of known length and the first piece of its body, which nearly always is all of it, go through h11 in one go and out in
one write. Everything else goes hypercorn's way: streamed answers, HEAD, WebSockets, requests that cannot be parsed.

Not here: sockets, connections and their time limits (`payorch.door`), routes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, cast, final

import h11
import trio
from hypercorn.config import Config
from hypercorn.protocol.events import Request
from hypercorn.protocol.h11 import STREAM_ID, H11Protocol
from hypercorn.protocol.http_stream import ASGIHTTPState, HTTPStream
from hypercorn.trio.worker_context import WorkerContext
from hypercorn.typing import AppWrapper, ASGIReceiveEvent, ASGISendEvent, ConnectionState, HTTPResponseStartEvent, TaskGroup
from hypercorn.utils import build_and_validate_headers, suppress_body

ARRIVED: Final = "payorch.arrived"
"""An extension of ours to ASGI (`scope["extensions"]`): a function that gives the whole body if all of it is there already, else None."""

_QUEUED_MESSAGES: Final = 10  # body chunks waiting for the app; then the client waits (hypercorn's own figure)


class _Parser(h11.Connection):
    """h11, patient with a client that sends more after its last request (a blank line, as old ones do): the request is answered first.

    h11 alone finds an error, and hypercorn answers 400 to a request that the app is already acting on.
    """

    def next_event(self) -> h11.Event | type[h11.NEED_DATA] | type[h11.PAUSED]:
        if self.their_state is h11.MUST_CLOSE and self.trailing_data[0]:
            return h11.PAUSED
        return super().next_event()


@final
class Http11(H11Protocol):
    """HTTP/1.1 that stays HTTP/1.1. `write_now`: puts bytes on the wire, without waiting where it need not."""

    def __init__(
        self,
        app: AppWrapper,
        config: Config,
        context: WorkerContext,
        task_group: TaskGroup,
        connection_state: ConnectionState,
        client: tuple[str, int],
        server: tuple[str, int],
        send: Callable[[Any], Awaitable[None]],
        *,
        write_now: Callable[[bytes], Awaitable[None]],
        header_bytes: int,
    ) -> None:
        super().__init__(app, config, context, task_group, connection_state, False, client, server, send)
        self.connection = _Parser(h11.SERVER, max_incomplete_event_size=header_bytes)
        self._write_now = write_now

    async def answer(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, is_whole: bool) -> None:
        """An answer's head and the first piece of its body; where that is the whole of it, the end of the request too."""
        fields = [*headers, *self.config.response_headers("h11")]
        if self.keep_alive_requests >= self.config.keep_alive_max_requests:
            fields.append((b"connection", b"close"))
        try:
            head = self.connection.send(h11.Response(headers=fields, status_code=status)) or b""
            data = head + (self.connection.send(h11.Data(data=body)) or b"")
        except h11.LocalProtocolError:
            if self.connection.their_state is not h11.ERROR:
                raise
        else:
            await self._write_now(data)
        if is_whole:
            await self._send_h11_event(h11.EndOfMessage())
            await self._maybe_recycle()

    async def _check_protocol(self, event: h11.Request) -> None:
        """An `Upgrade: h2c` is ignored, as RFC 9110 allows; Java's client sends one with each request."""

    async def _create_stream(self, request: h11.Request) -> None:
        if any(name == b"upgrade" for name, _ in request.headers):
            return await super()._create_stream(request)
        self.stream = _Stream(
            self.app, self.config, self.context, self.task_group, False, self.client, self.server, self.stream_send, STREAM_ID
        )
        self.stream.answer = self.answer
        began = Request(
            stream_id=STREAM_ID,
            headers=list(request.headers),
            http_version=request.http_version.decode(),
            method=request.method.decode("ascii").upper(),
            raw_path=request.target,
            state=self.connection_state,
        )
        await self.stream.handle(began)
        self.keep_alive_requests += 1
        return None


@final
class _Stream(HTTPStream):
    """One request. The head of an answer of known length waits for the first piece of its body; a stream's does not."""

    answer: Callable[..., Awaitable[None]]  # as `Http11.answer`
    _head: dict[str, Any] | None = None

    async def app_send(self, message: ASGISendEvent | None) -> None:
        given, head = cast("dict[str, Any] | None", message), self._head
        if head is None and given is not None and self._is_head_of_known_length(given):
            self._head = given
            return None
        self._head = None
        if head is not None:
            if given is not None and self._is_first_piece(head, given):
                is_whole = not given.get("more_body", False)
                self.response = cast(HTTPResponseStartEvent, head)
                self.state = ASGIHTTPState.CLOSED if is_whole else ASGIHTTPState.RESPONSE
                headers = build_and_validate_headers(head["headers"])
                return await self.answer(int(head["status"]), headers, bytes(given["body"]), is_whole=is_whole)
            await super().app_send(cast(ASGISendEvent, head))
        return await super().app_send(message)

    def _is_head_of_known_length(self, message: dict[str, Any]) -> bool:
        """Whether it is what a good app says first."""
        begins = message["type"] == "http.response.start" and self.state is ASGIHTTPState.REQUEST and not self.closed
        return begins and any(name.lower() == b"content-length" for name, _ in message.get("headers", ()))

    def _is_first_piece(self, head: dict[str, Any], message: dict[str, Any]) -> bool:
        """Whether it is a piece of a body, of an answer that has one."""
        is_piece = message["type"] == "http.response.body" and message.get("body", b"") != b"" and not self.closed
        return is_piece and not head.get("trailers", False) and not suppress_body(self.scope["method"], int(head["status"]))


@final
class Inbox:
    """What the client still has to say to one request. Bounded, and never waits once the app or the client is gone."""

    __slots__ = ("_app_is_gone", "_changed", "_client_is_gone", "_gone", "_waiting")

    def __init__(self, gone: ASGIReceiveEvent) -> None:
        """`gone`: what the app hears when there is nothing more to come."""
        self._gone = gone
        self._waiting: deque[ASGIReceiveEvent] = deque()
        self._app_is_gone = self._client_is_gone = False
        self._changed: trio.Event | None = None  # while somebody waits

    async def put(self, message: ASGIReceiveEvent) -> None:
        """Called by the protocol, one message after the other."""
        if message["type"] == self._gone["type"]:
            self._client_is_gone = True
            return self._tell()
        while len(self._waiting) >= _QUEUED_MESSAGES and not self._app_is_gone:
            await self._change()
        if not (self._app_is_gone or self._client_is_gone):
            self._waiting.append(message)
            self._tell()
        return None

    async def receive(self) -> ASGIReceiveEvent:
        """ASGI's `receive`."""
        while not (self._waiting or self._client_is_gone):
            await self._change()
        if self._waiting:
            self._tell()
            return self._waiting.popleft()
        await trio.lowlevel.checkpoint()  # an app that asks for ever must not stop the world
        return self._gone

    def arrived(self) -> bytes | None:
        """Takes the whole body if all of it is here; None where it is not. See ARRIVED."""
        messages = cast("deque[dict[str, Any]]", self._waiting)
        if not messages or messages[-1].get("more_body", False):
            return None
        body = b"".join([one.get("body", b"") for one in messages])
        messages.clear()
        return body

    def close(self) -> None:
        """The app has ended."""
        self._app_is_gone = True
        self._waiting.clear()
        self._tell()

    async def _change(self) -> None:
        if self._changed is None:
            self._changed = trio.Event()
        await self._changed.wait()

    def _tell(self) -> None:
        if self._changed is not None:
            self._changed.set()
            self._changed = None
