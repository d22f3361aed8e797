"""Plans and acts in the store: rows as they were, each change with its record, and what the database forbids, whoever asks."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from payorch.domain.act_records import ActRecord, Decision, Halt, Plan, Review, Step
from payorch.domain.acts import ActName, ActState, Check, Draft, Effect, Objection, Person, Proof, Wish
from payorch.domain.approving import plan_hash
from payorch.domain.identifiers import of_name, uuid_of
from payorch.domain.money import Money
from payorch.domain.persons import same_eyes
from payorch.store import acts, entries, identities
from payorch.store.acts import Filter
from payorch.store.audit import verify
from payorch.store.driver import Connection
from payorch.store.items import Appended, Conflict, Entry, Item, OperatorRow, PlansForgotten, Refused, Result
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, connected, journal_on, new_id, rows_of

ANA = Person(operator=new_id("opr"), name="ana", person="Ana Example")
BEN = Person(operator=new_id("opr"), name="ben", person="Ben Example")
ANA2 = Person(operator=new_id("opr"), name="ana2", person=" ana example ")
DRAFT = Draft(
    effects=(Effect(what="state", before="a", after="b"),), people=2, why_people="money", version="17", confirm="2.00", undo="none",
    checks=(Check(what="c", holds=False, detail="d"),), proofs=(Proof(reference="r", at=START, text="t"),),
    objections=(Objection(code="c", why="w"),), amount=Money(200, "EUR"), basis=("b",),
)  # fmt: skip
WISH = Wish(name=ActName.PAYMENT_RESOLVE, subject=new_id("pay"), parameters={"to": "CAPTURED", "amount": 5, "deep": {"a": [None]}}, who=ANA)


class Room:
    """Three accounts of two persons, and the journal."""

    def __init__(self, journal: Journal, connection: Connection) -> None:
        self.journal, self.connection = journal, connection

    async def write(self, item: Item) -> Result:
        [result] = await self.journal.write([item])
        return result

    async def enter(self, act: ActRecord, name: str = "Happened") -> Result:
        sequence = await entries.next_sequence(self.connection, act.id)
        change = acts.changed(Step(name=name, act=act))
        return await self.write(entries.entry_of(change, sequence=sequence, at=START, actor="operator:ana", cause="req_1"))

    async def proposed(self, **changes: Any) -> ActRecord:
        act = an_act(**changes)
        assert isinstance(await self.enter(act), Appended)
        return act


@pytest.fixture
async def room(database: Database) -> AsyncIterator[Room]:
    async with journal_on(database.app) as journal, connected(database.app) as connection:
        made = Room(journal, connection)
        for one in (ANA, BEN, ANA2):
            row = OperatorRow(id=one.operator, name=one.name, person=one.person, created_at=START)
            change = identities.operator_added(row)
            assert isinstance(await made.write(entries.entry_of(change, sequence=1, at=START, actor="cli:root", cause="c")), Appended)
        yield made


def a_plan(**changes: Any) -> Plan:
    plan = Plan(
        id=new_id("pln"), wish=WISH, draft=DRAFT, hash=plan_hash(WISH, DRAFT), created_at=START, expires_at=START + timedelta(minutes=30)
    )
    return replace(plan, **changes)


def an_act(**changes: Any) -> ActRecord:
    act = ActRecord(
        id=new_id("act"), plan_id=new_id("pln"), wish=WISH, draft=DRAFT, hash=plan_hash(WISH, DRAFT), reason="INC-1", key=new_id("act"),
        state=ActState.PROPOSED, requested_at=START, expires_at=START + timedelta(minutes=30),
    )  # fmt: skip
    return replace(act, **changes)


def after(act: ActRecord, **changes: Any) -> ActRecord:
    return replace(act, version=act.version + 1, **changes)


APPROVED = Decision(approved=True, by=BEN, at=START)


# --- rows -------------------------------------------------------------------------------------------------------------------------------


async def test_a_plan_is_read_back_as_it_was_and_leaves_no_record(room: Room) -> None:
    plan = a_plan()
    assert isinstance(await room.write(plan), Appended)
    assert await acts.load_plan(room.connection, plan.id) == plan
    assert await acts.load_plan(room.connection, new_id("pln")) is None
    assert await rows_of(room.connection, "SELECT count(*) FROM payorch.journal WHERE stream = 'act'") == [(0,)]


async def test_plans_are_forgotten_the_oldest_first_and_so_many_at_once(room: Room) -> None:
    old = [a_plan(expires_at=START + timedelta(minutes=n)) for n in (1, 2, 3)]
    for one in (*old, a_plan()):
        await room.write(one)
    assert isinstance(await room.write(PlansForgotten(before=START + timedelta(minutes=10), limit=2)), Appended)
    left = [await acts.load_plan(room.connection, one.id) for one in old]
    assert [one is not None for one in left] == [False, False, True]


async def test_an_act_is_read_back_as_it_was_at_every_step(room: Room) -> None:
    act = await room.proposed()
    assert await acts.load(room.connection, act.id) == act
    assert await acts.numbered(room.connection, act.id) == (act, 2)
    for changed in (
        act := after(act, state=ActState.APPROVED, decision=replace(APPROVED, reason="fine")),
        act := after(act, state=ActState.RUNNING, progress={"done": 1, "ids": ["dlq_1"]}),
        act := after(act, halt=Halt(by=ANA2, at=START, reason="stop")),
        act := after(act, state=ActState.HALTED, result={"text": "stopped"}, finished_at=START),
    ):
        assert isinstance(await room.enter(changed), Appended)
        assert await acts.load(room.connection, act.id) == changed
    assert await acts.numbered(room.connection, act.id) == (act, 6)
    assert (await verify(room.connection)).whole


async def test_a_review_is_read_back(room: Room) -> None:
    act = await room.proposed(
        wish=replace(WISH, break_glass=True), state=ActState.APPROVED, review=Review(due_at=START + timedelta(days=1))
    )  # fmt: skip
    assert await acts.load(room.connection, act.id) == act
    reviewed = after(act, review=Review(due_at=START + timedelta(days=1), by=BEN, at=START, note="seen"))
    assert isinstance(await room.enter(reviewed), Appended)
    assert await acts.load(room.connection, act.id) == reviewed


async def test_how_far_an_act_has_come_is_a_row_and_no_record(room: Room) -> None:
    act = await room.proposed(draft=replace(DRAFT, people=1), state=ActState.APPROVED)
    running = after(act, state=ActState.RUNNING)
    await room.enter(running)
    far = after(running, progress={"done": 1})
    assert isinstance(await room.write(far), Appended)
    assert await acts.numbered(room.connection, act.id) == (far, 3)


async def test_what_is_wanted_is_found(room: Room) -> None:
    proposed = await room.proposed()
    other = await room.proposed(wish=replace(WISH, subject="pay_2", who=BEN))
    running = await room.proposed(wish=replace(WISH, name=ActName.PAYMENT_VOID), draft=replace(DRAFT, people=1), state=ActState.APPROVED)
    glass = await room.proposed(wish=replace(WISH, subject="pay_3", break_glass=True), state=ActState.APPROVED, review=Review(due_at=START))

    async def ids(what: Filter, **page: Any) -> list[str]:
        found, _ = await acts.find(room.connection, what, **{"limit": 10} | page)
        return [one.id for one in found]

    assert await ids(Filter()) == [glass.id, running.id, other.id, proposed.id]
    assert await ids(Filter(states=(ActState.PROPOSED,))) == [other.id, proposed.id]
    assert await ids(Filter(subject=WISH.subject)) == [running.id, proposed.id]
    assert await ids(Filter(name=ActName.PAYMENT_VOID)) == [running.id]
    assert await ids(Filter(who="ben")) == await ids(Filter(who="Ben Example")) == [other.id]
    assert await ids(Filter(to_review=True)) == [glass.id]
    assert await ids(Filter(), limit=2, after=running.id) == [other.id, proposed.id]
    assert (await acts.find(room.connection, Filter(), limit=2))[1] == running.id
    assert [one.id for one in await acts.unfinished(room.connection, limit=9)] == [running.id, glass.id]
    assert [one.id for one in await acts.overdue(room.connection, proposed.expires_at, limit=1)] == [proposed.id]
    assert await acts.overdue(room.connection, START, limit=9) == []
    assert await acts.by_plan(room.connection, proposed.plan_id) == proposed
    assert await acts.by_key(room.connection, ANA.operator, proposed.key) == proposed
    assert await acts.by_key(room.connection, BEN.operator, proposed.key) is None
    assert await acts.open_one(room.connection, WISH.subject, WISH.name) == proposed
    assert await acts.open_one(room.connection, "pay_9", WISH.name) is None


# --- what is not written ----------------------------------------------------------------------------------------------------------------


async def test_the_same_is_not_asked_for_twice(room: Room) -> None:
    act = await room.proposed()
    elsewhere = replace(WISH, subject="pay_2")
    assert await room.enter(an_act()) == Conflict()  # the same of the same, by whoever
    assert await room.enter(an_act(wish=replace(WISH, who=BEN))) == Conflict()
    assert await room.enter(an_act(wish=elsewhere, plan_id=act.plan_id)) == Conflict()
    assert await room.enter(an_act(wish=elsewhere, key=act.key)) == Conflict()
    assert isinstance(await room.enter(an_act(wish=replace(elsewhere, who=BEN), key=act.key)), Appended)
    await room.enter(after(act, state=ActState.EXPIRED))
    assert isinstance(await room.enter(an_act()), Appended)


async def test_whoever_is_slower_reads_again(room: Room) -> None:
    act = await room.proposed()
    await room.enter(after(act, state=ActState.APPROVED, decision=APPROVED))
    assert await room.write(after(act, state=ActState.EXPIRED)) == Conflict()
    both = [after(an_act(), state=ActState.EXPIRED)]
    assert isinstance(await room.enter(both[0]), Refused)  # nobody asked for it


PROPOSED = an_act()
MINE = replace(APPROVED, by=ANA)


@pytest.mark.parametrize(
    "lonely",
    [
        after(PROPOSED, state=ActState.APPROVED),
        after(PROPOSED, state=ActState.RUNNING),
        after(PROPOSED, state=ActState.DONE),
        after(PROPOSED, state=ActState.FAILED),
        after(PROPOSED, state=ActState.HALTED),
        after(PROPOSED, state=ActState.APPROVED, decision=MINE),
        after(PROPOSED, state=ActState.APPROVED, decision=replace(APPROVED, by=ANA2)),
        after(PROPOSED, state=ActState.APPROVED, decision=replace(APPROVED, by=replace(BEN, operator=ANA.operator))),
        after(PROPOSED, state=ActState.APPROVED, decision=replace(APPROVED, by=replace(BEN, operator=new_id("opr")))),
        after(PROPOSED, state=ActState.APPROVED, decision=replace(MINE, approved=False)),
        an_act(state=ActState.APPROVED),
        an_act(state=ActState.APPROVED, decision=APPROVED),
        an_act(state=ActState.DONE, draft=replace(DRAFT, people=1)),
        an_act(state=ActState.APPROVED, wish=replace(WISH, break_glass=True)),
        an_act(reason="x" * 1001),
        an_act(reason=""),
    ],
)
async def test_what_takes_two_persons_is_nothing_with_one(room: Room, lonely: ActRecord) -> None:
    if lonely.version > 1:
        assert isinstance(await room.enter(PROPOSED), Appended)
    assert isinstance(await room.enter(lonely), Refused)


async def test_what_is_decided_is_not_decided_again(room: Room) -> None:
    act = await room.proposed()
    approved = after(act, state=ActState.APPROVED, decision=APPROVED)
    await room.enter(approved)
    assert await room.enter(after(approved, decision=replace(APPROVED, approved=False), state=ActState.REJECTED)) == Conflict()
    assert await room.enter(after(approved, decision=None, draft=replace(DRAFT, people=1))) == Conflict()
    done = after(approved, state=ActState.DONE)
    assert isinstance(await room.enter(done), Appended)
    assert await room.enter(after(done, state=ActState.RUNNING)) == Conflict()
    assert await acts.load(room.connection, act.id) == done


async def test_one_does_not_review_what_one_did_and_nobody_reviews_twice(room: Room) -> None:
    wish = replace(WISH, break_glass=True)
    act = await room.proposed(wish=wish, state=ActState.APPROVED, review=Review(due_at=START))
    for by in (ANA, ANA2, replace(BEN, operator=ANA.operator)):
        assert isinstance(await room.enter(after(act, review=Review(due_at=START, by=by, at=START, note="n"))), Refused)
    seen = after(act, review=Review(due_at=START, by=BEN, at=START, note="n"))
    assert isinstance(await room.enter(seen), Appended)
    assert await room.enter(after(seen, review=Review(due_at=START))) == Conflict()


@pytest.mark.parametrize(
    "column", ["requested_by", "requested_person", "people", "break_glass", "hash", "subject", "name", "parameters", "draft", "plan_id"]
)
async def test_the_platform_may_not_touch_what_was_asked_for(room: Room, column: str) -> None:
    await room.proposed()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        await room.connection.execute(f"UPDATE payorch.acts SET {column} = {column}, version = version + 1")


@pytest.mark.parametrize(
    "change",
    [
        "people = 1", "break_glass = true, review_due_at = now()", "requested_person = 'Somebody Else'", "subject = 'pay_9'",
        "name = 'payment.void'", "hash = sha256('x')", "parameters = '{}'", "state = 'approved', version = version",
    ],
)  # fmt: skip
async def test_nor_does_the_owner_by_mistake(room: Room, database: Database, change: str) -> None:
    await room.proposed()
    step = "" if "version" in change else ", version = version + 1"
    async with connected(database.owner) as owner:
        with pytest.raises(psycopg.IntegrityError, match="not decided again"):
            await owner.execute(f"UPDATE payorch.acts SET {change}{step}")


# --- corrections ------------------------------------------------------------------------------------------------------------------------


def correction(cause: str, name: str = "CorrectionApproved", payment: str = WISH.subject, sequence: int = 1) -> Entry:
    """Only its name, cause and subject count: nothing but a payment's step has that name in truth."""
    return Entry(
        stream="act", stream_id=payment.replace("pay_", "act_"), sequence=sequence, name=name, at=START, actor="operator:ben", cause=cause
    )


