"""Retry-After, in every form that may come over a wire."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from actors.retry_after import come_back_at

NOW = datetime(2027, 3, 1, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "2", 2),
        (503, " 30 ", 30),
        (429, "86400", 60),
        (429, "999999999", 60),
        (429, "Mon, 01 Mar 2027 12:00:20 GMT", 20),
        (429, "Mon, 01 Mar 2027 13:00:00 +0100", None),  # that is now
        (429, "Mon, 01 Mar 2027 13:00:20 +0100", 20),
        (429, "Mon, 01 Mar 2027 12:00:20 -0000", 20),
        (429, "Monday, 01-Mar-27 12:00:20 GMT", 20),
        (429, "Mon, 01 Mar 2027 11:59:59 GMT", None),
        (429, "Tue, 01 Mar 2128 00:00:00 GMT", 60),
        (429, "0", None),
        (429, "-5", None),
        (429, "1.5", None),
        (429, "\uff12", None),
        (429, "", None),
        (429, "soon", None),
        (429, "9" * 400, None),
        (429, "Mon, 99 Foo 2027 99:99:99 GMT", None),
        (429, None, None),
        (500, "20", None),
        (200, "20", None),
        (301, "20", None),
    ],
)
def test_when_to_come_back(status: int, header: str | None, seconds: int | None) -> None:
    expected = None if seconds is None else NOW + timedelta(seconds=seconds)
    assert come_back_at(status, header, NOW, longest_seconds=60) == expected
