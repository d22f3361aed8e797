"""One seed from its first order to the verdict: a day of trade under misfortune, perhaps a night and another day, healing, judgement."""

from __future__ import annotations

import resource
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

import pytest
import trio
import trio._core._run as trio_run
from trio.testing import MockClock
from werkzeug.routing import Rule

from tests.conftest import Database
from tests.simulation.checks import check
from tests.simulation.endpoints import Endpoints
from tests.simulation.merchants import Merchant
from tests.simulation.runtime import Runtime
from tests.simulation.world import World

ORDERS: Final = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A world that is over. `error`: what was wrong in it, None where nothing was."""

    world: World
    error: BaseException | None

    @property
    def first_error(self) -> BaseException | None:
        """Of a group its first member: what else fell over then is a consequence."""
        error = self.error
        while isinstance(error, BaseExceptionGroup):
            error = error.exceptions[0]
        return error


def simulate(seed: int, database: Database, *, crash_at: tuple[str, int] | None = None) -> Ending:
    """One seed on an empty database, from the first order to the verdict. Its world knows its trace and what was seen."""
    world = World(seed, database, crash_at=crash_at)
    state = trio_run._r.getstate()
    error: BaseException | None = None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trio_run, "_ALLOW_DETERMINISTIC_SCHEDULING", True)
        # Each life makes its routes anew, and most of that is compiling code that would build URLs of them.
        patch.setattr(Rule, "_compile_builder", _builds_no_urls)
        trio_run._r.seed(world.seed)
        try:
            trio.run(_story, world, clock=MockClock(autojump_threshold=0))
        except KeyboardInterrupt:
            raise
        except BaseException as wrong:  # a Dead that got out is wrong too
            error = wrong
        finally:
            trio_run._r.setstate(state)
            world.close()
    return Ending(world=world, error=error)


def _builds_no_urls(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    def build(*_: object, **__: object) -> tuple[str, str]:
        raise AssertionError(f"somebody builds a URL of {rule.rule}")

    return build


async def _story(world: World) -> None:
    runtime = Runtime(world)
    await runtime.enrol()
    merchants = [Merchant(world, runtime, number) for number in range(ORDERS)]
    endpoints = Endpoints(world, runtime)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_stop_when_accused, world)
        nursery.start_soon(runtime.run)
        nursery.start_soon(world.postman.run, runtime.told)
        world.healed = False
        await _day(runtime, [endpoints.open, *(merchant.trade for merchant in merchants)])
        if world.fate.night_seconds:
            world.note("phase", "night")
            runtime.begin_again(idle_seconds=world.fate.night_seconds)
            await trio.sleep(world.fate.night_seconds)
            world.note("phase", "another day")
            runtime.begin_again()
            world.postman.exchange_secrets()
            await _day(runtime, [endpoints.look_after, *(merchant.trade_on for merchant in merchants)])
        world.healed = True
        world.note("phase", "healed")
        runtime.begin_again(idle_seconds=world.fate.healing_seconds)
        await _all_of([endpoints.look_after, *(merchant.settle_up for merchant in merchants)])
        await trio.sleep(world.fate.healing_seconds)
        world.psp.catch_up()
        await check(world, runtime, merchants, await runtime.judge())
        assert not world.wrong, world.wrong[0]
        nursery.cancel_scope.cancel()


async def _stop_when_accused(world: World) -> None:
    await world.accused.wait()
    raise AssertionError(world.wrong[0])


async def _day(runtime: Runtime, trades: list[Callable[[], Awaitable[None]]]) -> None:
    async with trio.open_nursery() as nursery:
        nursery.start_soon(runtime.follow_the_clock)
        await _all_of(trades)
        nursery.cancel_scope.cancel()


async def _all_of(steps: list[Callable[[], Awaitable[None]]]) -> None:
    async with trio.open_nursery() as nursery:
        for step in steps:
            nursery.start_soon(step)


def seconds_used() -> float:
    """Processor time of this process so far, for the report."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
