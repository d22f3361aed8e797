"""The platform's own front door, as commands of the command line knock at it: calls in a merchant's name, and its events as they come.

Not here: what the commands do with it (`listen`, `trigger`), or a client for merchants, who have the OpenAPI document.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

import httpx2
import trio

from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.keys import Secret
from payorch.wording import printable

PAGE: Final = 100
"""The largest page there is: as few questions as possible."""
LATEST_MILLISECONDS: Final = 60_000
"""How long after its making an event may be committed, and so appear behind younger ones. The journal's writer is given 15 s by its
database (database.answer_within_seconds) before it connects anew and writes the same again; where the whole database is away, nothing is
read either."""
USUALLY_MILLISECONDS: Final = 2_000
"""Nearly every event is committed within milliseconds. Looking back so far with every look, and further now and then, keeps looks short."""
THOROUGH_SECONDS: Final = 10.0
"""Between looks that look back all the way."""
_ANSWER_WITHIN_SECONDS: Final = 15.0
"""Above what a payment is waited for (http.answer_within_seconds), with as much again for a machine that is busy."""
_LONGEST_DETAIL: Final = 500

Event: TypeAlias = Mapping[str, Any]
"""One event as the API lists it."""


class PlatformAway(Exception):
    """No answer, or one that says to come back later: the same may work in a moment."""


class PlatformRefused(Exception):
    """An answer that will not change by asking again. The text is the platform's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Where it is, and as which merchant it is asked."""

    base_url: str
    key: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Events, newest first, and the cursor for the next page (None: there is no more)."""

    events: tuple[Event, ...]
    next_cursor: str | None


@final
class MerchantClient:
    """Calls in that merchant's name. All raise PlatformAway and PlatformRefused."""

    def __init__(self, platform: Platform, client: httpx2.AsyncClient) -> None:
        self._platform = platform
        self._client = client

    async def events(self, cursor: str | None = None, *, payment: str | None = None, type: str | None = None) -> Page:
        """A page of the merchant's events: all of them, or those of a payment or type."""
        query = {"limit": str(PAGE), "cursor": cursor, "payment": payment, "type": type}
        answer = await self._asked("GET", "/v1/events", params={name: value for name, value in query.items() if value is not None})
        try:
            page = Page(events=tuple(answer["data"]), next_cursor=answer["next_cursor"])
            for one in page.events:
                born_milliseconds(one)
        except (KeyError, TypeError, ValueError) as problem:
            raise PlatformRefused(f"{self._platform.base_url} does not list events as payorch does") from problem
        return page

    async def post(self, path: str, body: Mapping[str, Any], *, key: str) -> dict[str, Any]:
        """Does that, under that idempotency key."""
        return await self._asked("POST", path, json=body, headers={"idempotency-key": key})

    async def _asked(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        where = self._platform.base_url
        try:
            with trio.fail_after(_ANSWER_WITHIN_SECONDS):
                answer = await self._client.request(method, path, **more)
        except (httpx2.HTTPError, trio.TooSlowError) as problem:
            raise PlatformAway(f"{where} does not answer ({type(problem).__name__})") from problem
        said = _object(answer)
        if answer.status_code >= 500 or answer.status_code == 429:
            raise PlatformAway(f"{where} answers {answer.status_code}{_detail(said)}")
        if answer.status_code >= 300 or said is None:
            raise PlatformRefused(f"{method} {path} was answered {answer.status_code}{_detail(said)}")
        return said


@asynccontextmanager
async def merchant_client(platform: Platform) -> AsyncIterator[MerchantClient]:
    """A client with connections of its own. Nothing is asked yet."""
    headers = {"authorization": f"Bearer {platform.key.reveal()}"}
    async with httpx2.AsyncClient(base_url=platform.base_url, headers=headers, timeout=_ANSWER_WITHIN_SECONDS, trust_env=False) as client:
        yield MerchantClient(platform, client)


def _object(answer: httpx2.Response) -> dict[str, Any] | None:
    try:
        said = answer.json()
    except ValueError:
        return None
    return said if isinstance(said, dict) else None


def _detail(said: Mapping[str, Any] | None) -> str:
    detail = None if said is None else said.get("detail") or said.get("title")
    return f": {printable(str(detail))[:_LONGEST_DETAIL]}" if detail else ""


def born_milliseconds(event: Event) -> int:
    """When the event was made, by its id, in whole milliseconds: the order in which events are listed. Raises ValueError, KeyError."""
    kind, uuid = parse(str(event["id"]))
    if kind != "evt":
        raise MalformedIdentifier("not an event's identifier")
    return uuid.int >> 80


@final
class Events:
    """Follows a merchant's events: each that is committed after `begin` comes once, however late, and whoever was away meanwhile.

    Events are listed by the time of their making, and one that was made earlier may be committed later. So every look reads back some way
    behind the newest known, now and then, and after every trouble, as far as any may be late; what was seen there is remembered.
    `page` asks for a page of them, newest first, by cursor; what it raises comes through, and the same look can then be tried again.
    """

    def __init__(self, page: Callable[[str | None], Awaitable[Page]]) -> None:
        self._page = page
        self._seen: dict[str, int] = {}  # id -> time of making, as far back as anything may still appear
        self._newest: int | None = None
        self._thorough_from: int | None = None  # all that was made before this and is not seen was there before the start
        self._thorough_at = 0.0

    async def begin(self) -> None:
        """Takes what is there for known."""
        await self._look(thorough=True, floor_behind_newest=True)

    async def new(self, *, thorough: bool = False) -> list[Event]:
        """What has appeared since, oldest first. `thorough`: look back all the way; after an error, say."""
        due = trio.current_time() - self._thorough_at >= THOROUGH_SECONDS
        return await self._look(thorough=thorough or due, floor_behind_newest=False)

    async def _look(self, *, thorough: bool, floor_behind_newest: bool) -> list[Event]:
        at = trio.current_time()
        floor = self._thorough_from if thorough else None if self._newest is None else self._newest - USUALLY_MILLISECONDS
        found: list[tuple[int, Event]] = []
        cursor: str | None = None
        newest = self._newest
        while True:
            page = await self._page(cursor)
            for event in page.events:
                born = born_milliseconds(event)
                newest = born if newest is None else max(newest, born)
                found.append((born, event))
            if floor_behind_newest and newest is not None:
                floor = newest - LATEST_MILLISECONDS
            cursor = page.next_cursor
            if cursor is None or not page.events or (floor is not None and found[-1][0] < floor):
                break
        fresh = [(born, event) for born, event in found if (floor is None or born >= floor) and event["id"] not in self._seen]
        self._newest = newest
        self._seen.update((str(event["id"]), born) for born, event in fresh)
        if thorough:
            self._thorough_at = at
            if newest is not None:
                self._thorough_from = newest - LATEST_MILLISECONDS
                self._seen = {known: born for known, born in self._seen.items() if born >= self._thorough_from}
        return [event for _, event in sorted(fresh, key=lambda one: (one[0], str(one[1]["id"])))]
