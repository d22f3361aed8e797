"""Sends what a simulated PSP owes to the platform on this machine: prompt, a bounded number at once, over connections that are kept.

The loop is woken when something new is owed and sleeps until the next try otherwise; a platform that is away costs one small task for each
try. What is under way when the process is told to stop is finished within its grace; what is cut off is owed still, and sent again.

Loopback only; not for production. Not here: which webhooks are due, what is posted and what an answer means (`connectors.simulator`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection
from typing import Final, TypeAlias, final
from urllib.parse import urlsplit

import h11
import trio

from connectors.contract import HttpRequest
from connectors.simulator import webhooks
from connectors.simulator.dialect import Dialect
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Due, Target
from connectors.simulator.webhooks import Answer, Post
from payorch.ports import Clock

AT_ONCE: Final = 16
"""Webhooks of one PSP that are being sent at any time: enough for a platform that commits in groups, and few for one that hangs."""
ANSWER_WITHIN_SECONDS: Final = 10.0
"""What real PSPs allow; a platform that only stores what it is sent needs milliseconds."""
_LARGEST_ANSWER_BYTES: Final = 64 * 1024  # nobody reads it
_RECEIVE_BYTES: Final = 16 * 1024

_log = logging.getLogger(__name__)

Take: TypeAlias = Callable[[int, Collection[int]], list[Due]]
"""Up to so many webhooks that are due now, except these numbers, which are being sent."""


class _HungUp(Exception):
    """The endpoint closed the connection, or said something that is no HTTP, before it had answered."""


@final
class Deliverer:
    """The webhooks of one PSP. `take` gives out what is due."""

    def __init__(self, ledger: Ledger, dialect: Dialect, *, clock: Clock, take: Take) -> None:
        self._ledger = ledger
        self._dialect = dialect
        self._clock = clock
        self._take = take
        self._lines = _Lines()
        self._busy: set[int] = set()
        self._changed = trio.Event()

    def wake(self) -> None:
        """Something may be due: a new webhook, another endpoint, room for one more."""
        self._changed.set()
        self._changed = trio.Event()

    async def run(self, sending: trio.Nursery) -> None:
        """Starts whatever is due in that nursery, until cancelled; what was started goes on there."""
        while True:
            changed = self._changed
            for due in self._take(AT_ONCE - len(self._busy), self._busy):
                self._busy.add(due.notification.number)
                sending.start_soon(self._deliver, due)
            with trio.move_on_after(self._pause_seconds()):
                await changed.wait()

    def close(self) -> None:
        """Ends the connections that were kept."""
        self._lines.close()

    def _pause_seconds(self) -> float:
        # Where all are busy the first that is free wakes the loop.
        now = self._clock.now()
        next_due = None if len(self._busy) >= AT_ONCE else self._ledger.outbox.next_due(now)
        return float("inf") if next_due is None else (next_due - now).total_seconds()

    async def _deliver(self, due: Due) -> None:
        try:
            target = self._ledger.outbox.target
            if target is not None:  # it may be taken away between being due and being sent
                webhooks.settle(self._ledger, due, await self._answers(target, due), self._clock.now())
        except Exception:
            # A bug costs this webhook a pause, as any failure does, not the server its life.
            _log.exception("simulator failed to send webhook %s", due.notification.id)
            webhooks.fail(self._ledger, due, "a bug in the simulator", self._clock.now())
        finally:
            self._busy.discard(due.notification.number)
            self.wake()

    async def _answers(self, target: Target, due: Due) -> list[tuple[Post, Answer]]:
        made = webhooks.posts(self._dialect, target, due, self._clock.now())
        if len(made) == 1:
            return [(made[0], await self._lines.post(target.url, made[0].request))]
        answers: list[tuple[Post, Answer]] = []

        async def send(post: Post) -> None:
            answers.append((post, await self._lines.post(target.url, post.request)))

        async with trio.open_nursery() as copies:
            for post in made:
                copies.start_soon(send, post)
        return answers


@final
class _Lines:
    """Connections to the endpoint, kept for the next post."""

    def __init__(self) -> None:
        self._kept: list[_Line] = []
        self._place = ""

    async def post(self, url: str, request: HttpRequest) -> Answer:
        """The status of the answer, or why there was none. No redirect is followed."""
        place = urlsplit(url).netloc
        if place != self._place:
            self.close()
            self._place = place
        with trio.move_on_after(ANSWER_WITHIN_SECONDS):
            try:
                return await self._post(place, request)
            except OSError:
                return f"nobody listens at {place}"
            except _HungUp:
                return f"{place} hung up without an answer"
        return f"{place} did not answer within {ANSWER_WITHIN_SECONDS:g} s"

    async def _post(self, place: str, request: HttpRequest) -> int:
        if self._kept:
            try:
                return await self._over(self._kept.pop(), place, request)
            except _HungUp:
                # Closed while nobody used it, as all of its age are then. Known only now; what is sent twice is a webhook like others.
                self.close()
        parts = urlsplit(f"//{place}")
        return await self._over(_Line(await trio.open_tcp_stream(parts.hostname or "", parts.port or 80)), place, request)

    async def _over(self, line: _Line, place: str, request: HttpRequest) -> int:
        kept = False
        try:
            status = await line.post(place, request)
            kept = line.is_reusable() and place == self._place and len(self._kept) < AT_ONCE
        finally:
            if not kept:
                line.close()
        if kept:
            self._kept.append(line)
        return status

    def close(self) -> None:
        """Ends those that are not in use."""
        for line in self._kept:
            line.close()
        self._kept.clear()


@final
class _Line:
    """One connection, spoken over by h11."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self._http = h11.Connection(h11.CLIENT)

    async def post(self, place: str, request: HttpRequest) -> int:
        """The status of the answer, once all of it is here. Raises _HungUp."""
        headers = [("host", place), *request.headers, ("content-length", str(len(request.body)))]
        data = self._http.send(h11.Request(method=request.method, target=request.path, headers=headers)) or b""
        data += self._http.send(h11.Data(data=request.body)) or b""
        data += self._http.send(h11.EndOfMessage()) or b""
        try:
            await self._stream.send_all(data)
            return await self._status()
        except (trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError) as problem:
            raise _HungUp from problem

    async def _status(self) -> int:
        status = size = 0
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._stream.receive_some(_RECEIVE_BYTES))
            elif isinstance(event, h11.Response):
                status = event.status_code
            elif isinstance(event, h11.Data):
                size += len(event.data)
                if size > _LARGEST_ANSWER_BYTES:
                    return status  # enough is known; the connection is of no more use
            elif isinstance(event, h11.EndOfMessage):
                return status
            elif isinstance(event, h11.ConnectionClosed):
                raise _HungUp

    def is_reusable(self) -> bool:
        """Whether another post may follow; makes ready for it."""
        if (self._http.our_state, self._http.their_state) != (h11.DONE, h11.DONE):
            return False
        self._http.start_next_cycle()
        return True

    def close(self) -> None:
        """Ends it."""
        self._stream.socket.close()
