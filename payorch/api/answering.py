"""From a merchant's POST to the one answer that its Idempotency-Key will ever have.

The key is claimed in the same commit as the first events of what it asks for, so there is no moment in which one exists without the other.
Whoever comes second is answered from what is stored: the first answer, byte for byte; 409 while the first is still being executed; and
where nobody answered in time (a crash, a slow PSP), 202 with the payment as it stands, which is stored first and stays the answer.

Whatever happens to the HTTP request, the payment goes on: this module only waits. Not here: HTTP, validation, what the commands do.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final, Protocol, TypeVar, assert_never, final

import psycopg
import trio

from actors.child import TooManyChildren
from actors.mailbox import ActorStopped, AskTimeout, MailboxFull, Reply
from actors.messages import Cancel, Capture, Confirm, Create, Forbidden, Given, KeyTaken, Message, NoSuchPayment, Refund, Verdict, Void
from payorch.api.contracts import CapturePaymentBody, RefundPaymentBody, VoidPaymentBody
from payorch.api.present import answer_json
from payorch.api.problems import Code, FieldError
from payorch.api.refusal import InvalidBody, Refusal, not_found
from payorch.domain.decide import OPERATION_PREFIX, Refused
from payorch.domain.intent import Intent, PaymentMethod
from payorch.domain.payment import State
from payorch.domain.records import OperationKind, Payment
from payorch.ports import Clock
from payorch.store.items import Answer, Appended, Claim, Result
from payorch.store.journal import JournalUnavailable
from payorch.store.pool import DatabaseUnavailable, PoolClosed, PoolExhausted, Trouble, trouble_of
from payorch.store.reads import StoredClaim

T = TypeVar("T")

CREATE: Final = "POST /v1/payments"
"""The `method_path` of a creation."""
RETRY_AFTER_SECONDS: Final = 1
"""Told with a 503: a restart of what failed, or a commit that hangs, takes about that long."""

SETTLE_WITHIN_SECONDS: Final = 3.0
"""For storing the answer to a request that took too long already. While the database is away the journal may hold a write for a minute."""

_NOT_ACCEPTED: Final = (
    "The database does not answer. This request was not accepted and moved no money. If it repeats an earlier one, only that one's answer "
    "tells what became of it: repeat the request with the same Idempotency-Key after the time in Retry-After."
)
_OVERLOADED: Final = (MailboxFull, TooManyChildren, PoolExhausted)
# What reading the database or writing through the journal raises when it cannot be done now.
OUT_OF_REACH: Final = (
    *(DatabaseUnavailable, PoolExhausted, PoolClosed, psycopg.Error),
    *(JournalUnavailable, ActorStopped, MailboxFull, AskTimeout, trio.TooSlowError),
)


class Asker(Protocol):
    """The door to the payments' actors: `actors.directory.Directory`."""

    async def create(self, payment_id: str, make: Callable[[Reply[T]], Message], *, within_seconds: float) -> T: ...

    async def ask(self, payment_id: str, make: Callable[[Reply[T]], Message], *, within_seconds: float) -> T: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One POST as far as idempotency is concerned. `fingerprint`: of method, path and body; `method_path`: for people."""

    merchant_id: str
    key: str
    fingerprint: bytes
    method_path: str
    request_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the caller is answered. `replayed`: this request executed nothing, the answer is that of an earlier one."""

    status: int
    body: bytes
    replayed: bool = False
    content_type: str = "application/json"


def refusal_of(error: Exception, *, surely_nothing: bool) -> Refusal | None:
    """The 503 for an obstacle on the way to the database or an actor; None for what is a bug of ours.

    surely_nothing: nothing of this request can have been written.
    """
    if isinstance(error, psycopg.Error) and trouble_of(error) is Trouble.STATEMENT:
        return None
    if surely_nothing:
        if isinstance(error, _OVERLOADED):
            return Refusal(Code.OVERLOADED, retry_after_seconds=RETRY_AFTER_SECONDS)
        return Refusal(Code.UNAVAILABLE, detail=_NOT_ACCEPTED, money_moved="no", retry_after_seconds=RETRY_AFTER_SECONDS)
    return Refusal(Code.UNAVAILABLE, retry_after_seconds=RETRY_AFTER_SECONDS)


