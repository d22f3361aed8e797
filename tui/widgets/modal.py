"""The base of dialogs: a box over the page, which stays visible behind it; and the simple ones, which show text, a choice or one question.

Not here: the dialog that writes (`tui.widgets.plan_modal`), and what is done with an answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final, TypeVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Input

from tui import paint
from tui.paint import Line, Words
from tui.widgets.bars import Typed
from tui.widgets.vlist import Column, Row, VList

Result = TypeVar("Result")


class Dialog(ModalScreen[Result]):
    """A box in the middle of the page. Escape closes it with nothing done. HINT: the keys that end it, on its lower edge."""

    HINT: ClassVar[str] = ""
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "cancel", "close", show=False)]
    DEFAULT_CSS = """
    Dialog { align: center middle; background: $background 60%; }
    Dialog > .box { width: 100; max-width: 96%; height: auto; max-height: 90%; border: thick $panel; background: $surface; padding: 0 1; }
    """

    def __init__(self, heading: Line) -> None:
        super().__init__()
        self.heading: Final = heading

    def on_mount(self) -> None:
        paint.title(self.query_one(".box"), self.heading, paint.line((f" {self.HINT} ", "dim")) if self.HINT else paint.EMPTY)

    def action_cancel(self) -> None:
        self.dismiss(None)


class Reading(Dialog[None]):
    """Text to read and scroll."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("question_mark,enter", "cancel", "close", show=False)]

    def __init__(self, heading: Line, lines: Sequence[Line]) -> None:
        super().__init__(heading)
        self._lines: Final = lines

    def compose(self) -> ComposeResult:
        with VerticalScroll(classes="box"):
            yield Words(*self._lines)


class Choice(Dialog[str | None]):
    """One of several rows: its key is the answer. A row with a reason in `why_not` says it instead of being chosen."""

    HINT = "enter: choose   esc: cancel"

    def __init__(self, heading: Line, rows: Sequence[Row], columns: Sequence[Column], note: Line = paint.EMPTY) -> None:
        super().__init__(heading)
        self._choices: Final = rows
        self._columns: Final = columns
        self._note: Final = note

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Words(self._note, classes="note")
            yield VList(self._columns, key=lambda row: str(row["key"]), header=False, empty=paint.line(("nothing to choose here", "dim")))

    def on_mount(self) -> None:
        super().on_mount()
        vlist = self.query_one(VList)
        vlist.styles.height = max(1, min(len(self._choices), 20))
        vlist.show(self._choices)
        vlist.focus()

    def on_vlist_opened(self, event: VList.Opened) -> None:
        event.stop()
        why_not = event.row.get("why_not")
        if why_not:
            self.query_one(".note", Words).say(paint.line((f"{event.row['key']}: {why_not}", "warn")))
        else:
            self.dismiss(str(event.row["key"]))


class Question(Dialog[str | None]):
    """One line of text; enter answers. optional: also with nothing, which is an answer then. Escape gives none."""

    HINT = "enter: go on   esc: cancel"

    def __init__(self, heading: Line, about: Line, *, password: bool = False, value: str = "", optional: bool = False) -> None:
        super().__init__(heading)
        self._optional: Final = optional
        self._about: Final = about
        self._password: Final = password
        self._value: Final = value

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Words(self._about)
            yield Typed(value=self._value, password=self._password, compact=True)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        if event.value.strip() or self._optional:
            self.dismiss(event.value.strip())

    def on_typed_left(self, event: Typed.Left) -> None:
        event.stop()
        self.dismiss(None)
