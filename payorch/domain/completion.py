"""What a payment needs of us after the shopper's action, where he alone cannot finish it: one more call, for which its attempt is the same.

The call takes the place of the attempt's first one, whose outcome is known by then, so that everything that is done about a call without an
answer is done about this one. It is made once, however often the shopper and the PSP say that he has done his part, and anew only after its
own answer said that it is his turn again. While it may be under way, no older word leads back to the shopper's turn; and what the PSP still
shows of that turn, when nobody wants the payment any more, is the proof that it did not take effect.

Pure. Not here: what a shopper can do without us, or closing his session (`session`); the call's bytes (each connector).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from payorch.domain.decide import completes_without_us, may_move_money, psp_key, wanted
from payorch.domain.desk import Desk, Story
from payorch.domain.events import Completion
from payorch.domain.outcome import Evidence, Finding, Pending, Source
from payorch.domain.payment import AttemptState, Name, State
from payorch.domain.records import Attempt, Payment

_OWN: Final = (Source.RESPONSE, Source.REPLAY)
_FIRST_NUMBER: Final = 2  # the attempt's first call is number one


def may_complete(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether a call that finishes the attempt may be made now: the shopper's turn it is, it is still wanted, and none is unanswered."""
    turn = payment.state is State.REQUIRES_ACTION and attempt.state is AttemptState.ACTION_REQUIRED
    if not turn or payment.hold is not None or attempt.fence is not None or may_move_money(payment, attempt, desk):
        return False
    return wanted(payment, desk) and attempt.completions < desk.limits.completions_per_attempt


def complete(story: Story, attempt: Attempt, returned: Mapping[str, str]) -> bool:
    """Prepares that call, from what the shopper's browser brought back. False where none may be made or can be built."""
    desk = story.desk
    if not may_complete(story.payment, attempt, desk):
        return False
    call = desk.prepare_completion(story.payment, attempt, returned)
    if call is None:
        return False
    manifest = desk.manifests[attempt.connector]
    completion = Completion(
        attempt_id=attempt.id,
        call=call,
        psp_key=psp_key(f"{attempt.id}_{attempt.completions + _FIRST_NUMBER}", manifest),
        psp_key_safe_until=desk.after(manifest.key_safe_window_seconds),
        next_action_at=desk.after(desk.limits.call_lost_seconds),
    )
    story.tell(Name.ACTION_RETURNED, completion, State.AUTHORIZING)
    return True


def says_done(payment: Payment, attempt: Attempt, finding: Finding, desk: Desk) -> bool:
    """Whether the PSP says that the shopper has done his part and that it waits for us."""
    return isinstance(finding, Pending) and finding.ready and not completes_without_us(payment, attempt, desk)


def is_outdated(attempt: Attempt, evidence: Evidence) -> bool:
    """Whether "the shopper's turn", or that he has had it, is from before the completing call, as far as anybody knows."""
    return attempt.completing and evidence.source not in _OWN and shows_turn(evidence.finding)


def shows_turn(finding: Finding) -> bool:
    """Whether the PSP has the payment still at the shopper's action, done or not."""
    return isinstance(finding, Pending) and (finding.action is not None or finding.ready)


def is_over(payment: Payment, attempt: Attempt, desk: Desk) -> bool:
    """Whether the shopper's turn leads nowhere any more: it takes a call of ours, and nobody wants that one made."""
    return not may_move_money(payment, attempt, desk) and not wanted(payment, desk)
