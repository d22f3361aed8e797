"""Finds the actor of a payment, and starts it when there is none: the door through which everything reaches a payment.

Not here: what the payment's actor does (`transaction`), or how long it lives (it rests by itself).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TypeVar

from actors.child import ChildSpec, Restart
from actors.dynamic import DynamicSupervisor
from actors.mailbox import MailboxFull, Ref, Reply
from actors.messages import Answered, Message
from actors.surroundings import Surroundings
from actors.transaction import TransactionActor
from payorch.domain.outcome import Evidence

T = TypeVar("T")


class Directory:
    """Payments by id, over one dynamic supervisor. `mailbox_capacity`: questions that may wait for one payment.

    As much room again is kept for what is told: a crowd of commands must not keep the answer of a PSP out, which is what they wait for.
    """

    def __init__(
        self, supervisor: DynamicSupervisor, surroundings: Surroundings, *, mailbox_capacity: int, shutdown_seconds: float
    ) -> None:
        self._supervisor = supervisor
        self._surroundings = surroundings
        self._mailbox_capacity = mailbox_capacity
        self._shutdown_seconds = shutdown_seconds
        self._runs_seen = 0
        self._unsure_before = surroundings.office.clock.now()
        self._given_up: dict[str, datetime] = {}

    def given_up(self, payment_id: str) -> None:
        """That payment's actor died too often: whoever acts for it next must not think that it had come to rest."""
        self._given_up[payment_id] = self._surroundings.office.clock.now()

    async def create(self, payment_id: str, make: Callable[[Reply[T]], Message], *, within_seconds: float) -> T:
        """Starts the actor of a payment that does not exist yet and asks it. Raises as `Ref.ask` does, and TooManyChildren."""
        return await self._start(payment_id, fresh=True).ask(make, within_seconds=within_seconds)

    async def ask(self, payment_id: str, make: Callable[[Reply[T]], Message], *, within_seconds: float) -> T:
        """Asks the payment's actor, starting it where it rests. Raises as `Ref.ask` does, and TooManyChildren."""
        ref = self._ref(payment_id)
        if ref.statistics().depth >= self._mailbox_capacity:
            raise MailboxFull(f"{payment_id}: {self._mailbox_capacity} questions are waiting")
        return await ref.ask(make, within_seconds=within_seconds)

    def tell(self, payment_id: str, message: Message) -> None:
        """Tells the payment's actor, starting it where it rests. Raises MailboxFull, ActorStopped (no supervisor), TooManyChildren."""
        self._ref(payment_id).tell(message)

    def answered(self, payment_id: str, subject_id: str, evidence: Evidence, cause: str) -> None:
        """A connector's answer for that payment. Where it cannot be told now, the payment's own timer finds out later."""
        try:
            self.tell(payment_id, Answered(subject_id=subject_id, evidence=evidence, cause=cause))
        except Exception as obstacle:
            self._surroundings.undelivered(payment_id, obstacle)

    def _ref(self, payment_id: str) -> Ref[Message]:
        return self._supervisor.ref_of(payment_id) or self._start(payment_id, fresh=False)

    def _start(self, payment_id: str, *, fresh: bool) -> Ref[Message]:
        lives = 0
        clock = self._surroundings.office.clock
        if self._supervisor.runs != self._runs_seen:
            # The first actor since the process or the tree above began anew: whatever was under way then has been cut.
            self._runs_seen, self._unsure_before = self._supervisor.runs, clock.now()
        unsure_before = self._given_up.pop(payment_id, self._unsure_before)

        def start() -> TransactionActor:
            # Only its very first life may believe that there is nothing to load, or that the one before had come to rest.
            nonlocal lives
            lives += 1
            fresh_now, unsure = (fresh, unsure_before) if lives == 1 else (False, clock.now())
            return TransactionActor(payment_id, self._surroundings, fresh=fresh_now, unsure_before=unsure)

        return self._supervisor.start_child(
            ChildSpec(
                name=payment_id,
                start=start,
                mailbox_capacity=2 * self._mailbox_capacity,
                restart=Restart.TRANSIENT,
                shutdown_seconds=self._shutdown_seconds,
            )
        )
