"""Where messages and pages come from: the interface that a live connection and a recording share.

Not here: either of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from tui.api import Answer, Query
from tui.messages import Message

Sink = Callable[[Message], None]


class Source(Protocol):
    """What the console needs of whatever it shows."""

    @property
    def writes(self) -> bool:
        """Whether anything can be written at all: never to a recording."""

    @property
    def name(self) -> str:
        """For the command lines that reproduce a view: an address, or a file's name."""

    async def run(self, sink: Sink) -> None:
        """Hands every message to `sink` until it is cancelled. It never gives up by itself."""

    async def get(self, path: str, query: Query | None = None) -> dict[str, Any]:
        """A page. Raises Problem."""

    async def post(self, path: str, body: Mapping[str, Any], *, key: str | None = None, match: str | None = None) -> Answer:
        """A write. Raises Problem."""

    def retry_now(self) -> None:
        """Cuts short whatever wait there is before the next try."""

    async def unlock(self, token: str) -> bool:
        """Whether this token is good, asked of the server; from now on it is the one in use."""
