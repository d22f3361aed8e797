"""Stripe's errors as its API words them, raised by the dialect and turned into answers in one place.

Two kinds, because Stripe's idempotency layer tells them apart: `Invalid` is refused before any work began and is not stored under the
key; `Refused` is the result of executing and is.
"""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer other than 200, with Stripe's error object. What was written before it was raised stays written."""

    def __init__(
        self,
        message: str,
        *,
        status: int = 400,
        type: str = "invalid_request_error",
        code: str | None = None,
        param: str | None = None,
        **more: Any,
    ) -> None:
        super().__init__(message)
        self.status = status
        error: dict[str, Any] = {}
        if code is not None:
            error |= {"code": code, "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}"}
        error |= {name: value for name, value in more.items() if value is not None}
        error["message"] = message
        if param is not None:
            error["param"] = param
        self.error = {**error, "type": type}


class Invalid(Refused):
    """A request that never began to execute: the same key may be used again."""


def missing(param: str) -> Invalid:
    """A required parameter is absent."""
    return Invalid(f"Missing required param: {param}.", code="parameter_missing", param=param)


def empty(param: str) -> Invalid:
    """A parameter that cannot be unset is an empty string."""
    message = (
        f"You passed an empty string for '{param}'. We assume empty values are an attempt to unset a parameter; however"
        f" '{param}' cannot be unset. You should remove '{param}' from your request or supply a non-empty value."
    )
    return Invalid(message, code="parameter_invalid_empty", param=param)


def no_such(kind: str, id: str, param: str | None = None, *, status: int = 404) -> Refused:
    """An object that is not there; 404 where it stands in the path, 400 where it is a parameter."""
    return Refused(f"No such {kind}: '{id}'", status=status, code="resource_missing", param=param or kind)


def unexpected_state(message: str, intent: dict[str, Any]) -> Refused:
    """The PaymentIntent is not in a status that allows this; it is embedded."""
    return Refused(message, code="payment_intent_unexpected_state", payment_intent=intent)
