"""What a merchant may put under `connector_options.stripe`: this connector's own small schema, and the request parameters it becomes.

Not here: options that every PSP has (they are part of the intent), or when the API calls this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CHOICES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "request_three_d_secure": frozenset({"any", "automatic", "challenge"}),
        "request_multicapture": frozenset({"if_available", "never"}),
        "request_extended_authorization": frozenset({"if_available", "never"}),
        "setup_future_usage": frozenset({"off_session", "on_session"}),
    }
)
"""Option -> the words it takes. Source: stripe-python 16.1, PaymentIntentCreateParams."""

PATTERNS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = MappingProxyType(
    {
        # A saved payment method can be charged only together with the customer it belongs to.
        "customer": (re.compile(r"cus_[A-Za-z0-9]{1,200}"), "a customer id of Stripe's, cus_..."),
        "statement_descriptor_suffix": (
            re.compile(r"(?=.*[A-Za-z])[ -~]{1,22}"),
            "1 to 22 Latin characters with at least one letter, none of <>\\'\"*",
        ),
    }
)
_FORBIDDEN_IN_DESCRIPTOR: Final = frozenset("<>\\'\"*")
_OF_THE_CARD: Final = ("request_three_d_secure", "request_multicapture", "request_extended_authorization")


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
            if not isinstance(value, str) or not pattern.fullmatch(value) or _FORBIDDEN_IN_DESCRIPTOR & set(value):
                problems.append(f"{name} is {words}")
        else:
            problems.append(f"there is no option of the name given; there are: {', '.join(sorted([*CHOICES, *PATTERNS]))}")
    return problems


def card_parameters(options: Mapping[str, object], *, step_up: bool) -> dict[str, object]:
    """`payment_method_options[card]` of checked options; `step_up` asks for 3DS, whatever weaker wish the merchant had."""
    parameters = {name: options[name] for name in _OF_THE_CARD if name in options}
    if step_up and parameters.get("request_three_d_secure") != "challenge":
        parameters["request_three_d_secure"] = "any"
    return parameters
