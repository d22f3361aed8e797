"""Every row of the idempotency table, with the races and crashes between its rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import msgspec
import psycopg
import pytest
import trio

from actors.child import TooManyChildren
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull
from actors.messages import Confirm, Create, Forbidden, KeyTaken, Message, NoSuchPayment
from payorch.api.answering import SETTLE_WITHIN_SECONDS
from payorch.domain import decide
from payorch.domain.payment import Command
from payorch.store.items import Answer
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted
from tests.api.merchant_world import ANSWER_WITHIN_SECONDS, MERCHANT, OTHER_KEY, START, Life, World, charge, new_id


def raising(error: Exception) -> Callable[[Message], Any]:
    async def behave(_: Message) -> Any:
        raise error

    return behave


def accepting_then(world: World, error: Exception) -> Callable[[Message], Any]:
    """The first commit is made, and then the asker hears `error`."""

    async def behave(message: Message) -> Any:
        assert isinstance(message, Create | Confirm)
        verdict = world.accept(message)
        if verdict is not None:
            return verdict
        raise error

    return behave


def problem(answer: Any, status: int, code: str, money_moved: str = "no") -> dict[str, Any]:
    found: dict[str, Any] = answer.seen
    assert (answer.status_code, found["code"], found["money_moved"]) == (status, code, money_moved), answer.raw
    assert answer.content_type == "application/problem+json"
    if status in (409, 429, 503) and code != "operation_not_allowed":
        assert int(answer.headers["Retry-After"]) >= 1
    return found


# --- the header


@pytest.mark.parametrize("key", ["", " ", '""', "x" * 256, "caf\u00e9", '"open', "4111111111111111"])
async def test_a_key_that_is_none_is_refused(key: str) -> None:
    world = World()
    answer = await world.post(idempotency=key)
    assert answer.status_code in (400, 422)
    assert not world.messages


async def test_a_command_without_a_key_is_refused() -> None:
    problem(await World().post(idempotency=None), 400, "idempotency_key_missing")


async def test_bare_and_quoted_are_the_same_key() -> None:
    world = World()
    first = await world.post(idempotency="abc")
    second = await world.post(idempotency='"abc"')
    assert (second.raw, second.headers["Idempotency-Replayed"]) == (first.raw, "true")
    assert len(world.lives) == 1


# --- replay


async def test_a_finished_request_is_replayed_byte_for_byte() -> None:
    world = World()
    first = await world.post()
    assert (first.status_code, "Idempotency-Replayed" in first.headers) == (201, False)
    world.clock.at += timedelta(days=30)
    second = await world.post()
    assert (second.status_code, second.raw, second.headers["Idempotency-Replayed"]) == (201, first.raw, "true")
    assert len(world.lives) == 1


async def test_order_and_white_space_of_the_body_make_no_difference() -> None:
    world = World()
    first = await world.post()
    turned = msgspec.json.format(msgspec.json.encode(dict(reversed(charge().items()))), indent=3)
    assert (await world.post(body=turned)).raw == first.raw


async def test_a_stored_202_is_replayed_as_it_was_also_after_the_payment_has_gone_on() -> None:
    world = World()
    world.behave = accepting_then(world, AskTimeout())
    first = await world.post()
    assert (first.status_code, first.seen["status"]) == (202, "processing")
    next(iter(world.lives.values())).charged()
    second = await world.post()
    assert (second.status_code, second.raw, second.headers["Idempotency-Replayed"]) == (202, first.raw, "true")
    assert (await world.call("GET", f"/v1/payments/{first.seen['id']}")).seen["status"] == "succeeded"


async def test_the_same_key_of_another_merchant_is_another_key() -> None:
    world = World()
    first = await world.post()
    second = await world.post(key=OTHER_KEY)
    assert first.seen["id"] != second.seen["id"]


# --- the same key for something else


@pytest.mark.parametrize("changes", [{"amount": 2000}, {"reference": "r"}, {"confirm": True}])
async def test_another_body_under_the_same_key_is_refused_without_effect(changes: dict[str, Any]) -> None:
    world = World()
    await world.post()
    problem(await world.post(body=charge(**changes)), 422, "idempotency_key_reused")
    assert len(world.lives) == 1


async def test_another_path_under_the_same_key_is_refused_without_effect() -> None:
    world = World()
    first = await world.post(body=charge(confirm=False))
    problem(await world.post(f"/v1/payments/{first.seen['id']}/cancel", body={}), 422, "idempotency_key_reused")
    assert len(world.messages) == 1


# --- while the first is under way


async def test_a_second_request_meanwhile_hears_409_and_starts_nothing() -> None:
    world = World()
    accepted, go = trio.Event(), trio.Event()

    async def slow(message: Message) -> Any:
        assert isinstance(message, Create)
        world.accept(message)
        accepted.set()
        await go.wait()
        return world.answer(message, 201)

    world.behave = slow
    answers: list[Any] = []

    async def first() -> None:
        answers.append(await world.post())

    async with trio.open_nursery() as nursery:
        nursery.start_soon(first)
        await accepted.wait()
        problem(await world.post(), 409, "idempotency_in_progress", "unknown")
        problem(await world.post(body=charge(amount=5)), 422, "idempotency_key_reused")
        go.set()
    assert len(world.messages) == 1
    world.behave = world.obey
    assert (await world.post()).raw == answers[0].raw


async def test_a_claim_of_another_life_that_is_young_is_409() -> None:
    world = World()
    world.behave = accepting_then(world, AskTimeout())
    world.fail["write_answer"] = JournalUnavailable()
    problem(await world.post(), 503, "unavailable", "unknown")
    del world.fail["write_answer"]
    world.clock.at += timedelta(seconds=ANSWER_WITHIN_SECONDS - 1.5)
    answer = await world.post()
    problem(answer, 409, "idempotency_in_progress", "unknown")
    assert answer.headers["Retry-After"] == "2"


async def test_a_claim_that_is_old_is_settled_with_202_for_ever() -> None:
    world = World()
    world.behave = accepting_then(world, AskTimeout())
    world.fail["write_answer"] = JournalUnavailable()
    await world.post()
    del world.fail["write_answer"]
    world.clock.at += timedelta(seconds=ANSWER_WITHIN_SECONDS)
    settled = await world.post()
    assert (settled.status_code, settled.seen["status"], settled.headers["Idempotency-Replayed"]) == (202, "processing", "true")
    assert (await world.post()).raw == settled.raw
    assert len(world.lives) == 1


# --- no verdict


async def test_too_late_is_202_and_stored_before_it_is_sent() -> None:
    world = World()
    world.behave = accepting_then(world, AskTimeout())
    answer = await world.post()
    assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (202, False)
    (stored,) = world.claims.values()
    assert (stored.status, stored.body) == (202, answer.raw)


async def test_too_late_by_a_moment_hears_what_the_actor_stored() -> None:
    """The actor stores its answer between our last look and our write: its answer stands."""
    world = World()
    world.behave = accepting_then(world, AskTimeout())
    write = world.write_answer

    async def faster(answer: Answer) -> Any:
        world.store(Answer(merchant_id=answer.merchant_id, key=answer.key, status=201, body=b'{"faster":1}', at=START))
        return await write(answer)

    world.write_answer = faster  # type: ignore[method-assign]
    answer = await world.post()
    assert (answer.status_code, answer.raw, "Idempotency-Replayed" in answer.headers) == (201, b'{"faster":1}', False)


async def test_too_late_without_a_claim_says_that_it_does_not_know() -> None:
    world = World()
    world.behave = raising(AskTimeout())
    problem(await world.post(), 503, "unavailable", "unknown")


@pytest.mark.parametrize("error", [DatabaseUnavailable("x"), PoolExhausted(size=1, waited_seconds=1), psycopg.OperationalError()])
async def test_too_late_with_a_database_that_is_away_says_that_it_does_not_know(error: Exception) -> None:
    world = World()
    world.behave = accepting_then(world, AskTimeout())
    world.fail["stored_claim"] = error
    problem(await world.post(), 503, "unavailable", "unknown")
    del world.fail["stored_claim"]
    world.clock.at += timedelta(seconds=ANSWER_WITHIN_SECONDS)
    assert (await world.post()).status_code == 202
    assert len(world.lives) == 1


async def test_a_write_that_hangs_is_not_waited_for(autojump_clock: trio.testing.MockClock) -> None:
    world = World()
    world.behave = accepting_then(world, AskTimeout())

    async def hang(_: Answer) -> Any:
        await trio.sleep_forever()

    world.write_answer = hang  # type: ignore[assignment, method-assign]
    began = trio.current_time()
    problem(await world.post(), 503, "unavailable", "unknown")
    assert trio.current_time() - began == pytest.approx(SETTLE_WITHIN_SECONDS)


async def test_an_actor_that_dies_after_the_claim_is_202() -> None:
    world = World()
    world.behave = accepting_then(world, ActorStopped())
    answer = await world.post()
    assert (answer.status_code, answer.seen["status"]) == (202, "processing")


async def test_an_actor_that_dies_without_a_claim_leaves_it_open() -> None:
    world = World()
    world.behave = raising(ActorStopped())
    problem(await world.post(), 503, "unavailable", "unknown")


async def test_an_actor_that_cannot_be_reached_moved_no_money() -> None:
    world = World()
    world.fail["directory"] = ActorStopped()  # before the message was made
    problem(await world.post(), 503, "unavailable", "no")


@pytest.mark.parametrize("error", [MailboxFull(), TooManyChildren()])
async def test_no_room_is_503_and_moved_no_money(error: Exception) -> None:
    world = World()
    world.behave = raising(error)
    problem(await world.post(), 503, "overloaded")
    world.behave = world.obey
    assert (await world.post()).status_code == 201


async def test_a_journal_that_is_away_moved_no_money() -> None:
    world = World()
    world.behave = raising(JournalUnavailable())
    world.fail["stored_claim"] = DatabaseUnavailable("x")
    problem(await world.post(), 503, "unavailable", "no")


async def test_a_client_that_hangs_up_changes_nothing() -> None:
    """Also where its request is cut: the key is free for its next try, which is answered by what has become of the first."""
    world = World()
    accepted = trio.Event()

    async def slow(message: Message) -> Any:
        assert isinstance(message, Create)
        world.accept(message)
        accepted.set()
        await trio.sleep_forever()

    world.behave = slow
    async with trio.open_nursery() as nursery:
        nursery.start_soon(world.post)
        await accepted.wait()
        nursery.cancel_scope.cancel()
    world.behave = world.obey
    problem(await world.post(), 409, "idempotency_in_progress", "unknown")
    world.clock.at += timedelta(seconds=ANSWER_WITHIN_SECONDS)
    assert (await world.post()).status_code == 202
    assert len(world.lives) == 1


async def test_a_twin_in_another_process_is_answered_from_what_it_stored() -> None:
    world = World()
    first = await world.post()

    async def taken(_: Message) -> Any:
        return KeyTaken()

    world.behave = taken
    second = await world.post()
    assert (second.raw, second.headers["Idempotency-Replayed"]) == (first.raw, "true")


async def test_a_fault_of_ours_is_500_unknown_and_logged() -> None:
    world = World()
    world.behave = raising(RuntimeError("secret detail"))
    answer = await world.post()
    problem(answer, 500, "internal_error", "unknown")
    assert b"secret detail" not in answer.raw
    assert [line[0] for line in world.log.lines] == ["http.failed"]
    assert isinstance(world.log.lines[0][1]["exc_info"], RuntimeError)


# --- what is not stored


@pytest.mark.parametrize("body", [b"{", b"{}", b'{"amount":0,"currency":"EUR"}', b'{"cvv":"1"}'])
async def test_a_refused_body_leaves_the_key_unused(body: bytes) -> None:
    world = World()
    assert (await world.post(body=body)).status_code in (400, 422)
    assert (await world.post(key=None)).status_code == 401
    answer = await world.post()
    assert (answer.status_code, "Idempotency-Replayed" in answer.headers) == (201, False)


# --- follow-ups


async def test_confirm_and_cancel_are_answered_once_and_replayed() -> None:
    world = World()
    for call, status in (("confirm", "succeeded"), ("cancel", "canceled")):
        made = await world.post(body=charge(confirm=False), idempotency=f"{call}-1")
        assert made.seen["status"] == "requires_confirmation"
        path = f"/v1/payments/{made.seen['id']}/{call}"
        first = await world.post(path, body={}, idempotency=f"{call}-2")
        assert (first.status_code, first.seen["status"]) == (200, status)
        second = await world.post(path, body=b"", idempotency=f"{call}-2")  # no body is as good as an empty one
        assert (second.status_code, second.raw, second.headers["Idempotency-Replayed"]) == (200, first.raw, "true")


async def test_confirm_hands_over_what_it_was_given() -> None:
    world = World()
    life = world.has(Life().created())
    body = {"payment_method": {"type": "card", "token": "tok_2", "last4": "1111"}, "return_url": "https://shop.test/x"}
    assert (await world.post(f"/v1/payments/{life.payment_id}/confirm", body=body)).status_code == 200
    (message,) = world.messages
    assert isinstance(message, Confirm)
    assert message.method is not None
    assert (message.method.token, message.return_url) == ("tok_2", "https://shop.test/x")
    assert (message.claim.payment_id, message.claim.merchant_id) == (life.payment_id, MERCHANT)


@pytest.mark.parametrize("call", ["confirm", "cancel"])
async def test_a_follow_up_to_what_is_not_yours_is_404(call: str) -> None:
    world = World()
    life = world.has(Life().created())
    for path in (life.payment_id, new_id("pay"), new_id("att"), "pay_x", "x" * 300):
        problem(await world.post(f"/v1/payments/{path}/{call}", body={}, key=OTHER_KEY), 404, "not_found")
    assert not world.messages


async def test_a_payment_that_is_gone_when_asked_is_404() -> None:
    world = World()
    life = world.has(Life().created())

    async def gone(_: Message) -> Any:
        return NoSuchPayment()

    world.behave = gone
    problem(await world.post(f"/v1/payments/{life.payment_id}/cancel", body={}), 404, "not_found")


def forbidding(world: World, code: str, *allowed: Command) -> Callable[[Message], Any]:
    async def behave(_: Message) -> Any:
        payment = next(iter(world.lives.values())).payment
        return Forbidden(refusal=decide.Refused(code, "It cannot be.", allowed), payment=payment)

    return behave


async def test_what_the_state_forbids_is_409_with_what_is_allowed_and_the_key_unused() -> None:
    world = World()
    life = world.has(Life().created().sent().charged())
    world.behave = forbidding(world, "operation_not_allowed", Command.REFUND)
    path = f"/v1/payments/{life.payment_id}/cancel"
    found = problem(await world.post(path, body={}), 409, "operation_not_allowed")
    assert found["allowed"] == ["refund"]
    assert not world.claims
    world.behave = world.obey
    assert (await world.post(body=charge())).status_code == 201  # the same key, for something else


@pytest.mark.parametrize(
    ("code", "status"),
    [("capability_not_supported", 409), ("amount_exceeds_capturable", 422), ("amount_exceeds_refundable", 422), ("validation_failed", 422)],
)
async def test_the_other_refusals_of_the_domain(code: str, status: int) -> None:
    world = World()
    life = world.has(Life().created())
    world.behave = forbidding(world, code)
    answer = await world.post(f"/v1/payments/{life.payment_id}/confirm", body={})
    assert (answer.status_code, answer.seen["code"]) == (status, code)


async def test_forbidden_because_a_twin_was_faster_is_the_twins_answer() -> None:
    world = World()
    life = world.has(Life().created())
    path = f"/v1/payments/{life.payment_id}/cancel"

    async def twin_first(message: Message) -> Any:
        await world.obey(message)
        return await forbidding(world, "operation_not_allowed")(message)

    world.behave = twin_first
    answer = await world.post(path, body={})
    assert (answer.status_code, answer.seen["status"], answer.headers["Idempotency-Replayed"]) == (200, "canceled", "true")


async def test_a_follow_up_while_the_journal_is_away_looks_before_it_says_no() -> None:
    world = World()
    life = world.has(Life().created())
    path = f"/v1/payments/{life.payment_id}/cancel"
    world.behave = raising(JournalUnavailable())
    problem(await world.post(path, body={}), 503, "unavailable", "no")
    world.behave = accepting_then(world, JournalUnavailable())
    assert (await world.post(f"/v1/payments/{life.payment_id}/confirm", body={})).status_code == 202


# --- retry_of


async def test_a_retry_follows_a_failed_payment_only() -> None:
    world = World()
    failed = world.has(Life().created().sent().declined())
    others = [Life().created().sent().charged(), Life(merchant_id=new_id("mer")).created().sent().declined()]
    for life in others:
        world.has(life)
    for wrong in (*(life.payment_id for life in others), new_id("pay")):
        found = problem(await world.post(body=charge(retry_of=wrong)), 422, "validation_failed")
        assert [error["pointer"] for error in found["errors"]] == ["/retry_of"]
    first = await world.post(body=charge(retry_of=failed.payment_id))
    assert (first.status_code, first.seen["retry_of"]) == (201, failed.payment_id)


async def test_a_replay_of_a_retry_does_not_depend_on_what_it_follows() -> None:
    world = World()
    failed = world.has(Life().created().sent().declined())
    first = await world.post(body=charge(retry_of=failed.payment_id))
    del world.lives[failed.payment_id]
    second = await world.post(body=charge(retry_of=failed.payment_id))
    assert (second.raw, second.headers["Idempotency-Replayed"]) == (first.raw, "true")


# --- what reaches the actor


async def test_the_claim_says_who_what_and_when() -> None:
    world = World()
    await world.post(headers={"X-Request-Id": "trace-1"})
    (message,) = world.messages
    assert isinstance(message, Create)
    claim = message.claim
    assert (claim.merchant_id, claim.key, claim.method_path, claim.request_id) == (MERCHANT, "key-1", "POST /v1/payments", "trace-1")
    assert (claim.created_at, len(claim.fingerprint), message.confirm) == (START, 32, True)


async def test_the_hot_path_reads_nothing() -> None:
    world = World()
    for number in range(5):
        assert (await world.post(idempotency=f"k{number}")).status_code == 201
    assert (world.claim_reads, world.key_reads) == (0, 1)
