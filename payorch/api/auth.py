"""Who asks: from the Authorization header to a merchant, and no more often than the merchant's share allows.

A key is found by its lookup id and compared as a digest, on every request. What the database said about a lookup id is remembered for
`REMEMBERED_SECONDS`, so that a revocation takes effect within that time and the hot path reads nothing.

Not here: making and revoking keys (`payorch.store.identities`), what an operator may do, limits before authentication.
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, final

import trio

from payorch.api.headers import HeaderRefused, Headers, bearer_token
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.keys import KeyKind, KeyMalformed, matches, parse
from payorch.ports import Clock
from payorch.store.identities import MerchantKey

REMEMBERED_SECONDS: Final = 5.0
"""How long a revoked key may still be taken: long enough to read a busy merchant's key a few times a minute instead of a thousand."""
REMEMBERED_KEYS: Final = 4096
"""Some 2 MB. One more throws the oldest out, which costs its owner one read."""
PACED_MERCHANTS: Final = 4096
"""Merchants whose pace is remembered; those who are back at their full burst are forgotten first."""

_NOT_A_KEY: Final = "The key in the Authorization header is not one of this platform, or is revoked or expired."


@final
class Doorman:
    """Takes a merchant's key for who it is. `find`: the key of a lookup id, from the database."""

    def __init__(self, *, find: Callable[[str], Awaitable[MerchantKey | None]], pepper: bytes, clock: Clock) -> None:
        self._find = find
        self._pepper = pepper
        self._clock = clock
        self._remembered: dict[str, tuple[float, MerchantKey]] = {}

    async def merchant(self, headers: Headers) -> str:
        """The merchant whose key came with the request. Raises Refusal: 401, or 403 for a token of another kind."""
        try:
            key = parse(bearer_token(headers).reveal())
        except HeaderRefused as refused:
            raise Refusal(refused.code, detail=refused.detail) from None
        except KeyMalformed as malformed:
            raise Refusal(Code.UNAUTHENTICATED, detail=str(malformed)) from None
        if key.kind is not KeyKind.MERCHANT:
            raise Refusal(Code.FORBIDDEN, detail="This is an operator's token, and this call takes a merchant's key.")
        found = await self._look_up(key.lookup_id)
        if found is None or not matches(key, found.digest, self._pepper) or not found.is_live(self._clock.now()):
            raise Refusal(Code.UNAUTHENTICATED, detail=_NOT_A_KEY)
        return found.merchant_id

    async def _look_up(self, lookup_id: str) -> MerchantKey | None:
        now = trio.current_time()
        remembered = self._remembered.get(lookup_id)
        if remembered is not None and now - remembered[0] < REMEMBERED_SECONDS:
            return remembered[1]
        # Only what exists is remembered: a new key opens at once, and invented ones throw nobody out.
        self._remembered.pop(lookup_id, None)
        found = await self._find(lookup_id)
        if found is not None:
            if len(self._remembered) >= REMEMBERED_KEYS:
                del self._remembered[next(iter(self._remembered))]
            self._remembered[lookup_id] = (now, found)
        return found


@dataclass(slots=True)
class _Bucket:
    tokens: float
    filled_at: float


@final
class Pace:
    """A token bucket for each merchant: `per_second` requests on average, `burst` at once."""

    def __init__(self, *, per_second: float, burst: int) -> None:
        self._per_second = per_second
        self._burst = float(burst)
        self._buckets: dict[str, _Bucket] = {}

    def take(self, merchant_id: str) -> None:
        """Counts one request. Raises Refusal: 429 with the time until the next one is possible."""
        now = trio.current_time()
        bucket = self._buckets.get(merchant_id)
        if bucket is None:
            bucket = self._new(merchant_id, now)
        bucket.tokens = min(self._burst, bucket.tokens + (now - bucket.filled_at) * self._per_second)
        bucket.filled_at = now
        if bucket.tokens < 1.0:
            seconds = max(1, math.ceil((1.0 - bucket.tokens) / self._per_second))
            raise Refusal(Code.RATE_LIMITED, retry_after_seconds=seconds)
        bucket.tokens -= 1.0

    def _new(self, merchant_id: str, now: float) -> _Bucket:
        if len(self._buckets) >= PACED_MERCHANTS:
            full_after = self._burst / self._per_second
            idle = [name for name, bucket in self._buckets.items() if now - bucket.filled_at >= full_after]
            for name in idle or [next(iter(self._buckets))]:
                del self._buckets[name]
        bucket = self._buckets[merchant_id] = _Bucket(tokens=self._burst, filled_at=now)
        return bucket
