"""The short way for the one call that there are thousands of a second: `POST /v1/payments`, read and answered without the framework.

It stands in front of the Quart application (`app.asgi_app`), hands it everything else, and runs the same command as its route does; a test
holds that both ways answer alike. The framework is for what it is good at, many routes; it was measured to cost a fifth of an
authorisation. Not here: what the command does (`merchant`), what is common to all answers (`frame`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Final, TypeAlias, final

import trio

from payorch.api.answering import Said
from payorch.api.frame import HEADERS, Frame
from payorch.api.headers import Headers, content_length
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.api.surroundings import HttpLimits

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Create: TypeAlias = Callable[[Headers, Callable[[], Awaitable[bytes]], str], Awaitable[Said]]
"""(headers, how to get the body, request id) -> the answer; raises Refusal. `merchant.MerchantApi.created`."""

PATH: Final = "/v1/payments"

_JSON: Final = (b"content-type", b"application/json")
_REPLAYED: Final = (b"idempotency-replayed", b"true")
_COMMON: Final = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS)


@final
class HotRoute:
    """An ASGI application around another one: `others` gets everything but a creation."""

    def __init__(self, others: Application, create: Create, frame: Frame, limits: HttpLimits) -> None:
        self._others = others
        self._create = create
        self._frame = frame
        self._most_bytes = limits.body_limit_bytes
        self._within_seconds = limits.body_deadline_seconds

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == PATH and scope["method"] == "POST":
            await self._answer(scope["headers"], receive, send)
        else:
            await self._others(scope, receive, send)

    async def _answer(self, headers: Headers, receive: Receive, send: Send) -> None:
        read = await self._read(headers, receive)
        if read is None:
            return
        began_at = trio.current_time()
        request_id = self._frame.request_id(headers)

        async def body() -> bytes:
            if isinstance(read, Refusal):
                raise read
            return read

        try:
            said = await self._create(headers, body, request_id)
        except Exception as error:
            refusal = self._frame.refusal(error, method="POST", route=PATH, request_id=request_id)
            problem = refusal.problem(request_id)
            status, answer = problem.status, problem.as_json()
            own = [(name.lower().encode(), value.encode()) for name, value in problem.headers]
        else:
            status, answer = said.status, said.body
            own = [_JSON, _REPLAYED] if said.replayed else [_JSON]
        about = ((b"content-length", b"%d" % len(answer)), (b"x-request-id", request_id.encode()))
        self._frame.answered(PATH, status, began_at)
        await send({"type": "http.response.start", "status": status, "headers": [*own, *about, *_COMMON]})
        await send({"type": "http.response.body", "body": answer, "more_body": False})

    async def _read(self, headers: Headers, receive: Receive) -> bytes | Refusal | None:
        """The whole body; the refusal of one too large or too slow, which the command meets in its turn; None where the client hung up."""
        too_large = Refusal(Code.PAYLOAD_TOO_LARGE)
        if content_length(headers) > self._most_bytes:
            return too_large
        data = b""
        with trio.move_on_after(self._within_seconds):
            while len(data) <= self._most_bytes:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                data += message.get("body", b"")
                if not message.get("more_body", False):
                    break
            return data if len(data) <= self._most_bytes else too_large
        return Refusal(Code.REQUEST_TIMEOUT)
