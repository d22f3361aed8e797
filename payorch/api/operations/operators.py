"""Which operator asks: from the Authorization header of a call under /ops/v1 to a person with a role, or to a refusal that is recorded.

A token is found by its lookup id and compared as a digest, on every request, so that a revocation takes effect at once. Every refusal is an
entry of the journal (`Refused`), which names the lookup id and never the token. Whoever keeps being refused is told to wait, and what he
sends meanwhile is not recorded: guessing cannot fill the journal. The lock is for that and for nothing else. A token has 256 random bits,
which nobody guesses, so a right one opens at any time, and nobody can lock an operator out by knowing his lookup id or sharing his address.
A token that nobody has used for long is locked all the same, until an admin unlocks it: that is said only to whoever presents it whole.

Not here: making and revoking tokens (`payorch.access`), what any call does, merchants (`auth`).
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeAlias, final

import msgspec
import trio
from quart import g, request

from payorch.api.answering import OUT_OF_REACH
from payorch.api.headers import HeaderRefused, Headers, bearer_token
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.api.surroundings import Log
from payorch.domain.roles import Role
from payorch.keys import KeyKind, KeyMalformed, matches, parse
from payorch.ports import Clock
from payorch.store.identities import OperatorToken
from payorch.store.items import Entry, Result

REFUSED_AT_MOST: Final = 10
"""Refusals of one lookup id, or of one client's address, within the window. A person mistypes a few times, a program that is wrong stays
wrong; one more is answered 429."""
WINDOW_SECONDS: Final = 600.0
RECORDED_AT_MOST: Final = 200
"""Refusals of all together that are recorded within the window: some ten lookup ids and addresses at once, every one of them to its limit.
More is an attack from many addresses: it is in the log, and refused, and no longer in the journal."""
COUNTED_CALLERS: Final = 4096
"""Lookup ids and addresses that are counted at once, some 1 MB. One more throws the oldest count out."""
RECORDED_WITHIN_SECONDS: Final = 5.0
"""How long a refusal waits for its record to be durable. Then it is answered all the same: a no must not hang on the database."""

_NOT_A_TOKEN: Final = "The token in the Authorization header is not one of this platform, or is revoked or expired."
_A_MERCHANTS_KEY: Final = "This is a merchant's key, and this call takes an operator's token."
_IDLE: Final = (
    "This token has not been used for {days} days and is locked. An admin unlocks it (payorch operators tokens unlock {lookup_id}),"
    " or gives you a new one. Nothing was executed."
)
USE_NOTED_SECONDS: Final = 3600.0
"""A token's use is written down once in so long: it is asked for in days."""
_TOO_OFTEN: Final = (
    "This token, or this address, has been refused too often. Nothing was executed. Come back after the time in Retry-After."
)
_EVERYBODY: Final = ""

