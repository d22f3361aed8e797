"""From `a` to an act: choose, fill in, see the plan, send; and the second person's way: look at the plan made anew, approve or reject.

Each step is a dialog that can be left. Nothing is sent before the plan's dialog sends it, under one idempotency key made when it opens.

Not here: whether it may be done (`tui.acts` for this console, the server for everything else).
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from tui import paint
from tui.acts import DECISIONS, SPANS, Offer, Parameter, Subject, offers, value_of, why_no_writes
from tui.api import Answer, Problem
from tui.problems import told
from tui.widgets.modal import Choice, Question, Reading
from tui.widgets.plan_modal import Glass, PlanDialog, plan_lines
from tui.widgets.vlist import Column

if TYPE_CHECKING:
    from tui.app import Console

_WIDEST_VERB: Final = 44


def _menu(rows: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of the menu: the first as wide as the longest of what may be done."""
    wide = min(_WIDEST_VERB, max([28, *(len(row["verb"]) for row in rows)]))
    return (
        Column("verb", "action", wide, lambda row: paint.line((row["verb"], "dim" if row["why_not"] else "strong"))),
        Column("people", "people", 10, lambda row: paint.line((row["people"], "warn" if "2" in row["people"] else "dim"))),
        Column("why", "why not", 20, lambda row: paint.line((row["why_not"] or "", "dim")), grow=True),
    )


def _key(offer: Offer) -> str:
    """What tells it from another of the menu: an action may be there for several subjects, as for each breaker of a connector."""
    return f"{offer.action} {offer.subject}"


