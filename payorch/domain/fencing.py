"""The fence: where a PSP cannot be asked, an order by our reference alone that keeps an attempt of unknown outcome from ever holding money.

It gives back whatever the attempt may hold, so it is never sent while the payment is wanted and the same bytes may still be replayed: then
finding out is better than ending. It has a PSP key of its own, is committed before it is sent, and goes out again, the same, by the
schedule of the search. Its answer proves nothing, whatever it says. What proves that the attempt is fenced off is a notice that tells of
its release.

Pure. Not here: when it is the turn of a fence (`proof`), what the notice leads to (`weigh`).
"""

from __future__ import annotations

from msgspec.structs import replace

from payorch.domain.decide import psp_key
from payorch.domain.desk import Desk, Story
from payorch.domain.events import FenceOpened
from payorch.domain.outcome import ErrorClass, Evidence, Failure, NotExecuted, Unknown
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.records import Attempt, Fence, Payment


def may_fence(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether the attempt's outcome is being searched for, at a PSP that has such a call. Where a replay is legal, that comes first."""
    unknown = payment.state is State.OUTCOME_UNKNOWN and attempt.state is AttemptState.UNKNOWN
    return unknown and payment.hold is None and desk.manifests[attempt.connector].cancel_by_reference


def fence(story: Story, attempt: Attempt) -> Fence | None:
    """The fence as it is to be sent now: prepared with the first time, and the same ever after. None where it cannot be built."""
    if attempt.fence is not None or not may_fence(story.payment, attempt, story.desk):
        return attempt.fence
    desk = story.desk
    call = desk.prepare_fence(attempt)
    if call is None:
        return None
    made = Fence(call=call, psp_key=psp_key(f"{attempt.id}_fence", desk.manifests[attempt.connector]), prepared_at=desk.at)
    story.tell(Name.FENCE_PREPARED, FenceOpened(attempt_id=attempt.id, fence=made))
    return made


def word_of_a_fence(evidence: Evidence) -> Evidence:
    """What may be kept of the answer to a fence: that it was sent, or surely was not. Its ids are of the fence, and nothing else counts."""
    finding = evidence.finding
    if not (isinstance(finding, NotExecuted) and not finding.sent):
        why = "The PSP took the order to fence the payment off; what came of it, it tells by a notice."
        finding = Unknown(failure=Failure(error_class=ErrorClass.UNKNOWN_OUTCOME, code="fence_sent", message=why))
    return replace(
        Evidence(source=evidence.source, finding=finding, at=evidence.at),
        psp_request_id=evidence.psp_request_id, latency_ms=evidence.latency_ms, retry_after=evidence.retry_after, raw=evidence.raw,
    )  # fmt: skip
