"""Disputes: a shopper's bank takes money back. Records with a small machine of their own, children of their payment. Pure.

Each stage of a dispute is a record. A PSP's notices may come late, twice or in any order, so a status only goes on, and what is over does
not begin again. Of two words of the same standing the later one counts, by the PSP's own clock, not by when it came. That a dispute was
decided the other way is such a later word: it is taken, and people hear of it.

Nothing about a dispute moves the payment's state, and recording one is legal at any time: what we learn is never forbidden.

Not here: how a PSP names stages (each connector), which event a report becomes (`testimony`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.money import Money
from payorch.domain.outcome import Source


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


_STAGES: Final = tuple(DisputeStage)
_S = DisputeStatus
DISPUTE_EDGES: Final[Mapping[DisputeStatus, frozenset[DisputeStatus]]] = {
    _S.OPENED: frozenset(_S) - {_S.OPENED},
    _S.CHALLENGED: frozenset({_S.ACCEPTED, _S.EXPIRED, _S.CANCELLED, _S.WON, _S.LOST}),
    # Given up or let pass, it has an end all the same, and the end says who has the money.
    _S.ACCEPTED: frozenset({_S.CANCELLED, _S.WON, _S.LOST}),
    _S.EXPIRED: frozenset({_S.CANCELLED, _S.WON, _S.LOST}),
    # The other way round, in a later word.
    _S.CANCELLED: frozenset({_S.LOST}),
    _S.WON: frozenset({_S.LOST}),
    _S.LOST: frozenset({_S.CANCELLED, _S.WON}),
}
"""status -> those that may follow. Total."""
WITH_THE_MERCHANT: Final = frozenset({_S.CANCELLED, _S.WON})
ENDED: Final = WITH_THE_MERCHANT | {_S.LOST}
"""Those that say for good who has the money."""


class DisputeReport(Struct, frozen=True, kw_only=True, gc=False):
    """A stage of a dispute as a PSP tells of it.

    attempt_id: whose charge is disputed. amount: not below zero. at: when it was so, by the PSP's clock.
    raw: the redacted notice, or line of a report, JSON text. source: which of the two it was.
    """

    attempt_id: str
    psp_reference: str
    stage: DisputeStage
    status: DisputeStatus
    amount: Money
    at: datetime
    reason: str | None = None
    respond_by: datetime | None = None
    raw: str | None = None
    source: Source = Source.WEBHOOK


class Dispute(Struct, frozen=True, kw_only=True, gc=False):
    """One stage of one dispute of what an attempt took. The PSP knows the dispute by `psp_reference`.

    told_at: by the PSP's clock, when it was as it is here.
    """

    id: str
    attempt_id: str
    psp_reference: str
    stage: DisputeStage
    status: DisputeStatus
    amount: Money
    created_at: datetime
    updated_at: datetime
    told_at: datetime | None = None
    reason: str | None = None
    respond_by: datetime | None = None

    def told(self, report: DisputeReport) -> Dispute:
        """The dispute as this report leaves it: itself where the report says nothing new, or is of a time before."""
        status = report.status
        later = self.told_at is None or report.at > self.told_at
        if status is not self.status:
            if status not in DISPUTE_EDGES[self.status] or (self.decided_otherwise(report) and not later):
                return self
        elif not later:
            return self
        # A record stays in the currency that it began in: the sums of its payment are in that one.
        amount = report.amount if report.amount.currency == self.amount.currency else self.amount
        changed = replace(
            self, status=status, amount=amount, reason=report.reason or self.reason, respond_by=report.respond_by or self.respond_by
        )
        return self if changed == self else replace(changed, told_at=report.at if later else self.told_at)

    def decided_otherwise(self, report: DisputeReport) -> bool:
        """Whether the report says of what has an end that it ended the other way: that somebody else has the money."""
        both = {self.status, report.status}
        return both <= ENDED and len(both & WITH_THE_MERCHANT) == 1


def disputed_minor(disputes: Iterable[Dispute], captured: Money) -> int:
    """Minor units of what was captured that are not the merchant's to refund: of open and lost disputes, each by its latest stage.

    A warning takes nothing. A dispute in another currency takes all: nobody here can say how much of ours that is.
    """
    taken = taking(disputes)
    return sum(one.amount.minor if one.amount.currency == captured.currency else captured.minor for one in taken)


def taking(disputes: Iterable[Dispute]) -> list[Dispute]:
    """Those that have taken money and not given it back: of each dispute the latest stage, where that is open or lost and no warning."""
    latest: dict[tuple[str, str], Dispute] = {}
    for one in disputes:
        key = (one.attempt_id, one.psp_reference)
        if key not in latest or _STAGES.index(one.stage) > _STAGES.index(latest[key].stage):
            latest[key] = one
    return [one for one in latest.values() if one.stage is not DisputeStage.PRE_DISPUTE and one.status not in WITH_THE_MERCHANT]
