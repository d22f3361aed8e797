"""Payments of all merchants, for operators: the list, one payment's page, its timeline, and how it was routed. Reads only.

Not here: who asks (`operators`), how a payment looks (`payment_page`, `payment_lane`), what people do to it (acts).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol, final

from quart import Response, request

from payorch.api.merchant import Handler
from payorch.api.operations.operators import Operator, OperatorDoor
from payorch.api.operations.payment_lane import Parts, lane
from payorch.api.operations.payment_page import LIKE_WITHIN, ActionOption, Seen, asks_for_likes, page_view, routing_view, row_view
from payorch.api.present import View
from payorch.api.reading import Reader, identifier, is_identifier, moment, paging, query_of, text, view_response, whole
from payorch.api.refusal import not_found
from payorch.api.searching import currency_code
from payorch.domain.desk import Desk
from payorch.domain.evolve import replay
from payorch.domain.payment import PUBLIC_STATUS, AttemptState, State
from payorch.domain.records import Payment
from payorch.domain.roles import Role
from payorch.store.inbox_reads import StoredNotice
from payorch.store.items import Delivery
from payorch.store.payment_page import LedgerEntry, Likes, ReportLine
from payorch.store.reads import PaymentRow, Recorded, Search

PAGE_DEFAULT: Final = 50
PAGE_LIMIT: Final = 200
"""What the console shows and fetches at once."""
NOTICES_AT_MOST: Final = 200


class SearchAll(Protocol):
    """`reads.search` over a lent connection."""

    def __call__(self, what: Search, *, limit: int, after: str | None) -> Awaitable[tuple[Sequence[PaymentRow], str | None]]: ...


class FindLikes(Protocol):
    """`payment_page.likes` over a lent connection."""

    def __call__(
        self, *, connector: str, state: State, attempt_state: AttemptState | None, around: datetime, within: timedelta
    ) -> Awaitable[Likes]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorPaymentsSurroundings:
    """What these calls are given. The reads are those of `payorch.store` of the same name, over a lent connection.

    desk: of now, for what comes next. options: what may be done to that payment now, of every act on payments that there is. acts: those
    whose subject it is, newest first, as that operator sees them. let_pass_minor: (connector, currency) -> by how much a report's line may
    differ.
    """

    search: SearchAll
    count: Callable[[Search], Awaitable[tuple[int, bool]]]
    merchant_names: Callable[[Sequence[str]], Awaitable[Mapping[str, str]]]
    merchants_named: Callable[[str], Awaitable[Sequence[str]]]
    events: Callable[[str], Awaitable[Sequence[Recorded]]]
    notices: Callable[[str, int], Awaitable[Sequence[StoredNotice]]]
    deliveries: Callable[[str], Awaitable[Sequence[Delivery]]]
    ledger: Callable[[str], Awaitable[Sequence[LedgerEntry]]]
    lines: Callable[[str], Awaitable[Sequence[ReportLine]]]
    likes: FindLikes
    desk: Callable[[], Desk]
    options: Callable[[Payment], Sequence[ActionOption]]
    acts: Callable[[str, Operator], Awaitable[Sequence[View]]]
    let_pass_minor: Callable[[str, str], int]


def _states(text: str) -> frozenset[State]:
    asked = [one for one in text.split(",") if one]
    if not asked or not set(asked) <= set(State):
        raise ValueError(f"These are, parted by commas: {', '.join(State)}.")
    return frozenset(map(State, asked))


def _statuses(text: str) -> frozenset[State]:
    asked = frozenset(one for one in text.split(",") if one)
    if not asked or not asked <= set(PUBLIC_STATUS.values()):
        raise ValueError(f"These are, parted by commas: {', '.join(dict.fromkeys(PUBLIC_STATUS.values()))}.")
    return frozenset(state for state, status in PUBLIC_STATUS.items() if status in asked)


def _yes(text: str) -> bool:
    if text not in ("true", "false"):
        raise ValueError("This is true or false.")
    return text == "true"


_READERS: Final[Mapping[str, Reader]] = {
    "state": _states,
    "status": _statuses,
    "connector": text,
    "merchant": text,
    "reference": text,
    "psp_reference": text,
    "currency": currency_code,
    "amount_min": whole,
    "amount_max": whole,
    "created_from": moment,
    "created_to": moment,
    "held": _yes,
    "problem": _yes,
    "q": text,
    **paging("pay"),
}
LIST_PARAMETERS: Final = tuple(_READERS)
"""The names of the list's parameters."""


def merged(query: bytes, name: bytes) -> bytes:
    """The query with a parameter that is given several times given once, its values parted by commas."""
    parts = query.split(b"&")
    values = [one[len(name) + 1 :] for one in parts if one.startswith(name + b"=")]
    if len(values) < 2:
        return query
    others = [one for one in parts if not one.startswith(name + b"=")]
    return b"&".join([*others, name + b"=" + b"%2C".join(values)])


