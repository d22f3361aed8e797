"""Answering over real payment actors: many twins at once, in two processes, over a journal that is a dictionary. One charge, one answer."""

from __future__ import annotations

from collections import Counter

import pytest
import trio

from payorch.api.answering import Asked, Said
from payorch.api.refusal import Refusal
from payorch.domain.payment import State
from tests.api.actor_world import Platform, platforms
from tests.api.merchant_world import MERCHANT, START, an_intent


def asked(key: str = "k", request: str = "r", fingerprint: bytes = b"f" * 32) -> Asked:
    return Asked(merchant_id=MERCHANT, key=key, fingerprint=fingerprint, method_path="POST /v1/payments", request_id=request)


async def ask(platform: Platform, request: str, found: list[Said | Refusal]) -> None:
    try:
        found.append(await platform.answering.create(asked(request=request), an_intent(), confirm=True))
    except Refusal as refusal:
        found.append(refusal)


@pytest.mark.parametrize("count", [1, 2])
async def test_fifty_twins_make_one_charge_and_hear_one_answer(count: int, autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(count) as (shared, running):
        found: list[Said | Refusal] = []
        async with trio.open_nursery() as nursery:
            for number in range(50):
                nursery.start_soon(ask, running[number % count], f"r{number}", found)
        assert len(shared.calls) == 1
        assert len(shared.store.lives) == 1
        said = [one for one in found if isinstance(one, Said)]
        assert Counter(one.code for one in found if isinstance(one, Refusal)) == {"idempotency_in_progress": 50 - len(said)}
        assert [(one.status, one.replayed) for one in said] == [(201, False)]
        later = await running[-1].answering.create(asked(request="later"), an_intent(), confirm=True)
        assert (later.body, later.replayed) == (said[0].body, True)


async def test_a_slow_psp_is_202_for_ever_and_the_payment_goes_on(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, psp_seconds=20) as (shared, (platform,)):
        first = await platform.answering.create(asked(), an_intent(), confirm=True)
        assert (first.status, first.replayed, trio.current_time() < 6) == (202, False, True)
        await trio.sleep(20)
        (life,) = shared.store.lives.values()
        assert life.payment.state is State.CAPTURED
        second = await platform.answering.create(asked(request="later"), an_intent(), confirm=True)
        assert (second.status, second.body, second.replayed) == (202, first.body, True)


async def test_a_slow_journal_is_503_and_the_next_try_is_told(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, commit_seconds=7) as (shared, (platform,)):
        with pytest.raises(Refusal) as refused:
            await platform.answering.create(asked(), an_intent(), confirm=True)
        problem = refused.value.problem("r")
        assert (problem.status, problem.money_moved) == (503, "unknown")
        shared.commit_seconds = 0.01
        await trio.sleep(60)
        platform.clock.at = START.replace(hour=13)
        told = await platform.answering.create(asked(request="later"), an_intent(), confirm=True)
        assert (told.status, told.replayed, b'"succeeded"' in told.body) == (202, True, True)
        assert (len(shared.calls), len(shared.store.lives)) == (1, 1)


async def test_a_confirmation_by_two_keys_at_once_is_executed_once(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1) as (shared, (platform,)):
        await platform.answering.create(asked("made"), an_intent(), confirm=False)
        (payment_id,) = shared.store.lives
        found: list[Said | Refusal] = []

        async def confirm(key: str) -> None:
            try:
                found.append(await platform.answering.confirm(asked(key), payment_id, None, None))
            except Refusal as refusal:
                found.append(refusal)

        async with trio.open_nursery() as nursery:
            nursery.start_soon(confirm, "a")
            nursery.start_soon(confirm, "b")
        heard = {one.status if isinstance(one, Said) else one.code.value for one in found}
        assert heard == {200, "operation_not_allowed"}
        assert len(shared.calls) == 1
