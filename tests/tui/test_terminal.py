"""The console in a real terminal: it starts, ctrl+q leaves the terminal as it was, and a terminal that goes away takes it along."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from tests.tui.world import snapshot
from tui.messages import Snapshot
from tui.recording import written

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "one.jsonl"
    path.write_text(written(0.0, Snapshot(data=snapshot())) + "\n")
    assert json.loads(path.read_text())["what"] == "snapshot"
    return path


def started(recording: Path) -> tuple[int, int]:
    """A console in a terminal of its own: its process, and our end of the terminal."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(ROOT)
        environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100", "LINES": "30"}
        os.execve(sys.executable, [sys.executable, "-m", "tui", "--replay", str(recording)], environment)
    termios.tcsetwinsize(terminal, (30, 100))
    return process, terminal


def until(terminal: int, text: bytes, seconds: float = 30.0) -> bytes:
    """What the console wrote until that came."""
    seen, over = b"", time.monotonic() + seconds
    while text not in seen and time.monotonic() < over:
        if select.select([terminal], [], [], 0.2)[0]:
            try:
                seen += os.read(terminal, 65_536)
            except OSError:
                break
    assert text in seen, seen[-400:]
    return seen


def ended(process: int, seconds: float) -> bool:
    over = time.monotonic() + seconds
    while time.monotonic() < over:
        if os.waitpid(process, os.WNOHANG)[0]:
            return True
        select.select([], [], [], 0.05)
    os.kill(process, signal.SIGKILL)
    os.waitpid(process, 0)
    return False


def test_it_starts_and_one_key_ends_it_with_the_terminal_as_it_was(recording: Path) -> None:
    process, terminal = started(recording)
    try:
        until(terminal, b"REPLAY")
        os.write(terminal, b"q\x1b")
        os.write(terminal, b"\x11")
        until(terminal, b"\x1b[?1049l")
        assert ended(process, 10)
    finally:
        os.close(terminal)


def test_a_lost_terminal_ends_it_within_three_seconds(recording: Path) -> None:
    process, terminal = started(recording)
    until(terminal, b"REPLAY")
    os.close(terminal)
    assert ended(process, 3)
