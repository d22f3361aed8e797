"""What everybody who can plan and carry out acts has to offer. Five rooms do: payments, dead letters, circuits and connectors, routing,
settlements; `desk` knows them only by this.

Not here: the table of acts (`payorch.domain.acts`), who may and who agrees (`desk`), carrying on after a crash (`runner`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias

from payorch.domain.acts import Act, ActName, Draft, Nonsense, Performed, Wish

Progress: TypeAlias = Callable[[Mapping[str, Any]], Awaitable[None]]
"""Makes durable how far a long act has come. After a crash `perform` is called again with what was written last. Raises Halted."""


class Halted(Exception):
    """Raised by `Progress` where somebody has stopped the act: let it through, and do no further step."""


class Planner(Protocol):
    """Plans and carries out some of the acts."""

    async def plan(self, wish: Wish) -> Draft:
        """A dry run: reads, changes nothing. Called again before the act is approved and before it is carried out. Raises Nonsense, and
        what the database raises.
        """
        ...

    async def perform(self, act: Act, progress: Progress) -> Performed:
        """Carries it out, exactly once also where a crash comes between: called again for the same act it finds what it did, by the act's
        id, which stands as the cause of whatever it writes. Raises where the journal or the database is away: it is called again then.
        """
        ...


async def planned_anew(planners: Mapping[ActName, Planner], wish: Wish) -> Draft | None:
    """What the plan for that wish would be now; None where nobody plans it here, or what it was about is not there any more."""
    planner = planners.get(wish.name)
    try:
        return None if planner is None else await planner.plan(wish)
    except Nonsense:
        return None
