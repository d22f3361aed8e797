"""The runner: an actor that carries out acts which may be carried out, goes on after a crash, and ends what nobody decided in time.

    acts         told by the desk, and found in their rows at the start and by a steady look; so many at once, beside each other
    proposals    expire when their time is over
    plans        are forgotten some time after they have expired

Nothing of an act is kept here: it stands in its row. Where the journal or the database is away, an act waits and is taken up again; where
one keeps failing by a fault of ours, it ends as failed, and people look at what was done of it.

Not here: carrying out one act (`errand`), deciding (`payorch.domain.approving`), what any act does (the planners).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import psycopg
import trio

from actors.actor import Actor
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from payorch.domain import approving
from payorch.domain.act_records import ActRecord, Step
from payorch.domain.acts import UNDECIDED
from payorch.operations.act_book import SYSTEM, ActBook
from payorch.operations.endings import Endings
from payorch.operations.errand import Errand
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted, Trouble, trouble_of

_AWAY: Final = (DatabaseUnavailable, JournalUnavailable, PoolExhausted, ActorStopped, MailboxFull, AskTimeout, trio.TooSlowError)
_ANOTHER_TIME: Final = frozenset({Trouble.CONTENTION, Trouble.TIMED_OUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Carry:
    """That act may be carried out."""

    act_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerLimits:
    """at_once: acts beside each other. sweep_seconds: between two looks. retry_seconds: before an act is taken up again. tries: of an act
    that fails by a fault of ours. keep_plans_seconds: after they expired. housekeeping_seconds: between two times that plans are forgotten,
    `page` of them at a time.
    """

    at_once: int
    sweep_seconds: float
    retry_seconds: float
    tries: int
    keep_plans_seconds: float
    housekeeping_seconds: float
    page: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerStatistics:
    """under_way: acts that are being carried out now. Since the start: acts that came to an end, and faults of ours."""

    under_way: int
    ended: int
    troubles: int


class RunnerActor(Actor[Carry]):
    """trouble: hears what went wrong (about what, the error); must not wait."""

    def __init__(
        self,
        *,
        book: ActBook,
        errand: Errand,
        endings: Endings,
        limits: RunnerLimits,
        trouble: Callable[[str, Exception], None] = lambda about, error: None,
    ) -> None:
        self._book = book
        self._errand = errand
        self._endings = endings
        self._limits = limits
        self._trouble = trouble
        self._under_way: set[str] = set()
        self._ended = self._troubles = 0
        self._woken = trio.Event()

    async def started(self) -> None:
        self.spawn(self._sweep_for_ever)
        self.spawn(self._keep_house_for_ever)

    async def receive(self, message: Carry) -> None:
        self._take_up(message.act_id)

    def statistics(self) -> RunnerStatistics:
        """A frozen snapshot."""
        return RunnerStatistics(under_way=len(self._under_way), ended=self._ended, troubles=self._troubles)

    # --- acts

    def _take_up(self, act_id: str) -> None:
        """Carries it out beside the others. Where so many are under way already, it is found when one of them has ended."""
        if act_id not in self._under_way and len(self._under_way) < self._limits.at_once:
            self._under_way.add(act_id)
            self.spawn(self._carry, act_id)

    async def _carry(self, act_id: str) -> None:
        tries = 0
        try:
            while True:
                try:
                    await self._errand.carry_out(act_id)
                    break
                except Exception as error:
                    if not _is_away(error):
                        tries += 1
                        self._note(act_id, error)
                        if tries >= self._limits.tries and await self._given_up(act_id, error):
                            break
                await trio.sleep(self._limits.retry_seconds)
        finally:
            self._under_way.discard(act_id)
        self._ended += 1
        self._endings.over(act_id)
        self._woken.set()

    async def _given_up(self, act_id: str, error: Exception) -> bool:
        """Whether it is written that it failed."""
        why = (
            f"stopped by a fault of ours ({type(error).__name__}) after {self._limits.tries} tries; part of it may have been done: look at "
            "what it is about before you ask for it again"
        )
        return await self._safely(act_id, lambda: self._errand.give_up(act_id, why))

    # --- looks

    async def _sweep_for_ever(self) -> None:
        while True:
            self._woken = trio.Event()
            await self._safely("acts", self._sweep)
            with trio.move_on_after(self._limits.sweep_seconds):
                await self._woken.wait()

    async def _sweep(self) -> None:
        for act in await self._book.store.unfinished(limit=self._limits.at_once + len(self._under_way)):
            self._take_up(act.id)
        for act in await self._book.store.overdue(self._book.now(), limit=self._limits.page):
            await self._safely(act.id, lambda act_id=act.id: self._expire(act_id))  # type: ignore[misc]

    async def _expire(self, act_id: str) -> None:
        def decide(act: ActRecord) -> Step | None:
            return approving.expired(act, at=self._book.now()) if act.state in UNDECIDED else None

        await self._book.change(act_id, decide, actor=SYSTEM, cause=act_id)

    async def _keep_house_for_ever(self) -> None:
        while True:
            await self._safely("plans", self._forget_plans)
            await trio.sleep(self._limits.housekeeping_seconds)

    async def _forget_plans(self) -> None:
        before = self._book.now() - timedelta(seconds=self._limits.keep_plans_seconds)
        await self._book.forget_plans(before, limit=self._limits.page)

    # --- what goes wrong

    async def _safely(self, about: str, step: Callable[[], Awaitable[None]]) -> bool:
        """Whether the step came to its end. What it was about is left as it is, and looked at again."""
        try:
            await step()
        except Exception as error:
            if not _is_away(error):
                self._note(about, error)
            return False
        return True

    def _note(self, about: str, error: Exception) -> None:
        self._troubles += 1
        self._trouble(about, error)


def _is_away(error: Exception) -> bool:
    """Whether the journal or the database cannot be reached now, or somebody else holds what is needed: another time."""
    return isinstance(error, _AWAY) or (isinstance(error, psycopg.Error) and trouble_of(error) in _ANOTHER_TIME)
