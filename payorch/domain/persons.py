"""Whose eyes these are: when two names are one person's, for everything that takes two.

Pure. The database has a rule like it, `payorch.eyes_of`, for when this one is not asked. Not here: accounts (`payorch.store.identities`).
"""

from __future__ import annotations

import unicodedata
from typing import Final

_UNSEEN: Final = frozenset({"Cc", "Cf", "Zl", "Zp", "Zs"})
"""Of Unicode: controls, formats and blanks."""


def same_eyes(one: str, other: str) -> bool:
    """Whether these are one person, however the name is written: blanks, capitals, full-width letters and characters that nobody sees make
    no other.
    """
    return _folded(one) == _folded(other)


def plain(person: str) -> str:
    """The name as it is kept: in one line, and without what nobody sees."""
    normal = unicodedata.normalize("NFKC", person)
    seen = "".join(one for one in normal if unicodedata.category(one) != "Cf")
    return " ".join(seen.split())


def _folded(person: str) -> str:
    seen = (one for one in unicodedata.normalize("NFKC", person) if unicodedata.category(one) not in _UNSEEN)
    return "".join(seen).casefold()
