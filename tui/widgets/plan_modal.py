"""The dialog before anything is written: what would be different, what was checked, on what evidence; a reason; and the amount typed.

It is built against accidents. The focus begins on Cancel and enter never sends. Keys are ignored for the first 400 ms and while one
repeats; the key that sends (ctrl+s) is not the one that opened it. The idempotency key is made when it opens, so that sending twice is
sending once. Where the data becomes stale it stays open, Send is off, and it says so.

Not here: making the plan and sending it (`tui.acting`), and whether it is legal (the server).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button

from tui import keys, paint
from tui.api import Answer, Problem
from tui.clock import Clock
from tui.paint import Line, Words
from tui.problems import told
from tui.widgets.bars import Typed
from tui.widgets.modal import Dialog

DEAF_SECONDS: Final = 0.4
"""Longer than a key that is still held from the screen before."""
REPEAT_SECONDS: Final = 0.1
"""A terminal repeats a held key 20 to 40 times a second; nobody types the same key twice so fast."""

Send = Callable[[str], Awaitable[Answer]]
WhyNot = Callable[[], str | None]


class Glass:
    """The answer of somebody who wants to do alone what takes two people: another plan is made, which says so."""


class SendButton(Button, inherit_bindings=False):
    """A button that only the mouse presses: enter on it does nothing."""


class PlanText(VerticalScroll, can_focus=False):
    """The plan itself. It takes no place among the fields: one reads on with the keys that turn pages."""


class PlanDialog(Dialog[Answer | Glass | None]):
    """One plan. `send` is called with the reason; `why_not` says why nothing may be written now."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings("plan")

    def __init__(
        self, plan: Mapping[str, Any], *, send: Send, why_not: WhyNot, clock: Clock, verb: str = "Send", needs_reason: bool = True
    ) -> None:
        people = "four eyes" if plan.get("people") == 2 else "one person"
        super().__init__(paint.line((f" {verb}: {plan.get('verb')} {plan.get('subject')} ({people}) ", "warn")))
        self.plan: Final = plan
        self._send: Final = send
        self._why_not: Final = why_not
        self._clock: Final = clock
        self._verb: Final = verb
        self._needs_reason: Final = needs_reason
        self._opened: Final = clock.monotonic()
        self._pressed = 0.0
        self._sending = False

    def compose(self) -> ComposeResult:
        with Vertical(classes="box plan"):
            with PlanText(classes="plan-text"):
                yield Words(*plan_lines(self.plan))
            if self._needs_reason:
                yield Words(paint.line(("Reason (shown to the second person, kept in the audit record)", "dim")))
                yield Typed(id="reason", compact=True)
            if self.confirm:
                yield Words(paint.line(("Type ", "dim"), (self.confirm, "strong"), (" to confirm", "dim")))
                yield Typed(id="confirm", compact=True)
            yield Words(id="problem", hides=True)
            yield Words(id="said")
            with Horizontal(classes="buttons"):
                yield Button(paint.content(paint.line("Cancel (esc)")), id="cancel", compact=True)
                yield SendButton(
                    paint.content(paint.line(f"{self._verb} (ctrl+s)")), id="send", variant="warning", compact=True, disabled=True
                )

    @property
    def confirm(self) -> str:
        """What is to be typed."""
        return str(self.plan.get("confirm") or "")

    def on_mount(self) -> None:
        super().on_mount()
        self.query_one("#cancel", Button).focus()
        self.judge()
        self.set_interval(0.25, self.judge)

    def why_not(self) -> str | None:
        """Why it cannot be sent now; None where it can."""
        if self.plan.get("allowed") is False:
            return "the plan is not allowed: see above"
        stale = self._why_not()
        if stale is not None:
            return stale
        if self._needs_reason and not self.query_one("#reason", Typed).value.strip():
            return "it needs a reason"
        if self.confirm and self.query_one("#confirm", Typed).value.strip() != self.confirm:
            return f"type {self.confirm} to confirm"
        return None

    def judge(self) -> None:
        """Send is on only while all of it holds."""
        why = self.why_not()
        self.query_one("#send", Button).disabled = why is not None or self._sending
        if why is not None and not self._sending:
            self.query_one("#said", Words).say(paint.line((why, "dim")))
        elif not self._sending:
            self.query_one("#said", Words).say(paint.line(("ctrl+s sends it", "good")))

    def on_button_pressed(self, event: Button.Pressed) -> None:
        event.stop()
        if self._deaf():
            return
        if event.button.id == "cancel":
            self.action_cancel()
        else:
            self.action_send()

    def _deaf(self) -> bool:
        return self._clock.monotonic() - self._opened < DEAF_SECONDS

    def action_send(self) -> None:
        now = self._clock.monotonic()
        held, self._pressed = now - self._pressed < REPEAT_SECONDS, now
        if self._deaf() or self._sending or held:
            return
        why = self.why_not()
        if why is not None:
            self.query_one("#said", Words).say(paint.line((f"not sent: {why}", "warn")))
            return
        self._sending = True
        self.run_worker(self._deliver(), exclusive=True)

    def on_typed_left(self, event: Typed.Left) -> None:
        event.stop()
        self.action_cancel()

    def action_turn(self, pages: int) -> None:
        """A plan that is longer than the dialog is read page by page."""
        text = self.query_one(PlanText)
        text.scroll_relative(y=pages * max(1, text.size.height - 1), animate=False)

    def action_glass(self) -> None:
        """Only where it takes two people; the server says who may."""
        if (
            self.plan.get("people") == 2
            and not self.plan.get("break_glass")
            and self._needs_reason
            and not self._sending
            and not self._deaf()
        ):
            self.dismiss(Glass())

    async def _deliver(self) -> None:
        reason = self.query_one("#reason", Typed).value.strip() if self._needs_reason else ""
        self.query_one("#problem", Words).say()
        self.query_one("#said", Words).say(paint.line(("sending", "info")))
        try:
            answer = await self._send(reason)
        except Problem as problem:
            self.query_one("#problem", Words).say(*told("not carried out", problem))
            self._sending = problem.status in (409, 410, 412, 422)  # this plan is spent: another has to be made
        else:
            self.dismiss(answer)


