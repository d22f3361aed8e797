"""Merchants, their API keys, operators and their tokens: who may knock. Every change is an entry of the journal, written with its rows.

A change is built here and written by `entries`. Of a key only the digest and the lookup id ever come here (`payorch.keys`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from payorch.domain import identifiers
from payorch.domain.identifiers import uuid_of
from payorch.domain.roles import Role
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.items import (
    MerchantKeyRevoked,
    MerchantKeyRow,
    MerchantRow,
    OperatorRow,
    OperatorTokenRevoked,
    OperatorTokenRow,
    OperatorTokenUsed,
)
from payorch.store.query import all_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Merchant:
    id: str
    name: str
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class MerchantKey:
    """A merchant's key as stored. Whether it opens something now: `is_live`."""

    lookup_id: str
    merchant_id: str
    digest: bytes
    mode: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None

    def is_live(self, now: datetime) -> bool:
        """Neither revoked nor expired at that moment."""
        return _is_live(self.revoked_at, self.expires_at, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorToken:
    """An operator's token as stored, with whose it is."""

    lookup_id: str
    operator_id: str
    operator_name: str
    person: str
    digest: bytes
    role: Role
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None = None

    def is_live(self, now: datetime) -> bool:
        """Neither revoked nor expired at that moment."""
        return _is_live(self.revoked_at, self.expires_at, now)

    def is_idle(self, now: datetime, allowed: timedelta) -> bool:
        """Whether nobody has used it for longer than that: then it is locked until an admin unlocks it."""
        return now - (self.used_at or self.created_at) > allowed


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    id: str
    name: str
    person: str
    created_at: datetime


def merchant_added(merchant: MerchantRow) -> Change:
    """A new merchant."""
    detail = {"name": merchant.name}
    return Change(stream="merchant", stream_id=merchant.id, name="MerchantAdded", rows=(merchant,), detail=detail)


def merchant_key_added(key: MerchantKeyRow) -> Change:
    """A new key of a merchant. The database refuses a third live one of the same mode."""
    detail = {"lookup_id": key.lookup_id, "mode": key.mode, "expires_at": _text(key.expires_at)}
    return Change(stream="merchant", stream_id=key.merchant_id, name="MerchantKeyAdded", rows=(key,), detail=detail)


def merchant_key_revoked(merchant_id: str, lookup_id: str, at: datetime) -> Change:
    """The end of a key; of one that is revoked already, nothing but the record."""
    row = MerchantKeyRevoked(lookup_id=lookup_id, at=at)
    return Change(stream="merchant", stream_id=merchant_id, name="MerchantKeyRevoked", rows=(row,), detail={"lookup_id": lookup_id})


def operator_added(operator: OperatorRow) -> Change:
    """A new operator's account. The database refuses a name twice."""
    detail = {"name": operator.name, "person": operator.person}
    return Change(stream="operator", stream_id=operator.id, name="OperatorAdded", rows=(operator,), detail=detail)


def operator_token_added(token: OperatorTokenRow) -> Change:
    """A new token of an operator, with its role."""
    detail = {"lookup_id": token.lookup_id, "role": token.role, "expires_at": _text(token.expires_at)}
    return Change(stream="operator", stream_id=token.operator_id, name="OperatorTokenAdded", rows=(token,), detail=detail)


def operator_token_revoked(operator_id: str, lookup_id: str, at: datetime) -> Change:
    """The end of a token; of one that is revoked already, nothing but the record."""
    row = OperatorTokenRevoked(lookup_id=lookup_id, at=at)
    return Change(stream="operator", stream_id=operator_id, name="OperatorTokenRevoked", rows=(row,), detail={"lookup_id": lookup_id})


def operator_token_unlocked(operator_id: str, lookup_id: str, at: datetime) -> Change:
    """A token that nobody had used for long counts as used from now."""
    row = OperatorTokenUsed(lookup_id=lookup_id, at=at)
    return Change(stream="operator", stream_id=operator_id, name="OperatorTokenUnlocked", rows=(row,), detail={"lookup_id": lookup_id})


async def merchants(connection: Connection) -> list[Merchant]:
    """All merchants, oldest first."""
    found = await all_rows(connection, "SELECT id, name, created_at FROM payorch.merchants ORDER BY id", [])
    return [Merchant(id=identifiers.text("mer", row[0]), name=row[1], created_at=row[2].astimezone(UTC)) for row in found]


async def operators(connection: Connection) -> list[Operator]:
    """All operators, oldest first."""
    found = await all_rows(connection, "SELECT id, name, person, created_at FROM payorch.operators ORDER BY id", [])
    return [Operator(id=identifiers.text("opr", row[0]), name=row[1], person=row[2], created_at=row[3].astimezone(UTC)) for row in found]


async def merchant_key(connection: Connection, lookup_id: str) -> MerchantKey | None:
    """The key of that lookup id, live or not; None where there is none."""
    found = await all_rows(connection, f"{_MERCHANT_KEYS} WHERE lookup_id = $1", [lookup_id])
    return _merchant_key(found[0]) if found else None


async def merchant_keys(connection: Connection, merchant_id: str) -> list[MerchantKey]:
    """All keys that the merchant ever had, oldest first."""
    found = await all_rows(connection, f"{_MERCHANT_KEYS} WHERE merchant_id = $1 ORDER BY created_at, lookup_id", [uuid_of(merchant_id)])
    return [_merchant_key(row) for row in found]


async def operator_token(connection: Connection, lookup_id: str) -> OperatorToken | None:
    """The token of that lookup id, live or not; None where there is none."""
    found = await all_rows(connection, f"{_OPERATOR_TOKENS} WHERE lookup_id = $1", [lookup_id])
    return _operator_token(found[0]) if found else None


async def operator_tokens(connection: Connection, operator_id: str) -> list[OperatorToken]:
    """All tokens that the operator ever had, oldest first."""
    found = await all_rows(
        connection, f"{_OPERATOR_TOKENS} WHERE operator_id = $1 ORDER BY t.created_at, lookup_id", [uuid_of(operator_id)]
    )
    return [_operator_token(row) for row in found]


_MERCHANT_KEYS: Final = "SELECT lookup_id, merchant_id, digest, mode, created_at, expires_at, revoked_at FROM payorch.merchant_keys"
_OPERATOR_TOKENS: Final = (
    "SELECT lookup_id, operator_id, name, person, digest, role, t.created_at, expires_at, revoked_at, used_at"
    " FROM payorch.operator_tokens AS t JOIN payorch.operators AS o ON o.id = t.operator_id"
)


def _merchant_key(row: tuple[Any, ...]) -> MerchantKey:
    return MerchantKey(
        lookup_id=row[0],
        merchant_id=identifiers.text("mer", row[1]),
        digest=row[2],
        mode=row[3],
        created_at=row[4].astimezone(UTC),
        expires_at=_utc(row[5]),
        revoked_at=_utc(row[6]),
    )


def _operator_token(row: tuple[Any, ...]) -> OperatorToken:
    return OperatorToken(
        lookup_id=row[0],
        operator_id=identifiers.text("opr", row[1]),
        operator_name=row[2],
        person=row[3],
        digest=row[4],
        role=Role(row[5]),
        created_at=row[6].astimezone(UTC),
        expires_at=_utc(row[7]),
        revoked_at=_utc(row[8]),
        used_at=_utc(row[9]),
    )


def _utc(at: datetime | None) -> datetime | None:
    return None if at is None else at.astimezone(UTC)


def _text(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()


def _is_live(revoked_at: datetime | None, expires_at: datetime | None, now: datetime) -> bool:
    return revoked_at is None and (expires_at is None or now < expires_at)
