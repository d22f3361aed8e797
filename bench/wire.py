"""Just enough of HTTP/1.1 on a trio socket for both ends of a benchmark: whole messages, framed by Content-Length, kept alive.

No chunks, no continuation, no pipelining, nothing forgiven: whatever else comes is an `Unframed`. Only for benchmarks on loopback,
where the cost of a real HTTP library would be measured instead of the service.
"""

from __future__ import annotations

import trio

LARGEST_MESSAGE_BYTES = 1024 * 1024
_READ_BYTES = 65536


class Unframed(Exception):
    """The peer sent what this module does not read, or stopped in the middle."""


class Peer:
    """One connection. `receive` gives message after message; `send` writes bytes as they are."""

    def __init__(self, socket: trio.socket.SocketType) -> None:
        socket.setsockopt(trio.socket.IPPROTO_TCP, trio.socket.TCP_NODELAY, 1)
        self._socket = socket
        self._rest = b""

    async def send(self, message: bytes) -> None:
        """Writes all of it."""
        sent = await self._socket.send(message)
        while sent < len(message):
            sent += await self._socket.send(message[sent:])

    async def receive(self) -> tuple[bytes, bytes] | None:
        """(head in lower case, body), or None where the peer closed between two messages. Raises Unframed."""
        data = self._rest
        while (head_end := data.find(b"\r\n\r\n")) < 0:
            more = await self._read(data)
            if not more and not data:
                return None
            data = self._joined(data, more)
        head = data[:head_end].lower()
        end = head_end + 4 + content_length(head)
        while len(data) < end:
            data = self._joined(data, await self._read(data))
        self._rest = data[end:]
        return head, data[head_end + 4 : end]

    async def _read(self, data: bytes) -> bytes:
        if len(data) > LARGEST_MESSAGE_BYTES:
            raise Unframed("a message is too large")
        return await self._socket.recv(_READ_BYTES)

    @staticmethod
    def _joined(data: bytes, more: bytes) -> bytes:
        if not more:
            raise Unframed("the peer closed in the middle of a message")
        return data + more if data else more


def content_length(head: bytes) -> int:
    """Of a head in lower case; 0 for a request without one. Raises Unframed."""
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        if b"\r\ntransfer-encoding:" in head or head.startswith(b"http/"):
            raise Unframed("a message without Content-Length")
        return 0
    line_end = head.find(b"\r\n", at + 2)
    value = head[at + 17 : line_end if line_end > 0 else None]
    try:
        return int(value)
    except ValueError:
        raise Unframed(f"Content-Length is {value[:40]!r}") from None
