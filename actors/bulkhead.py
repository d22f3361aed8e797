"""How much of one PSP may be used at once: the limits of a connector, and the queue in front of a set of connections.

Not here: the connections themselves and what they do (`connector`), whether a call may be made at all (`admission`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar, final

import trio

from payorch.ports import Timeouts

J = TypeVar("J")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorLimits:
    """connections, lookup_connections: the bulkheads. waiting: calls that may wait in front of each. timeouts: of each call, its total from
    the moment of its arrival. least_call_seconds: with less than that left of its total, a call is not sent any more.
    longest_retry_after_seconds: what is believed of a PSP's Retry-After. token_patience_seconds: how long a repeat may wait for a token of
    the retry budget while other repeats are under way, which give theirs back when they are answered.
    """

    connections: int
    lookup_connections: int
    waiting: int
    timeouts: Timeouts
    least_call_seconds: float
    longest_retry_after_seconds: float
    token_patience_seconds: float


@final
class Bulkhead(Generic[J]):
    """A queue of jobs, oldest first, and the connections that wait for one. Whoever puts in looks at the length of `jobs` first."""

    __slots__ = ("_idle", "jobs")

    def __init__(self) -> None:
        self.jobs: deque[J] = deque()
        self._idle: list[trio.Event] = []

    def put(self, job: J) -> None:
        """Adds a job, and wakes a connection for it."""
        self.jobs.append(job)
        if self._idle:
            self._idle.pop().set()

    async def take(self) -> J:
        """The oldest job, as soon as there is one."""
        while not self.jobs:
            turn = trio.Event()
            self._idle.append(turn)
            await turn.wait()
        return self.jobs.popleft()
