"""Well-known mistakes, each planted by replacing a few lines of the platform while one run lasts. The proof that the simulation bites.

Every one of them must be caught by an invariant within a bounded number of seeds (`test_mutants`). None of them is a switch in the product:
they reach in from here, by name, and fail loudly where that name has gone.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import pytest
import trio
from msgspec.structs import replace

import payorch.api.merchant
from actors import steps, transaction
from actors.journal import JournalWriter, Write
from actors.recovery import RecoveryActor
from connectors.contract import HttpRequest
from connectors.stripe.connector import StripeConnector
from connectors.stripe.manifest import MANIFEST
from payorch.api.answering import Answering, Said
from payorch.api.present import payment_json
from payorch.domain import decide, weigh, weigh_operation
from payorch.domain.movements import Movement, MovementKind
from payorch.domain.outcome import Approved, Declined, Evidence, NotExecuted, Source, Unknown
from payorch.domain.payment import OperationState
from payorch.domain.proof import Means
from payorch.domain.records import OperationKind, Payment
from payorch.platform import Platform
from payorch.store.items import Append, Appended
from tests.simulation import mutants_of_webhooks

Patch = pytest.MonkeyPatch


def _misread(patch: Patch, wrong: Callable[[Payment, str, Evidence], Evidence]) -> None:
    """Has the payment's actor weigh other evidence than came."""
    honest: Any = vars(transaction)["weigh"]

    def misreading(payment: Payment, subject_id: str, evidence: Evidence, desk: Any) -> Any:
        return honest(payment, subject_id, wrong(payment, subject_id, evidence), desk)

    patch.setattr(transaction, "weigh", misreading)


def _kind(payment: Payment, subject_id: str) -> OperationKind | None:
    return next((one.kind for one in payment.operations if one.id == subject_id), None)


# --- what an unknown outcome is taken for -----------------------------------------------------------------------------------------------


def a_timeout_is_taken_for_a_failure(patch: Patch) -> None:
    def wrong(payment: Payment, subject_id: str, evidence: Evidence) -> Evidence:
        lost = isinstance(evidence.finding, Unknown) and evidence.source is Source.RESPONSE and _kind(payment, subject_id) is None
        return replace(evidence, finding=NotExecuted(failure=evidence.finding.failure, sent=False)) if lost else evidence  # type: ignore[union-attr]

    _misread(patch, wrong)


def a_refunds_timeout_is_taken_for_a_failure(patch: Patch) -> None:
    def wrong(payment: Payment, subject_id: str, evidence: Evidence) -> Evidence:
        lost = isinstance(evidence.finding, Unknown) and _kind(payment, subject_id) is OperationKind.REFUND
        return replace(evidence, finding=Declined(failure=evidence.finding.failure)) if lost else evidence  # type: ignore[union-attr]

    _misread(patch, wrong)


def an_unanswered_void_is_believed(patch: Patch) -> None:
    def wrong(payment: Payment, subject_id: str, evidence: Evidence) -> Evidence:
        lost = isinstance(evidence.finding, Unknown) and _kind(payment, subject_id) is OperationKind.VOID
        return replace(evidence, finding=Approved()) if lost else evidence

    _misread(patch, wrong)


def a_lookup_that_finds_nothing_proves_absence(patch: Patch) -> None:
    patch.setattr(weigh, "absence_proved", lambda *_, **__: True)


def a_lookup_that_finds_no_operation_proves_absence(patch: Patch) -> None:
    patch.setattr(weigh_operation, "absence_proved", lambda *_, **__: True)


# --- keys and their time ----------------------------------------------------------------------------------------------------------------


def every_repeat_has_a_fresh_key(patch: Patch) -> None:
    honest, counter = StripeConnector.request, itertools.count()
    used: set[str] = set()

    def request(self: StripeConnector, call: Any, *, psp_key: str | None, credentials: Any) -> HttpRequest:
        key = psp_key if psp_key not in used else f"{psp_key}-{next(counter)}"
        used.add(psp_key or "")
        return honest(self, call, psp_key=key, credentials=credentials)

    patch.setattr(StripeConnector, "request", request)


def replays_go_on_after_the_keys_time(patch: Patch) -> None:
    longer = dataclasses.replace(MANIFEST, key_safe_window_seconds=30 * 24 * 3600)
    patch.setattr(StripeConnector, "manifest", property(lambda self: longer))


# --- commits and answers ----------------------------------------------------------------------------------------------------------------


def answers_go_out_before_the_commit(patch: Patch) -> None:
    honest = JournalWriter.receive

    async def receive(self: JournalWriter, message: Write) -> None:
        message.reply_to.answer(Appended(0, True))
        await trio.sleep(0.05)
        await honest(self, message)

    patch.setattr(JournalWriter, "receive", receive)


