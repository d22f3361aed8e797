"""`payorch trigger EVENT`: makes a real event happen on the local stack, as a shop, its shopper and a PSP's dashboard would.

Every event has a recipe: a payment with a test token, what the shop then does about it, and what somebody does at the simulated PSP behind
our back. Nothing is made up: the event comes through the state machine like any other. Only simulated PSPs are touched. Not here: what the
tokens, faults and deeds do (`connectors.simulator`), printing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, TypeAlias, final

import httpx2
import trio

from connectors.registry import CONNECTORS
from payorch.domain.money import Money
from payorch.merchant_client import Event, MerchantClient, Platform, PlatformAway, merchant_client
from payorch.ports import Entropy
from payorch.wording import aligned, printable

AMOUNT: Final = Money(1999, "EUR")
_PART_MINOR: Final = 500
_RETURN_URL: Final = "https://shop.example/return"
_LOOK_SECONDS: Final = 0.2
_SIMULATOR_WITHIN_SECONDS: Final = 5.0  # a process on this machine that only looks into its memory
_FAULT_SECONDS: Final = 60.0
"""A fault that our own payment did not meet must not lie in wait for somebody else's for ever."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """What the shop does about its payment: POST /v1/payments/{id}/<what>."""

    what: str
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Deed:
    """What somebody does in the PSP's dashboard."""

    do: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Await:
    """Waits for an event that has to come first."""

    event: str


Step: TypeAlias = Call | Deed | Await


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How an event is made. fault: that befalls the payment's authorisation at the PSP, once."""

    says: str
    token: str = "tok_visa"
    hold: bool = False
    in_parts: bool = False
    fault: str | None = None
    steps: tuple[Step, ...] = ()


_CAPTURE: Final = Call(what="captures", body={})
_REFUND: Final = Call(what="refunds", body={"reason": "triggered"})
_DISPUTE: Final = Deed(do="dispute")

RECIPES: Final[Mapping[str, Recipe]] = {
    "payment.authorized": Recipe(says="money is held, and waits for its capture", hold=True),
    "payment.succeeded": Recipe(says="a card is charged"),
    "payment.failed": Recipe(says="a stolen card is declined", token="tok_hard_decline"),
    "payment.requires_action": Recipe(says="the shopper's bank wants to see the shopper", token="tok_3ds"),
    "payment.canceled": Recipe(says="held money is given back", hold=True, steps=(Call(what="voids", body={}),)),
    "payment.partially_captured": Recipe(
        says="a part of held money is taken",
        hold=True,
        in_parts=True,
        steps=(Call(what="captures", body={"amount": _PART_MINOR, "final": False}),),
    ),
    # Not a hang: the call would be waited for until its time is over, and the PSP's webhook may tell the outcome before.
    "payment.unconfirmed": Recipe(says="the PSP charges, and its answer is lost", fault="reset_after"),
    "payment.review": Recipe(says="money that a merchant holds is captured at the PSP itself", hold=True, steps=(Deed(do="capture"),)),
    "capture.succeeded": Recipe(says="held money is taken", hold=True, steps=(_CAPTURE,)),
    "capture.failed": Recipe(
        says="a capture that was confirmed fails after all", token="tok_capture_fails_late", hold=True, steps=(_CAPTURE,)
    ),
    "refund.pending": Recipe(says="a refund takes its time", token="tok_refund_pending", steps=(_REFUND,)),
    "refund.succeeded": Recipe(says="money is given back", steps=(_REFUND,)),
    "refund.failed": Recipe(says="a refund that was confirmed fails after all", token="tok_refund_fails_late", steps=(_REFUND,)),
    "dispute.opened": Recipe(says="the shopper's bank takes the money back", steps=(_DISPUTE,)),
    "dispute.updated": Recipe(
        says="a dispute is decided for the merchant", steps=(_DISPUTE, Await(event="dispute.opened"), Deed(do="win_dispute"))
    ),
}
"""Event -> how it is made."""


