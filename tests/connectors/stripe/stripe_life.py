"""A payment's whole life at a simulated Stripe: the domain decides, the connector translates, the simulation does, time moves by hand. No
HTTP, no actors.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta

from connectors.contract import AuthorizeOrder, NotSupported, OperationOrder
from connectors.simulator.dialect import Deed, Settings
from connectors.simulator.faults import HEALTHY, Verdict
from connectors.simulator.ledger import Ledger
from connectors.stripe import connector
from connectors.stripe.dialect import StripeDialect
from payorch.domain import decide, proof
from payorch.domain.capability import Manifest
from payorch.domain.desk import Unbuildable
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Source
from payorch.domain.payment import OPEN_OPERATION, AttemptState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, PreparedCall
from tests.domain.worlds import LOST, World

CREDENTIALS = {"api_key": "sk_test_lives"}
SOURCES = {proof.Means.SEND: Source.RESPONSE, proof.Means.REPLAY: Source.REPLAY, proof.Means.INQUIRE: Source.INQUIRY}


@dataclass(kw_only=True)
class Life(World):
    """A payment at Stripe. `verdict` is what befalls the next call that changes something, once; `deaf`: its answer does not arrive."""

    ledger: Ledger = field(default_factory=lambda: Ledger(psp="stripe", seed=1))
    dialect: StripeDialect = field(default_factory=lambda: StripeDialect(Settings(base_url="https://simulator.example")))
    manifests: dict[str, Manifest] = field(default_factory=lambda: {"stripe": connector.manifest})
    preference: tuple[str, ...] = ("stripe",)
    verdict: Verdict = HEALTHY
    deaf: bool = False
    calls: int = 0

    # --- doing

    def paid(self, token: str = "tok_visa", *, hold: bool = False, **options: object) -> Payment:
        """A payment of 20 euro, charged or held."""
        capture = CaptureMode.MANUAL if hold else CaptureMode.AUTOMATIC
        method = PaymentMethod(type="card", token=token)
        intent = Intent(amount=Money(2000, "EUR"), capture=capture, method=method, connector_options={"stripe": options})
        born = self.kept(decide.create("pay_1", "mer_1", intent, self.desk()))
        return self.send(self.command(born, decide.confirm))

    def capture(self, payment: Payment, minor: int | None = None, *, final: bool | None = None) -> Payment:
        return self.send(self.command(payment, lambda story: decide.capture(story, minor, final=final)))

    def void(self, payment: Payment) -> Payment:
        return self.send(self.command(payment, decide.void))

    def refund(self, payment: Payment, minor: int | None = None) -> Payment:
        return self.send(self.command(payment, lambda story: decide.refund(story, minor)))

    def send(self, payment: Payment) -> Payment:
        """Sends what was prepared last, and weighs its answer."""
        subjects: list[Attempt | Operation] = [*payment.attempts, *payment.operations]
        subject = [one for one in subjects if one.state in ("PREPARED", "REQUESTED")][-1]
        assert subject.call is not None
        return self.exchange(payment, subject, subject.call, Source.RESPONSE)

    def exchange(self, payment: Payment, subject: Attempt | Operation, call: PreparedCall, source: Source) -> Payment:
        verdict, deaf = (HEALTHY, False) if source is Source.INQUIRY else (self.verdict, self.deaf)
        if source is not Source.INQUIRY:
            self.verdict, self.deaf = HEALTHY, False
        self.calls += 1
        sent = connector.request(call, psp_key=subject.psp_key, credentials=CREDENTIALS)
        answer = self.dialect.handle(self.ledger, sent, self.at, verdict=verdict).response
        if deaf:
            return self.weigh(payment, subject.id, LOST)
        evidence = connector.read(subject, call, answer, source=source, at=self.at)
        return self.weigh(
            payment, subject.id, evidence.finding, source, psp_reference=evidence.psp_reference, our_reference=evidence.our_reference,
            amount=evidence.amount, captured=evidence.captured, refunded=evidence.refunded, refunds=evidence.refunds,
            expires_at=evidence.expires_at, raw=evidence.raw,
        )  # fmt: skip

    def look(self, payment: Payment) -> Payment:
        """Takes the looks that are due now."""
        return self.take(payment, proof.looks_due(payment, self.desk()))

    def take(self, payment: Payment, looks: Iterable[proof.Look]) -> Payment:
        """Takes these looks, one after the other."""
        for due in looks:
            subjects: list[Attempt | Operation] = [*payment.attempts, *payment.operations]
            subject = next(one for one in subjects if one.id == due.subject_id)
            attempt = subject if isinstance(subject, Attempt) else payment.attempt(subject.attempt_id)
            call = connector.inquire(subject, attempt) if due.means is proof.Means.INQUIRE else subject.call
            assert call is not None
            payment = self.exchange(payment, subject, call, SOURCES[due.means])
        return payment

    def inquire(self, payment: Payment) -> Payment:
        """Asks about the attempt now, as somebody will once there is a reason to."""
        attempt = payment.attempts[-1]
        call = connector.inquire(attempt, attempt)
        assert call is not None
        return self.exchange(payment, attempt, call, Source.INQUIRY)

    def on(self, payment: Payment, *, seconds: float) -> Payment:
        """Time passes, with every look that falls due on the way."""
        end = self.at + timedelta(seconds=seconds)
        while payment.due_at is not None and payment.due_at <= end:
            self.at = max(self.at, payment.due_at)
            payment = self.look(payment)
        self.at = end
        return payment

    def by_hand(self, payment: Payment, deed: Deed, amount: int | None = None) -> None:
        """Somebody does that in Stripe's dashboard."""
        theirs = self.ledger.payment(payment.attempts[-1].psp_reference or "")
        assert theirs is not None
        self.dialect.by_hand(self.ledger, theirs, deed, self.at, amount=amount)

    # --- the judge

    @property
    def books(self) -> tuple[int, int, int]:
        """What Stripe holds, took and gave back."""
        self.dialect.due(self.ledger, self.at)
        [theirs] = self.ledger.payments(limit=2).items
        return theirs.held, theirs.captured, theirs.refunded

    def agrees(self, payment: Payment) -> None:
        """Our books are Stripe's, and nothing of ours is open."""
        held, captured, refunded = self.books
        assert (payment.captured_minor, payment.refunded_minor) == (captured, refunded)
        attempt = payment.attempts[-1]
        assert (attempt.state is AttemptState.AUTHORIZED and payment.state is not State.CAPTURED) == (held > 0)
        assert not [one for one in payment.operations if one.state in OPEN_OPERATION]

    # --- the connector behind the desk

    def _prepare(self, payment: Payment, connector_name: str, attempt_id: str) -> PreparedCall | Unbuildable:
        try:
            return connector.authorize(
                AuthorizeOrder(attempt_id=attempt_id, payment_id=payment.id, intent=payment.intent, return_url="https://pay.example/back")
            )
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))

    def _prepare_operation(self, payment: Payment, operation: Operation) -> PreparedCall | Unbuildable:
        order = OperationOrder(
            operation_id=operation.id, payment_id=payment.id, attempt=payment.attempt(operation.attempt_id),
            amount=None if operation.kind is OperationKind.VOID else operation.amount, final=operation.final, reason=operation.reason,
        )  # fmt: skip
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        try:
            return build[operation.kind](order)
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))
