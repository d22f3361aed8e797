"""GET /ops/v1/stream: what happens, as it happens, as server-sent events.

    id: <position>  event: <topic>   an event of the journal; `Last-Event-ID` or `after` takes the stream up behind it
    event: hb                        every few seconds, with the server's time and the journal's end; a comment beside it
    event: vital                     the overview and the connectors, where anything in them has changed
    event: reset                     the last word: the listener was too slow, the platform stops, the token is not valid any more

A listener that does not read is dropped twice over: by the door, once a piece has not been taken in its time, and here, once too much waits
for it. Nothing is kept for it meanwhile but its place. Not here: what is told (`events`), reading the journal (`payorch.operations.tail`).
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final, final

import msgspec
import trio
from quart import Response, g, request

from payorch.api.answering import OUT_OF_REACH
from payorch.api.merchant import Handler
from payorch.api.operations.feed import Ended, Ending, Kind, StreamGap, Subscription, Told
from payorch.api.operations.live import LiveSurroundings
from payorch.api.operations.operators import Knock, OperatorDoor
from payorch.api.present import rfc3339
from payorch.api.problems import Code
from payorch.api.reading import Reader, query_of, whole
from payorch.api.refusal import Refusal
from payorch.domain.roles import Role
from payorch.ports import Clock

EVENT_STREAM: Final = "text/event-stream"
COME_BACK_MILLISECONDS: Final = 1000
"""Told to listeners that connect again by themselves. Consoles of ours choose their own pauses."""
TRY_AGAIN_SECONDS: Final = 1.0
"""After the database could not be read for a listener that catches up. Heartbeats go on meanwhile."""
FULL_RETRY_SECONDS: Final = 5
_POSITION: Final = re.compile("[0-9]{1,18}")
_TOO_MANY: Final = (
    "As many consoles listen as may at once. Nothing was executed and no money moved. Close one that nobody looks at, or try again after "
    "the time in Retry-After."
)


def _topics(text: str) -> frozenset[str]:
    asked = frozenset(text.split(","))
    if not asked <= frozenset(Kind):
        raise ValueError(f"These are some of: {', '.join(Kind)}; parted by commas.")
    return asked


_READERS: Final[Mapping[str, Reader]] = {"topics": _topics, "after": whole}
STREAM_PARAMETERS: Final = tuple(_READERS)

_encode: Final = msgspec.json.Encoder().encode


@final
class StreamApi:
    """The handler."""

    def __init__(self, around: LiveSurroundings, door: OperatorDoor, *, clock: Clock) -> None:
        self._around = around
        self._door = door
        self._clock = clock
        self._open = 0

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {("GET", "/ops/v1/stream"): self.stream}

    async def stream(self) -> Response:
        """An endless answer. Raises Refusal: 410 where the place is not one to go on from, 503 where too many listen."""
        who = await self._door.asked(Role.VIEWER)
        asked = query_of(request.query_string, _READERS, default=1, largest=1).values
        after = _last_event_id(request.headers.get("Last-Event-ID"), asked.get("after"))
        if self._open >= self._around.stream.streams_limit:
            raise Refusal(Code.OVERLOADED, detail=_TOO_MANY, retry_after_seconds=FULL_RETRY_SECONDS)
        try:
            subscription = await self._around.feed.subscribe(after, who.person)
        except StreamGap:
            raise Refusal(Code.STREAM_GAP) from None
        knock = Knock(
            headers=request.scope["headers"],
            address=(request.scope.get("client") or ("",))[0],
            route="GET /ops/v1/stream",
            request_id=g.request_id,
        )
        messages = self._messages(subscription, knock, asked.get("topics"))
        # A proxy that gathers an answer before it passes it on would never pass this one on. After our last word the connection is over.
        response = Response(messages, 200, {"X-Accel-Buffering": "no", "Connection": "close"}, content_type=EVENT_STREAM)
        response.timeout = None
        return response

    async def _messages(self, subscription: Subscription, knock: Knock, topics: frozenset[str] | None) -> AsyncIterator[bytes]:
        limits = self._around.stream
        self._open += 1
        subscription.open()
        try:
            yield b"retry: %d\n\n%b" % (COME_BACK_MILLISECONDS, self._heartbeat())
            beat_at = trio.current_time() + limits.heartbeat_seconds
            check_at = trio.current_time() + limits.token_check_seconds
            while True:
                told = await _more(subscription, until=min(beat_at, check_at))
                parts = _frames(told, topics)
                parts += [b"event: vital\ndata: %b\n\n" % one for one in subscription.vital()]
                now = trio.current_time()
                if now >= check_at:
                    check_at = now + limits.token_check_seconds
                    if not await self._may_still(knock):
                        raise Ended(Ending.TOKEN)
                if now >= beat_at:
                    beat_at = now + limits.heartbeat_seconds
                    parts.append(_place(subscription, topics) + self._heartbeat())
                if parts:
                    yield b"".join(parts)
        except Ended as ended:
            yield b'event: reset\ndata: {"reason":"%b"}\n\n' % ended.why.encode()
        finally:
            subscription.close()
            self._open -= 1

    def _heartbeat(self) -> bytes:
        beat: dict[str, Any] = {"server_time": rfc3339(self._clock.now()), "head": self._around.head()}
        return b": hb\n\nevent: hb\ndata: %b\n\n" % _encode(beat)

    async def _may_still(self, knock: Knock) -> bool:
        try:
            await self._door.operator(knock, Role.VIEWER)
        except Refusal:
            return False
        except OUT_OF_REACH:
            return True  # it was valid a minute ago, and what it may see is still the same
        return True


async def _more(subscription: Subscription, *, until: float) -> Sequence[Told]:
    """What comes until then, if anything does."""
    with trio.move_on_at(until):
        try:
            return await subscription.more()
        except OUT_OF_REACH:
            await trio.sleep(TRY_AGAIN_SECONDS)
    return ()


def _frames(told: Sequence[Told], topics: frozenset[str] | None) -> list[bytes]:
    return [
        b"id: %d\nevent: %b\ndata: %b\n\n" % (one.position, one.kind.encode(), one.data)
        for one in told
        if topics is None or one.kind in topics
    ]


def _place(subscription: Subscription, topics: frozenset[str] | None) -> bytes:
    """For those who do not hear everything: how far they have been told, so that they come back to where they were."""
    return b"" if topics is None else b"id: %d\n\n" % subscription.position


def _last_event_id(header: str | None, after: int | None) -> int | None:
    """From where the stream goes on. The header is newer than the address: it comes with each new connection."""
    if header is None:
        return after
    if _POSITION.fullmatch(header) is None:
        raise Refusal(Code.STREAM_GAP)
    return int(header)
