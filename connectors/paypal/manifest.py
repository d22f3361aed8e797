"""What PayPal's Orders and Payments APIs promise, as data: read by routing, proof and retry. Every figure has its reason beside it.

Source: PayPal's OpenAPI documents (checkout_orders_v2 2.13, payments_payment_v2 2.5) and its currencies page. Not here: how any of it is
used.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final

from connectors.paypal.money import DECIMALS
from payorch.domain.capability import Lookup, Manifest, MethodSupport

NAME: Final = "paypal"
CURRENCIES: Final = frozenset(DECIMALS)

CARD: Final = "card"
WALLET: Final = "paypal"

# An order that the shopper has approved, or for which he has authenticated, waits for a call of ours: without it no money moves, and
# PayPal lets it lapse. So it holds for the wallet and for a card's 3DS challenge alike.
_CARD: Final = MethodSupport(completes_without_us=False, currencies=CURRENCIES)
_WALLET: Final = MethodSupport(completes_without_us=False, needs_token=False, currencies=CURRENCIES)

MANIFEST: Final = Manifest(
    key_max_length=108,  # PayPal-Request-Id in the Orders API; the Payments API names no limit
    # PayPal names no charset; these survive any header, log and shell.
    key_charset="ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
    # Orders keep a key for 6 hours, Payments for 45 days, and a manifest has one window: the shorter, which is wrong for nobody. An
    # operation whose window closed early is asked about in its order, where it is found by our own id. Half an hour is left for a clock
    # that is wrong, a drain that is slow and a last replay still on its way.
    key_safe_window_seconds=6 * 3600 - 30 * 60,
    # A repeat gets the latest status of what the first one made. What was refused made nothing, and is tried anew.
    replays_errors=False,
    # There is no search by a reference of ours. An attempt whose order id was never heard can only be replayed, or be named by a notice:
    # `inquire` has nothing to ask then, so its absence is never said, and never proved. All else is asked by PayPal's own id of the order,
    # which it answers from its books: an order shows every authorization, capture and refund with the id of ours that it was made under.
    # NONE would say that even this cannot be asked, and STRONG that the first can; EVENTUAL promises nothing for an id that is not known
    # and believes what is said of one that is.
    lookup=Lookup.EVENTUAL,
    # PayPal publishes no figure. Six times as long as a call of ours can be under way.
    lookup_lag_seconds=180,
    cancel_by_reference=False,
    http_429_means_not_executed=True,  # limiters stand before everything else
    methods=MappingProxyType({CARD: _CARD, WALLET: _WALLET}),
    currencies=CURRENCIES,
    partial_capture=True,
    # Up to ten of one authorization, by accounts that have it; PayPal refuses the others' second capture, definitely.
    multiple_captures=True,
    capture_reportable=True,
    partial_refund=True,
    multiple_refunds=True,
    refunds_by_capture=True,
    session_cancel=False,  # an order cannot be cancelled, only left to lapse
    credentials=("account", "api_key", "webhook_secret"),  # the client's id, its secret, the webhook's id
)
