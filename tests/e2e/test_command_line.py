"""The command line as a person uses it, beside a running platform: what it prints, what it leaves behind, what it exits with."""

from __future__ import annotations

import json
import re
import signal
import stat
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import trio

from connectors.simulated import SIMULATED
from tests.e2e.stack import WITHIN_SECONDS, Stack, eventually, order, payorch


async def test_the_banner_and_the_credentials(healthy: Stack) -> None:
    said, known = healthy.said(), healthy.credentials
    assert re.match(r"payorch is ready after \d+\.\d s\n", said)
    rows = dict(re.findall(r"^  (\S+) {2,}(.+)$", said, re.MULTILINE))
    assert rows["API"] == known["base_url"] == healthy.url
    assert rows["health"] == f"{healthy.url}/readyz"
    assert rows["stripe"] == f"{known['simulators']['stripe']}  (simulator)"
    assert rows["credentials"] == str(healthy.folder / "credentials.json")
    starts = {line.index(value) for line in said.splitlines() for value in rows.values() if line.endswith(value) and line.startswith("  ")}
    assert len(starts) == 1, "the banner is aligned"
    assert known["merchant_key"] not in said
    assert stat.S_IMODE((healthy.folder / "credentials.json").stat().st_mode) == 0o600
    assert stat.S_IMODE((healthy.folder / "secret.key").stat().st_mode) == 0o600
    assert stat.S_IMODE(healthy.folder.stat().st_mode) == 0o700
    assert known["merchant_key"].startswith("mk_test_")
    assert [one["role"] for one in known["operators"].values()] == ["operator", "approver"]
    assert set(known["webhook_secrets"]) == set(known["simulators"]) == set(SIMULATED)
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/docs"):
        assert await healthy.status_of(path) == 200, path
    # An operator's token is not a merchant's key: 403, not 401.
    token = next(iter(known["operators"].values()))["token"]
    async with healthy.client(headers={"authorization": f"Bearer {token}"}) as client:
        assert (await client.get("/v1/payments")).status_code == 403


async def test_people_come_and_go(healthy: Stack, tmp_path: Path) -> None:
    """A revoked key is waited for; the rest is done meanwhile."""
    async with trio.open_nursery() as nursery:
        nursery.start_soon(a_merchant_comes_and_its_key_goes, healthy)
        nursery.start_soon(operators_come, healthy)
        nursery.start_soon(doctor_and_settings, healthy, tmp_path)


async def a_merchant_comes_and_its_key_goes(healthy: Stack) -> None:
    at = ("--data-dir", str(healthy.folder))
    added = await payorch("merchants", "add", "New shop", "--json", *at)
    assert added.code == 0, added.err
    merchant, key = added.data["merchant"], added.data["key"]
    async with healthy.client(headers={"authorization": f"Bearer {key}"}) as client:

        async def works() -> bool:
            answer = await client.get("/v1/payments")
            assert answer.status_code in (200, 401), answer.text
            return answer.status_code == 200

        assert (await client.post("/v1/payments", json=order("new-shop"), headers={"idempotency-key": "new"})).status_code == 201
        second = (await payorch("merchants", "keys", "add", merchant, "--json", *at)).data
        third = await payorch("merchants", "keys", "add", merchant, *at)
        assert third.code == 1
        assert "revoke one first" in third.err
        listed = (await payorch("merchants", "keys", "list", merchant, "--json", *at)).data
        assert [one["status"] for one in listed] == ["live", "live"]
        assert not any(secret in json.dumps(listed) for secret in (key, second["key"]))

        assert await works()
        revoked = await payorch("merchants", "keys", "revoke", added.data["lookup_id"], "--json", *at)
        assert (revoked.code, revoked.data) == (0, {"merchant": merchant, "revoked": added.data["lookup_id"]})
        begun = trio.current_time()
        with trio.fail_after(WITHIN_SECONDS):
            while await works():  # noqa: ASYNC110  (another process: there is nothing to wait on)
                await trio.sleep(0.1)
        print(f"a revoked key was refused after {trio.current_time() - begun:.1f} s")
        answer = await client.post("/v1/payments", json=order("new-shop"), headers={"idempotency-key": "new"})
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    async with healthy.client(headers={"authorization": f"Bearer {second['key']}"}) as client:
        assert [one["reference"] for one in (await client.get("/v1/payments")).json()["data"]] == ["new-shop"]


async def operators_come(healthy: Stack) -> None:
    at = ("--data-dir", str(healthy.folder))
    added = await payorch("operators", "add", "eve", "--role", "viewer", "--json", *at)
    assert (added.code, added.data["role"]) == (0, "viewer")
    assert added.data["token"].startswith("op_test_")
    listed = (await payorch("operators", "list", "--json", *at)).data
    assert {one["name"]: one["roles"] for one in listed} == {"olga": ["operator"], "amir": ["approver"], "eve": ["viewer"]}
    assert added.data["token"] not in json.dumps(listed)
    again = await payorch("operators", "add", "eve", "--role", "viewer", *at)
    assert (again.code, again.out) == (1, "")
    assert (await payorch("operators", "add", "eve", "--role", "king", *at)).code == 2


