"""What a refused or failed request is answered with: RFC 9457 problem details, and the one table of all their codes.

A code stands in exactly one row of `CATALOGUE`, which fixes its HTTP status, its title, whether the same request
may be sent again unchanged, and what is known of the money. Nothing else in the API chooses an error status.

The `type` of a problem is `urn:payorch:problem:<code>`: a name to compare, as RFC 9457 allows, and not an address
to open; it stays the same when documentation moves. `code` is its last part, for convenience. Declines are not
problems: they are payments with `status: "failed"`.

A problem is made of our own words and of pointers into the request: never of an exception's text, a stack trace, or
a value that was sent.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from http import HTTPStatus
from typing import Final, Literal, TypeAlias

from payorch.api.card_numbers import redact
from payorch.api.strict_json import JsonObject, JsonValue

MEDIA_TYPE: Final = "application/problem+json"
_TYPE_PREFIX: Final = "urn:payorch:problem:"

# A pointer repeats names that the caller chose, and those can be as long as a body.
_LONGEST_POINTER: Final = 200

MoneyMoved: TypeAlias = Literal["no", "yes", "unknown"]


class Code(StrEnum):
    """What went wrong, in the words of the contract. Merchants compare these: they are never renamed."""

    INVALID_JSON = "invalid_json"
    VALIDATION_FAILED = "validation_failed"
    IDEMPOTENCY_KEY_MISSING = "idempotency_key_missing"
    IDEMPOTENCY_KEY_INVALID = "idempotency_key_invalid"
    SIGNATURE_REFUSED = "signature_refused"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    SAME_PERSON = "same_person"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    OPERATION_NOT_ALLOWED = "operation_not_allowed"
    CAPABILITY_NOT_SUPPORTED = "capability_not_supported"
    ENDPOINT_LIMIT_REACHED = "endpoint_limit_reached"
    STREAM_GAP = "stream_gap"
    ACTION_OPEN = "action_open"
    PLAN_EXPIRED = "plan_expired"
    PLAN_CHANGED = "plan_changed"
    PAYLOAD_TOO_LARGE = "payload_too_large"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    IDEMPOTENCY_KEY_REUSED = "idempotency_key_reused"
    AMOUNT_EXCEEDS_CAPTURABLE = "amount_exceeds_capturable"
    AMOUNT_EXCEEDS_REFUNDABLE = "amount_exceeds_refundable"
    CARD_DATA_REFUSED = "card_data_refused"
    RATE_LIMITED = "rate_limited"
    HEADERS_TOO_LARGE = "headers_too_large"
    INTERNAL_ERROR = "internal_error"
    OVERLOADED = "overloaded"
    UNAVAILABLE = "unavailable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One row of the catalogue.

    `retryable`: the same request, unchanged and with the same Idempotency-Key, may succeed later. `money_moved`:
    what holds unless the place that raises the problem knows better. `detail`: what happened, what it means for the
    money, what to do. `waits`: the answer must say when to come back (Retry-After).
    """

    status: HTTPStatus
    title: str
    detail: str
    retryable: bool = False
    money_moved: MoneyMoved = "no"
    waits: bool = False


