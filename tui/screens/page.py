"""A screen about one thing that is a page of text to read and scroll: with the keys of a list, and the mouse's wheel.

Not here: what it says (`lines`, by each screen).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Final

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll

from tui import paint
from tui.paint import Line, Words
from tui.places import Place
from tui.screens.base import View

PAGE_EDGES: Final = 4
"""Cells of its padding and its scroll bar."""
FOR_A_FILE: Final = 120
"""Cells of a line in an exported text."""


class Page(VerticalScroll, inherit_bindings=False):
    """The text; it scrolls by the keys by which a list moves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("j,down", "scroll_down", "down", show=False),
        Binding("k,up", "scroll_up", "up", show=False),
        Binding("g,home", "scroll_home", "to the top", show=False),
        Binding("G,end", "scroll_end", "to the end", show=False),
        Binding("ctrl+d,pagedown", "page_down", "a page down", show=False),
        Binding("ctrl+u,pageup", "page_up", "a page up", show=False),
    ]


class PageView(View):
    """See the module. `data` is what the server answered, empty before that."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.data: Mapping[str, Any] = {}

    def lines(self, cells: int) -> Sequence[Line]:
        """All that is said, in lines of at most so many cells."""
        return ()

    def body(self) -> ComposeResult:
        with Page(classes="page"):
            yield Words(paint.line(("asking for ", "dim"), (self.place.id, "accent")), id="page")

    def on_mount(self) -> None:
        super().on_mount()
        self._focus_list()

    def _focus_list(self) -> None:
        self.query_one(Page).focus()

    async def fetch(self, path: str) -> None:
        """Asks for it; what cannot be had is said, and what was there stays."""
        found = await self.ask(None, path)
        if found is not None:
            self.data = found
            self.notice()
            self.say_page()

    def tick(self) -> None:
        self.say_page()

    def on_resize(self, _: events.Resize) -> None:
        if self.query("#page"):
            self.say_page()

    def say_page(self) -> None:
        """All of it; ages included."""
        if self.data:
            self.query_one("#page", Words).say(*self.lines(max(20, self.size.width - PAGE_EDGES)))

    def card(self) -> Sequence[Line]:
        return self.lines(max(20, self.size.width - 2)) if self.data else super().card()

    def current(self) -> Mapping[str, Any] | None:
        return self.data or None

    def export_data(self) -> Any:
        return self.data

    def export_text(self) -> str:
        return "\n".join(paint.plain(one) for one in self.lines(FOR_A_FILE)) if self.data else ""
