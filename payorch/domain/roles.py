"""What an operator may do, as one ladder. Not here: whose role it is (`payorch.store.identities`), what takes which (`acts`, the API)."""

from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What an operator may do; each may do what the ones before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"

    def may(self, least: Role) -> bool:
        """Whether this role is that one or above it."""
        order = tuple(Role)
        return order.index(self) >= order.index(least)
