"""Plans and acts over HTTP: any write of an operator is a plan first, then an act with a reason, and where it takes two, approved.

Not here: who asks (`operators`), who may and what follows (`payorch.domain.approving`, `payorch.operations.desk`), how an answer looks
(`act_views`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, TypeVar, final

import psycopg
from quart import Response, g, request

from payorch.api.answering import OUT_OF_REACH, RETRY_AFTER_SECONDS
from payorch.api.contracts import Body, validated
from payorch.api.headers import HeaderRefused, idempotency_key
from payorch.api.merchant import Handler
from payorch.api.operations.act_bodies import (
    ApproveActionBody,
    AskForActionBody,
    HaltActionBody,
    MakePlanBody,
    RejectActionBody,
    ReviewActionBody,
    seen_hash,
)
from payorch.api.operations.act_views import View, action_view, draft_view, person_of, plan_view
from payorch.api.operations.operators import Operator, OperatorDoor
from payorch.api.problems import Code, FieldError
from payorch.api.reading import (
    Reader,
    identifier,
    is_identifier,
    object_of,
    paging,
    query_of,
    text,
    view_response,
    whole_body,
)
from payorch.api.refusal import InvalidBody, Refusal, not_found
from payorch.api.strict_json import JsonObject
from payorch.api.surroundings import HttpLimits
from payorch.domain.act_records import ActRecord, By, Denied, No, Plan
from payorch.domain.acts import OPEN, UNFINISHED, ActName, ActState, Draft, Nonsense
from payorch.domain.approving import is_same, plan_hash, with_glass
from payorch.domain.roles import Role
from payorch.ports import Clock
from payorch.store.acts import Filter
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import Trouble, trouble_of

T = TypeVar("T")


class Desk(Protocol):
    """`payorch.operations.desk.ActDesk`. Raises Denied and Nonsense, and what the database and the journal raise."""

    @property
    def offered(self) -> frozenset[ActName]: ...

    async def act(self, act_id: str) -> ActRecord | None: ...

    async def find(self, what: Filter, *, limit: int, after: str | None = None) -> tuple[list[ActRecord], str | None]: ...

    async def plan_now(self, act: ActRecord) -> Draft | None: ...

    async def plan(self, name: ActName, subject: str, parameters: Mapping[str, Any], *, break_glass: bool, by: By) -> Plan: ...

    async def propose(self, plan_id: str, *, reason: str, key: str, seen: bytes | None, by: By) -> tuple[ActRecord, bool]: ...

    async def approve(self, act_id: str, seen: bytes, *, by: By) -> ActRecord: ...

    async def reject(self, act_id: str, *, reason: str, by: By) -> ActRecord: ...

    async def halt(self, act_id: str, *, reason: str, by: By) -> ActRecord: ...

    async def review(self, act_id: str, *, note: str, by: By) -> ActRecord: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ActSurroundings:
    """What these calls are given, beside what the API has. page_default, page_limit: of a list."""

    desk: Desk
    page_default: int
    page_limit: int


def _states(text: str) -> tuple[ActState, ...]:
    some = text.split(",")
    if not set(some) <= set(ActState):
        raise ValueError(f"This is one of, or several parted by commas: {', '.join(ActState)}.")
    return tuple(ActState(one) for one in some)


def _action(text: str) -> ActName:
    if text not in set(ActName):
        raise ValueError("There is no such action: meta lists them.")
    return ActName(text)


def _only(word: str) -> Reader:
    def read(text: str) -> str:
        if text != word:
            raise ValueError(f"This is {word}, or left out.")
        return text

    return read


_READERS: Final[Mapping[str, Reader]] = {
    "state": _states, "subject": text, "action": _action, "who": text, "open": _only("true"), "review": _only("due"), **paging("act"),
}  # fmt: skip
PARAMETERS: Final = tuple(_READERS)
"""The names of the list's parameters."""

