"""The five doors to the world: clock, entropy, store, network, process.

Everything in payorch that depends on time, chance, disk, wire or the life of its own process goes through one of these, so that a
simulation can stand in for the world and replay it from a seed. `tests/test_architecture.py` refuses any way round them.

This module holds only their shapes. The real ones are `payorch.system` (clock, entropy, process), `payorch.store.pool` (store) and
`payorch.network` (network); the simulated ones live in `tests/simulation`. Waiting (`trio.sleep`, cancel scopes) is not a port: trio's own
clock is already replaceable.
"""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Clock(Protocol):
    """Wall time. Deadlines and waits use trio's clock; what is stored or shown uses this one."""

    def now(self) -> datetime:
        """The present moment: aware, UTC, cut to whole milliseconds."""
        ...


class Entropy(Protocol):
    """The one place where ids, jitter and secrets come from."""

    def identifier(self) -> UUID:
        """A new UUIDv7; those of one process are in increasing order."""
        ...

    def fraction(self) -> float:
        """A number in [0, 1), for jitter and sampling. Not for secrets."""
        ...

    def secret(self, size_bytes: int) -> bytes:
        """Unpredictable bytes, for keys and tokens."""
        ...


class Process(Protocol):
    """The life of this process, as far as a crash test wants to end it."""

    def reached(self, point: str) -> None:
        """Names a place next to a durable write or a PSP call. Returns at once, unless a test asked for death exactly here."""
        ...
