"""What is typed behind `/`: `state:OUTCOME_UNKNOWN !connector:x >100 ~regex word`. Pure: words in, terms out, and whether a row matches.

`field:value` goes to the server where it knows the field (it sees more than the page that is loaded), and is compared here as well;
`!` turns a term round, `~` is a regular expression over the row's text, `>` and `<` compare the amount in whole currency units. Several
values of one field are either-or; different fields are all required.

Not here: which fields a list has (its screen says), and the input line itself.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, Final, Literal

from payorch.domain.money import EXPONENTS

LONGEST: Final = 400
"""Characters of a filter: one line."""
LONGEST_PATTERN: Final = 100
"""Characters of a regular expression. Python's can be made to run for ever; a short one over short rows can do little."""


class Unclear(ValueError):
    """A filter that cannot be read; the text says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One word of a filter."""

    kind: Literal["field", "word", "pattern", "more", "less"]
    value: str
    field: str = ""
    negated: bool = False

    @property
    def typed(self) -> str:
        """As it is typed."""
        sign = {"pattern": "~", "more": ">", "less": "<", "field": f"{self.field}:"}.get(self.kind, "")
        return f"{'!' if self.negated else ''}{sign}{self.value}"


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was understood."""

    terms: tuple[Term, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.terms)

    def query(self, fields: Iterable[str]) -> dict[str, str]:
        """What of it the server is asked for: fields that it knows, not turned round."""
        known = set(fields)
        asked: dict[str, str] = {}
        for term in self.terms:
            if term.kind == "field" and not term.negated and term.field in known:
                asked[term.field] = f"{asked[term.field]},{term.value}" if term.field in asked else term.value
        words = [term.value for term in self.terms if term.kind == "word" and not term.negated]
        if words and "q" in known:
            asked["q"] = " ".join(words)
        return asked

    def matches(self, row: Mapping[str, Any], *, asked: Iterable[str] = ()) -> bool:
        """Whether a row is shown. `asked`: what the server has already chosen by, which is not judged again."""
        done = set(asked)
        by_field: dict[str, list[bool]] = {}
        for term in self.terms:
            if (term.kind == "field" and not term.negated and term.field in done) or (term.kind == "word" and "q" in done):
                continue
            if term.kind == "field" and not term.negated:
                by_field.setdefault(term.field, []).append(_matches(term, row))
            elif _matches(term, row) == term.negated:
                return False
        return all(any(found) for found in by_field.values())


def parse(text: str) -> Filter:
    """The filter that this text means. Raises Unclear."""
    if len(text) > LONGEST:
        raise Unclear(f"a filter has at most {LONGEST} characters")
    try:
        words = shlex.split(text, posix=True)
    except ValueError:
        raise Unclear('a quote (") is not closed') from None
    return Filter(tuple(_term(word) for word in words if word not in ("!", "")))


def _term(word: str) -> Term:
    negated = word.startswith("!")
    rest = word[1:] if negated else word
    if rest.startswith("~"):
        return Term(kind="pattern", value=_pattern(rest[1:]), negated=negated)
    if rest[:1] in (">", "<"):
        return Term(kind="more" if rest[0] == ">" else "less", value=_figure(rest[1:]), negated=negated)
    name, colon, value = rest.partition(":")
    if colon and re.fullmatch(r"[a-z][a-z_]*", name):
        if not value:
            raise Unclear(f"{name}: has no value")
        return Term(kind="field", field=name, value=value, negated=negated)
    return Term(kind="word", value=rest, negated=negated)


def _pattern(text: str) -> str:
    if len(text) > LONGEST_PATTERN:
        raise Unclear(f"a pattern has at most {LONGEST_PATTERN} characters")
    try:
        re.compile(text)
    except re.error as error:
        raise Unclear(f"~{text}: {error}") from None
    return text


def _figure(text: str) -> str:
    try:
        figure = Decimal(text)
    except InvalidOperation:
        figure = Decimal("NaN")
    if not figure.is_finite():
        raise Unclear("> and < take an amount in whole units: >100 or <12.50")
    return str(figure)


def _matches(term: Term, row: Mapping[str, Any]) -> bool:
    match term.kind:
        case "field":
            return _field(row.get(term.field), term.value)
        case "word":
            return term.value.casefold() in _text(row).casefold()
        case "pattern":
            return re.search(term.value, _text(row)[:2_000], re.IGNORECASE) is not None
        case _:
            amount = _amount(row)
            wanted = Decimal(term.value)
            return amount is not None and (amount > wanted if term.kind == "more" else amount < wanted)


def _field(found: object, wanted: str) -> bool:
    if isinstance(found, bool):
        return wanted.casefold() in (("true", "yes") if found else ("false", "no"))
    return found is not None and any(str(found).casefold() == one.casefold() for one in wanted.split(","))


def _text(row: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in row.values() if isinstance(value, str | int))


def _amount(row: Mapping[str, Any]) -> Decimal | None:
    amount: Any = row.get("amount")
    currency: Any = row.get("currency")
    if isinstance(amount, dict):
        amount, currency = amount.get("amount"), amount.get("currency")
    if not isinstance(amount, int) or isinstance(amount, bool):
        return None
    return Decimal(amount).scaleb(-EXPONENTS.get(str(currency), 2))
