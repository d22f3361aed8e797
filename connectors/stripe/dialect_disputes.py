"""Stripe's disputes: opened by the shopper's bank, answered by the merchant, won, lost; and inquiries, which may become one.

A dispute takes its amount from the merchant's balance at Stripe when it is opened, and gives it back when it is won. What the charge has
captured and refunded stays as it is. An inquiry (`warning_*`) takes nothing. Stripe's fee for a dispute is not here: it stands in the
settlement report (`dialect_settlement`). Not here: who disputes and when (`dialect_dashboard`, `dialect_time`), looking (`dialect_reads`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from connectors.simulator.cards import Claim
from connectors.simulator.records import Facts, Operation, OperationKind, OperationStatus, Payment
from connectors.stripe import dialect_money
from connectors.stripe.dialect_call import Call
from connectors.stripe.dialect_errors import Invalid, Refused, missing
from connectors.stripe.dialect_forms import Form
from connectors.stripe.dialect_objects import card_of, unix

UPDATE: Final = frozenset({"evidence", "expand", "metadata", "submit"})
CLOSE: Final = frozenset({"expand"})
DISPUTE, DISPUTE_DEADLINE, WIN_DISPUTE, LOSE_DISPUTE, ESCALATE_INQUIRY = (
    "dispute", "dispute_deadline", "win_dispute", "lose_dispute", "escalate_inquiry"
)  # fmt: skip
"""Kinds of timers; the subject of the first is a charge, of the others a dispute."""

RESPOND_WITHIN: Final = timedelta(days=14)
"""Card networks give one to three weeks."""
_LONGEST_EVIDENCE: Final = 20_000
_EVIDENCE_NAMES: Final = """
    access_activity_log billing_address cancellation_policy cancellation_policy_disclosure cancellation_rebuttal customer_communication
    customer_email_address customer_name customer_purchase_ip customer_signature duplicate_charge_documentation
    duplicate_charge_explanation duplicate_charge_id product_description receipt refund_policy refund_policy_disclosure
    refund_refusal_explanation service_date service_documentation shipping_address shipping_carrier shipping_date
    shipping_documentation shipping_tracking_number uncategorized_file uncategorized_text
"""
_EVIDENCE: Final = tuple(_EVIDENCE_NAMES.split())
_TELLING: Final[Mapping[str, str]] = MappingProxyType(
    {"winning_evidence": WIN_DISPUTE, "losing_evidence": LOSE_DISPUTE, "escalate_inquiry_evidence": ESCALATE_INQUIRY}
)
"""Stripe's published test evidence, as `uncategorized_text`, and what the bank makes of it."""
_REASONS: Final[Mapping[Claim, tuple[str, str]]] = MappingProxyType(
    {
        Claim.FRAUD: ("fraudulent", "10.4"),
        Claim.NOT_RECEIVED: ("product_not_received", "13.1"),
        Claim.ONLY_ASKS: ("fraudulent", "10.4"),
    }
)
_ANSWERED: Final[Mapping[str, str]] = MappingProxyType({"needs_response": "under_review", "warning_needs_response": "warning_under_review"})
_OPEN: Final = frozenset({*_ANSWERED.keys(), *_ANSWERED.values()})


def is_open(dispute: Operation) -> bool:
    """Whether nobody has decided it yet."""
    return dispute.facts["status"] in _OPEN


def is_inquiry(dispute: Operation) -> bool:
    """Whether no money has been taken: the bank only asks, or only asked."""
    return str(dispute.facts["status"]).startswith("warning_")


def open_of(call: Call, payment: Payment) -> Operation | None:
    """The payment's open dispute or inquiry, if there is one; there is never a second."""
    page = call.ledger.operations(limit=1, payment=payment.id, kind=OperationKind.DISPUTE)
    return next((it for it in page.items if is_open(it)), None)


