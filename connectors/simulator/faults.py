"""What goes wrong at a simulated PSP, and when: faults as data, and one pure decision per request.

`decide(state, kind, rng, now)` says what happens before and after a request is processed. The HTTP server acts it out on sockets, the
deterministic simulation acts it out in memory. Faults are not durable: a restarted PSP is a healthy one. What they did to a settlement
report is: that stands in the books.

Not here: sockets and sleeping (`payorch.simulators`), what a PSP's own error looks like (its dialect), what befalls a webhook or a line of
a settlement report (`webhook_faults` and `settlement_faults` decide it by the same state).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, Protocol, final

from connectors.simulator.records import rfc3339


class Rng(Protocol):
    """Where chance comes from: anything with `random()`, such as `random.Random(seed)` or `Dice(seed)`."""

    def random(self) -> float:
        """A number in [0, 1)."""
        ...


@final
class Dice:
    """A small seeded Rng that gives the same series on every Python version."""

    def __init__(self, seed: str) -> None:
        self._seed = seed.encode()
        self._throws = 0

    def random(self) -> float:
        """The next number in [0, 1)."""
        self._throws += 1
        digest = blake2b(b"%s:%d" % (self._seed, self._throws), digest_size=7).digest()
        return (int.from_bytes(digest, "big") >> 3) / 2**53


class RequestKind(StrEnum):
    """What a request asks of the PSP. CONNECT stands for opening a connection, before any request."""

    AUTHORIZE = "authorize"
    CAPTURE = "capture"
    VOID = "void"
    REFUND = "refund"
    INQUIRE = "inquire"
    OTHER = "other"
    CONNECT = "connect"


class FaultKind(StrEnum):
    """The faults that work. Names end where API.md's do."""

    REFUSE = "refuse"
    HANG_BEFORE = "hang_before"
    CHARGE_THEN_HANG = "charge_then_hang"
    CHARGE_THEN_500 = "charge_then_500"
    ERROR_500 = "error_500"
    RESET_BEFORE = "reset_before"
    RESET_AFTER = "reset_after"
    RATE_LIMIT_429 = "rate_limit_429"
    RATE_LIMIT_429_RETRY_AFTER = "rate_limit_429_retry_after"
    MALFORMED = "malformed"
    WRONG_AMOUNT = "wrong_amount"
    SLOW = "slow"
    DRIP = "drip"
    WEBHOOKS_LOST = "webhooks_lost"
    WEBHOOKS_LATE = "webhooks_late"
    WEBHOOKS_DUPLICATED = "webhooks_duplicated"
    WEBHOOKS_REORDERED = "webhooks_reordered"
    WEBHOOKS_FORGED = "webhooks_forged"
    SETTLEMENT_MISSING = "settlement_missing"
    SETTLEMENT_EXTRA = "settlement_extra"
    SETTLEMENT_DOUBLED = "settlement_doubled"
    SETTLEMENT_SHIFTED = "settlement_shifted"
    SETTLEMENT_WRONG_AMOUNT = "settlement_wrong_amount"
    SETTLEMENT_WRONG_FEE = "settlement_wrong_fee"
    SETTLEMENT_BAD_ROW = "settlement_bad_row"


WEBHOOK_FAULTS: Final = frozenset(kind for kind in FaultKind if kind.startswith("webhooks_"))
"""They befall what the PSP sends by itself; no request meets them."""
SETTLEMENT_FAULTS: Final = frozenset(kind for kind in FaultKind if kind.startswith("settlement_"))
"""They befall bookings when a day is reported, and stay with them."""
REQUEST_FAULTS: Final = tuple(kind for kind in FaultKind if kind not in WEBHOOK_FAULTS | SETTLEMENT_FAULTS)


class Before(StrEnum):
    """What happens instead of, or before, processing the request."""

    PROCESS = "process"
    REFUSE = "refuse"
    HANG = "hang"
    RESET = "reset"
    RATE_LIMIT = "rate_limit"
    ERROR_500 = "error_500"


class After(StrEnum):
    """What happens to the answer once the request has been processed."""

    ANSWER = "answer"
    HANG = "hang"
    RESET = "reset"
    ERROR_500 = "error_500"
    MALFORMED = "malformed"
    WRONG_AMOUNT = "wrong_amount"


class Malformed(StrEnum):
    """The ways in which a body can be unreadable."""

    TRUNCATED = "truncated"
    EMPTY = "empty"
    HTML = "html"
    NOT_JSON = "not_json"


class FaultRefused(ValueError):
    """A fault that cannot be set; the message says what could be."""


