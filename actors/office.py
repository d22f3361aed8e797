"""Where decisions get their circumstances: one frozen record of configuration and ports, and the desk made from it for each decision.

Not here: decisions (`payorch.domain`), or anything that waits.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime

from actors.router import Router
from connectors.contract import AuthorizeOrder, CompletionOrder, Connector, NotSupported, OperationOrder
from payorch.domain import identifiers
from payorch.domain.capability import Manifest
from payorch.domain.desk import Desk, Limits, Unbuildable, spread
from payorch.domain.failover import authentication_wanted
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, PreparedCall
from payorch.domain.settled import SETTLEMENT_ROW, decode_row, testify_row
from payorch.domain.testimony import Testimony
from payorch.ports import Clock, Entropy


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """What all payments share. `return_url(payment_id, attempt_id)`: where the PSP sends the shopper back, signed for that attempt."""

    clock: Clock
    entropy: Entropy
    limits: Limits
    connectors: Mapping[str, Connector]
    manifests: Mapping[str, Manifest]
    router: Router
    return_url: Callable[[str, str], str]

    def identifier(self, prefix: str) -> str:
        """A new id with that prefix."""
        return identifiers.text(prefix, self.entropy.identifier())

    def desk(self, *, actor: str, cause: str, unsure_before: datetime | None = None) -> Desk:
        """The circumstances of a decision taken now, by `actor`, because of `cause`; the rest is as `Desk` says."""
        at = self.clock.now()
        return Desk(
            at=at,
            actor=actor,
            cause=cause,
            limits=self.limits,
            manifests=self.manifests,
            identifier=self.identifier,
            route=lambda payment: self.router.route(payment, at),
            prepare=self._prepare,
            prepare_operation=self._prepare_operation,
            prepare_completion=self._prepare_completion,
            prepare_fence=lambda attempt: self.connectors[attempt.connector].fence(attempt),
            jitter=lambda seconds: spread(seconds, self.entropy.fraction()),
            blocked=lambda payment: self.router.cards.blocked(payment.merchant_id, payment.intent, at),
            spent=lambda payment: self.router.cards.spent(payment.merchant_id, payment.intent, at),
            unsure_before=unsure_before,
        )

    def testimony(self, connector: str, kind: str, content: bytes, payment: Payment, *, at: datetime) -> Testimony:
        """What a stored notice says about the payment: in its PSP's own language, or as a line of a settlement report."""
        if kind == SETTLEMENT_ROW:
            return testify_row(decode_row(content), payment, connector=connector, at=at)
        return self.connectors[connector].testify(content, payment, at=at)

    def _prepare(self, payment: Payment, connector: str, attempt_id: str) -> PreparedCall | Unbuildable:
        order = AuthorizeOrder(
            attempt_id=attempt_id,
            payment_id=payment.id,
            intent=payment.intent,
            return_url=self.return_url(payment.id, attempt_id),
            step_up=authentication_wanted(payment),
        )
        try:
            return self.connectors[connector].authorize(order)
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))

    def _prepare_completion(self, payment: Payment, attempt: Attempt, returned: Mapping[str, str]) -> PreparedCall | None:
        order = CompletionOrder(payment_id=payment.id, attempt=attempt, intent=payment.intent, returned=returned)
        try:
            return self.connectors[attempt.connector].complete(order)
        except NotSupported:
            return None

    def _prepare_operation(self, payment: Payment, operation: Operation) -> PreparedCall | Unbuildable:
        attempt = payment.attempt(operation.attempt_id)
        connector = self.connectors[attempt.connector]
        order = OperationOrder(
            operation_id=operation.id,
            payment_id=payment.id,
            attempt=attempt,
            options=payment.intent.connector_options.get(attempt.connector, {}),
            leaves_minor=payment.capturable_minor - operation.amount.minor if operation.kind is OperationKind.CAPTURE else 0,
            amount=None if operation.kind is OperationKind.VOID else operation.amount,
            final=operation.final,
            reason=operation.reason,
            capture=None if operation.capture_id is None else payment.operation(operation.capture_id),
        )
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        try:
            return build[operation.kind](order)
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))
