"""Small servers on loopback for the tests of the network: each hands its connections to one function, which plays the fault."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable
from typing import Any

import trio
import trustme

from payorch.ports import Timeouts

TIMEOUTS = Timeouts(connect_seconds=30, write_seconds=30, read_seconds=30, total_seconds=60)
"""Which end only what is hopeless. A test in which one of them is to strike gives its own."""
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """A listener on loopback that hands each connection to one function and keeps what it read."""

    def __init__(self) -> None:
        self.port = 0
        self.connections = 0
        self.requests: list[bytes] = []

    async def request(self, stream: trio.abc.Stream) -> bytes:
        """The next whole request; b"" when the client has closed."""
        received = b""
        while b"\r\n\r\n" not in received or not received.partition(b"\r\n\r\n")[2].startswith(self._body_of(received)):
            data = await stream.receive_some(65536)
            if not data:
                return b""
            received += data
        self.requests.append(received)
        return received

    def _body_of(self, received: bytes) -> bytes:
        return b'{"amount":1}' if b"content-length: 12" in received else b""


def answering(*chunks: bytes, times: int = 100) -> Callable[[Server, Any], Awaitable[None]]:
    """Answers each request of a connection with `chunks`, then closes."""

    async def serve(server: Server, stream: Any) -> None:
        for _ in range(times):
            if not await server.request(stream):
                return
            for chunk in chunks:
                await stream.send_all(chunk)

    return serve


def server_tls(authority: trustme.CA, name: str = "127.0.0.1") -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context
