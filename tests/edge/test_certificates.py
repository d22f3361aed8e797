"""Certificates that webhooks are signed with: from where the operator said only, believed by chain, name and time, and kept for a while."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
import trio
import trio.testing
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from connectors.contract import Forged, HttpRequest, HttpResponse
from payorch.certificates import AT_ONCE, KEPT, KEPT_FOR, LONGEST_ADDRESS, MOST_BYTES, MOST_IN_CHAIN, TIMEOUTS, Certificates, store_of
from payorch.ports import NotSent, OutcomeLost, Timeouts
from tests.edge.minting import Authority

START = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)
NAME = "messages.psp.example"
ADDRESS = "https://api.psp.example/certs/1"
OURS, THEIRS = Authority("ours"), Authority("theirs")


def der(pem: bytes) -> tuple[bytes, ...]:
    return tuple(one.public_bytes(Encoding.DER) for one in x509.load_pem_x509_certificates(pem))


GOOD = OURS.chain(NAME)


class Host:
    """Everything out there. `answer`: to a request; what it raises is raised."""

    def __init__(self) -> None:
        self.answer: Callable[[HttpRequest], HttpResponse] = lambda _: response(GOOD)
        self.after_seconds = 0.0
        self.origins: list[str] = []
        self.asked: list[HttpRequest] = []
        self.at_once = self.most_at_once = self.open = 0

    def channel(self, base_url: str) -> Host:
        self.origins.append(base_url)
        self.open += 1
        return self

    def merchant_channel(self, url: str, *, local: bool) -> Host:
        raise AssertionError("no merchant is told anything")

    async def exchange(self, request: HttpRequest, *, timeouts: Timeouts) -> HttpResponse:
        self.asked.append(request)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            await trio.sleep(self.after_seconds)
        finally:
            self.at_once -= 1
        assert timeouts == TIMEOUTS
        return self.answer(request)

    async def aclose(self) -> None:
        self.open -= 1
        await trio.lowlevel.checkpoint()


def response(body: bytes, status: int = 200) -> HttpResponse:
    return HttpResponse(status=status, headers=(), body=body)


class Clock:
    def __init__(self) -> None:
        self.at = START

    def now(self) -> datetime:
        return self.at


class Scene:
    def __init__(self, *, hosts: tuple[str, ...] = ("api.psp.example",), name: str = NAME, anchors: bytes | None = None) -> None:
        self.host = Host()
        self.clock = Clock()
        anchors = anchors or OURS.pem()
        self.certificates = Certificates(network=self.host, clock=self.clock, hosts=hosts, anchors=anchors, name=name)

    async def at(self, address: str = ADDRESS) -> tuple[bytes, ...] | Forged | None:
        found = await self.certificates.at(address)
        assert self.host.open == 0, "a connection was left open"
        return found

    async def believed(self, body: bytes) -> bool:
        self.host.answer = lambda _: response(body)
        found = await self.at()
        assert found is not None
        return not isinstance(found, Forged)


async def test_they_are_fetched_verified_and_kept() -> None:
    scene = Scene()
    assert await scene.at() == der(GOOD)
    assert (scene.host.origins, scene.host.asked[0].path) == (["https://api.psp.example:443"], "/certs/1")
    assert await scene.at() == der(GOOD)
    assert len(scene.host.asked) == 1


# --- where from


@pytest.mark.parametrize(
    "address",
    [
        "http://api.psp.example/certs/1",
        "https://other.example/certs/1",
        "https://api.psp.example.evil.example/1",
        "https://api.psp.example:8443/1",
        "https://api.psp.example@evil.example/1",
        "https://user@api.psp.example/1",
        "https://evil.example\\@api.psp.example/1",
        "https://evil.example#@api.psp.example/1",
        "https://api.psp.example/1#fragment",
        "https://api.psp.example:bad/1",
        "https://[::1/1",
        "https:///1",
        "ftp://api.psp.example/1",
        "//api.psp.example/1",
        "https://api.psp.example/1\r\nHost: evil.example",
        "https://api.psp.example/a b",
        "https://\u0430pi.psp.example/1",
        "",
        "https://api.psp.example/" + "x" * LONGEST_ADDRESS,
    ],
)
async def test_nothing_is_fetched_from_anywhere_else(address: str) -> None:
    scene = Scene()
    assert isinstance(await scene.at(address), Forged)
    assert not scene.host.origins


@given(st.text(max_size=80))
def test_no_text_at_all_is_fetched_from(address: str) -> None:
    scene = Scene()

    async def fetch() -> None:
        assert isinstance(await scene.at(address), Forged)

    trio.run(fetch)
    assert not scene.host.origins


async def test_a_connector_without_hosts_fetches_nothing() -> None:
    scene = Scene(hosts=())
    assert isinstance(await scene.at(), Forged)


@pytest.mark.parametrize(
    ("host", "address", "origin"),
    [
        ("api.psp.example", "https://API.psp.example:443/x?a=1", "https://api.psp.example:443"),
        ("api.psp.example:8443", "https://api.psp.example:8443/x", "https://api.psp.example:8443"),
        ("http://127.0.0.1:9001", "http://127.0.0.1:9001/x", "http://127.0.0.1:9001"),
        ("http://[::1]:9001", "http://[::1]:9001/x", "http://[::1]:9001"),
    ],
)
async def test_a_host_may_have_a_port_and_be_this_machine(host: str, address: str, origin: str) -> None:
    scene = Scene(hosts=(host,))
    assert await scene.at(address) == der(GOOD)
    assert scene.host.origins == [origin]


# --- what is there


async def test_the_chain_must_lead_to_the_anchor() -> None:
    scene = Scene()
    assert not await scene.believed(THEIRS.chain(NAME))
    assert not await scene.believed(THEIRS.chain(NAME) + OURS.pem())
    assert await scene.believed(GOOD)


async def test_one_between_may_be_needed() -> None:
    whole = Authority("between", OURS).chain(NAME)
    assert await Scene().believed(whole)
    (alone, *_) = [b"-----BEGIN" + part for part in whole.split(b"-----BEGIN")[1:]]
    assert not await Scene().believed(alone)


@pytest.mark.parametrize("names", [("other.psp.example",), ("psp.example",), ("a.messages.psp.example",), ("messages.psp.example.evil",)])
async def test_the_name_must_be_the_configured_one(names: tuple[str, ...]) -> None:
    assert not await Scene().believed(OURS.chain(*names))


async def test_a_wildcard_stands_for_one_name_right_below() -> None:
    def scene() -> Scene:
        return Scene(name="*.psp.example")

    assert await scene().believed(OURS.chain("any.psp.example"))
    assert await scene().believed(OURS.chain("other.example", "any.psp.example"))
    for name in ("psp.example", "a.b.psp.example", "anypsp.example", "any.psp.example.evil"):
        assert not await scene().believed(OURS.chain(name)), name


async def test_its_time_must_not_be_over() -> None:
    body = OURS.chain(NAME, until=START + timedelta(hours=1))
    scene = Scene()
    assert await scene.believed(body)
    scene.clock.at += timedelta(hours=1, seconds=1)
    assert not await scene.believed(body)  # nor is it kept beyond its end


@pytest.mark.parametrize("body", [b"", b"no certificate", b"<html></html>", b"\x30\x82\xff", GOOD[:200], b"\x00" * 100])
async def test_what_is_no_certificate_is_not_believed(body: bytes) -> None:
    assert not await Scene().believed(body)


async def test_nor_a_chain_without_end() -> None:
    assert not await Scene().believed(GOOD + OURS.pem() * MOST_IN_CHAIN)


def test_the_systems_anchors_are_those_of_our_own_connections() -> None:
    assert store_of(None) is not None
    with pytest.raises(ValueError, match="PEM"):
        store_of(b"none")


# --- when it cannot be had


@pytest.mark.parametrize("status", [204, 301, 302, 307, 404, 500, 503])
async def test_an_answer_that_is_not_it_is_for_later_and_no_redirect_is_followed(status: int) -> None:
    scene = Scene()
    scene.host.answer = lambda _: HttpResponse(status=status, headers=(("location", "https://api.psp.example/2"),), body=GOOD)
    assert await scene.at() is None
    assert len(scene.host.asked) == 1
    scene.host.answer = lambda _: response(GOOD)
    assert await scene.at() == der(GOOD)


@pytest.mark.parametrize("problem", [NotSent("dns", "psp"), NotSent("tls", "psp"), OutcomeLost("read_timeout", "psp")])
async def test_so_is_one_that_does_not_come(problem: Exception) -> None:
    scene = Scene()

    def fail(_: HttpRequest) -> HttpResponse:
        raise problem

    scene.host.answer = fail
    assert await scene.at() is None


async def test_so_is_one_that_is_too_large() -> None:
    scene = Scene()
    scene.host.answer = lambda _: response(GOOD + b"\n" * MOST_BYTES)
    assert await scene.at() is None


async def test_a_few_are_fetched_at_once_and_nobody_waits_for_ever(autojump_clock: trio.testing.MockClock) -> None:
    scene = Scene()
    scene.host.after_seconds = TIMEOUTS.total_seconds - 1
    found: list[object] = []

    async def fetch(number: int) -> None:
        found.append(await scene.certificates.at(f"{ADDRESS}{number}"))

    async with trio.open_nursery() as nursery:
        for number in range(AT_ONCE + 3):
            nursery.start_soon(fetch, number)
    assert scene.host.most_at_once == AT_ONCE
    assert trio.current_time() <= TIMEOUTS.total_seconds
    assert found.count(None) == 3


async def test_many_deliveries_at_once_fetch_it_once_for_each_who_is_first(autojump_clock: trio.testing.MockClock) -> None:
    scene = Scene()
    scene.host.after_seconds = 1

    async def fetch() -> None:
        assert await scene.certificates.at(ADDRESS) == der(GOOD)

    async with trio.open_nursery() as nursery:
        for _ in range(50):
            nursery.start_soon(fetch)
    assert len(scene.host.asked) <= AT_ONCE


# --- how long they are kept


async def test_they_are_fetched_again_after_a_while() -> None:
    scene = Scene()
    await scene.at()
    scene.clock.at += KEPT_FOR
    await scene.at()
    assert len(scene.host.asked) == 2


async def test_so_many_addresses_are_kept_and_the_oldest_is_forgotten() -> None:
    scene = Scene()
    for number in range(KEPT + 1):
        await scene.at(f"{ADDRESS}{number}")
    await scene.at(f"{ADDRESS}{KEPT}")
    assert len(scene.host.asked) == KEPT + 1
    await scene.at(f"{ADDRESS}0")
    assert len(scene.host.asked) == KEPT + 2


async def test_what_was_not_believed_is_not_kept() -> None:
    scene = Scene()
    assert not await scene.believed(THEIRS.chain(NAME))
    assert await scene.believed(GOOD)
