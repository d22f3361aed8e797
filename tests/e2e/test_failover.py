"""Failover between real simulated PSPs: on a definite no that allows it, in the same request, and never around an unknown outcome.

Counted at the PSPs themselves: whoever must not be asked was not asked. Each test is made with each PSP in the first place; a strict rule
puts it there, so that no score moves it. Not here: what a class of error allows (the domain's tests), the outage of a PSP that has no other
beside it (`test_psp_outage`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest
import trio

from connectors.registry import CONNECTORS
from payorch.domain.identifiers import of_name, uuid_of
from payorch.settings import load
from tests.e2e import books
from tests.e2e.stack import WITHIN_SECONDS, Stack, order
from tests.e2e.test_psp_outage import MOVING_MONEY, RETRY_BOUND, Traffic

NAMES: Final = tuple(CONNECTORS)
PATIENT: Final = {"PAYORCH_HTTP__ANSWER_WITHIN_SECONDS": "20", "PAYORCH_PAYMENTS__INQUIRE_FIRST_SECONDS": "1"}
"""A request is answered when its payment is settled, however many PSPs that takes on a busy machine."""
DOWN_SECONDS: Final = 5.0
PER_SECOND: Final = 12.0
_numbers: Final = itertools.count(1)


def behind(first: str) -> tuple[str, ...]:
    """All connectors, beginning with that one."""
    return (first, *(name for name in NAMES if name != first))


def rules() -> str:
    """One strict order for each connector in the first place; the merchant's metadata says which."""
    tables = [
        f'[[rules]]\nname = "{name} first"\nwhen = {{ metadata = {{ first = "{name}" }} }}\nprefer = {list(behind(name))}\nstrict = true\n'
        for name in NAMES
    ]
    return "\n".join(tables)


@pytest.fixture(scope="module")
def stack(lasting: Callable[..., Stack], open_folder: Path) -> Stack:
    folder = open_folder / "rules-of-failover"
    folder.mkdir()
    (folder / "routing.toml").write_text(rules())
    return lasting(PAYORCH_CONFIG_DIR=str(folder), **PATIENT)


@pytest.fixture(autouse=True)
def well(stack: Stack) -> Iterator[None]:
    """Every PSP is well again after a test."""
    yield
    trio.run(stack.heal)


async def pay(stack: Stack, first: str, tokens: Sequence[str], **members: Any) -> httpx2.Response:
    """A payment that goes to `first` and then to the others, with these tokens in that order; for whom there is none cannot have it."""
    key = f"failover-{next(_numbers)}"
    method = {"type": "card", "tokens": dict(zip(behind(first), tokens, strict=False))}
    body = order(key, capture="manual", payment_method=method, metadata={"first": first}) | members
    return await stack.surely("/v1/payments", key, body)


def path(payment: dict[str, Any]) -> list[tuple[str, str]]:
    """Where it has been, and what came of it there."""
    return [(attempt["connector"], attempt["state"]) for attempt in payment["attempts"]]


async def asked(stack: Stack) -> dict[str, int]:
    """By PSP, how many calls that move money it got so far."""
    counts = {name: await stack.requests(name) for name in NAMES}
    return {name: sum(count.get(kind, 0) for kind in MOVING_MONEY) for name, count in counts.items()}


@pytest.mark.parametrize("first", NAMES)
async def test_a_soft_decline_ends_authorised_elsewhere_in_one_request(stack: Stack, first: str) -> None:
    _, second, third = behind(first)
    answer = await pay(stack, first, ["tok_soft_decline", "tok_visa", "tok_visa"])
    payment = answer.json()
    assert (answer.status_code, payment["status"], payment["connector"], payment["failure"]) == (201, "requires_capture", second, None)
    assert path(payment) == [(first, "DECLINED"), (second, "AUTHORIZED")]
    refused, _ = payment["attempts"]
    assert refused["failure"]["class"].upper() == "SOFT_TRY_OTHER"
    assert refused["failure"]["message"]
    told = (await stack.get(f"/v1/payments/{payment['id']}/timeline")).json()["data"]
    names = [event["name"] for event in told]
    assert names.count("AttemptPrepared") == 2, names
    assert "DeclinedRetriable" in names, names
    [choice] = [event["routing"] for event in told if event["routing"]]
    assert (choice["rule"], list(choice["order"])) == (f"{first} first", [first, second, third])
    # Two in a row, and the third has it; three, and it has failed.
    answer = await pay(stack, first, ["tok_soft_decline", "tok_soft_decline", "tok_visa"])
    assert path(answer.json()) == [(first, "DECLINED"), (second, "DECLINED"), (third, "AUTHORIZED")]
    answer = await pay(stack, first, ["tok_soft_decline"] * 3)
    assert (answer.status_code, answer.json()["status"], len(answer.json()["attempts"])) == (201, "failed", 3)


