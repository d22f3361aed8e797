"""One statement and its rows, as every reading module asks for them: parameters by number, values in binary.

Not here: any statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, overload

import psycopg

from payorch.store.driver import Connection


async def all_rows(connection: Connection, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Every row. Parameters are `$1` and so on; psycopg's errors come through."""
    async with psycopg.AsyncRawCursor(connection) as cursor:
        await cursor.execute(query, parameters, binary=True)
        return await cursor.fetchall()


@overload
def utc(at: datetime) -> datetime: ...
@overload
def utc(at: datetime | None) -> datetime | None: ...
def utc(at: datetime | None) -> datetime | None:
    """That moment in UTC: psycopg gives the session's zone, which need not be ours."""
    return None if at is None else at.astimezone(UTC)
