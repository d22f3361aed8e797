"""What the calls about dead letters answer, as pydantic models: for the OpenAPI document and for tests, never on the way of an answer.

As in `shapes`. Not here: making the answers (`dead_letter_views`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payorch.domain.acts import ActName
from payorch.store.items import DeadLetterKind, DeadLetterState


def _one_of(values: object) -> str:
    return f"One of, today: {', '.join(map(str, values))}."  # type: ignore[call-overload]


_MOMENT = "RFC 3339, UTC, with milliseconds."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class OfferShape(_Shape):
    """An act that may be asked for, or why not. The plan decides."""

    action: str = Field(description=_one_of(ActName))
    verb: str = Field(description="As on a button.")
    allowed: bool
    why_not: str | None
    people: int = Field(description="How many it takes, as far as can be said without a plan.")
    subject: str = Field(description="As a plan takes it.")


class DeadLetterShape(_Shape):
    """What could not be delivered, understood or placed, and waits for people."""

    object: str = Field(description="dead_letter")
    id: str
    kind: str = Field(description=_one_of(DeadLetterKind))
    origin: str = Field(description="The connector, or the merchant's endpoint.")
    state: str = Field(description=_one_of(DeadLetterState))
    reason_class: str
    reason: str
    fingerprint: str = Field(description="The same for all that failed alike.")
    attempts: int
    first_failed_at: str = Field(description=_MOMENT)
    last_failed_at: str = Field(description=_MOMENT)
    merchant_id: str | None
    payment_id: str | None
    resolved_at: str | None = Field(description=_MOMENT)
    resolved_by: str | None
    resolution: str | None


class WholeDeadLetterShape(DeadLetterShape):
    """The same with its contents."""

    subject: JsonValue = Field(description="What died.")
    payload: str = Field(description="Its contents without secrets and card numbers; empty once they are not kept any more.")
    actions: list[OfferShape]


class LastReplayShape(_Shape):
    """How the last replay of a group went, as far as it came."""

    act_id: str
    at: str = Field(description=_MOMENT)
    ok: int
    failed: int
    halted: bool


class DeadLetterGroupShape(_Shape):
    """Dead letters that failed alike."""

    object: str = Field(description="dead_letter_group")
    fingerprint: str
    kind: str = Field(description=_one_of(DeadLetterKind))
    origin: str
    reason_class: str
    letters: int
    open: int = Field(description="How many of them nobody has answered.")
    first_failed_at: str = Field(description=_MOMENT)
    last_failed_at: str = Field(description=_MOMENT)
    example: str
    last_replay: LastReplayShape | None


class DeadLetterList(_Shape):
    """A page of dead letters, newest first; or groups of them, the largest first."""

    data: list[DeadLetterShape | DeadLetterGroupShape]
    next_cursor: str | None = Field(description="For the next page; null on the last one.")
