"""Stripe's side of the wire: `(ledger, HttpRequest, now) -> (HttpResponse, webhooks)`, pure, for simulations and the simulator server.

In the order of the real thing: authentication, rate limit, idempotency, parameters, execution, storing the answer. Endpoints are in
`dialect_endpoints`, `dialect_refunds`, `dialect_disputes` and `dialect_reads`; what they show in `dialect_objects`; the shopper's page in
`dialect_shopper`; what happens without a request in `dialect_time` and `dialect_dashboard`.

    401, 429, 409, invalid parameters    answered, not stored under the idempotency key
    everything an endpoint did           stored, declines and 500s too, and replayed until the key's window is over

Not here: HTTP itself, waiting, breaking connections (`payorch.simulators`), sending webhooks (`connectors.simulator.webhooks`).
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Final, TypeAlias, final

from msgspec.json import decode, encode

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.dialect import Deed, Reply, Settings, malformed
from connectors.simulator.faults import HEALTHY, After, Before, RequestKind, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification, Payment, StoredAnswer
from connectors.stripe import dialect_dashboard, dialect_disputes, dialect_endpoints, dialect_reads, dialect_refunds, dialect_time
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_errors import Invalid, Refused
from connectors.stripe.dialect_forms import Form, Pairs, nested, pairs
from connectors.stripe.dialect_objects import API_VERSION, unix
from connectors.stripe.dialect_shopper import SHOPPER_PATH, answer_shopper, show_challenge

NAME: Final = "stripe"
LONGEST_KEY: Final = 255
_KEY_HEADER: Final = "idempotency-key"
_WEBHOOK_SENDER: Final = "Stripe/1.0 (+https://stripe.com/docs/webhooks)"
_READ_ONLY_KEY: Final = "rk_test_readonly"
"""How a restricted key begins that may only read. All other restricted test keys may do everything."""

Headers: TypeAlias = Mapping[str, str]
Fault: TypeAlias = tuple[int, dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One route: its kind for the fault engine, its parameters, and what it does with a call, a form and the ids in the path."""

    kind: RequestKind
    known: Collection[str]
    run: Callable[..., dict[str, Any]]


def _create(call: Call, form: Form) -> dict[str, Any]:
    expand = dialect_reads.expansions(form)
    return dialect_reads.shown(call, dialect_endpoints.create(call, form), expand)


def _on_intent(run: Callable[..., Any]) -> Callable[..., dict[str, Any]]:
    def answered(call: Call, form: Form, id: str) -> dict[str, Any]:
        expand = dialect_reads.expansions(form)
        return dialect_reads.shown(call, run(call, dialect_reads.find_intent(call, id), form), expand)

    return answered


def _create_refund(call: Call, form: Form) -> dict[str, Any]:
    return dialect_reads.shown_refund(call, dialect_refunds.create(call, form).id)


def _on_refund(run: Callable[..., None]) -> Callable[..., dict[str, Any]]:
    def answered(call: Call, form: Form, id: str) -> dict[str, Any]:
        run(call, *dialect_reads.find_refund(call, id), form)
        return dialect_reads.shown_refund(call, id)

    return answered


def _on_dispute(run: Callable[..., None]) -> Callable[..., dict[str, Any]]:
    def answered(call: Call, form: Form, id: str) -> dict[str, Any]:
        run(call, *dialect_reads.find_dispute(call, id), form)
        return dialect_reads.shown_dispute(call, id)

    return answered


