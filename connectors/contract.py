"""The narrow contract between payorch and one PSP: pure translation, no I/O, no clock, no secrets kept.

A connector turns what the domain wants into a `PreparedCall` (stored, byte for byte, before anything is sent), turns a stored call into an
`HttpRequest` at the moment of sending (adding authentication and the PSP's idempotency header, which are never stored), and turns the
PSP's `HttpResponse` into `Evidence`. What it can do is its manifest: data, not methods that raise.

Not here: sending (the connector actor), retrying, choosing between connectors.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from payorch.domain.capability import Manifest
from payorch.domain.intent import Intent
from payorch.domain.money import Money
from payorch.domain.outcome import Evidence, Source
from payorch.domain.records import Attempt, Operation, PreparedCall


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
class OperationOrder:
    """A capture, void or refund of what `attempt` holds. `amount` is None for a void; `final` releases what a capture leaves."""

    operation_id: str
    payment_id: str
    attempt: Attempt
    amount: Money | None
    final: bool = True
    reason: str | None = None
    capture: Operation | None = None


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

    def capture(self, order: OperationOrder) -> PreparedCall: ...

    def void(self, order: OperationOrder) -> PreparedCall: ...

    def refund(self, order: OperationOrder) -> PreparedCall: ...

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
        """A call that only reads what became of the subject (`attempt` is the one it belongs to); None where the PSP cannot be asked."""
        ...

    def request(self, call: PreparedCall, *, psp_key: str | None, credentials: Mapping[str, str]) -> HttpRequest:
        """The stored call as it goes on the wire, with authentication, version and idempotency headers."""
        ...

    def read(self, subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
        """What the PSP's answer to `call` says about the subject.

        `source` tells an answer to the first sending (RESPONSE) from one to the same bytes again (REPLAY) and from one to `inquire`
        (INQUIRY). Never raises on any bytes: what cannot be understood is Unknown.
        """
        ...
