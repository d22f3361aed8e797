"""Who may knock at a local stack: the demo merchant's key, and two operators who are two persons, so that four eyes can be shown.

Not here: what access is (`access`), the rest of `payorch up` (`local`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from payorch import access, database
from payorch.domain.roles import Role
from payorch.keys import KeyMode
from payorch.ports import Clock, Entropy
from payorch.settings import Settings

MERCHANT: Final = "Demo shop"
OPERATORS: Final[Mapping[str, Role]] = {"olga": Role.OPERATOR, "amir": Role.APPROVER}


async def demo_access(settings: Settings, known: Mapping[str, Any], *, clock: Clock, entropy: Entropy) -> dict[str, Any]:
    """The demo merchant's key and the operators' tokens: those in credentials.json, where they still open something, else new ones."""
    async with database.connected(settings.needed("database_url"), settings.database, application_name="payorch-up") as connection:
        registrar = access.Registrar(
            connection,
            master=settings.needed("secret_key"),
            clock=clock,
            entropy=entropy,
            actor="payorch up",
            cause="demo access",
            tokens=access.TokenRules(days=settings.operators.token_days, idle_days=settings.operators.token_idle_days),
        )
        merchant_key = str(known.get("merchant_key", ""))
        if not await registrar.opens(merchant_key):
            merchant_key = (await _new_demo_key(registrar)).key.text.reveal()
        operators = {}
        for name, role in OPERATORS.items():
            token = str(known.get("operators", {}).get(name, {}).get("token", ""))
            if not await registrar.opens(token):
                token = (await _new_operator_token(registrar, name, role)).key.text.reveal()
            operators[name] = {"token": token, "role": role.value}
    return {"merchant_key": merchant_key, "operators": operators}


async def _new_demo_key(registrar: access.Registrar) -> access.Granted:
    merchant = await registrar.merchant_named(MERCHANT)
    if merchant is None:
        return await registrar.add_merchant(MERCHANT, KeyMode.TEST)
    for lost in await registrar.live_keys(merchant.id):
        await registrar.revoke_merchant_key(lost.lookup_id)  # nobody has it any more, and only two may be live
    return await registrar.add_merchant_key(merchant.id, KeyMode.TEST)


async def _new_operator_token(registrar: access.Registrar, name: str, role: Role) -> access.Granted:
    operator = await registrar.operator_named(name)
    if operator is None:
        return await registrar.add_operator(name, name, role, KeyMode.TEST)
    return await registrar.add_operator_token(operator.id, name, role, KeyMode.TEST)
