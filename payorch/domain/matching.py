"""Matching: which of our movements a line of a settlement report is, by which key, and what does not fit. Pure, and explained.

    1. psp_operation   the line and ours have the PSP's id of exactly this movement in common
    2. our_operation   the line names our own id of it
    3. psp_payment     both are of the same payment, by an id of the PSP's or of ours, and have the same kind, amount and currency

A stronger key decides alone: where its movement has a line already, this one is booked twice, and no weaker key is asked. Of several
movements that a key leads to (captures of one charge), those of the line's amount are meant, and of them one that has no line yet. What has
the same amount and about the same date is only ever suggested to people. One movement settles once, one line settles one movement, and the
result does not depend on the order of lines or candidates.

A line about something that has not moved, as far as we know, is evidence: its payment is to weigh it before it counts. So is one about a
payment that we know, of a kind or amount that it has not: what only the PSP did (a chargeback, a refund made at its desk) is learned so.
A line whose sign is not its kind's (a capture that takes money out) proves nothing, and where it has a movement, its amount is wrong by
both amounts together.

Not here: reading reports (each connector), finding candidates (`payorch.store.settlements`), what a difference is called and comes to
(`differences`), days (`reconciliation`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date
from enum import IntEnum
from typing import Final, NamedTuple, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from payorch.domain.differences import named, of_amount, of_currency, said, unexpected
from payorch.domain.money import Money
from payorch.domain.movements import MovementKind
from payorch.domain.payment import OPEN_ATTEMPT, OPEN_OPERATION, AttemptState
from payorch.domain.settlement import INWARD, OF_PAYMENTS, Finding, FindingKind, Key, RowState, SettlementRow, SettlementState

MOST_SUGGESTIONS: Final = 5
"""More than a person can compare on one screen."""


class Candidate(Struct, frozen=True, kw_only=True, gc=False):
    """Something of ours that a line may be about: a movement, or an attempt or operation that has not moved anything as far as we know.

    kind: what the line would have to be. subject_id: in the form in which it is sent to PSPs, so that it can be found among a line's
    references. sequence, settlement: of the movement; None where nothing has moved. One that no line was matched with is PENDING here,
    whatever people have said about its being missing: the line may still come. day: when it moved (or was asked for), in the PSP's time
    zone. state: the subject's own, as our books have it. unresolved: nobody knows yet whether it took effect. psp_operation, psp_payment,
    our_references: as in `SettlementRow`.
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
    """What of a difference is not worth a person's time, in minor units: recorded with the match, and no finding. By default nothing.

    accept_minor: up to which difference one person alone may accept a finding; above it takes two.
    """

    amount_minor: int = 0
    fee_minor: int = 0
    accept_minor: int = 0


class Policy(Struct, frozen=True, kw_only=True, gc=False):
    """tolerances: by connector and currency. suggest_days: how far apart dates may be of what is suggested."""

    tolerances: Mapping[tuple[str, str], Tolerance] = {}
    suggest_days: int = 5

    def tolerance(self, connector: str, currency: str) -> Tolerance:
        """That of the connector's in that currency; none where nothing was said."""
        return self.tolerances.get((connector, currency), EXACT)


EXACT: Final = Tolerance()


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


class _Standing(IntEnum):
    """How a candidate stands, the likeliest to be meant first."""

    FREE = 0  # a movement that has no line yet
    UNRESOLVED = 1  # nobody here knows whether it took effect
    HELD = 2  # an attempt that holds money, which only its captures take
    TAKEN = 3  # it has a line already
    OTHERWISE = 4  # by our books it surely did not move anything


class _Option(NamedTuple):
    """A candidate that a key leads to. tier: of the key, 0 is the strongest. place: of the id among the line's, the most telling first."""

    tier: int
    place: int
    shared: str
    candidate: Candidate


_Id: TypeAlias = tuple[str, int | None, str, MovementKind]

_KEYS: Final = (Key.PSP_OPERATION, Key.OUR_OPERATION, Key.PSP_PAYMENT, Key.OUR_OPERATION)
_OPERATION, _OURS, _PAYMENT, _LAST, _RELATIVE, _NOTHING = range(6)
_NOT_YET: Final = frozenset(str(state) for state in OPEN_ATTEMPT | OPEN_OPERATION)
_ASKED_FOR: Final = frozenset({MovementKind.CAPTURE, MovementKind.REFUND})
"""What we ask PSPs for, so that our books can deny it. Disputes and reversals are the PSP's to tell, and a line that does is news."""
_WITHOUT_LINE: Final = (None, SettlementState.PENDING)
_HOLDS: Final = str(AttemptState.AUTHORIZED)
_OPERATIONS_TAKE: Final = frozenset({_HOLDS, str(AttemptState.VOIDED)})
"""An attempt of such a state held money and took none by itself: a line that names it is rather about one of its captures."""


