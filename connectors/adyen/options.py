"""What a merchant may put under `connector_options.adyen`: this connector's own small schema, and the request fields it becomes.

Not here: options that every PSP has (they are part of the intent), or when the API calls this.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

CHOICES: Final[Mapping[str, frozenset[str]]] = MappingProxyType(
    {
        "attempt_authentication": frozenset({"always", "never"}),
        "recurring_processing_model": frozenset({"CardOnFile", "Subscription", "UnscheduledCardOnFile"}),
    }
)
"""Option -> the words it takes. Source: Checkout v71, AuthenticationData and PaymentRequest."""

PATTERNS: Final[Mapping[str, tuple[re.Pattern[str], str]]] = MappingProxyType(
    {
        # Whose stored card it is. Where it is not given, the customer's reference is that name.
        "shopper_reference": (re.compile(r"[!-~]{3,256}"), "3 to 256 printable characters without spaces"),
        "shopper_statement": (
            re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 .,'_?+*/-]{1,22}"),
            "1 to 22 Latin letters, digits, spaces or .,'_?+*/- with at least one letter",
        ),
    }
)

FLAGS: Final = frozenset({"multiple_partial_captures"})
"""multiple_partial_captures: the merchant account keeps the rest of a payment open after a partial capture. Adyen has no field to ask for
it: it is a property of the account, which only the merchant knows."""


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
        elif name in FLAGS:
            if not isinstance(value, bool):
                problems.append(f"{name} is true or false")
        else:
            known = ", ".join(sorted([*CHOICES, *PATTERNS, *FLAGS]))
            problems.append(f"there is no option of the name given; there are: {known}")
    return problems


def authentication(options: Mapping[str, object], *, step_up: bool) -> dict[str, object]:
    """`authenticationData` of checked options; `step_up` asks for 3DS, whatever weaker wish the merchant had.

    Never the native flow: it needs Adyen's script in the shopper's page, and a redirect needs only an address.
    """
    wish = "always" if step_up else options.get("attempt_authentication")
    return {
        **({} if wish is None else {"attemptAuthentication": wish}),
        "threeDSRequestData": {"nativeThreeDS": "disabled"},
    }
