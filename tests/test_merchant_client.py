"""Following events: each that is committed after the start comes once, however late it is committed and whoever was away meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from uuid import UUID

import pytest
import trio
import trio.testing
from hypothesis import example, given, settings
from hypothesis import strategies as st

from payorch.domain import identifiers
from payorch.merchant_client import LATEST_MILLISECONDS, Event, Events, Page, PlatformAway, born_milliseconds

START_MILLISECONDS = 1_800_000_000_000
PAGE = 3


def event_id(born: int, number: int = 0) -> str:
    """The id of an event made so many milliseconds after the start."""
    return identifiers.text("evt", UUID(int=(START_MILLISECONDS + born) << 80 | 0x7 << 76 | 0x2 << 62 | number))


@dataclass
class Platform:
    """Events by their making and their commit, in milliseconds after the start, as a list of them shows at any moment."""

    clock: trio.testing.MockClock
    committed: Sequence[tuple[int, int]]
    away: list[bool] = field(default_factory=list)
    asked: int = 0

    async def page(self, cursor: str | None) -> Page:
        self.asked += 1
        if self.away and self.away.pop():
            raise PlatformAway("no answer")
        now = trio.current_time() * 1000
        visible = sorted((event_id(born, number) for number, (born, at) in enumerate(self.committed) if at <= now), reverse=True)
        after = [one for one in visible if cursor is None or one < cursor]
        events: tuple[Event, ...] = tuple({"id": one} for one in after[:PAGE])
        return Page(events=events, next_cursor=after[PAGE - 1] if len(after) > PAGE else None)


# (made at, committed so much later): between the start and two minutes later, as late as can be.
_events = st.lists(
    st.tuples(st.integers(0, 120_000), st.one_of(st.integers(0, 50), st.integers(0, LATEST_MILLISECONDS - 1))),
    max_size=25,
    unique_by=lambda one: one[0],
)
_looks = st.lists(st.tuples(st.floats(0.01, 30), st.booleans()), min_size=1, max_size=12)


@settings(max_examples=300, deadline=None)
@given(events=_events, begin=st.floats(0, 60), looks=_looks)
@example(
    events=[(0, 0), (40_000, 0), (39_000, 40_000), (45_000, 0)], begin=1.0, looks=[(50.0, False), (1.0, False), (1.0, True), (30.0, False)]
)
def test_each_event_comes_once(events: list[tuple[int, int]], begin: float, looks: list[tuple[float, bool]]) -> None:
    committed = [(born, born + late) for born, late in events]
    ids = {event_id(born, number): at for number, (born, at) in enumerate(committed)}
    clock = trio.testing.MockClock()
    platform = Platform(clock, committed)
    seen: list[str] = []

    async def follow() -> float:
        following = Events(platform.page)
        clock.jump(begin)
        await following.begin()
        began = trio.current_time()
        for pause, away in looks:
            clock.jump(pause)
            # The trouble comes with the first question, or in the middle of a look: with the second.
            platform.away = [True] if away else []
            try:
                found = await following.new()
            except PlatformAway:
                found = await following.new(thorough=True)
            assert [born_milliseconds(one) for one in found] == sorted(born_milliseconds(one) for one in found)
            seen.extend(one["id"] for one in found)
        # The last look back all the way: nothing can be later than that.
        clock.jump(LATEST_MILLISECONDS / 1000 + 200)
        seen.extend(one["id"] for one in await following.new())
        return began

    began = trio.run(follow, clock=clock)
    assert sorted(seen) == sorted(one for one, at in ids.items() if at > began * 1000)


async def test_trouble_in_the_middle_of_a_look_loses_nothing(mock_clock: trio.testing.MockClock) -> None:
    platform = Platform(mock_clock, [(n, 1000 + n) for n in range(8)])
    following = Events(platform.page)
    await following.begin()
    mock_clock.jump(2)
    platform.away = [True, False]
    with pytest.raises(PlatformAway):
        await following.new()
    assert [one["id"] for one in await following.new(thorough=True)] == [event_id(n, n) for n in range(8)]
    assert await following.new(thorough=True) == []


async def test_looks_are_short_where_there_was_much_before(mock_clock: trio.testing.MockClock) -> None:
    """One page a look, though a minute of events lies behind; and once in ten seconds all of it."""
    platform = Platform(mock_clock, [(100 * n, 100 * n) for n in range(600)])
    following = Events(platform.page)
    mock_clock.jump(60)
    await following.begin()
    platform.asked = 0
    assert await following.new() == []
    assert platform.asked < 10
    mock_clock.jump(10)
    assert await following.new() == []
    assert platform.asked > 100
