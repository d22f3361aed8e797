"""One reader of the journal's end for everybody who watches: each record is read, told and kept once, however many watch.

Woken by the platform's own commits and by a slow sweep, since commands and other processes write the journal too. While nobody watches,
nothing is read. What was told last stays in a ring; a listener is a place in it, so ten listeners that do not read cost no more memory than
one that does. A listener further behind than `waiting` is dropped once it had caught up: it would see the past and take it for the present.

    behind the ring    catches up by pages out of the database, with words of its own making
    in the ring        takes what is there, in one go
    at its end         waits

Not here: what is told of a record (`payorch.api.operations.events`), HTTP (`payorch.api.operations.stream`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, final

import structlog
import trio

from payorch.api.operations.events import Narrator
from payorch.api.operations.feed import Ended, Ending, StreamGap, Told
from payorch.operations.vital import Vitals
from payorch.store import reads, tail_reads
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

log = structlog.get_logger("payorch.tail")

RING: Final = 2_000
"""Records kept as they were told, some 700 bytes each: two seconds of a full load, and what a listener takes that lost its connection."""
PAGE: Final = 500
"""Records per read: with their payments 5 ms, and 1 MB while they are told."""
AT_ONCE: Final = 100
"""Records that a listener takes in one go: 70 KB, which a socket takes in one write or two."""
AWAY: Final = (DatabaseUnavailable, PoolExhausted)

Read = Callable[..., Awaitable[Any]]


class HasVitals(Protocol):
    """Where the present overview is: `payorch.operations.vital.Vital`."""

    @property
    def now(self) -> Vitals | None: ...


class TailLimits(Protocol):
    """Section [stream] of the settings, as far as the tail is concerned."""

    @property
    def waiting_limit(self) -> int: ...

    @property
    def behind_limit(self) -> int: ...

    @property
    def gather_seconds(self) -> float: ...

    @property
    def sweep_seconds(self) -> float: ...

    @property
    def retry_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TailStatistics:
    """The tail at one moment; the counts are since it was made."""

    listeners: int
    position: int
    read: int
    caught_up: int
    """records that were read for one listener alone"""
    dropped: int
    """listeners that were too slow"""


@final
class Tail:
    """Run `run` in a task; `written` after each commit; `stop` once, at the end. read: `Platform.read`. narrator: a new one."""

    def __init__(self, *, read: Read, narrator: Callable[[], Narrator], vital: HasVitals, limits: TailLimits) -> None:
        self._read = read
        self._new_narrator = narrator
        self._narrator = narrator()
        self._vital = vital
        self._limits = limits
        self._ring: list[Told] = []  # without gaps, and ends at `_position`
        self._position = 0
        self._listeners: dict[Listener, None] = {}  # a set that keeps its order
        self._woken = trio.Event()
        self._changed = trio.Event()
        self._stopped = False
        self._rows = self._caught_up = self._dropped = 0

    @property
    def head(self) -> int:
        """How far it has read. Older than the journal's end while nobody watches."""
        return self._position

    def statistics(self) -> TailStatistics:
        """A frozen snapshot."""
        return TailStatistics(
            listeners=len(self._listeners), position=self._position, read=self._rows, caught_up=self._caught_up, dropped=self._dropped
        )

    def written(self) -> None:
        """Something was committed. It is called for each commit, and costs nothing while nobody watches."""
        if self._listeners:
            self._woken.set()

    def vital_changed(self) -> None:
        """There is a new overview to be fetched."""
        self._tell_listeners()

    def stop(self) -> None:
        """The process ends: every listener is told so now, and no more come."""
        self._stopped = True
        self._tell_listeners()

    async def run(self) -> None:
        """For ever: reads what is new while anybody watches."""
        while True:
            with trio.move_on_after(self._limits.sweep_seconds if self._listeners else float("inf")):
                await self._woken.wait()
            self._woken = trio.Event()
            await trio.sleep(self._limits.gather_seconds)  # so many commits are read together
            try:
                await self._read_on()
            except AWAY as obstacle:
                log.warning("tail.paused", obstacle=type(obstacle).__name__)
                await trio.sleep(self._limits.retry_seconds)
                self._woken.set()

    async def subscribe(self, after: int | None, person: str) -> Listener:
        """As `feed.Feed.subscribe`. Raises StreamGap, and what the pool raises."""
        head: int = await self._read(reads.head_position)
        after = head if after is None else after
        if after > head or head - after > self._limits.behind_limit:
            raise StreamGap
        return Listener(self, after, head, person)

    async def position(self) -> int:
        """As `feed.Feed.position`."""
        head: int = await self._read(reads.head_position)
        return head

    async def last(self, until: int, count: int) -> Sequence[Told]:
        """As `feed.Feed.last`."""
        first = max(0, until - count)
        kept = self._kept(first, count) if self._listeners else None
        if kept is None or not kept or kept[-1].position < until:
            kept = self._new_narrator().tell(await self._read(tail_reads.page, first, limit=count))
        return [one for one in kept if one.position <= until]

    # --- for listeners

    async def more(self, listener: Listener) -> Sequence[Told]:
        """What comes after its place. Waits for it; returns nothing where there is something else to look at."""
        while True:
            if self._stopped:
                raise Ended(Ending.STOPPING)
            # One that still catches up may be as far behind as it may have begun, and what happened meanwhile.
            most = self._limits.waiting_limit if listener.is_abreast else self._limits.behind_limit + RING
            if self._position - listener.position > most:
                self._dropped += 1
                raise Ended(Ending.SLOW)
            found = self._kept(listener.position, AT_ONCE)
            if found is None:
                found = await self._page_for(listener)
            if found:
                return found
            listener.is_abreast = True
            if listener.has_vital:
                return ()
            await self._changed.wait()

    def opened(self, listener: Listener) -> None:
        """It listens from now on."""
        if not self._listeners and (self._position > listener.head or listener.head - self._position > RING):
            self._begin_at(listener.head)  # nobody has watched for long
        self._listeners[listener] = None
        self._woken.set()

    def vital_for(self, person: str, seen: int) -> tuple[int, Sequence[bytes]]:
        """The number of the present overview, and its messages where that is not the one that was seen."""
        now = self._vital.now
        if now is None or now.number == seen:
            return seen, ()
        return now.number, now.messages(person)

    @property
    def vital_number(self) -> int:
        """Of the present overview; 0 where there is none."""
        return self._vital.now.number if self._vital.now is not None else 0

    def closed(self, listener: Listener) -> None:
        """It listens no more."""
        self._listeners.pop(listener, None)

    @property
    def is_watched(self) -> bool:
        """Whether anybody listens."""
        return bool(self._listeners)

    def _kept(self, after: int, count: int) -> Sequence[Told] | None:
        """So many of the ring after that position; None where the ring does not reach back so far."""
        start = len(self._ring) - (self._position - after)
        if start < 0:
            return None
        return self._ring[start : start + count]

    async def _page_for(self, listener: Listener) -> Sequence[Told]:
        """What the ring does not have any more. It may go beyond the ring's end: a listener's place is its own."""
        rows = await self._read(tail_reads.page, listener.position, limit=PAGE)
        self._caught_up += len(rows)
        if listener.narrator is None:
            listener.narrator = self._new_narrator()
        return listener.narrator.tell(rows)

    # --- reading

    def _begin_at(self, position: int) -> None:
        self._position = position
        self._ring.clear()
        self._narrator = self._new_narrator()

    async def _read_on(self) -> None:
        while self._listeners:
            rows = await self._read(tail_reads.page, self._position, limit=PAGE)
            if not rows:
                return
            self._rows += len(rows)
            self._ring += self._narrator.tell(rows)
            self._position = rows[-1].position
            if len(self._ring) > 2 * RING:
                del self._ring[:-RING]
            self._tell_listeners()
            if len(rows) < PAGE:
                return

    def _tell_listeners(self) -> None:
        self._changed.set()
        self._changed = trio.Event()


@final
class Listener:
    """As `feed.Subscription`: a place in the journal that goes forward. head: the journal's end when it came. is_abreast: it has been at
    the end at least once.
    """

    def __init__(self, tail: Tail, after: int, head: int, person: str) -> None:
        self._tail = tail
        self._person = person
        self._seen = tail.vital_number  # it comes with a snapshot that is newer
        self.head = head
        self.position = after
        self.is_abreast = False
        self.narrator: Narrator | None = None

    def open(self) -> None:
        """As `feed.Subscription.open`."""
        self._tail.opened(self)

    async def more(self) -> Sequence[Told]:
        """As `feed.Subscription.more`."""
        found = await self._tail.more(self)
        if found:
            self.position = found[-1].position
        return found

    @property
    def has_vital(self) -> bool:
        """Whether there is an overview that it has not fetched."""
        return self._tail.vital_number != self._seen

    def vital(self) -> Sequence[bytes]:
        """As `feed.Subscription.vital`."""
        self._seen, messages = self._tail.vital_for(self._person, self._seen)
        return messages

    def close(self) -> None:
        """As `feed.Subscription.close`."""
        self._tail.closed(self)
