"""What the calls about the audit are given in tests: records and findings that a test sets."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from payorch.api.operations.audit import Anchored, AuditSurroundings, Verification
from payorch.store.audit_search import Asked, Found, Record


class Auditing:
    """`asked`: what was searched for. `used`: tokens of whose use the door has told."""

    def __init__(self) -> None:
        self.records: Sequence[Record] = ()
        self.found: Found | None = None
        self.asked: list[tuple[Asked, int, int | None]] = []
        self.verification = Verification(state="unknown")
        self.anchored = Anchored(where=None)
        self.used: list[str] = []

    def surroundings(self) -> AuditSurroundings:
        return AuditSurroundings(
            search=self.search, verification=lambda: self.verification, anchored=lambda: self.anchored, token_used=self.used.append,
            token_idle=timedelta(days=30),
        )  # fmt: skip

    async def search(self, what: Asked, *, limit: int, before: int | None) -> Found:
        self.asked.append((what, limit, before))
        return self.found or Found(records=list(self.records), after=None, searched_to=None)
