"""Replaying and discarding dead letters as acts: planned, carried out letter by letter, and carried on with after a crash.

Each change goes through the journal's writer, under the number that the letter's stream had before anybody looked at it: whoever answers
the same letter at the same moment, also from the command line, makes a conflict, and it is looked at again. A letter that this act has
replayed is never replayed by it again; its entry, which names the act as its cause, says so.

Not here: what may be decided of a letter (`payorch.dead_letter_outlook`), what a plan shows (`dead_letter_drafts`), when a replay stops
itself (`replay_run`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeAlias, final

import trio

from payorch.dead_letter_outlook import Decided, Verdict, discard_of, outlooks, payments_of, replay_of
from payorch.domain.acts import Act, ActName, ActState, Draft, Nonsense, Performed, Wish
from payorch.operations.dead_letter_drafts import Found, discard_draft, replay_draft
from payorch.operations.dead_letter_scope import MOST_LETTERS, Scope, pace_of, scope_of
from payorch.operations.dead_letter_watch import Watch
from payorch.operations.planner import Planner, Progress
from payorch.operations.replay_run import CHUNK, Pace, Run, run_of
from payorch.ports import Clock
from payorch.store import act_reads, dead_letters, entries
from payorch.store.dead_letters import Filter
from payorch.store.driver import Connection
from payorch.store.items import Appended, Conflict, DeadLetterState, Entry, Refused, Result, SettledBefore

Read: TypeAlias = Callable[..., Awaitable[Any]]
AFTER_REPLAY: Final = "dead_letter.after_replay"
"""A letter is replayed, and nothing is written down about it in the act."""
_CHANGED: Final = "The letters are not the ones any more that the plan showed. Nothing was done: plan it anew."
_TRIES: Final = 5
"""Two people at the same letter at the same moment are rare; five times in a row is something else."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Around:
    """read, write: the platform's. patience_seconds: for what was replayed to be settled. pause: waits so many seconds.
    reached: `ports.Process.reached`, for crash tests.
    """

    read: Read
    write: Callable[[Entry], Awaitable[Result]]
    clock: Clock
    patience_seconds: float
    pause: Callable[[float], Awaitable[None]] = trio.sleep
    reached: Callable[[str], None] = lambda point: None


def planners(around: Around) -> dict[ActName, Planner]:
    """Who plans and carries out which act."""
    return {ActName.DEAD_LETTER_REPLAY: Replayer(around), ActName.DEAD_LETTER_DISCARD: Discarder(around)}


async def found_in(connection: Connection, scope: Scope) -> Found:
    """The letters that are meant, as they are. Raises Nonsense where one that was named does not exist."""
    more = False
    if scope.fingerprint is None:
        letters = await dead_letters.load_many(connection, scope.ids)
        if len(letters) < len(scope.ids):
            missing = sorted(set(scope.ids) - {one.id for one in letters})[0]
            raise Nonsense("/subject" if scope.single else "/parameters/ids", f"There is no dead letter {missing}.", missing=scope.single)
    else:
        what = Filter(state=DeadLetterState.OPEN, fingerprint=scope.fingerprint)
        newest, cursor = await dead_letters.find(connection, what, limit=MOST_LETTERS)
        letters, more = sorted(newest, key=lambda one: one.id), cursor is not None
    looked = await outlooks(connection, letters)
    payments = await payments_of(connection, looked)
    money = await dead_letters.money_of(connection, sorted(set(payments.values())))
    return Found(outlooks=looked, payments=payments, money=money, single=scope.single, more=more)


