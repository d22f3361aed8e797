"""Operators' acts and the live stream through kills and restarts: an act is carried out once, whenever its platform dies; a listener misses
nothing and hears nothing twice; what keeps traffic away outlives its platform and ends by itself.
"""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import httpx2
import pytest
import trio

from payorch.operations import errand
from payorch.operations.dead_letters import AFTER_REPLAY
from tests.e2e import books
from tests.e2e.operators import AGREES, Crew, Listener
from tests.e2e.receivers import Receiver, receiving
from tests.e2e.stack import FIRST, WITHIN_SECONDS, Stack, eventually, order, routed
from tests.e2e.test_operations import dead_letters, endpoint
from tests.e2e.test_webhooks import none_left

SETTINGS = {
    **routed(FIRST, "adyen"),
    "PAYORCH_ROUTING__SCORE__LATENCY_WEIGHT": "0",  # a busy machine makes the first one slow, and that is not what is looked for
    "PAYORCH_ROUTING__SCORE__COST_WEIGHT": "0",
    "PAYORCH_DELIVERIES__TRIES_SECONDS": "0",
    "PAYORCH_OPERATIONS__SWEEP_SECONDS": "0.5",
    "PAYORCH_OPERATIONS__RETRY_SECONDS": "0.2",
    "PAYORCH_TRAFFIC__FORCED_LEAST_SECONDS": "1",
}
POINTS = (errand.BEFORE_BEGIN, errand.AFTER_BEGIN, errand.BEFORE_END)


async def proposed(crew: Crew) -> list[dict[str, Any]]:
    """One act of each kind that can be done twice and must not, each waiting for a second person."""
    stack = crew.stack
    charged = [(await stack.pay(f"act-{n}", order(f"act-{n}", amount=20_000))).json()["id"] for n in range(2)]
    held = (await stack.pay("act-held", order("act-held", amount=20_000, capture="manual"))).json()["id"]
    for payment_id in charged:
        await stack.until(payment_id, "CAPTURED")
    await stack.until(held, "AUTHORIZED")
    return [
        await crew.proposes("payment.refund", charged[0]),
        await crew.proposes("payment.refund", charged[1], amount=15_000),
        await crew.proposes("payment.capture", held),
        await crew.proposes("connector.drain", "paypal", for_seconds=3600),
        await crew.proposes("breaker.force_open", "paypal/refund", for_seconds=3600),
    ]


async def approve_all(crew: Crew, acts: list[dict[str, Any]]) -> None:
    """All at once, as far as the platform lives long enough to hear it."""
    hashes = {act["id"]: (await crew.sees(f"actions/{act['id']}", AGREES))["plan_now"]["hash"] for act in acts}

    async def one(act_id: str) -> None:
        with suppress(httpx2.TransportError):
            await crew.asks("POST", f"actions/{act_id}/approve", AGREES, json={"hash": hashes[act_id]})

    async with trio.open_nursery() as nursery:
        for act_id in hashes:
            nursery.start_soon(one, act_id)


async def dies_and_begins(stack: Stack, *, with_point: str | None) -> None:
    """Waits for its death, and begins it anew."""
    assert await stack.ended() == -signal.SIGKILL
    stack.begin(**({"PAYORCH_CRASH_AT": with_point} if with_point is not None else {}))


async def once(crew: Crew, acts: list[dict[str, Any]]) -> None:
    """Each act is done, was begun once, ended once, and has had its effect once."""
    for act in acts:
        over = await crew.until_over(act)
        assert over["state"] == "done", over
        records = Counter(one["event"] for one in await crew.told(subject=act["id"], stream="act"))
        assert records == Counter(["Proposed", "Approved", "Started", "Finished"]), (act["action"], records)
    rows = await crew.stack.rows(
        "SELECT cause, name FROM payorch.journal WHERE name IN ('ConnectorDrained', 'CircuitForcedOpen') AND cause LIKE 'act_%'"
    )
    assert len(rows) == len(set(rows)) == len([act for act in acts if act["subject"].startswith("paypal")]), rows
    for act in acts:
        if act["action"] not in ("payment.refund", "payment.capture"):
            continue
        payment = (await crew.stack.get(f"/v1/payments/{act['subject']}")).json()
        assert len(payment["refunds"]) == (act["action"] == "payment.refund"), payment
        assert len([one for one in payment["captures"] if one["origin"] != "automatic"]) <= 1


