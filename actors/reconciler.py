"""The reconciler: it has payments weigh the lines of reports that they do not know, looks again at what does not fit, and ends the day.

    evidence     lines that their payment is to weigh: told once, then matched anew by a schedule
    unmatched    lines that were about nothing of ours: whatever has appeared since
    folder       reports that somebody put into a folder
    days         movements that no report had in time, and days that can be closed, at an hour of each PSP's own time zone

Everything stands in rows, and this actor looks at them at a steady pace: nothing is lost with it, and nothing is done twice. Whatever goes
wrong with one line, file or day is told and hurts no other. Not here: what is decided (`payorch.domain`), SQL, files, HTTP.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, tzinfo
from typing import Final, Protocol

import trio

from actors.actor import Actor
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from payorch.domain.settlement import RowState
from payorch.domain.told_lines import Step
from payorch.ports import Clock
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted
from payorch.store.settlement_evidence import Looked, WaitingLine

_AWAY: Final = (DatabaseUnavailable, JournalUnavailable, PoolExhausted, ActorStopped, MailboxFull, AskTimeout, trio.TooSlowError)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """A report was imported: its lines need not wait for the next look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerLimits:
    """sweep_seconds, sweep_limit: the pace at which lines are looked at, and how many at once. unmatched_seconds: between two pages of
    lines that were nothing of ours. folder_seconds: between two looks into the folder. day_seconds: between two looks at the clock.
    close_hour: of the PSP's day, when its work is done. stuck_seconds: for which a line that could not be looked at is left alone.
    """

    sweep_seconds: float
    sweep_limit: int
    unmatched_seconds: float
    folder_seconds: float
    day_seconds: float
    close_hour: int
    stuck_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ReconcilerStatistics:
    """Since the start: lines that payments were told of, that were settled, that were given up; reports that the folder had; and how often
    something went wrong that is a bug.
    """

    told: int
    settled: int
    given_up: int
    reports: int
    troubles: int


class Store(Protocol):
    """What the reconciler reads and writes. All of it raises DatabaseUnavailable and PoolExhausted, and JournalUnavailable, when away."""

    async def due(self, now: datetime, *, limit: int) -> list[WaitingLine]: ...

    async def unmatched(self, *, after: str | None, limit: int) -> tuple[list[WaitingLine], str | None]: ...

    async def look_again(self, line: WaitingLine) -> Looked | None:
        """None where somebody works on reports just now: another time."""
        ...

    async def tell(self, line: WaitingLine) -> None:
        """Makes a notice of it, which its payment weighs. Once, however often this is called."""
        ...

    async def finish_day(self, connector: str, today: date) -> None:
        """Raises findings of what is missing at that PSP by now, and closes the days before that one that can be closed."""
        ...


class Folder(Protocol):
    """Where somebody may put reports."""

    async def look(self) -> int:
        """Takes what has come in whole, and says how many reports that were."""
        ...


class ReconcilerActor(Actor[Wake]):
    """zones: of each connector. folder: None where there is none. trouble: hears what went wrong (about what, the error); must not wait."""

    def __init__(
        self,
        *,
        store: Store,
        folder: Folder | None,
        clock: Clock,
        zones: Mapping[str, tzinfo],
        limits: ReconcilerLimits,
        trouble: Callable[[str, Exception], None] = lambda about, error: None,
    ) -> None:
        self._store = store
        self._folder = folder
        self._clock = clock
        self._zones = zones
        self._limits = limits
        self._trouble = trouble
        self._told = self._settled = self._given_up = self._reports = self._troubles = 0
        self._stuck: dict[str, float] = {}
        self._finished: dict[str, date] = {}
        self._page: str | None = None
        self._woken = trio.Event()

    async def started(self) -> None:
        self.spawn(self._sweep_for_ever)
        self.spawn(self._for_ever, self._limits.unmatched_seconds, self._look_at_unmatched)
        self.spawn(self._for_ever, self._limits.day_seconds, self._look_at_the_clock)
        if self._folder is not None:
            self.spawn(self._for_ever, self._limits.folder_seconds, self._look_into_folder)

    async def receive(self, message: Wake) -> None:
        self._woken.set()

    def statistics(self) -> ReconcilerStatistics:
        """A frozen snapshot."""
        return ReconcilerStatistics(
            told=self._told, settled=self._settled, given_up=self._given_up, reports=self._reports, troubles=self._troubles
        )

    async def _for_ever(self, seconds: float, look: Callable[[], Awaitable[None]]) -> None:
        """Looks at that pace. Without a database there is nothing to be looked at, and the next look finds what there is."""
        while True:
            await self._safely(look.__name__, look)
            await trio.sleep(seconds)

    async def _sweep_for_ever(self) -> None:
        while True:
            self._woken = trio.Event()
            await self._safely("evidence", self._sweep)
            with trio.move_on_after(self._limits.sweep_seconds):
                await self._woken.wait()

    async def _safely(self, about: str, step: Callable[[], Awaitable[None]]) -> bool:
        """Whether the step came to its end. What it was about is left as it is, and looked at again."""
        try:
            await step()
        except _AWAY:
            return False
        except Exception as bug:
            self._troubles += 1
            self._trouble(about, bug)
            return False
        return True

    # --- lines

    async def _sweep(self) -> None:
        # Those that are left alone must not take the places of others.
        for line in await self._store.due(self._clock.now(), limit=self._limits.sweep_limit + len(self._stuck)):
            await self._look_at(line)

    async def _look_at_unmatched(self) -> None:
        """A page at a time, from the first finding to the last, and from the first again."""
        lines, self._page = await self._store.unmatched(after=self._page, limit=self._limits.sweep_limit)
        for line in lines:
            await self._look_at(line)

    async def _look_at(self, line: WaitingLine) -> None:
        """One line. One that fails is left alone for a while, so that it does not hold up those behind it."""
        now = trio.current_time()
        if self._stuck.get(line.identity, now) > now:
            return

        async def once() -> None:
            looked = await self._store.look_again(line)
            if looked is None:
                return
            if looked.step is Step.TELL:
                await self._store.tell(looked.line)
                self._told += 1
            elif looked.step is Step.SETTLE:
                self._settled += 1
            elif looked.step is Step.GIVE_UP and line.state is RowState.EVIDENCE:
                self._given_up += 1

        before = self._troubles
        await self._safely(line.identity, once)
        self._stuck.pop(line.identity, None)
        if self._troubles > before:
            self._stuck[line.identity] = now + self._limits.stuck_seconds

    # --- files and days

    async def _look_into_folder(self) -> None:
        assert self._folder is not None, "without one nobody looks"
        taken = await self._folder.look()
        self._reports += taken
        if taken:
            self._woken.set()

    async def _look_at_the_clock(self) -> None:
        """Once on each PSP's day, from its hour on; and after a start, since what was done before nobody here knows."""
        for connector, zone in self._zones.items():
            local = self._clock.now().astimezone(zone)
            today = local.date()
            if self._finished.get(connector) == today or local.hour < self._limits.close_hour:
                continue

            async def finish(connector: str = connector, today: date = today) -> None:
                await self._store.finish_day(connector, today)

            if await self._safely(f"{connector} {today}", finish):
                self._finished[connector] = today
