"""Answers that are not what the contract says: a made-up one with something else in one place. For property tests of views.

Not here: the made-up answers (`answers`).
"""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)),
    max_leaves=6,
)


def changed_somewhere(answer: Any) -> st.SearchStrategy[Any]:
    """The answer with any JSON in the place of one of its parts."""
    return st.builds(_with, st.just(answer), st.sampled_from(_places(answer)), JSON)


def _places(data: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [before] if before else []
    parts = data.items() if isinstance(data, dict) else enumerate(data[:3]) if isinstance(data, list) else ()
    for name, value in parts:
        found += _places(value, (*before, name))
    return found


def _with(answer: Any, place: tuple[Any, ...], value: Any) -> Any:
    changed = copy.deepcopy(answer)
    inner = changed
    for name in place[:-1]:
        inner = inner[name]
    inner[place[-1]] = value
    return changed
