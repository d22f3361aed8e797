"""What calls read from a request, the same for all of them: the id in a path, the parameters of a query, a body.

A parameter that is not known, given twice or not readable is refused rather than ignored: a list that silently shows too much is worse than
none. Not here: what a body may hold (`contracts`), headers (`headers`), which parameters a call has.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias
from urllib.parse import parse_qsl

import msgspec
from quart import Response, request

from payorch.api.card_numbers import REFUSED_NUMBER, looks_like_card_number
from payorch.api.contracts import read_json
from payorch.api.headers import Headers, is_json
from payorch.api.problems import Code, FieldError
from payorch.api.refusal import Refusal, not_found
from payorch.api.strict_json import JsonObject, pointer_to
from payorch.api.surroundings import HttpLimits
from payorch.domain.identifiers import MalformedIdentifier, parse

Body: TypeAlias = Callable[[], Awaitable[bytes]]
"""Gives the whole body, or raises what is wrong with it, when the command comes to it."""
Reader: TypeAlias = Callable[[str], object]
"""From a parameter's text to its value. Raises ValueError, whose text is for the caller."""

JSON: Final = "application/json"
MOST_PARAMETERS: Final = 20
LONGEST_TEXT: Final = 255
_YEARS: Final = (2000, 2999)  # before it there were no payments here; both bounds leave room for arithmetic

_WHOLE: Final = re.compile(r"[0-9]{1,13}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What a list is asked for: the call's own parameters, how much to show, and after which member (None: from the beginning)."""

    values: Mapping[str, Any]
    limit: int
    after: str | None


def identifier(text: str, prefix: str) -> str:
    """`text`, where it is an id of that kind; a 404 otherwise."""
    if not is_identifier(text, prefix):
        raise not_found()
    return text


def is_identifier(text: str, prefix: str) -> bool:
    """Whether it is an id of that kind."""
    try:
        kind, _ = parse(text)
    except MalformedIdentifier:
        return False
    return kind == prefix


def query_of(query: bytes, readers: Mapping[str, Reader], *, default: int, largest: int) -> Query:
    """What a query string (as sent) says. `readers` have `limit` and `cursor`, too (`paging`). Raises Refusal, with all that is wrong."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in _parameters(query).items():
        try:
            values[name] = readers[name](text)
        except KeyError:
            errors.append(FieldError(pointer=pointer_to("", name), detail="There is no such parameter."))
        except ValueError as wrong:
            errors.append(FieldError(pointer=pointer_to("", name), detail=str(wrong)))
    limit, after = values.pop("limit", default), values.pop("cursor", None)
    if not 1 <= limit <= largest:
        errors.append(FieldError(pointer="/limit", detail=f"This is a number from 1 to {largest}."))
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    return Query(values=values, limit=limit, after=after)


async def whole_body() -> bytes:
    """The body of the framework's present request, within the framework's limits."""
    return await request.get_data(cache=True, as_text=False, parse_form_data=False)


async def object_of(headers: Headers, body: Body, http: HttpLimits, *, empty: bool, lines: frozenset[str] = frozenset()) -> JsonObject:
    """The JSON object in a body. `empty`: no body is as good as an empty object. lines: as of `read_json`. Raises Refusal."""
    data = await body()
    if not data and empty:
        return {}
    if not is_json(headers):
        raise Refusal(Code.UNSUPPORTED_MEDIA_TYPE)
    return read_json(data, max_bytes=http.body_limit_bytes, max_depth=http.json_depth_limit, lines=lines)


def json_response(body: bytes, status: int = 200) -> Response:
    """That JSON as the framework's answer."""
    return Response(body, status, content_type=JSON)


def view_response(view: Mapping[str, Any], status: int = 200) -> Response:
    """That view as JSON, as the framework's answer."""
    return json_response(msgspec.json.encode(view), status)


# --- readers of parameters


def paging(prefix: str) -> Mapping[str, Reader]:
    """The two parameters that every list has. Its members have ids with that prefix, and so have its cursors."""

    def cursor(text: str) -> str:
        if not is_identifier(text, prefix):
            raise ValueError("This is the next_cursor of the page before.")
        return text

    return {"limit": whole, "cursor": cursor}


def text(text: str) -> str:
    """A short text of one line."""
    if not 1 <= len(text) <= LONGEST_TEXT or _CONTROL.search(text):
        raise ValueError(f"This is a text of 1 to {LONGEST_TEXT} characters without control characters.")
    return text


def whole(text: str) -> int:
    """A whole number of up to 13 digits."""
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("This is a whole number.")
    return int(text)


def moment(text: str) -> datetime:
    """A moment after RFC 3339, in UTC."""
    wrong = ValueError("This is a moment after RFC 3339, such as 2026-01-31T12:00:00Z (write a + as %2B).")
    if _MOMENT.fullmatch(text) is None:
        raise wrong
    try:
        at = datetime.fromisoformat(text.upper())
    except ValueError:
        raise wrong from None
    if not _YEARS[0] <= at.year <= _YEARS[1]:
        raise ValueError(f"This is a moment in the years {_YEARS[0]} to {_YEARS[1]}.")
    return at.astimezone(UTC)


def _parameters(query: bytes) -> dict[str, str]:
    try:
        pairs = parse_qsl(
            query.decode("ascii"), keep_blank_values=True, strict_parsing=bool(query), max_num_fields=MOST_PARAMETERS, errors="strict"
        )
    except ValueError:
        raise Refusal(Code.VALIDATION_FAILED, detail="The query string cannot be read: it is not name=value&... in UTF-8.") from None
    found = dict(pairs)
    if len(found) < len(pairs):
        raise Refusal(Code.VALIDATION_FAILED, detail="A parameter is given more than once; which one is meant cannot be told.")
    for name, value in pairs:
        if looks_like_card_number(value) or looks_like_card_number(name):
            raise Refusal(Code.CARD_DATA_REFUSED, errors=[FieldError(pointer=pointer_to("", name), detail=REFUSED_NUMBER)])
    return found
