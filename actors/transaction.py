"""The actor that owns one payment: it loads it from the journal, decides, commits, and only then acts.

Every step has the same shape: a pure function writes events, the journal commits them (with the claim of the merchant's key, the answer
and the announcements that belong to them), and after the commit the calls that the events prepared are told to their connectors. Nothing is
kept here that the journal does not have, except who is waiting for an answer and which calls are under way; so a crash at any line is
safe, and a new life begins with `started`.

Not here: what follows from what (`payorch.domain`), HTTP, SQL. A payment that is at rest has no actor (`Directory` starts one when needed).
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import datetime
from typing import Final, TypeVar, assert_never

import trio

from actors.actor import Actor
from actors.commands import decision_of, unsure_of, waiting_for
from actors.connector import Execute
from actors.looks import attempt_of, call_for, inquiry_about, kept_back, key_for, maybe_on_the_wire, subject_of, unanswered
from actors.mailbox import ActorStopped, MailboxFull
from actors.messages import (
    Answered,
    AnswersAgain,
    Cancel,
    Capture,
    Confirm,
    Create,
    Due,
    FollowUp,
    Forbidden,
    InquiryOver,
    KeyTaken,
    Message,
    NoSuchPayment,
    Notified,
    Operate,
    Operated,
    Outcome,
    Refund,
    Settled,
    ShopperReturned,
    Stranger,
    Unweighable,
    Void,
)
from actors.shoppers import Shoppers
from actors.steps import append_of
from actors.surroundings import Surroundings, Unwritable
from actors.waiting import Waiting, answers_to
from payorch.domain import decide
from payorch.domain.completion import complete, shows_turn
from payorch.domain.desk import Desk, Story
from payorch.domain.events import AttemptOpened, Completion, Correction, OperationOpened
from payorch.domain.fencing import fence
from payorch.domain.outcome import Absent, Evidence, Finding, NotExecuted, Source, Unknown
from payorch.domain.proof import Look, Means, looks_ahead, looks_due, may_replay_ahead, sends_ahead
from payorch.domain.records import Attempt, Operation, OperationKind, Payment, PreparedCall
from payorch.domain.testimony import weigh_testimony
from payorch.domain.weigh import expire, weigh
from payorch.domain.weigh_nothing import bring_forward, taught_nothing
from payorch.store.items import Appended, Claim, ClaimLost, NoticeMark, NoticeState, Result, SettledBefore
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolExhausted

T = TypeVar("T")

_AWAY: Final = (JournalUnavailable, DatabaseUnavailable, PoolExhausted)
_CANNOT_BE_ASKED: Final = "The PSP offers no way to ask about this."

AHEAD = "psp_answers_again"
"""The cause of looks that were taken before their time."""


class TransactionActor(Actor[Message]):
    """One payment. `fresh`: it does not exist yet, the first message creates it; nothing is loaded.

    unsure_before: until then somebody else may have acted for it (a life that died, a tree or process that ended) and have had calls under
    way of which nothing is written. Whoever rested had none.
    """

    def __init__(self, payment_id: str, surroundings: Surroundings, *, fresh: bool, unsure_before: datetime) -> None:
        self._id = payment_id
        self._around = surroundings
        self._fresh = fresh
        self._payment: Payment | None = None
        self._under_way: dict[str, tuple[float, Source]] = {}  # subject -> when its call was handed over, as what
        self._watching = False  # whether a task looks after calls that nobody comes back from
        self._unsure_before = unsure_before
        self._waiting: list[Waiting] = []
        self._shoppers = Shoppers(
            complete=self._complete, ask=self._ask_for_shopper, is_under_way=self._is_under_way, payment=lambda: self._payment
        )
        self._held: list[FollowUp] = []  # commands that wait for what an inquiry finds
        self._inquired: set[str] = set()  # the subjects of that inquiry that have not been heard of yet
        self._inquiries = 0
        self._psp_seconds = 0.0
        self._sendable: frozenset[OperationKind] = frozenset()  # what its PSP takes, when it was last said to answer again

    async def started(self) -> None:
        """Load the payment; what may have been sent without an answer is unknown from here on."""
        if self._fresh:
            return
        self._payment = await self._patiently(lambda: self._around.load(self._id))
        if self._payment is None or self._payment.hold is not None:
            return
        at = self._around.office.clock.now()
        for subject in maybe_on_the_wire(self._payment, self._unsure_before):
            why = "The process ended before the PSP's answer was recorded."
            lost = unanswered(Source.RESTART, "no_answer_at_restart", why, at)
            await self._weigh(subject, lost, cause="restart", actor="system")

    async def receive(self, message: Message) -> None:
        match message:
            case Create():
                await self._create(message)
            case Confirm():
                waiting = Waiting(claim=message.claim, reply_to=message.reply_to, status=200, authorizes=True, since=trio.current_time())
                await self._command(waiting, lambda story: decide.confirm(story, message.method, message.return_url))
            case Cancel() | Capture() | Void() | Refund():
                await self._follow_up(message)
            case InquiryOver(number=number):
                if number == self._inquiries:
                    await self._decide_held()
            case Answered(subject_id=subject_id, evidence=evidence, cause=cause):
                await self._answered(subject_id, evidence, cause)
            case Due():
                await self._due()
            case AnswersAgain():
                await self._look_ahead(message)
            case ShopperReturned():
                await self._shoppers.came_back(message)
            case Notified():
                await self._notified(message)
            case Operate():
                await self._operate(message)
            case _ as never:
                assert_never(never)
        self._rest_if_idle()

    # --- commands

    async def _create(self, message: Create) -> None:
        claim = message.claim
        desk = self._desk(actor=f"merchant:{message.merchant_id}", cause=claim.request_id)
        story = decide.create(self._id, message.merchant_id, message.intent, desk)
        waiting = Waiting(claim=claim, reply_to=message.reply_to, status=201, authorizes=message.confirm, since=trio.current_time())
        await self._command(waiting, decide.confirm if message.confirm else _nothing, story)

    async def _follow_up(self, message: FollowUp) -> None:
        """A command on what is there already. Where an outcome is unknown the PSP is asked at once, and the command waits for that a while.

        Nothing is accepted meanwhile: the claim of its key is written when it is decided, so a crash leaves nothing behind.
        """
        if not self._held:
            self._inquired = self._inquire(message.claim.request_id)
            if not self._inquired:
                return await self._decide(message)
            self._inquiries += 1
            self.spawn(self._end_inquiry, self._inquiries)
        elif len(self._held) >= self.mailbox.capacity:
            return message.reply_to.fail(MailboxFull(f"{self._id}: {len(self._held)} commands wait for an inquiry"))
        self._held.append(message)
        return None

    def _inquire(self, cause: str, subjects: Iterable[str] | None = None) -> set[str]:
        """Asks the PSP about these, or everything unknown; the ids of what will be heard of. Never a replay: it must not move anything."""
        payment = self._payment
        if payment is None:
            return set()
        asked = set()
        for subject_id in [one.id for one in unsure_of(payment)] if subjects is None else subjects:
            if not self._is_under_way(subject_id):
                call = inquiry_about(self._around.office, payment, subject_id)
                if call is None:
                    continue
                try:
                    self._send(payment, subject_id, call, Source.INQUIRY, cause=cause)
                except (MailboxFull, ActorStopped):
                    continue
            asked.add(subject_id)
        return asked

    async def _end_inquiry(self, number: int) -> None:
        """Beside the message loop: the patience of those who wait for inquiry `number`."""
        await trio.sleep(self._around.office.limits.inquire_first_seconds)
        while True:
            try:
                return self.ref.tell(InquiryOver(number=number))
            except ActorStopped:
                return None
            except MailboxFull:
                await trio.sleep(self._around.retry_seconds)

    async def _decide_held(self) -> None:
        """The inquiry is over: what waits for it is decided on what is known now, in the order in which it came."""
        held, self._held = self._held, []
        self._inquired.clear()
        self._inquiries += 1
        for message in held:
            await self._decide(message)

    async def _decide(self, message: FollowUp) -> None:
        if message.reply_to.settled:
            return  # its asker has gone: nothing was accepted, and nothing is begun for nobody
        await self._command(waiting_for(message, self._payment), decision_of(message))

    async def _command(self, waiting: Waiting, write: Callable[[Story], object], story: Story | None = None) -> None:
        """Runs one merchant command: refused, or committed together with the claim of its key."""
        if story is None:
            if self._payment is None:
                return waiting.reply_to.answer(NoSuchPayment())
            story = Story(self._payment, self._desk(actor=f"merchant:{self._payment.merchant_id}", cause=waiting.claim.request_id))
        try:
            write(story)
        except decide.Refused as refusal:
            return waiting.reply_to.answer(Forbidden(refusal=refusal, payment=story.payment))
        try:
            result = await self._append(story, claim=waiting.claim, newcomer=waiting)
        except JournalUnavailable as problem:
            return waiting.reply_to.fail(problem)
        if isinstance(result, ClaimLost):
            return waiting.reply_to.answer(KeyTaken())
        await self._act(story)
        return None

    async def _operate(self, message: Operate) -> None:
        """Runs one operator's act: refused, found to be done already, or committed, and then acted upon."""
        if self._payment is None:
            return message.reply_to.answer(NoSuchPayment())
        try:
            if await message.done():
                return message.reply_to.answer(Operated(payment=self._payment, before=True))
            story = Story(self._payment, self._desk(actor=message.actor, cause=message.cause))
            message.write(story)
            if story.events:
                await self._append(story)
        except decide.Refused as refusal:
            return message.reply_to.answer(Forbidden(refusal=refusal, payment=self._payment))
        except _AWAY as problem:
            return message.reply_to.fail(problem)
        except Unwritable as refusal:
            message.reply_to.fail(refusal)
            raise
        await self._act(story)
        await self._due()
        asked = message.ask(self._payment, story.desk) if message.ask is not None else ()
        self._inquire(message.cause, asked)
        return message.reply_to.answer(Operated(payment=self._payment, before=False, asked=asked))

    # --- evidence

    async def _answered(self, subject_id: str, evidence: Evidence, cause: str) -> None:
        self._under_way.pop(subject_id, None)
        self._psp_seconds += (evidence.latency_ms or 0) / 1000
        if self._payment is None:
            return
        connector = attempt_of(self._payment, subject_id).connector
        await self._weigh(subject_id, evidence, cause=cause, actor=f"psp:{connector}")
        if cause == AHEAD:
            await self._go_ahead(subject_id, evidence.finding)
        await self._shoppers.call_over()
        if subject_id in self._inquired:
            self._inquired.remove(subject_id)
            if not self._inquired:
                await self._decide_held()

    async def _weigh(self, subject_id: str, evidence: Evidence, *, cause: str, actor: str) -> None:
        """Commits what the evidence amounts to. It is weighed anew for each try, because the journal may have been away for long.

        What a look before its time brings is written only where it says something: such looks may come as often as a PSP recovers, a
        shopper reloads his page, or a merchant asks for what is not to be had.
        """
        early = cause == AHEAD or evidence.source is Source.INQUIRY

        async def once() -> Story:
            payment = self._payment
            assert payment is not None
            story = weigh(payment, subject_id, evidence, self._desk(actor=actor, cause=cause))
            if not (early and taught_nothing(payment, story)):
                await self._append(story)
            return story

        await self._act(await self._patiently(once))

    async def _notified(self, message: Notified) -> None:
        """Weighs what a PSP told and settles its notice in the same commit. What cannot be weighed hurts nobody: nothing is written."""
        if self._payment is None:
            return message.told(Stranger())

        async def once() -> tuple[Story, Outcome]:
            payment, desk = self._payment, self._desk(actor=f"psp:{message.connector}", cause=message.notice_id)
            assert payment is not None
            try:
                testimony = self._around.office.testimony(message.connector, message.kind, message.content, payment, at=desk.at)
                story = weigh_testimony(payment, testimony, desk)
            except Exception as bug:
                return Story(payment, desk), Unweighable(why=f"{type(bug).__name__} while it was weighed")
            outcome = "applied" if story.events else "implied"
            mark = NoticeMark(notice_id=message.notice_id, state=NoticeState.APPLIED, outcome=outcome, at=desk.at, payment_id=self._id)
            settled_now = not isinstance(await self._append(story, notice=mark), SettledBefore)
            return (story if settled_now else Story(payment, desk)), Settled(outcome=outcome)

        story, outcome = await self._patiently(once)
        message.told(outcome)
        await self._act(story)
        await self._shoppers.go_on_if_done(message.notice_id)
        return None

    async def _due(self) -> None:
        """Timers: the payment's own, and a look at each child whose time has come."""
        if self._payment is None:
            return
        for subject_id, (_, source) in list(self._under_way.items()):
            if not self._is_under_way(subject_id):
                await self._lost_on_the_way(subject_id, source)
        story = expire(self._payment, self._desk(cause="timer"))
        if story.events:
            await self._patiently(lambda: self._append(story))
        for look in looks_due(self._payment, self._desk(cause="timer")):
            await self._look(look)

    async def _look_ahead(self, message: AnswersAgain) -> None:
        """Looks at what is open at that connector before its time."""
        if self._payment is None:
            return
        self._sendable |= message.sendable  # two of its circuits may have closed one after the other
        for look in looks_ahead(self._payment, message.connector, message.sendable, self._desk(cause=AHEAD)):
            await (self._send_ahead(look) if look.means is Means.SEND else self._look(look, cause=AHEAD))

    async def _go_ahead(self, subject_id: str, finding: Finding) -> None:
        """It was asked about before its time. Where the PSP answered, what never arrived may arrive now, and what waits may be sent."""
        payment, desk = self._payment, self._desk(cause=AHEAD)
        assert payment is not None
        subject = subject_of(payment, subject_id)
        not_done = isinstance(finding, Absent) or (isinstance(subject, Attempt) and subject.completing and shows_turn(finding))
        if not_done and may_replay_ahead(payment, subject, desk):
            await self._look(Look(subject_id=subject_id, means=Means.REPLAY), cause=AHEAD)
        elif isinstance(subject, Attempt) and not isinstance(finding, (Unknown, NotExecuted)):
            for look in sends_ahead(payment, subject_id, self._sendable, desk):
                await self._send_ahead(look)

    async def _send_ahead(self, look: Look) -> None:
        payment = self._payment
        assert payment is not None
        if not self._is_under_way(look.subject_id):
            story = bring_forward(payment, look.subject_id, self._desk(cause=AHEAD))
            await self._patiently(lambda: self._append(story))
            await self._look(look, cause=AHEAD)

    async def _look(self, look: Look, *, cause: str = "timer") -> None:
        payment = self._payment
        assert payment is not None
        if look.means is Means.COMPLETE and await self._complete(look.subject_id, {}, cause):
            return None
        if look.means is Means.LOST:
            self._under_way.pop(look.subject_id, None)
            return await self._without_answer(look.subject_id, Source.RESPONSE, "no_answer", "The PSP call ended without an answer.")
        if self._is_under_way(look.subject_id):
            return None
        office = self._around.office
        look = look if look.means is not Means.COMPLETE else Look(subject_id=look.subject_id, means=Means.INQUIRE)
        repeat = look.means in (Means.SEND, Means.REPLAY)
        if look.means is Means.FENCE:
            prepared = await self._step(lambda story: fence(story, story.payment.attempt(look.subject_id)), cause)
            payment, repeat = prepared.payment, not prepared.events
        call, source = call_for(office, payment, look)
        if call is None:
            return await self._without_answer(look.subject_id, Source.INQUIRY, "cannot_be_asked", _CANNOT_BE_ASKED)
        # Where a replay may not be sent now, the PSP is asked instead, so that no step of the schedule is wasted. Before its time it has
        # been asked already.
        instead = inquiry_about(office, payment, look.subject_id) if source is Source.REPLAY and cause != AHEAD else None
        with contextlib.suppress(MailboxFull, ActorStopped):  # its timer stays due: the next sweep tries again
            self._send(payment, look.subject_id, call, source, cause=cause, repeat=repeat, instead=instead)
        return None

    async def _lost_on_the_way(self, subject_id: str, source: Source) -> None:
        """A call was sent and its answer is lost with its connector's actor: no longer surely unsent. A question moves nothing."""
        self._under_way.pop(subject_id, None)
        if source is not Source.INQUIRY:
            await self._without_answer(subject_id, source, "no_answer", "The PSP call ended without an answer.")

    async def _watch_calls(self) -> None:
        """Beside the message loop: a call that nobody comes back from must not keep the actor awake for ever."""
        office, patience = self._around.office, self._around.retry_seconds
        while self._under_way:
            await trio.sleep_until(min(since for since, _ in self._under_way.values()) + office.limits.call_lost_seconds)
            with contextlib.suppress(MailboxFull, ActorStopped):
                self.ref.tell(Due())
            await trio.sleep(patience)
        self._watching = False

    async def _without_answer(self, subject_id: str, source: Source, code: str, message: str) -> None:
        evidence = unanswered(source, code, message, self._around.office.clock.now())
        await self._weigh(subject_id, evidence, cause="timer", actor="system")

    async def _ask_for_shopper(self, attempt_id: str, cause: str) -> None:
        payment = self._payment
        assert payment is not None
        call = inquiry_about(self._around.office, payment, attempt_id)
        if call is None:  # it tells by webhook; the time for the action may be over all the same
            return await self._without_answer(attempt_id, Source.INQUIRY, "cannot_be_asked", _CANNOT_BE_ASKED)
        with contextlib.suppress(MailboxFull, ActorStopped):
            self._send(payment, attempt_id, call, Source.INQUIRY, cause=cause)
        return None

    async def _complete(self, attempt_id: str, returned: Mapping[str, str], cause: str) -> bool:
        """Commits that call, and then sends it. False where it may not be made, or while another about the attempt is under way: its answer
        could not be told from this one's.
        """
        if self._is_under_way(attempt_id):
            return False

        story = await self._step(lambda story: complete(story, story.payment.attempt(attempt_id), returned), cause)
        await self._act(story)
        return bool(story.events)

    async def _step(self, write: Callable[[Story], object], cause: str) -> Story:
        """Commits what `write` makes of the payment, if it makes anything of it."""

        async def once() -> Story:
            payment = self._payment
            assert payment is not None
            story = Story(payment, self._desk(cause=cause))
            write(story)
            if story.events:
                await self._append(story)
            return story

        return await self._patiently(once)

    # --- commit, then act

    async def _append(
        self, story: Story, claim: Claim | None = None, newcomer: Waiting | None = None, notice: NoticeMark | None = None
    ) -> Result:
        """One commit: events, view, children, announcements, the claim, the notice, and the answer to whoever can be answered now."""
        before = self._payment
        payment = story.payment
        waiting = [one for one in (*self._waiting, *((newcomer,) if newcomer else ())) if not one.reply_to.settled]
        answers = answers_to(waiting, payment, self._around.present)
        answer = answers[0][1] if answers else None
        result = await self._around.write(append_of(before, story, self._around, claim=claim, answer=answer, notice=notice))
        if isinstance(result, (ClaimLost, SettledBefore)):
            return result
        if not isinstance(result, Appended):
            raise Unwritable(f"{self._id}: {result}")
        self._payment = payment
        done = [one for one, _ in answers]
        for one in done:
            if one.authorizes:
                self._around.authorized(payment, trio.current_time() - one.since, self._psp_seconds)
        self._waiting = [one for one in waiting if one not in done]
        if answers:
            answers[0][0].tell(answers[0][1], stored=result.answer_stored)
        for one, answer in answers[1:]:
            # Rare (a cancel while the creation still waits): each further answer is an item of its own.
            try:
                also = await self._around.write(answer)
            except JournalUnavailable as problem:
                one.reply_to.fail(problem)  # the step itself is durable; this asker settles by the key
            else:
                one.tell(answer, stored=isinstance(also, Appended) and also.answer_stored)
        return result

    async def _act(self, story: Story) -> None:
        """After the commit: send the calls that the events prepared."""
        for event in story.events:
            match event.data:
                case AttemptOpened(attempt=subject):
                    await self._send_first(subject, event.cause)
                case Completion(attempt_id=attempt_id):
                    await self._send_first(story.payment.attempt(attempt_id), event.cause)
                case OperationOpened(operation=subject) | Correction(operation=Operation() as subject) if (
                    subject.on_the_wire and subject.call
                ):
                    await self._send_first(subject, event.cause)
                case _:
                    pass

    async def _send_first(self, subject: Attempt | Operation, cause: str) -> None:
        payment = self._payment
        assert payment is not None
        assert subject.call is not None
        try:
            self._send(payment, subject.id, subject.call, Source.RESPONSE, cause=cause)
        except (MailboxFull, ActorStopped) as refusal:
            evidence = kept_back(f"Not sent: {type(refusal).__name__}.", self._around.office.clock.now())
            await self._weigh(subject.id, evidence, cause=cause, actor="system")

    def _send(
        self,
        payment: Payment,
        subject_id: str,
        call: PreparedCall,
        source: Source,
        *,
        cause: str,
        repeat: bool = False,
        instead: PreparedCall | None = None,
    ) -> None:
        subject = subject_of(payment, subject_id)
        self._around.postbox.send(
            attempt_of(payment, subject_id).connector,
            Execute(
                payment_id=self._id,
                subject=subject,
                call=call,
                psp_key=key_for(subject, source),
                source=source,
                cause=cause,
                repeat=repeat,
                instead=instead,
            ),
        )
        self._under_way[subject_id] = (trio.current_time(), source)
        if not self._watching and (repeat or source is not Source.RESPONSE):  # a first call has a timer in the journal
            self._watching = True
            self.spawn(self._watch_calls)

    # --- small things

    def _desk(self, *, cause: str, actor: str = "system") -> Desk:
        return self._around.office.desk(actor=actor, cause=cause, unsure_before=self._unsure_before)

    def _is_under_way(self, subject_id: str) -> bool:
        """Whether a call about it may still come back. One that should have long since was lost with its connector's actor."""
        handed_over = self._under_way.get(subject_id)
        return handed_over is not None and trio.current_time() - handed_over[0] < self._around.office.limits.call_lost_seconds

    def _rest_if_idle(self) -> None:
        """A payment at rest needs no actor: the journal has it, and its timers wake it. The last look at the mailbox is ours."""
        self._waiting = [one for one in self._waiting if not one.reply_to.settled]
        if not (self._waiting or self._held or self._under_way or self._shoppers.anybody() or self.mailbox.depth):
            self.stop()

    async def _patiently(self, step: Callable[[], Awaitable[T]]) -> T:
        """The step, tried until the journal and the database answer. Losing them pauses a payment and loses nothing of it."""
        while True:
            try:
                return await step()
            except _AWAY:
                await trio.sleep(self._around.retry_seconds)


def _nothing(_: Story) -> None:
    """A creation without a confirmation."""
