"""What the server and the deterministic simulation ask of a PSP's dialect: one pure function per request, one for the passing of time,
one for what somebody does in the PSP's own dashboard, two that sign a webhook. And what it takes to run such a PSP beside the platform.

Not here: any dialect (`connectors/<psp>/dialect.py`), serving over HTTP (`payorch.simulators`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple, Protocol

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.bookings import Reporting, SimulatedFee
from connectors.simulator.faults import HEALTHY, Malformed, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification, Payment


class Reply(NamedTuple):
    """A request's answer and the webhooks it causes, which are already in the ledger."""

    response: HttpResponse
    webhooks: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How a simulated PSP is set up. `base_url` is where the shopper's browser finds its pages.

    api_key: the only key accepted; None accepts every well-formed test key.
    key_window_seconds: how long an idempotency key replays. search_lag_seconds: how long a new payment stays out of the search index.
    pending_seconds, late_failure_seconds: after how long a pending payment is approved, and a capture or refund fails after all.
    authorization_seconds: how long an authorisation lives. token_seconds: how long an access token does, where the PSP lends any.
    signing_key, certificates: PEM; what webhooks are signed with, and the certificate of it with those above it, where the PSP signs so.
    """

    base_url: str
    api_key: str | None = None
    key_window_seconds: float = 24 * 3600.0
    search_lag_seconds: float = 20.0
    pending_seconds: float = 3.0
    late_failure_seconds: float = 5.0
    authorization_seconds: float = 7 * 24 * 3600.0
    token_seconds: float = 9 * 3600.0
    signing_key: bytes | None = field(default=None, repr=False)
    certificates: bytes | None = field(default=None, repr=False)


class Deed(StrEnum):
    """What happens to a payment at the PSP without the platform that made it: what people do in the dashboard, and what banks do.

    EXPIRE: the hold runs out at once. DISPUTE: the shopper's bank takes the money back; INQUIRY: it only asks, as yet. The last two end the
    dispute that is open.
    """

    CAPTURE = "capture"
    CANCEL = "cancel"
    REFUND = "refund"
    EXPIRE = "expire"
    DISPUTE = "dispute"
    INQUIRY = "inquiry"
    WIN_DISPUTE = "win_dispute"
    LOSE_DISPUTE = "lose_dispute"


class NotPossible(Exception):
    """The payment does not allow that deed; the text is the PSP's. Nothing was done."""


class Dialect(Protocol):
    """One PSP's wire language over the neutral ledger."""

    def kind(self, request: HttpRequest) -> RequestKind:
        """What the request asks for: by this the fault engine chooses."""
        ...

    def idempotency_key(self, request: HttpRequest) -> str | None:
        """The key under which its answer is stored, if it has one: the caller uses it to tell that two are under way at once."""
        ...

    def handle(self, ledger: Ledger, request: HttpRequest, now: datetime, *, verdict: Verdict = HEALTHY, busy: bool = False) -> Reply:
        """Answers a request, in one ledger transaction. `busy`: a request under the same idempotency key is still being processed.

        Of the verdict it acts out what the answer's content shows (429, 500, wrong amount, malformed); hanging, resetting, refusing and
        delays are the caller's. Raises only on bugs.
        """
        ...

    def due(self, ledger: Ledger, now: datetime) -> tuple[Notification, ...]:
        """Does what the PSP does by itself up to now (late approvals and failures, expiry). Cheap when there is nothing."""
        ...

    def by_hand(
        self, ledger: Ledger, payment: Payment, deed: Deed, now: datetime, *, amount: int | None = None
    ) -> tuple[Notification, ...]:
        """Does that in the dashboard: `amount` in ISO minor units, all of it where None. Raises NotPossible."""
        ...

    def webhook_body(self, body: bytes, *, secret: str, at: datetime) -> bytes:
        """The body of a webhook as it is sent at that moment: with its signature in it, where this PSP signs there."""
        ...

    def webhook_headers(self, body: bytes, *, secret: str, at: datetime) -> tuple[tuple[str, str], ...]:
        """The headers of a webhook whose body is sent so at that moment, its signature among them, where this PSP signs there; lower-case
        names."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Simulation:
    """One simulated PSP, as it is run beside a developer's platform.

    credentials: what the platform shows it, by the names of `payorch.sections.ConnectorSettings`; it takes them and they open nothing else.
    webhook_secret: a secret of the form that this PSP's webhooks are signed with, out of random bytes. certified: webhooks are signed with
    a key that has a certificate (`Settings.signing_key`), which the platform has to be able to fetch and to trust. settlement: its reports.
    """

    dialect: Callable[[Settings], Dialect]
    credentials: Mapping[str, str] = field(repr=False)
    webhook_secret: Callable[[bytes], str]
    settlement: Reporting
    certified: bool = False

    @property
    def fees(self) -> tuple[SimulatedFee, ...]:
        """Its list prices, by which its settlement reports are made: the platform can be told them. The first that fits holds."""
        return self.settlement.terms.fees


_HTML: Final = b"<html><head><title>502 Bad Gateway</title></head><body><h1>502 Bad Gateway</h1></body></html>"


def malformed(response: HttpResponse, how: Malformed) -> HttpResponse:
    """The same answer with a body nobody can read: status and headers still claim success."""
    body = {
        Malformed.TRUNCATED: response.body[: len(response.body) * 2 // 3],
        Malformed.EMPTY: b"",
        Malformed.HTML: _HTML,
        Malformed.NOT_JSON: b"\x00\xff" + response.body[:64],
    }[how]
    return HttpResponse(status=response.status, headers=response.headers, body=body)
