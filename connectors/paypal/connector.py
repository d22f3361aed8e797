"""PayPal as a connector: the manifest, the calls and the inquiry, signing in, the headers, the reading of answers and of webhooks, tied
together.

Every method is pure. Not here: what any of them does in detail (the modules it names), or sending.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
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
from connectors.paypal import answers, notices, options, requests, settlement, signatures, testimony
from connectors.paypal.manifest import MANIFEST, NAME
from connectors.paypal.objects import decode
from payorch.domain.capability import Manifest
from payorch.domain.outcome import Evidence, Source
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall
from payorch.domain.settlement import ReportItem
from payorch.domain.testimony import Testimony

_PRINTABLE: Final = re.compile(r"[!-~]+")
_LONGEST_TOKEN: Final = 4000
_LONGEST_LIFE_SECONDS: Final = 7 * 24 * 3600
_ACKNOWLEDGEMENT: Final = HttpResponse(status=200, headers=(("content-type", "application/json"),), body=b"{}")


@final
class PaypalConnector:
    """PayPal's Orders and Payments APIs. Credentials: `account`, the client's id, and `api_key`, its secret, lend an `access_token`."""

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
        """Create one order. Raises NotSupported."""
        return requests.authorize(order)

    def complete(self, order: CompletionOrder) -> PreparedCall | None:
        """Authorise or capture an order that waits for it. None where PayPal has to be asked first, or the shopper gave up."""
        return requests.complete(order)

    def fence(self, attempt: Attempt) -> PreparedCall | None:
        """None: PayPal cancels nothing by a reference of ours."""
        return None

    def capture(self, order: OperationOrder) -> PreparedCall:
        """Capture part or all of what the attempt holds. Raises NotSupported."""
        return requests.capture(order)

    def void(self, order: OperationOrder) -> PreparedCall:
        """Release the hold or its rest. Raises NotSupported, also for an order that waits for the shopper."""
        return requests.void(order)

    def refund(self, order: OperationOrder) -> PreparedCall:
        """Give back part or all of one capture. Raises NotSupported."""
        return requests.refund(order)

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
        """A call that only reads what became of the subject; None where PayPal's own id is needed and not known."""
        return requests.inquire(subject, attempt)

    def sign_in(self, credentials: Mapping[str, str]) -> HttpRequest | None:
        """Lends an access token for the client's id and secret. Raises NotSupported, without naming a value, where they cannot be sent."""
        client_id = _header_safe(credentials.get("account", ""), "the client id")
        secret = _header_safe(credentials.get("api_key", ""), "the client secret")
        if ":" in client_id:
            raise NotSupported("the client id holds a colon, which would end it")
        headers = (
            ("authorization", f"Basic {base64.b64encode(f'{client_id}:{secret}'.encode()).decode()}"),
            ("user-agent", "payorch"),
            ("accept", "application/json"),
            ("content-type", "application/x-www-form-urlencoded"),
        )
        return HttpRequest(method="POST", path="/v1/oauth2/token", headers=headers, body=b"grant_type=client_credentials")

    def signed_in(self, response: HttpResponse, *, at: datetime) -> AccessToken | None:
        """The token in the answer to `sign_in`, good until it says; None where there is none. Never raises on any bytes."""
        data = decode(response.body) or {}
        token, seconds, kind = data.get("access_token"), data.get("expires_in"), data.get("token_type")
        if response.status != 200 or not isinstance(token, str) or len(token) > _LONGEST_TOKEN or not _PRINTABLE.fullmatch(token):
            return None
        # `type is`, because JSON's true is a bool and bool is an int.
        if type(seconds) is not int or seconds <= 0 or not isinstance(kind, str) or kind.lower() != "bearer":
            return None
        return AccessToken(value=token, expires_at=at + timedelta(seconds=min(seconds, _LONGEST_LIFE_SECONDS)))

    def request(self, call: PreparedCall, *, psp_key: str | None, credentials: Mapping[str, str]) -> HttpRequest:
        """The stored call on the wire: its method, path and body as they are, and the headers that are never stored.

        Raises NotSupported, without naming a value, where the access token or the PSP key cannot stand in a header.
        """
        token = credentials.get("access_token", "")
        headers = [
            ("authorization", f"Bearer {_header_safe(token, 'the access token')}"),
            ("user-agent", "payorch"),
            ("accept", "application/json"),
            # Compression would hide an answer's size from the cap on it, and a decompression bomb from everybody.
        ]
        if call.content_type is not None:
            headers.append(("content-type", call.content_type))
        if call.method == "POST":
            # By default PayPal shows the id and status only: neither amounts nor what was made of the order.
            headers.append(("prefer", "return=representation"))
            if psp_key is not None:
                if len(psp_key) > MANIFEST.key_max_length:
                    raise NotSupported(f"a key has at most {MANIFEST.key_max_length} characters")
                headers.append(("paypal-request-id", _header_safe(psp_key, "the PSP key")))
        return HttpRequest(method=call.method, path=call.path, headers=tuple(headers), body=call.body.encode())

    def read(self, subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
        """What PayPal's answer to `call` says about the subject. Never raises on any bytes."""
        return answers.read(subject, call, response, source=source, at=at)

    @property
    def acknowledgement(self) -> HttpResponse:
        """Any 2xx tells PayPal that it need not send the event again."""
        return _ACKNOWLEDGEMENT

    def certificate_wanted(self, delivery: Delivery) -> str | None:
        """The address of the certificate that signed the delivery, as it says; None where it names none, or two. Never raises."""
        return signatures.certificate_wanted(delivery)

    def receive(
        self, delivery: Delivery, *, secrets: tuple[str, ...], at: datetime, certificates: tuple[bytes, ...] = ()
    ) -> tuple[Notice, ...] | Forged:
        """The one event in a delivery that is surely PayPal's. `secrets`: the ids of our webhooks. Never raises."""
        problem = signatures.forged(delivery, secrets=secrets, at=at, certificates=certificates)
        return problem or (notices.notice(delivery.body),)

    def testify(self, content: bytes, payment: Payment, *, at: datetime) -> Testimony:
        """What a stored event makes worth asking about this payment; nothing where it is about another one. Never raises on any bytes."""
        return testimony.testify(content, payment, at=at)

    def shown(self, content: bytes) -> str:
        """A stored event as people may see it; of what is no event, its size. Never raises on any bytes."""
        return notices.shown(content)

    def settlement(self, chunks: Iterable[bytes]) -> Iterator[ReportItem]:
        """The lines of a settlement report (STL). Raises NotAReport before the first; nothing else on any bytes."""
        return settlement.settlement(chunks)


def _header_safe(value: str, what: str) -> str:
    if not _PRINTABLE.fullmatch(value):
        raise NotSupported(f"{what} is missing or holds characters that have no place in a header")
    return value


connector: Final = PaypalConnector()
