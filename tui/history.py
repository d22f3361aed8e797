"""Where one has been, as a browser keeps it.

Not here: going there (`tui.app`).
"""

from __future__ import annotations

from typing import Final

from tui.places import Place

MOST: Final = 200


class History:
    """Places in the order of visits, and which of them one is at."""

    def __init__(self) -> None:
        self._places: list[Place] = []
        self._at = -1

    @property
    def has_back(self) -> bool:
        return self._at > 0

    @property
    def has_forward(self) -> bool:
        return self._at < len(self._places) - 1

    def visit(self, place: Place) -> None:
        """A new place; what lay ahead is forgotten."""
        if self._at >= 0 and self._places[self._at] == place:
            return
        self._places = [*self._places[: self._at + 1], place][-MOST:]
        self._at = len(self._places) - 1

    def back(self) -> Place | None:
        """The place before, or none."""
        return self._step(-1)

    def forward(self) -> Place | None:
        """The place after, or none."""
        return self._step(1)

    def _step(self, by: int) -> Place | None:
        if not 0 <= self._at + by < len(self._places):
            return None
        self._at += by
        return self._places[self._at]
