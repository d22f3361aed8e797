"""Operators over HTTP: whose token opens what, and that every refusal is on record without letting anybody fill the journal."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import trio
import trio.testing

from payorch.api.operations.operators import (
    COUNTED_CALLERS,
    RECORDED_AT_MOST,
    REFUSED_AT_MOST,
    USE_NOTED_SECONDS,
    WINDOW_SECONDS,
    Knock,
    OperatorDoor,
)
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.domain.roles import Role
from payorch.keys import KeyKind, MintedKey, digest
from payorch.store.identities import OperatorToken
from payorch.store.items import Appended, Entry, Result
from payorch.store.pool import DatabaseUnavailable
from tests.api.merchant_world import KEY, PEPPER, START, FakeClock, FakeLog, new_id, new_key

ROUTE = "GET /ops/v1/reconciliation/days"


class Gate:
    """The door, and what is behind it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.log = FakeLog()
        self.tokens: dict[str, OperatorToken] = {}
        self.entries: list[Entry] = []
        self.obstacle: Exception | None = None
        self.hangs = False
        self.used: list[str] = []
        self.door = OperatorDoor(
            find=self.find, write=self.write, identifier=new_id, pepper=PEPPER, clock=self.clock, log=self.log,
            idle=timedelta(days=30), used=self.used.append,
        )  # fmt: skip

    async def find(self, lookup_id: str) -> OperatorToken | None:
        return self.tokens.get(lookup_id)

    async def write(self, entry: Entry) -> Result:
        if self.hangs:
            await trio.sleep_forever()
        if self.obstacle is not None:
            raise self.obstacle
        self.entries.append(entry)
        return Appended(len(self.entries))

    def add(self, name: str = "olga", role: Role = Role.OPERATOR, **changes: Any) -> MintedKey:
        key = new_key(KeyKind.OPERATOR)
        self.tokens[key.lookup_id] = OperatorToken(
            lookup_id=key.lookup_id, operator_id=new_id("opr"), operator_name=name, person=f"{name} Person",
            digest=digest(key.text, PEPPER), role=role, created_at=START, expires_at=changes.get("expires_at"),
            revoked_at=changes.get("revoked_at"), used_at=changes.get("used_at"),
        )  # fmt: skip
        return key

    async def knock(self, key: MintedKey | None, least: Role = Role.VIEWER, *, address: str = "10.0.0.1", header: str | None = None) -> Any:
        """The operator, or the code that he is refused with."""
        text = header if header is not None else None if key is None else f"Bearer {key.text.reveal()}"
        headers = [] if text is None else [(b"authorization", text.encode())]
        try:
            return await self.door.operator(Knock(headers=headers, address=address, route=ROUTE, request_id="req_9"), least)
        except Refusal as refusal:
            return refusal.code

    @property
    def told(self) -> Sequence[dict[str, Any]]:
        return [msgspec.json.decode(entry.body) for entry in self.entries]


@pytest.mark.parametrize("least", Role)
@pytest.mark.parametrize("role", Role)
async def test_a_role_opens_what_takes_it_or_a_smaller_one(role: Role, least: Role) -> None:
    gate = Gate()
    key = gate.add("olga", role)
    order = ["viewer", "operator", "approver", "admin"]
    who = await gate.knock(key, least)
    if order.index(role) >= order.index(least):
        assert (who.name, who.person, who.role, who.actor, gate.entries) == ("olga", "olga Person", role, "operator:olga", [])
    else:
        assert who is Code.FORBIDDEN
        (entry,) = gate.entries
        assert (entry.stream, entry.sequence, entry.name, entry.actor, entry.cause) == ("act", 1, "Refused", "operator:olga", "req_9")
        assert gate.told == [{"route": ROUTE, "reason": f"{role} is not {least}", "lookup_id": key.lookup_id, "address": "10.0.0.1"}]


async def test_who_is_refused_and_what_is_recorded_of_it() -> None:
    gate = Gate()
    stranger, mine = new_key(KeyKind.OPERATOR), gate.add()
    other = mine.text.reveal()[:-49] + stranger.text.reveal()[-49:]  # his lookup id, another secret: the checksum does not fit
    revoked, expired = gate.add("amir", revoked_at=START), gate.add("eve", expires_at=START)
    assert await gate.knock(None) is Code.UNAUTHENTICATED
    assert await gate.knock(None, header="Basic abc") is Code.UNAUTHENTICATED
    assert await gate.knock(None, header=f"Bearer {other}") is Code.UNAUTHENTICATED
    assert await gate.knock(stranger) is Code.UNAUTHENTICATED
    assert await gate.knock(revoked) is Code.UNAUTHENTICATED
    assert await gate.knock(expired) is Code.UNAUTHENTICATED
    assert await gate.knock(KEY) is Code.FORBIDDEN
    assert [(one["reason"], one["lookup_id"]) for one in gate.told] == [
        ("no token", None),
        ("no token", None),
        ("no token of ours", None),
        ("not a token that exists", stranger.lookup_id),
        ("revoked or expired", revoked.lookup_id),
        ("revoked or expired", expired.lookup_id),
        ("a merchant's key", KEY.lookup_id),
    ]
    assert [entry.actor for entry in gate.entries] == [*["unknown"] * 4, "operator:amir", "operator:eve", "unknown"]
    secrets = [key.text.reveal()[-49:] for key in (stranger, mine, revoked, expired, KEY)]
    assert not any(secret in str(gate.entries) or secret in str(gate.log.lines) for secret in secrets)


