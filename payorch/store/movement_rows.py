"""A movement of money as the row that the statement writes. Pure.

Not here: payments and their children (`batch`), reading movements again (`ledger`).
"""

from __future__ import annotations

from payorch.domain.identifiers import bytes_of
from payorch.domain.movements import Movement
from payorch.store.rows import Row, bigint, integer, moment, uuid, words


def movement(one: Movement) -> Row:
    """The frames of `tables.MOVEMENTS`."""
    return (
        uuid(bytes_of(one.payment_id)),
        integer(one.sequence),
        uuid(bytes_of(one.subject_id)),
        uuid(bytes_of(one.merchant_id)),
        uuid(bytes_of(one.attempt_id)),
        words(one.connector),
        words(one.kind),
        bigint(one.amount.minor),
        words(one.amount.currency),
        words(one.debit),
        words(one.credit),
        moment(one.at),
    )
