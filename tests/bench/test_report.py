"""The check that can fail: a round's books, and what makes a run's figures worthless."""

from __future__ import annotations

import pytest

from bench import report

_BOOKS = {"sent": 10, "answered": 10, "stored": 10, "settled": 10, "charged": 10}


def test_books_that_agree() -> None:
    assert report.wrong_books(_BOOKS) == []


@pytest.mark.parametrize(
    ("difference", "said"),
    [
        ({"charged": 11}, "10 payments are stored and 11 were charged at the PSP"),
        ({"charged": 9}, "10 payments are stored and 9 were charged at the PSP"),
        ({"stored": 9, "settled": 9, "charged": 9}, "10 payments were answered with 201 and 9 are stored"),
        ({"settled": 9}, "10 payments are stored and 9 of them ended as the PSP answered"),
        ({"sent": 11}, "11 payments were sent and 10 answered with 201"),
        (dict.fromkeys(_BOOKS, 0), "no payment was answered with 201"),
    ],
)
def test_books_that_do_not_agree_are_told(difference: dict[str, int], said: str) -> None:
    assert report.wrong_books({**_BOOKS, **difference}) == [said]


def test_one_wrong_round_spoils_the_run() -> None:
    good, bad = {"kind": "bare", "wrong": []}, {"kind": "platform", "wrong": ["a"]}
    result = {"rounds": [(good, good), (good, bad)], "open_loop": [bad], "profiles": {"bare": {"wrong": []}, "platform": {"wrong": ["b"]}}}
    assert report.all_wrong(result) == ["platform: a", "platform: a", "platform, profiled: b"]
    assert report.all_wrong({"rounds": [(good, good)], "open_loop": [], "profiles": {}}) == []
