"""A list of any length that paints only the rows one sees: 50,000 are shown as fast as fifty.

Rows are whatever the screen has (usually the API's JSON object); columns know how to draw one. The cursor stays on its row *by key* when
rows come and go. Pages come on demand through an async callback. The counts are honest: "200 of >10 000", "+14 held".

    VList(columns=(Column("state", "state", 14, lambda row: paint.state(row["state"])), ...), key=lambda row: row["id"])
    vlist.show(rows)                  # all rows at once, or
    await vlist.feed(fetch)           # `fetch(cursor) -> Part`, asked again while one scrolls down

`across` gives a row that is one line over all columns (a heading, a remark), or None.

It posts `VList.Opened` (enter, double click), `VList.Moved` and `VList.Failed` (a page that could not be had).

Not here: filters that the server understands (the screen asks with them), and text (`tui.paint`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Literal

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.color import Color
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui import keys, paint
from tui.api import Problem
from tui.paint import Line, Tone

Row = Mapping[str, Any]
AHEAD: Final = 50
"""Rows before the end of what is loaded at which the next page is asked for."""
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
        total = data.get("total")
        return Part(
            rows=data.get("data") or (),
            next_cursor=data.get("next_cursor"),
            total=total if isinstance(total, int) else None,
            exact=bool(data.get("total_is_exact", True)),
        )


Fetch = Callable[[str | None], Awaitable[Part]]


class VList(ScrollView, can_focus=True):
    """See the module."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("list")
    COMPONENT_CLASSES: ClassVar[set[str]] = {"vlist--cursor", "vlist--header", "vlist--marked"}
    DEFAULT_CSS = """
    VList { height: 1fr; background: $surface; overflow-x: hidden; scrollbar-size-vertical: 1; }
    VList > .vlist--cursor { background: $panel; }
    VList:focus > .vlist--cursor { background: $cursor-background; }
    VList > .vlist--header { text-style: bold; }
    VList > .vlist--marked { background: $marked-background; }
    """

    class Opened(Message):
        """Somebody wants to see that row."""

        def __init__(self, vlist: VList, row: Row) -> None:
            super().__init__()
            self.vlist: Final = vlist
            self.row: Final = row

        @property
        def control(self) -> VList:
            return self.vlist

    class Moved(Message):
        """The cursor is on another row, or on none."""

        def __init__(self, vlist: VList, row: Row | None) -> None:
            super().__init__()
            self.vlist: Final = vlist
            self.row: Final = row

        @property
        def control(self) -> VList:
            return self.vlist

        def can_replace(self, message: Message) -> bool:
            return isinstance(message, VList.Moved)

    class Failed(Message):
        """A page could not be had; what was there stays."""

        def __init__(self, vlist: VList, problem: Problem) -> None:
            super().__init__()
            self.vlist: Final = vlist
            self.problem: Final = problem

    def __init__(
        self,
        columns: Sequence[Column],
        *,
        key: Callable[[Row], str],
        problem: Callable[[Row], bool] | None = None,
        across: Callable[[Row], Line | None] | None = None,
        empty: Line = paint.EMPTY,
        header: bool = True,
        id: str | None = None,
    ) -> None:
        super().__init__(id=id)
        self.columns: Final = tuple(columns)
        self.empty = empty
        self.marks: set[str] = set()
        self.cursor = 0
        self.frozen = False
        self.dimmed = False
        self.faults_only = False
        self.wide = False
        self._key: Final = key
        self._problem: Final = problem
        self._across: Final = across
        self._head: Final = 1 if header else 0
        self._all: list[Row] = []
        self._rows: list[Row] = []
        self._held: list[Row] | None = None
        self._keep: Callable[[Row], bool] | None = None
        self._fetch: Fetch | None = None
        self._part = Part(rows=())
        self._fetching = False
        self._anchor: int | None = None
        self._sorted: str | None = None
        self._resort = False
        self._styles: dict[Tone, Style] = {}

    # --- rows -------------------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown, in its order."""
        return self._rows

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows[self.cursor] if 0 <= self.cursor < len(self._rows) else None

    @property
    def marked(self) -> list[Row]:
        """The rows that are marked, in their order."""
        return [row for row in self._rows if self._key(row) in self.marks]

    def show(self, rows: Sequence[Row], *, part: Part | None = None) -> None:
        """These rows instead of those. While frozen they wait; the cursor stays on its row by key."""
        if self.frozen:
            self._held = list(rows)
            self.refresh()
            return
        if part is not None:
            self._part = part
        self._resort = self._sorted is not None and len(rows) != len(self._all)
        self._all = list(rows)
        self._arrange()

    def patch(self, changed: Mapping[str, Row]) -> None:
        """New contents of rows by their keys; nothing moves."""
        if not changed:
            return
        self._all = [changed.get(self._key(row), row) for row in self._all]
        self._rows = [changed.get(self._key(row), row) for row in self._rows]
        self.refresh()

    def keep(self, test: Callable[[Row], bool] | None) -> None:
        """Shows only rows for which `test` is true (the part of a filter that the server does not know)."""
        self._keep = test
        self._arrange()

    async def feed(self, fetch: Fetch) -> None:
        """Shows what `fetch` gives from its first page on. Raises Problem where even that cannot be had."""
        self._fetch = fetch
        self._fetching = True
        try:
            part = await fetch(None)
        finally:
            self._fetching = False
        self.show(list(part.rows), part=part)

    def counts(self) -> Line:
        """How many there are, and how many of them one sees: `200 of >10 000   3 marked   +14 held`."""
        part, loaded = self._part, len(self._all)
        words = [paint.count(len(self._rows))]
        if part.total is not None and (part.total > loaded or not part.exact):
            words.append(f"of {'' if part.exact else '>'}{paint.count(part.total)}")
        elif part.next_cursor:
            words.append("and more")
        elif len(self._rows) != loaded:
            words.append(f"of {paint.count(loaded)}")
        said = [paint.line((" ".join(words), "dim"))]
        if self.marks:
            said.append(paint.line((f"{len(self.marks)} marked", "key")))
        if self.frozen:
            held = max(0, len(self._held or ()) - len(self._all))
            said.append(paint.line((f"frozen +{paint.count(held)} held", "warn")))
        if self._resort:
            said.append(paint.line(("order changed, press s", "warn")))
        return paint.join(said, "   ")

    def _arrange(self) -> None:
        kept = self.current
        wanted = None if kept is None else self._key(kept)
        rows = self._all
        if self._keep is not None:
            rows = [row for row in rows if self._keep(row)]
        if self.faults_only and self._problem is not None:
            rows = [row for row in rows if self._problem(row)]
        self._rows = rows if rows is not self._all else list(rows)
        self._place(wanted)
        self.virtual_size = Size(self._total_width(), len(self._rows) + self._head)
        self.refresh()
        if kept is not self.current:
            self.post_message(self.Moved(self, self.current))

    def _place(self, wanted: str | None) -> None:
        """The cursor back on its row, wherever that is now; where it is gone, on its neighbour."""
        last = len(self._rows) - 1
        if wanted is not None and not (self.cursor <= last and self._key(self._rows[self.cursor]) == wanted):
            self.cursor = next((at for at, row in enumerate(self._rows) if self._key(row) == wanted), self.cursor)
        self.cursor = max(0, min(self.cursor, last))

    # --- painting ---------------------------------------------------------------------------------------------------------------

    def layout_columns(self) -> list[tuple[Column, int]]:
        """The columns that fit, and how wide each is; the one that grows takes the rest."""
        room = self.scrollable_content_region.width or self.size.width
        chosen = [column for column in self.columns if self.wide or column.least <= room]
        if self.wide:
            return [(column, column.cells) for column in chosen]
        spare = room - sum(column.cells for column in chosen) - GAP * len(chosen)
        growing = sum(column.grow for column in chosen)
        widths = []
        for column in chosen:
            extra = spare // growing if column.grow and growing else 0
            widths.append((column, max(4 if column.grow else column.cells, column.cells + extra)))
        return widths

    def _total_width(self) -> int:
        return sum(cells + GAP for _, cells in self.layout_columns()) if self.wide else max(1, self.scrollable_content_region.width)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if self._head and y == 0:
            return self._strip(self._header(), self.get_component_rich_style("vlist--header"), width)
        at = y - self._head + self.scroll_offset.y
        if not self._rows and y == self._head and self.empty:
            return self._strip(paint.fit(self.empty, max(width, 1)), self.rich_style, width)
        if not 0 <= at < len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[at]
        base = self.rich_style
        if self._key(row) in self.marks:
            base = self.get_component_rich_style("vlist--marked")
        if at == self.cursor:
            base = self.get_component_rich_style("vlist--cursor")
        if self.dimmed:
            base += Style(dim=True)
        return self._strip(self._cells(row), base, width)

    def _header(self) -> Line:
        cells: list[paint.Piece] = []
        for column, room in self.layout_columns():
            sign = paint.glyph("down") if column.key == self._sorted else ""
            cells.extend(paint.fit(paint.line((column.title + sign, "strong")), room, column.align))
            cells.append(paint.Piece(" " * GAP))
        return tuple(cells)

    def _cells(self, row: Row) -> Line:
        across = self._across(row) if self._across is not None else None
        if across is not None:
            return paint.fit(across, max(1, self._total_width()))
        cells: list[paint.Piece] = []
        for column, room in self.layout_columns():
            cells.extend(paint.fit(column.draw(row), room, column.align))
            cells.append(paint.Piece(" " * GAP))
        return tuple(cells)

    def _strip(self, pieces: Line, base: Style, width: int) -> Strip:
        segments = [Segment(piece.text, base + self._style(piece.tone) if piece.tone else base) for piece in pieces]
        strip = Strip(segments)
        left = self.scroll_offset.x
        return strip.crop_extend(left, left + width, base)

    def _style(self, tone: Tone) -> Style:
        style = self._styles.get(tone)
        if style is None:
            said = paint.STYLES.get(tone, "")
            bold = "bold" in said
            name = next((word[1:] for word in said.split() if word.startswith("$")), None)
            colour = Color.parse(self.app.theme_variables[name]).rich_color if name else None
            style = self._styles[tone] = Style(color=colour, bold=bold or None)
        return style

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def on_resize(self) -> None:
        self.virtual_size = Size(self._total_width(), len(self._rows) + self._head)
        self._into_sight()

    # --- moving -----------------------------------------------------------------------------------------------------------------

    def move(self, to: int) -> None:
        """The cursor to that row, into sight, and the next page where its end is near."""
        before, self.cursor = self.cursor, max(0, min(to, len(self._rows) - 1))
        if before != self.cursor:
            self.refresh()
            self.post_message(self.Moved(self, self.current))
        self._into_sight()
        self._more()

    def _into_sight(self) -> None:
        room = max(1, self.size.height - self._head)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False)
        elif self.cursor >= top + room:
            self.scroll_to(y=self.cursor - room + 1, animate=False)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._more()

    def _more(self) -> None:
        bottom = max(self.cursor, self.scroll_offset.y + self.size.height)
        if self._fetch is not None and self._part.next_cursor and not self._fetching and bottom >= len(self._rows) - AHEAD:
            self._fetching = True
            self.run_worker(self._next_page(self._fetch, self._part.next_cursor), group="pages", exit_on_error=True)

    async def _next_page(self, fetch: Fetch, cursor: str) -> None:
        try:
            part = await fetch(cursor)
        except Problem as problem:
            self.post_message(self.Failed(self, problem))
            return
        finally:
            self._fetching = False
        if self._fetch is fetch and self._part.next_cursor == cursor:
            total, exact = (part.total, part.exact) if part.total is not None else (self._part.total, self._part.exact)
            known = {self._key(row) for row in self._all}
            more = [row for row in part.rows if self._key(row) not in known]
            self.show([*self._all, *more], part=Part(rows=(), next_cursor=part.next_cursor, total=total, exact=exact))

    def action_down(self) -> None:
        self.move(self.cursor + 1)

    def action_up(self) -> None:
        self.move(self.cursor - 1)

    def action_first(self) -> None:
        self.move(0)

    def action_last(self) -> None:
        self.move(len(self._rows) - 1)

    def action_page_down(self) -> None:
        self.move(self.cursor + max(1, self.size.height // 2))

    def action_page_up(self) -> None:
        self.move(self.cursor - max(1, self.size.height // 2))

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def action_next_problem(self) -> None:
        self._to_problem(range(self.cursor + 1, len(self._rows)))

    def action_previous_problem(self) -> None:
        self._to_problem(range(self.cursor - 1, -1, -1))

    def _to_problem(self, order: range) -> None:
        found = next((at for at in order if self._problem is not None and self._problem(self._rows[at])), None)
        if found is None:
            paint.toast(self.app, paint.line("no more rows with a problem in that direction"))
        else:
            self.move(found)

    def action_freeze(self) -> None:
        self.frozen = not self.frozen
        if not self.frozen and self._held is not None:
            held, self._held = self._held, None
            self.show(held)
        self.refresh()
        self.post_message(self.Moved(self, self.current))

    def action_mark(self) -> None:
        if self.current is not None:
            self.marks ^= {self._key(self.current)}
            self.refresh()
            self.action_down()

    def action_range(self) -> None:
        if self._anchor is None:
            self._anchor = self.cursor
            paint.toast(self.app, paint.line("range begins here; v again ends it"))
            return
        first, last = sorted((self._anchor, self.cursor))
        self._anchor = None
        self.marks |= {self._key(row) for row in self._rows[first : last + 1]}
        self.refresh()

    def action_sort(self) -> None:
        """By the next column that has an order."""
        ordered = [column.key for column in self.columns if column.sort is not None]
        if ordered:
            again = self._resort and self._sorted in ordered
            at = -1 if self._sorted not in ordered else ordered.index(self._sorted)
            self.sort_by(self._sorted if again and self._sorted else ordered[(at + 1) % len(ordered)])

    def sort_by(self, name: str) -> None:
        """Sorts what is loaded by that column, once; a second time turns it round."""
        column = next((one for one in self.columns if one.key == name), None)
        if column is None or column.sort is None:
            return
        turned = self._sorted == name and not self._resort
        order = column.sort
        self._all = sorted(self._all, key=lambda row: _rank(order(row)), reverse=turned)
        self._sorted, self._resort = (None if turned else name), False
        self._arrange()

    def action_wide(self) -> None:
        self.wide = not self.wide
        self.styles.overflow_x = "auto" if self.wide else "hidden"
        self.scroll_to(x=0, animate=False)
        self.virtual_size = Size(self._total_width(), len(self._rows) + self._head)
        self.refresh()

    def action_faults(self) -> None:
        self.faults_only = not self.faults_only
        self._arrange()

    # --- mouse ------------------------------------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        if self._head and event.y == 0:
            self._click_header(event.x + self.scroll_offset.x)
            return
        at = event.y - self._head + self.scroll_offset.y
        if 0 <= at < len(self._rows):
            self.move(at)
            if event.chain >= 2:
                self.action_open()

    def _click_header(self, x: int) -> None:
        for column, cells in self.layout_columns():
            if x < cells + GAP:
                self.sort_by(column.key)
                return
            x -= cells + GAP

    def refresh_row(self, at: int) -> None:
        """Paints one row again, where one sees it."""
        self.refresh(Region(0, at - self.scroll_offset.y + self._head, self.size.width, 1))


def _rank(value: Any) -> tuple[bool, Any]:
    """Rows without a value come last, whatever the type of the others."""
    return (value is None, "" if value is None else value)