def merchants_keys_are_not_unique(patch: Patch) -> None:
    honest = Platform.write

    def marked(part: Any, payment_id: str) -> Any:
        """Under a key of its own for each payment; later commands keep theirs, so that only creations double."""
        return part if part is None or "-" in part.key else replace(part, key=part.key + payment_id)

    async def write(self: Platform, item: Any) -> Any:
        if isinstance(item, Append):
            mark = item.payment.id
            item = replace(item, claim=marked(item.claim, mark), answer=marked(item.answer, mark))
        return await honest(self, item)

    patch.setattr(Platform, "write", write)


def a_key_answers_whatever_is_asked_under_it(patch: Patch) -> None:
    patch.setattr(payorch.api.merchant, "fingerprint", lambda method, path, body: (method + path).encode())


def a_repeat_is_answered_with_the_present(patch: Patch) -> None:
    honest = Answering._from_stored

    async def from_stored(self: Answering, asked: Any, stored: Any, claim: Any) -> Said:
        said = await honest(self, asked, stored, claim)
        payment = await self._load_payment(stored.payment_id)
        return said if payment is None or stored.subject_id else Said(status=said.status, body=payment_json(payment), replayed=True)

    patch.setattr(Answering, "_from_stored", from_stored)


# --- sums and wishes --------------------------------------------------------------------------------------------------------------------


def an_unknown_refund_reserves_nothing(patch: Patch) -> None:
    def reserved(self: Payment) -> int:
        refunds = self.open_operations(OperationKind.REFUND)
        return sum(one.amount.minor for one in refunds if one.state is not OperationState.UNKNOWN)

    patch.setattr(Payment, "refund_reserved_minor", property(reserved))


def captures_under_way_reserve_nothing(patch: Patch) -> None:
    patch.setattr(Payment, "capture_reserved_minor", property(lambda self: 0))


def the_ledger_forgets_refunds(patch: Patch) -> None:
    honest: Any = vars(steps)["movements"]

    def captures_only(*given: Any) -> tuple[Movement, ...]:
        return tuple(one for one in honest(*given) if one.kind is not MovementKind.REFUND)

    patch.setattr(steps, "movements", captures_only)


def a_wish_to_cancel_is_forgotten(patch: Patch) -> None:
    patch.setattr(weigh, "follow_up", lambda story: None)


# --- what is left behind ----------------------------------------------------------------------------------------------------------------


def nobody_looks_at_timers(patch: Patch) -> None:
    async def sleep(_: RecoveryActor) -> None:
        await trio.sleep_forever()

    patch.setattr(RecoveryActor, "_wake_for_ever", sleep)


def a_restart_forgets_operations(patch: Patch) -> None:
    """Neither what was under way when the power went, nor that it should have been heard of by now."""
    honest: Any = vars(transaction)["looks_due"]

    def attempts_only(payment: Payment, desk: Any) -> Any:
        ids = {attempt.id for attempt in payment.attempts}
        return tuple(look for look in honest(payment, desk) if look.subject_id in ids or look.means is not Means.LOST)

    on_the_wire: Any = vars(transaction)["maybe_on_the_wire"]

    def attempts_on_the_wire(payment: Payment, gone_at: Any) -> list[str]:
        return [one for one in on_the_wire(payment, gone_at) if one.startswith("att_")]

    patch.setattr(transaction, "looks_due", attempts_only)
    patch.setattr(transaction, "maybe_on_the_wire", attempts_on_the_wire)


def timers_are_not_written(patch: Patch) -> None:
    honest = decide.open_operation

    def opened(*given: Any, **named: Any) -> Any:
        operation = honest(*given, **named)
        story = given[0]
        kept = tuple(replace(one, next_action_at=None) if one.id == operation.id else one for one in story.payment.operations)
        story.payment = replace(story.payment, operations=kept)
        return operation

    patch.setattr(decide, "open_operation", opened)


ALL: Final = (
    a_timeout_is_taken_for_a_failure,
    a_refunds_timeout_is_taken_for_a_failure,
    an_unanswered_void_is_believed,
    a_lookup_that_finds_nothing_proves_absence,
    a_lookup_that_finds_no_operation_proves_absence,
    every_repeat_has_a_fresh_key,
    replays_go_on_after_the_keys_time,
    answers_go_out_before_the_commit,
    merchants_keys_are_not_unique,
    a_key_answers_whatever_is_asked_under_it,
    a_repeat_is_answered_with_the_present,
    an_unknown_refund_reserves_nothing,
    captures_under_way_reserve_nothing,
    the_ledger_forgets_refunds,
    a_wish_to_cancel_is_forgotten,
    nobody_looks_at_timers,
    a_restart_forgets_operations,
    timers_are_not_written,
    *mutants_of_webhooks.ALL,
)
MUTANTS: Final[Mapping[str, Callable[[Patch], None]]] = MappingProxyType({plant.__name__: plant for plant in ALL})
"""By name, because a worker process is told the name."""
