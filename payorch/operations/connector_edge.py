"""Connectors and routing for operators, put together: what their calls are given, and the planners of the acts on them.

Not here: the calls (`payorch.api.operations.connectors`, `routing`), planning (`circuits`, `routing`), figures (`vitals`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, final

import msgspec

from actors.breaker import CircuitView
from actors.circuit_log import NAMES, CircuitRecord
from actors.connector import ConnectorActor
from actors.mailbox import Ref
from connectors.contract import Connector
from payorch.api.operations.connector_views import ConnectorWhole, Transition
from payorch.api.operations.connectors import ConnectorSurroundings
from payorch.api.operations.routing import RoutingSurroundings
from payorch.circuits import Circuits
from payorch.domain.acts import ActName
from payorch.operations.circuits import PEOPLE, CircuitPlanner, CircuitSurroundings, Make
from payorch.operations.decisions import Decisions
from payorch.operations.draining import DRAINED, ENDED, RESUMED
from payorch.operations.planner import Planner
from payorch.operations.routing import RoutingDesk
from payorch.operations.vitals import Sources, Vitals
from payorch.ports import Clock
from payorch.routes import Reload, Routes
from payorch.settings import Settings
from payorch.store import connector_reads
from payorch.store.reads import JournalRow

TRANSITIONS: Final = 10
DECISIONS: Final = 50
"""So many of each on a connector's page."""
_RECORDS_BACK: Final = 60
"""Records that are read for them: what each circuit was before is a few records further back."""
_ANSWER_WITHIN_SECONDS: Final = 5.0
"""A circuit is turned at once; the actor may be between two lives."""
_DRAIN_STEPS: Final[Mapping[str, tuple[str | None, str]]] = {
    DRAINED: (None, "draining"),
    RESUMED: ("draining", "resumed"),
    ENDED: ("draining", "ended"),
}
_MODES: Final = {name: mode for mode, name in NAMES.items()}


class _DrainBody(msgspec.Struct, frozen=True):
    reason: str = ""


@final
class ConnectorEdge:
    """ref: of a connector's actor. live: the actors alive now. read: the platform's. reload: has routing read its rules, by and by."""

    def __init__(
        self,
        settings: Settings,
        connectors: Mapping[str, Connector],
        *,
        clock: Clock,
        vitals: Vitals,
        circuits: Circuits,
        routes: Routes,
        live: Mapping[str, ConnectorActor],
        ref: Callable[[str], Ref[Any]],
        read: Callable[..., Awaitable[Any]],
        reload: Callable[[Reload], None],
    ) -> None:
        self._vitals = vitals
        self._read = read
        self._ref = ref
        manifests = {name: connector.manifest for name, connector in connectors.items()}
        self._decisions = Decisions(read, plan=lambda: routes.router.plan, manifests=manifests)
        vitals.sources = Sources(
            admissions=circuits.admissions,
            statistics=lambda name: live[name].statistics() if name in live else None,
            mailbox=lambda name: ref(name).statistics(),
            drain=circuits.drains.now,
            retry_most={name: one.retry_budget_most for name, one in settings.connectors.items()},
            read=read,
        )
        self.circuits = CircuitPlanner(
            CircuitSurroundings(
                admissions=circuits.admissions,
                drains=circuits.drains,
                vitals=vitals,
                clock=clock,
                limits=settings.traffic,
                ask=self._ask,
                detour=self._decisions.detour,
                read=read,
            )
        )
        self.routing = RoutingDesk(routes, self._decisions, connectors=tuple(connectors), limits=settings.traffic, read=read, reload=reload)

    def planners(self) -> dict[ActName, Planner]:
        """Who plans and carries out which acts."""
        return {**dict.fromkeys(PEOPLE, self.circuits), ActName.ROUTING_RELOAD: self.routing}

    def connector_surroundings(self) -> ConnectorSurroundings:
        """What the calls about connectors are given."""
        return ConnectorSurroundings(connectors=self._vitals.connectors, whole=self.whole)

    def routing_surroundings(self) -> RoutingSurroundings:
        """What the calls about routing are given."""
        desk = self.routing
        return RoutingSurroundings(in_force=desk.in_force, decisions=self._decisions.page, simulate=desk.simulate)

    async def whole(self, name: str) -> ConnectorWhole | None:
        """A connector with all that its page shows; None where there is none of that name."""
        now = await self._vitals.connector(name)
        if now is None:
            return None
        records = await self._read(connector_reads.connector_events, name, limit=_RECORDS_BACK)
        decisions, _ = await self._decisions.page(name, limit=DECISIONS)
        return ConnectorWhole(
            now=now,
            slo_ms=self._vitals.slo_ms,
            hour=self._vitals.hour(name),
            errors=self._vitals.errors(name),
            transitions=transitions(records)[:TRANSITIONS],
            decisions=decisions,
            offers=self.circuits.offers(name),
        )

    async def _ask(self, connector: str, make: Make) -> CircuitView:
        view: CircuitView = await self._ref(connector).ask(make, within_seconds=_ANSWER_WITHIN_SECONDS)
        return view


def transitions(records: Sequence[JournalRow]) -> list[Transition]:
    """What happened to a connector's circuits, and to itself, from its records, the newest first."""
    found = []
    for place, record in enumerate(records):
        if record.name in _MODES:
            body = _circuit(record)
            if body is not None:
                found.append(_turned(record, body, records[place + 1 :]))
        elif record.name in _DRAIN_STEPS:
            before, after = _DRAIN_STEPS[record.name]
            reason = msgspec.json.decode(record.body, type=_DrainBody).reason
            about = partial(Transition, at=record.at, by=record.actor, cause=record.cause)
            found.append(about(operation="connector", before=before, after=after, reason=reason))
    return found


def _turned(record: JournalRow, body: CircuitRecord, older: Sequence[JournalRow]) -> Transition:
    of_it = (one.name for one in older if one.name in _MODES and (other := _circuit(one)) is not None and other.operation == body.operation)
    before = next(of_it, None)
    return Transition(
        at=record.at,
        operation=str(body.operation),
        before=None if before is None else str(_MODES[before]),
        after=str(_MODES[record.name]),
        reason=str(body.reason),
        by=record.actor,
        cause=record.cause,
    )


def _circuit(record: JournalRow) -> CircuitRecord | None:
    try:
        return msgspec.json.decode(record.body, type=CircuitRecord)
    except msgspec.DecodeError:
        return None  # a newer program's: what is not understood is not shown
