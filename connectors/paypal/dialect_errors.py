"""PayPal's errors as its APIs word them, raised by the dialect and turned into answers in one place.

Names and messages are those of the published OpenAPI documents, an issue's description too, where it is the same in all of them. Not here:
when which is raised.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

_HEADS: Final[Mapping[int, tuple[str, str]]] = MappingProxyType(
    {
        400: ("INVALID_REQUEST", "Request is not well-formed, syntactically incorrect, or violates schema."),
        401: (
            "AUTHENTICATION_FAILURE",
            "Authentication failed due to missing authorization header, or invalid authentication credentials.",
        ),
        403: ("NOT_AUTHORIZED", "Authorization failed due to insufficient permissions."),
        404: ("RESOURCE_NOT_FOUND", "The specified resource does not exist."),
        409: ("RESOURCE_CONFLICT", "The server has detected a conflict while processing this request."),
        415: ("UNSUPPORTED_MEDIA_TYPE", "The server does not support the request payload's media type."),
        422: (
            "UNPROCESSABLE_ENTITY",
            "The requested action could not be performed, semantically incorrect, or failed business validation.",
        ),
        # Neither the name nor the limits are published.
        429: ("RATE_LIMIT_REACHED", "Too many requests. Blocked due to rate limiting."),
        500: ("INTERNAL_SERVER_ERROR", "An internal server error occurred."),
        503: ("SERVICE_UNAVAILABLE", "Service Unavailable."),
    }
)

_DESCRIPTIONS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ACTION_DOES_NOT_MATCH_INTENT": "Order was created with another intent than this action has.",
        "AUTHORIZATION_ALREADY_CAPTURED": "Authorization has previously been captured.",
        "AUTHORIZATION_DENIED": "An denied authorization cannot be captured.",
        "AUTHORIZATION_EXPIRED": "An expired authorization cannot be captured.",
        "AUTHORIZATION_VOIDED": "A voided authorization cannot be captured or reauthorized. ",
        "AUTH_CAPTURE_CURRENCY_MISMATCH": "Currency of capture must be the same as currency of authorization.",
        "CANNOT_BE_ZERO_OR_NEGATIVE": (
            "Must be greater than zero. If the currency supports decimals, only two decimal place precision is supported."
        ),
        "CAPTURE_FULLY_REFUNDED": "The capture has already been fully refunded",
        "DECIMALS_NOT_SUPPORTED": "Currency does not support decimals.",
        "DECIMAL_PRECISION": "If the currency supports decimals, only two decimal place precision is supported.",
        "DUPLICATE_INVOICE_ID": "Requested invoice_id has been previously captured. Possible duplicate transaction.",
        "INSTRUMENT_DECLINED": (
            "The instrument presented  was either declined by the processor or bank, or it can't be used for this payment."
        ),
        "INVALID_CURRENCY_CODE": "Currency code is invalid or is not currently supported.",
        "INVALID_PARAMETER_SYNTAX": "The value of a field does not conform to the expected format.",
        "INVALID_PARAMETER_VALUE": "The value of a field is invalid.",
        "INVALID_RESOURCE_ID": "Specified resource ID does not exist. Please check the resource ID and try again.",
        "INVALID_STRING_LENGTH": "The value of a field is either too short or too long.",
        "MALFORMED_REQUEST_JSON": "The request JSON is not well formed.",
        "MAX_CAPTURE_AMOUNT_EXCEEDED": "Capture amount exceeds allowable limit.",
        "MAX_CAPTURE_COUNT_EXCEEDED": "Maxmimum number of allowable captures has been reached.",
        "MISSING_REQUIRED_PARAMETER": "A required field / parameter is missing.",
        "ORDER_ALREADY_AUTHORIZED": "Order already authorized.If 'intent=AUTHORIZE' only one authorization per order is allowed.",
        "ORDER_ALREADY_CAPTURED": "Order already captured.If 'intent=CAPTURE' only one capture per order is allowed.",
        "ORDER_EXPIRED": "Order is expired and hence cannot be authorized.",
        "ORDER_NOT_APPROVED": "Payer has not yet approved the Order for payment.",
        "PAYER_ACTION_REQUIRED": "Transaction cannot complete successfully, instruct the buyer to return to PayPal.",
        "PAYPAL_REQUEST_ID_REQUIRED": "A PayPal-Request-Id is required if you are trying to process payment for an Order.",
        "PENDING_CAPTURE": "Cannot initiate a refund as the capture is pending.",
        "PERMISSION_DENIED": "You do not have permission to access or perform operations on this resource.",
        "PREVIOUSLY_CAPTURED": "Authorization has been previously captured and hence cannot be voided.",
        "PREVIOUSLY_VOIDED": "Authorization has been previously voided and hence cannot be voided again.",
        "PREVIOUS_REQUEST_IN_PROGRESS": "A previous request on this resource is currently in progress.",
        "REFUND_AMOUNT_EXCEEDED": ("The refund amount must be less than or equal to the capture amount that has not yet been refunded."),
        "REFUND_CAPTURE_CURRENCY_MISMATCH": "Refund must be in the same currency as the capture",
        "REFUND_NOT_ALLOWED": "Capture cannot be refunded.",
        "REFUND_NOT_PERMITTED_DUE_TO_CHARGEBACK": "Refunds are not allowed on this capture due to a chargeback on the card or bank.",
        "TOKEN_ID_NOT_FOUND": "Specified token was not found. Verify the token and try the request again.",
        "TRANSACTION_REFUSED": "The request was refused.",
        "UNSUPPORTED_INTENT": "This intent is not supported for several purchase units here.",
    }
)


class Refused(Exception):
    """An answer that is no success, in PayPal's form. Nothing was written, unless it says otherwise where it is raised."""

    def __init__(
        self,
        status: int,
        issue: str | None = None,
        *,
        field: str | None = None,
        value: object = None,
        links: tuple[Mapping[str, str], ...] = (),
    ) -> None:
        name, message = _HEADS[status]
        super().__init__(f"{name}: {issue}" if issue is not None else name)
        self.status = status
        self.issue = issue
        self._body: dict[str, Any] = {"name": name, "message": message}
        if issue is not None:
            detail: dict[str, Any] = {"issue": issue, "description": _DESCRIPTIONS.get(issue, "The request was refused.")}
            if field is not None:
                detail |= {"field": field, "location": "body"}
            if isinstance(value, str):
                detail["value"] = value[:100]
            self._body["details"] = [detail]
        self._links = links

    def body(self, debug_id: str) -> dict[str, Any]:
        """The error object."""
        name = (self.issue or "").lower()
        about = {"href": f"https://developer.paypal.com/api/rest/responses/#{name}", "rel": "information_link", "method": "GET"}
        return {**self._body, "debug_id": debug_id, "links": [about, *self._links]}


class NotAuthorized(Exception):
    """What OAuth itself refuses: another form of error, and another one for each kind of wrong. `error`: OAuth's word."""

    def __init__(self, error: str, description: str) -> None:
        super().__init__(description)
        self.error = error
        self.description = description


def missing(field: str) -> Refused:
    """A required field is absent."""
    return Refused(400, "MISSING_REQUIRED_PARAMETER", field=field)


def wrong(field: str, value: object = None, *, issue: str = "INVALID_PARAMETER_VALUE") -> Refused:
    """A field holds what cannot stand there."""
    return Refused(400, issue, field=field, value=value)


def impossible(issue: str, *, field: str | None = None, value: object = None) -> Refused:
    """The message is well-formed, and what it asks for cannot be done."""
    return Refused(422, issue, field=field, value=value)


def no_such() -> Refused:
    """Nothing has that id."""
    return Refused(404, "INVALID_RESOURCE_ID")
