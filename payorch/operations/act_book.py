"""The book of acts: every change of one is read, decided and written here, with the record that it leaves in the journal.

Who changes an act has read it as it stands; where another was faster, it is read and decided anew. Not here: what is decided
(`payorch.domain.approving`), statements (`payorch.store.acts`), who asks (`desk`), carrying out (`errand`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from typing import Final, Protocol, TypeAlias, final

from payorch.domain.act_records import ActRecord, By, No, Plan, Refusal, Step
from payorch.domain.acts import ActName, ActState
from payorch.ports import Clock
from payorch.store import acts
from payorch.store.entries import Change, entry_of
from payorch.store.items import ACT_STREAM, Appended, Conflict, Item, PlansForgotten, Result

SYSTEM: Final = "system"
_TRIES: Final = 5
"""Two people and the runner at one act at the same moment are rare; five times in a row is something else."""

Decide: TypeAlias = Callable[[ActRecord], Step | Refusal | None]


class ActStore(Protocol):
    """What is read and written: `payorch.store.acts` over lent connections, and the journal's writer. Raises what these raise."""

    async def plan(self, plan_id: str) -> Plan | None: ...

    async def act(self, act_id: str) -> ActRecord | None: ...

    async def numbered(self, act_id: str) -> tuple[ActRecord, int] | None: ...

    async def by_plan(self, plan_id: str) -> ActRecord | None: ...

    async def by_key(self, operator_id: str, key: str) -> ActRecord | None: ...

    async def open_one(self, subject: str, name: ActName) -> ActRecord | None: ...

    async def unfinished(self, *, limit: int) -> list[ActRecord]: ...

    async def overdue(self, at: datetime, *, limit: int) -> list[ActRecord]: ...

    async def find(self, what: acts.Filter, *, limit: int, after: str | None) -> tuple[list[ActRecord], str | None]: ...

    async def write(self, item: Item) -> Result: ...


@final
class ActBook:
    """Reads and writes for the desk and the runner. identifier: a new id with that prefix."""

    def __init__(self, store: ActStore, *, clock: Clock, identifier: Callable[[str], str]) -> None:
        self.store = store
        self.identifier = identifier
        self._clock = clock

    def now(self) -> datetime:
        """The present moment."""
        return self._clock.now()

    async def keep(self, plan: Plan) -> None:
        """Keeps a plan, so that it can be asked for by its id."""
        await self._durable(self.store.write(plan))

    async def forget_plans(self, before: datetime, *, limit: int) -> None:
        """Forgets plans that held until before that moment."""
        await self._durable(self.store.write(PlansForgotten(before=before, limit=limit)))

    async def begin(self, step: Step, by: By) -> bool:
        """Writes a new act. False where the same has been asked for meanwhile: by its plan, its key, or by somebody else."""
        entry = entry_of(acts.changed(step), sequence=1, at=self.now(), actor=by.person.actor, cause=by.cause)
        return isinstance(await self._written(self.store.write(entry)), Appended)

    async def change(self, act_id: str, decide: Decide, *, actor: str, cause: str) -> Step | Refusal | None:
        """What `decide` makes of the act as it stands: a step is written before it is returned."""
        for _ in range(_TRIES):
            found = await self.store.numbered(act_id)
            if found is None:
                return Refusal(code=No.NOT_FOUND, why="there is no such act")
            act, sequence = found
            step = decide(act)
            if not isinstance(step, Step):
                return step
            # What was not decided in time ended by itself, whoever noticed it.
            by = SYSTEM if step.act.state is ActState.EXPIRED else actor
            item: Item = step.act
            if step.name is not None:
                item = entry_of(acts.changed(step), sequence=sequence, at=self.now(), actor=by, cause=cause)
            if isinstance(await self._written(self.store.write(item)), Appended):
                return step
        raise AssertionError(f"others keep changing {act_id} at the same moment")

    async def refused(self, refusal: Refusal, by: By, about: Mapping[str, str | None]) -> None:
        """That somebody was told no stands in the journal, by itself: it has changed nothing."""
        told = {"route": by.route, "code": str(refusal.code), "why": refusal.why, "person": by.person.person, **about}
        change = Change(stream=ACT_STREAM, stream_id=self.identifier("act"), name="Refused", rows=(), detail=told)
        await self._durable(self.store.write(entry_of(change, sequence=1, at=self.now(), actor=by.person.actor, cause=by.cause)))

    async def _durable(self, writing: Awaitable[Result]) -> None:
        if not isinstance(await self._written(writing), Appended):
            raise AssertionError("what nothing else can touch met something else")

    @staticmethod
    async def _written(writing: Awaitable[Result]) -> Result:
        result = await writing
        if not isinstance(result, Appended | Conflict):
            raise AssertionError(f"the journal refused an act: {result}")
        return result
