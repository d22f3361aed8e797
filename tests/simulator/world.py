"""A simulated Stripe in memory, with a clock that tests turn by hand: requests in, decoded answers out."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator.dialect import Settings
from connectors.simulator.faults import HEALTHY, Verdict
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import summary
from connectors.stripe.dialect import StripeDialect

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
BASE_URL = "http://127.0.0.1:4001"
MANUAL = {"capture_method": "manual"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, with the types of the webhooks that it caused."""

    response: HttpResponse
    webhooks: tuple[str, ...]

    @property
    def status(self) -> int:
        return self.response.status

    @property
    def json(self) -> dict[str, Any]:
        decoded: dict[str, Any] = json.loads(self.response.body)
        return decoded

    @property
    def error(self) -> dict[str, Any]:
        error: dict[str, Any] = self.json["error"]
        return error


@dataclass(slots=True)
class World:
    """The books, the dialect over them, and what time it is."""

    path: Path | None = None
    settings: Settings = field(default_factory=lambda: Settings(base_url=BASE_URL))
    now: datetime = START
    ledger: Ledger = field(init=False)
    dialect: StripeDialect = field(init=False)

    def __post_init__(self) -> None:
        self.ledger = Ledger(psp="stripe", seed=1, path=self.path)
        self.dialect = StripeDialect(self.settings)

    def send(
        self,
        method: str,
        path: str,
        params: dict[str, Any] | None = None,
        *,
        key: str | None = None,
        verdict: Verdict = HEALTHY,
        busy: bool = False,
        headers: tuple[tuple[str, str], ...] = (("authorization", "Bearer sk_test_1"),),
    ) -> Answer:
        """One request, its parameters in the query of a GET and in the body of a POST."""
        encoded = urlencode(params or {})
        if method == "GET" and encoded:
            path, encoded = f"{path}?{encoded}", ""
        if method == "POST":
            headers = (*headers, ("content-type", "application/x-www-form-urlencoded"))
        if key is not None:
            headers = (*headers, ("idempotency-key", key))
        request = HttpRequest(method=method, path=path, headers=headers, body=encoded.encode())
        reply = self.dialect.handle(self.ledger, request, self.now, verdict=verdict, busy=busy)
        return Answer(reply.response, tuple(webhook.type for webhook in reply.webhooks))

    def post(self, path: str, params: dict[str, Any] | None = None, **more: Any) -> Answer:
        return self.send("POST", path, params, **more)

    def get(self, path: str, params: dict[str, Any] | None = None, **more: Any) -> Answer:
        return self.send("GET", path, params, **more)

    def pay(self, method: str = "tok_visa", params: dict[str, Any] | None = None, **more: Any) -> Answer:
        """Creates and confirms a payment of 19.99 euro; `params` add to or replace what is sent."""
        basic = {"amount": 1999, "currency": "eur", "confirm": "true", "return_url": "https://shop.test/back?order=1"}
        return self.post("/v1/payment_intents", {**basic, "payment_method": method, **(params or {})}, **more)

    def intent(self, id: str) -> dict[str, Any]:
        return self.get(f"/v1/payment_intents/{id}", {"expand[0]": "latest_charge"}).json

    def later(self, seconds: float) -> tuple[str, ...]:
        """Time passes; the webhooks that causes."""
        self.now += timedelta(seconds=seconds)
        return tuple(webhook.type for webhook in self.dialect.due(self.ledger, self.now))

    def books(self) -> list[tuple[str, int]]:
        """Every movement of money, in order."""
        return [(entry.type.value, entry.amount) for entry in self.ledger.entries()]

    def totals(self, id: str) -> dict[str, Any]:
        payment = self.ledger.payment(id)
        assert payment is not None
        return dict(summary("stripe", payment))