@final
class Answering:
    """Executes each key once, and answers it for ever. `write` returns when the answer is durable or surely not."""

    def __init__(
        self,
        *,
        clock: Clock,
        identifier: Callable[[str], str],
        directory: Asker,
        stored_claim: Callable[[str, str], Awaitable[StoredClaim | None]],
        load_payment: Callable[[str], Awaitable[Payment | None]],
        write_answer: Callable[[Answer], Awaitable[Result]],
        answer_within_seconds: float,
    ) -> None:
        self._clock = clock
        self._identifier = identifier
        self._directory = directory
        self._stored_claim = stored_claim
        self._load_payment = load_payment
        self._write_answer = write_answer
        self._within_seconds = answer_within_seconds
        self._under_way: dict[tuple[str, str], bytes] = {}

    @property
    def under_way(self) -> Mapping[tuple[str, str], bytes]:
        """(merchant, key) -> fingerprint of what this process executes now."""
        return self._under_way

    # --- the commands

    async def create(self, asked: Asked, intent: Intent, *, confirm: bool) -> Said:
        """A new payment, confirmed or not. Raises Refusal."""
        with self._taken(asked):
            if intent.retry_of is not None:
                earlier = await self._earlier_or_retriable(asked, intent.retry_of)
                if earlier is not None:
                    return earlier
            claim = self._claim(asked, self._identifier("pay"))

            def make(reply: Reply[Verdict]) -> Message:
                return Create(merchant_id=asked.merchant_id, intent=intent, confirm=confirm, claim=claim, reply_to=reply)

            return await self._execute(asked, claim, self._directory.create, make)

    async def confirm(self, asked: Asked, payment_id: str, method: PaymentMethod | None, return_url: str | None) -> Said:
        """Go. Raises Refusal."""

        def make(claim: Claim, reply: Reply[Verdict]) -> Message:
            return Confirm(claim=claim, method=method, return_url=return_url, reply_to=reply)

        return await self._follow_up(asked, payment_id, make)

    async def cancel(self, asked: Asked, payment_id: str) -> Said:
        """End it, now or as soon as that can be. Raises Refusal."""
        return await self._follow_up(asked, payment_id, lambda claim, reply: Cancel(claim=claim, reply_to=reply))

    async def capture(self, asked: Asked, payment_id: str, body: CapturePaymentBody) -> Said:
        """Take what is held. Answers the capture with the payment inside, as the two below do theirs. Raises Refusal."""

        def make(claim: Claim, reply: Reply[Verdict]) -> Message:
            return Capture(
                claim=claim, minor=body.amount, final=body.final, reference=body.reference, metadata=body.metadata, reply_to=reply
            )

        return await self._follow_up(asked, payment_id, make, OperationKind.CAPTURE)

    async def void(self, asked: Asked, payment_id: str, body: VoidPaymentBody) -> Said:
        """Release what is held. Raises Refusal."""

        def make(claim: Claim, reply: Reply[Verdict]) -> Message:
            return Void(claim=claim, reference=body.reference, metadata=body.metadata, reply_to=reply)

        return await self._follow_up(asked, payment_id, make, OperationKind.VOID)

    async def refund(self, asked: Asked, payment_id: str, body: RefundPaymentBody) -> Said:
        """Give back what was captured. Raises Refusal."""

        def make(claim: Claim, reply: Reply[Verdict]) -> Message:
            return Refund(
                claim=claim, minor=body.amount, reason=body.reason, reference=body.reference, metadata=body.metadata, reply_to=reply
            )

        return await self._follow_up(asked, payment_id, make, OperationKind.REFUND)

    async def _follow_up(
        self, asked: Asked, payment_id: str, make: Callable[[Claim, Reply[Verdict]], Message], kind: OperationKind | None = None
    ) -> Said:
        """kind: of the operation that the command makes. It is named here and by the claim, which can then be answered by itself."""
        with self._taken(asked):
            earlier = await self._earlier(asked)
            if earlier is not None:
                return earlier
            payment = await self._read(self._load_payment(payment_id))
            if payment is None or payment.merchant_id != asked.merchant_id:
                raise not_found()
            claim = self._claim(asked, payment_id, self._identifier(OPERATION_PREFIX[kind]) if kind is not None else None)
            return await self._execute(asked, claim, self._directory.ask, lambda reply: make(claim, reply))

    # --- asking the actor

    async def _execute(
        self, asked: Asked, claim: Claim, ask: Callable[..., Awaitable[Verdict]], make: Callable[[Reply[Verdict]], Message]
    ) -> Said:
        handed_over = False

        def hand_over(reply: Reply[Verdict]) -> Message:
            nonlocal handed_over
            handed_over = True
            return make(reply)

        try:
            verdict = await ask(claim.payment_id, hand_over, within_seconds=self._within_seconds)
        except (MailboxFull, TooManyChildren) as obstacle:
            raise _refused(obstacle, surely_nothing=True) from obstacle
        except (AskTimeout, ActorStopped, JournalUnavailable) as obstacle:
            if isinstance(obstacle, ActorStopped) and not handed_over:
                raise _refused(obstacle, surely_nothing=True) from obstacle
            return await self._after(obstacle, asked, claim)
        return await self._heard(verdict, asked, claim)

    async def _heard(self, verdict: Verdict, asked: Asked, claim: Claim) -> Said:
        match verdict:
            case Given(status=status, body=body):
                return Said(status=status, body=body)
            case KeyTaken():
                stored = await self._read(self._stored_claim(asked.merchant_id, asked.key), surely_nothing=False)
                if stored is None:
                    raise AssertionError("a key that is taken is not there")
                return await self._from_stored(asked, stored, claim)
            case Forbidden(refusal=refusal):
                # A twin with the same key may have been faster, and be the reason why this is forbidden now.
                earlier = await self._earlier(asked, surely_nothing=False)
                if earlier is not None:
                    return earlier
                raise _forbidden(refusal)
            case NoSuchPayment():
                raise not_found()
            case _ as never:
                assert_never(never)

    async def _after(self, obstacle: Exception, asked: Asked, claim: Claim) -> Said:
        """No verdict came. What is stored says whether the request was accepted; where nothing is, it may be on its way."""
        # The journal says that nothing was written for this request, and a creation has no other part that could have been.
        nothing = isinstance(obstacle, JournalUnavailable) and asked.method_path == CREATE
        if nothing:
            raise _refused(obstacle, surely_nothing=True) from obstacle
        stored = await self._read(self._stored_claim(asked.merchant_id, asked.key), surely_nothing=False)
        if stored is None:
            raise _refused(obstacle, surely_nothing=isinstance(obstacle, JournalUnavailable)) from obstacle
        return await self._from_stored(asked, stored, claim)

    # --- what is stored

    async def _earlier(self, asked: Asked, *, surely_nothing: bool = True) -> Said | None:
        """The answer from an earlier request with this key; None where there was none."""
        stored = await self._read(self._stored_claim(asked.merchant_id, asked.key), surely_nothing=surely_nothing)
        return await self._from_stored(asked, stored, None) if stored is not None else None

    async def _from_stored(self, asked: Asked, stored: StoredClaim, claim: Claim | None) -> Said:
        """The answer to a key that is taken. `claim`: the one this very request has made, if it has; then it need not wait for itself."""
        if stored.fingerprint != asked.fingerprint:
            raise Refusal(Code.IDEMPOTENCY_KEY_REUSED)
        own = claim is not None and _same(stored, claim)
        if stored.status is not None and stored.body is not None:
            return Said(status=stored.status, body=stored.body, replayed=not own)
        until = stored.created_at + timedelta(seconds=self._within_seconds)
        left_seconds = (until - self._clock.now()).total_seconds()
        if not own and left_seconds > 0:
            raise _in_progress(left_seconds)
        return await self._settle(asked, stored, replayed=not own)

    async def _settle(self, asked: Asked, stored: StoredClaim, *, replayed: bool) -> Said:
        """Nobody answered this key in time: 202 with its subject as it stands becomes its answer, unless another was faster."""
        payment = await self._read(self._load_payment(stored.payment_id), surely_nothing=False)
        if payment is None:
            raise AssertionError("a key was claimed without its payment")
        status, body = HTTPStatus.ACCEPTED.value, answer_json(payment, stored.subject_id)
        answer = Answer(merchant_id=asked.merchant_id, key=asked.key, status=status, body=body, at=self._clock.now())
        result = await self._read(self._write_soon(answer), surely_nothing=False)
        if not isinstance(result, Appended):
            raise AssertionError(f"the journal refused an answer: {result}")
        if result.answer_stored:
            return Said(status=status, body=body, replayed=replayed)
        faster = await self._read(self._stored_claim(asked.merchant_id, asked.key), surely_nothing=False)
        if faster is None or faster.status is None or faster.body is None:
            raise AssertionError("an answer was stored before ours, and is not there")
        return Said(status=faster.status, body=faster.body, replayed=replayed)

    async def _write_soon(self, answer: Answer) -> Result:
        with trio.fail_after(SETTLE_WITHIN_SECONDS):
            return await self._write_answer(answer)

    async def _earlier_or_retriable(self, asked: Asked, retried_id: str) -> Said | None:
        """None where that payment of the same merchant has failed, so that this one may follow it. Raises Refusal."""
        retried = await self._read(self._load_payment(retried_id))
        if retried is not None and retried.merchant_id == asked.merchant_id and retried.state is State.FAILED:
            return None
        # It may have left FAILED since the first request with this key: then that one's answer stands.
        earlier = await self._earlier(asked)
        if earlier is None:
            raise InvalidBody([FieldError(pointer="/retry_of", detail="There is no failed payment of yours with this id.")])
        return earlier

    # --- small things

    @contextmanager
    def _taken(self, asked: Asked) -> Iterator[None]:
        """One request for each key at a time in this process; the others hear it without starting anything."""
        place = (asked.merchant_id, asked.key)
        present = self._under_way.get(place)
        if present is not None:
            raise _in_progress(self._within_seconds) if present == asked.fingerprint else Refusal(Code.IDEMPOTENCY_KEY_REUSED)
        self._under_way[place] = asked.fingerprint
        try:
            yield
        finally:
            del self._under_way[place]

    def _claim(self, asked: Asked, payment_id: str, subject_id: str | None = None) -> Claim:
        return Claim(
            merchant_id=asked.merchant_id,
            key=asked.key,
            fingerprint=asked.fingerprint,
            method_path=asked.method_path,
            payment_id=payment_id,
            subject_id=subject_id,
            request_id=asked.request_id,
            created_at=self._clock.now(),
        )

    async def _read(self, step: Awaitable[T], *, surely_nothing: bool = True) -> T:
        try:
            return await step
        except OUT_OF_REACH as obstacle:
            raise _refused(obstacle, surely_nothing=surely_nothing) from obstacle


