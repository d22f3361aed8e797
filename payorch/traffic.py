"""Seeded demo traffic: payments as a shop would make them, with what it does about them later, against a running API, until told to stop.

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
_VOID_SHARE: Final = 0.25
"""Of held money, what is given back instead of captured: the article was sold out."""
_REFUND_SHARE: Final = 0.1
_LONGEST_WAIT_SECONDS: Final = 8.0
"""Goods go out after hours and come back after weeks; nobody watches a demonstration for so long."""
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


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowUp:
    """What the shop does about a payment later: `call` is captures, voids or refunds."""

    call: str
    body: Mapping[str, Any]
    after_seconds: float


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
                later = follow_up(body, self.fraction)
                if len(nursery.child_tasks) < _IN_FLIGHT:
                    nursery.start_soon(self._trade_one, client, number, body, later, seen)
                else:
                    seen["not sent"] += 1
                await trio.sleep(-math.log(1.0 - self.fraction()) / self.per_second)

    async def _trade_one(
        self, client: httpx2.AsyncClient, number: int, body: Mapping[str, Any], later: FollowUp | None, seen: Counter[str]
    ) -> None:
        made = await self._send(client, "/v1/payments", f"demo-{self.run}-{number}", body, seen)
        if made is None or later is None or made["status"] not in ("requires_capture", "succeeded"):
            return
        await trio.sleep(later.after_seconds)
        await self._send(client, f"/v1/payments/{made['id']}/{later.call}", f"demo-{self.run}-{number}-{later.call}", later.body, seen)

    async def _send(
        self, client: httpx2.AsyncClient, path: str, key: str, body: Mapping[str, Any], seen: Counter[str]
    ) -> Mapping[str, Any] | None:
        """The object that was made; None where none was."""
        try:
            answer = await client.post(path, json=body, headers={"idempotency-key": key})
            if answer.status_code not in (201, 202):
                seen[f"HTTP {answer.status_code}"] += 1
                return None
            made: dict[str, Any] = answer.json()
            kind = "" if made["object"] == "payment" else f"{made['object']} "
            seen[kind + str(made["status"])] += 1
        except (httpx2.HTTPError, ValueError, KeyError):
            seen["no answer"] += 1
            return None
        return made


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


def follow_up(body: Mapping[str, Any], fraction: Fraction) -> FollowUp | None:
    """What the shop does later about a payment of that body, where it went well; draws three numbers."""
    what, part, wait = fraction(), fraction(), fraction()
    after = wait * _LONGEST_WAIT_SECONDS
    # Half of the time all of it, otherwise a part: the order was sent in part, one article of it came back.
    amount = {} if part < 0.5 else {"amount": max(1, round(body["amount"] * part))}
    if body["capture"] == "manual":
        if what < _VOID_SHARE:
            return FollowUp(call="voids", body={}, after_seconds=after)
        return FollowUp(call="captures", body={**amount, "final": True}, after_seconds=after)
    return FollowUp(call="refunds", body=amount, after_seconds=after) if what < _REFUND_SHARE else None


def _picked(choices: tuple[str, ...], fraction: Fraction) -> str:
    return choices[int(fraction() * len(choices))]
