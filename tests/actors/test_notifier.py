"""What merchants are told, in virtual time: the schedule to the last try, who is delayed by whom, what is switched off, what dies."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace
from trio.testing import MockClock

from actors.notifier import Answer, DeliveryLimits, EndpointSurroundings, NotifierActor, NotTold, Told, Wake, dead_letter_of, judged
from actors.supervisor import ChildSpec, DynamicSupervisor, Report, ReportKind, Strategy, Supervisor
from payorch.store import endpoints
from payorch.store.delivery_reads import Due
from payorch.store.entries import Change
from payorch.store.items import Appended, DeadLetter, Delivery, DeliveryState, Endpoint, EndpointState, Result
from payorch.store.pool import DatabaseUnavailable
from tests.store.stories import MERCHANT, OTHER_MERCHANT, START, new_id

TRIES = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
LIMITS = DeliveryLimits(tries_seconds=TRIES, connections=2, gather_seconds=0.02, sweep_seconds=1.0, endpoints=9)
SLOWLY = dataclasses.replace(LIMITS, sweep_seconds=20.0)
"""For days in virtual time: each look costs as much as it does in real time."""
Behave = Callable[[int], Answer | float]
"""What an endpoint does with its n-th message, from 1: an answer, or seconds that it says nothing for."""


class World:
    """Endpoints with their behaviour, deliveries as rows, and everything that was posted: (seconds, endpoint, event)."""

    def __init__(self, limits: DeliveryLimits = LIMITS) -> None:
        self.limits = limits
        self.endpoints: dict[str, Endpoint] = {}
        self.behave: dict[str, Behave] = {}
        self.rows: dict[tuple[str, str], Delivery] = {}
        self.posted: list[tuple[float, str, str]] = []
        self.letters: list[DeadLetter] = []
        self.entries: list[Change] = []
        self.closed = 0
        self.lines: list[str] = []
        self.away = False
        self.deaths: list[Report] = []
        self._by_url: dict[str, str] = {}
        self._messages: dict[str, int] = {}

    def now(self) -> datetime:
        return START + timedelta(milliseconds=round(trio.current_time() * 1000))

    def add(self, behave: Behave, merchant_id: str = MERCHANT) -> str:
        id = new_id("whe")
        self.endpoints[id] = Endpoint(
            id=id, merchant_id=merchant_id, url=f"https://{id}.example/", events=("*",), state=EndpointState.ENABLED, secret=b"s",
            version=1, created_at=START, updated_at=START,
        )  # fmt: skip
        self._by_url[self.endpoints[id].url] = id
        self.behave[id] = behave
        return id

    def owe(self, endpoint_id: str) -> str:
        event_id = new_id("evt")
        self.rows[endpoint_id, event_id] = Delivery(
            payment_id=new_id("pay"), event_id=event_id, endpoint_id=endpoint_id, merchant_id=self.endpoints[endpoint_id].merchant_id,
            type="payment.failed", state=DeliveryState.PENDING, created_at=self.now(), next_attempt_at=self.now(),
        )  # fmt: skip
        return event_id

    def row(self, endpoint_id: str) -> Delivery:
        [row] = [row for (id, _), row in self.rows.items() if id == endpoint_id]
        return row

    # --- the store

    async def endpoints_due(self, now: datetime, *, merchants: Sequence[str] | None, limit: int) -> list[str]:
        await self._asked()
        due = {row.endpoint_id for row in self.rows.values() if row.next_attempt_at is not None and row.next_attempt_at <= now}
        enabled = [one for one in sorted(due) if self.endpoints[one].state is EndpointState.ENABLED]
        return [one for one in enabled if merchants is None or self.endpoints[one].merchant_id in merchants][:limit]

    async def endpoint(self, endpoint_id: str) -> Endpoint | None:
        await self._asked()
        return self.endpoints.get(endpoint_id)

    async def due_deliveries(self, endpoint_id: str, now: datetime, *, limit: int) -> list[Due]:
        await self._asked()
        mine = [row for row in self.rows.values() if row.endpoint_id == endpoint_id and row.next_attempt_at is not None]
        return [Due(delivery=row, body=b"{}") for row in mine if row.next_attempt_at is not None and row.next_attempt_at <= now][:limit]

    async def write(self, item: Delivery) -> Result:
        await self._asked()
        self.rows[item.endpoint_id, item.event_id] = item
        return Appended(1)

    async def switch_off(self, waits: Delivery) -> None:
        await self._asked()
        change = endpoints.gone(self.endpoints[waits.endpoint_id], waits, at=self.now())
        await self.enter(change, actor="system", cause="test")

    async def enter(self, change: Change, *, actor: str, cause: str) -> int:
        await self._asked()
        self.entries.append(change)
        for row in change.rows:
            match row:
                case Endpoint():
                    self.endpoints[row.id] = row
                case Delivery():
                    self.rows[row.endpoint_id, row.event_id] = row
                case DeadLetter():
                    self.letters.append(row)
        return 1

    async def _asked(self) -> None:
        await trio.lowlevel.checkpoint()
        if self.away:
            raise DatabaseUnavailable("away")

    # --- the endpoints

    def line(self, url: str) -> Line:
        self.lines.append(url)
        return Line(self, self._by_url[url])

    async def run(self, nursery: trio.Nursery) -> Supervisor:
        around = EndpointSurroundings(
            store=self, clock=self, limits=self.limits, line=self.line, headers=self.headers, fraction=lambda: 0.5, tried=lambda *_: None
        )
        supervisor = DynamicSupervisor(
            name="endpoints", max_children=9, intensity=5, period_seconds=10, report=self.heard_of, gave_up=lambda *_: None
        )
        notifier = ChildSpec(
            name="notifier",
            start=lambda: NotifierActor(endpoints=supervisor, around=around, shutdown_seconds=1),
            mailbox_capacity=9,
            shutdown_seconds=1,
        )
        root = Supervisor(
            name="root",
            strategy=Strategy.REST_FOR_ONE,
            children=[supervisor, notifier],
            intensity=5,
            period_seconds=10,
            report=lambda _: None,
        )
        await nursery.start(root.run)
        return root

    def heard_of(self, report: Report) -> None:
        if report.kind is ReportKind.DIED:
            self.deaths.append(report)

    def headers(self, endpoint: Endpoint, event_id: str, at: datetime, body: bytes) -> Mapping[str, str]:
        return {"webhook-id": event_id}


class Line:
    def __init__(self, world: World, endpoint_id: str) -> None:
        self._world = world
        self._id = endpoint_id

    async def post(self, headers: Mapping[str, str], body: bytes) -> Answer:
        world = self._world
        world.posted.append((trio.current_time(), self._id, headers["webhook-id"]))
        number = world._messages[self._id] = world._messages.get(self._id, 0) + 1
        answer = world.behave[self._id](number)
        if isinstance(answer, float):
            await trio.sleep(answer)
            return NotTold(reason_class="no_answer_deadline", reason="no whole answer in time")
        return answer

    async def aclose(self) -> None:
        self._world.closed += 1


def times(world: World, endpoint_id: str) -> list[float]:
    return [at for at, id, _ in world.posted if id == endpoint_id]


async def test_ten_tries_over_three_days_and_then_a_dead_letter(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World(SLOWLY)
    endpoint = world.add(lambda _: Told(status=500))
    event = world.owe(endpoint)
    await world.run(nursery)
    await trio.sleep(5 * 86400)
    found = times(world, endpoint)
    pauses = [later - earlier for earlier, later in itertools.pairwise(found)]
    # A look may be late by its own pace; the throw of the dice is in the middle.
    assert len(found) == 10
    assert all(0 <= pause - seconds <= SLOWLY.sweep_seconds for pause, seconds in zip(pauses, TRIES[1:], strict=True))
    [letter] = world.letters
    dead = world.row(endpoint)
    assert (dead.state, dead.attempts, dead.next_attempt_at, dead.last_status) == (DeliveryState.DEAD, 10, None, 500)
    assert (letter.id, letter.reason_class, letter.attempts, letter.origin) == (dead_letter_of(dead), "http_500", 10, endpoint)
    assert letter.subject.find(event.encode()) > 0


async def test_an_endpoint_that_is_ill_for_an_hour_hears_of_it_after_that_hour(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World(SLOWLY)
    endpoint = world.add(lambda _: Told(status=500 if trio.current_time() < 3600 else 204))
    world.owe(endpoint)
    await world.run(nursery)
    await trio.sleep(4 * 3600)
    row = world.row(endpoint)
    assert (row.state, row.attempts, row.last_status, row.last_error) == (DeliveryState.DELIVERED, 5, 204, None)
    assert not world.letters


async def test_a_hanging_endpoint_delays_nobody_else(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    hanging, well = world.add(lambda _: 15.0), world.add(lambda _: Told(status=200), OTHER_MERCHANT)
    for _ in range(20):
        world.owe(hanging)
        world.owe(well)
    await world.run(nursery)
    await trio.sleep(2)
    assert sum(row.state is DeliveryState.DELIVERED for row in world.rows.values()) == 20
    assert len(times(world, hanging)) == LIMITS.connections


async def test_what_is_committed_is_told_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    endpoint = world.add(lambda _: Told(status=200))
    root = await world.run(nursery)
    await trio.sleep(10.5)
    world.owe(endpoint)
    root.ref("notifier").tell(Wake(merchant_id=MERCHANT))
    await trio.sleep(0.1)
    assert times(world, endpoint) == [pytest.approx(10.52, abs=0.01)]
    await trio.sleep(60)
    assert len(times(world, endpoint)) == 1
    assert world.closed == 1  # it rests, and holds no connection


async def test_gone_switches_the_endpoint_off_and_loses_nothing(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World(SLOWLY)
    endpoint = world.add(lambda _: Told(status=410))
    world.owe(endpoint)
    await world.run(nursery)
    await trio.sleep(86400)
    off = world.endpoints[endpoint]
    assert (off.state, off.disabled_reason, off.version) == (EndpointState.DISABLED, "it answered 410 Gone", 2)
    assert (len(world.posted), world.row(endpoint).state, len(world.letters)) == (1, DeliveryState.PENDING, 0)
    # Its merchant switches it on again: what waited is sent.
    world.behave[endpoint] = lambda _: Told(status=200)
    world.endpoints[endpoint] = replace(off, state=EndpointState.ENABLED)
    await trio.sleep(SLOWLY.sweep_seconds)
    assert world.row(endpoint).state is DeliveryState.DELIVERED


async def test_an_endpoint_that_moves_while_something_is_due_is_sent_to_where_it_is(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    world = World()
    endpoint = world.add(lambda _: 5.0)
    for _ in range(4):
        world.owe(endpoint)
    await world.run(nursery)
    await trio.sleep(1)
    moved = replace(world.endpoints[endpoint], url="https://elsewhere.example/")
    world.endpoints[endpoint] = moved
    world._by_url[moved.url] = endpoint
    world.lines.clear()
    await trio.sleep(10)
    assert set(world.lines) == {moved.url}


async def test_an_endpoint_is_sent_no_more_than_its_connections_at_once(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    endpoint = world.add(lambda number: Told(status=200) if number > 2 else 3.0)
    for _ in range(6):
        world.owe(endpoint)
    await world.run(nursery)
    await trio.sleep(20)
    at = times(world, endpoint)
    assert at[:2] == [pytest.approx(at[0])] * 2
    assert at[2] >= at[0] + 3.0
    assert {row.state for row in world.rows.values()} == {DeliveryState.DELIVERED}


async def test_a_lost_database_pauses_and_nothing_dies_of_it(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()
    endpoint = world.add(lambda _: Told(status=200))
    world.owe(endpoint)
    world.away = True
    await world.run(nursery)
    await trio.sleep(60)
    assert not world.posted
    world.away = False
    await trio.sleep(2)
    assert world.row(endpoint).state is DeliveryState.DELIVERED


async def test_what_cannot_be_marked_is_sent_again_and_nothing_dies_of_it(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    world = World()

    def goes_away(number: int) -> Told:
        world.away = number == 1
        return Told(status=200)

    endpoint = world.add(goes_away)
    world.owe(endpoint)
    await world.run(nursery)
    await trio.sleep(30)
    assert len(world.posted) == 1
    assert world.deaths == []
    world.away = False
    await trio.sleep(2)
    assert len(world.posted) == 2
    assert world.row(endpoint).state is DeliveryState.DELIVERED


# --- one try, judged


def a_delivery(**changes: Any) -> Delivery:
    made = Delivery(
        payment_id=new_id("pay"), event_id=new_id("evt"), endpoint_id=new_id("whe"), merchant_id=MERCHANT, type="payment.failed",
        state=DeliveryState.PENDING, created_at=START, next_attempt_at=START,
    )  # fmt: skip
    return replace(made, **changes)


@pytest.mark.parametrize(
    ("answer", "state", "words"),
    [
        (Told(status=200), DeliveryState.DELIVERED, None),
        (Told(status=299), DeliveryState.DELIVERED, None),
        (Told(status=302), DeliveryState.PENDING, "answered 302: redirects are not followed"),
        (Told(status=400), DeliveryState.PENDING, "answered 400"),
        (Told(status=500), DeliveryState.PENDING, "answered 500"),
        (NotTold(reason_class="not_sent_blocked", reason="not an address"), DeliveryState.PENDING, "not_sent_blocked: not an address"),
    ],
)
def test_what_an_answer_means(answer: Answer, state: DeliveryState, words: str | None) -> None:
    after = judged(a_delivery(), answer, START, LIMITS, 0.5)
    assert (after.state, after.last_error, after.attempts) == (state, words, 1)
    assert (after.next_attempt_at is None) == (state is DeliveryState.DELIVERED)


def test_an_endpoint_that_asks_for_time_gets_it() -> None:
    busy = Told(status=503, retry_after=START + timedelta(hours=2))
    assert judged(a_delivery(), busy, START, LIMITS, 0.5).next_attempt_at == START + timedelta(hours=2)
    soon = Told(status=503, retry_after=START + timedelta(seconds=1))
    assert judged(a_delivery(attempts=1), soon, START, LIMITS, 0.5).next_attempt_at == START + timedelta(seconds=300)


@given(tries=st.integers(0, 9), fraction=st.floats(0, 1, exclude_max=True), status=st.integers(300, 599))
def test_pauses_are_spread_by_a_tenth_and_end(tries: int, fraction: float, status: int) -> None:
    after = judged(a_delivery(attempts=tries), Told(status=status), START, LIMITS, fraction)
    if tries == 9:
        assert (after.state, after.next_attempt_at) == (DeliveryState.DEAD, None)
        return
    assert after.next_attempt_at is not None
    pause = (after.next_attempt_at - START).total_seconds()
    planned = LIMITS.tries_seconds[tries + 1]
    assert math.floor(planned * 0.9) <= pause <= planned * 1.1


def test_a_dead_letter_has_one_id_for_ever() -> None:
    one = a_delivery()
    assert dead_letter_of(one) == dead_letter_of(replace(one, attempts=7)) != dead_letter_of(replace(one, endpoint_id=new_id("whe")))
    assert START.tzinfo is UTC
