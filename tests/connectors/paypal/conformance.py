"""What the conformance suite has to be told of PayPal: its published API, against which every request is held."""

from __future__ import annotations

from typing import Final

from tests.connectors.conformance.peculiar import SPECIFICATIONS, Peculiar
from tests.connectors.conformance.published import Published

_DOCUMENTS: Final = (SPECIFICATIONS / "paypal/checkout_orders_v2.json", SPECIFICATIONS / "paypal/payments_payment_v2.json")

PECULIAR: Final = Peculiar(specification=_DOCUMENTS, violations=Published(_DOCUMENTS).violations)
