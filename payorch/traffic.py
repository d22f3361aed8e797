"""Seeded demo traffic: payments as a shop would make them, against a running API, until it is told to stop.

The same seed makes the same payments in the same order and rhythm; idempotency keys differ from run to run, so that each run makes new
ones. Open loop: a slow platform does not slow the shop down, up to a bound. Not a load test: nothing is measured or asserted.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, final

import httpx2
import trio

from connectors.simulator.cards import SHARED, Card, Challenge

Fraction = Callable[[], float]

# Requests without an answer; one more is not made. At 10 a second that is a platform that hangs for 20 s.
_IN_FLIGHT: Final = 200
_PATIENCE_SECONDS: Final = 30.0
_GOOD_SHARE: Final = 0.85
_MANUAL_SHARE: Final = 0.15
_CURRENCIES: Final = ("EUR", "EUR", "EUR", "USD", "GBP", "SEK")
# Most baskets are small; the logarithm of their amounts is spread evenly between these.
_SMALLEST_MINOR: Final = 200
_LARGEST_MINOR: Final = 40_000


def _approves(card: Card) -> bool:
    late = card.pending or card.capture_fails_late or card.refund_fails_late or card.refund_pending
    return card.decline is None and card.challenge is Challenge.NONE and not late


# What the simulators understand, parted into cards that just work and those that show something.
_GOOD: Final = tuple(sorted(token for token, card in SHARED.items() if _approves(card)))
_TELLING: Final = tuple(sorted(token for token, card in SHARED.items() if not _approves(card)))


@final
@dataclass(frozen=True, slots=True, kw_only=True)
class Shop:
    """Where it sends its payments, as whom, how many a second, and its dice. `run` tells this run's keys from those of others."""

    base_url: str
    merchant_key: str
    run: str
    per_second: float
    fraction: Fraction

    async def trade(self, seen: Counter[str]) -> None:
        """Until cancelled. `seen` counts how payments stood when they were answered, and what else happened."""
        headers = {"authorization": f"Bearer {self.merchant_key}"}
        limits = httpx2.Limits(max_connections=_IN_FLIGHT, max_keepalive_connections=_IN_FLIGHT)
        timeout = httpx2.Timeout(_PATIENCE_SECONDS)
        async with (
            httpx2.AsyncClient(base_url=self.base_url, headers=headers, limits=limits, timeout=timeout, trust_env=False) as client,
            trio.open_nursery() as nursery,
        ):
            number = 0
            while True:
                number += 1
                body = payment(number, self.fraction)
                if len(nursery.child_tasks) < _IN_FLIGHT:
                    nursery.start_soon(self._send, client, number, body, seen)
                else:
                    seen["not sent"] += 1
                await trio.sleep(-math.log(1.0 - self.fraction()) / self.per_second)

    async def _send(self, client: httpx2.AsyncClient, number: int, body: Mapping[str, Any], seen: Counter[str]) -> None:
        try:
            answer = await client.post("/v1/payments", json=body, headers={"idempotency-key": f"demo-{self.run}-{number}"})
            seen[str(answer.json()["status"]) if answer.status_code in (201, 202) else f"HTTP {answer.status_code}"] += 1
        except (httpx2.HTTPError, ValueError, KeyError):
            seen["no answer"] += 1


def payment(number: int, fraction: Fraction) -> dict[str, Any]:
    """The body of the shop's next payment; draws five numbers."""
    spread = math.log(_LARGEST_MINOR) - math.log(_SMALLEST_MINOR)
    tokens = _GOOD if fraction() < _GOOD_SHARE else _TELLING
    return {
        "amount": round(math.exp(math.log(_SMALLEST_MINOR) + fraction() * spread)),
        "currency": _picked(_CURRENCIES, fraction),
        "reference": f"demo-{number}",
        "capture": "manual" if fraction() < _MANUAL_SHARE else "automatic",
        "payment_method": {"type": "card", "token": _picked(tokens, fraction)},
        "return_url": "https://shop.example/return",
    }


def _picked(choices: tuple[str, ...], fraction: Fraction) -> str:
    return choices[int(fraction() * len(choices))]