async def test_the_journal_shows_what_was_done_to_it(healthy: Stack) -> None:
    """An edit by somebody with every right, who even switched the triggers off: found, by position. Put back, all is well."""
    at = ("--data-dir", str(healthy.folder))
    assert (await healthy.pay("to-be-edited")).status_code == 201
    whole = await payorch("audit", "verify", "--json", *at)
    assert (whole.code, whole.data["whole"], whole.data["fault"]) == (0, True, None)
    assert whole.data["records"] == whole.data["head_position"]

    table = "payorch.journal"
    ((position, stream, sequence, body, partition),) = await healthy.rows(
        f"SELECT position, stream_id::text, sequence, body::text, tableoid::regclass::text FROM {table} WHERE body::text LIKE %s LIMIT 1",
        "%to-be-edited%",
    )
    where = f"WHERE stream_id = '{stream}' AND sequence = {sequence}"
    for statement in (f"UPDATE {table} SET body = body {where}", f"DELETE FROM {table} {where}", f"TRUNCATE {partition}"):
        for before in ("", "SET session_replication_role = replica; "):
            with pytest.raises(psycopg.errors.InsufficientPrivilege, match="the journal is append-only"):
                await healthy.rows(before + statement)

    async def edit(change: str) -> None:
        off, on = (f"ALTER TABLE {partition} {word} TRIGGER journal_append_only" for word in ("DISABLE", "ENABLE ALWAYS"))
        await healthy.rows(f"{off}; UPDATE {partition} SET {change} {where}; {on}")

    was = body.replace("'", "''")
    for change, back in (
        (f"body = '{was.replace('1999', '9991')}'", f"body = '{was}'"),
        ("actor = 'somebody else'", f"actor = (SELECT actor FROM {table} WHERE stream_id = '{stream}' AND sequence = {sequence + 1})"),
    ):
        await edit(change)
        verdict = await payorch("audit", "verify", "--json", *at)
        assert verdict.code == 1
        assert (verdict.data["whole"], verdict.data["fault"], verdict.data["position"]) == (False, "altered", position)
        assert f"the journal is damaged at position {position}: altered" in verdict.err
        await edit(back)
    assert (await payorch("audit", "verify", *at)).code == 0
    assert await healthy.status_of("/readyz") == 200


async def doctor_and_settings(healthy: Stack, tmp_path: Path) -> None:
    looked = await payorch("doctor", "--json", "--data-dir", str(healthy.folder))
    levels = {finding["subject"]: finding["level"] for finding in looked.data}
    assert (looked.code, [finding for finding in looked.data if finding["level"] == "fail"]) == (0, []), looked.data
    assert {"python", "configuration", "secret key"} <= set(levels)

    checked = await payorch("config", "check", "--json", PAYORCH_HTTP__PORT="9123", PAYORCH_SECRET_KEY="a hidden key " * 4)
    settings = checked.data["settings"]
    assert checked.code == 0
    assert settings["http.port"] == {"value": 9123, "source": "environment PAYORCH_HTTP__PORT"}
    assert settings["http.drain_seconds"]["source"].endswith("payorch.toml")
    assert "hidden" not in checked.out
    for wrong in ({"PAYORCH_HTTP__PORT": "http"}, {"PAYORCH_HTTP__NOTHING": "1"}, {"PAYORCH_CONFIG_DIR": str(tmp_path / "nowhere")}):
        (name,) = wrong
        refused = await payorch("config", "check", **wrong)
        assert refused.code == 1
        assert name in refused.err
        assert "Traceback" not in refused.err
    for arguments, code in ((("no-such-command",), 2), (("up", "--port", "x"), 2), (("serve",), 1), (("audit", "verify"), 1)):
        ran = await payorch(*arguments)
        assert ran.code == code, (arguments, ran)
        assert ran.err.startswith("payorch: ")
        assert "Traceback" not in ran.err
    nowhere = await payorch("audit", "verify", "--data-dir", str(tmp_path))
    assert nowhere.code == 1
    assert "holds no local stack" in nowhere.err


async def test_rules_are_read_anew_by_a_running_platform(make_stack: Callable[..., Stack], tmp_path: Path) -> None:
    rules = tmp_path / "routing.toml"
    rules.write_text('[[rules]]\nname = "first"\nprefer = ["stripe"]\n')
    stack = make_stack(PAYORCH_CONFIG_DIR=str(tmp_path))
    await stack.start()

    async def rule_of(key: str) -> str:
        made = (await stack.pay(key)).json()
        [choice] = [one["routing"] for one in (await stack.get(f"/v1/payments/{made['id']}/timeline")).json()["data"] if one["routing"]]
        return str(choice["rule"])

    at = ("--data-dir", str(stack.folder))
    assert await rule_of("rules-1") == "first"
    rules.write_text('[[rules]]\nname = "second"\nprefer = ["stripe"]\n')
    ran = await payorch("routing", "reload", *at, PAYORCH_CONFIG_DIR=str(tmp_path))
    assert (ran.code, await rule_of("rules-2")) == (0, "second"), ran.err
    rules.write_text('[[rules]]\nname = "third"\nprefer = ["nobody"]\n')
    stack.signal(signal.SIGHUP)
    await eventually(lambda: holds("routing.reload_refused" in stack.log.read_text()))
    assert await rule_of("rules-3") == "second"
    rules.write_text('[[rules]]\nname = "fourth"\nprefer = ["stripe"]\n')
    stack.signal(signal.SIGHUP)
    await eventually(lambda: holds(stack.log.read_text().count("routing.reloaded") == 2))
    assert await rule_of("rules-4") == "fourth"
    compared = await payorch("routing", "simulate", "--json", *at, **stack.settings)
    assert (compared.data["payments"], compared.data["same_rules"], compared.data["differing"]) == (4, 1, 0)
    assert compared.data["before"]["rules"] == {"first": 1, "second": 2, "fourth": 1}
    assert (await payorch("audit", "verify", *at)).code == 0


async def holds(what: bool) -> bool:
    return what
