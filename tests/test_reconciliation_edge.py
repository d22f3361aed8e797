"""What the calls about reconciliation stand on: a report comes in pieces, is imported once, and its day is read from a real store."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from payorch.domain.rules import Fee, Plan, When, preferring
from payorch.domain.settlement import NotAReport
from payorch.operations.reconciliation_edge import ReconciliationEdge, zones
from payorch.settings import load
from payorch.store.items import Entry, Result
from payorch.store.reconciliation import Of
from tests.conftest import Database
from tests.settlement_world import DAY, World, capture_of, parse, report_of, world_on

NAME = "stripe"  # one that is configured


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


async def pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 100):
        yield content[start : start + 100]


async def test_a_report_comes_in_once_and_its_day_is_read(world: World) -> None:
    woken: list[None] = []

    async def read(query: Any, *arguments: Any, **named: Any) -> Any:
        return await query(world.connection, *arguments, **named)

    async def write(entry: Entry) -> Result:
        return (await world.journal.write([entry]))[0]

    connectors = cast(Any, {NAME: SimpleNamespace(settlement=parse)})
    around = ReconciliationEdge(
        load({}), connectors, clock=world.clock, entropy=world.ids, read=read, write=write, lease=lambda: nullcontext(world.connection),
        plan=preferring, wake=lambda: woken.append(None),
    ).surroundings()  # fmt: skip
    assert around.zones == {NAME: "UTC"}
    stories: Sequence[Any] = await world.captured(3, connector=NAME)
    content = report_of(*(capture_of(one) for one in stories))
    with pytest.raises(NotAReport, match="its first line is another"):
        await around.import_report(NAME, pieces(b"<html>"), name="x", by="operator:olga", cause="req_1")
    first, again = [
        await around.import_report(NAME, pieces(content), name="march.csv", by="operator:olga", cause="req_1") for _ in range(2)
    ]
    assert (first.known, first.rows, first.findings, first.name) == (False, 3, 0, "march.csv")
    assert (again.known, again.id) == (True, first.id)
    assert len(woken) == 2
    found = await around.days(DAY, DAY, around.zones)
    assert [(one.figures.settled.count, one.reported) for one in found.days] == [(3, True)]
    page, cursor = await around.pieces(Of(day=DAY, zones=around.zones), limit=2, after=None)
    assert (len(page), cursor is not None) == (2, True)
    assert await around.find_token("op_test_0000000000000000") is None
    (told,) = await world.all("SELECT DISTINCT actor FROM payorch.journal WHERE stream = 'batch'")
    assert told == ("operator:olga",)


async def test_an_import_goes_by_the_fees_that_are_in_force_now(world: World) -> None:
    async def nothing(*arguments: Any, **named: Any) -> Any:
        raise AssertionError("an import asks for nothing of it")

    def plan() -> Plan:
        """As after `payorch routing reload`: a cost model that did not stand in the settings at the start."""
        book = msgspec.structs.replace(preferring(NAME).book, fees=(Fee(connector=NAME, when=When(), basis_points=100),))
        return Plan(book, zones={}, connectors=(NAME,))

    around = ReconciliationEdge(
        load({}), cast(Any, {NAME: SimpleNamespace(settlement=parse)}), clock=world.clock, entropy=world.ids, read=nothing, write=nothing,
        lease=lambda: nullcontext(world.connection), plan=plan, wake=lambda: None,
    ).surroundings()  # fmt: skip
    [story] = await world.captured(1, connector=NAME)
    await around.import_report(NAME, pieces(report_of(capture_of(story, fee=0))), name="x", by="operator:olga", cause="req_1")
    assert [kind for kind, *_ in await world.findings()] == ["fee"]


def test_zones_are_those_of_the_connectors_that_are_configured() -> None:
    settings = load({})
    assert zones(settings, cast(Any, {NAME: None, "psp_nine": None})) == {NAME: "UTC"}
