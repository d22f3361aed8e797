"""A PSP that tells the truth, and a post that does not care: its notices come in any order, several times, before the answer, after it and
instead of it, mixed with those of steps long past. The payment ends as it would have without any notice, with the same sums.

Each play goes through the acts of a payment's life: it is authorised, captured or voided, refunded, and the refund comes back. In each act
everything is delivered in an order that is chosen; then the PSP answers whatever it is asked, truthfully, until nothing is left to ask.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from payorch.api.present import PUBLIC_OPERATION_STATUS
from payorch.domain import decide
from payorch.domain.intent import CaptureMode
from payorch.domain.money import Money
from payorch.domain.outcome import Approved, ErrorClass, Evidence, Finding, GivenBack, Pending, Released, Source
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, OperationState, State
from payorch.domain.proof import Means
from payorch.domain.records import Operation, OperationKind, Payment
from payorch.domain.testimony import Statement, Testimony, weigh_testimony
from payorch.domain.weigh import weigh
from tests.domain.worlds import CHALLENGE, CHARGED, DAY, LOST, World, declined

HELD, NO = Approved(), declined(ErrorClass.HARD_DECLINE)
Choose: TypeAlias = Callable[[Sequence[Any]], Any]
Delivery: TypeAlias = Callable[[], None]


def eur(minor: int) -> Money:
    return Money(minor, "EUR")


@dataclass(frozen=True, kw_only=True)
class Script:
    """What the PSP does in one life: `way` to the end of the authorisation, what the merchant does with a hold, how a refund goes."""

    capture: CaptureMode
    way: tuple[Finding, ...]
    end: Finding
    deed: str
    refund: tuple[Finding, ...]
    comes_back: bool


def script(choose: Choose) -> Script:
    capture = choose(list(CaptureMode))
    success = HELD if capture is CaptureMode.MANUAL else CHARGED
    return Script(
        capture=capture,
        way=choose([(), (), (CHALLENGE,), (Pending(),), (CHALLENGE, Pending())]),
        end=choose([success, success, success, NO, declined(ErrorClass.SOFT_TRY_OTHER), Released(expired=True)]),
        deed=choose(["capture all", "capture a part", "void"]),
        refund=choose([(HELD,), (Pending(), HELD), (Pending(), NO), (NO,)]),
        comes_back=choose([True, False]),
    )


@dataclass(kw_only=True)
class Play:
    """One life by a script. `choose` makes the post's choices; None: there are no notices, and no answer is lost."""

    script: Script
    choose: Choose | None
    world: World = field(default_factory=lambda: World(preference=("strong",)))
    truth: dict[str, Finding] = field(default_factory=dict)
    sent: list[Testimony] = field(default_factory=list)
    payment: Payment = field(init=False)

    def run(self) -> Payment:
        self.payment = self.world.pay(capture=self.script.capture)
        attempt = self.payment.attempts[0].id
        self.act(attempt, (*self.script.way, self.script.end))
        if self.payment.state is State.AUTHORIZED:
            self.use(attempt)
        if self.payment.captured_minor >= 500:
            self.give_back()
        return self.payment

    def use(self, attempt: str) -> None:
        if self.script.deed == "void":
            self.payment = self.world.command(self.payment, decide.void)
            self.act(self.payment.operations[-1].id, (HELD,), beside=(attempt, Released(expired=False)))
        else:
            minor = None if self.script.deed == "capture all" else 600
            self.payment = self.world.command(self.payment, lambda story: decide.capture(story, minor, final=True))
            self.act(self.payment.operations[-1].id, (CHARGED,), beside=(attempt, CHARGED))

    def give_back(self) -> None:
        self.payment = self.world.command(self.payment, lambda story: decide.refund(story, 500))
        refund = self.payment.operations[-1].id
        self.act(refund, self.script.refund)
        if self.script.refund[-1] == HELD and self.script.comes_back:
            self.world.later(seconds=DAY)
            self.act(refund, (NO,), asked=False)

    def act(self, subject: str, shown: tuple[Finding, ...], *, beside: tuple[str, Finding] | None = None, asked: bool = True) -> None:
        """The PSP shows these one after the other; `beside` is true with the last. asked: it was called, and answers with the first."""
        self.truth[subject] = shown[-1]
        if beside is not None:
            self.truth[beside[0]] = beside[1]
        notices = [self.notice((subject, one)) for one in shown[:-1]]
        notices.append(self.notice((subject, shown[-1]), *((beside,) if beside else ())))
        if self.choose is None:
            told = [lambda: self.say(subject, shown[0], Source.RESPONSE)] if asked else [self.hearing(notices[-1])]
            self.deliver(told)
        else:
            answer = self.choose([shown[0], shown[0], LOST]) if asked else None
            post = [one for one in (*notices, *self.sent) for _ in range(self.choose((1, 1, 2)))]
            deliveries: list[Delivery] = [self.hearing(one) for one in post]
            if answer is not None:
                deliveries.append(lambda: self.say(subject, answer, Source.RESPONSE))
            self.deliver(self.shuffled(deliveries))
        self.sent += notices
        self.settle()

    def shuffled(self, deliveries: list[Delivery]) -> list[Delivery]:
        assert self.choose is not None
        left, order = list(deliveries), []
        while left:
            order.append(left.pop(self.choose(range(len(left)))))
        return order

    def deliver(self, deliveries: list[Delivery]) -> None:
        for one in deliveries:
            self.world.later(seconds=0.1)
            one()

    def notice(self, *said: tuple[str, Finding]) -> Testimony:
        """As the PSP's books are at that moment."""
        return Testimony(
            statements=tuple(Statement(subject_id=one, evidence=self.evidence(one, finding, Source.WEBHOOK)) for one, finding in said)
        )

    def hearing(self, testimony: Testimony) -> Delivery:
        def heard() -> None:
            self.payment = self.world.kept(weigh_testimony(self.payment, testimony, self.world.desk("psp")))

        return heard

    def say(self, subject: str, finding: Finding, source: Source) -> None:
        evidence = self.evidence(subject, finding, source)
        self.payment = self.world.kept(weigh(self.payment, subject, evidence, self.world.desk("psp")))

    def evidence(self, subject: str, finding: Finding, source: Source) -> Evidence:
        """With the totals and the list of refunds, where it is about the attempt and has any."""
        if finding == LOST:
            return Evidence(source=source, finding=finding, at=self.world.at)
        known = Evidence(source=source, finding=finding, at=self.world.at, psp_reference=f"psp_{subject}", our_reference=subject)
        if subject != self.payment.attempts[0].id or finding != CHARGED:
            return known
        refunds = [one for one in self.payment.operations if one.kind is OperationKind.REFUND and one.id in self.truth]
        done = sum(one.amount.minor for one in refunds if self.truth[one.id] == HELD)
        return Evidence(
            source=source, finding=finding, at=self.world.at, psp_reference=f"psp_{subject}", our_reference=subject,
            captured=self.captured(), refunded=eur(done), refunds=tuple(map(self.given_back, refunds)),
        )  # fmt: skip

    def captured(self) -> Money:
        ours = [one.amount.minor for one in self.payment.operations if one.kind is OperationKind.CAPTURE]
        return eur(sum(ours) if ours else 2000)

    def given_back(self, refund: Operation) -> GivenBack:
        return GivenBack(psp_reference=f"psp_{refund.id}", amount=refund.amount, finding=self.truth[refund.id], our_reference=refund.id)

    def settle(self) -> None:
        """Whatever is asked is answered with the truth, until nothing is asked for days."""
        for _ in range(100):
            due = self.payment.due_at
            if due is None or (due - self.world.at).total_seconds() > 3 * DAY:
                return
            for subject, means in self.world.to_next_timer(self.payment).items():
                if means is Means.LOST:
                    self.say(subject, LOST, Source.RESPONSE)
                else:
                    self.say(subject, self.truth[subject], Source.REPLAY if means is Means.REPLAY else Source.INQUIRY)
        raise AssertionError(f"it never comes to rest: {self.world.names[-12:]}")