def shown(dispute: Operation, payment: Payment) -> dict[str, Any]:
    """The Dispute object."""
    facts, currency = dispute.facts, payment.currency.lower()
    return {
        "id": dispute.id,
        "object": "dispute",
        "amount": dialect_money.to_wire(dispute.amount, currency),
        "balance_transactions": [_transaction(dispute, currency, **it) for it in facts["transactions"]],
        "charge": facts["charge"],
        "created": unix(dispute.created_at),
        "currency": currency,
        "enhanced_eligibility_types": [],
        "evidence": {**dict.fromkeys(_EVIDENCE), **facts["evidence"], "enhanced_evidence": {}},
        "evidence_details": {
            "due_by": facts["due_by"],
            "enhanced_eligibility": {},
            "has_evidence": bool(facts["evidence"]),
            "past_due": False,
            "submission_count": facts["submissions"],
        },
        "is_charge_refundable": is_inquiry(dispute),
        "livemode": False,
        "metadata": facts["metadata"],
        "payment_intent": payment.id,
        "payment_method_details": {
            "card": {
                "brand": facts["brand"],
                "case_type": "inquiry" if is_inquiry(dispute) else "chargeback",
                "network_reason_code": facts["network_reason_code"],
            },
            "type": "card",
        },
        "reason": facts["reason"],
        "status": facts["status"],
    }


def _transaction(dispute: Operation, currency: str, *, sign: int, at: int) -> dict[str, Any]:
    amount = sign * dialect_money.to_wire(dispute.amount, currency)
    return {
        "id": f"txn_{'d' if sign < 0 else 'r'}{dispute.id[3:]}",
        "object": "balance_transaction",
        "amount": amount,
        "available_on": at,
        "created": at,
        "currency": currency,
        "description": f"Chargeback {'withdrawal' if sign < 0 else 'reversal'} for {dispute.facts['charge']}",
        "exchange_rate": None,
        "fee": 0,
        "fee_details": [],
        "net": amount,
        "reporting_category": "dispute" if sign < 0 else "dispute_reversal",
        "source": dispute.id,
        "status": "available",
        "type": "adjustment",
    }


def begin(call: Call, payment: Payment, it: Facts, claim: Claim, amount: int) -> Operation:
    """The bank disputes a charge, or asks about it: `amount` in ISO minor units, at most what was captured and is not withdrawn yet."""
    reason, code = _REASONS[claim]
    only_asks = claim is Claim.ONLY_ASKS
    due_by = call.now + RESPOND_WITHIN
    dispute = call.ledger.open_dispute(
        payment,
        id=call.ledger.new_id("dp_1"),
        amount=amount,
        at=call.now,
        facts={
            "charge": it["id"],
            "brand": card_of(it["method"]).brand,
            "reason": reason,
            "network_reason_code": code,
            "status": "warning_needs_response" if only_asks else "needs_response",
            "metadata": {},
            "evidence": {},
            "submissions": 0,
            "due_by": unix(due_by),
            "transactions": [],
        },
    )
    it["disputed"] = True
    call.ledger.save(payment)
    call.ledger.schedule(at=due_by, payment=payment, kind=DISPUTE_DEADLINE, subject=dispute.id)
    if not only_asks:
        _withdraw(call, payment, dispute)
    _tell(call, "created", payment, dispute)
    if not only_asks:
        _tell(call, "funds_withdrawn", payment, dispute)
    return dispute


def escalate(call: Call, payment: Payment, inquiry: Operation) -> None:
    """An inquiry becomes a dispute, and has to be answered anew."""
    inquiry.facts["status"] = "needs_response"
    _withdraw(call, payment, inquiry)
    _tell(call, "updated", payment, inquiry)
    _tell(call, "funds_withdrawn", payment, inquiry)


def win(call: Call, payment: Payment, dispute: Operation) -> None:
    """The bank decides for the merchant, or drops its question."""
    if is_inquiry(dispute):
        _end(call, payment, dispute, "warning_closed", OperationStatus.SUCCEEDED)
        return
    _move(call, payment, dispute, sign=1)
    _end(call, payment, dispute, "won", OperationStatus.SUCCEEDED)
    _tell(call, "funds_reinstated", payment, dispute)


