"""What other rules of routing would have done with the latest payments: chosen, sent, and shown. It writes nothing, so it is free in READ.

Not here: what is said (`tui.views.routing`), and having rules loaded, which is an action.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tui import paint
from tui.api import Problem
from tui.paint import Line
from tui.problems import told
from tui.views import routing
from tui.views.table import Data, table_of
from tui.widgets.modal import Choice, Question, Reading
from tui.widgets.vlist import Column

if TYPE_CHECKING:
    from tui.app import Console

PATH: Final = "routing/simulations"
_COLUMNS: Final = (
    Column("key", "what", 30, lambda row: paint.line((row["key"], "strong"))),
    Column("about", "", 30, lambda row: paint.line((row["why_not"] or row["about"], "dim")), grow=True),
)


class WhatIf:
    """One console's questions."""

    def __init__(self, console: Console) -> None:
        self._console: Final = console

    async def ask(self, chosen: str | None = None) -> None:
        """What is to be tried, and the comparison. chosen: the connector that the cursor is on; it stands first."""
        if not self._console.source.writes:
            paint.toast(self._console, paint.line("this is a recording: there is no server to ask what would have been"), "warn")
            return
        names = sorted(self._console.state.connectors, key=lambda name: (name != chosen, name))
        note = paint.line(("Past decisions are made again under other rules. Nothing is changed.", "dim"))
        rows = routing.choices(names)
        found = await self._console.push_screen_wait(Choice(paint.line((" what if ", "info")), rows, _COLUMNS, note))
        if found == routing.FILE:
            await self._file()
        elif found is not None:
            await self._without(next(name for name in names if routing.without(name) == found))

    async def _without(self, name: str) -> None:
        try:
            rules = await self._console.source.get("routing")
        except Problem as problem:
            await self._say(told("the rules in force", problem))
            return
        book: Data = table_of(rules, "book")
        wish = routing.changes_without(name, book)
        if wish is None:
            await self._say([paint.line((f"{name} is alone in the default order: without it no payment goes anywhere", "warn"))])
            return
        await self._compare(wish, routing.without(name), routing.naming(name, book))

    async def _file(self) -> None:
        about = paint.line(("Path of a rules file on this machine, as config/routing.toml. What is left out is as shipped.", "dim"))
        typed = await self._console.push_screen_wait(Question(paint.line((" what if: a rules file ", "info")), about))
        if not typed:
            return
        try:
            text = _text(typed)
        except (OSError, ValueError) as error:
            await self._say([paint.line((f"{typed} cannot be read: {error.strerror if isinstance(error, OSError) else error}", "bad"))])
            return
        await self._compare({"routing": text}, typed)

    async def _compare(self, wish: dict[str, Any], tried: str, rules: list[str] | None = None) -> None:
        try:
            answer = await self._console.source.post(PATH, wish)
        except Problem as problem:
            await self._say(told("the comparison", problem))
            return
        await self._say(routing.comparison(answer.data, tried, rules or ()))

    async def _say(self, lines: list[Line]) -> None:
        await self._console.push_screen_wait(Reading(paint.line((" what if ", "info")), lines))


def _text(typed: str) -> str:
    """The file. Raises OSError, or ValueError where it is none of ours."""
    path = Path(typed).expanduser()
    if not path.is_file():
        raise ValueError("it is no file")
    with path.open(encoding="utf-8") as file:
        text = file.read(routing.LARGEST_RULES + 1)
    if len(text) > routing.LARGEST_RULES:
        raise ValueError(f"it has more than {routing.LARGEST_RULES} characters")
    return text
