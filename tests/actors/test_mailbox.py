"""Mailboxes, refs and replies, read by the test itself instead of an actor."""

from dataclasses import dataclass

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from actors.mailbox import ActorStopped, AskTimeout, Mailbox, MailboxClosed, MailboxFull, Ref, Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    reply: Reply[int]


def make(reply: Reply[int]) -> Question:
    return Question(reply=reply)


async def test_messages_come_out_in_the_order_they_went_in() -> None:
    mailbox = Mailbox[int](capacity=3)
    for number in range(3):
        mailbox.put_nowait(number)
    assert [await mailbox.get(), await mailbox.get(), await mailbox.get()] == [0, 1, 2]


async def test_full_is_an_explicit_answer_and_is_counted() -> None:
    ref = Ref(Mailbox[int](capacity=2, name="small"))
    ref.tell(1)
    ref.tell(2)
    with pytest.raises(MailboxFull, match="small"):
        ref.tell(3)
    statistics = ref.statistics()
    assert (statistics.depth, statistics.received, statistics.refused) == (2, 2, 1)


def test_a_mailbox_without_room_is_refused() -> None:
    with pytest.raises(ValueError, match="capacity"):
        Mailbox[int](capacity=0)


async def test_get_waits_for_a_message(nursery: trio.Nursery) -> None:
    mailbox, got = Mailbox[int](capacity=1), list[int]()

    async def read() -> None:
        got.append(await mailbox.get())

    nursery.start_soon(read)
    await wait_all_tasks_blocked()
    assert got == []
    mailbox.put_nowait(7)
    await wait_all_tasks_blocked()
    assert got == [7]


async def test_a_cancelled_get_takes_no_message() -> None:
    mailbox = Mailbox[int](capacity=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.get()
    mailbox.put_nowait(1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await mailbox.get()
    assert scope.cancelled_caught
    assert mailbox.take_waiting(10) == [1]


async def test_a_reader_of_a_long_queue_lets_others_run(nursery: trio.Nursery) -> None:
    mailbox, turns = Mailbox[int](capacity=100), list[str]()
    for number in range(100):
        mailbox.put_nowait(number)

    async def other() -> None:
        turns.append("other")

    nursery.start_soon(other)
    for _ in range(100):
        await mailbox.get()
    assert turns == ["other"]


async def test_a_second_reader_is_an_error(nursery: trio.Nursery) -> None:
    mailbox = Mailbox[int](capacity=1)
    nursery.start_soon(mailbox.get)
    await wait_all_tasks_blocked()
    with pytest.raises(RuntimeError, match="reader"):
        await mailbox.get()
    mailbox.put_nowait(1)


async def test_take_waiting_takes_what_is_there_up_to_the_limit() -> None:
    mailbox = Mailbox[int](capacity=9)
    for number in range(5):
        mailbox.put_nowait(number)
    assert mailbox.take_waiting(3) == [0, 1, 2]
    assert mailbox.take_waiting(3) == [3, 4]
    assert mailbox.take_waiting(3) == []


async def test_close_refuses_counts_what_is_lost_and_wakes_the_reader() -> None:
    mailbox = Mailbox[int](capacity=9)
    mailbox.put_nowait(1)
    mailbox.put_nowait(2)
    mailbox.close()
    mailbox.close()
    assert mailbox.statistics().lost == 2
    with pytest.raises(ActorStopped):
        mailbox.put_nowait(3)
    with pytest.raises(MailboxClosed):
        await mailbox.get()


async def test_ask_returns_the_answer(nursery: trio.Nursery) -> None:
    mailbox = Mailbox[Question](capacity=1)

    async def answer() -> None:
        (await mailbox.get()).reply.answer(42)

    nursery.start_soon(answer)
    assert await Ref(mailbox).ask(make, within_seconds=1) == 42
    assert mailbox.statistics().waiting_askers == 0


async def test_ask_raises_the_error_put_into_the_reply(nursery: trio.Nursery) -> None:
    mailbox = Mailbox[Question](capacity=1)

    async def fail() -> None:
        (await mailbox.get()).reply.fail(LookupError("none"))

    nursery.start_soon(fail)
    with pytest.raises(LookupError, match="none"):
        await Ref(mailbox).ask(make, within_seconds=1)


async def test_only_the_first_settle_counts() -> None:
    mailbox = Mailbox[Question](capacity=1)
    replies = list[Reply[int]]()

    def keep(reply: Reply[int]) -> Question:
        reply.answer(1)
        reply.answer(2)
        reply.fail(LookupError())
        replies.append(reply)
        return Question(reply=reply)

    assert await Ref(mailbox).ask(keep, within_seconds=1) == 1
    assert replies[0].settled


async def test_ask_times_out_and_a_late_answer_is_ignored(autojump_clock: MockClock) -> None:
    mailbox = Mailbox[Question](capacity=1)
    with pytest.raises(AskTimeout):
        await Ref(mailbox).ask(make, within_seconds=3)
    assert trio.current_time() == 3
    late = await mailbox.get()
    assert late.reply.settled
    late.reply.answer(1)
    assert mailbox.statistics().waiting_askers == 0


async def test_a_cancelled_asker_leaves_nothing_behind() -> None:
    mailbox = Mailbox[Question](capacity=1)
    with trio.CancelScope() as scope:
        scope.cancel()
        await Ref(mailbox).ask(make, within_seconds=3)
    assert mailbox.statistics().waiting_askers == 0
    assert (await mailbox.get()).reply.settled


async def test_close_tells_every_asker_whether_its_message_was_taken_or_waits(nursery: trio.Nursery) -> None:
    mailbox, kept, told = Mailbox[Question](capacity=1), list[Question](), list[int]()

    async def ask(number: int) -> None:
        with pytest.raises(ActorStopped):
            await Ref(mailbox).ask(make, within_seconds=1)
        told.append(number)

    for number in range(3):
        nursery.start_soon(ask, number)
        await wait_all_tasks_blocked()
        if number < 2:
            kept.append(await mailbox.get())
    assert mailbox.statistics().waiting_askers == 3
    mailbox.close()
    await wait_all_tasks_blocked()
    assert sorted(told) == [0, 1, 2]
    kept[0].reply.answer(9)
