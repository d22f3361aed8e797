"""What meta, the snapshot and the stream answer, as pydantic models: for the OpenAPI document and for tests, never on the way of an answer.

As in `shapes`. Not here: making the answers (`meta`, `snapshot`, `events`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payorch.api.shapes import MoneyShape

_MOMENT = "RFC 3339, UTC, with milliseconds."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EnvironmentShape(_Shape):
    name: str
    kind: str = Field(description="sim, test or live: whether its money is real.")


class OperatorShape(_Shape):
    id: str
    name: str
    person: str
    role: str
    token_expires_at: str | None = Field(description=_MOMENT)


class ParameterShape(_Shape):
    name: str
    required: bool
    choices: list[str] | None
    about: str


class ActionKindShape(_Shape):
    """An act that operators may have done."""

    name: str
    verb: str
    subject: str
    least: str = Field(description="The least role of whoever asks for it.")
    parameters: list[ParameterShape]
    may: bool
    why_not: str | None


class MetaShape(_Shape):
    """Which platform this is, who asks, and what may be done."""

    object: str = Field(description="meta")
    environment: EnvironmentShape
    version: str
    schema_: int = Field(alias="schema", description="Of everything under /ops/v1.")
    server_time: str = Field(description=_MOMENT)
    head: int = Field(description="The journal's last position.")
    operator: OperatorShape
    limits: dict[str, int]
    connectors: list[str]
    currencies: dict[str, int] = Field(description="Currency -> its decimal places.")
    actions: list[ActionKindShape]


class EventPaymentShape(_Shape):
    id: str
    state: str
    amount: MoneyShape
    connector: str | None
    merchant_id: str
    held: bool


class LiveEventShape(_Shape):
    """A record of the journal, as the stream tells it."""

    position: int
    at: str = Field(description=_MOMENT)
    kind: str
    event: str
    stream: str
    subject_id: str
    sequence: int
    actor: str
    cause: str
    text: str
    tone: str = Field(description="good, bad, unknown, warn or info.")
    change: str | None = Field(description="`FROM -> TO`, where it is known and is one.")
    payment: EventPaymentShape | None
    connector: str | None


class ScreenShape(_Shape):
    screen: str
    filter: str | None
    id: str | None


class ConcernShape(_Shape):
    """One thing that needs people."""

    severity: str = Field(description="critical, warning or notice.")
    kind: str
    what: str
    count: int
    at_risk: list[MoneyShape]
    since: str | None = Field(description=_MOMENT)
    view: ScreenShape


class OverviewShape(_Shape):
    at: str = Field(description=_MOMENT)
    tiles: dict[str, JsonValue]
    since: str = Field(description="When this process began to count.")
    attention: list[ConcernShape] = Field(description="The worst first, then where most money is at risk, then the oldest.")


class SnapshotShape(_Shape):
    """What a console begins with. Views that were not asked for are null."""

    object: str = Field(description="snapshot")
    cursor: int = Field(description="Take the stream up after it: nothing is lost between.")
    server_time: str = Field(description=_MOMENT)
    schema_: int = Field(alias="schema")
    meta: MetaShape
    overview: OverviewShape | None
    connectors: list[JsonValue] | None
    approvals: list[JsonValue] | None
    live: list[LiveEventShape] = Field(description="The last events up to the cursor, newest last.")
