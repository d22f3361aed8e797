"""What the live stream is fed with: records of the journal as they are sent, and how a listener gets at them. Records and protocols only.

Not here: making them (`events`), where they come from (`payorch.operations.tail`), HTTP (`stream`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Kind(StrEnum):
    """The topics of the stream."""

    PAYMENT = "payment"
    CONNECTOR = "connector"
    ROUTING = "routing"
    DEAD_LETTER = "dead_letter"
    ACTION = "action"
    RECONCILIATION = "reconciliation"
    IDENTITY = "identity"
    REFUSAL = "refusal"
    ENDPOINT = "endpoint"
    AUDIT = "audit"


class Ending(StrEnum):
    """Why a stream is ended by us."""

    SLOW = "slow"
    STOPPING = "stopping"
    TOKEN = "token"


@dataclass(frozen=True, slots=True)
class Told:
    """One record of the journal: its position, its topic, and the event as JSON in one line of at most 16 KiB."""

    position: int
    kind: Kind
    data: bytes


class StreamGap(Exception):
    """The stream cannot be taken up at that position: it is ahead of the journal, or too far behind it."""


class Ended(Exception):
    """The listener gets no more, and why."""

    def __init__(self, why: Ending) -> None:
        super().__init__(why)
        self.why = why


class Subscription(Protocol):
    """One listener. `position`: how far it has been told, whatever its topics are."""

    @property
    def position(self) -> int: ...

    def open(self) -> None:
        """It listens from now on, until it is closed. Before that it costs nothing and may be forgotten."""
        ...

    async def more(self) -> Sequence[Told]:
        """The next records after `position`, as soon as there are any, or none where there is something else to look at (`vital`). Raises
        Ended, and what the pool raises while it catches up.
        """
        ...

    def vital(self) -> Sequence[bytes]:
        """The overview and the connectors, as JSON in messages of at most 16 KiB, where they have changed since the last call."""
        ...

    def close(self) -> None:
        """It listens no more."""
        ...


class Feed(Protocol):
    """Where listeners come from."""

    async def position(self) -> int:
        """The journal's last position, as the database has it."""
        ...

    async def subscribe(self, after: int | None, person: str) -> Subscription:
        """A listener from after that position on; None: from now on. person: whose view of the overview it is. Raises StreamGap."""
        ...

    async def last(self, until: int, count: int) -> Sequence[Told]:
        """The last so many records up to that position, oldest first."""
        ...
