"""`payorch chaos`: a simulated PSP is broken, looked at and mended, as a developer does it; without simulators it says what to do."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
import trio

from connectors.simulated import SIMULATED
from payorch import chaos, cli, psp_process
from payorch.folders import make_private_folder, only_one
from payorch.psp_process import Simulators
from tests.command_line import Ran, Run
from tests.own_ports import own_port


@pytest.fixture(scope="module")
def simulators(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Simulators]:
    """Simulated PSPs in a process of their own; every test leaves them whole."""
    folder = tmp_path_factory.mktemp("chaos") / "data"
    make_private_folder(folder)

    async def start() -> Simulators:
        return await psp_process.start(folder, port_base=own_port(), seed=1)

    started = trio.run(start)
    yield started
    trio.run(started.stop)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    for name in [name for name in os.environ if name.startswith("PAYORCH_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)

    def ran(*words: str) -> Ran:
        try:
            code = cli.run(["chaos", *words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ran(code, *capfd.readouterr())

    return ran


@pytest.fixture
def payorch(run: Run, simulators: Simulators) -> Iterator[Run]:
    """`payorch chaos` with those simulators; all that was broken is mended again."""

    def ran(*words: str) -> Ran:
        return run(*words, "--data-dir", str(simulators.data_dir))

    yield ran
    assert ran("--clear").code == 0


def ask(simulators: Simulators, path: str) -> httpx2.Response:
    with httpx2.Client(base_url=simulators.urls["stripe"], trust_env=False, timeout=5) as client:
        return client.get(path, headers={"authorization": "Bearer sk_test_1"})


def test_a_fault_hits_what_it_is_meant_for_until_it_is_lifted(payorch: Run, simulators: Simulators) -> None:
    broken = payorch("stripe", "error-500", "--operation", "inquire", "--for", "5m")
    assert broken.code == 0
    ends = r"until \d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z \(300 s\)"
    assert re.fullmatch(rf"stripe: error_500 hits all inquire requests, {ends}\.\n`payorch chaos stripe --clear` lifts it\.\n", broken.out)
    assert ask(simulators, "/v1/payment_intents").status_code == 500
    assert payorch("stripe", "--clear").out == "stripe: 1 fault lifted\n"
    assert ask(simulators, "/v1/payment_intents").status_code == 200


def test_webhooks_can_be_broken_as_well(payorch: Run) -> None:
    lost = payorch("stripe", "webhooks-lost", "--count", "3")
    assert (lost.code, lost.out.partition("\n")[0]) == (0, "stripe: webhooks_lost hits all webhooks, 3 times.")
    late = payorch("stripe", "webhooks-late", "--rate", "0.5", "--seconds", "9", "--for", "1m")
    assert "webhooks_late hits 0.5 of webhooks, until " in late.out
    scoped = payorch("stripe", "webhooks-forged", "--operation", "capture")
    assert scoped.code == 1
    assert scoped.err == "payorch: stripe: webhooks_forged is about webhooks, not requests: it has no scope\n"
    assert [(one["fault"], one["seconds"]) for one in payorch("--json").data["faults"]["stripe"]] == [
        ("webhooks_lost", None),
        ("webhooks_late", 9.0),
    ]


def test_settlement_reports_can_be_broken_too(payorch: Run) -> None:
    missing = payorch("stripe", "settlement-missing", "--rate", "0.25", "--for", "24h")
    assert "stripe: settlement_missing hits 0.25 of settlement bookings, until " in missing.out
    assert "all settlement bookings, 1 times" in payorch("stripe", "settlement-bad-row", "--count", "1").out
    scoped = payorch("stripe", "settlement-shifted", "--operation", "refund")
    assert scoped.code == 1
    assert scoped.err == "payorch: stripe: settlement_shifted is about settlement reports, not requests: it has no scope\n"
    assert [one["fault"] for one in payorch("--json").data["faults"]["stripe"]] == ["settlement_missing", "settlement_bad_row"]


def test_a_psp_that_refuses_everything_can_still_be_mended(payorch: Run, simulators: Simulators) -> None:
    assert "all connections, until it is lifted" in payorch("stripe", "refuse").out
    with pytest.raises(httpx2.ConnectError):
        ask(simulators, "/v1/payment_intents")
    assert payorch("--clear").code == 0
    assert ask(simulators, "/v1/payment_intents").status_code == 200


def test_what_is_broken_is_listed(payorch: Run) -> None:
    assert payorch().out == f"nothing is broken: {', '.join(SIMULATED)}\n"
    payorch("stripe", "slow", "--rate", "0.25", "--seconds", "1", "--count", "7")
    payorch("stripe", "charge_then_hang", "--operation", "capture", "--for", "1h")
    listed = payorch("stripe").out.splitlines()
    assert re.fullmatch(r"stripe +slow +0\.25 of requests +7 times", listed[0])
    assert re.fullmatch(r"stripe +charge_then_hang +all capture requests +until .* \((3600|3599) s\)", listed[1])
    data = payorch("--json").data["faults"]["stripe"]
    assert [(one["fault"], one["rate"], one["scope"], one["seconds"]) for one in data] == [
        ("slow", 0.25, None, 1.0),
        ("charge_then_hang", 1.0, "capture", None),
    ]
    assert payorch("stripe", "slow", "--clear").out == "stripe: 1 fault lifted\n"
    assert [one["fault"] for one in payorch("--json").data["faults"]["stripe"]] == ["charge_then_hang"]
    mended = payorch("--clear", "--json").data["lifted"]["stripe"]
    assert [one["fault"] for one in mended] == ["charge_then_hang"]
    assert payorch("--clear").out == "".join(f"{name}: 0 faults lifted\n" for name in SIMULATED)


def test_json_tells_what_was_set(payorch: Run) -> None:
    data = payorch("stripe", "wrong-amount", "--rate", "0.5", "--for", "90", "--operation", "refund", "--json").data
    assert (data["connector"], data["fault"], data["rate"], data["scope"]) == ("stripe", "wrong_amount", 0.5, "refund")
    assert 30 < data["remaining_seconds"] <= 90


def test_what_cannot_be_is_told(payorch: Run) -> None:
    unknown = payorch("acme", "slow")
    assert (unknown.code, unknown.err) == (1, f"payorch: acme is not simulated here; the simulators are: {', '.join(SIMULATED)}\n")
    scoped = payorch("stripe", "refuse", "--operation", "capture")
    assert (scoped.code, scoped.err) == (1, "payorch: stripe: refuse is about connections: it has no scope\n")
    assert payorch("stripe", "slow", "--for", "2d").code == 2
    assert payorch("stripe", "slow", "--for", "100h").code == 1  # longer than a simulator takes


@pytest.mark.parametrize(
    "words", [["stripe", "explode"], ["stripe", "slow", "--rate", "2"], ["stripe", "slow", "--for", "soon"], ["a", "slow", "x"]]
)
def test_a_wrong_call_is_2(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("payorch: ")


def test_where_no_simulators_run_it_says_how_to_start_them(run: Run, tmp_path: Path) -> None:
    for words in (["stripe", "slow"], [], ["--clear"]):
        ran = run(*words)
        assert (ran.code, ran.out) == (1, "")
        assert "no simulated PSPs run with .payorch" in ran.err
        assert "payorch simulators --data-dir .payorch" in ran.err
        assert not (tmp_path / ".payorch").exists()


def test_simulators_that_do_not_answer_are_told(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    make_private_folder(folder)
    bound = {"simulators": {"stripe": "http://127.0.0.1:1"}, "control": "http://127.0.0.1:1", "pid": 1}
    (folder / psp_process.BOUND).write_text(json.dumps(bound))
    with only_one(folder / psp_process.LOCK, ""):
        ran = run("stripe", "slow", "--data-dir", str(folder))
    assert (ran.code, "do not answer" in ran.err) == (1, True)


def test_it_explains_itself(run: Run) -> None:
    ran = run("--help")
    assert ran.code == 0
    for word in ("Usage: payorch chaos", "charge-then-hang", "--operation", "--for", "--json"):
        assert word in ran.out


def test_durations() -> None:
    assert [chaos.duration(text) for text in ("90", "90s", "5m", "1.5h", " 1s ")] == [90, 90, 300, 5400, 1]
    for wrong in ("", "s", "-1", "0", "1d", "1e3", "٣s", "1 s"):
        with pytest.raises(ValueError, match="a number with s, m or h"):
            chaos.duration(wrong)
