"""How dead letters look to programs: a letter, its contents, those that failed alike, as JSON. The command line shows the same.

Contents are redacted when a letter is made. Not here: words for people (`payorch.dead_letter_desk`), models of these shapes for the OpenAPI
document (`dead_letter_shapes`).
"""

from __future__ import annotations

import json

from payorch.api.present import View, rfc3339
from payorch.store.act_reads import ReplayAct
from payorch.store.dead_letters import Group
from payorch.store.items import DeadLetter


def data(letter: DeadLetter) -> View:
    """A letter for programs, without its contents."""
    return {
        "id": letter.id,
        "kind": letter.kind.value,
        "origin": letter.origin,
        "state": letter.state.value,
        "reason_class": letter.reason_class,
        "reason": letter.reason,
        "fingerprint": letter.fingerprint,
        "attempts": letter.attempts,
        "first_failed_at": rfc3339(letter.first_failed_at),
        "last_failed_at": rfc3339(letter.last_failed_at),
        "merchant_id": letter.merchant_id,
        "payment_id": letter.payment_id,
        "resolved_at": letter.resolved_at and rfc3339(letter.resolved_at),
        "resolved_by": letter.resolved_by,
        "resolution": letter.resolution,
    }


def whole_data(letter: DeadLetter) -> View:
    """A letter for programs, with what died and its redacted contents."""
    return {**data(letter), "subject": json.loads(letter.subject), "payload": letter.payload}


def group_data(group: Group) -> View:
    """A group for programs."""
    return {
        "fingerprint": group.fingerprint,
        "kind": group.kind.value,
        "origin": group.origin,
        "reason_class": group.reason_class,
        "letters": group.letters,
        "open": group.open,
        "first_failed_at": rfc3339(group.first_failed_at),
        "last_failed_at": rfc3339(group.last_failed_at),
        "example": group.example,
    }


def replay_view(act: ReplayAct | None) -> View | None:
    """How the last replay of a group went; None where there was none."""
    if act is None:
        return None
    return {"act_id": act.id, "at": rfc3339(act.at), "ok": act.ok, "failed": act.failed, "halted": act.halted}
