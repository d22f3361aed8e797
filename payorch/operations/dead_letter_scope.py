"""Which dead letters an act is about, and at what pace, read from what somebody asked for. Raises Nonsense.

A subject is one letter (`dlq_...`), those that failed alike (their fingerprint), or `marked` with their ids.

Not here: what is done to them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from payorch.domain.acts import Nonsense
from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.operations.replay_run import Pace

MARKED: Final = "marked"
MOST_LETTERS: Final = 1000
"""In one act. Whoever answers for them can still look through them, and what is written down after each chunk stays below 40 kB."""
MOST_CANARIES: Final = 5
FASTEST_PER_SECOND: Final = 50
"""Replays beside the day's business: a tenth of what the platform takes in by itself."""
DEFAULT_PACE: Final = Pace(canary=1, per_second=10, halt_percent=10)
LONGEST_FINGERPRINT: Final = 500


class Scope(Struct, frozen=True, kw_only=True):
    """ids: those that were named; fingerprint: of all that failed alike. One of the two. single: one letter is the subject itself."""

    ids: tuple[str, ...] = ()
    fingerprint: str | None = None
    single: bool = False


def scope_of(subject: str, parameters: Mapping[str, Any]) -> Scope:
    """The letters that are meant."""
    if _is_letter(subject):
        _refuse_also(parameters, "ids", "fingerprint")
        return Scope(ids=(subject,), single=True)
    if subject == MARKED:
        _refuse_also(parameters, "fingerprint")
        return Scope(ids=_ids(parameters.get("ids")))
    _refuse_also(parameters, "ids")
    if parameters.get("fingerprint") not in (None, subject):
        raise Nonsense("/parameters/fingerprint", "The subject is another fingerprint: leave this out.")
    if not 1 <= len(subject) <= LONGEST_FINGERPRINT:
        raise Nonsense("/subject", "This is the id of a dead letter (dlq_...), a fingerprint, or `marked` with ids.")
    return Scope(fingerprint=subject)


def pace_of(parameters: Mapping[str, Any]) -> Pace:
    """How fast, and when it stops itself; what was not said is as usual."""
    return Pace(
        canary=_whole(parameters, "canary", DEFAULT_PACE.canary, 1, MOST_CANARIES),
        per_second=_whole(parameters, "per_second", DEFAULT_PACE.per_second, 1, FASTEST_PER_SECOND),
        halt_percent=_whole(parameters, "halt_percent", DEFAULT_PACE.halt_percent, 0, 100),
    )


def _ids(given: object) -> tuple[str, ...]:
    if not isinstance(given, list | tuple) or not 1 <= len(given) <= MOST_LETTERS:
        raise Nonsense("/parameters/ids", f"These are 1 to {MOST_LETTERS} ids of dead letters.")
    for n, one in enumerate(given):
        if not isinstance(one, str) or not _is_letter(one):
            raise Nonsense(f"/parameters/ids/{n}", "This is the id of a dead letter, as in dlq_.")
    return tuple(sorted(dict.fromkeys(given)))


def _is_letter(text: str) -> bool:
    try:
        return parse(text)[0] == "dlq"
    except MalformedIdentifier:
        return False


def _refuse_also(parameters: Mapping[str, Any], *names: str) -> None:
    for name in names:
        if parameters.get(name) is not None:
            raise Nonsense(f"/parameters/{name}", "The subject says already which letters are meant: leave this out.")


def _whole(parameters: Mapping[str, Any], name: str, usual: int, least: int, most: int) -> int:
    value = parameters.get(name)
    if value is None:
        return usual
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise Nonsense(f"/parameters/{name}", f"This is a whole number from {least} to {most}.")
    return value