def outcome(payment: Payment) -> tuple[object, ...]:
    """How it ended, as far as anybody can see."""
    return (
        payment.state,
        [one.state for one in payment.attempts],
        [(one.kind, PUBLIC_OPERATION_STATUS[one.state], one.amount.minor) for one in payment.operations],
        payment.authorized_minor,
        payment.captured_minor,
        payment.refunded_minor,
        payment.refundable_minor,
    )


def holds(choose: Choose) -> None:
    lines = script(choose)
    expected = Play(script=lines, choose=None).run()
    assert expected.state is not State.MANUAL_REVIEW
    play = Play(script=lines, choose=choose)
    payment = play.run()
    assert outcome(payment) == outcome(expected), f"{lines} {play.world.names}"
    assert not [one for one in payment.attempts if one.state in OPEN_ATTEMPT]
    assert not [one for one in payment.operations if one.state in OPEN_OPERATION or one.in_review]
    assert "DiscrepancyRaised" not in play.world.names
    closed = [one for one in play.world.names if one in ("ProviderAuthorized", "ProviderCharged", "ResolvedAuthorized", "ResolvedCharged")]
    assert len(closed) <= 1, f"it took effect twice: {play.world.names}"
    assert all(one.state is not OperationState.SUCCEEDED or one.psp_reference is not None for one in payment.operations)


@given(data=st.data())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_the_order_of_true_words_does_not_matter(data: st.DataObject) -> None:
    holds(lambda options: data.draw(st.sampled_from(list(options))))


@pytest.mark.parametrize("block", range(4))
def test_the_order_of_true_words_does_not_matter_in_many_lives(block: int) -> None:
    for seed in range(block * 100, (block + 1) * 100):
        try:
            holds(random.Random(seed).choice)
        except Exception as problem:
            problem.add_note(f"in the play of seed {seed}")
            raise


def test_notices_alone_are_enough_where_every_answer_is_lost() -> None:
    """Nothing is asked in between: what the PSP told decides."""
    for capture, said, state in (
        (CaptureMode.AUTOMATIC, CHARGED, State.CAPTURED),
        (CaptureMode.MANUAL, HELD, State.AUTHORIZED),
        (CaptureMode.AUTOMATIC, NO, State.FAILED),
    ):
        world = World()
        payment = world.answer(world.pay(capture=capture), LOST)
        payment = world.hear(payment, (payment.attempts[0].id, said))
        assert (payment.state, payment.unconfirmed) == (state, False)
