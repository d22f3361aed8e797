"""What will go wrong in one seed: rates per occasion, outages and ends by the clock, and how slow the PSP's books are.

All of it is drawn before the first order. Each misfortune is absent in about half of the seeds: faults that hide behind others are found
where the others are absent (swarm). Not here: acting any of it out (`ports`, `psp`, `runtime`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from random import Random
from typing import Final

from connectors.simulator.faults import REQUEST_FAULTS, WEBHOOK_FAULTS, FaultKind

CRASH_POINTS: Final = (
    "journal.before_commit",
    "journal.after_commit",
    "connector.before_send",
    "connector.after_answer",
    "psp.executed",
    "database.before_statement",
    "database.after_statement",
)
"""Every await next to a durable write or a PSP call, by name. The suite fails where one of them was never the place of a death."""

OFTEN: Final = frozenset({"database.before_statement", "database.after_statement"})
"""Points that are passed many times a second: idle looks at the database among them."""

PSP_FAULTS: Final = REQUEST_FAULTS
OUTAGES: Final = (FaultKind.REFUSE, FaultKind.ERROR_500, FaultKind.HANG_BEFORE, FaultKind.CHARGE_THEN_500, FaultKind.RATE_LIMIT_429)
"""What every call meets while a PSP is down as a whole."""
MUTE: Final = (FaultKind.CHARGE_THEN_HANG, FaultKind.RESET_AFTER)
"""What every call meets while the PSP works and none of its answers arrives: only its notices tell then."""
NOTICE_FAULTS: Final = tuple(sorted(WEBHOOK_FAULTS))

HOUR: Final = 3600.0
MOST_DEATHS: Final = 7
"""Of one seed by chance. More would only make the same few orders slower."""


class End(StrEnum):
    """How a life of the platform ends by the clock, apart from the power cuts at named points."""

    POWER_CUT = "power_cut"
    DRAIN = "drain"
    TAKEOVER = "takeover"


class Mishap(StrEnum):
    """What becomes of an event that is posted to a merchant's endpoint, other than a receipt."""

    REFUSED = "refused"
    HANGS = "hangs"
    FAILS = "fails"
    LATER = "later"
    RECEIPT_LOST = "receipt_lost"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outage:
    """From `begins` to `ends`, in virtual seconds since the beginning of the world. `kind`: how a PSP's calls fail meanwhile."""

    begins: float
    ends: float
    kind: FaultKind | None = None

    def covers(self, moment: float) -> bool:
        """Whether it is going on then."""
        return self.begins <= moment < self.ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Fate:
    """One seed's misfortunes.

    crash, psp: per occasion, by point and by kind of fault. belated: a call that the PSP executes long after we have given it up.
    database_lost_before, database_lost_after: a statement's connection breaks before it is sent, or when it has been executed.
    ends: (seconds after a day's beginning, how a life ends). night_seconds: between the two days; 0 for a single day.
    meddling: how likely somebody acts on an order at the PSP itself. search_lag_seconds and the three after it set up the PSP.

    notices: whether the PSP tells by itself; notice: what befalls each, late_seconds: by how much the late ones are. endpoints: of the
    merchant's, 0 to 2; post: what befalls each event that is posted there; deaf: while which the first one fails at all; gone_at: when it
    says once that it is gone; picky: the second one will never take what it does not know. disputes: how likely a shopper's bank moves.
    strangers: how likely another system of the merchant's uses the PSP's account.
    """

    crash: dict[str, float] = field(default_factory=dict)
    psp: dict[FaultKind, float] = field(default_factory=dict)
    belated: float = 0.0
    database_lost_before: float = 0.0
    database_lost_after: float = 0.0
    outages: tuple[Outage, ...] = ()
    database_outages: tuple[Outage, ...] = ()
    ends: tuple[tuple[float, End], ...] = ()
    night_seconds: float = 0.0
    healing_seconds: float = 26 * HOUR
    meddling: float = 0.0
    search_lag_seconds: float = 20.0
    pending_seconds: float = 3.0
    late_failure_seconds: float = 5.0
    notices: bool = True
    notice: dict[FaultKind, float] = field(default_factory=dict)
    late_seconds: float = 5.0
    endpoints: int = 1
    post: dict[Mishap, float] = field(default_factory=dict)
    deaf: tuple[Outage, ...] = ()
    gone_at: float | None = None
    picky: bool = False
    disputes: float = 0.0
    strangers: float = 0.0


