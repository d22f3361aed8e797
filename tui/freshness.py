"""How old what we see is, and what follows from that: one pure judgement, and the one rule about writes.

The server speaks at least every five seconds (its heartbeat), so a quiet platform is still live: data is slow where a heartbeat is
overdue by two seconds, and stale ten seconds after the last word. Stale data may not be acted on.

Not here: who says that something arrived (`tui.link`), and the colour of it (`tui.widgets.head`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tui.messages import LinkState

HEARTBEAT_SECONDS: Final = 5.0
SLOW_AFTER_SECONDS: Final = HEARTBEAT_SECONDS + 2.0
STALE_AFTER_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fresh:
    """The link as it is shown: `age` in seconds since the server's last word, None before the first."""

    state: LinkState
    age: float | None
    reason: str = ""
    attempt: int = 0
    retry_seconds: float | None = None

    @property
    def stale(self) -> bool:
        """Whether what is shown is too old to act on."""
        return self.state in ("stale", "lost", "denied", "connecting")


def judge(link: LinkState, heard_at: float | None, now: float, *, newer_schema: bool) -> LinkState:
    """The state to show, of what the connection says and how long ago the server last spoke."""
    if link in ("lost", "denied", "connecting", "replay"):
        return link
    age = None if heard_at is None else now - heard_at
    if age is None:
        return "connecting"
    if age > STALE_AFTER_SECONDS:
        return "stale"
    if newer_schema:
        return "incompatible"
    return "slow" if age > SLOW_AFTER_SECONDS else "live"
