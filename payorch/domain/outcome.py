"""What a PSP call came to: five outcomes, never a Boolean, and the classes of error behind them.

Two questions, in this order, never merged: can money have moved (the outcome), and, where the answer is definitive, what did they say
(the failure). Not here: how a PSP's words map to these (each connector's tables) and what a payment does about them (`payment`).

    Approved      the PSP did it
    Pending       the PSP took it and will say later, or waits for the shopper
    Declined      the issuer or the PSP said no: definitive
    NotExecuted   it surely did not happen: never sent, or refused as a message
    Unknown       it may or may not have happened: inquire, never retry under a new key, never fail over, never fail by a timer

An inquiry or a webhook can say two things more, which no answer to a call can:

    Released      a hold existed and is gone without a capture (expired or voided there)
    Absent        the PSP knows of no such thing, at this moment
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final, TypeAlias

from msgspec import Struct

from payorch.domain.money import Money


class ErrorClass(StrEnum):
    """One word for why. STATES.md has the evidence for each; `POLICY` has what follows."""

    NOT_SENT = "NOT_SENT"
    RATE_LIMITED = "RATE_LIMITED"
    UNKNOWN_OUTCOME = "UNKNOWN_OUTCOME"
    DUPLICATE_AT_PSP = "DUPLICATE_AT_PSP"
    INTEGRITY_CONFLICT = "INTEGRITY_CONFLICT"
    INVALID_REQUEST = "INVALID_REQUEST"
    CONFIGURATION = "CONFIGURATION"
    AUTHENTICATION_REQUIRED = "AUTHENTICATION_REQUIRED"
    SOFT_TRY_OTHER = "SOFT_TRY_OTHER"
    SOFT_RETRY_LATER = "SOFT_RETRY_LATER"
    FIX_DATA = "FIX_DATA"
    HARD_DECLINE = "HARD_DECLINE"
    FRAUD_BLOCKED = "FRAUD_BLOCKED"
    CUSTOMER_CANCELED = "CUSTOMER_CANCELED"
    EXPIRED = "EXPIRED"
    NO_ROUTE = "NO_ROUTE"
    ROUTER_DECLINED = "ROUTER_DECLINED"
    OPERATION_NOT_ALLOWED = "OPERATION_NOT_ALLOWED"


class Kind(StrEnum):
    """How sure and how lasting an error class is."""

    TRANSIENT = "transient"
    UNKNOWN = "unknown"
    SOFT = "soft"
    TERMINAL = "terminal"


class Policy(Struct, frozen=True, kw_only=True, gc=False):
    """What follows from an error class.

    try_other: another connector may be tried at once. counts_for_breaker: a sign of an ill PSP, not of an ill card.
    blocks_fingerprint: no connector may be tried with this card again.
    """

    kind: Kind
    try_other: bool = False
    counts_for_breaker: bool = False
    blocks_fingerprint: bool = False


POLICY: Final[dict[ErrorClass, Policy]] = {
    ErrorClass.NOT_SENT: Policy(kind=Kind.TRANSIENT, try_other=True, counts_for_breaker=True),
    ErrorClass.RATE_LIMITED: Policy(kind=Kind.TRANSIENT, try_other=True, counts_for_breaker=True),
    ErrorClass.UNKNOWN_OUTCOME: Policy(kind=Kind.UNKNOWN, counts_for_breaker=True),
    ErrorClass.DUPLICATE_AT_PSP: Policy(kind=Kind.UNKNOWN),
    ErrorClass.INTEGRITY_CONFLICT: Policy(kind=Kind.TERMINAL),
    ErrorClass.INVALID_REQUEST: Policy(kind=Kind.TERMINAL),
    ErrorClass.CONFIGURATION: Policy(kind=Kind.TERMINAL, try_other=True),
    ErrorClass.AUTHENTICATION_REQUIRED: Policy(kind=Kind.SOFT),
    ErrorClass.SOFT_TRY_OTHER: Policy(kind=Kind.SOFT, try_other=True),
    ErrorClass.SOFT_RETRY_LATER: Policy(kind=Kind.SOFT),
    ErrorClass.FIX_DATA: Policy(kind=Kind.SOFT),
    ErrorClass.HARD_DECLINE: Policy(kind=Kind.TERMINAL, blocks_fingerprint=True),
    ErrorClass.FRAUD_BLOCKED: Policy(kind=Kind.TERMINAL),
    ErrorClass.CUSTOMER_CANCELED: Policy(kind=Kind.TERMINAL),
    ErrorClass.EXPIRED: Policy(kind=Kind.TERMINAL),
    ErrorClass.NO_ROUTE: Policy(kind=Kind.TERMINAL),
    ErrorClass.ROUTER_DECLINED: Policy(kind=Kind.TERMINAL),
    ErrorClass.OPERATION_NOT_ALLOWED: Policy(kind=Kind.TERMINAL),
}


class ConnectorDetail(Struct, frozen=True, kw_only=True, gc=False):
    """What the PSP itself said: its code, its words, its HTTP status."""

    code: str | None = None
    message: str | None = None
    http_status: int | None = None


class NetworkDetail(Struct, frozen=True, kw_only=True, gc=False):
    """What the card network said through the PSP: decline code and advice to merchants."""

    scheme: str | None = None
    decline_code: str | None = None
    advice_code: str | None = None


class Failure(Struct, frozen=True, kw_only=True, gc=False):
    """Why not, in three layers: ours (class, code, message), the connector's, the network's. Shown to merchants; holds no secrets."""

    error_class: ErrorClass
    code: str
    message: str
    connector: ConnectorDetail | None = None
    network: NetworkDetail | None = None


class NextAction(Struct, frozen=True, kw_only=True, gc=False):
    """What the shopper has to do: open `url` with `method` (and `fields` as a form, where it is a POST)."""

    url: str
    method: str = "GET"
    fields: tuple[tuple[str, str], ...] = ()


class Approved(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The PSP did what was asked. For an authorisation, `captured` tells a charge from a hold."""

    captured: bool = False


