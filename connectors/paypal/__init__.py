"""PayPal (Orders v2, Payments v2) behind the connector contract: `connector`. How it is divided is in each module's first lines."""

from connectors.paypal.connector import connector

__all__ = ["connector"]
