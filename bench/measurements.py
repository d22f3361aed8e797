"""What is measured: authorisations, and webhooks that PSPs post. For each: which services, what the load sends, what the books must show.

    Authorizations   `POST /v1/payments`, with a PSP that answers at once. The books: each was stored, ended as the PSP answered, and was
                     charged there once
    Webhooks         `POST /webhooks/stripe`, signed, each an event of its own, about payments that were made beforehand through the API
                     with the same PSP. The books: each is stored once, the platform applied it to its payment, and nothing was charged

Both services get the same bytes. A webhook is answered when it is durable and applied afterwards, so the platform has a second figure: how
long after the last answer everything is applied.

Not here: rounds and their order (`rounds`), the arithmetic (`figures`).
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from bench.load import MERCHANT_KEY, WEBHOOK_SECRET
from bench.options import Options
from bench.processes import ROOT, BenchmarkFailed, can_pin, free_port, get, output_of, running
from bench.report import PAYMENTS, WEBHOOKS, Thing
from bench.services import WEBHOOK_SECRET as SHARED_SECRET
from bench.services import Bare, Platform, plain_environment
from payorch.store.embedded import Cluster

FOLDER: Final = ROOT / "build" / "bench"
SERVICE_CPU: Final = 0
LOAD_CPU: Final = 1
WARM_UP_SECONDS: Final = 1.0
LOAD_GRACE_SECONDS: Final = 30.0
_PAID: Final = 2000
"""Payments that webhooks are about: as many as there are in the seconds of a round, so that hardly any is told twice at a time."""
_PAYING_SECONDS: Final = 120.0
_FILE: Final = FOLDER / "paid.txt"


class Measurement(Protocol):
    """One of the two. asked: what the load is asked for, besides where and how long. ceiling: the same for going straight at the stub."""

    @property
    def thing(self) -> Thing: ...

    @property
    def asked(self) -> Sequence[str]: ...

    @property
    def ceiling(self) -> Sequence[str]: ...

    async def prepare(self) -> tuple[Bare, Bare | Platform]:
        """Makes what all rounds need; the bare composition and the subject that is compared with it."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorizations:
    """`POST /v1/payments`."""

    cluster: Cluster
    options: Options

    thing = PAYMENTS
    ceiling = ("--dialect", "stripe")

    async def prepare(self) -> tuple[Bare, Bare | Platform]:
        """A template with a merchant in it."""
        bare = Bare(self.cluster)
        if self.options.subject == "bare":
            return bare, bare
        platform = Platform(self.cluster, template="bench_merchant", capture=self.options.capture)
        await platform.prepare()
        return bare, platform

    @property
    def asked(self) -> Sequence[str]:
        """Payments."""
        return ("--capture", self.options.capture)


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhooks:
    """`POST /webhooks/stripe`. The payments are made once, and every round begins with a copy of them."""

    cluster: Cluster
    options: Options
    stub_port: int

    thing = WEBHOOKS

    @property
    def asked(self) -> Sequence[str]:
        """Events about the payments that were made."""
        return ("--dialect", "webhooks", "--about", str(_FILE), "--capture", self.options.capture)

    @property
    def ceiling(self) -> Sequence[str]:
        """The stub refuses them all, as fast as it answers."""
        return self.asked

    async def prepare(self) -> tuple[Bare, Bare | Platform]:
        """A template with a merchant and payments in it, and a file that lists them for the load."""
        bare = Bare(self.cluster, webhooks=True)
        platform = Platform(self.cluster, template="bench_paid", capture=self.options.capture, webhooks=True)
        await platform.prepare()
        await self._pay(platform)
        return bare, bare if self.options.subject == "bare" else platform

    async def _pay(self, platform: Platform) -> None:
        port = free_port()
        service = platform.payment_service(None, port, self.stub_port)
        cpu = SERVICE_CPU if can_pin() else None
        async with running(service.command, environment=service.environment, cpu=cpu, log=FOLDER / "paying.log", port=port):
            told = await load(
                *("--port", str(port), "--capture", self.options.capture, "--limit", str(_PAID)),
                merchant_key=service.merchant_key,
                connections=self.options.connections,
                seconds=_PAYING_SECONDS,
            )
        if told["answers"] != {"201": _PAID} or told["lost"]:
            raise BenchmarkFailed(f"the payments that webhooks are to be about were answered {told['answers']}: {told['refusals']}")
        answer = await get(self.stub_port, "/paid")
        if answer is None:
            raise BenchmarkFailed("the stub does not answer any more")
        _FILE.write_bytes(answer[1])


async def load(*asked: str, merchant_key: str, connections: int, seconds: float) -> dict[str, Any]:
    """Runs `bench.load` to its end; what it told. Raises BenchmarkFailed."""
    command = [sys.executable, "-m", "bench.load", *asked, "--connections", str(connections)]
    said = await output_of(
        [*command, "--seconds", str(seconds), "--warm-up-seconds", str(WARM_UP_SECONDS)],
        environment={**plain_environment(), MERCHANT_KEY: merchant_key, WEBHOOK_SECRET: SHARED_SECRET},
        cpu=LOAD_CPU if can_pin() else None,
        within_seconds=WARM_UP_SECONDS + seconds + LOAD_GRACE_SECONDS,
    )
    told: dict[str, Any] = json.loads(said)
    return told
