"""What came of acts, as their consequences tell: entries of the journal that name an act as their cause, and replays of dead letters.

As in `reads`, every function takes a connection, is one statement and changes nothing. Not here: acts themselves (`acts`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.store.driver import Connection
from payorch.store.query import all_rows, utc


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplayAct:
    """A replay of a group of dead letters. ok, failed: as far as it has come. halted: it was stopped before its end."""

    id: str
    at: datetime
    ok: int
    failed: int
    halted: bool


async def changed_by(connection: Connection, act_id: str, prefix: str, stream_ids: Sequence[str], names: Sequence[str]) -> frozenset[str]:
    """Those of these (all with that prefix) to which the act has done one of these things: what a second try need not do again."""
    ids = [uuid_of(one) for one in stream_ids]
    rows = await all_rows(connection, _CHANGED, [ids, act_id, list(names)])
    return frozenset(identifiers.text(prefix, row[0]) for row in rows)


async def last_replays(connection: Connection, fingerprints: Sequence[str]) -> dict[str, ReplayAct]:
    """Fingerprint -> the last replay of that group which was begun."""
    rows = await all_rows(connection, _LAST_REPLAYS, [list(fingerprints)])
    return {
        row[0]: ReplayAct(id=identifiers.text("act", row[1]), at=utc(row[2]), ok=row[3], failed=row[4], halted=row[5] == "halted")
        for row in rows
    }


# By stream: the journal has an index on what an entry is about, and none on its cause.
_CHANGED: Final = """
SELECT DISTINCT stream_id FROM payorch.journal WHERE stream_id = ANY($1::uuid[]) AND cause = $2 AND name = ANY($3::text[])
"""
_LAST_REPLAYS: Final = """
SELECT DISTINCT ON (subject) subject, id, coalesce(finished_at, requested_at),
       coalesce((told ->> 'ok')::integer, 0), coalesce((told ->> 'failed')::integer, 0), state
FROM (SELECT subject, id, finished_at, requested_at, state, coalesce(progress, result) AS told FROM payorch.acts
      WHERE name = 'dead_letter.replay' AND subject = ANY($1::text[]) AND state IN ('running', 'done', 'failed', 'halted')) AS act
ORDER BY subject, id DESC
"""
