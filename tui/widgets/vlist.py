"""A list of any length that paints only the rows one sees: 50,000 are shown as fast as fifty.

Rows are whatever the screen has (usually the API's JSON object); columns know how to draw one. Pages come on demand through an async
callback. The counts are honest: "200 of >10 000", "+14 held".

    VList(columns=(Column("state", "state", 14, lambda row: paint.state(row["state"])), ...), key=lambda row: row["id"])
    vlist.show(rows)                  # all rows at once, or
    await vlist.feed(fetch)           # `fetch(cursor) -> Part`, asked again while one scrolls down

`across` gives a row that is one line over all columns (a heading, a remark), or None.

It posts `VList.Opened` (enter, double click), `VList.Moved` and `VList.Failed` (a page that could not be had). A cell that cannot be drawn
from what the server sent is shown as such; the row and the console stay.

Not here: which rows are shown in what order (`tui.widgets.rows`), filters that the server understands, and text (`tui.paint`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Final

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
from tui.widgets.rows import GAP, Column, Fetch, Part, Row, Rows, widths

__all__ = ["Column", "Fetch", "Part", "Row", "VList"]

AHEAD: Final = 50
"""Rows before the end of what is loaded at which the next page is asked for."""
DEEPEST: Final = 25
"""Pages that are asked for again at once, so that a list that is asked for anew stays as long as it was: 5,000 rows."""
UNDRAWN: Final = paint.line(("unreadable", "bad"))


class VList(ScrollView, can_focus=True, inherit_bindings=False):
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
        """The cursor is on another row, or on none; or what is held or marked changed."""

        def __init__(self, vlist: VList, row: Row | None) -> None:
            super().__init__()
            self.vlist: Final = vlist
            self.row: Final = row

        @property
        def control(self) -> VList:
            return self.vlist

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
        """empty: shown instead of rows once it is known that there are none; it says why, and what next."""
        super().__init__(id=id)
        self.columns: Final = tuple(columns)
        self.empty = empty
        self.dimmed = False
        self.wide = False
        self.known = False
        """Whether anything was ever shown: before that, no rows means waiting, and not none."""
        self._rows: Final = Rows(key, problem)
        self._across: Final = across
        self._head: Final = 1 if header else 0
        self._fetch: Fetch | None = None
        self._fetching = False
        self._styles: dict[Tone, Style] = {}
        self._bases: dict[str, Style] = {}
        self._mixed: dict[tuple[Style, Tone], Style] = {}
        self._layout: list[tuple[Column, int]] = []

    # --- rows -------------------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> Sequence[Row]:
        """What is shown, in its order."""
        return self._rows.shown

    @property
    def cursor(self) -> int:
        """Which of them the cursor is on."""
        return self._rows.cursor

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return self._rows.current

    @property
    def marks(self) -> set[str]:
        """The keys of marked rows."""
        return self._rows.marks

    @property
    def marked(self) -> list[Row]:
        """The marked rows, in their order."""
        return self._rows.marked

    @property
    def frozen(self) -> bool:
        """Whether what comes is held back."""
        return self._rows.frozen

    def show(self, rows: Sequence[Row], *, part: Part | None = None) -> None:
        """These rows instead of those. While frozen they wait; the cursor stays on its row by key."""
        before = self.current
        self.known = True
        if self._rows.take(rows, part):
            self._arranged(before)
        else:
            self.refresh()

    def find(self, key: str) -> Row | None:
        """The row with that key, of those that are shown."""
        return self._rows.find(key)

    def patch(self, changed: Mapping[str, Row]) -> None:
        """New contents of rows by their keys; nothing moves."""
        if changed:
            self._rows.patch(changed)
            self.refresh()

    def keep(self, test: Callable[[Row], bool] | None) -> None:
        """Shows only rows for which `test` is true (the part of a filter that the server does not know)."""
        before = self.current
        self._rows.keep(test)
        self._arranged(before)

    def go_to(self, key: str) -> None:
        """The cursor onto the row with that key, where it is shown."""
        at = next((at for at, row in enumerate(self.rows) if self._rows.key(row) == key), None)
        if at is not None:
            self.move(at)

    async def feed(self, fetch: Fetch) -> None:
        """Shows what `fetch` gives, from its first page to as far as the cursor was. Raises Problem where that cannot be had."""
        self._fetch, self._fetching = fetch, True
        try:
            part = await fetch(None)
            rows = list(part.rows)
            for _ in range(DEEPEST):
                if part.next_cursor is None or len(rows) > self.cursor:
                    break
                first = part
                part = await fetch(part.next_cursor)
                rows.extend(part.rows)
                if part.total is None:
                    part = Part(rows=(), next_cursor=part.next_cursor, total=first.total, exact=first.exact)
        finally:
            self._fetching = False
        self.show(rows, part=part)

    def counts(self) -> Line:
        """How many there are, and how many of them one sees: `200 of >10 000   3 marked   +14 held`."""
        return self._rows.counts()

    def _arranged(self, before: Row | None) -> None:
        self.virtual_size = Size(self._total_width(), len(self.rows) + self._head)
        self.refresh()
        if before is not self.current:
            self._into_sight()
            self.post_message(self.Moved(self, self.current))

    # --- painting ---------------------------------------------------------------------------------------------------------------

    def _room(self) -> int:
        return max(1, self.scrollable_content_region.width or self.size.width)

    def _total_width(self) -> int:
        self._layout = widths(self.columns, self._room(), wide=self.wide)
        return sum(cells + GAP for _, cells in self._layout) if self.wide else self._room()

    def render_lines(self, crop: Region) -> list[Strip]:
        self._bases.clear()  # styles do not change while one paints: they are made once, and not for each line
        self._mixed.clear()
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        if y == 0 or not self._layout:
            self._layout = widths(self.columns, self._room(), wide=self.wide)
        if self._head and y == 0:
            return self._strip(self._cells(None), self.get_component_rich_style("vlist--header"), width)
        at = y - self._head + self.scroll_offset.y
        if not self.rows and y == self._head and self.known:
            return self._strip(paint.fit(self.empty, max(width, 1)), self.rich_style, width)
        if not 0 <= at < len(self.rows):
            return Strip.blank(width, self.rich_style)
        return self._strip(self._cells(self.rows[at]), self._base(at), width)

    def _base(self, at: int) -> Style:
        """The background of a row: the cursor's, a mark's, or none; dim where the data is stale."""
        if at == self.cursor:
            return self._base_of("vlist--cursor")
        return self._base_of("vlist--marked" if self.marks and self._rows.key(self.rows[at]) in self.marks else "")

    def _base_of(self, name: str) -> Style:
        found = self._bases.get(name)
        if found is None:
            found = self.get_component_rich_style(name) if name else self.rich_style
            found = self._bases[name] = found + Style(dim=True) if self.dimmed else found
        return found

    def _cells(self, row: Row | None) -> Line:
        """A row's cells, or for None the header's."""
        across = self._across(row) if row is not None and self._across is not None else None
        if across is not None:
            return paint.fit(across, self._total_width())
        pieces: list[paint.Piece] = []
        for column, room in self._layout:
            if row is None:
                cell = paint.line((column.title + (paint.glyph("down") if column.key == self._rows.sorted_by else ""), "strong"))
            else:
                try:
                    cell = column.draw(row)
                except (KeyError, TypeError, ValueError, AttributeError, IndexError):
                    cell = UNDRAWN
            pieces.extend(paint.fit(cell, room, column.align))
            pieces.append(paint.blank(GAP))
        return tuple(pieces)

    def _strip(self, pieces: Line, base: Style, width: int) -> Strip:
        segments = [Segment(piece.text, self._mix(base, piece.tone) if piece.tone else base) for piece in pieces]
        left = self.scroll_offset.x
        return Strip(segments).crop_extend(left, left + width, base)

    def _mix(self, base: Style, tone: Tone) -> Style:
        mixed = self._mixed.get((base, tone))
        if mixed is None:
            mixed = self._mixed[base, tone] = base + self._style(tone)
        return mixed

    def _style(self, tone: Tone) -> Style:
        style = self._styles.get(tone)
        if style is None:
            said = paint.STYLES.get(tone, "").split()
            name = next((word[1:] for word in said if word.startswith("$")), None)
            colour = Color.parse(self.app.theme_variables[name]).rich_color if name else None
            style = self._styles[tone] = Style(color=colour, bold="bold" in said or None)
        return style

    def notify_style_update(self) -> None:
        super().notify_style_update()
        self._styles.clear()

    def on_resize(self) -> None:
        self.virtual_size = Size(self._total_width(), len(self.rows) + self._head)
        self._into_sight()

    # --- moving -----------------------------------------------------------------------------------------------------------------

    def move(self, to: int) -> None:
        """The cursor to that row, into sight, and the next page where its end is near."""
        before, self._rows.cursor = self.cursor, max(0, min(to, len(self.rows) - 1))
        if before != self.cursor:
            self.refresh()
            self.post_message(self.Moved(self, self.current))
        self._into_sight()
        self._more()

    def _into_sight(self) -> None:
        room = max(1, self.size.height - self._head)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + room:
            self.scroll_to(y=self.cursor - room + 1, animate=False, force=True)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        super().watch_scroll_y(old_value, new_value)
        self._more()

    def _more(self) -> None:
        bottom = max(self.cursor, self.scroll_offset.y + self.size.height)
        next_cursor = self._rows.part.next_cursor
        if self._fetch is not None and next_cursor and not self._fetching and not self.frozen and bottom >= len(self.rows) - AHEAD:
            self._fetching = True
            self.run_worker(self._next_page(self._fetch, next_cursor), group="pages")

    async def _next_page(self, fetch: Fetch, cursor: str) -> None:
        try:
            part = await fetch(cursor)
        except Problem as problem:
            self.post_message(self.Failed(self, problem))
            return
        finally:
            self._fetching = False
        before = self._rows.part
        if self._fetch is fetch and before.next_cursor == cursor:
            whole = part if part.total is not None else before
            rest = Part(rows=(), next_cursor=part.next_cursor, total=whole.total, exact=whole.exact)
            self._rows.add(part.rows, rest)
            self._arranged(self.current)

    def action_down(self) -> None:
        self.move(self.cursor + 1)

    def action_up(self) -> None:
        self.move(self.cursor - 1)

    def action_first(self) -> None:
        self.move(0)

    def action_last(self) -> None:
        self.move(len(self.rows) - 1)

    def action_page_down(self) -> None:
        self.move(self.cursor + max(1, self.size.height // 2))

    def action_page_up(self) -> None:
        self.move(self.cursor - max(1, self.size.height // 2))

    def action_open(self) -> None:
        if self.current is not None:
            self.post_message(self.Opened(self, self.current))

    def action_next_problem(self) -> None:
        self._to(self._rows.next_problem(1))

    def action_previous_problem(self) -> None:
        self._to(self._rows.next_problem(-1))

    def _to(self, at: int | None) -> None:
        if at is None:
            paint.toast(self.app, paint.line("no more rows with a problem in that direction"))
        else:
            self.move(at)

    def action_freeze(self) -> None:
        before = self.current
        self._rows.freeze()
        self._arranged(before)
        self.post_message(self.Moved(self, self.current))

    def action_mark(self) -> None:
        if self.current is not None:
            self._rows.marks ^= {self._rows.key(self.current)}
            self.refresh()
            self.action_down()

    def action_range(self) -> None:
        if self._rows.mark_range():
            paint.toast(self.app, paint.line("range begins here; v again ends it"))
        self.refresh()

    def action_sort(self) -> None:
        """By the next column that has an order; again by the same one where rows came since."""
        ordered = [column.key for column in self.columns if column.sort is not None]
        name = self._rows.sorted_by
        if not ordered:
            paint.toast(self.app, paint.line("this list has one order"))
        elif name in ordered and self._rows.order_changed:
            self.sort_by(name)
        else:
            self.sort_by(ordered[(ordered.index(name) + 1) % len(ordered)] if name in ordered else ordered[0])

    def sort_by(self, name: str | None) -> None:
        """Sorts what is loaded by that column, once; a second time turns it round."""
        column = next((one for one in self.columns if one.key == name), None)
        if column is not None and column.sort is not None:
            before = self.current
            self._rows.sort(column.key, column.sort)
            self._arranged(before)
            self._into_sight()

    def action_wide(self) -> None:
        self.wide = not self.wide
        self.styles.overflow_x = "auto" if self.wide else "hidden"
        self.scroll_to(x=0, animate=False)
        self.virtual_size = Size(self._total_width(), len(self.rows) + self._head)
        self.refresh()

    def action_faults(self) -> None:
        before = self.current
        self._rows.faults_only = not self._rows.faults_only
        self._rows.arrange()
        self._arranged(before)

    # --- mouse ------------------------------------------------------------------------------------------------------------------

    def on_click(self, event: events.Click) -> None:
        if self._head and event.y == 0:
            self._click_header(event.x + self.scroll_offset.x)
            return
        at = event.y - self._head + self.scroll_offset.y
        if 0 <= at < len(self.rows):
            self.move(at)
            if event.chain >= 2:
                self.action_open()

    def _click_header(self, x: int) -> None:
        for column, cells in self._layout:
            if x < cells + GAP:
                self.sort_by(column.key)
                return
            x -= cells + GAP
