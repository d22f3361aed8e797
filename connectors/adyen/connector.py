"""Adyen as a connector: the manifest, its calls, the headers, the reading of answers and of webhooks, tied together.

Every method is pure. Not here: what any of them does in detail (the modules it names), or sending.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Final, final

from connectors.adyen import answers, notices, options, requests, settlement, testimony
from connectors.adyen.manifest import MANIFEST, NAME
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
from payorch.domain.capability import Manifest
from payorch.domain.outcome import Evidence, Source
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall
from payorch.domain.settlement import ReportItem
from payorch.domain.testimony import Testimony

_PRINTABLE: Final = re.compile(r"[!-~]+")
_ACCOUNT: Final = re.compile(r"[A-Za-z0-9_\-]{1,100}")
_ACKNOWLEDGEMENT: Final = HttpResponse(status=200, headers=(("content-type", "text/plain"),), body=b"[accepted]")


@final
class AdyenConnector:
    """Adyen's Checkout API. Credentials: `account`, the merchant account, and `api_key`, a key of it."""

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
        """Authorise a card, for capture by a call of ours. Raises NotSupported."""
        return requests.authorize(order)

    def complete(self, order: CompletionOrder) -> PreparedCall | None:
        """Submit what the redirect gave the shopper, without which nothing is authorised; None where he did not bring it."""
        return requests.complete(order)

    def fence(self, attempt: Attempt) -> PreparedCall | None:
        """Cancel by our reference. The outcome is told by TECHNICAL_CANCEL."""
        return requests.fence(attempt)

    def capture(self, order: OperationOrder) -> PreparedCall:
        """Capture part or all of what the attempt holds. Raises NotSupported."""
        return requests.capture(order)

    def void(self, order: OperationOrder) -> PreparedCall:
        """Release the hold or its rest. Raises NotSupported."""
        return requests.void(order)

    def refund(self, order: OperationOrder) -> PreparedCall:
        """Give back part or all of what was captured. Raises NotSupported."""
        return requests.refund(order)

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
        """None: Adyen has no call that reads a payment."""
        return None

    def sign_in(self, credentials: Mapping[str, str]) -> HttpRequest | None:
        """None: the API key authenticates each call."""
        return None

    def signed_in(self, response: HttpResponse, *, at: datetime) -> AccessToken | None:
        """None, as nobody signs in."""
        return None

    def request(self, call: PreparedCall, *, psp_key: str | None, credentials: Mapping[str, str]) -> HttpRequest:
        """The stored call on the wire: its method, path and body, the merchant account in front, and the headers that are never stored.

        Raises NotSupported, without naming a value, where the account or the API key or the PSP key cannot stand there.
        """
        account = credentials.get("account", "")
        if not _ACCOUNT.fullmatch(account):
            raise NotSupported("the merchant account is missing, or no name of one")
        headers = [
            ("x-api-key", _header_safe(credentials.get("api_key", ""), "the API key")),
            ("user-agent", "payorch"),
            ("accept", "application/json"),
            # Compression would hide an answer's size from the cap on it, and a decompression bomb from everybody.
        ]
        if call.content_type is not None:
            headers.append(("content-type", call.content_type))
        if psp_key is not None:
            if len(psp_key) > MANIFEST.key_max_length:
                raise NotSupported(f"a key has at most {MANIFEST.key_max_length} characters")
            headers.append(("idempotency-key", _header_safe(psp_key, "the PSP key")))
        return HttpRequest(method=call.method, path=call.path, headers=tuple(headers), body=requests.with_account(call, account))

    def read(self, subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
        """What Adyen's answer to `call` says about the subject. Never raises on any bytes."""
        return answers.read(subject, call, response, source=source, at=at)

    @property
    def acknowledgement(self) -> HttpResponse:
        """Any 2xx tells Adyen that it need not send it again; older endpoints of Adyen's look for these words."""
        return _ACKNOWLEDGEMENT

    def certificate_wanted(self, delivery: Delivery) -> str | None:
        """None: Adyen signs with a shared key."""
        return None

    def receive(
        self, delivery: Delivery, *, secrets: tuple[str, ...], at: datetime, certificates: tuple[bytes, ...] = ()
    ) -> tuple[Notice, ...] | Forged:
        """The notices in a delivery whose every item is surely Adyen's. `secrets`: the endpoint's HMAC keys, hex. Never raises."""
        return notices.receive(delivery, secrets=secrets)

    def testify(self, content: bytes, payment: Payment, *, at: datetime) -> Testimony:
        """What a stored notification says about this payment; nothing where it is about another one. Never raises on any bytes."""
        return testimony.testify(content, payment, at=at)

    def shown(self, content: bytes) -> str:
        """A stored notification as people may see it; of what is none, its size. Never raises on any bytes."""
        return notices.shown(content)

    def settlement(self, chunks: Iterable[bytes]) -> Iterator[ReportItem]:
        """The lines of a settlement details report. Raises NotAReport before the first; nothing else on any bytes."""
        return settlement.settlement(chunks)


def _header_safe(value: str, what: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise NotSupported(f"{what} is missing or holds characters that have no place in a header")
    return value


connector: Final = AdyenConnector()
