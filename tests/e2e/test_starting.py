"""Interrupted while it starts, for the first time or again: nothing is left running, and the next start works."""

from __future__ import annotations

import signal
from collections.abc import Callable
from random import Random

import pytest
import trio

from payorch import psp_process
from payorch.folders import is_held
from tests.e2e.stack import Stack


@pytest.mark.prove
async def test_killed_while_it_starts_for_the_first_time(make_stack: Callable[..., Stack]) -> None:
    dice = Random(8)
    for _ in range(6):
        stack = make_stack()
        for _ in range(3):
            stack.begin()
            await trio.sleep(dice.random() * 3.0)  # anywhere in making a database, its schema, keys and a PSP
            await stack.kill()
        await stack.start()
        assert (await stack.pay("first")).status_code == 201
        assert await stack.stop() == 0


@pytest.mark.prove
async def test_asked_to_stop_while_it_starts(make_stack: Callable[..., Stack]) -> None:
    stack, dice = make_stack(), Random(9)
    await stack.start()
    assert await stack.stop() == 0
    for number in [signal.SIGTERM, signal.SIGINT] * 6:
        stack.begin()
        await trio.sleep(dice.random() * 1.5)
        code = await stack.stop(number, within_seconds=10)
        assert code in (0, 1, -number), code
        if code >= 0:
            assert not is_held(stack.folder / psp_process.LOCK), "the PSP still runs"
            assert not (stack.folder / "postgres" / "cluster" / "data" / "postmaster.pid").exists(), "the database still runs"
    await stack.start()
    assert (await stack.pay("after-all")).status_code == 201
