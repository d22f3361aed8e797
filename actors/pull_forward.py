"""Which payments are looked at before their time, because their PSP answers again; and which lend an ill PSP a look, so that somebody
notices when it does.

After an outage of any length the schedules of its unknown payments point far ahead. When calls of some kind are answered again, a *wave*
goes over all that is unresolved of that kind at that connector and has changed since it fell ill, oldest first, a bounded number at each
step, and stands still while the connector is ill. After a start of the process there is one wave over everything, because nobody knows what
it has missed. While a circuit wants a probe and no traffic brings one, a few of its payments are looked at for it, at the pace of the
circuit's own limits. Such a look is an ordinary one out of turn: mostly an inquiry, but where the payment's own rules allow it a replay, or
the sending of its capture, void or refund. Its payment answers for that, and counts it (payments.early_tries).

The rows are the truth: what is kept here is only how far each wave has come. Not here: the look itself (`transaction`), whether a call may
be made (`admission`).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol, final

from actors.admission import Admission, CallKind
from actors.messages import AnswersAgain
from payorch.domain.records import OperationKind

_SENDABLE: Final = {
    CallKind.CAPTURE: frozenset({OperationKind.CAPTURE}),
    CallKind.VOID: frozenset({OperationKind.VOID}),
    CallKind.REFUND: frozenset({OperationKind.REFUND}),
}


class Unresolved(Protocol):
    """`connector_reads.unresolved_at`, with a connection."""

    def __call__(
        self, connector: str, kinds: Sequence[str], *, changed_since: datetime | None, after: str | None, limit: int
    ) -> Awaitable[list[str]]: ...


@dataclass(slots=True)
class _Wave:
    """since: None for everything. after: how far it has come. again: once more from the beginning, when it has come to the end."""

    since: datetime | None
    after: str | None = None
    again: bool = False


@dataclass(slots=True)
class _Lending:
    """Whose turn it is to lend a look, not before when, and how long to wait after it."""

    wait_seconds: float
    after: str | None = None
    not_before: float = 0.0


@final
class PullForward:
    """Takes one step whenever it is told. admissions: by connector. wake: hands the message to that payment; must not wait. Where it raises
    because there is no room for that payment, the step ends there, and the next one goes on with that payment, not with those before it.

    limit: payments of one connector that are woken by one step. operations_rarer: how many times as long looks wait at the longest which
    are lent for captures, voids and refunds. pulled: told of a connector and how many of its payments were woken.
    """

    def __init__(
        self,
        *,
        admissions: Mapping[str, Admission],
        unresolved: Unresolved,
        wake: Callable[[str, AnswersAgain], None],
        limit: int,
        operations_rarer: int,
        pulled: Callable[[str, int], None],
    ) -> None:
        self._operations_rarer = operations_rarer
        self._admissions = admissions
        self._unresolved = unresolved
        self._wake = wake
        self._limit = limit
        self._pulled = pulled
        self._waves: dict[tuple[str, CallKind], _Wave] = {}
        self._lending: dict[tuple[str, CallKind], _Lending] = {}
        self.woken: dict[str, int] = dict.fromkeys(admissions, 0)
        """by connector, since the start"""

    def begin_everywhere(self) -> None:
        """A wave over everything, everywhere: nobody knows what this process has missed."""
        for name in self._admissions:
            for kind in CallKind:
                self.begin(name, kind, None)

    def begin(self, connector: str, kind: CallKind, since: datetime | None) -> None:
        """Calls of that kind are answered again; since then they had not been."""
        for other in CallKind if kind is CallKind.LOOKUP else (kind,):
            self._lending.pop((connector, other), None)  # a PSP that can be asked again is worth a try of everything, at once
        wave = self._waves.get((connector, kind))
        if wave is None:
            self._waves[connector, kind] = _Wave(since)
            return
        wave.since = None if wave.since is None or since is None else min(wave.since, since)
        wave.again = wave.after is not None

    async def step(self, now: float) -> None:
        """The next page of each wave that is not held up, and the looks that are to be lent. `now` by trio's clock."""
        for name, admission in self._admissions.items():
            left = self._limit
            for kind in CallKind:
                wave = self._waves.get((name, kind))
                if wave is not None and left and admission.is_well(kind, now):
                    left -= await self._advance(name, kind, wave, left)
            for kind in CallKind:
                if admission.wants_probe(kind, now):
                    await self._lend(name, kind, admission, now)

    async def _advance(self, connector: str, kind: CallKind, wave: _Wave, limit: int) -> int:
        found = await self._unresolved(connector, [kind], changed_since=wave.since, after=wave.after, limit=limit)
        self._wake_all(connector, kind, found, wave)
        if len(found) == limit:
            pass  # there may be more
        elif wave.again:
            wave.after, wave.again = None, False
        else:
            del self._waves[connector, kind]
        return len(found)

    async def _lend(self, connector: str, kind: CallKind, admission: Admission, now: float) -> None:
        limits = admission.limits.of(kind)
        lending = self._lending.setdefault((connector, kind), _Lending(limits.open_seconds))
        if now < lending.not_before:
            return
        found = await self._unresolved(connector, [kind], changed_since=None, after=lending.after, limit=limits.probes)
        if not found and lending.after is not None:  # all had their turn: from the beginning
            found = await self._unresolved(connector, [kind], changed_since=None, after=None, limit=limits.probes)
        lending.not_before = now + lending.wait_seconds
        # A look that is lent for look-ups is paced by their circuit. For other kinds it may come to nothing (nothing of it may be sent any
        # more), and nobody is helped by asking about the same payments all night.
        idle = kind is not CallKind.LOOKUP or not found
        longest = limits.longest_open_seconds * (self._operations_rarer if kind in _SENDABLE else 1)
        lending.wait_seconds = min(lending.wait_seconds * 2, longest) if idle else limits.open_seconds
        lending.after = None
        self._wake_all(connector, kind, found, lending)

    def _wake_all(self, connector: str, kind: CallKind, found: Sequence[str], come: _Wave | _Lending) -> None:
        """Wakes them, and notes each in `come.after`, so that nobody is woken twice where it ends in the middle."""
        message = AnswersAgain(connector=connector, sendable=_SENDABLE.get(kind, frozenset()))
        for payment_id in found:
            self._wake(payment_id, message)
            come.after = payment_id
            self.woken[connector] += 1
            self._pulled(connector, 1)
