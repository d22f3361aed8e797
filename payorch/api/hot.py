"""The short way for the two calls that there are thousands of a second, read and answered without the framework: `POST /v1/payments` of
merchants, and `POST /webhooks/{connector}` of PSPs.

It stands in front of the Quart application (`app.asgi_app`), hands it everything else, and runs the same command as its routes do; a test
holds that both ways answer alike. The framework is for what it is good at, many routes; it was measured to cost a fifth of an
authorisation. Not here: what the commands do (`merchant`, `notices`), what is common to all answers (`frame`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias, final

import trio

from payorch.api.answering import Said
from payorch.api.frame import HEADERS, Frame
from payorch.api.headers import Headers, content_length
from payorch.api.problems import Code
from payorch.api.refusal import Refusal

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Any, Any, Any], Awaitable[None]]
Arrived: TypeAlias = Callable[[], bytes | None]
Run: TypeAlias = Callable[[str, Headers, Callable[[], Awaitable[bytes]], str], Awaitable[Said]]
"""(the rest of the path, headers, how to get the body, request id) -> the answer; raises Refusal."""

ARRIVED: Final = "payorch.arrived"
"""The door's extension to ASGI (`payorch.http11`): a function that gives the whole body if all of it is there already, else None."""
_REPLAYED: Final = (b"idempotency-replayed", b"true")
_COMMON: Final = tuple((name.lower().encode(), value.encode()) for name, value in HEADERS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Short:
    """A call that goes the short way. path: the whole of it, or with a slash at its end what it begins with.

    route: its pattern, as the framework has it. most_bytes, within_seconds: of its body.
    """

    path: str
    route: str
    run: Run
    most_bytes: int
    within_seconds: float

    def rest(self, path: str) -> str | None:
        """What follows in a path of this call, with no further slash; None for any other path."""
        rest = path.removeprefix(self.path)
        whole = self.path.endswith("/") and path.startswith(self.path) and bool(rest) and "/" not in rest
        return rest if path == self.path or whole else None


@final
class HotRoute:
    """An ASGI application around another one: `others` gets everything but a POST of one of the short calls."""

    def __init__(self, others: Application, short: Sequence[Short], frame: Frame) -> None:
        self._others = others
        self._short = tuple(short)
        self._frame = frame

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            for one in self._short:
                rest = one.rest(scope["path"])
                if rest is not None:
                    arrived = scope.get("extensions", {}).get(ARRIVED, _nothing)
                    return await self._answer(one, rest, scope["headers"], receive, send, arrived)
        return await self._others(scope, receive, send)

    async def _answer(self, one: Short, rest: str, headers: Headers, receive: Receive, send: Send, arrived: Arrived) -> None:
        read = await _read(one, headers, receive, arrived)
        if read is None:
            return
        began_at = trio.current_time()
        request_id = self._frame.request_id(headers)

        async def body() -> bytes:
            if isinstance(read, Refusal):
                raise read
            return read

        said = partial(one.run, rest, headers, body, request_id)
        await answer(self._frame, one.route, said, request_id=request_id, began_at=began_at, send=send)


async def answer(
    frame: Frame,
    route: str,
    run: Callable[[], Awaitable[Said]],
    *,
    request_id: str,
    began_at: float,
    send: Send,
    quiet: tuple[type[Exception], ...] = (),
) -> None:
    """Runs a command and sends what it says, or the problem that it ended in: what the framework does around its routes.

    quiet: errors that are no answer to anybody and come through.
    """
    try:
        said = await run()
    except quiet:
        raise
    except Exception as error:
        refusal = frame.refusal(error, method="POST", route=route, request_id=request_id)
        problem = refusal.problem(request_id)
        status, body = problem.status, problem.as_json()
        own = [(name.lower().encode(), value.encode()) for name, value in problem.headers]
    else:
        status, body = said.status, said.body
        kind = (b"content-type", said.content_type.encode())
        own = [kind, _REPLAYED] if said.replayed else [kind]
    about = ((b"content-length", b"%d" % len(body)), (b"x-request-id", request_id.encode()))
    frame.answered(route, status, began_at)
    await send({"type": "http.response.start", "status": status, "headers": [*own, *about, *_COMMON]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def _nothing() -> None:
    """Of a server that does not say what has arrived."""


async def _read(one: Short, headers: Headers, receive: Receive, arrived: Arrived) -> bytes | Refusal | None:
    """The whole body; the refusal of one too large or too slow, which the command meets in its turn; None where the client hung up."""
    too_large = Refusal(Code.PAYLOAD_TOO_LARGE)
    if content_length(headers) > one.most_bytes:
        return too_large
    whole = arrived()
    if whole is not None:  # nearly always: then there is no time limit to be set
        return whole if len(whole) <= one.most_bytes else too_large
    data = b""
    with trio.move_on_after(one.within_seconds):
        while len(data) <= one.most_bytes:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            data += message.get("body", b"")
            if not message.get("more_body", False):
                break
        return data if len(data) <= one.most_bytes else too_large
    return Refusal(Code.REQUEST_TIMEOUT)
