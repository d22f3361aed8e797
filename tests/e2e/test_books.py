"""`payorch books check` beside a running platform: whole after misfortunes, and exact about whatever somebody changed behind its back."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import trio

from connectors.registry import CONNECTORS
from payorch.store import embedded
from tests.e2e.merchants import Market
from tests.e2e.stack import Ran, Stack, payorch


async def check(stack: Stack, *more: str) -> Ran:
    return await payorch("books", "check", "--data-dir", str(stack.folder), *more)


async def whole(stack: Stack) -> dict[str, Any]:
    """The check, which must find nothing."""
    ran = await check(stack, "--json")
    data: dict[str, Any] = ran.data
    assert (ran.code, data["whole"], data["findings"]) == (0, True, []), ran
    return data


def found(ran: Ran) -> list[tuple[str, str, int | None, int | None]]:
    """(invariant, kind, ours, theirs) of every finding."""
    assert ran.code == 1, ran
    assert not ran.data["whole"]
    return [(one["invariant"], one["kind"], one["ours"], one["theirs"]) for one in ran.data["findings"]]


async def some_payments(stack: Stack) -> dict[str, dict[str, Any]]:
    """One of each kind: taken, given back in part, held, declined, waiting for the shopper, and one of which nobody knows."""
    made = {
        "taken": await stack.pay("taken"),
        "given-back": await stack.pay("given-back", amount=3000),
        "held": await stack.pay("held", capture="manual", amount=500, currency="JPY"),
        "captured": await stack.pay("captured", capture="manual", amount=700),
        "declined": await stack.pay("declined", payment_method={"type": "card", "token": "tok_hard_decline"}),
        "waiting": await stack.pay("waiting", payment_method={"type": "card", "token": "tok_3ds"}, amount=4400),
    }
    payments = {name: answer.raise_for_status().json() for name, answer in made.items()}
    for path, key, amount in (("captured/captures", "take", 600), ("given-back/refunds", "give", 1000)):
        name, _, what = path.partition("/")
        body = {"amount": amount, **({"final": True} if what == "captures" else {})}
        assert (await stack.post(f"/v1/payments/{payments[name]['id']}/{what}", key, body)).status_code == 201
    await stack.fault("charge_then_hang", scope="authorize")  # for as long as it is looked for
    unknown = await stack.pay("unknown", amount=9900)
    assert unknown.status_code == 202
    return {**payments, "unknown": await stack.until(unknown.json()["id"], "OUTCOME_UNKNOWN")}


async def test_the_books_are_checked_beside_the_running_platform(make_stack: Callable[..., Stack]) -> None:
    """What is changed in the database, then in the PSP's books, is found with its amounts; what is open is told and is no finding."""
    stack = make_stack(PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS="3600")
    stack.hears = False  # one payment is to stay unknown
    await stack.start()
    payments = await some_payments(stack)
    data = await whole(stack)
    assert (data["payments"], data["compared"]) == (7, sorted(CONNECTORS))
    stripe = {one["currency"]: one for one in data["connectors"]}
    euros = {"held": 0, "captured": 5599, "refunded": 1000, "net": 4599}
    assert {name: stripe["EUR"]["ours"][name] for name in euros} == euros
    # The charge that nobody knows of is in their books alone, and told as open.
    assert stripe["EUR"]["theirs"]["captured"] == 5599 + 9900
    assert (stripe["JPY"]["ours"]["held"], stripe["JPY"]["theirs"]["held"]) == (500, 500)
    unsettled = {one["payment"]: one for one in data["unsettled"]}
    assert set(unsettled) == {payments["unknown"]["id"], payments["waiting"]["id"]}
    unknown = unsettled[payments["unknown"]["id"]]
    assert (unknown["standing"], unknown["at_stake"], unknown["theirs"]["captured"]) == ("open", 9900, 9900)

    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_changed_row_is_found, stack)
        nursery.start_soon(without_a_data_folder, stack)

    assert await stack.stop() == 0
    alone = await whole(stack)
    assert alone["compared"] == []
    assert any("the books of stripe" in one for one in alone["not_checked"])

    ledger = stack.folder / "stripe.ledger.sqlite3"
    change_the_ledger(ledger, payments["taken"], payments["held"], payments["declined"])
    await stack.start()
    ran = await check(stack, "--json")
    assert sorted(found(ran)) == [
        ("M1", "charged_twice", 1999, 3998),
        ("M3", "closed_but_charged", 0, 1999),
        ("M3", "held_differs", 500, 0),
        ("M3", "refunded_differs", 1000, 1250),
        ("M4", "ledger_torn", 1000, 1250),
        ("M7", "charge_not_ours", 0, 4242),
        ("M7", "operation_not_ours", 0, 1999),
    ]
    assert "payorch: The books are NOT whole: 7 findings." in ran.err
    assert stack.tracebacks() == []


