"""The retry budget of one PSP: a bucket of tokens that bounds how much repeating may add to what is sent in the first place.

Each first call earns a fraction of a token, a repeated one takes a whole token, and gets it back where the PSP really answered it (also
with an error, where it says that it had stored it): so repeating is free while it helps, and ends soon where it does not. With a PSP that
answers nothing, repeats are at most that fraction of the first calls, plus the few tokens of the beginning and a trickle that keeps a quiet
connector from never trying again. (gRPC's retry throttling, A6, in its spirit.)

Pure, without a clock: `now` in seconds comes from outside. Not here: which calls are repeats, what is done without a token (`connector`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import final


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLimits:
    """In tokens. initial: at the start, and again at the end of an outage. most: that may be saved up. The reasons: connectors.toml."""

    initial: float
    most: float
    earned_per_call: float
    earned_per_minute: float


@final
class RetryBudget:
    """One bucket. `now` never goes back."""

    def __init__(self, limits: BudgetLimits, now: float) -> None:
        self._limits = limits
        self._tokens = limits.initial
        self._counted_at = now

    def tokens(self, now: float) -> float:
        """How many there are."""
        trickle = max(0.0, now - self._counted_at) / 60 * self._limits.earned_per_minute
        self._tokens, self._counted_at = min(self._limits.most, self._tokens + trickle), max(now, self._counted_at)
        return self._tokens

    def may_take(self, now: float) -> bool:
        """Whether there is one to take."""
        return self.tokens(now) >= 1

    def take(self, now: float) -> None:
        """One repeat is sent. Also where there is none to take, for a past that is remembered: never below zero."""
        self._tokens = max(0.0, self.tokens(now) - 1)

    def give_back(self) -> None:
        """The repeat was answered, or not sent after all."""
        self._tokens = min(self._limits.most, self._tokens + 1)

    def earn(self) -> None:
        """A first call was sent."""
        self._tokens = min(self._limits.most, self._tokens + self._limits.earned_per_call)

    def refresh(self) -> None:
        """An outage is over, as a circuit has found out by trying: what was repeated in vain is forgiven, and the rest can be settled."""
        self._tokens = max(self._tokens, self._limits.initial)
