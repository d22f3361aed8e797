"""One line with the names of what a page has several of; a click on a name chooses it.

Not here: what is behind each name (the screen).
"""

from __future__ import annotations

from typing import Final

from textual import events
from textual.message import Message

from tui import paint
from tui.paint import Line, Piece, Words

BETWEEN: Final = "  "


class TabLine(Words):
    """See the module."""

    DEFAULT_CSS = "TabLine { height: 1; padding: 0 1; background: $panel; text-wrap: nowrap; }"

    class Chosen(Message):
        """A name was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name: Final = name

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._ends: list[tuple[str, int]] = []

    def show(self, tabs: list[tuple[str, str]], chosen: str) -> None:
        """These names and titles, that one chosen. The chosen one stands in brackets: colour is never alone."""
        pieces: list[Piece] = []
        self._ends = []
        for name, title in tabs:
            piece = Piece(f"[{title}]", "key") if name == chosen else Piece(f" {title} ", "dim")
            pieces += [piece, Piece(BETWEEN)]
            self._ends.append((name, paint.width(tuple(pieces))))
        self.say(_cut(tuple(pieces), self.size.width - 2))

    def on_click(self, event: events.Click) -> None:
        """Which name stands there."""
        event.stop()
        at = event.x - 1
        found = next((name for name, end in self._ends if at < end), None)
        if found is not None:
            self.post_message(self.Chosen(found))


def _cut(pieces: Line, cells: int) -> Line:
    return pieces if cells <= 0 or paint.width(pieces) <= cells else paint.fit(pieces, cells)
