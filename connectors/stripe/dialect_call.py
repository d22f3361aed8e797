"""One request, or one step of the PSP's own, while it is being carried out: where it writes, when it is, what it causes.

Not here: routing and answering (`dialect`), what the endpoints do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, final

from msgspec.json import encode

from connectors.simulator.dialect import Settings
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification, Payment
from connectors.stripe.dialect_objects import charge, event, payment_intent

REFERENCE_NAMES: Final = ("payorch_attempt", "payorch_operation", "reference", "order_id")
"""Under which metadata names the merchant's own id is looked for, in this order."""


def our_reference(metadata: Mapping[str, str]) -> str | None:
    """The merchant's own id for a payment or operation, from its metadata."""
    return next((metadata[name] for name in REFERENCE_NAMES if name in metadata), None)


@final
class Call:
    """What an endpoint needs besides its parameters. Without `request_id` and `key` it is the PSP acting by itself."""

    def __init__(
        self,
        ledger: Ledger,
        now: datetime,
        settings: Settings,
        *,
        request_id: str = "",
        key: str | None = None,
    ) -> None:
        self.ledger = ledger
        self.now = now
        self.settings = settings
        self.request_id = request_id
        self.webhooks: list[Notification] = []
        self._request = {"id": request_id or None, "idempotency_key": key}

    def emit(self, type: str, payment: Payment, it: dict[str, Any] | None = None) -> None:
        """Owes the merchant a webhook about a snapshot: by its type of the payment's intent or latest charge, or of `it`."""
        if it is None:
            is_charge = type.startswith("charge.")
            it = charge(payment, payment.facts["charges"][-1]) if is_charge else payment_intent(payment)
        made = event(self.ledger, type, it, self.now, self._request)
        self.webhooks.append(self.ledger.notify(id=made["id"], type=type, payment=payment.id, at=self.now, body=encode(made)))
