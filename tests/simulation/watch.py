"""What the tables must show at any moment, also in the middle of a death: read on a connection of its own that no misfortune reaches.

Cheap on purpose: two statements after every power cut. Not here: what only holds at rest (`checks`), the PSP's side (`books`).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final, LiteralString, NamedTuple

import psycopg
from psycopg.rows import dict_row

_PREPARED: Final = """
SELECT psp_key_safe_until, created_at, call_path, call_body FROM payorch.attempts WHERE psp_key = %(key)s
UNION ALL SELECT psp_key_safe_until, created_at, call_path, call_body FROM payorch.operations WHERE psp_key = %(key)s
"""

_OPEN_ATTEMPT: Final = "('PREPARED', 'SENT', 'ACTION_REQUIRED', 'PENDING', 'UNKNOWN')"
_OPEN_OPERATION: Final = "('REQUESTED', 'SENT', 'PENDING', 'UNKNOWN')"

SOUND: Final[dict[str, str]] = {
    "I1: two attempts of one payment are open": (
        f"SELECT payment_id FROM payorch.attempts WHERE state IN {_OPEN_ATTEMPT} GROUP BY payment_id HAVING count(*) > 1"
    ),
    "I2: an attempt is open beside one that holds money": (
        "SELECT a.payment_id FROM payorch.attempts AS a JOIN payorch.attempts AS b ON b.payment_id = a.payment_id AND b.id > a.id"
        " JOIN payorch.payments AS p ON p.id = a.payment_id"
        f" WHERE a.state IN ('AUTHORIZED', 'CHARGED') AND b.state IN {_OPEN_ATTEMPT} AND p.state <> 'MANUAL_REVIEW'"
    ),
    "I3: captured and reserved are more than authorised": (
        "SELECT id FROM payorch.payments WHERE captured + capture_reserved > authorized"
    ),
    "I3: refunded and reserved are more than captured": (
        "SELECT p.id FROM payorch.payments AS p JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS given FROM payorch.operations"
        " WHERE payment_id = p.id AND kind = 'refund' AND origin <> 'provider'"
        f" AND (state = 'SUCCEEDED' OR state IN {_OPEN_OPERATION})) AS o ON true"
        # What the PSP took back since was there when they were asked for.
        " JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS gone FROM payorch.operations"
        " WHERE payment_id = p.id AND kind = 'capture' AND state = 'REVERSED') AS r ON true WHERE o.given > p.captured + r.gone"
    ),
    "I3: captures given and under way are more than authorised": (
        "SELECT p.id FROM payorch.payments AS p JOIN LATERAL (SELECT coalesce(sum(amount), 0) AS taken FROM payorch.operations"
        f" WHERE payment_id = p.id AND kind = 'capture' AND (state = 'SUCCEEDED' OR state IN {_OPEN_OPERATION})) AS o ON true"
        " WHERE o.taken > p.authorized"
    ),
    "L2: an unresolved attempt has no timer": (
        "SELECT a.payment_id FROM payorch.attempts AS a JOIN payorch.payments AS p ON p.id = a.payment_id"
        f" WHERE a.state IN {_OPEN_ATTEMPT} AND a.next_action_at IS NULL AND p.state <> 'MANUAL_REVIEW'"
    ),
    "L2: an unresolved operation has no timer": (
        "SELECT o.payment_id FROM payorch.operations AS o JOIN payorch.payments AS p ON p.id = o.payment_id"
        f" WHERE o.state IN {_OPEN_OPERATION} AND o.next_action_at IS NULL AND NOT o.in_review AND p.state <> 'MANUAL_REVIEW'"
    ),
    "M7: one PSP key stands in two rows": (
        "SELECT psp_key FROM (SELECT psp_key FROM payorch.attempts UNION ALL"
        " SELECT fence_key FROM payorch.attempts WHERE fence_key IS NOT NULL UNION ALL"
        " SELECT psp_key FROM payorch.operations WHERE psp_key IS NOT NULL) AS keys GROUP BY psp_key HAVING count(*) > 1"
    ),
    "M4: the ledger is not where the payment is": (
        "SELECT p.id FROM payorch.payments AS p FULL JOIN (SELECT payment_id,"
        " sum(CASE kind WHEN 'capture' THEN amount WHEN 'capture_reversed' THEN -amount ELSE 0 END) AS captured,"
        " sum(CASE kind WHEN 'refund' THEN amount WHEN 'refund_reversed' THEN -amount ELSE 0 END) AS refunded"
        " FROM payorch.movements GROUP BY payment_id) AS m ON m.payment_id = p.id"
        " WHERE coalesce(p.captured, -1) <> coalesce(m.captured, 0) OR coalesce(p.refunded, -1) <> coalesce(m.refunded, 0)"
    ),
    "M4: a double entry does not balance": (
        "SELECT stream_id FROM payorch.ledger_lines GROUP BY source, stream_id, number, currency HAVING sum(amount) <> 0"
    ),
    "S2: a view is not where its journal is": (
        "SELECT p.id FROM payorch.payments AS p JOIN (SELECT stream_id, max(sequence) AS last, count(*) AS dense FROM payorch.journal"
        " WHERE stream = 'payment' GROUP BY stream_id) AS j ON j.stream_id = p.id WHERE p.version <> j.last OR j.last <> j.dense"
    ),
}
"""What is wrong -> the statement that finds it. Rows are findings."""

_ALL: Final = " UNION ALL ".join(
    f"(SELECT {number}, found.*::text FROM ({statement} LIMIT 1) AS found)" for number, statement in enumerate(SOUND.values())
)


class Prepared(NamedTuple):
    """The committed row behind a PSP key."""

    safe_until: datetime
    created_at: datetime
    call_path: str
    call_body: str


class Watch:
    """accuse: told what is wrong, beginning with its invariant."""

    def __init__(self, connection: psycopg.Connection[Any], accuse: Callable[[str], None]) -> None:
        self._connection = connection
        self._accuse = accuse

    def close(self) -> None:
        """Lets go of the connection."""
        self._connection.close()

    def prepared(self, psp_key: str) -> Prepared | None:
        """The committed attempt or operation of that key; None where there is none."""
        row = self._connection.execute(_PREPARED, {"key": psp_key}, prepare=True).fetchone()
        return None if row is None else Prepared(*row)

    def keeps(self, connector: str, identity: str, digest: bytes) -> bool:
        """Whether that notice stands in the inbox, with those bytes."""
        statement = "SELECT digest FROM payorch.inbox WHERE connector = %s AND identity = %s"
        row = self._connection.execute(statement, (connector, identity), prepare=True).fetchone()
        return row is not None and bytes(row[0]) == digest

    def parked(self) -> list[str]:
        """The identities of the notices that are about nothing known as yet."""
        statement = "SELECT identity FROM payorch.inbox WHERE state = 'parked' AND next_try_at IS NOT NULL ORDER BY id"
        return [identity for (identity,) in self._connection.execute(statement, prepare=True).fetchall()]

    def rows(self, statement: LiteralString) -> list[dict[str, Any]]:
        """What a statement finds, for the last judgement."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(statement).fetchall()

    def events(self) -> list[tuple[str, int]]:
        """How often each event stands in the journal."""
        return self._connection.execute("SELECT name, count(*) FROM payorch.journal GROUP BY name ORDER BY name").fetchall()

    def tables_are_sound(self) -> None:
        """Accuses of the first of `SOUND` that does not hold."""
        findings = list(SOUND)
        for number, found in self._connection.execute(_ALL, prepare=True).fetchall():
            self._accuse(f"{findings[number]}: {found}")
