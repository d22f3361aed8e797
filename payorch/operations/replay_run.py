"""How far the replay of dead letters has come, as data: which letters are left, what came of the others, and when it stops itself.

Pure. The canary goes first: so many letters, watched until each is settled. If too many of what was replayed did not go well, nothing more
is. What is written down of it is all that a restart needs. Not here: replaying (`dead_letters`), what becomes of a letter (`watch`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from payorch.domain.acts import ActState, Performed

CHUNK: Final = 20
"""Letters between two looks at what came of them, once the canary has gone well: as many may be in vain before it stops."""
MOST_REASONS: Final = 3
"""Reasons of failure that are told: they are mostly alike."""


class Pace(Struct, frozen=True, kw_only=True):
    """canary: letters that go first. per_second: of the others. halt_percent: above which share of failures it stops itself."""

    canary: int
    per_second: int
    halt_percent: int


class Run(Struct, frozen=True, kw_only=True, omit_defaults=False):
    """One replay. left: letters that nothing has come of yet, in their order.

    ok: had their effect. failed: did not. skipped: were left as they are, since somebody else had answered them or there is nothing to try.
    waiting: are due, and their endpoint is switched off. whys: why some failed or were skipped.
    """

    total: int
    canary: int
    left: tuple[str, ...]
    ok: int = 0
    failed: int = 0
    skipped: int = 0
    waiting: int = 0
    whys: tuple[str, ...] = ()

    @property
    def done(self) -> int:
        """Letters that something has come of."""
        return self.total - len(self.left)

    def next_ones(self) -> Sequence[str]:
        """Whose turn it is: the rest of the canary, or a chunk."""
        return self.left[: self.canary - self.done] if self.done < self.canary else self.left[:CHUNK]

    def with_result(
        self, ids: Sequence[str], *, ok: int, failed: int = 0, skipped: int = 0, waiting: int = 0, whys: Sequence[str] = ()
    ) -> Run:
        """After these. whys: of those that did not go well or were left as they are."""
        told = tuple(dict.fromkeys((*self.whys, *whys)))[:MOST_REASONS]
        return msgspec.structs.replace(
            self,
            left=tuple(one for one in self.left if one not in ids),
            ok=self.ok + ok,
            failed=self.failed + failed,
            skipped=self.skipped + skipped,
            waiting=self.waiting + waiting,
            whys=told,
        )

    def halts(self, percent: int) -> bool:
        """Whether more than so many of a hundred that were tried did not go well."""
        return self.failed * 100 > percent * (self.ok + self.failed)

    def text(self) -> str:
        """In words."""
        parts = [
            f"{number} {word}"
            for number, word in (
                (self.ok, "took effect"),
                (self.failed, "failed"),
                (self.waiting, "waiting for an endpoint that is switched off"),
                (self.skipped, "left as before"),
            )
            if number
        ]
        why = f" ({'; '.join(self.whys)})" if self.whys else ""
        return f"{self.done} of {self.total}: {', '.join(parts) or 'nothing yet'}{why}"

    def data(self) -> dict[str, Any]:
        """For programs, and for a restart."""
        return {**msgspec.to_builtins(self), "done": self.done, "text": self.text()}

    def outcome(self) -> dict[str, Any]:
        """What came of it, for programs. Letters that are left are told by their number: they are open, and are found like all others."""
        return {**self.data(), "left": len(self.left)}

    def ended(self, percent: int) -> Performed:
        """What came of all of it."""
        if not self.left and self.ok + self.failed + self.waiting == 0:
            return Performed(state=ActState.REFUSED, text=f"nothing was replayed: {self.text()}", data=self.outcome())
        if not self.halts(percent):
            return Performed(state=ActState.DONE, text=self.text(), data=self.outcome())
        if not self.left:
            return Performed(state=ActState.FAILED, text=self.text(), data=self.outcome())
        share = round(100 * self.failed / (self.ok + self.failed))
        text = f"stopped itself, since {share} % of what was replayed failed, more than {percent} %. {self.text()}."
        return Performed(state=ActState.HALTED, text=f"{text} {len(self.left)} are not replayed and stay open.", data=self.outcome())


def run_of(progress: Mapping[str, Any] | None) -> Run | None:
    """As it was written down; None where nothing was."""
    return None if not progress or "left" not in progress else msgspec.convert(progress, Run)
