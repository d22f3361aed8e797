"""What is told of the console: the events are ones that the platform reads, and what is wrong or beyond its aim is said."""

from __future__ import annotations

from itertools import islice
from typing import Any
from uuid import UUID

from bench import console
from bench.happenings import LIFE, lives

LISTENED: dict[str, Any] = {
    "view": "payments",
    "seconds": 60.0,
    "events_a_second": 1_000.0,
    "cpu_share": 0.2,
    "server_us_an_event": 65.0,
    "paints_a_second": 4.0,
    **{f"lag_{name}_ms": 20.0 for name in ("p50", "p95", "p99", "most")},
    "resident_before": 70_000_000,
    "resident_after": 71_000_000,
    "live": 2_000,
    "missing": 0,
    "load": 1.0,
}
RESULT: dict[str, Any] = {
    "payments": 50_000,
    "load": 1.0,
    "load_after": 1.0,
    "opening": {"from_start_seconds": 0.9, "from_key_seconds": 0.2},
    "scrolling": {
        "batches": 750,
        "pages": 249,
        "seconds": 20.0,
        "cpu_ms_a_batch": 14.0,
        "resident_before": 60_000_000,
        "resident_after": 90_000_000,
        **{f"{what}_{name}_ms": 9.0 for what in ("work", "wall", "page") for name in ("p50", "p95", "p99", "most")},
    },
    "listening": [{**LISTENED, "view": "overview"}, LISTENED],
    "gone": {
        "seconds": 120.0,
        "links": ["lost"],
        "counted_down": True,
        "locked": True,
        "live_after_seconds": 3.0,
        "events": 2_400,
        "missing": 0,
        "gaps": 0,
    },
}


def test_the_lives_of_payments_go_on_side_by_side_and_in_their_order() -> None:
    payments = [UUID(int=(0x019F << 112) | 7 << 76 | 2 << 62 | number) for number in range(120)]
    records = [one.records[0] for one in lives(payments, "one")]
    assert len(records) == 120 * len(LIFE)
    for number in range(0, 120, 40):
        own = [one.sequence for one in records if one.stream_id.endswith(payments[number].bytes)]
        assert own == [1, 2, 3, 4]
    assert len({one.stream_id for one in islice(records, 50)}) == 50


def test_nothing_is_said_of_what_is_as_it_is_to_be() -> None:
    told = console.text({**RESULT, "wrong": console.wrong(RESULT)})
    assert "WRONG" not in told
    assert "BEYOND" not in told
    assert "1,000 events/s for 60 s: 20% of a core" in told


def test_a_missed_event_is_wrong_and_a_slow_one_is_said() -> None:
    listening = [{**LISTENED, "missing": 1}, {**LISTENED, "lag_p99_ms": 51.0}]
    result = {**RESULT, "listening": listening, "gone": {**RESULT["gone"], "locked": False, "gaps": 1}}
    assert console.wrong(result) == [
        "payments: 1 events were missed",
        "gone: 1 new snapshots instead of going on",
        "gone: writing was not locked all the time",
    ]
    assert console.beyond_aim(result) == ["51.00 ms of lag p99, on payments, to be 50.0"]
