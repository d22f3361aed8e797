"""The rows of a list, without a screen: new contents change nothing but themselves, and a key finds its row whatever the order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tui.widgets.rows import Rows

KEYS = st.integers(0, 30).map(str)


@given(st.lists(KEYS, unique=True), st.dictionaries(KEYS, st.integers(100, 200)), st.booleans(), st.booleans())
def test_new_contents_stand_where_the_old_ones_stood(keys: list[str], changed: dict[str, int], sorted_: bool, only_even: bool) -> None:
    rows = Rows(lambda row: str(row["key"]), None)
    rows.take([{"key": key, "value": int(key)} for key in keys])
    if only_even:
        rows.keep(lambda row: row["value"] % 2 == 0)
    rows.patch({})
    if sorted_:
        rows.sort("value", lambda row: row["value"])
    before = [str(row["key"]) for row in rows.shown]
    rows.patch({key: {"key": key, "value": value} for key, value in changed.items()})
    assert [row["key"] for row in rows.shown] == before
    assert all(row["value"] == changed.get(str(row["key"]), int(row["key"])) for row in rows.shown)
    assert all(row["value"] == changed.get(str(row["key"]), int(row["key"])) for row in rows.loaded)
    for key in map(str, range(31)):
        found = rows.find(key)
        assert (found is not None) == (key in before)
        assert found is None or found["key"] == key
