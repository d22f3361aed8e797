"""Adyen's errors as its API words them, raised by the dialect and turned into answers in one place.

Source: docs.adyen.com/development-resources/error-codes and the examples of the OpenAPI document. Codes that no source here confirms are
marked; nothing in the connector decides by one of those.
"""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """An answer that refuses the message. Nothing was written."""

    def __init__(self, status: int, code: str, message: str, kind: str = "validation") -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {"status": status, "errorCode": code, "message": message, "errorType": kind}


def invalid(code: str, message: str) -> Refused:
    """422: the message was read, and is not one that can be carried out."""
    return Refused(422, code, message)


def unreadable(message: str) -> Refused:
    """400: not what the API takes at all."""
    return Refused(400, "702", message)


def unauthorized() -> Refused:
    """401: no key, or none that is one."""
    return Refused(401, "000", "HTTP Status Response - Unauthorized", "security")


def wrong_account() -> Refused:
    """403: the key is not for that merchant account."""
    return Refused(403, "901", "Invalid Merchant Account", "security")


def in_progress(status: int = 409) -> Refused:
    """The same idempotency key is in use."""
    return Refused(status, "704", "request already processed or in progress")


def too_many() -> Refused:
    """429. (unverified: the code.)"""
    return Refused(429, "00_500", "Too many requests")


def broken() -> Refused:
    """500. (unverified: the code.)"""
    return Refused(500, "903", "Internal error", "internal")