class Acting:
    """The console's only way to write."""

    def __init__(self, console: Console) -> None:
        self._console: Final = console

    async def menu(self, subject: Subject | None) -> None:
        """Everything that may or may not be done to the subject of the screen."""
        console = self._console
        if subject is not None and subject.scopes:
            subject = await self._scope(subject)
            if subject is None:
                return
        listed = [] if subject is None else offers(subject, console.state.meta)
        if subject is None or not listed:
            paint.toast(console, paint.line("there is nothing here that can be acted on: put the cursor on a row"))
            return
        why, several = why_no_writes(console.gate()), len({offer.subject for offer in listed}) > 1
        rows = [
            {
                "key": _key(offer),
                "verb": f"{offer.verb}: {offer.subject}" if several else offer.verb,
                "people": f"{offer.people} people" if offer.people > 1 else "1 person" if offer.people else "",
                "why_not": offer.why_not or why,
            }
            for offer in listed
        ]
        note = paint.line((why, "warn")) if why else paint.line(("enter makes a plan, which changes nothing", "dim"))
        chosen = await console.push_screen_wait(Choice(paint.line((f" {subject.title} ", "warn")), rows, _menu(rows), note))
        offer = next((one for one in listed if _key(one) == chosen), None)
        if offer is not None and offer.action in DECISIONS:
            await self._decision(offer)
        elif offer is not None:
            await self.propose(offer, {name: value for name, value in subject.parameters.items() if value is not None})

    async def _scope(self, subject: Subject) -> Subject | None:
        """Which of several things is meant."""
        rows = [{"key": str(number), "title": one.title} for number, one in enumerate(subject.scopes)]
        column = Column("title", "", 40, lambda row: paint.line(row["title"]), grow=True)
        chosen = await self._console.push_screen_wait(Choice(paint.line((" which of them? ", "warn")), rows, (column,)))
        return None if chosen is None else subject.scopes[int(chosen)]

    async def _decision(self, offer: Offer) -> None:
        """Something about an act that is there already."""
        if offer.action == "approve":
            await self.approve(offer.subject)
        else:
            await self.decide(offer.subject, offer.action, DECISIONS[offer.action])

    async def propose(self, offer: Offer, parameters: dict[str, Any]) -> None:
        """What else the action takes, then its plan."""
        for parameter in offer.parameters:
            value = await self._ask(offer, parameter)
            if value is None:
                return
            if value:
                parameters[parameter.name] = value_of(parameter.name, value)
        await self._plan({"action": offer.action, "subject": offer.subject, "parameters": parameters, "break_glass": False}, offer.verb)

    async def _plan(self, wish: dict[str, Any], verb_wanted: str) -> None:
        """The dry run, its dialog, and the act."""
        console = self._console
        try:
            plan = (await console.source.post("plans", wish)).data
        except Problem as problem:
            await console.push_screen_wait(Reading(paint.line((f" {verb_wanted}: no plan ", "bad")), told("the plan", problem)))
            return
        key = f"console-{secrets.token_hex(12)}"

        async def send(reason: str) -> Answer:
            return await console.source.post("actions", {"plan": plan["id"], "reason": reason}, key=key, match=plan.get("hash"))

        verb = "Send proposal" if plan.get("people") == 2 else "Do it"
        answer = await console.push_screen_wait(PlanDialog(plan, send=send, why_not=self._why_not, clock=console.clock, verb=verb))
        if isinstance(answer, Glass):
            await self._plan({**wish, "break_glass": True}, verb_wanted)
        else:
            self._say(answer)

    async def _ask(self, offer: Offer, parameter: Parameter) -> str | None:
        heading = paint.line((f" {offer.verb}: {parameter.name} ", "warn"))
        about = (
            parameter.about
            + ("  (seconds, or as 15m or 2h)" if parameter.name in SPANS else "")
            + ("" if parameter.required else "  (enter alone leaves it out)")
        )
        if parameter.choices:
            column = Column("title", "", 40, lambda row: paint.line(row["title"]), grow=True)
            rows = [{"key": choice, "title": choice} for choice in parameter.choices]
            rows = rows if parameter.required else [{"key": "", "title": "(left out)"}, *rows]
            return await self._console.push_screen_wait(Choice(heading, rows, (column,), paint.line((about, "dim"))))
        return await self._console.push_screen_wait(Question(heading, paint.line((about, "dim")), optional=not parameter.required))

    async def approve(self, action_id: str) -> None:
        """The second person: the plan made anew beside the one that was proposed, then yes."""
        console = self._console
        action = await self._action(action_id)
        if action is None:
            return
        anew: dict[str, Any] = action.get("plan_now") or action.get("plan") or {}
        about = {name: action.get(name) for name in ("verb", "subject", "reason", "expires_at", "id")}
        plan = {**anew, **about, "people": 2}
        if action.get("may_approve") is False:
            plan["allowed"] = False
            plan["objections"] = [*(plan.get("objections") or ()), {"code": "may_not_approve", "why": action.get("why_not_approve")}]
        if action.get("changed"):
            plan["allowed"] = False
            plan["objections"] = [*(plan.get("objections") or ()), {"code": "plan_changed", "why": "it is not what was proposed any more"}]
        key = f"console-{secrets.token_hex(12)}"

        async def send(_: str) -> Answer:
            return await console.source.post(f"actions/{action_id}/approve", {"hash": plan.get("hash") or action.get("hash")}, key=key)

        dialog = PlanDialog(plan, send=send, why_not=self._why_not, clock=console.clock, verb="Approve", needs_reason=False)
        self._say(await console.push_screen_wait(dialog))

    async def decide(self, action_id: str, what: str, field: str = "reason") -> None:
        """reject, halt, review: one sentence, and it is done."""
        console = self._console
        why = why_no_writes(console.gate())
        if why is not None:
            paint.toast(console, paint.line(why), "warn")
            return
        text = await console.push_screen_wait(
            Question(paint.line((f" {what} {action_id} ", "warn")), paint.line((f"{field}, kept in the audit record", "dim")))
        )
        if not text:
            return
        try:
            self._say(await console.source.post(f"actions/{action_id}/{what}", {field: text}, key=f"console-{secrets.token_hex(12)}"))
        except Problem as problem:
            await console.push_screen_wait(Reading(paint.line((f" {what} ", "bad")), told(what, problem)))

    async def show(self, action_id: str) -> None:
        """An action as it stands, to read."""
        action = await self._action(action_id)
        if action is not None:
            lines = plan_lines({**(action.get("plan") or {}), "people": action.get("people")})
            await self._console.push_screen_wait(Reading(paint.line((f" {action_id} ", "info")), lines))

    async def _action(self, action_id: str) -> Mapping[str, Any] | None:
        try:
            return await self._console.source.get(f"actions/{action_id}")
        except Problem as problem:
            await self._console.push_screen_wait(Reading(paint.line((f" {action_id} ", "bad")), told(action_id, problem)))
            return None

    def _why_not(self) -> str | None:
        return why_no_writes(self._console.gate())

    def _say(self, answer: Answer | Glass | None) -> None:
        if not isinstance(answer, Answer):
            return
        state = answer.data.get("state")
        said = f"{answer.data.get('id')} {answer.data.get('verb') or ''}: {state}" + ("  (had been sent before)" if answer.replayed else "")
        paint.toast(self._console, paint.line(said), "good" if state == "done" else "info")
        self._console.refresh_view()
