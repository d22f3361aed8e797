"""How a simulated Stripe is run beside a developer's platform: its dialect, a key that it takes, the form of its webhook secrets.

Not here: what it answers (`dialect`).
"""

from __future__ import annotations

import base64
from types import MappingProxyType
from typing import Final

from connectors.simulator.dialect import Simulation
from connectors.stripe.dialect import StripeDialect
from connectors.stripe.dialect_settlement import SETTLEMENT


def _webhook_secret(random: bytes) -> str:
    return "whsec_" + base64.b64encode(random).decode()


SIMULATION: Final = Simulation(
    dialect=StripeDialect,
    credentials=MappingProxyType({"api_key": "sk_test_simulated"}),  # it takes any key that says it is for tests
    webhook_secret=_webhook_secret,
    settlement=SETTLEMENT,
)