async def a_changed_row_is_found(stack: Stack) -> None:
    """Behind the journal's back, with every right."""
    before = await stack.rows("SELECT id::text, captured FROM payorch.payments WHERE captured = 3000")
    await stack.rows("UPDATE payorch.payments SET captured = 30 WHERE captured = 3000")
    ran = await check(stack, "--json")
    assert found(ran) == [("S2", "row_differs", 3000, 30), ("M4", "total_differs", 5599, 2629)]
    [(payment_id, captured)] = before
    await stack.rows("UPDATE payorch.payments SET captured = %s WHERE id = %s", captured, payment_id)


async def without_a_data_folder(stack: Stack) -> None:
    """As beside `payorch serve`: by the database's address and the ledgers'. A ledger that is not there is said, and is no verdict."""
    socket_folder = (stack.folder / "postgres" / "cluster").resolve() / "socket"
    database = f"host={socket_folder} port=5432 user={embedded.APP_ROLE} dbname={embedded.DATABASE}"
    url = stack.credentials["simulators"]["stripe"]
    ran = await payorch("books", "check", "--json", "--ledger", f"stripe={url}", PAYORCH_DATABASE_URL=database)
    assert ran.data["compared"] == ["stripe"]
    assert {one["kind"] for one in ran.data["findings"]} <= {"row_differs", "total_differs"}  # of the change made beside this
    away = await payorch("books", "check", "--ledger", "stripe=http://127.0.0.1:1", PAYORCH_DATABASE_URL=database)
    assert (away.code, away.out) == (1, "")
    assert "the books of stripe cannot be read" in away.err


def change_the_ledger(file: Path, taken: dict[str, Any], held: dict[str, Any], declined: dict[str, Any]) -> None:
    """A second charge for a payment, a hold that is gone, money of a declined attempt, a total without a line, a charge of nobody."""
    attempts = {name: one["attempts"][-1]["id"] for name, one in (("taken", taken), ("held", held), ("declined", declined))}
    with closing(sqlite3.connect(file)) as ledger, ledger:

        def charge(id_: str, reference: str | None, minor: int) -> None:
            ledger.execute(
                "INSERT INTO payment SELECT max(number) + 1, ?, ?, 'EUR', ?, max(created_at), ?, ?, 0, 0, 0, '{}' FROM payment",
                (id_, reference, minor, minor, minor),
            )
            for type_ in ("authorized", "captured"):
                ledger.execute(
                    "INSERT INTO entry SELECT NULL, ?, ?, 'ch', NULL, ?, ?, 'EUR', created_at FROM payment WHERE id = ?",
                    (id_, reference, type_, minor, id_),
                )

        charge("pi_again", attempts["taken"], 1999)
        charge("pi_declined", attempts["declined"], 1999)
        charge("pi_nobody", "order-9", 4242)
        ledger.execute("UPDATE payment SET released = 500 WHERE reference = ?", (attempts["held"],))
        expired = "INSERT INTO entry SELECT NULL, id, reference, 'ch', NULL, 'expired', 500, currency, created_at FROM payment"
        ledger.execute(f"{expired} WHERE reference = ?", (attempts["held"],))
        ledger.execute("UPDATE payment SET refunded = refunded + 250 WHERE captured = 3000")


async def test_no_false_alarm_under_load(rough: Stack) -> None:
    """While merchants pay and the PSP breaks in many ways, payments change between all readings: nothing of that is a finding."""
    await rough.start()
    market = Market(rough, 7)
    for fault in ("charge_then_hang", "reset_after", "error_500", "charge_then_500"):
        await rough.fault(fault, rate=0.05)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(market.trade)
        await market.until(market.accepted + 20)
        read_again = 0
        for _ in range(2):
            read_again += (await whole(rough))["read_again"]
        market.stop()
    await rough.heal()
    print(f"{market.accepted} payments accepted, {read_again} read again")
    assert market.accepted >= 40