@pytest.mark.parametrize("name", ["CorrectionApproved", "CompensationApproved"])
async def test_a_payment_is_corrected_by_an_act_of_two_persons_and_by_no_other(room: Room, name: str) -> None:
    assert isinstance(await room.write(correction(new_id("act"), name)), Refused)
    act = await room.proposed()
    assert isinstance(await room.write(correction(act.id, name)), Refused)
    approved = after(act, state=ActState.APPROVED, decision=APPROVED)
    await room.enter(approved)
    assert isinstance(await room.write(correction(act.id, name)), Appended)
    await room.enter(after(approved, state=ActState.DONE))
    assert isinstance(await room.write(correction(act.id, name, sequence=2)), Refused)


async def test_nor_by_an_act_that_one_person_did(room: Room) -> None:
    alone = await room.proposed(draft=replace(DRAFT, people=1), state=ActState.APPROVED)
    assert isinstance(await room.write(correction(alone.id)), Refused)
    wish = replace(WISH, subject=new_id("pay"), break_glass=True)
    glass = await room.proposed(wish=wish, state=ActState.APPROVED, review=Review(due_at=START))
    assert isinstance(await room.write(correction(glass.id, payment=wish.subject)), Appended)


@pytest.mark.parametrize("other", [{"subject": new_id("pay")}, {"name": ActName.PAYMENT_REFUND}])
async def test_nor_by_what_two_persons_said_about_something_else(room: Room, other: dict[str, Any]) -> None:
    act = await room.proposed(wish=replace(WISH, **other))
    await room.enter(after(act, state=ActState.APPROVED, decision=APPROVED))
    assert isinstance(await room.write(correction(act.id)), Refused)


@pytest.mark.parametrize(
    "person", ["Ana Example", " ana  example", "ANA\tEXAMPLE", "Ana\u00a0Example", "\uff21na Example", "Ana Exam\u200bple", "Somebody Else"]
)
async def test_one_person_is_one_however_the_name_is_written(room: Room, person: str) -> None:
    """The last is a name that is not the account's."""
    other = Person(operator=new_id("opr"), name="other", person=person)
    row = OperatorRow(id=other.operator, name=other.name, person=person if person != "Somebody Else" else ANA.person, created_at=START)
    change = identities.operator_added(row)
    assert isinstance(await room.write(entries.entry_of(change, sequence=1, at=START, actor="cli:root", cause="c")), Appended)
    assert same_eyes(ANA.person, person) is (person != "Somebody Else")
    act = await room.proposed()
    assert isinstance(await room.enter(after(act, state=ActState.APPROVED, decision=replace(APPROVED, by=other))), Refused)


async def test_the_database_writes_an_id_as_we_do(room: Room) -> None:
    for id in (new_id("pay"), of_name("pay", "a"), of_name("pay", "b")):
        assert await rows_of(room.connection, f"SELECT payorch.identifier_of('pay', '{uuid_of(id)}')") == [(id,)]
