"""Payments that are loaded at the same time are loaded by one statement, as what is written at the same time is written by one.

When a crowd of notices reaches payments at rest, each of their actors loads its own: a lease, a statement and an answer each were measured
to be a sixth of what a notice costs. Nobody waits for others to come; those who are ready to run get their turn, and that is all.

Who comes first asks for all: one turn of the loop later, and from that moment on nobody joins, so that everybody gets what was committed
when he asked. Where that comes to nothing (the first was cancelled, one of the payments cannot be read), each loads his own.

Not here: the statements (`payorch.store.reads`), when a payment is loaded and what is done while the database is away (`transaction`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final, final

import trio

from payorch.domain.records import Payment

MOST: Final = 64
"""Payments in one statement. Rebuilding them holds the loop up: some five events each are about 50 µs, so this is 3 ms."""


class _Together:
    """Those who load at the same time, in the order in which they came. `found` is None where the statement for all came to nothing."""

    def __init__(self, first: str) -> None:
        self.wanted: dict[str, None] = {first: None}
        self.over = trio.Event()
        self.found: Mapping[str, Payment] | None = None


@final
class Loading:
    """read: as `reads.load_payment`. read_many: as `reads.load_many`."""

    def __init__(
        self,
        read: Callable[[str], Awaitable[Payment | None]],
        read_many: Callable[[Sequence[str]], Awaitable[Mapping[str, Payment]]],
    ) -> None:
        self._read = read
        self._read_many = read_many
        self._gathering: _Together | None = None

    async def load(self, payment_id: str) -> Payment | None:
        """The payment as it is when this is called, or later; None where there is none. Raises as `read` does."""
        together = self._gathering
        if together is None:
            together = self._gathering = _Together(payment_id)
            await self._ask_for_all(together)
        else:
            together.wanted[payment_id] = None
            if len(together.wanted) >= MOST:
                self._gathering = None
            await together.over.wait()
        return together.found.get(payment_id) if together.found is not None else await self._read(payment_id)

    async def _ask_for_all(self, together: _Together) -> None:
        """Waits for nobody but those who are ready to run. One who came alone has nothing to ask for others."""
        try:
            try:
                await trio.lowlevel.checkpoint()
            finally:
                if self._gathering is together:
                    self._gathering = None
            if len(together.wanted) > 1:
                together.found = await self._read_many(list(together.wanted))
        except Exception:
            together.found = None  # whatever it was: each meets his own fault, and only that
        finally:
            together.over.set()
