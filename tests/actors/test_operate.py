"""An operator's act reaches the payment's own actor: done once, whatever becomes of whoever asked, and acted upon as any other step."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing

from actors.mailbox import AskTimeout, Reply
from actors.messages import Forbidden, NoSuchPayment, Operate, Operated
from actors.surroundings import Unwritable
from actors.transaction import TransactionActor
from payorch.domain import operating
from payorch.domain.desk import Story
from payorch.domain.outcome import Approved, ErrorClass, Failure, Source, Unknown
from payorch.domain.payment import OperationState, State
from payorch.domain.records import Attempt, Origin
from payorch.domain.resolving import Word, resolve
from payorch.store.pool import DatabaseUnavailable
from tests.api.actor_world import Platform, Shared, platforms
from tests.api.merchant_world import charge, new_id

LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="Lost."))
WORD = Word(requester="ana", approver="ben", reason="seen at the PSP", evidence="INC-7")
ACT = "act_00000000000000000000000001"


async def pay(shared: Shared, **how: str) -> str:
    made = await shared.store.post(body=charge(**how), idempotency=new_id("evt"))
    return str(made.seen["id"])


def events(shared: Shared, payment_id: str) -> list[tuple[str, str, str]]:
    return [(str(one.name), one.actor, one.cause) for one in shared.store.lives[payment_id].events]


async def operate(
    shared: Shared,
    platform: Platform,
    payment_id: str,
    write: Callable[[Story], object],
    *,
    act: str = ACT,
    within: float = 30,
    ask: bool = False,
) -> Operated | Forbidden | NoSuchPayment:
    async def done() -> bool:
        await trio.sleep(0.01)
        return any(cause == act for _, _, cause in events(shared, payment_id))

    def make(reply_to: Reply[Operated | Forbidden | NoSuchPayment]) -> Operate:
        asks = operating.to_ask if ask else None
        return Operate(actor="operator:ana", cause=act, write=write, done=done, reply_to=reply_to, ask=asks)

    return await platform.directory.ask(payment_id, make, within_seconds=within)


def refunds(story: Story) -> None:
    operating.refund(story, 500, reason="goodwill")


async def test_an_act_is_written_with_its_id_and_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        payment_id = await pay(shared)
        answer = await operate(shared, platform, payment_id, refunds)
        assert isinstance(answer, Operated)
        assert not answer.before
        await trio.sleep(2)
        payment = shared.stored[-1]
        assert (payment.refunded_minor, payment.operations[0].origin) == (500, Origin.OPERATOR)
        assert ("RefundRequested", "operator:ana", ACT) in events(shared, payment_id)
        assert [one.cause for one in shared.calls if one.subject.id == payment.operations[0].id] == [ACT]


async def test_the_same_act_again_is_not_done_again(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        payment_id = await pay(shared)
        await operate(shared, platform, payment_id, refunds)
        again = await operate(shared, platform, payment_id, refunds)
        other = await operate(shared, platform, payment_id, refunds, act="act_00000000000000000000000002")
        assert isinstance(again, Operated)
        assert again.before
        assert isinstance(other, Operated)
        assert not other.before
        assert len([name for name, _, _ in events(shared, payment_id) if name == "RefundRequested"]) == 2


async def test_whoever_loses_patience_and_asks_again_gets_one(autojump_clock: trio.testing.MockClock) -> None:
    """Two messages for one act wait in the mailbox at the same time."""
    async with platforms(1, commit_seconds=2) as (shared, (platform,)):
        payment_id = await pay(shared)
        with pytest.raises(AskTimeout):
            await operate(shared, platform, payment_id, refunds, within=0.5)
        again = await operate(shared, platform, payment_id, refunds)
        assert isinstance(again, Operated)
        assert again.before
        assert len(shared.stored[-1].operations) == 1


async def test_an_act_in_another_life_finds_what_the_first_did(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        payment_id = await pay(shared)
        await operate(shared, platform, payment_id, refunds)
        await platform.supervisor.stop_child(payment_id)
        again = await operate(shared, platform, payment_id, refunds)
        assert isinstance(again, Operated)
        assert again.before


async def test_what_is_refused_changes_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        payment_id = await pay(shared)
        written = len(shared.stored)
        answer = await operate(shared, platform, payment_id, lambda story: operating.release(story, "now"))
        assert isinstance(answer, Forbidden)
        assert answer.refusal.detail == "The payment is not set aside."
        assert len(shared.stored) == written
        assert isinstance(await operate(shared, platform, new_id("pay"), refunds), NoSuchPayment)


async def test_a_database_that_is_away_is_said_to_be_and_nothing_is_done(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        payment_id = await pay(shared)

        async def away() -> bool:
            raise DatabaseUnavailable("away")

        def make(reply_to: Reply[Operated | Forbidden | NoSuchPayment]) -> Operate:
            return Operate(actor="operator:ana", cause=ACT, write=refunds, done=away, reply_to=reply_to)

        with pytest.raises(DatabaseUnavailable):
            await platform.directory.ask(payment_id, make, within_seconds=30)
        assert shared.stored[-1].operations == ()


async def test_what_the_journal_refuses_ends_that_life_and_its_asker_hears_why(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the act has no second person behind it: the database has the last word."""
    async with platforms(1) as (shared, (platform,)):
        payment_id = await pay(shared)

        async def refuse(*_: object, **__: object) -> None:
            raise Unwritable("a payment is corrected by two people")

        with monkeypatch.context() as patch:
            patch.setattr(TransactionActor, "_append", refuse)
            with pytest.raises(Unwritable):
                await operate(shared, platform, payment_id, refunds)
        assert [type(one).__name__ for one in shared.deaths] == ["Unwritable"]
        shared.deaths.clear()
        assert shared.stored[-1].operations == ()


async def test_a_resync_asks_the_psp_at_once_and_moves_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        shared.psp = lambda execute: LOST if execute.source is not Source.INQUIRY else Approved(captured=True)
        payment_id = await pay(shared)
        shared.calls.clear()
        answer = await operate(shared, platform, payment_id, lambda story: operating.resync(story, "now"), ask=True)
        assert isinstance(answer, Operated)
        assert answer.payment.state is State.OUTCOME_UNKNOWN
        assert answer.asked == (answer.payment.attempts[0].id,)
        await trio.sleep(2)
        assert [one.source for one in shared.calls] == [Source.INQUIRY]
        assert shared.stored[-1].state is State.CAPTURED


async def test_what_people_found_is_written_and_its_call_is_made(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        shared.psp = lambda execute: LOST if isinstance(execute.subject, Attempt) else Approved(captured=False)
        payment_id = await pay(shared, capture="manual")
        answer = await operate(shared, platform, payment_id, lambda story: resolve(story, "VOIDING", WORD))
        assert isinstance(answer, Operated)
        await trio.sleep(2)
        payment = shared.stored[-1]
        assert (payment.state, payment.operations[0].state) == (State.CANCELED, OperationState.SUCCEEDED)
        assert [one.source for one in shared.calls if not isinstance(one.subject, Attempt)] == [Source.RESPONSE]
        assert [name for name, actor, _ in events(shared, payment_id) if actor == "operator:ana"] == [
            "ReviewRequested",
            "CompensationApproved",
        ]
