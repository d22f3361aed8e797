"""What a plan about dead letters finds: how many of them would come to what, since when they wait, and whose money they are about.

A draft holds for these letters as they are: one more of the group, or one that somebody has answered meanwhile, makes another. Where a
group keeps growing, mark the letters that are meant. Not here: carrying it out (`dead_letters`), which letters are meant
(`dead_letter_scope`).
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from payorch.dead_letter_outlook import REPLAYABLE, Outlook, Prospect
from payorch.domain.acts import Check, Draft, Effect, Objection, Proof
from payorch.domain.differences import said
from payorch.domain.money import Money
from payorch.operations.replay_run import Pace
from payorch.store.items import DeadLetter, DeadLetterKind

MOST_PROOFS: Final = 5
"""Letters that a plan shows by themselves: the oldest."""
_WORDS: Final[Mapping[Prospect, str]] = {
    Prospect.APPLIES: "would be tried again at once",
    Prospect.WAITS: "would wait, because their endpoint is switched off",
    Prospect.SETTLED: "have had their effect already, and are left as they are",
    Prospect.LIFELESS: "have nothing left that could be tried, and are left as they are",
    Prospect.ANSWERED: "were answered by somebody already, and are left as they are",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """The letters that are meant, oldest first. payments: letter -> its payment, where it is known. money: of these payments, by currency.

    more: there are more of that fingerprint than one act takes.
    """

    outlooks: Sequence[Outlook]
    payments: Mapping[str, str]
    money: Sequence[Money]
    single: bool
    more: bool

    @property
    def letters(self) -> list[DeadLetter]:
        return [one.letter for one in self.outlooks]


def replay_draft(found: Found, pace: Pace) -> Draft:
    """A dry run of a replay."""
    able = [one for one in found.outlooks if one.prospect in REPLAYABLE]
    people = 1 if len(able) <= pace.canary else 2
    if people == 1:
        why = "one person may replay as many letters as are watched first"
    else:
        why = f"{len(able)} letters are more than the {pace.canary} that are watched first: a bulk takes two"
    objection = Objection(code="nothing_to_replay", why=_why_none(found))
    return Draft(
        effects=(*_effects(found), *_calls(able, pace)),
        people=people,
        why_people=why,
        version=_version(found),
        confirm=_confirm(found),
        undo="A replay is not taken back. Each letter takes effect once, however often it is replayed; if it dies again it is open again.",
        checks=(*_replay_checks(found, able), *_checks(found)),
        proofs=_proofs(found),
        objections=() if able else (objection,),
        amount=_amount(found),
    )


def discard_draft(found: Found) -> Draft:
    """A dry run of a discard."""
    able = [one for one in found.outlooks if one.prospect is not Prospect.ANSWERED]
    counts = Counter(one.letter.kind for one in able)
    effects = [
        Effect(what="dead_letter", before=f"{number} {kind.value} open", after="discarded for a reason; kept, and never tried again")
        for kind, number in sorted(counts.items())
    ]
    return Draft(
        effects=(*effects, *_money(found)),
        people=2,
        why_people="what is discarded never takes effect: that takes two",
        version=_version(found),
        confirm=_confirm(found),
        undo="A discarded letter is kept, and cannot be replayed any more.",
        checks=(*_discard_checks(able), *_checks(found)),
        proofs=_proofs(found),
        objections=() if able else (Objection(code="nothing_to_discard", why=_why_none(found)),),
        amount=_amount(found),
    )


def _effects(found: Found) -> list[Effect]:
    counts = Counter(one.prospect for one in found.outlooks)
    told = [
        Effect(what="dead_letter", before=f"{counts[prospect]} open" if prospect is not Prospect.ANSWERED else f"{counts[prospect]}",
               after=words)
        for prospect, words in _WORDS.items()
        if counts[prospect]
    ]  # fmt: skip
    return [*told, *_money(found)]


def _calls(able: Sequence[Outlook], pace: Pace) -> list[Effect]:
    if len(able) <= 1:
        return []
    first = min(pace.canary, len(able))
    rest = len(able) - first
    then = f"; then {rest} at {pace.per_second} a second" if rest else ""
    stop = f"; stops itself when more than {pace.halt_percent} % fail"
    return [Effect(what="pace", before="none is replayed", after=f"{first} first, watched until settled{then}{stop}")]


def _money(found: Found) -> list[Effect]:
    if not found.money:
        return []
    sums = ", ".join(said(one) for one in found.money)
    many = len(set(found.payments.values()))
    text = f"{many} {'payment' if many == 1 else 'payments'} of {sums} in all"
    return [Effect(what="money", before=text, after="moves only as each payment's own rules say")]


def _replay_checks(found: Found, able: Sequence[Outlook]) -> list[Check]:
    notices = [(one.letter.id, one.notice.refers) for one in able if one.notice is not None]
    checks = []
    if notices:
        strange = sum(refers.problem is not None for _, refers in notices)
        detail = f"{strange} were not understood when they came, and a replay does not change that" if strange else None
        checks.append(Check(what="they are understood", holds=not strange, detail=detail))
        unknown = sum(refers.problem is None and letter_id not in found.payments for letter_id, refers in notices)
        detail = f"of {unknown} nothing is known here yet: they would wait for it again" if unknown else None
        checks.append(Check(what="their payments are known here", holds=not unknown, detail=detail))
    waiting = {one.letter.origin for one in able if one.prospect is Prospect.WAITS}
    if any(one.letter.kind is DeadLetterKind.WEBHOOK_OUT for one in able):
        detail = f"switched off: {', '.join(sorted(waiting))}" if waiting else None
        checks.append(Check(what="their endpoints take events", holds=not waiting, detail=detail))
    return checks


def _discard_checks(able: Sequence[Outlook]) -> list[Check]:
    again = sum(one.prospect is Prospect.APPLIES for one in able)
    detail = f"{again} could be replayed instead" if again else None
    return [Check(what="none of them could be replayed", holds=not again, detail=detail)]


def _checks(found: Found) -> list[Check]:
    oldest = min((one.first_failed_at for one in found.letters), default=None)
    checks = [] if oldest is None else [Check(what="the oldest failed first", holds=True, detail=_moment(oldest))]
    if found.more:
        checks.append(Check(what="these are all of them", holds=False, detail="more of that fingerprint are open: plan again for the rest"))
    return checks


def _proofs(found: Found) -> tuple[Proof, ...]:
    return tuple(Proof(reference=one.id, at=one.last_failed_at, text=one.reason) for one in found.letters[:MOST_PROOFS])


def _why_none(found: Found) -> str:
    if not found.outlooks:
        return "no letter of that fingerprint is open: there is nothing to answer"
    if len(found.outlooks) == 1:
        return f"the letter {found.outlooks[0].text}"
    return "each of these letters " + ", or ".join(dict.fromkeys(one.text for one in found.outlooks))


def _confirm(found: Found) -> str:
    """The last characters of the one letter's id, or how many they are."""
    return found.letters[0].id[-4:] if found.single else str(len(found.letters))


def _amount(found: Found) -> Money | None:
    return found.money[0] if len(found.money) == 1 else None


def _version(found: Found) -> str:
    """Another one whenever there is one letter more or less, or one is not as it was."""
    lines = sorted(f"{one.id} {one.state} {one.attempts} {one.last_failed_at.isoformat()}" for one in found.letters)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def _moment(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
