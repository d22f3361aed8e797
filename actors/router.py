"""The one who routes: the rules in force, what is known of connectors and cards, and a decision for each payment made from them.

One object for all payments. It outlives the actors: those of payments ask it, and it learns from everything that the journal commits. The
rules are replaced as a whole, between two decisions. Not here: deciding (`payorch.domain.routing`), where rules come from and how memory is
filled at the start (`payorch.routes`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import final

from payorch.domain.capability import Manifest
from payorch.domain.card_budget import DECLINES, CardBudget, decline_in
from payorch.domain.events import Event
from payorch.domain.records import Payment
from payorch.domain.routing import Decision, route
from payorch.domain.rules import Plan, asked, draw_of
from payorch.domain.success import TELLING, Success, observed

WORTH_LEARNING = TELLING | DECLINES
"""The names of the events that can teach anything."""


def _nobody() -> Mapping[str, str]:
    return {}


@final
class Router:
    """unavailable: the connectors that are to be left out now, each with the reason in words."""

    def __init__(
        self,
        plan: Plan,
        manifests: Mapping[str, Manifest],
        *,
        success: Success,
        cards: CardBudget,
        unavailable: Callable[[], Mapping[str, str]] = _nobody,
    ) -> None:
        self.plan = plan
        self.success = success
        self.cards = cards
        self._manifests = manifests
        self._unavailable = unavailable

    def route(self, payment: Payment, at: datetime) -> Decision:
        """Who is to try this payment."""
        question = asked(payment.intent, merchant_id=payment.merchant_id, draw=draw_of(payment.id), at=at)
        estimates = self.success.estimates(self._manifests, payment.intent, at)
        return route(question, self.plan, self._manifests, estimates=estimates, unavailable=self._unavailable())

    def learn(self, payment: Payment, event: Event) -> None:
        """Something of a payment was committed. `payment`: after it, or later."""
        if event.name not in WORTH_LEARNING:
            return
        observation = observed(event)
        if observation is not None:
            connector = payment.attempt(observation.attempt_id).connector
            self.success.tell(connector, payment.intent, observation, event.at)
        decline = decline_in(event)
        if decline is not None:
            self.cards.tell(payment.merchant_id, payment.intent, decline)