@final
class OperatorPaymentsApi:
    """The handlers."""

    def __init__(self, around: OperatorPaymentsSurroundings, door: OperatorDoor) -> None:
        self._around = around
        self._door = door

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("GET", "/ops/v1/payments"): self.payments,
            ("GET", "/ops/v1/payments/<payment_id>"): self.payment,
            ("GET", "/ops/v1/payments/<payment_id>/timeline"): self.timeline,
            ("GET", "/ops/v1/payments/<payment_id>/routing"): self.routing,
        }

    async def payments(self) -> Response:
        """A page of payments of all merchants, newest first. The total is counted with the first page only."""
        await self._door.asked(Role.VIEWER)
        asked = query_of(merged(request.query_string, b"state"), _READERS, default=PAGE_DEFAULT, largest=PAGE_LIMIT)
        what = await self._search_of(dict(asked.values))
        if what is None:
            return view_response({"data": [], "next_cursor": None, "total": 0, "total_is_exact": True})
        rows, cursor = await self._around.search(what, limit=asked.limit, after=asked.after)
        total, exact = (None, False) if asked.after is not None else await self._total(what, rows, cursor)
        names = await self._around.merchant_names([one.merchant_id for one in rows]) if rows else {}
        data = [row_view(one, names) for one in rows]
        return view_response({"data": data, "next_cursor": cursor, "total": total, "total_is_exact": exact})

    async def payment(self, payment_id: str) -> Response:
        """One payment's page."""
        who = await self._door.asked(Role.VIEWER)
        return view_response(await self._page(payment_id, who))

    async def timeline(self, payment_id: str) -> Response:
        """Everything that happened to it, in one lane."""
        who = await self._door.asked(Role.VIEWER)
        return view_response({"data": lane(await self._parts(payment_id, who)), "next_cursor": None})

    async def routing(self, payment_id: str) -> Response:
        """How its connectors were chosen."""
        await self._door.asked(Role.VIEWER)
        recorded = await self._recorded(payment_id)
        return view_response(routing_view(payment_id, [one.event for one in recorded]))

    # --- what they share

    async def _search_of(self, values: dict[str, Any]) -> Search | None:
        """What is searched for; None where nothing can match."""
        state, statuses, merchant = values.pop("state", None), values.pop("status", None), values.pop("merchant", None)
        states = tuple(one for one in State if (state is None or one in state) and (statuses is None or one in statuses))
        if not states:
            return None
        everything = state is None and statuses is None
        merchants: Sequence[str] = ()
        if merchant is not None:
            merchants = [merchant] if is_identifier(merchant, "mer") else await self._around.merchants_named(merchant)
            if not merchants:
                return None
        return Search(merchant_id=None, states=() if everything else states, merchants=tuple(merchants), **values)

    async def _total(self, what: Search, rows: Sequence[PaymentRow], cursor: str | None) -> tuple[int, bool]:
        return (len(rows), True) if cursor is None else await self._around.count(what)

    async def _recorded(self, payment_id: str) -> Sequence[Recorded]:
        recorded = await self._around.events(identifier(payment_id, "pay"))
        if not recorded:
            raise not_found()
        return recorded

    async def _parts(self, payment_id: str, who: Operator) -> Parts:
        recorded, around = await self._recorded(payment_id), self._around
        return Parts(
            recorded=recorded,
            notices=await around.notices(payment_id, NOTICES_AT_MOST),
            deliveries=await around.deliveries(payment_id),
            ledger=await around.ledger(payment_id),
            lines=await around.lines(payment_id),
            acts=await around.acts(payment_id, who),
        )

    async def _page(self, payment_id: str, who: Operator) -> View:
        around = self._around
        parts = await self._parts(payment_id, who)
        payment = replay(one.event for one in parts.recorded)
        names = await around.merchant_names([payment.merchant_id])
        seen = Seen(
            payment=payment,
            parts=parts,
            merchant=names.get(payment.merchant_id),
            desk=around.desk(),
            options=around.options(payment),
            likes=await self._likes_of(payment),
            let_pass_minor=self._let_pass(payment),
        )
        return page_view(seen)

    async def _likes_of(self, payment: Payment) -> Likes | None:
        if not asks_for_likes(payment):
            return None
        last = payment.attempts[-1]
        return await self._around.likes(
            connector=last.connector, state=payment.state, attempt_state=last.state, around=payment.created_at, within=LIKE_WITHIN
        )

    def _let_pass(self, payment: Payment) -> int:
        currency = payment.intent.amount.currency
        return max((self._around.let_pass_minor(one.connector, currency) for one in payment.attempts), default=0)
