"""What the calls about plans and acts answer, as pydantic models: for the OpenAPI document and for tests, never on the way of an answer.

As in `shapes`. Not here: making the answers (`act_views`).
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from payorch.api.shapes import MoneyShape, ObjectionShape
from payorch.domain.acts import ActName, ActState

_MOMENT = "RFC 3339, UTC, with milliseconds."
_ACTIONS = f"One of, today: {', '.join(ActName)}."
_STATES = f"One of, today: {', '.join(ActState)}."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class EffectShape(_Shape):
    """One thing that would be different."""

    what: str
    before: str
    after: str


class CheckShape(_Shape):
    """Something that was looked at."""

    what: str
    holds: bool
    detail: str | None
    binds: bool = Field(description="It may not be done where this does not hold; else it is a warning.")


class ProofShape(_Shape):
    """Evidence that people may lean on."""

    reference: str
    at: str | None = Field(description=_MOMENT)
    text: str


class DryRunShape(_Shape):
    """What a dry run found."""

    allowed: bool
    objections: list[ObjectionShape]
    people: int = Field(description="How many persons it takes, unless the glass is broken.")
    why_people: str
    effects: list[EffectShape]
    undo: str
    checks: list[CheckShape]
    proofs: list[ProofShape]
    confirm: str = Field(description="What a person types to show that he has read it.")
    amount: MoneyShape | None
    version: str
    hash: str | None = Field(description="Of what is wanted and of what was found, in hex. An approver sends back the one that he saw.")


class PlanShape(DryRunShape):
    """A dry run, kept for as long as it holds."""

    id: str
    object: str = Field(description="plan")
    action: str = Field(description=_ACTIONS)
    verb: str
    subject: str
    parameters: dict[str, JsonValue]
    break_glass: bool
    made_by: str
    created_at: str = Field(description=_MOMENT)
    expires_at: str = Field(description=_MOMENT)


class WhoShape(_Shape):
    """An account, and whose it is."""

    name: str
    person: str


class ProgressShape(_Shape):
    """How far a long act has come."""

    total: int | None
    done: int | None
    ok: int | None
    failed: int | None
    canary: int | None
    text: str | None


class HaltShape(_Shape):
    """That somebody wants it to stop."""

    by: WhoShape
    at: str = Field(description=_MOMENT)
    reason: str


class ReviewShape(_Shape):
    """That another person is to look at what was done with the glass broken, and who has."""

    due_at: str = Field(description=_MOMENT)
    by: WhoShape | None
    at: str | None = Field(description=_MOMENT)
    note: str | None


class ActionShape(_Shape):
    """A plan that was asked for, and what became of it."""

    id: str
    object: str = Field(description="action")
    action: str = Field(description=_ACTIONS)
    verb: str
    subject: str
    parameters: dict[str, JsonValue]
    state: str = Field(description=_STATES)
    people: int
    break_glass: bool
    reason: str
    plan: DryRunShape = Field(description="As whoever asked saw it.")
    hash: str
    requested_by: WhoShape
    requested_at: str = Field(description=_MOMENT)
    expires_at: str = Field(description=f"Until when it waits for a second person. {_MOMENT}")
    decided_by: WhoShape | None
    decided_at: str | None = Field(description=_MOMENT)
    decision: str | None = Field(description="approved or rejected")
    decision_reason: str | None
    progress: ProgressShape | None
    result: dict[str, JsonValue] | None = Field(description="What came of it; `text` is for people.")
    finished_at: str | None = Field(description=_MOMENT)
    halt: HaltShape | None
    review: ReviewShape | None
    version: int
    mine: bool = Field(description="You asked for it, by whatever account.")
    may_approve: bool
    why_not_approve: str | None
    possible: list[str] = Field(description="What can be said to it now, by whoever may: approve, reject, halt, review.")


class OneActionShape(ActionShape):
    """An act, with its plan made anew while it waits."""

    plan_now: DryRunShape | None
    changed: bool | None = Field(description="It comes out differently now: an approval would be refused.")


class ActionList(_Shape):
    data: list[ActionShape]
    next_cursor: str | None
