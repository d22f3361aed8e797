"""The real clock, entropy and process: the only module that reads the machine's time, chance and environment of a crash test.

`tests/test_architecture.py` refuses `time`, `random`, `uuid` and `os.urandom` anywhere else. The shapes are `payorch.ports`; the
simulation brings its own. Not here: waiting, which is trio's, and the real store and network, which have modules of their own.
"""

from __future__ import annotations

import os
import random
import re
import signal
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, final
from uuid import UUID

from payorch.ports import Clock

CRASH_AT: Final = "PAYORCH_CRASH_AT"

_CRASH_POINT: Final = re.compile(r"(?P<name>[^:\s]+):(?P<number>[1-9][0-9]*)")
# UUIDv7 (RFC 9562): 48 bits of milliseconds, the version, 12 free bits, the variant, 62 free bits.
_FREE_BITS: Final = 74
_LOW_BITS: Final = 62
_VERSION_AND_VARIANT: Final = 0x7 << 76 | 0b10 << 62
_STEP_BITS: Final = 32  # ids of one millisecond lie this far apart at most, so that the next cannot be guessed from the last


@final
class SystemClock:
    """The machine's wall clock."""

    def now(self) -> datetime:
        """The present moment: aware, UTC, cut to whole milliseconds."""
        return datetime.fromtimestamp(time.time_ns() // 1_000_000 / 1000, UTC)


@final
class SystemEntropy:
    """Ids, jitter and secrets from the kernel's generator."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._last = 0

    def identifier(self) -> UUID:
        """A new UUIDv7, greater than all before it from this object, also when the clock is set back."""
        milliseconds = round(self._clock.now().timestamp() * 1000)
        fresh = milliseconds << _FREE_BITS | int.from_bytes(os.urandom(10), "big") >> (80 - _FREE_BITS)
        if fresh <= self._last:
            # The same millisecond, or an earlier one: go on from the last. Running over into the next millisecond does no harm.
            fresh = self._last + 1 + int.from_bytes(os.urandom(_STEP_BITS // 8), "big")
        self._last = fresh
        high, low = fresh >> _LOW_BITS, fresh & (1 << _LOW_BITS) - 1
        return UUID(int=high >> 12 << 80 | (high & 0xFFF) << 64 | low | _VERSION_AND_VARIANT)

    def fraction(self) -> float:
        """A number in [0, 1), of 53 random bits."""
        return (int.from_bytes(os.urandom(7), "big") >> 3) / 2**53

    def secret(self, size_bytes: int) -> bytes:
        """Unpredictable bytes."""
        return os.urandom(size_bytes)


@final
class SeededFractions:
    """The same numbers in [0, 1) for the same seed, for demo traffic and load that can be repeated. Never for ids or secrets."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def fraction(self) -> float:
        """The next number in [0, 1)."""
        return self._random.random()


@final
class SystemProcess:
    """This process, which a crash test may ask to die at a named point, as abruptly as a power cut."""

    def __init__(self, crash_at: str | None = None) -> None:
        """`crash_at` is "name:n": die when `reached(name)` is called for the n-th time; None never dies. Raises ValueError."""
        self._point: str | None = None
        self._left = 0
        if crash_at is None:
            return
        match = _CRASH_POINT.fullmatch(crash_at)
        if match is None:
            raise ValueError(f"{CRASH_AT} is name:n with n from 1, for instance journal.committed:3, and not {crash_at!r}")
        self._point, self._left = match["name"], int(match["number"])

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] | None = None) -> SystemProcess:
        """As `PAYORCH_CRASH_AT` asks, read once, here. Raises ValueError when it is malformed."""
        return cls((os.environ if environment is None else environment).get(CRASH_AT) or None)

    def reached(self, point: str) -> None:
        """Returns at once, unless it is the moment to die: then SIGKILL, which no `finally` survives."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


def process_age_seconds() -> float:
    """How long this process has existed, interpreter start and imports included; where the system does not say, CPU time used."""
    try:
        # The fields follow the program's name, which stands in brackets and may hold anything, brackets too.
        fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        started_seconds = int(fields[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - started_seconds
    except (OSError, IndexError, ValueError, AttributeError):
        return time.process_time()
