"""PayPal's side of the wire: `(ledger, HttpRequest, now) -> (HttpResponse, webhooks)`, pure, for simulations and the simulator server.

In the order of the real thing: access token, rate limit, idempotency, parameters, execution. What was done under a PayPal-Request-Id is
done once; a repeat is answered with the latest status of what it made, and not with what was answered then. What was refused made nothing,
so a repeat of it is tried anew.

    /v1/oauth2/token            `dialect_tokens`
    /v2/checkout/orders         `dialect_orders`
    /v2/payments                `dialect_operations`
    /v1/notifications           `dialect_webhooks`
    /checkoutnow                the shopper's page: `dialect_shopper`

What happens without a request is in `dialect_time` and `dialect_dashboard`. The header PayPal-Mock-Response makes an error be answered and
nothing be done, as in PayPal's sandbox.

Not here: HTTP itself, waiting, breaking connections (`payorch.simulators`), sending webhooks (`connectors.simulator.webhooks`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final, TypeAlias, final

from msgspec.json import decode, encode

from connectors.contract import HttpRequest, HttpResponse
from connectors.paypal import dialect_dashboard, dialect_operations, dialect_orders, dialect_time, dialect_tokens, dialect_webhooks
from connectors.paypal.dialect_body import Body, body_of
from connectors.paypal.dialect_call import Call
from connectors.paypal.dialect_errors import NotAuthorized, Refused, no_such
from connectors.paypal.dialect_objects import minimal
from connectors.paypal.dialect_shopper import SHOPPER_PATH, answer_shopper, show_challenge
from connectors.simulator.dialect import Deed, Reply, Settings, malformed
from connectors.simulator.faults import HEALTHY, After, Before, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification, Payment, StoredAnswer

NAME: Final = "paypal"
LONGEST_KEY: Final = 108
KEY_HEADER: Final = "paypal-request-id"
ORDER_KEYS_LIVE: Final = timedelta(hours=6)
PAYMENT_KEYS_LIVE: Final = timedelta(days=45)
_MOCK_HEADER: Final = "paypal-mock-response"
_MOCKED: Final[Mapping[str, int]] = {
    "AUTHENTICATION_FAILURE": 401,
    "NOT_AUTHORIZED": 403,
    "PERMISSION_DENIED": 403,
    "RESOURCE_NOT_FOUND": 404,
    "RESOURCE_CONFLICT": 409,
    "PREVIOUS_REQUEST_IN_PROGRESS": 409,
    "RATE_LIMIT_REACHED": 429,
    "INTERNAL_SERVER_ERROR": 500,
    "INTERNAL_SERVICE_ERROR": 500,
    "SERVICE_UNAVAILABLE": 503,
    "INVALID_REQUEST": 400,
    "MISSING_REQUIRED_PARAMETER": 400,
    "INVALID_PARAMETER_VALUE": 400,
}
"""An application code that PayPal-Mock-Response may name -> the status it is answered with; every other one is an issue of a 422."""

Shown: TypeAlias = dict[str, Any]
Found: TypeAlias = Callable[[Call, str], Shown]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route: its kind for the fault engine, and what it does with a call, a body and the id in the path.

    status: of its answer. shows: where it changes something, how its result is shown again; None for what only reads.
    keys_live: how long it knows a PayPal-Request-Id.
    """

    kind: RequestKind
    run: Callable[[Call, Body, str], str]
    shows: Found
    status: int = 200
    keys_live: timedelta = PAYMENT_KEYS_LIVE


def _shown_order(call: Call, id: str) -> Shown:
    return dialect_orders.show(call, dialect_orders.find(call, id))


def _shown_authorization(call: Call, id: str) -> Shown:
    return dialect_operations.show_authorization(call, dialect_operations.find_authorization(call, id))


def _shown_capture(call: Call, id: str) -> Shown:
    return dialect_operations.show_capture(call, *dialect_operations.find_capture(call, id))


