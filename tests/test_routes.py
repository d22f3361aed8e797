"""Routing in a running platform: its memory comes back from the journal, and new rules are all or nothing, and written down."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace as changed

from actors.actor import Life
from actors.mailbox import Mailbox, Ref
from connectors.registry import CONNECTORS
from payorch import routing_desk
from payorch.domain import events as e
from payorch.domain.payment import Name, State
from payorch.domain.routing import route
from payorch.domain.rules import asked, draw_of
from payorch.routes import LOADED, REFUSED, Reload, Routes
from payorch.settings import Settings, load
from payorch.store import routing_reads
from payorch.store.driver import Connection
from payorch.store.items import Append, Appended, Entry, Item, Result
from payorch.store.journal import Journal, JournalUnavailable
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on, new_id

STRIPE = {"stripe": CONNECTORS["stripe"]}


class Clock:
    def __init__(self, at: datetime = START) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


class Owner:
    """Lets one life of one actor run; nothing is restarted."""

    def __init__(self) -> None:
        self.begun = trio.Event()
        self.deaths: list[Exception] = []

    def life_started(self, life: Life) -> None:
        self.begun.set()

    def life_ended(self, life: Life) -> None:
        if life.error is not None:
            self.deaths.append(life.error)

    def abandon_tree(self) -> None: ...


@dataclass(kw_only=True)
class World:
    """A journal with a connection, and routing over both. reread: what is written now."""

    connection: Connection
    journal: Journal
    clock: Clock
    environment: dict[str, str]
    settings: Settings

    def routes(self, write: Callable[[Entry], Awaitable[Result]] | None = None) -> Routes:
        """Routing in a new process."""
        return Routes(
            self.settings, STRIPE, clock=self.clock, unavailable=dict, read=self.read, write=write or self.write,
            reread=lambda: load(self.environment),
        )  # fmt: skip

    async def read(self, query: Callable[..., Awaitable[Any]], *arguments: Any, **named: Any) -> Any:
        return await query(self.connection, *arguments, **named)

    async def write(self, item: Item) -> Result:
        return (await self.journal.write([item]))[0]

    async def records(self) -> list[tuple[str, str, str, dict[str, Any]]]:
        found = await routing_reads.rule_records(self.connection)
        return [(one.name, one.actor, one.cause, json.loads(one.body)) for one in found]


@asynccontextmanager
async def world(database: Database, folder: Path, text: str = "") -> AsyncIterator[World]:
    (folder / "routing.toml").write_text(text)
    environment = {"PAYORCH_CONFIG_DIR": str(folder), "PAYORCH_ACTORS__CIRCUIT_RETRY_SECONDS": "0.01"}
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        yield World(connection=connection, journal=journal, clock=Clock(), environment=environment, settings=load(environment))


def lives(number: int, *, declined: bool) -> list[Append]:
    """A payment that was authorised or declined, as the two commits of its life."""
    story = Story(connector="stripe", at=START - timedelta(minutes=30 - number))
    items = [story.sent()]
    if declined:
        items.append(story.step(story.decline(), actor="psp:stripe"))
    else:
        change = story.authorized().events[0]
        items.append(story.step((Name.DISCREPANCY_RAISED, State.AUTHORIZED, e.Discrepancy(kind="note", detail="x"))))
        told = (changed(change, actor="psp:stripe"), *items[1].events)
        items[1] = changed(items[1], expected_version=items[0].payment.version, events=told)
    return items


async def test_memory_comes_back_from_the_journal(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        live = here.routes()
        await live.remember()
        payment = lives(0, declined=True)[0].payment
        for item in [item for number in range(20) for item in lives(number, declined=number % 2 == 0)]:
            result = await here.write(item)
            assert isinstance(result, Appended), result
            live.written(item, result)
            payment = item.payment
        again = here.routes()
        await again.remember()
        intent, merchant = payment.intent, payment.merchant_id
        assert again.router.success.estimates(("stripe",), intent, START) == live.router.success.estimates(("stripe",), intent, START)
        assert live.router.success.estimates(("stripe",), intent, START)["stripe"].success < 8000
        assert again.router.cards.spent(merchant, intent, START) == live.router.cards.spent(merchant, intent, START)
        assert live.router.cards.spent(merchant, intent, START) is not None
        await again.remember()
        assert again.router.success.estimates(("stripe",), intent, START) == live.router.success.estimates(("stripe",), intent, START), (
            "only once"
        )


async def test_what_was_not_written_teaches_nothing(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        routes = here.routes()
        item = lives(1, declined=True)[1]
        routes.written(item, await here.write(changed(item, expected_version=7)))
        assert len(routes.router.success) == 0


async def test_the_rules_in_force_are_written_down_once(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        for _ in range(2):
            await here.routes().note_rules()
        [(name, actor, _, body)] = await here.records()
        assert (name, actor, body["version"], body["before"]) == (LOADED, "system", here.settings.routing.book().version, None)
        assert body["book"]["default"] == list(here.settings.routing.default)


async def test_new_rules_are_in_force_once_they_are_written_down(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        routes = here.routes()
        before = routes.router.plan.version
        (tmp_path / "routing.toml").write_text('[[rules]]\nname = "a"\nprefer = ["stripe"]\n[[rules]]\nname = "b"\nprefer = ["stripe"]')
        await routes.reload(Reload(actor="cli:ann", cause="act_1"))
        [(name, actor, cause, body)] = await here.records()
        assert (name, actor, cause, body["before"]) == (LOADED, "cli:ann", "act_1", before)
        assert body["version"] == routes.router.plan.version != before
        assert "never decides" in body["doubts"][0]
        assert [rule.name for rule in routes.router.plan.book.rules] == ["a", "b"]


@pytest.mark.parametrize("text", ['[[rules]]\nname = "a"\nprefer = ["nobody"]', "[[rules", "default = []"])
async def test_rules_that_are_not_valid_change_nothing_and_say_why(database: Database, tmp_path: Path, text: str) -> None:
    async with world(database, tmp_path) as here:
        routes = here.routes()
        plan = routes.router.plan
        (tmp_path / "routing.toml").write_text(text)
        await routes.reload(Reload(actor="system", cause="SIGHUP"))
        assert routes.router.plan is plan
        [(name, _, cause, body)] = await here.records()
        assert (name, cause, body["version"]) == (REFUSED, "SIGHUP", plan.version)
        assert str(tmp_path / "routing.toml") in body["faults"][0]


async def test_rules_that_were_written_after_people_agreed_are_not_loaded(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        routes = here.routes()
        (tmp_path / "routing.toml").write_text('[[rules]]\nname = "a"\nprefer = ["stripe"]')
        agreed = routes.written_now().routing.book().version
        (tmp_path / "routing.toml").write_text('[[rules]]\nname = "b"\nprefer = ["adyen"]')
        plan = routes.router.plan
        await routes.reload(Reload(actor="operator:ana", cause="act_1", version=agreed))
        assert routes.router.plan is plan
        [(name, _, cause, body)] = await here.records()
        assert (name, cause, agreed in body["faults"][0]) == (REFUSED, "act_1", True)
        await routes.reload(Reload(actor="operator:ana", cause="act_2", version=routes.written_now().routing.book().version))
        assert [rule.name for rule in routes.router.plan.book.rules] == ["b"]


async def test_a_journal_that_is_away_keeps_the_old_rules(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        tries = 0

        async def write(item: Entry) -> Result:
            nonlocal tries
            tries += 1
            if tries < 4:
                assert routes.router.plan is plan
                raise JournalUnavailable("away")
            return await here.write(item)

        routes = here.routes(write)
        plan = routes.router.plan
        (tmp_path / "routing.toml").write_text('[[rules]]\nname = "a"\nprefer = ["stripe"]')
        await routes.reload(Reload(actor="system", cause="SIGHUP"))
        assert tries == 4
        assert routes.router.plan is not plan


async def test_a_wish_in_the_journal_is_answered_there(database: Database, tmp_path: Path) -> None:
    """The command's side and the platform's, over two connections, in real time."""
    (tmp_path / "conf").mkdir()
    async with world(database, tmp_path / "conf", "reload_seconds = 0.02") as here, connected(database.app) as commands:
        routes = here.routes()
        mailbox: Mailbox[Reload] = Mailbox(capacity=8, name="routing")
        owner = Owner()
        async with trio.open_nursery() as nursery:
            life = Life(ref=Ref(mailbox), start=routes.child().start, owner=owner, nursery=nursery)
            life.begin()
            await owner.begun.wait()

            async def ask(text: str) -> routing_desk.Verdict:
                (tmp_path / "conf" / "routing.toml").write_text(text)
                wish = new_id("act")
                return await routing_desk.ask_for_reload(commands, clock=here.clock, actor="cli:ann", wish=wish, patience_seconds=20)

            good = await ask('[[rules]]\nname = "a"\nprefer = ["stripe"]')
            assert (good.answered, good.loaded, good.version) == (True, True, routes.router.plan.version)
            bad = await ask('[[rules]]\nname = "a"\nprefer = ["nobody"]')
            assert (bad.answered, bad.loaded, bad.version) == (True, False, good.version)
            assert "names nobody" in bad.faults[0]
            life.stop(within_seconds=0)
            await life.wait_ended()
        assert not owner.deaths
        nobody = await routing_desk.ask_for_reload(commands, clock=here.clock, actor="cli:ann", wish=new_id("act"), patience_seconds=0.05)
        assert not nobody.answered
        assert [one[0] for one in await here.records()][-2:] == [REFUSED, "RoutingReloadRequested"]


async def test_decisions_are_made_again_out_of_the_journal(database: Database, tmp_path: Path) -> None:
    async with world(database, tmp_path) as here:
        plan, manifests = here.settings.routing.plan(STRIPE), {"stripe": CONNECTORS["stripe"].manifest}
        routes = here.routes()
        for number in range(7):
            story = Story(connector="stripe", at=START + timedelta(minutes=number))
            born, confirmed = story.birth(), story.confirmation()
            assert isinstance(born[2], e.Created)
            question = asked(born[2].intent, merchant_id=story.merchant_id, draw=draw_of(story.payment_id), at=story.at)
            estimates = routes.router.success.estimates(STRIPE, born[2].intent, story.at)
            decision = route(question, plan, manifests, estimates=estimates)
            assert isinstance(
                await here.write(story.step(born, confirmed, (Name.ROUTED, State.ROUTING, e.Choice(decision=decision)))), Appended
            )

        async def simulated(**how: Any) -> Mapping[str, Any]:
            given: dict[str, Any] = {"since": START, "until": None, "limit": 1000, "progress": lambda text: None, **how}
            return routing_desk.comparison_data(await routing_desk.simulate(here.connection, plan, manifests, **given))

        whole = await simulated()
        assert (whole["payments"], whole["same_rules"], whole["differing"], whole["changed"]) == (7, 7, 0, 0)
        assert whole["before"] == whole["after"]
        assert (await simulated(limit=3))["payments"] == 3
        assert (await simulated(since=START + timedelta(minutes=5)))["payments"] == 2
        assert "all came out the same" in routing_desk.comparison_text(
            await routing_desk.simulate(here.connection, plan, manifests, since=START, until=None, limit=10, progress=lambda text: None)
        )
