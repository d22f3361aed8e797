"""Stripe (PaymentIntents, API v1) behind the connector contract: `connector`. How it is divided is in each module's first lines."""

from connectors.stripe.connector import connector

__all__ = ["connector"]
