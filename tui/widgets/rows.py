"""The rows of a list, without a screen: which are shown and in what order, where the cursor is, which are marked, what is held back.

The cursor stays on its row *by key* when rows come and go. Nothing is sorted again under it: where new rows came into a sorted list,
`order_changed` says so.

Not here: painting (`tui.widgets.vlist`), and pages (whoever fetches them).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from tui import paint
from tui.paint import Line

Row = Mapping[str, Any]
GAP: Final = 1
"""Cells between two columns."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. cells: its width. draw: the cell of a row. grow: takes what is left over. least: only where the list is that wide.
    sort: the order by this column, where it has one."""

    key: str
    title: str
    cells: int
    draw: Callable[[Row], Line]
    align: Literal["left", "right"] = "left"
    grow: bool = False
    least: int = 0
    sort: Callable[[Row], Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A page: its rows, where the next begins, and how many there are (`exact` or at least)."""

    rows: Sequence[Row]
    next_cursor: str | None = None
    total: int | None = None
    exact: bool = True

    @staticmethod
    def of(data: Mapping[str, Any]) -> Part:
        """Of a list of the API."""
        total, rows = data.get("total"), data.get("data")
        return Part(
            rows=[row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else (),
            next_cursor=data.get("next_cursor"),
            total=total if isinstance(total, int) else None,
            exact=bool(data.get("total_is_exact", True)),
        )


Fetch = Callable[[str | None], Awaitable[Part]]


def widths(columns: Sequence[Column], room: int, *, wide: bool = False) -> list[tuple[Column, int]]:
    """The columns that fit into `room` cells, and how wide each is; those that grow share the rest."""
    if wide:
        return [(column, column.cells) for column in columns]
    chosen = [column for column in columns if column.least <= room]
    spare = room - sum(column.cells for column in chosen) - GAP * len(chosen)
    growing = sum(column.grow for column in chosen)
    return [(column, max(4, column.cells + spare // growing) if column.grow else column.cells) for column in chosen]


class Rows:
    """See the module. `key`: what tells a row from another. `problem`: whether something is wrong with it."""

    def __init__(self, key: Callable[[Row], str], problem: Callable[[Row], bool] | None) -> None:
        self.key: Final = key
        self.problem: Final = problem
        self.shown: list[Row] = []
        self.marks: set[str] = set()
        self.cursor = 0
        self.part = Part(rows=())
        self.frozen = False
        self.faults_only = False
        self.sorted_by: str | None = None
        self.order_changed = False
        self._all: list[Row] = []
        self._held: list[Row] | None = None
        self._test: Callable[[Row], bool] | None = None
        self._anchor: int | None = None
        self._index: dict[bool, tuple[list[Row], dict[str, int]]] = {}

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self.shown[self.cursor] if 0 <= self.cursor < len(self.shown) else None

    @property
    def loaded(self) -> Sequence[Row]:
        """Everything that came, shown or not."""
        return self._all

    @property
    def marked(self) -> list[Row]:
        """The rows that are marked, in their order."""
        return [row for row in self.shown if self.key(row) in self.marks]

    def take(self, rows: Sequence[Row], part: Part | None = None) -> bool:
        """These rows instead of those; False where they wait because the list is frozen."""
        if self.frozen:
            self._held = list(rows)
            return False
        if part is not None:
            self.part = part
        self.order_changed = self.sorted_by is not None and len(rows) != len(self._all)
        self._all = list(rows)
        self.arrange()
        return True

    def add(self, rows: Sequence[Row], part: Part) -> None:
        """A further page below what there is, at the same cost however long the list is. Rows that are there already stay as they are."""
        known = self._places(self._all)
        more = [row for row in rows if self.key(row) not in known]
        self.part = part
        if self.frozen:
            self._held = [*(self._all if self._held is None else self._held), *more]
            return
        self._extend(self._all, more)
        self._extend(self.shown, [row for row in more if self._is_shown(row)])
        self.order_changed = self.order_changed or (self.sorted_by is not None and bool(more))

    def _extend(self, rows: list[Row], more: Sequence[Row]) -> None:
        places = self._places(rows)
        for row in more:
            places[self.key(row)] = len(rows)
            rows.append(row)

    def patch(self, changed: Mapping[str, Row]) -> None:
        """New contents of rows by their keys; nothing moves."""
        for rows, places in ((self._all, self._places(self._all)), (self.shown, self._places(self.shown))):
            for key, row in changed.items():
                at = places.get(key)
                if at is not None:
                    rows[at] = row

    def find(self, key: str) -> Row | None:
        """The row with that key, of those that are shown."""
        at = self._places(self.shown).get(key)
        return None if at is None else self.shown[at]

    def _places(self, rows: list[Row]) -> dict[str, int]:
        """Where each key is in that list. Made once for each order: a busy stream asks for a thousand keys a second of 50,000 rows."""
        which = rows is self.shown
        found = self._index.get(which)
        if found is None or found[0] is not rows:
            found = self._index[which] = (rows, {self.key(row): at for at, row in enumerate(rows)})
        return found[1]

    def keep(self, test: Callable[[Row], bool] | None) -> None:
        """Only rows for which `test` is true."""
        self._test = test
        self.arrange()

    def freeze(self) -> None:
        """Holds what comes from now on, or lets go what was held."""
        self.frozen = not self.frozen
        held, self._held = self._held, None
        if not self.frozen and held is not None:
            self.take(held)

    def sort(self, name: str, order: Callable[[Row], Any]) -> None:
        """Sorts what is loaded, once; the second time turned round."""
        turned = self.sorted_by == name and not self.order_changed
        self._all = sorted(self._all, key=lambda row: _rank(order(row)), reverse=turned)
        self.sorted_by, self.order_changed = (None if turned else name), False
        self.arrange()

    def mark_range(self) -> bool:
        """The first time begins a range at the cursor, the second marks it. True where it began."""
        if self._anchor is None:
            self._anchor = self.cursor
            return True
        first, last = sorted((self._anchor, self.cursor))
        self._anchor = None
        self.marks |= {self.key(row) for row in self.shown[first : last + 1]}
        return False

    def next_problem(self, step: Literal[1, -1]) -> int | None:
        """Where the next row with a problem is, in that direction."""
        order = range(self.cursor + 1, len(self.shown)) if step == 1 else range(self.cursor - 1, -1, -1)
        return next((at for at in order if self.problem is not None and self.problem(self.shown[at])), None)

    def arrange(self) -> None:
        """What is shown, of what there is; the cursor back on its row, or where that is gone on its neighbour."""
        kept = self.current
        self.shown = [row for row in self._all if self._is_shown(row)] if self._test is not None or self.faults_only else list(self._all)
        last = len(self.shown) - 1
        if kept is not None:
            wanted = self.key(kept)
            if not (self.cursor <= last and self.key(self.shown[self.cursor]) == wanted):
                self.cursor = next((at for at, row in enumerate(self.shown) if self.key(row) == wanted), self.cursor)
        self.cursor = max(0, min(self.cursor, last))

    def _is_shown(self, row: Row) -> bool:
        """Whether the filter of this console lets it through."""
        if self._test is not None and not self._test(row):
            return False
        return not self.faults_only or self.problem is None or self.problem(row)

    def counts(self) -> Line:
        """How many there are, and how many of them one sees: `200 of >10 000   3 marked   +14 held`."""
        part, loaded = self.part, len(self._all)
        words = [paint.count(len(self.shown))]
        if part.total is not None and (part.total > loaded or not part.exact):
            words.append(f"of {'' if part.exact else '>'}{paint.count(part.total)}")
        elif part.next_cursor:
            words.append("and more")
        elif len(self.shown) != loaded:
            words.append(f"of {paint.count(loaded)}")
        said = [paint.line((" ".join(words), "dim"))]
        if self.marks:
            said.append(paint.line((f"{len(self.marks)} marked", "key")))
        if self.faults_only:
            said.append(paint.line(("only problems", "warn")))
        if self.frozen:
            known = {self.key(row) for row in self._all}
            held = sum(self.key(row) not in known for row in self._held or ())
            said.append(paint.line((f"frozen +{paint.count(held)} held", "warn")))
        if self.order_changed:
            said.append(paint.line(("order changed, press s", "warn")))
        return paint.join(said, "   ")


def _rank(value: Any) -> tuple[bool, Any]:
    """Rows without a value come last, whatever the type of the others."""
    return (value is None, "" if value is None else value)
