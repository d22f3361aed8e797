"""Trying other rules of routing, as data: what can be tried, what the server is asked, and the comparison it answers with.

Nothing of it changes anything: the server makes past decisions again under rules that it forgets. Not here: asking for the rules and
sending them (`tui.what_if`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from tui import paint
from tui.paint import Line, Piece
from tui.views.table import Data, number, rows_of, said, table_of, whole, words_of

FILE: Final = "a rules file"
NOBODY: Final = "(none)"
"""What the server writes where nobody could take a payment."""
POINTS: Final = 100
"""In a percent: the server reckons expected approvals in points."""
LARGEST_RULES: Final = 60_000
"""Characters: what the server takes of a rules file."""


def without(name: str) -> str:
    return f"without {name}"


def choices(connectors: Sequence[str]) -> list[dict[str, Any]]:
    """What can be tried: without one of the connectors, or a file."""
    only = "it is the only connector" if len(connectors) < 2 else None
    rows = [{"key": without(name), "about": "it stands in no default order any more", "why_not": only} for name in connectors]
    return [*rows, {"key": FILE, "about": "written as config/routing.toml; what is left out is as shipped", "why_not": None}]


def changes_without(name: str, book: Data) -> dict[str, Any] | None:
    """The wish to have that connector out of the default order; None where nobody else is in it."""
    others = [one for one in words_of(book, "default") if one != name]
    return {"changes": {"default": others}} if others else None


def naming(name: str, book: Data) -> list[str]:
    """Rules that name that connector themselves: leaving it out of the default order does not touch them."""
    return [said(rule, "name") for rule in rows_of(book, "rules") if name in words_of(rule, "prefer") or name in table_of(rule, "split")]


# --- the comparison --------------------------------------------------------------------------------------------------------------------


def comparison(found: Data, tried: str, rules: Sequence[str] = ()) -> list[Line]:
    """What past payments would have done. tried: what it was. rules: those that name the connector all the same."""
    total = whole(found, "payments") or 0
    span = f"{paint.moment(found.get('from'), day=True)[:16]}Z to {paint.moment(found.get('to'), day=True)[:16]}Z"
    lines = [paint.line(("tried ", "dim"), Piece(tried, "strong", 200), (f"   decisions of {span}; nothing is changed by this", "dim"))]
    if rules:
        names = ", ".join(rules)
        lines.append(paint.line((f"these rules name it themselves and stay as they are: {names}. A rules file can change them.", "warn")))
    lines.append(paint.EMPTY)
    if not total:
        return [*lines, *_nothing(found)]
    lines += [paint.line((f"{'':<34}{'as it was':>22}{'then':>22}", "key")), *_shares(found, total), *_expected(found), paint.EMPTY]
    return [*lines, *_sums(found, total), *_examples(found)]


def _nothing(found: Data) -> list[Line]:
    old = whole(found, "not_replayable") or 0
    why = f"{paint.count(old)} do not say what they were made from" if old else "there were none"
    return [paint.line(("No decision of that time can be made again: ", "warn"), why)]


def _row(name: str, before: str, after: str, *, differs: bool) -> Line:
    cut = paint.fit(paint.line(Piece(name, "", 80)), 34)
    return (*cut, Piece(before.rjust(22), "dim"), Piece(after.rjust(22), "strong" if differs else "dim"))


def _shares(found: Data, total: int) -> list[Line]:
    before, after = table_of(found, "before", "first"), table_of(found, "after", "first")
    names = sorted({*before, *after}, key=lambda name: (name == NOBODY, str(name)))
    rows = []
    for name in names:
        was, is_now = whole(before, name) or 0, whole(after, name) or 0
        label = "nobody could take it" if name == NOBODY else f"first at {name}"
        rows.append(_row(label, _share(was, total), _share(is_now, total), differs=was != is_now))
    return rows


def _share(count: int, total: int) -> str:
    return f"{paint.count(count)}  {paint.percent(100 * count / total)}"


def _expected(found: Data) -> list[Line]:
    """Expected approvals and fees of both sides."""
    was, is_now = (number(found, side, "success") for side in ("before", "after"))
    rows = [_row("expected approvals", _points(was), _points(is_now), differs=was != is_now)]
    before, after = table_of(found, "before", "fees_minor"), table_of(found, "after", "fees_minor")
    for currency in sorted({*before, *after}):
        old, new = whole(before, currency), whole(after, currency)
        rows.append(_row(f"expected fees, {currency}", paint.money(old, currency), paint.money(new, currency), differs=old != new))
    unknown = [whole(found, side, "without_fee") or 0 for side in ("before", "after")]
    if any(unknown):
        rows.append(_row("payments without a known fee", *(paint.count(one) for one in unknown), differs=unknown[0] != unknown[1]))
    return rows


def _points(value: float | None) -> str:
    return paint.glyph("none") if value is None else paint.percent(value / POINTS, 2)


def _sums(found: Data, total: int) -> list[Line]:
    changed, reordered = whole(found, "changed"), whole(found, "reordered")
    lines = [
        paint.line((paint.count(changed), "strong"), f" of {paint.count(total)} payments would begin at somebody else")
        + paint.line((f"; {paint.count(reordered)} more differ behind the first", "dim"))
    ]
    if old := whole(found, "not_replayable"):
        lines.append(paint.line((f"{paint.count(old)} more do not say what they were made from", "dim")))
    if differing := whole(found, "differing"):
        same = paint.count(whole(found, "same_rules"))
        lines.append(paint.line((f"{paint.count(differing)} of {same} decided under these very rules come out differently now", "warn")))
    return lines


def _examples(found: Data) -> list[Line]:
    rows = rows_of(found, "examples")
    if not rows:
        return []
    lines = [paint.EMPTY, paint.line(("for example", "key"))]
    for one in rows[:10]:
        moved = f"  {said(one, 'before')} {paint.glyph('arrow')} {said(one, 'after')}"
        lines.append(paint.line((paint.middle(said(one, "payment"), 32), "accent"), Piece(moved, "", 120)))
    return lines
