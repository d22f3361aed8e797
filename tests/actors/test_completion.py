"""The call that finishes a payment after its shopper's action: committed before it is sent, made once, whoever says that he is done."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trio
import trio.testing

from actors.connector import Execute
from actors.mailbox import MailboxFull, Reply
from actors.messages import Due, Message, Notified, Outcome, Settled, ShopperReturned
from payorch.domain.capability import Lookup
from payorch.domain.outcome import Approved, ErrorClass, Failure, Finding, NextAction, Pending, Source, Unknown
from payorch.domain.payment import AttemptState, State
from payorch.domain.records import Attempt, Payment
from tests.actors.test_payment_lives import later, pay
from tests.api.actor_world import Platform, Shared, platforms
from tests.api.unfinished import told, unfinished

CHALLENGE = Pending(action=NextAction(url="https://psp.example/challenge"))
READY = Pending(ready=True)
LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="Lost."))


class Psp:
    """Wants the shopper first; `finished` is what it then says to the completing call, `asked` to an inquiry."""

    def __init__(self) -> None:
        self.finished: Finding | None = Approved(captured=True)
        self.asked: Finding | None = CHALLENGE

    def __call__(self, execute: Execute) -> Finding | None:
        if execute.source is Source.INQUIRY:
            return self.asked
        return self.finished if is_completing(execute) else CHALLENGE


def is_completing(execute: Execute) -> bool:
    return execute.call.path.startswith("/finish/")


class Scene:
    """One payment at the shopper's action."""

    def __init__(self, shared: Shared, platform: Platform, psp: Psp, payment_id: str) -> None:
        self.shared = shared
        self.platform = platform
        self.psp = psp
        self.payment_id = payment_id
        self.heard: list[Outcome] = []

    @property
    def payment(self) -> Payment:
        return self.shared.store.lives[self.payment_id].payment

    @property
    def attempt(self) -> Attempt:
        return self.payment.attempts[-1]

    @property
    def completing(self) -> list[Execute]:
        return [one for one in self.shared.calls if is_completing(one)]

    async def returns(self, **brought: str) -> Payment | None:
        """The shopper's browser comes back and waits."""

        def make(reply: Reply[Payment | None]) -> Message:
            return ShopperReturned(attempt_id=self.attempt.id, returned=brought, cause="req_back", reply_to=reply)

        payment: Payment | None = await self.platform.directory.ask(self.payment_id, make, within_seconds=20)
        return payment

    def notice(self, finding: Finding) -> None:
        """The PSP tells of it."""
        content = told(self.attempt.id, finding)
        message = Notified(notice_id=f"ntc_{len(self.heard)}", connector="stripe", kind="told", content=content, told=self.heard.append)
        self.platform.directory.tell(self.payment_id, message)


@asynccontextmanager
async def at_action(*, needs_result: bool = True, lookup: Lookup = Lookup.STRONG, **how: Any) -> AsyncIterator[Scene]:
    connector = unfinished(needs_result=needs_result, lookup=lookup)
    async with platforms(1, connector=connector, **how) as (shared, (platform,)):
        shared.psp = psp = Psp()
        payment_id = await pay(shared)
        scene = Scene(shared, platform, psp, payment_id)
        assert scene.payment.state is State.REQUIRES_ACTION
        yield scene


async def test_a_returning_shopper_finishes_the_payment_and_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action() as scene:
        payment = await scene.returns(result="abc")
        assert payment is not None
        assert payment.state is State.CAPTURED
        (call,) = scene.completing
        assert (call.source, call.call.body, call.repeat) == (Source.RESPONSE, "abc", False)
        assert call.psp_key == f"{scene.attempt.id}_2"


async def test_it_was_committed_before_it_was_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action() as scene:
        sent: list[Attempt] = []

        def psp(execute: Execute) -> Finding:
            sent.append(scene.shared.stored[-1].attempts[-1])
            return Approved(captured=True)

        scene.shared.psp = psp
        await scene.returns(result="abc")
        (committed,) = sent
        (call,) = scene.completing
        assert (committed.state, committed.psp_key, committed.call) == (AttemptState.SENT, call.psp_key, call.call)


