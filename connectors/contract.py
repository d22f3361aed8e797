"""The narrow contract between payorch and one PSP: pure translation, no I/O, no clock, no secrets kept.

A connector turns what the domain wants into a `PreparedCall` (stored, byte for byte, before anything is sent), turns a stored call into an
`HttpRequest` at the moment of sending (adding authentication and the PSP's idempotency header, which are never stored), and turns the
PSP's `HttpResponse` into `Evidence`. What a PSP posts to us it takes apart in two steps: `receive` says whether the bytes are the PSP's and
which notices are in them, so that they can be stored and acknowledged, and `testify` says later what a stored notice means for the payment
that it is about. The PSP's settlement reports it reads line by line into the domain's records. What a connector can do is its manifest:
data, not methods that raise.

Not here: sending (the connector actor), retrying, choosing between connectors; storing notices and finding their payments (the inbox).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from payorch.domain.capability import Manifest
from payorch.domain.intent import Intent
from payorch.domain.money import Money
from payorch.domain.outcome import Evidence, Source
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall
from payorch.domain.settlement import ReportItem
from payorch.domain.testimony import Testimony


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpRequest:
    """One request as it goes on the wire. `path` starts with a slash and holds the query; header names are lower-case."""

    method: str
    path: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpResponse:
    """One whole answer; header names are lower-case."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes = field(repr=False)

    def header(self, name: str) -> str | None:
        """The first value of that header (lower-case name), or None."""
        return next((value for key, value in self.headers if key == name), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthorizeOrder:
    """All that a connector may know to build an authorisation. `return_url` is payorch's own, already signed for this attempt."""

    attempt_id: str
    payment_id: str
    intent: Intent
    return_url: str
    step_up: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CompletionOrder:
    """What finishes an attempt at whose action the shopper has done his part, where that takes a call of ours.

    returned: what his browser brought back in the query of the return URL, first value of each name. It is nobody's word: a connector may
    hand the PSP's own tokens back to the PSP, and decides nothing by it. Empty where the PSP told us itself that the shopper is done.
    """

    payment_id: str
    attempt: Attempt
    intent: Intent
    returned: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationOrder:
    """A capture, void or refund of what `attempt` holds. `amount` is None for a void; `final` releases what a capture leaves.

    capture: of a refund, the capture whose money it gives back, the one of which most is left; None where the attempt took the money by
    itself. Where a manifest says `refunds_by_capture` it is never asked for more than is left of that.
    """

    operation_id: str
    payment_id: str
    attempt: Attempt
    options: Mapping[str, object] = field(default_factory=dict)  # the payment's own for this connector, checked
    leaves_minor: int = 0  # of a capture: what of the hold is then neither captured nor asked for
    amount: Money | None
    final: bool = True
    reason: str | None = None
    capture: Operation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessToken:
    """What a PSP lends us for a while to authenticate calls with. Only the connector actor holds it, in memory."""

    value: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """A webhook as it came in: the body byte for byte, since signatures are over bytes, and its headers (lower-case names)."""

    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)

    def all(self, name: str) -> list[str]:
        """Every value of that header (lower-case name), in order: a second signature must not hide behind the first."""
        return [value for key, value in self.headers if key == name]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """One thing that a PSP told, out of a delivery that is surely the PSP's: what is stored, once.

    identity: by which the PSP itself tells its events apart (with the account, where it has several); None where it has nothing of the
    kind, and the bytes are the identity. kind: the PSP's word for the event. psp_references: the PSP's ids of the payment and the operation
    it is about, the most telling first; our_references: the ids of ours that it reports back, well-formed ones only. content: the item's
    bytes, which `testify` reads. relevant: False where it is about nothing that a payment keeps (a payout, a customer). problem: in words,
    why the item cannot be understood although it is genuine; None where it can.
    """

    identity: str | None
    kind: str
    content: bytes = field(repr=False)
    psp_references: tuple[str, ...] = ()
    our_references: tuple[str, ...] = ()
    occurred_at: datetime | None = None
    relevant: bool = True
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Forged:
    """Not the PSP's, or outside of the time in which such a delivery is taken. `reason` in our words: nothing of what was sent."""

    reason: str


class NotSupported(Exception):
    """This connector cannot build that call: routing and legality should have known. Nothing was sent."""