def match(row: SettlementRow, candidates: Sequence[Candidate], policy: Policy, *, connector: str) -> Verdict:
    """What that line of that connector's report is. candidates: whatever of ours shares an id with it, and for suggestions what is as large
    and about as old.
    """
    if row.kind not in OF_PAYMENTS:
        return _beside(row)
    return _Judge(policy, connector).verdict(row, candidates, *_sorted_out(row, candidates, connector))


def match_all(
    rows: Sequence[SettlementRow], candidates_of: Callable[[SettlementRow], Sequence[Candidate]], policy: Policy, *, connector: str
) -> list[Verdict]:
    """What each of those lines is, in their order, where no two of them may have the same movement.

    The one with the stronger key has it; of two with the same, the one that fits exactly, then the one that has no other choice, then the
    one of the smaller identity. The other takes another movement that the same key leads to, or is a duplicate. Of lines that have the same
    identity all but the first in the file are duplicates.
    """
    first: dict[str, int] = {}
    for row in rows:
        if first.setdefault(row.identity, row.line) > row.line:
            first[row.identity] = row.line
    verdicts: dict[int, Verdict] = {}
    queue = []
    for number, row in enumerate(rows):
        if first[row.identity] != row.line:
            verdicts[number] = repetition(row)
        elif row.kind not in OF_PAYMENTS:
            verdicts[number] = _beside(row)
        else:
            candidates = candidates_of(row)
            options, relatives = _sorted_out(row, candidates, connector)
            queue.append((_turn(row, options, relatives), number, row, candidates, options, relatives))
    queue.sort(key=lambda waiting: waiting[0])
    judge = _Judge(policy, connector)
    for _, number, row, candidates, options, relatives in queue:
        verdicts[number] = judge.verdict(row, candidates, options, relatives)
    return [verdicts[number] for number in range(len(rows))]


def repetition(row: SettlementRow) -> Verdict:
    """Of a line whose identity an earlier line of the same report has."""
    why = f"the booking {row.identity} stands in this report twice"
    return Verdict(state=RowState.DUPLICATE, why=why, findings=(unexpected(FindingKind.DUPLICATE, row, why),))


def _beside(row: SettlementRow) -> Verdict:
    return Verdict(state=RowState.BESIDE, why=f"a {named(row.kind)} is of no payment")


# --- the ladder -------------------------------------------------------------------------------------------------------------------------


def _sorted_out(row: SettlementRow, candidates: Iterable[Candidate], connector: str) -> tuple[list[_Option], list[_Option]]:
    """What the keys lead to; and, without a key, what is of the same payment or subject but has another kind or amount."""
    kind, operations, references = str(row.kind), row.psp_operation, row.our_references
    options: list[_Option] = []
    relatives: list[_Option] = []
    for candidate in candidates:
        if candidate.connector != connector:
            continue
        theirs = candidate.psp_operation
        if operations and theirs and candidate.kind == kind and operations[0] in theirs:
            options.append(_Option(_OPERATION, 0, operations[0], candidate))
            continue
        option = _key(row, candidate, operations, references)
        if option is None:
            continue
        exact = candidate.amount.minor == abs(row.gross.minor) and candidate.amount.currency == row.gross.currency
        (options if candidate.kind == kind and (option.tier < _PAYMENT or exact) else relatives).append(option)
    return options, relatives


def _key(row: SettlementRow, candidate: Candidate, operations: tuple[str, ...], references: tuple[str, ...]) -> _Option | None:
    theirs = candidate.psp_operation
    for place, one in enumerate(operations):
        if one in theirs:
            return _Option(_OPERATION, place, one, candidate)
    if candidate.subject_id in references:
        last = candidate.sequence is None and candidate.state in _OPERATIONS_TAKE
        return _Option(_LAST if last else _OURS, references.index(candidate.subject_id), candidate.subject_id, candidate)
    payments = candidate.psp_payment
    for one in (*row.psp_payment, *operations):
        if one in payments or one in theirs:
            return _Option(_PAYMENT, 0, one, candidate)
    for one in references:
        if one in candidate.our_references:
            return _Option(_PAYMENT, 0, one, candidate)
    return None


