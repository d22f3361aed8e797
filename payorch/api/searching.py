"""The query of `GET /v1/payments`: from a query string to a search of the store, or to a 400 that names what is wrong.

A parameter that is not known, given twice or not readable is refused rather than ignored: a search that silently finds too much is worse
than none. Not here: searching.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import parse_qsl

from payorch.api.card_numbers import REFUSED_NUMBER, looks_like_card_number
from payorch.api.problems import Code, FieldError
from payorch.api.refusal import Refusal
from payorch.api.strict_json import pointer_to
from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.domain.money import EXPONENTS
from payorch.domain.payment import PUBLIC_STATUS, State
from payorch.store.reads import Search

MOST_PARAMETERS: Final = 20
LONGEST_TEXT: Final = 255
_YEARS: Final = (2000, 2999)  # before it there were no payments here; both bounds leave room for arithmetic

_WHOLE: Final = re.compile(r"[0-9]{1,13}")
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f]")
_MOMENT: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,6})?([Zz]|[+-][0-9]{2}:[0-9]{2})")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What to search for, how much of it to show, and after which payment. `search` is None where nothing can match."""

    search: Search | None
    limit: int
    after: str | None


def page_of(query: bytes, merchant_id: str, *, default: int, largest: int) -> Page:
    """The page that a query string (as sent) asks for, among that merchant's payments. Raises Refusal."""
    values: dict[str, Any] = {}
    errors: list[FieldError] = []
    for name, text in _parameters(query).items():
        try:
            values[name] = _READERS[name](text)
        except KeyError:
            errors.append(FieldError(pointer=pointer_to("", name), detail="There is no such parameter."))
        except ValueError as wrong:
            errors.append(FieldError(pointer=pointer_to("", name), detail=str(wrong)))
    limit, after = values.pop("limit", default), values.pop("cursor", None)
    if not 1 <= limit <= largest:
        errors.append(FieldError(pointer="/limit", detail=f"This is a number from 1 to {largest}."))
    if errors:
        raise Refusal(Code.VALIDATION_FAILED, errors=errors)
    state, statuses = values.pop("state", None), values.pop("status", None)
    states = tuple(one for one in State if (state is None or one in state) and (statuses is None or one in statuses))
    if not states:
        return Page(search=None, limit=limit, after=after)
    everything = state is None and statuses is None
    return Page(search=Search(merchant_id=merchant_id, states=() if everything else states, **values), limit=limit, after=after)


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
    for name, text in pairs:
        if looks_like_card_number(text) or looks_like_card_number(name):
            raise Refusal(Code.CARD_DATA_REFUSED, errors=[FieldError(pointer=pointer_to("", name), detail=REFUSED_NUMBER)])
    return found


def _text(text: str) -> str:
    if not 1 <= len(text) <= LONGEST_TEXT or _CONTROL.search(text):
        raise ValueError(f"This is a text of 1 to {LONGEST_TEXT} characters without control characters.")
    return text


def _whole(text: str) -> int:
    if _WHOLE.fullmatch(text) is None:
        raise ValueError("This is a whole number.")
    return int(text)


def _moment(text: str) -> datetime:
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


def _states(text: str) -> frozenset[State]:
    if text not in set(State):
        raise ValueError(f"This is one of: {', '.join(State)}.")
    return frozenset({State(text)})


def _statuses(text: str) -> frozenset[State]:
    states = frozenset(state for state, status in PUBLIC_STATUS.items() if status == text)
    if not states:
        raise ValueError(f"This is one of: {', '.join(dict.fromkeys(PUBLIC_STATUS.values()))}.")
    return states


def _currency(text: str) -> str:
    if text not in EXPONENTS:
        raise ValueError("This is a current ISO 4217 code in upper case.")
    return text


def _cursor(text: str) -> str:
    try:
        prefix, _ = parse(text)
    except MalformedIdentifier:
        prefix = ""
    if prefix != "pay":
        raise ValueError("This is the next_cursor of the page before.")
    return text


_READERS: Final[Mapping[str, Callable[[str], object]]] = {
    "state": _states,
    "status": _statuses,
    "connector": _text,
    "reference": _text,
    "psp_reference": _text,
    "currency": _currency,
    "amount_min": _whole,
    "amount_max": _whole,
    "created_from": _moment,
    "created_to": _moment,
    "q": _text,
    "limit": _whole,
    "cursor": _cursor,
}
PARAMETERS: Final = tuple(_READERS)
"""The names of all parameters."""
