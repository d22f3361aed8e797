"""The calls about the audit, as data (`calls`), with the models of what they answer. Not here: making the answers (`audit`)."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from payorch.api.calls import ANY_OPERATOR, Call
from payorch.api.operations import audit

_MOMENT: Final = "RFC 3339, UTC, with milliseconds."


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AuditRecordShape(_Shape):
    """A record of the journal."""

    position: int
    at: str = Field(description=_MOMENT)
    stream: str
    subject_id: str
    sequence: int
    event: str
    actor: str
    cause: str
    text: str
    body: dict[str, Any] = Field(description="As recorded, without what belongs to shoppers and without tokens.")
    hash: str = Field(description="Of the record and all before it, in hex.")


class AuditRecordList(_Shape):
    """A page, newest first. It may be empty and have a next one: one look goes through a bounded number of records."""

    data: list[AuditRecordShape]
    next_cursor: str | None
    searched_to: str | None = Field(description=f"How far back this look came; null where that is the beginning. {_MOMENT}")


class AnchorsShape(_Shape):
    """What is kept of the journal outside the database."""

    where: str | None = Field(description="The folder; null where there is none.")
    count: int
    last_position: int | None
    last_at: str | None = Field(description=_MOMENT)
    next_at: str | None = Field(description=_MOMENT)


class AuditVerificationShape(_Shape):
    """Whether the chain is whole, as far as was looked."""

    object: str = Field(description="audit_verification")
    state: str = Field(description="whole, broken, or unknown where it was not walked to its end yet.")
    checked_at: str | None = Field(description=_MOMENT)
    records: int = Field(description="Found good.")
    head_position: int
    head_hash: str | None
    fault: str | None
    position: int | None = Field(description="The first bad one.")
    detail: str | None
    anchors: AnchorsShape


AUDIT_CALLS: Final = (
    Call(
        method="get",
        path="/ops/v1/audit",
        name="searchAudit",
        summary="Who did what to what, newest first",
        tells=(
            "What people did, and what was refused to them; with scope=all, a stream or a connector every record. One look goes through a"
            " bounded number of records: follow next_cursor. Takes the role viewer, as does the next."
        ),
        parameters=audit.PARAMETERS,
        answers={200: ("A page.", AuditRecordList)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
    Call(
        method="get",
        path="/ops/v1/audit/verification",
        name="getAuditVerification",
        summary="Whether the journal's chain is whole",
        answers={200: ("What the last look found.", AuditVerificationShape)},
        codes=ANY_OPERATOR,
        of_operators=True,
    ),
)
