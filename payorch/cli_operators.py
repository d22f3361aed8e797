"""The commands about operators and their tokens. A token is shown once, ends after some days, and is locked when nobody uses it.

Not here: making them (`payorch.access`), what a role may do (`payorch.domain.roles`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from cyclopts import App, Parameter, validators

from payorch.terminal import CommandFailed, DataDir, Json, show
from payorch.wording import aligned

if TYPE_CHECKING:
    from payorch.access import Granted

Mode: TypeAlias = Annotated[Literal["test", "live"], Parameter(help="whether real money moves; visible in the key")]
RoleName: TypeAlias = Annotated[Literal["viewer", "operator", "approver", "admin"], Parameter(help="what it may do")]
Days: TypeAlias = Annotated[
    int | None,
    Parameter(validator=validators.Number(gte=1, lte=3650), help="for how long the token lives [default: operators.token_days, 90]"),
]

operators = App(name="operators", help="Operators and their tokens.")
tokens = App(name="tokens", help="An operator's tokens.")
operators.command(tokens)


@operators.command(name="add")
async def operators_add(
    name: str,
    *,
    role: RoleName,
    person: Annotated[str | None, Parameter(help="whose account it is: four eyes are two people [default: NAME]")] = None,
    mode: Mode = "test",
    days: Days = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Add an operator. Its token is shown once, now."""
    from payorch import local
    from payorch.domain.roles import Role
    from payorch.keys import KeyMode

    async with local.registrar(data_dir, command="operators add") as registrar:
        granted = await registrar.add_operator(name, person or name, Role(role), KeyMode(mode), days=days)
    show_granted(granted, "operator", "token", {"role": role}, json)


@operators.command(name="list")
async def operators_list(*, data_dir: DataDir = None, json: Json = False) -> None:
    """List all operators, oldest first, with the roles of their live tokens."""
    from payorch import local
    from payorch.store import identities
    from payorch.system import SystemClock

    now = SystemClock().now()

    found: list[dict[str, Any]] = []
    async with local.connection_to(data_dir) as connection:
        for one in await identities.operators(connection):
            roles = {token.role for token in await identities.operator_tokens(connection, one.id) if token.is_live(now)}
            found.append({"id": one.id, "name": one.name, "person": one.person, "roles": sorted(roles)})
    show(found, json, lambda: aligned((one["id"], one["name"], one["person"], " ".join(one["roles"]) or "(none)") for one in found))


@tokens.command(name="add")
async def tokens_add(
    name: str, *, role: RoleName, mode: Mode = "test", days: Days = None, data_dir: DataDir = None, json: Json = False
) -> None:
    """Add a token to the operator of that name, beside those that there are. It is shown once, now."""
    from payorch import local
    from payorch.domain.roles import Role
    from payorch.keys import KeyMode

    async with local.registrar(data_dir, command="operators tokens add") as registrar:
        operator = await registrar.operator_named(name)
        if operator is None:
            raise CommandFailed(f"there is no operator {name}; `payorch operators list` shows them")
        granted = await registrar.add_operator_token(operator.id, name, Role(role), KeyMode(mode), days=days)
    show_granted(granted, "operator", "token", {"role": role}, json)


@tokens.command(name="list")
async def tokens_list(name: str | None = None, *, data_dir: DataDir = None, json: Json = False) -> None:
    """List tokens, without the tokens: by lookup id, those of one operator or all, oldest first."""
    from payorch import local
    from payorch.store import identities
    from payorch.system import SystemClock

    now, found = SystemClock().now(), list[dict[str, Any]]()
    async with local.connection_to(data_dir) as connection, local.registrar(data_dir, command="operators tokens list") as registrar:
        for one in await identities.operators(connection):
            for token in await identities.operator_tokens(connection, one.id) if name in (None, one.name) else ():
                ended = "revoked" if token.revoked_at is not None else "expired"
                status = ended if not token.is_live(now) else "locked" if registrar.is_locked(token) else "live"
                found.append(
                    {
                        "lookup_id": token.lookup_id, "operator": one.name, "role": token.role.value, "status": status,
                        "created_at": token.created_at.isoformat(), "used_at": token.used_at and token.used_at.isoformat(),
                        "expires_at": token.expires_at and token.expires_at.isoformat(),
                    }
                )  # fmt: skip
    show(found, json, lambda: aligned(_token_line(one) for one in found))


def _token_line(token: Mapping[str, Any]) -> tuple[str, ...]:
    used, expires = (str(token[name] or "never")[:16] for name in ("used_at", "expires_at"))
    return token["lookup_id"], token["operator"], token["role"], token["status"], f"used {used}", f"expires {expires}"


@tokens.command(name="revoke")
async def tokens_revoke(lookup_id: str, *, data_dir: DataDir = None, json: Json = False) -> None:
    """End a token for ever, by its lookup id (all before the last underscore). A running platform refuses it at once."""
    from payorch import local

    async with local.registrar(data_dir, command="operators tokens revoke") as registrar:
        token = await registrar.revoke_operator_token(lookup_id)
    show({"operator": token.operator_name, "revoked": lookup_id}, json, lambda: f"{lookup_id} of {token.operator_name} is revoked")


@tokens.command(name="unlock")
async def tokens_unlock(lookup_id: str, *, data_dir: DataDir = None, json: Json = False) -> None:
    """Have a token open again that is locked because nobody used it. Whose it is should have asked for that."""
    from payorch import local

    async with local.registrar(data_dir, command="operators tokens unlock") as registrar:
        token = await registrar.unlock_operator_token(lookup_id)
    show({"operator": token.operator_name, "unlocked": lookup_id}, json, lambda: f"{lookup_id} of {token.operator_name} is unlocked")


def show_granted(granted: Granted, what: str, secret: str, more: Mapping[str, str], as_json: bool) -> None:
    """New access on the screen, with its secret, this once."""
    text = granted.key.text.reveal()
    shown = {what: granted.id, "name": granted.name, **more, secret: text, "lookup_id": granted.key.lookup_id}
    if granted.expires_at is not None:
        shown["expires_at"] = granted.expires_at.isoformat(timespec="seconds")
    show(shown, as_json, lambda: f"{aligned(shown.items())}\n\nThe {secret} is shown this once and kept nowhere. Keep it safe.")
