"""Access tokens: got when the first call needs one, shared, got anew before their end and once where the PSP refuses one."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import trio
import trio.testing
from structlog.testing import capture_logs

from actors.admission import CallKind
from actors.breaker import Mode
from connectors.contract import AccessToken, HttpRequest
from payorch.domain.outcome import Approved, ErrorClass, Evidence, NotExecuted, Source
from payorch.ports import NotSent, OutcomeLost
from tests.actors.connector_world import FINE, START, TOKEN_PATH, Answer, ConnectorWorld, connector


class Lender:
    """Lends tokens t1, t2, ... for that long. `answers`: instead of lending, in order. `refuses`: tokens that calls are refused with."""

    def __init__(self, lent_seconds: float = 3600, after_seconds: float = 0.1) -> None:
        self.lent_seconds = lent_seconds
        self.after_seconds = after_seconds
        self.answers: list[Answer] = []
        self.refuses: set[str] = set()
        self.given = 0

    def __call__(self, request: HttpRequest) -> Answer:
        if request.path != TOKEN_PATH:
            return Answer(status=401) if bearer(request) in self.refuses else FINE
        if self.answers:
            return self.answers.pop(0)
        self.given += 1
        headers = (("token", f"t{self.given}"), ("lent", str(self.lent_seconds)))
        return Answer(headers=headers, after_seconds=self.after_seconds)


def bearer(request: HttpRequest) -> str:
    return dict(request.headers)["authorization"].removeprefix("Bearer ")


def used(world: ConnectorWorld) -> list[str]:
    """The tokens of the calls that went out, in order."""
    return [bearer(request) for _, request in world.wire.asked if request.path != TOKEN_PATH]


def not_sent(evidence: Evidence) -> tuple[ErrorClass, str]:
    finding = evidence.finding
    assert isinstance(finding, NotExecuted)
    assert not finding.sent
    return finding.failure.error_class, finding.failure.code


async def test_it_is_got_with_the_first_call_and_shared(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = Lender()
        for evidence in await world.calls(3):
            assert evidence.finding == Approved(captured=True)
        await world.call(CallKind.LOOKUP)
        assert world.wire.paths().count(TOKEN_PATH) == 1
        assert used(world) == ["t1"] * 4
        (asked,) = [request for _, request in world.wire.asked if request.path == TOKEN_PATH]
        assert bearer(asked) == "Basic the_secret"


async def test_many_first_calls_wait_for_one(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = Lender(after_seconds=2)
        subjects = [world.send() for _ in range(12)]
        for subject in subjects:
            assert (await world.answer(subject)).finding == Approved(captured=True)
        assert world.wire.paths().count(TOKEN_PATH) == 1


@pytest.mark.parametrize(("lent", "kept"), [(3600, 3540), (100, 50), (10, 5)])
async def test_it_is_got_anew_before_its_end(lent: float, kept: float, autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = Lender(lent)
        await world.call()
        await trio.sleep(kept - 1)
        await world.call()
        await trio.sleep(1)
        await world.call()
        assert used(world) == ["t1", "t1", "t2"]


async def test_one_that_is_refused_is_replaced_once_and_the_same_call_goes_again(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = lender = Lender()
        await world.call()
        lender.refuses = {"t1"}
        assert (await world.call()).finding == Approved(captured=True)
        first, second = [request for _, request in world.wire.asked if request.path != TOKEN_PATH][1:]
        assert dict(first.headers)["idempotency-key"] == dict(second.headers)["idempotency-key"]
        assert used(world) == ["t1", "t1", "t2"]
        lender.refuses = {"t2", "t3"}
        assert (await world.call()).finding != Approved(captured=True)  # the answer to the second try is the call's
        assert used(world)[3:] == ["t2", "t3"]


async def test_many_calls_that_are_refused_at_once_get_one_other(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = lender = Lender()
        await world.call()
        lender.refuses = {"t1"}
        subjects = [world.send() for _ in range(4)]
        for subject in subjects:
            assert (await world.answer(subject)).finding == Approved(captured=True)
        assert lender.given == 2


@pytest.mark.parametrize("status", [400, 401, 403])
async def test_credentials_that_are_refused_are_a_fault_of_ours(status: int, autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = lender = Lender()
        lender.answers = [Answer(status=status)] * 6
        for evidence in await world.calls(6):
            assert not_sent(evidence) == (ErrorClass.CONFIGURATION, "credentials_refused")
        assert not used(world)
        assert world.admission.view(CallKind.AUTHORIZE, trio.current_time()).mode is Mode.CLOSED
        assert (await world.call()).finding == Approved(captured=True)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (Answer(status=500), "sign_in"),
        (Answer(status=200), "sign_in"),
        (Answer(status=200, headers=(("token", "t0"), ("lent", "0"))), "sign_in"),
        (Answer(error=NotSent("dns", "psp")), "dns"),
        (Answer(error=OutcomeLost("reset", "psp")), "sign_in"),
    ],
)
async def test_without_one_nothing_is_sent_and_the_circuit_opens(answer: Answer, code: str, autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = lender = Lender()
        lender.answers = [answer] * 5
        for evidence in await world.calls(5):
            assert not_sent(evidence) == (ErrorClass.NOT_SENT, code)
        assert not used(world)
        assert world.admission.view(CallKind.AUTHORIZE, trio.current_time()).mode is Mode.OPEN


async def test_those_who_wait_share_a_failure(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = lender = Lender()
        lender.answers = [Answer(status=503, after_seconds=3)]
        subjects = [world.send() for _ in range(4)]
        for subject in subjects:
            assert not_sent(await world.answer(subject)) == (ErrorClass.NOT_SENT, "sign_in")
        assert world.wire.paths() == [TOKEN_PATH]


async def test_a_slow_one_leaves_a_call_too_little_time(autojump_clock: trio.testing.MockClock) -> None:
    """Of its 30 s a call needs the last 5."""
    async with connector(lends=True) as world:
        world.wire.answers = Lender(after_seconds=24.9)
        second = world.send()
        await trio.sleep(0.5)
        assert (await world.answer(second)).finding == Approved(captured=True)
        assert world.wire.patience[1] == pytest.approx(5.1)
    async with connector(lends=True) as world:
        world.wire.answers = Lender(after_seconds=1e9)
        assert not_sent(await world.call()) == (ErrorClass.NOT_SENT, "sign_in")


async def test_another_token_that_cannot_be_got_is_a_call_that_was_not_executed(autojump_clock: trio.testing.MockClock) -> None:
    async with connector(lends=True) as world:
        world.wire.answers = lender = Lender()
        await world.call()
        lender.refuses = {"t1"}
        lender.answers = [Answer(status=500)]
        evidence = await world.call(source=Source.REPLAY)
        assert not_sent(evidence) == (ErrorClass.NOT_SENT, "sign_in")


async def test_a_psp_that_lends_none_is_asked_for_none(autojump_clock: trio.testing.MockClock) -> None:
    async with connector() as world:
        world.wire.answers = [Answer(status=401)]
        await world.call()
        assert TOKEN_PATH not in world.wire.paths()
        assert len(world.wire.asked) == 1


def test_a_token_is_in_no_text() -> None:
    token = AccessToken(value="very_secret", expires_at=START)
    assert "very_secret" not in f"{token!r} {token}"


async def test_and_in_no_log_or_evidence(autojump_clock: trio.testing.MockClock) -> None:
    with capture_logs() as lines:
        async with connector(lends=True) as world:
            lender: Callable[[HttpRequest], Answer] = Lender()
            world.wire.answers = lender
            evidence = await world.call()
    assert "t1" not in f"{lines} {evidence!r} {world.wire.asked!r}"
