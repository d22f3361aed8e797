"""The command that shows a place in a shell: each view of the console has a twin of `payorch ops`.

Not here: those commands (the command line has them).
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Final

from tui.places import Place

WORDS: Final[dict[str, tuple[str, ...]]] = {
    "overview": ("overview",),
    "payments": ("payments",),
    "payment": ("payment",),
    "connectors": ("connectors",),
    "connector": ("connector",),
    "routing": ("routing",),
    "dead_letters": ("dead-letters",),
    "dead_letter": ("dead-letter",),
    "dead_letter_group": ("dead-letters", "--fingerprint"),
    "reconciliation": ("days",),
    "day": ("day",),
    "approvals": ("acts", "--open"),
    "action": ("act",),
    "audit": ("audit",),
    "record": ("audit",),
}


def twin(place: Place, query: Mapping[str, str]) -> str:
    """The command for this place, with what of its filter the server is asked for."""
    words = ["payorch", "ops", *WORDS[place.screen]]
    if place.screen == "day" and place.id:
        day, _, rest = place.id.partition("/")
        words += [day, *(["--connector", rest.split("/")[0]] if rest else [])]
    elif place.id and place.screen != "record":
        words.append(place.id)
    for name, value in query.items():
        words += [f"--{name.replace('_', '-')}", value]
    return shlex.join([*words, "--json"])
