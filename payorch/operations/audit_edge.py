"""What the auditor and the calls about the audit are given. Part of the composition root, in a room of its own.

Not here: what the auditor does (`auditor`), the calls (`payorch.api.operations.audit`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, final

from actors.supervisor import ChildSpec
from payorch.api.operations.audit import Anchored, AuditSurroundings
from payorch.keys import Secret, derived_key
from payorch.operations import anchors
from payorch.operations.anchors import AnchorFile
from payorch.operations.auditor import Auditor, AuditorLimits, Findings
from payorch.ports import Clock
from payorch.settings import Settings
from payorch.store import audit, audit_search
from payorch.store.audit import Head, Mark, Step
from payorch.store.items import OperatorTokenUsed, Result

AUDITOR: Final = "auditor"
Read = Callable[..., Awaitable[Any]]


@final
class AuditEdge:
    """read, write: the platform's. tell: that actor, where it can be told. written: the journal's position as its writer knows it."""

    def __init__(
        self,
        settings: Settings,
        *,
        master: Secret,
        clock: Clock,
        read: Read,
        write: Callable[[OperatorTokenUsed], Awaitable[Result]],
        tell: Callable[[str, object], None],
        written: Callable[[], int],
    ) -> None:
        self._audit = settings.audit
        self._shutdown_seconds = settings.actors.shutdown_seconds
        self._token_idle = timedelta(days=settings.operators.token_idle_days)
        self._key = derived_key(master, anchors.PURPOSE)
        self._clock = clock
        self._read = read
        self._write = write
        self._tell = tell
        self._written = written
        self._findings = Findings()
        self._findings.anchored = Anchored(where=self._audit.anchor_folder or None)

    def child(self) -> ChildSpec:
        """The auditor."""
        return ChildSpec(
            name=AUDITOR, start=self._start, mailbox_capacity=self._audit.mailbox_capacity, shutdown_seconds=self._shutdown_seconds
        )  # fmt: skip

    def surroundings(self) -> AuditSurroundings:
        """What the calls are given."""
        return AuditSurroundings(
            search=lambda what, *, limit, before: self._read(audit_search.search, what, limit=limit, before=before),
            verification=lambda: self._findings.verification,
            anchored=lambda: self._findings.anchored,
            token_used=self.token_used,
            token_idle=self._token_idle,
        )

    def token_used(self, lookup_id: str) -> None:
        """An operator's token was used. Waits for nothing."""
        self._tell(AUDITOR, OperatorTokenUsed(lookup_id=lookup_id, at=self._clock.now()))

    def _start(self) -> Auditor:
        settings = self._audit
        folder = Path(settings.anchor_folder) if settings.anchor_folder else None
        return Auditor(
            journal=self,
            file=None if folder is None else lambda identity: AnchorFile(anchors.path_of(folder, identity), self._key),
            key=self._key,
            findings=self._findings,
            written=self._written,
            write=self._write,
            clock=self._clock,
            limits=AuditorLimits(
                anchor_seconds=settings.anchor_seconds,
                anchor_records=settings.anchor_records,
                verify_seconds=settings.verify_seconds,
                verify_whole_seconds=settings.verify_whole_seconds,
            ),
        )

    # --- the journal, as the auditor reads it

    async def identity(self) -> str:
        """What tells this database from every other one."""
        found: str = await self._read(audit.identity)
        return found

    async def head(self) -> Head | None:
        """The journal's end."""
        found: Head | None = await self._read(audit.head)
        return found

    async def advance(self, mark: Mark, *, page_rows: int) -> Step:
        """A step along the chain."""
        found: Step = await self._read(audit.advance, mark, page_rows=page_rows)
        return found

    async def hashes_at(self, positions: Sequence[int]) -> dict[int, bytes]:
        """The hashes of these records."""
        found: dict[int, bytes] = await self._read(audit.hashes_at, positions)
        return found
