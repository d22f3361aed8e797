"""One merchant's script on each connector of the registry, chosen by nothing but the default of the routing rules.

The merchant knows no connector: he sends the same bodies and hears the same ends. What may differ is what a manifest says: a PSP that takes
captures, voids and refunds and does them later answers 202 first. In the end our books are each PSP's own. Not here: faults
(`test_mixed_faults`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
import trio

from connectors.registry import CONNECTORS
from payorch.domain.capability import Manifest
from tests.e2e import books
from tests.e2e.stack import WITHIN_SECONDS, Stack, order, payorch

MONEY: Final = 1999
DECLINES: Final = {
    "tok_insufficient_funds": "SOFT_RETRY_LATER",
    "tok_soft_decline": "SOFT_TRY_OTHER",
    "tok_hard_decline": "HARD_DECLINE",
    "tok_expired_card": "FIX_DATA",
    "tok_fraud": "FRAUD_BLOCKED",
}
CHALLENGES: Final = {
    ("tok_3ds", "approve"): "CAPTURED",
    ("tok_3ds", "fail"): "FAILED",
    ("tok_3ds", "cancel"): "FAILED",
    ("tok_3ds_fail", "approve"): "FAILED",
}
WALLET: Final = {"approve": "CAPTURED", "fail": "FAILED", "cancel": "FAILED"}
OF_A_CANCEL: Final = ("FAILED", "CANCELED", "REQUIRES_ACTION")
"""A shopper who presses cancel may be known to have said no, or only not to have paid: then he may come back, until his time is over."""


@pytest.fixture(scope="module")
def stack(lasting: Callable[..., Stack], open_folder: Any) -> Stack:
    """One platform for all of them. Its rules are a file, as an operator has them."""
    folder = open_folder / "rules-of-each"
    folder.mkdir()
    return lasting(PAYORCH_CONFIG_DIR=str(folder), PAYORCH_HTTP__ANSWER_WITHIN_SECONDS="8")


@pytest.fixture(scope="module")
def ends() -> dict[str, dict[str, Any]]:
    """By connector, how each scene of the script ended."""
    return {}


class Merchant:
    """The script. What it finds is told by `ends`: scene -> what the merchant sees in the end."""

    def __init__(self, stack: Stack, name: str) -> None:
        self._stack = stack
        self._name = name
        self._manifest: Manifest = CONNECTORS[name].manifest
        self.ends: dict[str, Any] = {}

    async def play(self) -> None:
        """All scenes at once: they mostly wait."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._sale)
            nursery.start_soon(self._reservation)
            nursery.start_soon(self._release)
            nursery.start_soon(self._later)
            nursery.start_soon(self._refund_that_fails_late)
            nursery.start_soon(self._capture_that_fails_late)
            for token, wanted in DECLINES.items():
                nursery.start_soon(self._decline, token, wanted)
            for token, outcome in CHALLENGES:
                nursery.start_soon(self._challenge, token, outcome)
            for outcome in WALLET:
                nursery.start_soon(self._wallet, outcome)

    async def _pay(self, scene: str, token: str = "tok_visa", **members: Any) -> tuple[int, dict[str, Any]]:
        key = f"{self._name}-{scene}"
        answer = await self._stack.surely("/v1/payments", key, order(key, token, **members))
        payment: dict[str, Any] = answer.json()
        assert answer.status_code in (201, 202), f"{key}: {payment}"
        assert {attempt["connector"] for attempt in payment["attempts"]} <= {self._name}, f"{key}: {payment}"
        return answer.status_code, payment

    async def _do(self, payment: dict[str, Any], what: str, **body: Any) -> dict[str, Any]:
        """An operation; it answers 201 where it is done, or 202 where it has only begun."""
        key = f"{payment['reference']}-{what}-{len(payment['refunds'])}"
        answer = await self._stack.surely(f"/v1/payments/{payment['id']}/{what}", key, body)
        made: dict[str, Any] = answer.json()
        assert answer.status_code == 202 or (answer.status_code, made["status"]) == (201, "succeeded"), (
            f"{key}: {answer.status_code} {made}"
        )
        return made

    async def _known(self, payment: dict[str, Any], what: str, status: str, count: int = 1) -> dict[str, Any]:
        """The payment, once so many of its operations are in that status."""
        with trio.fail_after(WITHIN_SECONDS):
            while sum(one["status"] == status for one in payment[what]) < count:
                await trio.sleep(0.05)
                payment = (await self._stack.get(f"/v1/payments/{payment['id']}")).json()
        return payment

    def _end(self, scene: str, payment: dict[str, Any]) -> None:
        self.ends[scene] = {name: payment[name] for name in ("state", "status", "outcome", "amount_captured", "amount_refunded")}
        self.ends[scene]["failure"] = payment["failure"] and payment["failure"]["class"]

    async def _sale(self) -> None:
        status, paid = await self._pay("sale")
        assert status == 201 or not self._manifest.capture_reportable, paid
        paid = await self._stack.until(paid["id"], "CAPTURED")
        await self._do(paid, "refunds", amount=500, reason="customer_request")
        paid = await self._known(paid, "refunds", "succeeded")
        assert (paid["amount_refunded"], paid["amount_refundable"]) == (500, MONEY - 500)
        await self._do(paid, "refunds")
        self._end("sale", await self._known(paid, "refunds", "succeeded", 2))

    async def _reservation(self) -> None:
        status, held = await self._pay("reservation", capture="manual")
        assert (status, held["status"], held["amount_capturable"]) == (201, "requires_capture", MONEY)
        await self._do(held, "captures", amount=1200, final=True)
        await self._known(held, "captures", "succeeded")
        self._end("reservation", await self._stack.until(held["id"], "CAPTURED"))

    async def _release(self) -> None:
        _, held = await self._pay("release", capture="manual")
        await self._do(held, "voids")
        self._end("release", await self._stack.until(held["id"], "CANCELED"))

    async def _decline(self, token: str, wanted: str) -> None:
        status, declined = await self._pay(token, token)
        assert (status, declined["status"], declined["outcome"]) == (201, "failed", None)
        assert declined["failure"]["class"].upper() == wanted, f"{self._name}: {declined['failure']}"
        assert len(declined["attempts"]) == 1
        self._end(token, declined)

    async def _challenge(self, token: str, outcome: str) -> None:
        scene = f"{token}-{outcome}"
        status, asked = await self._pay(scene, token)
        assert (status, asked["status"]) == (201, "requires_action"), asked
        self._end(scene, await self._comes_back(asked, outcome, CHALLENGES[token, outcome]))

    async def _wallet(self, outcome: str) -> None:
        """Without a token: the shopper chooses with what he pays at the PSP's. Where no wallet is offered, the payment has no way to go."""
        scene = f"wallet-{outcome}"
        status, asked = await self._pay(scene, payment_method={"type": "paypal"})
        if "paypal" not in self._manifest.methods:
            assert (asked["status"], asked["failure"]["class"].upper()) == ("failed", "NO_ROUTE"), asked
            assert asked["attempts"] == []
            return
        assert (status, asked["status"]) == (201, "requires_action"), asked
        await self._comes_back(asked, outcome, WALLET[outcome])

    async def _comes_back(self, asked: dict[str, Any], outcome: str, state: str) -> dict[str, Any]:
        """The shopper's browser: the PSP's page, its button, the way back through us to the merchant's own page."""
        url = asked["next_action"]["url"]
        async with httpx2.AsyncClient(trust_env=False, verify=False, timeout=WITHIN_SECONDS) as browser:
            assert (await browser.get(url)).status_code == 200
            pressed = await browser.post(url, data={"outcome": outcome})
            assert pressed.status_code == 303, f"{self._name}: {pressed.status_code} {pressed.text}"
            back = pressed.headers["location"]
            assert back.startswith(f"{self._stack.url}/v1/payments/{asked['id']}/return?"), back
            onward = urlsplit((await browser.get(back)).headers["location"])
        assert (f"{onward.scheme}://{onward.netloc}{onward.path}", parse_qs(onward.query)["payment_id"]) == (
            "https://shop.example/back",
            [asked["id"]],
        )
        states = OF_A_CANCEL if outcome == "cancel" else (state,)
        return await self._stack.until(asked["id"], *states)

    async def _later(self) -> None:
        status, pending = await self._pay("later", "tok_pending")
        assert (status, pending["status"]) in ((202, "processing"), (201, "succeeded")), pending
        self._end("later", await self._stack.until(pending["id"], "CAPTURED"))

    async def _refund_that_fails_late(self) -> None:
        _, paid = await self._pay("refund-fails", "tok_refund_fails_late")
        paid = await self._stack.until(paid["id"], "CAPTURED")
        await self._do(paid, "refunds", amount=700)
        paid = await self._known(paid, "refunds", "failed")
        assert (paid["amount_refunded"], paid["amount_refundable"]) == (0, MONEY)
        self._end("refund-fails", paid)

    async def _capture_that_fails_late(self) -> None:
        """Money that was ours is not: that is for people, and no timer decides it."""
        _, paid = await self._pay("capture-fails", "tok_capture_fails_late")
        gone = await self._stack.until(paid["id"], "MANUAL_REVIEW")
        self.ends["capture-fails"] = gone["state"], gone["outcome"]


