"""Operators at a whole platform: everything they see, an unknown payment that two people resolve, dead letters by canary, who is let in.

On one stack, which each test leaves healthy. Not here: kills while acts are carried out, and the stream through them (`test_operations_
killed`), a journal that is tampered with (`test_tampering`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import httpx2
import pytest

from payorch.api.operations.operators import REFUSED_AT_MOST
from tests.e2e import books
from tests.e2e.operators import AGREES, ASKED, Crew
from tests.e2e.receivers import Receiver, receiving
from tests.e2e.stack import FIRST, Stack, eventually, order, routed
from tests.e2e.test_webhooks import none_left

ROOT: Final = Path(__file__).resolve().parents[2]
HOSTILE: Final = "red\u202e\u2066\u200b[31m"
"""What nobody can see and a terminal obeys: a merchant may call an order so. Control characters are refused from him."""


@pytest.fixture(scope="module")
def crew(lasting: Callable[..., Stack]) -> Crew:
    """No look at the PSP but those that are asked for, and a delivery is dead when it has failed once."""
    settings = {
        "PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": "1,3600",
        "PAYORCH_DELIVERIES__TRIES_SECONDS": "0",
        "PAYORCH_OPERATIONS__REPLAY_PATIENCE_SECONDS": "10",
    }
    return Crew(lasting(**routed(FIRST), **settings))


async def endpoint(stack: Stack, url: str) -> str:
    async with stack.client() as client:
        answer = await client.post("/v1/webhook-endpoints", json={"url": url})
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])


async def no_more(stack: Stack, endpoint_id: str) -> None:
    """What is said from now on is not said there."""
    async with stack.client() as client:
        assert (await client.delete(f"/v1/webhook-endpoints/{endpoint_id}")).status_code in (200, 204)


async def dead_letters(crew: Crew, count: int, **what: str) -> list[dict[str, Any]]:
    """That many open ones, when there are so many."""
    found: list[dict[str, Any]] = []

    async def enough() -> bool:
        found[:] = (await crew.sees("dead-letters", state="open", limit="200", **what))["data"]
        return len(found) >= count

    await eventually(enough)
    return found


# --- everything there is to see


async def everything(crew: Crew, receiver: Receiver) -> dict[str, str]:
    """Traffic, failures, a dead letter, a finding and an act that waits: the ids by which each is asked for."""
    stack = crew.stack
    hooks = await endpoint(stack, receiver.url("/ill"))
    made = await stack.pay("seen", {**order("seen"), "reference": HOSTILE})
    assert made.status_code == 201, made.text
    charged = made.json()["id"]
    assert (await stack.pay("declined", order("declined", "tok_insufficient_funds"))).status_code == 201
    await stack.until(charged, "CAPTURED")
    letters = await dead_letters(crew, 1)
    await no_more(stack, hooks)
    await stack.fault("settlement_wrong_amount", rate=1.0)
    day = datetime.now(UTC).date()
    async with httpx2.AsyncClient(trust_env=False) as client:
        zone_day = day.isoformat()
        report = (await client.get(f"{stack.credentials['simulators'][FIRST]}/_settlements/{zone_day}")).raise_for_status().content
    await stack.heal()
    taken = await crew.asks("POST", f"settlements/{FIRST}?name=today.csv", content=report)
    assert taken.status_code == 201, taken.text
    act = await crew.proposes("connector.drain", "paypal", for_seconds=600)
    return {"payment": charged, "letter": letters[0]["id"], "day": day.isoformat(), "act": act["id"]}


async def test_everything_is_seen_from_the_command_line(crew: Crew, tmp_path: Path) -> None:
    async with receiving() as receiver:
        there = await everything(crew, receiver)
    views: dict[str, tuple[tuple[str, ...], set[str]]] = {
        "meta": (("meta",), {"object", "environment", "operator", "limits", "connectors", "currencies", "actions", "head", "server_time"}),
        "overview": (("overview",), {"object", "cursor", "server_time", "schema", "meta", "overview", "connectors", "approvals", "live"}),
        "payments": (("payments",), {"data", "next_cursor", "total", "total_is_exact"}),
        "payment": (
            ("payment", there["payment"]),
            {"money", "why", "next", "attempts", "operations", "actions", "acts", "like_it", "notices"},
        ),
        "timeline": (("timeline", there["payment"]), {"data", "next_cursor"}),
        "route": (("route", there["payment"]), {"data"}),
        "connectors": (("connectors",), {"data"}),
        "connector": (("connector", FIRST), {"name", "state", "circuits", "series", "errors", "transitions", "decisions", "actions"}),
        "routing": (("routing",), {"object", "version", "since", "by", "book", "doubts"}),
        "decisions": (("decisions", "--connector", FIRST), {"data", "next_cursor"}),
        "what-if": (("what-if", str(ROOT / "config" / "routing.toml")), {"object", "from", "to"}),
        "dead-letters": (("dead-letters",), {"data", "next_cursor"}),
        "groups": (("dead-letters", "--group"), {"data"}),
        "dead-letter": (("dead-letter", there["letter"]), {"id", "state", "actions"}),
        "days": (("days",), {"data"}),
        "day": (("day", there["day"]), {"data"}),
        "items": (("day", there["day"], "--items"), {"data", "next_cursor"}),
        "audit": (("audit", "--scope", "all"), {"data", "next_cursor", "searched_to"}),
        "audit-state": (("audit-state",), {"object", "state", "checked_at", "records", "head_position", "fault", "anchors"}),
        "acts": (("acts", "--open"), {"data", "next_cursor"}),
        "act": (("act", there["act"]), {"id", "state", "plan", "hash", "requested_by", "plan_now", "changed", "mine", "may_approve"}),
        "watch": (("watch", "--after", "0", "--count", "5"), set()),
    }
    # A process of its own for the one that ends in the midst of what it reads: it leaves that to the process's end.
    runs = {name: crew.ops if name == "watch" else crew.reads for name in views}
    said = {name: (await runs[name](*arguments), await runs[name](*arguments, "--json")) for name, (arguments, _) in views.items()}
    empty = [name for name, (text, _) in said.items() if not text.out.strip() or text.out.startswith("(nothing)")]
    assert empty == [], [said[name] for name in empty]
    for name, (text, data) in said.items():
        assert (text.code, data.code, text.err, data.err) == (0, 0, "", ""), (name, text, data)
        strange = {one for one in text.out if not one.isprintable() and one != "\n"}
        assert strange == set(), f"{name} shows {strange}"
        assert "\x1b" not in data.out
        if name == "watch":
            positions = [json.loads(line)["position"] for line in re.split(r"\n(?=\{)", data.out)]
            assert positions == [1, 2, 3, 4, 5]
            continue
        missing = views[name][1] - set(data.data)
        assert missing == set(), f"{name} lacks {missing}"
    assert said["payment"][1].data["reference"] == HOSTILE
    attention = said["overview"][1].data["overview"]["attention"]
    assert {"dead_letters", "approval", "mismatch"} <= {one["kind"] for one in attention}
    assert said["audit-state"][1].data["state"] != "broken"
    taken_back = await crew.ops("reject", there["act"], "--reason", "only to be seen", "--json")
    assert (taken_back.code, taken_back.data["state"]) == (0, "rejected"), taken_back
    again = await crew.ops("reject", there["act"], "--reason", "once more")
    assert (again.code, "rejected" in again.err, "Traceback" in again.err) == (1, True, False)


# --- an unknown payment


async def lost(crew: Crew, key: str) -> str:
    """A payment that the PSP has charged and of which nobody heard: no answer to any call, and no webhook."""
    stack = crew.stack
    await stack.fault("webhooks_lost", rate=1.0)
    await stack.fault("charge_then_hang", rate=1.0)
    made = (await stack.pay(key)).json()["id"]
    await stack.until(made, "OUTCOME_UNKNOWN")
    return str(made)


async def test_an_unknown_payment_is_explained_and_resolved_by_two_people(crew: Crew) -> None:
    payment_id = await lost(crew, "lost-1")
    page = await crew.sees(f"payments/{payment_id}")
    assert page["why"]["headline"], page["why"]
    assert page["next"]["text"], page["next"]
    assert page["money"]["agree"] is not True, page["money"]
    assert "payment.resolve" in {one["action"] for one in page["actions"] if one["allowed"] and one["people"] == 2}
    await crew.hire("olga-too", "approver", person="OLGA")
    wish = {"to": "CAPTURED", "evidence": "INC-7, the PSP's dashboard"}
    asked = await crew.ops(
        "do", "payment.resolve", payment_id, "--set.to", "CAPTURED", "--set.evidence", wish["evidence"], "--reason", "seen there",
        "--confirm", "19.99", "--json",
    )  # fmt: skip
    assert asked.code == 0, asked
    assert asked.data["state"] == "proposed"
    act = asked.data
    for name, code in ((ASKED, "forbidden"), ("olga-too", "same_person")):
        refused = await crew.approve(act, name)
        assert (refused.status_code, refused.json()["code"]) == (403, code), refused.text
    assert (await crew.sees(f"actions/{act['id']}", "olga-too"))["may_approve"] is False
    agreed = await crew.ops("approve", act["id"], "--json", as_=AGREES)
    assert agreed.code == 0, agreed
    assert (await crew.until_over(act))["state"] == "done"
    await crew.stack.until(payment_id, "CAPTURED")
    assert (await crew.sees(f"payments/{payment_id}"))["money"]["ledger"]["captured"] == 1999
    trail = await crew.told(subject=act["id"], stream="act")
    assert [(one["event"], one["actor"].removeprefix("operator:")) for one in trail] == [
        ("Proposed", ASKED), ("Refused", ASKED), ("Refused", "olga-too"), ("Approved", AGREES), ("Started", "system"),
        ("Finished", "system"),
    ]  # fmt: skip
    assert [one["body"]["code"] for one in trail if one["event"] == "Refused"] == ["forbidden", "same_person"]
    await crew.stack.heal()


async def test_what_changed_meanwhile_is_not_approved(crew: Crew) -> None:
    payment_id = await lost(crew, "lost-2")
    act = await crew.proposes("payment.resolve", payment_id, to="FAILED", evidence="INC-8")
    shown = (await crew.sees(f"actions/{act['id']}", AGREES))["plan_now"]["hash"]
    await crew.stack.heal()
    await crew.proposes("payment.resync", payment_id)  # takes one person, and finds out
    await crew.stack.until(payment_id, "CAPTURED")
    seen = await crew.sees(f"actions/{act['id']}", AGREES)
    assert seen["changed"] is True
    answer = await crew.asks("POST", f"actions/{act['id']}/approve", AGREES, json={"hash": shown})
    assert (answer.status_code, answer.json()["code"]) == (412, "plan_changed"), answer.text
    assert (await crew.until_over(act))["state"] == "refused"
    again = await crew.asks("POST", f"actions/{act['id']}/approve", AGREES, json={"hash": shown})
    assert again.status_code == 409, again.text
    trail = await crew.told(subject=act["id"], stream="act")
    assert [one["event"] for one in trail][:2] == ["Proposed", "Refused"]
    assert (await crew.stack.until(payment_id, "CAPTURED"))["amount_captured"] == 1999


# --- dead letters


async def test_a_group_of_dead_letters_is_replayed_by_canary_and_one_is_discarded(crew: Crew) -> None:
    stack = crew.stack
    async with receiving() as receiver:
        hooks = await endpoint(stack, receiver.url("/ill"))
        for number in range(4):
            await stack.until((await stack.pay(f"dead-{number}")).json()["id"], "CAPTURED")
        await stack.until_told()
        await none_left(stack, "SELECT 1 FROM payorch.deliveries WHERE state = 'pending' LIMIT 1")
        dead = await dead_letters(crew, 4, origin=hooks)
        (fingerprint,) = {one["fingerprint"] for one in dead}
        tried = len(receiver.messages)

        halted = await crew.agreed("dead_letter.replay", fingerprint)
        assert halted["state"] == "halted", halted
        assert (halted["result"]["failed"], halted["result"]["ok"]) == (1, 0)
        assert len(receiver.messages) == tried + 1, "after the canary nothing else was replayed"
        still = await dead_letters(crew, len(dead), origin=hooks)
        assert {one["id"] for one in still} == {one["id"] for one in dead}

        receiver.cure()
        one, *others = sorted(letter["id"] for letter in dead)
        discarded = await crew.agreed("dead_letter.discard", one)
        assert discarded["state"] == "done", discarded
        done = await crew.agreed("dead_letter.replay", fingerprint)
        assert (done["state"], done["result"]["ok"], done["result"]["failed"]) == ("done", len(others), 0), done
        taken = receiver.messages[tried + 1 :]
        assert len(taken) == len({message.id for message in taken}) == len(others)
        assert (await crew.sees("dead-letters", state="open", origin=hooks))["data"] == []
        assert (await crew.sees(f"dead-letters/{one}"))["state"] == "discarded"
        group = (await crew.sees("dead-letters", group="fingerprint", fingerprint=fingerprint))["data"]
        assert all(entry["open"] == 0 for entry in group)
        await no_more(stack, hooks)


# --- who is let in


async def test_a_token_that_expired_rested_or_was_guessed_opens_nothing(crew: Crew) -> None:
    """And whoever guesses is locked out; nobody else is."""
    for name in ("late", "idle"):
        await crew.hire(name, "viewer")
        assert (await crew.asks("GET", "meta", name)).status_code == 200
    ended = "UPDATE payorch.operator_tokens SET {} WHERE operator_id = (SELECT id FROM payorch.operators WHERE name = '{}')"
    await crew.stack.rows(ended.format("expires_at = now() - interval '1 s'", "late"))
    await crew.stack.rows(ended.format("used_at = now() - interval '31 days', created_at = now() - interval '40 days'", "idle"))
    late, idle = await crew.asks("GET", "meta", "late"), await crew.asks("GET", "meta", "idle")
    assert [(one.status_code, one.json()["code"]) for one in (late, idle)] == [(401, "unauthenticated")] * 2
    assert "unlock" in idle.json()["detail"]
    lookup_id = crew.tokens["idle"].rpartition("_")[0]
    crew.tokens["guessed"] = f"{lookup_id}_{'0' * len(crew.tokens['idle'].rpartition('_')[2])}"
    answers = [await crew.asks("GET", "meta", "guessed") for _ in range(REFUSED_AT_MOST + 1)]
    assert {one.status_code for one in answers} == {401, 429}
    assert answers[-1].json()["code"] == "rate_limited"
    assert "retry-after" in answers[-1].headers
    assert (await crew.asks("GET", "meta")).status_code == 200, "whoever has a good token is let in all the same"
    refusals = await crew.told(act="Refused")
    assert {"revoked or expired", "not used for too long"} <= {one["body"].get("reason") for one in refusals}


async def test_the_books_are_whole_after_all_of_it(crew: Crew) -> None:
    await crew.stack.heal()
    await books.check(crew.stack)
