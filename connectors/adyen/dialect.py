"""Adyen's side of the wire: `(ledger, HttpRequest, now) -> (HttpResponse, webhooks)`, pure, for simulations and the simulator server.

In the order of the real thing: authentication, rate limit, idempotency, fields, execution, storing the answer. Endpoints are in
`dialect_endpoints`; what they do in `dialect_payments`; the shopper's page in `dialect_shopper`; what happens without a request in
`dialect_time`, `dialect_dashboard` and `dialect_disputes`.

    401, 403, 429, 409, 5xx       answered, not stored under the idempotency key
    what an endpoint answered     stored, refused messages (422) too, and replayed until the key's window is over, whatever is sent with it

A capture, cancel or refund is answered "received"; what came of it only its notification says. Not here: HTTP itself, waiting, breaking
connections (`payorch.simulators`), sending webhooks (`connectors.simulator.webhooks`).
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, final

import msgspec
from msgspec.json import decode, encode

from connectors.adyen import dialect_dashboard, dialect_endpoints, dialect_time
from connectors.adyen.dialect_body import Body
from connectors.adyen.dialect_call import Call
from connectors.adyen.dialect_errors import Refused, broken, in_progress, invalid, too_many, unauthorized
from connectors.adyen.dialect_shopper import SHOPPER_PATH, answer_shopper, show_challenge
from connectors.adyen.dialect_signing import signed
from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.dialect import Deed, Reply, Settings, malformed
from connectors.simulator.faults import HEALTHY, After, Before, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification, Payment, StoredAnswer

NAME: Final = "adyen"
LONGEST_KEY: Final = 64
KEY_WINDOW: Final = timedelta(days=7)
"""How long Adyen replays, at least. `Settings.key_window_seconds` is shorter by default and counts where it is longer."""
_KEY_HEADER: Final = "idempotency-key"
_STORED: Final = "key:"
_VERSIONS: Final = re.compile(r"/(?:checkout/)?v(?:69|7[0-9])/")
_TEST_KEY: Final = re.compile(r"(?:AQE|test_)[!-~]{4,500}")
_TEST_USER: Final = re.compile(r"ws[_@][!-~]{1,100}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route: its kind for the fault engine, its fields, and what it does with a call, a body and the reference in the path."""

    kind: RequestKind
    known: frozenset[str]
    run: Callable[..., dialect_endpoints.Answer]


_E: Final = dialect_endpoints
_K: Final = RequestKind
# The path behind the version, `*` for a PSP reference. All are POST.
_ROUTES: Final[Mapping[tuple[str, ...], Endpoint]] = {
    ("payments",): Endpoint(kind=_K.AUTHORIZE, known=_E.PAYMENT, run=_E.pay),
    ("payments", "details"): Endpoint(kind=_K.AUTHORIZE, known=_E.DETAILS, run=_E.details),
    ("payments", "*", "captures"): Endpoint(kind=_K.CAPTURE, known=_E.CAPTURE, run=_E.capture),
    ("payments", "*", "cancels"): Endpoint(kind=_K.VOID, known=_E.CANCEL, run=_E.cancel),
    ("payments", "*", "refunds"): Endpoint(kind=_K.REFUND, known=_E.REFUND, run=_E.refund),
    ("payments", "*", "reversals"): Endpoint(kind=_K.OTHER, known=_E.REVERSAL, run=_E.reverse),
    ("cancels",): Endpoint(kind=_K.VOID, known=_E.STANDALONE_CANCEL, run=_E.cancel_by_reference),
}


def _route(method: str, path: str) -> tuple[Endpoint | None, tuple[str, ...]]:
    """The endpoint for a path without its query, and the reference in it."""
    version = _VERSIONS.match(path)
    if version is None or method != "POST":
        return None, ()
    parts = path[version.end() :].split("/")
    exact = _ROUTES.get(tuple(parts))
    if exact is not None or len(parts) != 3 or not parts[1]:
        return exact, ()
    return _ROUTES.get((parts[0], "*", parts[2])), (parts[1],)


