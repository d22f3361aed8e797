"""What the reconciler is given: its ways to the store and to the inbox, the folder of reports, and what an import goes by.

Part of the composition root, in a room of its own. Not here: what the reconciler does (`actors.reconciler`), importing (`settlements`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable, Mapping
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Concatenate, Final, ParamSpec, TypeVar, final

import msgspec
import psycopg
import structlog
import trio

from actors.inbox import Pending
from actors.reconciler import ReconcilerActor, ReconcilerLimits, Wake
from actors.supervisor import ChildSpec
from connectors.contract import Connector
from payorch.circuits import Read
from payorch.domain.differences import fee_variance
from payorch.domain.matching import Candidate, match
from payorch.domain.rules import Plan
from payorch.domain.settled import SETTLEMENT_ROW, encode_row
from payorch.domain.settlement import Finding, RowKind, SettlementRow
from payorch.drop_folder import DropFolder, Refused
from payorch.ports import Clock, Entropy
from payorch.settings import Settings
from payorch.settlements import Lease, Report, ReportRefused, Rules, import_report
from payorch.store import missing_movements, settlement_candidates, settlement_evidence
from payorch.store.driver import Connection
from payorch.store.inbox_reads import Refers
from payorch.store.items import Appended, Arrival, Item, Result
from payorch.store.missing_movements import Window
from payorch.store.pool import DatabaseUnavailable, PoolExhausted, Trouble, is_unavailable, trouble_of
from payorch.store.reconciliation_closing import By, close_due_days
from payorch.store.settlement_evidence import Look, Looked, WaitingLine
from payorch.telemetry import Metrics
from payorch.webhooks import INBOX

RECONCILER: Final = "reconciler"
_ANOTHER_TIME: Final = frozenset({Trouble.CONTENTION, Trouble.TIMED_OUT})
_PIECE_BYTES: Final = 1 << 16
_FIRST_TRY: Final = timedelta(seconds=1)
"""The inbox has it in hand at once; the row's own time is for what is lost on the way."""

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("payorch.reconciling")