async def test_an_act_is_carried_out_once_whenever_its_platform_dies(make_stack: Callable[..., Stack]) -> None:
    """The same acts meet a death before they are begun, after, and when they are done and it is not written; a replay dies twice in its
    midst."""
    stack = make_stack(**SETTINGS)
    crew = Crew(stack)
    async with receiving() as receiver:
        await stack.start(PAYORCH_CRASH_AT=f"{POINTS[0]}:3")
        hooks = await endpoint(stack, receiver.url("/ill"))
        acts = await proposed(crew)
        await stack.until_told()
        await none_left(stack, "SELECT 1 FROM payorch.deliveries WHERE state = 'pending' LIMIT 1")
        letters = {one["id"] for one in await dead_letters(crew, 3, origin=hooks)}
        replay = await crew.proposes("dead_letter.replay", f"webhook_out/{hooks}/http_500", per_second=50)
        receiver.cure()
        await approve_all(crew, acts)
        await dies_and_begins(stack, with_point=f"{POINTS[1]}:2")
        await dies_and_begins(stack, with_point=f"{POINTS[2]}:1")
        await dies_and_begins(stack, with_point=f"{AFTER_REPLAY}:3")
        await stack.ready()
        for act in acts:  # those of which it did not hear before it died
            if (await crew.sees(f"actions/{act['id']}"))["state"] == "proposed":
                await crew.approve(act)
        await once(crew, acts)
        await approve_all(crew, [replay])
        await dies_and_begins(stack, with_point=f"{errand.BEFORE_PROGRESS}:1")
        await dies_and_begins(stack, with_point=None)
        await stack.ready()
        await replayed_once(crew, replay, letters, receiver)
    await books.check(stack)
    assert stack.tracebacks() == []


async def replayed_once(crew: Crew, replay: dict[str, Any], letters: set[str], receiver: Receiver) -> None:
    over = await crew.until_over(replay)
    assert (over["state"], over["result"]["ok"], over["result"]["failed"]) == ("done", len(letters), 0), over
    records = Counter(one["subject_id"] for one in await crew.told(act="DeadLetterReplayed"))
    assert records == Counter(dict.fromkeys(letters, 1)), records


# --- what keeps traffic away


async def chosen(stack: Stack, key: str) -> str:
    answer = await stack.pay(key)
    assert answer.status_code == 201, answer.text
    return str((await stack.until(answer.json()["id"], "CAPTURED"))["connector"])


async def test_what_keeps_traffic_away_and_whoever_listens_outlive_the_platform(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(**SETTINGS)
    crew = Crew(stack)
    await stack.start()
    watcher = Listener(crew)
    await watcher.begin((await crew.sees("snapshot"))["cursor"])
    begun = int(watcher.last or 0)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.watch)
        await kept_away_through_restarts(crew)
        # A quiet moment: both have heard of everything, and what was lost of a connection is made up for.
        head = (await crew.sees("meta"))["head"]
        await watcher.until(head)
        nursery.cancel_scope.cancel()
    positions = [one["position"] for one in watcher.events]
    assert positions == list(range(begun + 1, begun + 1 + len(positions))), "no gap, nothing twice, in order"
    assert positions[-1] >= head
    assert all((str(one["position"]), one["kind"]) == (one["id"], one["event_field"]) for one in watcher.events)
    assert watcher.lives >= 3
    assert "stopping" in watcher.endings
    ahead = await crew.asks("GET", "stream", headers={"last-event-id": str(head + 10_000)})
    assert (ahead.status_code, ahead.json()["code"]) == (410, "stream_gap")
    assert stack.tracebacks() == []


