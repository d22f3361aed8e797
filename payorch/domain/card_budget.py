"""How often each card was declined lately, over all connectors: what keeps payorch from trying a card more often than networks allow.

A card is known by its merchant and fingerprint, or its merchant and token where the merchant knows no fingerprint. (The merchant belongs to
it: networks count by merchant, and nobody shall be able to use up, or block, the cards of somebody else's customers.) Amounts do not part
one card's count: that is stricter than networks are, and simple. An approval does not reset it.

Two questions are answered. May a card that was just declined be tried again? Not once its declines reach a limit of its network
(`card_limits`). May a new payment try it at all? Not with a fingerprint that was declined for good (stolen, closed); a token alone is not
sure enough to refuse by, and whether to begin a new payment is otherwise the merchant's decision.

Kept in memory, rebuilt from the journal at the start. No clock. Not here: what follows from an answer (`decide`).
"""

from __future__ import annotations

import hashlib
from collections import deque
from datetime import datetime
from typing import Final, NamedTuple, final

from payorch.domain.card_limits import BLOCKED_SECONDS, limits_of
from payorch.domain.events import AttemptChange, Event
from payorch.domain.intent import Intent
from payorch.domain.outcome import POLICY, Declined, Kind
from payorch.domain.payment import AttemptState, Name

DECLINES: Final = frozenset(
    {Name.DECLINED_RETRIABLE, Name.DECLINED_TERMINAL, Name.RESOLVED_DECLINED, Name.RESOLVED_DECLINED_RETRIABLE, Name.ACTION_FAILED}
)
"""The events by which a card can have been declined."""
_MOST_TIMES: Final = 40
"""Above the largest limit: earlier declines of one card are forgotten."""
_KEY_BYTES: Final = 16


class Decline(NamedTuple):
    """A network's no: when, and whether it was for good."""

    at: datetime
    for_good: bool


def decline_in(event: Event) -> Decline | None:
    """The network's no that an event tells of; None for nearly all events. A message that the PSP refused never reached the network."""
    data = event.data
    if event.name not in DECLINES or not isinstance(data, AttemptChange) or data.state is not AttemptState.DECLINED:
        return None
    if data.evidence is None or not isinstance(data.evidence.finding, Declined):
        return None
    policy = POLICY[data.evidence.finding.failure.error_class]
    if policy.kind is not Kind.SOFT and not policy.blocks_fingerprint:
        return None  # a risk engine's no, or the shopper's own
    return Decline(at=event.at, for_good=policy.blocks_fingerprint)


@final
class CardBudget:
    """The declines of cards. cards: how many are remembered at the most, the latest ones. Changed by `tell` alone."""

    def __init__(self, *, cards: int) -> None:
        self._most = cards
        self._declines: dict[bytes, deque[float]] = {}  # the least recently declined first
        self._blocked: dict[bytes, float] = {}  # fingerprint -> when it was declined for good

    def tell(self, merchant_id: str, intent: Intent, decline: Decline) -> None:
        """A card was declined."""
        key = _key(merchant_id, intent)
        if key is None:
            return
        times = self._declines.pop(key, None) or deque(maxlen=_MOST_TIMES)
        self._declines[key] = times
        times.append(decline.at.timestamp())
        if decline.for_good and _has_fingerprint(intent):
            self._blocked.pop(key, None)
            self._blocked[key] = decline.at.timestamp()
        for kept in (self._declines, self._blocked):
            while len(kept) > self._most:
                del kept[next(iter(kept))]

    def spent(self, merchant_id: str, intent: Intent, at: datetime) -> str | None:
        """Why a card that was declined just now, once more than is told here, may not be tried again anywhere; None where it may."""
        key = _key(merchant_id, intent)
        times = self._declines.get(key) if key is not None else None
        if not times:
            return None
        now, brand = at.timestamp(), intent.method.brand if intent.method is not None else None
        for limit in limits_of(brand):
            if sum(now - one < limit.within_seconds for one in times) + 1 >= limit.declines:
                days = limit.within_seconds // 86_400
                return f"the card was declined {limit.declines} times in {'24 hours' if days == 1 else f'{days} days'}"
        return None

    def blocked(self, merchant_id: str, intent: Intent, at: datetime) -> str | None:
        """Why a payment with this card is not even to be tried; None where it is."""
        if not self._blocked or not _has_fingerprint(intent):
            return None
        key = _key(merchant_id, intent)
        since = self._blocked.get(key) if key is not None else None
        if since is None or at.timestamp() - since >= BLOCKED_SECONDS:
            return None
        return "an issuer declined this card for good"

    def __len__(self) -> int:
        return len(self._declines)


def _has_fingerprint(intent: Intent) -> bool:
    return intent.method is not None and intent.method.fingerprint is not None


def _key(merchant_id: str, intent: Intent) -> bytes | None:
    """What the card is counted under: a digest, so that no token stays in memory for a month."""
    method = intent.method
    if method is None:
        return None
    if method.fingerprint is not None:
        words = ["fingerprint", merchant_id, method.fingerprint]
    elif method.token is not None:
        words = ["token", merchant_id, method.token]
    elif method.tokens:
        words = ["tokens", merchant_id, *(f"{name}={token}" for name, token in sorted(method.tokens.items()))]
    else:
        return None
    return hashlib.sha256("\x00".join(words).encode()).digest()[:_KEY_BYTES]