async def test_many_returns_at_once_make_one_call_and_all_hear_its_answer(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action(psp_seconds=2) as scene:
        heard: list[Payment | None] = []

        async def come_back() -> None:
            heard.append(await scene.returns(result="abc"))

        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(come_back)
        assert len(scene.completing) == 1
        assert [one.state for one in heard if one is not None] == [State.CAPTURED] * 5


async def test_a_second_return_brings_nothing_to_the_next_challenge(autojump_clock: trio.testing.MockClock) -> None:
    """It waited for the first one's call; what it brought belongs to the action that is over."""
    async with at_action(psp_seconds=2) as scene:
        scene.psp.finished = Pending(action=NextAction(url="https://psp.example/second"))
        async with trio.open_nursery() as nursery:
            nursery.start_soon(lambda: scene.returns(result="abc"))
            await trio.sleep(0.5)
            nursery.start_soon(lambda: scene.returns(result="abc"))
        assert scene.attempt.state is AttemptState.ACTION_REQUIRED
        assert len(scene.completing) == 1
        scene.psp.finished = Approved(captured=True)
        await scene.returns(result="def")
        assert [(one.psp_key, one.call.body) for one in scene.completing[1:]] == [(f"{scene.attempt.id}_3", "def")]
        assert scene.payment.state is State.CAPTURED


async def test_without_what_the_psp_needs_it_is_only_asked(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action() as scene:
        payment = await scene.returns(other="x")
        assert payment is not None
        assert payment.state is State.REQUIRES_ACTION
        assert not scene.completing
        assert scene.shared.calls[-1].source is Source.INQUIRY


async def test_the_psps_notice_finishes_it_without_the_browser(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action(needs_result=False) as scene:
        scene.notice(READY)
        await trio.sleep(3)
        assert scene.payment.state is State.CAPTURED
        assert len(scene.completing) == 1
        assert scene.heard == [Settled(outcome="applied")]


@pytest.mark.parametrize("first", ["notice", "return"])
async def test_notice_and_return_in_either_order_make_one_call(first: str, autojump_clock: trio.testing.MockClock) -> None:
    async with at_action(needs_result=False, psp_seconds=2) as scene:
        async with trio.open_nursery() as nursery:
            if first == "notice":
                scene.notice(READY)
                await trio.sleep(0.2)
            nursery.start_soon(scene.returns)
            if first == "return":
                await trio.sleep(0.2)
                scene.notice(READY)
        assert scene.payment.state is State.CAPTURED
        assert len(scene.completing) == 1


async def test_a_look_that_finds_the_shopper_done_finishes_it(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action(needs_result=False) as scene:
        scene.psp.asked = READY
        await later(scene.platform, scene.payment_id, 61)
        await trio.sleep(3)
        assert scene.payment.state is State.CAPTURED


async def test_what_was_brought_while_the_psp_was_asked_is_not_lost(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action(psp_seconds=2) as scene:
        await later(scene.platform, scene.payment_id, 61)  # an inquiry is out, whose answer must not be taken for that of the call
        assert scene.shared.calls[-1].source is Source.INQUIRY
        payment = await scene.returns(result="abc")
        assert payment is not None
        assert payment.state is State.CAPTURED


async def test_a_lost_answer_is_found_out_under_the_same_key(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action() as scene:
        scene.psp.finished = LOST
        payment = await scene.returns(result="abc")
        assert payment is not None
        assert payment.state is State.OUTCOME_UNKNOWN
        scene.psp.finished = Approved(captured=True)
        await later(scene.platform, scene.payment_id, 3)
        first, second = scene.completing
        assert (second.source, second.psp_key, second.call) == (Source.REPLAY, first.psp_key, first.call)
        assert scene.payment.state is State.CAPTURED


async def test_a_death_between_commit_and_answer_is_found_out(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action() as scene:
        scene.psp.finished = None
        with trio.move_on_after(3):
            await scene.returns(result="abc")
        assert scene.attempt.state is AttemptState.SENT
        scene.psp.finished = Approved(captured=True)
        async with another_process(scene) as other:
            other.directory.tell(scene.payment_id, Due())
            await trio.sleep(3)
            await later(other, scene.payment_id, 120)
        assert scene.payment.state is State.CAPTURED
        assert len({one.psp_key for one in scene.completing}) == 1


@asynccontextmanager
async def another_process(scene: Scene) -> AsyncIterator[Platform]:
    """One that begins with the journal as it is, while the first one does nothing any more."""
    scene.platform.supervisor.stop()
    other = Platform(scene.shared, mailbox_capacity=10)
    scene.shared.nursery.start_soon(other.supervisor.run)
    await trio.testing.wait_all_tasks_blocked()
    yield other
    other.supervisor.stop()


async def test_an_overdue_shopper_of_a_psp_that_cannot_be_asked_is_told_that_it_is_over(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action(lookup=Lookup.NONE) as scene:
        scene.platform.clock.at = scene.payment.authorize_until or scene.platform.clock.at
        payment = await scene.returns(result="abc")
        assert payment is not None
        assert payment.state is State.CANCELED
        assert not scene.completing


async def test_a_connector_that_takes_no_more_calls_makes_it_wait(autojump_clock: trio.testing.MockClock) -> None:
    async with at_action() as scene:
        scene.shared.busy = MailboxFull("full")
        payment = await scene.returns(result="abc")
        assert payment is not None
        assert payment.state is State.OUTCOME_UNKNOWN
        scene.shared.busy = None
        await later(scene.platform, scene.payment_id, 3)
        assert scene.payment.state is State.CAPTURED
