"""What may be done to a thing, as every view of it shows: each act of its kind, allowed or with its reason.

An offer is a word of help and never a right: the plan says what may be done. Not here: the table of acts (`payorch.domain.acts`).
"""

from __future__ import annotations

from collections.abc import Iterable

from payorch.api.present import View
from payorch.domain.acts import KINDS, ActName
from payorch.domain.roles import Role


def offer_view(name: ActName, subject: str, role: Role, *, people: int, why_not: str | None) -> View:
    """One act for somebody of that role. why_not: what the thing's own state has against it."""
    least = KINDS[name].least
    if why_not is None and not role.may(least):
        why_not = f"this takes the role {least}, and you have the role {role}"
    return {
        "action": name.value,
        "verb": KINDS[name].verb,
        "allowed": why_not is None,
        "why_not": why_not,
        "people": people,
        "subject": subject,
    }


def names_of(subject: str) -> Iterable[ActName]:
    """The acts that are done to such a thing, in the table's order."""
    return (name for name, kind in KINDS.items() if kind.subject == subject)
