"""The command line from outside: what it prints, what it exits with, and that nothing secret or ugly comes out of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

import psycopg
import pytest
import trio

from connectors.registry import CONNECTORS
from payorch import access, cli, doctor
from payorch import database as database_module
from payorch.folders import write_private
from payorch.keys import Secret, derived_key
from payorch.operations import anchors
from payorch.settings import SettingsInvalid, load
from payorch.store import audit
from payorch.store.driver import Connection
from payorch.wording import aligned, in_words
from tests.command_line import Ran, Run
from tests.conftest import Database

SECRET_KEY = "a key of at least thirty-two bytes"
COMMANDS = [
    "up", "serve", "simulators", "migrate", "states", "doctor", "config check", "config show", "merchants add", "merchants list",
    "merchants keys add", "merchants keys list", "merchants keys revoke", "operators add", "operators list", "audit verify", "books check",
    "chaos", "dead-letters list", "dead-letters show", "dead-letters replay", "dead-letters discard", "listen", "trigger",
    "routing show", "routing simulate", "routing reload",
    *(f"reconciliation {name}" for name in ("day", "days", "run", "reopen", "findings", "finding", "review", "accept", "psp-error")),
    *(f"reconciliation {name}" for name in ("link", "approve", "reject")),
]  # fmt: skip


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Runs one command in a folder and an environment of its own."""
    for name in [name for name in os.environ if name.startswith("PAYORCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def run(command: str, *more: str, **environment: str) -> Ran:
        with pytest.MonkeyPatch.context() as patch:
            for name, value in environment.items():
                patch.setenv(name, value)
            try:
                code = cli.run([*command.split(), *more])
            except SystemExit as ended:
                code = int(ended.code or 0)
        return Ran(code, *capfd.readouterr())

    return run


@pytest.fixture
def with_database(payorch: Run, database: Database) -> Run:
    def run(command: str, *more: str) -> Ran:
        return payorch(command, *more, PAYORCH_DATABASE_URL=database.app, PAYORCH_SECRET_KEY=SECRET_KEY)

    return run


# --- every command ----------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself(payorch: Run, command: str) -> None:
    ran = payorch(f"{command} --help")
    assert ran.code == 0
    assert f"Usage: payorch {command}" in ran.out
    if command not in ("up", "serve", "simulators"):
        assert "--json" in ran.out


@pytest.mark.parametrize(
    "command",
    [
        "nothing",
        "up --prot 1",
        "up --port 70000",
        "up --traffic 0",
        "merchants add",
        "operators add x",
        "operators add x --role king",
        "config",
    ],
)
def test_a_wrong_call_is_2_and_says_so(payorch: Run, command: str) -> None:
    ran = payorch(command)
    if command == "config":  # shows what there is
        assert ran.code == 0
        assert "check" in ran.out
        return
    assert ran.code == 2
    assert ran.err.startswith("payorch: ")
    assert ran.out == ""


@pytest.mark.parametrize("command", ["migrate", "merchants list", "operators list", "audit verify", "merchants add x", "dead-letters list"])
def test_without_a_database_it_fails_in_one_line(payorch: Run, command: str) -> None:
    ran = payorch(command)
    assert ran.code == 1
    assert re.fullmatch(r"payorch: PAYORCH_(MIGRATION_)?DATABASE_URL is not set.*\n", ran.err)


def test_serve_names_every_secret_it_misses(payorch: Run) -> None:
    ran = payorch("serve", PAYORCH_SECRET_KEY=SECRET_KEY)
    assert ran.code == 1
    assert [line.split()[1] for line in ran.err.splitlines()] == ["PAYORCH_DATABASE_URL", "PAYORCH_CONNECTORS__STRIPE__API_KEY"]
    ran = payorch("serve", PAYORCH_SECRET_KEY=SECRET_KEY, PAYORCH_CONNECTORS__ADYEN__ENABLED="true")
    assert [line.split()[1] for line in ran.err.splitlines()][2:] == [
        "PAYORCH_CONNECTORS__ADYEN__ACCOUNT",
        "PAYORCH_CONNECTORS__ADYEN__API_KEY",
    ]


def test_a_reader_that_leaves_is_no_news() -> None:
    """As in `payorch states | head -1`."""
    command = [sys.executable, "-m", "payorch", "states"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 1


def test_a_database_that_is_away_is_told_without_its_password(payorch: Run) -> None:
    ran = payorch("merchants list", PAYORCH_DATABASE_URL="postgresql://u:confidential@127.0.0.1:1/x")
    assert ran.code == 1
    assert "cannot be reached" in ran.err
    assert "confidential" not in ran.err + ran.out
    assert "Traceback" not in ran.err


def test_a_traceback_is_there_for_who_asks(payorch: Run) -> None:
    with pytest.raises(SettingsInvalid):
        payorch("merchants list", PAYORCH_DEBUG="1")


def test_the_version(payorch: Run) -> None:
    assert re.fullmatch(r"payorch \d+\.\d+\.\d+\n", payorch("--version").out)


# --- settings ---------------------------------------------------------------------------------------------------------------------------


def test_config_shows_each_value_with_its_origin(payorch: Run) -> None:
    ran = payorch("config show", "--json", PAYORCH_HTTP__PORT="9000", PAYORCH_SECRET_KEY=SECRET_KEY)
    assert ran.code == 0
    assert ran.data["http.port"] == {"value": 9000, "source": "environment PAYORCH_HTTP__PORT"}
    assert ran.data["secret_key"]["value"] == "(set, not shown)"
    assert SECRET_KEY not in ran.out
    assert re.search(r"^http\.port +8080 +/.*payorch\.toml$", payorch("config show").out, re.MULTILINE)


def test_config_check_passes_and_fails(payorch: Run) -> None:
    ran = payorch("config check", PAYORCH_PORT="tcp://10.0.0.1")
    assert ran.code == 0
    assert ran.out.endswith("the settings are valid\n")
    assert "PAYORCH_PORT means nothing" in ran.err
    ran = payorch("config check", PAYORCH_HTTP__PORT="many", PAYORCH_HTTP__HOTS="x")
    assert ran.code == 1
    assert [line.split(": ")[:3] for line in ran.err.splitlines()] == [
        ["payorch", "environment PAYORCH_HTTP__PORT", "http.port"],
        ["payorch", "environment PAYORCH_HTTP__HOTS", "http.hots"],
    ]


def test_config_check_knows_the_connectors(payorch: Run, tmp_path: Path) -> None:
    stripe = (load({}).connectors["stripe"]).model_dump(exclude={"account", "api_key", "webhook_secret", "enabled"})
    (tmp_path / "connectors.toml").write_text(
        "[acme]\nenabled = true\n" + "\n".join(f"{key} = {json.dumps(value)}" for key, value in stripe.items())
    )
    ran = payorch("config check", PAYORCH_CONFIG_DIR=str(tmp_path))
    assert ran.code == 1
    assert "there is no connector acme" in ran.err


def test_states_come_from_the_table_that_runs(payorch: Run) -> None:
    assert "OUTCOME_UNKNOWN" in payorch("states").out
    assert "OUTCOME_UNKNOWN" in payorch("states --json").data["mermaid"]


# --- identities and the journal ---------------------------------------------------------------------------------------------------------


def test_a_merchant_and_its_keys(with_database: Run, database: Database) -> None:
    added = with_database("merchants add", "Acme & Söhne", "--json").data
    assert added["key"].startswith(f"{added['lookup_id']}_")
    assert added["lookup_id"].startswith("mk_test_")
    merchant = added["merchant"]
    assert [(one["id"], one["name"]) for one in with_database("merchants list --json").data] == [(merchant, "Acme & Söhne")]

    second = with_database("merchants keys add", merchant, "--mode", "test")
    assert "shown this once" in second.out
    third = with_database("merchants keys add", merchant)
    assert third.code == 1
    assert "two keys" in third.err or "merchant_keys_two_live" in third.err
    assert with_database("merchants keys add", merchant, "--mode", "live").code == 0

    assert with_database("merchants keys revoke", added["lookup_id"]).code == 0
    listed = with_database("merchants keys list", merchant, "--json").data
    assert [(one["mode"], one["status"]) for one in listed] == [("test", "ended"), ("test", "live"), ("live", "live")]
    assert added["key"] not in json.dumps(listed)

    with psycopg.connect(database.superuser) as connection:
        dump = "".join(map(str, connection.execute("SELECT * FROM payorch.journal").fetchall()))
        dump += "".join(map(str, connection.execute("SELECT * FROM payorch.merchant_keys").fetchall()))
    assert added["key"].rpartition("_")[2] not in dump
    assert "payorch merchants keys revoke" in dump


def test_what_is_not_there_is_told(with_database: Run) -> None:
    assert "there is no key mk_test_x" in with_database("merchants keys revoke mk_test_x").err
    missing = with_database("merchants keys add mer_00000000000000000000000000")
    assert missing.code == 1
    assert "there is no merchant" in missing.err
    assert with_database("merchants list").out == "\n"


def test_operators_have_roles_and_names_of_their_own(with_database: Run) -> None:
    added = with_database("operators add", "nora", "--role", "approver", "--person", "Nora N.", "--json").data
    assert added["token"].startswith("op_test_")
    assert added["role"] == "approver"
    again = with_database("operators add", "nora", "--role", "viewer")
    assert again.code == 1
    [listed] = with_database("operators list --json").data
    assert (listed["name"], listed["person"], listed["roles"]) == ("nora", "Nora N.", ["approver"])


def test_the_chain_is_verified(with_database: Run, database: Database) -> None:
    with_database("merchants add Acme")
    ran = with_database("audit verify --json")
    assert ran.code == 0
    assert (ran.data["whole"], ran.data["records"]) == (True, 2)
    with psycopg.connect(database.superuser) as connection:
        connection.execute("ALTER TABLE payorch.journal DISABLE TRIGGER ALL")
        for [partition] in connection.execute(
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'payorch.journal'::regclass"
        ).fetchall():
            connection.execute(f"ALTER TABLE {partition} DISABLE TRIGGER ALL".encode())
        connection.execute("DELETE FROM payorch.journal WHERE position = 2")
    ran = with_database("audit verify")
    assert ran.code == 1
    assert "damaged at position 2: cut" in ran.err


def test_tokens_end_and_are_listed_revoked_and_unlocked(with_database: Run, database: Database) -> None:
    added = with_database("operators add nora --role admin --days 7 --json").data
    default = with_database("operators tokens add nora --role viewer --json").data
    days = [(datetime.fromisoformat(one["expires_at"]) - datetime.now(UTC)).days for one in (added, default)]
    assert days == [6, 89]
    with psycopg.connect(database.superuser) as connection:
        connection.execute("UPDATE payorch.operator_tokens SET used_at = now() - interval '31 days'")
    assert [one["status"] for one in with_database("operators tokens list nora --json").data] == ["locked", "locked"]
    assert with_database(f"operators tokens unlock {added['lookup_id']}").code == 0
    assert with_database(f"operators tokens revoke {default['lookup_id']}").code == 0
    assert [one["status"] for one in with_database("operators tokens list --json").data] == ["live", "revoked"]
    assert with_database(f"operators tokens unlock {default['lookup_id']}").code == 1
    assert with_database("operators tokens revoke op_test_nobody").code == 1
    assert with_database("operators tokens add nobody --role viewer").code == 1
    assert "live" in with_database("operators tokens list").out


def test_the_chain_is_compared_with_its_anchors(with_database: Run, database: Database, tmp_path: Path) -> None:
    with_database("merchants add Acme")
    none = with_database("audit verify --anchors", str(tmp_path))
    assert (none.code, "no file of anchors of this journal" in none.err) == (1, True)

    async def anchor() -> None:
        async with database_connection(database) as connection:
            head, identity = await audit.head(connection), await audit.identity(connection)
        assert head is not None
        key = derived_key(Secret(SECRET_KEY), anchors.PURPOSE)
        said = anchors.Anchor(position=head.position, hash=head.hash.hex(), epoch=0, at=datetime(2026, 5, 17, tzinfo=UTC))
        anchors.AnchorFile(anchors.path_of(tmp_path, identity), key).append(said)

    trio.run(anchor)
    whole = with_database("audit verify --json --anchors", str(tmp_path)).data
    assert (whole["whole"], whole["anchors"]["compared"]) == (True, 1)
    with psycopg.connect(database.superuser) as connection:
        for [table] in connection.execute(
            "SELECT 'payorch.journal_head' UNION SELECT inhrelid::regclass::text FROM pg_inherits"
            " WHERE inhparent = 'payorch.journal'::regclass UNION SELECT 'payorch.journal'"
        ).fetchall():
            connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER ALL".encode())
        connection.execute("DELETE FROM payorch.journal WHERE position = 2")
        connection.execute("UPDATE payorch.journal_head SET position = 1, hash = (SELECT hash FROM payorch.journal WHERE position = 1)")
    assert with_database("audit verify").code == 0
    cut = with_database("audit verify --anchors", str(tmp_path))
    assert (cut.code, "damaged at position 2: cut" in cut.err) == (1, True)


def test_keys_open_under_their_master_key_only(database: Database) -> None:
    class Clock:
        def now(self) -> datetime:
            return datetime(2026, 5, 17, tzinfo=UTC)

    async def made() -> tuple[bool, bool, bool]:
        from payorch.keys import KeyMode
        from payorch.system import SystemEntropy

        async with database_connection(database) as connection:
            entropy = SystemEntropy(Clock())
            ours, other = (
                access.Registrar(connection, master=Secret(key), clock=Clock(), entropy=entropy, actor="test", cause="test")
                for key in (SECRET_KEY, SECRET_KEY[::-1])
            )
            key = (await ours.add_merchant("Acme", KeyMode.TEST)).key.text.reveal()
            return await ours.opens(key), await other.opens(key), await ours.opens("mk_test_nonsense")

    assert trio.run(made) == (True, False, False)


def database_connection(of: Database) -> AbstractAsyncContextManager[Connection]:
    return database_module.connected(Secret(of.app), load({}).database, application_name="test")


# --- schema and doctor ------------------------------------------------------------------------------------------------------------------


def test_migrate_brings_an_empty_database_up_to_date(payorch: Run, empty_database: Database) -> None:
    first = payorch("migrate --json", PAYORCH_MIGRATION_DATABASE_URL=empty_database.owner)
    assert first.data["applied"][0] == "0001_core"
    again = payorch("migrate", PAYORCH_MIGRATION_DATABASE_URL=empty_database.owner)
    assert again.out == "nothing to do: the schema is up to date\n"


def levels(ran: Ran) -> dict[str, str]:
    return {finding["subject"]: finding["level"] for finding in ran.data}


def test_the_doctor_is_content_with_a_good_place(with_database: Run) -> None:
    found = levels(with_database("doctor --json"))
    assert {"python", "configuration", "secret key", "database", "role", "schema", "partitions", "clock"} <= {
        subject for subject, level in found.items() if level == "ok"
    }
    assert found["connector stripe"] == "warn"
    assert found["durability"] == "fail"  # this test's server does without fsync


def test_the_doctor_finds_what_is_wrong(payorch: Run, database: Database, empty_database: Database, tmp_path: Path) -> None:
    folder = tmp_path / ".payorch"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    ran = payorch("doctor --json", PAYORCH_DATABASE_URL=database.superuser)
    assert ran.code == 1
    found = levels(ran)
    assert (found["secret key"], found["role"], found["data folder"]) == ("fail", "fail", "warn")
    assert all(finding["remedy"] for finding in ran.data if finding["level"] != "ok")
    assert levels(payorch("doctor --json", PAYORCH_DATABASE_URL=database.owner))["role"] == "fail"
    assert levels(payorch("doctor --json", PAYORCH_DATABASE_URL=empty_database.app))["schema"] == "fail"
    assert levels(payorch("doctor --json", PAYORCH_DATABASE_URL="host=/nowhere"))["database"] == "fail"
    assert levels(payorch("doctor --json"))["database"] == "fail"
    assert levels(payorch("doctor --json", PAYORCH_HTTP__PORT="x"))["configuration"] == "fail"


def test_the_doctor_notices_a_wrong_clock(database: Database) -> None:
    class Late:
        def now(self) -> datetime:
            return datetime(2020, 1, 1, tzinfo=UTC)

    async def look() -> list[doctor.Finding]:
        settings = load({"PAYORCH_DATABASE_URL": database.app})
        return await doctor.examine(settings, known=CONNECTORS, clock=Late(), data_dir=Path("/nowhere"))

    found = {finding.subject: finding for finding in trio.run(look)}
    assert found["clock"].level is doctor.Level.FAIL
    assert "NTP" in found["clock"].remedy


def test_partitions_are_counted_from_the_running_month(database: Database) -> None:
    async def count(now: datetime) -> int:
        async with database_connection(database) as connection:
            return await database_module.months_ahead(connection, now=now)

    with psycopg.connect(database.owner) as connection:
        connection.execute("SELECT payorch.ensure_partitions('2030-11-01', 3)")
    assert trio.run(count, datetime(2030, 11, 30, tzinfo=UTC)) == 3
    assert trio.run(count, datetime(2031, 1, 1, tzinfo=UTC)) == 1
    assert trio.run(count, datetime(2032, 1, 1, tzinfo=UTC)) == 0


def test_an_old_python_is_told() -> None:
    assert doctor.python_version((3, 10)).level is doctor.Level.FAIL


# --- words ------------------------------------------------------------------------------------------------------------------------------


def test_columns_are_aligned() -> None:
    assert aligned([("a", "bcd", "e"), ("fgh", "i", "")]) == "a    bcd  e\nfgh  i"
    assert aligned([]) == ""


def test_errors_of_a_group_are_told_one_by_one() -> None:
    group = ExceptionGroup("x", [SettingsInvalid(["one", "two"]), ExceptionGroup("y", [OSError("three"), KeyError("four")])])
    assert in_words(group) == ["one", "two", "three", "KeyError: 'four' (PAYORCH_DEBUG=1 shows where)"]


def test_a_private_file_is_replaced_whole(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    write_private(file, "one")
    write_private(file, "two")
    assert file.read_text() == "two"
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
