"""What befalls webhooks: pure, seeded, and nothing to do with requests."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.simulator import faults
from connectors.simulator.faults import HEALTHY, WEBHOOK_FAULTS, Dice, FaultKind, FaultState, RequestKind
from connectors.simulator.webhook_faults import MOST_COPIES, PROMPT, Forgery, WebhookVerdict, decide_webhook
from tests.simulator.test_faults import state
from tests.simulator.world import START


def decide(made: FaultState, seed: str = "test", seconds: float = 0.0) -> tuple[WebhookVerdict, FaultState]:
    return decide_webhook(made, Dice(seed), START + timedelta(seconds=seconds))


def many(made: FaultState, count: int = 400) -> list[WebhookVerdict]:
    dice = Dice("many")
    return [decide_webhook(made, dice, START)[0] for _ in range(count)]


class NoDice:
    """Chance that must not be asked."""

    def random(self) -> float:
        raise AssertionError("dice were thrown")


def test_every_fault_of_webhooks_does_something_to_them_and_nothing_to_requests() -> None:
    for kind in WEBHOOK_FAULTS:
        made = state({"fault": kind.value})
        verdict, _ = decide(made)
        assert verdict != PROMPT
        assert verdict.faults == (kind,)
        for request in RequestKind:
            assert faults.decide(made, request, NoDice(), START)[0] == HEALTHY


def test_faults_of_requests_leave_webhooks_alone() -> None:
    made = state(*({"fault": kind.value} for kind in faults.REQUEST_FAULTS))
    assert decide_webhook(made, NoDice(), START) == (PROMPT, made)
    assert decide_webhook(FaultState(), NoDice(), START)[0] is PROMPT


def test_how_late() -> None:
    assert decide(state({"fault": "webhooks_late"}))[0].delay_seconds == 5.0
    assert decide(state({"fault": "webhooks_late", "seconds": 0.5}))[0].delay_seconds == 0.5
    held = [one.delay_seconds for one in many(state({"fault": "webhooks_reordered", "seconds": 10}))]
    assert 5.0 <= min(held) < 5.5
    assert 9.5 < max(held) < 10.0
    assert held != sorted(held)


def test_how_often_and_how_forged() -> None:
    assert {one.copies for one in many(state({"fault": "webhooks_duplicated"}))} == set(range(2, MOST_COPIES + 1))
    assert {one.forgery for one in many(state({"fault": "webhooks_forged"}))} == set(Forgery)


def test_what_hits_adds_up_and_what_is_lost_is_lost() -> None:
    made = state(*({"fault": f"webhooks_{kind}"} for kind in ("duplicated", "late", "forged", "late")), {"fault": "slow"})
    verdict, _ = decide(made)
    assert (verdict.copies > 1, verdict.delay_seconds, verdict.forgery is not None) == (True, 5.0, True)
    assert verdict.faults == (FaultKind.WEBHOOKS_DUPLICATED, FaultKind.WEBHOOKS_LATE, FaultKind.WEBHOOKS_FORGED)
    lost, after = decide(state({"fault": "webhooks_duplicated", "count": 3}, {"fault": "webhooks_lost", "count": 2}))
    assert lost == WebhookVerdict(lost=True, faults=(FaultKind.WEBHOOKS_LOST,))
    assert [fault.remaining for fault in after.faults] == [3, 1]


def test_it_ends_by_time_and_by_count() -> None:
    timed = state({"fault": "webhooks_lost", "for_seconds": 10})
    assert decide(timed, seconds=9.9)[0].lost
    assert decide(timed, seconds=10)[0] == PROMPT
    counted = state({"fault": "webhooks_lost", "count": 2})
    hits = []
    for _ in range(3):
        verdict, counted = decide(counted)
        hits.append(verdict.lost)
    assert hits == [True, True, False]


_ASKED = st.fixed_dictionaries(
    {"fault": st.sampled_from(sorted(WEBHOOK_FAULTS)), "rate": st.floats(0, 1)},
    optional={"count": st.integers(1, 5), "seconds": st.floats(0, 100), "for_seconds": st.floats(0.01, 100)},
)


@given(asked=st.lists(_ASKED, max_size=6), seed=st.text(max_size=3), count=st.integers(0, 30))
def test_the_series_is_the_seeds_and_every_verdict_is_sound(asked: list[dict[str, Any]], seed: str, count: int) -> None:
    def series() -> list[WebhookVerdict]:
        made, dice, told = state(*asked), Dice(seed), []
        for number in range(count):
            verdict, made = decide_webhook(made, dice, START + timedelta(seconds=number))
            told.append(verdict)
        return told

    told = series()
    assert told == series()
    for verdict in told:
        assert len(set(verdict.faults)) == len(verdict.faults)
        assert 1 <= verdict.copies <= MOST_COPIES
        assert not verdict.lost or verdict == WebhookVerdict(lost=True, faults=(FaultKind.WEBHOOKS_LOST,))
        assert bool(verdict.faults) == (verdict != PROMPT)
    for fault in asked:
        if "count" in fault and len([one for one in asked if one["fault"] == fault["fault"]]) == 1:
            assert sum(fault["fault"] in verdict.faults for verdict in told) <= fault["count"]


@pytest.mark.parametrize("rate", [0.0, 0.3, 1.0])
def test_the_rate_holds(rate: float) -> None:
    lost = sum(one.lost for one in many(state({"fault": "webhooks_lost", "rate": rate}), 4000)) / 4000
    assert abs(lost - rate) < 0.03
