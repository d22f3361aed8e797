"""A payment's actor over its lives: what a death, a rest and a restart of the tree above mean for calls that nobody came back from."""

from __future__ import annotations

from datetime import timedelta

import pytest
import trio
import trio.testing

from actors.connector import Execute
from actors.messages import AnswersAgain, Due
from payorch.domain.outcome import Approved, ErrorClass, Failure, Finding, NotExecuted, Source, Unknown
from payorch.domain.payment import OperationState, State
from payorch.domain.records import Attempt, OperationKind
from tests.api.actor_world import Platform, Shared, platforms
from tests.api.merchant_world import charge, new_id

KEPT_BACK = NotExecuted(failure=Failure(error_class=ErrorClass.NOT_SENT, code="circuit_open", message="Not sent."), sent=False)
LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="Lost."))


class Psp:
    """Holds what it is asked to hold; `operations` says what becomes of captures and refunds, None where nobody hears of it."""

    def __init__(self, *, captured: bool = False) -> None:
        self.captured = captured
        self.asked_in_vain = False
        self.operations: Finding | None = KEPT_BACK

    def __call__(self, execute: Execute) -> Finding | None:
        if execute.source is Source.INQUIRY:
            return None if self.asked_in_vain else Approved(captured=self.captured)
        return Approved(captured=self.captured) if isinstance(execute.subject, Attempt) else self.operations


async def pay(shared: Shared, **how: str) -> str:
    made = await shared.store.post(body=charge(**how), idempotency=new_id("evt"))
    return str(made.seen["id"])


async def ask(shared: Shared, payment_id: str, what: str) -> int:
    answer = await shared.store.post(f"/v1/payments/{payment_id}/{what}", body={}, idempotency=new_id("evt"))
    return int(answer.status_code)


async def later(platform: Platform, payment_id: str, seconds: float) -> None:
    """Time passes and the sweeper comes by."""
    platform.clock.at = platform.clock.now() + timedelta(seconds=seconds)
    platform.directory.tell(payment_id, Due())
    await trio.sleep(1)


@pytest.mark.parametrize("ending", ["the tree begins anew", "the actor is given up"])
async def test_a_capture_under_way_at_the_end_of_its_actor_is_unknown(ending: str, autojump_clock: trio.testing.MockClock) -> None:
    """It waited to be sent again, was sent, and nobody heard of it: no longer surely unsent, and so never "failed" by time."""
    async with platforms(1, psp_seconds=0.05) as (shared, (platform,)):
        shared.psp = psp = Psp()
        payment_id = await pay(shared, capture="manual")
        assert await ask(shared, payment_id, "captures") == 202
        psp.operations = None
        await later(platform, payment_id, 10)
        sent = [one.source for one in shared.calls if not isinstance(one.subject, Attempt)]
        assert sent == [Source.RESPONSE] * 2
        if ending == "the tree begins anew":
            platform.supervisor.stop()
            await trio.sleep(5)
            shared.nursery.start_soon(platform.supervisor.run)
            await trio.sleep(0.1)
        else:
            await platform.supervisor.stop_child(payment_id)
            platform.directory.given_up(payment_id)
        psp.operations, psp.asked_in_vain = KEPT_BACK, True
        for _ in range(12):
            await later(platform, payment_id, 100)
        payment = shared.stored[-1]
        # Longer than a capture may wait to be sent, and than an unknown one is searched for: people have it.
        assert (payment.state, payment.operations[-1].state) == (State.MANUAL_REVIEW, OperationState.UNKNOWN)


async def test_a_rest_is_no_death(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, psp_seconds=0.05) as (shared, (platform,)):
        shared.psp = Psp()
        payment_id = await pay(shared, capture="manual")
        await ask(shared, payment_id, "captures")
        await later(platform, payment_id, 10)
        assert platform.supervisor.statistics().children == 0
        await later(platform, payment_id, 10)
        assert shared.stored[-1].operations[-1].state is OperationState.REQUESTED, "surely unsent, and so it stays"


async def test_a_question_that_nobody_answers_keeps_no_actor_awake(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, psp_seconds=0.05) as (shared, (platform,)):
        shared.psp = psp = Psp(captured=True)
        payment_id = await pay(shared)
        await ask(shared, payment_id, "refunds")
        psp.asked_in_vain = True
        platform.directory.tell(payment_id, AnswersAgain(connector="stripe", sendable=frozenset()))
        await trio.sleep(1)
        assert platform.supervisor.statistics().children == 1
        psp.operations = Approved()
        await later(platform, payment_id, 50)
        await trio.sleep(200)
        assert shared.stored[-1].operations[-1].state is OperationState.SUCCEEDED
        assert platform.supervisor.statistics().children == 0


async def test_a_wave_of_look_ups_takes_nothing_back_from_a_wave_of_captures(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, psp_seconds=0.05) as (shared, (platform,)):
        shared.psp = psp = Psp()
        payment_id = await pay(shared, capture="manual")
        await ask(shared, payment_id, "captures")
        psp.operations = Approved()
        platform.directory.tell(payment_id, AnswersAgain(connector="stripe", sendable=frozenset({OperationKind.CAPTURE})))
        platform.directory.tell(payment_id, AnswersAgain(connector="stripe", sendable=frozenset()))
        await trio.sleep(1)
        assert shared.stored[-1].state is State.CAPTURED


async def test_asking_for_what_is_not_to_be_had_writes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, psp_seconds=0.05) as (shared, _):
        shared.psp = lambda execute: LOST
        payment_id = await pay(shared, capture="manual")
        version = shared.stored[-1].version
        assert {await ask(shared, payment_id, "captures") for _ in range(20)} == {409}
        assert shared.stored[-1].version == version
