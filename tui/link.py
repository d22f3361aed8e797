"""The live source: snapshot, then the stream from there, for as long as the console runs.

One loop: take a snapshot, read the stream from its cursor, and when that ends try again: by the last position that was seen, or with a
new snapshot where the server says that the position is gone (410). Waits grow to 30 s with full jitter, so that many consoles do not
return in step after a restart. It ends only by cancellation.

Not here: what the messages mean (`tui.store`), and how old the data is (`tui.freshness`).
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

import httpx2

from tui.api import PREFIX, Answer, Api, Problem, Query
from tui.messages import Happened, Heartbeat, Link, LinkState, Message, Snapshot, Vital, position_of
from tui.source import Sink

FIRST_WAIT_SECONDS: Final = 0.5
LONGEST_WAIT_SECONDS: Final = 30.0
SILENCE_SECONDS: Final = 15.0
"""Three heartbeats. A connection that has been silent for so long is dead, whatever TCP thinks."""
LARGEST_EVENT: Final = 64 * 1024
"""Bytes. The contract says 16 KiB; four times that is not our server."""


class Gone(Exception):
    """The server no longer has, or never had, the position we asked to go on from."""


class Closed(Exception):
    """The server ended the stream, and said why."""


class LiveSource:
    """An operations API over HTTP."""

    def __init__(self, api: Api, *, jitter: random.Random | None = None) -> None:
        self._api: Final = api
        self._jitter: Final = jitter or random.Random()
        self._now: Final = asyncio.Event()
        self._cursor: int | None = None
        self._had_one = False

    @property
    def writes(self) -> bool:
        return True

    @property
    def name(self) -> str:
        return str(self._api.client.base_url)

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        return await self._api.get(path, query)

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None, match: str | None = None) -> Answer:
        return await self._api.post(path, body, key=key, match=match)

    def retry_now(self) -> None:
        self._now.set()

    async def unlock(self, token: str) -> bool:
        """The server decides. A wrong token changes nothing; the old one stays in use."""
        if self._api.is_token(token):
            return True
        trial = self._api.with_token(token)
        try:
            await trial.get("meta")
        except Problem:
            return False
        self._api.renew(token)
        self.retry_now()
        return True

    async def run(self, sink: Sink) -> None:
        attempt = 0
        while True:
            ended: LinkState = "lost"
            try:
                async for message in self._session(resumed=attempt > 0):
                    if isinstance(message, Link):
                        attempt = 0
                    sink(message)
                reason = "the server ended the stream"
            except Problem as problem:
                ended = "denied" if problem.denied else "lost"
                reason = ": ".join(part for part in (problem.title, problem.detail) if part)
            except Gone:
                self._cursor = None
                reason = "the server does not know our place in the stream"
            except Closed as closed:
                reason = str(closed)
            except (httpx2.HTTPError, ValueError) as error:
                reason = type(error).__name__
            attempt += 1
            await self._wait(sink, ended, reason, attempt)

    async def _wait(self, sink: Sink, ended: LinkState, reason: str, attempt: int) -> None:
        """Full jitter: anywhere between half a second and the doubled wait. `r` ends it at once."""
        most = min(LONGEST_WAIT_SECONDS, FIRST_WAIT_SECONDS * 2 ** min(attempt, 10))
        seconds = self._jitter.uniform(FIRST_WAIT_SECONDS, most)
        sink(Link(state=ended, reason=reason, attempt=attempt, retry_seconds=seconds))
        self._now.clear()
        try:
            async with asyncio.timeout(seconds):
                await self._now.wait()
        except TimeoutError:
            pass

    async def _session(self, *, resumed: bool) -> AsyncIterator[Message]:
        """One connection: a snapshot where we have no position, then whatever the stream says."""
        if self._cursor is None:
            yield await self._snapshot(gap=self._had_one)
            resumed = False
        try:
            async for message in self._stream(resumed=resumed):
                yield message
        except Gone:  # once: a server that forgets a position it has just given is asked again later
            yield await self._snapshot(gap=True)
            async for message in self._stream(resumed=False):
                yield message

    async def _snapshot(self, *, gap: bool) -> Snapshot:
        data = await self._api.get("snapshot")
        self._cursor = position_of(data.get("cursor"))
        self._had_one = True
        return Snapshot(data=data, gap=gap)

    async def _stream(self, *, resumed: bool) -> AsyncIterator[Message]:
        headers = {**self._api.headers, "Last-Event-ID": str(self._cursor), "Accept": "text/event-stream", "Cache-Control": "no-store"}
        timeout = httpx2.Timeout(10.0, read=SILENCE_SECONDS)
        async with self._api.client.stream("GET", PREFIX + "stream", headers=headers, timeout=timeout) as response:
            if response.status_code == 410:
                raise Gone
            if response.status_code >= 400:
                raise Problem(response.status_code, await _problem(response), response.headers.get("X-Request-Id"))
            yield Link(state="live")
            if resumed:  # the events that were missed come by themselves; figures only come when they change
                yield Vital(data=await self._api.get("snapshot", {"views": "overview,connectors"}))
            async for told in httpx2.EventSource(response, max_event_size=LARGEST_EVENT):
                message = heard(told.event, told.data)
                if message is None:
                    continue
                if isinstance(message, Happened):
                    self._cursor = max(self._cursor or 0, message.position or position_of(told.id))
                yield message


def heard(kind: str, text: str) -> Message | None:
    """One message of the stream. Raises Closed for a reset, and ValueError for what is not JSON."""
    data = json.loads(text) if text else {}
    if not isinstance(data, dict):
        raise ValueError("a message of the stream that is not an object")
    match kind:
        case "hb":
            return Heartbeat(server_time=data.get("server_time"), head=position_of(data.get("head")))
        case "vital":
            return Vital(data=data)
        case "reset":
            raise Closed(_RESETS.get(str(data.get("reason")), f"the server ended the stream: {data.get('reason')}"))
        case _:
            return Happened(event=data)


_RESETS: Final = {
    "slow": "this console was too slow and was dropped",
    "stopping": "the platform is stopping",
    "token": "the token was revoked or has expired",
}


async def _problem(response: httpx2.Response) -> dict[str, Any]:
    try:
        data = json.loads(await response.aread())
    except ValueError:
        data = None
    return data if isinstance(data, dict) else {"title": f"HTTP {response.status_code}"}
