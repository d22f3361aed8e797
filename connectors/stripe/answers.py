"""From Stripe's HTTP answer to evidence: first whether it can have had an effect, by status and error type; then what the object says.

    2xx                   the object decides (`verdicts`); another shape, or another object than asked about, is unknown
    402, card errors      definitive no, unless the PaymentIntent inside says otherwise
    400, 404, 422         a refused message; a wrong state is judged by the PaymentIntent that Stripe puts inside
    401, 403, 429         not executed, where it answers the first sending; these stand before the idempotency layer, so in the answer to a
                          replay they say nothing about the first
    everything else       unknown: 3xx, 408, 409, idempotency errors, `lock_timeout`, 5xx, whatever cannot be read

An inquiry that fails says nothing about the payment: unknown. Whether an answer to a call of ours is one that Stripe had stored under the
key is said by a header, and changes nothing of what it means. Never raises on any bytes. Not here: HTTP itself, retries, our own states;
what a webhook says (`testimony`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final
from urllib.parse import urlsplit

from msgspec import structs

from connectors.contract import HttpResponse
from connectors.stripe import verdicts
from connectors.stripe.declines import OPERATION_REFUSALS, REFUSALS, Codes, failure
from connectors.stripe.objects import (
    Json,
    PaymentIntent,
    Refund,
    StripeError,
    all_refunds,
    decode,
    listed,
    payment_intent,
    refund,
    stripe_error,
    word,
)
from connectors.stripe.redaction import redacted
from connectors.stripe.requests import target
from connectors.stripe.verdicts import Look, unknown
from payorch.domain.money import Money
from payorch.domain.outcome import Absent, Declined, ErrorClass, Evidence, Finding, GivenBack, NotExecuted, Source, Unknown
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall

_REFUSED_MESSAGE: Final = frozenset({400, 402, 404, 422})


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
    def is_refund(self) -> bool:
        return isinstance(self.subject, Operation) and self.subject.kind is OperationKind.REFUND


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was found and in which object, if it is the one that the subject is about."""

    finding: Finding
    intent: PaymentIntent | None = None
    refund: Refund | None = None
    refunds: tuple[Refund, ...] | None = None


