"""What acts about findings and days are given: settings, the store, the clock.

Not here: the acts (`settlements`), reports and days over HTTP (`reconciliation_edge`).
"""

from __future__ import annotations

from collections.abc import Mapping

from connectors.contract import Connector
from payorch.domain.acts import ActName
from payorch.operations import settlements
from payorch.operations.planner import Planner
from payorch.operations.reconciliation_edge import Read, zones
from payorch.ports import Clock, Entropy
from payorch.settings import Settings
from payorch.settlements import Lease


def settlement_planners(
    settings: Settings, connectors: Mapping[str, Connector], *, read: Read, lease: Lease, clock: Clock, entropy: Entropy
) -> dict[ActName, Planner]:
    """Who plans and carries out which act. connectors: all that are known, whether or not they are switched on."""
    return settlements.planners(
        settlements.Around(
            read=read,
            lease=lease,
            clock=clock,
            entropy=entropy,
            policy=settings.reconciliation.policy(),
            zones=zones(settings, connectors),
        )
    )
