"""Deliveries that are signed with certificates, at the door: with those of the connector's own, or not at all."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from connectors.contract import Connector, Delivery, Forged, HttpResponse, Notice
from payorch.api.notices import NoticeApi, NoticeSurroundings
from payorch.api.problems import Code
from payorch.api.refusal import Refusal
from payorch.store.items import Appended, Arrival
from payorch.telemetry import Metrics
from tests.api.merchant_world import FakeClock, FakeLog, new_id

ADDRESS = "https://api.psp.example/certs/1"


class Signing:
    """A connector whose deliveries name their certificates in a header, and that keeps what it was given."""

    acknowledgement = HttpResponse(status=200, headers=(), body=b"")

    def __init__(self) -> None:
        self.given: list[tuple[bytes, ...]] = []

    def certificate_wanted(self, delivery: Delivery) -> str | None:
        return next(iter(delivery.all("cert-url")), None)

    def receive(self, delivery: Delivery, *, certificates: tuple[bytes, ...], **_: object) -> tuple[Notice, ...] | Forged:
        self.given.append(certificates)
        if certificates != (b"leaf", b"between"):
            return Forged(reason="not signed")
        return (Notice(identity="evt_1", kind="told", content=delivery.body),)


class Scene:
    def __init__(self, found: tuple[bytes, ...] | Forged | None) -> None:
        self.connector = Signing()
        self.log = FakeLog()
        self.metrics = Metrics.create()
        self.stored: list[Arrival] = []
        self.asked: list[tuple[str, str]] = []
        self._found = found
        self.api = NoticeApi(self._around())

    async def post(self, *headers: tuple[bytes, bytes]) -> int:
        async def body() -> bytes:
            return b"{}"

        return (await self.api.received("psp", list(headers), body, "req_1")).status

    def refused(self) -> float:
        value = self.metrics.registry.get_sample_value("payorch_notices_refused_total", {"connector": "psp"})
        return value or 0.0

    def _around(self) -> NoticeSurroundings:
        async def certificates(name: str, address: str) -> tuple[bytes, ...] | Forged | None:
            self.asked.append((name, address))
            return self._found

        async def write(item: Arrival) -> Appended:
            self.stored.append(item)
            return Appended(0, arrived=True)

        nothing: Callable[[str, str], Awaitable[Any]] = certificates
        return NoticeSurroundings(
            connectors={"psp": cast(Connector, self.connector)}, secrets={"psp": ("id",)}, certificates=certificates, clock=FakeClock(),
            identifier=new_id, write=write, stored_digest=nothing, seal=lambda content, _: content, hand_on=lambda _: None,
            body_limit_bytes=4096, body_deadline_seconds=5.0, metrics=self.metrics, log=self.log,
        )  # fmt: skip


async def test_a_delivery_is_read_with_the_certificates_that_it_names() -> None:
    scene = Scene((b"leaf", b"between"))
    assert await scene.post((b"Cert-Url", ADDRESS.encode())) == 200
    assert (scene.asked, scene.connector.given) == ([("psp", ADDRESS)], [(b"leaf", b"between")])
    assert len(scene.stored) == 1


async def test_without_any_it_is_read_without() -> None:
    scene = Scene((b"leaf", b"between"))
    with pytest.raises(Refusal) as refused:
        await scene.post()
    assert (refused.value.code, scene.asked, scene.connector.given) == (Code.SIGNATURE_REFUSED, [], [()])


async def test_what_cannot_be_believed_is_a_forgery() -> None:
    scene = Scene(Forged(reason="its certificate is at an address that is not configured"))
    with pytest.raises(Refusal) as refused:
        await scene.post((b"cert-url", b"https://evil.example/1"))
    assert refused.value.code is Code.SIGNATURE_REFUSED
    assert (scene.connector.given, scene.stored, scene.refused()) == ([], [], 1.0)
    assert scene.log.lines[0][1]["reason"] == "its certificate is at an address that is not configured"
    assert "evil" not in str(scene.log.lines)


async def test_what_could_not_be_had_is_delivered_again() -> None:
    scene = Scene(None)
    with pytest.raises(Refusal) as refused:
        await scene.post((b"cert-url", ADDRESS.encode()))
    assert (refused.value.code, refused.value.problem("r").status) == (Code.UNAVAILABLE, 503)
    assert (scene.connector.given, scene.stored, scene.refused()) == ([], [], 0.0)
