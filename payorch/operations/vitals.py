"""The vital signs of a running platform: fed by what the connectors' actors and the payments tell, read by the operators' views.

Feeding is a few increments, on the way of every call; reading adds up steps, and asks the database for what waits. Not here: how it is
counted (`payorch.domain.vital_signs`), JSON (`payorch.api.operations.connector_views`), Prometheus (`payorch.telemetry`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, final

import trio

from actors.admission import Admission, CallKind
from actors.breaker import CircuitView
from actors.connector import ConnectorStatistics
from actors.mailbox import MailboxStatistics
from actors.moments import Moments
from payorch.api.operations.connector_views import CircuitNow, ConnectorNow, Draining, Hour, Traffic
from payorch.domain.histogram import percentile_ms
from payorch.domain.outcome import Evidence
from payorch.domain.payment import State
from payorch.domain.records import Payment
from payorch.domain.vital_signs import (
    APPROVED,
    DECLINED,
    ENDS,
    ILL,
    PENDING,
    UNKNOWN,
    ErrorBucket,
    Errors,
    Levels,
    Series,
    Window,
    authorization_rate,
    end_of,
    is_ill,
    ok_percent,
    tried,
)
from payorch.ports import Clock
from payorch.store import connector_reads
from payorch.store.connector_reads import Standing
from payorch.store.items import DrainRow
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

NOW_SECONDS: Final = 60
"""Of calls per second and of `ok_percent`: long enough for a dozen calls of a quiet connector, short enough to see an outage at once."""
LATELY_SECONDS: Final = 300
"""Of shares and latencies: a percentile of a minute of little traffic is noise."""
HOUR_SECONDS: Final = 3600
STANDING_SECONDS: Final = 5.0
"""How old the database's figures may be. They are read for every look, by however many people, and an answer costs some milliseconds."""
_TWELVE: Final = {"minutes": 5, "count": 12}
_SIXTY: Final = {"minutes": 1, "count": 60}

_OUTCOMES: Final[Mapping[State, str]] = {
    State.AUTHORIZED: APPROVED,
    State.CAPTURING: APPROVED,
    State.PARTIALLY_CAPTURED: APPROVED,
    State.CAPTURED: APPROVED,
    State.FAILED: DECLINED,
    State.OUTCOME_UNKNOWN: UNKNOWN,
}
"""What an authorisation came to, by where its payment stands then; anything else waits for somebody."""
_WHATS: Final = {(end, kind, ill): (end, str(kind), *([ILL] if ill else [])) for end in ENDS for kind in CallKind for ill in (False, True)}
"""What one call counts as, made once: this is on the way of every call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the figures of the moment are. statistics: of an actor that is alive. mailbox: of its messages. drain: the one in force."""

    admissions: Mapping[str, Admission]
    statistics: Callable[[str], ConnectorStatistics | None]
    mailbox: Callable[[str], MailboxStatistics]
    drain: Callable[[str], DrainRow | None]
    retry_most: Mapping[str, float]
    read: Callable[..., Awaitable[Any]]


class _Signs:
    __slots__ = ("calls", "errors")

    def __init__(self, now: float) -> None:
        self.calls = Series(now)
        self.errors = Errors()


