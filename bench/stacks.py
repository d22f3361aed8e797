"""Where the time goes, by package or by function: py-spy's collapsed stacks -> shares of self time and of inclusive time. Pure.

A sample's self time belongs to the package of its innermost Python frame, so what C code does counts for its caller (libpq for the caller
in psycopg, the JSON scanner for `python:json`). Its inclusive time counts once for every package anywhere in the stack; those shares
add up to far more than 100 %. The same holds for functions.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

# `function (file:line)`; the line is missing for frames of the interpreter itself.
_FRAME: Final = re.compile(r"(?P<function>.*?) ?\((?P<file>.*?)(?::\d+)?\)")
_SITE: Final = "/site-packages/"
# What attrs writes for a class: its file is no file and names the class.
_GENERATED: Final = re.compile(r"<attrs generated \w+ (?P<path>[\w.]+)>")
_STANDARD_LIBRARY: Final = re.compile(r".*/(?:python|pypy)3[.\d]*/(?P<inside>.+)")
# Of our own largest package each room counts for itself.
_SPLIT: Final = "payorch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """One package's or function's part of all samples, as fractions of 1."""

    name: str
    own: float
    inclusive: float


def shares(collapsed: Iterable[str], name_of: Callable[[str], str]) -> tuple[int, list[Share]]:
    """How many samples there were, and the share of each name, largest self time first.

    collapsed: lines of `frame;frame;frame count`, outermost first. name_of: to whom a frame belongs. Raises ValueError for other lines.
    """
    own: Counter[str] = Counter()
    inclusive: Counter[str] = Counter()
    for line in filter(None, map(str.strip, collapsed)):
        stack, _, count = line.rpartition(" ")
        names = [name_of(frame) for frame in stack.split(";")]
        own[names[-1]] += int(count)
        for name in set(names):
            inclusive[name] += int(count)
    total = own.total()
    found = [Share(name=name, own=own[name] / total, inclusive=inclusive[name] / total) for name in inclusive]
    return total, sorted(found, key=lambda share: (-share.own, -share.inclusive, share.name))


def package_of(frame: str, *, root: str) -> str:
    """The package of one frame: `trio`, `payorch.domain`, `python:json` for the standard library, `python` for what has no file."""
    match = _FRAME.fullmatch(frame)
    file = match["file"] if match else ""
    if _SITE in file:
        return _room(file.rpartition(_SITE)[2])
    if file.startswith(root.rstrip("/") + "/"):
        return _room(file[len(root.rstrip("/")) + 1 :])
    if generated := _GENERATED.fullmatch(file):
        return _room(generated["path"].replace(".", "/"))
    inside = _STANDARD_LIBRARY.fullmatch(file)
    return f"python:{_room(inside['inside'])}" if inside else "python"


def function_of(frame: str, *, root: str) -> str:
    """The package and the function of one frame: `payorch.store Journal.write`."""
    match = _FRAME.fullmatch(frame)
    return f"{package_of(frame, root=root)} {match['function'] if match else frame}"


def _room(relative: str) -> str:
    parts = PurePosixPath(relative).with_suffix("").parts
    return ".".join(parts[:2]) if parts[0] == _SPLIT and len(parts) > 1 else parts[0]
