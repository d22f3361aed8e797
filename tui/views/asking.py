"""A filter divided in two: what the server is asked, and what is left to judge among the rows that are loaded.

Each list names the words that may be typed and what the server calls them. A time may be typed as an age (`since:2d`). What is typed twice,
turned round (`!`) or is a pattern (`~`) is judged here, and the line above the list says so.

Not here: reading the words (`tui.filters`), and what a list shows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from tui import paint
from tui.filters import Filter, Term, Unclear, parse
from tui.paint import Line, Piece

_AGE: Final = re.compile(r"(\d{1,4})([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The words of one list. names: what is typed -> what the server calls it. times, days: those that take a moment, or a day.
    several: those of which the server takes more than one, parted by commas. short: other names of values."""

    names: Mapping[str, str]
    times: frozenset[str] = frozenset()
    days: frozenset[str] = frozenset()
    several: frozenset[str] = frozenset()
    short: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What a filter asks of the server, and what is judged here."""

    query: Mapping[str, str] = field(default_factory=dict)
    here: Filter = field(default_factory=Filter)
    typed: str = ""

    def keeps(self, row: Mapping[str, Any]) -> bool:
        """Whether a row that the server gave is shown."""
        return self.here.matches(row)


def asked_of(text: str, words: Words, now: datetime) -> Asked:
    """What that filter asks. Raises Unclear where it cannot be understood, with what can be typed instead."""
    terms = [_named(term, words, now) for term in parse(text).terms]
    query: dict[str, str] = {}
    here: list[Term] = []
    for name in dict.fromkeys(term.field for term in terms if term.kind == "field"):
        of_name = [term for term in terms if term.kind == "field" and term.field == name]
        wanted = [term for term in of_name if not term.negated]
        here += [term for term in of_name if term.negated]
        values = ",".join(term.value for term in wanted)
        if wanted and ("," not in values or name in words.several):
            query[name] = values
        elif wanted and name in words.times | words.days:
            raise Unclear(f"{name} takes one value")
        else:
            here += wanted
    here += [term for term in terms if term.kind in ("pattern", "more", "less") or (term.kind == "word" and term.negated)]
    plain = [term for term in terms if term.kind == "word" and not term.negated]
    if plain and "q" in words.names.values():
        query["q"] = " ".join(term.value for term in plain)
    else:
        here += plain
    return Asked(query=query, here=Filter(tuple(here)), typed=" ".join(term.typed for term in here))


def _named(term: Term, words: Words, now: datetime) -> Term:
    if term.kind != "field":
        return term
    name = words.names.get(term.field)
    if name is None:
        raise Unclear(f"{term.field}: cannot be asked for here; there are {', '.join(sorted(words.names))}")
    if term.negated and name in words.times | words.days:
        raise Unclear(f"!{term.field}: cannot be turned round")
    value = words.short.get(name, {}).get(term.value.casefold(), term.value)
    if name in words.times:
        value = f"{_moment(term, now):%Y-%m-%dT%H:%M:%SZ}"
    elif name in words.days:
        value = f"{_moment(term, now):%Y-%m-%d}"
    return replace(term, field=name, value=value)


def _moment(term: Term, now: datetime) -> datetime:
    """A time, a day, or an age before now."""
    if found := _AGE.fullmatch(term.value):
        return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
    at = paint.instant(term.value)
    if at is None:
        raise Unclear(f"{term.field}: takes a time (2026-10-16T14:00Z), a day (2026-10-16) or an age (15m, 2h, 3d)")
    return at.astimezone(UTC)


def above(typed: str, asked: Asked, otherwise: str) -> Line:
    """What is filtered by, and which part of it is judged here."""
    if not typed:
        return paint.line((otherwise, "dim"))
    parts = [paint.line(("filter ", "dim"), Piece(typed, "key", 200))]
    if asked.here:
        parts.append(paint.line(("judged here, among what is loaded: ", "warn"), Piece(asked.typed, "warn", 120)))
    return paint.join(parts, "   ")


def nothing(typed: str, what: str, otherwise: str) -> Line:
    """Why a list is empty, and what to do."""
    return paint.line(f"No {what} match ", Piece(typed, "key", 120), ". Clear: esc") if typed else paint.line(otherwise)