def _turn(row: SettlementRow, options: list[_Option], relatives: list[_Option]) -> tuple[int, int, bool, bool, str]:
    """When a line has its turn to choose among those of its chunk, no two of which have the same identity."""
    if not options:
        return (_RELATIVE if relatives else _NOTHING, 0, False, False, row.identity)
    best = options[0] if len(options) == 1 else min(options, key=lambda option: option[:2])
    inexact = all(_inexact(row, option.candidate) for option in options if option[:2] == best[:2])
    return (best.tier, best.place, inexact, len(options) > 1, row.identity)


def _inexact(row: SettlementRow, candidate: Candidate) -> bool:
    return candidate.amount.minor != abs(row.gross.minor) or candidate.amount.currency != row.gross.currency


def _id(candidate: Candidate) -> _Id:
    return (candidate.payment_id, candidate.sequence, candidate.subject_id, candidate.kind)


def _standing(candidate: Candidate, taken: Collection[_Id]) -> _Standing:
    if _id(candidate) in taken:
        return _Standing.TAKEN
    if candidate.sequence is not None:
        return _Standing.FREE if candidate.settlement in _WITHOUT_LINE else _Standing.TAKEN
    if candidate.unresolved or candidate.state in _NOT_YET or candidate.kind not in _ASKED_FOR:
        return _Standing.UNRESOLVED
    return _Standing.HELD if candidate.state == _HOLDS else _Standing.OTHERWISE


def _near(row: SettlementRow, candidate: Candidate) -> tuple[int, str, int, str, str]:
    """The nearest date first, then whatever makes the order of candidates a total one."""
    return (abs((candidate.day - row.booked_on).days), candidate.payment_id, candidate.sequence or 0, candidate.subject_id, candidate.kind)


def _another(row: SettlementRow, candidate: Candidate) -> bool:
    """Whether both have an id of the PSP's for exactly this, and they are not the same: rather another operation than this one."""
    ours = candidate.psp_operation
    return bool(row.psp_operation and ours) and not any(one in ours for one in row.psp_operation)


# --- the verdict ------------------------------------------------------------------------------------------------------------------------