DEFAULT_SLOW_SECONDS: Final = 3.0
"""Longer than a patient answer, shorter than any client's patience."""

DEFAULT_RETRY_AFTER_SECONDS: Final = 2
DRIP_PIECES: Final = 20
"""Into how many pieces a dripping answer is cut."""

LONGEST_SECONDS: Final = 86_400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault in force. Ends at `until` and after `remaining` hits, where given; `scope` None means every request.

    seconds: of delay (slow, drip in all, late and reordered webhooks) or to wait (429 with Retry-After).
    """

    id: int
    kind: FaultKind
    rate: float = 1.0
    scope: RequestKind | None = None
    until: datetime | None = None
    remaining: int | None = None
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultState:
    """All faults in force, oldest first, and the number the next one gets."""

    faults: tuple[Fault, ...] = ()
    next_id: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What happens to one request. `fault` is the id of the fault that decided, for the log."""

    before: Before = Before.PROCESS
    after: After = After.ANSWER
    delay_seconds: float = 0.0
    drip_seconds: float = 0.0
    retry_after_seconds: int | None = None
    malformed: Malformed = Malformed.TRUNCATED
    fault: int | None = None


HEALTHY: Final = Verdict()

# Each fault on a healthy verdict: (the fault, a number in [0, 1)) -> what changes.
_EFFECTS: Final[Mapping[FaultKind, Callable[[Fault, float], Mapping[str, Any]]]] = {
    FaultKind.REFUSE: lambda fault, chance: {"before": Before.REFUSE},
    FaultKind.HANG_BEFORE: lambda fault, chance: {"before": Before.HANG},
    FaultKind.CHARGE_THEN_HANG: lambda fault, chance: {"after": After.HANG},
    FaultKind.CHARGE_THEN_500: lambda fault, chance: {"after": After.ERROR_500},
    FaultKind.ERROR_500: lambda fault, chance: {"before": Before.ERROR_500},
    FaultKind.RESET_BEFORE: lambda fault, chance: {"before": Before.RESET},
    FaultKind.RESET_AFTER: lambda fault, chance: {"after": After.RESET},
    FaultKind.RATE_LIMIT_429: lambda fault, chance: {"before": Before.RATE_LIMIT},
    FaultKind.RATE_LIMIT_429_RETRY_AFTER: lambda fault, chance: {
        "before": Before.RATE_LIMIT,
        "retry_after_seconds": round(DEFAULT_RETRY_AFTER_SECONDS if fault.seconds is None else fault.seconds),
    },
    FaultKind.MALFORMED: lambda fault, chance: {
        "after": After.MALFORMED,
        "malformed": list(Malformed)[int(chance * len(Malformed))],
    },
    FaultKind.WRONG_AMOUNT: lambda fault, chance: {"after": After.WRONG_AMOUNT},
    FaultKind.SLOW: lambda fault, chance: {"delay_seconds": _seconds(fault)},
    FaultKind.DRIP: lambda fault, chance: {"drip_seconds": _seconds(fault)},
}

# A slow PSP can be broken as well: these two add to another fault instead of excluding it.
_ADDING: Final = frozenset({FaultKind.SLOW, FaultKind.DRIP})


def _seconds(fault: Fault) -> float:
    return DEFAULT_SLOW_SECONDS if fault.seconds is None else fault.seconds


def live(state: FaultState, now: datetime) -> FaultState:
    """The state without the faults that are over."""
    kept = tuple(fault for fault in state.faults if (fault.until is None or now < fault.until) and fault.remaining != 0)
    return state if len(kept) == len(state.faults) else replace(state, faults=kept)


def decide(state: FaultState, kind: RequestKind, rng: Rng, now: datetime) -> tuple[Verdict, FaultState]:
    """What happens to a request of that kind, and the state after it (counted faults have one hit less).

    Faults are tried in the order they were set; each that applies throws its dice once, and the first that hits decides. `slow` and `drip`
    add to it. Without faults nothing is thrown, so a healthy stretch does not shift the series.
    """
    if not state.faults:
        return HEALTHY, state
    state = live(state, now)
    verdict, decided, hits = HEALTHY, False, set[int]()
    for fault in state.faults:
        adding = fault.kind in _ADDING
        if not _applies(fault, kind) or (decided and not adding) or rng.random() >= fault.rate:
            continue
        chance = rng.random() if fault.kind is FaultKind.MALFORMED else 0.0
        verdict = replace(verdict, fault=verdict.fault or fault.id, **_EFFECTS[fault.kind](fault, chance))
        decided = decided or not adding
        hits.add(fault.id)
    return verdict, counted(state, hits)


