"""One thing as the server tells it, field by field: what a place shows until it has a screen of its own.

Not here: what makes a payment's page a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from textual.app import ComposeResult

from tui import paint
from tui.acts import Subject
from tui.screens.base import View
from tui.store import Dirty
from tui.widgets.vlist import Column, VList

PATHS: Final[dict[str, str]] = {
    "payment": "payments/{}",
    "dead_letter": "dead-letters/{}",
    "dead_letter_group": "dead-letters?fingerprint={}",
    "day": "reconciliation/days/{}",
    "action": "actions/{}",
    "routing": "routing",
}
COLUMNS: Final = (
    Column("name", "field", 34, lambda row: paint.line((row["name"], "dim"))),
    Column("value", "", 20, lambda row: paint.line(row["value"]), grow=True),
)


class DetailView(View):
    """See the module."""

    WATCHES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, place: Any) -> None:
        super().__init__(place)
        self.data: Mapping[str, Any] = {}

    def body(self) -> ComposeResult:
        yield VList(COLUMNS, key=lambda row: str(row["name"]), empty=paint.line(("waiting for the server", "dim")), id="rows")

    async def load(self) -> None:
        found = await self.ask(None, PATHS.get(self.place.screen, self.place.screen).format(self.place.id))
        if found is not None:
            self.data = found
            self.query_one("#rows", VList).show(list(flat(found)))

    def repaint(self, dirty: Dirty) -> None:
        if f"{self.place.screen}:{self.place.id}" in dirty:
            self.reload()

    def subject(self) -> Subject | None:
        actions = self.data.get("actions")
        if not self.place.id or not isinstance(actions, list):
            return None
        return Subject(id=self.place.id, kind=self.place.screen, title=self.place.id, actions=tuple(actions))


def flat(data: Mapping[str, Any], before: str = "", depth: int = 0) -> Any:
    """Nested fields as rows, `a.b[0].c`."""
    for name, value in data.items():
        path = f"{before}{name}"
        if isinstance(value, dict) and depth < 4:
            yield from flat(value, f"{path}.", depth + 1)
        elif isinstance(value, list) and value and isinstance(value[0], dict) and depth < 4:
            for number, one in enumerate(value[:50]):
                yield from flat(one if isinstance(one, dict) else {"": one}, f"{path}[{number}].", depth + 1)
        else:
            yield {"name": path, "value": str(value) if value is not None else paint.glyph("none")}
