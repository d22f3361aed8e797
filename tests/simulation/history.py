"""What merchants asked for and what they heard, classified as Jepsen does: ok (it happened), fail (it surely did not), info (unknown).

Only `fail` lets a check demand absence; `ok` demands presence, for ever. Every answer is also looked at as it comes: its amounts must add
up. Not here: whether the PSP agrees (`books`).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from payorch.domain.payment import PUBLIC_STATUS, State
from payorch.domain.records import Operation, OperationKind, Origin, Payment
from tests.simulation.runtime import Heard

PLURAL: Final = {"capture": "captures", "void": "voids", "refund": "refunds"}
STAGES: Final = ("pre_dispute", "dispute", "pre_arbitration")
_GIVEN: Final = ("succeeded", "pending")


class Classified(StrEnum):
    OK = "ok"
    FAIL = "fail"
    INFO = "info"


@dataclass(slots=True)
class Ask:
    """One request under one key, however often it was sent. `kind`: create, confirm, cancel, capture, void or refund.

    heard: every answer that decided something, in order. sent: how often it left, also without an answer.
    """

    kind: str
    key: str
    path: str
    body: dict[str, Any]
    heard: list[Heard] = field(default_factory=list)
    sent: int = 0

    @property
    def classified(self) -> Classified:
        """By its last answer; the stored ones all being equal is checked apart."""
        if not self.heard:
            return Classified.INFO
        return Classified.OK if self.heard[-1].status in (200, 201, 202) else Classified.FAIL

    @property
    def answer(self) -> dict[str, Any]:
        """The accepted one."""
        return next(heard.json for heard in self.heard if heard.status in (200, 201, 202))


@dataclass(slots=True)
class Order:
    """One order of a merchant: its creation, what was asked of it later, and how far its payment was seen."""

    number: int
    creation: Ask
    asks: list[Ask] = field(default_factory=list)
    version: int = 0
    token: str = ""

    @property
    def payment_id(self) -> str | None:
        """Of the payment, once it was accepted."""
        return str(self.creation.answer["id"]) if self.creation.classified is Classified.OK else None


def saw(order: Order, payment: dict[str, Any]) -> None:
    """A payment as it stands now, fresh from a GET. It must add up, and must not be older than what was seen before."""
    adds_up(payment)
    assert payment["version"] >= order.version, f"S3: {payment['id']} went back from version {order.version} to {payment['version']}"
    order.version = payment["version"]


def adds_up(payment: dict[str, Any]) -> None:
    """M2 and I3 in the contract's own figures."""
    amounts = {name.removeprefix("amount_"): payment[name] for name in payment if name.startswith("amount_")}
    authorized, captured, refunded = amounts["authorized"], amounts["captured"], amounts["refunded"]
    words = f"{payment['id']} {payment['state']} {amounts}"
    assert min(amounts.values()) >= 0, f"M2: a negative amount in {words}"
    assert authorized in (0, payment["amount"]), f"M2: authorised is not what was asked for in {words}"
    assert captured <= authorized, f"M2: more captured than authorised in {words}"
    given = [one for one in payment["refunds"] if one["status"] in _GIVEN]
    ours = sum(one["amount"] for one in given if one["origin"] != "provider")
    # What was captured when a refund was asked for can be taken back since: learnt, not caused. That no refund left without cover at its
    # moment is seen in the tables (`watch`).
    taken_back = sum(one["amount"] for one in payment["captures"] if one["status"] == "failed")
    assert ours <= captured + taken_back, f"I3: refunds of {ours} given or under way in {words}"
    assert refunded == sum(one["amount"] for one in given if one["status"] == "succeeded"), f"M3: refunds do not add up in {words}"
    rest = captured - sum(one["amount"] for one in given) - disputed(payment)
    assert amounts["refundable"] == max(0, rest), f"M3: refundable does not add up in {words}"
    taken = sum(one["amount"] for one in payment["captures"] if one["status"] in _GIVEN)
    assert taken <= authorized, f"I3: captures of {taken} made or under way in {words}"
    assert amounts["capturable"] + taken <= authorized, f"I3: more capturable than is left in {words}"
    assert PUBLIC_STATUS[State(payment["state"])] == payment["status"], f"S1: status {payment['status']} in {words}"


def disputed(payment: dict[str, Any]) -> int:
    """Minor units that open and lost disputes have taken, each by its latest stage. A question takes nothing."""
    latest = {one["psp_reference"]: one for one in sorted(payment["disputes"], key=lambda one: STAGES.index(one["stage"]))}
    return sum(one["amount"] for one in latest.values() if one["stage"] != STAGES[0] and one["status"] not in ("won", "cancelled"))


