"""Handing out access: merchants and operators with their keys, from the command line and for the local stack.

A key is made here, told once to whoever asked, and only its digest goes on. Every change is an entry of the journal, which may be written
while the platform runs. Not here: who may ask (whoever can reach the database and knows the master key), or checking a presented key.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, final

from payorch import keys
from payorch.domain import identifiers
from payorch.domain.persons import plain
from payorch.domain.roles import Role
from payorch.keys import KeyKind, KeyMode, MintedKey, Secret
from payorch.ports import Clock, Entropy
from payorch.store import entries, identities
from payorch.store.driver import Connection
from payorch.store.entries import Change
from payorch.store.identities import Merchant, MerchantKey, Operator, OperatorToken
from payorch.store.items import Entry, MerchantKeyRow, MerchantRow, OperatorRow, OperatorTokenRow, Result

PEPPER_PURPOSE: Final = "api-keys"
"""What the key for digests is derived for; the platform checks presented keys with the same."""


class NotFound(Exception):
    """There is no merchant, operator or key of that name. The text says which."""


class NotAdmitted(Exception):
    """The operator's token does not allow this. The text says why, and it stands in the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """New access: to whom, and the key, which is known now and never again. expires_at: None for a key that ends only by being revoked."""

    id: str
    name: str
    key: MintedKey
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRules:
    """Operators' tokens, as in [operators] of the settings."""

    days: int
    idle_days: int


TOKENS: Final = TokenRules(days=90, idle_days=30)
"""As in the shipped settings, for whoever has none at hand."""


