"""Carrying out one act, from whatever point it is at: looked at once more, begun, performed, and what came of it written down.

`begun` is written before anything is done. A crash after it finds the act running and has it performed again, which finds by the act's id
what it did already. `reached` names the places between these steps, at which a crash test ends the process.

Not here: when this is tried again, and how many run at once (`runner`); what is done (the planners).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, final

from actors.actor import unwrapped
from payorch.domain import approving
from payorch.domain.act_records import ActRecord, Step
from payorch.domain.acts import UNFINISHED, Act, ActName, ActState, Performed
from payorch.operations.act_book import SYSTEM, ActBook, Decide
from payorch.operations.planner import Halted, Planner, planned_anew

BEFORE_BEGIN: Final = "act.before_begin"
AFTER_BEGIN: Final = "act.after_begin"
BEFORE_PROGRESS: Final = "act.before_progress"
AFTER_PROGRESS: Final = "act.after_progress"
BEFORE_END: Final = "act.before_end"

_ENDS: Final = frozenset({ActState.DONE, ActState.REFUSED, ActState.FAILED, ActState.HALTED})


@final
class Errand:
    """Carries acts out, one with each call. reached: `ports.Process.reached`."""

    def __init__(self, book: ActBook, planners: Mapping[ActName, Planner], reached: Callable[[str], None] = lambda point: None) -> None:
        self._book = book
        self._planners = planners
        self._reached = reached

    async def carry_out(self, act_id: str) -> None:
        """Returns when there is nothing left to be done. Raises what the planner, the journal and the database raise: call it again."""
        act = await self._begun(act_id)
        if act is None:
            return
        planner = self._planners.get(act.wish.name)
        if planner is None:
            await self._end(act_id, Performed(state=ActState.FAILED, text=f"this platform has nobody who carries out {act.wish.name}"))
            return
        if act.halt is not None and act.progress is not None:
            await self._halt(act_id)  # somebody stopped it before the process ended: no step of it is under way now
            return
        self._reached(AFTER_BEGIN)
        performed = await self._performed(planner, act)
        self._reached(BEFORE_END)
        if performed is None:
            await self._halt(act_id)
        elif performed.state not in _ENDS:
            raise AssertionError(f"performing {act.wish.name} came to no end: {performed.state}")
        else:
            await self._end(act_id, performed)

    async def give_up(self, act_id: str, why: str) -> None:
        """It keeps failing by a fault of ours: people have to look at what was done of it."""
        await self._end(act_id, Performed(state=ActState.FAILED, text=why))

    async def _begun(self, act_id: str) -> ActRecord | None:
        """The act, running; None where it is over, or came to nothing."""
        act = await self._book.store.act(act_id)
        if act is None or act.state not in UNFINISHED:
            return None
        if act.state is ActState.RUNNING:
            return act
        now = await planned_anew(self._planners, act.wish)

        def decide(one: ActRecord) -> Step | None:
            return approving.begun(one, now, at=self._book.now()) if one.state is ActState.APPROVED else None

        self._reached(BEFORE_BEGIN)
        step = await self._change(act_id, decide)
        return step.act if step is not None and step.act.state is ActState.RUNNING else None

    async def _performed(self, planner: Planner, act: ActRecord) -> Performed | None:
        """What came of it; None where somebody stopped it."""

        async def progress(done: Mapping[str, Any]) -> None:
            self._reached(BEFORE_PROGRESS)
            step = await self._change(act.id, lambda one: approving.progressed(one, done))
            self._reached(AFTER_PROGRESS)
            assert step is not None, "a running act goes on running"
            if step.act.halt is not None:
                raise Halted

        try:
            return await planner.perform(_act(act), progress)
        except Exception as error:
            if isinstance(unwrapped(error), Halted):
                return None
            raise

    async def _halt(self, act_id: str) -> None:
        await self._change(act_id, lambda one: approving.halted(one, at=self._book.now()))

    async def _end(self, act_id: str, performed: Performed) -> None:
        def decide(one: ActRecord) -> Step | None:
            return approving.finished(one, performed, at=self._book.now()) if one.state in UNFINISHED else None

        await self._change(act_id, decide)

    async def _change(self, act_id: str, decide: Decide) -> Step | None:
        step = await self._book.change(act_id, decide, actor=SYSTEM, cause=act_id)
        return step if isinstance(step, Step) else None


def _act(act: ActRecord) -> Act:
    wish, decision = act.wish, act.decision
    return Act(
        id=act.id,
        name=wish.name,
        subject=wish.subject,
        parameters=wish.parameters,
        reason=act.reason,
        requested_by=wish.who,
        approved_by=decision.by if decision is not None and decision.approved else None,
        break_glass=wish.break_glass,
        progress=act.progress,
        shown=act.draft,
    )
