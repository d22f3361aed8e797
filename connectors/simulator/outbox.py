"""The notifications in a simulated PSP's ledger, and how far each has come on its way to the merchant's endpoint.

There is one endpoint or none. A notification made while there is none is owed to nobody: the PSP's list of events shows it, and it is never
sent. Everything stands in the ledger's database, so a process that is killed comes back owing what it owed. Writing takes a transaction of
the ledger's, as with everything else in it.

    waiting    sent as soon as its time has come; after a failure again in 1 s, 2 s, 4 s, ... an hour, for three days
    delivered, given up, lost    not sent any more

Not here: signing and posting (`webhooks`, the dialects, `payorch.simulator_webhooks`), deciding faults (`webhook_faults`).
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any, Final, final

from connectors.simulator.faults import WEBHOOK_FAULTS
from connectors.simulator.records import DeliveryState, Due, Notification, Target, milliseconds, moment
from connectors.simulator.rows import read_notification
from connectors.simulator.webhook_faults import PROMPT, WebhookVerdict

FIRST_PAUSE_SECONDS: Final = 1.0
"""Between a failure and the next try, doubled with each: a developer who starts the platform again sees it at work."""
LONGEST_PAUSE_SECONDS: Final = 3600.0
GIVES_UP_AFTER: Final = timedelta(days=3)
"""As long as real PSPs try: a weekend."""

_NEVER: Final = 2**62
_WAITING: Final = "state = 'waiting'"  # as the partial index has it
_MAKE: Final = "INSERT INTO delivery VALUES (?, 'waiting', 0, ?, NULL, 1, NULL, '', NULL, 0)"


def pause_seconds(attempts: int) -> float:
    """How long to wait after that many failures."""
    # The exponent is bounded as well: after three days there are far fewer than a thousand.
    return min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2.0 ** min(attempts - 1, 30))


@final
class Outbox:
    """What one PSP owes. Part of a `Ledger`, over its database; reads what has been flushed."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._database = database
        self._run = database.execute
        self._owed: list[Notification] = []
        self.target: Target | None = None
        self._last = 0
        self.forget()
        # What was there before this process is sent as it is: faults are not durable, a restarted PSP is a healthy one.
        self._judged = self._last

    # Notifications

    @property
    def unwritten(self) -> bool:
        """Whether there is something that `flush` has to write."""
        return bool(self._owed)

    def notify(self, *, id: str, type: str, payment: str, at: datetime, body: bytes) -> Notification:
        """One more; owed to the endpoint, if there is one."""
        self._last += 1
        made = Notification(number=self._last, id=id, type=type, payment=payment, created_at=at, body=body)
        self._owed.append(made)
        return made

    def flush(self) -> None:
        """Writes what was made since the last time."""
        rows = [(it.number, it.id, it.type, it.payment, milliseconds(it.created_at), it.body) for it in self._owed]
        self._database.executemany("INSERT INTO notification VALUES (?, ?, ?, ?, ?, ?)", rows)
        if self.target is not None:
            self._database.executemany(_MAKE, [(row[0], row[4]) for row in rows])
        self._owed = []

    def forget(self) -> None:
        """Drops what was not committed, and reads again what was."""
        self._owed = []
        (last,) = self._run("SELECT max(number) FROM notification").fetchone()
        self._last = last or 0
        row = self._run("SELECT value FROM meta WHERE name = 'endpoint'").fetchone()
        self.target = None if row is None else Target(**json.loads(row[0]))

    def notifications(self, *, limit: int, before: int | None = None, types: tuple[str, ...] = ()) -> list[Notification]:
        """The newest, older than number `before`, of the given types or of all."""
        chosen = f" AND type IN ({','.join('?' * len(types))})" if types else ""
        rows = self._run(
            f"SELECT * FROM notification WHERE number < ?{chosen} ORDER BY number DESC LIMIT ?",
            (_NEVER if before is None else before, *types, limit),
        ).fetchall()
        return [read_notification(row) for row in rows]

    def notification(self, id: str) -> Notification | None:
        """The one with that id, or None."""
        row = self._run("SELECT * FROM notification WHERE id = ?", (id,)).fetchone()
        return None if row is None else read_notification(row)

    # Their delivery

    def point(self, target: Target | None, now: datetime) -> None:
        """Sets the endpoint, or takes it away. What waits for a pause after a failure to be over is due at once at the new one, and given
        up where there is none."""
        self._run("DELETE FROM meta WHERE name = 'endpoint'")
        if target is None:
            self._run(f"UPDATE delivery SET state = ?, ended_at = ? WHERE {_WAITING}", (DeliveryState.GIVEN_UP, milliseconds(now)))
        else:
            value = json.dumps({"url": target.url, "secret": target.secret})
            self._run("INSERT INTO meta VALUES ('endpoint', ?)", (value,))
            self._run(f"UPDATE delivery SET next_at = min(next_at, ?) WHERE {_WAITING} AND attempts > 0", (milliseconds(now),))
        self.target = target

    @property
    def unjudged(self) -> bool:
        """Whether there are some that `judge` has not seen."""
        return self._judged != self._last

    def judge(self, verdict: Callable[[], WebhookVerdict], now: datetime) -> None:
        """Asks for each one that is new what befalls it, in order, and keeps that with it."""
        rows = self._run(
            f"SELECT number, next_at FROM delivery WHERE number > ? AND {_WAITING} ORDER BY number", (self._judged,)
        ).fetchall()
        for number, made_at in rows:
            if (befallen := verdict()) is not PROMPT:
                self._befall(number, made_at, befallen, now)
        self.skip()

    def skip(self) -> None:
        """Nothing befalls those that are new."""
        self._judged = self._last

    def _befall(self, number: int, made_at: int, verdict: WebhookVerdict, now: datetime) -> None:
        state = DeliveryState.LOST if verdict.lost else DeliveryState.WAITING
        next_at = made_at + round(verdict.delay_seconds * 1000)
        values = (state, milliseconds(now) if verdict.lost else None, next_at, verdict.copies, verdict.forgery, " ".join(verdict.faults))
        statement = "UPDATE delivery SET state = ?, ended_at = ?, next_at = ?, copies = ?, forgery = ?, faults = ? WHERE number = ?"
        self._run(statement, (*values, number))

    def due(self, now: datetime, *, limit: int, busy: Collection[int] = ()) -> list[Due]:
        """Those whose time has come, the longest due first, except the numbers that are `busy` being sent."""
        if self.target is None or limit <= 0:
            return []
        rows = self._run(
            f"SELECT notification.*, attempts, copies, forgery FROM delivery JOIN notification USING (number) WHERE {_WAITING}"
            " AND next_at <= ? ORDER BY next_at, delivery.number LIMIT ?",
            (milliseconds(now), limit + len(busy)),
        ).fetchall()
        made = [_due(row) for row in rows if row[0] not in busy]
        return made[:limit]

    def next_due(self, after: datetime) -> datetime | None:
        """When the first one after that moment is due; None if there is none."""
        (at,) = self._run(f"SELECT min(next_at) FROM delivery WHERE {_WAITING} AND next_at > ?", (milliseconds(after),)).fetchone()
        return None if at is None else moment(at)

    def settle(self, due: Due, *, problem: str | None, believed: int, now: datetime) -> None:
        """An attempt is over: delivered where there was no problem. `believed`: how many forged copies were answered as true ones are."""
        number, ended = due.notification.number, milliseconds(now)
        if problem is None:
            # Whatever became of it meanwhile: it did arrive.
            statement = "UPDATE delivery SET state = ?, ended_at = ?, attempts = attempts + 1, problem = NULL, believed = believed + ?"
            self._run(f"{statement} WHERE number = ?", (DeliveryState.DELIVERED, ended, believed, number))
            return
        again = now + timedelta(seconds=pause_seconds(due.attempts + 1))
        over = again > due.notification.created_at + GIVES_UP_AFTER
        state, ended_at = (DeliveryState.GIVEN_UP, ended) if over else (DeliveryState.WAITING, None)
        # Forged copies are sent once: what the endpoint says to them is known now.
        statement = "UPDATE delivery SET state = ?, ended_at = ?, next_at = ?, attempts = attempts + 1, forgery = NULL, problem = ?"
        values = (state, ended_at, milliseconds(again), problem, believed, number)
        self._run(f"{statement}, believed = believed + ? WHERE number = ? AND {_WAITING}", values)

    def counts(self) -> Mapping[str, int]:
        """How many were ever owed to an endpoint, what became of them, what befell them, and how many forged copies were believed."""
        states: Counter[str] = Counter()
        faults: Counter[str] = Counter()
        for state, befell, count, believed in self._run("SELECT state, faults, count(*), sum(believed) FROM delivery GROUP BY 1, 2"):
            states[state] += count
            faults["forged_believed"] += believed
            for name in befell.split():
                faults[name.removeprefix("webhooks_")] += count
        kinds = sorted(kind.removeprefix("webhooks_") for kind in WEBHOOK_FAULTS)
        shown = ("delivered", "waiting", "given_up")
        return {
            "owed": states.total(),
            **{name: states[name] for name in shown},
            **{name: faults[name] for name in (*kinds, "forged_believed")},
        }

    def problem(self) -> str | None:
        """What went wrong with the latest attempt of one that still waits; None where nothing did."""
        statement = f"SELECT problem FROM delivery WHERE {_WAITING} AND problem IS NOT NULL ORDER BY number DESC LIMIT 1"
        row = self._run(statement).fetchone()
        return None if row is None else str(row[0])


def _due(row: tuple[Any, ...]) -> Due:
    *notification, attempts, copies, forgery = row
    return Due(notification=read_notification(tuple(notification)), attempts=attempts, copies=copies, forgery=forgery)