@pytest.mark.parametrize("name", CONNECTORS)
async def test_one_script_on_each_connector(stack: Stack, ends: dict[str, dict[str, Any]], name: str) -> None:
    folder = stack.settings["PAYORCH_CONFIG_DIR"]
    await trio.Path(folder, "routing.toml").write_text(f'default = ["{name}"]\n')
    loaded = await payorch("routing", "reload", "--within", "60", "--data-dir", str(stack.folder), PAYORCH_CONFIG_DIR=folder)
    assert loaded.code == 0, loaded.err
    merchant = Merchant(stack, name)
    await merchant.play()
    await stack.until_told()
    ends[name] = merchant.ends
    states = await books.check(stack)
    print(f"{name}: {dict(states)}")
    mine = {
        attempt["id"] for one in (await books.all_payments(stack)).values() for attempt in one["attempts"] if attempt["connector"] == name
    }
    taken = [one for one in await stack.charges() if one["psp"] == name and one["our_reference"] in mine]
    assert sum(one["captured"] - one["refunded"] for one in taken) > 0


def test_all_of_them_end_alike(ends: dict[str, dict[str, Any]]) -> None:
    """Whatever the PSP: the same scenes, the same ends, down to the class of each decline."""
    if len(ends) < len(CONNECTORS):
        pytest.skip("some did not play the script")
    first, *others = ends.values()
    for other in others:
        for scene, end in first.items():
            if not scene.endswith("-cancel"):
                assert other[scene] == end, scene
        assert other.keys() == first.keys()
