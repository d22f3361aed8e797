"""How a simulated Adyen is run beside a developer's platform: its dialect, an account and a key that it takes, the form of its HMAC keys.

Not here: what it answers (`dialect`).
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from connectors.adyen.dialect import AdyenDialect
from connectors.adyen.dialect_settlement import SETTLEMENT
from connectors.simulator.dialect import Simulation


def _webhook_secret(random: bytes) -> str:
    return random.hex().upper()


SIMULATION: Final = Simulation(
    dialect=AdyenDialect,
    credentials=MappingProxyType({"account": "PayorchECOM", "api_key": "test_simulated"}),
    webhook_secret=_webhook_secret,
    settlement=SETTLEMENT,
)
