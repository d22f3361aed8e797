"""Recording what an event source said, and an event source made of such a file: the same console, later.

A file has one JSON object a line: `{"t": seconds since the beginning, "what": ..., ...}`. It is redacted before it is written. Pages that
screens asked for are in it too, so that the screens replay. Nothing can be written to a recording: the band says REPLAY.

Not here: what the messages mean (`tui.store`).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO

from tui.api import Answer, Problem, Query
from tui.clock import Clock
from tui.messages import Happened, Link, Message, Page, Snapshot, as_data, from_data
from tui.redact import redacted
from tui.source import Sink, Source

LARGEST_LINE: Final = 16 * 1024 * 1024
"""Characters of a line: a page at its largest, and more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """A message, and when it came."""

    t: float
    message: Message


def query_text(query: Query | None) -> dict[str, str]:
    """A query as it is compared: without what was not said."""
    return {name: str(value) for name, value in sorted((query or {}).items()) if value is not None and value != ""}


def written(t: float, message: Message) -> str:
    """One line of a recording, redacted."""
    return json.dumps({"t": round(t, 3), **redacted(as_data(message))}, ensure_ascii=True, separators=(",", ":"))


def read(lines: Iterable[str]) -> list[Recorded]:
    """The recording back. A last line that was cut off by a crash, and what a newer console wrote, are left out."""
    found: list[Recorded] = []
    for text in lines:
        if not text.strip() or len(text) > LARGEST_LINE:
            continue
        try:
            data = json.loads(text)
            message = from_data(data) if isinstance(data, dict) else None
        except (ValueError, RecursionError):
            continue
        if message is not None:
            found.append(Recorded(t=float(data.get("t", 0.0)), message=message))
    return found


def load(path: Path) -> list[Recorded]:
    """A recording from a file."""
    with path.open(encoding="utf-8", errors="replace") as file:
        return read(file)


class RecordingSource:
    """Another source, whose every message and page is written down on its way."""

    def __init__(self, source: Source, file: TextIO, clock: Clock) -> None:
        self._source: Final = source
        self._file: Final = file
        self._clock: Final = clock
        self._began: Final = clock.monotonic()

    @property
    def writes(self) -> bool:
        return self._source.writes

    @property
    def name(self) -> str:
        return self._source.name

    def retry_now(self) -> None:
        self._source.retry_now()

    async def unlock(self, token: str) -> bool:
        return await self._source.unlock(token)

    async def run(self, sink: Sink) -> None:
        def both(message: Message) -> None:
            self._write(message)
            sink(message)

        await self._source.run(both)

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        try:
            data = await self._source.get(path, query)
        except Problem as problem:
            self._write(Page(path=path, query=query_text(query), status=problem.status or 503, data=problem.body))
            raise
        self._write(Page(path=path, query=query_text(query), status=200, data=data))
        return data

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None, match: str | None = None) -> Answer:
        return await self._source.post(path, body, key=key, match=match)

    def _write(self, message: Message) -> None:
        self._file.write(written(self._clock.monotonic() - self._began, message) + "\n")
        self._file.flush()


class ReplaySource:
    """A recording, at its own speed or another, from its beginning or from a time of day in it."""

    def __init__(self, recorded: list[Recorded], *, name: str = "recording", speed: float = 1.0, at: str | None = None) -> None:
        self._recorded: Final = recorded
        self._name: Final = name
        self._speed: Final = speed
        self._from: Final = starts_at(recorded, at)
        self._pages: Final[dict[tuple[str, tuple[tuple[str, str], ...]], Page]] = {}
        for one in recorded:
            if isinstance(one.message, Page):
                self._pages[one.message.path, tuple(sorted(one.message.query.items()))] = one.message

    @property
    def writes(self) -> bool:
        return False

    @property
    def name(self) -> str:
        return self._name

    def retry_now(self) -> None:
        """A recording has nothing to wait for."""

    async def unlock(self, token: str) -> bool:
        """A recording has no operators: whoever has the file has the data."""
        return True

    async def run(self, sink: Sink) -> None:
        """Everything before `at` at once, the rest with the pauses it had. Speed 0 is without pauses."""
        sink(Link(state="replay", reason=self._name))
        before = self._from
        for one in self._recorded:
            if isinstance(one.message, Page | Link):
                continue
            pause = (one.t - before) / self._speed if self._speed > 0 and one.t > self._from else 0.0
            before = max(before, one.t)
            if pause > 0:
                await asyncio.sleep(pause)
            sink(one.message)
        await asyncio.Event().wait()

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        asked = tuple(query_text(query).items())
        page = self._pages.get((path, asked)) or self._pages.get((path, ()))
        if page is None:
            raise Problem(404, {"title": "not in this recording", "detail": f"{path} was not looked at while it was recorded"})
        if page.status >= 400:
            raise Problem(page.status, page.data)
        return page.data

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None, match: str | None = None) -> Answer:
        raise Problem(405, {"title": "a recording cannot be changed", "detail": "Nothing was sent anywhere.", "money_moved": "no"})


def starts_at(recorded: list[Recorded], at: str | None) -> float:
    """The second of the recording at which that time of day (14:31 or 14:31:07) was reached; the beginning without one."""
    if at is None:
        return 0.0
    for one in recorded:
        told = ""
        if isinstance(one.message, Happened):
            told = str(one.message.event.get("at", ""))
        elif isinstance(one.message, Snapshot):
            told = str(one.message.data.get("server_time", ""))
        if told[11 : 11 + len(at)] >= at:
            return one.t
    return recorded[-1].t if recorded else 0.0
