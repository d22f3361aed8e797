"""Stripe as a connector: the manifest, the four calls and the inquiry, the headers, the reading of answers and of webhooks, tied together.

Every method is pure. Not here: what any of them does in detail (the modules it names), or sending.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, final

from connectors.contract import (
    AccessToken,
    AuthorizeOrder,
    CompletionOrder,
    Delivery,
    Forged,
    HttpRequest,
    HttpResponse,
    Notice,
    NotSupported,
    OperationOrder,
)
from connectors.stripe import answers, notices, options, requests, settlement, signatures, testimony
from connectors.stripe.manifest import API_VERSION, MANIFEST, NAME
from payorch.domain.capability import Manifest
from payorch.domain.outcome import Evidence, Source
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall
from payorch.domain.settlement import ReportItem
from payorch.domain.testimony import Testimony

_PRINTABLE: Final = re.compile(r"[!-~]+")
_ACKNOWLEDGEMENT: Final = HttpResponse(status=200, headers=(("content-type", "application/json"),), body=b'{"received":true}')


@final
class StripeConnector:
    """Stripe's PaymentIntents API. Credentials: `api_key`, a secret or restricted key."""

    @property
    def name(self) -> str:
        return NAME

    @property
    def manifest(self) -> Manifest:
        return MANIFEST

    def check_options(self, given: Mapping[str, object]) -> list[str]:
        """What is wrong with a payment's `connector_options` for this connector, one sentence each; empty where nothing is."""
        return options.check_options(given)

    def authorize(self, order: AuthorizeOrder) -> PreparedCall:
        """Create and confirm one PaymentIntent. Raises NotSupported."""
        return requests.authorize(order)

    def complete(self, order: CompletionOrder) -> PreparedCall | None:
        """None: a PaymentIntent that we confirmed is finished by the shopper himself."""
        return None

    def fence(self, attempt: Attempt) -> PreparedCall | None:
        """None: Stripe cancels by its own id only."""
        return None

    def capture(self, order: OperationOrder) -> PreparedCall:
        """Capture part or all of what the attempt holds. Raises NotSupported."""
        return requests.capture(order)

    def void(self, order: OperationOrder) -> PreparedCall:
        """Release the hold or its rest, or close an open shopper action. Raises NotSupported."""
        return requests.void(order)

    def refund(self, order: OperationOrder) -> PreparedCall:
        """Give back part or all of what was captured. Raises NotSupported."""
        return requests.refund(order)

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
        """A call that only reads what became of the subject; None where Stripe's own id is needed and not known."""
        return requests.inquire(subject, attempt)

    def sign_in(self, credentials: Mapping[str, str]) -> HttpRequest | None:
        """None: the API key authenticates each call."""
        return None

    def signed_in(self, response: HttpResponse, *, at: datetime) -> AccessToken | None:
        """None, as nobody signs in."""
        return None

    def request(self, call: PreparedCall, *, psp_key: str | None, credentials: Mapping[str, str]) -> HttpRequest:
        """The stored call on the wire: its method, path and body as they are, and the headers that are never stored.

        Raises NotSupported, without naming a value, where the API key or the PSP key cannot stand in a header.
        """
        api_key = credentials.get("api_key", "")
        headers = [
            ("authorization", f"Bearer {_header_safe(api_key, 'the API key')}"),
            ("stripe-version", API_VERSION),
            ("user-agent", "payorch"),
            ("accept", "application/json"),
            # Compression would hide an answer's size from the cap on it, and a decompression bomb from everybody.
        ]
        if call.content_type is not None:
            headers.append(("content-type", call.content_type))
        if call.method == "POST" and psp_key is not None:
            if len(psp_key) > MANIFEST.key_max_length:
                raise NotSupported(f"a key has at most {MANIFEST.key_max_length} characters")
            headers.append(("idempotency-key", _header_safe(psp_key, "the PSP key")))
        return HttpRequest(method=call.method, path=call.path, headers=tuple(headers), body=call.body.encode())

    def read(self, subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
        """What Stripe's answer to `call` says about the subject. Never raises on any bytes."""
        return answers.read(subject, call, response, source=source, at=at)

    @property
    def acknowledgement(self) -> HttpResponse:
        """Any 2xx tells Stripe that it need not send the event again."""
        return _ACKNOWLEDGEMENT

    def certificate_wanted(self, delivery: Delivery) -> str | None:
        """None: Stripe signs with a shared secret."""
        return None

    def receive(
        self, delivery: Delivery, *, secrets: tuple[str, ...], at: datetime, certificates: tuple[bytes, ...] = ()
    ) -> tuple[Notice, ...] | Forged:
        """The one event in a delivery that is surely Stripe's. `secrets`: the endpoint's, each the whole `whsec_...`. Never raises."""
        return signatures.forged(delivery, secrets=secrets, at=at) or (notices.notice(delivery.body),)

    def testify(self, content: bytes, payment: Payment, *, at: datetime) -> Testimony:
        """What a stored event says about this payment; nothing where it is about another one. Never raises on any bytes."""
        return testimony.testify(content, payment, at=at)

    def shown(self, content: bytes) -> str:
        """A stored event as people may see it; of what is no event, its size. Never raises on any bytes."""
        return notices.shown(content)

    def settlement(self, chunks: Iterable[bytes]) -> Iterator[ReportItem]:
        """The lines of a payout reconciliation report, itemised. Raises NotAReport before the first; nothing else on any bytes."""
        return settlement.settlement(chunks)


def _header_safe(value: str, what: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise NotSupported(f"{what} is missing or holds characters that have no place in a header")
    return value


connector: Final = StripeConnector()