def read(subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
    """What this answer to `call` says about the subject; see the module's table. Never raises on any bytes."""
    data = decode(response.body)
    case = _Case(subject=subject, call=call, status=response.status, data=data, source=source, at=at)
    evidence = evidence_of(subject, _reading(case), source=source, at=at, http_status=response.status)
    raw = redacted(response.status, data, len(response.body))
    stored = case.look is Look.ANSWER and response.header("idempotent-replayed") == "true"
    return structs.replace(evidence, psp_request_id=word(response.header("request-id")), raw=raw, stored=stored)


def evidence_of(subject: Attempt | Operation, reading: Reading, *, source: Source, at: datetime, http_status: int | None) -> Evidence:
    """What was read, and all that the object says besides. `http_status`: None where it came without one, in a webhook."""
    intent, given_back = reading.intent, reading.refund
    return Evidence(
        source=source,
        finding=reading.finding,
        at=at,
        psp_reference=given_back.id if given_back is not None else intent.id if intent is not None else None,
        our_reference=_our_reference(subject, reading),
        amount=_amount(subject, reading),
        captured=intent.received if intent is not None else None,
        refunded=intent.refunded if intent is not None else None,
        refunds=_all_refunds(reading, http_status),
        expires_at=intent.capturable_until if intent is not None else None,
    )


def _our_reference(subject: Attempt | Operation, reading: Reading) -> str | None:
    """The id of ours that Stripe reports back. A PaymentIntent names the last capture only: for another operation it says nothing."""
    if reading.refund is not None:
        return reading.refund.operation_id
    if reading.intent is None:
        return None
    if isinstance(subject, Attempt):
        return reading.intent.attempt_id
    return subject.id if reading.intent.operation_id == subject.id else None


def _amount(subject: Attempt | Operation, reading: Reading) -> Money | None:
    """The amount of the attempt or refund itself. Stripe has no figure for a single capture, only the totals.

    Of an open hold it is what the issuer agreed to: `amount` stays what was asked for, also where less is held, or nothing.
    """
    if reading.refund is not None:
        return reading.refund.amount
    if reading.intent is not None and isinstance(subject, Attempt) and reading.intent.status == "requires_capture":
        return reading.intent.approved
    is_capture = isinstance(subject, Operation) and subject.kind is OperationKind.CAPTURE
    return reading.intent.amount if reading.intent is not None and not is_capture else None


def _all_refunds(reading: Reading, http_status: int | None) -> tuple[GivenBack, ...] | None:
    """Every refund of the PaymentIntent, ours or not, each judged as an answer about it would be."""
    shown = reading.intent.refunds if reading.intent is not None else reading.refunds
    if shown is None:
        return None
    judged = ((one, verdicts.of_refund(one, http_status=http_status)) for one in shown)
    return tuple(
        GivenBack(psp_reference=one.id, amount=one.amount, finding=finding, our_reference=one.operation_id)
        for one, finding in judged
        if one.amount is not None
    )


def _reading(case: _Case) -> Reading:
    if 200 <= case.status < 300:
        return _refund_shown(case) if case.is_refund else _intent_shown(case)
    if case.look is Look.SIGHT:
        return Reading(finding=unknown(case.status, error=stripe_error(case.data)))
    return _refused(case)


# --- 2xx: the object --------------------------------------------------------------------------------------------------------------------


def _intent_shown(case: _Case) -> Reading:
    if case.look is Look.SIGHT and urlsplit(case.call.path).path.endswith("/search"):
        return _found(case)
    intent = payment_intent(case.data)
    if intent is None:
        return Reading(finding=unknown(case.status, code="not_a_payment_intent"))
    return _judged(case, intent, case.look)


def _found(case: _Case) -> Reading:
    """A search by our attempt id. Nothing found is an absence; more than one PaymentIntent for one attempt is for people."""
    page = listed(case.data)
    if page is None:
        return Reading(finding=unknown(case.status, code="not_a_search_result"))
    entries, more = page
    shown = [payment_intent(entry) for entry in entries]
    ours = [intent for intent in shown if intent is not None and intent.attempt_id == case.subject.id]
    if len(ours) == 1 and len(entries) == 1 and not more:
        return _judged(case, ours[0], Look.SIGHT)
    if not entries and not more:
        return Reading(finding=Absent())
    return Reading(finding=_ambiguous(case, len(ours)))


def _judged(case: _Case, intent: PaymentIntent, look: Look) -> Reading:
    if not _is_asked_about(case, intent):
        return Reading(finding=unknown(case.status, code="another_object"))
    subject = case.subject
    if isinstance(subject, Attempt):
        over = case.at >= subject.psp_key_safe_until
        finding = verdicts.of_attempt(intent, look=look, http_status=case.status, over=over)
    elif subject.kind is OperationKind.CAPTURE:
        finding = verdicts.of_capture(subject, intent, look=look, http_status=case.status)
    else:
        finding = verdicts.of_void(intent, look=look, http_status=case.status)
    return Reading(finding=finding, intent=intent)


def _is_asked_about(case: _Case, intent: PaymentIntent) -> bool:
    """Whether it is the PaymentIntent that the call named or, for an attempt, the one it is known to have."""
    known = case.subject.psp_reference if isinstance(case.subject, Attempt) else None
    return all(expected in (None, intent.id) for expected in (target(case.call), known))


def _refund_shown(case: _Case) -> Reading:
    page = listed(case.data) if case.look is Look.SIGHT else None
    if page is not None:
        return _listed_refund(case, *page)
    shown = refund(case.data)
    if shown is None:
        return Reading(finding=unknown(case.status, code="not_a_refund"))
    asked = target(case.call)
    seen = shown.intent_id if case.call.method == "POST" else shown.id
    if shown.operation_id not in (None, case.subject.id) or seen not in (None, asked):
        return Reading(finding=unknown(case.status, code="another_object"))
    return Reading(finding=verdicts.of_refund(shown, http_status=case.status), refund=shown)


def _listed_refund(case: _Case, entries: list[object], more: bool) -> Reading:
    """Our refund among all of the PaymentIntent's. Not on a page that has a next one: nobody knows."""
    shown = [refund(entry) for entry in entries]
    everything = all_refunds((entries, more), target(case.call))
    ours = [one for one in shown if one is not None and one.operation_id == case.subject.id]
    if len(ours) == 1 and ours[0].intent_id in (None, target(case.call)):
        return Reading(finding=verdicts.of_refund(ours[0], http_status=case.status), refund=ours[0], refunds=everything)
    if ours or more or None in shown:
        return Reading(finding=_ambiguous(case, len(ours)))
    return Reading(finding=Absent(), refunds=everything)


def _ambiguous(case: _Case, ours: int) -> Unknown:
    error_class = ErrorClass.DUPLICATE_AT_PSP if ours > 1 else ErrorClass.UNKNOWN_OUTCOME
    return unknown(case.status, error_class=error_class, code="several_of_ours" if ours > 1 else "not_told_apart")


# --- refusals ---------------------------------------------------------------------------------------------------------------------------


def _refused(case: _Case) -> Reading:
    """An answer to a call of ours that is not 2xx."""
    error, status = stripe_error(case.data), case.status
    if error is not None and error.kind == "idempotency_error":
        return Reading(finding=unknown(status, error_class=ErrorClass.DUPLICATE_AT_PSP, error=error))
    if not 400 <= status < 500 or status in (408, 409):
        return Reading(finding=unknown(status, error=error))
    code = error.codes.code if error is not None else None
    if status == 429 or (status == 400 and code == "rate_limit"):
        return Reading(finding=_turned_away(case, error, ErrorClass.RATE_LIMITED))
    if status in (401, 403):
        return Reading(finding=_turned_away(case, error, ErrorClass.CONFIGURATION))
    if error is not None and error.kind == "card_error":
        return _card_error(case, error)
    if error is not None and error.kind == "invalid_request_error" and status in _REFUSED_MESSAGE:
        return _invalid_request(case, error)
    return Reading(finding=unknown(status, error=error))


def _turned_away(case: _Case, error: StripeError | None, error_class: ErrorClass) -> Finding:
    """At the door, before anything ran. After the door there is one 429 more: a lock on the object that was not got in time, about which
    nothing says how far the call had come. And a replay turned away says nothing about the first sending, which may have come in."""
    locked = error is not None and error.codes.code == "lock_timeout"
    if locked or case.source is not Source.RESPONSE:
        return unknown(case.status, error=error)
    return _not_executed(case, error, error_class)


def _card_error(case: _Case, error: StripeError) -> Reading:
    intent = _embedded(case, error)
    if isinstance(case.subject, Attempt):
        finding = verdicts.of_refused_confirmation(error, look=case.look, http_status=case.status)
    elif intent is not None and intent.status in ("succeeded", "processing"):
        finding = unknown(case.status, error=error)  # a declined capture leaves a hold or nothing, never this
    else:
        finding = verdicts.declined(error, look=case.look, http_status=case.status)
    return Reading(finding=finding, intent=intent)


def _invalid_request(case: _Case, error: StripeError) -> Reading:
    intent, code = _embedded(case, error), error.codes.code or ""
    if isinstance(case.subject, Attempt):
        if intent is not None and (code == "payment_intent_unexpected_state" or intent.status in verdicts.HELD_OR_TAKEN):
            return _refused_over(case, error, intent)
        return Reading(finding=_not_executed(case, error, REFUSALS.get(code, ErrorClass.INVALID_REQUEST)), intent=intent)
    error_class = OPERATION_REFUSALS.get(code)
    if intent is not None and error_class in (ErrorClass.OPERATION_NOT_ALLOWED, ErrorClass.DUPLICATE_AT_PSP):
        return _refused_over(case, error, intent)
    if error_class is ErrorClass.DUPLICATE_AT_PSP:
        return Reading(finding=unknown(case.status, error_class=error_class, error=error))
    if error_class is None:
        return Reading(finding=_not_executed(case, error, REFUSALS.get(code, ErrorClass.INVALID_REQUEST)), intent=intent)
    no = failure(error_class, error.codes, message=error.message, http_status=case.status)
    return Reading(finding=Declined(failure=no), intent=intent)


def _refused_over(case: _Case, error: StripeError, intent: PaymentIntent) -> Reading:
    """A refusal judged by the PaymentIntent inside it, in Stripe's own words for it."""
    reading = _judged(case, intent, Look.REFUSAL)
    match reading.finding:
        case Declined(failure=no):
            said = failure(no.error_class, error.codes, message=error.message, http_status=case.status)
            return replace(reading, finding=Declined(failure=said))
        case Unknown(failure=no):
            return replace(reading, finding=unknown(case.status, error_class=no.error_class, error=error))
        case _:
            return reading


def _embedded(case: _Case, error: StripeError) -> PaymentIntent | None:
    """The PaymentIntent inside a refusal, where it is the one asked about. A refund's evidence speaks of refunds only."""
    intent = error.payment_intent
    return intent if intent is not None and not case.is_refund and _is_asked_about(case, intent) else None


def _not_executed(case: _Case, error: StripeError | None, error_class: ErrorClass) -> NotExecuted:
    codes = error.codes if error is not None else Codes()
    message = error.message if error is not None else None
    return NotExecuted(failure=failure(error_class, codes, message=message, http_status=case.status), sent=True)
