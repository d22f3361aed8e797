"""The endpoints: /payments, /payments/details, the modifications of a payment, and the cancel by reference. Fields and what Adyen refuses;
the deed is elsewhere.

Each checks everything before it writes anything: what raises `Refused` here has changed nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.adyen import dialect_payments
from connectors.adyen.dialect_body import Body
from connectors.adyen.dialect_call import Call
from connectors.adyen.dialect_cards import name_of
from connectors.adyen.dialect_errors import invalid
from connectors.simulator.records import Payment, StoredAnswer

_PAYMENT_NAMES: Final = """
    accountInfo additionalData amount applicationInfo authenticationData billingAddress browserInfo captureDelayHours channel
    checkoutAttemptId countryCode dateOfBirth deliveryAddress deviceFingerprint lineItems mcc merchantAccount merchantOrderReference
    merchantRiskIndicator metadata mpiData origin paymentMethod paymentValidations recurringExpiry recurringFrequency
    recurringProcessingModel reference returnUrl riskData shopperEmail shopperIP shopperInteraction shopperLocale shopperName
    shopperReference shopperStatement splits store storePaymentMethod telephoneNumber threeDS2RequestData trustedShopper
"""
PAYMENT: Final = frozenset(_PAYMENT_NAMES.split())
DETAILS: Final = frozenset({"authenticationData", "details", "paymentData", "threeDSAuthenticationOnly"})
_MODIFICATION: Final = frozenset({"applicationInfo", "enhancedSchemeData", "merchantAccount", "reference"})
CAPTURE: Final = _MODIFICATION | {"amount", "lineItems", "platformChargebackLogic", "splits", "subMerchants"}
CANCEL: Final = _MODIFICATION
REFUND: Final = _MODIFICATION | {"amount", "capturePspReference", "lineItems", "merchantRefundReason", "splits", "store"}
REVERSAL: Final = _MODIFICATION
STANDALONE_CANCEL: Final = _MODIFICATION | {"paymentReference"}

_REFUND_REASONS: Final = ("FRAUD", "CUSTOMER REQUEST", "RETURN", "DUPLICATE", "OTHER", None)
_UNATTENDED: Final = frozenset({"Subscription", "UnscheduledCardOnFile"})
KEEPS_THE_REST: Final = "payorch_captures"
"""A label among a payment's metadata. A real account has the feature of several captures for all of its payments or for none; the simulated
one goes by this label of each payment, so that one stack shows both."""
_FENCED: Final = "fenced:"

Answer = tuple[int, dict[str, Any]]


def pay(call: Call, body: Body) -> Answer:
    """`POST /payments`."""
    account, reference = body.account(), body.reference(required=True) or ""
    amount, currency = body.amount()
    method = body.table("paymentMethod")
    if not method:
        raise invalid("14_004", "Missing payment method details")
    card = name_of(method)
    url = body.text("returnUrl", longest=8000)
    if url is None:
        raise invalid("14_030", "Return URL is missing.")
    authentication, metadata = body.table("authenticationData"), body.table("metadata")
    requested = authentication.get("threeDSRequestData") or {}
    payment = call.ledger.open_payment(
        id=call.new_reference(),
        reference=reference,
        currency=currency,
        amount=amount,
        at=call.now,
        facts={
            "account": account,
            "card": card,
            "captures": {},
            "choice": None,
            "manual": _is_manual(body),
            "result": None,
            "result_token": None,
            "return_url": url,
            "session": None,
            "several": metadata.get(KEEPS_THE_REST) == "several",
            "status": "new",
            "withdrawn": 0,
        },
    )
    call.ledger.add_labels(payment, {"reference": reference})
    if call.ledger.answer(f"{_FENCED}{account}:{reference}") is not None:
        return 200, dialect_payments.cancelled(call, payment)
    unattended = body.text("shopperInteraction") == "ContAuth" and body.text("recurringProcessingModel") in _UNATTENDED
    wish = authentication.get("attemptAuthentication")
    native = requested.get("nativeThreeDS") == "preferred"
    return 200, dialect_payments.pay(call, payment, unattended=unattended, authentication=wish, native=native)


def _is_manual(body: Body) -> bool:
    """Whether the merchant captures: a delay counts as that here, since the account's own default is to capture at once."""
    return str(body.table("additionalData").get("manualCapture")).lower() == "true" or bool(body.fields.get("captureDelayHours"))