@final
@dataclass(frozen=True, slots=True)
class AdyenDialect:
    """Adyen over a ledger. Holds settings only; the ledger, time and faults come with each call."""

    settings: Settings

    def kind(self, request: HttpRequest) -> RequestKind:
        """What the request asks for; OTHER for the shopper's page and for what Adyen does not know."""
        endpoint, _ = _route(request.method, request.path.partition("?")[0])
        return RequestKind.OTHER if endpoint is None else endpoint.kind

    def idempotency_key(self, request: HttpRequest) -> str | None:
        """The key of a POST, or None."""
        return _header(request, _KEY_HEADER) if request.method == "POST" else None

    def handle(self, ledger: Ledger, request: HttpRequest, now: datetime, *, verdict: Verdict = HEALTHY, busy: bool = False) -> Reply:
        """Answers a request; see `connectors.simulator.dialect.Dialect`."""
        due = self.due(ledger, now)
        path = request.path.partition("?")[0]
        if path.startswith(SHOPPER_PATH):
            reply = self._shopper(ledger, request, now, path)
        else:
            reply = self._api(ledger, request, now, path, verdict, busy)
        response = reply.response
        if verdict.after is After.WRONG_AMOUNT:
            response = _wrong_amount(response)
        if verdict.after is After.MALFORMED:
            response = malformed(response, verdict.malformed)
        return Reply(response, (*due, *reply.webhooks))

    def due(self, ledger: Ledger, now: datetime) -> tuple[Notification, ...]:
        """Does what is due by itself up to now, each step in its own transaction and at its own time."""
        webhooks: list[Notification] = []
        while (at := ledger.next_due()) is not None and at <= now:
            with ledger.transaction():
                timer = ledger.take_due(now)
                if timer is None:
                    break
                call = Call(ledger, timer.at, self.settings)
                dialect_time.happen(call, timer)
            webhooks += call.webhooks
        return tuple(webhooks)

    def by_hand(
        self, ledger: Ledger, payment: Payment, deed: Deed, now: datetime, *, amount: int | None = None
    ) -> tuple[Notification, ...]:
        """What somebody does in Adyen's Customer Area; see `connectors.simulator.dialect.Dialect`."""
        with ledger.transaction():
            call = Call(ledger, now, self.settings)
            dialect_dashboard.by_hand(call, payment, deed, amount)
        return tuple(call.webhooks)

    def webhook_body(self, body: bytes, *, secret: str, at: datetime) -> bytes:
        """With the signature of each item in it."""
        return signed(body, secret)

    def webhook_headers(self, body: bytes, *, secret: str, at: datetime) -> tuple[tuple[str, str], ...]:
        """Nothing is signed in a header."""
        return (("content-type", "application/json; charset=utf-8"), ("user-agent", "Adyen HttpClient 1.0"))

    def _shopper(self, ledger: Ledger, request: HttpRequest, now: datetime, path: str) -> Reply:
        if request.method == "GET":
            return Reply(show_challenge(ledger, path))
        with ledger.transaction():
            call = Call(ledger, now, self.settings)
            response = answer_shopper(call, request, path)
        return Reply(response, tuple(call.webhooks))

    def _api(self, ledger: Ledger, request: HttpRequest, now: datetime, path: str, verdict: Verdict, busy: bool) -> Reply:
        key = self.idempotency_key(request)
        headers = {"content-type": "application/json;charset=utf-8", "pspreference": ledger.new_id("", 16).upper()}
        if key is not None:
            headers[_KEY_HEADER] = key
        call = Call(ledger, now, self.settings)
        try:
            self._authenticate(request)
            _check_limits(verdict, key)
        except Refused as refused:
            return Reply(_refusal(refused, headers, verdict))
        with ledger.transaction():
            response = self._once(call, request, path, headers, key, verdict, busy)
        return Reply(response, tuple(call.webhooks))

    def _once(
        self, call: Call, request: HttpRequest, path: str, headers: dict[str, str], key: str | None, verdict: Verdict, busy: bool
    ) -> HttpResponse:
        """Executes a POST, or answers as before under the same key."""
        if busy:
            return _refusal(in_progress(), headers, verdict)
        if verdict.before is Before.ERROR_500:
            return _refusal(broken(), headers, verdict)
        response = None if key is None else self._replayed(call, key, headers)
        if response is None:
            response = _executed(call, request, path, headers, verdict)
            if key is not None and response.status in (200, 201, 422):
                call.ledger.store_answer(
                    StoredAnswer(
                        key=f"{_STORED}{key}",
                        fingerprint="",
                        status=response.status,
                        headers=response.headers,
                        body=response.body,
                        created_at=call.now,
                    )
                )
        # The work is done, stays done and is remembered; only this answer is an error.
        return _refusal(broken(), headers, verdict) if verdict.after is After.ERROR_500 else response

    def _replayed(self, call: Call, key: str, headers: Mapping[str, str]) -> HttpResponse | None:
        """The first answer under that key, whatever is asked with it now; None where there is none any more."""
        stored = call.ledger.answer(f"{_STORED}{key}")
        if stored is None:
            return None
        window = max(KEY_WINDOW, timedelta(seconds=self.settings.key_window_seconds))
        if call.now - stored.created_at >= window:
            call.ledger.forget_answer(stored.key)
            return None
        return HttpResponse(status=stored.status, headers=tuple({**dict(stored.headers), **headers}.items()), body=stored.body)

    def _authenticate(self, request: HttpRequest) -> None:
        given, expected = _header(request, "x-api-key"), self.settings.api_key
        if given is not None:
            known = given == expected if expected is not None else _TEST_KEY.fullmatch(given) is not None
        else:
            known = _TEST_USER.fullmatch(_user(_header(request, "authorization") or "")) is not None and expected is None
        if not known:
            raise unauthorized()


