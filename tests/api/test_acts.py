"""Plans and acts over HTTP: a dry run, an act with a reason, and a second person who sees what it comes to now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from actors.mailbox import AskTimeout
from payorch.api.problems import Code
from payorch.domain.acts import Act, ActState, Check, Performed, Proof
from payorch.domain.money import Money
from payorch.domain.roles import Role
from payorch.keys import MintedKey
from payorch.operations.planner import Progress
from payorch.store.journal import JournalUnavailable
from tests.api.act_world import NOT_NOW, a_draft
from tests.api.merchant_world import START, World, new_id
from tests.api.webhook_calls import check, refused, send

PLANS, ACTIONS = "/ops/v1/plans", "/ops/v1/actions"
RESYNC = {"action": "payment.resync", "subject": "pay_1"}


class Room:
    """The world, with Ana who asks, Ben who approves, and Olga who may do neither of two things alone."""

    def __init__(self) -> None:
        self.world = World()
        self.acting = self.world.acting
        operator = self.world.reconciling.operator
        self.ana, self.ben = operator(Role.APPROVER, "ana"), operator(Role.APPROVER, "ben")
        self.olga, self.vera = operator(Role.OPERATOR, "olga"), operator(Role.VIEWER, "vera")

    def finds(self, **changes: Any) -> None:
        self.acting.planner.draft = a_draft(**changes)

    async def post(self, path: str, body: Any, key: MintedKey | None = None, **how: Any) -> Any:
        return await send(self.world, "POST", path, body, key=key or self.ana, **how)

    async def get(self, path: str, key: MintedKey | None = None) -> Any:
        return await self.world.call("GET", path, key=key or self.ana)

    async def plan(self, key: MintedKey | None = None, **changes: Any) -> Any:
        answer = await self.post(PLANS, RESYNC | changes, key)
        assert answer.status_code == 201, answer.raw
        return answer.seen

    async def ask(self, plan: Any, key: MintedKey | None = None, *, idempotency: str | None = None, **headers: str) -> Any:
        some = {"Idempotency-Key": idempotency or f"key of {plan['id']}"} | {name.replace("_", "-"): text for name, text in headers.items()}
        return await self.post(ACTIONS, {"plan": plan["id"], "reason": " INC-1 "}, key, headers=some)

    async def proposed(self, key: MintedKey | None = None, **changes: Any) -> Any:
        answer = await self.ask(await self.plan(key, **changes), key)
        assert (answer.status_code, answer.seen["state"]) == (201, "proposed"), answer.raw
        return answer.seen

    async def say(self, act: Any, what: str, key: MintedKey | None = None, **body: Any) -> Any:
        return await self.post(f"{ACTIONS}/{act['id']}/{what}", body, key)

    async def approve(self, act: Any, key: MintedKey | None = None, **body: Any) -> Any:
        return await self.say(act, "approve", key or self.ben, **{"hash": act["hash"]} | body)

    def told(self, name: str) -> list[dict[str, Any]]:
        return [{"actor": one.actor, **msgspec.json.decode(one.body)} for one in self.acting.store.told(name)]


# --- plans ------------------------------------------------------------------------------------------------------------------------------


async def test_a_plan_says_what_would_happen_and_changes_nothing() -> None:
    room = Room()
    room.finds(
        people=2, amount=Money(24900, "EUR"), checks=(Check(what="evidence", holds=True, binds=True),),
        proofs=(Proof(reference="ntc_1", at=START, text="captured"),),
    )  # fmt: skip
    plan = await room.plan(room.olga)
    check(plan, "PlanShape")
    assert (plan["allowed"], plan["people"], plan["made_by"]) == (True, 2, "olga")
    assert plan["amount"] == {"amount": 24900, "currency": "EUR"}
    assert plan["expires_at"] == "2026-03-01T12:30:00.000Z"
    assert room.acting.store.entries == []
    assert room.acting.planner.performed == []


@pytest.mark.parametrize(
    ("wish", "pointer"),
    [
        ({"action": "payment.steal"}, "/action"),
        ({"subject": ""}, "/subject"),
        ({"parameters": {"amount": 5}}, "/parameters/amount"),
        ({"action": "payment.capture", "parameters": {"amount": -1}}, "/parameters/amount"),
        ({"action": "payment.resolve", "parameters": {"to": "CAPTURED"}}, "/parameters/evidence"),
        ({"more": 1}, "/more"),
        ({"break_glass": "yes"}, "/break_glass"),
    ],
)
async def test_a_wish_that_makes_no_sense_is_refused_with_its_place(wish: dict[str, Any], pointer: str) -> None:
    room = Room()
    refused(await room.post(PLANS, RESYNC | wish), 422, Code.VALIDATION_FAILED, pointer)
    assert room.acting.store.plans == {}


async def test_what_is_not_there_is_not_planned() -> None:
    refused(await Room().post(PLANS, RESYNC | {"subject": "nowhere"}), 404, Code.NOT_FOUND)


async def test_a_role_that_is_too_small_for_the_action_is_told_so_and_recorded() -> None:
    room = Room()
    wish = {"action": "settlement.reopen_day", "subject": "2026-03-01/psp_one/EUR"}
    refused(await room.post(PLANS, wish, room.olga), 403, Code.FORBIDDEN)
    refused(await room.post(PLANS, RESYNC | {"break_glass": True}, room.olga), 403, Code.FORBIDDEN)
    told = room.told("Refused")
    assert [(one["actor"], one["route"], one["code"], one["action"]) for one in told] == [
        ("operator:olga", "POST /ops/v1/plans", "forbidden", "settlement.reopen_day"),
        ("operator:olga", "POST /ops/v1/plans", "forbidden", "payment.resync"),
    ]


# --- one person -------------------------------------------------------------------------------------------------------------------------


async def test_what_takes_one_person_is_done_when_it_is_asked_for() -> None:
    room = Room()
    answer = await room.ask(await room.plan(room.olga), room.olga)
    assert answer.status_code == 201
    act = answer.seen
    check(act, "ActionShape")
    assert (act["state"], act["reason"], act["result"]) == ("done", "INC-1", {"text": "it is done", "act": act["id"]})
    assert (act["mine"], act["may_approve"], act["decision"], act["possible"]) == (True, False, None, [])
    [performed] = room.acting.planner.performed
    assert (performed.id, performed.reason, performed.requested_by.name, performed.approved_by) == (act["id"], "INC-1", "olga", None)
    assert [(one.name, one.sequence, one.actor) for one in room.acting.store.entries] == [
        ("Ordered", 1, "operator:olga"),
        ("Started", 2, "system"),
        ("Finished", 3, "system"),
    ]


async def test_the_same_key_or_plan_again_is_answered_with_the_first_act() -> None:
    room = Room()
    plan = await room.plan()
    first = await room.ask(plan, idempotency="k")
    again, otherwise = await room.ask(plan, idempotency="k"), await room.ask(plan, idempotency="l")
    assert first.seen["id"] == again.seen["id"] == otherwise.seen["id"]
    assert [one.headers.get("Idempotency-Replayed") for one in (first, again, otherwise)] == [None, "true", "true"]
    refused(await room.ask(await room.plan(subject="pay_2"), idempotency="k"), 422, Code.IDEMPOTENCY_KEY_REUSED)
    assert len(room.acting.planner.performed) == 1


async def test_the_plan_of_another_is_not_acted_upon() -> None:
    room = Room()
    plan = await room.plan()
    refused(await room.ask(plan, room.ben), 403, Code.FORBIDDEN)
    await room.ask(plan)
    refused(await room.ask(plan, room.ben), 403, Code.FORBIDDEN)
    assert [one["plan"] for one in room.told("Refused")] == [plan["id"], plan["id"]]


async def test_what_has_changed_since_is_shown_anew_and_can_be_asked_for_then() -> None:
    room = Room()
    plan = await room.plan()
    room.finds(version="2")
    problem = refused(await room.ask(plan), 412, Code.PLAN_CHANGED)
    assert problem["plan"]["version"] == "2"
    assert problem["plan"]["hash"] != plan["hash"]
    check(problem["plan"], "PlanShape")
    check(problem, "ProblemShape")
    assert (await room.ask(problem["plan"])).seen["state"] == "done"
    assert [(one["code"], one["plan"]) for one in room.told("Refused")] == [("plan_changed", plan["id"])]


async def test_if_match_names_the_plan_that_was_seen() -> None:
    room = Room()
    plan = await room.plan()
    refused(await room.ask(plan, If_Match='"soon"'), 400, Code.VALIDATION_FAILED)
    refused(await room.ask(plan, If_Match=f'"{"0" * 64}"'), 412, Code.PLAN_CHANGED)
    assert (await room.ask(plan, If_Match=f'"{plan["hash"]}"')).status_code == 201


async def test_a_plan_that_is_too_old_is_not_acted_upon() -> None:
    room = Room()
    plan = await room.plan()
    room.world.clock.at = START + timedelta(minutes=30)
    refused(await room.ask(plan), 410, Code.PLAN_EXPIRED)
    refused(await room.ask({"id": new_id("pln")}), 404, Code.NOT_FOUND)
    refused(await room.ask({"id": "pln_nonsense"}), 404, Code.NOT_FOUND)


async def test_what_may_not_be_done_now_is_a_plan_and_no_act() -> None:
    room = Room()
    room.finds(objections=(NOT_NOW,))
    plan = await room.plan()
    assert (plan["allowed"], plan["objections"]) == (False, [{"code": "not_now", "why": "It is the wrong hour."}])
    problem = refused(await room.ask(plan), 409, Code.OPERATION_NOT_ALLOWED)
    assert problem["objections"] == plan["objections"]
    assert room.acting.store.acts == {}
    assert [one["code"] for one in room.told("Refused")] == ["operation_not_allowed"]


async def test_what_takes_long_goes_on_without_whoever_asked() -> None:
    room = Room()
    room.acting.idle = True
    room.acting.desk._within_seconds = 0.0
    answer = await room.ask(await room.plan())
    assert (answer.status_code, answer.seen["state"]) == (202, "approved")
    refused(await room.ask(await room.plan()), 409, Code.ACTION_OPEN)
    await room.acting.errand.carry_out(answer.seen["id"])
    assert (await room.get(f"{ACTIONS}/{answer.seen['id']}")).seen["state"] == "done"


@pytest.mark.parametrize(
    ("body", "pointer"), [({"reason": "  "}, "/reason"), ({"reason": "x" * 1001}, "/reason"), ({"reason": "x", "force": True}, "/force")]
)
async def test_an_act_has_a_reason_and_nothing_else(body: dict[str, Any], pointer: str) -> None:
    room = Room()
    plan = await room.plan()
    refused(await room.post(ACTIONS, {"plan": plan["id"]} | body, headers={"Idempotency-Key": "k"}), 422, Code.VALIDATION_FAILED, pointer)
    refused(await room.post(ACTIONS, {"plan": plan["id"], "reason": "x"}), 400, Code.IDEMPOTENCY_KEY_MISSING)


async def test_what_is_not_certain_is_said_so_and_repeated_with_the_same_key() -> None:
    room = Room()
    plan = await room.plan()
    room.acting.store.obstacles.append(JournalUnavailable("away"))
    surely = await room.ask(plan)
    assert (surely.status_code, surely.seen["money_moved"]) == (503, "no")
    room.acting.store.obstacles.append(AskTimeout("journal", 60))
    lost = await room.ask(plan)
    assert (lost.status_code, lost.seen["money_moved"]) == (503, "unknown")
    assert (await room.ask(plan)).seen["state"] == "done"


# --- two persons ------------------------------------------------------------------------------------------------------------------------


async def test_two_persons() -> None:
    room = Room()
    room.finds(people=2)
    act = await room.proposed(room.olga)
    assert (act["mine"], act["may_approve"], act["possible"]) == (True, False, ["approve", "reject"])
    assert room.acting.planner.performed == []
    shown = (await room.get(f"{ACTIONS}/{act['id']}", room.ben)).seen
    check(shown, "OneActionShape")
    assert (shown["mine"], shown["may_approve"], shown["why_not_approve"], shown["changed"]) == (False, True, None, False)
    assert shown["plan_now"]["hash"] == act["hash"]
    answer = await room.approve(act, hash=shown["plan_now"]["hash"])
    assert (answer.status_code, answer.seen["state"], answer.seen["decision"]) == (200, "done", "approved")
    assert answer.seen["decided_by"] == {"name": "ben", "person": "ben"}
    [performed] = room.acting.planner.performed
    assert performed.approved_by is not None
    assert (performed.requested_by.name, performed.approved_by.name) == ("olga", "ben")
    assert [one.name for one in room.acting.store.entries] == ["Proposed", "Approved", "Started", "Finished"]
    refused(await room.approve(act), 409, Code.OPERATION_NOT_ALLOWED)


async def test_whoever_asked_cannot_approve_whatever_account_or_token_he_uses() -> None:
    room = Room()
    room.finds(people=2)
    operator = room.world.reconciling.operator
    first = operator(Role.APPROVER, "ana1", person="Ana Example", operator_id=(account := new_id("opr")))
    others = {
        "another token": operator(Role.APPROVER, "ana1", person="Ana Example", operator_id=account),
        "another account": operator(Role.ADMIN, "ana2", person="Ana Example"),
        "another spelling": operator(Role.ADMIN, "ana3", person=" ana  EXAMPLE"),
        "an account that was renamed": operator(Role.APPROVER, "ben1", person="Ana Example", operator_id=account),
        "an account that was edited to be somebody else's": operator(Role.APPROVER, "ben1", person="Ben Example", operator_id=account),
    }
    act = await room.proposed(first)
    for key in (first, *others.values()):
        answer = await room.approve(act, key)
        refused(answer, 403, Code.SAME_PERSON)
        assert answer.seen["detail"].startswith("ana1 asked for it"), "a name is written as it is"
    told = room.told("Refused")
    assert [(one["code"], one["act"], one["route"]) for one in told] == [
        ("same_person", act["id"], "POST /ops/v1/actions/<act_id>/approve")
    ] * 6
    assert room.acting.planner.performed == []
    assert (await room.approve(act)).seen["state"] == "done"


async def test_approving_takes_an_approver() -> None:
    room = Room()
    room.finds(people=2)
    act = await room.proposed()
    refused(await room.approve(act, room.olga), 403, Code.FORBIDDEN)
    refused(await room.approve(act, room.vera), 403, Code.FORBIDDEN)
    assert [one["act"] for one in room.told("Refused")] == [act["id"]]
    refused(await room.approve({"id": new_id("act"), "hash": act["hash"]}), 404, Code.NOT_FOUND)


async def test_what_changed_since_it_was_asked_for_is_refused_for_good() -> None:
    room = Room()
    room.finds(people=2)
    act = await room.proposed()
    room.finds(people=2, version="2")
    shown = (await room.get(f"{ACTIONS}/{act['id']}", room.ben)).seen
    assert shown["changed"] is True
    refused(await room.approve(act, hash=shown["plan_now"]["hash"]), 412, Code.PLAN_CHANGED)
    after = (await room.get(f"{ACTIONS}/{act['id']}")).seen
    assert (after["state"], after["decision"], after["plan_now"]) == ("refused", None, None)
    assert room.acting.planner.performed == []
    assert [one["code"] for one in room.told("Refused")] == ["plan_changed", "plan_changed"]  # the act's own, and the approver's


async def test_an_approver_says_which_plan_he_saw() -> None:
    room = Room()
    room.finds(people=2)
    act = await room.proposed()
    refused(await room.approve(act, hash="0" * 64), 412, Code.PLAN_CHANGED)
    refused(await room.approve(act, hash="zz"), 422, Code.VALIDATION_FAILED, "/hash")
    assert (await room.approve(act)).seen["state"] == "done"


async def test_a_proposal_expires() -> None:
    room = Room()
    room.finds(people=2)
    act = await room.proposed()
    room.world.clock.at = START + timedelta(minutes=30)
    refused(await room.approve(act), 410, Code.PLAN_EXPIRED)
    assert (await room.get(f"{ACTIONS}/{act['id']}")).seen["state"] == "expired"
    assert [one["actor"] for one in room.told("Expired")] == ["system"]
    assert [one["actor"] for one in room.told("Refused")] == ["operator:ben"]


async def test_rejecting() -> None:
    room = Room()
    room.finds(people=2)
    operator = room.world.reconciling.operator
    act = await room.proposed(room.olga)
    refused(await room.say(act, "reject", operator(Role.OPERATOR, "otto"), reason="no"), 403, Code.FORBIDDEN)
    answer = await room.say(act, "reject", room.ben, reason="not today")
    assert (answer.status_code, answer.seen["state"], answer.seen["decision"]) == (200, "rejected", "rejected")
    assert answer.seen["decision_reason"] == "not today"
    refused(await room.approve(act), 409, Code.OPERATION_NOT_ALLOWED)
    mine = await room.proposed(room.olga)
    assert (await room.say(mine, "reject", room.olga, reason="a mistake")).seen["state"] == "rejected"


# --- with the glass broken --------------------------------------------------------------------------------------------------------------


async def test_one_person_alone_with_the_glass_broken_is_reviewed_by_another() -> None:
    room = Room()
    room.finds(people=2)
    plan = await room.plan(break_glass=True)
    act = (await room.ask(plan)).seen
    assert (act["state"], act["people"], act["break_glass"]) == ("done", 2, True)
    assert act["review"] == {"due_at": "2026-03-02T12:00:00.000Z", "by": None, "at": None, "note": None}
    [(event, page)] = room.acting.alarm.pages
    assert (event, page["act"], page["actor"]) == ("operations.glass_broken", act["id"], "operator:ana")
    assert [one.name for one in room.acting.store.entries] == ["GlassBroken", "Started", "Finished"]
    assert [one["id"] for one in (await room.get(f"{ACTIONS}?review=due")).seen["data"]] == [act["id"]]
    refused(await room.say(act, "review", room.ana, note="fine"), 403, Code.SAME_PERSON)
    refused(await room.say(act, "review", room.olga, note="fine"), 403, Code.FORBIDDEN)
    reviewed = (await room.say(act, "review", room.ben, note="fine")).seen
    assert (reviewed["review"]["by"], reviewed["review"]["note"]) == ({"name": "ben", "person": "ben"}, "fine")
    refused(await room.say(act, "review", room.ben, note="fine"), 409, Code.OPERATION_NOT_ALLOWED)
    assert (await room.get(f"{ACTIONS}?review=due")).seen["data"] == []


async def test_glass_is_not_broken_for_what_takes_one_person() -> None:
    room = Room()
    plan = await room.plan(break_glass=True)
    assert [one["code"] for one in plan["objections"]] == ["no_glass_to_break"]
    refused(await room.ask(plan), 409, Code.OPERATION_NOT_ALLOWED)


# --- while it runs ----------------------------------------------------------------------------------------------------------------------


async def test_a_long_act_is_stopped_after_the_step_that_it_is_in() -> None:
    room = Room()

    async def replay(act: Act, progress: Progress) -> Performed:
        await progress({"total": 3, "done": 1, "ok": 1, "failed": 0, "text": "1 of 3", "ids": ["dlq_1"]})
        answer = await room.say({"id": act.id}, "halt", room.ben, reason="wrong group")
        assert answer.status_code == 202
        await progress({"total": 3, "done": 2, "ok": 2, "failed": 0, "text": "2 of 3", "ids": ["dlq_1"]})
        raise AssertionError("it was to stop")

    room.acting.planner.behave = replay
    room.acting.desk._within_seconds = 0.0
    room.acting.idle = True
    act = (await room.ask(await room.plan(action="dead_letter.replay", subject="f"))).seen
    answer = await room.say(act, "halt", reason="x")
    refused(answer, 409, Code.OPERATION_NOT_ALLOWED)
    assert answer.seen["detail"].startswith("It is "), "and a sentence begins with a capital"
    await room.acting.errand.carry_out(act["id"])
    after = (await room.get(f"{ACTIONS}/{act['id']}")).seen
    check(after, "OneActionShape")
    assert (after["state"], after["result"]) == ("halted", {"text": "stopped by ben: wrong group"})
    assert after["progress"] == {"total": 3, "done": 2, "ok": 2, "failed": 0, "canary": None, "text": "2 of 3"}
    refused(await room.say(act, "halt", reason="x"), 409, Code.OPERATION_NOT_ALLOWED)


# --- lists ------------------------------------------------------------------------------------------------------------------------------


async def test_lists() -> None:
    room = Room()
    one = (await room.ask(await room.plan())).seen["id"]
    room.finds(people=2)
    two = (await room.proposed(room.olga, subject="pay_2"))["id"]
    three = (await room.proposed(subject="pay_3", action="payment.void"))["id"]

    async def ids(query: str = "") -> list[str]:
        answer = await room.get(f"{ACTIONS}{query}", room.vera)
        assert answer.status_code == 200, answer.raw
        check(answer.seen, "ActionList")
        return [act["id"] for act in answer.seen["data"]]

    assert await ids() == [three, two, one]
    assert await ids("?state=done,failed") == [one]
    assert await ids("?open=true") == [three, two]
    assert await ids("?open=true&state=done") == []
    assert await ids("?subject=pay_2") == await ids("?who=olga") == [two]
    assert await ids("?action=payment.void") == [three]
    assert await ids(f"?limit=1&cursor={three}") == [two]
    for wrong in ("state=nice", "open=yes", "review=1", "action=x", "limit=6", "cursor=x", "colour=red"):
        refused(await room.get(f"{ACTIONS}?{wrong}"), 400, Code.VALIDATION_FAILED, f"/{wrong.partition('=')[0]}")
    refused(await room.get(f"{ACTIONS}/{new_id('act')}"), 404, Code.NOT_FOUND)
    refused(await room.get(f"{ACTIONS}/pay_1"), 404, Code.NOT_FOUND)


async def test_what_an_act_is_about_may_be_gone() -> None:
    room = Room()
    room.finds(people=2)
    act = await room.proposed()
    stored = room.acting.store.acts[act["id"]]
    room.acting.store.acts[act["id"]] = replace(stored, wish=replace(stored.wish, subject="nowhere"))
    shown = (await room.get(f"{ACTIONS}/{act['id']}")).seen
    assert (shown["plan_now"], shown["changed"]) == (None, True)
    refused(await room.approve(act), 412, Code.PLAN_CHANGED)
    assert room.acting.store.acts[act["id"]].state is ActState.REFUSED
