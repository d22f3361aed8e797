"""What a merchant asked for: the payment intent, exactly as accepted and never changed afterwards.

Not here: what became of it (`payment`), nor how it is validated (`payorch.api`).
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from msgspec import Struct, field

from payorch.domain.money import Money


class CaptureMode(StrEnum):
    AUTOMATIC = "automatic"
    MANUAL = "manual"


class Initiator(StrEnum):
    CUSTOMER = "customer"
    MERCHANT = "merchant"


class PaymentMethod(Struct, frozen=True, kw_only=True, gc=False):
    """How the shopper pays. `token` is offered to any connector; `tokens` names one per connector and limits routing to those."""

    type: str
    token: str | None = None
    tokens: Mapping[str, str] = field(default_factory=dict)
    brand: str | None = None
    last4: str | None = None
    country: str | None = None
    fingerprint: str | None = None

    def token_for(self, connector: str) -> str | None:
        """The token to show to that connector; None where there is none for it."""
        return self.tokens.get(connector, None if self.tokens else self.token)


class Customer(Struct, frozen=True, kw_only=True, gc=False):
    reference: str | None = None
    country: str | None = None
    email: str | None = None


class Intent(Struct, frozen=True, kw_only=True, gc=False):
    """One wish to be paid. `connector` pins one; `connector_options` holds provider-specific features by connector name."""

    amount: Money
    capture: CaptureMode
    method: PaymentMethod | None
    reference: str | None = None
    customer: Customer | None = None
    return_url: str | None = None
    initiator: Initiator = Initiator.CUSTOMER
    connector: str | None = None
    connector_options: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    retry_of: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
