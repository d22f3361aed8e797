"""Matching: which of our movements a line of a settlement report is, by which key, and what does not fit. Pure, and explained.

A ladder of keys, the strongest first; what has the same amount and about the same date is only ever suggested to people. One movement
settles once, one line settles one movement. The result does not depend on the order of lines or candidates.

Not here: reading reports (each connector), finding candidates (`payorch.store.settlements`), days (`reconciliation`).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from msgspec import Struct

from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.settlement import Finding, Key, RowState, SettlementState


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """Something of ours that a line may be about: a movement, or an attempt or operation that has not moved anything as far as we know.

    kind: what the line would have to be. sequence, settlement: of the movement; None where nothing has moved. day: when it moved (or was
    asked for), in the PSP's time zone. state: the subject's own, as our books have it. unresolved: nobody knows yet whether it took
    effect. psp_operation, psp_payment, our_references: as in `SettlementRow`.
    """

    payment_id: str
    subject_id: str
    connector: str
    kind: MovementKind
    amount: Money
    day: date
    state: str
    unresolved: bool = False
    sequence: int | None = None
    settlement: SettlementState | None = None
    psp_operation: tuple[str, ...] = ()
    psp_payment: tuple[str, ...] = ()
    our_references: tuple[str, ...] = ()


class Tolerance(Struct, frozen=True, kw_only=True, gc=False):
    """What of a difference is not worth a person's time, in minor units: recorded with the match, and no finding. By default nothing."""

    amount_minor: int = 0
    fee_minor: int = 0


class Policy(Struct, frozen=True, kw_only=True, gc=False):
    """tolerances: by connector and currency. suggest_days: how far apart dates may be of what is suggested."""

    tolerances: Mapping[tuple[str, str], Tolerance] = {}
    suggest_days: int = 5


class Verdict(Struct, frozen=True, kw_only=True, gc=False):
    """What a line comes to. candidate: what it was matched with, or is evidence for. why: a sentence, for people.

    settlement: how the movement stands after it, where it was matched. suggestions: at most five, the likeliest first. tolerated: the
    difference that was let pass.
    """

    state: RowState
    why: str
    key: Key | None = None
    candidate: Candidate | None = None
    settlement: SettlementState | None = None
    findings: tuple[Finding, ...] = ()
    suggestions: tuple[Candidate, ...] = ()
    tolerated: Money | None = None
