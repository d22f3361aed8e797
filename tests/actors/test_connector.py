"""The connector's actor over a scripted PSP and trio's mock clock: circuits, budget, Retry-After, bulkheads and the one deadline."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from itertools import pairwise

import pytest
import trio
import trio.testing

from actors.admission import CallKind
from actors.breaker import CircuitView, Mode, Reason
from actors.connector import ForceCircuit, ResetCircuit
from actors.mailbox import Reply
from connectors.contract import HttpRequest
from payorch.domain.outcome import Absent, Approved, ErrorClass, Evidence, NotExecuted, Source, Unknown
from payorch.ports import NotSent, OutcomeLost
from tests.actors.connector_world import (
    ABSENT,
    BROKEN,
    BUSY,
    CONNECTOR_LIMITS,
    DECLINE,
    FINE,
    HANGING,
    KEPT,
    LIMITS,
    REFUSED,
    START,
    Answer,
    ConnectorWorld,
    connector,
)


def refusal(evidence: Evidence) -> tuple[str, str]:
    """Why it was surely not sent: the code and the words."""
    finding = evidence.finding
    assert isinstance(finding, NotExecuted)
    assert not finding.sent
    assert finding.failure.error_class is ErrorClass.NOT_SENT
    return finding.failure.code, finding.failure.message


async def open_circuit(world: ConnectorWorld, kind: CallKind = CallKind.AUTHORIZE) -> None:
    world.wire.answers = [BROKEN]
    await world.calls(5, kind)
    assert world.admission.view(kind, trio.current_time()).mode is Mode.OPEN


def mode(world: ConnectorWorld, kind: CallKind = CallKind.AUTHORIZE) -> Mode:
    return world.admission.view(kind, trio.current_time()).mode


# --- circuits


async def test_it_opens_and_then_nothing_is_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        await open_circuit(world)
        code, words = refusal(await world.call())
        assert code == "circuit_open"
        assert words == (
            "Not sent: the circuit of psp for authorisations is open since 2027-03-01 12:00:00 UTC, until 2027-03-01 12:00:05 UTC:"
            " 5 calls in a row failed, the last one http_500."
        )
        assert len(world.wire.asked) == 5
        assert [one.code for one in world.refused] == ["circuit_open"]
        assert world.actor is not None
        statistics = world.actor.statistics()
        assert (statistics.unknown, statistics.not_sent, statistics.refused) == (5, 1, 1)
        assert statistics.circuits[CallKind.AUTHORIZE].mode is Mode.OPEN


@pytest.mark.parametrize("answer", [BROKEN, BUSY, REFUSED, Answer(error=OutcomeLost("reset", "psp"))])
async def test_what_is_a_sign_of_an_ill_psp(answer: Answer, autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = [answer]
        await world.calls(5)
        assert mode(world) is Mode.OPEN


@pytest.mark.parametrize(
    "answer", [DECLINE, FINE, Answer(error=NotSent("pool", "psp")), Answer(error=NotSent("deadline", "psp")), Answer(status=401)]
)
async def test_what_is_none(answer: Answer, autojump_clock: trio.testing.MockClock) -> None:
    """Declines are answers; our own obstacles and our own credentials say nothing about the PSP."""
    async with connector() as world:
        world.wire.answers = [answer]
        await world.calls(30)
        assert mode(world) is Mode.CLOSED


async def test_slow_answers_open_it(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=10)) as world:
        world.wire.answers = [Answer(after_seconds=10)]
        ids = [world.send() for _ in range(10)]
        for one in ids:
            assert isinstance((await world.answer(one)).finding, Approved)
        assert world.admission.view(CallKind.AUTHORIZE, trio.current_time()).reason is Reason.SLOW_RATE


async def test_each_kind_of_call_has_its_own(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        await open_circuit(world)
        world.wire.answers = [FINE]
        for kind in (CallKind.CAPTURE, CallKind.VOID, CallKind.REFUND, CallKind.LOOKUP):
            assert isinstance((await world.call(kind)).finding, Approved)
        await open_circuit(world, CallKind.LOOKUP)
        world.wire.answers = [FINE]
        assert refusal(await world.call(CallKind.LOOKUP))[0] == "circuit_open"
        assert isinstance((await world.call(CallKind.REFUND)).finding, Approved)


async def test_it_is_tried_with_two_calls_at_once_and_closes(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        await open_circuit(world)
        await trio.sleep(5)
        world.wire.answers = [FINE]
        ids = [world.send() for _ in range(4)]
        answers = [await world.answer(one) for one in ids]
        assert [type(one.finding) for one in answers] == [Approved, Approved, NotExecuted, NotExecuted]
        assert "being tried" in refusal(answers[2])[1]
        assert mode(world) is Mode.CLOSED
        assert all(isinstance(one.finding, Approved) for one in await world.calls(3))
        assert [change.view.mode for change in world.changes] == [Mode.OPEN, Mode.HALF_OPEN, Mode.CLOSED]
        ((kind, since),) = world.well
        assert (kind, round(since, 3)) == (CallKind.AUTHORIZE, 0.1)


async def test_it_opens_for_longer_while_probes_fail(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        await open_circuit(world)
        while trio.current_time() < 150:
            await world.call()
            await trio.sleep(0.5)
        tried = [at for at, _ in world.wire.asked][4:]
        assert [round(later - earlier) for earlier, later in pairwise(tried)] == [5, 10, 20, 30, 30, 30]


async def test_a_probe_whose_call_could_not_be_sent_gives_its_place_back(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        await open_circuit(world)
        await trio.sleep(5)
        world.wire.answers = [Answer(error=NotSent("pool", "psp"))]
        await world.calls(5)
        assert mode(world) is Mode.HALF_OPEN
        world.wire.answers = [FINE]
        await world.calls(2)
        assert mode(world) is Mode.CLOSED


@pytest.mark.parametrize("bug", [False, True])
async def test_a_death_frees_the_probes_places(bug: bool, autojump_clock: trio.testing.MockClock) -> None:
    """Whether it was stopped with two probes on the wire, or died of what the PSP said to one."""
    world = ConnectorWorld(CONNECTOR_LIMITS, LIMITS)
    async with trio.open_nursery() as nursery:
        life = world.begin(nursery)
        await open_circuit(world)
        await trio.sleep(5)
        world.wire.answers = [Answer(status=599)] if bug else [HANGING]
        world.send()
        world.send()
        await trio.testing.wait_all_tasks_blocked()
        assert refusal(await world.call())[0] == "circuit_open"
        if not bug:
            life.stop(within_seconds=0)
        await life.wait_ended()
        assert bool(world.owner.deaths) is bug
        again = world.begin(nursery)
        world.wire.answers = [FINE]
        assert all(isinstance(one.finding, Approved) for one in await world.calls(2))
        assert mode(world) is Mode.CLOSED
        again.stop(within_seconds=0)


async def test_those_who_wait_behind_it_are_told_when_it_opens(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=1)) as world:
        world.wire.answers = [Answer(status=500, after_seconds=1)]
        ids = [world.send() for _ in range(20)]
        codes = [getattr((await world.answer(one)).finding, "sent", None) for one in ids]
        assert trio.current_time() == pytest.approx(5)
        assert codes == [None] * 5 + [False] * 15


async def test_an_operator_opens_closes_and_resets_it(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        kind = CallKind.AUTHORIZE

        async def force(*, is_open: bool) -> Mode:
            def make(reply: Reply[CircuitView]) -> ForceCircuit:
                return ForceCircuit(kind=kind, open=is_open, for_seconds=60, by="operator:ann", cause="act_1", reply_to=reply)

            return (await world.ref.ask(make, within_seconds=1)).mode

        def reset(reply: Reply[CircuitView]) -> ResetCircuit:
            return ResetCircuit(kind=kind, by="operator:ann", cause="act_2", reply_to=reply)

        assert await force(is_open=True) is Mode.FORCED_OPEN
        assert "was opened by operator:ann since 2027-03-01 12:00:00 UTC, until 2027-03-01 12:01:00 UTC" in refusal(await world.call())[1]
        assert await force(is_open=False) is Mode.FORCED_CLOSED
        world.wire.answers = [BROKEN]
        assert all(isinstance(one.finding, Unknown) for one in await world.calls(10))
        await trio.sleep(60)
        await world.call()
        assert mode(world) is Mode.OPEN
        assert (await world.ref.ask(reset, within_seconds=1)).mode is Mode.CLOSED
        assert [change.cause for change in world.changes if change.view.by] == ["act_1", "act_1", "act_2"]


async def test_opened_by_hand_it_tells_those_who_wait_at_once(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=1)) as world:
        world.wire.answers = [HANGING]
        world.send()
        waiting = world.send()
        await trio.testing.wait_all_tasks_blocked()

        def make(reply: Reply[CircuitView]) -> ForceCircuit:
            return ForceCircuit(kind=CallKind.AUTHORIZE, open=True, for_seconds=60, by="operator:ann", cause="act_1", reply_to=reply)

        await world.ref.ask(make, within_seconds=1)
        assert refusal(await world.answer(waiting))[0] == "circuit_open"
        assert trio.current_time() < 1


# --- repeats


async def test_a_replay_that_may_not_be_sent_becomes_the_inquiry_that_came_with_it(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        await open_circuit(world)
        world.wire.answers = [ABSENT]
        evidence = await world.answer(world.replay())
        assert (evidence.source, type(evidence.finding)) == (Source.INQUIRY, Absent)
        assert world.wire.paths()[-1] == "/look"
        assert refusal(await world.answer(world.replay(instead=None)))[0] == "circuit_open"
        await open_circuit(world, CallKind.LOOKUP)
        assert refusal(await world.answer(world.replay()))[0] == "circuit_open"


async def test_a_replay_without_a_token_becomes_the_inquiry_too(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(initial=1, earned_per_minute=0) as world:
        world.wire.answers = lambda request: FINE if request.path == "/look" else Answer(error=OutcomeLost("reset", "psp"))
        first, second = await world.answer(world.replay()), await world.answer(world.replay())
        assert (first.source, second.source) == (Source.REPLAY, Source.INQUIRY)
        code, words = refusal(await world.answer(world.send(CallKind.REFUND, repeat=True)))
        assert (code, words) == (
            "retry_budget_spent", "Not sent: repeating calls to psp is suspended: too many repeats in a row were not answered.",
        )  # fmt: skip


async def test_many_repeats_at_once_share_the_tokens_where_they_are_answered(autojump_clock: trio.testing.MockClock) -> None:
    """As after a crash under load: more calls are to be repeated than there are tokens, and the PSP is well."""
    async with connector(initial=2, earned_per_minute=0) as world:
        world.wire.answers = [Answer(after_seconds=0.2)]
        asked = [world.replay() for _ in range(12)]
        assert [(await world.answer(one)).source for one in asked] == [Source.REPLAY] * 12
        assert world.wire.most_at_once == 2
        assert trio.current_time() == pytest.approx(1.2)


async def test_repeats_that_wait_for_a_token_become_inquiries_when_none_will_come(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(initial=2, earned_per_minute=0) as world:
        lost = Answer(after_seconds=0.5, error=OutcomeLost("reset", "psp"))
        world.wire.answers = lambda request: ABSENT if request.path == "/look" else lost
        found = [await world.answer(one) for one in [world.replay() for _ in range(6)]]
        assert [one.source for one in found] == [Source.REPLAY] * 2 + [Source.INQUIRY] * 4
        looks = [at for at, request in world.wire.asked if request.path == "/look"]
        assert len(looks) == 4
        assert looks[0] == pytest.approx(0.5)
        world.admission.budget.refresh()
        began, lost = trio.current_time(), Answer(after_seconds=20)
        found = [await world.answer(one) for one in [world.replay() for _ in range(4)][2:]]
        assert [one.source for one in found] == [Source.INQUIRY] * 2
        looks = [at - began for at, request in world.wire.asked if request.path == "/look"]
        assert looks[4:] == [pytest.approx(2)] * 2, "they waited as long as they may, and no longer"


async def test_a_repeat_waits_for_tokens_once_and_not_anew_after_each_turn(autojump_clock: trio.testing.MockClock) -> None:
    """Two are given a turn for the one token, behind first calls: the one that comes too late has waited for long enough already."""
    limits = replace(CONNECTOR_LIMITS, connections=2)
    async with connector(limits=limits, initial=1, most=1, earned_per_call=0, earned_per_minute=0) as world:
        repeats = [world.replay() for _ in range(3)]
        slow = {f"key_{one}" for one in repeats}

        def psp(request: HttpRequest) -> Answer:
            return FINE if request.path == "/look" else Answer(after_seconds=1.5 if request.headers[0][1] in slow else 1)

        world.wire.answers = psp
        for _ in range(4):
            world.send()
        assert [(await world.answer(one)).source for one in repeats] == [Source.REPLAY, Source.REPLAY, Source.INQUIRY]
        (look,) = [at for at, request in world.wire.asked if request.path == "/look"]
        assert look == pytest.approx(3)


async def test_waiting_for_tokens_starts_no_tasks(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(initial=1, most=1, earned_per_call=0, earned_per_minute=0) as world:

        def tasks() -> int:
            return trio.lowlevel.current_statistics().tasks_living

        await trio.testing.wait_all_tasks_blocked()
        before = tasks()
        for _ in range(100):
            for one in [world.replay() for _ in range(3)]:
                await world.answer(one)
        await trio.testing.wait_all_tasks_blocked()
        assert tasks() == before


async def test_an_exchange_that_breaks_down_is_never_surely_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    """Only a request that cannot be built is; whatever else goes wrong may have come after the first byte."""

    def odd(request: HttpRequest) -> Answer:
        raise ValueError("a bug of ours behind the first byte")

    world = ConnectorWorld(CONNECTOR_LIMITS, LIMITS)
    async with trio.open_nursery() as nursery:
        life = world.begin(nursery)
        world.wire.answers = odd
        world.send()
        with trio.fail_after(60):
            await life.wait_ended()
    (death,) = world.owner.deaths
    assert isinstance(death, ExceptionGroup)
    assert death.subgroup(ValueError) is not None
    assert world.heard_nothing()


async def test_a_call_that_cannot_be_written_as_http_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = [Answer(error=NotSent("unsendable", "psp"))]
        assert [refusal(one)[0] for one in await world.calls(10)] == ["unsendable"] * 10
        assert mode(world) is Mode.CLOSED


async def test_an_answered_repeat_costs_nothing(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(initial=1, earned_per_minute=0) as world:
        for _ in range(20):
            assert (await world.answer(world.replay())).source is Source.REPLAY


@pytest.mark.parametrize("repeats", [9, 40])
async def test_errors_that_a_psp_says_it_keeps_leave_the_tokens_to_others(repeats: int, autojump_clock: trio.testing.MockClock) -> None:
    """They tell nothing of whether it is well, but it has answered. Each is the last replay of its payment, and the next needs a token."""
    async with connector(initial=2, earned_per_minute=0) as world:
        world.wire.answers = lambda request: ABSENT if request.path == "/look" else KEPT
        for _ in range(repeats):
            assert (await world.answer(world.replay())).source is Source.REPLAY
        assert mode(world) is Mode.CLOSED
        assert world.admission.budget.tokens(trio.current_time()) == 2
        world.wire.answers = [FINE]
        assert (await world.answer(world.replay())).source is Source.REPLAY


async def test_an_error_that_is_replayed_is_no_news_and_costs_its_token(autojump_clock: trio.testing.MockClock) -> None:
    """The PSP may be well: it only repeats what it said. It may be ill, if it does not say which: it must not be repeated without end."""
    async with connector(initial=3, earned_per_minute=0) as world:
        world.wire.answers = [BROKEN]
        for _ in range(3):
            assert (await world.answer(world.replay(instead=None))).source is Source.REPLAY
        assert refusal(await world.answer(world.replay(instead=None)))[0] == "retry_budget_spent"
        assert mode(world) is Mode.CLOSED


async def test_a_psp_that_answers_nothing_gets_at_most_a_tenth_more_than_the_payments(autojump_clock: trio.testing.MockClock) -> None:
    """60 s, 5 payments a second, everything fails, each unknown one is replayed after 2, 7 and 22 s. Without circuits."""
    never = replace(LIMITS.circuit, failures_in_a_row=10**6, minimum_calls=20, failure_rate=1.1)
    async with connector(admission=replace(LIMITS, circuit=never)) as world:
        world.wire.answers = lambda request: BROKEN

        async def one_payment() -> None:
            await world.call()
            for wait in (2, 5, 15):
                await trio.sleep(wait)
                await world.answer(world.replay(instead=None))

        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(one_payment)
                await trio.sleep(0.2)
            assert trio.current_time() == pytest.approx(60)
            mutating = len(world.wire.asked)
            nursery.cancel_scope.cancel()
        # Exactly: a tenth of 300, the five of the beginning and the one of the minute.
        assert 300 < mutating <= 300 + 30 + 5 + 1


async def test_with_circuits_it_gets_far_less(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = lambda request: BROKEN

        async def one_payment() -> None:
            if isinstance((await world.call()).finding, Unknown):
                for wait in (2, 5, 15):
                    await trio.sleep(wait)
                    await world.answer(world.replay())

        async with trio.open_nursery() as nursery:
            for _ in range(300):
                nursery.start_soon(one_payment)
                await trio.sleep(0.2)
            nursery.cancel_scope.cancel()
        assert world.wire.paths().count("/pay") <= 20


# --- Retry-After


@pytest.mark.parametrize("status", [429, 503])
async def test_the_psp_is_left_alone_until_it_wants_to_be_asked(status: int, autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = [*[Answer(status=status, after_seconds=0, headers=(("retry-after", "20"),))] * 5, FINE]
        for evidence in await world.calls(5):
            assert evidence.retry_after == START + timedelta(seconds=20)
        code, words = refusal(await world.call())
        assert code == "circuit_open"
        assert words.endswith("until 2027-03-01 12:00:20 UTC: it asked to be left alone until then.")
        assert isinstance((await world.call(CallKind.CAPTURE)).finding, Approved)
        await trio.sleep(19)
        assert refusal(await world.call())[0] == "circuit_open"
        await trio.sleep(1.1)
        await world.calls(2)
        assert mode(world) is Mode.CLOSED


@pytest.mark.parametrize("status", [429, 503])
async def test_one_call_that_is_turned_away_closes_the_door_for_no_other(status: int, autojump_clock: trio.testing.MockClock) -> None:
    """Its own repeats wait; a limit per second is over for the next payment."""
    async with connector() as world:
        turned_away = Answer(status=status, headers=(("retry-after", "60"),))
        for _ in range(10):
            world.wire.answers = [turned_away, FINE]
            assert (await world.call()).retry_after is not None
            assert all(isinstance(one.finding, Approved) for one in await world.calls(5))
        assert world.changes == []


async def test_a_retry_after_is_believed_up_to_a_bound(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = [Answer(status=429, headers=(("retry-after", "86400"),))]
        assert (await world.call()).retry_after == START + timedelta(seconds=60.1)


# --- bulkheads and the deadline


async def test_hanging_payments_do_not_keep_us_from_asking(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = lambda request: FINE if request.path == "/look" else HANGING
        for _ in range(20):
            world.send()
        await trio.testing.wait_all_tasks_blocked()
        before = trio.current_time()
        assert isinstance((await world.call(CallKind.LOOKUP)).finding, Approved)
        assert trio.current_time() - before == pytest.approx(0.1)
        assert world.wire.most_at_once == CONNECTOR_LIMITS.connections + 1


async def test_more_than_may_wait_is_told_so(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, waiting=4)) as world:
        world.wire.answers = [Answer(after_seconds=1)]
        ids = [world.send() for _ in range(4)]
        await trio.testing.wait_all_tasks_blocked()
        ids += [world.send() for _ in range(5)]
        answers = [await world.answer(one) for one in ids]
        assert [isinstance(one.finding, Approved) for one in answers] == [True] * 8 + [False]
        assert refusal(answers[8])[0] == "bulkhead_full"


async def test_waiting_and_calling_share_one_deadline(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=1)) as world:
        world.wire.answers = [Answer(after_seconds=20), HANGING]
        first, second, third = world.send(), world.send(), world.send()
        assert isinstance((await world.answer(first)).finding, Approved)
        evidence = await world.answer(second)
        assert isinstance(evidence.finding, Unknown)
        assert trio.current_time() == pytest.approx(30), "20 s of waiting and 10 s of calling"
        assert world.wire.patience == [30, pytest.approx(10)]
        code, _ = refusal(await world.answer(third))
        assert code == "deadline"
        assert len(world.wire.asked) == 2


async def test_a_call_with_too_little_time_left_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=1)) as world:
        world.wire.answers = [Answer(after_seconds=24.9), FINE]
        first, second, third = world.send(), world.send(), world.send()
        assert isinstance((await world.answer(first)).finding, Approved)
        assert isinstance((await world.answer(second)).finding, Approved)
        assert isinstance((await world.answer(third)).finding, Approved)
        world.wire.answers = [Answer(after_seconds=25.1), FINE]
        fourth, fifth = world.send(), world.send()
        assert isinstance((await world.answer(fourth)).finding, Unknown)
        assert isinstance((await world.answer(fifth)).finding, Approved)


async def test_a_repeat_whose_key_ends_while_it_waits_is_not_sent(autojump_clock: trio.testing.MockClock) -> None:
    """M8: under a key that the PSP has forgotten the same bytes would be a second charge."""
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=1)) as world:
        world.key_seconds = 10
        world.wire.answers = [Answer(after_seconds=15), FINE]
        first, replay, call = world.send(), world.replay(), world.send()
        await world.answer(first)
        assert refusal(await world.answer(replay))[0] == "psp_key_over"
        assert isinstance((await world.answer(call)).finding, Approved), "what was never sent before cannot be sent twice"


async def test_quiet_is_when_no_call_is_under_way(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(limits=replace(CONNECTOR_LIMITS, connections=1)) as world:
        world.wire.answers = [Answer(after_seconds=26), FINE]
        world.send()
        world.send()  # will not be sent: too little of its time is left
        await trio.testing.wait_all_tasks_blocked()
        assert world.actor is not None
        with trio.fail_after(60):
            await world.actor.until_quiet()
        assert trio.current_time() >= 25


async def test_a_look_up_that_is_answered_but_settles_nothing_is_a_good_one(autojump_clock: trio.testing.MockClock) -> None:
    """One odd payment must not close the door for all others."""

    def odd(request: HttpRequest) -> Answer:
        return Answer(status=204)

    async with connector() as world:
        world.wire.answers = odd
        await world.calls(20, CallKind.LOOKUP)
        assert mode(world, CallKind.LOOKUP) is Mode.CLOSED
