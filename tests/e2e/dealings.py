"""What merchants do with a payment after it was made: captures, voids, refunds and cancels, each under a key of its own.

Whoever asks goes on asking under the same key until there is an answer, through kills and outages, and holds every answer against what may
never be seen: more captured than authorised, more given back than taken. Not here: whether what was heard is true (`books`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx2
import trio

from connectors.registry import CONNECTORS

ACCEPTED: Final = frozenset({200, 201, 202})
REFUSED: Final = frozenset({"operation_not_allowed", "capability_not_supported", "amount_exceeds_capturable", "amount_exceeds_refundable"})
"""Why a merchant may be told no, for good and without any effect."""
LONGEST_PAUSE_SECONDS: Final = 0.3
PATHS: Final = {"capture": "captures", "void": "voids", "refund": "refunds", "cancel": "cancel"}
LISTS: Final = {"capture": "captures", "void": "voids", "refund": "refunds"}

SEVERAL_CAPTURES: Final = {
    "connector_options": {
        name: dict(one.manifest.several_captures_options) for name, one in CONNECTORS.items() if one.manifest.several_captures_options
    },
    "capture": "manual",
}
"""What a creation needs for captures that leave the rest open."""


@dataclass
class Wish:
    """One operation under one key, and all that was heard of it: accepting answers, and the refusal where it was refused."""

    key: str
    kind: str
    payment_id: str
    body: dict[str, Any]
    heard: list[tuple[int, bytes]] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    operation_id: str | None = None

    @property
    def path(self) -> str:
        return f"/v1/payments/{self.payment_id}/{PATHS[self.kind]}"


class Asker:
    """Asks until it is answered. What it hears goes into `seen`, refusals also into `problems` (status, problem, had a Retry-After)."""

    def __init__(self, client: httpx2.AsyncClient, seen: Counter[str], problems: list[tuple[int, dict[str, Any], bool]]) -> None:
        self._client = client
        self._seen = seen
        self._problems = problems

    async def ask(self, path: str, body: object, key: str) -> httpx2.Response:
        """The first answer that settles it: an acceptance, or a refusal for good."""
        while True:
            try:
                answer = await self._client.post(path, json=body, headers={"idempotency-key": key}, timeout=10.0)
            except httpx2.TransportError as silence:
                self._seen[type(silence).__name__] += 1
                await trio.sleep(0.2)
                continue
            self._seen[str(answer.status_code)] += 1
            if answer.status_code in ACCEPTED:
                watch(answer.json())
                return answer
            problem = answer.json()
            self._problems.append((answer.status_code, problem, "retry-after" in answer.headers))
            if problem["code"] in REFUSED:
                return answer
            assert answer.status_code in (409, 503), f"{path} under {key}: {answer.status_code} {answer.text}"
            await trio.sleep(min(LONGEST_PAUSE_SECONDS, float(answer.headers["retry-after"])))

    async def look(self, path: str) -> dict[str, Any]:
        """A GET, repeated until it is answered."""
        while True:
            try:
                answer = await self._client.get(path, timeout=10.0)
            except httpx2.TransportError as silence:
                self._seen[type(silence).__name__] += 1
                await trio.sleep(0.2)
                continue
            self._seen[f"GET {answer.status_code}"] += 1
            if answer.status_code == 200:
                found: dict[str, Any] = answer.json()
                watch(found)
                return found
            assert answer.status_code == 503, f"{path}: {answer.status_code} {answer.text}"
            await trio.sleep(min(LONGEST_PAUSE_SECONDS, float(answer.headers["retry-after"])))

    async def carry_out(self, wish: Wish) -> None:
        """Asks for it until there is an answer. Several at once may do so with the same wish."""
        answer = await self.ask(wish.path, wish.body, wish.key)
        if answer.status_code not in ACCEPTED:
            wish.refusals.append(answer.json()["code"])
            return
        wish.heard.append((answer.status_code, answer.content))
        wish.operation_id = answer.json()["id"] if wish.kind != "cancel" else None


def draw(payment: dict[str, Any], dice: Random, key: str, *, gently: bool = False) -> Wish:
    """What a merchant may think of next, sensible or not. `gently`: small steps mostly, so that the payment stays open to many of them."""
    kinds = ("capture",) * 3 + ("refund",) * 3 + (() if gently and dice.random() < 0.97 else ("void", "cancel"))
    kind = dice.choice(kinds)
    amount = payment["amount"]
    some = dice.randrange(1, max(2, amount // (12 if gently else 3)))
    body: dict[str, Any] = {} if kind == "cancel" else {"reference": key}
    if kind == "capture":
        body |= {"amount": some, "final": False} if gently else dice.choice(({}, {"amount": some}, {"amount": some, "final": True}))
    if kind == "refund":
        body |= {"amount": some, "reason": "customer_request"} if gently or dice.random() < 0.7 else {}
    if not gently and dice.random() < 0.05 and "amount" in body:
        body["amount"] = amount + 1
    return Wish(key=key, kind=kind, payment_id=payment["id"], body=body)


def watch(answered: dict[str, Any]) -> None:
    """Holds any answered payment or operation against what no answer may ever show. Raises AssertionError."""
    payment = answered if answered["object"] == "payment" else answered["payment"]
    _sums(payment)
    if answered is not payment and answered["id"] is not None:
        (listed,) = [one for one in payment[LISTS[answered["object"]]] if one["id"] == answered["id"]]
        shown = {name: value for name, value in answered.items() if name != "payment"}
        assert listed == {name: shown[name] for name in listed}, f"an operation and its payment disagree: {answered}"


def open_amount(operations: Iterable[dict[str, Any]]) -> int:
    return sum(one["amount"] for one in operations if one["status"] == "pending")


def done_amount(operations: Iterable[dict[str, Any]]) -> int:
    return sum(one["amount"] for one in operations if one["status"] == "succeeded")


def disputed_amount(disputes: Iterable[dict[str, Any]]) -> int:
    """What a shopper's bank holds or took. There is one stage of each dispute where nothing goes as far as arbitration."""
    return sum(one["amount"] for one in disputes if one["stage"] != "pre_dispute" and one["status"] not in ("won", "cancelled"))


def _sums(payment: dict[str, Any]) -> None:
    """M2, I3. An adopted operation may say otherwise; there are none where nobody works at the PSP by hand."""
    authorized, captured, refunded = (payment[f"amount_{what}"] for what in ("authorized", "captured", "refunded"))
    capturing, refunding = open_amount(payment["captures"]), open_amount(payment["refunds"])
    what = f"{payment}"
    assert authorized in (0, payment["amount"]), f"M2: {what}"
    assert captured + capturing + payment["amount_capturable"] <= authorized, f"M2: more captured than authorised: {what}"
    assert refunded + refunding <= captured, f"M2: more refunded than captured: {what}"
    assert payment["amount_refundable"] == max(0, captured - refunded - refunding - disputed_amount(payment["disputes"])), f"I3: {what}"
    assert min(captured, refunded, payment["amount_capturable"]) >= 0, f"M2: {what}"
    assert refunded == done_amount(payment["refunds"]), f"M2: {what}"
    assert captured in (done_amount(payment["captures"]), payment["amount"]), f"M2: {what}"
    doubtful, calling = ("OUTCOME_UNKNOWN", "MANUAL_REVIEW"), ("AUTHORIZING", "CAPTURING", "VOIDING")
    assert payment["outcome"] == "unconfirmed" or payment["state"] not in doubtful, what
    assert payment["outcome"] is None or payment["state"] in (*doubtful, *calling), what