@final
class Replayer:
    """dead_letter.replay. A canary first, then the rest at a pace, until too many fail."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._writing = _Writing(around)
        self._watch = Watch(around.read, patience_seconds=around.patience_seconds, pause=around.pause)

    async def plan(self, wish: Wish) -> Draft:
        scope, pace = scope_of(wish.subject, wish.parameters), pace_of(wish.parameters)
        return replay_draft(await self._around.read(found_in, scope), pace)

    async def perform(self, act: Act, progress: Progress) -> Performed:
        pace = pace_of(act.parameters)
        run = run_of(act.progress)
        if run is None:
            found = await self._writing.found(act)
            if not _as_shown(act, replay_draft(found, pace)):
                return Performed(state=ActState.REFUSED, text=_CHANGED)
            ids = [one.id for one in found.letters]
            run = Run(total=len(ids), canary=min(pace.canary, len(ids)), left=tuple(ids))
            await progress(run.data())  # before the first is replayed: it is the same letters after a crash
        replayed = await self._writing.done_before(act, run.left, "DeadLetterReplayed")
        while run.left and not run.halts(pace.halt_percent):
            run = await self._some(act, run, pace, replayed)
            await progress(run.data())
        return run.ended(pace.halt_percent)

    async def _some(self, act: Act, run: Run, pace: Pace, replayed: frozenset[str]) -> Run:
        """Those whose turn it is, until something has come of each."""
        ids, waiting = run.next_ones(), 0
        left_alone: list[str] = []
        watched = [one for one in ids if one in replayed]
        for n, one in enumerate(one for one in ids if one not in replayed):
            if n or run.done:
                await self._around.pause(1 / pace.per_second)
            verdict = await self._writing.change(act, one, replay_of)
            self._around.reached(AFTER_REPLAY)
            if not verdict.changed:
                left_alone.append(verdict.text)
            elif verdict.waits:
                waiting += 1
            else:
                watched.append(one)
        fates = await self._watch.until_settled(watched) if watched else []
        whys = [fate.why for fate in fates if not fate.well]
        well = len(fates) - len(whys)
        return run.with_result(ids, ok=well, failed=len(whys), skipped=len(left_alone), waiting=waiting, whys=[*whys, *left_alone])


@final
class Discarder:
    """dead_letter.discard. Each letter is kept, with who discarded it and why."""

    def __init__(self, around: Around) -> None:
        self._around = around
        self._writing = _Writing(around)

    async def plan(self, wish: Wish) -> Draft:
        return discard_draft(await self._around.read(found_in, scope_of(wish.subject, wish.parameters)))

    async def perform(self, act: Act, progress: Progress) -> Performed:
        run = run_of(act.progress)
        if run is None:
            found = await self._writing.found(act)
            if not _as_shown(act, discard_draft(found)):
                return Performed(state=ActState.REFUSED, text=_CHANGED)
            left = tuple(one.id for one in found.letters)
            run = Run(total=len(left), canary=0, left=left)
            await progress(run.data())
        discarded = await self._writing.done_before(act, run.left, "DeadLetterDiscarded")
        while run.left:
            ids = run.left[:CHUNK]
            verdicts = [await self._writing.change(act, one, discard_of) for one in ids if one not in discarded]
            skipped = [one.text for one in verdicts if not one.changed]
            run = run.with_result(ids, ok=len(ids) - len(skipped), skipped=len(skipped), whys=skipped)
            await progress(run.data())
        text = f"{run.ok} of {run.total} discarded"
        return Performed(state=ActState.DONE if run.ok else ActState.REFUSED, text=text, data={**run.outcome(), "text": text})


def _as_shown(act: Act, now: Draft) -> bool:
    """Whether it is about the letters that were shown, and as many have agreed as these take. A group may have grown since it was begun,
    if the process ended just then; what is written down as its progress afterwards stays what it is.
    """
    return (act.shown is None or act.shown.version == now.version) and (now.people == 1 or act.second)


_Decide: TypeAlias = Callable[..., Awaitable[Decided | Verdict]]


@final
class _Writing:
    """One act's changes of letters."""

    def __init__(self, around: Around) -> None:
        self._around = around

    async def found(self, act: Act) -> Found:
        """The letters that the act is about, oldest first."""
        found: Found = await self._around.read(found_in, scope_of(act.subject, act.parameters))
        return found

    async def done_before(self, act: Act, ids: Sequence[str], name: str) -> frozenset[str]:
        """Those that this act had answered before the process died."""
        found: frozenset[str] = await self._around.read(act_reads.changed_by, act.id, "dlq", ids, [name])
        return found

    async def change(self, act: Act, letter_id: str, decide: _Decide) -> Verdict:
        """Decides on that letter and writes it. Looks again where somebody else was faster."""
        at, actor = self._around.clock.now(), act.requested_by.actor
        for _ in range(_TRIES):
            decided: Decided | Verdict
            sequence, decided = await self._around.read(_look, letter_id, partial(decide, at=at, by=actor, reason=act.reason))
            if isinstance(decided, Verdict):
                return decided
            change = replace(decided.change, detail={**decided.change.detail, **_second(act)})
            match await self._around.write(entries.entry_of(change, sequence=sequence, at=at, actor=actor, cause=act.id)):
                case Appended():
                    return decided.verdict
                case Conflict():
                    continue
                case SettledBefore():
                    return Verdict(id=letter_id, changed=False, text="is left as it is: it has had its effect meanwhile")
                case Refused(reason):
                    return Verdict(id=letter_id, changed=False, text=f"is left as it is: {reason}")
                case unexpected:
                    raise AssertionError(f"an entry claims nothing, and yet: {unexpected}")
        return Verdict(id=letter_id, changed=False, text="is left as it is: somebody else keeps changing it")


async def _look(connection: Connection, letter_id: str, decide: _Decide) -> tuple[int, Decided | Verdict]:
    """The number first, and what is decided under it afterwards: what comes between the two makes a conflict."""
    sequence = await entries.next_sequence(connection, letter_id)
    return sequence, await decide(connection, letter_id)


def _second(act: Act) -> Mapping[str, str]:
    return {} if act.approved_by is None else {"approved_by": act.approved_by.actor}
