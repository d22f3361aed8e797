"""What the API is given by the composition root: one frozen record. Records and types only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from payorch.api.answering import Asker
from payorch.api.contracts import Connectors
from payorch.domain.records import Payment
from payorch.domain.settlement import SettlementState
from payorch.ports import Clock
from payorch.store.identities import MerchantKey
from payorch.store.inbox_reads import StoredNotice
from payorch.store.items import Answer, Result
from payorch.store.reads import PaymentRow, Recorded, Search, StoredClaim
from payorch.telemetry import Metrics

Parts: TypeAlias = Mapping[str, tuple[bool, str]]
"""Part of the platform -> (whether it answers, a detail in words)."""


class HttpLimits(Protocol):
    """Section [http] of the settings, as far as the API is concerned."""

    @property
    def answer_within_seconds(self) -> float: ...

    @property
    def body_limit_bytes(self) -> int: ...

    @property
    def body_deadline_seconds(self) -> float: ...

    @property
    def json_depth_limit(self) -> int: ...

    @property
    def requests_per_second_per_merchant(self) -> float: ...

    @property
    def requests_burst_per_merchant(self) -> int: ...

    @property
    def page_limit(self) -> int: ...

    @property
    def page_default(self) -> int: ...


class Log(Protocol):
    """Where faults of ours are told: a structlog logger."""

    def warning(self, event: str, **details: Any) -> Any: ...

    def error(self, event: str, **details: Any) -> Any: ...


class SearchPayments(Protocol):
    """A page of payments' rows, newest first, and the next page's cursor: `reads.search` over a lent connection."""

    def __call__(self, what: Search, *, limit: int, after: str | None) -> Awaitable[tuple[Sequence[PaymentRow], str | None]]: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSurroundings:
    """What the API is given. All reads lend a connection from the pool and may raise what the pool and psycopg raise.

    identifier: a new id with that prefix. find_key: `identities.merchant_key`. stored_claim: `reads.stored_answer`. load_payment,
    load_payments (`reads.load_many`), load_events, find_operation (the payment of an operation's id), search: `payorch.store.reads`.
    load_settlements: `ledger.settlement_states`. load_notices: `inbox_reads.notices_of`, so many of a payment.
    write_answer: through the journal writer; it returns when the answer is durable, and raises JournalUnavailable where surely nothing was
    written. connectors: those that are switched on, see `contracts.connectors_of`. parts: at least `database` and `journal`. pepper: of API
    keys. return_key: `keys.derived_key` for `shopper.PURPOSE`.
    """

    http: HttpLimits
    clock: Clock
    identifier: Callable[[str], str]
    directory: Asker
    find_key: Callable[[str], Awaitable[MerchantKey | None]]
    stored_claim: Callable[[str, str], Awaitable[StoredClaim | None]]
    load_payment: Callable[[str], Awaitable[Payment | None]]
    load_payments: Callable[[Sequence[str]], Awaitable[Mapping[str, Payment]]]
    load_events: Callable[[str], Awaitable[Sequence[Recorded]]]
    load_settlements: Callable[[Sequence[str]], Awaitable[Mapping[str, Sequence[tuple[UUID, SettlementState]]]]]
    load_notices: Callable[[str, int], Awaitable[Sequence[StoredNotice]]]
    find_operation: Callable[[str], Awaitable[str | None]]
    search: SearchPayments
    write_answer: Callable[[Answer], Awaitable[Result]]
    connectors: Connectors
    parts: Callable[[], Awaitable[Parts]]
    metrics: Metrics
    pepper: bytes
    return_key: bytes
    log: Log