async def kept_away_through_restarts(crew: Crew) -> None:
    """A drain over a SIGTERM, and a circuit forced open over a kill -9."""
    stack = crew.stack
    assert await chosen(stack, "before") == FIRST
    assert (await crew.agreed("connector.drain", FIRST, for_seconds=3600))["state"] == "done"
    assert await chosen(stack, "drained") == "adyen"
    assert await stack.stop() == 0
    await stack.start()
    assert await chosen(stack, "drained-still") == "adyen"
    assert (await crew.sees(f"connectors/{FIRST}"))["draining"]["by"] == "olga"
    assert (await crew.proposes("connector.resume", FIRST))["state"] == "done"
    assert await chosen(stack, "resumed") == FIRST
    assert (await crew.agreed("breaker.force_open", f"{FIRST}/authorize", for_seconds=3600))["state"] == "done"
    await stack.kill()
    await stack.start()
    assert (await crew.sees(f"connectors/{FIRST}"))["circuits"]["authorize"]["mode"] == "forced_open"
    assert await chosen(stack, "forced") == "adyen"
    short = await crew.agreed("breaker.force_open", f"{FIRST}/authorize", for_seconds=2)
    drain = await crew.agreed("connector.drain", "paypal", for_seconds=2)
    assert (short["state"], drain["state"]) == ("done", "done")

    async def ended() -> bool:
        seen = await crew.sees("connectors")
        by_name = {one["name"]: one for one in seen["data"]}
        return by_name[FIRST]["circuits"]["authorize"]["mode"] != "forced_open" and by_name["paypal"]["draining"] is None

    await eventually(ended)
    assert await chosen(stack, "expired") == FIRST
    told = [one["event"] for one in await crew.told(stream="connector")]
    assert "ConnectorDrainEnded" in told


@pytest.mark.prove
async def test_whoever_does_not_read_the_stream_is_reset(make_stack: Callable[..., Stack]) -> None:
    """And is told so as the last thing. Nobody else waits for him."""
    stack = make_stack(**SETTINGS, PAYORCH_STREAM__WAITING_LIMIT="100")
    crew = Crew(stack)
    await stack.start()
    slow = await one_who_does_not_read(crew)
    watcher = Listener(crew)
    await watcher.begin((await crew.sees("meta"))["head"])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(watcher.watch)
        for number in range(250):  # some 1,500 events: more than the sockets' buffers and what may wait
            await stack.pay(f"slow-{number}")
        await watcher.until((await crew.sees("meta"))["head"])
        nursery.cancel_scope.cancel()
    assert "slow" not in watcher.endings
    said = b""
    with trio.fail_after(WITHIN_SECONDS):
        async with slow:
            while piece := await slow.receive_some(65536):
                said += piece
    assert b'event: reset\ndata: {"reason":"slow"}' in said[-200:]
    assert stack.tracebacks() == []


async def one_who_does_not_read(crew: Crew) -> trio.SocketStream:
    """A connection to the stream, answered, with as little room as a socket may have."""
    socket = trio.socket.socket()
    socket.setsockopt(trio.socket.SOL_SOCKET, trio.socket.SO_RCVBUF, 4096)
    await socket.connect(("127.0.0.1", crew.stack.port))
    stream = trio.SocketStream(socket)
    request = f"GET /ops/v1/stream HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {crew.token('olga')}\r\n\r\n"
    await stream.send_all(request.encode())
    assert b" 200 " in await stream.receive_some(512)
    return stream


@pytest.mark.prove
@pytest.mark.parametrize("point", [*POINTS, "journal.before_commit", "journal.after_commit"])
@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 8, 11])
async def test_an_act_is_carried_out_once_at_length(make_stack: Callable[..., Stack], point: str, number: int) -> None:
    """Killed at each place, and again by its successor at the same one."""
    stack = make_stack(**SETTINGS)
    crew = Crew(stack)
    await stack.start()
    acts = await proposed(crew)
    await stack.kill()
    await stack.start(PAYORCH_CRASH_AT=f"{point}:{number}")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(approve_all, crew, acts)
        with trio.move_on_after(10):
            await stack.ended()
    if stack.alive:
        await stack.kill()
    stack.process = None
    await stack.start()
    for act in acts:
        if (await crew.sees(f"actions/{act['id']}"))["state"] == "proposed":
            await crew.approve(act)
    await once(crew, acts)
    await books.check(stack)
    assert stack.tracebacks() == []
