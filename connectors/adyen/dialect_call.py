"""One request, or one step of the PSP's own, while it is being carried out: where it writes, when it is, what it causes.

Not here: routing and answering (`dialect`), what the endpoints do.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, final

from msgspec.json import encode

from connectors.adyen import dialect_money
from connectors.adyen.dialect_cards import brand, card_of
from connectors.simulator.dialect import Settings
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification, Payment


@final
class Call:
    """What an endpoint needs besides its fields."""

    def __init__(self, ledger: Ledger, now: datetime, settings: Settings) -> None:
        self.ledger = ledger
        self.now = now
        self.settings = settings
        self.webhooks: list[Notification] = []

    def new_reference(self) -> str:
        """A PSP reference: 16 capital letters and digits, as Adyen's newer ones are."""
        return self.ledger.new_id("", 16).upper()

    def emit(
        self,
        event: str,
        payment: Payment,
        *,
        amount: int,
        reference: str | None,
        own: str | None = None,
        success: bool = True,
        reason: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> None:
        """Owes the merchant a notification. `own`: the reference of what happened to the payment; None for the payment itself.

        amount: in ISO minor units. reference: the merchant's own for it, else that of the payment.
        """
        item = {
            "additionalData": dict(extra or {}),
            "amount": {"currency": payment.currency, "value": dialect_money.to_wire(amount, payment.currency)},
            "merchantAccountCode": payment.facts["account"],
            "merchantReference": reference or payment.reference or "",
            "paymentMethod": brand(card_of(payment.facts["card"])),
            "pspReference": own or payment.id,
            "reason": reason,
            "success": "true" if success else "false",
        }
        if own is not None:
            item["originalReference"] = payment.id
        if event == "AUTHORISATION" and success:
            item["operations"] = ["CANCEL", "CAPTURE", "REFUND"]
        self._notify(event, payment.id, item)

    def emit_of_nothing(self, event: str, *, account: str, own: str, reference: str) -> None:
        """Owes a notification about a reference under which there is no payment."""
        nothing = {"currency": "EUR", "value": 0}
        item = {"amount": nothing, "merchantAccountCode": account, "merchantReference": reference, "pspReference": own, "success": "true"}
        self._notify(event, "", item)

    def _notify(self, event: str, payment: str, item: Mapping[str, Any]) -> None:
        told = {**item, "eventCode": event, "eventDate": self.now.isoformat(timespec="seconds")}
        body = encode({"live": "false", "notificationItems": [{"NotificationRequestItem": told}]})
        made = self.ledger.notify(id=self.ledger.new_id("ntf_"), type=event, payment=payment, at=self.now, body=body)
        self.webhooks.append(made)
