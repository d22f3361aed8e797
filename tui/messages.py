"""What comes out of an event source, live or recorded: the console's only input besides pages and keys.

Each message can be written as one line of JSON and read back, so that a recording is the same thing as a live stream.

Not here: where they come from (`tui.link`, `tui.recording`) and what they change (`tui.store`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

LinkState = Literal["connecting", "live", "slow", "stale", "lost", "denied", "incompatible", "replay"]

LINK_STATES: tuple[str, ...] = get_args(LinkState)


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """Everything at one position. `gap`: something was missed between what we had and this."""

    data: dict[str, Any]
    gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """One journal event as the stream tells it."""

    event: dict[str, Any]

    @property
    def position(self) -> int:
        return position_of(self.event.get("position"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat:
    """The server lives, and its journal is that long."""

    server_time: str | None
    head: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Vital:
    """New figures: whatever is not in them stays as it was."""

    data: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Link:
    """How the connection is. `retry_seconds`: until the next try, where it is lost."""

    state: LinkState
    reason: str = ""
    attempt: int = 0
    retry_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """An answer to a question that a screen asked; only recordings hold these."""

    path: str
    query: dict[str, str]
    status: int
    data: dict[str, Any] = field(default_factory=dict)


Message = Snapshot | Happened | Heartbeat | Vital | Link | Page


def position_of(value: object) -> int:
    """A position as a number; 0 where there is none."""
    if isinstance(value, int):
        return value
    try:
        return int(str(value))
    except ValueError:
        return 0


def as_data(message: Message) -> dict[str, Any]:
    """The message as JSON data."""
    match message:
        case Snapshot():
            return {"what": "snapshot", "data": message.data, "gap": message.gap}
        case Happened():
            return {"what": "event", "data": message.event}
        case Heartbeat():
            return {"what": "hb", "data": {"server_time": message.server_time, "head": message.head}}
        case Vital():
            return {"what": "vital", "data": message.data}
        case Link():
            return {"what": "link", "data": {"state": message.state, "reason": message.reason}}
        case Page():
            return {"what": "page", "path": message.path, "query": message.query, "status": message.status, "data": message.data}


def from_data(data: dict[str, Any]) -> Message | None:
    """The message back; None for a line that a newer console wrote."""
    body = data.get("data")
    if not isinstance(body, dict):
        return None
    match data.get("what"):
        case "snapshot":
            return Snapshot(data=body, gap=bool(data.get("gap")))
        case "event":
            return Happened(event=body)
        case "hb":
            return Heartbeat(server_time=body.get("server_time"), head=position_of(body.get("head")))
        case "vital":
            return Vital(data=body)
        case "link":
            state = body.get("state")
            return Link(state=state, reason=str(body.get("reason", ""))) if state in LINK_STATES else None
        case "page":
            query = {str(key): str(value) for key, value in (data.get("query") or {}).items()}
            return Page(path=str(data.get("path")), query=query, status=int(data.get("status", 200)), data=body)
        case _:
            return None
