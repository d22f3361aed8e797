"""What was told, both ways, judged at the end: every notice stored once and brought to its end once (W1, W3), every event of every payment
there and received (W2), a record behind every dead letter (L3), disputes as the PSP has them.

Not here: what is judged as it comes (`postman`, `receiver`), the sums (`books`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import msgspec

from actors import inbox
from connectors.simulator.records import OperationKind, OperationStatus
from payorch.domain import identifiers
from payorch.domain.announcements import ANNOUNCEMENTS_PER_EVENT, BY_STATE
from payorch.domain.disputes import DisputeStage, DisputeStatus
from payorch.domain.identifiers import uuid_of
from payorch.domain.records import Payment
from payorch.store import reads
from payorch.store.driver import Connection
from tests.simulation.postman import MANY
from tests.simulation.receiver import NEVER_TAKEN, SECOND
from tests.simulation.world import World

Row = dict[str, Any]

_STAGES: Final = tuple(DisputeStage)
_ENDS: Final[Mapping[OperationStatus, frozenset[DisputeStatus]]] = {
    OperationStatus.PENDING: frozenset({DisputeStatus.OPENED, DisputeStatus.CHALLENGED}),
    OperationStatus.SUCCEEDED: frozenset({DisputeStatus.WON, DisputeStatus.CANCELLED}),
    OperationStatus.FAILED: frozenset({DisputeStatus.LOST}),
}


def notices(world: World) -> None:
    """W1, W3: the inbox holds what was taken, once and nothing else, and everything in it has had its one effect."""
    rows = world.watch.rows("SELECT id, identity, state, outcome, received_at, settled_at FROM payorch.inbox ORDER BY id")
    post, stored = world.postman, {row["identity"] for row in rows}
    assert len(stored) == len(rows) == len(set(post.taken) | stored & post.unsure), f"W1: {len(rows)} rows for {len(post.taken)} receipts"
    assert set(post.taken) <= stored, f"W3: acknowledged and not there: {set(post.taken) - stored}"
    assert not stored & post.forged, f"W3: forged, and there: {stored & post.forged}"
    for row in rows:
        _at_its_end(world, row)
    _one_effect_each(world, rows)


def _at_its_end(world: World, row: Row) -> None:
    state, identity = row["state"], row["identity"]
    notification = world.psp.ledger.outbox.notification(identity)
    assert notification is not None, f"W1: {identity} is stored, of which the PSP knows nothing"
    words = f"{notification.type} {identity}, which is {state} ({row['outcome']})"
    if notification.payment in world.psp.strangers:
        assert state in ("parked", "dead", "ignored"), f"W1: {words} is about somebody else's payment"
    else:
        assert state in ("applied", "ignored"), f"W1: {words} has had no effect"
    world.seen[f"notice:{state}"] += 1
    if state == "applied" and identity in world.postman.parked:
        world.seen["notice:applied after it was parked"] += 1
    died = world.died.get(world.postman.taken.get(identity, 0))
    if state == "applied" and died is not None and died < row["settled_at"]:
        world.seen["notice:applied after a crash"] += 1


def _one_effect_each(world: World, rows: list[Row]) -> None:
    """A notice's step has its id for a cause, and so have the answers to calls that the step made, which are not its effect."""
    steps: dict[str, dict[Any, list[Row]]] = defaultdict(lambda: defaultdict(list))
    for row in world.watch.rows(
        "SELECT cause, stream_id, at, name, body->'data'->'evidence'->>'source' AS source FROM payorch.journal"
        " WHERE stream = 'payment' AND cause LIKE 'ntc\\_%' ORDER BY position, sequence"
    ):
        steps[row["cause"]][row["stream_id"], row["at"]].append(row)
    effects = {cause: [step for step in mine.values() if _is_effect(step)] for cause, mine in steps.items()}
    said = {identifiers.text("ntc", row["id"]) for row in rows if row["outcome"] == "applied"}
    assert effects.keys() == said, f"W1: notices with an effect and no mark of it, or the other way round: {sorted(effects.keys() ^ said)}"
    for cause, mine in effects.items():
        assert len(mine) == 1, f"W1: {cause} took effect {len(mine)} times: {mine}"
        world.seen.update(f"by notice:{one['name']}" for one in mine[0])


def _is_effect(step: list[Row]) -> bool:
    return all(one["source"] in (None, "webhook") for one in step)


def letters(world: World) -> None:
    """L3: everything that is dead is a letter, every letter is of something dead, and there is a record of each."""
    dead = {uuid_of(inbox.dead_letter_of(identifiers.text("ntc", row["id"]))) for row in world.watch.rows(
        "SELECT id FROM payorch.inbox WHERE state = 'dead'"
    )}  # fmt: skip
    for row in world.watch.rows("SELECT event_id, endpoint_id FROM payorch.deliveries WHERE state = 'dead'"):
        dead.add(identifiers.child_of(row["event_id"], identifiers.text("whe", row["endpoint_id"])))
    found = {row["id"]: row for row in world.watch.rows("SELECT id, kind, reason_class, state FROM payorch.dead_letters")}
    recorded = {row["stream_id"] for row in world.watch.rows("SELECT stream_id FROM payorch.journal WHERE name = 'DeadLettered'")}
    assert found.keys() == dead == recorded, f"L3: dead {sorted(dead)}, letters {sorted(found)}, records {sorted(recorded)}"
    for row in found.values():
        assert row["state"] == "open", f"L3: {row['id']} is {row['state']}, and nobody has answered it"
        world.seen[f"dead letter:{row['kind']} {row['reason_class']}"] += 1