@final
class Reconciliation:
    """The reconciler's side of the platform. tell: as of `Webhooks`. seal: of a notice's content, under its id."""

    def __init__(
        self,
        settings: Settings,
        connectors: Mapping[str, Connector],
        *,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        identifier: Callable[[str], str],
        read: Read,
        lease: Lease,
        write: Callable[[Item], Awaitable[Result]],
        tell: Callable[[str, object], None],
        seal: Callable[[bytes, str], bytes],
        plan: Callable[[], Plan],
    ) -> None:
        self._settings = settings.reconciliation
        self._connectors = connectors
        self._zones = {name: settings.connectors[name].zone() for name in connectors}
        self._zone_names = {name: settings.connectors[name].settlement_time_zone for name in connectors}
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._identifier = identifier
        self._read = read
        self._lease = lease
        self._write = write
        self._tell = tell
        self._seal = seal
        self._plan = plan
        self._shutdown_seconds = settings.actors.shutdown_seconds

    def child(self) -> ChildSpec:
        """The reconciler, started after the inbox."""
        capacity = self._settings.mailbox_capacity
        return ChildSpec(name=RECONCILER, start=self._start, mailbox_capacity=capacity, shutdown_seconds=self._shutdown_seconds)

    def rules(self, connector: str) -> Rules:
        """What an import of that connector's reports goes by."""
        return Rules(policy=self._settings.policy(), chunk_rows=self._settings.chunk_rows, plan=self._plan(), zone=self._zones[connector])

    def wake(self) -> None:
        """A report was imported: its lines need not wait for the next look."""
        self._tell(RECONCILER, Wake())

    def _start(self) -> ReconcilerActor:
        settings = self._settings
        return ReconcilerActor(
            store=self,
            folder=self._folder(),
            clock=self._clock,
            zones=self._zones,
            limits=ReconcilerLimits(
                sweep_seconds=settings.sweep_seconds,
                sweep_limit=settings.sweep_limit,
                unmatched_seconds=settings.unmatched_seconds,
                folder_seconds=settings.folder_seconds,
                day_seconds=settings.clock_seconds,
                close_hour=settings.close_hour,
                stuck_seconds=settings.stuck_seconds,
            ),
            trouble=self._trouble,
        )

    @staticmethod
    def _trouble(about: str, error: Exception) -> None:
        log.error("reconciliation.trouble", about=about, error=type(error).__name__)

    async def _ask(self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *arguments: P.args, **named: P.kwargs) -> T:
        """Runs that on a connection of the pool. That somebody else holds what it needs is as good as no database: another time."""
        try:
            return await self._read(query, *arguments, **named)
        except psycopg.Error as error:
            if trouble_of(error) in _ANOTHER_TIME:
                raise DatabaseUnavailable(type(error).__name__) from error
            raise

    # --- what the reconciler reads and writes

    async def due(self, now: datetime, *, limit: int) -> list[WaitingLine]:
        """As `settlement_evidence.due`."""
        return await self._ask(settlement_evidence.due, now, list(self._zones), limit=limit)

    async def unmatched(self, *, after: str | None, limit: int) -> tuple[list[WaitingLine], str | None]:
        """As `settlement_evidence.unmatched`."""
        return await self._ask(settlement_evidence.unmatched, after=after, limit=limit)

    async def look_again(self, line: WaitingLine) -> Looked | None:
        """As `settlement_evidence.look_again`."""
        zone = self._zones.get(line.connector)
        if zone is None:
            return None  # its connector is switched off, and so is what it would be told to
        look = Look(
            judge=lambda row, candidates: match(row, candidates, self._settings.policy(), connector=line.connector),
            fee=partial(self._fee, line.connector),
            zone=zone,
            tries_seconds=self._settings.evidence_tries_seconds,
            at=self._clock.now(),
        )
        return await self._ask(settlement_evidence.look_again, line, look)

    async def _fee(self, connector: str, connection: Connection, row: SettlementRow, candidate: Candidate) -> Finding | None:
        """What is wrong with the fee of a line that was matched, by the cost model; as an import says it."""
        plan = self._plan()
        if row.kind is not RowKind.CAPTURE or not any(fee.connector == connector for fee in plan.book.fees):
            return None
        asked = (await settlement_candidates.questions(connection, [candidate.payment_id])).get(candidate.payment_id)
        if asked is None:
            return None
        tolerance = self._settings.policy().tolerance(connector, row.fee.currency).fee_minor
        return fee_variance(plan, connector, asked, row, candidate.amount, tolerance)

    async def tell(self, line: WaitingLine) -> None:
        """Makes a notice of the line, and hands it to the inbox. One that is stored already is the inbox's own to find."""
        arrival, pending = self._notice(line)
        result = await self._write(arrival)
        if not isinstance(result, Appended):
            raise AssertionError(f"a notice was not stored: {result}")
        if result.arrived:
            self._metrics.notices.labels(line.connector, "new").inc()
            self._tell(INBOX, pending)

    def _notice(self, line: WaitingLine) -> tuple[Arrival, Pending]:
        row, content, id, now = line.row, encode_row(line.row), self._identifier("ntc"), self._clock.now()
        refers = Refers(psp=(*row.psp_operation, *row.psp_payment), ours=self._ours(line))
        arrival = Arrival(
            id=id,
            connector=line.connector,
            identity=line.identity,
            digest=hashlib.sha256(content).digest(),
            kind=SETTLEMENT_ROW,
            sealed=self._seal(content, id),
            refers=msgspec.json.encode(refers),
            occurred_at=row.booked_at,
            received_at=now,
            request_id=line.batch_id,
            next_try_at=now + _FIRST_TRY,
        )
        pending = Pending(
            id=id,
            connector=line.connector,
            kind=SETTLEMENT_ROW,
            identity=line.identity,
            content=content,
            refers=refers,
            received_at=now,
        )
        return arrival, pending

    @staticmethod
    def _ours(line: WaitingLine) -> tuple[str, ...]:
        """What the inbox finds the payment by: the attempt or operation that matching found, before whatever the line names."""
        return tuple(dict.fromkeys((*((line.subject_id,) if line.subject_id is not None else ()), *line.row.our_references)))

    async def finish_day(self, connector: str, today: date) -> None:
        """Raises findings of what is missing at that PSP by now, and closes the days before that one that can be closed."""
        window = Window(connector=connector, zone=self._zones[connector], today=today, days=self._settings.window_days)
        raised: int | None = missing_movements.AT_ONCE
        while raised == missing_movements.AT_ONCE:
            raised = await self._ask(missing_movements.raise_findings, window, at=self._clock.now())
        if raised is None:
            raise trio.TooSlowError  # somebody works on reports: the next look at the clock tries again
        by = By(actor="system", cause=f"close of {today}", at=self._clock.now())
        for one in await self._ask(close_due_days, {connector: self._zone_names[connector]}, by, window_days=self._settings.window_days):
            log.info(
                "reconciliation.day", day=one.day.isoformat(), connector=connector, currency=one.currency, closed=one.closed, why=one.why
            )

    # --- the folder

    def _folder(self) -> DropFolder | None:
        root = self._settings.drop_folder
        if not root:
            return None
        return DropFolder(Path(root), self._connectors, self._take, told=self._told)

    @staticmethod
    def _told(name: str, refusal: str | None) -> None:
        if refusal is None:
            log.info("reconciliation.report_imported", file=name)
        else:
            log.warning("reconciliation.report_refused", file=name, reason=refusal)

    async def _take(self, connector: str, path: Path) -> None:
        """Imports a file of the folder. Raises Refused, and others where it, or the rest of it, is for another time."""
        report = Report(path.name, limit_bytes=self._settings.report_limit_bytes)
        with report:
            try:
                async with await trio.open_file(path, "rb") as file:
                    while piece := await file.read(_PIECE_BYTES):
                        report.write(piece)
                await import_report(
                    self._lease, connector, self._connectors[connector].settlement, report, self.rules(connector),
                    actor="system", cause=f"drop folder: {path.name}"[:200], clock=self._clock, entropy=self._entropy,
                )  # fmt: skip
            except ReportRefused as refusal:
                raise Refused(str(refusal)) from refusal
            except PermissionError as error:
                raise Refused(f"the file cannot be read: {error.strerror}") from error
            except Exception as error:
                if isinstance(error, (OSError, DatabaseUnavailable, PoolExhausted)):
                    raise
                if isinstance(error, psycopg.Error) and (is_unavailable(error) or trouble_of(error) in _ANOTHER_TIME):
                    raise DatabaseUnavailable(type(error).__name__) from error
                self._trouble(path.name, error)  # a bug, which would be the same at the next look
                raise Refused(f"it could not be imported ({type(error).__name__}): a bug of payorch's, which is in its log") from error
