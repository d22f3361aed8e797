"""One at a time: whoever changes what reconciliation knows (lines, findings, days) takes this lock first.

An import decides line by line what a movement comes to, people explain findings, days close on what both have left: two of them at once
would decide on what the other is changing. The lock is the database's and its transaction's: it is given back however that ends.

It is taken before the journal's head where both are wanted, always in this order, so that two never wait for each other. The running
platform's writer never takes it. Reading needs no lock. Not here: what is written under it.
"""

from __future__ import annotations

from typing import Final

import psycopg

from payorch.store.driver import Connection

LOCK_KEY: Final = 0x7265636F6E63696C
"""`reconcil` in ASCII: any number would do, if nobody else takes it (`migrate` has another)."""


async def take(connection: Connection) -> None:
    """Waits until nobody else has it, at most the session's `lock_timeout`: LockNotAvailable then. There must be a transaction."""
    if connection.info.transaction_status is not psycopg.pq.TransactionStatus.INTRANS:
        raise AssertionError("the lock of reconciliation is a transaction's: begin one first")
    await connection.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK_KEY])


async def take_now(connection: Connection) -> bool:
    """Takes it where nobody has it; False, at once, where somebody does."""
    if connection.info.transaction_status is not psycopg.pq.TransactionStatus.INTRANS:
        raise AssertionError("the lock of reconciliation is a transaction's: begin one first")
    cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(%s)", [LOCK_KEY])
    found = await cursor.fetchone()
    return bool(found and found[0])