_K: Final = RequestKind
# Method and path, `*` for an id. Fixed words are looked up before ids.
_ROUTES: Final[Mapping[tuple[str, ...], Endpoint]] = {
    ("POST", "payment_intents"): Endpoint(kind=_K.AUTHORIZE, known=dialect_endpoints.CREATE, run=_create),
    ("POST", "payment_intents", "*", "confirm"): Endpoint(
        kind=_K.AUTHORIZE, known=dialect_endpoints.CONFIRM, run=_on_intent(dialect_endpoints.confirm)
    ),
    ("POST", "payment_intents", "*", "capture"): Endpoint(
        kind=_K.CAPTURE, known=dialect_endpoints.CAPTURE, run=_on_intent(dialect_endpoints.capture)
    ),
    ("POST", "payment_intents", "*", "cancel"): Endpoint(
        kind=_K.VOID, known=dialect_endpoints.CANCEL, run=_on_intent(dialect_endpoints.cancel_intent)
    ),
    ("POST", "refunds"): Endpoint(kind=_K.REFUND, known=dialect_refunds.CREATE, run=_create_refund),
    ("POST", "refunds", "*"): Endpoint(kind=_K.OTHER, known=dialect_refunds.UPDATE, run=_on_refund(dialect_refunds.update)),
    ("POST", "refunds", "*", "cancel"): Endpoint(kind=_K.OTHER, known=dialect_refunds.CANCEL, run=_on_refund(dialect_refunds.cancel)),
    ("GET", "payment_intents"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.INTENTS, run=dialect_reads.list_intents),
    ("GET", "payment_intents", "search"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.SEARCH, run=dialect_reads.search),
    ("GET", "payment_intents", "*"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.ONE, run=dialect_reads.one_intent),
    ("GET", "refunds"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.REFUNDS, run=dialect_reads.list_refunds),
    ("GET", "refunds", "*"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.ONE, run=dialect_reads.one_refund),
    ("GET", "charges"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.CHARGES, run=dialect_reads.list_charges),
    ("GET", "charges", "*"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.ONE, run=dialect_reads.one_charge),
    ("POST", "disputes", "*"): Endpoint(kind=_K.OTHER, known=dialect_disputes.UPDATE, run=_on_dispute(dialect_disputes.update)),
    ("POST", "disputes", "*", "close"): Endpoint(kind=_K.OTHER, known=dialect_disputes.CLOSE, run=_on_dispute(dialect_disputes.close)),
    ("GET", "disputes"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.DISPUTES, run=dialect_reads.list_disputes),
    ("GET", "disputes", "*"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.ONE, run=dialect_reads.one_dispute),
    ("GET", "events"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.EVENTS, run=dialect_reads.list_events),
    ("GET", "events", "*"): Endpoint(kind=_K.INQUIRE, known=dialect_reads.ONE, run=dialect_reads.one_event),
}


def _route(method: str, path: str) -> tuple[Endpoint | None, tuple[str, ...]]:
    """The endpoint for a path without its query, and the ids in it."""
    if not path.startswith("/v1/"):
        return None, ()
    parts = path[4:].split("/")
    exact = _ROUTES.get((method, *parts))
    if exact is not None or len(parts) < 2 or not parts[1]:
        return exact, ()
    return _ROUTES.get((method, parts[0], "*", *parts[2:])), (parts[1],)


