"""`payorch chaos`: breaks a simulated PSP for a while, shows what is broken, mends it. Through the simulators' control port, which answers
also while a simulator refuses connections.

Only simulated PSPs can be broken: there is no way from here to a real one. Not here: what the faults are and do
(`connectors.simulator.faults`), printing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx2

from connectors.simulator.faults import SETTLEMENT_FAULTS, WEBHOOK_FAULTS
from payorch import psp_process
from payorch.wording import aligned

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_ANSWER_WITHIN_SECONDS: Final = 5.0  # a process on this machine that only looks into its memory
_DURATION: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)(s|m|h)?", re.ASCII)
_ABOUT: Final[Mapping[str, str]] = {
    "refuse": "connections",
    **{kind.value: "webhooks" for kind in WEBHOOK_FAULTS},
    **{kind.value: "settlement bookings" for kind in SETTLEMENT_FAULTS},
}
"""What a fault is of, where that is not requests."""
_UNITS: Final = {"s": 1.0, "m": 60.0, "h": 3600.0}

Fault: TypeAlias = Mapping[str, Any]
"""One fault as a simulator describes it."""

InForce: TypeAlias = Mapping[str, Sequence[Fault]]
"""By the simulator's name."""


class ChaosRefused(Exception):
    """It was not done. The text is for the person."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A fault to be: on which share of requests, connections, webhooks or bookings, for how long or how often, and of which operation where
    it is of requests; `seconds` are the fault's own."""

    fault: str
    rate: float = 1.0
    for_seconds: float | None = None
    count: int | None = None
    operation: str | None = None
    seconds: float | None = None


def duration(text: str) -> float:
    """Seconds out of `90`, `90s`, `5m` or `1.5h`. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or float(match[1]) <= 0:
        raise ValueError("a time is a number with s, m or h behind it, as in 90s or 5m")
    return float(match[1]) * _UNITS[match[2] or "s"]


async def break_it(data_dir: Path, connector: str, wish: Wish) -> Fault:
    """Puts that fault in force. Raises ChaosRefused, SimulatorsFailed."""
    asked = {
        "fault": wish.fault,
        "rate": wish.rate,
        "for_seconds": wish.for_seconds,
        "count": wish.count,
        "scope": wish.operation,
        "seconds": wish.seconds,
    }
    async with _control(data_dir) as simulators:
        fault: Fault = await simulators.ask(connector, "POST", "/_faults", {name: it for name, it in asked.items() if it is not None})
        return fault


async def show(data_dir: Path, connector: str | None) -> InForce:
    """The faults in force, at one simulated PSP or at all. Raises ChaosRefused, SimulatorsFailed."""
    async with _control(data_dir) as simulators:
        return {name: (await simulators.ask(name, "GET", "/_faults"))["faults"] for name in simulators.named(connector)}


async def mend(data_dir: Path, connector: str | None, fault: str | None) -> InForce:
    """Lifts all faults, or those of one kind, at one simulated PSP or at all; returns what was lifted. Raises as the others."""
    lifted: dict[str, list[Fault]] = {}
    async with _control(data_dir) as simulators:
        for name in simulators.named(connector):
            faults = (await simulators.ask(name, "GET", "/_faults"))["faults"]
            lifted[name] = [one for one in faults if fault in (None, one["fault"])]
            for one in lifted[name]:
                await simulators.ask(name, "DELETE", f"/_faults/{one['id']}")
    return lifted


@dataclass(frozen=True, slots=True)
class _Control:
    """The control port of running simulators."""

    client: httpx2.AsyncClient
    names: tuple[str, ...]

    def named(self, connector: str | None) -> tuple[str, ...]:
        """That simulator, or all. Raises ChaosRefused for one that is not simulated."""
        if connector is not None and connector not in self.names:
            raise ChaosRefused(f"{connector} is not simulated here; the simulators are: {', '.join(self.names)}")
        return self.names if connector is None else (connector,)

    async def ask(self, connector: str, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The simulator's answer. Raises ChaosRefused with its words."""
        self.named(connector)
        try:
            answer = await self.client.request(method, f"/{connector}{path}", json=body)
            said = answer.json()
        except (httpx2.HTTPError, ValueError) as problem:
            raise ChaosRefused(f"the simulators do not answer ({type(problem).__name__})") from problem
        if answer.status_code >= 400:
            raise ChaosRefused(f"{connector}: {said.get('error', answer.status_code)}")
        return said


@asynccontextmanager
async def _control(data_dir: Path) -> AsyncIterator[_Control]:
    found = await psp_process.running(data_dir)
    async with httpx2.AsyncClient(base_url=found.control, timeout=_ANSWER_WITHIN_SECONDS, trust_env=False) as client:
        yield _Control(client, tuple(found.urls))


def sentence(connector: str, fault: Fault) -> str:
    """What was done, when it ends, and how to end it sooner."""
    return f"{connector}: {fault['fault']} hits {_share(fault)}, {_end(fault)}.\n`payorch chaos {connector} --clear` lifts it."


def table(in_force: InForce) -> str:
    """All faults in force, or that there are none."""
    rows = [(name, fault["fault"], _share(fault), _end(fault)) for name, faults in in_force.items() for fault in faults]
    return aligned(rows) if rows else f"nothing is broken: {', '.join(in_force)}"


def lifted(faults: InForce) -> str:
    """What was mended."""
    counts = [f"{name}: {len(some)} fault{'' if len(some) == 1 else 's'} lifted" for name, some in faults.items()]
    return "\n".join(counts)


def _share(fault: Fault) -> str:
    what = f"{fault['scope']} requests" if fault["scope"] else _ABOUT.get(fault["fault"], "requests")
    return f"all {what}" if fault["rate"] >= 1 else f"{fault['rate']:.3g} of {what}"


def _end(fault: Fault) -> str:
    ends = []
    if fault["until"] is not None:
        ends.append(f"until {fault['until']} ({fault['remaining_seconds']:.0f} s)")
    if fault["remaining_count"] is not None:
        ends.append(f"{fault['remaining_count']} times")
    return " or ".join(ends) or "until it is lifted"
