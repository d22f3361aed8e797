"""What the calls about reconciliation are given: from settings, connectors and the store to `ReconciliationSurroundings`, and who works.

Not here: the calls (`payorch.api.operations.reconciliation`), importing (`settlements`), people's work (`reconciliation_desk`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, Final, final

from connectors.contract import Connector
from payorch.api.operations.reconciliation import ReconciliationSurroundings
from payorch.api.operations.reconciliation_views import Report as ReportView
from payorch.api.operations.uploads import Pieces
from payorch.domain.rules import Plan
from payorch.domain.settlement import NotAReport
from payorch.ports import Clock, Entropy
from payorch.settings import Settings
from payorch.settlements import Lease, Report, ReportRefused, import_report, rules
from payorch.store import identities, reconciliation, reconciliation_sums
from payorch.store.items import Entry, Result
from payorch.store.settlement_batches import Batch

Read = Callable[..., Awaitable[Any]]
SILENCE_SECONDS: Final = 30.0
"""Between two pieces of a report that is uploaded: a line that is slow still says something in that time."""


def zones(settings: Settings, connectors: Mapping[str, Connector]) -> dict[str, str]:
    """connector -> the time zone in which its PSP counts days, of all that are configured and known."""
    return {name: settings.connectors[name].settlement_time_zone for name in connectors if name in settings.connectors}


def report_view(batch: Batch, *, known: bool) -> ReportView:
    """A report as the API shows it."""
    return ReportView(
        id=batch.id,
        connector=batch.connector,
        name=batch.name,
        known=known,
        rows=batch.rows,
        bad_rows=batch.bad_rows,
        repeated=batch.repeated,
        findings=batch.findings,
        ties=batch.ties,
        received_at=batch.received_at,
        imported_at=batch.imported_at,
    )


@final
class ReconciliationEdge:
    """Gives the calls what they need. read, write: the platform's. lease: lends a connection of the pool. plan: the rules of routing
    in force, for the fees in them, which may have been read anew since the start. wake: tells the reconciler that lines have come.
    """

    def __init__(
        self,
        settings: Settings,
        connectors: Mapping[str, Connector],
        *,
        clock: Clock,
        entropy: Entropy,
        read: Read,
        write: Callable[[Entry], Awaitable[Result]],
        lease: Lease,
        plan: Callable[[], Plan],
        wake: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._connectors = connectors
        self._clock = clock
        self._entropy = entropy
        self._read = read
        self._write = write
        self._lease = lease
        self._plan = plan
        self._wake = wake

    def surroundings(self) -> ReconciliationSurroundings:
        """What the edge is given."""
        read = self._read
        return ReconciliationSurroundings(
            find_token=lambda lookup_id: read(identities.operator_token, lookup_id),
            write=self._write,
            import_report=self._import,
            days=lambda since, until, zones: read(reconciliation_sums.days, since, until, zones),
            pieces=lambda of, **which: read(reconciliation.pieces, of, **which),
            zones=zones(self._settings, self._connectors),
            report_limit_bytes=self._settings.reconciliation.report_limit_bytes,
            silence_seconds=SILENCE_SECONDS,
            page_default=self._settings.operations.page_default,
            page_limit=self._settings.operations.page_limit,
            policy=self._settings.reconciliation.policy(),
        )

    async def _import(self, connector: str, pieces: Pieces, *, name: str, by: str, cause: str) -> ReportView:
        with Report(name, limit_bytes=self._settings.reconciliation.report_limit_bytes) as report:
            async for piece in pieces:
                report.write(piece)
            try:
                imported = await import_report(
                    self._lease,
                    connector,
                    self._connectors[connector].settlement,
                    report,
                    replace(rules(self._settings, connector), plan=self._plan()),
                    actor=by,
                    cause=cause,
                    clock=self._clock,
                    entropy=self._entropy,
                )
            except ReportRefused as refused:
                raise NotAReport(str(refused)) from refused
        self._wake()
        return report_view(imported.batch, known=not imported.new)
