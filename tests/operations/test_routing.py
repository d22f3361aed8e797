"""Routing for operators: rules in force, other rules on past decisions, and loading the written ones as an act of two people."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from payorch.api.operations.routing_views import Comparing, RulesUnusable
from payorch.domain.acts import Act, ActName, ActState, Nonsense, Performed
from payorch.domain.routing import Decision
from payorch.routes import LOADED, REFUSED
from tests.conftest import Database
from tests.operations.connector_world import Process, act, alive, ground
from tests.store.stories import START

RELOAD = ActName.ROUTING_RELOAD
OTHERS = '[[rules]]\nname = "others"\nprefer = ["adyen", "stripe"]\nstrict = true\n'
SPAN: Any = {"since": START - timedelta(days=1), "until": None}


async def carried_out(process: Process, wish: Act) -> Performed:
    """As with the routing actor, which reads its rules when it comes to it."""
    async with trio.open_nursery() as nursery:

        async def read_rules() -> None:
            await process.routes.reload(await process.wishes.receive())

        nursery.start_soon(read_rules)
        done = await process.perform(wish)
        nursery.cancel_scope.cancel()
    return done


async def test_a_reload_is_planned_with_its_comparison_and_done_once(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        await process.routes.note_rules()
        await here.decided(None, None)
        before = process.routes.router.plan.version
        assert [one.code for one in (await process.plan(RELOAD, "routing")).objections] == ["nothing_to_load"]
        (tmp_path / "routing.toml").write_text(OTHERS)
        draft = await process.plan(RELOAD, "routing")
        assert (draft.people, draft.allowed, draft.version) == (2, True, before)
        assert draft.binding.effects[0].before == f"version {before}"
        assert any("2 of the last 2 payments would begin elsewhere" in one.after for one in draft.effects if one.forecast)
        assert process.routes.router.plan.version == before, "a plan changes nothing"

        done = await carried_out(process, replace(act(RELOAD, "routing"), shown=draft))
        assert (done.state, done.data["before"], done.data["version"]) == (ActState.DONE, before, process.routes.router.plan.version)
        assert process.routes.router.plan.version == draft.confirm
        assert await process.perform(act(RELOAD, "routing")) == done
        assert [(one.name, one.actor, one.cause) for one in await here.rules()][1:] == [(LOADED, "operator:ana", "act_1")]
        assert (await process.edge.routing.simulate(Comparing(), **SPAN))["version"] == draft.confirm, "without changes, those in force"
        rules = await process.edge.routing.in_force()
        assert (rules.version, rules.by, rules.book["rules"][0]["name"]) == (draft.confirm, "operator:ana", "others")


async def test_rules_that_are_not_valid_cannot_be_planned_and_are_not_loaded(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        (tmp_path / "routing.toml").write_text('default = ["nobody"]\n')
        [objection] = (await process.plan(RELOAD, "routing")).objections
        assert objection.code == "rules_invalid"
        assert "nobody" in objection.why
        done = await carried_out(process, act(RELOAD, "routing"))
        assert done.state is ActState.REFUSED
        assert [one.name for one in await here.rules()] == [REFUSED]
        with pytest.raises(Nonsense):
            await process.plan(RELOAD, "other")


async def test_written_rules_that_change_make_another_plan(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        (tmp_path / "routing.toml").write_text(OTHERS)
        first = await process.plan(RELOAD, "routing")
        await here.decided(None)
        assert (await process.plan(RELOAD, "routing")).binding == first.binding, "traffic goes on meanwhile"
        (tmp_path / "routing.toml").write_text(OTHERS.replace("others", "more"))
        assert (await process.plan(RELOAD, "routing")).binding != first.binding


async def test_other_rules_are_tried_on_past_decisions(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        await here.decided(None, None, None)
        simulate = process.edge.routing.simulate
        text = await simulate(Comparing(routing=OTHERS), **SPAN)
        assert (text["payments"], text["changed"], text["after"]["rules"]) == (3, 3, {"others": 3})
        changes = await simulate(Comparing(changes={"default": ["adyen", "stripe"], "score": {"preference_weight": 9999}}), **SPAN)
        assert (changes["payments"], changes["changed"]) == (3, 3)
        same = await simulate(Comparing(), **SPAN)
        assert (same["payments"], same["same_rules"], same["differing"]) == (3, 3, 0)
        assert (await simulate(Comparing(limit=2), **SPAN))["payments"] == 2
        assert (await simulate(Comparing(), since=START, until=None))["payments"] == 0
        assert process.routes.router.plan.book.rules == ()


@pytest.mark.parametrize(
    ("asked", "place"),
    [
        (Comparing(routing="default = ["), "/routing"),
        (Comparing(routing='default = ["nobody"]'), "/routing/default"),
        (Comparing(routing='[[rules]]\nname = "a"\nwhen.currency = "EURO"\nprefer = ["stripe"]'), "/routing/rules/0/when/currency/0"),
        (Comparing(routing="secret = 1"), "/routing/secret"),
        (Comparing(changes={"score": {"success_weight": -1}}), "/changes/score/success_weight"),
        (Comparing(changes={"rules": [{"name": "a", "prefer": ["nobody"]}]}), "/changes/rules/0/prefer"),
    ],
)
async def test_rules_that_cannot_be_tried_say_where_and_why(database: Database, tmp_path: Path, asked: Comparing, place: str) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        with pytest.raises(RulesUnusable) as refused:
            await process.edge.routing.simulate(asked, **SPAN)
        assert [one[0] for one in refused.value.faults] == [place]


async def test_decisions_are_paged_the_latest_first(database: Database, tmp_path: Path) -> None:
    async with ground(database, tmp_path) as here, alive(here) as process:
        made = await here.decided(None, Decision(order=("adyen",), version="1"), None, Decision(order=(), version="1"), None)
        page = process.edge.routing_surroundings().decisions
        seen, after = [], None
        for _ in range(5):
            found, after = await page(None, limit=2, after=after)
            seen += [one.payment_id for one in found]
            if after is None:
                break
        assert seen == made[::-1]
        first, cursor = await page("stripe", limit=2, after=None)
        rest, end = await page("stripe", limit=2, after=cursor)
        assert [one.payment_id for one in (*first, *rest)] == [made[4], made[2], made[0]]
        assert end is None
