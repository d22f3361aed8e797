"""Dead letters as acts: what a plan finds, a canary before the rest, the stop, and going on after a crash; each letter once."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import trio
from msgspec.structs import replace

from payorch.dead_letter_desk import Desk
from payorch.dead_letter_outlook import Decided, Verdict, replay_of
from payorch.domain.acts import ActName, ActState, Draft, Nonsense, Person
from payorch.domain.money import Money
from payorch.operations import dead_letters as operations
from payorch.store import audit
from payorch.store.driver import Connection
from payorch.store.items import DEAD_LETTER_STREAM, DeadLetterKind, DeliveryState, EndpointState, NoticeState
from tests.conftest import Database
from tests.operations.dead_letter_world import AMIR, GROUP, Died, World, act, wish, world_on
from tests.store.stories import Story, connected, new_id

REPLAY = ActName.DEAD_LETTER_REPLAY
DISCARD = ActName.DEAD_LETTER_DISCARD


@pytest.fixture
async def world(database: Database) -> AsyncIterator[World]:
    async with world_on(database) as made:
        yield made


def effects(draft: Draft) -> list[tuple[str, str, str]]:
    return [(one.what, one.before, one.after) for one in draft.effects]


# --- plans ------------------------------------------------------------------------------------------------------------------------------


async def test_one_letter_takes_one_person(world: World) -> None:
    letter = await world.dead_notice()
    draft = await world.replayer.plan(wish(REPLAY, letter.id))
    assert (draft.allowed, draft.people, draft.confirm) == (True, 1, letter.id[-4:])
    assert effects(draft) == [("dead_letter", "1 open", "would be tried again at once")]
    assert [one.reference for one in draft.proofs] == [letter.id]
    assert draft == await world.replayer.plan(wish(REPLAY, letter.id)), "of the same circumstances it is the same"


@pytest.mark.parametrize(("canary", "people"), [(2, 2), (3, 1)])
async def test_more_than_the_canary_takes_two(world: World, canary: int, people: int) -> None:
    await world.dead_notices(3)
    draft = await world.replayer.plan(wish(REPLAY, GROUP, canary=canary, halt_percent=20))
    assert (draft.people, draft.confirm) == (people, "3")
    then = "; then 1 at 10 a second" if canary == 2 else ""
    assert draft.effects[-1].after == f"{canary} first, watched until settled{then}; stops itself when more than 20 % fail"


async def test_a_plan_says_what_each_would_come_to_and_of_what_money(world: World) -> None:
    story = Story(minor=1999)
    await world.journal.write([story.sent(), story.authorized()])
    known = await world.dead_notice(about=story.attempt.psp_reference)
    unknown = await world.dead_notice(about="pi_of_nobody")
    answered = await world.dead_notice()
    await world.enter(DEAD_LETTER_STREAM, answered.id, "DeadLetterDiscarded")
    draft = await world.replayer.plan(wish(REPLAY, "marked", ids=[known.id, unknown.id, answered.id]))
    assert effects(draft)[:2] == [
        ("dead_letter", "3 open", "would be tried again at once"),
        ("money", "1 payment of 19.99 EUR in all", "moves only as each payment's own rules say"),
    ]
    assert draft.amount == Money(1999, "EUR")
    (check,) = [one for one in draft.checks if one.what == "their payments are known here"]
    assert (check.holds, check.binds) == (False, False)
    assert "of 2 nothing is known here yet" in (check.detail or "")


async def test_what_was_never_understood_is_told(world: World) -> None:
    letter = await world.dead_notice(problem="the object is not one that is understood")
    draft = await world.replayer.plan(wish(REPLAY, letter.id))
    assert [(one.what, one.holds) for one in draft.checks[:2]] == [("they are understood", False), ("their payments are known here", True)]


async def test_what_cannot_be_replayed_is_told(world: World) -> None:
    gone, _ = await world.dead_delivery(EndpointState.DELETED)
    draft = await world.replayer.plan(wish(REPLAY, gone.id))
    assert [one.code for one in draft.objections] == ["nothing_to_replay"]
    assert "its endpoint is deleted" in draft.objections[0].why
    line = await world.dead_notice(kind=DeadLetterKind.SETTLEMENT_ROW)
    assert "the report is not kept" in (await world.replayer.plan(wish(REPLAY, line.id))).objections[0].why
    old = await world.dead_notice()
    await world.connection.execute("UPDATE payorch.inbox SET content = ''")
    assert "its contents are not kept any more" in (await world.replayer.plan(wish(REPLAY, old.id))).objections[0].why
    nothing = await world.replayer.plan(wish(REPLAY, "webhook_in/nothing"))
    assert "no letter of that fingerprint is open" in nothing.objections[0].why


async def test_one_more_of_the_group_makes_another_plan(world: World) -> None:
    await world.dead_notices(2)
    before = await world.replayer.plan(wish(REPLAY, GROUP))
    await world.dead_notice()
    after = await world.replayer.plan(wish(REPLAY, GROUP))
    assert (before.version == after.version, before == after) == (False, False)


@pytest.mark.parametrize(
    ("subject", "parameters", "field"),
    [
        ("dlq_01jq0000000000000000000000", {}, "/subject"),
        ("marked", {}, "/parameters/ids"),
        ("marked", {"ids": []}, "/parameters/ids"),
        ("marked", {"ids": ["pay_1"]}, "/parameters/ids/0"),
        ("marked", {"ids": [new_id("dlq")]}, "/parameters/ids"),
        (GROUP, {"ids": [new_id("dlq")]}, "/parameters/ids"),
        (GROUP, {"fingerprint": "another"}, "/parameters/fingerprint"),
        ("x" * 501, {}, "/subject"),
        (GROUP, {"canary": 6}, "/parameters/canary"),
        (GROUP, {"canary": True}, "/parameters/canary"),
        (GROUP, {"per_second": 0}, "/parameters/per_second"),
        (GROUP, {"halt_percent": "10"}, "/parameters/halt_percent"),
    ],
)
async def test_nonsense(world: World, subject: str, parameters: dict[str, Any], field: str) -> None:
    subject = new_id("dlq") if subject.startswith("dlq_") else subject
    with pytest.raises(Nonsense) as raised:
        await world.replayer.plan(wish(REPLAY, subject, **parameters))
    assert raised.value.field == field
    assert raised.value.missing is subject.startswith("dlq_")


# --- the canary, and the rest -----------------------------------------------------------------------------------------------------------


async def test_the_canary_goes_first_and_then_the_rest(world: World) -> None:
    ids = await world.dead_notices(25)
    this = act(REPLAY, GROUP, canary=2, per_second=4)
    done = await world.replayer.perform(this, world.note)
    assert (done.state, done.text) == (ActState.DONE, "25 of 25: 25 took effect")
    assert await world.states(*ids) == ["replayed"] * 25
    assert [one["done"] for one in world.progress] == [0, 2, 22, 25]
    assert world.progress[1]["left"] == ids[2:], "oldest first"
    assert sorted(world.tried) == sorted(ids)
    assert world.pauses.count(0.25) == 24
    records = await world.records("DeadLetterReplayed")
    assert {(actor, cause, body["approved_by"], body["reason"]) for _, actor, cause, body in records} == {
        ("operator:olga", this.id, "operator:amir", "the bug is repaired")
    }
    assert (await audit.verify(world.connection)).whole


async def test_a_canary_that_dies_again_stops_the_rest(world: World) -> None:
    world.weigh = lambda letter_id: NoticeState.DEAD
    ids = await world.dead_notices(5)
    done = await world.replayer.perform(act(REPLAY, GROUP, canary=2), world.note)
    assert done.state is ActState.HALTED
    assert "stopped itself, since 100 % of what was replayed failed, more than 10 %" in done.text
    assert "it has died again: its amount is no amount" in done.text
    assert (done.data["ok"], done.data["failed"], done.data["left"]) == (0, 2, 3)
    assert await world.states(*ids) == ["open"] * 5
    assert len(await world.records("DeadLetterReplayed")) == 2, "nothing but the canary was replayed"


async def test_too_many_of_the_rest_stop_it(world: World) -> None:
    ids = await world.dead_notices(45)
    world.weigh = lambda letter_id: NoticeState.PARKED if letter_id in ids[10:13] else NoticeState.APPLIED
    done = await world.replayer.perform(act(REPLAY, GROUP, halt_percent=10), world.note)
    assert (done.state, done.data["ok"], done.data["failed"]) == (ActState.HALTED, 18, 3)
    assert "waits for its payment again" in done.text
    assert await world.states(*ids[21:]) == ["open"] * 24
    world.weigh = lambda letter_id: NoticeState.APPLIED
    rest = await world.replayer.perform(act(REPLAY, GROUP), world.note)
    assert (rest.state, rest.data["total"]) == (ActState.DONE, 24)


async def test_what_nobody_hears_of_did_not_go_well(world: World) -> None:
    world.weigh = lambda letter_id: NoticeState.RECEIVED
    await world.dead_notices(2)
    done = await world.replayer.perform(act(REPLAY, GROUP), world.note)
    assert (done.state, done.data["failed"]) == (ActState.HALTED, 1)
    assert "nothing was heard of it for 2 s" in done.text
    assert sum(world.pauses) == 2.0


# --- deliveries -------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "state", "text"),
    [
        ({"state": DeliveryState.DELIVERED, "next_attempt_at": None}, ActState.DONE, "1 took effect"),
        ({"attempts": 1, "last_error": "answered 500"}, ActState.FAILED, "its endpoint has not taken it: answered 500"),
        ({"state": DeliveryState.CANCELED, "next_attempt_at": None}, ActState.FAILED, "its endpoint is deleted"),
    ],
)
async def test_a_delivery_is_watched_until_its_first_try(world: World, after: dict[str, Any], state: ActState, text: str) -> None:
    letter, delivery = await world.dead_delivery()

    async def notify(seconds: float) -> None:
        row = await world.delivery(delivery.event_id)
        await world.journal.write([replace(row, **after)])

    around = world.around
    object.__setattr__(around, "pause", notify)
    done = await type(world.replayer)(around).perform(act(REPLAY, letter.id), world.note)
    assert done.state is state
    assert text in done.text


async def test_a_delivery_to_an_endpoint_that_is_off_waits_and_is_no_failure(world: World) -> None:
    letter, delivery = await world.dead_delivery(EndpointState.DISABLED)
    draft = await world.replayer.plan(wish(REPLAY, letter.id))
    assert draft.allowed
    assert [one.holds for one in draft.checks if one.what == "their endpoints take events"] == [False]
    done = await world.replayer.perform(act(REPLAY, letter.id), world.note)
    assert (done.state, done.text) == (ActState.DONE, "1 of 1: 1 waiting for an endpoint that is switched off")
    assert (await world.delivery(delivery.event_id)).state is DeliveryState.PENDING


# --- crashes, and others ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("writes", range(6))
async def test_a_crash_anywhere_replays_no_letter_twice(world: World, writes: int) -> None:
    ids = await world.dead_notices(5)
    world.weigh = lambda letter_id: NoticeState.DEAD if letter_id == ids[0] else NoticeState.APPLIED
    this = act(REPLAY, GROUP, canary=1, halt_percent=50)
    world.die_after = writes
    crashed = False
    try:
        done = await world.replayer.perform(this, world.note)
    except Died:
        crashed, world.die_after = True, None
        await world.pause(0)  # the inbox goes on by itself
        again = act(REPLAY, GROUP, id=this.id, progress=world.progress[-1], canary=1, halt_percent=50)
        done = await world.replayer.perform(again, world.note)
    assert crashed is (writes < 1)
    assert done.state is ActState.HALTED, "the first one died again, which is known after the crash, too"
    names = [row[0] for row in await world.records("DeadLetterReplayed")]
    assert len(names) == len(set(names)) == 1


@pytest.mark.parametrize(("name", "second", "glass"), [(REPLAY, AMIR, False), (REPLAY, None, True), (DISCARD, AMIR, False)])
async def test_a_group_that_grew_before_the_first_was_touched_is_left_alone(
    world: World, name: ActName, second: Person | None, glass: bool
) -> None:
    """A crash may come between the beginning and the first letter, and last."""
    await world.dead_notice()
    planner = world.replayer if name is REPLAY else world.discarder
    this = replace(act(name, GROUP), approved_by=second, break_glass=glass, shown=await planner.plan(wish(name, GROUP)))
    more = await world.dead_notice()
    done = await planner.perform(this, world.note)
    assert (done.state, world.progress) == (ActState.REFUSED, [])
    assert await world.states(more.id) == ["open"]
    done = await planner.perform(replace(this, shown=await planner.plan(wish(name, GROUP))), world.note)
    assert done.data["total"] == 2


async def test_one_person_does_not_replay_a_group_alone(world: World) -> None:
    await world.dead_notices(2)
    alone = replace(act(REPLAY, GROUP), approved_by=None)
    assert (await world.replayer.perform(alone, world.note)).state is ActState.REFUSED
    assert (await world.discarder.perform(replace(act(DISCARD, GROUP), approved_by=None), world.note)).state is ActState.REFUSED
    two = replace(act(REPLAY, GROUP, canary=2), approved_by=None)
    assert (await world.replayer.perform(two, world.note)).state is ActState.DONE


@pytest.mark.parametrize("writes", range(6))
async def test_it_goes_on_where_it_was(world: World, writes: int) -> None:
    ids = await world.dead_notices(5)
    this = act(REPLAY, GROUP, canary=1)
    world.die_after = writes
    try:
        done = await world.replayer.perform(this, world.note)
    except Died:
        world.die_after = None
        await world.dead_notice()  # one more of the group: it is not part of this
        done = await world.replayer.perform(act(REPLAY, GROUP, id=this.id, progress=world.progress[-1], canary=1), world.note)
    assert (done.state, done.data["ok"], done.data["total"]) == (ActState.DONE, 5, 5)
    names = [row[0] for row in await world.records("DeadLetterReplayed")]
    assert len(names) == len(set(names)) == 5
    assert await world.states(*ids) == ["replayed"] * 5


async def test_the_command_line_and_an_act_at_the_same_letters(world: World, database: Database) -> None:
    ids = await world.dead_notices(8)
    told: list[int] = []

    async def by_hand() -> None:
        async with connected(database.app) as connection:
            desk = Desk(connection, clock=world.clock, actor="cli:ann", cause="test")
            told.append(sum(one.changed for one in await desk.replay(ids)))

    async def by_act() -> None:
        done = await world.replayer.perform(act(REPLAY, "marked", ids=ids, canary=1), world.note)
        told.append(done.data["ok"])
        assert done.data["ok"] + done.data["skipped"] == 8

    async with trio.open_nursery() as nursery:
        nursery.start_soon(by_hand)
        nursery.start_soon(by_act)
    assert sum(told) == 8
    names = [row[0] for row in await world.records("DeadLetterReplayed")]
    assert len(names) == len(set(names)) == 8
    assert (await audit.verify(world.connection)).whole


async def test_somebody_who_is_faster_between_a_look_and_its_write_makes_a_conflict(
    world: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    letter = await world.dead_notice()
    looks = 0

    async def look_and_be_overtaken(connection: Connection, letter_id: str, **how: Any) -> Decided | Verdict:
        nonlocal looks
        looks += 1
        decided = await replay_of(connection, letter_id, **how)
        if looks == 1:
            async with connected(database.app) as other:
                assert (await Desk(other, clock=world.clock, actor="cli:ann", cause="test").replay([letter_id]))[0].changed
        return decided

    monkeypatch.setattr(operations, "replay_of", look_and_be_overtaken)
    done = await world.replayer.perform(act(REPLAY, letter.id), world.note)
    assert (done.state, looks, "is replayed already" in done.text) == (ActState.REFUSED, 2, True)
    assert [row[1] for row in await world.records("DeadLetterReplayed")] == ["cli:ann"]


async def test_what_somebody_else_has_answered_is_left_as_it_is(world: World) -> None:
    letter = await world.dead_notice()
    first = await world.discarder.perform(act(DISCARD, letter.id), world.note)
    assert first.state is ActState.DONE
    done = await world.replayer.perform(act(REPLAY, letter.id), world.note)
    assert (done.state, done.text) == (ActState.REFUSED, "nothing was replayed: 1 of 1: 1 left as before (is discarded already)")


# --- no answer needed -------------------------------------------------------------------------------------------------------------------


async def test_a_discard_takes_two_and_is_kept(world: World) -> None:
    ids = await world.dead_notices(23)
    draft = await world.discarder.plan(wish(DISCARD, GROUP))
    assert (draft.people, draft.confirm, draft.allowed) == (2, "23", True)
    assert effects(draft) == [("dead_letter", "23 webhook_in open", "discarded for a reason; kept, and never tried again")]
    assert [one.detail for one in draft.checks if not one.holds] == ["23 could be replayed instead"]
    this = act(DISCARD, GROUP)
    world.die_after = 7
    with pytest.raises(Died):
        await world.discarder.perform(this, world.note)
    world.die_after = None
    done = await world.discarder.perform(act(DISCARD, GROUP, id=this.id, progress=world.progress[-1]), world.note)
    assert (done.state, done.text) == (ActState.DONE, "23 of 23 discarded")
    assert await world.states(*ids) == ["discarded"] * 23
    records = await world.records("DeadLetterDiscarded")
    assert (len(records), {row[2] for row in records}) == (23, {this.id})
    again = await world.discarder.plan(wish(DISCARD, ids[0]))
    assert [one.code for one in again.objections] == ["nothing_to_discard"]