def drawn(dice: Random) -> Fate:
    """A fate by chance."""

    def sometimes(most: float) -> float:
        return dice.random() * most if dice.random() < 0.5 else 0.0

    night = 26 * HOUR if dice.random() < 0.5 else 0.0
    fate = Fate(
        crash={point: sometimes(0.004 if point in OFTEN else 0.05) for point in CRASH_POINTS},
        psp={kind: sometimes(0.03 if kind is FaultKind.WRONG_AMOUNT else 0.12) for kind in PSP_FAULTS},
        belated=sometimes(0.2),
        database_lost_before=sometimes(0.02),
        database_lost_after=sometimes(0.02),
        outages=tuple(_outages(dice, night)),
        database_outages=tuple(_database_outages(dice)),
        ends=tuple(sorted((dice.random() * 80, dice.choice(list(End))) for _ in range(dice.choice((0, 1, 2, 3, 4))))),
        night_seconds=night,
        # Most unknown outcomes are proved once the PSP's key window is over; the longer ones see authorisations expire.
        healing_seconds=dice.choice((26 * HOUR, 26 * HOUR, 26 * HOUR, 10 * 24 * HOUR)),
        meddling=sometimes(0.35),
        search_lag_seconds=dice.choice((0.0, 20.0, 60.0, 150.0)),
        pending_seconds=dice.choice((3.0, 40.0, 2 * HOUR)),
        late_failure_seconds=dice.choice((5.0, HOUR)),
    )
    return _telling(fate, dice, sometimes)


def _telling(fate: Fate, dice: Random, sometimes: Callable[[float], float]) -> Fate:
    """The same fate, with what will become of notices, events and disputes."""
    notices, night = dice.random() < 0.5, fate.night_seconds
    mute = tuple(_mute(dice, night)) if notices and dice.random() < 0.3 else ()
    silent = notices and not mute and dice.random() < 0.2
    return replace(
        fate,
        outages=fate.outages + mute,
        notices=notices,
        notice={kind: sometimes(0.4) for kind in NOTICE_FAULTS} | ({FaultKind.WEBHOOKS_LOST: 1.0} if silent else {}),
        late_seconds=dice.choice((5.0, 5.0, 60.0, 3 * HOUR)),
        endpoints=dice.choice((0, 1, 1, 2)),
        post={mishap: sometimes(0.25) for mishap in Mishap},
        deaf=tuple(_deaf(dice, night)),
        gone_at=dice.random() * 60 if dice.random() < 0.2 else None,
        picky=dice.random() < 0.5,
        disputes=sometimes(0.4),
        strangers=sometimes(0.3),
    )


def _mute(dice: Random, night: float) -> Iterable[Outage]:
    begins = dice.random() * 30
    lasting = dice.random() * 25 * HOUR if night and dice.random() < 0.5 else 20 + dice.random() * 100
    yield Outage(begins=begins, ends=begins + lasting, kind=dice.choice(MUTE))


def _deaf(dice: Random, night: float) -> Iterable[Outage]:
    for _ in range(dice.choice((0, 0, 1))):
        begins = dice.random() * 60
        lasting = dice.random() * (25 * HOUR if night and dice.random() < 0.3 else 60)
        yield Outage(begins=begins, ends=begins + lasting)


def _outages(dice: Random, night: float) -> Iterable[Outage]:
    for _ in range(dice.choice((0, 0, 1, 1, 2))):
        begins = dice.random() * 60
        # One in three lasts far into the night, if there is one: what was under way is then unknown for longer than keys live.
        lasting = dice.random() * (25 * HOUR if night and dice.random() < 0.3 else 40)
        yield Outage(begins=begins, ends=begins + lasting, kind=dice.choice(OUTAGES))


def _database_outages(dice: Random) -> Iterable[Outage]:
    for _ in range(dice.choice((0, 0, 0, 1, 1))):
        begins = dice.random() * 60
        yield Outage(begins=begins, ends=begins + dice.random() * 20)
