"""What Adyen's Checkout API promises, as data: read by routing, proof and retry. Every figure has its reason beside it.

Source: docs.adyen.com (API idempotency, capture, cancel, currency codes) and Adyen's OpenAPI document of Checkout v71. Not here: how any of
it is used.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from connectors.adyen.money import DECIMALS
from payorch.domain.capability import Lookup, Manifest, MethodSupport

NAME: Final = "adyen"

API_VERSION: Final = "v71"
"""Part of every path. Pinned: an answer must not change its shape because Adyen published another one."""

CURRENCIES: Final = frozenset(DECIMALS)

_CARD: Final = MethodSupport(
    # After a redirect nothing is authorised until we post what the shopper brought back to /payments/details.
    completes_without_us=False,
    currencies=CURRENCIES,
)

MANIFEST: Final = Manifest(
    key_max_length=64,
    # The characters themselves. Adyen names no charset; these survive any header, log and shell.
    key_charset="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    # "Valid for a minimum of 7 days after first submission", so counted from later than we do. Two hours are left for a clock that is
    # wrong, a drain that is slow and a last replay still on its way. Keys are not shared between Adyen's regional endpoints: base_url must
    # not change while payments are open.
    key_safe_window_seconds=7 * 24 * 3600 - 2 * 3600,
    replays_errors=False,  # what was processed is replayed; an error before that is not kept
    # There is no call that reads a payment. What a replay does not bring, webhooks do, and the settlement report in the end.
    lookup=Lookup.NONE,
    lookup_lag_seconds=0,
    cancel_by_reference=True,  # POST /cancels; what came of it is told by TECHNICAL_CANCEL
    http_429_means_not_executed=True,  # limits stand before the processing; with `transient-error` it is read as unknown all the same
    methods=MappingProxyType({"card": _CARD}),
    currencies=CURRENCIES,
    partial_capture=True,
    # Only for payments whose connector option `multiple_partial_captures` says that the account has it; `capture` refuses the others.
    multiple_captures=True,
    several_captures_options=MappingProxyType({"multiple_partial_captures": True}),
    # An authorisation that Adyen captures by itself is answered like one that it does not, and no webhook has to follow: so every payment
    # is authorised for manual capture, and an automatic capture is a call of ours.
    capture_reportable=False,
    partial_refund=True,
    multiple_refunds=True,
    session_cancel=False,  # a redirect that nobody completes charges nothing; there is nothing to close
    credentials=("account", "api_key", "webhook_secret"),  # every message names the merchant account
)