def lose(call: Call, payment: Payment, dispute: Operation) -> None:
    """The bank decides for the shopper, or nobody answered."""
    _end(call, payment, dispute, "lost", OperationStatus.FAILED)


def run_out(call: Call, payment: Payment, dispute: Operation) -> None:
    """The time for an answer is over: without one a dispute is lost. An inquiry comes to nothing."""
    if is_inquiry(dispute):
        win(call, payment, dispute)
    elif dispute.facts["status"] == "needs_response":
        lose(call, payment, dispute)


def update(call: Call, dispute: Operation, payment: Payment, form: Form) -> None:
    """`POST /v1/disputes/{id}`: evidence, which goes to the bank unless `submit` is false, and metadata."""
    facts = dispute.facts
    evidence = _evidence(form)
    submit = form.flag("submit")
    metadata = facts["metadata"] | form.labels()
    submitted = bool(evidence) if submit is None else submit
    if (evidence or submitted) and facts["status"] not in _ANSWERED:
        raise Refused(f"Evidence can no longer be added to this dispute: its status is {facts['status']}.", param="evidence")
    kept = {name: value for name, value in (facts["evidence"] | evidence).items() if value}
    if submitted and not kept:
        raise missing("evidence")
    facts |= {"metadata": {name: value for name, value in metadata.items() if value}, "evidence": kept}
    if submitted:
        facts |= {"status": _ANSWERED[facts["status"]], "submissions": facts["submissions"] + 1}
        _let_the_bank_decide(call, payment, dispute)
    call.ledger.save_operation(dispute)
    _tell(call, "updated", payment, dispute)


def close(call: Call, dispute: Operation, payment: Payment, form: Form) -> None:
    """`POST /v1/disputes/{id}/close`: the merchant accepts it as lost."""
    if not is_open(dispute):
        raise Refused(f"This dispute is already closed: its status is {dispute.facts['status']}.")
    if is_inquiry(dispute):
        win(call, payment, dispute)
    else:
        lose(call, payment, dispute)


def _evidence(form: Form) -> dict[str, str]:
    given = form.table("evidence")
    for name, value in given.items():
        param = f"evidence[{name[:40]}]"
        if name not in _EVIDENCE:
            raise Invalid(f"Received unknown parameter: {param}", code="parameter_unknown", param=param)
        if not isinstance(value, str) or len(value) > _LONGEST_EVIDENCE:
            raise Invalid(f"Invalid string: {param} has at most {_LONGEST_EVIDENCE} characters.", param=param)
    return given


def _let_the_bank_decide(call: Call, payment: Payment, dispute: Operation) -> None:
    kind = _TELLING.get(dispute.facts["evidence"].get("uncategorized_text", ""))
    if kind is not None:
        at = call.now + timedelta(seconds=call.settings.late_failure_seconds)
        call.ledger.schedule(at=at, payment=payment, kind=kind, subject=dispute.id)


def _withdraw(call: Call, payment: Payment, dispute: Operation) -> None:
    _move(call, payment, dispute, sign=-1)


def _move(call: Call, payment: Payment, dispute: Operation, *, sign: int) -> None:
    """Between the merchant's balance and the bank; the charge knows how much of it is gone."""
    dispute.facts["transactions"].append({"sign": sign, "at": unix(call.now)})
    call.ledger.save_operation(dispute)
    (call.ledger.reported.withdraw if sign < 0 else call.ledger.reported.reinstate)(payment, dispute, call.now)
    it = next(it for it in payment.facts["charges"] if it["id"] == dispute.facts["charge"])
    it["withdrawn"] = it.get("withdrawn", 0) - sign * dialect_money.to_wire(dispute.amount, payment.currency.lower())
    call.ledger.save(payment)


def _end(call: Call, payment: Payment, dispute: Operation, status: str, outcome: OperationStatus) -> None:
    dispute.facts["status"] = status
    call.ledger.save_operation(replace(dispute, status=outcome))
    _tell(call, "closed", payment, dispute)


def _tell(call: Call, what: str, payment: Payment, dispute: Operation) -> None:
    call.emit(f"charge.dispute.{what}", payment, shown(dispute, payment))
