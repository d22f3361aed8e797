"""What the calls about reconciliation are given in tests: operators' tokens, and a store that remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from payorch.api.operations.reconciliation import ReconciliationSurroundings
from payorch.api.operations.reconciliation_views import Report
from payorch.api.operations.uploads import Pieces
from payorch.domain.roles import Role
from payorch.domain.settlement import NotAReport, Tie
from payorch.keys import KeyKind, MintedKey, digest
from payorch.store.identities import OperatorToken
from payorch.store.items import Appended, Entry, Result
from payorch.store.reconciliation import MalformedCursor, Of, Piece
from payorch.store.reconciliation_sums import Day, Days

LIMIT_BYTES = 10_000


class Reconciling:
    """`days`, `pieces`: what is answered. `taken`: the reports that came, each as (connector, name, by, bytes)."""

    def __init__(self, *, pepper: bytes, mint: Any, new_id: Any, at: Any) -> None:
        self._pepper, self._mint, self._new_id, self._at = pepper, mint, new_id, at
        self.tokens: dict[str, OperatorToken] = {}
        self.entries: list[Entry] = []
        self.taken: list[tuple[str, str, str, bytes]] = []
        self.asked: list[Any] = []
        self.days: Sequence[Day] = ()
        self.pieces: Sequence[Piece] = ()

    def surroundings(self) -> ReconciliationSurroundings:
        return ReconciliationSurroundings(
            find_token=self.find_token, write=self.write, import_report=self.import_report, days=self.list_days, pieces=self.list_pieces,
            zones={"psp_one": "UTC", "psp_two": "Europe/Amsterdam"}, report_limit_bytes=LIMIT_BYTES, silence_seconds=5.0,
            page_default=50, page_limit=200,
        )  # fmt: skip

    def operator(self, role: Role, name: str = "olga", *, person: str | None = None, operator_id: str | None = None) -> MintedKey:
        key: MintedKey = self._mint(KeyKind.OPERATOR)
        self.tokens[key.lookup_id] = OperatorToken(
            lookup_id=key.lookup_id, operator_id=operator_id or self._new_id("opr"), operator_name=name, person=person or name,
            digest=digest(key.text, self._pepper), role=role, created_at=self._at, expires_at=None, revoked_at=None,
        )  # fmt: skip
        return key

    async def find_token(self, lookup_id: str) -> OperatorToken | None:
        return self.tokens.get(lookup_id)

    async def write(self, entry: Entry) -> Result:
        self.entries.append(entry)
        return Appended(len(self.entries))

    async def import_report(self, connector: str, pieces: Pieces, *, name: str, by: str, cause: str) -> Report:
        content = b"".join([piece async for piece in pieces])
        if not content.startswith(b"report"):
            raise NotAReport("it has no column called Net")
        known = content in [one for _, _, _, one in self.taken]
        self.taken.append((connector, name, by, content))
        return Report(
            id=self._new_id("bat"), connector=connector, name=name, known=known, rows=3, bad_rows=1, repeated=0, findings=1,
            ties=(Tie(line=9, what="lines", declared_rows=3, computed_rows=3),), received_at=self._at, imported_at=self._at,
        )  # fmt: skip

    async def list_days(self, since: date, until: date, zones: Mapping[str, str]) -> Days:
        self.asked.append((since, until, tuple(zones)))
        return Days(days=self.days)

    async def list_pieces(self, of: Of, *, limit: int, after: str | None) -> tuple[Sequence[Piece], str | None]:
        if after == "nonsense":
            raise MalformedCursor
        self.asked.append((of, limit, after))
        return self.pieces[:limit], "next" if len(self.pieces) > limit else None
