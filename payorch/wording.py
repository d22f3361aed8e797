"""Text for people at a terminal: columns, and an error in one line. Not here: printing it, or words of the API."""

from __future__ import annotations

import json
from collections.abc import Iterable

import trio


def aligned(rows: Iterable[Iterable[str]]) -> str:
    """Columns as wide as they need to be."""
    table = [tuple(row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table)


def plain(value: object) -> str:
    """A setting's value as one would write it; nothing for None."""
    return "" if value is None else value if isinstance(value, str) else json.dumps(value)


def printable(text: str) -> str:
    """Text from outside in one line, with what would steer a terminal or turn the reading order round shown as escapes."""
    return "".join(one if one.isprintable() else repr(one)[1:-1] for one in text)


def shortened(text: str, longest: int) -> str:
    """The text, or its beginning where it is longer."""
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def span(seconds: float) -> str:
    """How long, in the largest unit that fits: `42 s`, `5 min`, `3 h`, `12 d`."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def in_words(error: BaseException) -> list[str]:
    """What went wrong, one line for each error of a group.

    Exceptions of our own have a text for people. Of any other only its type is sure to help: it is a bug, or the environment.
    """
    if isinstance(error, BaseExceptionGroup):
        return [line for member in error.exceptions for line in in_words(member)]
    text = str(error) or type(error).__name__
    ours = type(error).__module__.partition(".")[0] in ("payorch", "actors", "connectors")
    if ours or isinstance(error, OSError | trio.TooSlowError):
        return text.splitlines()
    return [f"{type(error).__name__}: {text.splitlines()[0]} (PAYORCH_DEBUG=1 shows where)"]
