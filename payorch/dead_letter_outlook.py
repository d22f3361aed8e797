"""What a replay of a dead letter would come to, and the decision to replay or discard one: for the command line and for operators alike.

Nothing is written here. Whoever writes either holds the journal's head while he decides (`dead_letter_desk`), or writes under the number
that the letter's stream had before he looked (`operations.dead_letters`): both ways one letter is changed by one person.

Not here: the change itself (`payorch.store.dead_letters`), what becomes of a letter afterwards (`operations.dead_letter_watch`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

import msgspec

from payorch.store import dead_letters, delivery_reads, inbox_reads
from payorch.store.dead_letters import NoOtherLife, Subject
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.inbox_reads import Reference, StoredNotice
from payorch.store.items import DeadLetter, DeadLetterKind, DeadLetterState, EndpointState, NoticeState


class Prospect(StrEnum):
    """What a replay would come to, as far as can be said before."""

    APPLIES = "applies"  # it is tried again at once
    WAITS = "waits"  # it is due, and its endpoint is switched off
    SETTLED = "settled"  # it has had its effect already
    LIFELESS = "lifeless"  # there is nothing left that could be tried
    ANSWERED = "answered"  # somebody has replayed or discarded it


REPLAYABLE = frozenset({Prospect.APPLIES, Prospect.WAITS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Outlook:
    """One letter and what a replay of it would come to. text: in words, where it cannot be replayed. notice: what died, if it was one."""

    letter: DeadLetter
    prospect: Prospect
    text: str = ""
    notice: StoredNotice | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What became of one letter, in words; `changed`: whether anything did. waits: it was, and its endpoint is switched off."""

    id: str
    changed: bool
    text: str
    waits: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """What is to be written, and what is to be said of it once it is."""

    change: Change
    verdict: Verdict


async def outlooks(connection: Connection, letters: Sequence[DeadLetter]) -> list[Outlook]:
    """Of each of these letters, in their order."""
    subjects = [msgspec.json.decode(one.subject, type=Subject) for one in letters]
    named = [one.notice for one in subjects if one.notice is not None]
    notices = {one.id: one for one in await inbox_reads.load_notices(connection, named)} if named else {}
    states = {
        origin: await _endpoint_state(connection, origin)
        for origin in dict.fromkeys(one.origin for one in letters if one.kind is DeadLetterKind.WEBHOOK_OUT)
    }
    return [
        _outlook(letter, states.get(letter.origin), notices.get(subject.notice or ""))
        for letter, subject in zip(letters, subjects, strict=True)
    ]


async def payments_of(connection: Connection, some: Sequence[Outlook]) -> dict[str, str]:
    """Letter -> the payment it is about, of those whose payment is known by now."""
    found = {one.letter.id: one.letter.payment_id for one in some if one.letter.payment_id is not None}
    rest = [(one.letter.id, one.notice) for one in some if one.letter.payment_id is None and one.notice is not None]
    if rest:
        references = [Reference(connector=notice.connector, refers=notice.refers) for _, notice in rest]
        for (letter_id, _), payment_id in zip(rest, await inbox_reads.find_payments(connection, references), strict=True):
            if payment_id is not None:
                found[letter_id] = payment_id
    return found


async def replay_of(connection: Connection, letter_id: str, *, at: datetime, by: str, reason: str | None) -> Decided | Verdict:
    """The replay of that letter; a Verdict alone where it is left as it is."""
    letter = await _open_one(connection, letter_id)
    if isinstance(letter, Verdict):
        return letter
    (outlook,) = await outlooks(connection, [letter])
    if outlook.prospect not in REPLAYABLE:
        return Verdict(id=letter_id, changed=False, text=outlook.text)
    waits = outlook.prospect is Prospect.WAITS
    text = "replayed; it waits until its endpoint is enabled again" if waits else "replayed"
    change = dead_letters.replayed(letter, at=at, by=by, reason=reason)
    return Decided(change=change, verdict=Verdict(id=letter_id, changed=True, text=text, waits=waits))


async def discard_of(connection: Connection, letter_id: str, *, at: datetime, by: str, reason: str) -> Decided | Verdict:
    """The discard of that letter; a Verdict alone where it is left as it is."""
    letter = await _open_one(connection, letter_id)
    if isinstance(letter, Verdict):
        return letter
    change = dead_letters.discarded(letter, at=at, by=by, reason=reason)
    return Decided(change=change, verdict=Verdict(id=letter_id, changed=True, text="discarded"))


async def _open_one(connection: Connection, letter_id: str) -> DeadLetter | Verdict:
    letter = await dead_letters.load(connection, letter_id)
    if letter is None:
        return Verdict(id=letter_id, changed=False, text="there is no such dead letter")
    if letter.state is not DeadLetterState.OPEN:
        return Verdict(id=letter_id, changed=False, text=f"is {letter.state.value} already")
    return letter


async def _endpoint_state(connection: Connection, endpoint_id: str) -> EndpointState:
    found = await delivery_reads.endpoint(connection, endpoint_id)
    return EndpointState.DELETED if found is None else found.state


def _outlook(letter: DeadLetter, endpoint: EndpointState | None, notice: StoredNotice | None) -> Outlook:
    prospect, text = Prospect.APPLIES, ""
    if letter.state is not DeadLetterState.OPEN:
        prospect, text = Prospect.ANSWERED, f"is {letter.state.value} already"
    elif endpoint is EndpointState.DELETED:
        prospect, text = Prospect.LIFELESS, "its endpoint is deleted: nobody would take it. Discard it"
    elif endpoint is EndpointState.DISABLED:
        prospect, text = Prospect.WAITS, "it would wait until its endpoint is enabled again"
    elif notice is not None and notice.state in (NoticeState.APPLIED, NoticeState.IGNORED):
        prospect, text = Prospect.SETTLED, "is left as it is: it has had its effect meanwhile"
    elif notice is not None and not notice.content:
        prospect, text = (
            Prospect.LIFELESS,
            "is left as it is: its contents are not kept any more. Ask the PSP to send it again, or discard it",
        )
    else:
        try:
            dead_letters.require_another_life(letter)
        except NoOtherLife as refusal:
            prospect, text = Prospect.LIFELESS, f"is left as it is: {refusal}"
    return Outlook(letter=letter, prospect=prospect, text=text, notice=notice)