@pytest.mark.parametrize("first", NAMES)
async def test_what_no_other_may_be_asked_about(stack: Stack, first: str) -> None:
    """Stolen, fraud, no funds, wrong data: the end, though the next one would have approved."""
    before = await asked(stack)
    for token in ("tok_hard_decline", "tok_fraud", "tok_insufficient_funds", "tok_expired_card"):
        answer = await pay(stack, first, [token, "tok_visa", "tok_visa"])
        payment = answer.json()
        assert (answer.status_code, payment["status"], path(payment)) == (201, "failed", [(first, "DECLINED")]), token
        assert payment["failure"]["class"].upper() != "SOFT_TRY_OTHER"
    after = await asked(stack)
    assert {name: after[name] - before[name] for name in NAMES} == {name: 4 if name == first else 0 for name in NAMES}


@pytest.mark.parametrize("first", NAMES)
async def test_a_charge_whose_answer_is_lost_goes_nowhere_else(stack: Stack, first: str) -> None:
    _, *others = behind(first)
    before = await asked(stack)
    await stack.fault("charge_then_hang", psp=first, scope="authorize")
    await stack.fault("webhooks_lost", psp=first)
    answers: list[httpx2.Response] = []

    async def create() -> None:
        answers.append(await pay(stack, first, ["tok_visa"] * 3, reference=f"hangs-{first}"))

    async with trio.open_nursery() as nursery:
        nursery.start_soon(create)
        made = await stack.made(f"hangs-{first}")
        await stack.until(made["id"], "OUTCOME_UNKNOWN")
        await stack.heal(first)
    heard = answers[0].json()
    assert len(heard["attempts"]) == 1, heard
    payment = await stack.until(made["id"], "AUTHORIZED")
    assert path(payment) == [(first, "AUTHORIZED")]
    if answers[0].status_code == 202:
        assert (heard["status"], heard["outcome"]) == ("processing", "unconfirmed")
    after = await asked(stack)
    assert {name: after[name] - before[name] for name in others} == dict.fromkeys(others, 0)
    mine = [one for one in await stack.charges() if one["our_reference"] == payment["attempts"][0]["id"]]
    assert [(one["psp"], one["held"]) for one in mine] == [(first, 1999)]


@pytest.mark.parametrize("first", NAMES)
async def test_nobody_there_means_the_next_at_once(stack: Stack, first: str) -> None:
    _, second, _ = behind(first)
    before = await asked(stack)
    await stack.fault("refuse", psp=first)
    answer = await pay(stack, first, ["tok_visa"] * 3)
    payment = answer.json()
    assert (answer.status_code, payment["status"], payment["connector"]) == (201, "requires_capture", second)
    assert path(payment) == [(first, "NOT_SENT"), (second, "AUTHORIZED")]
    assert (await asked(stack))[first] == before[first]


@pytest.mark.parametrize("first", NAMES)
async def test_a_shopper_is_asked_only_where_the_next_bank_asks(stack: Stack, first: str) -> None:
    """A challenge belongs to its attempt: it comes where a card needs one, also after a decline elsewhere, and a failed one ends it."""
    _, second, _ = behind(first)
    answer = await pay(stack, first, ["tok_soft_decline", "tok_3ds", "tok_visa"])
    payment = answer.json()
    assert (answer.status_code, payment["status"]) == (201, "requires_action")
    assert path(payment) == [(first, "DECLINED"), (second, "ACTION_REQUIRED")]
    await browse(payment, "approve")
    payment = await stack.until(payment["id"], "AUTHORIZED")
    assert path(payment) == [(first, "DECLINED"), (second, "AUTHORIZED")]
    answer = await pay(stack, first, ["tok_3ds_fail", "tok_visa", "tok_visa"])
    await browse(answer.json(), "approve")
    payment = await stack.until(answer.json()["id"], "FAILED")
    assert {connector for connector, _ in path(payment)} == {first}
    # Where no shopper is there to be asked, nobody is, and no other connector gets what needed him.
    unattended = (await pay(stack, first, ["tok_3ds", "tok_visa", "tok_visa"], initiator="merchant")).json()
    assert (unattended["status"], path(unattended)) == ("failed", [(first, "DECLINED")]), unattended
    assert unattended["failure"]["class"].upper() == "AUTHENTICATION_REQUIRED"


