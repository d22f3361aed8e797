"""What the console knows, and how one message changes it: a pure function, without Textual.

`apply(state, messages)` gives the new state and the keys of what became dirty: "meta", "overview", "connectors", "connector:<name>",
"approvals", "live", "link" and "<kind>:<subject id>" for each event (e.g. "payment:pay_1", "action:act_1"). The order in which events
arrive, and whether one arrives twice, makes no difference to the result: the live list is the newest LIVE_MOST of all that came,
by position.

Not here: pages of lists and details; the screens hold what they show, and ask again when a key of theirs is dirty.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tui.messages import Happened, Heartbeat, Link, Message, Page, Snapshot, Vital, position_of

LIVE_MOST: Final = 2_000
"""Events kept: two seconds of the largest load that we show, hours of a usual night."""
SCHEMA: Final = 1
"""What this console understands. A server with a newer one is read as far as it goes, and nothing is written to it."""

Event = Mapping[str, Any]
GAP: Final = "gap"
"""The kind of the row in the live list that says that something was missed there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State:
    """Everything that arrived by the stream."""

    cursor: int = 0
    head: int = 0
    meta: Mapping[str, Any] = field(default_factory=dict)
    overview: Mapping[str, Any] | None = None
    connectors: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    approvals: tuple[Mapping[str, Any], ...] = ()
    live: tuple[Event, ...] = ()
    link: Link = field(default_factory=lambda: Link(state="connecting", reason="asking for a snapshot"))
    gaps: int = 0
    received: int = 0
    server_time: str | None = None

    @property
    def newer_schema(self) -> bool:
        """Whether the server speaks a later version of the contract than this console."""
        schema = self.meta.get("schema", SCHEMA)
        return isinstance(schema, int) and schema > SCHEMA

    def last_about(self, subject_id: str) -> Event | None:
        """The newest event about one thing, of those that are kept."""
        return next((event for event in reversed(self.live) if event.get("subject_id") == subject_id), None)


Dirty = frozenset[str]


def apply(state: State, messages: Iterable[Message]) -> tuple[State, Dirty]:
    """The state after these messages, and what changed."""
    dirty: set[str] = set()
    events: list[Event] = []
    for message in messages:
        match message:
            case Happened():
                events.append(message.event)
            case Snapshot():
                state = _with_events(state, events, dirty)
                events = []
                state = _snapshot(state, message, dirty)
            case Vital():
                state = _vital(state, message.data, dirty)
            case Heartbeat():
                state = replace(state, head=max(state.head, message.head), server_time=message.server_time or state.server_time)
                dirty.add("link")
            case Link():
                state = replace(state, link=message)
                dirty.add("link")
            case Page():
                continue
        state = state if isinstance(message, Link) else replace(state, received=state.received + 1)
    return _with_events(state, events, dirty), frozenset(dirty)


def position(event: Event) -> int:
    """Where in the journal it stands."""
    return position_of(event.get("position"))


def _with_events(state: State, events: list[Event], dirty: set[str]) -> State:
    if not events:
        return state
    floor = position(state.live[0]) if len(state.live) >= LIVE_MOST else -1
    known = {position(event) for event in state.live if event.get("kind") != GAP}
    new: dict[int, Event] = {}
    for event in events:
        at = position(event)
        if at > floor and at not in known and at not in new:
            new[at] = event
            dirty.add(f"{event.get('kind')}:{event.get('subject_id')}")
    if not new:
        return state
    dirty.add("live")
    live = _newest((*state.live, *new.values()))
    return replace(state, live=live, cursor=max(state.cursor, *new), head=max(state.head, *new))


def _newest(events: Iterable[Event]) -> tuple[Event, ...]:
    """In the journal's order, a gap's row before the event that came after it."""
    return tuple(sorted(events, key=lambda event: (position(event), event.get("kind") != GAP))[-LIVE_MOST:])


def _snapshot(state: State, message: Snapshot, dirty: set[str]) -> State:
    data = message.data
    at = position_of(data.get("cursor"))
    dirty |= {"meta", "overview", "connectors", "approvals", "live", "link"}
    live = list(state.live)
    if message.gap:
        live.append(
            {"kind": GAP, "position": at, "at": data.get("server_time"), "text": "the stream had a gap here: shown anew", "tone": "warn"}
        )
    known = {position(event) for event in state.live if event.get("kind") != GAP}
    live += [event for event in data.get("live") or () if position(event) not in known]
    return replace(
        state,
        cursor=at,
        head=max(state.head, at),
        meta=data.get("meta") or state.meta,
        overview=data.get("overview") or state.overview,
        connectors=_connectors({}, data.get("connectors"), dirty) or state.connectors,
        approvals=tuple(data["approvals"]) if isinstance(data.get("approvals"), list) else state.approvals,
        live=_newest(live),
        gaps=state.gaps + (1 if message.gap else 0),
        server_time=data.get("server_time") or state.server_time,
    )


def _vital(state: State, data: Mapping[str, Any], dirty: set[str]) -> State:
    overview = state.overview
    if isinstance(data.get("overview"), dict):
        overview = _merged(state.overview or {}, data["overview"])
        dirty.add("overview")
    connectors = _connectors(state.connectors, data.get("connectors"), dirty)
    return replace(state, overview=overview, connectors=connectors)


def _merged(old: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """New over old, table by table: a message that was shortened leaves the rest as it was, and so does one whose series were too long."""
    result = dict(old)
    for key, value in new.items():
        if key == "series" and value is None:
            continue
        before = old.get(key)
        result[key] = _merged(before, value) if isinstance(value, dict) and isinstance(before, dict) else value
    return result


def _connectors(known: Mapping[str, Mapping[str, Any]], rows: object, dirty: set[str]) -> Mapping[str, Mapping[str, Any]]:
    if not isinstance(rows, list):
        return known
    result = dict(known)
    for row in rows:
        name = str(row.get("name"))
        result[name] = {**result.get(name, {}), **row}
        dirty.add(f"connector:{name}")
    dirty.add("connectors")
    return result