def _shown_refund(call: Call, id: str) -> Shown:
    return dialect_operations.show_refund(call, *dialect_operations.find_refund(call, id))


def _read(call: Call, body: Body, id: str) -> str:
    return id


def _create(call: Call, body: Body, id: str) -> str:
    return dialect_orders.create(call, body).id


def _complete(intent: str) -> Callable[[Call, Body, str], str]:
    def run(call: Call, body: Body, id: str) -> str:
        return dialect_orders.complete(call, dialect_orders.find(call, id), intent).id

    return run


def _capture(call: Call, body: Body, id: str) -> str:
    _, it = dialect_operations.capture(call, dialect_operations.find_authorization(call, id), body)
    return str(it["id"])


def _void(call: Call, body: Body, id: str) -> str:
    dialect_operations.void(call, dialect_operations.find_authorization(call, id))
    return id


def _refund(call: Call, body: Body, id: str) -> str:
    return dialect_operations.refund(call, *dialect_operations.find_capture(call, id), body).id


_K: Final = RequestKind
# Method and path, `*` for an id.
_ROUTES: Final[Mapping[tuple[str, ...], Endpoint]] = {
    ("POST", "checkout", "orders"): Endpoint(kind=_K.AUTHORIZE, run=_create, shows=_shown_order, status=201, keys_live=ORDER_KEYS_LIVE),
    ("GET", "checkout", "orders", "*"): Endpoint(kind=_K.INQUIRE, run=_read, shows=_shown_order),
    ("POST", "checkout", "orders", "*", "authorize"): Endpoint(
        kind=_K.AUTHORIZE, run=_complete("AUTHORIZE"), shows=_shown_order, status=201, keys_live=ORDER_KEYS_LIVE
    ),
    ("POST", "checkout", "orders", "*", "capture"): Endpoint(
        kind=_K.AUTHORIZE, run=_complete("CAPTURE"), shows=_shown_order, status=201, keys_live=ORDER_KEYS_LIVE
    ),
    ("GET", "payments", "authorizations", "*"): Endpoint(kind=_K.INQUIRE, run=_read, shows=_shown_authorization),
    ("POST", "payments", "authorizations", "*", "capture"): Endpoint(kind=_K.CAPTURE, run=_capture, shows=_shown_capture, status=201),
    ("POST", "payments", "authorizations", "*", "void"): Endpoint(kind=_K.VOID, run=_void, shows=_shown_authorization),
    ("GET", "payments", "captures", "*"): Endpoint(kind=_K.INQUIRE, run=_read, shows=_shown_capture),
    ("POST", "payments", "captures", "*", "refund"): Endpoint(kind=_K.REFUND, run=_refund, shows=_shown_refund, status=201),
    ("GET", "payments", "refunds", "*"): Endpoint(kind=_K.INQUIRE, run=_read, shows=_shown_refund),
}


def _route(method: str, path: str) -> tuple[Endpoint | None, str]:
    """The endpoint for a path without its query, and the id in it."""
    if not path.startswith("/v2/"):
        return None, ""
    parts = path[4:].split("/")
    if len(parts) > 2 and parts[2]:
        return _ROUTES.get((method, *parts[:2], "*", *parts[3:])), parts[2]
    return _ROUTES.get((method, *parts)), ""