class Pending(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The PSP took it under its own id and will say later; with `action`, after the shopper has done something.

    ready: the shopper has done his part, and the PSP waits for the call of ours that finishes it (a connector's `complete`).
    """

    action: NextAction | None = None
    ready: bool = False


class Declined(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Definitive: no money moved and none will under this attempt or operation."""

    failure: Failure


class NotExecuted(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Surely no effect. `sent`: the PSP refused the message (REJECTED); otherwise not one byte of it was written (NOT_SENT)."""

    failure: Failure
    sent: bool


class Unknown(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """Nobody can say yet. Not an error, and never a failure."""

    failure: Failure


class Released(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The hold is gone without a capture. `expired`: by itself; otherwise somebody voided it."""

    expired: bool


class Absent(Struct, frozen=True, kw_only=True, gc=False, tag=True):
    """The PSP knows of no such thing now. Alone this proves nothing: `proof` says when absence counts."""


Outcome: TypeAlias = Approved | Pending | Declined | NotExecuted | Unknown
Finding: TypeAlias = Outcome | Released | Absent


class Source(StrEnum):
    """Who says so."""

    RESPONSE = "response"  # the answer to our call
    REPLAY = "replay"  # the answer to the same bytes under the same PSP key
    INQUIRY = "inquiry"  # a status lookup
    FENCE = "fence"  # the answer to an order that fences an attempt off: it proves nothing
    WEBHOOK = "webhook"
    SETTLEMENT = "settlement"
    RESTART = "restart"  # found without an answer when the process came back
    PERSON = "person"


TOLD: Final = frozenset({Source.WEBHOOK, Source.SETTLEMENT})
"""What a PSP says without having been asked: no look of ours, so it takes no step of a search."""


class GivenBack(Struct, frozen=True, kw_only=True, gc=False):
    """One refund as a PSP lists it, whoever made it. `our_reference`: the operation id it reports back, None where it has none of ours."""

    psp_reference: str
    amount: Money
    finding: Finding
    our_reference: str | None = None


class Evidence(Struct, frozen=True, kw_only=True, gc=False):
    """One statement about one attempt or operation: what was found, who says so, and what else it said.

    amount: of the subject. captured, refunded: totals of the payment in the PSP's answer, None where it does not say. refunds: every
    refund of that payment there is at the PSP, None where the answer does not list them all. `our_reference`: the attempt or operation id
    the PSP reports back. `raw`: its redacted answer, JSON text. `latency_ms`: of the call, where there was one.
    `retry_after`: before which the PSP does not want such a call again, where it said so. `money_reference`: the PSP's id of what holds or
    took an attempt's money, where it has one apart from that of the payment (an authorization or capture within an order). `stored`: the
    PSP says that it has kept this answer under our key since an earlier sending and only gives it again. Only of an answer to a call of
    ours that moves something.
    """

    source: Source
    finding: Finding
    at: datetime
    psp_reference: str | None = None
    our_reference: str | None = None
    amount: Money | None = None
    captured: Money | None = None
    refunded: Money | None = None
    refunds: tuple[GivenBack, ...] | None = None
    expires_at: datetime | None = None
    psp_request_id: str | None = None
    latency_ms: int | None = None
    retry_after: datetime | None = None
    raw: str | None = None
    money_reference: str | None = None
    stored: bool = False

    @property
    def repeats_error(self) -> bool:
        """Whether the PSP gives a server error again that it keeps under our key, as it will for as long as the key lives. It is there to
        say so, nothing was executed just now, and what became of the first sending is as unknown as before.
        """
        if not self.stored or not isinstance(self.finding, Unknown):
            return False
        detail = self.finding.failure.connector
        return detail is not None and (detail.http_status or 0) >= 500
