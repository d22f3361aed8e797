"""Every mode at four sizes, as grids of text.

Each screen's own tests are in a file of its own; these hold the frame, and that nothing is missing.
"""

from __future__ import annotations

import pytest

from tests.tui.pictures import check
from tests.tui.world import connectors
from tui import places
from tui.screens import SCREENS

PAGES = {
    ("payments", ""): {
        "data": [
            {
                "id": "pay_01JAYQ7W3K9ZD4AAAAAA",
                "object": "payment",
                "merchant_id": "mer_1",
                "merchant": "acme-eu",
                "state": "OUTCOME_UNKNOWN",
                "status": "processing",
                "amount": 24900,
                "currency": "EUR",
                "reference": "A-10293",
                "connector": "adyen",
                "held": False,
                "created_at": "2026-10-16T14:21:07.918Z",
            }
        ],
        "next_cursor": None,
        "total": 1,
        "total_is_exact": True,
    },
    ("connectors", ""): {"data": connectors()},
    ("dead-letters", ""): {"data": [], "next_cursor": None},
    ("reconciliation/days", ""): {"data": [], "next_cursor": None},
    ("actions", ""): {"data": [], "next_cursor": None},
    ("audit", ""): {
        "data": [
            {
                "position": 88213,
                "at": "2026-10-16T14:30:00.000Z",
                "stream": "act",
                "subject_id": "act_77",
                "sequence": 1,
                "event": "Proposed",
                "actor": "operator:ana",
                "cause": "req_1",
                "text": "ana asks to resolve pay_01JAYQ7",
                "body": {"reason": "INC-4412"},
                "hash": "9c1f",
            }
        ],
        "next_cursor": None,
    },
    ("audit/verification", ""): {
        "state": "whole",
        "checked_at": "2026-10-16T14:30:00.000Z",
        "records": 88213,
        "head_position": 88213,
        "head_hash": "9c1f",
        "anchors": {"where": "/var/anchors", "count": 12, "last_at": "2026-10-16T14:00:00.000Z"},
    },
}


def test_every_place_has_a_screen() -> None:
    assert set(SCREENS) == {*places.ROOTS, *places.DETAILS}


@pytest.mark.parametrize("mode", ["audit"])
def test_modes_look_like_this(mode: str) -> None:
    check(mode, at=mode, pages=PAGES)


@pytest.mark.parametrize("mode", [mode for mode in places.ROOTS if mode != "audit"])
def test_each_mode_opens(mode: str) -> None:
    check(f"mode-{mode}", at=mode, pages=PAGES, sizes=((100, 30),))  # a screen's own pictures have its own name
