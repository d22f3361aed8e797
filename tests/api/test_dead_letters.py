"""Dead letters over HTTP: any operator may look, and sees what may be asked for."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from payorch.api.problems import Code
from payorch.domain.roles import Role
from payorch.store.act_reads import ReplayAct
from payorch.store.dead_letters import Filter, Group
from payorch.store.items import DeadLetter, DeadLetterKind, DeadLetterState
from tests.api.merchant_world import KEY, START, World, new_id
from tests.api.webhook_calls import check, refused

LIST = "/ops/v1/dead-letters"
FINGERPRINT = "webhook_in/psp_one/no_payment/payment.done"


def a_letter(**changes: Any) -> DeadLetter:
    letter = DeadLetter(
        id=new_id("dlq"), kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one", subject=b'{"notice": "ntc_x"}', reason_class="no_payment",
        reason="nothing that it names is known here", fingerprint=FINGERPRINT, payload='{"amount": 1999}', attempts=13,
        first_failed_at=START, last_failed_at=START + timedelta(days=3),
    )  # fmt: skip
    return replace(letter, **changes)


async def look(world: World, path: str, role: Role = Role.VIEWER) -> Any:
    return await world.call("GET", path, key=world.reconciling.operator(role))


@pytest.mark.parametrize("role", Role)
async def test_any_operator_may_look_and_no_merchant(role: Role) -> None:
    world = World()
    letter = a_letter()
    world.letters.letters = [letter]
    for path in (LIST, f"{LIST}?group=fingerprint", f"{LIST}/{letter.id}"):
        assert (await look(world, path, role)).status_code == 200
        refused(await world.call("GET", path, key=KEY), 403, Code.FORBIDDEN)
        refused(await world.call("GET", path, key=None), 401, Code.UNAUTHENTICATED)


async def test_a_page_of_letters() -> None:
    world = World()
    world.letters.letters = [a_letter() for _ in range(3)]
    payment = new_id("pay")
    asked = f"{LIST}?state=open&kind=webhook_in&origin=psp_one&reason_class=no_payment&payment_id={payment}&fingerprint={FINGERPRINT}"
    page = (await look(world, f"{asked}&limit=2")).seen
    check(page, "DeadLetterList")
    assert [one["id"] for one in page["data"]] == [one.id for one in world.letters.letters[:2]]
    assert page["next_cursor"] == world.letters.letters[1].id
    assert "payload" not in page["data"][0], "contents are shown one by one"
    await look(world, f"{LIST}?cursor={page['next_cursor']}")
    what = Filter(
        state=DeadLetterState.OPEN, kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one", reason_class="no_payment", fingerprint=FINGERPRINT,
        payment_id=payment,
    )  # fmt: skip
    assert world.letters.asked == [(what, 2, None), (Filter(), 50, page["next_cursor"])]


async def test_letters_that_failed_alike() -> None:
    world = World()
    world.letters.groups = [
        Group(fingerprint=fingerprint, kind=DeadLetterKind.WEBHOOK_IN, origin="psp_one", reason_class="no_payment", letters=31, open=29,
              first_failed_at=START, last_failed_at=START, example=new_id("dlq"))
        for fingerprint in (FINGERPRINT, "another")
    ]  # fmt: skip
    act = new_id("act")
    world.letters.replays = {FINGERPRINT: ReplayAct(id=act, at=START, ok=2, failed=1, halted=True)}
    page = (await look(world, f"{LIST}?group=fingerprint&state=open")).seen
    check(page, "DeadLetterList")
    first, second = page["data"]
    assert (first["object"], first["letters"], first["open"]) == ("dead_letter_group", 31, 29)
    assert first["last_replay"] == {"act_id": act, "at": "2026-03-01T12:00:00.000Z", "ok": 2, "failed": 1, "halted": True}
    assert (second["last_replay"], page["next_cursor"]) == (None, None)


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("state=closed", "/state"),
        ("kind=letter", "/kind"),
        ("group=origin", "/group"),
        ("payment_id=pay_1", "/payment_id"),
        ("limit=201", "/limit"),
        ("cursor=pay_1", "/cursor"),
        ("group=fingerprint&cursor={letter}", "/cursor"),
        ("colour=red", "/colour"),
    ],
)
async def test_what_is_not_understood_is_refused(query: str, pointer: str) -> None:
    query = query.format(letter=new_id("dlq"))
    refused(await look(World(), f"{LIST}?{query}"), 400, Code.VALIDATION_FAILED, pointer)


async def test_one_letter_is_shown_with_what_may_be_done() -> None:
    world = World()
    letter = a_letter()
    world.letters.letters = [letter]
    seen = (await look(world, f"{LIST}/{letter.id}", Role.OPERATOR)).seen
    check(seen, "WholeDeadLetterShape")
    assert (seen["payload"], seen["subject"]) == ('{"amount": 1999}', {"notice": "ntc_x"})
    assert seen["actions"] == [
        {"action": "dead_letter.replay", "verb": "replay", "allowed": True, "why_not": None, "people": 1, "subject": letter.id},
        {"action": "dead_letter.discard", "verb": "discard", "allowed": True, "why_not": None, "people": 2, "subject": letter.id},
    ]
    refused(await look(world, f"{LIST}/{new_id('dlq')}"), 404, Code.NOT_FOUND)
    refused(await look(world, f"{LIST}/pay_1"), 404, Code.NOT_FOUND)


@pytest.mark.parametrize(
    ("changes", "role", "whys"),
    [
        ({}, Role.VIEWER, ["this takes the role operator, and you have the role viewer"] * 2),
        ({"state": DeadLetterState.DISCARDED}, Role.ADMIN, ["it is discarded already"] * 2),
        ({"kind": DeadLetterKind.SETTLEMENT_ROW}, Role.ADMIN, ["the report is not kept", None]),
    ],
)
async def test_what_may_not_be_done_says_why(changes: dict[str, Any], role: Role, whys: list[str | None]) -> None:
    world = World()
    world.letters.letters = [a_letter(**changes)]
    seen = (await look(world, f"{LIST}/{world.letters.letters[0].id}", role)).seen
    for action, why in zip(seen["actions"], whys, strict=True):
        assert action["allowed"] is (why is None)
        assert (why or "") in (action["why_not"] or "")
