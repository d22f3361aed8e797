"""What dead letters over HTTP and their acts are given: reads of the store, the journal's writer, the clock.

Not here: the calls (`payorch.api.operations.dead_letters`), the acts (`dead_letters`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import final

from payorch.api.operations.dead_letters import DeadLetterSurroundings
from payorch.domain.acts import ActName
from payorch.operations import dead_letters as acts
from payorch.operations.dead_letters import Read
from payorch.operations.planner import Planner
from payorch.ports import Clock
from payorch.store import act_reads, dead_letters
from payorch.store.items import Entry, Result


@final
class DeadLetterEdge:
    """Gives the calls and the acts what they need. read, write: the platform's. patience_seconds: for what was replayed to be settled.
    reached: as of `Around`.
    """

    def __init__(
        self,
        *,
        read: Read,
        write: Callable[[Entry], Awaitable[Result]],
        clock: Clock,
        patience_seconds: float,
        reached: Callable[[str], None] = lambda point: None,
    ) -> None:
        self._read = read
        self._write = write
        self._clock = clock
        self._patience_seconds = patience_seconds
        self._reached = reached

    def surroundings(self) -> DeadLetterSurroundings:
        """What the calls are given."""
        read = self._read
        return DeadLetterSurroundings(
            find=lambda what, **which: read(dead_letters.find, what, **which),
            groups=lambda what, **which: read(dead_letters.groups, what, **which),
            load=lambda letter_id: read(dead_letters.load, letter_id),
            last_replays=lambda fingerprints: read(act_reads.last_replays, fingerprints),
        )

    def planners(self) -> dict[ActName, Planner]:
        """Who plans and carries out which act."""
        around = acts.Around(
            read=self._read, write=self._write, clock=self._clock, patience_seconds=self._patience_seconds, reached=self._reached
        )
        return acts.planners(around)
