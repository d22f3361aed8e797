"""The recovery actor by itself: what it does with a payment whose actor keeps dying."""

from __future__ import annotations

from typing import Any, cast

import pytest

from actors.directory import Directory
from actors.recovery import Poisoned, RecoveryActor
from payorch.domain.desk import Story
from payorch.domain.records import Payment
from payorch.store.items import Appended, Conflict, Refused, Result
from tests.domain.worlds import World


class Journal:
    """Answers each writing in turn; the last answer is repeated."""

    def __init__(self, *answers: Result) -> None:
        self.world = World()
        self.payment = self.world.pay()
        self.answers = list(answers)
        self.written: list[Payment] = []
        self.loads = 0

    async def load(self, payment_id: str) -> Payment:
        assert payment_id == self.payment.id
        self.loads += 1
        return self.payment

    async def commit(self, payment: Payment, story: Story) -> Result:
        self.written.append(story.payment)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def recovery(self) -> RecoveryActor:
        async def nobody(*_: Any) -> Any:
            raise AssertionError("nothing is to be looked for")

        return RecoveryActor(
            directory=cast(Directory, None),
            due=nobody,
            unanswered=nobody,
            load=self.load,
            commit=self.commit,
            desk=lambda: self.world.desk(),
            clock=cast(Any, None),
            sweep_seconds=1,
            sweep_limit=1,
            census=nobody,
            check_ours=nobody,
            admissions={},
            unresolved=cast(Any, nobody),
            pull_forward_limit=1,
            lend_operations_rarer=4,
        )


@pytest.mark.parametrize(
    ("answers", "writings", "set_aside"),
    [
        ([Appended(1)], 1, 1),
        ([Conflict(), Conflict(), Appended(1)], 3, 1),
        ([Refused(reason="a bug of ours")], 1, 0),
    ],
)
async def test_a_payment_is_counted_as_set_aside_when_it_is(answers: list[Result], writings: int, set_aside: int) -> None:
    journal = Journal(*answers)
    recovery = journal.recovery()
    await recovery.receive(Poisoned(payment_id=journal.payment.id, reason="its actor kept failing"))
    assert (journal.loads, len(journal.written)) == (writings, writings)
    assert all(payment.hold is not None for payment in journal.written)
    assert recovery.statistics().set_aside == set_aside
