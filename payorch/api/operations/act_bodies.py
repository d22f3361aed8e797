"""What the calls about plans and acts take: bodies as pydantic models, strictly parsed, and the hash in If-Match.

Not here: whether a wish makes sense (`payorch.domain.approving`, the planners), the shapes of answers (`act_shapes`).
"""

from __future__ import annotations

import re
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, StringConstraints
from pydantic_core import PydanticCustomError

from payorch.api.contracts import StrictBody
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.domain.acts import ActName

LONGEST_SUBJECT: Final = 500
LONGEST_REASON: Final = 1000
"""Of a reason or a note; a ticket's number and a few sentences. The database holds it as well."""
MOST_PARAMETERS: Final = 10
_HASH: Final = re.compile(r"[0-9a-f]{64}")


def _action(name: str) -> str:
    if name not in set(ActName):
        raise PydanticCustomError("action", "There is no such action: meta lists them")
    return name


def _said(text: str) -> str:
    said = text.strip()
    if not said:
        raise PydanticCustomError("said", "This is to be said in words")
    return said


Action = Annotated[str, Field(json_schema_extra={"enum": list(ActName)}), AfterValidator(_action)]
Reason = Annotated[
    str,
    Field(description="For the record: why. It is kept for ever and shown to every operator."),
    StringConstraints(min_length=1, max_length=LONGEST_REASON),
    AfterValidator(_said),
]
Hash = Annotated[str, Field(description="In hex, as the plan that was seen has it."), StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class MakePlanBody(StrictBody):
    """What is wanted: done to what, with which parameters, and whether alone although it takes two."""

    action: Action
    subject: Annotated[str, StringConstraints(min_length=1, max_length=LONGEST_SUBJECT)]
    parameters: dict[str, JsonValue] = Field(default_factory=dict, max_length=MOST_PARAMETERS)
    break_glass: bool = False


class AskForActionBody(StrictBody):
    """The plan that is to be carried out, and why."""

    plan: Annotated[str, StringConstraints(min_length=1, max_length=40)]
    reason: Reason


class ApproveActionBody(StrictBody):
    """The plan that the approver had before him."""

    hash: Hash


class RejectActionBody(StrictBody):
    """Why not."""

    reason: Reason


class HaltActionBody(StrictBody):
    """Why it is to stop."""

    reason: Reason


class ReviewActionBody(StrictBody):
    """What the reviewer makes of it."""

    note: Reason


def seen_hash(header: str | None) -> bytes | None:
    """The hash in If-Match, as in `"0f3c..."`; None where there is no such header. Raises Refusal."""
    if header is None:
        return None
    text = header.strip().removeprefix('"').removesuffix('"')
    if _HASH.fullmatch(text) is None:
        raise Refusal(Code.VALIDATION_FAILED, detail="If-Match is the hash of the plan that was seen, in double quotes. Nothing was done.")
    return bytes.fromhex(text)
