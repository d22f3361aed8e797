"""Which movement of ours somebody means whose line a finding is about, and whether the line can be said to be that one.

For the command line and for operators alike. Not here: carrying a link out (`reconciliation_desk`), what forbids one
(`payorch.domain.explanations`).
"""

from __future__ import annotations

from datetime import date

from payorch.domain.explanations import unlinkable
from payorch.domain.matching import Candidate
from payorch.domain.reconciliation import Refusal
from payorch.domain.settlement import SettlementState
from payorch.store import reconciliation_links
from payorch.store.driver import Connection
from payorch.store.reconciliation_items import FindingRow
from payorch.store.reconciliation_links import StoredLine, StoredMovement


async def chosen_for(connection: Connection, finding: FindingRow, to: str) -> tuple[StoredLine, StoredMovement] | Refusal:
    """The finding's line, and the movement that is meant by `to`: its payment, attempt, operation or dispute."""
    prefix = to.partition("_")[0]
    payment_id = to if prefix == "pay" else await reconciliation_links.payment_of(connection, to)
    movements = [] if payment_id is None else await reconciliation_links.movements_of(connection, payment_id)
    meant = [one for one in movements if prefix == "pay" or one.subject_id == to]
    if not meant:
        return Refusal(code="not_linkable", why=f"no movement of money is known of {to}")
    fits = [(one, await fitting(connection, finding, one)) for one in meant]
    able = [(found, one) for one, found in fits if not isinstance(found, Refusal)]
    if len(able) > 1:
        free = ", ".join(one.subject_id for _, one in able)
        return Refusal(code="ambiguous", why=f"{to} has several movements that it could be: name one of {free}")
    if not able:
        refused = [found for _, found in fits if isinstance(found, Refusal)]
        return refused[0]
    return able[0]


async def fitting(connection: Connection, finding: FindingRow, movement: StoredMovement) -> StoredLine | Refusal:
    """The finding's line, where it can be said to be that movement."""
    line = None
    if finding.batch_id is not None and finding.line is not None:
        line = await reconciliation_links.line(connection, finding.batch_id, finding.line)
    if line is None:
        return Refusal(code="not_linkable", why="the finding is about no line of a report that could be linked")
    return unlinkable(line.row, _candidate(movement, line.row.booked_on), connector=line.connector) or line


def _candidate(movement: StoredMovement, day: date) -> Candidate:
    """What is in no report is still to be matched, whatever was said about its being missing."""
    return Candidate(
        payment_id=movement.payment_id,
        subject_id=movement.subject_id,
        connector=movement.connector,
        kind=movement.kind,
        amount=movement.amount,
        day=day,
        state="",
        sequence=movement.sequence,
        settlement=movement.settlement if movement.batch_id is not None else SettlementState.PENDING,
    )
