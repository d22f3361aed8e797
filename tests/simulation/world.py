"""What outlives a crash of the platform: the database, the PSP with its own ledger, the passing of time, and the dice of fate.

A `World` belongs to one seed. Everything random comes from its named dice, one stream per purpose, so that a change in one place does not
shift the others. Each life of the platform is a `generation`; a crash makes the next one, and every port of a dead generation raises
`Dead`, a BaseException, so that not even a `finally` of the dead can write or send: a power cut, not a polite cancellation.

Each seed draws its own fault rates, some of them zero: faults that hide behind others are found where the others are absent (swarm).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

import trio
from psycopg.pq.abc import PGconn

from connectors.simulator.dialect import Settings as DialectSettings
from connectors.simulator.faults import Fault, FaultKind, FaultState, RequestKind
from connectors.simulator.ledger import Ledger
from connectors.stripe.dialect import StripeDialect
from tests.conftest import Database

EPOCH: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
BASE_URL: Final = "https://psp.simulated"

CRASH_POINTS: Final = (
    "journal.before_commit",
    "journal.after_commit",
    "connector.before_send",
    "connector.after_answer",
    "psp.executed",
    "database.before_statement",
    "database.after_statement",
)
"""Every await next to a durable write or a PSP call, by name. The suite fails where one of them was never the place of a death."""

PSP_FAULTS: Final = tuple(
    kind for kind in FaultKind if kind not in (FaultKind.WRONG_AMOUNT, FaultKind.DRIP, FaultKind.RATE_LIMIT_429_RETRY_AFTER)
)


class Dead(BaseException):
    """The process has lost its power. Nothing may run after this but the unwinding of the stack."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How likely each misfortune is, per occasion, in this seed."""

    crash: dict[str, float]
    psp: dict[FaultKind, float]
    database_lost_before: float
    database_lost_after: float

    @classmethod
    def drawn(cls, dice: Random) -> Rates:
        """Each misfortune is absent in about half of the seeds."""

        def sometimes(most: float) -> float:
            return dice.random() * most if dice.random() < 0.5 else 0.0

        return cls(
            crash={point: sometimes(0.03) for point in CRASH_POINTS},
            psp={kind: sometimes(0.15) for kind in PSP_FAULTS},
            database_lost_before=sometimes(0.03),
            database_lost_after=sometimes(0.03),
        )

    @classmethod
    def none(cls) -> Rates:
        """A world in which nothing goes wrong by chance."""
        return cls(crash=dict.fromkeys(CRASH_POINTS, 0.0), psp={}, database_lost_before=0.0, database_lost_after=0.0)


class World:
    """One seed's world. `healed` ends all misfortune; what is unfinished then must come to its end.

    crash_at: (point, n) makes the power go when that point is reached for the n-th time, and leaves everything else to luck turned good.
    """

    def __init__(self, seed: int, database: Database, *, crash_at: tuple[str, int] | None = None) -> None:
        self.seed = seed
        self._crash_at = crash_at
        self.database = database
        self._master = Random(seed)
        self.fate = self._dice("fate")
        self.wire = self._dice("wire")
        self.ids = self._dice("ids")
        self.shop = self._dice("shop")
        self.rates = Rates.drawn(self._dice("rates")) if crash_at is None else Rates.none()
        self.generation = 0
        self.healed = False
        self.seen: Counter[str] = Counter()
        self.ledger = Ledger(psp="stripe", seed=seed)
        self.dialect = StripeDialect(DialectSettings(base_url=BASE_URL))
        self.connections: list[PGconn] = []
        self._deaths: list[trio.CancelScope] = []
        self._last_id = 0
        self._trace = hashlib.sha256()
        self.tail: list[str] = []

    def _dice(self, purpose: str) -> Random:
        return Random(f"{self.seed}:{purpose}")

    # --- time and identity

    def now(self) -> datetime:
        """Virtual wall time, whole milliseconds."""
        return EPOCH + timedelta(milliseconds=round(trio.current_time() * 1000))

    def identifier(self) -> UUID:
        """A UUIDv7 of virtual time; increasing over all lives, as it is with a real clock."""
        milliseconds = int(self.now().timestamp() * 1000)
        value = max(self._last_id + 1, milliseconds << 74 | self.ids.getrandbits(74))
        self._last_id = value
        high, low = value >> 62, value & (1 << 62) - 1
        return UUID(int=high >> 12 << 80 | 0x7 << 76 | (high & 0xFFF) << 64 | 0b10 << 62 | low)

    # --- fate

    def alive(self, generation: int) -> None:
        """Raises Dead in everything that belongs to a generation that is over."""
        if generation != self.generation:
            raise Dead(f"generation {generation} is over")

    def maybe_crash(self, point: str, generation: int) -> None:
        """This may be where the power goes."""
        self.alive(generation)
        if not self.healed:
            self.seen[f"reached:{point}"] += 1
        if self._dies_here(point):
            self.note("crash", point)
            self.end_life()
            raise Dead(point)

    def _dies_here(self, point: str) -> bool:
        if self.healed:
            return False
        if self._crash_at is not None:
            return self._crash_at == (point, self.seen[f"reached:{point}"])
        return self.fate.random() < self.rates.crash[point]

    def end_life(self) -> None:
        """The present generation is over: whatever of it still runs finds out at its next step."""
        self.generation += 1
        for scope in self._deaths:
            scope.cancel()

    def at_death(self, scope: trio.CancelScope) -> None:
        """Cancels that scope when this life ends: a request that the process was answering."""
        self._deaths.append(scope)

    def forget(self, scope: trio.CancelScope) -> None:
        """The request of that scope is over."""
        self._deaths.remove(scope)

    def cut_connections(self) -> None:
        """The kernel closes what a dead process held open; the server then lets go of its locks."""
        for connection in self.connections:
            connection.finish()
        self.connections.clear()

    def psp_faults(self) -> FaultState:
        """The PSP's faults as its simulator understands them, at this seed's rates; none once healed."""
        if self.healed:
            return FaultState()
        faults = [
            Fault(id=number, kind=kind, rate=rate, scope=RequestKind.CONNECT if kind is FaultKind.REFUSE else None)
            for number, (kind, rate) in enumerate(self.rates.psp.items(), start=1)
            if rate
        ]
        return FaultState(faults=tuple(faults), next_id=len(faults) + 1)

    def strikes(self, rate: float) -> bool:
        """One throw of fate."""
        return not self.healed and self.fate.random() < rate

    # --- what happened

    def note(self, kind: str, detail: str) -> None:
        """A line of the trace: counted by kind and detail, hashed in order, the last ones kept for the report of a failure."""
        self.seen[f"{kind}:{detail}"] += 1
        line = f"{trio.current_time():.6f} {kind} {detail}"
        self._trace.update(line.encode())
        self.tail = [*self.tail[-49:], line]

    @property
    def trace(self) -> str:
        """The hash of everything that happened, in order. Equal seeds have equal traces."""
        return self._trace.hexdigest()[:16]
