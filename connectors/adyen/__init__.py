"""Adyen (Checkout API) behind the connector contract: `connector`. How it is divided is in each module's first lines."""

from connectors.adyen.connector import connector

__all__ = ["connector"]
