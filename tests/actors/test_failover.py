"""What follows a no: payments over several connectors, from the merchant's request to the calls that were made for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

import trio
import trio.testing

from actors.connector import Execute
from actors.mailbox import MailboxFull
from payorch.domain.outcome import Approved, Declined, ErrorClass, Failure, Finding, NotExecuted, Source, Unknown
from payorch.domain.payment import AttemptState, State
from payorch.domain.records import Attempt
from payorch.domain.rules import Plan, RuleBook, Weights
from tests.api.actor_world import Shared, platforms
from tests.api.merchant_world import charge, new_id

FIRST, SECOND, THIRD = NAMES = ("alpha", "beta", "gamma")
LOST = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="read_timeout", message="Lost."))
UNSENT = NotExecuted(failure=Failure(error_class=ErrorClass.NOT_SENT, code="connect", message="Not sent."), sent=False)


def no(error_class: ErrorClass) -> Declined:
    return Declined(failure=Failure(error_class=error_class, code="no", message="No."))


class Psps:
    """What each connector's PSP says to authorisations, one after the other, the last for ever; others approve, or say what everybody
    does. inquired: to look-ups.
    """

    def __init__(self, inquired: Finding | None = None, everybody: Finding | None = None, **says: list[Finding]) -> None:
        self.says = says
        self.everybody = everybody or Approved(captured=True)
        self.inquired = inquired
        self.asked: list[tuple[str, Source]] = []

    def __call__(self, execute: Execute) -> Finding | None:
        assert isinstance(execute.subject, Attempt)
        name = execute.subject.connector
        self.asked.append((name, execute.source))
        if execute.source is Source.INQUIRY:
            return self.inquired
        left = self.says.get(name, [self.everybody])
        return left.pop(0) if len(left) > 1 else left[0]

    @property
    def tried(self) -> list[str]:
        """The connectors that were sent an authorisation, in order."""
        return [name for name, source in self.asked if source is Source.RESPONSE]


async def pay(shared: Shared, psps: Psps, **changes: Any) -> tuple[int, dict[str, Any]]:
    shared.psp = psps
    answer = await shared.store.post(body=charge(**changes), idempotency=new_id("evt"))
    return answer.status_code, answer.seen


async def test_a_soft_decline_ends_authorised_elsewhere_in_the_same_request(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.SOFT_TRY_OTHER)])
        status, seen = await pay(shared, psps)
        assert (status, seen["status"], seen["connector"]) == (201, "succeeded", SECOND)
        assert [(one["connector"], one["state"]) for one in seen["attempts"]] == [(FIRST, "DECLINED"), (SECOND, "CHARGED")]
        assert psps.tried == [FIRST, SECOND]


async def test_a_charge_whose_answer_is_lost_never_goes_anywhere_else(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(inquired=Approved(captured=True), alpha=[LOST])
        status, seen = await pay(shared, psps)
        assert (status, seen["outcome"]) == (202, "unconfirmed")
        payment = shared.stored[-1]
        assert payment.state is State.OUTCOME_UNKNOWN
        assert [one.connector for one in payment.attempts] == [FIRST]
        assert {name for name, _ in psps.asked} == {FIRST}


async def test_what_was_surely_not_sent_goes_to_the_next_until_nobody_is_left(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[UNSENT], beta=[UNSENT], gamma=[UNSENT])
        status, seen = await pay(shared, psps)
        assert (status, seen["status"], seen["failure"]["class"]) == (201, "failed", "NOT_SENT")
        assert psps.tried == [*NAMES]


async def test_a_connector_without_room_is_passed_over(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        shared.busy = MailboxFull("full")
        status, seen = await pay(shared, Psps())
        assert (status, seen["status"]) == (201, "failed")
        assert [one["state"] for one in seen["attempts"]] == ["NOT_SENT"] * 3


async def test_a_hard_decline_stops_everywhere_and_blocks_the_card(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.HARD_DECLINE)])
        card = {"type": "card", "token": "tok_visa", "fingerprint": "fp_stolen"}
        _, seen = await pay(shared, psps, payment_method=card)
        assert (seen["status"], seen["failure"]["class"], psps.tried) == ("failed", "HARD_DECLINE", [FIRST])
        status, seen = await pay(shared, psps, payment_method={**card, "token": "tok_other"})
        assert (status, seen["status"], seen["failure"]["class"]) == (201, "failed", "ROUTER_DECLINED")
        assert seen["failure"]["code"] == "card_blocked"
        assert psps.tried == [FIRST], "no connector sees a blocked card"
        _, seen = await pay(shared, Psps(), payment_method={**card, "fingerprint": "fp_other"})
        assert seen["status"] == "succeeded"


async def test_a_fraud_block_stops_everywhere(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.FRAUD_BLOCKED)])
        _, seen = await pay(shared, psps)
        assert (seen["status"], psps.tried) == ("failed", [FIRST])


async def test_a_missing_authentication_steps_up_once_at_the_same_connector(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.AUTHENTICATION_REQUIRED), Approved(captured=True)])
        _, seen = await pay(shared, psps)
        assert (seen["status"], psps.tried) == ("succeeded", [FIRST, FIRST])
        asked = [parse_qs(execute.call.body) for execute in shared.calls]
        wish = "payment_method_options[card][request_three_d_secure]"
        assert [body.get(wish) for body in asked] == [None, ["any"]]


async def test_a_second_wish_for_an_authentication_ends_it(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.AUTHENTICATION_REQUIRED)])
        _, seen = await pay(shared, psps)
        assert (seen["status"], seen["failure"]["class"]) == ("failed", "AUTHENTICATION_REQUIRED")
        assert psps.tried == [FIRST, FIRST]


async def test_a_step_up_that_could_not_be_sent_is_made_elsewhere_with_the_shopper_authenticated(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.AUTHENTICATION_REQUIRED), UNSENT])
        _, seen = await pay(shared, psps)
        assert (seen["status"], psps.tried) == ("succeeded", [FIRST, FIRST, SECOND])
        assert "request_three_d_secure" in shared.calls[-1].call.body


async def test_nobody_authenticates_where_no_shopper_is(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.AUTHENTICATION_REQUIRED)])
        _, seen = await pay(shared, psps, initiator="merchant")
        assert (seen["status"], psps.tried) == ("failed", [FIRST])


async def test_the_networks_limit_on_retries_holds_over_payments_and_connectors(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        psps = Psps(everybody=no(ErrorClass.SOFT_TRY_OTHER))
        card = {"type": "card", "token": "tok_visa", "brand": "visa", "fingerprint": "fp_1"}
        tried = []
        for _ in range(7):
            before = len(psps.tried)
            await pay(shared, psps, payment_method=card)
            tried.append(len(psps.tried) - before)
        assert tried == [3, 3, 3, 3, 3, 1, 1], "15 declines in 30 days; then only the merchant's own new payments"
        last = shared.stored[-1]
        reasons = [getattr(event.data, "reason", None) for event in shared.store.lives[last.id].events]
        assert "the card was declined 15 times in 30 days" in reasons
        await pay(shared, psps, payment_method={**card, "fingerprint": "fp_2"})
        assert len(psps.tried) == sum(tried) + 3


async def test_a_connector_that_was_not_reached_is_no_retry_of_the_card(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, _):
        card = {"type": "card", "token": "tok_visa", "brand": "visa", "fingerprint": "fp_1"}
        declining = Psps(everybody=no(ErrorClass.SOFT_TRY_OTHER))
        for _ in range(5):
            await pay(shared, declining, payment_method=card)
        psps = Psps(alpha=[UNSENT])
        _, seen = await pay(shared, psps, payment_method=card)
        assert (seen["status"], psps.tried) == ("succeeded", [FIRST, SECOND])


async def test_after_its_time_nothing_is_authorised_anew(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, (platform,)):
        psps = Psps(alpha=[no(ErrorClass.SOFT_TRY_OTHER)])

        def late(execute: Execute) -> Finding | None:
            platform.clock.at = platform.clock.now().replace(hour=23)
            return psps(execute)

        shared.psp = late
        answer = await shared.store.post(body=charge(), idempotency=new_id("evt"))
        assert (answer.seen["status"], psps.tried) == ("failed", [FIRST])


async def test_a_connector_that_declines_more_loses_its_traffic(autojump_clock: trio.testing.MockClock) -> None:
    weights = Weights(success=1, cost=1, latency=10, preference=200, exploration=0)
    plan = Plan(RuleBook(default=NAMES, weights=weights), zones={}, connectors=NAMES)
    async with platforms(1, names=NAMES, plan=plan, psp_seconds=0.01) as (shared, _):
        psps = Psps(alpha=[no(ErrorClass.SOFT_TRY_OTHER)])
        for number in range(10):
            await pay(shared, psps, payment_method={"type": "card", "token": f"tok_{number}"})
        firsts = [payment.attempts[0].connector for payment in shared.stored if payment.state is State.CAPTURED]
        assert firsts[0] == FIRST
        assert firsts[-5:] == [SECOND] * 5
        decision = shared.stored[-1].decision
        assert decision is not None
        assert {one.connector for one in decision.candidates} == {*NAMES}
        by_name = {one.connector: one for one in decision.candidates}
        assert by_name[FIRST].success < by_name[THIRD].success <= by_name[SECOND].success
        assert all(one.state is not AttemptState.UNKNOWN for one in shared.stored[-1].attempts)


async def test_rules_are_replaced_between_two_payments(autojump_clock: trio.testing.MockClock) -> None:
    async with platforms(1, names=NAMES) as (shared, (platform,)):
        _, before = await pay(shared, Psps())
        weights = Weights(success=0, cost=0, latency=0, preference=1, exploration=0)
        platform.router.plan = Plan(RuleBook(default=(THIRD,), weights=weights), zones={}, connectors=NAMES)
        _, after = await pay(shared, Psps())
        assert (before["connector"], after["connector"]) == (FIRST, THIRD)
