"""What the calls about payments of all merchants are given: the store's reads, a desk, and what may be done to a payment.

Not here: the calls (`payorch.api.operations.payments`), carrying out what may be done (`payorch.operations.payments`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from payorch.api.operations.operators import Operator
from payorch.api.operations.payment_page import ActionOption
from payorch.api.operations.payments import OperatorPaymentsSurroundings
from payorch.api.present import View
from payorch.domain import operating
from payorch.domain.desk import Desk
from payorch.domain.records import Payment
from payorch.settings import Settings
from payorch.store import delivery_reads, inbox_reads, payment_page, reads

Read = Callable[..., Awaitable[Any]]
Acts = Callable[[str, Operator], Awaitable[Sequence[View]]]


async def no_acts(subject: str, who: Operator) -> Sequence[View]:
    """Where nobody keeps acts."""
    return ()


def payment_views(settings: Settings, *, read: Read, desk: Callable[[], Desk], acts: Acts = no_acts) -> OperatorPaymentsSurroundings:
    """read: the platform's. desk: of now. acts: those upon a subject, newest first, as that operator sees them."""
    policy = settings.reconciliation.policy()

    def let_pass_minor(connector: str, currency: str) -> int:
        tolerance = policy.tolerances.get((connector, currency))
        return tolerance.amount_minor if tolerance is not None else 0

    return OperatorPaymentsSurroundings(
        search=lambda what, *, limit, after: read(reads.search, what, limit=limit, after=after),
        count=lambda what: read(payment_page.count, what),
        merchant_names=lambda ids: read(payment_page.merchant_names, ids),
        merchants_named=lambda name: read(payment_page.merchants_named, name),
        events=lambda payment_id: read(reads.load_events, payment_id),
        notices=lambda payment_id, limit: read(inbox_reads.notices_of, payment_id, limit=limit),
        deliveries=lambda payment_id: read(delivery_reads.deliveries_about, payment_id, limit=payment_page.ROWS_AT_MOST),
        ledger=lambda payment_id: read(payment_page.ledger_of, payment_id),
        lines=lambda payment_id: read(payment_page.report_lines_of, payment_id),
        likes=lambda **which: read(payment_page.likes, **which),
        desk=desk,
        options=lambda payment: options_of(payment, desk(), settings.approvals.alone_up_to),
        acts=acts,
        let_pass_minor=let_pass_minor,
    )


def options_of(payment: Payment, desk: Desk, alone_up_to: Mapping[str, int]) -> list[ActionOption]:
    """What may be done to that payment now. alone_up_to: as of `operating.people`."""
    return [
        ActionOption(
            action=one.action,
            why_not=one.why_not,
            people=operating.people(payment, one.action, one.amount, alone_up_to)[0],
            targets=one.targets,
        )
        for one in operating.options(payment, desk)
    ]
