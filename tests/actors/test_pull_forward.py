"""Waves over what waits for a PSP that answers again, and looks lent to one that does not: oldest first, paced, and nobody forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from actors.admission import Admission, CallKind, Refused
from actors.breaker import Verdict
from actors.child import TooManyChildren
from actors.messages import AnswersAgain
from actors.pull_forward import PullForward
from payorch.domain.records import OperationKind
from tests.actors.connector_world import LIMITS, START


class World:
    """Unresolved payments by kind, and who was woken when. Limits: 3 payments a step."""

    def __init__(self) -> None:
        self.payments: dict[str, list[str]] = {}
        self.changed: dict[str, datetime] = {}
        self.woken: list[tuple[str, AnswersAgain]] = []
        self.counted: list[tuple[str, int]] = []
        self.queries = 0
        self.room = 10**6
        self.admission = Admission("psp", LIMITS, 0, changed=lambda changed: None, well_again=self._well_again)
        self.one = PullForward(
            admissions={"psp": self.admission},
            unresolved=self.unresolved,
            wake=self._wake,
            limit=3,
            operations_rarer=4,
            pulled=lambda *what: self.counted.append(what),
        )

    def _wake(self, payment_id: str, message: AnswersAgain) -> None:
        if len(self.woken) >= self.room:
            raise TooManyChildren("payments")
        self.woken.append((payment_id, message))

    def _well_again(self, kind: CallKind, since: float) -> None:
        self.one.begin("psp", kind, START + timedelta(seconds=since))

    async def unresolved(
        self, connector: str, kinds: Sequence[str], *, changed_since: datetime | None, after: str | None, limit: int
    ) -> list[str]:
        self.queries += 1
        found = sorted(one for kind in kinds for one in self.payments.get(kind, []))
        changed = [one for one in found if changed_since is None or self.changed.get(one, START) >= changed_since]
        return [one for one in changed if one > (after or "")][:limit]

    def end(self, kind: CallKind, verdict: Verdict, now: float, times: int = 1) -> None:
        for _ in range(times):
            permit = self.admission.enter(kind, now, "att_1", repeat=False)
            if not isinstance(permit, Refused):
                self.admission.ended(kind, permit, verdict, now, "att_1", repeat=False, sent=True)

    async def step(self, now: float) -> list[str]:
        """Who is woken by one step."""
        before = len(self.woken)
        await self.one.step(now)
        return [payment_id for payment_id, _ in self.woken[before:]]


async def test_at_rest_nothing_is_asked_of_the_database() -> None:
    world = World()
    await world.step(1)
    assert world.queries == 0


async def test_a_wave_takes_the_oldest_first_a_few_at_a_time_and_ends() -> None:
    world = World()
    world.payments["lookup"] = [f"pay_{n}" for n in range(7)]
    world.one.begin("psp", CallKind.LOOKUP, None)
    assert await world.step(1) == ["pay_0", "pay_1", "pay_2"]
    assert await world.step(1.5) == ["pay_3", "pay_4", "pay_5"]
    assert await world.step(2) == ["pay_6"]
    assert await world.step(2.5) == []
    assert world.one.woken == {"psp": 7}
    assert sum(count for _, count in world.counted) == 7


async def test_only_what_changed_since_the_psp_fell_ill_is_in_it() -> None:
    world = World()
    world.payments["authorize"] = ["pay_0", "pay_1"]
    world.changed = {"pay_0": START, "pay_1": START + timedelta(seconds=10)}
    world.end(CallKind.AUTHORIZE, Verdict.BAD, 10)
    world.end(CallKind.AUTHORIZE, Verdict.GOOD, 12)
    assert await world.step(12) == ["pay_1"]


async def test_operations_are_sent_where_their_kind_is_well() -> None:
    world = World()
    world.payments = {"capture": ["pay_0"], "lookup": ["pay_1"]}
    world.one.begin("psp", CallKind.CAPTURE, None)
    world.one.begin("psp", CallKind.LOOKUP, None)
    await world.step(1)
    assert world.woken == [
        ("pay_0", AnswersAgain(connector="psp", sendable=frozenset({OperationKind.CAPTURE}))),
        ("pay_1", AnswersAgain(connector="psp", sendable=frozenset())),
    ]


async def test_a_wave_stands_still_while_the_psp_is_ill_and_forgets_nobody() -> None:
    world = World()
    world.payments["lookup"] = [f"pay_{n}" for n in range(7)]
    world.one.begin("psp", CallKind.LOOKUP, None)
    assert await world.step(1) == ["pay_0", "pay_1", "pay_2"]
    world.end(CallKind.LOOKUP, Verdict.BAD, 1)
    assert await world.step(1.5) == []
    world.changed = {"pay_1": START + timedelta(seconds=1)}  # lost again
    world.end(CallKind.LOOKUP, Verdict.GOOD, 1.8)
    assert [await world.step(now) for now in (2, 2.5, 3)] == [["pay_3", "pay_4", "pay_5"], ["pay_6"], ["pay_0", "pay_1", "pay_2"]]
    assert await world.step(3.5) == ["pay_3", "pay_4", "pay_5"], "since a wave over everything was cut short, the next is one as well"


async def test_a_full_house_stops_a_wave_and_nobody_is_woken_twice_or_forgotten() -> None:
    world = World()
    world.payments["lookup"] = [f"pay_{n}" for n in range(5)]
    world.one.begin("psp", CallKind.LOOKUP, None)
    world.room = 2
    for now in (1.0, 1.5, 2.0):
        with pytest.raises(TooManyChildren):
            await world.step(now)
    assert world.one.woken == {"psp": 2}
    world.room = 100
    await world.step(2.5)
    await world.step(3)
    assert [payment_id for payment_id, _ in world.woken] == [f"pay_{n}" for n in range(5)]


async def test_after_a_start_everything_is_looked_at_once() -> None:
    world = World()
    world.payments = {"lookup": ["pay_0", "pay_1"], "capture": ["pay_2"]}
    world.one.begin_everywhere()
    assert set(await world.step(1)) | set(await world.step(1.5)) == {"pay_0", "pay_1", "pay_2"}
    assert await world.step(2) == []


async def test_looks_are_lent_at_the_pace_of_the_circuit_and_by_turns() -> None:
    world = World()
    world.payments["lookup"] = [f"pay_{n}" for n in range(5)]
    world.end(CallKind.LOOKUP, Verdict.BAD, 0, times=5)
    lent: dict[float, list[str]] = {}
    now = 0.0
    while now < 40:
        found = await world.step(now)
        if found:
            lent[now] = found
            world.end(CallKind.LOOKUP, Verdict.BAD, now)  # the PSP does not answer them either
        now += 0.5
    assert list(lent) == [2, 6, 14, 24, 34], "2 s after the opening, then after 4, 8, 10, 10"
    assert [one for found in lent.values() for one in found][:5] == ["pay_0", "pay_1", "pay_2", "pay_3", "pay_4"]


async def test_nothing_is_lent_to_a_psp_that_has_traffic_of_its_own() -> None:
    world = World()
    world.payments["authorize"] = ["pay_0"]
    world.end(CallKind.AUTHORIZE, Verdict.BAD, 0)
    now = 0.0
    while now < 60:
        now += 1
        world.end(CallKind.AUTHORIZE, Verdict.BAD if now % 3 else Verdict.NOTHING, now)
        if world.admission.is_well(CallKind.AUTHORIZE, now):
            break
        await world.step(now)
    assert len(world.woken) <= 12


async def test_for_payments_that_cannot_help_looks_are_lent_ever_more_rarely() -> None:
    """Nothing of them may be sent any more, so no authorisation comes of it that could close the circuit."""
    world = World()
    world.payments["authorize"] = ["pay_0"]
    world.end(CallKind.AUTHORIZE, Verdict.BAD, 0, times=5)
    lent = []
    now = 0.0
    while now < 3600:
        lent += await world.step(now)
        now += 0.5
    assert 100 < len(lent) <= 3600 / LIMITS.circuit.longest_open_seconds + 5


async def test_when_there_is_nobody_to_lend_one_the_database_is_asked_rarely() -> None:
    world = World()
    world.end(CallKind.LOOKUP, Verdict.BAD, 0, times=5)
    now = 0.0
    while now < 3600:
        await world.step(now)
        now += 0.5
    assert world.queries <= 3600 / LIMITS.lookup_circuit.longest_open_seconds + 5
