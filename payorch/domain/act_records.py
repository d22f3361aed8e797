"""Plans and acts as they are kept, who asks, and how he is told no: records only.

Pure. Not here: who may do what to them, and what follows (`approving`), the table of acts (`acts`), their rows (`payorch.store.act_rows`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any

from msgspec import Struct

from payorch.domain.acts import ActState, Draft, Objection, Person, Wish
from payorch.domain.roles import Role


class No(StrEnum):
    """Why not, for programs. These are codes of the API."""

    FORBIDDEN = "forbidden"
    SAME_PERSON = "same_person"
    PLAN_CHANGED = "plan_changed"
    PLAN_EXPIRED = "plan_expired"
    NOT_ALLOWED = "operation_not_allowed"
    ACTION_OPEN = "action_open"
    KEY_REUSED = "idempotency_key_reused"
    NOT_FOUND = "not_found"


class Refusal(Struct, frozen=True, kw_only=True):
    """A no: `why` is a sentence that says what to do instead. allowed: what is possible with the act now. named: `why` begins with a
    name, of a person or of an action, which is written as it is at the beginning of a sentence, too.
    """

    code: No
    why: str
    allowed: tuple[str, ...] = ()
    objections: tuple[Objection, ...] = ()
    named: bool = False


class By(Struct, frozen=True, kw_only=True):
    """Who asks, with which role, and through what: `cause` is the request's id, `route` its method and path."""

    person: Person
    role: Role
    cause: str
    route: str


class Terms(Struct, frozen=True, kw_only=True):
    """How long things hold. plan_seconds: a plan, from when it is made. decision_seconds: a proposal, until a second person decides.
    review_seconds: until somebody has looked at what was done with the glass broken.
    """

    plan_seconds: float
    decision_seconds: float
    review_seconds: float


class Plan(Struct, frozen=True, kw_only=True):
    """A dry run that was shown to whoever wished for it."""

    id: str
    wish: Wish
    draft: Draft
    hash: bytes
    created_at: datetime
    expires_at: datetime


class Decision(Struct, frozen=True, kw_only=True):
    """What a second person said, or whoever asked when he took it back."""

    approved: bool
    by: Person
    at: datetime
    reason: str | None = None


class Review(Struct, frozen=True, kw_only=True):
    """That what was done with the glass broken is to be looked at, and who has."""

    due_at: datetime
    by: Person | None = None
    at: datetime | None = None
    note: str | None = None


class Halt(Struct, frozen=True, kw_only=True):
    """Somebody's word that a long act is to stop. It does after the step that it is in."""

    by: Person
    at: datetime
    reason: str


class ActRecord(Struct, frozen=True, kw_only=True):
    """An act as it stands. version: grows by one with each change. key: the Idempotency-Key that it was asked for with.

    progress: what carrying it out left last. result: what came of it, with `text` for people.
    """

    id: str
    plan_id: str
    wish: Wish
    draft: Draft
    hash: bytes
    reason: str
    key: str
    state: ActState
    requested_at: datetime
    expires_at: datetime
    version: int = 1
    decision: Decision | None = None
    halt: Halt | None = None
    progress: Mapping[str, Any] | None = None
    result: Mapping[str, Any] | None = None
    finished_at: datetime | None = None
    review: Review | None = None

    @property
    def people(self) -> int:
        """How many persons its plan takes; one may do it with the glass broken."""
        return self.draft.people


class Step(Struct, frozen=True, kw_only=True):
    """What becomes of an act: its record afterwards, and under which name that stands in the journal (None: only the record changes).

    refusal: whoever brought this about is told no, all the same (an approval that came too late, or for what has changed).
    """

    name: str | None
    act: ActRecord
    refusal: Refusal | None = None
    detail: Mapping[str, str | None] = {}


class Denied(Exception):
    """Whoever asked is told no, and that stands in the journal. plan: made anew, where that is what he should look at now."""

    def __init__(self, refusal: Refusal, *, plan: Plan | None = None) -> None:
        super().__init__(refusal.why)
        self.refusal = refusal
        self.plan = plan
