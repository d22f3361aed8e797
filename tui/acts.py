"""What may be done to a subject, and why not: the registry that the action menu, the palette and the dialogs share.

The console decides nothing. The server lists the actions of a subject with its own reasons; what is added here is only the state of *this*
console: armed or not, fresh or stale, a recording, a server too new to write to. `why_no_writes` is the one place that says so.

Not here: the dialogs (`tui.widgets.plan_modal`), and the server's rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from tui.freshness import Fresh


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """What `a` is about: its id as the server writes subjects, the kind of it, and the server's list of actions.

    also: what may be done beside that list. parameters: what nobody is asked for; None: it is left out. choices: values to choose from
    where the server names none. scopes: where more than one thing may be meant, all of them; one is chosen first.
    """

    id: str
    kind: str
    title: str
    actions: tuple[Mapping[str, Any], ...] = ()
    also: tuple[Mapping[str, Any], ...] = ()
    parameters: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    scopes: tuple[Subject, ...] = ()

    def among(self, scopes: tuple[Subject, ...]) -> Subject:
        """The same, where any of those may be meant instead."""
        return replace(self, scopes=scopes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gate:
    """The state of this console that writing depends on."""

    fresh: Fresh
    armed: bool
    writes: bool
    newer_schema: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """What else an action takes."""

    name: str
    required: bool
    choices: tuple[str, ...] = ()
    about: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One row of the action menu."""

    action: str
    verb: str
    subject: str
    people: int
    why_not: str | None
    parameters: tuple[Parameter, ...]
    open_action: str | None = None


def why_no_writes(gate: Gate, *, arming: bool = False) -> str | None:
    """Why nothing may be written now; None where it may. `arming`: whether the question is about arming itself."""
    if not gate.writes:
        return "this is a recording: nothing can be written"
    if gate.newer_schema:
        return "the server is newer than this console: it only reads"
    if gate.fresh.stale:
        return f"the data is {gate.fresh.state}: nothing is written on old data; r reconnects"
    if not arming and not gate.armed:
        return "this console is in READ: ctrl+e arms it for ten minutes"
    return None


def offers(subject: Subject, meta: Mapping[str, Any]) -> list[Offer]:
    """The server's actions for this subject, with what each takes. Refused ones stay in the list, with the reason."""
    known = {str(one.get("name")): one for one in meta.get("actions") or () if isinstance(one, dict)}
    listed = subject.actions or tuple(
        {"action": name, "verb": one.get("verb"), "allowed": one.get("may", True), "why_not": one.get("why_not"), "people": None}
        for name, one in known.items()
        if one.get("subject") == subject.kind
    )
    return [_offer(one, known.get(str(one.get("action")), {}), subject) for one in (*listed, *subject.also)]


def _offer(one: Mapping[str, Any], kind: Mapping[str, Any], subject: Subject) -> Offer:
    name = str(one.get("action"))
    why_not = None if one.get("allowed", True) else str(one.get("why_not") or "the server does not allow it")
    if why_not is None and kind.get("may") is False:
        why_not = str(kind.get("why_not") or "your role does not allow it")
    if why_not is None and one.get("open_action"):
        why_not = f"{one['open_action']} is open already: see Approvals (6)"
    people = one.get("people")
    return Offer(
        action=name,
        verb=str(one.get("verb") or kind.get("verb") or name),
        subject=str(one.get("subject") or subject.id),
        people=people if isinstance(people, int) else 0,
        why_not=why_not,
        parameters=tuple(_parameters(kind.get("parameters") or (), subject, tuple(map(str, one.get("targets") or ())))),
        open_action=one.get("open_action"),
    )


def _parameters(rows: Iterable[Any], subject: Subject, targets: tuple[str, ...]) -> Iterable[Parameter]:
    """targets: what the server says that this very subject may become."""
    for row in rows:
        name = str(row.get("name")) if isinstance(row, dict) else ""
        if name and name not in subject.parameters:
            known = subject.choices.get(name, ()) or (targets if name == "to" else ())
            yield Parameter(
                name=name,
                required=bool(row.get("required")),
                choices=tuple(str(choice) for choice in row.get("choices") or known),
                about=str(row.get("about") or ""),
            )


DECISIONS: Final[Mapping[str, str]] = {"approve": "", "reject": "reason", "halt": "reason", "review": "note"}
"""What may be said of an act that is there already, and what is to be said with it. No action has a name without a dot."""


NUMBERS: Final = frozenset({"amount", "for_seconds", "canary", "per_second", "halt_percent"})
"""Parameters that are whole numbers. Everything else stays text: a PSP's reference is made of digits and is no number."""
LISTS: Final = frozenset({"ids"})


SPANS: Final = frozenset({"for_seconds"})
"""Parameters that are lengths of time: 15m is typed more surely than 900."""
_UNITS: Final = {"s": 1, "m": 60, "h": 3_600}


def value_of(name: str, text: str) -> Any:
    """A parameter as it is sent. What cannot be one is sent as it is: the server says what is wrong with it."""
    if name in SPANS and text[-1:] in _UNITS and text[:-1].isascii() and text[:-1].isdigit() and len(text) <= 7:
        return int(text[:-1]) * _UNITS[text[-1]]
    if name in NUMBERS:
        return int(text) if text.lstrip("-").isdigit() and len(text) <= 15 else text
    if name in LISTS:
        return [one.strip() for one in text.split(",") if one.strip()]
    return text == "true" if text in ("true", "false") else text