CATALOGUE: Final[Mapping[Code, Kind]] = {
    Code.INVALID_JSON: Kind(
        status=HTTPStatus.BAD_REQUEST,
        title="The body is not JSON",
        detail="The body could not be read as JSON. Nothing was executed and no money moved. Correct the body; the "
        "Idempotency-Key may be used again.",
    ),
    Code.VALIDATION_FAILED: Kind(
        status=HTTPStatus.BAD_REQUEST,
        title="The request is not valid",
        detail="Some fields or parameters are missing, unknown or out of range; `errors` points at each. Nothing was "
        "executed and no money moved. Correct them; the Idempotency-Key may be used again.",
    ),
    Code.IDEMPOTENCY_KEY_MISSING: Kind(
        status=HTTPStatus.BAD_REQUEST,
        title="The Idempotency-Key is missing",
        detail="A request that moves money needs an Idempotency-Key header. Nothing was executed and no money moved. "
        "Send one that belongs to this one operation of yours, and the same again when you repeat it.",
    ),
    Code.IDEMPOTENCY_KEY_INVALID: Kind(
        status=HTTPStatus.BAD_REQUEST,
        title="The Idempotency-Key is not valid",
        detail="The Idempotency-Key header is given twice, empty, too long or not printable ASCII. Nothing was "
        "executed and no money moved. Send it once, with 1 to 255 printable ASCII characters, bare or in "
        "double quotes.",
    ),
    Code.SIGNATURE_REFUSED: Kind(
        status=HTTPStatus.BAD_REQUEST,
        title="The signature is not valid",
        detail="The delivery is not signed with the secret of this connector, or was signed too long ago or in the future. Nothing of it "
        "was stored and no money moved. Check the signing secret and the clock; a genuine delivery is sent again by the PSP.",
    ),
    Code.UNAUTHENTICATED: Kind(
        status=HTTPStatus.UNAUTHORIZED,
        title="The key is missing or not valid",
        detail="There is no valid key in the Authorization header. Nothing was executed and no money moved. Send "
        "`Authorization: Bearer <key>` once, with a key that is complete, not revoked and not expired.",
    ),
    Code.FORBIDDEN: Kind(
        status=HTTPStatus.FORBIDDEN,
        title="The key does not allow this",
        detail="The key is valid, but not for this call: it is of another kind or has too small a role. Nothing was "
        "executed and no money moved. Use another key.",
    ),
    Code.SAME_PERSON: Kind(
        status=HTTPStatus.FORBIDDEN,
        title="Another person has to do this",
        detail="This takes the eyes of two persons, and yours have been on it already, whatever account or token you use. Nothing was done "
        "and no money moved. Ask somebody else.",
    ),
    Code.NOT_FOUND: Kind(
        status=HTTPStatus.NOT_FOUND,
        title="There is no such object",
        detail="Nothing with this address belongs to you. Nothing was executed and no money moved. Check the id, the "
        "path and the key you use.",
    ),
    Code.METHOD_NOT_ALLOWED: Kind(
        status=HTTPStatus.METHOD_NOT_ALLOWED,
        title="The method is not allowed here",
        detail="This address does not take this method. Nothing was executed and no money moved. Use one of those in the Allow header.",
    ),
    Code.REQUEST_TIMEOUT: Kind(
        status=HTTPStatus.REQUEST_TIMEOUT,
        title="The request took too long to arrive",
        detail="The body had not arrived completely when the time for it was over. Nothing was executed and no money "
        "moved. Send the request again with the same Idempotency-Key.",
        retryable=True,
    ),
    Code.IDEMPOTENCY_IN_PROGRESS: Kind(
        status=HTTPStatus.CONFLICT,
        title="The first request with this key is still being executed",
        detail="A request with this Idempotency-Key is still being executed, and money may move by it; this one did "
        "nothing. Repeat it with the same key after the time in Retry-After: the answer will be that of the "
        "first.",
        retryable=True,
        money_moved="unknown",
        waits=True,
    ),
    Code.OPERATION_NOT_ALLOWED: Kind(
        status=HTTPStatus.CONFLICT,
        title="The present state does not allow this",
        detail="The payment is in a state in which this operation is not possible. It was not executed and moved no "
        "money. `allowed` lists what is possible now; read the payment before you go on.",
    ),
    Code.CAPABILITY_NOT_SUPPORTED: Kind(
        status=HTTPStatus.CONFLICT,
        title="The payment's connector cannot do this",
        detail="The connector that holds this payment does not offer this. It was not executed and moved no money. "
        "For a partial capture, send `final: true`, which releases the rest; otherwise read the connector's "
        "capabilities.",
    ),
    Code.ENDPOINT_LIMIT_REACHED: Kind(
        status=HTTPStatus.CONFLICT,
        title="There are as many webhook endpoints as there may be",
        detail="You have as many webhook endpoints as one merchant may have. None was added and no money moved. Delete one that you no "
        "longer use, or let one take more types of events.",
    ),
    Code.STREAM_GAP: Kind(
        status=HTTPStatus.GONE,
        title="The stream cannot be taken up there",
        detail="The position is ahead of the journal or too far behind it. Nothing was executed and no money moved. Take a new snapshot, "
        "and the stream from its cursor on.",
    ),
    Code.ACTION_OPEN: Kind(
        status=HTTPStatus.CONFLICT,
        title="The same has been asked for already",
        detail="The same action upon the same subject waits for a second person, or is being carried out. This one was not taken and no "
        "money moved. Look at the open one.",
    ),
    Code.PLAN_EXPIRED: Kind(
        status=HTTPStatus.GONE,
        title="The plan does not hold any more",
        detail="The time for acting upon this plan, or for deciding about it, is over. Nothing was done and no money moved. Make the plan "
        "anew and look at it.",
    ),
    Code.PLAN_CHANGED: Kind(
        status=HTTPStatus.PRECONDITION_FAILED,
        title="The plan comes out differently now",
        detail="What the plan is about has changed since it was made. Nothing was done and no money moved. Look at the new plan, which is "
        "in `plan` where it could be made, and ask for that one if it is still what you want.",
    ),
    Code.PAYLOAD_TOO_LARGE: Kind(
        status=HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        title="The body is too large",
        detail="The body is larger than this address takes. It was not read, nothing was executed and no money "
        "moved. Send less, in metadata for instance.",
    ),
    Code.UNSUPPORTED_MEDIA_TYPE: Kind(
        status=HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        title="The body's media type is not supported",
        detail="The body must be JSON. It was not read, nothing was executed and no money moved. Send `Content-Type: "
        "application/json`, in UTF-8, not compressed.",
    ),
    Code.IDEMPOTENCY_KEY_REUSED: Kind(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The Idempotency-Key belongs to another request",
        detail="This Idempotency-Key was first used with another method, path or body. This request was not executed "
        "and moved no money; the first one stands as it was answered. Use a new key for a new operation; to "
        "repeat the first, send it unchanged.",
    ),
    Code.AMOUNT_EXCEEDS_CAPTURABLE: Kind(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The amount exceeds what can be captured",
        detail="The amount is more than what is left of the authorisation. It was not captured and no money moved. "
        "Read `amount_capturable` of the payment and send at most that, or leave the amount out to capture "
        "all of it.",
    ),
    Code.AMOUNT_EXCEEDS_REFUNDABLE: Kind(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="The amount exceeds what can be refunded",
        detail="The amount is more than what was captured and not yet refunded; refunds under way, or with an "
        "unknown result, count. It was not refunded and no money moved. Read `amount_refundable` of the "
        "payment and send at most that.",
    ),
    Code.CARD_DATA_REFUSED: Kind(
        status=HTTPStatus.UNPROCESSABLE_ENTITY,
        title="Card data is not accepted",
        detail="The request holds what looks like a card number, or a field named like a security code; `errors` "
        "points at it. Nothing was stored or executed and no money moved. Send a token of your PSP; write a "
        "reference of digits with a letter in front (R4000123412341234).",
    ),
    Code.RATE_LIMITED: Kind(
        status=HTTPStatus.TOO_MANY_REQUESTS,
        title="Too many requests",
        detail="You send more requests than your limit allows. This one was not executed and moved no money. Repeat "
        "it with the same Idempotency-Key after the time in Retry-After.",
        retryable=True,
        waits=True,
    ),
    Code.HEADERS_TOO_LARGE: Kind(
        status=HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
        title="The headers are too large",
        detail="The request's headers are larger than the limit. Nothing was executed and no money moved. Send fewer "
        "or shorter ones, cookies for instance.",
    ),
    Code.INTERNAL_ERROR: Kind(
        status=HTTPStatus.INTERNAL_SERVER_ERROR,
        title="Something is wrong on our side",
        detail="A fault of ours stopped the request, and whether it was executed is not certain: money may have "
        "moved. Do not start a new payment. Repeat the request with the same Idempotency-Key, or read the "
        "payment; name the request_id when you ask us.",
        retryable=True,
        money_moved="unknown",
    ),
    Code.OVERLOADED: Kind(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        title="The platform is at its capacity",
        detail="More work is waiting than the platform can take. This request was not accepted and moved no money. "
        "Repeat it with the same Idempotency-Key after the time in Retry-After.",
        retryable=True,
        waits=True,
    ),
    Code.UNAVAILABLE: Kind(
        status=HTTPStatus.SERVICE_UNAVAILABLE,
        title="The platform cannot reach its database",
        detail="The database does not answer, and whether the request was accepted is not certain: money may have "
        "moved. Do not start a new payment. Repeat the request with the same Idempotency-Key after the time "
        "in Retry-After.",
        retryable=True,
        money_moved="unknown",
        waits=True,
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldError:
    """One place in the request that is wrong: an RFC 6901 pointer into the body ("" is all of it) and what to do about
    it.
    """

    pointer: str
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One answer of the kind application/problem+json; made by `problem`, which fills it from the catalogue.

    `extra` holds members beyond the standard ones (`allowed`, for instance); `headers` are those that go with this
    answer, as (name, value).
    """

    code: Code
    status: int
    title: str
    detail: str
    request_id: str
    retryable: bool
    money_moved: MoneyMoved
    errors: tuple[FieldError, ...] = ()
    extra: Mapping[str, JsonValue] = field(default_factory=dict)
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def type(self) -> str:
        """The problem type, a URI to compare and not to open: `urn:payorch:problem:<code>`."""
        return _TYPE_PREFIX + self.code

    def as_json(self) -> bytes:
        """The body: UTF-8 JSON with the members of the contract first, then the extra ones. Names that look like card
        numbers are removed.
        """
        errors: list[JsonValue] = [{"pointer": _shown(error.pointer), "detail": error.detail} for error in self.errors]
        members: JsonObject = {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code.value,
            "request_id": self.request_id,
            "errors": errors,
            "retryable": self.retryable,
            "money_moved": self.money_moved,
        }
        clash = members.keys() & self.extra.keys()
        if clash:
            raise ValueError(f"extra members would replace those of the contract: {sorted(clash)}")
        return json.dumps(members | dict(self.extra), ensure_ascii=True, separators=(",", ":")).encode("ascii")


def problem(
    code: Code,
    *,
    request_id: str,
    detail: str | None = None,
    errors: Sequence[FieldError] = (),
    money_moved: MoneyMoved | None = None,
    retry_after_seconds: int | None = None,
    allowed: Sequence[str] | None = None,
    extra: Mapping[str, JsonValue] | None = None,
) -> Problem:
    """The problem of this code, after the catalogue; `detail` and `money_moved` replace the catalogue's where the
    caller knows more.

    `retry_after_seconds` (whole, at least 1) is required where the catalogue says that the answer waits, and
    possible elsewhere. `allowed` is required for `operation_not_allowed` (operations, an extra member) and
    `method_not_allowed` (methods, the Allow header), and for nothing else. Breaking these is a bug: ValueError. `extra`: members of
    this one answer, beyond those of the contract.
    """
    kind = CATALOGUE[code]
    if (allowed is not None) != (code in (Code.OPERATION_NOT_ALLOWED, Code.METHOD_NOT_ALLOWED)):
        raise ValueError(f"{code} and `allowed` do not go together")
    if kind.waits and retry_after_seconds is None:
        raise ValueError(f"{code} says when to come back: retry_after_seconds")
    return Problem(
        code=code,
        status=kind.status.value,
        title=kind.title,
        detail=detail or kind.detail,
        request_id=request_id,
        retryable=kind.retryable,
        money_moved=money_moved or kind.money_moved,
        errors=tuple(errors),
        extra={**(extra or {}), **({"allowed": list(allowed)} if allowed is not None and code is Code.OPERATION_NOT_ALLOWED else {})},
        headers=_headers(code, allowed or (), retry_after_seconds),
    )


def _headers(code: Code, allowed: Sequence[str], retry_after_seconds: int | None) -> tuple[tuple[str, str], ...]:
    headers = [("Content-Type", MEDIA_TYPE)]
    if retry_after_seconds is not None:
        if retry_after_seconds < 1:
            raise ValueError("Retry-After is at least one second: 0 invites to hammer")
        headers.append(("Retry-After", str(retry_after_seconds)))
    if code is Code.UNAUTHENTICATED:
        headers.append(("WWW-Authenticate", "Bearer"))
    if code is Code.METHOD_NOT_ALLOWED:
        headers.append(("Allow", ", ".join(allowed)))
    return tuple(headers)


def _shown(pointer: str) -> str:
    clean = redact(pointer)
    return clean if len(clean) <= _LONGEST_POINTER else clean[:_LONGEST_POINTER] + "..."
