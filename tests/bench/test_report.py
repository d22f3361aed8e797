"""The check that can fail: a round's books, and what makes a run's figures worthless."""

from __future__ import annotations

import pytest

from bench import report

_BOOKS = {"sent": 10, "answered": 10, "stored": 10, "settled": 10, "charged": 10}
_TAKEN = {**_BOOKS, "charged": 0}


def test_books_that_agree() -> None:
    assert report.wrong_books(report.PAYMENTS, _BOOKS) == []
    assert report.wrong_books(report.WEBHOOKS, _TAKEN) == []


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"charged": 11}, "10 payments are stored and 11 charges were made at the PSP"),
        ({"charged": 9}, "10 payments are stored and 9 charges were made at the PSP"),
        ({"stored": 9, "settled": 9, "charged": 9}, "10 payments were answered with 201 and 9 are stored"),
        ({"settled": 9}, "10 payments are stored and 9 of them ended as the PSP answered"),
        ({"sent": 11}, "11 payments were sent and 10 answered with 201"),
        (dict.fromkeys(_BOOKS, 0), "no payments were answered with 201"),
    ],
)
def test_books_of_payments_that_do_not_agree_are_told(difference: dict[str, int], said: str) -> None:
    assert report.wrong_books(report.PAYMENTS, {**_BOOKS, **difference}) == [said]


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"charged": 1}, "10 webhooks are stored and 1 charges were made at the PSP"),
        ({"stored": 11, "settled": 11}, "10 webhooks were answered with 200 and 11 are stored"),
        ({"stored": 9, "settled": 9}, "10 webhooks were answered with 200 and 9 are stored"),
        ({"settled": 9}, "10 webhooks are stored and 9 of them were applied to their payments"),
        ({"answered": 9, "stored": 9, "settled": 9}, "10 webhooks were sent and 9 answered with 200"),
        (dict.fromkeys(_BOOKS, 0), "no webhooks were answered with 200"),
    ],
)
def test_books_of_webhooks_that_do_not_agree_are_told(difference: dict[str, int], said: str) -> None:
    assert report.wrong_books(report.WEBHOOKS, {**_TAKEN, **difference}) == [said]


def a_round(kind: str, rate: float, books: dict[str, int], afterwards: dict[str, float] | None) -> dict[str, object]:
    took = {"p50_ms": 1.0, "p95_ms": 2.0, "p99_ms": 3.0, "max_ms": 4.0}
    cpu = {"service": 1e6 / rate, "postgres": 50.0}
    return {
        "kind": kind, "rate": rate, "latencies": took, "cpu_us": cpu, "books": books, "afterwards": afterwards, "commits_each": 0.2,
        "wrong": report.wrong_books(report.WEBHOOKS, books),
    }  # fmt: skip


@pytest.mark.parametrize("settled", [10, 9])
def test_what_is_applied_afterwards_is_told_apart_and_against_the_same_pair(settled: int) -> None:
    bare = a_round("bare", 1000.0, _TAKEN, None)
    subject = a_round("platform", 800.0, {**_TAKEN, "settled": settled}, {"waiting": 5, "seconds": 1.5, "rate": 600.0})
    result = {
        "measured": "webhooks", "rounds": [(bare, subject)], "open_loop": [], "profiles": {}, "pinned": True, "ceiling": 9000.0,
        "ratios": {"each": [0.8], "median": 0.8}, "cpu_ratios": None, "options": {}, "at": "2026-11-28T00:00:00", "commit": "c",
    }  # fmt: skip
    said = report.text(result)
    assert "platform / bare by rate: 0.80; median 0.80" in said
    applied = "until all were applied to their payments: 600/s, 0.60 of what the bare composition answers; 50 % waited when the load ended"
    assert applied in said
    assert ("books: webhooks stored = answers 200" in said) == (settled == 10)
    assert ("THE BOOKS DO NOT AGREE" in said) == (settled == 9)
    assert "5 not applied when it ended, all 1.5 s later (600/s)" in report.round_line(subject)
    opened = report.text({**result, "open_loop": [bare, subject], "options": {"open_loop": 100.0}})
    assert f"open loop at 100/s, latencies from when each request was due:\n{report.round_line(bare)}\n" in opened


def test_one_wrong_round_spoils_the_run() -> None:
    good, bad = {"kind": "bare", "wrong": []}, {"kind": "platform", "wrong": ["a"]}
    result = {"rounds": [(good, good), (good, bad)], "open_loop": [bad], "profiles": {"bare": {"wrong": []}, "platform": {"wrong": ["b"]}}}
    assert report.all_wrong(result) == ["platform: a", "platform: a", "platform, profiled: b"]
    assert report.all_wrong({"rounds": [(good, good)], "open_loop": [], "profiles": {}}) == []
