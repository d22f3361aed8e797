"""The inbox: takes what PSPs told, stored and acknowledged already, to the payments it is about; each thing once.

A notice goes to its payment's actor, which weighs it and settles it in the transaction of whatever follows, so it takes effect once however
often it is tried. One about nothing that is known yet is parked: tried again by a schedule, and at once when a payment learns an id that it
names. What cannot be understood, weighed or placed in the end becomes a dead letter, for people. Nothing is kept here that the rows do not
have, except which notices are on their way.

Not here: HTTP and signatures (the edge), what a notice means (each connector), what follows from it (the domain).
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias, assert_never

import msgspec
import trio

from actors.actor import Actor
from actors.child import TooManyChildren
from actors.directory import Directory
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from actors.messages import Notified, Outcome, Settled, Stranger, Unweighable
from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.ports import Clock
from payorch.store.dead_letters import Subject
from payorch.store.entries import Change, ChangeRefused
from payorch.store.inbox_reads import Reference, Refers, StoredNotice
from payorch.store.items import (
    DEAD_LETTER_STREAM,
    DeadLetter,
    DeadLetterKind,
    Erasure,
    NoticeMark,
    NoticeState,
    Result,
)
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

_AWAY: Final = (DatabaseUnavailable, JournalUnavailable, PoolExhausted, ActorStopped, MailboxFull, AskTimeout, trio.TooSlowError)
_SYSTEM: Final = "system"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A notice that is to be taken to its payment; `content` in clear."""

    id: str
    connector: str
    kind: str
    identity: str
    content: bytes = field(repr=False)
    refers: Refers
    received_at: datetime
    tries: int = 0
    parked: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A payment's actor is done with a notice."""

    notice_id: str
    payment_id: str
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Appeared:
    """A payment has learnt an id that parked notices name."""

    notice_ids: tuple[str, ...]


Message: TypeAlias = Pending | Told | Appeared


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxLimits:
    """sweep_seconds, sweep_limit: the pace at which rows are looked at, and how many at once. in_flight: notices on their way to payments.

    lost_seconds: after which one on its way is tried again. parked_tries_seconds: the pauses between tries of a parked one, before it is a
    dead letter. lost_tries: how often one may be lost on its way. keep_notices_days, keep_dead_letters_days: for which contents are kept
    once they are settled. housekeeping_seconds: between looks for what need not be kept.
    """

    sweep_seconds: float
    sweep_limit: int
    in_flight: int
    lost_seconds: float
    parked_tries_seconds: tuple[int, ...]
    lost_tries: int
    keep_notices_days: int
    keep_dead_letters_days: int
    housekeeping_seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxStatistics:
    """in_flight: on their way to payments now. parked: remembered to be waiting for a payment. The totals count since the start."""

    in_flight: int
    parked: int
    settled: int
    dead: int


class Store(Protocol):
    """What the inbox reads and writes. Reads raise DatabaseUnavailable and PoolExhausted, writes JournalUnavailable, all when away."""

    async def due(self, now: datetime, *, limit: int) -> list[StoredNotice]: ...

    async def load(self, notice_ids: Sequence[str]) -> list[StoredNotice]: ...

    async def parked(self, *, limit: int) -> list[StoredNotice]: ...

    async def find(self, references: Sequence[Reference]) -> list[str | None]: ...

    async def write(self, item: NoticeMark | Erasure) -> Result: ...

    async def enter(self, change: Change, *, actor: str, cause: str) -> int:
        """Writes an entry with its rows. Raises ChangeRefused."""
        ...


