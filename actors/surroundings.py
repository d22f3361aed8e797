"""What every payment's actor is given by the composition root. Types and records only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from actors.connector import Execute
from actors.office import Office
from payorch.domain.events import Event
from payorch.domain.records import Payment
from payorch.ports import Process
from payorch.store.items import Answer, Append, Result


class Postbox(Protocol):
    """Where a payment's actor sends its calls: to the connector of that name. Raises MailboxFull or ActorStopped."""

    def send(self, connector: str, execute: Execute) -> None: ...


class Unwritable(Exception):
    """The journal refused this payment's step: another process owns the payment now, or a constraint forbids the step (a bug of ours)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What every payment's actor is given.

    write: appends through the journal writer; it returns once the commit is known, raises JournalUnavailable where surely nothing was
    written. load: the payment by its id, from the journal. present: the JSON that a command is answered with, from the payment and the id
    of the operation that the command names, if it names one. announce: the body of an announcement from (its id, type, sequence, the
    payment, the event that it tells of). undelivered: told of an answer that could not reach its payment. authorized: told of a payment
    whose merchant got the answer to a creation or confirmation, after how long, and at PSPs (seconds).
    """

    office: Office
    write: Callable[[Append | Answer], Awaitable[Result]]
    load: Callable[[str], Awaitable[Payment | None]]
    postbox: Postbox
    process: Process
    present: Callable[[Payment, str | None], bytes]
    announce: Callable[[str, str, int, Payment, Event], bytes]
    undelivered: Callable[[str, Exception], None]
    authorized: Callable[[Payment, float, float], None]
    retry_seconds: float
