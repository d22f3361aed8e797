"""The live list as data: what the stream says is happening, one line each, newest first; and what of it is shown.

Of payments only changes of state are shown unless somebody asks for every event: a payment has five events for each change. Whatever else
is told is a change by itself. Not here: the overview's other panes (`tui.views.overview`), keeping events (`tui.store`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from tui import paint
from tui.paint import Line, Piece
from tui.places import Place
from tui.store import GAP, position
from tui.views.table import Data, member, said
from tui.widgets.rows import Column

CHANGES: Final = "state changes"
EVERYTHING: Final = "everything"
KINDS: Final = ("payment", "connector", "routing", "dead_letter", "action", "reconciliation", "identity", "refusal", "endpoint", "audit")


def is_change(event: Data) -> bool:
    """Whether something is different since. A payment's other events are steps on the way."""
    return (
        said(event, "kind") not in ("payment", "routing") or bool(event.get("change")) or not said(event, "subject_id").startswith("pay_")
    )


def shown(events: Iterable[Data], choice: str) -> list[Data]:
    """Those that are chosen, newest first; a gap is never left out."""
    return [event for event in reversed(tuple(events)) if event.get("kind") == GAP or _chosen(event, choice)]


def _chosen(event: Data, choice: str) -> bool:
    if choice == EVERYTHING:
        return True
    return is_change(event) if choice == CHANGES else said(event, "kind") == choice


def choices(events: Iterable[Data]) -> list[dict[str, str]]:
    """What can be chosen, with how many of each are kept. Kinds that we do not know are there as well: they are an open set."""
    kept = [event for event in events if event.get("kind") != GAP]
    counts = Counter(said(event, "kind") for event in kept)
    names = dict.fromkeys((*KINDS, *sorted(counts)))
    changes = sum(is_change(event) for event in kept)
    first = [{"key": CHANGES, "count": paint.count(changes)}, {"key": EVERYTHING, "count": paint.count(len(kept))}]
    return [*first, *({"key": name, "count": paint.count(counts[name])} for name in names if name)]


def key(event: Data) -> str:
    """Its place in the journal; a gap's row stands at the position of what came after it."""
    return f"{'gap' if event.get('kind') == GAP else ''}{position(event)}"


def across(event: Data) -> Line | None:
    """A gap is one line over all columns."""
    if event.get("kind") != GAP:
        return None
    return paint.line((f"{paint.glyph('gap')} {paint.moment(event.get('at'))[:8]}  {said(event, 'text')}", "warn"))


def is_problem(event: Data) -> bool:
    """Whether `n` stops at it."""
    return said(event, "tone") in ("bad", "unknown")


def _sign(event: Data) -> Line:
    tone = paint.told(event.get("tone"))
    return paint.line((paint.glyph(tone), tone))


def _subject(event: Data) -> Line:
    return paint.line(paint.middle(said(event, "subject_id"), SUBJECT_CELLS))


def what(event: Data) -> Line:
    """authorizing → unknown  249.00 EUR and where; without a change of state the sentence."""
    change, text = said(event, "change"), said(event, "text")
    if not change:
        return paint.line(Piece(text, "", 400))
    before, _, after = (part.strip() for part in change.partition("->"))
    tone = paint.told(event.get("tone"))
    moved = paint.line((f"{before} " if before else "", ""), (f"{paint.glyph('arrow')} ", "dim"), (after, tone))
    about = _about(event)
    return moved + (paint.line("   ") + about if about else paint.line("   ", Piece(text, "dim", 400)))


def _about(event: Data) -> Line:
    """How much it is about and where, of a payment."""
    if not isinstance(event.get("payment"), dict):
        return paint.EMPTY
    held = "  held" if member(event, "payment", "held") is True else ""
    where = said(event, "payment", "connector")
    return paint.line(paint.amount(member(event, "payment", "amount")), (f" {where}" if where else "", "dim"), (held, "warn"))


def _who(event: Data) -> Line:
    return paint.line((said(event, "actor").removeprefix("operator:"), "dim"))


SUBJECT_CELLS: Final = 18
COLUMNS: Final = (
    Column("at", "time UTC", 12, lambda event: paint.line((paint.moment(event.get("at")), "dim"))),
    Column("kind", "kind", 14, lambda event: paint.line((said(event, "kind").replace("_", " "), "accent")), least=72),
    Column("sign", "", 2, _sign),
    Column("subject", "subject", SUBJECT_CELLS, _subject),
    Column("what", "change", 16, what, grow=True),
    Column("who", "who", 14, _who, least=96),
)


def nothing(choice: str, events: Sequence[Data]) -> Line:
    """Why the list is empty."""
    if not events:
        return paint.line(("No events yet: nothing has happened since this console connected.", "dim"))
    return paint.line(
        (f"None of the last {paint.count(len(events))} events is about this: ", "dim"), (choice, "key"), ("  f chooses", "dim")
    )


_DETAILS: Final = {"payment": "payment", "dead_letter": "dead_letter", "action": "action"}


def place_of(event: Data) -> Place | None:
    """Where its subject is seen; without a screen of its own, what the audit has about it."""
    kind, identity = said(event, "kind"), said(event, "subject_id")
    if event.get("kind") == GAP or not identity:
        return None
    if identity.startswith("pay_"):
        return Place("payment", identity)
    if kind == "connector":
        return Place("connector", said(event, "connector") or identity.partition("/")[0])
    if kind == "routing":
        return Place("routing")
    if kind == "reconciliation":
        return Place("reconciliation")
    if kind in _DETAILS and kind != "payment":
        return Place(_DETAILS[kind], identity)
    return Place("audit", None, f"subject:{identity}")
