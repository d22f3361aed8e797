"""From Adyen's HTTP answer to evidence: first whether it can have had an effect, by status and error; then what the body says.

    200, 201              the body decides (`verdicts`): a refusal is HTTP 200 too, and a capture, cancel or refund is only "received"
    transient-error       unknown, whatever the status: "retry later with the same key"
    409, error 704        unknown: a call under that key is being processed, or was
    400, 404, 422         a refused message, where the body is an error of Adyen's
    401, 403, 429         not executed, where it answers the first sending; in the answer to a replay they say nothing about the first
    everything else       unknown: 3xx, 408, 5xx, whatever cannot be read

There are no inquiries. What came of a modification, and of a fence, only a webhook says (`testimony`). Never raises on any bytes. Not here:
HTTP itself, retries, our own states.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from msgspec import structs

from connectors.adyen import verdicts
from connectors.adyen.declines import OPERATION_REFUSALS, REFUSALS, Codes, failure
from connectors.adyen.objects import AdyenError, Json, adyen_error, decode, modification, payment_result, reference, word
from connectors.adyen.redaction import redacted
from connectors.adyen.requests import CANCELS, target
from connectors.adyen.verdicts import unknown
from connectors.contract import HttpResponse
from payorch.domain.outcome import Approved, Declined, ErrorClass, Evidence, Finding, NotExecuted, Pending, Source
from payorch.domain.records import Attempt, Operation, OperationKind, PreparedCall

_REFUSED_MESSAGE: Final = frozenset({400, 404, 422})
_IN_PROGRESS: Final = "704"
"""Adyen's error code for a key that is in use: "request already processed or in progress". Its HTTP status is 409, or 422."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """One answer to read: what it is about, what was asked, and its body decoded."""

    subject: Attempt | Operation
    call: PreparedCall
    status: int
    data: Json | None
    transient: bool
    source: Source
    at: datetime

    @property
    def is_fence(self) -> bool:
        """A cancel by our reference, about an attempt of which Adyen's own may not be known."""
        return self.call.path == CANCELS

    def evidence(self, finding: Finding) -> Evidence:
        return Evidence(source=self.source, finding=finding, at=self.at)


def read(subject: Attempt | Operation, call: PreparedCall, response: HttpResponse, *, source: Source, at: datetime) -> Evidence:
    """What this answer to `call` says about the subject; see the module's table. Never raises on any bytes."""
    data, transient = decode(response.body), response.header("transient-error") == "true"
    case = _Case(subject=subject, call=call, status=response.status, data=data, transient=transient, source=source, at=at)
    raw = redacted(response.status, data, len(response.body))
    request_id = reference(response.header("pspreference")) or word(response.header("request-id"))
    return structs.replace(_reading(case), psp_request_id=request_id, raw=raw)


def _reading(case: _Case) -> Evidence:
    if 200 <= case.status < 300:
        if case.is_fence or isinstance(case.subject, Operation):
            return _received(case)
        return _result(case)
    return case.evidence(_refused(case))


# --- 2xx: the body ----------------------------------------------------------------------------------------------------------------------


def _result(case: _Case) -> Evidence:
    result = payment_result(case.data)
    if result is None:
        return case.evidence(unknown(case.status, code="not_a_payment_result"))
    known = case.subject.psp_reference
    finding = verdicts.of_result(result, http_status=case.status)
    final = isinstance(finding, (Approved, Declined)) or (isinstance(finding, Pending) and finding.action is None)
    if final and None not in (known, result.psp_reference) and known != result.psp_reference:
        return case.evidence(unknown(case.status, code="another_payment"))
    return Evidence(
        source=case.source,
        finding=finding,
        at=case.at,
        # The answer that sends the shopper away may have a reference of its own, and the one to /payments/details that of the payment.
        psp_reference=result.psp_reference if final else None,
        our_reference=result.reference,
        amount=result.amount if isinstance(finding, Approved) else None,
    )


def _received(case: _Case) -> Evidence:
    """That a modification was taken, under a reference of its own. A fence's answer proves nothing about its attempt."""
    shown = modification(case.data)
    if shown is None:
        return case.evidence(unknown(case.status, code="not_received"))
    asked = case.subject.id if isinstance(case.subject, Attempt) else target(case.call)
    if not case.is_fence and shown.payment != asked:
        return case.evidence(unknown(case.status, code="another_payment"))
    if isinstance(case.subject, Attempt):
        return case.evidence(unknown(case.status, code="fence_received"))
    if shown.says_amount and case.subject.kind is not OperationKind.VOID and shown.amount != case.subject.amount:
        return case.evidence(unknown(case.status, code="another_amount"))
    return Evidence(
        source=case.source,
        finding=Pending(),
        at=case.at,
        psp_reference=shown.psp_reference,
        our_reference=None if case.is_fence else shown.reference,
        amount=shown.amount,
    )


# --- refusals ---------------------------------------------------------------------------------------------------------------------------


def _refused(case: _Case) -> Finding:
    """What an answer says that is not 2xx."""
    error, status = adyen_error(case.data), case.status
    in_use = status == 409 or (error is not None and error.code == _IN_PROGRESS)
    if case.transient or in_use or not 400 <= status < 500 or status == 408:
        return unknown(status, error=error)
    if status in (401, 403, 429):
        error_class = ErrorClass.RATE_LIMITED if status == 429 else ErrorClass.CONFIGURATION
        return _not_executed(case, error, error_class) if case.source is Source.RESPONSE else unknown(status, error=error)
    if error is None or status not in _REFUSED_MESSAGE:
        return unknown(status, error=error)
    return _invalid(case, error)


def _invalid(case: _Case, error: AdyenError) -> Finding:
    if case.is_fence and isinstance(case.subject, Attempt):
        return unknown(case.status, error=error)  # the fence was refused: that says nothing about the attempt
    if isinstance(case.subject, Operation) and (refusal := OPERATION_REFUSALS.get(error.code)) is not None:
        return Declined(failure=failure(refusal, Codes(code=error.code), message=error.message, http_status=case.status))
    return _not_executed(case, error, REFUSALS.get(error.code, ErrorClass.INVALID_REQUEST))


def _not_executed(case: _Case, error: AdyenError | None, error_class: ErrorClass) -> Finding:
    """It had no effect. Of a fence that is refused this is only said where the fence is an operation of its own."""
    if case.is_fence and isinstance(case.subject, Attempt):
        return unknown(case.status, error=error)
    codes = Codes(code=error.code if error is not None else None)
    message = error.message if error is not None else None
    return NotExecuted(failure=failure(error_class, codes, message=message, http_status=case.status), sent=True)
