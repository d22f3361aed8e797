"""What the calls about connectors and routing answer, as pydantic models: for the OpenAPI document and for tests, never on the way of an
answer.

As in `payorch.api.shapes`. Not here: making the answers (`connector_views`, `routing_views`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payorch.domain.outcome import ErrorClass

_MOMENT = "RFC 3339, UTC, with milliseconds."
_PERCENT = "In percent; null where nothing was counted."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CircuitShape(_Shape):
    """The circuit of one kind of call. The counts are of its window."""

    mode: str = Field(description="One of, today: closed, open, half_open, forced_open, forced_closed.")
    reason: str
    since: str = Field(description=_MOMENT)
    until: str | None = Field(description=f"When it is tried, or when an operator's word ends. {_MOMENT}")
    calls: int
    failures: int
    slow: int
    failures_in_a_row: int
    code: str | None = Field(description="Of the last failure.")
    by: str | None = Field(description="The operator who forced it.")


class DrainingShape(_Shape):
    """It takes no new payments until then."""

    until: str = Field(description=_MOMENT)
    reason: str
    by: str


class LatencyShape(_Shape):
    """Of calls that move money, of the last five minutes, with an error of at most 2.5 %."""

    p50_ms: int | None
    p90_ms: int | None
    p99_ms: int | None


class MailboxShape(_Shape):
    """What waits to be taken by the connector's actor."""

    depth: int
    capacity: int


class RetryBudgetShape(_Shape):
    """Tokens: each repeated call takes one."""

    tokens: float
    most: float


class OpsConnectorShape(_Shape):
    """A connector as it is now. Memory starts empty with the process."""

    object: str = Field(description="connector")
    name: str
    state: str = Field(description="draining, or the mode of the circuit for authorisations.")
    enabled: bool
    circuits: dict[str, CircuitShape] = Field(description="By kind of call: authorize, capture, void, refund, lookup.")
    draining: DrainingShape | None
    ok_percent: float | None = Field(description=f"Calls of the last minute that it answered as one that is well does. {_PERCENT}")
    calls_per_second: float
    share_percent: float | None = Field(description=f"Of all authorisations of the last five minutes. {_PERCENT}")
    latency: LatencyShape
    in_flight: int
    connections: int
    waiting: int
    mailbox: MailboxShape
    retry_budget: RetryBudgetShape
    dead_letters: int | None = Field(description="Null here and in the next two: the database could not be asked.")
    unknown: int | None = Field(description="Payments with something of unknown outcome there.")
    webhook_lag_seconds: float | None = Field(description="How long the oldest notice waits that is still to be applied.")


class HourShape(_Shape):
    """The last hour by the minute, oldest first; the last step is under way."""

    step_seconds: int
    start: str = Field(alias="from", description=_MOMENT)
    calls: list[int]
    ok_percent: list[float | None]
    p50_ms: list[int | None]
    p99_ms: list[int | None]


class ErrorShape(_Shape):
    """Calls of the last hour that went wrong, or were told no, in the same way."""

    error_class: str = Field(alias="class", description=f"One of, today: {', '.join(ErrorClass)}.")
    code: str
    count: int
    share_percent: float
    payment_id: str = Field(description="Of the last one.")
    last_at: str = Field(description=_MOMENT)


class TransitionShape(_Shape):
    """A circuit changed its mode, or the connector was drained or resumed."""

    at: str = Field(description=_MOMENT)
    operation: str
    before: str | None = Field(alias="from")
    after: str = Field(alias="to")
    reason: str
    by: str
    cause: str


class DecisionAboutShape(_Shape):
    """A decision of routing, as it concerns this connector. position: its place in the order, from 1."""

    at: str = Field(description=_MOMENT)
    payment_id: str
    chosen: str | None
    position: int | None
    excluded: str | None


class OfferShape(_Shape):
    """An act that there is. Whether it may be done, a plan says in the end."""

    action: str
    verb: str
    allowed: bool
    why_not: str | None
    people: int
    subject: str


class ConnectorPageShape(OpsConnectorShape):
    """A connector with all that its page shows."""

    slo_ms: int
    series: HourShape
    errors: list[ErrorShape]
    transitions: list[TransitionShape]
    decisions: list[DecisionAboutShape]
    actions: list[OfferShape]


class ConnectorList(_Shape):
    """All that are switched on."""

    data: list[OpsConnectorShape]


class RulesShape(_Shape):
    """The rules of routing that are in force."""

    object: str = Field(description="routing")
    version: str
    since: str | None = Field(description=_MOMENT)
    by: str | None
    book: dict[str, JsonValue]
    doubts: list[str] = Field(description="What the rules say and cannot mean.")


class ExcludedShape(_Shape):
    """A connector that was left out, and why."""

    connector: str
    reason: str


class DecisionShape(_Shape):
    """A decision of routing."""

    at: str = Field(description=_MOMENT)
    payment_id: str
    rule: str
    version: str
    order: list[str]
    excluded: list[ExcludedShape]
    chosen: str | None


class DecisionList(_Shape):
    """A page of decisions, those of payments made later first."""

    data: list[DecisionShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")


class SideShape(_Shape):
    """What one set of rules does with the payments."""

    first: dict[str, int]
    rules: dict[str, int]
    success: int
    fees_minor: dict[str, int]
    without_fee: int


class ExampleShape(_Shape):
    """A payment that would begin elsewhere."""

    payment: str
    before: str
    after: str


class SimulationShape(_Shape):
    """Past decisions, as they were and under other rules."""

    object: str = Field(description="routing_simulation")
    start: str = Field(alias="from", description=_MOMENT)
    end: str = Field(alias="to", description=_MOMENT)
    version: str
    payments: int
    changed: int
    reordered: int
    not_replayable: int
    same_rules: int
    differing: int
    before: SideShape
    after: SideShape
    examples: list[ExampleShape]
