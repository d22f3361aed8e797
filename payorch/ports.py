"""The five doors to the world: clock, entropy, store, network, process.

Everything in payorch that depends on time, chance, disk, wire or the life of its own process goes through one of these, so that a
simulation can stand in for the world and replay it from a seed. `tests/test_architecture.py` refuses any way round them.

This module holds only their shapes. The real ones are `payorch.system` (clock, entropy, process), `payorch.store.pool` (store) and
`payorch.network` (network); the simulated ones live in `tests/simulation`. Waiting (`trio.sleep`, cancel scopes) is not a port: trio's own
clock is already replaceable.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol, TypeAlias
from uuid import UUID

from connectors.contract import HttpRequest, HttpResponse


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


NotSentReason: TypeAlias = Literal["dns", "blocked", "connect", "tls", "pool", "deadline", "unsendable"]
OutcomeLostReason: TypeAlias = Literal["write", "read_timeout", "reset", "closed", "malformed_http", "response_too_large", "deadline"]


class NotSent(Exception):
    """No byte of the request was written: it has definitely not been executed."""

    def __init__(self, reason: NotSentReason, origin: str) -> None:
        super().__init__(f"nothing was sent to {origin}: {reason}")
        self.reason: NotSentReason = reason


class OutcomeLost(Exception):
    """The request was written, at least in part, and has no whole answer: it may have been executed."""

    def __init__(self, reason: OutcomeLostReason, origin: str) -> None:
        super().__init__(f"no answer from {origin}: {reason}; the request may have been executed")
        self.reason: OutcomeLostReason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """How long each phase of one exchange may take. `total_seconds` bounds all of them together.

    connect_seconds: name, TCP and TLS together. read_seconds: for each next piece of the answer.
    """

    connect_seconds: float
    write_seconds: float
    read_seconds: float
    total_seconds: float


class Channel(Protocol):
    """One owned connection: one exchange at a time."""

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        """Sends the request and reads the whole answer. Raises NotSent or OutcomeLost, by what can have happened.

        NotSent("unsendable"): the request cannot be written as HTTP. Any other exception is a bug and says nothing about what was sent.
        """
        ...

    async def aclose(self) -> None: ...


class Network(Protocol):
    """The way out to other hosts."""

    def channel(self, base_url: str) -> Channel:
        """A channel to that origin; nothing is opened before the first exchange."""
        ...

    def merchant_channel(self, url: str, *, local: bool) -> Channel:
        """A channel to the host of a merchant's URL, whatever it is: it is judged, looked up and connected to with the first exchange.

        NotSent("blocked"): the URL, or an address that its name has, is not one that merchants may have us send to. NotSent("dns"): its
        name leads nowhere. An answer whose head has come is an answer; its body is cut where it is too long, too slow or broken. `local`
        allows loopback and plain http, for developers (`payorch.domain.merchant_urls`).
        """
        ...