async def test_another_secret_behind_a_known_lookup_id_opens_nothing() -> None:
    gate = Gate()
    key, other = gate.add(), new_key(KeyKind.OPERATOR)
    gate.tokens[other.lookup_id] = gate.tokens[key.lookup_id]
    assert await gate.knock(other) is Code.UNAUTHENTICATED
    assert gate.entries[0].actor == "unknown"


async def test_it_is_live_until_its_time_is_over() -> None:
    gate = Gate()
    key = gate.add(expires_at=START + timedelta(seconds=1))
    assert (await gate.knock(key)).name == "olga"
    gate.clock.at = START + timedelta(seconds=1)
    assert await gate.knock(key) is Code.UNAUTHENTICATED


async def test_guessing_ends_at_a_lock_that_shuts_nobody_else_out(autojump_clock: trio.testing.MockClock) -> None:
    gate = Gate()
    key = gate.add()
    for _ in range(REFUSED_AT_MOST):
        assert await gate.knock(new_key(KeyKind.OPERATOR)) is Code.UNAUTHENTICATED
    for _ in range(50):
        assert await gate.knock(new_key(KeyKind.OPERATOR)) is Code.RATE_LIMITED
    assert len(gate.entries) == REFUSED_AT_MOST
    assert (await gate.knock(key)).name == "olga"  # behind the same proxy
    assert await gate.knock(new_key(KeyKind.OPERATOR), address="10.0.0.2") is Code.UNAUTHENTICATED
    await trio.sleep(WINDOW_SECONDS)
    assert await gate.knock(new_key(KeyKind.OPERATOR)) is Code.UNAUTHENTICATED
    assert len(gate.entries) == REFUSED_AT_MOST + 2


async def test_one_lookup_id_from_many_addresses_is_locked_too(autojump_clock: trio.testing.MockClock) -> None:
    gate = Gate()
    viewer = gate.add("vera", Role.VIEWER)
    codes = [await gate.knock(viewer, Role.ADMIN, address=f"10.0.1.{n}") for n in range(REFUSED_AT_MOST + 5)]
    assert codes == [Code.FORBIDDEN] * REFUSED_AT_MOST + [Code.RATE_LIMITED] * 5
    assert (await gate.knock(viewer)).name == "vera"


async def test_many_guessers_cannot_fill_the_journal_or_the_memory(autojump_clock: trio.testing.MockClock) -> None:
    gate = Gate()
    for n in range(COUNTED_CALLERS + 10):
        assert await gate.knock(None, address=f"address {n}") is Code.UNAUTHENTICATED
    assert len(gate.entries) == RECORDED_AT_MOST
    assert len(gate.log.lines) == COUNTED_CALLERS + 10
    assert len(gate.door._refusals._counts) <= COUNTED_CALLERS


@pytest.mark.parametrize("hangs", [False, True])
async def test_a_no_does_not_hang_on_the_database(hangs: bool, autojump_clock: trio.testing.MockClock) -> None:
    gate = Gate()
    gate.obstacle, gate.hangs = DatabaseUnavailable("gone"), hangs
    with trio.fail_after(6):
        assert await gate.knock(new_key(KeyKind.OPERATOR)) is Code.UNAUTHENTICATED
    assert [event for event, _ in gate.log.lines] == ["operator.refused", "operator.refusal_not_recorded"]


async def test_a_token_that_nobody_uses_is_locked_and_says_so_to_its_owner() -> None:
    gate = Gate()
    gate.clock.at = START + timedelta(days=60)
    idle, used = gate.add("olga"), gate.add("amir", used_at=START + timedelta(days=30))
    assert await gate.knock(idle) is Code.UNAUTHENTICATED
    assert (await gate.knock(used)).name == "amir"
    gate.clock.at += timedelta(seconds=1)
    assert await gate.knock(used) is Code.UNAUTHENTICATED
    assert [one["reason"] for one in gate.told] == ["not used for too long"] * 2
    assert [entry.actor for entry in gate.entries] == ["operator:olga", "operator:amir"]
    headers = [(b"authorization", f"Bearer {idle.text.reveal()}".encode())]
    with pytest.raises(Refusal) as refusal:
        await gate.door.operator(Knock(headers=headers, address="10.0.0.1", route=ROUTE, request_id="req_9"), Role.VIEWER)
    assert f"payorch operators tokens unlock {idle.lookup_id}" in str(refusal.value.problem("req_9").as_json())
    # Whoever knows the lookup id alone learns nothing of it.
    other = new_key(KeyKind.OPERATOR)
    gate.tokens[other.lookup_id] = gate.tokens[idle.lookup_id]
    assert await gate.knock(other) is Code.UNAUTHENTICATED
    assert gate.told[-1]["reason"] == "not a token that exists"


async def test_a_use_is_told_once_an_hour(autojump_clock: trio.testing.MockClock) -> None:
    gate = Gate()
    fresh, old = gate.add("olga", used_at=START - timedelta(minutes=59)), gate.add("amir", used_at=START - timedelta(minutes=61))
    never = gate.add("eve")
    for key in (fresh, old, never, old, never):
        await gate.knock(key)
    assert gate.used == [old.lookup_id, never.lookup_id]
    await trio.sleep(USE_NOTED_SECONDS)
    await gate.knock(old)  # nobody could write it down
    assert gate.used[2:] == [old.lookup_id]
    await gate.knock(new_key(KeyKind.OPERATOR))
    assert len(gate.used) == 3
