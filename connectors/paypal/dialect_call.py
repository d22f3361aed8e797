"""One request, or one step of the PSP's own, while it is being carried out: where it writes, when it is, what it causes.

Not here: routing and answering (`dialect`), what the endpoints do.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, final

from msgspec.json import encode

from connectors.paypal import dialect_objects
from connectors.simulator.dialect import Settings
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Facts, Notification, Operation, Payment, milliseconds


@final
class Call:
    """What an endpoint needs besides its parameters. `key`: the PayPal-Request-Id; None where there is none, or PayPal acts by itself."""

    def __init__(self, ledger: Ledger, now: datetime, settings: Settings, *, key: str | None = None) -> None:
        self.ledger = ledger
        self.now = now
        self.settings = settings
        self.key = key
        self.webhooks: list[Notification] = []

    @property
    def at(self) -> int:
        """Now, as facts keep it."""
        return milliseconds(self.now)

    def new_id(self) -> str:
        """An id of PayPal's: 17 capitals and digits."""
        return self.ledger.new_id("", 17).upper()

    def save(self, payment: Payment) -> None:
        """Keeps the order as it is, changed now."""
        payment.facts["updated"] = self.at
        self.ledger.save(payment)

    def tell_of_order(self, kind: str, payment: Payment) -> None:
        """Owes the merchant an event about the order."""
        self.tell(f"CHECKOUT.ORDER.{kind}", "checkout-order", payment, dialect_objects.order(self.ledger, payment, self.settings.base_url))

    def tell_of_authorization(self, kind: str, payment: Payment) -> None:
        """Owes the merchant an event about the order's authorization."""
        shown = dialect_objects.authorization(payment, self.settings.base_url)
        self.tell(f"PAYMENT.AUTHORIZATION.{kind}", "authorization", payment, shown)

    def tell_of_capture(self, kind: str, payment: Payment, it: Facts) -> None:
        """Owes the merchant an event about one capture."""
        self.tell(f"PAYMENT.CAPTURE.{kind}", "capture", payment, dialect_objects.capture(payment, it, self.settings.base_url))

    def tell_of_refund(self, kind: str, payment: Payment, operation: Operation) -> None:
        """Owes the merchant an event about one refund; `kind` in full, since some are named after the capture."""
        self.tell(kind, "refund", payment, dialect_objects.refund(operation, payment.currency, self.settings.base_url))

    def tell(self, kind: str, resource_type: str, payment: Payment, it: dict[str, Any]) -> None:
        """Owes the merchant an event about that snapshot."""
        made = dialect_objects.event(self.ledger, kind, resource_type, it, self.now, self.settings.base_url)
        self.webhooks.append(self.ledger.notify(id=made["id"], type=kind, payment=payment.id, at=self.now, body=encode(made)))
