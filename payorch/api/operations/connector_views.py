"""What connectors look like to operators, and how that becomes JSON: a connector as it is now, one with its last hour, and the traffic as a
whole.

Records that are handed in, and pure functions from them to JSON's types. Not here: where the figures come from
(`payorch.operations.vitals`), the calls (`connectors`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from payorch.api.present import View, rfc3339
from payorch.domain.routing import Decision
from payorch.domain.vital_signs import ErrorBucket


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitNow:
    """A circuit at one moment. by: the operator who forced it, as records name him."""

    mode: str
    reason: str
    since: datetime
    until: datetime | None
    calls: int
    failures: int
    slow: int
    failures_in_a_row: int
    code: str | None
    by: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draining:
    """A connector takes no new payments until then, by somebody's word."""

    until: datetime
    reason: str
    by: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorNow:
    """A connector at one moment. The figures are of calls that move money, of the last minute; share and latency of the last five.

    ok_percent: calls that it answered as one that is well does; a decline is such an answer. share_percent: of all authorisations.
    dead_letters, unknown, webhook_lag_seconds: None where the database could not be asked.
    """

    name: str
    circuits: Mapping[str, CircuitNow]
    draining: Draining | None
    ok_percent: float | None
    calls_per_second: float
    share_percent: float | None
    p50_ms: int | None
    p90_ms: int | None
    p99_ms: int | None
    in_flight: int
    connections: int
    waiting: int
    mailbox_depth: int
    mailbox_capacity: int
    retry_tokens: float
    retry_most: float
    dead_letters: int | None
    unknown: int | None
    webhook_lag_seconds: float | None

    @property
    def state(self) -> str:
        """In one word: draining, or how the circuit of authorisations stands, which is what routing looks at."""
        return "draining" if self.draining is not None else self.circuits["authorize"].mode


