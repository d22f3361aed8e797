"""The way in for files, which are larger than any body should be: one is taken piece by piece, and never held as a whole.

It stands in front of the framework, which reads every body whole. Who sends it is asked before any of it is read, so that strangers cannot
fill a disk. Not here: what becomes of a file (`reconciliation`), the short way for small bodies (`hot`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import Self, TypeAlias, final

import trio

from payorch.api.answering import Said
from payorch.api.frame import Frame
from payorch.api.headers import content_length
from payorch.api.hot import Application, Message, Receive, Send, answer
from payorch.api.operations.operators import Knock
from payorch.api.problems import Code
from payorch.api.refusal import Refusal

Pieces: TypeAlias = AsyncIterator[bytes]
"""The file as it comes in. Going on may raise Refusal: it is too large, or its sender fell silent."""
Run: TypeAlias = Callable[[str, bytes, Knock, Pieces], Awaitable[Said]]
"""(the rest of the path, the query string, who knocks, the file) -> the answer; raises Refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A call that takes a file. path: what its path begins with, a slash at its end; one more piece follows. route: its pattern, as the
    framework has it. most_bytes: of the file. silence_seconds: between two pieces of it; how long the whole may take depends on the line.
    """

    path: str
    route: str
    run: Run
    most_bytes: int
    silence_seconds: float


class _HungUp(Exception):
    """The client has gone before the file was whole."""


@final
class UploadRoute:
    """An ASGI application around another one: `others` gets everything but a POST of the one call."""

    def __init__(self, others: Application, upload: Upload, frame: Frame) -> None:
        self._others = others
        self._upload = upload
        self._frame = frame

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        upload = self._upload
        if scope["type"] == "http" and scope["method"] == "POST" and scope["path"].startswith(upload.path):
            rest = scope["path"].removeprefix(upload.path)
            if rest and "/" not in rest:
                return await self._take(rest, scope, receive, send)
        return await self._others(scope, receive, send)

    async def _take(self, rest: str, scope: Message, receive: Receive, send: Send) -> None:
        upload, headers = self._upload, scope["headers"]
        request_id, began_at = self._frame.request_id(headers), trio.current_time()
        client = scope.get("client")
        knock = Knock(headers=headers, address=client[0] if client else "", route=f"POST {upload.route}", request_id=request_id)
        pieces = _Pieces(upload, content_length(headers), receive)
        said = partial(upload.run, rest, scope["query_string"], knock, pieces)
        try:
            await answer(self._frame, upload.route, said, request_id=request_id, began_at=began_at, send=send, quiet=(_HungUp,))
        except _HungUp:
            return


@final
class _Pieces:
    def __init__(self, upload: Upload, announced: int, receive: Receive) -> None:
        self._upload = upload
        self._announced = announced
        self._receive = receive
        self._size = 0
        self._more = True

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> bytes:
        if not self._more:
            raise StopAsyncIteration
        if self._announced > self._upload.most_bytes:
            raise Refusal(Code.PAYLOAD_TOO_LARGE)
        with trio.move_on_after(self._upload.silence_seconds) as patience:
            message = await self._receive()
        if patience.cancelled_caught:
            raise Refusal(Code.REQUEST_TIMEOUT)
        if message["type"] == "http.disconnect":
            raise _HungUp
        piece: bytes = message.get("body", b"")
        self._size += len(piece)
        if self._size > self._upload.most_bytes:
            raise Refusal(Code.PAYLOAD_TOO_LARGE)
        self._more = message.get("more_body", False)
        return piece
