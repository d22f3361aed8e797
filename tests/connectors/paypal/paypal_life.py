"""A payment's whole life at a simulated PayPal: the domain decides, the connector translates, the simulation does, its webhooks are heard
or not, time moves by hand. No HTTP, no actors.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from connectors.contract import AuthorizeOrder, CompletionOrder, Delivery, HttpRequest, NotSupported, OperationOrder
from connectors.paypal import connector
from connectors.paypal.dialect import PaypalDialect
from connectors.simulator.dialect import Deed, Settings
from connectors.simulator.faults import HEALTHY, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import Notification
from payorch.domain import decide, proof
from payorch.domain.capability import Manifest
from payorch.domain.completion import complete
from payorch.domain.desk import Unbuildable
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Source
from payorch.domain.payment import OPEN_OPERATION, AttemptState, State
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, PreparedCall
from payorch.domain.testimony import weigh_testimony
from tests.connectors.paypal import paypal_webhooks as told
from tests.domain.worlds import LOST, World

SOURCES = {proof.Means.SEND: Source.RESPONSE, proof.Means.REPLAY: Source.REPLAY, proof.Means.INQUIRE: Source.INQUIRY}
CLIENT = {"account": "test_lives", "api_key": "secret"}


def _dialect() -> PaypalDialect:
    made = told.identity()
    return PaypalDialect(Settings(base_url="https://simulator.example", signing_key=made.key, certificates=made.certificates))


@dataclass(kw_only=True)
class Life(World):
    """A payment at PayPal. `verdict` is what befalls the next call that changes something, once; `deaf`: its answer does not arrive."""

    ledger: Ledger = field(default_factory=lambda: Ledger(psp="paypal", seed=1))
    dialect: PaypalDialect = field(default_factory=_dialect)
    manifests: dict[str, Manifest] = field(default_factory=lambda: {"paypal": connector.manifest})
    preference: tuple[str, ...] = ("paypal",)
    verdict: Verdict = HEALTHY
    deaf: bool = False
    told: list[Notification] = field(default_factory=list)

    # --- doing

    def paid(self, token: str | None = "tok_visa", *, hold: bool = False, **options: object) -> Payment:
        """A payment of 20 euro, charged or held: by a card, or by the wallet where there is no token."""
        capture = CaptureMode.MANUAL if hold else CaptureMode.AUTOMATIC
        method = PaymentMethod(type="paypal") if token is None else PaymentMethod(type="card", token=token)
        intent = Intent(amount=Money(2000, "EUR"), capture=capture, method=method, connector_options={"paypal": options})
        born = self.kept(decide.create("pay_1", "mer_1", intent, self.desk()))
        return self.send(self.command(born, decide.confirm))

    def capture(self, payment: Payment, minor: int | None = None, *, final: bool | None = None) -> Payment:
        return self.send(self.command(payment, lambda story: decide.capture(story, minor, final=final)))

    def void(self, payment: Payment) -> Payment:
        return self.send(self.command(payment, decide.void))

    def refund(self, payment: Payment, minor: int | None = None) -> Payment:
        return self.send(self.command(payment, lambda story: decide.refund(story, minor)))

    def back(self, payment: Payment, **returned: str) -> Payment:
        """The shopper comes back, with that in the query: the order is finished, or asked about."""
        before = payment.attempts[-1].completions
        payment = self.command(payment, lambda story: complete(story, story.payment.attempts[-1], returned))
        return self.send(payment) if payment.attempts[-1].completions > before else self.inquire(payment)

    def press(self, payment: Payment, outcome: str) -> None:
        """The shopper presses that button on PayPal's page."""
        action = payment.attempts[-1].action
        assert action is not None
        path = action.url.removeprefix("https://simulator.example")
        pressed = HttpRequest(method="POST", path=path, headers=(), body=f"outcome={outcome}".encode())
        self.told += self.dialect.handle(self.ledger, pressed, self.at).webhooks

    def send(self, payment: Payment) -> Payment:
        """Sends what was prepared last, and weighs its answer."""
        subjects: list[Attempt | Operation] = [*payment.attempts, *payment.operations]
        subject = [one for one in subjects if one.state in ("PREPARED", "REQUESTED", "SENT")][-1]
        assert subject.call is not None
        return self.exchange(payment, subject, subject.call, Source.RESPONSE)

    def exchange(self, payment: Payment, subject: Attempt | Operation, call: PreparedCall, source: Source) -> Payment:
        verdict, deaf = (HEALTHY, False) if source is Source.INQUIRY else (self.verdict, self.deaf)
        if source is not Source.INQUIRY:
            self.verdict, self.deaf = HEALTHY, False
        sent = connector.request(call, psp_key=subject.psp_key, credentials={"access_token": self._token()})
        reply = self.dialect.handle(self.ledger, sent, self.at, verdict=verdict)
        self.told += reply.webhooks
        if deaf:
            return self.weigh(payment, subject.id, LOST)
        evidence = connector.read(subject, call, reply.response, source=source, at=self.at)
        return self.weigh(
            payment, subject.id, evidence.finding, source, psp_reference=evidence.psp_reference, our_reference=evidence.our_reference,
            amount=evidence.amount, captured=evidence.captured, refunded=evidence.refunded, refunds=evidence.refunds,
            expires_at=evidence.expires_at, raw=evidence.raw, money_reference=evidence.money_reference,
        )  # fmt: skip

    def hears(self, payment: Payment) -> Payment:
        """Every webhook since the last time arrives, and is weighed."""
        heard, self.told = [*self.told, *self.dialect.due(self.ledger, self.at)], []
        for one in heard:
            headers = self.dialect.webhook_headers(one.body, secret=told.WEBHOOK_ID, at=self.at)
            sent = Delivery(headers=headers, body=one.body)
            notices = connector.receive(sent, secrets=(told.WEBHOOK_ID,), at=self.at, certificates=told.certificates())
            assert isinstance(notices, tuple)
            testimony = connector.testify(notices[0].content, payment, at=self.at)
            payment = self.kept(weigh_testimony(payment, testimony, self.desk("psp:paypal", "ntc_1")))
        return payment

    def look(self, payment: Payment) -> Payment:
        """Takes the looks that are due now."""
        return self.take(payment, proof.looks_due(payment, self.desk()))

    def take(self, payment: Payment, looks: Iterable[proof.Look]) -> Payment:
        """Takes these looks, one after the other."""
        for due in looks:
            subjects: list[Attempt | Operation] = [*payment.attempts, *payment.operations]
            subject = next(one for one in subjects if one.id == due.subject_id)
            if due.means is proof.Means.COMPLETE:
                payment = self.back(payment)
                continue
            if due.means is proof.Means.LOST:
                payment = self.weigh(payment, subject.id, LOST)
                continue
            attempt = subject if isinstance(subject, Attempt) else payment.attempt(subject.attempt_id)
            call = connector.inquire(subject, attempt) if due.means is proof.Means.INQUIRE else subject.call
            if call is None or due.means is proof.Means.WAIT:
                payment = self.weigh(payment, subject.id, LOST, Source.INQUIRY)
                continue
            payment = self.exchange(payment, subject, call, SOURCES[due.means])
        return payment

    def inquire(self, payment: Payment) -> Payment:
        """Asks about the attempt now, as somebody will once there is a reason to."""
        attempt = payment.attempts[-1]
        call = connector.inquire(attempt, attempt)
        assert call is not None
        return self.exchange(payment, attempt, call, Source.INQUIRY)

    def on(self, payment: Payment, *, seconds: float, hearing: bool = False) -> Payment:
        """Time passes, with every look that falls due on the way."""
        end = self.at + timedelta(seconds=seconds)
        while True:
            payment = self.hears(payment) if hearing else payment
            if payment.due_at is None or payment.due_at > end:
                break
            self.at = max(self.at, payment.due_at)
            payment = self.look(payment)
        self.at = end
        return self.hears(payment) if hearing else payment

    def by_hand(self, payment: Payment, deed: Deed, amount: int | None = None) -> None:
        """Somebody does that in PayPal's dashboard."""
        theirs = self.ledger.payment(payment.attempts[-1].psp_reference or "")
        assert theirs is not None
        self.told += self.dialect.by_hand(self.ledger, theirs, deed, self.at, amount=amount)

    # --- the judge

    @property
    def books(self) -> tuple[int, int, int]:
        """What PayPal holds, took and gave back."""
        self.told += self.dialect.due(self.ledger, self.at)
        theirs = self.ledger.payments(limit=10).items
        return sum(one.held for one in theirs), sum(one.captured for one in theirs), sum(one.refunded for one in theirs)

    def agrees(self, payment: Payment) -> None:
        """Our books are PayPal's, and nothing of ours is open."""
        held, captured, refunded = self.books
        assert (payment.captured_minor, payment.refunded_minor) == (captured, refunded)
        attempt = payment.attempts[-1]
        assert (attempt.state is AttemptState.AUTHORIZED and payment.state is not State.CAPTURED) == (held > 0)
        assert not [one for one in payment.operations if one.state in OPEN_OPERATION]

    def _token(self) -> str:
        sent = connector.sign_in(CLIENT)
        assert sent is not None
        token = connector.signed_in(self.dialect.handle(self.ledger, sent, self.at).response, at=self.at)
        assert token is not None
        return token.value

    # --- the connector behind the desk

    def _prepare(self, payment: Payment, connector_name: str, attempt_id: str) -> PreparedCall | Unbuildable:
        try:
            return connector.authorize(
                AuthorizeOrder(attempt_id=attempt_id, payment_id=payment.id, intent=payment.intent, return_url="https://pay.example/back")
            )
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))

    def _prepare_completion(self, payment: Payment, attempt: Attempt, returned: Mapping[str, str]) -> PreparedCall | None:
        return connector.complete(CompletionOrder(payment_id=payment.id, attempt=attempt, intent=payment.intent, returned=returned))

    def _prepare_operation(self, payment: Payment, operation: Operation) -> PreparedCall | Unbuildable:
        taken = None if operation.capture_id is None else payment.operation(operation.capture_id)
        order = OperationOrder(
            operation_id=operation.id, payment_id=payment.id, attempt=payment.attempt(operation.attempt_id),
            amount=None if operation.kind is OperationKind.VOID else operation.amount, final=operation.final, reason=operation.reason,
            capture=taken,
        )  # fmt: skip
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        try:
            return build[operation.kind](order)
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))
