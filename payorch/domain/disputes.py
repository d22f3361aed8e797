"""Disputes: a shopper's bank takes money back. Records with a small machine of their own, children of their payment. Pure.

Each stage of a dispute is a record. A PSP's notices may come late, twice or in any order, so a status only goes on: what is over does not
begin again. Nothing about a dispute moves the payment's state, and recording one is legal at any time: what we learn is never forbidden.

Not here: how a PSP names stages (each connector), which event a report becomes (`testimony`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct

from payorch.domain.money import Money


class DisputeStage(StrEnum):
    """How far a dispute has come at the card network. In the order of its life; each stage is a record of its own."""

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


_S = DisputeStatus
DISPUTE_EDGES: Final[Mapping[DisputeStatus, frozenset[DisputeStatus]]] = {
    _S.OPENED: frozenset(_S) - {_S.OPENED},
    _S.CHALLENGED: frozenset({_S.ACCEPTED, _S.EXPIRED, _S.CANCELLED, _S.WON, _S.LOST}),
    # Given up or let pass, it is decided all the same, and the decision says who has the money.
    _S.ACCEPTED: frozenset({_S.WON, _S.LOST}),
    _S.EXPIRED: frozenset({_S.WON, _S.LOST}),
    _S.CANCELLED: frozenset(),
    _S.WON: frozenset(),
    _S.LOST: frozenset(),
}
"""status -> those that may follow. Total."""
_WITH_THE_MERCHANT: Final = frozenset({_S.CANCELLED, _S.WON})
_CONTRARY: Final = frozenset({(_S.WON, _S.LOST), (_S.LOST, _S.WON)})


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


class Dispute(Struct, frozen=True, kw_only=True, gc=False):
    """One stage of one dispute of what an attempt took. The PSP knows the dispute by `psp_reference`."""

    id: str
    attempt_id: str
    psp_reference: str
    stage: DisputeStage
    status: DisputeStatus
    amount: Money
    created_at: datetime
    updated_at: datetime
    reason: str | None = None
    respond_by: datetime | None = None

    def told(self, report: DisputeReport) -> Dispute:
        """The dispute as this report leaves it: itself where the report says nothing new, or tells of a time before."""
        status = report.status
        if status is not self.status and status not in DISPUTE_EDGES[self.status]:
            return self
        respond_by = report.respond_by or self.respond_by
        reason = report.reason or self.reason
        if (status, report.amount, reason, respond_by) == (self.status, self.amount, self.reason, self.respond_by):
            return self
        return Dispute(
            id=self.id,
            attempt_id=self.attempt_id,
            psp_reference=self.psp_reference,
            stage=self.stage,
            status=status,
            amount=report.amount,
            created_at=self.created_at,
            updated_at=self.updated_at,
            reason=reason,
            respond_by=respond_by,
        )

    def contradicted_by(self, report: DisputeReport) -> bool:
        """Whether the report says that it was decided the other way."""
        return (self.status, report.status) in _CONTRARY


def disputed_minor(disputes: Iterable[Dispute], currency: str) -> int:
    """Minor units of that currency that are not the merchant's to refund: of open and lost disputes, each by its latest stage.

    A warning takes nothing.
    """
    latest: dict[tuple[str, str], Dispute] = {}
    order = list(DisputeStage)
    for one in disputes:
        key = (one.attempt_id, one.psp_reference)
        if key not in latest or order.index(one.stage) > order.index(latest[key].stage):
            latest[key] = one
    taken = (one for one in latest.values() if one.stage is not DisputeStage.PRE_DISPUTE and one.status not in _WITH_THE_MERCHANT)
    return sum(one.amount.minor for one in taken if one.amount.currency == currency)