class Connector(Protocol):
    """One PSP. Every method is pure; `at` and credentials come from the caller."""

    @property
    def name(self) -> str: ...

    @property
    def manifest(self) -> Manifest: ...

    def check_options(self, given: Mapping[str, object]) -> list[str]:
        """What is wrong with a merchant's `connector_options` for this connector, in words; empty where nothing is."""
        ...

    def authorize(self, order: AuthorizeOrder) -> PreparedCall:
        """The call that authorises (and, for automatic capture, captures) one attempt."""
        ...

    def complete(self, order: CompletionOrder) -> PreparedCall | None:
        """The call that finishes an attempt after the shopper's action, under a PSP key of its own; None where the PSP needs none, or where
        what it takes did not come back with the shopper.
        """
        ...

    def fence(self, attempt: Attempt) -> PreparedCall | None:
        """The call that, by our reference alone, keeps an attempt of unknown outcome from ever holding money and gives back what it may
        hold; None where the PSP has none. What came of it the PSP tells by a notice: the answer itself proves nothing.
        """
        ...

    def capture(self, order: OperationOrder) -> PreparedCall: ...

    def void(self, order: OperationOrder) -> PreparedCall: ...

    def refund(self, order: OperationOrder) -> PreparedCall: ...

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
        """A call that only reads what became of the subject (`attempt` is the one it belongs to); None where the PSP cannot be asked."""
        ...

    def sign_in(self, credentials: Mapping[str, str]) -> HttpRequest | None:
        """The request that gets an access token for these credentials; None where calls are authenticated by the credentials themselves."""
        ...

    def signed_in(self, response: HttpResponse, *, at: datetime) -> AccessToken | None:
        """The token in the answer to `sign_in`; None where there is none in it. Never raises on any bytes."""
        ...

    def request(self, call: PreparedCall, *, psp_key: str | None, credentials: Mapping[str, str]) -> HttpRequest:
        """The stored call as it goes on the wire, with authentication, version and idempotency headers.

        `credentials` hold an `access_token` beside the rest where `sign_in` is needed.
        """
        ...

    def read(self, subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
        """What the PSP's answer to `call` says about the subject.

        `source` tells an answer to the first sending (RESPONSE) from one to the same bytes again (REPLAY), from one to `inquire` (INQUIRY),
        and from one to `fence` (FENCE), of which only the request id and the raw text are kept. `Evidence.stored` is set where the PSP
        itself says of an answer of the first two kinds that it had kept it under the key. Never raises on any bytes: what cannot be
        understood is Unknown.
        """
        ...

    @property
    def acknowledgement(self) -> HttpResponse:
        """What the PSP is answered once its delivery is durable."""
        ...

    def certificate_wanted(self, delivery: Delivery) -> str | None:
        """The address of the certificates that a delivery's signature has to be checked with, as the delivery names it: whether it is one
        that may be fetched is for the caller's configuration to say. None where the PSP signs without certificates. Never raises.
        """
        ...

    def receive(
        self, delivery: Delivery, *, secrets: tuple[str, ...], at: datetime, certificates: tuple[bytes, ...] = ()
    ) -> tuple[Notice, ...] | Forged:
        """The notices in a delivery, each with a signature of its own where the PSP signs items. `secrets`: all that are valid now.
        `certificates`: the PSP's own first, DER, whose chain to a trust anchor, names and times the caller has verified.

        Never raises on any bytes or headers. Whatever is not surely signed with one of the secrets, or by the certificate, is Forged; so is
        everything where there is no secret.
        """
        ...

    def testify(self, content: bytes, payment: Payment, *, at: datetime) -> Testimony:
        """What a stored notice says about this payment, in the order in which it is to be weighed. Only what is signed decides anything.

        Evidence is of Source.WEBHOOK and has `at`. A notice shows a moment that may be long past: what it says can be implied by now, and
        an absence is never said. Never raises on any bytes.
        """
        ...

    def shown(self, content: bytes) -> str:
        """A notice's bytes as people may see them, JSON text: what is on the PSP's list, and nothing else. Never raises on any bytes."""
        ...

    def settlement(self, chunks: Iterable[bytes]) -> Iterator[ReportItem]:
        """The lines of a settlement report and what it states of itself, in the order of the file, of which no more is held than a line.

        chunks: the file's bytes, cut anywhere. A line that cannot be understood is a BadRow, and so is the rest of a file that breaks off
        in the middle of a line. Columns are found by the names in the header, in any order; those that are not known are passed over.
        Raises NotAReport, before the first item, for bytes that are no report of this PSP's; nothing else on any bytes.
        """
        ...
