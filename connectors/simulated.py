"""Which PSPs are simulated: one line each, name -> how it is run. A PSP of the registry without a line here has no simulator.

A simulator's port is the control port plus its place here, from 1: new ones come last.

Not here: serving them (`payorch.simulators`), leading the platform to them (`payorch.local`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors.adyen import simulation as adyen
from connectors.paypal import simulation as paypal
from connectors.simulator.dialect import Simulation
from connectors.stripe import simulation as stripe

SIMULATED: Final[Mapping[str, Simulation]] = MappingProxyType(
    {
        "stripe": stripe.SIMULATION,
        "adyen": adyen.SIMULATION,
        "paypal": paypal.SIMULATION,
    }
)
"""Connector name -> its simulation."""
