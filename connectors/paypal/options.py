"""What a merchant may put under `connector_options.paypal`: this connector's own small schema, and the request fields it becomes.

Not here: options that every PSP has (they are part of the intent), or when the API calls this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CHOICES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        # Of the card. Source: paypal-server-sdk 2.4, OrdersCardVerificationMethod; younger than the published OpenAPI document.
        "verification": frozenset({"3D_SECURE", "SCA_ALWAYS", "SCA_WHEN_REQUIRED"}),
        # Of a payment without the shopper. Source: OpenAPI, stored_payment_source_payment_type.
        "payment_type": frozenset({"ONE_TIME", "RECURRING", "UNSCHEDULED"}),
        # Of the wallet. Source: OpenAPI, paypal_wallet_experience_context.
        "landing_page": frozenset({"GUEST_CHECKOUT", "LOGIN", "NO_PREFERENCE"}),
        "payment_method_preference": frozenset({"IMMEDIATE_PAYMENT_REQUIRED", "UNRESTRICTED"}),
        "shipping_preference": frozenset({"GET_FROM_FILE", "NO_SHIPPING"}),
        "user_action": frozenset({"CONTINUE", "PAY_NOW"}),
    }
)
"""Option -> the words it takes."""

PATTERNS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = MappingProxyType(
    {
        "brand_name": (re.compile(r"[^\x00-\x1f\x7f]{1,127}"), "1 to 127 characters on one line"),
        "locale": (
            re.compile(r"[a-z]{2}(?:-[A-Z][a-z]{3})?(?:-(?:[A-Z]{2}|[0-9]{3}))?"),
            "a language as in en-US or zh-Hant-TW",
        ),
        "soft_descriptor": (re.compile(r"[A-Za-z0-9 .*-]{1,22}"), "1 to 22 Latin letters, digits, blanks and any of .*-"),
    }
)
_OF_THE_WALLET: Final = ("brand_name", "landing_page", "locale", "payment_method_preference", "shipping_preference", "user_action")
# What is sold is paid for with the click at PayPal, and payorch knows no addresses; PayPal's own defaults are CONTINUE and GET_FROM_FILE.
_WALLET_DEFAULTS: Final = {"user_action": "PAY_NOW", "shipping_preference": "NO_SHIPPING"}


def check_options(options: Mapping[str, object]) -> list[str]:
    """What is wrong with these options, one sentence each; empty where nothing is. Never repeats a value that was sent."""
    problems = []
    for name in sorted(options, key=str):
        value = options[name]
        if name in CHOICES:
            if not isinstance(value, str) or value not in CHOICES[name]:
                problems.append(f"{name} is one of: {', '.join(sorted(CHOICES[name]))}")
        elif name in PATTERNS:
            pattern, words = PATTERNS[name]
            if not isinstance(value, str) or not pattern.fullmatch(value):
                problems.append(f"{name} is {words}")
        else:
            problems.append(f"there is no option of the name given; there are: {', '.join(sorted([*CHOICES, *PATTERNS]))}")
    return problems


def wallet_context(options: Mapping[str, object]) -> dict[str, object]:
    """How PayPal's own pages look and end, out of checked options."""
    return {**_WALLET_DEFAULTS, **{name: options[name] for name in _OF_THE_WALLET if name in options}}


def card_verification(options: Mapping[str, object], *, step_up: bool) -> object:
    """When the card's holder is asked to authenticate; None leaves it to PayPal. `step_up` asks for it, whatever weaker wish there was."""
    return "SCA_ALWAYS" if step_up else options.get("verification")
