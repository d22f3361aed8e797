"""Plans acts on payments, and has them carried out by the payment's own actor: ask again, resolve, capture, void, refund, release.

A plan is a trial: what the act would do is done to a payment in memory, and what comes out is shown. Carrying it out is one message to the
actor with the act's id as its cause; the actor looks in the journal for that id first, so an act that is carried out again after a crash,
or by somebody who lost patience, does nothing a second time.

Not here: what is legal (`payorch.domain.operating`, `resolving`), how a plan reads (`payment_effects`), who may (`desk`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

from actors.admission import CallKind
from actors.mailbox import Reply
from actors.messages import Forbidden, NoSuchPayment, Operate, Operated
from actors.surroundings import Unwritable
from payorch.domain import operating
from payorch.domain.acts import Act, ActName, ActState, Check, Draft, Effect, Nonsense, Objection, Performed, Person, Proof, Wish
from payorch.domain.decide import Refused
from payorch.domain.desk import Desk, Story
from payorch.domain.events import Correction, OperationOpened
from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.domain.money import LARGEST_MINOR
from payorch.domain.records import Operation, OperationKind, Payment, PreparedCall
from payorch.domain.resolving import OPERATION_TARGETS, TARGETS, Word, resolve
from payorch.operations.payment_effects import UNDO, effects, leans_on, proofs, questions, supports, tells
from payorch.operations.planner import Progress
from payorch.store.inbox_reads import StoredNotice
from payorch.store.reads import Recorded

Write: TypeAlias = Callable[[Story], object]
Answer: TypeAlias = Operated | Forbidden | NoSuchPayment

PAYMENT_ACTS: Final = tuple(name for name in ActName if name.startswith("payment."))
EVIDENCE_LONGEST: Final = 500
"""A ticket, an event or a line of a report is named in a few words; what it says stands there."""
_NOT_READ_YET: Final = "not said yet"
_CALLS: Final = {OperationKind.CAPTURE: CallKind.CAPTURE, OperationKind.VOID: CallKind.VOID, OperationKind.REFUND: CallKind.REFUND}


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentRoom:
    """What planning and carrying out acts on payments takes. The reads raise what the pool and the database raise.

    load, events, notices: of the payment of that id. desk: as of `Office`. ask: the payment's actor, as `Directory.ask` with its patience.
    caused: whether the payment has an event of that cause. inquiry: the call that only reads what became of that attempt or operation;
    None where there is none. shut: why that connector takes no such call now, in words; None where it does. alone_up_to: currency -> minor
    units that one person may move.
    """

    load: Callable[[str], Awaitable[Payment | None]]
    events: Callable[[str], Awaitable[Sequence[Recorded]]]
    notices: Callable[[str], Awaitable[Sequence[StoredNotice]]]
    desk: Callable[[str, str], Desk]
    ask: Callable[[str, Callable[[Reply[Answer]], Operate]], Awaitable[Answer]]
    caused: Callable[[str, str], Awaitable[bool]]
    inquiry: Callable[[Payment, str], PreparedCall | None]
    shut: Callable[[str, CallKind], str | None]
    alone_up_to: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wanted:
    """What is wanted, read from parameters that anybody may have written."""

    name: ActName
    minor: int | None = None
    final: bool | None = None
    to: str = ""
    evidence: str = ""
    subject: str | None = None


@final
class PaymentPlanner:
    """A `planner.Planner` for every act on a payment."""

    def __init__(self, room: PaymentRoom) -> None:
        self._room = room

    # --- plans

    async def plan(self, wish: Wish) -> Draft:
        wanted = _wanted(wish.name, wish.parameters)
        payment = await self._payment(wish.subject)
        events, notices = await self._room.events(payment.id), await self._room.notices(payment.id)
        story = Story(payment, self._room.desk(wish.who.actor, "plan"))
        objections: tuple[Objection, ...] = ()
        try:
            _write(wanted, _word(wanted, wish.who, wish.who, _NOT_READ_YET), _NOT_READ_YET)(story)
        except Refused as refusal:
            if refusal.field:
                raise Nonsense(f"/parameters/{refusal.field}", refusal.detail) from refusal
            objections, story = (Objection(code=refusal.code, why=refusal.detail),), Story(payment, story.desk)
        known, telling = proofs(payment.id, events, notices), [one for one in events if tells(one.event)]
        moved = operating.moves(payment, wish.name, wanted.minor)
        number, why = operating.people(payment, wish.name, moved, self._room.alone_up_to)
        shown = payment.intent.amount if wish.name is ActName.PAYMENT_RESOLVE else moved
        return Draft(
            effects=() if objections else self._effects(wish.name, payment, story),
            people=number,
            why_people=why,
            version=str(telling[-1].sequence),
            confirm=payment.id[-4:] if shown is None else str(shown.major()),
            undo=UNDO[wish.name],
            checks=self._checks(wanted, story, telling, known),
            proofs=known,
            objections=objections,
            amount=shown,
        )

    async def _payment(self, payment_id: str) -> Payment:
        try:
            known = parse(payment_id)[0] == "pay"
        except MalformedIdentifier:
            known = False
        payment = await self._room.load(payment_id) if known else None
        if payment is None:
            raise Nonsense("/subject", "There is no such payment.", missing=True)
        return payment

    def _effects(self, name: ActName, payment: Payment, story: Story) -> tuple[Effect, ...]:
        found = effects(payment, story)
        if name is not ActName.PAYMENT_RESYNC:
            return found
        asked = () if story.events else operating.to_ask(story.payment, story.desk)
        return (*found, *questions(story, {one: self._room.inquiry(payment, one) for one in asked}))

    def _checks(self, wanted: _Wanted, story: Story, telling: Sequence[Recorded], known: Sequence[Proof]) -> tuple[Check, ...]:
        found = [Check(what="version", holds=True, detail=f"The payment as its event {telling[-1].sequence} left it.")]
        if wanted.name is ActName.PAYMENT_RESOLVE:
            found += [supports(telling, wanted.to), leans_on(wanted.evidence, known)]
        found += [self._circuit(connector, kind) for connector, kind in _calls(wanted.name, story)]
        return tuple(found)

    def _circuit(self, connector: str, kind: CallKind) -> Check:
        shut = self._room.shut(connector, kind)
        why = (
            f"{connector} takes {kind} calls."
            if shut is None
            else f"{connector} takes no {kind} calls now: {shut}. It is tried again by schedule."
        )
        return Check(what="connector", holds=shut is None, detail=why, forecast=True)

    # --- acts

    async def perform(self, act: Act, progress: Progress) -> Performed:
        try:
            wanted = _wanted(act.name, act.parameters)
        except Nonsense as problem:
            return Performed(state=ActState.REFUSED, text=problem.why)
        write = _write(wanted, _word(wanted, act.requested_by, act.approved_by, act.reason), act.reason)
        asks = operating.to_ask if act.name is ActName.PAYMENT_RESYNC else None
        try:
            answer = await self._room.ask(
                act.subject,
                lambda reply_to: Operate(
                    actor=act.requested_by.actor,
                    cause=act.id,
                    write=self._as_shown(act, wanted, write),
                    done=lambda: self._room.caused(act.subject, act.id),
                    reply_to=reply_to,
                    ask=asks,
                ),
            )
        except Unwritable as problem:
            return Performed(state=ActState.FAILED, text=f"The journal refused it, and nothing was done: {problem}.")
        return _performed(act, answer, await self._opened(act) if isinstance(answer, Operated) and act.name in _OPENS else None)

    def _as_shown(self, act: Act, wanted: _Wanted, write: Write) -> Write:
        """That, where it moves what was shown and as many have agreed as that takes now: between the plan and this moment there may be a
        crash, and the merchant's own captures and refunds. Of resolving the database sees to it.
        """
        if act.name not in _OPENS:
            return write

        def guarded(story: Story) -> object:
            moved = operating.moves(story.payment, act.name, wanted.minor)
            number, why = operating.people(story.payment, act.name, moved, self._room.alone_up_to)
            if number > 1 and not act.second:
                raise Refused("second_person_missing", f"By now it takes two persons, and one has asked for it. {why}")
            if act.shown is not None and moved != act.shown.amount:
                raise Refused("plan_changed", "It would move another amount by now than the plan showed: plan it anew.")
            return write(story)

        return guarded

    async def _opened(self, act: Act) -> str | None:
        """The operation that the act opened, now or before; None where it was only a wish, for when the outcome is known."""
        for one in await self._room.events(act.subject):
            if one.event.cause == act.id and isinstance(one.event.data, OperationOpened):
                return one.event.data.operation.id
        return None


def _performed(act: Act, answer: Answer, operation: str | None) -> Performed:
    match answer:
        case NoSuchPayment():
            return Performed(state=ActState.REFUSED, text="There is no such payment; nothing was done.")
        case Forbidden(refusal=refusal, payment=payment):
            why = f"{refusal.detail} Nothing was done."
            return Performed(
                state=ActState.REFUSED, text=why, data={"code": refusal.code, "state": payment.state, "version": payment.version}
            )
        case Operated(payment=payment):
            data = {"state": payment.state, "version": payment.version, "before": answer.before, "operation": operation}
            return Performed(state=ActState.DONE, text=f"{_DONE[act.name]} The payment is {payment.state} now.", data=data)


_OPENS: Final = frozenset({ActName.PAYMENT_CAPTURE, ActName.PAYMENT_VOID, ActName.PAYMENT_REFUND})
_DONE: Final[Mapping[ActName, str]] = {
    ActName.PAYMENT_RESYNC: "The PSP is asked.",
    ActName.PAYMENT_RESOLVE: "What people found is written.",
    ActName.PAYMENT_CAPTURE: "The capture is written and sent.",
    ActName.PAYMENT_VOID: "The void is written, and sent as soon as it can be.",
    ActName.PAYMENT_REFUND: "The refund is written and sent.",
    ActName.PAYMENT_RELEASE: "It is released.",
}


def _calls(name: ActName, story: Story) -> list[tuple[str, CallKind]]:
    """The calls that would be made at once: connector and kind."""
    if name is ActName.PAYMENT_RESYNC:
        return [(one, CallKind.LOOKUP) for one in dict.fromkeys(attempt.connector for attempt in story.payment.attempts[-1:])]
    found = []
    for event in story.events:
        match event.data:
            case OperationOpened(operation=operation) | Correction(operation=Operation() as operation) if operation.on_the_wire:
                found.append((story.payment.attempt(operation.attempt_id).connector, _CALLS[operation.kind]))
            case _:
                pass
    return found


def _word(wanted: _Wanted, asked: Person, agreed: Person | None, reason: str) -> Word:
    alone = agreed is None
    return Word(requester=asked.name, approver=(agreed or asked).name, reason=reason, evidence=wanted.evidence, alone=alone)


def _write(wanted: _Wanted, word: Word, reason: str) -> Write:
    """What tells it in a story."""
    match wanted.name:
        case ActName.PAYMENT_RESYNC:
            return lambda story: operating.resync(story, reason)
        case ActName.PAYMENT_RESOLVE:
            return lambda story: resolve(story, wanted.to, word, subject=wanted.subject, minor=wanted.minor)
        case ActName.PAYMENT_CAPTURE:
            return lambda story: operating.capture(story, wanted.minor, final=wanted.final, reason=reason)
        case ActName.PAYMENT_VOID:
            return lambda story: operating.void(story, reason=reason)
        case ActName.PAYMENT_REFUND:
            return lambda story: operating.refund(story, wanted.minor, reason=reason)
        case ActName.PAYMENT_RELEASE:
            return lambda story: operating.release(story, reason)
        case _:
            raise AssertionError(f"{wanted.name} is no act on a payment")


def _wanted(name: ActName, parameters: Mapping[str, Any]) -> _Wanted:
    """Raises Nonsense. Which parameters there are at all is the table's to say."""
    final = parameters.get("final")
    if final is not None and not isinstance(final, bool):
        raise Nonsense("/parameters/final", "This is true or false.")
    resolving = name is ActName.PAYMENT_RESOLVE
    to = _text(parameters, "to") if resolving else ""
    if resolving and to not in TARGETS and to not in OPERATION_TARGETS:
        raise Nonsense("/parameters/to", f"This is one of {', '.join((*TARGETS, *OPERATION_TARGETS))}.")
    return _Wanted(
        name=name,
        minor=_minor(parameters.get("amount")),
        final=final,
        to=to,
        evidence=_text(parameters, "evidence") if resolving else "",
        subject=_text(parameters, "operation") if parameters.get("operation") is not None else None,
    )


def _minor(value: object) -> int | None:
    if value is None:
        return None
    if type(value) is not int or not 0 < value <= LARGEST_MINOR:
        raise Nonsense("/parameters/amount", "An amount is a whole number of minor units, at least 1.")
    return value


def _text(parameters: Mapping[str, Any], field: str) -> str:
    value = parameters.get(field)
    if not isinstance(value, str) or not 0 < len(value.strip()) <= EVIDENCE_LONGEST:
        raise Nonsense(f"/parameters/{field}", f"This is a text of 1 to {EVIDENCE_LONGEST} characters.")
    return value.strip()
