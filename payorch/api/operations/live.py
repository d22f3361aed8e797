"""What the live calls of operators are given: the platform's own name, its views, and the feed of the stream. Records and types only.

Not here: the calls (`meta`, `snapshot`, `stream`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

from payorch.api.operations.feed import Feed
from payorch.api.operations.operators import Operator
from payorch.domain.acts import ActName
from payorch.store.identities import OperatorToken

View: TypeAlias = Mapping[str, Any]


class StreamLimits(Protocol):
    """Section [stream] of the settings, as far as the API is concerned."""

    @property
    def streams_limit(self) -> int: ...

    @property
    def heartbeat_seconds(self) -> float: ...

    @property
    def token_check_seconds(self) -> float: ...


class Overviews(Protocol):
    """The overview and the connectors at one moment."""

    @property
    def connectors(self) -> Sequence[View]: ...

    def overview_of(self, person: str) -> View:
        """The overview as that person sees it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSurroundings:
    """What these calls are given, beside what the API has.

    environment, kind: which platform this is, and whether its money is real (sim, test, live). limits: of `meta`, by name. planned: the
    acts that somebody can plan. find_token: `identities.operator_token` over a lent connection. overviews: as `payorch.operations.overview`
    makes them. approvals: the acts that wait for a second person, as that operator sees them. head: the journal's end, as known here.
    """

    environment: str
    kind: str
    version: str
    connectors: Sequence[str]
    limits: Mapping[str, int]
    planned: Callable[[], frozenset[ActName]]
    find_token: Callable[[str], Awaitable[OperatorToken | None]]
    overviews: Callable[[], Awaitable[Overviews]]
    approvals: Callable[[Operator], Awaitable[Sequence[View]]]
    feed: Feed
    head: Callable[[], int]
    stream: StreamLimits