# --- out --------------------------------------------------------------------------------------------------------------------------------


async def events(world: World, payments: Iterable[Payment], connection: Connection) -> None:
    """W2: each change of a payment that merchants hear of has its one event, in order, and each endpoint that was there has received it."""
    rows = world.watch.rows(
        "SELECT o.payment_id, o.sequence, o.event_id, o.type, o.body::text AS body, o.created_at, j.position FROM payorch.outbox AS o"
        f" JOIN payorch.journal AS j ON j.stream_id = o.payment_id AND j.sequence = o.sequence / {ANNOUNCEMENTS_PER_EVENT}"
        " ORDER BY o.payment_id, o.sequence"
    )
    _in_order(rows)
    told: dict[UUID, list[tuple[int, str]]] = defaultdict(list)
    for row in rows:
        told[row["payment_id"]].append((row["sequence"] // ANNOUNCEMENTS_PER_EVENT, row["type"]))
    for payment in payments:
        await _complete(payment.id, told[uuid_of(payment.id)], connection)
    switches = world.watch.rows(
        "SELECT stream_id, position, name, body->>'state' AS state FROM payorch.journal WHERE stream = 'webhook_endpoint' ORDER BY position"
    )
    for endpoint in world.watch.rows("SELECT id, url, event_types, state FROM payorch.webhook_endpoints ORDER BY id"):
        _received(world, endpoint, switches, rows)
    for row in world.watch.rows("SELECT state, attempts > 1 AS again, count(*) AS times FROM payorch.deliveries GROUP BY 1, 2"):
        world.seen[f"delivery:{row['state']}{' after failures' if row['again'] else ''}"] += row["times"]


def _in_order(rows: list[Row]) -> None:
    last: dict[UUID, Row] = {}
    for row in rows:
        before = last.get(row["payment_id"], row)
        in_order = (before["position"], before["created_at"]) <= (row["position"], row["created_at"])
        assert in_order, f"W2: the sequence of {row['payment_id']} is not the order of what happened: {before}, {row}"
        shown = msgspec.json.decode(row["body"])
        identity = (shown["id"], shown["sequence"], shown["type"])
        assert identity == (identifiers.text("evt", row["event_id"]), row["sequence"], row["type"]), f"W2: {identity} is {row}"
        last[row["payment_id"]] = row


async def _complete(payment_id: str, told: list[tuple[int, str]], connection: Connection) -> None:
    state, expected = None, []
    for recorded in await reads.load_events(connection, payment_id):
        if recorded.event.to is not state and recorded.event.to in BY_STATE:
            expected.append((recorded.sequence, BY_STATE[recorded.event.to]))
        state = recorded.event.to
    names = set(BY_STATE.values())
    found = [one for one in told if one[1] in names]
    assert found == expected, f"W2: {payment_id} went {expected}, and its merchant was told {found}"


def _received(world: World, endpoint: Row, switches: list[Row], rows: list[Row]) -> None:
    url, wanted = endpoint["url"], endpoint["event_types"]
    kept = world.receiver.kept[url]
    mine = [(one["position"], _is_on(one)) for one in switches if one["stream_id"] == endpoint["id"] and _is_on(one) is not None]
    assert endpoint["state"] == "enabled", f"W2: {url} is {endpoint['state']}, and its merchant switched it on"
    for row in rows:
        id = identifiers.text("evt", row["event_id"])
        there = next((on for position, on in reversed(mine) if position < row["position"]), False)
        refused = url == SECOND and world.fate.picky and row["type"] == NEVER_TAKEN
        if there and (wanted == ["*"] or row["type"] in wanted):
            assert id in kept or refused, f"W2: {url} was never told of {id} ({row['type']})"
        assert kept.get(id, row["body"].encode()) == row["body"].encode(), f"W2: {url} was told of {id} in other words"
    strangers = kept.keys() - {identifiers.text("evt", row["event_id"]) for row in rows}
    assert not strangers, f"W2: {url} was told of what never happened: {strangers}"
    world.seen["told:in all"] += len(kept)


def _is_on(entry: Row) -> bool | None:
    """What an entry of an endpoint says of it: that it is on, that it is off, or nothing about that."""
    names = {"WebhookEndpointCreated": True, "WebhookEndpointDisabled": False}
    return names.get(entry["name"], None if entry["state"] is None else entry["state"] == "enabled")


# --- disputes ---------------------------------------------------------------------------------------------------------------------------


def disputes(world: World, payment: Payment, theirs: Iterable[str], *, told: bool) -> None:
    """Ours are the PSP's, and where it could tell us everything, all of them and as they are there now."""
    at_the_psp = {
        one.id: one for id in theirs for one in world.psp.ledger.operations(limit=MANY, payment=id, kind=OperationKind.DISPUTE).items
    }
    # The latest stage of each, by its place in a dispute's life: of an earlier one we may have been told later.
    ours = {one.psp_reference: one for one in sorted(payment.disputes, key=lambda one: _STAGES.index(one.stage))}
    world.seen.update(f"end:dispute {one.status}" for one in ours.values())
    assert ours.keys() <= at_the_psp.keys(), f"W1: {payment.id} has disputes that the PSP knows nothing of"
    if not told:
        return
    assert ours.keys() == at_the_psp.keys(), f"W1: {payment.id} has the disputes {sorted(ours)}, the PSP {sorted(at_the_psp)}"
    for id, one in at_the_psp.items():
        alike = ours[id].status in _ENDS[one.status] and ours[id].amount.minor == one.amount
        assert alike, f"W1: dispute {id} is {ours[id].status} over {ours[id].amount.minor} here, {one.status} over {one.amount} at the PSP"
