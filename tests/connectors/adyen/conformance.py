"""What the conformance suite has to be told of Adyen: its published API, against which every request is held."""

from __future__ import annotations

from typing import Final

from tests.connectors.conformance.peculiar import SPECIFICATIONS, Peculiar
from tests.connectors.conformance.published import Published

_CHECKOUT: Final = SPECIFICATIONS / "adyen/CheckoutService-v71.json"

PECULIAR: Final = Peculiar(specification=(_CHECKOUT,), violations=Published((_CHECKOUT,), prefix="/v71").violations)
