"""What merchants are told: finds the endpoints that something is to be sent to, and has an actor for each send it.

One endpoint, one actor, a bounded number of connections: one that is dead or slow delays nobody else. An actor lives while something is due
and rests otherwise; the schedule is in the rows. A try that succeeded is marked through the journal; a crash between sending and marking
sends again, so a receiver sees every event at least once, under the same id. After the last try the delivery is a dead letter.

Not here: which endpoints an event goes to (the statement that writes the event), addresses and connections (the network port), signatures.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, Protocol, TypeAlias

import msgspec
import trio

from actors.actor import Actor
from actors.child import ChildSpec, Restart, TooManyChildren
from actors.dynamic import DynamicSupervisor
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.ports import Clock
from payorch.store.dead_letters import Subject
from payorch.store.delivery_reads import Due
from payorch.store.entries import Change
from payorch.store.items import (
    DEAD_LETTER_STREAM,
    Appended,
    DeadLetter,
    DeadLetterKind,
    Delivery,
    DeliveryState,
    Endpoint,
    EndpointState,
    Result,
)
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

_AWAY: Final = (DatabaseUnavailable, JournalUnavailable, PoolExhausted, ActorStopped, MailboxFull, AskTimeout, trio.TooSlowError)
_SYSTEM: Final = "system"
_GONE: Final = 410
_LONGEST_ERROR: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryLimits:
    """tries_seconds: the pause before each try; as many tries as there are. connections: to one endpoint at once.

    gather_seconds, sweep_seconds: how long after a commit, and how often anyway, endpoints are looked for.
    """

    tries_seconds: tuple[int, ...]
    connections: int
    gather_seconds: float
    sweep_seconds: float
    endpoints: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """The endpoint answered. retry_after: before which it wants no more, where it said so."""

    status: int
    retry_after: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NotTold:
    """No answer came. reason_class: one word; reason: for the merchant, nothing of our network in it."""

    reason_class: str
    reason: str


Answer: TypeAlias = Told | NotTold


class Line(Protocol):
    """A connection to one endpoint, made anew when it must be."""

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        """Sends that and says what came of it. Never raises but Cancelled."""
        ...

    async def aclose(self) -> None: ...


class Store(Protocol):
    """What is read and written. Reads raise DatabaseUnavailable and PoolExhausted, writes JournalUnavailable, when it is away."""

    async def endpoints_due(self, now: datetime, *, merchants: Sequence[str] | None, limit: int) -> list[str]: ...

    async def endpoint(self, endpoint_id: str) -> Endpoint | None: ...

    async def due_deliveries(self, endpoint_id: str, now: datetime, *, limit: int) -> list[Due]: ...

    async def write(self, item: Delivery) -> Result: ...

    async def switch_off(self, waits: Delivery) -> None:
        """That delivery's endpoint is gone for good: it is disabled, whatever else was changed about it, and the delivery waits."""
        ...

    async def enter(self, change: Change, *, actor: str, cause: str) -> int:
        """Writes an entry with its rows. Raises ChangeRefused."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSurroundings:
    """What every endpoint's actor is given.

    line: a connection to that URL. headers: signed, from (endpoint, event id, time, body). fraction: a throw of the dice, in [0, 1).
    tried: told of each try, what came of it (delivered, failed, dead) and how long it took.
    """

    store: Store
    clock: Clock
    limits: DeliveryLimits
    line: Callable[[str], Line]
    headers: Callable[[Endpoint, str, datetime, bytes], Mapping[str, str]] = field(repr=False)
    fraction: Callable[[], float]
    tried: Callable[[str, float], None]


class EndpointActor(Actor[None]):
    """Sends what is due to one endpoint, several at once, until nothing is. The journal has all that it knows."""

    def __init__(self, endpoint_id: str, around: EndpointSurroundings) -> None:
        self._id = endpoint_id
        self._around = around
        self._over = False  # it is gone, or what is sent cannot be marked
        self._url = ""
        self._lines: list[Line] = []

    async def started(self) -> None:
        try:
            with contextlib.suppress(*_AWAY):  # the rows are there: the next sweep starts another
                while not self._over and await self._round():
                    pass
        finally:
            with trio.CancelScope(shield=True):
                await self._hang_up()
        self.stop()

    async def receive(self, message: None) -> None:
        raise AssertionError("nobody tells an endpoint's actor anything")

    async def _hang_up(self) -> None:
        lines, self._lines = self._lines, []
        for line in lines:
            await line.aclose()

    async def _round(self) -> bool:
        """Sends what is due now, as much as goes at once. False: there is nothing, or nobody to send it to."""
        around = self._around
        endpoint = await around.store.endpoint(self._id)
        if endpoint is None or endpoint.state is not EndpointState.ENABLED:
            return False
        if endpoint.url != self._url:
            await self._hang_up()  # its merchant has moved it
            self._url = endpoint.url
        due = await around.store.due_deliveries(self._id, around.clock.now(), limit=around.limits.connections)
        while len(self._lines) < len(due):
            self._lines.append(around.line(endpoint.url))
        async with trio.open_nursery() as nursery:
            for line, one in zip(self._lines, due, strict=False):
                nursery.start_soon(self._try, line, endpoint, one)
        return bool(due)

    async def _try(self, line: Line, endpoint: Endpoint, due: Due) -> None:
        try:
            await self._send(line, endpoint, due)
        except _AWAY:  # caught here, since out of a nursery it would come in a group; its row is due still
            self._over = True

    async def _send(self, line: Line, endpoint: Endpoint, due: Due) -> None:
        around, began = self._around, trio.current_time()
        at = around.clock.now()
        answer = await line.post(around.headers(endpoint, due.delivery.event_id, at, due.body), due.body)
        after = judged(due.delivery, answer, around.clock.now(), around.limits, around.fraction())
        outcome = "failed" if after.state is DeliveryState.PENDING else str(after.state)
        around.tried(outcome, trio.current_time() - began)
        if isinstance(answer, Told) and answer.status == _GONE:
            self._over = True
            waits = msgspec.structs.replace(due.delivery, last_attempt_at=at, last_status=_GONE, last_error="answered 410")
            return await around.store.switch_off(waits)
        if after.state is DeliveryState.DEAD:
            return await self._bury(after, answer, due)
        result = await around.store.write(after)
        if not isinstance(result, Appended):  # or it would be sent again and again at once
            raise AssertionError(f"a delivery was not marked: {result}")
        return None

    async def _bury(self, dead: Delivery, answer: Answer, due: Due) -> None:
        """Makes a dead letter of it: its row and the letter in one transaction, with a record of it."""
        reason_class = f"http_{answer.status}" if isinstance(answer, Told) else answer.reason_class
        letter = DeadLetter(
            id=dead_letter_of(dead),
            kind=DeadLetterKind.WEBHOOK_OUT,
            origin=dead.endpoint_id,
            subject=msgspec.json.encode(Subject(delivery=dead)),
            reason_class=reason_class,
            reason=dead.last_error or reason_class,
            fingerprint=f"webhook_out/{dead.endpoint_id}/{reason_class}",
            payload=due.body.decode(),
            attempts=dead.attempts,
            first_failed_at=dead.created_at,
            last_failed_at=dead.last_attempt_at or dead.created_at,
            merchant_id=dead.merchant_id,
            payment_id=dead.payment_id,
        )
        detail = {"kind": letter.kind.value, "origin": letter.origin, "reason_class": reason_class, "event": dead.event_id}
        change = Change(stream=DEAD_LETTER_STREAM, stream_id=letter.id, name="DeadLettered", rows=(dead, letter), detail=detail)
        await self._around.store.enter(change, actor=_SYSTEM, cause=dead.event_id)


def judged(delivery: Delivery, answer: Answer, now: datetime, limits: DeliveryLimits, fraction: float) -> Delivery:
    """The delivery after a try: delivered by any 2xx; otherwise due again by the schedule, or dead after the last try.

    A redirect is a failure like any other: an address that was not checked is never gone to. fraction: the throw that spreads the pause.
    """
    tries = delivery.attempts + 1
    tried = msgspec.structs.replace(
        delivery,
        attempts=tries,
        last_attempt_at=now,
        last_status=answer.status if isinstance(answer, Told) else None,
        last_error=_words(answer),
    )
    if isinstance(answer, Told) and 200 <= answer.status < 300:
        return msgspec.structs.replace(tried, state=DeliveryState.DELIVERED, delivered_at=now, next_attempt_at=None)
    if tries >= len(limits.tries_seconds):
        return msgspec.structs.replace(tried, state=DeliveryState.DEAD, next_attempt_at=None)
    pause = limits.tries_seconds[tries] * (0.9 + 0.2 * fraction)
    again = now + timedelta(milliseconds=int(pause * 1000))
    wanted = answer.retry_after if isinstance(answer, Told) else None
    return msgspec.structs.replace(tried, next_attempt_at=max(again, wanted or again))


def _words(answer: Answer) -> str | None:
    if isinstance(answer, NotTold):
        return f"{answer.reason_class}: {answer.reason}"[:_LONGEST_ERROR]
    if 300 <= answer.status < 400:
        return f"answered {answer.status}: redirects are not followed"
    return None if 200 <= answer.status < 300 else f"answered {answer.status}"


def dead_letter_of(delivery: Delivery) -> str:
    """The id of the dead letter that a delivery becomes: always the same, also when it dies again after a replay."""
    return identifiers.text("dlq", identifiers.child_of(uuid_of(delivery.event_id), delivery.endpoint_id))


@dataclass(frozen=True, slots=True, kw_only=True)
class Wake:
    """Something was committed that a merchant is to be told."""

    merchant_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierStatistics:
    """endpoints: being served now. started: how often one was begun to be served, since the start."""

    endpoints: int
    started: int


class NotifierActor(Actor[Wake]):
    """Starts the actors of endpoints that have something due. endpoints: the supervisor they live under."""

    def __init__(self, *, endpoints: DynamicSupervisor, around: EndpointSurroundings, shutdown_seconds: float) -> None:
        self._endpoints = endpoints
        self._around = around
        self._shutdown_seconds = shutdown_seconds
        self._merchants: dict[str, None] = {}
        self._called = trio.Event()
        self._started = 0

    async def started(self) -> None:
        self.spawn(self._look_for_ever)

    async def receive(self, message: Wake) -> None:
        self._merchants.update(dict.fromkeys(one.merchant_id for one in (message, *self.mailbox.take_waiting(self.mailbox.depth))))
        self._called.set()

    def statistics(self) -> NotifierStatistics:
        """A frozen snapshot."""
        return NotifierStatistics(endpoints=self._endpoints.statistics().children, started=self._started)

    async def _look_for_ever(self) -> None:
        """Among those who were just told of at once, and among all now and then: retries, what a restart left, what was not heard."""
        limits = self._around.limits
        everything_at = trio.current_time()
        while True:
            if trio.current_time() >= everything_at:
                everything_at = trio.current_time() + limits.sweep_seconds
                await self._look(None)
            with trio.move_on_at(everything_at):
                await self._called.wait()
                await trio.sleep(limits.gather_seconds)
            if self._merchants:
                merchants = list(self._merchants)
                self._merchants.clear()
                self._called = trio.Event()
                await self._look(merchants)

    async def _look(self, merchants: Sequence[str] | None) -> None:
        around = self._around
        with contextlib.suppress(*_AWAY, TooManyChildren):
            for endpoint_id in await around.store.endpoints_due(around.clock.now(), merchants=merchants, limit=around.limits.endpoints):
                if self._endpoints.ref_of(endpoint_id) is None:
                    self._begin(endpoint_id)

    def _begin(self, endpoint_id: str) -> None:
        self._endpoints.start_child(
            ChildSpec(
                name=endpoint_id,
                start=lambda: EndpointActor(endpoint_id, self._around),
                mailbox_capacity=1,
                restart=Restart.TEMPORARY,
                shutdown_seconds=self._shutdown_seconds,
            )
        )
        self._started += 1