def answered(ask: Ask, heard: Heard) -> None:
    """A deciding answer came. Raises AssertionError where it is not what the contract says, or not what was answered before."""
    ask.heard.append(heard)
    if heard.status not in (200, 201, 202):
        assert heard.status in (409, 422), f"{ask.path} under {ask.key} was answered {heard.status}: {heard.body!r}"
        return
    accepted = {(one.status, one.body) for one in ask.heard if one.status in (200, 201, 202)}
    assert len(accepted) == 1, f"M6: {ask.key} was answered differently: {accepted}"
    shown = heard.json
    if ask.kind in PLURAL:
        assert shown["object"] == ask.kind, f"M6: {ask.key} asked for a {ask.kind} and was answered {shown['object']}"
        assert (heard.status == 202) >= (shown["status"] == "pending"), f"{ask.key}: {heard.status} with a pending {ask.kind}"
        shown = shown["payment"]
    adds_up(shown)


# --- against what is stored in the end --------------------------------------------------------------------------------------------------


def creation_kept(order: Order, payments: dict[str, Payment], by_reference: dict[str, list[Payment]]) -> None:
    """L1, M5 for one order."""
    made = by_reference.get(order.creation.body["reference"], [])
    key = order.creation.key
    assert len(made) <= 1, f"M5: {key} made {len(made)} payments"
    match order.creation.classified:
        case Classified.OK:
            accepted = order.payment_id
            assert accepted in payments, f"L1: {key} was accepted as {accepted}, which does not exist"
            amount = payments[accepted].intent.amount
            asked = (order.creation.body["amount"], order.creation.body["currency"])
            assert (amount.minor, amount.currency) == asked, f"M9: {key} asked for {asked} and made {amount}"
            assert made == [payments[accepted]], f"M5: {key} was accepted as {accepted} and made another"
        case Classified.FAIL:
            assert not made, f"M6: {key} was refused, and made {made[0].id}"
        case Classified.INFO:
            pass


def asks_kept(order: Order, payment: Payment | None) -> None:
    """For each follow-up: there for ever where it was accepted, absent where it was refused, and once at the most."""
    operations = payment.operations if payment is not None else ()
    for ask in order.asks:
        # A wish to end it may need several voids, one after the other; those after the first are ours.
        named = [one for one in operations if one.reference == ask.key]
        made = [one for one in named if one.kind is not OperationKind.VOID or one.origin is Origin.MERCHANT]
        assert len(made) <= 1, f"M6: {ask.key} made {len(made)} operations"
        if ask.kind in PLURAL and ask.classified is Classified.FAIL:
            assert not made, f"M6: {ask.key} was refused, and made {made[0].id}"
        if ask.kind in PLURAL and ask.classified is Classified.OK:
            _operation_kept(ask, made, payment)
        if ask.kind == "cancel" and ask.classified is Classified.OK and payment is not None:
            _cancel_kept(ask, payment)


def _operation_kept(ask: Ask, made: list[Operation], payment: Payment | None) -> None:
    assert payment is not None, f"L1: {ask.key} was accepted for a payment that does not exist"
    shown = ask.answer
    if shown["id"] is None:
        # A void that was a wish: there was nothing to void yet.
        assert ask.kind == "void", f"M6: {ask.key} was accepted without an operation"
        return _cancel_kept(ask, payment)
    stored = next((one for one in payment.operations if one.id == shown["id"]), None)
    assert stored is not None, f"L1: {ask.key} was accepted as {shown['id']}, which does not exist"
    assert made in ([stored], []), f"M6: {ask.key} was accepted as {stored.id} and made {made[0].id}"
    assert made or stored.kind is OperationKind.VOID, f"L1: {ask.key} was accepted as {stored.id}, which another asked for"
    assert stored.kind == ask.kind, f"M6: {ask.key} asked for a {ask.kind} and made a {stored.kind}"
    if ask.kind != "void":
        assert stored.amount.minor == ask.body.get("amount", stored.amount.minor) == shown["amount"], f"M9: {ask.key}: {stored.amount}"
    return None


def _cancel_kept(ask: Ask, payment: Payment) -> None:
    """An accepted wish to end it is honoured: nothing stays held."""
    assert payment.state is not State.AUTHORIZED, f"L1: {ask.key} took the payment {payment.id} back, and it still holds money"
