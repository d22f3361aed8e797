"""A screen whose filter is asked of the server as far as the server knows the words, and judged here for the rest.

Not here: which words a list knows (`tui.views.asking.Words`, named by each screen).
"""

from __future__ import annotations

from typing import ClassVar

from tui import paint
from tui.filters import Unclear
from tui.places import Place
from tui.screens.base import View
from tui.views.asking import Asked, Words, asked_of
from tui.widgets.vlist import VList


class AskedView(View):
    """See the module. `asked` is what the filter means; `empty` says why the list has no rows."""

    WORDS: ClassVar[Words]

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.asked = Asked()

    def empty(self) -> paint.Line:
        """Why there are no rows, and what next."""
        return paint.EMPTY

    def _set_filter(self, text: str) -> bool:
        try:
            asked = asked_of(text, self.WORDS, self.console.clock.now())
        except Unclear as unclear:
            self.notice(paint.line((f"/{text}: {unclear}", "warn")))
            return False
        self.notice()
        self.asked = asked
        self.place = Place(self.place.screen, self.place.id, text)
        for vlist in self.query(VList):
            vlist.empty = self.empty()
            vlist.keep(asked.keeps if asked.here else None)
        return True