_NOT_CERTAIN: Final = (
    "The database does not answer, and whether this was taken is not certain: it may be carried out yet, and money may move. Repeat it "
    "after the time in Retry-After, with the same Idempotency-Key where it has one, or read the action: nothing is done twice."
)
_OPEN: Final = tuple(one for one in ActState if one in OPEN)


@final
class ActApi:
    """The handlers."""

    def __init__(self, around: ActSurroundings, door: OperatorDoor, *, http: HttpLimits, clock: Clock) -> None:
        self._desk = around.desk
        self._around = around
        self._door = door
        self._http = http
        self._clock = clock

    def routes(self) -> Mapping[tuple[str, str], Handler]:
        """(method, path) -> handler."""
        return {
            ("POST", "/ops/v1/plans"): self.plan,
            ("POST", "/ops/v1/actions"): self.ask,
            ("GET", "/ops/v1/actions"): self.page,
            ("GET", "/ops/v1/actions/<act_id>"): self.show,
            ("POST", "/ops/v1/actions/<act_id>/approve"): self.approve,
            ("POST", "/ops/v1/actions/<act_id>/reject"): self.reject,
            ("POST", "/ops/v1/actions/<act_id>/halt"): self.halt,
            ("POST", "/ops/v1/actions/<act_id>/review"): self.review,
        }

    # --- reads

    async def page(self) -> Response:
        """A page of acts, newest first."""
        who = await self._door.asked(Role.VIEWER)
        around = self._around
        asked = query_of(request.query_string, _READERS, default=around.page_default, largest=around.page_limit)
        what = asked.values
        states = tuple(one for one in what.get("state", _OPEN if "open" in what else ()) if "open" not in what or one in OPEN)
        if not states and ("state" in what or "open" in what):
            return view_response({"data": [], "next_cursor": None})  # both at once, and they do not meet
        wanted = Filter(
            states=states,
            subject=what.get("subject"),
            name=what.get("action"),
            who=what.get("who"),
            to_review="review" in what,
        )
        found, cursor = await self._desk.find(wanted, limit=asked.limit, after=asked.after)
        now = self._clock.now()
        return view_response({"data": [action_view(one, who, now) for one in found], "next_cursor": cursor})

    async def show(self, act_id: str) -> Response:
        """An act, and while it waits its plan made anew, which is what an approver looks at."""
        who = await self._door.asked(Role.VIEWER)
        act = await self._desk.act(identifier(act_id, "act"))
        if act is None:
            raise not_found()
        return view_response({**action_view(act, who, self._clock.now()), **await self._plan_now(act)})

    async def _plan_now(self, act: ActRecord) -> View:
        if act.state is not ActState.PROPOSED:
            return {"plan_now": None, "changed": None}
        draft = await self._desk.plan_now(act)
        if draft is None:
            return {"plan_now": None, "changed": True}
        now = with_glass(act.wish, draft)
        return {"plan_now": draft_view(now, plan_hash(act.wish, now)), "changed": not is_same(act.hash, act.wish, draft)}

    # --- plans and acts

    async def plan(self) -> Response:
        """A dry run, which changes nothing."""
        who = await self._door.asked(Role.OPERATOR)
        body = await self._body(MakePlanBody)
        try:
            plan = await self._desk.plan(ActName(body.action), body.subject, body.parameters, break_glass=body.break_glass, by=_by(who))
        except Denied as denied:
            raise _refusal(denied) from None
        except Nonsense as nonsense:
            if nonsense.missing:
                raise not_found() from None
            raise InvalidBody([FieldError(pointer=nonsense.field, detail=nonsense.why)]) from None
        return view_response(plan_view(plan), HTTPStatus.CREATED)

    async def ask(self) -> Response:
        """Has a plan carried out, or proposes it to a second person."""
        who = await self._door.asked(Role.OPERATOR)
        try:
            key = idempotency_key(request.scope["headers"])
        except HeaderRefused as refused:
            raise Refusal(refused.code, detail=refused.detail) from None
        seen = seen_hash(request.headers.get("If-Match"))
        body = await self._body(AskForActionBody)
        if not is_identifier(body.plan, "pln"):
            raise not_found()
        act, replayed = await _heard(self._desk.propose(body.plan, reason=body.reason, key=key, seen=seen, by=_by(who)))
        answer = self._answer(act, who, HTTPStatus.CREATED)
        if replayed:
            answer.headers["Idempotency-Replayed"] = "true"
        return answer

    async def approve(self, act_id: str) -> Response:
        """Agrees with what another person asked for."""
        who = await self._door.asked(Role.OPERATOR)
        body = await self._body(ApproveActionBody)
        seen = bytes.fromhex(body.hash)
        return await self._said(act_id, who, lambda id, by: self._desk.approve(id, seen, by=by))

    async def reject(self, act_id: str) -> Response:
        """Says no, or takes back what one asked for."""
        who = await self._door.asked(Role.OPERATOR)
        body = await self._body(RejectActionBody)
        return await self._said(act_id, who, lambda id, by: self._desk.reject(id, reason=body.reason, by=by))

    async def halt(self, act_id: str) -> Response:
        """Stops a running act after the step that it is in."""
        who = await self._door.asked(Role.OPERATOR)
        body = await self._body(HaltActionBody)
        return await self._said(act_id, who, lambda id, by: self._desk.halt(id, reason=body.reason, by=by))

    async def review(self, act_id: str) -> Response:
        """Says that one has looked at what another did with the glass broken."""
        who = await self._door.asked(Role.OPERATOR)
        body = await self._body(ReviewActionBody)
        return await self._said(act_id, who, lambda id, by: self._desk.review(id, note=body.note, by=by))

    # --- what they share

    async def _body(self, model: type[Body]) -> Body:
        value: JsonObject = await object_of(request.scope["headers"], whole_body, self._http, empty=False)
        return validated(model, value)

    async def _said(self, act_id: str, who: Operator, say: Callable[[str, By], Awaitable[ActRecord]]) -> Response:
        act = await _heard(say(identifier(act_id, "act"), _by(who)))
        return self._answer(act, who, HTTPStatus.OK)

    def _answer(self, act: ActRecord, who: Operator, status: HTTPStatus) -> Response:
        """202 while it is being carried out still."""
        under_way = act.state in UNFINISHED
        return view_response(action_view(act, who, self._clock.now()), HTTPStatus.ACCEPTED if under_way else status)