@final
@dataclass(frozen=True, slots=True)
class PaypalDialect:
    """PayPal over a ledger. Holds settings only; the ledger, time and faults come with each call."""

    settings: Settings

    def kind(self, request: HttpRequest) -> RequestKind:
        """What the request asks for; OTHER for tokens, webhooks, the shopper's page and what PayPal does not know."""
        endpoint, _ = _route(request.method, request.path.partition("?")[0])
        return RequestKind.OTHER if endpoint is None else endpoint.kind

    def idempotency_key(self, request: HttpRequest) -> str | None:
        """The key of a POST together with what it is for, since PayPal keeps them apart by call; or None."""
        key = _header(request, KEY_HEADER)
        if request.method != "POST" or key is None:
            return None
        return f"{request.path.partition('?')[0]} {key}"

    def handle(self, ledger: Ledger, request: HttpRequest, now: datetime, *, verdict: Verdict = HEALTHY, busy: bool = False) -> Reply:
        """Answers a request; see `connectors.simulator.dialect.Dialect`."""
        due = self.due(ledger, now)
        path, _, query = request.path.partition("?")
        if path == SHOPPER_PATH:
            reply = self._shopper(ledger, request, now, query)
        elif (found := dialect_webhooks.certificate(self.settings, path)) is not None and request.method == "GET":
            reply = Reply(found)
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
        """What somebody does in PayPal's dashboard; see `connectors.simulator.dialect.Dialect`."""
        with ledger.transaction():
            call = Call(ledger, now, self.settings)
            dialect_dashboard.by_hand(call, payment, deed, amount)
        return tuple(call.webhooks)

    def webhook_body(self, body: bytes, *, secret: str, at: datetime) -> bytes:
        """As it is: PayPal signs in headers."""
        return body

    def webhook_headers(self, body: bytes, *, secret: str, at: datetime) -> tuple[tuple[str, str], ...]:
        """Signed as PayPal signs; `secret` is the webhook's id. Raises ValueError where the settings have no key."""
        return dialect_webhooks.headers(self.settings, body, webhook_id=secret, at=at)

    def _shopper(self, ledger: Ledger, request: HttpRequest, now: datetime, query: str) -> Reply:
        if request.method == "GET":
            return Reply(show_challenge(ledger, query))
        with ledger.transaction():
            call = Call(ledger, now, self.settings)
            response = answer_shopper(call, request, query)
        return Reply(response, tuple(call.webhooks))

    def _api(self, ledger: Ledger, request: HttpRequest, now: datetime, path: str, verdict: Verdict, busy: bool) -> Reply:
        call = Call(ledger, now, self.settings, key=_header(request, KEY_HEADER))
        headers = {"content-type": "application/json", "cache-control": "max-age=0, no-cache, no-store, must-revalidate"}
        with ledger.transaction():
            headers["paypal-debug-id"] = ledger.new_id("f", 13).lower()
            try:
                response = self._answered(call, request, path, headers, verdict, busy)
            except NotAuthorized as refused:
                body = {"error": refused.error, "error_description": refused.description}
                response = _response(401 if refused.error in ("invalid_client", "invalid_token") else 400, body, headers)
            except Refused as refused:
                response = _refusal(refused, headers, verdict)
        return Reply(response, tuple(call.webhooks))

    def _answered(self, call: Call, request: HttpRequest, path: str, headers: dict[str, str], verdict: Verdict, busy: bool) -> HttpResponse:
        if path != dialect_tokens.TOKEN_PATH and not dialect_tokens.is_good(
            self.settings, _header(request, "authorization") or "", call.now
        ):
            raise NotAuthorized("invalid_token", "Token signature verification failed")
        if verdict.before is Before.RATE_LIMIT:
            raise Refused(429)
        if verdict.before is Before.ERROR_500:
            raise Refused(500)
        _mock(request)
        if path == dialect_tokens.TOKEN_PATH and request.method == "POST":
            return _response(200, dialect_tokens.lend(self.settings, request, call.now), headers)
        if path == dialect_webhooks.VERIFY_PATH and request.method == "POST":
            return _response(200, dialect_webhooks.verify(self.settings, call.ledger, body_of(request.body)), headers)
        endpoint, id = _route(request.method, path)
        if endpoint is None:
            raise no_such()
        return self._executed(call, endpoint, id, request, headers, verdict, busy)

    def _executed(
        self, call: Call, endpoint: Endpoint, id: str, request: HttpRequest, headers: dict[str, str], verdict: Verdict, busy: bool
    ) -> HttpResponse:
        body = _body(request)
        if request.method == "GET":
            return _response(200, endpoint.shows(call, endpoint.run(call, body, id)), headers)
        key = self.idempotency_key(request)
        if busy:
            raise Refused(409, "PREVIOUS_REQUEST_IN_PROGRESS")
        made, status = self._known(call, key, endpoint), 200
        if made is None:
            made, status = endpoint.run(call, body, id), endpoint.status
            if key is not None:
                kept = StoredAnswer(key=key, fingerprint="", status=status, headers=(), body=made.encode(), created_at=call.now)
                call.ledger.store_answer(kept)
        if verdict.after is After.ERROR_500:
            raise Refused(500)  # the work is done and stays done; a repeat finds it
        shown = endpoint.shows(call, made)
        if "return=representation" in (_header(request, "prefer") or ""):
            return _response(status, shown, headers)
        if endpoint.kind is RequestKind.VOID:
            return HttpResponse(status=204, headers=tuple(headers.items()), body=b"")
        return _response(status, minimal(shown), headers)

    def _known(self, call: Call, key: str | None, endpoint: Endpoint) -> str | None:
        """The id of what was made under that key, as long as PayPal knows it. What else the repeat says is not looked at: what PayPal makes
        of another body under the same key is published nowhere."""
        if key is None:
            return None
        if call.key is not None and not 0 < len(call.key) <= LONGEST_KEY:
            raise Refused(400, "INVALID_STRING_LENGTH", field="PayPal-Request-Id")
        stored = call.ledger.answer(key)
        if stored is None:
            return None
        if call.now - stored.created_at >= min(endpoint.keys_live, timedelta(seconds=self.settings.key_window_seconds)):
            call.ledger.forget_answer(key)
            return None
        return stored.body.decode()