@final
@dataclass(frozen=True, slots=True)
class StripeDialect:
    """Stripe over a ledger. Holds settings only; the ledger, time and faults come with each call."""

    settings: Settings

    def kind(self, request: HttpRequest) -> RequestKind:
        """What the request asks for; OTHER for the shopper's page and for what Stripe does not know."""
        endpoint, _ = _route(request.method, request.path.partition("?")[0])
        return RequestKind.OTHER if endpoint is None else endpoint.kind

    def idempotency_key(self, request: HttpRequest) -> str | None:
        """The key of a POST, or None."""
        return _header(request, _KEY_HEADER) if request.method == "POST" else None

    def handle(self, ledger: Ledger, request: HttpRequest, now: datetime, *, verdict: Verdict = HEALTHY, busy: bool = False) -> Reply:
        """Answers a request; see `connectors.simulator.dialect.Dialect`."""
        due = self.due(ledger, now)
        path, _, query = request.path.partition("?")
        if path.startswith(SHOPPER_PATH):
            reply = self._shopper(ledger, request, now, path)
        else:
            reply = self._api(ledger, request, now, path, query, verdict, busy)
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
        """What somebody does in Stripe's dashboard; see `connectors.simulator.dialect.Dialect`."""
        with ledger.transaction():
            call = Call(ledger, now, self.settings)
            dialect_dashboard.by_hand(call, payment, deed, amount)
        return tuple(call.webhooks)

    def webhook_body(self, body: bytes, *, secret: str, at: datetime) -> bytes:
        """As it is: Stripe signs in a header."""
        return body

    def webhook_headers(self, body: bytes, *, secret: str, at: datetime) -> tuple[tuple[str, str], ...]:
        """Signed as Stripe signs: by the whole text of the secret, over the second of signing and the body."""
        signed_at = unix(at)
        signature = hmac.new(secret.encode(), b"%d.%s" % (signed_at, body), sha256).hexdigest()
        return (
            ("content-type", "application/json; charset=utf-8"),
            ("user-agent", _WEBHOOK_SENDER),
            ("stripe-signature", f"t={signed_at},v1={signature}"),
        )

    def _shopper(self, ledger: Ledger, request: HttpRequest, now: datetime, path: str) -> Reply:
        if request.method == "GET":
            return Reply(show_challenge(ledger, path))
        with ledger.transaction():
            call = Call(ledger, now, self.settings)
            response = answer_shopper(call, request, path)
        return Reply(response, tuple(call.webhooks))

    def _api(
        self,
        ledger: Ledger,
        request: HttpRequest,
        now: datetime,
        path: str,
        query: str,
        verdict: Verdict,
        busy: bool,
    ) -> Reply:
        key = self.idempotency_key(request)
        call = Call(ledger, now, self.settings, request_id=ledger.new_id("req_", 14), key=key)
        headers = _headers(request, call, key)
        try:
            self._authenticate(request)
            _check_limits(verdict, key)
            fields = _fields(request, query)
        except Refused as refused:
            return Reply(_refusal(refused, headers, verdict))
        if request.method != "POST":
            return Reply(_executed(call, request.method, path, fields, headers, verdict)[0])
        with ledger.transaction():
            response = self._once(call, path, fields, headers, key, verdict, busy)
        return Reply(response, tuple(call.webhooks))

    def _once(
        self,
        call: Call,
        path: str,
        fields: Pairs,
        headers: dict[str, str],
        key: str | None,
        verdict: Verdict,
        busy: bool,
    ) -> HttpResponse:
        """Executes a POST, or answers as before under the same key."""
        if key is None:
            return _executed(call, "POST", path, fields, headers, verdict)[0]
        fingerprint = sha256(repr((path, sorted(fields))).encode()).hexdigest()
        stored = call.ledger.answer(key)
        window = timedelta(seconds=self.settings.key_window_seconds)
        if stored is not None and call.now - stored.created_at >= window:
            call.ledger.forget_answer(key)
            stored = None
        if busy:
            return _refusal(_key_in_use(key), headers, verdict)
        if stored is not None:
            return _replayed(stored, fingerprint, headers, verdict)
        response, keep = _executed(call, "POST", path, fields, headers, verdict)
        if keep:
            call.ledger.store_answer(
                StoredAnswer(
                    key=key,
                    fingerprint=fingerprint,
                    status=response.status,
                    headers=response.headers,
                    body=response.body,
                    created_at=call.now,
                )
            )
        return response

    def _authenticate(self, request: HttpRequest) -> None:
        given = _api_key(_header(request, "authorization") or "")
        if given is None:
            message = (
                "You did not provide an API key. You need to provide your API key in the Authorization header, using Bearer"
                " auth (e.g. 'Authorization: Bearer YOUR_SECRET_KEY')."
            )
            raise Invalid(message, status=401)
        expected, hidden = self.settings.api_key, f"{given[:7]}{'*' * 8}{given[-4:]}"
        if given != expected if expected is not None else not given.startswith(("sk_test_", "rk_test_")):
            raise Invalid(f"Invalid API Key provided: {hidden}", status=401)
        if given.startswith(_READ_ONLY_KEY) and request.method != "GET":
            message = (
                f"The provided key '{hidden}' does not have the required permissions for this endpoint. Having the write permission"
                " would allow this request to continue."
            )
            raise Invalid(message, status=403)


def _executed(call: Call, method: str, path: str, fields: Pairs, headers: dict[str, str], verdict: Verdict) -> tuple[HttpResponse, bool]:
    """The endpoint's answer, and whether it is one that is stored: everything is, once execution has begun."""
    if verdict.before is Before.ERROR_500:
        return _refusal(_broken(), headers, verdict), True
    kept = True
    try:
        endpoint, ids = _route(method, path)
        if endpoint is None:
            message = f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
            raise Invalid(message, status=404)
        shown = endpoint.run(call, Form(nested(fields), known=endpoint.known), *ids)
        response = _response(200, encode(shown), headers)
    except Refused as refused:
        kept = not isinstance(refused, Invalid)
        response = _refusal(refused, headers, verdict)
    if verdict.after is After.ERROR_500:
        # The work is done and stays done; only the answer, now and under the key for good, is an error.
        response = _refusal(_broken(), headers, verdict)
    return response, kept


