"""The operators' API as one: what all its rooms are given, and its routes put together, behind one door.

Not here: what any route does (the other modules of this folder), the calls of merchants and PSPs (`payorch.api.app`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from payorch.api.merchant import Handler
from payorch.api.operations.acts import ActApi, ActSurroundings
from payorch.api.operations.audit import AuditApi, AuditSurroundings
from payorch.api.operations.connectors import ConnectorApi, ConnectorSurroundings
from payorch.api.operations.dead_letters import DeadLetterApi, DeadLetterSurroundings
from payorch.api.operations.live import LiveSurroundings
from payorch.api.operations.meta import MetaApi
from payorch.api.operations.operators import OperatorDoor
from payorch.api.operations.payments import OperatorPaymentsApi, OperatorPaymentsSurroundings
from payorch.api.operations.reconciliation import UPLOAD_PATH, UPLOAD_ROUTE, ReconciliationApi, ReconciliationSurroundings
from payorch.api.operations.routing import RoutingApi, RoutingSurroundings
from payorch.api.operations.snapshot import SnapshotApi
from payorch.api.operations.stream import StreamApi
from payorch.api.operations.uploads import Upload
from payorch.api.surroundings import ApiSurroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSurroundings:
    """What the rooms are given, beside what the API has."""

    live: LiveSurroundings
    payments: OperatorPaymentsSurroundings
    connectors: ConnectorSurroundings
    routing: RoutingSurroundings
    dead_letters: DeadLetterSurroundings
    reconciliation: ReconciliationSurroundings
    audit: AuditSurroundings
    acts: ActSurroundings


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRooms:
    """(method, path) -> handler, and the way in for files, which goes past the framework."""

    routes: Mapping[tuple[str, str], Handler]
    report: Upload


def operator_rooms(around: ApiSurroundings, given: OperatorSurroundings) -> OperatorRooms:
    """All that is under /ops/v1."""
    http, clock = around.http, around.clock
    door = OperatorDoor(
        find=given.reconciliation.find_token,
        write=given.reconciliation.write,
        identifier=around.identifier,
        pepper=around.pepper,
        clock=clock,
        log=around.log,
        idle=given.audit.token_idle,
        used=given.audit.token_used,
    )
    meta = MetaApi(given.live, door, clock=clock)
    reconciliation = ReconciliationApi(given.reconciliation, door, clock=clock)
    rooms = (
        meta,
        SnapshotApi(given.live, door, meta, clock=clock),
        StreamApi(given.live, door, clock=clock),
        OperatorPaymentsApi(given.payments, door),
        ConnectorApi(given.connectors, door),
        RoutingApi(given.routing, door, http=http, clock=clock),
        DeadLetterApi(given.dead_letters, door),
        reconciliation,
        AuditApi(given.audit, door),
        ActApi(given.acts, door, http=http, clock=clock),
    )
    report = Upload(
        path=UPLOAD_PATH,
        route=UPLOAD_ROUTE,
        run=reconciliation.uploaded,
        most_bytes=given.reconciliation.report_limit_bytes,
        silence_seconds=given.reconciliation.silence_seconds,
    )
    return OperatorRooms(routes={route: handler for room in rooms for route, handler in room.routes().items()}, report=report)
