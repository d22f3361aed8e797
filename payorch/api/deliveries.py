"""What the calls about webhook endpoints and events are given, and what they have in common: taking turns, and what a write came to.

Not here: the calls (`endpoints`, `events`), sending anything (`actors.notifier`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, TypeAlias, final
from weakref import WeakValueDictionary

import trio

from actors.mailbox import ActorStopped, AskTimeout
from payorch.api.answering import RETRY_AFTER_SECONDS
from payorch.api.headers import Headers
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.store.delivery_reads import EventRow
from payorch.store.items import Delivery, Endpoint, Entry, Result

FindMerchant: TypeAlias = Callable[[Headers], Awaitable[str]]
"""Who asks, within the pace that is theirs: `MerchantApi.merchant`. Raises Refusal."""

_NOT_CERTAIN: Final = (
    "The database does not answer, and whether the change was made is not certain. It moved no money. Read how it stands after the time in "
    "Retry-After, and repeat the request where it was not."
)


class ListEvents(Protocol):
    """A page of a merchant's events, newest first, and the next page's cursor: `delivery_reads.events` over a lent connection."""

    def __call__(
        self, merchant_id: str, *, limit: int, after: str | None, types: Sequence[str], payment_id: str | None
    ) -> Awaitable[tuple[Sequence[EventRow], str | None]]: ...


class EventsBetween(Protocol):
    """A merchant's events made in that time, oldest first: `delivery_reads.events_between` over a lent connection."""

    def __call__(self, merchant_id: str, since: datetime, until: datetime, *, limit: int) -> Awaitable[Sequence[EventRow]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliverySurroundings:
    """What these calls are given. All reads lend a connection from the pool and may raise what the pool and psycopg raise.

    write: through the journal writer; it returns when it is durable and raises JournalUnavailable where surely nothing was written.
    next_sequence: `entries.next_sequence`, the number of the next entry of an endpoint's stream. endpoint, endpoints (of a merchant),
    events, event (of a merchant), events_between, deliveries_of: `payorch.store.delivery_reads`. new_secret: one for an endpoint, in clear.
    seal: a secret, closed for the endpoint of that id. local: see `payorch.domain.merchant_urls`. endpoints_per_merchant,
    rotation_seconds, resend_limit: section [deliveries] of the settings.
    """

    write: Callable[[Entry | Delivery], Awaitable[Result]]
    next_sequence: Callable[[str], Awaitable[int]]
    endpoint: Callable[[str], Awaitable[Endpoint | None]]
    endpoints: Callable[[str], Awaitable[Sequence[Endpoint]]]
    events: ListEvents
    event: Callable[[str, str], Awaitable[EventRow | None]]
    events_between: EventsBetween
    deliveries_of: Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[Delivery]]]]
    new_secret: Callable[[], str]
    seal: Callable[[str, str], bytes]
    local: bool
    endpoints_per_merchant: int
    rotation_seconds: int
    resend_limit: int


@final
class Turns:
    """One change of a merchant's endpoints at a time in this process, so that a count of them is still true when one is added."""

    def __init__(self) -> None:
        self._locks: WeakValueDictionary[str, trio.Lock] = WeakValueDictionary()

    def of(self, merchant_id: str) -> trio.Lock:
        """Held for the length of a change. It is there for as long as somebody holds it or waits."""
        return self._locks.setdefault(merchant_id, trio.Lock())


async def written(step: Awaitable[Result]) -> Result:
    """What a write came to. Raises Refusal where nobody can tell, and as it is whatever says that surely nothing was written."""
    try:
        return await step
    except (AskTimeout, ActorStopped) as obstacle:
        raise not_certain() from obstacle


def not_certain() -> Refusal:
    """Something may have been written, or only a part of it."""
    return Refusal(Code.UNAVAILABLE, detail=_NOT_CERTAIN, money_moved="no", retry_after_seconds=RETRY_AFTER_SECONDS)