@final
class Registrar:
    """Makes and ends access on one connection. `actor` and `cause` stand in the audit record of each change.

    tokens: for how long a new token of an operator opens something, and for how long one may rest before it is locked.
    """

    def __init__(
        self, connection: Connection, *, master: Secret, clock: Clock, entropy: Entropy, actor: str, cause: str, tokens: TokenRules = TOKENS
    ) -> None:
        self._tokens = tokens
        self._connection = connection
        self._pepper = keys.derived_key(master, PEPPER_PURPOSE)
        self._clock = clock
        self._entropy = entropy
        self._actor = actor
        self._cause = cause

    async def add_merchant(self, name: str, mode: KeyMode) -> Granted:
        """A new merchant with its first key. Raises ChangeRefused."""
        row = MerchantRow(id=self._new_id("mer"), name=name, created_at=self._clock.now())
        await self._write(identities.merchant_added(row))
        return await self.add_merchant_key(row.id, mode)

    async def add_merchant_key(self, merchant_id: str, mode: KeyMode) -> Granted:
        """Another key of a merchant; two of a mode may be live. Raises NotFound, ChangeRefused."""
        merchant = await self.merchant(merchant_id)
        minted = keys.mint(KeyKind.MERCHANT, mode, self._entropy.secret(keys.ENTROPY_BYTES))
        row = MerchantKeyRow(
            lookup_id=minted.lookup_id,
            merchant_id=merchant_id,
            digest=keys.digest(minted.text, self._pepper),
            mode=mode.value,
            created_at=self._clock.now(),
        )
        await self._write(identities.merchant_key_added(row))
        return Granted(id=merchant_id, name=merchant.name, key=minted)

    async def revoke_merchant_key(self, lookup_id: str) -> MerchantKey:
        """Ends a key, at once and for ever. Raises NotFound."""
        key = await identities.merchant_key(self._connection, lookup_id)
        if key is None:
            raise NotFound(f"there is no key {lookup_id}; `payorch merchants keys list` shows them")
        await self._write(identities.merchant_key_revoked(key.merchant_id, lookup_id, self._clock.now()))
        return key

    async def add_operator(self, name: str, person: str, role: Role, mode: KeyMode, *, days: int | None = None) -> Granted:
        """A new operator's account with its token, which lives for so many days. Raises ChangeRefused where the name is taken."""
        row = OperatorRow(id=self._new_id("opr"), name=name, person=plain(person), created_at=self._clock.now())
        await self._write(identities.operator_added(row))
        return await self.add_operator_token(row.id, name, role, mode, days=days)

    async def add_operator_token(self, operator_id: str, name: str, role: Role, mode: KeyMode, *, days: int | None = None) -> Granted:
        """Another token of an operator, which lives for so many days."""
        minted = keys.mint(KeyKind.OPERATOR, mode, self._entropy.secret(keys.ENTROPY_BYTES))
        row = OperatorTokenRow(
            lookup_id=minted.lookup_id,
            operator_id=operator_id,
            digest=keys.digest(minted.text, self._pepper),
            role=role.value,
            created_at=self._clock.now(),
            expires_at=self._clock.now() + timedelta(days=days or self._tokens.days),
        )
        await self._write(identities.operator_token_added(row))
        return Granted(id=operator_id, name=name, key=minted, expires_at=row.expires_at)

    async def revoke_operator_token(self, lookup_id: str) -> OperatorToken:
        """Ends a token, at once and for ever. Raises NotFound."""
        token = await self._token(lookup_id)
        await self._write(identities.operator_token_revoked(token.operator_id, lookup_id, self._clock.now()))
        return token

    async def unlock_operator_token(self, lookup_id: str) -> OperatorToken:
        """Has a token that rested for too long open again what it opened. One that is revoked or expired stays so. Raises NotFound."""
        token = await self._token(lookup_id)
        if not token.is_live(self._clock.now()):
            raise NotFound(f"{lookup_id} is revoked or expired, which nothing undoes; `payorch operators tokens add` makes another")
        await self._write(identities.operator_token_unlocked(token.operator_id, lookup_id, self._clock.now()))
        return token

    def is_locked(self, token: OperatorToken) -> bool:
        """Whether it has rested for too long."""
        return token.is_idle(self._clock.now(), timedelta(days=self._tokens.idle_days))

    async def _token(self, lookup_id: str) -> OperatorToken:
        token = await identities.operator_token(self._connection, lookup_id)
        if token is None:
            raise NotFound(f"there is no token {lookup_id}; `payorch operators tokens list` shows them")
        return token

    async def merchant(self, merchant_id: str) -> Merchant:
        """The merchant of that id. Raises NotFound."""
        found = [merchant for merchant in await identities.merchants(self._connection) if merchant.id == merchant_id]
        if not found:
            raise NotFound(f"there is no merchant {merchant_id}; `payorch merchants list` shows them")
        return found[0]

    async def merchant_named(self, name: str) -> Merchant | None:
        """The oldest merchant of that name; names of merchants may repeat."""
        return next((merchant for merchant in await identities.merchants(self._connection) if merchant.name == name), None)

    async def operator_named(self, name: str) -> Operator | None:
        """The operator of that name."""
        return next((operator for operator in await identities.operators(self._connection) if operator.name == name), None)

    async def live_keys(self, merchant_id: str) -> list[MerchantKey]:
        """The keys that open something now."""
        now = self._clock.now()
        return [key for key in await identities.merchant_keys(self._connection, merchant_id) if key.is_live(now)]

    async def opens(self, text: str) -> bool:
        """Whether this merchant key or operator token is known, live, and made under this master key."""
        return await self._opened(text) is not None

    async def operator_of(self, text: str) -> OperatorToken | None:
        """Whose operator token this is, with its role; None where it opens nothing, or is a merchant's key."""
        stored = await self._opened(text)
        return stored if isinstance(stored, OperatorToken) else None

    async def admitted(self, text: str, least: Role) -> OperatorToken:
        """The operator of that token, whose role is `least` or above it. A refusal is an entry of the journal, without the token.

        Raises NotAdmitted.
        """
        found = await self.operator_of(text)
        if found is None:
            await self._refuse(None, text, "not a live token")
            raise NotAdmitted("the operator's token is not one of this platform, or is revoked or expired")
        if not found.role.may(least):
            await self._refuse(found.operator_name, text, f"{found.role} is not {least}")
            raise NotAdmitted(f"this takes the role {least}, and {found.operator_name}'s token has the role {found.role}")
        return found

    async def _refuse(self, name: str | None, text: str, reason: str) -> None:
        try:
            lookup_id: str | None = keys.parse(text).lookup_id
        except keys.KeyMalformed:
            lookup_id = None
        detail = {"route": self._cause, "reason": reason, "lookup_id": lookup_id, "operator": name}
        await self._write(Change(stream="act", stream_id=self._new_id("act"), name="Refused", rows=(), detail=detail))

    async def _opened(self, text: str) -> MerchantKey | OperatorToken | None:
        try:
            key = keys.parse(text)
        except keys.KeyMalformed:
            return None
        look = identities.merchant_key if key.kind is KeyKind.MERCHANT else identities.operator_token
        stored = await look(self._connection, key.lookup_id)
        live = stored is not None and stored.is_live(self._clock.now()) and keys.matches(key, stored.digest, self._pepper)
        locked = isinstance(stored, OperatorToken) and self.is_locked(stored)
        return stored if live and not locked else None

    def _new_id(self, prefix: str) -> str:
        return identifiers.text(prefix, self._entropy.identifier())

    async def _write(self, change: Change) -> None:
        await entries.changed(
            self._connection, self._visit, change, at=self._clock.now(), actor=self._actor, cause=self._cause
        )  # fmt: skip

    async def _visit(self, entry: Entry) -> Result:
        return await entries.visit(self._connection, entry)
