"""The actor that forgets nothing: it wakes payments whose timers have come, and at the start those whose calls have no answer.

Timers are rows; this actor only looks at them, at a steady pace. It decides nothing and asks no PSP: each payment's own actor does.
When a PSP answers again it wakes those that wait for it before their time (`pull_forward`). It also sets aside payments whose actor keeps
dying, so that one poison payment hurts no other.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, TypeAlias, assert_never

import trio

from actors.actor import Actor
from actors.admission import Admission, CallKind
from actors.child import TooManyChildren
from actors.directory import Directory
from actors.mailbox import ActorStopped, MailboxFull
from actors.messages import AnswersAgain, Due
from actors.pull_forward import PullForward, Unresolved
from payorch.domain.desk import Desk, Story
from payorch.domain.events import HoldSet
from payorch.domain.payment import Name
from payorch.domain.records import Hold, Payment
from payorch.ports import Clock
from payorch.store.items import Appended, Conflict, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

SWEEPS_PER_CENSUS: Final = 20
# Between a call's end, which is when a PSP is found to be ill, and the row that tells of it.
_MARGIN: Final = timedelta(seconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """That payment's actor died too often; `reason` in words. It is to be set aside."""

    payment_id: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WellAgain:
    """Calls of that kind are answered again by that connector's PSP; since then they had not been."""

    connector: str
    kind: CallKind
    since: datetime


Message: TypeAlias = Poisoned | WellAgain


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoveryStatistics:
    """woken: payments told of a timer since the start. behind: the last sweep found more than it takes at once.

    pulled_forward: payments woken before their time, by connector.
    """

    woken: int
    set_aside: int
    behind: bool
    pulled_forward: Mapping[str, int]


class RecoveryActor(Actor[Message]):
    """census: called now and then, to count what is unfinished. check_ours: raises Fenced where another process has the journal.

    sweep_seconds: the pace. sweep_limit: payments woken per sweep at the most; the rest follow in the next. admissions: of all connectors.
    unresolved: as `connector_reads.unresolved_at`. pull_forward_limit: payments of one connector that one sweep wakes before their time.
    lend_operations_rarer: see PullForward. pulled: told of a connector and how many of its payments were woken so.
    """

    def __init__(
        self,
        *,
        directory: Directory,
        due: Callable[[datetime, int], Awaitable[list[str]]],
        unanswered: Callable[[str | None, int], Awaitable[list[str]]],
        load: Callable[[str], Awaitable[Payment | None]],
        commit: Callable[[Payment, Story], Awaitable[Result]],
        desk: Callable[[], Desk],
        clock: Clock,
        sweep_seconds: float,
        sweep_limit: int,
        census: Callable[[], Awaitable[None]],
        check_ours: Callable[[], Awaitable[None]],
        admissions: Mapping[str, Admission],
        unresolved: Unresolved,
        pull_forward_limit: int,
        lend_operations_rarer: int,
        pulled: Callable[[str, int], None] = lambda connector, payments: None,
    ) -> None:
        self._directory = directory
        self._due = due
        self._unanswered = unanswered
        self._load = load
        self._commit = commit
        self._desk = desk
        self._clock = clock
        self._sweep_seconds = sweep_seconds
        self._sweep_limit = sweep_limit
        self._census = census
        self._check_ours = check_ours
        self._ahead = PullForward(
            admissions=admissions,
            unresolved=unresolved,
            wake=self._wake_one,
            limit=pull_forward_limit,
            operations_rarer=lend_operations_rarer,
            pulled=pulled,
        )
        self._woken = self._set_aside = 0
        self._behind = False

    async def started(self) -> None:
        self._ahead.begin_everywhere()
        self.spawn(self._wake_for_ever)

    async def receive(self, message: Message) -> None:
        match message:
            case WellAgain(connector=connector, kind=kind, since=since):
                self._ahead.begin(connector, kind, since - _MARGIN)
            case Poisoned():
                await self._put_aside(message)
            case _ as never:
                assert_never(never)

    async def _put_aside(self, message: Poisoned) -> None:
        """Sets the payment aside. Where even that cannot be written, this actor dies and the payment's timer brings it back here."""
        while True:
            payment = await self._load(message.payment_id)
            if payment is None or payment.hold is not None:
                return
            desk = self._desk()
            story = Story(payment, desk)
            story.tell(Name.HELD, HoldSet(hold=Hold(reason=message.reason, since=desk.at, by="system")))
            result = await self._commit(payment, story)
            if not isinstance(result, Conflict):  # after one it is read anew: somebody else has got on with this payment meanwhile
                break
        self._set_aside += isinstance(result, Appended)

    def statistics(self) -> RecoveryStatistics:
        """A frozen snapshot."""
        return RecoveryStatistics(woken=self._woken, set_aside=self._set_aside, behind=self._behind, pulled_forward=dict(self._ahead.woken))

    async def _wake_for_ever(self) -> None:
        last: str | None = None
        caught_up = False
        for sweep in itertools.count():
            try:
                # Before anything that may lead to a PSP call: a process that was paused may have been taken over, and would find out
                # only when it writes.
                await self._check_ours()
                if not caught_up:
                    last, caught_up = await self._wake_unanswered(last)
                found = await self._due(self._clock.now(), self._sweep_limit)
                self._behind = len(found) == self._sweep_limit
                await self._wake(found)
                await self._ahead.step(trio.current_time())
                if sweep % SWEEPS_PER_CENSUS == 0:
                    await self._census()
            except (DatabaseUnavailable, JournalUnavailable, PoolExhausted, MailboxFull, TooManyChildren, ActorStopped):
                pass  # the rows are still there: the next sweep sees them
            await trio.sleep(self._sweep_seconds)

    async def _wake_unanswered(self, last: str | None) -> tuple[str | None, bool]:
        """The next page of payments that were about to call a PSP when the process ended; True once there is no more."""
        found = await self._unanswered(last, self._sweep_limit)
        await self._wake(found)
        return (found[-1], False) if found else (last, True)

    async def _wake(self, payment_ids: list[str]) -> None:
        for payment_id in payment_ids:
            self._wake_one(payment_id, Due())
            self._woken += 1
            await trio.lowlevel.checkpoint()  # a long list must not hold the others up

    def _wake_one(self, payment_id: str, message: Due | AnswersAgain) -> None:
        """Raises TooManyChildren or ActorStopped: then there is no room for anybody, and this sweep ends."""
        with contextlib.suppress(MailboxFull):  # it has enough to do, and must not keep those behind it waiting
            self._directory.tell(payment_id, message)