class _Judge:
    """Judges lines one after the other. What it has given to one it gives to no other."""

    __slots__ = ("connector", "policy", "taken")

    def __init__(self, policy: Policy, connector: str) -> None:
        self.policy = policy
        self.connector = connector
        self.taken: set[_Id] = set()

    def verdict(
        self, row: SettlementRow, candidates: Sequence[Candidate], options: Sequence[_Option], relatives: Sequence[_Option]
    ) -> Verdict:
        if not options:
            return self._without_counterpart(row, candidates, relatives)
        option = options[0] if len(options) == 1 else min(options, key=lambda one: self._rank(row, one))
        standing = _standing(option.candidate, self.taken)
        if standing is _Standing.TAKEN:
            return _duplicate(row, option)
        if standing is not _Standing.FREE and not _of_its_sign(row):
            return self._unmatched(row, candidates)
        self.taken.add(_id(option.candidate))
        if standing is _Standing.FREE:
            return self._matched(row, option)
        return _evidence(row, option, standing)

    def _rank(self, row: SettlementRow, option: _Option) -> tuple[object, ...]:
        candidate = option.candidate
        standing = _standing(candidate, self.taken)
        inexact, another = _inexact(row, candidate), option.tier == _PAYMENT and _another(row, candidate)
        return (option.tier, option.place, inexact, standing, another, _near(row, candidate))

    def _matched(self, row: SettlementRow, option: _Option) -> Verdict:
        candidate, why, key = option.candidate, f"matched by {_by(row, option)}", _KEYS[option.tier]
        gross, amount = row.gross, candidate.amount
        inward = row.kind in INWARD
        difference = gross.minor - (amount.minor if inward else -amount.minor)
        if gross.currency == amount.currency and not difference:
            return Verdict(state=RowState.MATCHED, why=why, key=key, candidate=candidate, settlement=SettlementState.SETTLED)
        found = of_currency(row, amount) if gross.currency != amount.currency else of_amount(row, amount)
        tolerance = self.policy.tolerance(self.connector, gross.currency).amount_minor
        if found.kind is FindingKind.AMOUNT and abs(difference) <= tolerance and _of_its_sign(row):
            tolerated, settled = found.difference, SettlementState.SETTLED
            why = f"{why}; a difference of {said(Money(difference, gross.currency))} was let pass"
            return Verdict(state=RowState.MATCHED, why=why, key=key, candidate=candidate, settlement=settled, tolerated=tolerated)
        mismatched = SettlementState.MISMATCHED
        return Verdict(state=RowState.MATCHED, why=why, key=key, candidate=candidate, settlement=mismatched, findings=(found,))

    def _without_counterpart(self, row: SettlementRow, candidates: Sequence[Candidate], relatives: Sequence[_Option]) -> Verdict:
        """No key leads anywhere. Of a payment that we know it is news, which the payment is to weigh."""
        if not relatives or not _of_its_sign(row):
            return self._unmatched(row, candidates)
        kind = str(row.kind)
        near = sorted(relatives, key=lambda one: (one.tier, one.place, one.candidate.kind != kind, _near(row, one.candidate)))
        same = [one.candidate for one in near if one.candidate.kind == kind and self._free(one.candidate)]
        # What it is about is the payment, not a movement that another line may settle.
        about = replace(near[0].candidate, sequence=None, settlement=None)
        why = f"the payment is known by {near[0].shared}, and nothing of it is a {named(row.kind)} of {said(row.gross)}"
        return Verdict(
            state=RowState.EVIDENCE, why=why, key=_KEYS[near[0].tier], candidate=about, suggestions=tuple(same[:MOST_SUGGESTIONS])
        )

    def _unmatched(self, row: SettlementRow, candidates: Sequence[Candidate]) -> Verdict:
        why = f"nothing of ours is the {named(row.kind)} of {said(row.gross)} that the PSP books as {_called(row)}"
        if not _of_its_sign(row):
            way = "takes nothing out of the balance" if row.kind not in INWARD else "brings nothing into the balance"
            why = f"{why}; and it {way}, as a {named(row.kind)} does"
        found = unexpected(FindingKind.MISSING_HERE, row, why)
        return Verdict(state=RowState.UNMATCHED, why=why, findings=(found,), suggestions=self._suggestions(row, candidates))

    def _suggestions(self, row: SettlementRow, candidates: Sequence[Candidate]) -> tuple[Candidate, ...]:
        kind, minor, currency = str(row.kind), abs(row.gross.minor), row.gross.currency
        like = [
            one
            for one in candidates
            if one.connector == self.connector
            and one.amount.minor == minor
            and one.amount.currency == currency
            and abs((one.day - row.booked_on).days) <= self.policy.suggest_days
            and _standing(one, self.taken) is not _Standing.TAKEN
        ]
        like.sort(key=lambda one: (one.kind != kind, _near(row, one)))
        return tuple(like[:MOST_SUGGESTIONS])

    def _free(self, candidate: Candidate) -> bool:
        return _standing(candidate, self.taken) is _Standing.FREE


def _of_its_sign(row: SettlementRow) -> bool:
    return row.gross.minor > 0 if row.kind in INWARD else row.gross.minor < 0


def _called(row: SettlementRow) -> str:
    return next(iter((*row.psp_operation, *row.psp_payment)), row.identity)


def _by(row: SettlementRow, option: _Option) -> str:
    if option.tier == _OPERATION:
        return f"the PSP's id {option.shared} of the {named(row.kind)}"
    if option.tier == _PAYMENT:
        return f"the payment's id {option.shared}, the kind and the amount"
    return f"our own id {option.shared} of the {named(row.kind)}"


def _duplicate(row: SettlementRow, option: _Option) -> Verdict:
    why = f"a second booking of what has its line already, by {_by(row, option)}"
    found = unexpected(FindingKind.DUPLICATE, row, why)
    return Verdict(state=RowState.DUPLICATE, why=why, key=_KEYS[option.tier], candidate=option.candidate, findings=(found,))


def _evidence(row: SettlementRow, option: _Option, standing: _Standing) -> Verdict:
    candidate, key = option.candidate, _KEYS[option.tier]
    why = f"the report books it, which we do not know to have happened, by {_by(row, option)}"
    if standing is not _Standing.OTHERWISE:
        return Verdict(state=RowState.EVIDENCE, why=why, key=key, candidate=candidate)
    detail = f"the PSP books a {named(row.kind)} of {said(row.gross)} as {_called(row)}, and our books say {candidate.state}"
    found = unexpected(FindingKind.STATUS_CONFLICT, row, detail)
    return Verdict(state=RowState.EVIDENCE, why=why, key=key, candidate=candidate, findings=(found,))
