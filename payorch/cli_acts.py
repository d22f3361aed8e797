"""The command line's way to have something done, as the console does it: a plan, its words, a reason; and another person who agrees.

As in `cli`, which registers these commands as part of `payorch ops`. Not here: seeing (`cli_ops`), asking (`operator_client`), what an act
is and who may (`payorch.domain.acts`, which the platform alone decides).
"""

from __future__ import annotations

import json as jsons
from collections.abc import Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from payorch.cli_ops import ops, segment
from payorch.cli_place import HERE, At, Where
from payorch.terminal import CalledWrongly, CommandFailed, Json, say, show

__all__ = ["ops"]  # with the commands of this module

Set = Annotated[dict[str, str] | None, Parameter(name="--set", help="what the action takes, as in --set.amount 500")]
Reason = Annotated[str, Parameter(help="why; stands in the record for ever")]


@ops.command
async def plan(
    action: str,
    subject: str,
    *,
    set_: Set = None,
    break_glass: Annotated[bool, Parameter(negative="")] = False,
    at: At = HERE,
    json: Json = False,
) -> None:
    """What would happen: effects, checks, whether it is allowed and how many people it takes. Changes nothing."""
    from payorch import operator_words
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        made = await client.post("plans", _wish(action, subject, set_, break_glass))
    show(made, json, lambda: f"{operator_words.plan_text(made)}\n\n{made['id']}, until {made['expires_at']}")


@ops.command
async def do(
    action: str,
    subject: str,
    *,
    reason: Reason,
    confirm: Annotated[str | None, Parameter(help="what the plan says is to be confirmed, as in 249.00")] = None,
    set_: Set = None,
    break_glass: Annotated[bool, Parameter(negative="", help="alone, for what takes two: somebody looks at it within a day")] = False,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Plan it, and ask for it: it is done, or waits for another person.

    The plan names what is to be confirmed, an amount or the end of an id; without it nothing is asked for, and the plan is shown.
    """
    from payorch import operator_words
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        made = await client.post("plans", _wish(action, subject, set_, break_glass))
        if not made["allowed"]:
            raise CommandFailed(f"nothing was done.\n{operator_words.plan_text(made)}")
        if confirm != made["confirm"]:
            say(operator_words.plan_text(made))
            raise CalledWrongly(f"nothing was done: this plan is confirmed by --confirm {made['confirm']}")
        headers = {"idempotency-key": made["id"], "if-match": f'"{made["hash"]}"'}
        asked = await client.post("actions", {"plan": made["id"], "reason": reason}, headers=headers)
    _shown(asked, json)


@ops.command
async def propose(
    plan_id: str,
    *,
    reason: Reason,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Ask for what that plan says. The same plan again answers as the first time."""
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        asked = await client.post("actions", {"plan": plan_id, "reason": reason}, headers={"idempotency-key": plan_id})
    _shown(asked, json)


@ops.command
async def approve(
    act_id: str,
    *,
    hash_: Annotated[str | None, Parameter(name="--hash", help="of the plan that was looked at [default: the present one]")] = None,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Agree, as another person, with what somebody has asked for."""
    from payorch import operator_words
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        if hash_ is None:
            there = await client.get(f"actions/{segment(act_id)}")
            now = there.get("plan_now")
            if now is None:
                raise CommandFailed(f"{act_id} is {there['state']} already")
            if not json:
                say(operator_words.plan_text({**there["plan"], **now, "verb": there["verb"], "subject": there["subject"]}))
            hash_ = str(now["hash"])
        agreed = await client.post(f"actions/{segment(act_id)}/approve", {"hash": hash_})
    _shown(agreed, json)


@ops.command
async def reject(
    act_id: str,
    *,
    reason: Reason,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Say no to what somebody has asked for, or take back what one has asked for oneself."""
    _shown(await _post(f"actions/{segment(act_id)}/reject", {"reason": reason}, at), json)


@ops.command
async def halt(
    act_id: str,
    *,
    reason: Reason,
    at: At = HERE,
    json: Json = False,
) -> None:
    """Stop what is being carried out. What is done of it stays done."""
    _shown(await _post(f"actions/{segment(act_id)}/halt", {"reason": reason}, at), json)


@ops.command
async def review(
    act_id: str,
    *,
    note: Annotated[str, Parameter(help="what was found")],
    at: At = HERE,
    json: Json = False,
) -> None:
    """Look, as another person, at what was done alone."""
    _shown(await _post(f"actions/{segment(act_id)}/review", {"note": note}, at), json)


async def _post(path: str, body: Mapping[str, Any], at: Where) -> dict[str, Any]:
    from payorch.operator_client import operator_client

    async with operator_client(at.place()) as client:
        return await client.post(path, body)


def _shown(act: dict[str, Any], json: bool) -> None:
    from payorch import operator_words

    show(act, json, lambda: operator_words.act_text(act))
    if act["state"] in ("refused", "failed", "halted"):
        raise CommandFailed(f"{act['id']} is {act['state']}")


def _wish(action: str, subject: str, parameters: Mapping[str, str] | None, break_glass: bool) -> dict[str, Any]:
    return {
        "action": action,
        "subject": subject,
        "parameters": {name: _value(text) for name, text in (parameters or {}).items()},
        "break_glass": break_glass,
    }


def _value(text: str) -> Any:
    """A number, a yes or a list where it reads as one; else the text."""
    try:
        return jsons.loads(text)
    except ValueError:
        return text