@final
class Vitals:
    """All of it, in one process. sources: given before anything is read."""

    def __init__(self, connectors: tuple[str, ...], *, clock: Clock, slo_ms: int) -> None:
        now = trio.current_time()
        self._clock = clock
        self._moments = Moments(clock)
        self._since: datetime = clock.now()
        self._slo_ms = slo_ms
        self._signs = {name: _Signs(now) for name in connectors}
        self._authorizations = Series(now, measures=3)  # all of it, the platform's part, the PSP's part
        self._unknown = Levels()
        self._walls: dict[tuple[str, CallKind | None, str], tuple[float, datetime]] = {}
        self._standing: dict[str, Standing] | None = None
        self._standing_until = now
        self.sources: Sources | None = None

    # --- being told

    def called(self, connector: str, kind: CallKind, payment_id: str, evidence: Evidence) -> None:
        """A call to a PSP ended in this evidence."""
        signs, now = self._signs[connector], trio.current_time()
        end, failure = end_of(evidence)
        if failure is not None:
            signs.errors.tell(now, failure, payment_id, evidence.at)
        if kind is not CallKind.LOOKUP:
            signs.calls.tell(now, _WHATS[end, kind, is_ill(end, failure)], (evidence.latency_ms,))

    def authorized(self, payment: Payment, platform_seconds: float, psp_seconds: float) -> None:
        """An authorisation was answered to its merchant."""
        ours, theirs = platform_seconds * 1000, psp_seconds * 1000
        self._authorizations.tell(trio.current_time(), (_OUTCOMES.get(payment.state, PENDING),), (ours + theirs, ours, theirs))

    def unknown(self, payments: int) -> None:
        """So many payments have an unknown outcome."""
        self._unknown.tell(trio.current_time(), payments)

    # --- being read

    @property
    def slo_ms(self) -> int:
        """What an authorisation should take at most."""
        return self._slo_ms

    def overview(self) -> Traffic:
        """The traffic as a whole."""
        now = trio.current_time()
        lately, hour = (self._authorizations.window(now, seconds) for seconds in (LATELY_SECONDS, HOUR_SECONDS))
        steps = self._authorizations.steps(now, **_TWELVE)
        (percent, count), (before, _) = authorization_rate(lately), authorization_rate(hour)
        whole, platform, psp = lately.latencies
        return Traffic(
            since=self._since,
            rate_percent=percent,
            rate_change_points=None if percent is None or before is None else round(percent - before, 1),
            rate_count=count,
            rate_series=[authorization_rate(step)[0] for step in steps],
            unknown_series=self._unknown.steps(now, **_TWELVE),
            p50_ms=percentile_ms(whole, 0.5),
            p95_ms=percentile_ms(whole, 0.95),
            p99_ms=percentile_ms(whole, 0.99),
            platform_p95_ms=percentile_ms(platform, 0.95),
            psp_p95_ms=percentile_ms(psp, 0.95),
            slo_ms=self._slo_ms,
            latency_series=[percentile_ms(step.latencies[0], 0.95) for step in steps],
        )

    async def connectors(self) -> list[ConnectorNow]:
        """Each connector as it is now, in their order."""
        standing = await self._what_waits()
        return [self._connector(name, None if standing is None else standing.get(name)) for name in self._signs]

    async def connector(self, name: str) -> ConnectorNow | None:
        """That connector as it is now; None where there is none of that name."""
        return next((one for one in await self.connectors() if one.name == name), None)

    def hour(self, name: str) -> Hour:
        """That connector's last hour by the minute."""
        now = trio.current_time()
        steps = self._signs[name].calls.steps(now, **_SIXTY)
        return Hour(
            step_seconds=60,
            since=self._wall((name, None, "hour"), (now // 60 - 59) * 60),
            calls=[tried(step) for step in steps],
            ok_percent=[ok_percent(step) for step in steps],
            p50_ms=[percentile_ms(step.latencies[0], 0.5) for step in steps],
            p99_ms=[percentile_ms(step.latencies[0], 0.99) for step in steps],
        )

    def errors(self, name: str) -> list[ErrorBucket]:
        """What went wrong there in the last hour."""
        return self._signs[name].errors.buckets(trio.current_time())

    def pace(self, name: str, kind: CallKind) -> tuple[float, float | None]:
        """Calls of that kind a second, over the last minute; and that connector's share of all of them, over the last five, in percent."""
        now = trio.current_time()
        minute = self._signs[name].calls.window(now, NOW_SECONDS)
        return round(minute.count(str(kind)) / minute.seconds, 1), self._share(name, kind, now)

    def _share(self, name: str, kind: CallKind, now: float) -> float | None:
        counts = {one: signs.calls.window(now, LATELY_SECONDS).count(str(kind)) for one, signs in self._signs.items()}
        total = sum(counts.values())
        return None if not total else round(100 * counts[name] / total, 1)

    def _connector(self, name: str, standing: Standing | None) -> ConnectorNow:
        sources = self._given()
        now, calls = trio.current_time(), self._signs[name].calls
        minute, lately = calls.window(now, NOW_SECONDS), calls.window(now, LATELY_SECONDS)
        statistics, mailbox, drain = sources.statistics(name), sources.mailbox(name), sources.drain(name)
        admission = sources.admissions[name]
        return ConnectorNow(
            name=name,
            circuits={str(kind): self._circuit(name, admission.view(kind, now), kind) for kind in CallKind},
            draining=None if drain is None else Draining(until=drain.until, reason=drain.reason, by=drain.by),
            ok_percent=ok_percent(minute),
            calls_per_second=_per_second(minute),
            share_percent=self._share(name, CallKind.AUTHORIZE, now),
            p50_ms=percentile_ms(lately.latencies[0], 0.5),
            p90_ms=percentile_ms(lately.latencies[0], 0.9),
            p99_ms=percentile_ms(lately.latencies[0], 0.99),
            in_flight=0 if statistics is None else statistics.in_flight,
            connections=0 if statistics is None else statistics.connections,
            waiting=0 if statistics is None else statistics.waiting,
            mailbox_depth=mailbox.depth,
            mailbox_capacity=mailbox.capacity,
            retry_tokens=admission.budget.tokens(now),
            retry_most=sources.retry_most[name],
            dead_letters=None if standing is None else standing.dead_letters,
            unknown=None if standing is None else standing.unknown,
            webhook_lag_seconds=self._lag(standing),
        )

    def _lag(self, standing: Standing | None) -> float | None:
        if standing is None:
            return None
        oldest = standing.oldest_notice_at
        return 0.0 if oldest is None else round(max(0.0, (self._clock.now() - oldest).total_seconds()), 1)

    def _circuit(self, name: str, view: CircuitView, kind: CallKind) -> CircuitNow:
        return CircuitNow(
            mode=str(view.mode),
            reason=str(view.reason),
            since=self._wall((name, kind, "since"), view.since),
            until=None if view.until is None else self._wall((name, kind, "until"), view.until),
            calls=view.calls,
            failures=view.failures,
            slow=view.slow,
            failures_in_a_row=view.failures_in_a_row,
            code=view.code,
            by=view.by,
        )

    def _wall(self, what: tuple[str, CallKind | None, str], seconds: float) -> datetime:
        """That moment by the wall's clock. Told by two clocks it comes out a millisecond more or less each time; who looks again is to see
        no change where there is none, so the first answer is kept.
        """
        known = self._walls.get(what)
        if known is None or known[0] != seconds:
            known = self._walls[what] = (seconds, self._moments.wall(seconds))
        return known[1]

    async def _what_waits(self) -> dict[str, Standing] | None:
        """As the database knows it, not older than STANDING_SECONDS; None where it does not answer: the rest is to be seen all the more."""
        now = trio.current_time()
        if now >= self._standing_until:
            self._standing_until = now + STANDING_SECONDS  # also for whoever asks meanwhile
            try:
                self._standing = await self._given().read(connector_reads.standing, list(self._signs))
            except (DatabaseUnavailable, PoolExhausted):
                self._standing = None
        return self._standing

    def _given(self) -> Sources:
        assert self.sources is not None, "nobody looks before the platform is put together"
        return self.sources


def _per_second(window: Window) -> float:
    return round(tried(window) / window.seconds, 1)
