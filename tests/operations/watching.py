"""A journal in memory, read by the tail as it reads the database; and limits that suit a test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import trio

from payorch.api.operations.events import Narrator
from payorch.operations.tail import HasVitals, Tail
from payorch.operations.vital import Vitals
from payorch.store import reads, tail_reads
from payorch.store.tail_reads import TailRow
from tests.store.stories import new_id

START = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    waiting_limit: int = 1000
    behind_limit: int = 20_000
    gather_seconds: float = 0.0
    sweep_seconds: float = 1.0
    retry_seconds: float = 1.0


class NoVital:
    """`Vital` without anything to say, until a test gives it something."""

    def __init__(self) -> None:
        self.now: Vitals | None = None


@dataclass
class Written:
    """`fail`: what the next read raises. `pages`: each read of the tail, as (after, limit)."""

    rows: list[TailRow] = field(default_factory=list)
    fail: Exception | None = None
    pages: list[tuple[int, int]] = field(default_factory=list)

    def more(self, count: int = 1, **changes: Any) -> None:
        """So many further records."""
        for _ in range(count):
            position = len(self.rows) + 1
            what = {
                "stream": "merchant", "stream_id": new_id("mer"), "sequence": 1, "name": "MerchantAdded", "actor": "cli:olga",
                "cause": "req_1", "body": f'{{"name":"Shop {position}"}}',
            }  # fmt: skip
            self.rows.append(TailRow(position=position, at=START + timedelta(milliseconds=position), **{**what, **changes}))

    async def read(self, query: Any, *arguments: Any, **named: Any) -> Any:
        await trio.lowlevel.checkpoint()
        if self.fail is not None:
            failure, self.fail = self.fail, None
            raise failure
        if query is reads.head_position:
            return len(self.rows)
        assert query is tail_reads.page
        [after] = arguments
        self.pages.append((after, named["limit"]))
        return self.rows[after : after + named["limit"]]


def a_tail(written: Written, limits: Limits | None = None, vital: HasVitals | None = None) -> Tail:
    return Tail(read=written.read, narrator=lambda: Narrator(()), vital=vital or NoVital(), limits=limits or Limits())


def positions(told: Sequence[Any]) -> list[int]:
    return [one.position for one in told]
