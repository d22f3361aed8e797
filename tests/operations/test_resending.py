"""An event is sent again by an operator's word: to whoever its merchant wants it sent to, and never past that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from payorch.domain.acts import Act, ActName, ActState, Nonsense, Person, Wish
from payorch.operations.resending import ResendPlanner, ResendRoom
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Appended, Delivery, DeliveryState, Endpoint, EndpointState, Refused, Result
from tests.api.merchant_world import MERCHANT, START, new_id

WRITTEN = Appended(1, False)
ANA = Person(operator=new_id("opr"), name="ana", person="Ana Ruiz")
EVENT = EventRow(
    payment_id=new_id("pay"), event_id=new_id("evt"), merchant_id=MERCHANT, type="payment.succeeded", body=b"{}", sequence=4,
    created_at=START,
)  # fmt: skip


def endpoint(**changes: Any) -> Endpoint:
    made: dict[str, Any] = {
        "id": new_id("whe"), "merchant_id": MERCHANT, "url": "https://shop.example/hook", "events": ("*",), "state": EndpointState.ENABLED,
        "secret": b"s", "version": 1, "created_at": START, "updated_at": START,
    }  # fmt: skip
    return Endpoint(**{**made, **changes})


@dataclass
class Room:
    """Two endpoints, of which one has had the event, and what is written."""

    endpoints: list[Endpoint]
    written: list[tuple[Delivery, str, str]] = field(default_factory=list)
    answer: Result = WRITTEN

    def planner(self) -> ResendPlanner:
        async def event(event_id: str) -> EventRow | None:
            return EVENT if event_id == EVENT.event_id else None

        async def endpoints(merchant_id: str) -> list[Endpoint]:
            return self.endpoints if merchant_id == MERCHANT else []

        async def deliveries(_: str) -> list[Delivery]:
            row = Delivery(
                payment_id=EVENT.payment_id, event_id=EVENT.event_id, endpoint_id=self.endpoints[0].id, merchant_id=MERCHANT,
                type=EVENT.type, state=DeliveryState.DEAD, created_at=START, attempts=9,
            )  # fmt: skip
            return [row]

        async def write(delivery: Delivery, by: str, cause: str) -> Result:
            self.written.append((delivery, by, cause))
            return self.answer

        return ResendPlanner(ResendRoom(event=event, endpoints=endpoints, deliveries=deliveries, write=write, now=lambda: START))


def wish(subject: str = EVENT.event_id, **parameters: Any) -> Wish:
    return Wish(name=ActName.WEBHOOK_RESEND, subject=subject, parameters=parameters, who=ANA)


def act(**parameters: Any) -> Act:
    return Act(
        id="act_1", name=ActName.WEBHOOK_RESEND, subject=EVENT.event_id, parameters=parameters, reason="they lost it", requested_by=ANA,
        approved_by=None, break_glass=False,
    )  # fmt: skip


async def no_progress(_: Any) -> None:
    raise AssertionError("sending again is one step")


async def test_every_endpoint_that_wants_it_gets_it_as_if_never_tried() -> None:
    room = Room([endpoint(), endpoint(), endpoint(events=("refund.failed",)), endpoint(state=EndpointState.DISABLED)])
    draft = await room.planner().plan(wish())
    assert (draft.people, draft.allowed, draft.confirm) == (1, True, EVENT.event_id[-4:])
    first, second = (one.id for one in room.endpoints[:2])
    assert [one.before for one in draft.effects] == [f"{first}: dead after 9 tries", f"{second}: never sent"]
    done = await room.planner().perform(act(), no_progress)
    assert (done.state, done.data) == (ActState.DONE, {"endpoints": [first, second]})
    assert [(one.endpoint_id, one.state, one.attempts, one.next_attempt_at, by, cause) for one, by, cause in room.written] == [
        (first, DeliveryState.PENDING, 0, START, "operator:ana", "act_1"),
        (second, DeliveryState.PENDING, 0, START, "operator:ana", "act_1"),
    ]


async def test_one_endpoint_can_be_named() -> None:
    room = Room([endpoint(), endpoint()])
    await room.planner().perform(act(endpoint=room.endpoints[1].id), no_progress)
    assert [one.endpoint_id for one, _, _ in room.written] == [room.endpoints[1].id]


async def test_where_nobody_wants_it_nothing_is_sent() -> None:
    room = Room([endpoint(state=EndpointState.DISABLED)])
    (objection,) = (await room.planner().plan(wish())).objections
    done = await room.planner().perform(act(), no_progress)
    assert (done.state, done.text, room.written) == (ActState.REFUSED, objection.why, [])


async def test_a_journal_that_refuses_is_said_to_have() -> None:
    room = Room([endpoint()], answer=Refused("no"))
    assert (await room.planner().perform(act(), no_progress)).state is ActState.FAILED


@pytest.mark.parametrize("subject", ["evt_1", new_id("evt"), new_id("pay")])
async def test_an_event_that_is_not_there_is_missing(subject: str) -> None:
    with pytest.raises(Nonsense) as caught:
        await Room([endpoint()]).planner().plan(wish(subject))
    assert caught.value.missing
    with pytest.raises(Nonsense) as caught:
        await Room([endpoint()]).planner().plan(wish(endpoint=new_id("whe")))
    assert (caught.value.field, caught.value.missing) == ("/parameters/endpoint", False)
