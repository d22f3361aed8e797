"""Every act on payments has somebody who plans it, made of the platform's own parts."""

from __future__ import annotations

from typing import Any, cast

import pytest

from payorch.domain.acts import KINDS, Nonsense, Person, Wish
from payorch.operations.payments_edge import payment_planners
from payorch.settings import load
from payorch.store import delivery_reads, reads
from tests.api.actor_world import platforms
from tests.api.merchant_world import new_id

ANA = Person(operator="opr_1", name="ana", person="Ana Ruiz")


async def test_every_act_on_payments_and_events_is_planned_by_somebody(autojump_clock: object) -> None:
    asked: list[Any] = []

    async def read(query: Any, *arguments: Any, **named: Any) -> Any:
        asked.append(query)

    async def resend(*_: Any, **__: Any) -> Any:
        raise AssertionError("a plan sends nothing")

    async with platforms(1) as (_, (platform,)):
        office = platform.directory._surroundings.office
        planners = payment_planners(
            load({}), office=office, directory=platform.directory, admissions=cast(Any, {}), read=read, resend=resend
        )
        assert set(planners) == {name for name, kind in KINDS.items() if kind.subject in ("payment", "event")}
        for name, planner in planners.items():
            subject = new_id("evt" if KINDS[name].subject == "event" else "pay")
            with pytest.raises(Nonsense, match="There is no such"):
                await planner.plan(Wish(name=name, subject=subject, parameters={"to": "FAILED", "evidence": "x"}, who=ANA))
    assert set(asked) == {reads.load_payment, delivery_reads.event_of_anybody}
