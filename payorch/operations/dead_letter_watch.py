"""What becomes of dead letters that were replayed: looked up in their rows, until each is settled, has died again, or patience is over.

A notice is settled when its payment has weighed it. A delivery is when its endpoint has taken it; a first try that the endpoint refused is
a failure here, although the schedule goes on with it: whoever replays a group wants to know whether that helps. Not here: replaying.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Final, final

import msgspec
import trio

from payorch.store import dead_letters, delivery_reads, inbox_reads
from payorch.store.dead_letters import Subject
from payorch.store.driver import Connection
from payorch.store.inbox_reads import StoredNotice
from payorch.store.items import DeadLetter, DeadLetterState, Delivery, DeliveryState, NoticeState

LOOK_SECONDS: Final = 0.5
"""Between two looks at the rows of what was replayed: one statement for each kind, for all of them together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """What became of one letter. well: it has had its effect. why: in words, where it has not."""

    id: str
    well: bool
    why: str = ""


async def fates(connection: Connection, letter_ids: Collection[str]) -> list[Fate]:
    """Of those of these letters of which it can be said by now."""
    letters = await dead_letters.load_many(connection, list(letter_ids))
    subjects = {one.id: msgspec.json.decode(one.subject, type=Subject) for one in letters}
    named = [one.notice for one in subjects.values() if one.notice is not None]
    events = [one.delivery.event_id for one in subjects.values() if one.delivery is not None]
    notices = {one.id: one for one in await inbox_reads.load_notices(connection, named)} if named else {}
    deliveries = await delivery_reads.deliveries_of(connection, events) if events else {}
    found = []
    for letter in letters:
        subject = subjects[letter.id]
        sent = None if subject.delivery is None else _delivery_of(subject.delivery, deliveries.get(subject.delivery.event_id, ()))
        fate = _fate(letter, notices.get(subject.notice or ""), sent)
        if fate is not None:
            found.append(fate)
    return found


def _delivery_of(dead: Delivery, deliveries: Sequence[Delivery]) -> Delivery | None:
    return next((one for one in deliveries if one.endpoint_id == dead.endpoint_id), None)


def _fate(letter: DeadLetter, notice: StoredNotice | None, delivery: Delivery | None) -> Fate | None:
    if letter.state is DeadLetterState.OPEN:
        return Fate(id=letter.id, well=False, why=f"it has died again: {letter.reason}")
    if notice is not None:
        return _fate_of_notice(letter.id, notice)
    if delivery is not None:
        return _fate_of_delivery(letter.id, delivery)
    return Fate(id=letter.id, well=False, why="what died is not there any more")


def _fate_of_notice(letter_id: str, notice: StoredNotice) -> Fate | None:
    match notice.state:
        case NoticeState.APPLIED | NoticeState.IGNORED:
            return Fate(id=letter_id, well=True)
        case NoticeState.PARKED:
            return Fate(id=letter_id, well=False, why="nothing that it names is known here yet: it waits for its payment again")
        case NoticeState.RECEIVED | NoticeState.DEAD:  # dead: its letter is open in the same moment, and this was read before
            return None


def _fate_of_delivery(letter_id: str, delivery: Delivery) -> Fate | None:
    match delivery.state:
        case DeliveryState.DELIVERED:
            return Fate(id=letter_id, well=True)
        case DeliveryState.PENDING if delivery.attempts == 0:
            return None
        case DeliveryState.PENDING:
            return Fate(id=letter_id, well=False, why=f"its endpoint has not taken it: {delivery.last_error or 'no answer'}")
        case DeliveryState.CANCELED:
            return Fate(id=letter_id, well=False, why="its endpoint is deleted")
        case DeliveryState.DEAD:
            return None


@final
class Watch:
    """Waits for fates, with a bounded patience. read: `Platform.read`. pause: waits so many seconds."""

    def __init__(
        self,
        read: Callable[..., Awaitable[list[Fate]]],
        *,
        patience_seconds: float,
        pause: Callable[[float], Awaitable[None]] = trio.sleep,
    ) -> None:
        self._read = read
        self._patience_seconds = patience_seconds
        self._pause = pause

    async def until_settled(self, letter_ids: Collection[str]) -> list[Fate]:
        """One fate for each. What is not settled in time did not go well, as far as anybody knows."""
        left = dict.fromkeys(letter_ids)
        found: list[Fate] = []
        looks = max(1, round(self._patience_seconds / LOOK_SECONDS))
        for look in range(looks + 1):
            for fate in await self._read(fates, tuple(left)) if left else ():
                left.pop(fate.id, None)
                found.append(fate)
            if not left:
                return found
            if look < looks:
                await self._pause(LOOK_SECONDS)
        why = f"nothing was heard of it for {self._patience_seconds:g} s"
        return [*found, *(Fate(id=one, well=False, why=why) for one in left)]
