"""What a connector can do and promises, as data: the manifest that routing, proof and retry read instead of knowing a PSP.

Not here: any PSP's values (each connector's own manifest) or how a capability is used (`routing`, `proof`, `payment`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Lookup(StrEnum):
    """Whether a PSP can be asked about a payment by our own reference, and how fresh its answer is."""

    NONE = "none"
    EVENTUAL = "eventual"
    STRONG = "strong"


@dataclass(frozen=True, slots=True, kw_only=True)
class MethodSupport:
    """One payment method at one connector. None for currencies or countries means all that the connector has an exponent for.

    completes_without_us: the shopper finishing the action can move money without another call of ours.
    captures: `automatic`, `manual`. merchant_initiated: it can be charged while no shopper is there.
    minimum_minor / maximum_minor: by currency, in ISO minor units; a currency that is missing has no such limit.
    """

    completes_without_us: bool
    needs_token: bool = True
    currencies: frozenset[str] | None = None
    countries: frozenset[str] | None = None
    minimum_minor: Mapping[str, int] = field(default_factory=dict)
    maximum_minor: Mapping[str, int] = field(default_factory=dict)
    captures: frozenset[str] = frozenset({"automatic", "manual"})
    merchant_initiated: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """A connector's promises. Names as in STATES.md; times in seconds.

    key_safe_window_seconds: how long the same PSP key surely replays instead of executing anew; zero means no idempotency at all.
    session_cancel: an open shopper action can be closed by a call. refunds_by_capture: a refund gives back money of one capture, and no
    more than is left of it. credentials: what the connector needs to be told of them, by name. several_captures_options: the connector
    options by which a payment is authorised for more than one capture, where it has to be.
    """

    key_max_length: int
    key_charset: str
    key_safe_window_seconds: int
    replays_errors: bool
    lookup: Lookup
    lookup_lag_seconds: int
    cancel_by_reference: bool
    http_429_means_not_executed: bool
    methods: Mapping[str, MethodSupport]
    currencies: frozenset[str]
    http_5xx_means_unknown: bool = True
    partial_capture: bool = False
    multiple_captures: bool = False
    capture_reportable: bool = True
    partial_refund: bool = False
    multiple_refunds: bool = False
    session_cancel: bool = False
    refunds_by_capture: bool = False
    credentials: tuple[str, ...] = ("api_key", "webhook_secret")
    several_captures_options: Mapping[str, object] = field(default_factory=dict)
