"""The operations API, as commands of the command line ask it: calls in an operator's name, and the live stream as it comes.

Not here: what the commands show (`operator_words`), the console, which is a process of its own with a client of its own (`tui`).
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

import httpx2
import trio

from payorch.keys import Secret
from payorch.wording import printable

ANSWER_WITHIN_SECONDS: Final = 15.0
"""Above what the platform waits for an act (http.answer_within_seconds), with as much again for a machine that is busy."""
SILENCE_SECONDS: Final = 20.0
"""Of a stream that says at least that it is alive every five seconds."""
LONGEST_LINE: Final = 64 * 1024
"""Of the stream, in characters: four times what the platform allows itself."""
_LONGEST_DETAIL: Final = 2000

View: TypeAlias = dict[str, Any]


class Away(Exception):
    """No answer, or one that says to come back later: the same may work in a moment."""


class Refused(Exception):
    """The platform said no. The text is its own; `problem` is what it said, for programs."""

    def __init__(self, text: str, problem: Mapping[str, Any]) -> None:
        super().__init__(text)
        self.problem = problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the platform is, and in whose name it is asked."""

    base_url: str
    token: Secret


@final
class OperatorClient:
    """Calls in that operator's name. All raise Away and Refused."""

    def __init__(self, place: Place, client: httpx2.AsyncClient) -> None:
        self._place = place
        self._client = client

    async def get(self, path: str, query: Mapping[str, Any] | None = None) -> View:
        """What is to be seen at that path below /ops/v1."""
        asked = {name: str(value) for name, value in (query or {}).items() if value is not None}
        return await self._asked("GET", path, params=asked)

    async def post(self, path: str, body: Mapping[str, Any], *, headers: Mapping[str, str] | None = None) -> View:
        """Asks for that."""
        return await self._asked("POST", path, json=body, headers=dict(headers or {}))

    async def pages(self, path: str, query: Mapping[str, Any], *, most: int) -> View:
        """A list, as many pages of it as it takes to have `most` entries, and the cursor behind them."""
        entries: list[Any] = []
        page: View = {}
        cursor = query.get("cursor")
        while len(entries) < most:
            page = await self.get(path, {**query, "cursor": cursor, "limit": min(200, most - len(entries))})
            entries += page["data"]
            cursor = page.get("next_cursor")
            if cursor is None:
                break
        return {**page, "data": entries, "next_cursor": cursor}

    async def stream(self, *, topics: str | None, after: str | None) -> AsyncIterator[tuple[str, View]]:
        """(what kind of message, what it says), as they come, for ever. Raises Away where the stream ends or falls silent."""
        query = {name: value for name, value in {"topics": topics, "after": after}.items() if value is not None}
        timeout = httpx2.Timeout(ANSWER_WITHIN_SECONDS, read=SILENCE_SECONDS)
        try:
            async with self._client.stream("GET", "/ops/v1/stream", params=query, timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                    self._taken("GET", "/ops/v1/stream", answer)
                async for message in _messages(answer.aiter_lines()):
                    yield message
        except httpx2.HTTPError as problem:
            raise Away(f"the stream of {self._place.base_url} has ended ({type(problem).__name__})") from problem
        raise Away(f"the stream of {self._place.base_url} has ended")

    async def _asked(self, method: str, path: str, **more: Any) -> View:
        try:
            with trio.fail_after(ANSWER_WITHIN_SECONDS):
                answer = await self._client.request(method, f"/ops/v1/{path}", **more)
        except (httpx2.HTTPError, trio.TooSlowError) as problem:
            raise Away(f"{self._place.base_url} does not answer ({type(problem).__name__})") from problem
        return self._taken(method, path, answer)

    def _taken(self, method: str, path: str, answer: httpx2.Response) -> View:
        said = _object(answer)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise Away(f"{self._place.base_url} answers {answer.status_code}{_detail(said)}")
        if answer.status_code >= 300 or said is None:
            raise Refused(f"{method} {path} was answered {answer.status_code}{_detail(said)}", said or {})
        return said


@asynccontextmanager
async def operator_client(place: Place) -> AsyncIterator[OperatorClient]:
    """A client with connections of its own. Nothing is asked yet."""
    headers = {"authorization": f"Bearer {place.token.reveal()}"}
    async with httpx2.AsyncClient(base_url=place.base_url, headers=headers, timeout=ANSWER_WITHIN_SECONDS, trust_env=False) as client:
        yield OperatorClient(place, client)


async def _messages(lines: AsyncIterator[str]) -> AsyncIterator[tuple[str, View]]:
    """Server-sent events: a blank line ends one, a colon begins a remark."""
    data: list[str] = []
    kind, size = "message", 0
    async for line in lines:
        if not line:
            if data:
                yield kind, json.loads("\n".join(data))
            kind, data, size = "message", [], 0
            continue
        size += len(line)
        if size > LONGEST_LINE:
            raise Away("the stream says more at once than a platform of ours would")
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "event":
            kind = value
        elif name == "data":
            data.append(value)


def _object(answer: httpx2.Response) -> View | None:
    try:
        said = answer.json()
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _detail(said: Mapping[str, Any] | None) -> str:
    """The problem in words: what it is, what is wrong in particular, and by which name its request is known."""
    if said is None:
        return ""
    words = [printable(str(said.get("detail") or said.get("title") or ""))[:_LONGEST_DETAIL]]
    words += [f"{one.get('pointer') or 'the request'}: {printable(str(one.get('detail', '')))}" for one in said.get("errors") or ()]
    if said.get("request_id"):
        words.append(f"(request {printable(str(said['request_id']))})")
    return f": {' '.join(word for word in words if word)}"
