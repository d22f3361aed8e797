"""The two lines one types into: `:` commands and `/` filters, with completion and history.

Not here: what a command or a filter means (`tui.places`, `tui.filters`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Literal

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Footer, Input

from tui import paint
from tui.paint import Words

HISTORY_MOST: Final = 100


class Typed(Input):
    """An input line whose contents are harmless, wherever they were pasted from."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "earlier", "earlier", show=False),
        Binding("down", "later", "later", show=False),
        Binding("tab", "take", "complete", show=False),
        Binding("escape", "leave", "leave", show=False),
    ]

    class Left(Message):
        """Escape."""

    class Step(Message):
        """Up or down in the history."""

        def __init__(self, by: int) -> None:
            super().__init__()
            self.by: Final = by

    def validate_value(self, value: str) -> str:
        return paint.safe(value, 400)

    def action_earlier(self) -> None:
        self.post_message(self.Step(-1))

    def action_later(self) -> None:
        self.post_message(self.Step(1))

    def action_take(self) -> None:
        """Takes what is suggested; where nothing is, it goes on to the next field."""
        if self._suggestion:
            self.action_cursor_right()
        else:
            self.screen.focus_next()

    def action_leave(self) -> None:
        self.post_message(self.Left())


class Completion(Suggester):
    """Suggests the first thing that the text may become."""

    def __init__(self, complete: Callable[[str], Sequence[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._complete: Final = complete

    async def get_suggestion(self, value: str) -> str | None:
        return next(iter(self._complete(value)), None) if value else None


class Bar(Horizontal):
    """One line at the bottom, hidden until it is called."""

    class Said(Message):
        """Enter: what was typed. `where`: which of the two bars."""

        def __init__(self, where: Literal[":", "/"], text: str) -> None:
            super().__init__()
            self.where: Final = where
            self.text: Final = text

    class Closed(Message):
        """Escape: nothing is to be done."""

        def __init__(self, where: Literal[":", "/"]) -> None:
            super().__init__()
            self.where: Final = where

    def __init__(self, where: Literal[":", "/"], complete: Callable[[str], Sequence[str]], history: list[str]) -> None:
        super().__init__(classes="bar")
        self.where: Final[Literal[":", "/"]] = where
        self._complete: Final = complete
        self._history: Final = history
        self._at = 0

    def compose(self) -> ComposeResult:
        yield Words(paint.line((f" {self.where} ", "key")), classes="prompt")
        yield Typed(suggester=Completion(self._complete), compact=True)

    @property
    def typed(self) -> Typed:
        return self.query_one(Typed)

    def call(self, text: str = "") -> None:
        """Shows the line with this text, and puts the cursor into it."""
        self.add_class("-open")
        self._footer(shown=False)
        self.typed.value = text
        self.typed.cursor_position = len(text)
        self._at = len(self._history)
        self.typed.focus()

    def close(self) -> None:
        """Hides it again."""
        self.remove_class("-open")
        self._footer(shown=True)

    def _footer(self, *, shown: bool) -> None:
        """What is docked at one edge lies on top of each other: the footer gives its line to the bar."""
        for footer in self.screen.query(Footer):
            footer.display = shown

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text = event.value.strip()
        if text and (not self._history or self._history[-1] != text):
            self._history.append(text)
            del self._history[:-HISTORY_MOST]
        self.close()
        self.post_message(self.Said(self.where, text))

    def on_typed_left(self, event: Typed.Left) -> None:
        event.stop()
        self.close()
        self.post_message(self.Closed(self.where))

    def on_typed_step(self, event: Typed.Step) -> None:
        event.stop()
        self._at = max(0, min(len(self._history), self._at + event.by))
        self.typed.value = self._history[self._at] if self._at < len(self._history) else ""
        self.typed.cursor_position = len(self.typed.value)
