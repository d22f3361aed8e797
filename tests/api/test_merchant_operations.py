"""Captures, voids and refunds over HTTP, with real payment actors below: what is answered when, what is refused, what a key stands for."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
import trio

from actors.connector import Execute
from payorch.api.shapes import OperationAnswerShape
from payorch.domain.outcome import Approved, Declined, ErrorClass, Failure, Finding, NextAction, NotExecuted, Pending, Unknown
from payorch.domain.records import Attempt, Operation
from payorch.store.journal import JournalUnavailable
from tests.api.actor_world import Shared, charges, platforms
from tests.api.merchant_world import ANSWER_WITHIN_SECONDS, OTHER_KEY, charge, new_id

MEMBERS = {
    "id", "object", "status", "outcome", "amount", "currency", "final", "reason", "reference", "metadata", "failure", "psp_reference",
    "origin", "settlement", "created_at", "updated_at", "payment",
}  # fmt: skip
SEVERAL = {"stripe": {"request_multicapture": "if_available"}}


def failure(error_class: ErrorClass = ErrorClass.OPERATION_NOT_ALLOWED, code: str = "no") -> Failure:
    return Failure(error_class=error_class, code=code, message="No.")


LOST = Unknown(failure=failure(ErrorClass.UNKNOWN_OUTCOME, "read_timeout"))
REFUSED = Declined(failure=failure())


def psp(**said: Finding | None) -> Callable[[Execute], Finding | None]:
    """A PSP that holds, and says to a capture, void, refund or authorise what is given here, else yes."""

    def answer(execute: Execute) -> Finding | None:
        if isinstance(execute.subject, Attempt):
            return said.get("authorize", Approved())
        return said.get(execute.subject.kind.value, Approved())

    return answer


@asynccontextmanager
async def shop(**how: Any) -> AsyncIterator[Shared]:
    """One process with a PSP that holds what is asked, until a test says otherwise."""
    async with platforms(1, **how) as (shared, _):
        shared.psp = psp()
        yield shared


async def held(shared: Shared, **body: Any) -> str:
    """The path of a payment that holds 19.99 EUR."""
    answer = await shared.store.post(body=charge(capture="manual", **body), idempotency=new_id("evt"))
    assert (answer.status_code, answer.seen["status"]) == (201, "requires_capture")
    return f"/v1/payments/{answer.seen['id']}"


async def charged(shared: Shared, **body: Any) -> str:
    """The path of a payment that has taken 19.99 EUR."""
    before, shared.psp = shared.psp, charges
    answer = await shared.store.post(body=charge(**body), idempotency=new_id("evt"))
    shared.psp = before
    assert (answer.status_code, answer.seen["status"]) == (201, "succeeded")
    return f"/v1/payments/{answer.seen['id']}"


async def ask(shared: Shared, path: str, body: Any = None, key: str | None = None) -> Any:
    """A command; its answer is held to the documented shape."""
    answer = await shared.store.post(path, body={} if body is None else body, idempotency=key or new_id("evt"))
    if answer.status_code in (201, 202):
        OperationAnswerShape.model_validate_json(answer.raw)
        assert set(answer.seen) == MEMBERS
    return answer


async def now(shared: Shared, path: str) -> Any:
    return (await shared.store.call("GET", path)).seen


def refused(answer: Any, status: int, code: str, allowed: list[str] | None = None) -> dict[str, Any]:
    found: dict[str, Any] = answer.seen
    assert (answer.status_code, found["code"], found["money_moved"]) == (status, code, "no"), answer.raw
    assert found.get("allowed") == allowed
    return found


# --- what is done


async def test_all_that_is_held_is_captured_by_default(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await held(shared)
        answer = await ask(shared, f"{path}/captures")
        capture = answer.seen
        assert answer.status_code == 201
        assert (capture["object"], capture["status"], capture["outcome"], capture["amount"]) == ("capture", "succeeded", None, 1999)
        assert (capture["currency"], capture["final"], capture["origin"], capture["failure"]) == ("EUR", True, "merchant", None)
        assert (capture["payment"]["id"], capture["payment"]["state"]) == (path.rpartition("/")[2], "CAPTURED")
        assert (capture["payment"]["amount_captured"], capture["payment"]["amount_capturable"]) == (1999, 0)
        assert [one["id"] for one in capture["payment"]["captures"]] == [capture["id"]]
        assert await now(shared, f"/v1/captures/{capture['id']}") == capture


@pytest.mark.parametrize("body", [b"", b"{}", {"amount": None}, {"amount": None, "reference": None}])
async def test_no_body_an_empty_one_and_null_all_mean_everything(body: Any, autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        for path, what in ((await held(shared), "captures"), (await charged(shared), "refunds")):
            assert (await ask(shared, f"{path}/{what}", body)).seen["amount"] == 1999


async def test_parts_are_captured_and_the_last_one_releases_the_rest(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await held(shared, connector_options=SEVERAL)
        first = await ask(shared, f"{path}/captures", {"amount": 500, "reference": "parcel-1", "metadata": {"box": "1"}})
        assert (first.seen["status"], first.seen["final"], first.seen["payment"]["status"]) == ("succeeded", False, "partially_captured")
        assert (first.seen["reference"], first.seen["metadata"]) == ("parcel-1", {"box": "1"})
        last = await ask(shared, f"{path}/captures", {"amount": 300, "final": True})
        payment = last.seen["payment"]
        assert (last.seen["final"], payment["status"], payment["amount_captured"]) == (True, "succeeded", 800)
        assert [one["amount"] for one in payment["captures"]] == [500, 300]


async def test_refunds_give_back_part_after_part(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        part = await ask(shared, f"{path}/refunds", {"amount": 500, "reason": "too small", "reference": "r-1", "metadata": {"case": "9"}})
        refund = part.seen
        assert (part.status_code, refund["object"], refund["status"], refund["amount"]) == (201, "refund", "succeeded", 500)
        assert (refund["reason"], refund["reference"], refund["metadata"], refund["final"]) == ("too small", "r-1", {"case": "9"}, None)
        assert (refund["psp_reference"], refund["payment"]["amount_refundable"]) == ("re_1", 1499)
        rest = await ask(shared, f"{path}/refunds")
        assert (rest.seen["amount"], rest.seen["payment"]["amount_refunded"], rest.seen["payment"]["status"]) == (1499, 1999, "succeeded")
        assert await now(shared, f"/v1/refunds/{refund['id']}") == refund | {"payment": rest.seen["payment"]}


async def test_a_hold_is_released(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await held(shared)
        answer = await ask(shared, f"{path}/voids", {"reference": "v-1", "metadata": {"why": "sold out"}})
        void = answer.seen
        assert (answer.status_code, void["object"], void["status"], void["amount"]) == (201, "void", "succeeded", None)
        assert (void["reference"], void["metadata"], void["payment"]["status"]) == ("v-1", {"why": "sold out"}, "canceled")
        assert await now(shared, f"/v1/voids/{void['id']}") == void


async def test_the_rest_of_a_hold_is_released(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await held(shared, connector_options=SEVERAL)
        await ask(shared, f"{path}/captures", {"amount": 500})
        void = (await ask(shared, f"{path}/voids")).seen
        assert (void["status"], void["payment"]["status"], void["payment"]["amount_captured"]) == ("succeeded", "succeeded", 500)


async def test_a_refusal_of_the_psp_is_an_answer_and_not_an_error(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        for what, path in (("capture", await held(shared)), ("void", await held(shared)), ("refund", await charged(shared))):
            before = await now(shared, path)
            shared.psp = psp(**{what: REFUSED})
            answer = await ask(shared, f"{path}/{what}s")
            assert (answer.status_code, answer.seen["status"], answer.seen["failure"]["class"]) == (201, "failed", "OPERATION_NOT_ALLOWED")
            after = await now(shared, path)
            assert {name for name in before if before[name] != after[name]} - {"updated_at"} == {f"{what}s", "version"}


# --- what takes time, and what nobody knows


async def test_a_slow_psp_is_202_for_ever_and_get_tells_the_truth(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        shared.psp_seconds = 20
        first = await ask(shared, f"{path}/refunds", {"amount": 500}, "slow")
        assert (first.status_code, first.seen["status"], first.seen["outcome"]) == (202, "pending", "unconfirmed")
        assert (first.seen["payment"]["outcome"], first.seen["payment"]["amount_refundable"]) == (None, 1499)
        await trio.sleep(20)
        assert (await now(shared, f"/v1/refunds/{first.seen['id']}"))["status"] == "succeeded"
        again = await ask(shared, f"{path}/refunds", {"amount": 500}, "slow")
        assert (again.status_code, again.raw, again.headers["Idempotency-Replayed"]) == (202, first.raw, "true")
        assert len([one for one in shared.calls if isinstance(one.subject, Operation)]) == 1


@pytest.mark.parametrize(("what", "state"), [("capture", "OUTCOME_UNKNOWN"), ("void", "OUTCOME_UNKNOWN"), ("refund", "CAPTURED")])
async def test_a_lost_answer_is_202_and_unconfirmed(what: str, state: str, autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared) if what == "refund" else await held(shared)
        shared.psp = psp(**{what: LOST})
        began = trio.current_time()
        answer = await ask(shared, f"{path}/{what}s")
        assert trio.current_time() - began < 1
        assert (answer.status_code, answer.seen["status"], answer.seen["outcome"]) == (202, "pending", "unconfirmed")
        assert (answer.seen["failure"], answer.seen["payment"]["state"]) == (None, state)
        if what == "refund":
            assert (answer.seen["payment"]["outcome"], answer.seen["payment"]["amount_refundable"]) == (None, 0)


async def test_what_the_psp_will_tell_later_is_202_and_pending(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        shared.psp = psp(refund=Pending())
        began = trio.current_time()
        answer = await ask(shared, f"{path}/refunds")
        assert trio.current_time() - began < 1
        assert (answer.status_code, answer.seen["status"], answer.seen["outcome"]) == (202, "pending", None)


async def test_what_was_surely_not_sent_is_waited_for_and_then_pending(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        shared.psp = psp(refund=NotExecuted(failure=failure(ErrorClass.NOT_SENT, "connect"), sent=False))
        began = trio.current_time()
        answer = await ask(shared, f"{path}/refunds")
        assert (answer.status_code, answer.seen["status"], answer.seen["outcome"]) == (202, "pending", None)
        assert trio.current_time() - began == pytest.approx(ANSWER_WITHIN_SECONDS, abs=0.2)


# --- a void while money may still be moving


async def test_a_void_before_the_outcome_is_a_wish(autojump_clock: trio.testing.MockClock) -> None:
    async with shop(psp_seconds=20) as shared:
        made = await shared.store.post(body=charge(capture="manual"))
        path = f"/v1/payments/{made.seen['id']}"
        assert (made.status_code, made.seen["state"]) == (202, "AUTHORIZING")
        began = trio.current_time()
        answer = await ask(shared, f"{path}/voids", {"reference": "v-1", "metadata": {"why": "late"}}, "wish")
        void = answer.seen
        assert (answer.status_code, void["id"], void["object"], void["status"], void["outcome"]) == (202, None, "void", "pending", None)
        assert (void["reference"], void["metadata"], void["payment"]["cancel_requested"]) == ("v-1", {"why": "late"}, True)
        assert trio.current_time() - began < 1
        await trio.sleep(60)
        payment = await now(shared, path)
        (made_of_it,) = payment["voids"]
        assert (payment["status"], made_of_it["status"], made_of_it["origin"]) == ("canceled", "succeeded", "system")
        assert (made_of_it["reference"], made_of_it["metadata"]) == ("v-1", {"why": "late"})
        again = await ask(shared, f"{path}/voids", {"reference": "v-1", "metadata": {"why": "late"}}, "wish")
        assert (again.status_code, again.raw) == (202, answer.raw)


async def test_a_second_wish_is_answered_like_the_first(autojump_clock: trio.testing.MockClock) -> None:
    async with shop(psp_seconds=20) as shared:
        path = f"/v1/payments/{(await shared.store.post(body=charge(capture='manual'))).seen['id']}"
        first, second = await ask(shared, f"{path}/voids"), await ask(shared, f"{path}/voids")
        assert (first.status_code, second.status_code, second.seen["id"]) == (202, 202, None)
        assert second.seen["payment"]["version"] == first.seen["payment"]["version"]


async def test_a_second_wish_under_another_name_is_refused(autojump_clock: trio.testing.MockClock) -> None:
    """It would be answered with the first one's reference. Said again in the same words it is the same wish."""
    async with shop(psp_seconds=20) as shared:
        path = f"/v1/payments/{(await shared.store.post(body=charge(capture='manual'))).seen['id']}"
        first = await ask(shared, f"{path}/voids", {"reference": "v-1"}, "wish")
        refused(await ask(shared, f"{path}/voids", {"reference": "v-2"}), 409, "operation_not_allowed", ["cancel", "void"])
        same = await ask(shared, f"{path}/voids", {"reference": "v-1"})
        assert (same.status_code, same.seen["reference"]) == (202, "v-1")
        assert (await ask(shared, f"{path}/voids", {"reference": "v-1"}, "wish")).raw == first.raw


