"""The three simulated PSPs in memory, paid at, and their settlement reports taken apart with nothing but `csv`: no parser of the product's.

Not here: what the reports have to say (`test_settlements`, `test_settlement_formats`).
"""

from __future__ import annotations

import csv
import json
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulated import SIMULATED
from connectors.simulator import dashboard, faults, settlement
from connectors.simulator.bookings import Terms
from connectors.simulator.dialect import Dialect, Settings
from connectors.simulator.faults import FaultState
from connectors.simulator.ledger import Ledger
from payorch.domain.money import EXPONENTS

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TODAY = "2026-03-02"
PSPS = tuple(SIMULATED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A line of a report in the same words for all: amounts signed, in major units."""

    type: str
    gross: Decimal | None
    currency: str
    fee: Decimal
    net: Decimal
    settled_in: str
    raw: dict[str, str]


@dataclass(slots=True, kw_only=True)
class Psp:
    """One simulated PSP, with a clock that is turned by hand."""

    name: str
    path: Path | None = None
    now: datetime = NOON
    state: FaultState = field(default_factory=FaultState)
    ledger: Ledger = field(init=False)
    dialect: Dialect = field(init=False)
    number: int = 0

    def __post_init__(self) -> None:
        self.dialect = SIMULATED[self.name].dialect(Settings(base_url="http://127.0.0.1:4001", authorization_seconds=1e9))
        self.open()

    def open(self) -> None:
        self.ledger = Ledger(psp=self.name, seed=1, path=self.path)

    @property
    def terms(self) -> Terms:
        return SIMULATED[self.name].settlement.terms

    def later(self, **time: float) -> None:
        self.now += timedelta(**time)
        self.dialect.due(self.ledger, self.now)

    def send(self, path: str, body: bytes, *headers: tuple[str, str]) -> dict[str, Any]:
        self.number += 1
        request = HttpRequest(method="POST", path=path, headers=headers, body=body)
        response = self.dialect.handle(self.ledger, request, self.now).response
        assert response.status in (200, 201), response.body
        answer: dict[str, Any] = json.loads(response.body)
        return answer

    def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """A request in the PSP's own words, rightly authenticated."""
        if self.name == "stripe":
            key = ("authorization", "Bearer sk_test_1")
            return self.send(path, urlencode(body).encode(), key, ("content-type", "application/x-www-form-urlencoded"))
        kind = ("content-type", "application/json")
        if self.name == "adyen":
            return self.send(path, json.dumps(body).encode(), ("x-api-key", "test_simulated"), kind)
        basic = ("authorization", "Basic " + b64encode(b"test_client:x").decode())
        form = ("content-type", "application/x-www-form-urlencoded")
        token = self.send("/v1/oauth2/token", b"grant_type=client_credentials", basic, form)["access_token"]
        named = (("authorization", f"Bearer {token}"), ("prefer", "return=representation"), ("paypal-request-id", f"key-{self.number}"))
        return self.send(path, json.dumps(body).encode(), *named, kind)

    def pay(self, minor: int = 2000, currency: str = "EUR", token: str = "tok_visa", *, capture: bool = True) -> str:
        """A payment of that amount (ISO minor units): captured, or held. The PSP's id of it."""
        self.number += 1
        reference = f"att_{self.number}"
        major = Decimal(minor).scaleb(-EXPONENTS[currency])
        if self.name == "stripe":
            places = 0 if currency in ("JPY",) else 3 if currency in ("KWD", "BHD") else 2
            body = {
                "amount": int(major.scaleb(places)), "currency": currency.lower(), "confirm": "true", "payment_method": token,
                "return_url": "https://shop.test/", "capture_method": "automatic" if capture else "manual",
                "payment_method_options[card][request_multicapture]": "if_available", "metadata[payorch_attempt]": reference,
            }  # fmt: skip
            return str(self.post("/v1/payment_intents", body if not capture else without(body, "multicapture"))["id"])
        if self.name == "adyen":
            body = {
                "amount": {"currency": currency, "value": int(major.scaleb(2 if currency == "ISK" else EXPONENTS[currency]))},
                "merchantAccount": "TestECOM", "paymentMethod": {"type": "scheme", "storedPaymentMethodId": token},
                "reference": reference, "returnUrl": "https://shop.test/", "additionalData": {"manualCapture": str(not capture).lower()},
                "metadata": {"payorch_captures": "several"},
            }  # fmt: skip
            return str(self.post("/v71/payments", body)["pspReference"])
        value = str(int(major)) if currency in ("JPY", "TWD", "HUF") else f"{major:.2f}"
        unit = {"amount": {"currency_code": currency, "value": value}, "custom_id": reference, "invoice_id": reference}
        card = {"vault_id": token, "experience_context": {"return_url": "https://s.test/b", "cancel_url": "https://s.test/c"}}
        body = {"intent": "CAPTURE" if capture else "AUTHORIZE", "purchase_units": [unit], "payment_source": {"card": card}}
        return str(self.post("/v2/checkout/orders", body)["id"])

    def done(self, payment: str, deed: str, amount: int | None = None) -> None:
        """What somebody does in the PSP's dashboard."""
        asked = {"payment": payment, "do": deed} | ({} if amount is None else {"amount": amount})
        json_ = (("content-type", "application/json"),)
        request = HttpRequest(method="POST", path=dashboard.PATH, headers=json_, body=json.dumps(asked).encode())
        answer = dashboard.answer(self.ledger, self.dialect, request, self.now)
        assert answer.status == 200, answer.body

    def broken(self, fault: str, **more: Any) -> None:
        """Puts a fault in force."""
        _, self.state = faults.add(self.state, {"fault": fault, **more}, self.now)

    def ask(self, target: str, method: str = "GET") -> HttpResponse:
        request = HttpRequest(method=method, path=target, headers=(), body=b"")
        reporting = SIMULATED[self.name].settlement
        response, self.state = settlement.answer(self.ledger, self.dialect, reporting, self.state, request, target, self.now)
        return response

    def report(self, day: str = TODAY, *, over: bool = True) -> str:
        """The file of that day, asked for once it is over; or as far as it has come."""
        if over:
            self.now = max(self.now, self.terms.ends(date.fromisoformat(day)))
        response = self.ask(f"/_settlements/{day}")
        assert response.status == 200, response.body
        return response.body.decode()

    def rows(self, day: str = TODAY, *, over: bool = True) -> list[Row]:
        """Its lines, footers and headers apart."""
        return READERS[self.name](self.report(day, over=over))


def without(body: dict[str, Any], word: str) -> dict[str, Any]:
    return {name: value for name, value in body.items() if word not in name}


def read_stripe(text: str) -> list[Row]:
    return [
        Row(
            type=line["reporting_category"],
            gross=decimal(line["gross" if line["customer_facing_currency"] in ("", line["currency"]) else "customer_facing_amount"]),
            currency=(line["customer_facing_currency"] or line["currency"]).upper(),
            fee=Decimal(line["fee"]),
            net=Decimal(line["net"]),
            settled_in=line["currency"].upper(),
            raw=line,
        )
        for line in csv.DictReader(text.splitlines())
    ]


def read_adyen(text: str) -> list[Row]:
    def side(line: dict[str, str], name: str, unit: str) -> Decimal | None:
        credit, debit = line[f"{name} Credit ({unit})"], line[f"{name} Debit ({unit})"]
        assert not (credit and debit)
        read = decimal(credit or debit) if credit or debit else Decimal(0)
        return read if read is None or credit else -read

    fees = ("Commission (NC)", "Markup (NC)", "Scheme Fees (NC)", "Interchange (NC)")
    return [
        Row(
            type=line["Type"],
            gross=side(line, "Gross", "GC"),
            currency=line["Gross Currency"],
            fee=sum((Decimal(line[name] or 0) for name in fees), Decimal(0)),
            net=side(line, "Net", "NC") or Decimal(0),
            settled_in=line["Net Currency"],
            raw=line,
        )
        for line in csv.DictReader(text.splitlines())
    ]


def read_paypal(text: str) -> list[Row]:
    lines = list(csv.reader(text.splitlines()))
    names = next(line for line in lines if line[0] == "CH")
    found = []
    for line in (dict(zip(names, line, strict=True)) for line in lines if line[0] == "SB"):
        gross = decimal(line["Gross Transaction Amount"])
        fee = Decimal(line["Fee Amount"] or 0) / 100 * (-1 if line["Fee Debit or Credit"] == "CR" else 1)
        signed = None if gross is None else gross / 100 * (1 if line["Transaction Debit or Credit"] == "CR" else -1)
        currency = line["Gross Transaction Currency"]
        net = (signed or Decimal(0)) - fee
        code = line["Transaction Event Code"]
        found.append(Row(type=code, gross=signed, currency=currency, fee=fee, net=net, settled_in=currency, raw=line))
    return found


def decimal(text: str) -> Decimal | None:
    """The amount; None for one that is none."""
    try:
        return Decimal(text)
    except ArithmeticError:
        return None


READERS = {"stripe": read_stripe, "adyen": read_adyen, "paypal": read_paypal}