def plan_lines(plan: Mapping[str, Any]) -> list[Line]:
    """The plan, as everybody sees it: whoever asks, and whoever is the second person."""
    lines: list[Line] = []
    effects = [effect for effect in plan.get("effects") or () if isinstance(effect, dict)]
    wide = max([len(str(effect.get("what"))) for effect in effects] + [8])
    if plan.get("reason"):
        lines.append(paint.line(("reason".ljust(wide) + " ", "dim"), (str(plan["reason"]), "strong")))
    for effect in effects:
        what = f"{paint.safe(effect.get('what'), 20):<{wide}} "
        lines.append(
            paint.line(
                (what, "dim"), (f"{effect.get('before')} ", ""), (f"{paint.glyph('arrow')} ", "dim"), (str(effect.get("after")), "good")
            )
        )
    if not effects:
        lines.append(paint.line(("it changes nothing", "dim")))
    lines.append(paint.line(("undo".ljust(wide) + " ", "dim"), str(plan.get("undo") or "none")))
    lines.append(paint.line(("people".ljust(wide) + " ", "dim"), f"{plan.get('people')}: {plan.get('why_people') or ''}"))
    lines.extend(_check(check, wide) for check in plan.get("checks") or () if isinstance(check, dict))
    for proof in plan.get("proofs") or ():
        if isinstance(proof, dict):
            said = f"{paint.moment(proof.get('at'))} {proof.get('text')} "
            lines.append(paint.line(("evidence".ljust(wide) + " ", "dim"), said, (str(proof.get("reference")), "accent")))
    for objection in plan.get("objections") or ():
        if isinstance(objection, dict):
            lines.append(
                paint.line(("refused".ljust(wide) + " ", "bad"), (f"{objection.get('why')} ", "bad"), (str(objection.get("code")), "dim"))
            )
    if plan.get("break_glass"):
        lines.append(paint.line(("BREAKING THE GLASS: done by one person, and reviewed by another within a day", "bad")))
    lines.append(
        paint.line((f"plan {plan.get('id')} of version {plan.get('version')}, until {paint.moment(plan.get('expires_at'))}Z", "dim"))
    )
    return lines


def _check(check: Mapping[str, Any], wide: int) -> Line:
    holds = bool(check.get("holds"))
    sign = paint.Piece(paint.glyph("check" if holds else "cross") + " ", "good" if holds else "bad" if check.get("binds") else "warn")
    detail = f"  {check.get('detail')}" if check.get("detail") else ""
    return paint.line(("check".ljust(wide) + " ", "dim"), sign, str(check.get("what")), (detail, "dim"))
