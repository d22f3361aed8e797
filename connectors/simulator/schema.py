"""The ledger's tables, as SQLite knows them. Money rules stand here as constraints too, so that no code can break them unseen.

Not here: most statements that read or write them (`ledger`).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

SCHEMA_VERSION: Final = 3

DELIVERIES: Final = """
CREATE TABLE delivery (
    number INTEGER PRIMARY KEY, state TEXT NOT NULL, attempts INTEGER NOT NULL, next_at INTEGER NOT NULL, ended_at INTEGER,
    copies INTEGER NOT NULL, forgery TEXT, faults TEXT NOT NULL, problem TEXT, believed INTEGER NOT NULL
);
CREATE INDEX delivery_waiting ON delivery (next_at, number) WHERE state = 'waiting';
"""
"""`number` is the notification's. `faults`: which befell it, with spaces between. `believed`: forged copies that were taken for true."""

SETTLEMENTS: Final = """
CREATE TABLE withdrawal (
    number INTEGER PRIMARY KEY, dispute TEXT NOT NULL, payment TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount <> 0),
    at INTEGER NOT NULL
);
CREATE INDEX withdrawal_at ON withdrawal (at);
CREATE INDEX withdrawal_dispute ON withdrawal (dispute);
CREATE INDEX entry_at ON entry (at);
CREATE TABLE settlement_day (
    date TEXT PRIMARY KEY, entries INTEGER NOT NULL, withdrawals INTEGER NOT NULL, left_over BLOB
) WITHOUT ROWID;
CREATE TABLE settlement_fault (booking TEXT PRIMARY KEY, date TEXT NOT NULL, kind TEXT NOT NULL) WITHOUT ROWID;
CREATE INDEX settlement_fault_date ON settlement_fault (date);
"""
"""`amount`: below zero where a dispute took it. `entries`, `withdrawals`: the last numbers when the day was last reported."""

TABLES: Final = f"""
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE payment (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, reference TEXT, currency TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount > 0), created_at INTEGER NOT NULL,
    authorized INTEGER NOT NULL CHECK (authorized >= 0),
    captured INTEGER NOT NULL CHECK (captured >= 0),
    released INTEGER NOT NULL CHECK (released >= 0 AND captured + released <= authorized),
    refunded INTEGER NOT NULL CHECK (refunded >= 0),
    refunding INTEGER NOT NULL CHECK (refunding >= 0 AND refunded + refunding <= captured),
    facts BLOB NOT NULL
);
CREATE INDEX payment_reference ON payment (reference);
CREATE TABLE operation (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, payment TEXT NOT NULL, kind TEXT NOT NULL, reference TEXT,
    amount INTEGER NOT NULL CHECK (amount > 0), status TEXT NOT NULL, created_at INTEGER NOT NULL, facts BLOB NOT NULL
);
CREATE INDEX operation_payment ON operation (payment);
CREATE TABLE entry (
    number INTEGER PRIMARY KEY, payment TEXT NOT NULL, reference TEXT, operation TEXT, operation_reference TEXT,
    type TEXT NOT NULL, amount INTEGER NOT NULL CHECK (amount > 0), currency TEXT NOT NULL, at INTEGER NOT NULL
);
CREATE TABLE alias (id TEXT PRIMARY KEY, payment TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE label (name TEXT NOT NULL, value TEXT NOT NULL, payment INTEGER NOT NULL,
    PRIMARY KEY (name, value, payment)) WITHOUT ROWID;
CREATE TABLE timer (
    number INTEGER PRIMARY KEY, at INTEGER NOT NULL, payment TEXT NOT NULL, kind TEXT NOT NULL, subject TEXT NOT NULL
);
CREATE INDEX timer_at ON timer (at);
CREATE TABLE stored_answer (
    key TEXT PRIMARY KEY, fingerprint TEXT NOT NULL, status INTEGER NOT NULL, headers BLOB NOT NULL, body BLOB NOT NULL,
    created_at INTEGER NOT NULL
);
CREATE TABLE notification (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, type TEXT NOT NULL, payment TEXT NOT NULL, created_at INTEGER NOT NULL,
    body BLOB NOT NULL
);
{DELIVERIES}
{SETTLEMENTS}
"""
LATER: Final[Mapping[int, str]] = MappingProxyType({1: f"{DELIVERIES}{SETTLEMENTS}", 2: SETTLEMENTS})
"""What a ledger of an older format lacks, by its format: a developer's payments outlive a new version."""

MAKE_PAYMENT: Final = "INSERT INTO payment VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
CHANGE_PAYMENT: Final = """
UPDATE payment SET authorized = ?, captured = ?, released = ?, refunded = ?, refunding = ?, facts = ? WHERE number = ?
"""