def _refused(obstacle: Exception, *, surely_nothing: bool) -> Refusal:
    """The obstacle as a refusal; raised as it is where it is a bug."""
    refusal = refusal_of(obstacle, surely_nothing=surely_nothing)
    if refusal is None:
        raise obstacle
    return refusal


def _same(stored: StoredClaim, claim: Claim) -> bool:
    return (stored.payment_id, stored.request_id, stored.created_at) == (claim.payment_id, claim.request_id, claim.created_at)


def _in_progress(left_seconds: float) -> Refusal:
    return Refusal(Code.IDEMPOTENCY_IN_PROGRESS, retry_after_seconds=max(1, math.ceil(left_seconds)))


def _forbidden(refusal: Refused) -> Refusal:
    """The domain's no, in the words of the contract; the key stays unused."""
    code = Code(refusal.code)
    if code is Code.VALIDATION_FAILED:
        return InvalidBody([FieldError(pointer=f"/{refusal.field}", detail=refusal.detail)])
    allowed = [str(command) for command in refusal.allowed] if code is Code.OPERATION_NOT_ALLOWED else None
    why = refusal.detail[:1].upper() + refusal.detail[1:].rstrip(".")  # a connector's own words may be half a sentence
    return Refusal(code, detail=f"{why}. It was not executed and moved no money.", allowed=allowed)
