"""Payments loaded at the same time share a statement; whatever hinders it hurts only whom it is about."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from random import Random
from typing import cast

import pytest
import trio
import trio.testing

from actors.loading import MOST, Loading
from payorch.domain.records import Payment


def a_payment() -> Payment:
    """Told apart from others by being itself."""
    return cast(Payment, object())


class Store:
    """What is there, and what was asked of it. poison: a payment that no statement survives."""

    def __init__(self, *ids: str, poison: str | None = None) -> None:
        self.there = {one: a_payment() for one in ids}
        self.poison = poison
        self.alone: list[str] = []
        self.together: list[list[str]] = []
        self.hangs = False

    async def read(self, payment_id: str) -> Payment | None:
        self.alone.append(payment_id)
        await trio.lowlevel.checkpoint()
        if payment_id == self.poison:
            raise ValueError(payment_id)
        return self.there.get(payment_id)

    def read_in_vain(self, payment_id: str) -> Callable[[str], Awaitable[Payment | None]]:
        """As `read`, which for that payment does not come back."""

        async def read(one: str) -> Payment | None:
            if one == payment_id:
                await trio.sleep_forever()
            return await self.read(one)

        return read

    async def read_many(self, ids: Sequence[str]) -> Mapping[str, Payment]:
        self.together.append(list(ids))
        await trio.lowlevel.checkpoint()
        if self.hangs:
            await trio.sleep_forever()
        if self.poison in ids:
            raise ValueError(self.poison)
        return {one: self.there[one] for one in ids if one in self.there}


async def loaded(loading: Loading, *ids: str) -> dict[str, object]:
    """What each got, or the error that it met."""
    got: dict[str, object] = {}

    async def one(payment_id: str) -> None:
        try:
            got[payment_id] = await loading.load(payment_id)
        except ValueError as error:
            got[payment_id] = error

    async with trio.open_nursery() as nursery:
        for payment_id in ids:
            nursery.start_soon(one, payment_id)
    return got


async def test_those_who_come_together_share_a_statement() -> None:
    store = Store("a", "b")
    got = await loaded(Loading(store.read, store.read_many), "a", "b", "c")
    assert got == {"a": store.there["a"], "b": store.there["b"], "c": None}
    assert [sorted(ids) for ids in store.together] == [["a", "b", "c"]]
    assert store.alone == []


async def test_one_alone_has_the_statement_for_one() -> None:
    store = Store("a")
    loading = Loading(store.read, store.read_many)
    assert [await loading.load("a"), await loading.load("a")] == [store.there["a"]] * 2
    assert (store.alone, store.together) == (["a", "a"], [])


async def test_nobody_joins_a_statement_that_is_under_way() -> None:
    store = Store("a", "b", "c")
    loading = Loading(store.read, store.read_many)
    async with trio.open_nursery() as nursery:
        store.hangs = True
        nursery.start_soon(loading.load, "a")
        nursery.start_soon(loading.load, "b")
        await trio.testing.wait_all_tasks_blocked()
        store.hangs = False
        # What was committed meanwhile it must see.
        store.there["c"] = a_payment()
        with trio.fail_after(5):
            assert await loading.load("c") is store.there["c"]
        nursery.cancel_scope.cancel()


async def test_a_payment_that_cannot_be_read_hurts_no_other() -> None:
    for _ in range(20):  # each of them is the one who asks, now and then
        store = Store("a", "b", poison="bad")
        got = await loaded(Loading(store.read, store.read_many), "a", "bad", "b")
        assert (got["a"], got["b"]) == (store.there["a"], store.there["b"])
        assert isinstance(got["bad"], ValueError)


async def test_whoever_asked_for_all_may_be_cancelled_and_the_others_load_alone() -> None:
    store = Store("a", "b")
    store.hangs = True
    loading = Loading(store.read, store.read_many)
    got: dict[str, Payment | None] = {}
    scopes = {"a": trio.CancelScope(), "b": trio.CancelScope()}

    async def one(payment_id: str) -> None:
        with scopes[payment_id]:
            got[payment_id] = await loading.load(payment_id)

    async with trio.open_nursery() as nursery:
        for payment_id in scopes:
            nursery.start_soon(one, payment_id)
        await trio.testing.wait_all_tasks_blocked()
        [[asker, other]] = store.together
        scopes[asker].cancel()
    assert got == {other: store.there[other]}


async def test_nobody_waits_for_the_fault_of_another() -> None:
    """Here whose payment cannot be read with the others has to wait for his own, for ever."""
    store = Store("a", "b", poison="bad")
    loading = Loading(store.read_in_vain("bad"), store.read_many)
    for _ in range(20):  # each of them is the first, now and then
        async with trio.open_nursery() as nursery:
            nursery.start_soon(loading.load, "bad")
            with trio.fail_after(5):
                assert await loaded(loading, "a", "b") == store.there
            nursery.cancel_scope.cancel()


async def test_whoever_is_cancelled_before_he_asked_leaves_nobody_waiting() -> None:
    store = Store("a", "b")
    loading = Loading(store.read, store.read_many)
    with trio.CancelScope() as scope:
        scope.cancel()
        await loading.load("a")
    assert (store.alone, store.together) == ([], [])
    assert await loaded(loading, "a", "b") == store.there


@pytest.mark.parametrize("seed", range(20))
async def test_what_was_written_before_a_load_is_in_it(seed: int) -> None:
    """However loads fall together: each sees at least what was committed when it began."""
    dice, versions = Random(seed), dict.fromkeys("abcdef", 0)

    async def read_many(ids: Sequence[str]) -> Mapping[str, Payment]:
        seen = {one: versions[one] for one in ids}
        for _ in range(dice.randrange(1, 4)):
            await trio.lowlevel.checkpoint()
        if dice.random() < 0.1:
            raise ValueError("one of them")
        return cast(Mapping[str, Payment], seen)

    async def read(payment_id: str) -> Payment | None:
        seen = versions[payment_id]
        await trio.lowlevel.checkpoint()
        return cast(Payment, seen)

    loading = Loading(read, read_many)

    async def life(payment_id: str) -> None:
        for _ in range(30):
            for _ in range(dice.randrange(4)):
                await trio.lowlevel.checkpoint()
            versions[payment_id] += 1
            written = versions[payment_id]
            with trio.CancelScope() as scope:
                if dice.random() < 0.1:
                    scope.cancel()
                assert cast(int, await loading.load(payment_id)) >= written

    async with trio.open_nursery() as nursery:
        for payment_id in versions:
            nursery.start_soon(life, payment_id)


@pytest.mark.parametrize("crowd", [MOST, MOST + 1, 3 * MOST])
async def test_a_statement_has_a_bound(crowd: int) -> None:
    ids = [f"pay_{n}" for n in range(crowd)]
    store = Store(*ids)
    assert await loaded(Loading(store.read, store.read_many), *ids) == store.there
    assert all(len(one) <= MOST for one in store.together)