WriteEntry: TypeAlias = Callable[[Entry], Awaitable[Result]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knock:
    """A request as far as it is about who asks. address: of the client, or of the proxy in front of us. route: as in `GET /ops/v1/...`."""

    headers: Headers
    address: str
    route: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """Who asks. `person`: whose account it is; four eyes are two persons. `actor`: how audit records name him."""

    id: str
    name: str
    person: str
    role: Role

    @property
    def actor(self) -> str:
        return f"operator:{self.name}"


@final
class OperatorDoor:
    """Takes an operator's token for who it is.

    find: `identities.operator_token` over a lent connection. write: through the journal writer. identifier: a new id with that prefix.
    idle: for how long a token may rest. used: hears of a token's use, once an hour for each; must not wait.
    """

    def __init__(
        self,
        *,
        find: Callable[[str], Awaitable[OperatorToken | None]],
        write: WriteEntry,
        identifier: Callable[[str], str],
        pepper: bytes,
        clock: Clock,
        log: Log,
        idle: timedelta,
        used: Callable[[str], None],
    ) -> None:
        self._idle = idle
        self._used = used
        self._noted: dict[str, float] = {}
        self._find = find
        self._write = write
        self._identifier = identifier
        self._pepper = pepper
        self._clock = clock
        self._log = log
        self._refusals = _Refusals()

    async def asked(self, least: Role) -> Operator:
        """Who sends the framework's present request, whose role is `least` or above it. Raises Refusal."""
        client = request.scope.get("client")
        rule = request.url_rule.rule if request.url_rule is not None else request.path
        knock = Knock(
            headers=request.scope["headers"],
            address=client[0] if client else "",
            route=f"{request.method} {rule}",
            request_id=g.request_id,
        )
        return await self.operator(knock, least)

    async def operator(self, knock: Knock, least: Role) -> Operator:
        """The operator whose token came with the request. Raises Refusal: 401, 403 for a key of another kind or a smaller role, 429."""
        try:
            key = parse(bearer_token(knock.headers).reveal())
        except HeaderRefused as refused:
            raise await self._refused(knock, None, Refusal(refused.code, detail=refused.detail), "no token") from None
        except KeyMalformed as malformed:
            raise await self._refused(knock, None, Refusal(Code.UNAUTHENTICATED, detail=str(malformed)), "no token of ours") from None
        if key.kind is not KeyKind.OPERATOR:
            refusal = Refusal(Code.FORBIDDEN, detail=_A_MERCHANTS_KEY)
            raise await self._refused(knock, key.lookup_id, refusal, "a merchant's key")
        found = await self._find(key.lookup_id)
        if found is None or not matches(key, found.digest, self._pepper):
            raise await self._refused(knock, key.lookup_id, Refusal(Code.UNAUTHENTICATED, detail=_NOT_A_TOKEN), "not a token that exists")
        who = Operator(id=found.operator_id, name=found.operator_name, person=found.person, role=found.role)
        if not found.is_live(self._clock.now()):
            refusal = Refusal(Code.UNAUTHENTICATED, detail=_NOT_A_TOKEN)
            raise await self._refused(knock, key.lookup_id, refusal, "revoked or expired", actor=who.actor)
        if found.is_idle(self._clock.now(), self._idle):
            refusal = Refusal(Code.UNAUTHENTICATED, detail=_IDLE.format(days=self._idle.days, lookup_id=key.lookup_id))
            raise await self._refused(knock, key.lookup_id, refusal, "not used for too long", actor=who.actor)
        self._note(found)
        if not who.role.may(least):
            refusal = Refusal(Code.FORBIDDEN, detail=f"This call takes the role {least}, and this token has the role {who.role}.")
            raise await self._refused(knock, key.lookup_id, refusal, f"{who.role} is not {least}", actor=who.actor)
        return who

    def _note(self, token: OperatorToken) -> None:
        """Has it written down that the token was used, where that was not done within the hour."""
        now, at = trio.current_time(), self._clock.now()
        if token.used_at is not None and (at - token.used_at).total_seconds() < USE_NOTED_SECONDS:
            return
        if now - self._noted.get(token.lookup_id, -USE_NOTED_SECONDS) < USE_NOTED_SECONDS:
            return
        self._noted.pop(token.lookup_id, None)
        if len(self._noted) >= COUNTED_CALLERS:
            del self._noted[next(iter(self._noted))]
        self._noted[token.lookup_id] = now
        self._used(token.lookup_id)

    async def _refused(self, knock: Knock, lookup_id: str | None, refusal: Refusal, reason: str, *, actor: str = "unknown") -> Refusal:
        """What is to be raised, when it is recorded."""
        counted = self._refusals.counted(knock.address, lookup_id)
        if counted.wait_seconds is not None:
            return Refusal(Code.RATE_LIMITED, detail=_TOO_OFTEN, retry_after_seconds=counted.wait_seconds)
        told = {"route": knock.route, "reason": reason, "lookup_id": lookup_id, "address": knock.address}
        self._log.warning("operator.refused", **told, actor=actor, request_id=knock.request_id)
        if counted.recorded:
            await self._record(knock, told, actor)
        return refusal

    async def _record(self, knock: Knock, told: dict[str, str | None], actor: str) -> None:
        entry = Entry(
            stream="act",
            stream_id=self._identifier("act"),
            sequence=1,
            name="Refused",
            at=self._clock.now(),
            actor=actor,
            cause=knock.request_id,
            body=msgspec.json.encode(told),
        )
        with trio.move_on_after(RECORDED_WITHIN_SECONDS) as patience:
            try:
                await self._write(entry)
            except OUT_OF_REACH as obstacle:
                self._log.error("operator.refusal_not_recorded", request_id=knock.request_id, obstacle=type(obstacle).__name__)
        if patience.cancelled_caught:
            self._log.error("operator.refusal_not_recorded", request_id=knock.request_id, obstacle="too slow")


@dataclass(slots=True)
class _Count:
    began_at: float
    refusals: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Counted:
    wait_seconds: int | None
    recorded: bool


@final
class _Refusals:
    """How often each caller was refused within his window, which begins with the first time."""

    def __init__(self) -> None:
        self._counts: dict[str, _Count] = {}

    def counted(self, address: str, lookup_id: str | None) -> _Counted:
        """Counts one refusal of both."""
        now = trio.current_time()
        callers = [f"address {address}", *([] if lookup_id is None else [f"token {lookup_id}"])]
        counts = [self._count(caller, now) for caller in callers]
        for one in counts:
            one.refusals += 1
        over = [one for one in counts if one.refusals > REFUSED_AT_MOST]
        if over:
            ends = max(one.began_at for one in over) + WINDOW_SECONDS
            return _Counted(wait_seconds=max(1, math.ceil(ends - now)), recorded=False)
        everybody = self._count(_EVERYBODY, now)
        everybody.refusals += 1
        return _Counted(wait_seconds=None, recorded=everybody.refusals <= RECORDED_AT_MOST)

    def _count(self, caller: str, now: float) -> _Count:
        count = self._counts.get(caller)
        if count is None or now - count.began_at >= WINDOW_SECONDS:
            self._counts.pop(caller, None)
            if len(self._counts) >= COUNTED_CALLERS:
                del self._counts[next(one for one in self._counts if one != _EVERYBODY)]
            count = self._counts[caller] = _Count(began_at=now)
        return count
