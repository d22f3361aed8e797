"""A merchant's endpoints for real: an HTTP server on loopback that behaves by path, keeps what it was sent, and verifies each signature
with the official library.

    /well           204, at once                 /hang           never answers
    /gone           410                          /redirect       302 to a cloud's metadata address
    /ill            500 until `cure` is called   /flaky          500 to every second message

Not here: what a merchant is to be sent.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import h11
import trio
from standardwebhooks import Webhook

METADATA: Final = "http://169.254.169.254/latest/meta-data/"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message as it came in. `at`: by trio's clock."""

    path: str
    id: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


@dataclass
class Receiver:
    """Everything that was received. `secrets`: of the endpoint at each path; where one is known, a wrong signature is an error."""

    port: int = 0
    secrets: dict[str, str] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    cured: bool = False
    _count: Counter[str] = field(default_factory=Counter)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def cure(self) -> None:
        self.cured = True

    def at(self, path: str) -> list[Message]:
        return [one for one in self.messages if one.path == path]

    async def serve(self, stream: trio.SocketStream) -> None:
        """One connection."""
        http = h11.Connection(h11.SERVER)
        async with stream:
            try:
                while True:
                    message = await self._receive(http, stream)
                    if message is None or not await self._answer(http, stream, message):
                        return
                    if http.our_state is h11.MUST_CLOSE:
                        return
                    http.start_next_cycle()
            except (trio.BrokenResourceError, h11.RemoteProtocolError):
                return

    async def _receive(self, http: h11.Connection, stream: trio.SocketStream) -> Message | None:
        head: h11.Request | None = None
        body = bytearray()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await stream.receive_some(65536))
            elif isinstance(event, h11.Request):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage) and head is not None:
                headers = {name.decode(): value.decode() for name, value in head.headers}
                path = head.target.decode()
                return Message(path=path, id=headers.get("webhook-id", ""), headers=headers, body=bytes(body), at=trio.current_time())
            else:
                return None

    async def _answer(self, http: h11.Connection, stream: trio.SocketStream, message: Message) -> bool:
        self._verify(message)
        self.messages.append(message)
        self._count[message.path] += 1
        headers = [("content-length", "0")]
        match message.path:
            case "/hang":
                await trio.sleep_forever()
            case "/gone":
                status = 410
            case "/redirect":
                status, headers = 302, [*headers, ("location", METADATA)]
            case "/ill" if not self.cured:
                status = 500
            case "/flaky" if self._count[message.path] % 2:
                status = 500
            case _:
                status = 204
        response = h11.Response(status_code=status, headers=headers if status != 204 else [])
        await stream.send_all((http.send(response) or b"") + (http.send(h11.EndOfMessage()) or b""))
        return True

    def _verify(self, message: Message) -> None:
        secret = self.secrets.get(message.path)
        if secret is None:
            return
        try:
            Webhook(secret).verify(message.body, message.headers)
        except Exception as error:  # the library raises whatever it likes
            self.wrong.append(f"{message.path} {message.id}: {type(error).__name__} {error}")


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    """A receiver that runs."""
    receiver = Receiver()
    async with trio.open_nursery() as nursery:
        listeners = await nursery.start(trio.serve_tcp, receiver.serve, 0)
        receiver.port = listeners[0].socket.getsockname()[1]
        yield receiver
        nursery.cancel_scope.cancel()