def details(call: Call, body: Body) -> Answer:
    """`POST /payments/details`."""
    given = body.table("details")
    token = given.get("redirectResult") or given.get("threeDSResult")
    if not isinstance(token, str) or not token:
        raise invalid("14_003", "Invalid payment details")  # (unverified: the code)
    payment = _with_token(call, token)
    if payment is None:
        raise invalid("14_006", "The provided result is invalid")  # (unverified: the code)
    return 200, dialect_payments.finish_action(call, payment)


def _with_token(call: Call, token: str) -> Payment | None:
    payment = call.ledger.payment(token.partition("!")[0])
    return payment if payment is not None and payment.facts["result_token"] == token else None


def capture(call: Call, body: Body, psp_reference: str) -> Answer:
    """`POST /payments/{pspReference}/captures`."""
    account, reference = body.account(), body.reference()
    amount, currency = body.amount()
    payment = _payment(call, psp_reference, account)
    own = call.new_reference()
    dialect_payments.capture(call, payment, own, amount, currency, reference)
    return _received(account, own, reference, amount=body.table("amount"), paymentPspReference=psp_reference)


def cancel(call: Call, body: Body, psp_reference: str) -> Answer:
    """`POST /payments/{pspReference}/cancels`."""
    account, reference = body.account(), body.reference()
    payment = _payment(call, psp_reference, account)
    own = call.new_reference()
    dialect_payments.release(call, payment, own, reference)
    return _received(account, own, reference, paymentPspReference=psp_reference)


def refund(call: Call, body: Body, psp_reference: str) -> Answer:
    """`POST /payments/{pspReference}/refunds`."""
    account, reference = body.account(), body.reference()
    amount, currency = body.amount()
    reason = body.text("merchantRefundReason")
    if reason not in _REFUND_REASONS:
        raise invalid("702", f"Unexpected merchantRefundReason: {str(reason)[:40]}")
    payment = _payment(call, psp_reference, account)
    own = call.new_reference()
    dialect_payments.refund(call, payment, own, amount, currency, reference)
    more = {} if reason is None else {"merchantRefundReason": reason}
    return _received(account, own, reference, amount=body.table("amount"), paymentPspReference=psp_reference, **more)


def reverse(call: Call, body: Body, psp_reference: str) -> Answer:
    """`POST /payments/{pspReference}/reversals`: whichever of cancel and refund it takes, of all of it."""
    account, reference = body.account(), body.reference()
    payment = _payment(call, psp_reference, account)
    own = call.new_reference()
    if payment.captured:
        dialect_payments.refund(call, payment, own, payment.captured, payment.currency, reference, event="CANCEL_OR_REFUND")
    else:
        dialect_payments.release(call, payment, own, reference, event="CANCEL_OR_REFUND", extra={"modification.action": "cancel"})
    return _received(account, own, reference, paymentPspReference=psp_reference)


def cancel_by_reference(call: Call, body: Body) -> Answer:
    """`POST /cancels`. What comes later under a reference that was cancelled is not authorised any more. (unverified: for how long.)"""
    account, reference = body.account(), body.reference()
    payment_reference = body.text("paymentReference")
    if payment_reference is None:
        raise invalid("130", "Reference Missing")
    own = call.new_reference()
    fence = f"{_FENCED}{account}:{payment_reference}"
    if call.ledger.answer(fence) is None:
        kept = StoredAnswer(key=fence, fingerprint="", status=0, headers=(), body=b"", created_at=call.now)
        call.ledger.store_answer(kept)
    found = call.ledger.payments(limit=10, labels={"reference": payment_reference}).items
    mine = [payment for payment in found if payment.facts["account"] == account]
    for payment in mine:
        dialect_payments.release(call, payment, own, payment_reference, event="TECHNICAL_CANCEL")
    if not mine:
        # (unverified: that this is told as a success.)
        call.emit_of_nothing("TECHNICAL_CANCEL", account=account, own=own, reference=payment_reference)
    return _received(account, own, reference, paymentReference=payment_reference)


def _payment(call: Call, psp_reference: str, account: str) -> Payment:
    payment = call.ledger.payment(psp_reference)
    if payment is None or payment.id != psp_reference or payment.facts["account"] != account:
        raise invalid("167", "Original pspReference required for this operation")
    return payment


def _received(account: str, own: str, reference: str | None, **more: Any) -> Answer:
    shown: Mapping[str, Any] = {"merchantAccount": account, "pspReference": own, "reference": reference, "status": "received", **more}
    return 201, {name: value for name, value in shown.items() if value is not None}
