"""Reads the request headers that carry meaning: Idempotency-Key, X-Request-Id, Authorization, and those that describe the body.

Takes headers as ASGI gives them, (name, value) pairs of bytes in their order, so that a header sent twice is seen
as such: frameworks join or drop the second, and then two parties can read two different requests. Authorising, and
what an idempotency key does, happen elsewhere.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final, TypeAlias

from werkzeug.http import parse_options_header

from payorch.api.card_numbers import REFUSED_NUMBER, looks_like_card_number
from payorch.api.problems import Code
from payorch.keys import Secret

Headers: TypeAlias = Iterable[tuple[bytes, bytes]]

LONGEST_IDEMPOTENCY_KEY: Final = 255  # characters, after quotes and escapes are taken off
LONGEST_REQUEST_ID: Final = 128

_PRINTABLE: Final = re.compile(rb"[\x20-\x7e]*")
# RFC 8941, section 3.3.3: within quotes, `\` escapes `"` and `\` and nothing else. Possessive: read once, whatever
# comes.
_QUOTED: Final = re.compile(rb'"((?:[\x20-\x21\x23-\x5b\x5d-\x7e]|\\["\\])*+)"')
_ESCAPE: Final = re.compile(rb'\\(["\\])')
# What logs, URLs and shells take without quoting.
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:-]{1,%d}" % LONGEST_REQUEST_ID)
# RFC 6750, section 2.1; the scheme is case-insensitive (RFC 9110, section 11.1). Longer than any key of ours is not
# one.
_BEARER: Final = re.compile(rb"bearer +([A-Za-z0-9._~+/-]{1,512}={0,2})", re.IGNORECASE)


class HeaderRefused(Exception):
    """A header cannot be taken: the caller's fault. `code` is the problem to answer with; `detail` says why, without
    the value.
    """

    def __init__(self, code: Code, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail


def idempotency_key(headers: Headers) -> str:
    """The key of this request: 1 to 255 printable ASCII characters.

    Bare (`abc`) and as a quoted RFC 8941 string (`"abc"`) it is the same key. White space around the value does not
    count (RFC 9110, section 5.5). Parameters after a quoted string are refused: none is defined. Raises
    `HeaderRefused` with `idempotency_key_missing`, `idempotency_key_invalid`, or `card_data_refused`, as the key is
    kept for ever.
    """
    values = _values(headers, b"idempotency-key")
    if not values:
        raise HeaderRefused(Code.IDEMPOTENCY_KEY_MISSING, "This request moves money and needs an Idempotency-Key header.")
    if len(values) > 1:
        raise HeaderRefused(Code.IDEMPOTENCY_KEY_INVALID, "The Idempotency-Key header is given more than once.")
    key = _unquoted(values[0])
    if not 1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY:
        raise HeaderRefused(
            Code.IDEMPOTENCY_KEY_INVALID,
            f"The Idempotency-Key has {len(key)} characters; it takes 1 to {LONGEST_IDEMPOTENCY_KEY}.",
        )
    text = key.decode("ascii")
    if looks_like_card_number(text):
        raise HeaderRefused(Code.CARD_DATA_REFUSED, f"Idempotency-Key: {REFUSED_NUMBER}")
    return text


def request_id(headers: Headers) -> str | None:
    """The caller's X-Request-Id, or None where a new one is to be made: it is missing, given twice, too long, or not
    of [A-Za-z0-9._:-].

    Never an error: a tracing header is no reason to refuse a payment. What looks like a card number is not taken
    either.
    """
    values = _values(headers, b"x-request-id")
    if len(values) != 1 or _REQUEST_ID.fullmatch(values[0]) is None:
        return None
    text = values[0].decode("ascii")
    return None if looks_like_card_number(text) else text


def bearer_token(headers: Headers) -> Secret:
    """The token of `Authorization: Bearer <token>`, as it was sent; whether it is a key is for `payorch.keys.parse` to
    say.

    Raises `HeaderRefused` with `unauthenticated`: no such header, given twice, another scheme, or not of the form
    of a token.
    """
    values = _values(headers, b"authorization")
    if not values:
        raise HeaderRefused(Code.UNAUTHENTICATED, "The Authorization header is missing: send `Authorization: Bearer <key>`.")
    if len(values) > 1:
        raise HeaderRefused(Code.UNAUTHENTICATED, "The Authorization header is given more than once.")
    match = _BEARER.fullmatch(values[0])
    if match is None:
        raise HeaderRefused(Code.UNAUTHENTICATED, "The Authorization header is not of the form `Bearer <key>`.")
    return Secret(match[1].decode("ascii"))


def is_json(headers: Headers) -> bool:
    """Whether the body is said to be what this API takes: JSON, in UTF-8, not compressed."""
    types, codings = _values(headers, b"content-type"), _values(headers, b"content-encoding")
    if types == [b"application/json"] and not codings:
        return True  # nearly every request
    media_type, parameters = parse_options_header(types[0].decode("latin-1") if types else "")
    charset = parameters.get("charset", "utf-8").lower()
    plain = not codings or codings[0].lower() == b"identity"
    return media_type.lower() == "application/json" and charset in ("utf-8", "utf8") and plain


def content_length(headers: Headers) -> int:
    """The number of bytes that the body is said to have; 0 where nobody says it, as in a chunked request."""
    values = _values(headers, b"content-length")
    return int(values[0]) if len(values) == 1 and values[0].isdigit() else 0


def _values(headers: Headers, name: bytes) -> list[bytes]:
    # ASGI promises lower-case names; a test client or another server may not keep that promise.
    return [value.strip(b" \t") for given, value in headers if given.lower() == name]


def _unquoted(value: bytes) -> bytes:
    if _PRINTABLE.fullmatch(value) is None:
        raise HeaderRefused(Code.IDEMPOTENCY_KEY_INVALID, "The Idempotency-Key holds characters that are not printable ASCII.")
    if not value.startswith(b'"'):
        return value
    match = _QUOTED.fullmatch(value)
    if match is None:
        raise HeaderRefused(
            Code.IDEMPOTENCY_KEY_INVALID,
            'The Idempotency-Key starts with a quote but is not a quoted string: "..." with \\" and \\\\ as the only escapes.',
        )
    return _ESCAPE.sub(rb"\1", match[1])
