"""The desk that acts go over: plan, ask, approve, reject, halt, review. It shows, it asks, it records every no; others carry out.

Whoever asks here is known already (`payorch.api.operations.operators`). A plan is made anew each time somebody relies on it. An act that
may be carried out is handed to the runner, and whoever asked waits a little for what comes of it; the act does not wait for him.

Not here: who may (`payorch.domain.approving`), what a plan of an act finds (the planners), carrying out (`runner`), HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol, final

import trio

from payorch.domain import approving
from payorch.domain.act_records import ActRecord, By, Denied, No, Plan, Refusal, Step, Terms
from payorch.domain.acts import UNFINISHED, ActName, Draft, Nonsense, Wish
from payorch.operations.act_book import ActBook, Decide
from payorch.operations.endings import Endings
from payorch.operations.planner import Planner, planned_anew
from payorch.store.acts import Filter

_TRIES: Final = 3
"""For the same act asked for twice at once: the second time round the other one is there to be seen."""


class Log(Protocol):
    """A structlog logger."""

    def critical(self, event: str, **details: Any) -> Any: ...


@final
class ActDesk:
    """planners: who plans and carries out what; an act without one cannot be planned here. carry: tells the runner of an act that may be
    carried out; it finds it by itself as well. answer_within_seconds: how long whoever asked waits for what comes of it.
    """

    def __init__(
        self,
        book: ActBook,
        planners: Mapping[ActName, Planner],
        *,
        terms: Terms,
        endings: Endings,
        carry: Callable[[str], None],
        answer_within_seconds: float,
        log: Log,
    ) -> None:
        self._book = book
        self._planners = planners
        self._terms = terms
        self._endings = endings
        self._carry = carry
        self._within_seconds = answer_within_seconds
        self._log = log

    @property
    def offered(self) -> frozenset[ActName]:
        """The acts that can be planned here."""
        return frozenset(self._planners)

    # --- reads

    async def act(self, act_id: str) -> ActRecord | None:
        """That act as it stands."""
        return await self._book.store.act(act_id)

    async def find(self, what: Filter, *, limit: int, after: str | None = None) -> tuple[list[ActRecord], str | None]:
        """A page of acts, newest first, and the next page's cursor."""
        return await self._book.store.find(what, limit=limit, after=after)

    async def plan_now(self, act: ActRecord) -> Draft | None:
        """What its plan comes to at this moment; None where it cannot be made any more."""
        return await planned_anew(self._planners, act.wish)

    # --- plans and acts

    async def plan(self, name: ActName, subject: str, parameters: Mapping[str, Any], *, break_glass: bool, by: By) -> Plan:
        """A dry run, kept under its id. Raises Denied where the role is too small, Nonsense where the wish is none."""
        refusal = approving.may_wish(name, by, break_glass=break_glass)
        if refusal is not None:
            raise await self._denied(refusal, by, {"action": name, "subject": subject})
        wish = Wish(name=name, subject=subject, parameters=parameters, who=by.person, break_glass=break_glass)
        approving.check_parameters(name, parameters)
        if name not in self._planners:
            raise Nonsense("/action", f"This platform has nobody who carries out {name}.")
        return await self._kept(wish, await self._planners[name].plan(wish))

    async def propose(self, plan_id: str, *, reason: str, key: str, seen: bytes | None, by: By) -> tuple[ActRecord, bool]:
        """Asks for what the plan says: the act, and whether it is one that had been asked for before, by the same key or plan.

        seen: the hash of the plan that he had before him, where he says it. Raises Denied.
        """
        for _ in range(_TRIES):
            earlier = await self._asked_before(plan_id, key, by)
            if earlier is not None:
                return earlier, True
            step = await self._step(plan_id, reason, key, seen, by)
            if step is not None and await self._book.begin(step, by):
                return await self._followed(step, by), False
        raise AssertionError("what was asked for at the same moment is not there to be seen")

    async def approve(self, act_id: str, seen: bytes, *, by: By) -> ActRecord:
        """Agrees with what another person asked for, and has it carried out. seen: as of `propose`. Raises Denied."""
        await self._only_who_decides(act_id, by)
        act = await self._book.store.act(act_id)
        if act is None:
            raise Denied(Refusal(code=No.NOT_FOUND, why="there is no such act"))
        now = None
        if approving.why_not_approve(act, by, at=self._book.now()) is None:
            now = await planned_anew(self._planners, act.wish)
        return await self._say(act_id, lambda one: approving.approved(one, seen, now, by, at=self._book.now()), by)

    async def reject(self, act_id: str, *, reason: str, by: By) -> ActRecord:
        """Says no, or takes back what one has asked for. Raises Denied."""
        return await self._say(act_id, lambda one: approving.rejected(one, by, reason=reason, at=self._book.now()), by)

    async def halt(self, act_id: str, *, reason: str, by: By) -> ActRecord:
        """Has a running act stop after the step that it is in. Raises Denied."""
        return await self._say(act_id, lambda one: approving.halt_asked(one, by, reason=reason, at=self._book.now()), by)

    async def review(self, act_id: str, *, note: str, by: By) -> ActRecord:
        """Says that one has looked at what another did with the glass broken. Raises Denied."""
        await self._only_who_decides(act_id, by)
        return await self._say(act_id, lambda one: approving.reviewed(one, by, note=note, at=self._book.now()), by)

    # --- asking

    async def _asked_before(self, plan_id: str, key: str, by: By) -> ActRecord | None:
        about = {"plan": plan_id}
        earlier = await self._book.store.by_key(by.person.operator, key)
        if earlier is not None and earlier.plan_id != plan_id:
            why = f"this Idempotency-Key belongs to {earlier.id}, of another plan; nothing was done"
            raise await self._denied(Refusal(code=No.KEY_REUSED, why=why), by, about)
        earlier = earlier or await self._book.store.by_plan(plan_id)
        if earlier is not None and earlier.wish.who.operator != by.person.operator:
            why = f"this plan is {earlier.wish.who.name}'s, who has asked for it already: {earlier.id}; nothing was done"
            raise await self._denied(Refusal(code=No.FORBIDDEN, why=why), by, about)
        return earlier

    async def _step(self, plan_id: str, reason: str, key: str, seen: bytes | None, by: By) -> Step | None:
        """What asking for that plan comes to; None where it was asked for at this moment, which is no reason to say no. Raises Denied."""
        plan = await self._book.store.plan(plan_id)
        if plan is None:
            raise Denied(Refusal(code=No.NOT_FOUND, why="there is no such plan, or none any more: make it anew"))
        about: dict[str, str | None] = {"plan": plan_id, "action": plan.wish.name, "subject": plan.wish.subject}
        refusal = approving.may_ask(plan, by, at=self._book.now())
        if refusal is None and seen is not None and seen != plan.hash:
            why = "If-Match does not name the plan as it was made: look at it again; nothing was done"
            raise await self._denied(Refusal(code=No.PLAN_CHANGED, why=why), by, about, plan=plan)
        if refusal is not None:
            raise await self._denied(refusal, by, about)
        other = await self._book.store.open_one(plan.wish.subject, plan.wish.name)
        if other is not None and other.plan_id == plan_id:
            return None
        if other is not None:
            why = f"{other.wish.who.name} has asked for the same already: {other.id} is {other.state}; nothing was done"
            refusal = Refusal(code=No.ACTION_OPEN, why=why, allowed=approving.possible(other), named=True)
            raise await self._denied(refusal, by, {**about, "act": other.id})
        now = await planned_anew(self._planners, plan.wish)
        at, id = self._book.now(), self._book.identifier("act")
        step = approving.asked(plan, now, by, id=id, reason=reason, key=key, at=at, terms=self._terms)
        if isinstance(step, Refusal) and await self._book.store.by_plan(plan_id) is not None:
            return None  # what it is about has changed by that very act
        if isinstance(step, Refusal):
            new = await self._kept(plan.wish, now) if step.code is No.PLAN_CHANGED and now is not None else None
            raise await self._denied(step, by, about, plan=new)
        return step

    # --- what they share

    async def _kept(self, wish: Wish, draft: Draft) -> Plan:
        plan = approving.planned(wish, draft, id=self._book.identifier("pln"), at=self._book.now(), terms=self._terms)
        await self._book.keep(plan)
        return plan

    async def _only_who_decides(self, act_id: str, by: By) -> None:
        refusal = approving.may_decide(by)
        if refusal is not None:
            raise await self._denied(refusal, by, {"act": act_id})

    async def _say(self, act_id: str, decide: Decide, by: By) -> ActRecord:
        step = await self._book.change(act_id, decide, actor=by.person.actor, cause=by.cause)
        assert step is not None, "whoever says something hears what came of it"
        if isinstance(step, Refusal):
            raise await self._denied(step, by, {"act": act_id})
        if step.refusal is not None:
            raise await self._denied(step.refusal, by, {"act": act_id, "state": step.act.state})
        return await self._followed(step, by)

    async def _followed(self, step: Step, by: By) -> ActRecord:
        """The act after what was written, when it is carried out or the patience of whoever asked is over."""
        act = step.act
        if step.name == "GlassBroken":
            self._page(act, by)
        if act.state not in UNFINISHED:
            return act
        with self._endings.awaited(act.id) as over:
            self._carry(act.id)
            with trio.move_on_after(self._within_seconds):
                await over.wait()
        return await self._book.store.act(act.id) or act

    def _page(self, act: ActRecord, by: By) -> None:
        """Somebody must hear of it now: a line that alerts, beside the record, which is in the live stream, and the review that is due."""
        assert act.review is not None, "what is done with the glass broken is to be reviewed"
        self._log.critical(
            "operations.glass_broken",
            act=act.id,
            action=str(act.wish.name),
            subject=act.wish.subject,
            actor=by.person.actor,
            review_due_at=act.review.due_at.isoformat(),
        )

    async def _denied(self, refusal: Refusal, by: By, about: Mapping[str, str | None], *, plan: Plan | None = None) -> Denied:
        """What is to be raised, when it is recorded."""
        if refusal.code is not No.NOT_FOUND:
            await self._book.refused(refusal, by, about)
        return Denied(refusal, plan=plan)
