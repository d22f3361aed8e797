"""What a PSP's notice, a webhook, says about one payment, and how it is weighed. Pure.

A notice is a snapshot of some moment, and it may come late, twice, or before a newer one. So it is never believed about the order of things:

- what it says in the end (approved, declined, released) is weighed like any other evidence; what is implied by then changes nothing;
- what it says of the way there (the shopper's turn, pending) counts only where nothing later is known: from an attempt without an answer to
  the shopper's turn, from there to pending, never back. Where it would lead back, the PSP is asked instead;
- what it only hints at (a refund of nobody's here) makes the PSP be asked, and that answer is the evidence.

Not here: reading a PSP's bytes (each connector's `testify`), finding the payment, or that a notice is weighed only once (the inbox).
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from msgspec import Struct

from payorch.domain.money import Money
from payorch.domain.outcome import Evidence


class DisputeStage(StrEnum):
    """How far a dispute has come at the card network. Each stage is a record of its own."""

    PRE_DISPUTE = "pre_dispute"  # an inquiry or an early warning: no money has moved yet
    DISPUTE = "dispute"
    PRE_ARBITRATION = "pre_arbitration"


class DisputeStatus(StrEnum):
    """Where a stage of a dispute stands."""

    OPENED = "opened"
    CHALLENGED = "challenged"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    CANCELLED = "cancelled"
    WON = "won"
    LOST = "lost"


class DisputeReport(Struct, frozen=True, kw_only=True, gc=False):
    """A stage of a dispute as a PSP tells of it. `attempt_id`: whose charge is disputed. `raw`: the redacted notice, JSON text."""

    attempt_id: str
    psp_reference: str
    stage: DisputeStage
    status: DisputeStatus
    amount: Money
    at: datetime
    reason: str | None = None
    respond_by: datetime | None = None
    raw: str | None = None


class Statement(Struct, frozen=True, kw_only=True, gc=False):
    """Evidence about one attempt or operation of the payment."""

    subject_id: str
    evidence: Evidence


class Testimony(Struct, frozen=True, kw_only=True, gc=False):
    """All that one notice says about one payment.

    statements: in the order in which they are to be weighed. look_at: attempts of which the PSP should be asked soon, because something
    happened there that the notice does not show whole.
    """

    statements: tuple[Statement, ...] = ()
    disputes: tuple[DisputeReport, ...] = ()
    look_at: tuple[str, ...] = ()