async def browse(payment: dict[str, Any], outcome: str) -> None:
    """The shopper's browser, until it is sent back to the merchant."""
    async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=WITHIN_SECONDS) as browser:
        pressed = await browser.post(payment["next_action"]["url"], data={"outcome": outcome})
        assert (await browser.get(pressed.headers["location"])).status_code == 303


async def circuits(stack: Stack, connector: str, after: int) -> list[str]:
    """What the journal tells about that connector's circuit for authorisations since that position."""
    query = (
        "SELECT name FROM payorch.journal WHERE stream = 'connector' AND position > %s AND body->>'operation' = 'authorize'"
        " AND stream_id = %s ORDER BY position"
    )
    return [name for (name,) in await stack.rows(query, after, uuid_of(of_name("con", connector)))]


@pytest.mark.parametrize(("first", "fault"), [*zip(NAMES, ("charge_then_hang", "reset_after", "error_500"), strict=False)])
async def test_a_psp_that_is_down_is_left_alone_and_the_others_sell(stack: Stack, first: str, fault: str) -> None:
    """Nearly every payment finds another way meanwhile; the circuit opens, tries and closes, and payments, journal and metrics tell it."""
    ((position,),) = await stack.rows("SELECT position FROM payorch.journal_head")
    traffic = Traffic(stack, f"down-{first}", PER_SECOND, capture="manual", metadata={"first": first})
    async with trio.open_nursery() as nursery:
        nursery.start_soon(traffic.flow)
        await traffic.well_again(0.0, "requires_capture")
        before = (await asked(stack))[first]
        await stack.fault(fault, psp=first)
        ill = trio.current_time()
        await trio.sleep(DOWN_SECONDS)
        calls = (await asked(stack))[first] - before
        await stack.heal(first)
        healed = trio.current_time()
        with trio.fail_after(WITHIN_SECONDS):
            while "CircuitClosed" not in (await circuits(stack, first, position))[-1:]:  # noqa: ASYNC110  (another process)
                await trio.sleep(0.1)
        traffic.stop()
    meanwhile = traffic.between(ill, healed)
    budget = load({}).connectors[first].retry_budget_initial
    print(f"{first} {fault}: {len(meanwhile)} payments meanwhile, {calls} calls that move money there")
    assert calls <= RETRY_BOUND * len(meanwhile) + budget
    assert calls < len(meanwhile), "it was left alone while it was down"
    story = await circuits(stack, first, position)
    assert story[0] == "CircuitOpened", story
    assert "CircuitProbing" in story, story
    elsewhere = [sale for sale in meanwhile if sale.payment["connector"] not in (first, None)]
    assert {sale.payment["status"] for sale in elsewhere} == {"requires_capture"}
    # Those that came before the first silence was noticed hang there, and go nowhere else.
    assert len(elsewhere) > len(meanwhile) / 4, "those that follow are sold elsewhere"
    told = (await stack.get(f"/v1/payments/{elsewhere[-1].order.payment_id}/timeline")).json()["data"]
    assert any(f"circuit of {first} for authorisations" in str(event) for event in told), told
    metrics = (await stack.get("/metrics")).text
    for to in ("open", "half_open", "closed"):
        assert f'payorch_circuit_transitions_total{{connector="{first}",operation="authorize",to="{to}"}}' in metrics, to


async def test_the_books_of_all_that_are_whole(stack: Stack) -> None:
    """Last: after all of this each PSP's books and ours agree."""
    states = await books.check(stack)
    assert states["AUTHORIZED"] > len(NAMES)