async def _heard(step: Awaitable[T]) -> T:
    """What the desk says. Where the database goes away in the middle, nobody can tell whether it was asked for, and it may be done yet."""
    try:
        return await step
    except Denied as denied:
        raise _refusal(denied) from None
    except JournalUnavailable:
        raise  # surely nothing was written
    except OUT_OF_REACH as obstacle:
        if isinstance(obstacle, psycopg.Error) and trouble_of(obstacle) is Trouble.STATEMENT:
            raise
        raise Refusal(Code.UNAVAILABLE, detail=_NOT_CERTAIN, retry_after_seconds=RETRY_AFTER_SECONDS) from obstacle


def _by(who: Operator) -> By:
    rule = request.url_rule.rule if request.url_rule is not None else request.path
    return By(person=person_of(who), role=who.role, cause=g.request_id, route=f"{request.method} {rule}")


def _refusal(denied: Denied) -> Refusal:
    """The domain's no, in the words of the contract."""
    refusal = denied.refusal
    if refusal.code is No.NOT_FOUND:
        return not_found()
    code = Code(refusal.code.value)
    extra: dict[str, Any] = {}
    if refusal.objections:
        extra["objections"] = [{"code": one.code, "why": one.why} for one in refusal.objections]
    if denied.plan is not None:
        extra["plan"] = plan_view(denied.plan)
    why = (refusal.why if refusal.named else refusal.why[:1].upper() + refusal.why[1:]).rstrip(".")
    allowed = refusal.allowed if code is Code.OPERATION_NOT_ALLOWED else None
    return Refusal(code, detail=f"{why}. No money moved by this request.", allowed=allowed, extra=extra)