@dataclass(frozen=True, slots=True, kw_only=True)
class Hour:
    """The last hour in steps, oldest first, the last one under way."""

    step_seconds: int
    since: datetime
    calls: Sequence[int]
    ok_percent: Sequence[float | None]
    p50_ms: Sequence[int | None]
    p99_ms: Sequence[int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """A circuit's change as the journal tells it. before: None where the record before is beyond what was read."""

    at: datetime
    operation: str
    before: str | None
    after: str
    reason: str
    by: str
    cause: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decision of routing, and whose."""

    payment_id: str
    at: datetime
    decision: Decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """An act that there is for a subject, as far as it can be told without a plan."""

    action: str
    verb: str
    subject: str
    allowed: bool
    why_not: str | None
    people: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectorWhole:
    """A connector with its last hour, and what may be done about it."""

    now: ConnectorNow
    slo_ms: int
    hour: Hour
    errors: Sequence[ErrorBucket]
    transitions: Sequence[Transition]
    decisions: Sequence[Decided]
    offers: Sequence[Offer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What the overview tells of all traffic. Rates and latencies: of the last five minutes; changes: against the last hour; series: twelve
    steps of five minutes, oldest first, the last one under way. since: when this process began to count.
    """

    since: datetime
    rate_percent: float | None
    rate_change_points: float | None
    rate_count: int
    rate_series: Sequence[float | None]
    unknown_series: Sequence[int | None]
    p50_ms: int | None
    p95_ms: int | None
    p99_ms: int | None
    platform_p95_ms: int | None
    psp_p95_ms: int | None
    slo_ms: int
    latency_series: Sequence[int | None]


def connector_view(one: ConnectorNow) -> View:
    """A connector, as lists and snapshots have it."""
    return {
        "object": "connector",
        "name": one.name,
        "state": one.state,
        "enabled": True,
        "circuits": {name: _circuit(circuit) for name, circuit in one.circuits.items()},
        "draining": _draining(one.draining),
        "ok_percent": one.ok_percent,
        "calls_per_second": one.calls_per_second,
        "share_percent": one.share_percent,
        "latency": {"p50_ms": one.p50_ms, "p90_ms": one.p90_ms, "p99_ms": one.p99_ms},
        "in_flight": one.in_flight,
        "connections": one.connections,
        "waiting": one.waiting,
        "mailbox": {"depth": one.mailbox_depth, "capacity": one.mailbox_capacity},
        "retry_budget": {"tokens": round(one.retry_tokens, 1), "most": one.retry_most},
        "dead_letters": one.dead_letters,
        "unknown": one.unknown,
        "webhook_lag_seconds": one.webhook_lag_seconds,
    }


def whole_view(one: ConnectorWhole) -> View:
    """A connector with all that its page shows."""
    hour = one.hour
    return connector_view(one.now) | {
        "slo_ms": one.slo_ms,
        "series": {
            "step_seconds": hour.step_seconds,
            "from": rfc3339(hour.since),
            "calls": list(hour.calls),
            "ok_percent": list(hour.ok_percent),
            "p50_ms": list(hour.p50_ms),
            "p99_ms": list(hour.p99_ms),
        },
        "errors": [_error(error) for error in one.errors],
        "transitions": [_transition(transition) for transition in one.transitions],
        "decisions": [_about(decided, one.now.name) for decided in one.decisions],
        "actions": [_offer(offer) for offer in one.offers],
    }


def decided_view(one: Decided) -> View:
    """A decision of routing, in a list."""
    decision = one.decision
    return {
        "at": rfc3339(one.at),
        "payment_id": one.payment_id,
        "rule": decision.rule,
        "version": decision.version,
        "order": list(decision.order),
        "excluded": [{"connector": excluded.connector, "reason": excluded.reason} for excluded in decision.excluded],
        "chosen": decision.order[0] if decision.order else None,
    }


def traffic_view(traffic: Traffic) -> View:
    """The tiles `authorization_rate` and `authorize`, and the series of the tile `unknown`, by their names."""
    return {
        "authorization_rate": {
            "percent": traffic.rate_percent,
            "change_points": traffic.rate_change_points,
            "count": traffic.rate_count,
            "series": list(traffic.rate_series),
        },
        "authorize": {
            "p50_ms": traffic.p50_ms,
            "p95_ms": traffic.p95_ms,
            "p99_ms": traffic.p99_ms,
            "platform_p95_ms": traffic.platform_p95_ms,
            "psp_p95_ms": traffic.psp_p95_ms,
            "slo_ms": traffic.slo_ms,
            "series": list(traffic.latency_series),
        },
        "unknown_series": list(traffic.unknown_series),
    }


def by_name(actor: str | None) -> str | None:
    """An operator's name, as screens show it, from how records name him."""
    return None if actor is None else actor.removeprefix("operator:")


def _circuit(circuit: CircuitNow) -> View:
    return {
        "mode": circuit.mode,
        "reason": circuit.reason,
        "since": rfc3339(circuit.since),
        "until": None if circuit.until is None else rfc3339(circuit.until),
        "calls": circuit.calls,
        "failures": circuit.failures,
        "slow": circuit.slow,
        "failures_in_a_row": circuit.failures_in_a_row,
        "code": circuit.code,
        "by": by_name(circuit.by),
    }


def _draining(draining: Draining | None) -> View | None:
    if draining is None:
        return None
    return {"until": rfc3339(draining.until), "reason": draining.reason, "by": by_name(draining.by)}


def _error(one: ErrorBucket) -> View:
    return {
        "class": str(one.error_class),
        "code": one.code,
        "count": one.count,
        "share_percent": one.share,
        "payment_id": one.payment_id,
        "last_at": rfc3339(one.last_at),
    }


def _transition(one: Transition) -> View:
    return {
        "at": rfc3339(one.at),
        "operation": one.operation,
        "from": one.before,
        "to": one.after,
        "reason": one.reason,
        "by": by_name(one.by),
        "cause": one.cause,
    }


def _about(one: Decided, connector: str) -> View:
    """A decision as it concerns that connector."""
    order = one.decision.order
    return {
        "at": rfc3339(one.at),
        "payment_id": one.payment_id,
        "chosen": order[0] if order else None,
        "position": order.index(connector) + 1 if connector in order else None,
        "excluded": next((excluded.reason for excluded in one.decision.excluded if excluded.connector == connector), None),
    }


def _offer(one: Offer) -> View:
    return {
        "action": one.action,
        "verb": one.verb,
        "allowed": one.allowed,
        "why_not": one.why_not,
        "people": one.people,
        "subject": one.subject,
    }
