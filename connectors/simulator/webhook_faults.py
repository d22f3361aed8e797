"""What befalls a webhook on its way from a simulated PSP: lost, late, overtaken, more than once, with a forgery beside it.

`decide_webhook(state, rng, now)` is asked once for each webhook, before it is first sent. The server acts it out on sockets, the
deterministic simulation in memory. The faults are those of `faults`: set, counted and ended there.

Not here: when and how often a webhook is sent without any fault (`outbox`), what a forgery looks like on the wire (`webhooks`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from connectors.simulator.faults import WEBHOOK_FAULTS, Fault, FaultKind, FaultState, Rng, counted, live

DEFAULT_LATE_SECONDS: Final = 5.0
"""Long after the answer to the request that caused it, and soon enough to be watched."""
DEFAULT_REORDERED_SECONDS: Final = 2.0
MOST_COPIES: Final = 5


class Forgery(StrEnum):
    """What is wrong with the forged copy that somebody posts beside the true one."""

    ALTERED = "altered"
    """Another body under the signature of the true one."""
    WRONG_KEY = "wrong_key"
    """Another body, signed with a key that is not the endpoint's."""
    STALE = "stale"
    """The true body, rightly signed, a long time ago: a delivery that leaked and is played back."""
    UNSIGNED = "unsigned"
    """Another body without any signature."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookVerdict:
    """What happens to one webhook. `copies` are sent at once, 1 is as it should be; `faults` are those that hit."""

    lost: bool = False
    delay_seconds: float = 0.0
    copies: int = 1
    forgery: Forgery | None = None
    faults: tuple[FaultKind, ...] = ()


PROMPT: Final = WebhookVerdict()
"""Sent at once, once."""

_LOST: Final = WebhookVerdict(lost=True, faults=(FaultKind.WEBHOOKS_LOST,))


def _late(verdict: WebhookVerdict, fault: Fault, chance: float) -> Mapping[str, Any]:
    seconds = DEFAULT_LATE_SECONDS if fault.seconds is None else fault.seconds
    return {"delay_seconds": verdict.delay_seconds + seconds}


def _reordered(verdict: WebhookVerdict, fault: Fault, chance: float) -> Mapping[str, Any]:
    # At least half of it, so that a single one is surely overtaken; by chance, so that many come in another order and not only later.
    seconds = DEFAULT_REORDERED_SECONDS if fault.seconds is None else fault.seconds
    return {"delay_seconds": verdict.delay_seconds + seconds * (0.5 + chance / 2)}


def _duplicated(verdict: WebhookVerdict, fault: Fault, chance: float) -> Mapping[str, Any]:
    return {"copies": 2 + int(chance * (MOST_COPIES - 1))}


def _forged(verdict: WebhookVerdict, fault: Fault, chance: float) -> Mapping[str, Any]:
    return {"forgery": list(Forgery)[int(chance * len(Forgery))]}


_EFFECTS: Final[Mapping[FaultKind, Callable[[WebhookVerdict, Fault, float], Mapping[str, Any]]]] = {
    FaultKind.WEBHOOKS_LATE: _late,
    FaultKind.WEBHOOKS_REORDERED: _reordered,
    FaultKind.WEBHOOKS_DUPLICATED: _duplicated,
    FaultKind.WEBHOOKS_FORGED: _forged,
}
_BY_CHANCE: Final = frozenset(_EFFECTS) - {FaultKind.WEBHOOKS_LATE}
"""Those of which chance also says how."""


def decide_webhook(state: FaultState, rng: Rng, now: datetime) -> tuple[WebhookVerdict, FaultState]:
    """What happens to the next webhook, and the state after it (counted faults have one hit less).

    Faults are tried in the order they were set; each throws its dice once, and what hits adds up: one kind hits once at most, and what is
    lost is lost. Without faults of webhooks nothing is thrown.
    """
    if not any(fault.kind in WEBHOOK_FAULTS for fault in state.faults):
        return PROMPT, state
    state = live(state, now)
    verdict, hits = PROMPT, set[int]()
    for fault in state.faults:
        if fault.kind not in WEBHOOK_FAULTS or fault.kind in verdict.faults or rng.random() >= fault.rate:
            continue
        if fault.kind is FaultKind.WEBHOOKS_LOST:
            return _LOST, counted(state, {fault.id})
        hits.add(fault.id)
        chance = rng.random() if fault.kind in _BY_CHANCE else 0.0
        verdict = replace(verdict, faults=(*verdict.faults, fault.kind), **_EFFECTS[fault.kind](verdict, fault, chance))
    return verdict, counted(state, hits)
