"""A table as data: its columns, and rows whose cells are painted lines, each with what the pane beside it says about it.

Also how an answer is read without trusting its shape: a member that is missing, or is something else than the contract says, is nothing.
Not here: showing a table (`tui.widgets.vlist`), what tables there are (the other modules of `tui.views`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from rich.cells import cell_len

from tui import paint
from tui.paint import Line, Piece, Tone

Data = Mapping[str, Any]
DETAIL_LINES: Final = 400
"""Of one raw body in the pane beside the table. Whoever needs more exports it."""
LABEL_CELLS: Final = 12
GROWING_CELLS: Final = 24
"""Of the column that takes what the others leave, at least: a sentence can be recognised in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column. cells: 0 takes what the others leave. wide: only where there is room for it, or when somebody asks for wide columns."""

    name: str
    cells: int = 0
    align: Literal["left", "right"] = "left"
    wide: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row: `cells` for the columns, or one line across all of them where `across`. `copies`: what can be copied of it, by name.

    detail: what is known of it; `later` makes it where it is asked for, because a life of thousands of events has thousands of them.
    """

    key: str
    cells: tuple[Line, ...]
    across: bool = False
    problem: bool = False
    detail: tuple[Line, ...] = ()
    copies: tuple[tuple[str, str], ...] = ()
    later: Callable[[], tuple[Line, ...]] | None = field(default=None, compare=False)

    @property
    def beside(self) -> tuple[Line, ...]:
        """What the pane beside the table says about it."""
        return self.detail if self.later is None else self.later()


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table as it is to be shown. empty: what stands there where it has no rows, and why."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    empty: Line


def comfortable(columns: Iterable[Column]) -> int:
    """Cells that a table with these columns needs to be read: its wide ones may be missing, and the growing one has some room."""
    return sum((one.cells or GROWING_CELLS) + 1 for one in columns if not one.wide)


# --- reading -----------------------------------------------------------------------------------------------------------------------------


def member(data: Any, *path: str) -> Any:
    """What stands there, or None."""
    for name in path:
        data = data.get(name) if isinstance(data, Mapping) else None
    return data


def table_of(data: Any, *path: str) -> Data:
    """The table that stands there, or an empty one."""
    found = member(data, *path)
    return found if isinstance(found, Mapping) else {}


def rows_of(data: Any, *path: str) -> list[Data]:
    """The tables in the list that stands there."""
    found = member(data, *path)
    return [one for one in found if isinstance(one, Mapping)] if isinstance(found, list) else []


def words_of(data: Any, *path: str) -> list[str]:
    """The list that stands there as texts."""
    found = member(data, *path)
    return [str(one) for one in found] if isinstance(found, list) else []


def whole(data: Any, *path: str) -> int | None:
    """The whole number that stands there."""
    found = member(data, *path)
    return found if type(found) is int else None


def number(data: Any, *path: str) -> float | None:
    """The number that stands there, whole or not; what is further from zero than a measurement can be is none."""
    found = member(data, *path)
    return float(found) if isinstance(found, int | float) and not isinstance(found, bool) and -1e15 < found < 1e15 else None


def said(data: Any, *path: str) -> str:
    """What stands there as text, empty where there is nothing."""
    found = member(data, *path)
    return "" if found is None else str(found)


# --- making ------------------------------------------------------------------------------------------------------------------------------


def cell(text: object, tone: Tone = "", longest: int = 400) -> Line:
    """A cell of one piece; a dash where there is nothing to say."""
    return paint.line((paint.glyph("none"), "dim")) if text is None or text == "" else (Piece(text, tone, longest),)


def section(key: str, title: str, note: str = "") -> Row:
    """A row that names what follows."""
    return Row(key=key, cells=(paint.line((title, "strong"), (f"  {note}" if note else "", "dim")),), across=True)


def remark(key: str, text: str, tone: Tone = "dim") -> Row:
    """A row that says something across all columns."""
    return Row(key=key, cells=(paint.line((text, tone)),), across=True)


def labelled(name: str, text: object, tone: Tone = "") -> Line:
    """One line of the pane: a label, and what it is."""
    return (Piece(name.ljust(LABEL_CELLS), "dim"), *cell(text, tone, paint.LONGEST))


def fields(data: Data, names: Iterable[tuple[str, str]]) -> list[Line]:
    """Those members of the table that say something, each behind its label."""
    return [labelled(label, data[name]) for label, name in names if data.get(name) not in (None, "", [], {})]


def heading(text: object, tone: Tone = "strong") -> Line:
    """A line of the pane that names what follows."""
    return (Piece(text, tone, 200),)


def body(data: Any, most: int = DETAIL_LINES) -> list[Line]:
    """A raw value as lines: JSON indented, a text with its own line breaks."""
    text = data if isinstance(data, str) else json.dumps(data, indent=1, ensure_ascii=False, default=str)
    return list(paint.paragraphs(text, most=most))


def raw(name: str, data: Any) -> list[Line]:
    """A raw value of the pane under its name; nothing where there is none."""
    return [] if data in (None, "", {}, []) else [paint.EMPTY, heading(name), *body(data)]


def wrapped(pieces: Line, cells: int, most: int) -> list[Line]:
    """The line in lines of at most so many cells, broken at spaces where that can be; at most `most`, the last one cut with a sign."""
    lines: list[list[Piece]] = [[]]
    room = cells
    for piece in pieces:
        for word in _words(piece.text, cells):
            size = cell_len(word)
            if size > room and lines[-1]:
                lines.append([])
                room, word = cells, word.lstrip(" ")
                size = cell_len(word)
            if word:
                lines[-1].append(Piece(word, piece.tone))
                room -= size
    merged = [_merged(one) for one in lines if one]
    if len(merged) <= most:
        return merged
    last = (*merged[most - 1], Piece(f" {paint.glyph('ellipsis')}", "dim"))
    return [*merged[: most - 1], paint.fit(last, cells)]


def hung(lines: Iterable[Line], cells: int, most: int = 40) -> list[Line]:
    """Lines of a pane in lines of at most so many cells; what follows a label hangs below itself, not below the label."""
    found: list[Line] = []
    for one in lines:
        if one and one[0].tone == "dim" and one[0].cells == LABEL_CELLS and len(one) > 1 and cells > 2 * LABEL_CELLS:
            value = wrapped(one[1:], cells - LABEL_CELLS, most) or [paint.EMPTY]
            found += [(one[0] if not place else Piece(" " * LABEL_CELLS), *part) for place, part in enumerate(value)]
        else:
            found += wrapped(one, max(4, cells), most) or [paint.EMPTY]
    return found


def _words(text: str, cells: int) -> Iterable[str]:
    """Words with the space before them; one that is wider than a line in parts."""
    most = max(2, cells)
    current, size = "", 0
    for character in text:
        taken = cell_len(character)
        if (character == " " and current.strip(" ")) or size + taken > most:
            yield current
            current, size = "", 0
        current, size = current + character, size + taken
    if current:
        yield current


def _merged(pieces: Sequence[Piece]) -> Line:
    result: list[Piece] = []
    for piece in pieces:
        if result and result[-1].tone == piece.tone:
            result[-1] = Piece(result[-1].text + piece.text, piece.tone)
        else:
            result.append(piece)
    return tuple(result)
