"""The table of acts as text for docs/operations.md: who may ask, how many people, what it takes, what it does, what undoes it.

Made from `acts.KINDS`, so that it cannot name an act, a role or a parameter that is not there; a test fails where the page is older.

    python -c "from payorch.domain.acts_in_words import table; print(table())"

Pure. Not here: what a single plan says (`payorch.operations`), which knows the payment, the letter or the day.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from payorch.domain.acts import KINDS, ActName, Kind


class Words(Struct, frozen=True, kw_only=True):
    """What the table of acts leaves to the planners, in a few words. people: as many as it takes, and when."""

    people: str
    does: str
    undone: str


WORDS: Final[Mapping[ActName, Words]] = {
    ActName.PAYMENT_RESYNC: Words(people="1", does="asks the PSP now what became of it", undone="nothing to undo"),
    ActName.PAYMENT_RESOLVE: Words(
        people="2",
        does="writes what people found out elsewhere, with where one sees it; the books follow",
        undone="not by itself: what a PSP says later leads to MANUAL_REVIEW",
    ),
    ActName.PAYMENT_CAPTURE: Words(
        people="1 up to `approvals.alone_up_to`, else 2", does="takes what is held, or a part", undone="only refunded"
    ),
    ActName.PAYMENT_VOID: Words(people="1 up to `approvals.alone_up_to`, else 2", does="releases what is held", undone="not undone"),
    ActName.PAYMENT_REFUND: Words(
        people="1 up to `approvals.alone_up_to`, else 2", does="gives back what was taken, or a part", undone="not undone"
    ),
    ActName.PAYMENT_RELEASE: Words(
        people="1", does="has a payment dealt with again that was set aside", undone="set aside again by itself where it fails again"
    ),
    ActName.DEAD_LETTER_REPLAY: Words(
        people="1 up to the canary, else 2", does="tries again: a canary, then the rest, with a stop of its own", undone="not taken back"
    ),
    ActName.DEAD_LETTER_DISCARD: Words(people="2", does="gives up for a reason; kept, and never tried again", undone="not undone"),
    ActName.BREAKER_FORCE_OPEN: Words(
        people="2", does="lets no call of that kind pass, for so long", undone="reset; ends by itself and is tried then"
    ),
    ActName.BREAKER_FORCE_CLOSED: Words(people="2", does="lets every call of that kind pass, for so long", undone="reset; ends by itself"),
    ActName.BREAKER_RESET: Words(people="1", does="gives the circuit back to itself, closed", undone="nothing to undo"),
    ActName.CONNECTOR_DRAIN: Words(
        people="2", does="sends it no new payments, for so long; what is under way goes on", undone="resume; ends by itself"
    ),
    ActName.CONNECTOR_RESUME: Words(people="1", does="ends a drain", undone="drain it again"),
    ActName.ROUTING_RELOAD: Words(
        people="2", does="puts the rules of `config/routing.toml` in force", undone="write the old rules back and load them"
    ),
    ActName.WEBHOOK_RESEND: Words(people="1", does="tells the merchant an event again, under the same id", undone="nothing to undo"),
    ActName.SETTLEMENT_REVIEW: Words(people="1", does="explains a finding; the difference stays counted", undone="not undone"),
    ActName.SETTLEMENT_LINK: Words(people="2", does="says which movement of ours a line is", undone="not undone"),
    ActName.SETTLEMENT_ACCEPT: Words(
        people="1 up to `accept_minor`, else 2", does="takes a difference as won or lost", undone="not undone"
    ),
    ActName.SETTLEMENT_PSP_ERROR: Words(
        people="1", does="explains a finding by the PSP's mistake: a claim that stays visible", undone="not undone"
    ),
    ActName.SETTLEMENT_CLOSE_DAY: Words(people="1", does="closes a day of which nothing is unexplained", undone="reopen the day"),
    ActName.SETTLEMENT_REOPEN_DAY: Words(people="1", does="opens it again; what it was closed with is kept", undone="close it again"),
}
"""Total over ActName."""

SUBJECTS: Final[Mapping[str, str]] = {
    "payment": "`pay_...`",
    "dead_letters": "`dlq_...`, a fingerprint, or `marked`",
    "circuit": "`connector/operation`, or `connector` for all five",
    "connector": "its name",
    "routing": "`routing`",
    "event": "`evt_...`",
    "finding": "`fnd_...`",
    "day": "`2026-01-31/connector/EUR`",
}
"""How each kind of subject is written."""


def table() -> str:
    """All of it, in Markdown."""
    lines = ["| act | what it does | of | takes (`?`: may be left out) | role | people | undone |", "|---|---|---|---|---|---|---|"]
    return "\n".join([*lines, *(_row(name, kind, WORDS[name]) for name, kind in KINDS.items())]) + "\n"


def _row(name: ActName, kind: Kind, words: Words) -> str:
    takes = ", ".join(f"`{one}`" for one in kind.parameters)
    return f"| `{name}` | {words.does} | {SUBJECTS[kind.subject]} | {takes} | {kind.least} | {words.people} | {words.undone} |"
