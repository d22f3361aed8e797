"""The overview as the live stream sends it: looked at every two seconds while anybody watches, sent where anything has changed.

A message has at most 16 KiB. What is larger is shortened by its series first, then by the list of what needs people, and connectors go in
messages of their own: then `overview` is null, and the connectors in it are some of all. Not here: what it says (`overview`), who is told
(`tail`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, final

import msgspec
import structlog
import trio

from payorch.api.operations.events import LARGEST_EVENT_BYTES
from payorch.operations.concerns import View
from payorch.operations.overview import KEPT_SECONDS, Overview, Seen
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

log = structlog.get_logger("payorch.vital")

_SERIES: Final = "series"

_encode: Final = msgspec.json.Encoder().encode


@final
class Vitals:
    """One overview as messages; made once for each person, since how many acts are one's own differs."""

    def __init__(self, number: int, seen: Seen) -> None:
        self.number = number
        self._seen = seen
        self._messages: dict[int, Sequence[bytes]] = {}

    def messages(self, person: str) -> Sequence[bytes]:
        """The messages for that person."""
        mine = self._seen.waiting.get(person, 0)
        if mine not in self._messages:
            self._messages[mine] = messages_of(self._seen.overview_of(person), self._seen.connectors)
        return self._messages[mine]


@final
class Vital:
    """Run `run` in a task. is_watched: whether anybody is there. changed: is called where there is something new."""

    def __init__(self, overview: Overview, *, is_watched: Callable[[], bool], changed: Callable[[], None]) -> None:
        self._overview = overview
        self._is_watched = is_watched
        self._changed = changed
        self._last = b""
        self.now: Vitals | None = None

    async def run(self) -> None:
        """For ever."""
        while True:
            if self._is_watched():
                await self._look()
            await trio.sleep(KEPT_SECONDS)

    async def _look(self) -> None:
        try:
            seen = await self._overview.now()
        except (DatabaseUnavailable, PoolExhausted) as obstacle:
            log.warning("vital.paused", obstacle=type(obstacle).__name__)
            return
        what = {name: value for name, value in seen.overview.items() if name != "at"}
        said = _encode([what, seen.connectors, seen.waiting])
        if said == self._last:
            return
        self._last = said
        self.now = Vitals(1 if self.now is None else self.now.number + 1, seen)
        self._changed()


def messages_of(overview: View, connectors: Sequence[View]) -> list[bytes]:
    """That overview and these connectors in as few messages as fit."""
    if len(whole := _message(overview, connectors)) <= LARGEST_EVENT_BYTES:
        return [whole]
    short = _without_series(overview)
    if len(whole := _message(short, connectors)) <= LARGEST_EVENT_BYTES:
        return [whole]
    needs = list(short["attention"])
    while needs and len(_message({**short, "attention": needs}, [])) > LARGEST_EVENT_BYTES:
        needs.pop()
    return [_message({**short, "attention": needs}, []), *_parts(connectors)]


def _parts(connectors: Sequence[View]) -> Iterator[bytes]:
    """Connectors, as many in a message as fit. One alone always does."""
    some: list[View] = []
    for one in connectors:
        if some and len(_message(None, [*some, one])) > LARGEST_EVENT_BYTES:
            yield _message(None, some)
            some = []
        some.append(one)
    if some:
        yield _message(None, some)


def _message(overview: View | None, connectors: Sequence[View]) -> bytes:
    return _encode({"overview": overview, "connectors": connectors})


def _without_series(overview: View) -> dict[str, Any]:
    tiles = {
        name: {what: value for what, value in tile.items() if what != _SERIES} | ({_SERIES: None} if _SERIES in tile else {})
        for name, tile in overview["tiles"].items()
    }
    return {**overview, "tiles": tiles}
