"""The endpoints that change a PaymentIntent: create, confirm, capture, cancel. Parameters and what Stripe refuses; the deed is elsewhere.

Each checks everything before it writes anything: what raises `Refused` here has changed nothing, except a decline, which has.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from connectors.simulator.records import Facts, Payment
from connectors.stripe import dialect_money
from connectors.stripe.dialect_call import Call, our_reference
from connectors.stripe.dialect_cards import CARDS
from connectors.stripe.dialect_errors import Invalid, Refused, missing, no_such, unexpected_state
from connectors.stripe.dialect_forms import Form
from connectors.stripe.dialect_objects import new_facts, payment_intent
from connectors.stripe.dialect_payments import attempt, cancel, take

_SHARED_NAMES: Final = """
    allowed_payment_method_types amount_details capture_method confirmation_token error_on_requires_action
    excluded_payment_method_types expand hooks mandate mandate_data off_session payment_details payment_method payment_method_data
    payment_method_options payment_method_types radar_options receipt_email return_url setup_future_usage shipping use_stripe_sdk
"""
_SHARED: Final = frozenset(_SHARED_NAMES.split())
_CREATE_NAMES: Final = """
    amount application_fee_amount automatic_payment_methods confirm confirmation_method currency customer customer_account
    description metadata on_behalf_of payment_method_configuration statement_descriptor statement_descriptor_suffix transfer_data
    transfer_group
"""
CREATE: Final = _SHARED | frozenset(_CREATE_NAMES.split())
CONFIRM: Final = _SHARED | {"amount_to_confirm", "client_secret"}
_CAPTURE_NAMES: Final = """
    amount_details amount_to_capture application_fee_amount expand final_capture hooks metadata payment_details statement_descriptor
    statement_descriptor_suffix transfer_data
