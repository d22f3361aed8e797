"""Plans and acts in tests: a store made of dictionaries that holds what the database holds, and a planner that a test can bend."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

import trio
from msgspec.structs import replace

from payorch.api.operations.acts import ActSurroundings
from payorch.domain.act_records import ActRecord, By, Plan, Terms
from payorch.domain.acts import OPEN, UNFINISHED, Act, ActName, ActState, Draft, Effect, Nonsense, Objection, Performed, Person, Wish
from payorch.domain.roles import Role
from payorch.operations.act_book import ActBook
from payorch.operations.desk import ActDesk
from payorch.operations.endings import Endings
from payorch.operations.errand import Errand
from payorch.operations.planner import Progress
from payorch.ports import Clock
from payorch.store.acts import Filter
from payorch.store.items import Appended, Conflict, Entry, Item, PlansForgotten, Result

TERMS = Terms(plan_seconds=1800, decision_seconds=1800, review_seconds=86400)


class MemoryActs:
    """`ActStore` as the database is: what is unique there is unique here, and a version follows the one before."""

    def __init__(self) -> None:
        self.plans: dict[str, Plan] = {}
        self.acts: dict[str, ActRecord] = {}
        self.entries: list[Entry] = []
        self.obstacles: list[Exception] = []
        """each is raised by one write, in order"""

    def told(self, name: str) -> list[Entry]:
        return [one for one in self.entries if one.name == name]

    async def plan(self, plan_id: str) -> Plan | None:
        return self.plans.get(plan_id)

    async def act(self, act_id: str) -> ActRecord | None:
        return self.acts.get(act_id)

    async def numbered(self, act_id: str) -> tuple[ActRecord, int] | None:
        act = self.acts.get(act_id)
        return None if act is None else (act, 1 + sum(one.stream_id == act_id for one in self.entries))

    async def by_plan(self, plan_id: str) -> ActRecord | None:
        return next((one for one in self.acts.values() if one.plan_id == plan_id), None)

    async def by_key(self, operator_id: str, key: str) -> ActRecord | None:
        return next((one for one in self.acts.values() if (one.wish.who.operator, one.key) == (operator_id, key)), None)

    async def open_one(self, subject: str, name: ActName) -> ActRecord | None:
        return next((one for one in self.acts.values() if one.state in OPEN and (one.wish.subject, one.wish.name) == (subject, name)), None)

    async def unfinished(self, *, limit: int) -> list[ActRecord]:
        return [one for one in self.acts.values() if one.state in UNFINISHED][:limit]

    async def overdue(self, at: datetime, *, limit: int) -> list[ActRecord]:
        return [one for one in self.acts.values() if one.state is ActState.PROPOSED and one.expires_at <= at][:limit]

    async def find(self, what: Filter, *, limit: int, after: str | None) -> tuple[list[ActRecord], str | None]:
        def fits(act: ActRecord) -> bool:
            return (
                (not what.states or act.state in what.states)
                and what.subject in (None, act.wish.subject)
                and what.name in (None, act.wish.name)
                and what.who in (None, act.wish.who.name)
                and (not what.to_review or (act.review is not None and act.review.by is None))
                and (after is None or act.id < after)
            )

        found = sorted(filter(fits, self.acts.values()), key=lambda one: one.id, reverse=True)
        return found[:limit], found[limit - 1].id if len(found) > limit else None

    async def write(self, item: Item) -> Result:
        await trio.lowlevel.checkpoint()
        if self.obstacles:
            raise self.obstacles.pop(0)
        if isinstance(item, Plan):
            self.plans[item.id] = item
        elif isinstance(item, PlansForgotten):
            self.plans = {id: one for id, one in self.plans.items() if one.expires_at >= item.before}
        elif isinstance(item, ActRecord):
            return self._put(item)
        else:
            assert isinstance(item, Entry)
            if any(one.stream_id == item.stream_id and one.sequence == item.sequence for one in self.entries):
                return Conflict()
            results = [self._put(row) for row in item.rows if isinstance(row, ActRecord)]
            if Conflict() in results:
                return Conflict()
            self.entries.append(item)
        return Appended(len(self.entries))

    def _put(self, act: ActRecord) -> Result:
        before = self.acts.get(act.id)
        if act.version != (1 if before is None else before.version + 1):
            return Conflict()
        for other in self.acts.values():
            same = (other.wish.subject, other.wish.name) == (act.wish.subject, act.wish.name) and {other.state, act.state} <= OPEN
            keyed = (other.wish.who.operator, other.key) == (act.wish.who.operator, act.key)
            if other.id != act.id and (same or keyed or other.plan_id == act.plan_id):
                return Conflict()
        self.acts[act.id] = act
        return Appended(len(self.entries))


class FakePlanner:
    """Finds `draft` for every subject but `nowhere`; carrying out does what `behave` does."""

    def __init__(self) -> None:
        self.draft = a_draft()
        self.performed: list[Act] = []
        self.planned: list[Wish] = []
        self.behave: Callable[[Act, Progress], Awaitable[Performed]] = self.obey

    async def plan(self, wish: Wish) -> Draft:
        self.planned.append(wish)
        if wish.subject == "nowhere":
            raise Nonsense("/subject", "There is no such thing.", missing=True)
        if wish.parameters.get("amount") == -1:
            raise Nonsense("/parameters/amount", "This is a positive number.")
        return self.draft

    async def perform(self, act: Act, progress: Progress) -> Performed:
        self.performed.append(act)
        return await self.behave(act, progress)

    async def obey(self, act: Act, progress: Progress) -> Performed:
        return Performed(state=ActState.DONE, text="it is done", data={"act": act.id})


class FakeAlarm:
    def __init__(self) -> None:
        self.pages: list[tuple[str, dict[str, Any]]] = []

    def critical(self, event: str, **details: Any) -> None:
        self.pages.append((event, details))


class Acting:
    """The desk, with somebody behind it who carries out what it hands on at once."""

    def __init__(self, *, clock: Clock, new_id: Callable[[str], str], answer_within_seconds: float = 5.0) -> None:
        self.store = MemoryActs()
        self.planner = FakePlanner()
        self.planners = dict.fromkeys(ActName, self.planner)
        self.alarm = FakeAlarm()
        self.endings = Endings()
        self.book = ActBook(self.store, clock=clock, identifier=new_id)
        self.errand = Errand(self.book, self.planners)
        self.idle = False
        """nobody carries anything out"""
        self.desk = ActDesk(
            self.book, self.planners, terms=TERMS, endings=self.endings, carry=self._carry,
            answer_within_seconds=answer_within_seconds, log=self.alarm,
        )  # fmt: skip

    def surroundings(self) -> ActSurroundings:
        return ActSurroundings(desk=self.desk, page_default=3, page_limit=5)

    def _carry(self, act_id: str) -> None:
        if not self.idle:
            trio.lowlevel.spawn_system_task(self._run, act_id)

    async def _run(self, act_id: str) -> None:
        await self.errand.carry_out(act_id)
        self.endings.over(act_id)


def a_draft(**changes: Any) -> Draft:
    made = Draft(
        effects=(Effect(what="state", before="open", after="closed"),), people=1, why_people="it can be undone", version="1",
        confirm="249.00", undo="ask for the reverse",
    )  # fmt: skip
    return replace(made, **changes)


NOT_NOW = Objection(code="not_now", why="It is the wrong hour.")


def by(who: Person, role: Role = Role.APPROVER) -> By:
    return By(person=who, role=role, cause="req_1", route="POST /ops/v1/actions")
