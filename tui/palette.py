"""What ctrl+p offers: every command of the command bar, every key, and what the stream spoke of last.

Not here: what they do (`tui.places`, `tui.app`).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui import keys, paint, places

if TYPE_CHECKING:
    from tui.app import Console


class PlacesProvider(Provider):
    """Commands that need no id, keys, connectors, and the last subjects."""

    @property
    def console(self) -> Console:
        return cast("Console", self.app)

    async def discover(self) -> Hits:
        for text, about, run in self._offers():
            yield DiscoveryHit(paint.content(paint.line(text)), run, help=paint.safe(about))

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for text, about, run in self._offers():
            score = matcher.match(text)
            if score > 0:
                yield Hit(score, paint.content(paint.line(text)), run, help=paint.safe(about))

    def _offers(self) -> list[tuple[str, str, Callable[[], object]]]:
        console = self.console
        offers: list[tuple[str, str, Callable[[], object]]] = []
        for word, (screen, about) in places.COMMANDS.items():
            if screen in places.ROOTS or screen == "routing":
                offers.append((paint.safe(word), about, partial(console.command, word)))
        for key in keys.of("everywhere"):
            if key.action not in ("command_palette",) and "(" not in key.action:
                offers.append((f"{key.action} ({key.shown})", key.about, partial(console.run_action, key.action)))
        for name in console.state.connectors:
            offers.append((paint.safe(f"conn {name}", 80), "this connector", partial(console.command, f"conn {name}")))
        return offers
