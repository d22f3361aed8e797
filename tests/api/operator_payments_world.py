"""What the calls about payments of all merchants are given in tests: lives from the merchant's world, and rows that a test sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from payorch.api.operations.operators import Operator
from payorch.api.operations.payment_page import ActionOption
from payorch.api.operations.payments import OperatorPaymentsSurroundings
from payorch.api.present import View
from payorch.domain.desk import Desk, Limits
from payorch.domain.records import Payment
from payorch.store.items import Delivery
from payorch.store.payment_page import LedgerEntry, Likes, ReportLine
from payorch.store.reads import PaymentRow, Search
from tests.domain.worlds import LIMITS, MANIFESTS


class AllPayments:
    """`rows`: what a search finds. `asked`: what was searched for. The rest is what hangs on the one payment of a test."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.rows: Sequence[PaymentRow] = ()
        self.asked: list[tuple[Search, int, str | None]] = []
        self.counted: tuple[int, bool] = (10_000, False)
        self.names: dict[str, str] = {}
        self.deliveries: Sequence[Delivery] = ()
        self.ledger: Sequence[LedgerEntry] = ()
        self.lines: Sequence[ReportLine] = ()
        self.likes: Likes = Likes(count=1, amounts=())
        self.likes_asked: list[Mapping[str, Any]] = []
        self.options: Sequence[ActionOption] = ()
        self.acts: Sequence[View] = ()
        self.limits: Limits = LIMITS
        self.let_pass = 0

    def surroundings(self) -> OperatorPaymentsSurroundings:
        return OperatorPaymentsSurroundings(
            search=self.search, count=self.count, merchant_names=self.merchant_names, merchants_named=self.merchants_named,
            events=self._store.load_events, notices=self._store.load_notices, deliveries=self.of_deliveries, ledger=self.of_ledger,
            lines=self.of_lines, likes=self.find_likes, desk=self.desk, options=self.of_options, acts=self.of_acts,
            let_pass_minor=lambda connector, currency: self.let_pass,
        )  # fmt: skip

    def desk(self) -> Desk:
        def nothing(*_: Any) -> Any:
            raise AssertionError("nothing is made with this desk")

        manifests = {"stripe": MANIFESTS["strong"], "adyen": MANIFESTS["blind"]}
        return Desk(
            at=self._store.clock.now(), actor="system", cause="view", limits=self.limits, manifests=manifests, identifier=nothing,
            route=nothing, prepare=nothing, prepare_operation=nothing, prepare_completion=nothing, prepare_fence=nothing,
        )  # fmt: skip

    async def search(self, what: Search, *, limit: int, after: str | None) -> tuple[Sequence[PaymentRow], str | None]:
        self.asked.append((what, limit, after))
        return self.rows[:limit], self.rows[limit - 1].id if len(self.rows) > limit else None

    async def count(self, what: Search) -> tuple[int, bool]:
        return self.counted

    async def merchant_names(self, ids: Sequence[str]) -> Mapping[str, str]:
        return {one: self.names[one] for one in ids if one in self.names}

    async def merchants_named(self, name: str) -> Sequence[str]:
        return [id for id, known in self.names.items() if known == name]

    async def of_deliveries(self, payment_id: str) -> Sequence[Delivery]:
        return self.deliveries

    async def of_ledger(self, payment_id: str) -> Sequence[LedgerEntry]:
        return self.ledger

    async def of_lines(self, payment_id: str) -> Sequence[ReportLine]:
        return self.lines

    async def find_likes(self, **which: Any) -> Likes:
        self.likes_asked.append(which)
        return self.likes

    def of_options(self, payment: Payment) -> Sequence[ActionOption]:
        return self.options

    async def of_acts(self, payment_id: str, who: Operator) -> Sequence[View]:
        return self.acts
