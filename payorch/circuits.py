"""What the connectors' circuits are given: limits from the settings, a way into the journal and back, and metrics. Beside them, the drains.

Part of the composition root, in a room of its own. Not here: what a circuit does (`actors.breaker`), or when it is asked
(`actors.connector`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Concatenate, ParamSpec, Protocol, TypeVar, final

import structlog
import trio

from actors.admission import Admission, AdmissionLimits, CallKind, Changed, Refused, unavailable
from actors.breaker import CircuitLimits, Mode
from actors.budget import BudgetLimits
from actors.bulkhead import ConnectorLimits
from actors.circuit_log import NAMES, CircuitLog, remember, worth_telling
from actors.moments import Moments
from actors.recovery import WellAgain
from connectors.contract import Connector
from payorch.operations.draining import Drains
from payorch.ports import Clock, Timeouts
from payorch.sections import ActorSettings, ConnectorSettings
from payorch.store import connector_reads
from payorch.store.driver import Connection
from payorch.store.items import Entry, Result
from payorch.store.pool import DatabaseUnavailable, PoolExhausted
from payorch.store.reads import JournalRow
from payorch.telemetry import Metrics

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger("payorch.circuits")


class Read(Protocol):
    """`Platform.read`."""

    def __call__(
        self, query: Callable[Concatenate[Connection, P], Awaitable[T]], *arguments: P.args, **named: P.kwargs
    ) -> Awaitable[T]: ...


@final
class Circuits:
    """The admissions of all connectors, alive over all lives of their actors.

    actors: how far back the journal is read at the start, and how soon again where it could not be.
    write: as of the platform. well_again: tells recovery; must not wait or raise.
    """

    def __init__(
        self,
        settings: Mapping[str, ConnectorSettings],
        connectors: Mapping[str, Connector],
        *,
        actors: ActorSettings,
        clock: Clock,
        metrics: Metrics,
        read: Read,
        write: Callable[[Entry], Awaitable[Result]],
        well_again: Callable[[WellAgain], None],
    ) -> None:
        self._connectors = connectors
        self._actors = actors
        self._told: dict[tuple[str, CallKind], Mode] = {}
        self._moments = Moments(clock)
        self._clock = clock
        self._metrics = metrics
        self._read = read
        self._logs = {
            name: CircuitLog(
                name,
                write=write,
                last=partial(self._last_record, name),
                moments=self._moments,
                retry_seconds=actors.circuit_retry_seconds,
            )
            for name in connectors
        }
        self.drains = Drains(connectors, clock=clock, read=read, write=write, retry_seconds=actors.circuit_retry_seconds)
        now = trio.current_time()
        self.admissions: Mapping[str, Admission] = {
            name: Admission(
                name,
                admission_limits(settings[name]),
                now,
                changed=partial(self._changed, name),
                well_again=partial(self._well_again, name, well_again),
            )
            for name in connectors
        }
        self._show()

    def write_of(self, connector: str) -> Callable[[], Awaitable[None]]:
        """What writes that connector's records, for ever."""

        async def write_for_ever() -> None:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._logs[connector].write_for_ever)
                nursery.start_soon(self.drains.watch, connector)

        return write_for_ever

    def unavailable(self) -> Mapping[str, str]:
        """The connectors that routing is to leave out now, each with the reason in words."""
        return {**unavailable(self.admissions, trio.current_time(), self._moments.wall), **self.drains.unavailable()}

    def refused(self, connector: str, refused: Refused) -> None:
        """A call was kept back."""
        self._metrics.psp_calls_refused.labels(connector, refused.kind, refused.code).inc()

    async def remember(self, admission: Admission) -> None:
        """Fills it with what the journal has of the time before this process. Waits for the database: nothing can be sent without it."""
        await self.drains.remember()
        name = admission.connector
        since = self._clock.now() - timedelta(seconds=admission.limits.circuit.window_seconds)
        while True:
            try:
                records = await self._read(connector_reads.connector_events, name, limit=self._actors.circuit_records_back)
                calls = await self._read(connector_reads.recent_calls, name, since, limit=self._actors.circuit_journal_back)
            except (DatabaseUnavailable, PoolExhausted):
                await trio.sleep(self._actors.circuit_retry_seconds)
                continue
            remember(admission, records, calls, self._moments, replays_errors=self._connectors[name].manifest.replays_errors)
            return

    async def _last_record(self, connector: str) -> JournalRow | None:
        rows = await self._read(connector_reads.connector_events, connector, limit=1)
        return rows[0] if rows else None

    def _changed(self, connector: str, changed: Changed) -> None:
        view = changed.view
        self._metrics.circuit_transitions.labels(connector, changed.kind, view.mode).inc()
        if not worth_telling(view, self._told.get((connector, changed.kind))):
            return
        self._told[connector, changed.kind] = view.mode
        self._logs[connector].put(changed)
        tell = log.info if view.mode in (Mode.CLOSED, Mode.HALF_OPEN) else log.warning
        tell("circuit." + NAMES[view.mode], connector=connector, operation=changed.kind, reason=view.reason, code=view.code)

    def _well_again(self, connector: str, tell: Callable[[WellAgain], None], kind: CallKind, since: float) -> None:
        tell(WellAgain(connector=connector, kind=kind, since=self._moments.wall(since)))

    def _show(self) -> None:
        """Gauges that are read at the moment somebody looks at the metrics."""
        for name, admission in self.admissions.items():
            self._metrics.retry_budget_tokens.labels(name).set_function(partial(_tokens, admission))
            for kind in CallKind:
                for mode in Mode:
                    self._metrics.circuit_state.labels(name, kind, mode).set_function(partial(_stands, admission, kind, mode))


