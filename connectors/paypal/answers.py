"""From PayPal's HTTP answer to evidence: first whether it can have had an effect, by status and issue; then what the object says.

    2xx                 the object decides (`verdicts`); another shape, or another object than asked about, is unknown
    400, 404, 422       by the issue: a decline; a refused message; an order that still waits for the shopper; or something that was done
                        before, which is unknown and looked for
    401, 403, 429       not executed, where it answers the first sending; in the answer to a replay they say nothing about the first
    everything else     unknown: 3xx, 408, 409 (a request is in progress, a conflict), 5xx, whatever cannot be read

A repeat under the same PayPal-Request-Id is answered with the latest status of what the first one made, so the answer to a replay is read
as one to the call, and shows what has become of it since. An inquiry that fails says nothing about the payment: unknown. Never raises on
any bytes. Not here: HTTP itself, retries, our own states; what a webhook says (`testimony`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import structs

from connectors.contract import HttpResponse
from connectors.paypal import verdicts
from connectors.paypal.declines import (
    ALREADY_VOIDED,
    DECLINES,
    DEPENDS_ON_THE_STATE,
    OPERATION_REFUSALS,
    REFUSALS,
    WAITS_FOR_THE_SHOPPER,
    Codes,
    exists_already,
    failure,
)
from connectors.paypal.objects import (
    NOT_GIVEN_BACK,
    Authorization,
    Capture,
    Json,
    Order,
    PaypalError,
    Refund,
    authorization,
    capture,
    decode,
    order,
    paypal_error,
    refund,
    word,
)
from connectors.paypal.redaction import redacted
from connectors.paypal.requests import ORDERS, is_automatic, is_completion, target
from connectors.paypal.verdicts import Look, unknown
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, Finding, GivenBack, NotExecuted, Pending, Source
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall

_REFUSED_MESSAGE: Final = frozenset({400, 404, 422})
_MAY_STILL_BE_CAPTURED: Final = frozenset({"CREATED", "PARTIALLY_CAPTURED", "PENDING"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One answer to read: what it is about, what was asked, and its body decoded."""

    subject: Attempt | Operation
    call: PreparedCall
    status: int
    data: Json | None
    source: Source
    at: datetime

    @property
    def look(self) -> Look:
        return Look.ANSWER if self.source in (Source.RESPONSE, Source.REPLAY) else Look.SIGHT

    @property
    def first(self) -> bool:
        """Whether it answers the first sending, so that a refusal is one of everything that was sent."""
        return self.source is Source.RESPONSE


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reading:
    """What was found and in which objects, if they are those that the subject is about."""

    finding: Finding
    order: Order | None = None
    held: Authorization | None = None
    taken: Capture | None = None
    refund: Refund | None = None


