"""A console in a terminal of its own, as a person would have it: keys go in, what it paints is read and thrown away, its marks are kept.

Not here: the console's side of it (`marked`), what is measured with it (`console`).
"""

from __future__ import annotations

import json
import os
import pty
import signal
import sys
import termios
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import trio

from bench.processes import ROOT, BenchmarkFailed, cpu_seconds, pinned
from bench.services import plain_environment

ROWS: Final = 48
COLUMNS: Final = 160
_READ_BYTES: Final = 1 << 16
_TAIL_BYTES: Final = 2_000
_LEAVE_SECONDS: Final = 5.0
_TOKEN: Final = "PAYORCH_OPS_TOKEN"
Mark = Mapping[str, Any]


class Terminal:
    """One console. began: when it was started, by the clock that its marks use. pid: of its process."""

    def __init__(self, pid: int, screen: int, marks: int) -> None:
        self.pid: Final = pid
        self.began: Final = time.monotonic()
        self.marks: list[Mark] = []
        self.tail = b""
        self._screen: Final = screen
        self._pipe: Final = marks
        self._came = trio.Event()

    def press(self, key: str) -> float:
        """That key, now; when."""
        at = time.monotonic()
        os.write(self._screen, key.encode())
        return at

    def cpu_seconds(self) -> float:
        """CPU time it has used. Raises BenchmarkFailed where it is gone."""
        used = cpu_seconds(self.pid)
        if used is None or os.waitpid(self.pid, os.WNOHANG)[0]:
            raise BenchmarkFailed("the console is gone")
        return used

    def last(self, what: str, since: float = 0.0) -> Mark | None:
        """The newest mark of that kind, where it is newer than that."""
        found = next((one for one in reversed(self.marks) if one["what"] == what), None)
        return found if found is not None and found["at"] >= since else None

    async def until(self, what: str, since: float, within_seconds: float, **is_: Any) -> Mark:
        """The newest mark of that kind since then in which those fields are so; waits for it. Raises BenchmarkFailed."""
        with trio.move_on_after(within_seconds):
            while True:
                found = self.last(what, since)
                if found is not None and all(found.get(name) == value for name, value in is_.items()):
                    return found
                await self._came.wait()
        seen = f"its last marks: {self.marks[-3:]}, on its terminal: {self.tail!r}"
        raise BenchmarkFailed(f"the console did not say {what} {is_ or ''} within {within_seconds:.0f} s; {seen}")

    async def drain(self) -> None:
        """For ever: reads what it paints, so that it never waits for us."""
        with suppress(OSError):  # Linux says EIO where the other end is closed
            while True:
                await trio.lowlevel.wait_readable(self._screen)
                self.tail = (self.tail + os.read(self._screen, _READ_BYTES))[-_TAIL_BYTES:]

    async def listen(self) -> None:
        """For ever: reads its marks."""
        rest = b""
        while True:
            await trio.lowlevel.wait_readable(self._pipe)
            read = os.read(self._pipe, _READ_BYTES)
            if not read:
                return
            *lines, rest = (rest + read).split(b"\n")
            self.marks += [json.loads(line) for line in lines]
            self._came.set()
            self._came = trio.Event()

    async def leave(self) -> None:
        """ctrl+q, and SIGKILL where that is not enough."""
        with suppress(OSError):
            self.press("\x11")
        over = trio.current_time() + _LEAVE_SECONDS
        while not _is_over(self.pid):
            if trio.current_time() > over:
                os.kill(self.pid, signal.SIGKILL)
            await trio.sleep(0.05)


@asynccontextmanager
async def console_on(url: str, token: str, *, view: str, cpu: int | None, folder: Path) -> AsyncIterator[Terminal]:
    """The console on that platform, in a terminal; gone afterwards. folder: for its reports."""
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    arguments = ["-m", "bench.marked", "--url", url, "--view", view, "--marks", str(theirs), "--folder", str(folder)]
    environment = {**plain_environment(), _TOKEN: token, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    with pinned(cpu):
        pid, screen = pty.fork()
        if pid == 0:
            os.chdir(ROOT)
            os.execve(sys.executable, [sys.executable, *arguments], environment)
    os.close(theirs)
    termios.tcsetwinsize(screen, (ROWS, COLUMNS))
    terminal = Terminal(pid, screen, ours)
    try:
        with _one_failure():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(terminal.drain)
                nursery.start_soon(terminal.listen)
                yield terminal
                nursery.cancel_scope.cancel()
    finally:
        with trio.CancelScope(shield=True):
            await _gone(terminal)
        os.close(screen)
        os.close(ours)


@contextmanager
def _one_failure() -> Iterator[None]:
    """What failed in a nursery, without the group around it."""
    try:
        yield
    except BaseExceptionGroup as group:
        failed: BaseException = group
        while isinstance(failed, BaseExceptionGroup) and len(failed.exceptions) == 1:
            failed = failed.exceptions[0]
        raise failed from None


async def _gone(terminal: Terminal) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(terminal.drain)  # it restores the terminal when it leaves, and would wait for us
        await terminal.leave()
        nursery.cancel_scope.cancel()


def _is_over(pid: int) -> bool:
    try:
        return os.waitpid(pid, os.WNOHANG)[0] != 0
    except ChildProcessError:
        return True
