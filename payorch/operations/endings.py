"""Waiting for the end of an act, within this process: whoever asked for it waits a little, and is told when it is over.

Only a convenience: what became of an act stands in its row, and nobody waits here for ever. Not here: carrying out (`runner`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import final

import trio


@final
class Endings:
    """Who waits for which act."""

    def __init__(self) -> None:
        self._awaited: dict[str, list[trio.Event]] = {}

    @contextmanager
    def awaited(self, act_id: str) -> Iterator[trio.Event]:
        """An event that is set when the act is over, from now on."""
        over = trio.Event()
        self._awaited.setdefault(act_id, []).append(over)
        try:
            yield over
        finally:
            some = self._awaited[act_id]
            some.remove(over)
            if not some:
                del self._awaited[act_id]

    def over(self, act_id: str) -> None:
        """That act is over."""
        for one in self._awaited.get(act_id, ()):
            one.set()