class TriggerFailed(Exception):
    """The event could not be made, or did not come. The text says what was done, and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """What happened: the event as the API lists it, and what it took."""

    event: Event
    payment_id: str
    steps: tuple[str, ...]


@final
class Stage:
    """The local stack. simulators: by connector's name, where each listens. say: told of each step as it is done."""

    def __init__(self, *, platform: Platform, simulators: Mapping[str, str], entropy: Entropy, say: Callable[[str], None]) -> None:
        self._platform = platform
        self._simulators = simulators
        self._entropy = entropy
        self._say = say
        self._steps: list[str] = []

    async def trigger(self, event: str, *, connector: str | None, token: str | None, wait_seconds: float) -> Made:
        """Makes it happen and waits for it. Raises TriggerFailed, PlatformAway and PlatformRefused."""
        recipe = RECIPES[event]
        name = self._simulated(connector)
        card = token or recipe.token
        async with merchant_client(self._platform) as client, self._broken(name, recipe.fault):
            payment = await self._pay(client, event, recipe, name, card)
            psp_reference = payment.get("psp_reference")
            for step in recipe.steps:
                match step:
                    case Call():
                        await self._call(client, payment["id"], step)
                    case Deed():
                        await self._at_the_psp(name, str(psp_reference), step)
                    case Await():
                        await self._come(client, step.event, payment, wait_seconds)
            found = await self._come(client, event, payment, wait_seconds)
        return Made(event=found, payment_id=payment["id"], steps=tuple(self._steps))

    def _simulated(self, connector: str | None) -> str:
        if not self._simulators:
            raise TriggerFailed("no PSP is simulated here, and events are made at simulated ones only: `payorch up` starts them")
        name = next(iter(self._simulators)) if connector is None else connector
        if name not in self._simulators:
            raise TriggerFailed(f"{name} is not simulated here; the simulators are: {', '.join(self._simulators)}")
        return name

    # --- as the shop

    async def _pay(self, client: MerchantClient, event: str, recipe: Recipe, connector: str, token: str) -> dict[str, Any]:
        body = {
            "amount": AMOUNT.minor,
            "currency": AMOUNT.currency,
            "reference": f"trigger-{event}",
            "capture": "manual" if recipe.hold else "automatic",
            "payment_method": {"type": "card", "token": token},
            "return_url": _RETURN_URL,
            "connector": connector,
            **({"connector_options": {connector: _in_parts(connector)}} if recipe.in_parts else {}),
        }
        payment = await client.post("/v1/payments", body, key=self._key())
        self._did(f"payment {payment['id']} of {AMOUNT.major()} {AMOUNT.currency} with {token} at {connector}: {_standing(payment)}")
        if action := payment.get("next_action"):
            self._did(f"the shopper would go to {action.get('url')}")
        return payment

    async def _call(self, client: MerchantClient, payment_id: str, step: Call) -> None:
        made = await client.post(f"/v1/payments/{payment_id}/{step.what}", step.body, key=self._key())
        self._did(f"{made['object']} {made['id']}: {_standing(made)}")

    def _key(self) -> str:
        return f"trigger-{self._entropy.identifier()}"

    # --- at the PSP

    @asynccontextmanager
    async def _broken(self, connector: str, fault: str | None) -> AsyncIterator[None]:
        """That fault befalls the next authorisation there; lifted where it did not."""
        if fault is None:
            yield
            return
        wish = {"fault": fault, "count": 1, "scope": "authorize", "for_seconds": _FAULT_SECONDS}
        made = await self._simulator(connector, "POST", "/_faults", wish)
        self._did(f"{connector} is broken: {fault}, once")
        try:
            yield
        finally:
            with trio.CancelScope(shield=True):
                await self._simulator(connector, "DELETE", f"/_faults/{made['id']}")

    async def _at_the_psp(self, connector: str, psp_reference: str, step: Deed) -> None:
        await self._simulator(connector, "POST", "/_dashboard", {"payment": psp_reference, "do": step.do})
        self._did(f"at {connector} itself, to {psp_reference}: {step.do.replace('_', ' ')}")

    async def _simulator(self, connector: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> dict[str, Any]:
        try:
            async with httpx2.AsyncClient(
                base_url=self._simulators[connector], timeout=_SIMULATOR_WITHIN_SECONDS, trust_env=False
            ) as client:
                answer = await client.request(method, path, json=body)
            said = answer.json()
        except (httpx2.HTTPError, ValueError) as problem:
            raise TriggerFailed(f"the simulated {connector} does not answer ({type(problem).__name__})") from problem
        if answer.status_code >= 400 or not isinstance(said, dict):
            why = said.get("error") if isinstance(said, dict) else None
            raise TriggerFailed(f"{connector}: {printable(str(why or answer.status_code))}")
        return said

    # --- the event

    async def _come(self, client: MerchantClient, event: str, payment: Mapping[str, Any], wait_seconds: float) -> Event:
        """That payment's event of that type, as soon as it is listed."""
        with trio.move_on_after(wait_seconds):
            while True:
                try:
                    page = await client.events(payment=str(payment["id"]), type=event)
                    if page.events:
                        found = page.events[-1]  # the first of them
                        self._did(f"{event}: {found['id']}")
                        return found
                except PlatformAway:
                    pass  # it may come back in time
                await trio.sleep(_LOOK_SECONDS)
        raise TriggerFailed(
            f"no {event} came within {wait_seconds:g} s. What became of the payment: GET /v1/payments/{payment['id']}/timeline"
        )

    def _did(self, text: str) -> None:
        told = printable(text)
        self._steps.append(told)
        self._say(told)


def _in_parts(connector: str) -> dict[str, object]:
    """What a payment needs for captures in several parts, by an option of each PSP's own."""
    return dict(CONNECTORS[connector].manifest.several_captures_options) if connector in CONNECTORS else {}


def _standing(made: Mapping[str, Any]) -> str:
    outcome = made.get("outcome")
    return str(made["status"]) if outcome is None else f"{made['status']}, {outcome}"


# --- as people and programs read them ---------------------------------------------------------------------------------------------------


def recipes_table() -> str:
    """The events, and what happens for each."""
    return aligned((event, recipe.says) for event, recipe in RECIPES.items())


def recipes_data() -> list[dict[str, Any]]:
    """The same for programs."""
    return [{"event": event, "says": recipe.says, "token": recipe.token} for event, recipe in RECIPES.items()]


def sentence(made: Made) -> str:
    """Which event it was, and where to go on."""
    return f"\n{made.event['type']} is {made.event['id']}, of {made.payment_id}: sequence {made.event['sequence']}"


def data(made: Made) -> dict[str, Any]:
    """What happened, for programs."""
    return {"payment": made.payment_id, "steps": list(made.steps), "event": dict(made.event)}
