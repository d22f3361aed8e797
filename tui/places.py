"""Where one can be in the console, as a value: a screen, what it shows, and how it is filtered. Also the language of the command bar.

A place can be said as a command (`:pay pay_1`), kept in the history, handed to a colleague, and found in the server's attention list.

Not here: the screens themselves (`tui.screens`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Place:
    """A screen by its name; `id` where it shows one thing, `filter` where it shows some of many."""

    screen: str
    id: str | None = None
    filter: str = ""


ROOTS: Final = ("overview", "payments", "connectors", "dead_letters", "reconciliation", "approvals", "audit")
"""The modes, in the order of the keys 1 to 7."""
TITLES: Final[dict[str, str]] = {
    "overview": "Overview",
    "payments": "Payments",
    "connectors": "Connectors",
    "dead_letters": "Dead letters",
    "reconciliation": "Reconciliation",
    "approvals": "Approvals",
    "audit": "Audit",
}
DETAILS: Final[dict[str, str]] = {
    "payment": "payments",
    "connector": "connectors",
    "dead_letter": "dead_letters",
    "dead_letter_group": "dead_letters",
    "day": "reconciliation",
    "action": "approvals",
    "record": "audit",
    "routing": "connectors",
}
"""Screens about one thing, and the mode in whose stack they open."""

COMMANDS: Final[dict[str, tuple[str, str]]] = {
    "overview": ("overview", "everything at a glance"),
    "payments": ("payments", "payments, filtered: :payments state:OUTCOME_UNKNOWN"),
    "pay": ("payment", "one payment by its id: :pay pay_..."),
    "connectors": ("connectors", "connectors side by side"),
    "conn": ("connector", "one connector by its name"),
    "routing": ("routing", "the routing in force, and a what-if of another"),
    "dlq": ("dead_letters", "dead letters by fingerprint"),
    "dead": ("dead_letter", "one dead letter by its id"),
    "recon": ("reconciliation", "days of settlement; with a day and a connector, that day: :recon 2026-10-16 name"),
    "approvals": ("approvals", "what waits for a second person"),
    "act": ("action", "one action by its id"),
    "audit": ("audit", "audit records: :audit who:ana"),
}
"""What the command bar knows: the word, the screen, and what it is for."""


OWN: Final[dict[str, str]] = {
    "replay": "a recording instead of this: :replay FILE",
    "live": "back from a recording",
    "theme": "dark, light, high-contrast or ansi-16",
    "q": "says how to quit",
}
"""Commands of the console itself."""


class NoSuchPlace(ValueError):
    """A command that leads nowhere; the text says what there is instead."""


def root(where: Place) -> str:
    """The mode that it belongs to."""
    return DETAILS.get(where.screen, where.screen)


def place(text: str) -> Place:
    """Where a command leads. Raises NoSuchPlace."""
    word, _, rest = text.strip().lstrip(":").partition(" ")
    rest = rest.strip()
    if word in COMMANDS:
        screen = COMMANDS[word][0]
    elif word in ROOTS or word in DETAILS:
        screen = word
    else:
        raise NoSuchPlace(f"there is no command :{word}; tab completes, ? lists them")
    if screen == "reconciliation" and rest and ":" not in rest:
        return Place("day", "/".join(rest.split()))
    if screen in DETAILS:
        if not rest and screen != "routing":
            raise NoSuchPlace(f":{word} needs an id behind it")
        return Place(screen, rest or None)
    return Place(screen, None, rest)


def command(where: Place) -> str:
    """The command that leads there."""
    words = {screen: word for word, (screen, _) in reversed(COMMANDS.items())}
    if where.screen == "day" and where.id:
        return "recon " + " ".join(where.id.split("/"))
    return " ".join(part for part in (words.get(where.screen, where.screen), where.id, where.filter) if part)


def complete(text: str, known: tuple[str, ...] = ()) -> list[str]:
    """What the typed text may become: commands, then names the console has seen."""
    word, blank, rest = text.partition(" ")
    if not blank:
        return [one for one in (*COMMANDS, *OWN) if one.startswith(word)]
    return [f"{word} {one}" for one in known if one.startswith(rest)][:10]