def _tokens(admission: Admission) -> float:
    return admission.budget.tokens(trio.current_time())


def _stands(admission: Admission, kind: CallKind, mode: Mode) -> float:
    return float(admission.view(kind, trio.current_time()).mode is mode)


def connector_limits(settings: ConnectorSettings) -> ConnectorLimits:
    """The settings of one connector, as its actor takes them."""
    return ConnectorLimits(
        connections=settings.connections,
        lookup_connections=settings.lookup_connections,
        waiting=settings.mailbox_capacity,
        timeouts=Timeouts(
            connect_seconds=settings.connect_timeout_seconds,
            write_seconds=settings.write_timeout_seconds,
            read_seconds=settings.read_timeout_seconds,
            total_seconds=settings.total_timeout_seconds,
        ),
        least_call_seconds=settings.least_call_seconds,
        longest_retry_after_seconds=settings.longest_retry_after_seconds,
        token_patience_seconds=settings.retry_budget_patience_seconds,
    )


def admission_limits(settings: ConnectorSettings) -> AdmissionLimits:
    """The settings of one connector, as its circuits and its budget take them."""
    payments = CircuitLimits(
        window_calls=settings.circuit_window_calls,
        window_seconds=settings.circuit_window_seconds,
        minimum_calls=settings.circuit_minimum_calls,
        failure_rate=settings.circuit_failure_rate,
        slow_rate=settings.circuit_slow_rate,
        failures_in_a_row=settings.circuit_failures_in_a_row,
        open_seconds=settings.circuit_open_seconds,
        longest_open_seconds=settings.circuit_longest_open_seconds,
        probes=settings.circuit_probes,
        successes_to_close=settings.circuit_successes_to_close,
    )
    lookups = replace(
        payments,
        open_seconds=settings.lookup_circuit_open_seconds,
        longest_open_seconds=settings.lookup_circuit_longest_open_seconds,
    )
    return AdmissionLimits(
        circuit=payments,
        lookup_circuit=lookups,
        budget=BudgetLimits(
            initial=settings.retry_budget_initial,
            most=settings.retry_budget_most,
            earned_per_call=settings.retry_budget_earned_per_call,
            earned_per_minute=settings.retry_budget_earned_per_minute,
        ),
        slow_seconds=settings.circuit_slow_seconds,
    )
