"""What Stripe's PaymentIntents API promises, as data: read by routing, proof and retry. Every figure has its reason beside it.

Source: Stripe's API reference (idempotent requests, search, multicapture) and currencies page. Not here: how any of it is used.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from connectors.stripe.money import MINIMUM_MINOR, SCALES, maximum_minor
from payorch.domain.capability import Lookup, Manifest, MethodSupport

NAME: Final = "stripe"

API_VERSION: Final = "2026-10-28.endive"
"""Pinned, never the account's default: an answer must not change its shape because somebody pressed a button. As stripe-python 16.1."""

# Stripe's own page contradicts itself about UGX (zero-decimal, or two decimals always 00), and the wrong reading charges a hundred times
# too much or too little. The scale is in `money`; offering the currency is for whoever has tried it on a live account.
_CONTRADICTORY: Final = frozenset({"UGX"})
CURRENCIES: Final = frozenset(SCALES) - _CONTRADICTORY

_CARD: Final = MethodSupport(
    # A 3DS redirect belongs to a PaymentIntent that we confirmed when we created it: the shopper who comes through it moves the money,
    # and no call of ours is needed. Only an unconfirmed PaymentIntent would wait for us, and none is ever created.
    completes_without_us=True,
    currencies=CURRENCIES,
    minimum_minor=MINIMUM_MINOR,
    maximum_minor=MappingProxyType({currency: maximum_minor(currency) for currency in sorted(CURRENCIES)}),
)

MANIFEST: Final = Manifest(
    key_max_length=255,
    # The characters themselves. Stripe names no charset; these survive any header, log and shell.
    key_charset="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    # Stripe prunes keys "after at least 24 hours", counted from its first sight of them. We count from an earlier moment (preparing the
    # call), and leave an hour and a half for a clock that is wrong, a drain that is slow and a last replay still on its way.
    key_safe_window_seconds=24 * 3600 - 90 * 60,
    replays_errors=True,  # 4xx and 500 alike, once execution had begun
    # By our reference there is only search, whose index follows writes by "under a minute" in good weather: EVENTUAL. Where the PSP's own
    # id is known the lookup reads the object itself; its positive answer is as fresh as can be, and its negative one is no proof at all
    # (an object that Stripe named cannot have never existed), so `read` answers Unknown there and Absent only for a search.
    lookup=Lookup.EVENTUAL,
    lookup_lag_seconds=180,
    cancel_by_reference=False,  # cancel takes the PaymentIntent's id only
    http_429_means_not_executed=True,  # limiters stand before the idempotency layer; `lock_timeout` does not and is read as unknown
    methods=MappingProxyType({"card": _CARD}),
    currencies=CURRENCIES,
    partial_capture=True,
    # Only for payments whose connector option `request_multicapture` asked for it; `capture` refuses the others before anything is sent.
    multiple_captures=True,
    several_captures_options=MappingProxyType({"request_multicapture": "if_available"}),
    capture_reportable=True,
    partial_refund=True,
    multiple_refunds=True,
    session_cancel=True,
)
