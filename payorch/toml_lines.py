"""In which line of a TOML text something stands, for messages about what is wrong with it.

The standard library's parser reads TOML exactly and keeps no places; parsers that keep them keep trivia and columns besides, and none tells
a line. So the same exact parser is asked about longer and longer beginnings of the text: a key begins behind the last beginning that is
TOML and does not have it yet. That costs a parse for each line, and is paid only where there is a message to write.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from typing import Any


def line_of(text: str, path: Sequence[str | int]) -> int | None:
    """The line, from 1, in which what `path` names begins: names of keys and, in arrays, places from 0. None where there is none."""
    before = 0
    lines = text.splitlines(keepends=True)
    for number in range(1, len(lines) + 1):
        try:
            read = tomllib.loads("".join(lines[:number]))
        except tomllib.TOMLDecodeError:
            continue  # in the middle of something that goes over several lines
        if _has(read, path):
            return before + 1
        before = number
    return None


def _has(value: Any, path: Sequence[str | int]) -> bool:
    for part in path:
        known = range(len(value)) if isinstance(value, list) else value if isinstance(value, dict) else ()
        if part not in known:
            return False
        value = value[part]
    return True
