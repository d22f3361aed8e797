"""Disputes over HTTP: stages as records with their deadlines, their merchant's and nobody else's."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from payorch.api.problems import Code
from payorch.domain import events as e
from payorch.domain.disputes import Dispute, DisputeStage, DisputeStatus
from payorch.domain.money import Money
from payorch.domain.payment import Name, State
from payorch.store.pool import DatabaseUnavailable
from tests.api.merchant_world import OTHER_KEY, OTHER_MERCHANT, START, Life, World, new_id
from tests.api.webhook_calls import check, refused, send

PATH = "/v1/disputes"


def disputed(life: Life, **changes: Any) -> Dispute:
    """The payment's dispute, which its bank has opened just now."""
    fields: dict[str, Any] = {
        "id": new_id("dsp"), "attempt_id": life.attempt.id, "psp_reference": "dp_1", "stage": DisputeStage.DISPUTE,
        "status": DisputeStatus.OPENED, "amount": Money(1500, "EUR"), "created_at": life.at, "updated_at": life.at,
        "reason": "fraudulent", "respond_by": START + timedelta(days=7),
    }  # fmt: skip
    dispute = Dispute(**fields | changes)
    life.tell(Name.DISPUTE_OPENED, State.CAPTURED, e.DisputeOpened(dispute=dispute), "psp:stripe")
    return dispute


def a_life(world: World, **about: Any) -> Life:
    return world.has(Life(**about).created().sent().charged())


async def test_a_dispute_is_shown_with_its_deadline_and_its_payment() -> None:
    world = World()
    life = a_life(world)
    other, dispute = disputed(life, stage=DisputeStage.PRE_DISPUTE), disputed(life)
    answer = await send(world, "GET", f"{PATH}/{dispute.id}")
    check(answer.seen, "DisputeShape")
    shown = answer.seen
    assert (shown["id"], shown["object"], shown["payment_id"]) == (dispute.id, "dispute", life.payment_id)
    assert (shown["stage"], shown["status"], shown["amount"], shown["currency"]) == ("dispute", "opened", 1500, "EUR")
    assert (shown["reason"], shown["respond_by"], shown["psp_reference"]) == ("fraudulent", "2026-03-08T12:00:00.000Z", "dp_1")
    payment = (await send(world, "GET", f"/v1/payments/{life.payment_id}")).seen
    check(payment, "PaymentShape")
    assert [one["id"] for one in payment["disputes"]] == [other.id, dispute.id]
    assert payment["disputes"][1] == shown


async def test_a_list_has_pages_newest_first_and_by_status() -> None:
    world = World()
    one, two = a_life(world), a_life(world)
    first, second, won = disputed(one), disputed(two), disputed(one, status=DisputeStatus.WON, stage=DisputeStage.PRE_ARBITRATION)
    disputed(a_life(world, merchant_id=OTHER_MERCHANT))
    page = (await send(world, "GET", f"{PATH}?limit=2")).seen
    check(page, "DisputeList")
    assert [(one["id"], one["payment_id"]) for one in page["data"]] == [(won.id, one.payment_id), (second.id, two.payment_id)]
    rest = (await send(world, "GET", f"{PATH}?limit=2&cursor={page['next_cursor']}")).seen
    assert ([one["id"] for one in rest["data"]], rest["next_cursor"]) == ([first.id], None)
    assert [one["id"] for one in (await send(world, "GET", f"{PATH}?status=won")).seen["data"]] == [won.id]
    assert (await send(world, "GET", f"{PATH}?status=lost")).seen == {"data": [], "next_cursor": None}


@pytest.mark.parametrize(
    ("query", "pointer"), [("status=win", "/status"), ("limit=x", "/limit"), (f"cursor={new_id('pay')}", "/cursor"), ("stage=x", "/stage")]
)
async def test_a_parameter_that_cannot_be_meant_is_refused(query: str, pointer: str) -> None:
    world = World()
    refused(await send(world, "GET", f"{PATH}?{query}"), 400, Code.VALIDATION_FAILED, *{pointer})


async def test_another_merchants_dispute_is_not_there() -> None:
    world = World()
    dispute = disputed(a_life(world))
    for named in (dispute.id, new_id("dsp"), new_id("pay"), "dsp_", dispute.id.upper(), "%00"):
        refused(await send(world, "GET", f"{PATH}/{named}", key=OTHER_KEY), 404, Code.NOT_FOUND)
    assert (await send(world, "GET", PATH, key=OTHER_KEY)).seen == {"data": [], "next_cursor": None}
    for path in (PATH, f"{PATH}/{dispute.id}"):
        refused(await send(world, "GET", path, key=None), 401, Code.UNAUTHENTICATED)


async def test_a_database_that_is_away_is_503() -> None:
    world = World()
    dispute = disputed(a_life(world))
    for part, path in (("list_disputes", PATH), ("find_dispute", f"{PATH}/{dispute.id}")):
        world.fail[part] = DatabaseUnavailable("password=hunter2")
        answer = await send(world, "GET", path)
        refused(answer, 503, Code.UNAVAILABLE)
        assert b"hunter2" not in answer.raw
