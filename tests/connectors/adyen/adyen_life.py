"""A payment's whole life at a simulated Adyen: the domain decides, the connector translates, the simulation does and tells, time moves by
hand. No HTTP, no actors.

What became of anything is only told: `listen` brings what was not heard yet, in the order that a test chooses, as often as it likes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from connectors.adyen import connector
from connectors.adyen.dialect import AdyenDialect
from connectors.contract import AuthorizeOrder, CompletionOrder, Delivery, Forged, HttpRequest, NotSupported, OperationOrder
from connectors.simulator.dialect import Deed, Settings
from connectors.simulator.faults import HEALTHY, Verdict
from connectors.simulator.ledger import Ledger
from payorch.domain import completion, decide, fencing, proof
from payorch.domain.capability import Manifest
from payorch.domain.desk import Story, Unbuildable
from payorch.domain.intent import CaptureMode, Customer, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.outcome import Source
from payorch.domain.payment import OPEN_OPERATION, AttemptState
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, PreparedCall
from payorch.domain.testimony import weigh_testimony
from tests.connectors.adyen.adyen_cases import KEY
from tests.domain.worlds import LOST, World

CREDENTIALS = {"account": "LivesECOM", "api_key": "test_lives"}
SOURCES = {proof.Means.SEND: Source.RESPONSE, proof.Means.REPLAY: Source.REPLAY}


def as_they_came(notices: list[bytes]) -> list[bytes]:
    return notices


@dataclass(kw_only=True)
class Life(World):
    """A payment at Adyen. `verdict` is what befalls the next call, once; `deaf`: its answer does not arrive."""

    ledger: Ledger = field(default_factory=lambda: Ledger(psp="adyen", seed=1))
    dialect: AdyenDialect = field(default_factory=lambda: AdyenDialect(Settings(base_url="https://simulator.example")))
    manifests: Mapping[str, Manifest] = field(default_factory=lambda: {"adyen": connector.manifest})
    preference: tuple[str, ...] = ("adyen",)
    verdict: Verdict = HEALTHY
    deaf: bool = False
    listened: int = 0

    # --- doing

    def paid(self, token: str = "tok_visa", *, hold: bool = False, **options: object) -> Payment:
        """A payment of 20 euro, held or, with its capture sent, on its way to be charged."""
        capture = CaptureMode.MANUAL if hold else CaptureMode.AUTOMATIC
        method = PaymentMethod(type="card", token=token)
        intent = Intent(
            amount=Money(2000, "EUR"), capture=capture, method=method, customer=Customer(reference="shopper"),
            connector_options={"adyen": options},
        )  # fmt: skip
        born = self.kept(decide.create("pay_1", "mer_1", intent, self.desk()))
        return self.send(self.command(born, decide.confirm))

    def capture(self, payment: Payment, minor: int | None = None, *, final: bool | None = None) -> Payment:
        return self.send(self.command(payment, lambda story: decide.capture(story, minor, final=final)))

    def void(self, payment: Payment) -> Payment:
        return self.send(self.command(payment, decide.void))

    def refund(self, payment: Payment, minor: int | None = None) -> Payment:
        return self.send(self.command(payment, lambda story: decide.refund(story, minor)))

    def send(self, payment: Payment) -> Payment:
        """Sends what was prepared, one after the other, and weighs the answers."""
        while subjects := self._prepared(payment):
            subject = subjects[-1]
            assert subject.call is not None
            payment = self.exchange(payment, subject, subject.call, Source.RESPONSE)
        return payment

    def _prepared(self, payment: Payment) -> list[Attempt | Operation]:
        everything: list[Attempt | Operation] = [*payment.attempts, *payment.operations]
        return [one for one in everything if one.state in ("PREPARED", AttemptState.SENT, "REQUESTED")]

    def exchange(self, payment: Payment, subject: Attempt | Operation, call: PreparedCall, source: Source) -> Payment:
        verdict, deaf = self.verdict, self.deaf
        self.verdict, self.deaf = HEALTHY, False
        sent = connector.request(call, psp_key=subject.psp_key, credentials=CREDENTIALS)
        answer = self.dialect.handle(self.ledger, sent, self.at, verdict=verdict).response
        if deaf:
            return self.weigh(payment, subject.id, LOST)
        evidence = connector.read(subject, call, answer, source=source, at=self.at)
        return self.weigh(
            payment, subject.id, evidence.finding, source, psp_reference=evidence.psp_reference, our_reference=evidence.our_reference,
            amount=evidence.amount, raw=evidence.raw,
        )  # fmt: skip

    def look(self, payment: Payment) -> Payment:
        """Takes the looks that are due now: replays, since nobody can be asked."""
        for due in proof.looks_due(payment, self.desk()):
            subjects: list[Attempt | Operation] = [*payment.attempts, *payment.operations]
            subject = next(one for one in subjects if one.id == due.subject_id)
            if due.means in SOURCES and subject.call is not None:
                payment = self.exchange(payment, subject, subject.call, SOURCES[due.means])
        return self.send(payment)

    def on(self, *, seconds: float) -> None:
        """Time passes, at Adyen too."""
        self.at += timedelta(seconds=seconds)
        self.dialect.due(self.ledger, self.at)

    def by_hand(self, payment: Payment, deed: Deed, amount: int | None = None) -> None:
        """Somebody does that in Adyen's Customer Area."""
        theirs = self.ledger.payment(payment.attempts[-1].psp_reference or "")
        assert theirs is not None
        self.dialect.by_hand(self.ledger, theirs, deed, self.at, amount=amount)

    def fence(self, payment: Payment) -> Payment:
        """Fences the attempt off, as the domain would once no replay may go on."""
        story = Story(payment, self.desk())
        made = fencing.fence(story, payment.attempts[-1])
        assert made is not None
        payment = self.kept(story)
        sent = connector.request(made.call, psp_key=made.psp_key, credentials=CREDENTIALS)
        answer = self.dialect.handle(self.ledger, sent, self.at).response
        assert answer.status == 201
        evidence = connector.read(payment.attempts[-1], made.call, answer, source=Source.FENCE, at=self.at)
        return self.weigh(payment, payment.attempts[-1].id, evidence.finding, Source.FENCE, raw=evidence.raw)

    def come_back(self, payment: Payment, outcome: str) -> Payment:
        """The shopper does that on Adyen's page and comes back; what that takes is sent."""
        action = payment.attempts[-1].action
        assert action is not None
        page = HttpRequest(method="POST", path=urlsplit(action.url).path, headers=(), body=f"outcome={outcome}".encode())
        location = self.dialect.handle(self.ledger, page, self.at).response.header("location") or ""
        returned = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        story = Story(payment, self.desk("shopper"))
        assert completion.complete(story, payment.attempts[-1], returned)
        return self.send(self.kept(story))

    # --- being told

    def news(self) -> list[bytes]:
        """What was not heard yet, signed as it is sent, oldest first."""
        everything = list(reversed(self.ledger.notifications(limit=1000).items))
        fresh = everything[self.listened :]
        self.listened = len(everything)
        return [self.dialect.webhook_body(one.body, secret=KEY, at=self.at) for one in fresh]

    def listen(self, payment: Payment, order: Callable[[list[bytes]], list[bytes]] = as_they_came) -> Payment:
        """All the news, in that order; what they make payorch do is done."""
        for body in order(self.news()):
            payment = self.tell_it(payment, body)
        return payment

    def tell_it(self, payment: Payment, body: bytes) -> Payment:
        """One delivery."""
        received = connector.receive(Delivery(headers=(), body=body), secrets=(KEY,), at=self.at)
        assert not isinstance(received, Forged), received.reason
        for notice in received:
            assert notice.problem is None, notice
            testimony = connector.testify(notice.content, payment, at=self.at)
            payment = self.send(self.kept(weigh_testimony(payment, testimony, self.desk("psp:adyen", "ntc_1"))))
        return payment

    # --- the judge

    @property
    def books(self) -> tuple[int, int, int]:
        """What Adyen holds, took and gave back, in all."""
        theirs = self.ledger.payments(limit=100).items
        return sum(one.held for one in theirs), sum(one.captured for one in theirs), sum(one.refunded for one in theirs)

    def agrees(self, payment: Payment) -> None:
        """Our books are Adyen's, and nothing of ours is open."""
        _, captured, refunded = self.books
        assert (payment.captured_minor, payment.refunded_minor) == (captured, refunded)
        assert not [one for one in payment.operations if one.state in OPEN_OPERATION]

    # --- the connector behind the desk

    def _prepare(self, payment: Payment, connector_name: str, attempt_id: str) -> PreparedCall | Unbuildable:
        try:
            return connector.authorize(
                AuthorizeOrder(attempt_id=attempt_id, payment_id=payment.id, intent=payment.intent, return_url="https://pay.example/back")
            )
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))

    def _prepare_completion(self, payment: Payment, attempt: Attempt, returned: Mapping[str, str]) -> PreparedCall | None:
        order = CompletionOrder(payment_id=payment.id, attempt=attempt, intent=payment.intent, returned=returned)
        return connector.complete(order)

    def _prepare_fence(self, attempt: Attempt) -> PreparedCall | None:
        return connector.fence(attempt)

    def _prepare_operation(self, payment: Payment, operation: Operation) -> PreparedCall | Unbuildable:
        order = OperationOrder(
            operation_id=operation.id, payment_id=payment.id, attempt=payment.attempt(operation.attempt_id),
            options=payment.intent.connector_options.get("adyen", {}),
            leaves_minor=payment.capturable_minor - operation.amount.minor if operation.kind is OperationKind.CAPTURE else 0,
            amount=None if operation.kind is OperationKind.VOID else operation.amount, final=operation.final, reason=operation.reason,
        )  # fmt: skip
        build = {OperationKind.CAPTURE: connector.capture, OperationKind.VOID: connector.void, OperationKind.REFUND: connector.refund}
        try:
            return build[operation.kind](order)
        except NotSupported as problem:
            return Unbuildable(reason=str(problem))
