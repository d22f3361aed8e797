"""A terminal of its own that a program can use as a person does: tmux, on a socket of its own, gone when the walk is over.

What is on the screen is read back with its colours and becomes a picture. Not here: where to walk (`stories`).
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, final

from rich.console import Console
from rich.terminal_theme import TerminalTheme
from rich.text import Text

POLL_SECONDS: Final = 0.1
PATIENCE_SECONDS: Final = 60.0
"""For whatever should be there in a second or two: a busy machine takes longer, and only a hopeless wait ends by it."""
_THEME: Final = TerminalTheme(
    (27, 30, 43),
    (192, 202, 245),
    [(27, 30, 43), (247, 118, 142), (158, 206, 106), (224, 175, 104), (122, 162, 247), (187, 154, 247), (125, 207, 255), (169, 177, 214)],
    [(65, 72, 104), (255, 137, 157), (159, 224, 68), (250, 189, 47), (141, 169, 255), (199, 169, 255), (164, 218, 255), (192, 202, 245)],
)
_OUTSIDE_FONTS: Final = re.compile(r"@font-face\s*\{.*?\}", re.DOTALL)


class NotThere(Exception):
    """The screen never showed what was waited for. The text is the screen."""


@final
class Terminal:
    """One window. `name`: of its socket."""

    def __init__(self, name: str, command: Sequence[str], *, columns: int, rows: int, folder: Path, environment: Mapping[str, str]) -> None:
        self._tmux = ["tmux", "-L", name, "-f", "/dev/null"]
        self.columns, self.rows = columns, rows
        size = ["-x", str(columns), "-y", str(rows)]
        started = [*self._tmux, "new-session", "-d", *size, "-c", str(folder), *command]
        subprocess.run(started, check=True, env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"})
        self._run("set-option", "-g", "default-terminal", "tmux-256color")
        self._run("set-option", "-ga", "terminal-overrides", ",*:Tc")

    def press(self, *keys: str) -> None:
        """Keys as tmux names them."""
        self._run("send-keys", *keys)

    def write(self, text: str) -> None:
        """Text, letter by letter, as somebody types it."""
        self._run("send-keys", "-l", text)

    def shows(self) -> str:
        """What is on the screen, as text."""
        return self._run("capture-pane", "-p")

    def until(self, *words: str, but: str | None = None, patience_seconds: float = PATIENCE_SECONDS) -> str:
        """Waits until all of these are on the screen, and that one is not. Raises NotThere."""
        ends = time.monotonic() + patience_seconds
        while True:
            screen = self.shows()
            if all(word in screen for word in words) and (but is None or but not in screen):
                return screen
            if time.monotonic() > ends:
                raise NotThere(f"waited for {words} without {but!r}:\n{screen}")
            time.sleep(POLL_SECONDS)

    def picture(self, title: str) -> str:
        """The screen with its colours, as SVG that needs no font from elsewhere."""
        painted = Text.from_ansi(self._run("capture-pane", "-p", "-e"), no_wrap=True)
        with Path(os.devnull).open("w") as nowhere:
            console = Console(
                record=True, width=self.columns, file=nowhere, color_system="truecolor", force_terminal=True, legacy_windows=False
            )
            console.print(painted, soft_wrap=True)
            drawn = console.export_svg(title=title, theme=_THEME, unique_id="walk")
        return (
            _OUTSIDE_FONTS.sub("", drawn)
            .replace("Fira Code", "DejaVu Sans Mono, Menlo, Consolas")
            .replace("<text ", '<text xml:space="preserve" ')
        )

    def close(self) -> None:
        """Ends whatever runs in it."""
        subprocess.run([*self._tmux, "kill-server"], check=False, capture_output=True)

    def _run(self, *words: str) -> str:
        return subprocess.run([*self._tmux, *words], check=True, capture_output=True, text=True).stdout
