"""Rules of routing that somebody wants to try: out of a text as in routing.toml, or of changes to the rules in force, checked as a whole.

What is wrong is told with JSON pointers, all at once. Nothing is kept and no file is read but the shipped one, above which a text stands as
a file of the configuration does. Not here: deciding by them (`payorch.operations.decisions`), what the platform loads (`payorch.routes`).
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final

from pydantic import ValidationError

from payorch.configuration import shipped_folder
from payorch.routing_settings import Place, RoutingSettings, contradictions

MOST_FAULTS: Final = 20
"""Enough to correct a text in one go."""


class RulesFaulty(Exception):
    """The rules cannot be used. faults: (place below `routing`, what is wrong there)."""

    def __init__(self, faults: Iterable[tuple[Place, str]]) -> None:
        self.faults = tuple(faults)[:MOST_FAULTS]
        super().__init__(f"{len(self.faults)} faults")


def rules_from_text(text: str) -> dict[str, Any]:
    """The tables of a text as in routing.toml, with the shipped ones below. Raises RulesFaulty."""
    try:
        written = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise RulesFaulty([((), f"This is not TOML: {error}.")]) from None
    shipped = tomllib.loads((shipped_folder() / "routing.toml").read_text(encoding="utf-8"))
    return changed(shipped, written)


def changed(tables: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The tables with these changes: tables in tables one by one, everything else, lists too, as a whole."""
    whole = dict(tables)
    for name, value in changes.items():
        before = whole.get(name)
        whole[name] = changed(before, value) if isinstance(before, Mapping) and isinstance(value, Mapping) else value
    return whole


def checked(tables: Mapping[str, Any], connectors: Collection[str]) -> RoutingSettings:
    """The rules, where nothing is wrong with them. connectors: all that are configured. Raises RulesFaulty."""
    try:
        routing = RoutingSettings.model_validate(tables)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    else:
        faults = list(contradictions(routing, connectors))
        if faults:
            raise RulesFaulty(faults)
        return routing
    # Outside of the handler: pydantic's own text, chained to ours, holds what was sent.
    raise RulesFaulty((one["loc"], _sentence(one["type"], one["msg"])) for one in found)


def _sentence(kind: str, message: str) -> str:
    told = {"extra_forbidden": "there is no such thing", "missing": "is missing"}.get(kind, message)
    return told.removeprefix("Value error, ").removeprefix("Input ")
