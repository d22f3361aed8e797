"""The database that a worker's worlds stand on, one after the other: made once, and emptied between two seeds.

Emptying costs 7 ms where a fresh copy costs 30 to 150. Every guard (triggers, rights, constraints) is in force while a seed runs; only the
owner takes the triggers off, for as long as it sweeps. Not here: the server (`runner`), what a seed does (`story`).
"""

from __future__ import annotations

import itertools
from typing import Any, Final, LiteralString

import psycopg
from psycopg import sql

from tests.conftest import Database

SEEDS_PER_VACUUM: Final = 100
"""What is deleted stays in the tables and their indexes until then."""

_TABLES: Final[LiteralString] = """
SELECT relname FROM pg_class WHERE relnamespace = 'payorch'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
AND relname <> 'schema_migrations'
ORDER BY EXISTS (SELECT FROM pg_constraint WHERE contype = 'f' AND confrelid = pg_class.oid), relname
"""
"""What others refer to comes last."""
_TRIGGERS: Final[LiteralString] = """
SELECT c.relname, t.tgname, t.tgenabled FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
WHERE c.relnamespace = 'payorch'::regnamespace AND NOT t.tgisinternal ORDER BY c.relispartition, c.relname, t.tgname
"""
_MONTHS: Final[LiteralString] = """
SELECT relname FROM pg_class WHERE relnamespace = 'payorch'::regnamespace AND relispartition AND relkind = 'r'
AND relname !~ '_default$' ORDER BY relname
"""
_ENABLED: Final = {"O": sql.SQL("ENABLE"), "A": sql.SQL("ENABLE ALWAYS")}


def without_months(owner: str) -> None:
    """Leaves only the default partitions: a world lives in one month, and each further one costs every new connection its planning."""
    with psycopg.connect(owner, autocommit=True) as connection:
        for (name,) in connection.execute(_MONTHS).fetchall():
            connection.execute(sql.SQL("DROP TABLE payorch.{}").format(sql.Identifier(name)))


class Ground:
    """One worker's database. It is empty of everything but the schema when made, and again after each `clear`."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._owner: psycopg.Connection[Any] = psycopg.connect(database.owner, autocommit=True)
        self._tables = [name for (name,) in self._owner.execute(_TABLES).fetchall()]
        self._triggers = self._owner.execute(_TRIGGERS).fetchall()
        rows = {name: self._owner.execute(sql.SQL("TABLE payorch.{}").format(sql.Identifier(name))).fetchall() for name in self._tables}
        self._first = {name: found for name, found in rows.items() if found}
        self._cleared = itertools.count(1)

    def close(self) -> None:
        """Lets go of the database; it stays as it is."""
        self._owner.close()

    def clear(self) -> None:
        """Takes away what a seed has left. Nobody else may be connected."""
        with self._owner.transaction():
            for table in sorted({table for table, _, _ in self._triggers}):
                self._owner.execute(sql.SQL("ALTER TABLE payorch.{} DISABLE TRIGGER USER").format(sql.Identifier(table)))
            for table in self._tables:
                self._owner.execute(sql.SQL("DELETE FROM payorch.{}").format(sql.Identifier(table)))
                for row in self._first.get(table, ()):
                    places = sql.SQL(", ").join([sql.Placeholder()] * len(row))
                    self._owner.execute(sql.SQL("INSERT INTO payorch.{} VALUES ({})").format(sql.Identifier(table), places), row)
            for table, trigger, enabled in self._triggers:
                how = sql.SQL("ALTER TABLE payorch.{} {} TRIGGER {}")
                self._owner.execute(how.format(sql.Identifier(table), _ENABLED[enabled], sql.Identifier(trigger)))
        if next(self._cleared) % SEEDS_PER_VACUUM == 0:
            for table in self._tables:
                self._owner.execute(sql.SQL("VACUUM (ANALYZE) payorch.{}").format(sql.Identifier(table)))

    @property
    def triggers(self) -> list[tuple[Any, ...]]:
        """The guards as they stand now; equal to those at the beginning while a seed runs."""
        return self._owner.execute(_TRIGGERS).fetchall()

    @property
    def triggers_at_first(self) -> list[tuple[Any, ...]]:
        """The guards as the migrations made them."""
        return self._triggers
