"""The way in for files, which are larger than any body should be: one streams to a temporary file, and only a piece of it is in memory.

It stands in front of the framework, which reads every body whole. Who sends it is asked before any of it is read, so that strangers cannot
fill a disk. Not here: what becomes of a file (`reconciliation`), the short way for small bodies (`hot`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import IO, Final, TypeAlias, final

import trio

from payorch.api.answering import Said
from payorch.api.frame import Frame
from payorch.api.headers import content_length
from payorch.api.hot import Application, Message, Receive, Send, answer
from payorch.api.operators import Knock
from payorch.api.problems import Code
from payorch.api.refusal import Refusal

IN_MEMORY_BYTES: Final = 2**20
"""A file up to this size never touches the disk. Nearly all daily reports of a small shop are smaller."""

File: TypeAlias = IO[bytes]
TakeFile: TypeAlias = Callable[[], Awaitable[File]]
"""Reads the file to its end and gives it, at its beginning. Raises Refusal where it is too large or too slow."""
Run: TypeAlias = Callable[[str, bytes, Knock, TakeFile], Awaitable[Said]]
"""(the rest of the path, the query string, who knocks, how to get the file) -> the answer; raises Refusal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """A call that takes a file. path: what its path begins with, a slash at its end; one more piece follows. route: its pattern, as the
    framework has it. most_bytes: of the file. silence_seconds: between two pieces of it; there is no limit to the whole, which depends on
    the line.
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
        knock = Knock(
            headers=headers, address=client[0] if client else "", route=f"POST {upload.route}", request_id=request_id
        )  # fmt: skip
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY_BYTES) as file:

            async def take() -> File:
                await _read(upload, content_length(headers), receive, file)
                file.seek(0)
                return file

            try:
                said = partial(upload.run, rest, scope["query_string"], knock, take)
                await answer(self._frame, upload.route, said, request_id=request_id, began_at=began_at, send=send, quiet=(_HungUp,))
            except _HungUp:
                return


async def _read(upload: Upload, announced: int, receive: Receive, file: File) -> None:
    if announced > upload.most_bytes:
        raise Refusal(Code.PAYLOAD_TOO_LARGE)
    size, more = 0, True
    while more:
        with trio.move_on_after(upload.silence_seconds) as patience:
            message = await receive()
        if patience.cancelled_caught:
            raise Refusal(Code.REQUEST_TIMEOUT)
        if message["type"] == "http.disconnect":
            raise _HungUp
        piece = message.get("body", b"")
        size += len(piece)
        if size > upload.most_bytes:
            raise Refusal(Code.PAYLOAD_TOO_LARGE)
        file.write(piece)  # to memory, or to the cache of a file system: it does not wait for a disk
        more = message.get("more_body", False)