"""
CAPTURE: Final = frozenset(_CAPTURE_NAMES.split())
CANCEL: Final = frozenset({"cancellation_reason", "expand"})

_CAPTURE_METHODS: Final = ("automatic", "automatic_async", "manual")
_REASONS: Final = ("abandoned", "duplicate", "fraudulent", "requested_by_customer")
_CONFIRMABLE: Final = ("requires_payment_method", "requires_confirmation", "requires_action")
_CANCELABLE: Final = ("requires_payment_method", "requires_capture", "requires_confirmation", "requires_action")
_WHEN_CONFIRMING: Final = ("return_url", "off_session", "error_on_requires_action", "mandate_data")


def create(call: Call, form: Form) -> Payment:
    """`POST /v1/payment_intents`."""
    facts = new_facts()
    amount = form.positive("amount", required=True) or 0
    currency = (form.text("currency", required=True) or "").lower()
    confirm = form.flag("confirm") or False
    for name in _WHEN_CONFIRMING:
        if name in form and not confirm:
            raise Invalid(f"`{name}` can only be set when `confirm` is true.", param=name)
    metadata = {name: value for name, value in form.labels().items() if value}
    facts |= {
        "confirmation_method": form.choice("confirmation_method", ("automatic", "manual")) or "automatic",
        "description": form.text("description", longest=1000),
        "statement_descriptor": form.text("statement_descriptor", longest=22),
        "statement_descriptor_suffix": form.text("statement_descriptor_suffix", longest=22),
        "metadata": metadata,
        **_method_types(form),
    }
    method = _confirming(form, facts)
    flags = (form.flag("off_session") or False, form.flag("error_on_requires_action") or False)
    if confirm:
        _check_return(facts, off_session=flags[0])
    _check_amount(amount, currency, "amount")
    if confirm and method is None:
        raise _missing_method(None)
    payment = call.ledger.open_payment(
        id=call.ledger.new_id("pi_3"),
        reference=our_reference(metadata),
        currency=currency.upper(),
        amount=dialect_money.to_iso(amount, currency),
        at=call.now,
        facts=facts,
    )
    facts["client_secret"] = call.ledger.new_id(f"{payment.id}_secret_")
    call.ledger.add_labels(payment, metadata)
    call.emit("payment_intent.created", payment)
    _attach(call, facts, method)
    if confirm:
        return attempt(call, payment, off_session=flags[0], error_on_action=flags[1])
    call.ledger.save(payment)
    return payment


def confirm(call: Call, payment: Payment, form: Form) -> Payment:
    """`POST /v1/payment_intents/{id}/confirm`."""
    facts = payment.facts
    asked = dict(facts)
    method = _confirming(form, asked)
    off_session = form.flag("off_session") or False
    error_on_action = form.flag("error_on_requires_action") or False
    status = facts["status"]
    if status not in _CONFIRMABLE:
        done = "it has already succeeded after being previously confirmed"
        why = done if status in ("succeeded", "requires_capture") else f"it has a status of {status}"
        message = f"You cannot confirm this PaymentIntent because {why}."
        raise unexpected_state(message, payment_intent(payment))
    if method is None and facts["method"] is None:
        raise _missing_method(payment)
    _check_return(asked, off_session=off_session)
    facts |= {name: asked[name] for name in ("capture_method", "options", "multicapture", "setup_future_usage")}
    facts |= {name: asked[name] for name in ("receipt_email", "return_url")}
    if method is not None or status == "requires_action":
        facts["authenticated"] = False
    _attach(call, facts, method)
    return attempt(call, payment, off_session=off_session, error_on_action=error_on_action)


def capture(call: Call, payment: Payment, form: Form) -> Payment:
    """`POST /v1/payment_intents/{id}/capture`."""
    asked = form.positive("amount_to_capture")
    final = form.flag("final_capture")
    metadata = form.labels()
    facts = payment.facts
    currency = payment.currency.lower()
    if facts["status"] != "requires_capture":
        raise _not_capturable(payment)
    capturable = dialect_money.to_wire(payment.held, currency)
    amount = capturable if asked is None else asked
    if amount > capturable:
        most = dialect_money.shown(capturable, currency)
        message = f"The requested capture amount is greater than the amount you can capture for this PaymentIntent ({most})."
        raise Refused(message, code="amount_too_large", param="amount_to_capture")
    _check_step(amount, currency, "amount_to_capture")
    if final is False and not facts["multicapture"]:
        message = "You cannot set `final_capture` to false: multicapture is not available for this PaymentIntent."
        raise Refused(message, param="final_capture")
    if metadata:
        facts["metadata"] = {name: value for name, value in (facts["metadata"] | metadata).items() if value}
        call.ledger.add_labels(payment, metadata)
    return take(call, payment, amount, final=final is not False, reference=our_reference(metadata))


def cancel_intent(call: Call, payment: Payment, form: Form) -> Payment:
    """`POST /v1/payment_intents/{id}/cancel`."""
    reason = form.choice("cancellation_reason", _REASONS)
    status = payment.facts["status"]
    if status not in _CANCELABLE:
        listed = ", ".join(_CANCELABLE)
        message = (
            f"You cannot cancel this PaymentIntent because it has a status of {status}. Only a PaymentIntent with one of"
            f" the following statuses may be canceled: {listed}, processing."
        )
        raise unexpected_state(message, payment_intent(payment))
    return cancel(call, payment, reason)


def _confirming(form: Form, facts: Facts) -> str | None:
    """Reads what create and confirm have in common into the facts; the test method asked for, if any."""
    method = form.text("payment_method")
    data = form.table("payment_method_data")
    if data and method is None:
        # A token of Stripe.js travels here; a card number never does.
        card = data.get("card")
        method = card.get("token") if isinstance(card, dict) else None
        if not isinstance(method, str):
            raise missing("payment_method_data[card][token]")
    if method is not None and method not in CARDS:
        raise no_such("PaymentMethod", method, "payment_method", status=400)
    card = form.table("payment_method_options").get("card", {})
    if not isinstance(card, dict):
        raise Invalid("Invalid object", param="payment_method_options[card]")
    facts["options"] = {**facts["options"], **_card_options(card)}
    facts["multicapture"] = facts["options"].get("request_multicapture") == "if_available"
    facts["capture_method"] = form.choice("capture_method", _CAPTURE_METHODS) or facts["capture_method"]
    usage = form.choice("setup_future_usage", ("off_session", "on_session"))
    facts["setup_future_usage"] = usage or facts["setup_future_usage"]
    facts["receipt_email"] = form.text("receipt_email") or facts["receipt_email"]
    facts["return_url"] = _return_url(form) or facts["return_url"]
    return method


def _card_options(card: Mapping[str, Any]) -> dict[str, Any]:
    choices = {
        "request_three_d_secure": ("any", "automatic", "challenge"),
        "request_multicapture": ("if_available", "never"),
    }
    for name, options in choices.items():
        if name in card and card[name] not in options:
            param = f"payment_method_options[card][{name}]"
            raise Invalid(f"Invalid {param}: must be one of {', '.join(options)}", param=param)
    return {name: card[name] for name in choices if name in card}


def _method_types(form: Form) -> dict[str, Any]:
    automatic = form.table("automatic_payment_methods")
    listed = form.texts("payment_method_types") or form.texts("allowed_payment_method_types")
    if listed and automatic.get("enabled") == "true":
        message = "You may only specify one of these parameters: automatic_payment_methods, payment_method_types."
        raise Invalid(message, param="payment_method_types")
    if listed:
        return {"types": list(listed), "automatic": None}
    if automatic.get("enabled", "true") != "true":
        return {"types": ["card"], "automatic": None}
    # Since version 2023-08-16 this is what an intent gets that says nothing.
    redirects = automatic.get("allow_redirects", "always")
    if redirects not in ("always", "never"):
        param = "automatic_payment_methods[allow_redirects]"
        raise Invalid(f"Invalid {param}: must be one of always or never", param=param)
    return {"types": ["card"], "automatic": {"allow_redirects": redirects, "enabled": True}}


def _return_url(form: Form) -> str | None:
    url = form.text("return_url")
    if url is not None and not url.startswith(("https://", "http://")):
        raise Invalid("Not a valid URL", code="url_invalid", param="return_url")
    return url


def _check_return(facts: Facts, *, off_session: bool) -> None:
    automatic = facts["automatic"]
    if automatic is None or automatic["allow_redirects"] == "never" or facts["return_url"] is not None or off_session:
        return
    message = (
        "This PaymentIntent is configured to accept payment methods enabled in your Dashboard. Because some of these payment"
        " methods might redirect your customer off of your page, you must provide a `return_url`. If you don't want to accept"
        " redirect-based payment methods, set `automatic_payment_methods[enabled]` to `true` and"
        " `automatic_payment_methods[allow_redirects]` to `never` when creating Setup Intents and Payment Intents."
    )
    raise Invalid(message)


def _check_amount(amount: int, currency: str, param: str) -> None:
    if not dialect_money.supported(currency):
        raise Invalid(f"Invalid currency: {currency[:20]}", param="currency")
    if amount > dialect_money.maximum(currency):
        most = dialect_money.shown(dialect_money.maximum(currency), currency)
        raise Refused(f"Amount must be no more than {most}", code="amount_too_large", param=param)
    if amount < dialect_money.minimum(currency):
        least = dialect_money.shown(dialect_money.minimum(currency), currency)
        raise Refused(f"Amount must be at least {least}", code="amount_too_small", param=param)
    _check_step(amount, currency, param)


def _check_step(amount: int, currency: str, param: str) -> None:
    step = dialect_money.step(currency)
    if amount % step:
        message = f"Amounts in {currency} must be divisible by {step}."
        raise Refused(message, code="parameter_invalid_integer", param=param)


def _attach(call: Call, facts: Facts, method: str | None) -> None:
    if method is None:
        return
    facts |= {"method": method, "payment_method": call.ledger.new_id("pm_1"), "status": "requires_confirmation"}


def _missing_method(payment: Payment | None) -> Refused:
    message = (
        "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the PaymentIntent"
        " with a payment method and then confirm it again, or confirm it again directly with a payment method or ConfirmationToken."
    )
    if payment is None:
        return Invalid(message, code="parameter_missing", param="payment_method")
    return unexpected_state(message, payment_intent(payment))


def _not_capturable(payment: Payment) -> Refused:
    facts = payment.facts
    embedded = payment_intent(payment)
    if facts["status"] == "succeeded":
        message = "This PaymentIntent could not be captured because it has already been captured."
        return unexpected_state(message, embedded)
    if facts["cancellation_reason"] == "automatic":
        message = "This PaymentIntent could not be captured because its authorization has expired."
        return Refused(message, code="charge_expired_for_capture", payment_intent=embedded)
    message = (
        f"This PaymentIntent could not be captured because it has a status of {facts['status']}. Only a PaymentIntent with one"
        " of the following statuses may be captured: requires_capture."
    )
    return unexpected_state(message, embedded)
