"""How a simulated PayPal is run beside a developer's platform: its dialect, a client that it takes, the form of a webhook's id.

Not here: what it answers (`dialect`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from connectors.paypal.dialect import PaypalDialect
from connectors.paypal.dialect_settlement import SETTLEMENT
from connectors.simulator.dialect import Simulation

_LETTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUV"


def _webhook_id(random: bytes) -> str:
    """17 capitals and digits, as PayPal's ids are."""
    return "".join(_LETTERS[byte % len(_LETTERS)] for byte in random[:17])


SIMULATION: Final = Simulation(
    dialect=PaypalDialect,
    credentials=MappingProxyType({"account": "test_simulated", "api_key": "simulated"}),  # it takes any client that says it is for tests
    webhook_secret=_webhook_id,
    certified=True,
    settlement=SETTLEMENT,
)