def _applies(fault: Fault, kind: RequestKind) -> bool:
    # Refusing is about connections and nothing else is: a connection carries requests of every kind.
    if fault.kind not in REQUEST_FAULTS or (fault.kind is FaultKind.REFUSE) != (kind is RequestKind.CONNECT):
        return False
    return fault.scope is None or fault.scope is kind


def counted(state: FaultState, hits: Collection[int]) -> FaultState:
    """The state after those faults have hit once more, by id."""
    if not any(fault.id in hits and fault.remaining is not None for fault in state.faults):
        return state
    faults = tuple(
        replace(fault, remaining=fault.remaining - 1) if fault.id in hits and fault.remaining is not None else fault
        for fault in state.faults
    )
    return replace(state, faults=faults)


def refuses_all(state: FaultState, now: datetime) -> Fault | None:
    """The fault, if any, that turns every connection away until it ends: such a PSP need not listen at all."""
    for fault in live(state, now).faults:
        if fault.kind is FaultKind.REFUSE and fault.rate >= 1.0 and fault.remaining is None:
            return fault
    return None


def add(state: FaultState, asked: Mapping[str, Any], now: datetime) -> tuple[Fault, FaultState]:
    """A new fault from `{"fault", "rate"?, "for_seconds"?, "count"?, "scope"?, "seconds"?}`. Raises FaultRefused with what is wrong."""
    unknown = set(asked) - {"fault", "rate", "for_seconds", "count", "scope", "seconds"}
    if unknown:
        raise FaultRefused(f"unknown field {sorted(unknown)[0]!r}")
    lasting = _number(asked, "for_seconds", 0.001, LONGEST_SECONDS)
    count = asked.get("count")
    if count is not None and (type(count) is not int or count < 1):
        raise FaultRefused("count is a whole number from 1")
    rate = _number(asked, "rate", 0.0, 1.0)
    fault = Fault(
        id=state.next_id,
        kind=_kind(asked.get("fault")),
        rate=1.0 if rate is None else rate,
        scope=_scope(asked.get("scope")),
        until=None if lasting is None else now + timedelta(seconds=lasting),
        remaining=count,
        seconds=_number(asked, "seconds", 0.0, LONGEST_SECONDS),
    )
    if fault.kind is FaultKind.REFUSE and fault.scope is not None:
        raise FaultRefused("refuse is about connections: it has no scope")
    if fault.kind in WEBHOOK_FAULTS and fault.scope is not None:
        raise FaultRefused(f"{fault.kind} is about webhooks, not requests: it has no scope")
    if fault.kind in SETTLEMENT_FAULTS and fault.scope is not None:
        raise FaultRefused(f"{fault.kind} is about settlement reports, not requests: it has no scope")
    kept = live(state, now)
    return fault, replace(kept, faults=(*kept.faults, fault), next_id=fault.id + 1)


def remove(state: FaultState, id: int | None = None) -> FaultState:
    """The state without that fault, or without any."""
    return replace(state, faults=tuple(fault for fault in state.faults if id is not None and fault.id != id))


def describe(fault: Fault, now: datetime) -> Mapping[str, Any]:
    """A fault as the control endpoint shows it."""
    return {
        "id": fault.id,
        "fault": fault.kind.value,
        "rate": fault.rate,
        "scope": None if fault.scope is None else fault.scope.value,
        "until": None if fault.until is None else rfc3339(fault.until),
        "remaining_seconds": None if fault.until is None else max(0.0, (fault.until - now).total_seconds()),
        "remaining_count": fault.remaining,
        "seconds": fault.seconds,
    }


def _kind(asked: object) -> FaultKind:
    known = [kind.value for kind in FaultKind]
    if asked not in known:
        raise FaultRefused(f"unknown fault {asked!r}; the faults are: {', '.join(known)}")
    return FaultKind(str(asked))


def _scope(asked: object) -> RequestKind | None:
    if asked is None or asked == "any":
        return None
    known = [kind.value for kind in RequestKind if kind is not RequestKind.CONNECT]
    if asked not in known:
        raise FaultRefused(f"unknown scope {asked!r}; the scopes are: any, {', '.join(known)}")
    return RequestKind(str(asked))


def _number(asked: Mapping[str, Any], name: str, least: float, most: float) -> float | None:
    value = asked.get(name)
    if value is None:
        return None
    # `type in`, because True is an int; the comparison also turns away NaN.
    if type(value) not in (int, float) or not least <= value <= most:
        raise FaultRefused(f"{name} is a number from {least:g} to {most:g}")
    return float(value)
