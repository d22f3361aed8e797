"""The console that people use, which tells on a pipe when it has painted what, and what that cost it. Its own process, in a terminal.

    python -m bench.marked --url http://127.0.0.1:8001 --view payments --marks 5      # the token is in PAYORCH_OPS_TOKEN

Nothing of it is replaced: four methods are wrapped, which costs it a microsecond a line. One JSON object a line:

    rows     the first rows of a list were written to the terminal
    page     a further page has been taken into a list of so many rows by now; `cpu` is what taking it cost
    moved    a key put the cursor on another row, and the terminal has been told; `cpu` is this process's since the key came
    state    once a second: how the stream is, which list has the keys, how many events came, how many positions between are missing

Not here: keys and clocks of the measurement (`terminal`), figures (`console`).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
from textual import events
from textual._context import active_app
from textual.strip import Strip

import tui.app
from tui import places
from tui.acts import why_no_writes
from tui.api import TIMEOUT, Api, CommandLog
from tui.app import Console
from tui.clock import RealClock
from tui.link import LiveSource
from tui.messages import Happened, Message
from tui.start import CONNECTIONS
from tui.widgets.rows import Part, Row, Rows
from tui.widgets.vlist import VList

STATE_SECONDS: Final = 1.0
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class MarkedConsole(Console):
    """See the module."""

    CSS_PATH = str(Path(tui.app.__file__).with_name("console.tcss"))  # Textual looks for it beside the class

    def __init__(self, source: LiveSource, clock: RealClock, log: CommandLog, *, marks: int, view: str, folder: Path) -> None:
        super().__init__(source, clock, log=log, at=places.place(view), folder=folder)
        self._marks: Final = marks
        self._drawn: dict[str, Any] | None = None
        self._moved: VList | None = None
        self._key_cpu = 0.0
        self._keyed = False
        self._shown: set[int] = set()
        self._first = self._last = self._heard = self._again = 0
        self._painted = 0

    def say(self, what: str, **more: Any) -> None:
        """One mark. The clock is the machine's: other processes read the same."""
        mark = {"what": what, "at": time.monotonic(), **more}
        os.write(self._marks, json.dumps(mark, separators=(",", ":")).encode() + b"\n")

    def on_mount(self) -> None:
        super().on_mount()
        self.set_interval(STATE_SECONDS, self._say_state)

    def _say_state(self) -> None:
        fresh = self.fresh()
        self.say(
            "state",
            link=fresh.state,
            retry_seconds=fresh.retry_seconds,
            locked=why_no_writes(self.gate(), arming=True),
            heard=self._heard,
            again=self._again,
            missing=(self._last - self._first + 1 - self._heard) if self._heard else 0,
            gaps=self.state.gaps,
            cursor=self.state.cursor,
            head=self.state.head,
            live=len(self.state.live),
            focus=self.focused.id if self.focused is not None else None,
            painted=self._painted,
            resident=int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES,
        )

    def hear(self, message: Message) -> None:
        if isinstance(message, Happened):
            at = message.position
            if at > self._last:
                self._first, self._last, self._heard = self._first or at, at, self._heard + 1
            else:
                self._again += 1
        super().hear(message)

    async def on_event(self, event: events.Event) -> None:
        if isinstance(event, events.Key):
            self._key_cpu, self._keyed = time.process_time(), True
        await super().on_event(event)

    def took(self, rows: int, cpu: float) -> None:
        """A list has a further page."""
        self.say("page", rows=rows, cpu=cpu)

    def moved(self, vlist: VList) -> None:
        """Its cursor is on another row: to be painted. A list that follows what happens moves it too, which is nobody's key."""
        if self._keyed and vlist.has_focus:
            self._moved, self._keyed = vlist, False

    def drew(self, vlist: VList, at: int) -> None:
        """It made that row into a line."""
        if self._moved is vlist and at == vlist.cursor:
            self._moved, self._drawn = None, {"what": "moved", "cursor": at, "rows": len(vlist.rows)}
        elif vlist.id == "rows" and id(vlist) not in self._shown:
            self._shown.add(id(vlist))
            self._drawn = {"what": "rows", "rows": len(vlist.rows)}

    def _display(self, screen: Any, renderable: Any) -> None:
        super()._display(screen, renderable)
        if renderable is not None and not self._batch_count:
            self._painted += 1
            if self._drawn is not None:
                mark, self._drawn = self._drawn, None
                self.say(mark.pop("what"), cpu=time.process_time() - self._key_cpu, **mark)


def _wrap() -> None:
    """Lists tell the application what they do."""
    move: Callable[[VList, int], None] = VList.move
    add: Callable[[Rows, Sequence[Row], Part], None] = Rows.add
    render_line: Callable[[VList, int], Strip] = VList.render_line

    def marked_move(self: VList, to: int) -> None:
        before = self.cursor
        move(self, to)
        if self.cursor != before and isinstance(self.app, MarkedConsole):
            self.app.moved(self)

    def marked_line(self: VList, y: int) -> Strip:
        strip = render_line(self, y)
        at = y - self._head + self.scroll_offset.y
        if y >= self._head and at < len(self.rows) and isinstance(self.app, MarkedConsole):
            self.app.drew(self, at)
        return strip

    def marked_add(self: Rows, rows: Sequence[Row], part: Part) -> None:
        before = time.process_time()
        add(self, rows, part)
        app = active_app.get()
        if isinstance(app, MarkedConsole):
            app.took(len(self.shown), time.process_time() - before)

    Rows.add = marked_add  # type: ignore[method-assign]
    VList.move = marked_move  # type: ignore[method-assign]
    VList.render_line = marked_line  # type: ignore[method-assign]


def main() -> None:
    """Until ctrl+q."""
    parser = argparse.ArgumentParser(prog="python -m bench.marked")
    parser.add_argument("--url", required=True)
    parser.add_argument("--view", required=True)
    parser.add_argument("--marks", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    _wrap()
    clock, log = RealClock(), CommandLog()
    client = httpx2.AsyncClient(base_url=given.url, timeout=TIMEOUT, limits=CONNECTIONS, follow_redirects=False, trust_env=False)
    source = LiveSource(Api(client, os.environ["PAYORCH_OPS_TOKEN"], clock, log))
    console = MarkedConsole(source, clock, log, marks=given.marks, view=given.view, folder=given.folder)
    asyncio.run(console.run_async())
    if console.crashed is not None:
        raise SystemExit(f"the console stopped by an error of its own: {console.report(console.crashed)}")


if __name__ == "__main__":
    main()
