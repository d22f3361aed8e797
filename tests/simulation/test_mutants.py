"""The proof that the simulation bites: well-known mistakes, planted one at a time, must each be caught within a few seeds."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable
from typing import Any, Final

import pytest
import trio
from msgspec.structs import replace

from actors.connector import ConnectorActor
from actors.journal import JournalWriter, Write
from actors.recovery import RecoveryActor
from connectors.contract import HttpRequest
from connectors.stripe.connector import StripeConnector
from payorch.domain import weigh
from payorch.domain.outcome import NotExecuted, Unknown
from payorch.platform import Platform
from payorch.store.items import Append, Appended
from tests.conftest import Database
from tests.simulation.test_simulation import simulate

SEEDS: Final = 12
"""Far fewer than the thousand a mutant may survive: these are mistakes that no suite should need luck for."""

Patch = pytest.MonkeyPatch


def a_timeout_is_taken_for_a_failure(patch: Patch) -> None:
    honest = ConnectorActor._exchange

    async def exchange(self: ConnectorActor, channel: Any, request: Any) -> Any:
        finding, response = await honest(self, channel, request)
        return NotExecuted(failure=finding.failure, sent=False) if isinstance(finding, Unknown) else finding, response

    patch.setattr(ConnectorActor, "_exchange", exchange)


def every_try_has_a_fresh_key(patch: Patch) -> None:
    honest, counter = StripeConnector.request, itertools.count()

    def request(self: StripeConnector, call: Any, *, psp_key: str | None, credentials: Any) -> HttpRequest:
        return honest(self, call, psp_key=psp_key and f"{psp_key}-{next(counter)}", credentials=credentials)

    patch.setattr(StripeConnector, "request", request)


def answers_go_out_before_the_commit(patch: Patch) -> None:
    honest = JournalWriter.receive

    async def receive(self: JournalWriter, message: Write) -> None:
        message.reply_to.answer(Appended(0, True))
        await trio.sleep(0.05)
        await honest(self, message)

    patch.setattr(JournalWriter, "receive", receive)


def merchants_keys_are_not_unique(patch: Patch) -> None:
    honest = Platform.write

    def marked(part: Any, payment_id: str) -> Any:
        """Under a key of its own for each payment; cancels keep theirs, so that only creations double."""
        return part if part is None or part.key.endswith("-cancel") else replace(part, key=part.key + payment_id)

    async def write(self: Platform, item: Any) -> Any:
        if isinstance(item, Append):
            mark = item.payment.id
            item = replace(item, claim=marked(item.claim, mark), answer=marked(item.answer, mark))
        return await honest(self, item)

    patch.setattr(Platform, "write", write)


def a_lookup_that_finds_nothing_proves_absence(patch: Patch) -> None:
    patch.setattr(weigh, "absence_proved", lambda *_, **__: True)


def nobody_looks_at_timers(patch: Patch) -> None:
    async def sleep(_: RecoveryActor) -> None:
        await trio.sleep_forever()

    patch.setattr(RecoveryActor, "_wake_for_ever", sleep)


MUTANTS: Final = (
    a_timeout_is_taken_for_a_failure,
    every_try_has_a_fresh_key,
    answers_go_out_before_the_commit,
    merchants_keys_are_not_unique,
    a_lookup_that_finds_nothing_proves_absence,
    nobody_looks_at_timers,
)


def verdict(error: BaseException) -> str:
    """What the judge said; of a group, its first."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return str(error) if isinstance(error, AssertionError) else ""


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_a_planted_mistake_is_caught(plant: Callable[[Patch], None], make_database: Callable[[], Database], monkeypatch: Patch) -> None:
    plant(monkeypatch)
    for seed in range(SEEDS):
        try:
            simulate(seed, make_database())
        except (Exception, BaseExceptionGroup) as error:
            if re.match(r"[A-Z]\d: ", verdict(error)):
                return  # caught by the invariant that it breaks, and not because the mutant itself fell over
            raise
    pytest.fail(f"{plant.__name__} survived {SEEDS} seeds")
