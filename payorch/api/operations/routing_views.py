"""What the calls about routing hand in and out: the rules in force, and a wish to try others, with what is wrong with those.

Not here: rules (`payorch.domain.rules`), the calls (`routing`), decisions as JSON (`connector_views`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from payorch.api.present import View, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class RulesInForce:
    """since, by: of the record that they were loaded with; None where the journal does not tell. book: the rules for programs."""

    version: str
    since: datetime | None
    by: str | None
    book: Mapping[str, Any]
    doubts: Sequence[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparing:
    """Rules to be tried. routing: the text of a routing.toml; None: those in force. changes: laid over it. limit: of decisions."""

    routing: str | None = None
    changes: Mapping[str, Any] | None = None
    limit: int | None = None


class RulesUnusable(Exception):
    """The rules to be tried are not valid. faults: (JSON pointer into the body, what is wrong)."""

    def __init__(self, faults: Sequence[tuple[str, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("rules that cannot be used")


def rules_view(rules: RulesInForce) -> View:
    """The rules in force."""
    return {
        "object": "routing",
        "version": rules.version,
        "since": None if rules.since is None else rfc3339(rules.since),
        "by": rules.by,
        "book": dict(rules.book),
        "doubts": list(rules.doubts),
    }
