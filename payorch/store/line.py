"""The journal writer's line to the database: one connection of its own, regained for as long as it takes.

Not a pool: the writer is one, and what it does after a loss is not "lend me another" but "find out what happened". That step is handed to
`regain`, which repeats it on fresh connections, with pauses that grow to a bound, until the database lets it through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import psycopg
import trio

from payorch.store import rows
from payorch.store.driver import Connection
from payorch.store.pool import DatabaseUnavailable, Trouble, trouble_of

T = TypeVar("T")
Connect: TypeAlias = Callable[[], Awaitable[Connection]]
WhileAway: TypeAlias = Callable[[float], None]
"""Called between two tries to reach the database, with the seconds since it was lost. Must not wait."""


class Line:
    """The connection, and the way back to it. `available`, `lost_total` and `last_trouble` are for statistics."""

    def __init__(self, connect: Connect, *, first_pause_seconds: float, longest_pause_seconds: float) -> None:
        self._connect = connect
        self._first_pause_seconds = first_pause_seconds
        self._longest_pause_seconds = longest_pause_seconds
        self._connection: Connection | None = None
        self.while_away: WhileAway = lambda _: None
        self.available = False
        self.lost_total = 0
        self.last_trouble: str | None = None

    async def run(self, query: str, parameters: Sequence[Any]) -> tuple[Any, ...] | None:
        """The statement's first row, or None. Raises psycopg errors; `passes` sorts them."""
        found = await self.run_all(query, parameters)
        return found[0] if found else None

    async def run_all(self, query: str, parameters: Sequence[Any]) -> list[tuple[Any, ...]]:
        """All rows of the statement, which is prepared."""
        if self._connection is None:
            raise RuntimeError("the journal has not been opened")
        cursor = psycopg.AsyncRawCursor(self._connection)
        await cursor.execute(query, parameters, prepare=True, binary=True)
        return await cursor.fetchall()

    async def regain(self, step: Callable[[], Awaitable[T]], after: psycopg.Error | None = None) -> T:
        """Connects anew and runs `step`, again and again until the database lets both happen. `after`: the error that was the loss."""
        lost_at, pause_seconds = trio.current_time(), self._first_pause_seconds
        self.available = False
        if after is not None:
            self.lost_total += 1
            self.last_trouble = str(after)
        while True:
            try:
                await self.aclose()
                self._connection = await self._connect()
                rows.register(self._connection)
                result = await step()
            except (psycopg.Error, DatabaseUnavailable) as error:
                if not passes(error):
                    raise
                self.last_trouble = str(error)
            else:
                self.available = True
                return result
            self.while_away(trio.current_time() - lost_at)
            await trio.sleep(pause_seconds)
            pause_seconds = min(2 * pause_seconds, self._longest_pause_seconds)

    async def aclose(self) -> None:
        """Closes the connection, if there is one."""
        self.available = False
        if self._connection is not None:
            await self._connection.close()


def passes(error: psycopg.Error | DatabaseUnavailable) -> bool:
    """Whether it is about the database as a whole, and may be over later. Whether the statement took effect is then to be looked up."""
    return isinstance(error, DatabaseUnavailable) or trouble_of(error) is not Trouble.STATEMENT
