"""The idle lock: covers everything after some time without a key, until the token is given again.

Not here: when it comes (`tui.app`), and whether the token is good (the server).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui import paint
from tui.paint import Words
from tui.widgets.bars import Typed


class Lock(ModalScreen[None]):
    """Opaque: what was on the screen cannot be read through it. Escape does nothing."""

    BINDINGS: ClassVar[list[BindingType]] = []

    def __init__(self, operator: str, unlock: Callable[[str], Awaitable[bool]]) -> None:
        super().__init__()
        self._operator: Final = operator
        self._unlock: Final = unlock

    def compose(self) -> ComposeResult:
        with Vertical(classes="box"):
            yield Words(
                paint.line(("Locked: nobody typed for a while.", "warn")),
                paint.line(("Token of ", "dim"), (self._operator or "an operator", "strong"), ("   ctrl+q quits", "dim")),
            )
            yield Typed(password=True, compact=True)
            yield Words(id="lock-said")

    def on_mount(self) -> None:
        self.query_one(Typed).focus()

    async def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        text, self.query_one(Typed).value = event.value.strip(), ""
        if text and await self._unlock(text):
            self.dismiss(None)
        else:
            self.query_one("#lock-said", Words).say(paint.line(("The server does not accept this token.", "bad")))