async def test_a_cancel_that_could_not_end_it_at_once_is_not_answered_as_done(autojump_clock: trio.testing.MockClock) -> None:
    """The PSP would not close the shopper's session: the wish stands, and so does the payment."""
    async with shop() as shared:
        waits = Pending(action=NextAction(url="https://psp.example/challenge"))
        shared.psp = psp(authorize=waits, void=REFUSED)
        path = f"/v1/payments/{(await shared.store.post(body=charge())).seen['id']}"
        answer = await shared.store.post(f"{path}/cancel", body={}, idempotency=new_id("evt"))
        assert (answer.status_code, answer.seen["state"], answer.seen["cancel_requested"]) == (202, "REQUIRES_ACTION", True)


# --- what is not allowed


async def test_the_state_forbids_and_says_what_is_possible(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        waiting, taken, gone = await held(shared), await charged(shared), await held(shared)
        assert (await ask(shared, f"{gone}/voids")).status_code == 201
        calls = len(shared.calls)
        refused(await ask(shared, f"{waiting}/refunds"), 409, "operation_not_allowed", ["capture", "void"])
        refused(await ask(shared, f"{taken}/captures"), 409, "operation_not_allowed", ["refund"])
        refused(await ask(shared, f"{taken}/voids"), 409, "operation_not_allowed", ["refund"])
        for what in ("captures", "voids", "refunds"):
            refused(await ask(shared, f"{gone}/{what}"), 409, "operation_not_allowed", [])
        assert len(shared.calls) == calls


async def test_more_than_there_is_is_refused_and_the_key_stays_free(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        waiting, taken = await held(shared), await charged(shared)
        for path, code in ((f"{waiting}/captures", "amount_exceeds_capturable"), (f"{taken}/refunds", "amount_exceeds_refundable")):
            found = refused(await ask(shared, path, {"amount": 2000}, code), 422, code)
            assert "1999" in found["detail"]
            assert (await ask(shared, path, {"amount": 1999}, code)).status_code == 201
        refused(await ask(shared, f"{taken}/refunds"), 422, "amount_exceeds_refundable")


async def test_what_the_connector_cannot_do_is_refused_and_says_how_else(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await held(shared)
        found = refused(await ask(shared, f"{path}/captures", {"amount": 500}, "k"), 409, "capability_not_supported")
        assert '"final": true' in found["detail"]
        assert found["detail"][0].isupper()
        assert (await ask(shared, f"{path}/captures", {"amount": 500, "final": True}, "k")).status_code == 201


@pytest.mark.parametrize("amount", [0, -1, True, 1.0, "5", 10**12 + 1, [5]])
@pytest.mark.parametrize("what", ["captures", "refunds"])
async def test_an_amount_is_a_whole_number_of_minor_units(what: str, amount: Any, autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        answer = await ask(shared, f"{path}/{what}", {"amount": amount})
        found = refused(answer, 422, "validation_failed") if type(amount) is not float else refused(answer, 400, "invalid_json")
        assert [one["pointer"] for one in found["errors"]] == ["/amount"]


@pytest.mark.parametrize(
    ("what", "body", "pointer"),
    [
        ("captures", {"reason": "x"}, "/reason"),
        ("captures", {"final": "yes"}, "/final"),
        ("captures", {"final": 1}, "/final"),
        ("voids", {"amount": 5}, "/amount"),
        ("voids", {"reference": ""}, "/reference"),
        ("voids", {"reference": "a\nb"}, "/reference"),
        ("refunds", {"final": True}, "/final"),
        ("refunds", {"reason": "x" * 256}, "/reason"),
        ("refunds", {"metadata": {"n" * 41: "v"}}, "/metadata/" + "n" * 41),
        ("refunds", {"metadata": {"n": 5}}, "/metadata/n"),
        ("refunds", {"payment_id": "pay_1"}, "/payment_id"),
    ],
)
async def test_bodies_are_strict(what: str, body: Any, pointer: str, autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        found = refused(await ask(shared, f"{path}/{what}", body), 422, "validation_failed")
        assert [one["pointer"] for one in found["errors"]] == [pointer]


@pytest.mark.parametrize(
    "body", [{"reference": "4111 1111 1111 1111"}, {"metadata": {"cvv": "1"}}, {"metadata": {"n": "4111111111111111"}}]
)
@pytest.mark.parametrize("what", ["captures", "voids", "refunds"])
async def test_card_data_is_refused_everywhere(what: str, body: Any, autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        answer = await ask(shared, f"{path}/{what}", body)
        refused(answer, 422, "card_data_refused")
        assert b"4111" not in answer.raw


# --- what a key stands for


async def test_a_finished_operation_is_replayed_byte_for_byte(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        first = await ask(shared, f"{path}/refunds", {"amount": 500}, "k")
        await ask(shared, f"{path}/refunds", {"amount": 300})
        calls = len(shared.calls)
        again = await ask(shared, f"{path}/refunds", {"amount": 500}, "k")
        assert (again.status_code, again.raw, again.headers["Idempotency-Replayed"]) == (201, first.raw, "true")
        assert "Idempotency-Replayed" not in first.headers
        assert len(shared.calls) == calls


async def test_a_key_belongs_to_one_path_and_body(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path, other = await charged(shared), await charged(shared)
        await ask(shared, f"{path}/refunds", {"amount": 500}, "k")
        for elsewhere, body in ((f"{path}/refunds", {"amount": 400}), (f"{path}/voids", {}), (f"{other}/refunds", {"amount": 500})):
            refused(await ask(shared, elsewhere, body, "k"), 422, "idempotency_key_reused")


async def test_the_same_key_at_once_makes_one_refund(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        found: list[Any] = []

        async def twin() -> None:
            found.append(await ask(shared, f"{path}/refunds", {"amount": 500}, "k"))

        async with trio.open_nursery() as nursery:
            for _ in range(20):
                nursery.start_soon(twin)
        assert Counter(one.status_code for one in found) == {201: 1, 409: 19}
        assert {one.seen["code"] for one in found if one.status_code == 409} == {"idempotency_in_progress"}
        assert (await now(shared, path))["amount_refunded"] == 500


@pytest.mark.parametrize(("what", "prefix"), [("captures", "cap"), ("voids", "void"), ("refunds", "ref")])
async def test_a_claim_without_an_answer_is_answered_with_its_operation(
    what: str, prefix: str, autojump_clock: trio.testing.MockClock
) -> None:
    async with shop() as shared:
        path = await charged(shared) if what == "refunds" else await held(shared)
        shared.psp_seconds = 20
        write = shared.store.write_answer

        async def away(_: object) -> Any:
            raise JournalUnavailable

        shared.store.write_answer = away  # type: ignore[method-assign, assignment]
        lost = await ask(shared, f"{path}/{what}", {"reference": "mine"}, "k")
        assert (lost.status_code, lost.seen["code"], lost.seen["money_moved"]) == (503, "unavailable", "unknown")
        shared.store.write_answer = write  # type: ignore[method-assign]
        shared.store.clock.at += timedelta(seconds=ANSWER_WITHIN_SECONDS)
        told = await ask(shared, f"{path}/{what}", {"reference": "mine"}, "k")
        assert (told.status_code, told.seen["status"], told.headers["Idempotency-Replayed"]) == (202, "pending", "true")
        assert (told.seen["id"].partition("_")[0], told.seen["reference"]) == (prefix, "mine")
        await trio.sleep(30)
        assert (await now(shared, f"/v1/{what}/{told.seen['id']}"))["status"] == "succeeded"
        assert (await ask(shared, f"{path}/{what}", {"reference": "mine"}, "k")).raw == told.raw


async def test_a_wish_without_an_answer_is_answered_with_what_became_of_it(autojump_clock: trio.testing.MockClock) -> None:
    async with shop(psp_seconds=20) as shared:
        path = f"/v1/payments/{(await shared.store.post(body=charge(capture='manual'))).seen['id']}"
        asked = await ask(shared, f"{path}/voids", {"reference": "v-1"}, "k")
        assert asked.seen["id"] is None
        claim = next(place for place in shared.store.claims if place[1] == "k")
        shared.store.forget_answer(claim)
        await trio.sleep(60)
        shared.store.clock.at += timedelta(seconds=60)
        told = await ask(shared, f"{path}/voids", {"reference": "v-1"}, "k")
        assert (told.status_code, told.seen["status"], told.seen["origin"]) == (202, "succeeded", "system")
        assert (await now(shared, f"/v1/voids/{told.seen['id']}"))["reference"] == "v-1"


# --- whose it is


async def test_an_operation_is_found_by_its_own_merchant_and_by_its_kind_only(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        refund = (await ask(shared, f"{path}/refunds", {"amount": 1})).seen["id"]
        digits = refund.partition("_")[2]
        ours = (f"/v1/captures/{refund}", f"/v1/voids/{refund}", f"/v1/captures/cap_{digits}", f"/v1/voids/void_{digits}")
        strange = (f"/v1/refunds/{new_id('ref')}", "/v1/refunds/ref_1", "/v1/refunds/x", f"/v1/refunds/{path.rpartition('/')[2]}")
        for address in (*ours, *strange):
            assert (await shared.store.call("GET", address)).status_code == 404, address
        assert (await shared.store.call("GET", f"/v1/refunds/{refund}", key=OTHER_KEY)).status_code == 404
        assert (await shared.store.call("GET", f"/v1/refunds/{refund}", key=None)).status_code == 401
        assert (await shared.store.call("POST", f"/v1/refunds/{refund}")).status_code == 405
        assert (await shared.store.call("GET", f"/v1/refunds/{refund}")).status_code == 200


async def test_nobody_elses_payment_can_be_touched(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        for what in ("captures", "voids", "refunds"):
            assert (await shared.store.post(f"{path}/{what}", {}, key=OTHER_KEY)).status_code == 404
            assert (await shared.store.post(f"/v1/payments/{new_id('pay')}/{what}", {})).status_code == 404
            assert (await shared.store.post(f"/v1/payments/pay_1/{what}", {})).status_code == 404
            assert (await shared.store.post(f"{path}/{what}", {}, idempotency=None)).seen["code"] == "idempotency_key_missing"
        assert (await now(shared, path))["amount_refunded"] == 0


# --- many at once


async def test_sixty_four_clients_race_on_one_payment_and_every_sum_stays_right(autojump_clock: trio.testing.MockClock) -> None:
    async with shop(commit_seconds=0.002, psp_seconds=0.01) as shared:
        path = await held(shared, connector_options=SEVERAL)
        found: list[Any] = [await ask(shared, f"{path}/captures", {"amount": 100})]

        async def client(number: int) -> None:
            what = ("captures", "refunds", "captures", "voids")[number % 4]
            body = {} if what == "voids" else {"amount": 100 if what == "captures" else 70}
            found.append(await ask(shared, f"{path}/{what}", body | ({"final": False} if what == "captures" else {})))

        async with trio.open_nursery() as nursery:
            for number in range(64):
                nursery.start_soon(client, number)
        assert {one.status_code for one in found} <= {201, 202, 409, 422}
        for payment in shared.stored:
            assert payment.captured_minor + payment.capture_reserved_minor <= payment.authorized_minor <= 1999
            assert payment.refunded_minor + payment.refund_reserved_minor <= payment.captured_minor
        done = [one.seen for one in found if one.status_code == 201 and one.seen["status"] == "succeeded"]
        payment = await now(shared, path)
        assert payment["amount_captured"] == sum(one["amount"] for one in done if one["object"] == "capture") > 0
        assert payment["amount_refunded"] == sum(one["amount"] for one in done if one["object"] == "refund")
        assert len({one["id"] for one in done}) == len(done)


async def test_more_than_the_mailbox_takes_is_503_and_the_answers_of_the_psp_get_through(autojump_clock: trio.testing.MockClock) -> None:
    async with shop(mailbox_capacity=4, commit_seconds=0.1, psp_seconds=0.05) as shared:
        path = await charged(shared)
        found: list[Any] = []

        async def client(number: int) -> None:
            await trio.sleep(number * 0.02)  # five times as fast as they can be decided: the mailbox stays full
            found.append(await ask(shared, f"{path}/refunds", {"amount": 1}, f"k{number}"))

        async with trio.open_nursery() as nursery:
            for number in range(30):
                nursery.start_soon(client, number)
        counted = Counter(one.status_code for one in found)
        assert set(counted) == {201, 503}
        assert counted[201] >= 4
        for one in found:
            if one.status_code == 503:
                assert (one.seen["code"], one.seen["money_moved"], one.headers["Retry-After"]) == ("overloaded", "no", "1")
        assert not shared.undelivered
        taken = {key for _, key in shared.store.claims}
        free = next(key for key in (f"k{number}" for number in range(30)) if key not in taken)
        assert (await ask(shared, f"{path}/refunds", {"amount": 1}, free)).status_code == 201


async def test_the_story_of_an_operation_can_be_read(autojump_clock: trio.testing.MockClock) -> None:
    async with shop() as shared:
        path = await charged(shared)
        await ask(shared, f"{path}/refunds", {"amount": 500, "reason": "too small"})
        shared.psp = psp(refund=REFUSED)
        await ask(shared, f"{path}/refunds", {"amount": 300})
        entries = [one for one in (await now(shared, f"{path}/timeline"))["data"] if (one["subject"] or {}).get("object") == "refund"]
        asked, done, _, no = entries
        assert asked["actor"].startswith("merchant:mer_")
        assert (asked["reason"], asked["subject"]["amount"]) == ("too small", {"amount": 500, "currency": "EUR"})
        assert asked["sentence"] == "The merchant asked for a refund of 5.00 EUR at Stripe; it was recorded, to be sent now."
        assert (done["sentence"], done["evidence"]["psp_reference"]) == ("Stripe refunded 5.00 EUR, as re_1.", "re_1")
        assert (no["sentence"], no["failure"]["class"]) == ("Stripe refused the refund: No (no).", "OPERATION_NOT_ALLOWED")
