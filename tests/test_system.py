"""The real ports: time cut to milliseconds, ids in order, and a process that dies exactly where it is told to."""

from __future__ import annotations

import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from payorch.ports import Clock, Entropy, Process
from payorch.system import SeededFractions, SystemClock, SystemEntropy, SystemProcess, process_age_seconds


class FixedClock:
    """Stands still unless it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 5, 17, 12, 0, 0, 123_000, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


def test_they_fit_their_ports() -> None:
    clock: Clock = SystemClock()
    entropy: Entropy = SystemEntropy(clock)
    process: Process = SystemProcess()
    process.reached("anything")
    assert entropy.identifier().version == 7


def test_the_clock_is_utc_and_cut_to_milliseconds() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    now = SystemClock().now()
    assert now.tzinfo is UTC
    assert now.microsecond % 1000 == 0
    assert before <= now <= datetime.now(UTC)


def test_ids_are_version_7_of_their_millisecond() -> None:
    clock = FixedClock()
    identifier = SystemEntropy(clock).identifier()
    assert (identifier.version, identifier.variant) == (7, "specified in RFC 4122")
    assert identifier.int >> 80 == round(clock.at.timestamp() * 1000)


def test_ids_increase_within_a_millisecond_and_when_the_clock_goes_back() -> None:
    clock = FixedClock()
    entropy = SystemEntropy(clock)
    ids = [entropy.identifier() for _ in range(2_000)]
    clock.at -= timedelta(hours=1)
    ids += [entropy.identifier() for _ in range(2_000)]
    clock.at += timedelta(hours=2)
    ids.append(entropy.identifier())
    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {(identifier.version, identifier.variant) for identifier in ids} == {(7, "specified in RFC 4122")}


def test_two_sources_do_not_make_the_same_ids() -> None:
    clock = FixedClock()
    assert SystemEntropy(clock).identifier() != SystemEntropy(clock).identifier()


def test_fractions_are_at_least_zero_and_below_one() -> None:
    entropy = SystemEntropy(FixedClock())
    fractions = [entropy.fraction() for _ in range(10_000)]
    assert 0 <= min(fractions) < 0.01
    assert 0.99 < max(fractions) < 1


def test_secrets_have_the_size_asked_for() -> None:
    entropy = SystemEntropy(FixedClock())
    assert len(entropy.secret(42)) == 42
    assert entropy.secret(32) != entropy.secret(32)


def test_a_seed_repeats_itself() -> None:
    first, second, other = SeededFractions(7), SeededFractions(7), SeededFractions(8)
    numbers = [first.fraction() for _ in range(5)]
    assert numbers == [second.fraction() for _ in range(5)]
    assert numbers != [other.fraction() for _ in range(5)]


def _run_until(point: str | None, code: str) -> subprocess.CompletedProcess[str]:
    environment = {} if point is None else {"PAYORCH_CRASH_AT": point}
    program = f"from payorch.system import SystemProcess\nprocess = SystemProcess.from_environment()\n{code}"
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_the_process_dies_at_the_nth_time_and_not_before() -> None:
    code = "for number in range(1, 6):\n    process.reached('other')\n    print(number, flush=True)\n    process.reached('here')"
    finished = _run_until("here:3", code)
    assert finished.returncode == -signal.SIGKILL
    assert finished.stdout.split() == ["1", "2", "3"]


def test_no_cleanup_survives_it() -> None:
    assert _run_until("here:1", "try:\n    process.reached('here')\nfinally:\n    print('cleaned up', flush=True)").stdout == ""


def test_nothing_happens_without_being_asked() -> None:
    assert _run_until(None, "process.reached('here')").returncode == 0


@pytest.mark.parametrize("crash_at", ["here", "here:", "here:0", "here:-1", ":3", "a b:1", "here:1:2"])
def test_a_malformed_crash_point_is_refused(crash_at: str) -> None:
    with pytest.raises(ValueError, match="name:n"):
        SystemProcess(crash_at)


def test_an_empty_crash_point_asks_for_nothing() -> None:
    SystemProcess.from_environment({"PAYORCH_CRASH_AT": ""}).reached("here")


def test_the_age_of_the_process_grows() -> None:
    age = process_age_seconds()
    assert 0 < age <= process_age_seconds() < 24 * 3600