def _replayed(stored: StoredAnswer, fingerprint: str, headers: dict[str, str], verdict: Verdict) -> HttpResponse:
    if stored.fingerprint != fingerprint:
        message = (
            "Keys for idempotent requests can only be used with the same parameters they were first used with. Try using a"
            f" key other than '{stored.key}' if you meant to execute a different request."
        )
        return _refusal(Refused(message, type="idempotency_error"), headers, verdict)
    if verdict.before is Before.ERROR_500 or verdict.after is After.ERROR_500:
        return _refusal(_broken(), headers, verdict)
    first = dict(stored.headers)
    replayed = {**first, "idempotent-replayed": "true", "original-request": first["request-id"]}
    return HttpResponse(status=stored.status, headers=tuple({**replayed, "request-id": headers["request-id"]}.items()), body=stored.body)


def _check_limits(verdict: Verdict, key: str | None) -> None:
    if verdict.before is Before.RATE_LIMIT:
        message = "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits."
        raise Invalid(message, status=429, code="rate_limit")
    if key is not None and not 0 < len(key) <= LONGEST_KEY:
        message = f"Idempotency keys have 1 to {LONGEST_KEY} characters; this one has {len(key)}."
        raise Invalid(message, type="idempotency_error")


def _key_in_use(key: str) -> Refused:
    message = (
        "There is currently another in-progress request using this Idempotent Key (that probably means you submitted twice, and"
        f" the other request is still going through): {key}. Please try again later."
    )
    return Invalid(message, status=409, type="idempotency_error", code="idempotency_key_in_use")


def _broken() -> Refused:
    return Refused("An unknown error occurred", status=500, type="api_error")


def _fields(request: HttpRequest, query: str) -> Pairs:
    if request.method != "POST":
        return pairs(query)
    kind = (_header(request, "content-type") or "").partition(";")[0].strip().lower()
    if request.body and kind != "application/x-www-form-urlencoded":
        raise Invalid(f"Invalid request: the Content-Type {kind or '(none)'} is not application/x-www-form-urlencoded.")
    try:
        return pairs(request.body.decode("ascii"))
    except UnicodeDecodeError as error:
        raise Invalid("Invalid request: the body is not form-encoded.") from error


def _api_key(authorization: str) -> str | None:
    scheme, _, value = authorization.partition(" ")
    if scheme.lower() == "bearer" and value.strip():
        return value.strip()
    if scheme.lower() == "basic":
        try:
            user = base64.b64decode(value, validate=True).decode().partition(":")[0]
        except (binascii.Error, UnicodeDecodeError):
            return None
        return user or None
    return None


def _header(request: HttpRequest, name: str) -> str | None:
    return next((value for key, value in request.headers if key == name), None)


def _headers(request: HttpRequest, call: Call, key: str | None) -> dict[str, str]:
    headers = {
        "content-type": "application/json",
        "cache-control": "no-cache, no-store",
        "request-id": call.request_id,
        "stripe-version": _header(request, "stripe-version") or API_VERSION,
    }
    if key is not None:
        headers |= {_KEY_HEADER: key, "original-request": call.request_id}
    return headers


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> HttpResponse:
    return HttpResponse(status=status, headers=tuple(headers.items()), body=body)


def _refusal(refused: Refused, headers: Mapping[str, str], verdict: Verdict) -> HttpResponse:
    url = f"https://dashboard.stripe.com/test/logs/{headers['request-id']}"
    more = {"stripe-should-retry": "true" if refused.status == 409 else "false"}
    if refused.status in (429, 500):
        # Stripe leaves the first to the caller's patience and lets its SDK decide on the second.
        more = {}
    if refused.status == 429 and verdict.retry_after_seconds is not None:
        more = {"retry-after": str(verdict.retry_after_seconds)}
    error = {**refused.error, "request_log_url": url}
    return _response(refused.status, encode({"error": error}), {**headers, **more})


def _wrong_amount(response: HttpResponse) -> HttpResponse:
    """The same answer about another amount than the real one. Only what is said is wrong; the books are right."""
    if response.status != 200:
        return response
    shown = decode(response.body)
    for it in shown.get("data", [shown]):
        it |= {name: it[name] + 100 for name in ("amount", "amount_capturable", "amount_received") if it.get(name)}
    return HttpResponse(status=response.status, headers=response.headers, body=encode(shown))
