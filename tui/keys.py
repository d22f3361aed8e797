"""Every key of the console, as one table: the help, the footer, the greyed keys, and docs/keys.md are made from it.

No write has a key of its own: `a` is the only door to actions, and a plan stands behind it. `q` is unbound on purpose.

Not here: what an action does (the class that has it), and whether it may now be done (`check_action` there).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final, Literal, Protocol

from textual.binding import Binding, BindingType


class HasKeys(Protocol):
    """A screen, as far as this table goes."""

    OWN_KEYS: ClassVar[tuple[Key, ...]]


Where = Literal["everywhere", "view", "list", "plan", "pane"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One row. `keys`: Textual's names, comma-separated. `shown`: as people write it. `short`: in the footer; `about`: in the help."""

    keys: str
    shown: str
    action: str
    about: str
    where: Where
    short: str = ""
    priority: bool = False


KEYS: Final[tuple[Key, ...]] = (
    *(
        Key(keys=str(number), shown=str(number), action=f"mode('{name}')", about=f"mode {number}: {title}", where="everywhere")
        for number, (name, title) in enumerate(
            (
                ("overview", "Overview"),
                ("payments", "Payments"),
                ("connectors", "Connectors"),
                ("dead_letters", "Dead letters"),
                ("reconciliation", "Reconciliation"),
                ("approvals", "Approvals"),
                ("audit", "Audit"),
            ),
            start=1,
        )
    ),
    Key(keys="colon", shown=":", action="command", short="command", about="command bar; tab completes, up repeats", where="everywhere"),
    Key(keys="ctrl+p", shown="ctrl+p", action="command_palette", about="palette: every command, fuzzy", where="everywhere", priority=True),
    Key(
        keys="question_mark",
        shown="?",
        action="help",
        short="help",
        about="this help, made from the keys that are bound",
        where="everywhere",
    ),
    Key(keys="a", shown="a", action="act", short="actions", about="what may be done here, and why not", where="everywhere"),
    Key(
        keys="ctrl+e",
        shown="ctrl+e",
        action="arm",
        short="arm",
        about="allow writes for ten minutes, with a reason; again: disarm",
        where="everywhere",
    ),
    Key(keys="y", shown="y", action="copy", short="copy", about="copy an id, a row, a command or a curl (OSC 52)", where="everywhere"),
    Key(keys="e", shown="e", action="export", about="export what is shown: redacted JSON, text, and a picture", where="everywhere"),
    Key(keys="l", shown="l", action="log", about="command log: each call as curl, with its request id", where="everywhere"),
    Key(keys="r", shown="r", action="refresh", about="ask again; reconnect now", where="everywhere"),
    Key(keys="left_square_bracket", shown="[", action="back", about="back in the history of places", where="everywhere"),
    Key(keys="right_square_bracket", shown="]", action="forward", about="forward in the history of places", where="everywhere"),
    Key(keys="tab", shown="tab", action="app.focus_next", about="next pane", where="everywhere"),
    Key(keys="shift+tab", shown="shift+tab", action="app.focus_previous", about="pane before", where="everywhere"),
    Key(keys="ctrl+q", shown="ctrl+q", action="quit", about="quit; nothing else does", where="everywhere", priority=True),
    Key(
        keys="slash",
        shown="/",
        action="filter",
        short="filter",
        about="filter: field:value, !not, ~regex, >amount; esc clears",
        where="view",
    ),
    Key(keys="escape", shown="esc", action="out", about="out of the filter, then out of this screen; never quits", where="view"),
    Key(keys="j,down", shown="j ↓", action="down", about="next row", where="list"),
    Key(keys="k,up", shown="k ↑", action="up", about="previous row", where="list"),
    Key(keys="g,home", shown="g", action="first", about="first row", where="list"),
    Key(keys="G,end", shown="G", action="last", about="last row that is loaded", where="list"),
    Key(keys="ctrl+d,pagedown", shown="ctrl+d", action="page_down", about="half a screen down", where="list"),
    Key(keys="ctrl+u,pageup", shown="ctrl+u", action="page_up", about="half a screen up", where="list"),
    Key(keys="enter", shown="enter", action="open", about="into the row (double click)", where="list"),
    Key(keys="n", shown="n", action="next_problem", about="next row with a problem", where="list"),
    Key(keys="N", shown="N", action="previous_problem", about="previous row with a problem", where="list"),
    Key(
        keys="space",
        shown="space",
        action="freeze",
        short="freeze",
        about="freeze or follow a list that moves; says how many are held",
        where="list",
    ),
    Key(keys="x", shown="x", action="mark", about="mark this row", where="list"),
    Key(keys="v", shown="v", action="range", about="mark from here to the next v", where="list"),
    Key(keys="s", shown="s", action="sort", about="sort by the next column, of what is loaded (click a header)", where="list"),
    Key(keys="w", shown="w", action="wide", about="all columns, or those that fit", where="list"),
    Key(keys="z", shown="z", action="faults", about="only rows with a problem", where="list"),
    Key(keys="left", shown="←", action="scroll_left", about="to the left in a wide list", where="list"),
    Key(keys="right", shown="→", action="scroll_right", about="to the right in a wide list", where="list"),
    Key(keys="escape", shown="esc", action="cancel", about="close without doing anything", where="plan"),
    Key(keys="ctrl+s", shown="ctrl+s", action="send", about="send what is on the dialog; enter never does", where="plan"),
    Key(keys="tab", shown="tab", action="app.focus_next", about="next field", where="plan"),
    Key(keys="pagedown,ctrl+d", shown="pgdn", action="turn(1)", about="read on in a long plan", where="plan"),
    Key(keys="pageup,ctrl+u", shown="pgup", action="turn(-1)", about="back in a long plan", where="plan"),
    Key(
        keys="ctrl+g",
        shown="ctrl+g",
        action="glass",
        about="break the glass: alone, reviewed within a day",
        where="plan",
    ),
)

