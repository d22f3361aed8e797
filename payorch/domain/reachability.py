"""Which rules no payment can ever reach, because earlier ones take everything that they would.

A rule is a box: for each thing that conditions speak of (currency, country, amount, ...) the set of values that it takes. What is left of a
later rule's box after all earlier boxes were cut out of it is what can reach it. The answer errs to one side only: a rule that is reported
is surely unreachable; one that is shadowed in ways too tangled to follow is not.

Pure, and run where rules are checked, never for a payment. Not here: which rule decides (`rules`), telling people (the settings).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeAlias

from msgspec import Struct

from payorch.domain.rules import RuleBook, When, minutes_of_week

_MOST_PIECES: Final = 2_000
"""A rule that earlier ones have cut into more pieces than this is taken for reachable."""
_FOR_EVER: Final = 1 << 62
_WEEK: Final[frozenset[object]] = frozenset(range(7 * 1440))


class Unreachable(Struct, frozen=True, kw_only=True):
    """The rule of that place can never decide: those at the places `by`, all earlier, take whatever it would. None of them: it
    contradicts itself.
    """

    place: int
    by: tuple[int, ...]


class _Values(Struct, frozen=True):
    """A set of words: those named, or all but those named."""

    named: frozenset[object]
    all_but: bool = False

    def without(self, other: _Values) -> Iterator[_Values]:
        left = self.both(_Values(other.named, not other.all_but))
        if left.named or left.all_but:
            yield left

    def both(self, other: _Values) -> _Values:
        if self.all_but and other.all_but:
            return _Values(self.named | other.named, True)
        if self.all_but:
            return _Values(other.named - self.named)
        return _Values(self.named - other.named if other.all_but else self.named & other.named)

    def empty(self) -> bool:
        return not self.named and not self.all_but


class _Span(Struct, frozen=True):
    """Whole numbers from the first to the last."""

    first: int = 0
    last: int = _FOR_EVER

    def without(self, other: _Span) -> Iterator[_Span]:
        for part in (_Span(self.first, min(self.last, other.first - 1)), _Span(max(self.first, other.last + 1), self.last)):
            if not part.empty():
                yield part

    def both(self, other: _Span) -> _Span:
        return _Span(max(self.first, other.first), min(self.last, other.last))

    def empty(self) -> bool:
        return self.first > self.last


_Set: TypeAlias = _Values | _Span
_Box: TypeAlias = Mapping[str, _Set]
"""What conditions speak of -> the values. What is missing takes all."""


def unreachable(book: RuleBook) -> tuple[Unreachable, ...]:
    """The rules of the book that can never decide, in their order."""
    boxes = [_box(rule.when, book) for rule in book.rules]
    found = []
    for place, box in enumerate(boxes):
        takers = _takers(box, boxes[:place])
        if takers is not None:
            found.append(Unreachable(place=place, by=takers))
    return tuple(found)


def _takers(box: _Box, earlier: Sequence[_Box]) -> tuple[int, ...] | None:
    """Who takes all of it; None where something is left."""
    left, takers = ([] if any(one.empty() for one in box.values()) else [box]), []
    for place, other in enumerate(earlier):
        if not left:
            break
        rest = [piece for one in left for piece in _cut(one, other)]
        if len(rest) > _MOST_PIECES:
            return None
        if rest != left:
            takers.append(place)
        left = rest
    return None if left else tuple(takers)


def _cut(box: _Box, other: _Box) -> Iterator[_Box]:
    """What is left of the box outside of the other, in pieces that do not overlap."""
    common = dict(box)
    pieces: list[_Box] = []
    for name, taken in other.items():
        mine = common.get(name) or _all_of(name)
        shared = _both(mine, taken)
        if shared.empty():
            yield box  # they do not touch
            return
        pieces += [{**common, name: part} for part in _without(mine, taken)]
        common[name] = shared
    yield from pieces


def _all_of(name: str) -> _Set:
    if name == "amount":
        return _Span()
    return _Values(_WEEK) if name.startswith("hours.") else _Values(frozenset(), True)


def _both(mine: _Set, other: _Set) -> _Set:
    if isinstance(mine, _Span) and isinstance(other, _Span):
        return mine.both(other)
    assert isinstance(mine, _Values), "one thing is either counted or named"
    assert isinstance(other, _Values), "one thing is either counted or named"
    return mine.both(other)


def _without(mine: _Set, other: _Set) -> Iterator[_Set]:
    if isinstance(mine, _Span) and isinstance(other, _Span):
        return mine.without(other)
    assert isinstance(mine, _Values), "one thing is either counted or named"
    assert isinstance(other, _Values), "one thing is either counted or named"
    return mine.without(other)


def _box(when: When, book: RuleBook) -> _Box:
    box: dict[str, _Set] = {}
    if when.currencies:
        box["currency"] = _Values(frozenset(when.currencies))
    if when.amount is not None:
        # An amount is in one currency, so amounts of two currencies never meet although they share a scale here.
        only = _Values(frozenset({when.amount.currency}))
        box["currency"] = only.both(_Values(frozenset(when.currencies))) if when.currencies else only
        most = _FOR_EVER if when.amount.at_most is None else when.amount.at_most
        box["amount"] = _Span(when.amount.at_least, most)
    countries = book.countries(when)
    if countries is not None:
        box["country"] = _Values(frozenset(countries))
    for name, values in (("method", when.methods), ("brand", tuple(map(str.lower, when.brands))), ("merchant", when.merchants)):
        if values:
            box[name] = _Values(frozenset(values))
    for key, words in when.metadata.items():
        box[f"metadata.{key}"] = _Values(frozenset(words))
    if when.hours is not None:
        # Each zone by itself: that two zones' clocks hang together is not followed.
        box[f"hours.{when.hours.zone}"] = _Values(frozenset(minutes_of_week(when.hours)))
    return box
