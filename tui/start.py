"""Starts the console: on an operations API, recording or not, or on a recording; and sees to it that it ends when its terminal does.

    run(url="http://127.0.0.1:8001", token="...")

Not here: the command line (`payorch console`), and the application itself.
"""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import httpx2

from tui import places
from tui.api import TIMEOUT, Api, CommandLog
from tui.app import Console
from tui.clock import Clock, RealClock
from tui.link import LiveSource
from tui.recording import RecordingSource, ReplaySource, load
from tui.source import Source
from tui.themes import THEMES

WATCH_SECONDS: Final = 1.0
"""How often the terminal is looked at: a console without one ends within three."""
CONNECTIONS: Final = httpx2.Limits(max_connections=8)
"""The stream, and the pages of one screen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What `run` was given."""

    url: str = ""
    token: str = ""
    record: Path | None = None
    replay: Path | None = None
    at: str | None = None
    speed: float = 1.0
    ascii: bool = False
    theme: str = "dark"
    view: str = "overview"
    folder: Path | None = None


def run(
    *,
    url: str | None = None,
    token: str | None = None,
    record: Path | None = None,
    replay: Path | None = None,
    at: str | None = None,
    speed: float = 1.0,
    ascii_only: bool = False,
    theme: str = "dark",
    view: str = "overview",
    folder: Path | None = None,
) -> int:
    """Until ctrl+q. Gives the exit status: 0, or 1 after a crash, whose report's path is printed. Raises NoSuchPlace for such a view.

    at: a time of day in the recording. speed: times as fast, 0 without pauses. view: a command, as behind `:`. folder: for exports.
    """
    options = Options(
        url=url or "",
        token=token or "",
        record=record,
        replay=replay,
        at=at,
        speed=speed,
        ascii=ascii_only,
        theme=theme,
        view=view,
        folder=folder,
    )
    place = places.place(options.view)
    recording = options.replay
    while True:
        clock, log = RealClock(), CommandLog()
        with ExitStack() as stack:
            source = _source(options, recording, clock, log, stack)
            theme = options.theme if options.theme in THEMES else "dark"
            console = Console(source, clock, log=log, theme=theme, ascii_only=options.ascii, folder=options.folder, at=place)
            asyncio.run(_until_the_end(console))
        if console.crashed is not None:
            sys.stderr.write(
                f"The console stopped by an error of its own; nothing was written by that. Report: {console.report(console.crashed)}\n"
            )
            return 1
        if not console.changes_source:
            return 0
        recording = console.next_source


def _source(options: Options, recording: Path | None, clock: Clock, log: CommandLog, stack: ExitStack) -> Source:
    if recording is not None:
        return ReplaySource(load(recording), name=recording.name, speed=options.speed, at=options.at)
    client = httpx2.AsyncClient(base_url=options.url, timeout=TIMEOUT, limits=CONNECTIONS, follow_redirects=False, trust_env=False)
    source: Source = LiveSource(Api(client, options.token, clock, log))
    if options.record is not None:
        descriptor = os.open(options.record, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        source = RecordingSource(source, stack.enter_context(os.fdopen(descriptor, "a", encoding="utf-8")), clock)
    return source


async def _until_the_end(console: Console) -> None:
    """The application, and beside it the look at the terminal."""
    watch = asyncio.create_task(_watch(console))
    try:
        await console.run_async()
    finally:
        watch.cancel()


async def _watch(console: Console) -> None:
    """Ends the console where its terminal is gone: the window was closed, the connection dropped, and no signal came."""
    while terminal_is_there():  # noqa: ASYNC110 - nobody tells us that a terminal is gone
        await asyncio.sleep(WATCH_SECONDS)
    os._exit(1)


def terminal_is_there() -> bool:
    """Whether anybody can see us."""
    try:
        descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY)
    except OSError:
        return False
    try:
        os.tcgetpgrp(descriptor)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
