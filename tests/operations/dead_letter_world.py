"""For tests of acts about dead letters: letters in a real database, and an inbox and a notifier that do with them as a test says.

Time passes only where the act waits: `pause` lets the inbox and the notifier work, and takes no time.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from actors.inbox import dead_letter_of
from actors.notifier import dead_letter_of as dead_letter_of_delivery
from payorch.domain.acts import Act, ActName, Person, Wish
from payorch.operations.dead_letters import Around, Discarder, Replayer
from payorch.store import dead_letters, delivery_reads, entries, inbox_reads
from payorch.store.dead_letters import Subject
from payorch.store.driver import Connection
from payorch.store.inbox_reads import Refers, StoredNotice
from payorch.store.items import (
    DEAD_LETTER_STREAM,
    ENDPOINT_STREAM,
    Arrival,
    DeadLetter,
    DeadLetterKind,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Entry,
    Item,
    MerchantRow,
    NoticeMark,
    NoticeState,
    Result,
)
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import MERCHANT, START, connected, journal_on, new_id

OLGA = Person(operator="opr_o", name="olga", person="Olga")
AMIR = Person(operator="opr_a", name="amir", person="Amir")
GROUP = "webhook_in/psp_one/unweighable/payment.done"


@dataclass
class Hands:
    """A clock that goes on by a second each time it is read."""

    at: datetime = START + timedelta(days=9)

    def now(self) -> datetime:
        self.at += timedelta(seconds=1)
        return self.at


class Died(Exception):
    """The process is gone."""


@dataclass
class World:
    """weigh: what the payment says to a notice that was replayed. progress: what was written down. pauses: how long the act waited."""

    journal: Journal
    connection: Connection
    clock: Hands = field(default_factory=Hands)
    weigh: Callable[[str], NoticeState] = lambda letter_id: NoticeState.APPLIED
    progress: list[dict[str, Any]] = field(default_factory=list)
    pauses: list[float] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)
    die_after: int | None = None
    died: dict[str, int] = field(default_factory=dict)

    @property
    def around(self) -> Around:
        return Around(read=self.read, write=self.write, clock=self.clock, patience_seconds=2.0, pause=self.pause)

    @property
    def replayer(self) -> Replayer:
        return Replayer(self.around)

    @property
    def discarder(self) -> Discarder:
        return Discarder(self.around)

    async def read(self, query: Any, *arguments: Any, **named: Any) -> Any:
        return await query(self.connection, *arguments, **named)

    async def write(self, item: Item) -> Result:
        if self.die_after is not None:
            self.die_after -= 1
            if self.die_after < 0:
                raise Died
        (result,) = await self.journal.write([item])
        return result

    async def note(self, progress: Mapping[str, Any]) -> None:
        self.progress.append(msgspec.json.decode(msgspec.json.encode(progress)))

    async def pause(self, seconds: float) -> None:
        """The inbox does what is due."""
        self.pauses.append(seconds)
        for notice in await inbox_reads.due_notices(self.connection, self.clock.now(), limit=100):
            letter_id = dead_letter_of(notice.id)
            self.tried.append(letter_id)
            state = self.weigh(letter_id)
            if state is NoticeState.DEAD:
                await self.bury(notice)
            elif state is not NoticeState.RECEIVED:
                again = self.clock.now() + timedelta(days=1) if state is NoticeState.PARKED else None
                mark = NoticeMark(notice_id=notice.id, state=state, outcome="weighed", at=self.clock.now(), next_try_at=again)
                await self.journal.write([mark])

    # --- what dies

    async def enter(self, stream: str, stream_id: str, name: str, *rows: Any) -> None:
        sequence = await entries.next_sequence(self.connection, stream_id)
        entry = Entry(stream=stream, stream_id=stream_id, sequence=sequence, name=name, at=START, actor="system", cause="c", rows=rows)
        await self.journal.write([entry])

    async def bury(self, notice: StoredNotice | Arrival, fingerprint: str = GROUP, **changes: Any) -> DeadLetter:
        letter = DeadLetter(
            id=dead_letter_of(notice.id), kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one",
            subject=msgspec.json.encode(Subject(notice=notice.id)), reason_class="unweighable", reason="its amount is no amount",
            fingerprint=fingerprint, payload='{"amount": 1999}', attempts=1, first_failed_at=START, last_failed_at=self.clock.now(),
        )  # fmt: skip
        letter = msgspec.structs.replace(letter, **changes)
        mark = NoticeMark(notice_id=notice.id, state=NoticeState.DEAD, outcome="unweighable", at=START)
        await self.enter(DEAD_LETTER_STREAM, letter.id, "DeadLettered", mark, letter)
        return letter

    async def dead_notice(self, *, about: str | None = "pi_1", problem: str | None = None, **changes: Any) -> DeadLetter:
        """A notice that no payment could weigh."""
        id = new_id("ntc")
        notice = Arrival(
            id=id, connector="psp_one", identity=id, digest=b"d" * 32, kind="payment.done", sealed=b"sealed",
            refers=msgspec.json.encode(Refers(psp=(about or "",), problem=problem)),
            received_at=START, request_id="req_1", next_try_at=START,
        )  # fmt: skip
        await self.journal.write([notice])
        return await self.bury(notice, **changes)

    async def dead_notices(self, count: int) -> list[str]:
        return [(await self.dead_notice()).id for _ in range(count)]

    async def dead_delivery(self, state: EndpointState = EndpointState.ENABLED) -> tuple[DeadLetter, Delivery]:
        """An event that its endpoint has never taken."""
        why = "it is gone" if state is EndpointState.DISABLED else None
        endpoint = Endpoint(
            id=new_id("whe"), merchant_id=MERCHANT, url="https://shop.example/hooks", events=("*",), state=state,
            secret=b"sealed", version=1, created_at=START, updated_at=START, disabled_reason=why,
        )  # fmt: skip
        delivery = Delivery(
            payment_id=new_id("pay"), event_id=new_id("evt"), endpoint_id=endpoint.id, merchant_id=MERCHANT, type="payment.failed",
            state=DeliveryState.DEAD, created_at=START, attempts=10, last_error="answered 500",
        )  # fmt: skip
        letter = DeadLetter(
            id=dead_letter_of_delivery(delivery), kind=DeadLetterKind.WEBHOOK_OUT, origin=endpoint.id,
            subject=msgspec.json.encode(Subject(delivery=delivery)), reason_class="http_500", reason="answered 500",
            fingerprint=f"webhook_out/{endpoint.id}/http_500", payload="{}", attempts=10, first_failed_at=START, last_failed_at=START,
            merchant_id=MERCHANT, payment_id=delivery.payment_id,
        )  # fmt: skip
        await self.enter("merchant", MERCHANT, "Made", MerchantRow(id=MERCHANT, name="Shop", created_at=START))
        await self.enter(ENDPOINT_STREAM, endpoint.id, "Made", endpoint)
        await self.enter(DEAD_LETTER_STREAM, letter.id, "DeadLettered", delivery, letter)
        return letter, delivery

    # --- looking

    async def states(self, *ids: str) -> list[str]:
        found = {one.id: one.state.value for one in await dead_letters.load_many(self.connection, ids)}
        return [found[one] for one in ids]

    async def delivery(self, event_id: str) -> Delivery:
        ((found,),) = (await delivery_reads.deliveries_of(self.connection, [event_id])).values()
        return found

    async def records(self, name: str) -> list[tuple[Any, ...]]:
        query = "SELECT stream_id, actor, cause, body FROM payorch.journal WHERE name = %s ORDER BY position"
        return await (await self.connection.execute(query, [name])).fetchall()


@asynccontextmanager
async def world_on(database: Database) -> AsyncIterator[World]:
    """A world in that database."""
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        yield World(journal=journal, connection=connection)


def wish(name: ActName, subject: str, **parameters: Any) -> Wish:
    return Wish(name=name, subject=subject, parameters=parameters, who=OLGA)


def act(name: ActName, subject: str, *, id: str | None = None, progress: Mapping[str, Any] | None = None, **parameters: Any) -> Act:
    return Act(
        id=id or new_id("act"), name=name, subject=subject, parameters=parameters, reason="the bug is repaired", requested_by=OLGA,
        approved_by=AMIR, break_glass=False, progress=progress,
    )  # fmt: skip