def _executed(call: Call, request: HttpRequest, path: str, headers: Mapping[str, str], verdict: Verdict) -> HttpResponse:
    try:
        endpoint, references = _route(request.method, path)
        if endpoint is None:
            raise Refused(404, "000", "Not Found", "validation")
        status, shown = endpoint.run(call, Body(request.body, endpoint.known), *references)
    except Refused as refused:
        return _refusal(refused, headers, verdict)
    return HttpResponse(status=status, headers=tuple(headers.items()), body=encode(shown))


def _check_limits(verdict: Verdict, key: str | None) -> None:
    if verdict.before is Before.RATE_LIMIT:
        raise too_many()
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        raise invalid("702", f"The idempotency key has 1 to {LONGEST_KEY} characters")  # (unverified: the code)


def _refusal(refused: Refused, headers: Mapping[str, str], verdict: Verdict) -> HttpResponse:
    more = {}
    if refused.status == 409:
        more = {"transient-error": "true"}
    if refused.status == 429 and verdict.retry_after_seconds is not None:
        more = {"retry-after": str(verdict.retry_after_seconds)}
    body = refused.body | {"pspReference": headers["pspreference"]}
    return HttpResponse(status=refused.status, headers=tuple({**headers, **more}.items()), body=encode(body))


def _user(authorization: str) -> str:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() != "basic":
        return ""
    try:
        return base64.b64decode(value, validate=True).decode().partition(":")[0]
    except (binascii.Error, UnicodeDecodeError):
        return ""


def _header(request: HttpRequest, name: str) -> str | None:
    return next((value for key, value in request.headers if key == name), None)


def _wrong_amount(response: HttpResponse) -> HttpResponse:
    """The same answer about another amount than the real one. Only what is said is wrong; the books are right."""
    try:
        shown: Any = decode(response.body)
    except msgspec.DecodeError:
        return response
    if response.status not in (200, 201) or "amount" not in shown:
        return response
    shown["amount"] = {**shown["amount"], "value": shown["amount"]["value"] + 100}
    extra = shown.get("additionalData", {})
    if "authorisedAmountValue" in extra:
        extra["authorisedAmountValue"] = str(int(extra["authorisedAmountValue"]) + 100)
    return HttpResponse(status=response.status, headers=response.headers, body=encode(shown))