TITLES: Final[dict[Where, str]] = {
    "everywhere": "Everywhere",
    "view": "On a screen",
    "list": "In a list",
    "pane": "In a pane",
    "plan": "In a dialog that writes",
}


def bindings(where: Where) -> list[BindingType]:
    """Textual's bindings of that room, in the table's order."""
    return [
        Binding(
            key=key.keys,
            action=key.action,
            description=key.short or key.about,
            show=bool(key.short),
            key_display=key.shown,
            priority=key.priority,
        )
        for key in KEYS
        if key.where == where
    ]


def view_keys(*keys: Key) -> list[BindingType]:
    """The bindings of a screen's own keys. The screen lists them in OWN_KEYS too, which the help reads."""
    return [Binding(key.keys, key.action, key.short or key.about, show=bool(key.short), key_display=key.shown) for key in keys]


def of(where: Where) -> list[Key]:
    """The rows of that room."""
    return [key for key in KEYS if key.where == where]


def own_keys(screens: Mapping[str, type[HasKeys]]) -> list[tuple[str, tuple[Key, ...]]]:
    """The keys that only one screen has, by its name."""
    return [(name.replace("_", " "), screen.OWN_KEYS) for name, screen in screens.items() if screen.OWN_KEYS]


def document(own: Iterable[tuple[str, Iterable[Key]]] = ()) -> str:
    """docs/keys.md."""
    text = ["# Keys of the console", "", "Made from `tui/keys.py` by `python -m tui.keys`; a test fails where this file is older.", ""]
    rooms = [(TITLES[where], of(where)) for where in TITLES if of(where)]
    for title, keys in (*rooms, *((f"Only in {name}", list(keys)) for name, keys in own)):
        text += [f"## {title}", "", "| key | does |", "|---|---|"]
        text += [f"| `{key.shown}` | {key.about} |" for key in keys]
        text.append("")
    text.append(
        "Mouse: a click moves the cursor, a double click opens, a header sorts, the wheel scrolls; with shift the terminal selects text."
    )
    return "\n".join(text) + "\n"


if __name__ == "__main__":
    import sys

    from tui.screens import SCREENS

    sys.stdout.write(document(own_keys(SCREENS)))
