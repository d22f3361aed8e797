"""Which PSPs this product speaks to: one line each, name -> connector. Adding a PSP is one more line here and one more folder.

Not here: which of them are switched on, their addresses and credentials (configuration).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from connectors import adyen, paypal, stripe
from connectors.contract import Connector

CONNECTORS: Final[Mapping[str, Connector]] = MappingProxyType(
    {
        "stripe": stripe.connector,
        "adyen": adyen.connector,
        "paypal": paypal.connector,
    }
)
"""Connector name -> connector."""


def needs(connectors: Mapping[str, Connector]) -> Mapping[str, tuple[str, ...]]:
    """By connector, the names of the credentials that it has to be told."""
    return {name: connector.manifest.credentials for name, connector in connectors.items()}
