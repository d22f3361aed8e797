"""What one step of a payment writes, as one item for the journal: its events, the children they changed, the money they moved, what
merchants are told of them.

Pure but for the ids of announcements. Not here: committing it (`transaction`), which events are announced (`payorch.domain.announcements`).
"""

from __future__ import annotations

from typing import TypeVar

from actors.surroundings import Surroundings
from payorch.domain.announcements import ANNOUNCEMENTS_PER_EVENT, announcements
from payorch.domain.desk import Story
from payorch.domain.disputes import Dispute
from payorch.domain.movements import Movement, movements
from payorch.domain.records import Attempt, Operation, Payment
from payorch.store.items import Answer, Append, Claim, NoticeMark, OutboxRow

C = TypeVar("C", Attempt, Operation, Dispute)


def append_of(
    before: Payment | None,
    story: Story,
    around: Surroundings,
    *,
    claim: Claim | None = None,
    answer: Answer | None = None,
    notice: NoticeMark | None = None,
) -> Append:
    """The item that takes the payment from `before` (None: it does not exist yet) to where the story leaves it."""
    payment = story.payment
    return Append(
        payment=payment,
        expected_version=before.version if before is not None else 0,
        events=tuple(story.events),
        attempts=_changed(payment.attempts, before.attempts if before is not None else ()),
        operations=_changed(payment.operations, before.operations if before is not None else ()),
        disputes=_changed(payment.disputes, before.disputes if before is not None else ()),
        movements=moved(before, story),
        claim=claim,
        answer=answer,
        outbox=_announced(before, story, around),
        notice=notice,
    )


def moved(before: Payment | None, story: Story) -> tuple[Movement, ...]:
    """The money that the story moved, each event's in its place."""
    found: list[Movement] = []
    for event, payment in zip(story.events, story.after, strict=True):
        found += movements(before, payment, event)
        before = payment
    return tuple(found)


def _announced(before: Payment | None, story: Story, around: Surroundings) -> tuple[OutboxRow, ...]:
    rows = []
    for event, payment in zip(story.events, story.after, strict=True):
        for place, name in enumerate(announcements(before, event, payment)):
            event_id = around.office.identifier("evt")
            sequence = payment.version * ANNOUNCEMENTS_PER_EVENT + place
            body = around.announce(event_id, name, sequence, payment, event)
            rows.append(OutboxRow(event_id=event_id, type=name, body=body, sequence=sequence))
        before = payment
    return tuple(rows)


def _changed(now: tuple[C, ...], before: tuple[C, ...]) -> tuple[C, ...]:
    """The children that are new or not the very same records as before."""
    known = {one.id: one for one in before}
    return tuple(one for one in now if known.get(one.id) is not one)