def read(subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
    """What this answer to `call` says about the subject; see the module's table. Never raises on any bytes."""
    data = decode(response.body)
    case = _Case(subject=subject, call=call, status=response.status, data=data, source=source, at=at)
    evidence = _evidence(case, _reading(case))
    raw = redacted(response.status, data, len(response.body))
    return structs.replace(evidence, psp_request_id=word(response.header("paypal-debug-id")), raw=raw)


def _evidence(case: _Case, reading: _Reading) -> Evidence:
    """What was read, and all that the objects say besides."""
    shown, held = reading.order, reading.held
    holds = held is not None and held.status in _MAY_STILL_BE_CAPTURED
    attempt = isinstance(case.subject, Attempt)
    return Evidence(
        source=case.source,
        finding=reading.finding,
        at=case.at,
        psp_reference=_psp_reference(case.subject, reading),
        our_reference=_our_reference(case.subject, reading),
        amount=_amount(case.subject, reading),
        captured=shown.captured if shown is not None else None,
        refunded=shown.refunded if shown is not None else None,
        refunds=_refunds(shown, case.status),
        expires_at=held.expires_at if attempt and held is not None and holds else None,
        money_reference=_money_reference(reading) if attempt else None,
    )


def _money_reference(reading: _Reading) -> str | None:
    if reading.held is not None:
        return reading.held.id
    return reading.taken.id if reading.taken is not None else None


def _psp_reference(subject: Attempt | Operation, reading: _Reading) -> str | None:
    if isinstance(subject, Attempt):
        return reading.order.id if reading.order is not None else None
    match subject.kind:
        case OperationKind.CAPTURE:
            return reading.taken.id if reading.taken is not None else None
        case OperationKind.REFUND:
            return reading.refund.id if reading.refund is not None else None
        case OperationKind.VOID:
            return reading.held.id if reading.held is not None else None


def _our_reference(subject: Attempt | Operation, reading: _Reading) -> str | None:
    """The id of ours that PayPal reports back. A void has none: it leaves no object behind."""
    if isinstance(subject, Attempt):
        return reading.order.custom_id if reading.order is not None else None
    if reading.taken is not None:
        return reading.taken.invoice_id
    return reading.refund.custom_id or reading.refund.invoice_id if reading.refund is not None else None


def _amount(subject: Attempt | Operation, reading: _Reading) -> Money | None:
    """The amount of the subject itself: of what was held or taken where that is there, and else of what was ordered."""
    shown = reading.refund or reading.taken or reading.held or (reading.order if isinstance(subject, Attempt) else None)
    return shown.amount if shown is not None else None


def _refunds(shown: Order | None, http_status: int) -> tuple[GivenBack, ...] | None:
    """Every refund of the order, ours or not, each judged as an answer about it would be; None where they do not make up a list."""
    if shown is None or shown.refunds is None:
        return None
    whole = [one for one in shown.refunds if one.amount is not None or one.status in NOT_GIVEN_BACK]
    if len(whole) < len(shown.refunds):
        return None
    return tuple(
        GivenBack(
            psp_reference=one.id,
            amount=one.amount,
            finding=verdicts.of_refund(one, http_status=http_status),
            our_reference=one.custom_id or one.invoice_id,
        )
        for one in whole
        if one.amount is not None
    )


def _reading(case: _Case) -> _Reading:
    if 200 <= case.status < 300:
        return _attempt_shown(case) if isinstance(case.subject, Attempt) else _operation_shown(case, case.subject)
    if case.look is Look.SIGHT:
        return _Reading(finding=unknown(case.status, error=paypal_error(case.data)))
    return _Reading(finding=_refused(case))


# --- 2xx: the object --------------------------------------------------------------------------------------------------------------------


def _attempt_shown(case: _Case) -> _Reading:
    shown = order(case.data)
    if shown is None or not isinstance(case.subject, Attempt):
        return _Reading(finding=unknown(case.status, code="not_an_order"))
    if not _is_asked_about(case, shown):
        return _Reading(finding=unknown(case.status, code="another_object"))
    automatic = is_automatic(case.subject.call)
    finding = verdicts.of_attempt(shown, automatic=automatic, look=case.look, http_status=case.status, at=case.at)
    return _Reading(
        finding=finding,
        order=shown,
        held=None if automatic else verdicts.the_authorization(shown.authorizations or ()),
        taken=verdicts.the_capture(shown.captures or ()) if automatic else None,
    )


def _is_asked_about(case: _Case, shown: Order) -> bool:
    """Whether it is the order that the call named or, for an attempt, the one it is known to have."""
    known = case.subject.psp_reference if isinstance(case.subject, Attempt) else None
    return all(expected in (None, shown.id) for expected in (target(case.call), known))


def _operation_shown(case: _Case, operation: Operation) -> _Reading:
    if case.look is Look.SIGHT and case.call.path.startswith(f"{ORDERS}/"):
        return _operation_in_order(case, operation)
    match operation.kind:
        case OperationKind.CAPTURE:
            return _capture_shown(case, operation)
        case OperationKind.REFUND:
            return _refund_shown(case, operation)
        case OperationKind.VOID:
            return _void_answered(case)


def _operation_in_order(case: _Case, operation: Operation) -> _Reading:
    shown = order(case.data)
    if shown is None:
        return _Reading(finding=unknown(case.status, code="not_an_order"))
    if not _is_asked_about(case, shown):
        return _Reading(finding=unknown(case.status, code="another_object"))
    match operation.kind:
        case OperationKind.CAPTURE:
            finding, taken = verdicts.of_capture_in(operation, shown, http_status=case.status)
            return _Reading(finding=finding, order=shown, taken=taken)
        case OperationKind.REFUND:
            finding, given_back = verdicts.of_refund_in(operation, shown, http_status=case.status)
            return _Reading(finding=finding, order=shown, refund=given_back)
        case OperationKind.VOID:
            finding, held = verdicts.of_void(shown, http_status=case.status, at=case.at)
            return _Reading(finding=finding, order=shown, held=held)


def _capture_shown(case: _Case, operation: Operation) -> _Reading:
    shown = capture(case.data)
    if shown is None:
        return _Reading(finding=unknown(case.status, code="not_a_capture"))
    asked = target(case.call)
    seen = shown.id if case.look is Look.SIGHT else shown.authorization_id
    if operation.psp_reference not in (None, shown.id) or seen not in (None, asked):
        return _Reading(finding=unknown(case.status, code="another_object"))
    return _Reading(finding=verdicts.of_capture(shown, http_status=case.status), taken=shown)


def _refund_shown(case: _Case, operation: Operation) -> _Reading:
    shown = refund(case.data)
    if shown is None:
        return _Reading(finding=unknown(case.status, code="not_a_refund"))
    seen = shown.id if case.look is Look.SIGHT else shown.capture_id
    if operation.psp_reference not in (None, shown.id) or seen not in (None, target(case.call)):
        return _Reading(finding=unknown(case.status, code="another_object"))
    return _Reading(finding=verdicts.of_refund(shown, http_status=case.status), refund=shown)


def _void_answered(case: _Case) -> _Reading:
    """204 without a body is a yes; PayPal shows the authorization where it was asked to."""
    if case.status == 204:
        return _Reading(finding=Approved())
    shown = authorization(case.data)
    if shown is None:
        return _Reading(finding=unknown(case.status, code="not_an_authorization"))
    if shown.id != target(case.call):
        return _Reading(finding=unknown(case.status, code="another_object"))
    return _Reading(finding=verdicts.of_voided(shown, http_status=case.status), held=shown)


# --- refusals ---------------------------------------------------------------------------------------------------------------------------


def _refused(case: _Case) -> Finding:
    """An answer to a call of ours that is not 2xx."""
    error, status = paypal_error(case.data), case.status
    if status == 429:
        return _turned_away(case, error, ErrorClass.RATE_LIMITED)
    if status in (401, 403):
        return _turned_away(case, error, ErrorClass.CONFIGURATION)
    if error is None or status not in _REFUSED_MESSAGE:
        return unknown(status, error=error)
    existing = next((issue for issue in error.issues if exists_already(issue)), None)
    if existing is not None:
        return unknown(status, error_class=ErrorClass.DUPLICATE_AT_PSP, error=error, code=existing)
    if status == 404 and not case.first:
        return unknown(status, error=error)  # what is gone by now says nothing about then
    if isinstance(case.subject, Attempt):
        return _refused_attempt(case, case.subject, error)
    return _refused_operation(case, case.subject, error)


def _turned_away(case: _Case, error: PaypalError | None, error_class: ErrorClass) -> Finding:
    """At the door, before anything ran. A replay turned away says nothing about the first sending, which may have come in."""
    if not case.first:
        return unknown(case.status, error=error)
    return _not_executed(case, error, error_class)


def _refused_attempt(case: _Case, attempt: Attempt, error: PaypalError) -> Finding:
    if is_completion(case.call):
        if WAITS_FOR_THE_SHOPPER & set(error.issues):
            # Nobody is done at PayPal's page yet: the attempt waits there as before. Where PayPal does not say again where that is, the
            # same call can still go through once he is.
            action = error.action or attempt.action
            return Pending(action=action) if action is not None else unknown(case.status, error=error)
        if case.status == 404:
            return _declined(case, error, ErrorClass.EXPIRED, error.issues[0])  # the order lapsed before it was finished
    issue = next((one for one in error.issues if one in DECLINES), None)
    if issue is not None:
        return _declined(case, error, DECLINES[issue], issue)
    return _refused_message(case, error)


def _refused_operation(case: _Case, operation: Operation, error: PaypalError) -> Finding:
    if operation.kind is OperationKind.VOID and ALREADY_VOIDED in error.issues:
        return Approved()  # by an earlier sending or by somebody else: what it was to do is done
    issue = next((one for one in error.issues if one in OPERATION_REFUSALS), None)
    if issue is None:
        return _refused_message(case, error)
    if issue in DEPENDS_ON_THE_STATE and not case.first:
        return unknown(case.status, error_class=ErrorClass.DUPLICATE_AT_PSP, error=error, code=issue)
    return _declined(case, error, OPERATION_REFUSALS[issue], issue)


def _refused_message(case: _Case, error: PaypalError) -> Finding:
    issue = next((one for one in error.issues if one in REFUSALS), None)
    return _not_executed(case, error, REFUSALS.get(issue or "", ErrorClass.INVALID_REQUEST))


def _declined(case: _Case, error: PaypalError, error_class: ErrorClass, issue: str) -> Declined:
    return Declined(failure=failure(error_class, error.codes(issue), message=error.message, http_status=case.status))


def _not_executed(case: _Case, error: PaypalError | None, error_class: ErrorClass) -> NotExecuted:
    codes = error.codes() if error is not None else Codes()
    message = error.message if error is not None else None
    return NotExecuted(failure=failure(error_class, codes, message=message, http_status=case.status), sent=True)