class ParkedIndex:
    """Which parked notices name an id: looked at whenever a payment learns one, so it must cost nothing when nothing is parked.

    Bounded: what does not fit is found by its schedule.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._by_reference: dict[tuple[str, str], dict[str, None]] = {}
        self._named: dict[str, list[tuple[str, str]]] = {}

    def __len__(self) -> int:
        return len(self._named)

    def add(self, notice_id: str, connector: str, refers: Refers) -> None:
        """Remembers it."""
        if notice_id in self._named or len(self._named) >= self._most:
            return
        places = [(connector, one) for one in (*refers.psp, *refers.ours)]
        self._named[notice_id] = places
        for place in places:
            self._by_reference.setdefault(place, {})[notice_id] = None

    def discard(self, notice_id: str) -> None:
        """Forgets it."""
        for place in self._named.pop(notice_id, ()):
            waiting = self._by_reference[place]
            del waiting[notice_id]
            if not waiting:
                del self._by_reference[place]

    def of(self, connector: str, reference: str | None) -> tuple[str, ...]:
        """The notices that wait for that id."""
        if not self._named or reference is None:
            return ()
        return tuple(self._by_reference.get((connector, reference), ()))


class InboxActor(Actor[Message]):
    """reveal: the content of a stored notice, in clear. redact: a content as people may see it, for dead
    letters, by connector and kind.

    index: outlives this actor's lives, because payments look into it.
    """

    def __init__(
        self,
        *,
        store: Store,
        directory: Directory,
        clock: Clock,
        limits: InboxLimits,
        index: ParkedIndex,
        reveal: Callable[[StoredNotice], bytes],
        redact: Callable[[str, str, bytes], str],
        settled: Callable[[str, str], None] = lambda connector, outcome: None,
    ) -> None:
        self._store = store
        self._directory = directory
        self._clock = clock
        self._limits = limits
        self._index = index
        self._reveal = reveal
        self._redact = redact
        self._count = settled
        self._in_flight: dict[str, tuple[float, Pending]] = {}
        self._settled = self._dead = 0
        self._look = trio.Event()
        self._wanted: dict[str, None] = {}  # parked ones whose payment may be there by now

    async def started(self) -> None:
        self.spawn(self._sweep_for_ever)
        self.spawn(self._keep_house)

    async def receive(self, message: Message) -> None:
        batch = [message, *self.mailbox.take_waiting(self._limits.sweep_limit - 1)]
        arrived = []
        for one in batch:
            match one:
                case Pending():
                    arrived.append(one)
                case Told():
                    await self._told(one)
                case Appeared(notice_ids=notice_ids):
                    self._wanted.update(dict.fromkeys(notice_ids))
                    self._look.set()
                case _ as never:
                    assert_never(never)
        with contextlib.suppress(*_AWAY):  # the rows are there: the next sweep sees them
            await self._take(arrived)

    def statistics(self) -> InboxStatistics:
        """A frozen snapshot."""
        return InboxStatistics(in_flight=len(self._in_flight), parked=len(self._index), settled=self._settled, dead=self._dead)

    # --- to the payments

    async def _take(self, notices: Sequence[Pending]) -> None:
        """Finds the payments of these notices and hands them on; what has none is parked, what cannot be understood is dead."""
        room = self._limits.in_flight - len(self._in_flight)
        fresh = [one for one in notices if one.id not in self._in_flight][: max(0, room)]
        for broken in (one for one in fresh if one.refers.problem is not None):
            await self._bury(broken, "unreadable", broken.refers.problem or "")
        sound = [one for one in fresh if one.refers.problem is None]
        if not sound:
            return
        found = await self._store.find([Reference(connector=one.connector, refers=one.refers) for one in sound])
        for notice, payment_id in zip(sound, found, strict=True):
            if payment_id is None:
                await self._park(notice)
            else:
                self._hand_on(notice, payment_id)

    def _hand_on(self, notice: Pending, payment_id: str) -> None:
        def told(outcome: Outcome) -> None:
            # Where it cannot be told, the notice is tried again, and its row says that it is settled.
            with contextlib.suppress(MailboxFull, ActorStopped):
                self.ref.tell(Told(notice_id=notice.id, payment_id=payment_id, outcome=outcome))

        message = Notified(notice_id=notice.id, connector=notice.connector, kind=notice.kind, content=notice.content, told=told)
        with contextlib.suppress(MailboxFull, ActorStopped, TooManyChildren):  # its row stays due
            self._directory.tell(payment_id, message)
            self._in_flight[notice.id] = (trio.current_time(), notice)

    async def _told(self, message: Told) -> None:
        _, notice = self._in_flight.pop(message.notice_id, (0.0, None))
        match message.outcome:
            case Settled(outcome=outcome):
                self._settled += 1
                self._index.discard(message.notice_id)
                if notice is not None:
                    self._count(notice.connector, outcome)
            case Stranger() if notice is not None:
                await self._quietly(self._park(notice))
            case Unweighable(why=why) if notice is not None:
                await self._quietly(self._bury(notice, "unweighable", why, payment_id=message.payment_id))
            case _:
                pass  # nobody knows of it any more: the row is still due

    async def _quietly(self, step: Awaitable[None]) -> None:
        with contextlib.suppress(*_AWAY):
            await step

    # --- what cannot be handed on

    async def _park(self, notice: Pending) -> None:
        tries, pauses = (notice.tries if notice.parked else 0), self._limits.parked_tries_seconds
        if tries >= len(pauses):
            return await self._bury(notice, "no_payment", "nothing that it names is known here", tries=tries)
        now = self._clock.now()
        await self._store.write(
            NoticeMark(
                notice_id=notice.id,
                state=NoticeState.PARKED,
                outcome="no_payment",
                at=now,
                tries=tries + 1,
                next_try_at=now + timedelta(seconds=pauses[tries]),
            )
        )
        self._index.add(notice.id, notice.connector, notice.refers)
        return None

    async def _bury(self, notice: Pending, reason_class: str, reason: str, *, tries: int = 0, payment_id: str | None = None) -> None:
        """Makes a dead letter of it: its row and the letter in one transaction, with a record of it."""
        now = self._clock.now()
        letter = DeadLetter(
            id=dead_letter_of(notice.id),
            kind=DeadLetterKind.WEBHOOK_IN,
            origin=notice.connector,
            subject=msgspec.json.encode(Subject(notice=notice.id)),
            reason_class=reason_class,
            reason=reason,
            fingerprint=f"webhook_in/{notice.connector}/{reason_class}/{notice.kind}",
            payload=self._redact(notice.connector, notice.kind, notice.content),
            attempts=tries + 1,
            first_failed_at=notice.received_at,
            last_failed_at=now,
            payment_id=payment_id,
        )
        mark = NoticeMark(notice_id=notice.id, state=NoticeState.DEAD, outcome=reason_class, at=now, tries=tries, payment_id=payment_id)
        detail = {"kind": letter.kind, "origin": letter.origin, "reason_class": reason_class, "event": notice.kind}
        change = Change(stream=DEAD_LETTER_STREAM, stream_id=letter.id, name="DeadLettered", rows=(mark, letter), detail=detail)
        with contextlib.suppress(ChangeRefused):  # it has taken effect meanwhile, so there is nothing to bury
            await self._store.enter(change, actor=_SYSTEM, cause=notice.id)
            self._dead += 1
            self._count(notice.connector, "dead")
        self._index.discard(notice.id)

    # --- beside the message loop

    async def _sweep_for_ever(self) -> None:
        """Rows whose time has come: what a restart left, what was parked, what was lost on its way."""
        remembered = False
        while True:
            with contextlib.suppress(*_AWAY):
                if not remembered:
                    for notice in await self._store.parked(limit=self._limits.sweep_limit):
                        self._index.add(notice.id, notice.connector, notice.refers)
                    remembered = True
                await self._sweep()
            with trio.move_on_after(self._limits.sweep_seconds):
                await self._look.wait()

    async def _sweep(self) -> None:
        self._look = trio.Event()
        await self._give_up_lost()
        found = await self._store.due(self._clock.now(), limit=self._limits.sweep_limit)
        if self._wanted:
            known = {one.id for one in found}
            wanted = await self._store.load([one for one in self._wanted if one not in known])
            found += [one for one in wanted if one.state is NoticeState.PARKED]
            self._wanted.clear()
        await self._take([self._pending(one) for one in found if one.id not in self._in_flight])

    def _pending(self, stored: StoredNotice) -> Pending:
        return Pending(
            id=stored.id,
            connector=stored.connector,
            kind=stored.kind,
            identity=stored.identity,
            content=self._reveal(stored),
            refers=stored.refers,
            received_at=stored.received_at,
            tries=stored.tries,
            parked=stored.state is NoticeState.PARKED,
        )

    async def _give_up_lost(self) -> None:
        """What went to a payment and was never heard of: its actor died of something. Tried again, and not for ever."""
        now = trio.current_time()
        lost = [notice for since, notice in self._in_flight.values() if now - since >= self._limits.lost_seconds]
        for notice in lost:
            tries = (0 if notice.parked else notice.tries) + 1
            if tries >= self._limits.lost_tries:
                await self._bury(notice, "payment_does_not_take_it", "its payment's actor kept failing over it", tries=tries)
            else:
                at = self._clock.now()
                later = at + timedelta(seconds=self._limits.lost_seconds)
                await self._store.write(
                    NoticeMark(notice_id=notice.id, state=NoticeState.RECEIVED, outcome="lost", at=at, tries=tries, next_try_at=later)
                )
            del self._in_flight[notice.id]

    async def _keep_house(self) -> None:
        """Forgets contents that need not be kept any longer."""
        while True:
            now, limits = self._clock.now(), self._limits
            with contextlib.suppress(*_AWAY):
                await self._store.write(
                    Erasure(
                        notices_before=now - timedelta(days=limits.keep_notices_days),
                        dead_letters_before=now - timedelta(days=limits.keep_dead_letters_days),
                        limit=limits.sweep_limit,
                    )
                )
            await trio.sleep(limits.housekeeping_seconds)


def dead_letter_of(notice_id: str) -> str:
    """The id of the dead letter that a notice becomes: always the same, also when it dies again after a replay."""
    return identifiers.text("dlq", uuid_of(notice_id))
