"""What outlives a crash of the platform: the database, the PSP with its own ledger, the passing of time, and the dice of fate.

A `World` belongs to one seed. Everything random comes from its named dice, one stream per purpose, so that a change in one place does not
shift the others. Each life of the platform is a `generation`; when its power goes, every port of it raises `Dead`, a BaseException, so that
not even a `finally` of the dead can write or send: a power cut, not a polite cancellation. Two lives may overlap, as two processes may.

Not here: what misfortunes there are (`fates`), what the PSP does (`psp`), what the platform's lives look like (`runtime`).
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict, deque
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final
from uuid import UUID

import psycopg
import trio
from psycopg.pq.abc import PGconn

from tests.conftest import Database
from tests.simulation import fates
from tests.simulation.fates import CRASH_POINTS, MOST_DEATHS, Fate
from tests.simulation.postman import Postman
from tests.simulation.psp import Psp
from tests.simulation.receiver import Receiver
from tests.simulation.watch import Watch

EPOCH: Final = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
RECOVERING_SECONDS: Final = 0.5
"""A life younger than this is still looking at what the one before left behind."""
TAIL: Final = 50
"""Lines of the trace that are kept for the report of a failure."""


class Dead(BaseException):
    """The process has lost its power. Nothing may run after this but the unwinding of the stack."""


class World:
    """One seed's world. `healed` ends all misfortune; what is unfinished then must come to its end. `died`: lives that lost their power.

    crash_at: (point, n) makes the power go when that point is reached for the n-th time, and leaves everything else to luck turned good.
    """

    def __init__(self, seed: int, database: Database, *, crash_at: tuple[str, int] | None = None) -> None:
        self.seed = seed
        self._crash_at = crash_at
        self.database = database
        self.fate = fates.drawn(self.dice("fate")) if crash_at is None else Fate()
        self.chance = self.dice("chance")
        self.wire = self.dice("wire")
        self.ids = self.dice("ids")
        self.healed = True  # nothing befalls a world before its first day
        self.seen: Counter[str] = Counter()
        self.faults = self.deaths = 0
        self.wrong: list[str] = []
        self.accused = trio.Event()
        self.watch = Watch(psycopg.connect(database.app, autocommit=True), self.accuse)
        self.psp = Psp(self)
        self.postman = Postman(self)
        self.receiver = Receiver(self)
        self.died: dict[int, datetime] = {}
        self._born: dict[int, float] = {}
        self._generations = 0
        self._connections: dict[int, list[PGconn]] = defaultdict(list)
        self._requests: dict[int, list[trio.CancelScope]] = defaultdict(list)
        self._last_id = 0
        self._trace = hashlib.sha256()
        self.tail: deque[str] = deque(maxlen=TAIL)

    def dice(self, purpose: str) -> Random:
        """Chance of its own for that purpose: the same series in every run of the seed."""
        return Random(f"{self.seed}:{purpose}")

    def close(self) -> None:
        """Lets go of everything that is held open."""
        for generation in list(self._connections):
            self.cut_connections(generation)
        self.watch.close()
        self.psp.ledger.close()

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

    # --- lives and deaths

    def begin_life(self) -> int:
        """The number of a new life."""
        self._generations += 1
        self._born[self._generations] = trio.current_time()
        return self._generations

    def lives(self, generation: int) -> bool:
        """Whether that process still has power."""
        return generation in self._born

    def alive(self, generation: int) -> None:
        """Raises Dead in everything that belongs to a life that is over."""
        if generation not in self._born:
            raise Dead(f"generation {generation} is over")

    def maybe_crash(self, point: str, generation: int) -> None:
        """This may be where the power goes."""
        self.alive(generation)
        if not self.healed:
            self.seen[f"reached:{point}"] += 1
        if self._dies_here(point):
            self.note("crash", point)
            self.cut_power(generation)
            raise Dead(point)

    def _dies_here(self, point: str) -> bool:
        if self.healed:
            return False
        if self._crash_at is not None:
            return self._crash_at == (point, self.seen[f"reached:{point}"])
        rate = self.fate.crash.get(point, 0.0)
        return rate > 0 and self.deaths < MOST_DEATHS and self.chance.random() < rate

    def cut_power(self, generation: int) -> None:
        """That life is over: whatever of it still runs finds out at its next step. What it left behind must be sound as it is."""
        born = self._born.pop(generation, None)
        if born is None:
            return
        self.died[generation] = self.now()
        if not self.healed:
            self.deaths += 1
            if trio.current_time() - born < RECOVERING_SECONDS and generation > 1:
                self.note("crash", "while recovering")
        for scope in self._requests.pop(generation, []):
            scope.cancel()
        self.watch.tables_are_sound()

    def end_life(self, generation: int) -> None:
        """That life has ended by itself, in peace."""
        self._born.pop(generation, None)
        self._requests.pop(generation, None)

    def at_death(self, generation: int, scope: trio.CancelScope) -> None:
        """Cancels that scope when this life's power goes: a request that the process was answering."""
        self._requests[generation].append(scope)

    def forget(self, generation: int, scope: trio.CancelScope) -> None:
        """The request of that scope is over."""
        if scope in self._requests.get(generation, ()):
            self._requests[generation].remove(scope)

    def holds(self, generation: int, connection: PGconn) -> None:
        """That process has this connection open."""
        self._connections[generation].append(connection)

    def cut_connections(self, generation: int) -> None:
        """The kernel closes what a dead process held open; the server then lets go of its locks."""
        for connection in self._connections.pop(generation, []):
            connection.finish()

    # --- misfortune

    def strikes(self, rate: float) -> bool:
        """One throw of fate. Nothing is thrown where nothing can happen."""
        return rate > 0 and not self.healed and self.chance.random() < rate

    @property
    def database_is_away(self) -> bool:
        """Whether the database server is down at this moment."""
        return not self.healed and any(outage.covers(trio.current_time()) for outage in self.fate.database_outages)

    # --- what happened

    def note(self, kind: str, detail: str) -> None:
        """A line of the trace: counted by kind and detail, hashed in order, the last ones kept for the report of a failure."""
        self.seen[f"{kind}:{detail}"] += 1
        line = f"{trio.current_time():.6f} {kind} {detail}"
        self._trace.update(line.encode())
        self.tail.append(line)

    def fault(self, kind: str) -> None:
        """A misfortune has happened."""
        self.faults += 1
        self.note("fault", kind)

    def accuse(self, what: str) -> None:
        """An invariant is broken. Said from wherever it was seen, also from inside an actor, whose supervisor must not hide it."""
        self.wrong.append(what)
        self.accused.set()

    @property
    def trace(self) -> str:
        """The hash of everything that happened, in order. Equal seeds have equal traces."""
        return self._trace.hexdigest()[:16]


__all__ = ["CRASH_POINTS", "EPOCH", "Dead", "World"]
