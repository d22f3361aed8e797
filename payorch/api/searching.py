"""The query of `GET /v1/payments`: from a query string to a search of the store, or to a 400 that names what is wrong.

Not here: searching; how parameters are read (`reading`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from payorch.api.reading import Reader, moment, paging, query_of, text, whole
from payorch.domain.money import EXPONENTS
from payorch.domain.payment import PUBLIC_STATUS, State
from payorch.store.reads import Search


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """What to search for, how much of it to show, and after which payment. `search` is None where nothing can match."""

    search: Search | None
    limit: int
    after: str | None


def page_of(query: bytes, merchant_id: str, *, default: int, largest: int) -> Page:
    """The page that a query string (as sent) asks for, among that merchant's payments. Raises Refusal."""
    asked = query_of(query, _READERS, default=default, largest=largest)
    values = dict(asked.values)
    state, statuses = values.pop("state", None), values.pop("status", None)
    states = tuple(one for one in State if (state is None or one in state) and (statuses is None or one in statuses))
    if not states:
        return Page(search=None, limit=asked.limit, after=asked.after)
    everything = state is None and statuses is None
    search = Search(merchant_id=merchant_id, states=() if everything else states, **values)
    return Page(search=search, limit=asked.limit, after=asked.after)


def _states(text: str) -> frozenset[State]:
    if text not in set(State):
        raise ValueError(f"This is one of: {', '.join(State)}.")
    return frozenset({State(text)})


def _statuses(text: str) -> frozenset[State]:
    states = frozenset(state for state, status in PUBLIC_STATUS.items() if status == text)
    if not states:
        raise ValueError(f"This is one of: {', '.join(dict.fromkeys(PUBLIC_STATUS.values()))}.")
    return states


def currency_code(text: str) -> str:
    """A currency in a parameter. Raises ValueError with what it should be."""
    if text not in EXPONENTS:
        raise ValueError("This is a current ISO 4217 code in upper case.")
    return text


_READERS: Final[Mapping[str, Reader]] = {
    "state": _states,
    "status": _statuses,
    "connector": text,
    "reference": text,
    "psp_reference": text,
    "currency": currency_code,
    "amount_min": whole,
    "amount_max": whole,
    "created_from": moment,
    "created_to": moment,
    "q": text,
    **paging("pay"),
}
PARAMETERS: Final = tuple(_READERS)
"""The names of all parameters."""