def _mock(request: HttpRequest) -> None:
    """Raises the error that PayPal-Mock-Response asks for."""
    wanted = _header(request, _MOCK_HEADER)
    if wanted is None:
        return
    try:
        code = json.loads(wanted)["mock_application_codes"]
    except (ValueError, KeyError, TypeError, RecursionError):
        code = None
    if not isinstance(code, str) or not code:
        raise Refused(400, "INVALID_PARAMETER_VALUE", field="PayPal-Mock-Response")
    status = _MOCKED.get(code, 422)
    raise Refused(status, None if status >= 429 and status != 422 else code)


def _body(request: HttpRequest) -> Body:
    kind = (_header(request, "content-type") or "").partition(";")[0].strip().lower()
    if request.body and kind != "application/json":
        raise Refused(415)
    return body_of(request.body)


def _header(request: HttpRequest, name: str) -> str | None:
    return next((value for key, value in request.headers if key == name), None)


def _response(status: int, shown: object, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(status=status, headers=tuple(headers.items()), body=encode(shown))


def _refusal(refused: Refused, headers: Mapping[str, str], verdict: Verdict) -> HttpResponse:
    more = {}
    if refused.status == 429 and verdict.retry_after_seconds is not None:
        more = {"retry-after": str(verdict.retry_after_seconds)}
    return _response(refused.status, refused.body(headers["paypal-debug-id"]), {**headers, **more})


def _wrong_amount(response: HttpResponse) -> HttpResponse:
    """The same answer about other amounts than the real ones. Only what is said is wrong; the books are right."""
    if not 200 <= response.status < 300 or not response.body:
        return response
    return HttpResponse(status=response.status, headers=response.headers, body=encode(_raised(decode(response.body))))


def _raised(it: Any) -> Any:
    if isinstance(it, list):
        return [_raised(one) for one in it]
    if not isinstance(it, dict):
        return it
    if set(it) >= {"currency_code", "value"}:
        return it | {"value": str(Decimal(it["value"]) + 1)}
    return {name: _raised(value) for name, value in it.items()}
