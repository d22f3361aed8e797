"""`payorch up` as a developer meets it: real processes, a real database, kill -9 and Ctrl-C; and its seams one by one."""

from __future__ import annotations

import json
import math
import os
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from connectors.simulated import SIMULATED
from connectors.simulator.cards import SHARED
from payorch import configuration, local, psp_process, simulator_identity, traffic
from payorch.domain.intent import CaptureMode, Intent, PaymentMethod
from payorch.domain.money import Money
from payorch.domain.rules import asked
from payorch.folders import FolderRefused, is_held, make_private_folder, only_one
from payorch.settings import SettingsInvalid, load
from payorch.settlements import rules
from payorch.simulator_settings import connector_overrides, fee_overrides, simulated_connectors
from payorch.system import SeededFractions, SystemClock
from tests.own_ports import own_port

ANCHORS = Path("/nowhere/authority.pem")

WITHIN_SECONDS = 90.0  # for a whole start on a machine that is busy with other tests


class Started:
    """A `payorch up` of its own, with its output."""

    def __init__(self, data_dir: Path, *options: str) -> None:
        command = [sys.executable, "-m", "payorch", "up", "--data-dir", str(data_dir), *options]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PAYORCH_")}
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, start_new_session=True)
        self.data_dir = data_dir

    def until(self, words: bytes) -> bytes:
        """Reads stdout until these words come."""
        assert self.process.stdout is not None
        seen = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            while words not in seen:
                assert selector.select(WITHIN_SECONDS), f"only this came: {seen.decode()}"
                data = os.read(self.process.stdout.fileno(), 65536)
                assert data, f"it ended: {seen.decode()} {self.end(None)}"
                seen += data
        return seen

    def ready(self) -> dict[str, Any]:
        """Waits until it is, and returns credentials.json."""
        self.banner = self.until(b"Ctrl-C stops").decode()
        found: dict[str, Any] = json.loads((self.data_dir / "credentials.json").read_text())
        return found

    def end(self, number: signal.Signals | None) -> tuple[int, str, str]:
        """Sends the signal; exit code, the rest of stdout, stderr."""
        if number is not None:
            self.process.send_signal(number)
        out, err = self.process.communicate(timeout=WITHIN_SECONDS)
        return self.process.returncode, out.decode(), err.decode()


@pytest.fixture
def data_dir(open_folder: Path, tmp_path: Path) -> Iterator[Path]:
    folder = open_folder / tmp_path.name
    yield folder
    if folder.exists():
        if is_held(folder / psp_process.LOCK):
            os.kill(json.loads((folder / psp_process.BOUND).read_text())["pid"], signal.SIGKILL)
        cluster = (folder / "postgres" / "cluster").resolve()  # root's may lie elsewhere
        if (folder / "postgres").exists():
            trio.run(partial(_stop_database, folder))
        shutil.rmtree(cluster, ignore_errors=True)
        shutil.rmtree(folder)


async def _stop_database(folder: Path) -> None:
    from payorch.store import embedded

    cluster = await embedded.start(folder / "postgres")
    await cluster.stop("immediate")


@pytest.fixture
def up(data_dir: Path) -> Iterator[Callable[..., Started]]:
    started: list[Started] = []

    def start(*options: str) -> Started:
        started.append(Started(data_dir, *options))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def pay(known: dict[str, Any], key: str) -> httpx2.Response:
    return httpx2.post(
        f"{known['base_url']}/v1/payments",
        json={"amount": 1999, "currency": "EUR", "payment_method": {"type": "card", "token": "tok_visa"}},
        headers={"authorization": f"Bearer {known['merchant_key']}", "idempotency-key": key},
        timeout=WITHIN_SECONDS,
        trust_env=False,
    )


def answers(known: dict[str, Any]) -> bool:
    try:
        return get(known, "/livez").status_code == 200
    except httpx2.TransportError:
        return False


def get(known: dict[str, Any], path: str) -> httpx2.Response:
    return httpx2.get(known["base_url"] + path, headers={"authorization": f"Bearer {known['merchant_key']}"}, trust_env=False)


# --- the whole of it --------------------------------------------------------------------------------------------------------------------


def test_it_comes_up_survives_a_kill_and_stops(up: Callable[..., Started], data_dir: Path) -> None:
    first = up("--port", str(own_port()))
    known = first.ready()
    assert get(known, "/readyz").status_code == 200
    created = pay(known, "one")
    assert (created.status_code, created.json()["status"]) == (201, "succeeded")

    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert (data_dir / "credentials.json").stat().st_mode & 0o777 == 0o600
    assert (data_dir / "secret.key").stat().st_mode & 0o777 == 0o600
    assert [operator["role"] for operator in known["operators"].values()] == ["operator", "approver"]
    assert set(known) == {"base_url", "merchant_key", "operators", "webhook_secrets", "simulators"}
    assert set(known["webhook_secrets"]) == set(known["simulators"]) == set(SIMULATED)
    for secret in (known["merchant_key"], *known["webhook_secrets"].values(), *(one["token"] for one in known["operators"].values())):
        assert secret not in first.banner

    # A second one is told about the first, and leaves it alone.
    code, out, err = up("--port", "0").end(None)
    assert (code, out) == (1, "")
    assert "another `payorch up` is running" in err

    # The PSPs and the database live on, and the next one finds them.
    simulators = json.loads((data_dir / psp_process.BOUND).read_text())["pid"]
    assert first.end(signal.SIGKILL)[0] == -signal.SIGKILL
    second = up("--port", "0")
    again = second.ready()
    assert json.loads((data_dir / psp_process.BOUND).read_text())["pid"] == simulators
    assert {**again, "base_url": ""} == {**known, "base_url": ""}
    assert get(again, f"/v1/payments/{created.json()['id']}").json()["status"] == "succeeded"
    assert pay(again, "one").headers["idempotency-replayed"] == "true"

    code, out, err = second.end(signal.SIGINT)
    assert (code, out.splitlines()[-1]) == (0, "stopped")
    assert "Traceback" not in err
    assert not is_held(data_dir / psp_process.LOCK)
    assert not (data_dir / "postgres" / "cluster" / "data" / "postmaster.pid").exists()


def test_the_line_to_try_authorises(up: Callable[..., Started], data_dir: Path) -> None:
    started = up("--port", str(own_port()), "--traffic", "50")
    started.ready()
    line = started.banner.partition("Try it:")[2].partition("Ctrl-C")[0]
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    answer = subprocess.run(["bash", "-c", line], capture_output=True, check=True, env={**os.environ, "PATH": path}).stdout
    assert json.loads(answer)["status"] == "succeeded"
    code, out, _ = started.end(signal.SIGTERM)
    assert code == 0
    assert out.endswith("stopped\n")


def test_two_signals_stop_it_now_while_a_psp_hangs(up: Callable[..., Started], data_dir: Path) -> None:
    started = up("--port", str(own_port()))
    known = started.ready()
    httpx2.post(f"{known['simulators']['stripe']}/_faults", json={"fault": "hang_before", "rate": 1}, trust_env=False).raise_for_status()
    answer = pay(known, "hangs")
    assert (answer.status_code, answer.json()["status"]) == (202, "processing")
    started.process.send_signal(signal.SIGINT)
    while answers(known):  # two signals at once would be one: until the first has closed the door
        continue
    code, out, err = started.end(signal.SIGINT)
    assert code == 0
    assert "1 payments are unfinished" in out
    assert "Traceback" not in err


def test_a_taken_port_is_told_before_anything_starts(up: Callable[..., Started], data_dir: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, out, err = up("--port", str(port)).end(None)
    assert (code, out) == (1, "")
    assert f"port {port} on 127.0.0.1 is taken" in err
    assert not (data_dir / "postgres").exists()


# --- the seams --------------------------------------------------------------------------------------------------------------------------


async def test_simulators_are_found_again_and_stopped(open_folder: Path, tmp_path: Path) -> None:
    folder = open_folder / tmp_path.name
    make_private_folder(folder)
    base = own_port()
    first = await psp_process.start(folder, port_base=base, seed=1)
    assert (first.attached, first.control) == (False, f"http://127.0.0.1:{base}")
    again = await psp_process.start(folder, port_base=base, seed=1)
    assert (again.attached, again.pid, again.urls) == (True, first.pid, first.urls)
    await again.stop()
    assert not psp_process.is_running(folder)
    again.kill()  # nobody is there any more: nobody is signalled
    await first.stop()


async def test_a_stale_file_does_not_count(open_folder: Path, tmp_path: Path) -> None:
    """The number in it may be anybody's by now: here, this very process's."""
    folder = open_folder / tmp_path.name
    make_private_folder(folder)
    (folder / psp_process.BOUND).write_text(
        json.dumps({"simulators": {"x": "http://x"}, "control": "http://127.0.0.1:1", "pid": os.getpid()})
    )
    simulators = psp_process.Simulators(data_dir=folder, pid=os.getpid(), urls={}, control="", attached=True)
    await simulators.stop()
    assert not psp_process.is_running(folder)


async def test_simulators_that_fail_are_told_with_their_last_words(open_folder: Path, tmp_path: Path) -> None:
    folder = open_folder / tmp_path.name
    make_private_folder(folder)
    with only_one(folder / psp_process.LOCK, ""), pytest.raises(psp_process.SimulatorsFailed, match="do not answer"):
        await psp_process.start(folder, port_base=20_000, seed=0)
    (folder / "stripe.ledger.sqlite3").mkdir()
    with pytest.raises(psp_process.SimulatorsFailed, match="ended at once: payorch: "):
        await psp_process.start(folder, port_base=own_port(), seed=0)


def test_a_folder_of_others_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o777)
    with pytest.raises(FolderRefused, match="others may write"):
        make_private_folder(tmp_path / "open")
    (tmp_path / "file").touch()
    with pytest.raises(FolderRefused, match="cannot be made"):
        make_private_folder(tmp_path / "file")
    make_private_folder(tmp_path / "deep" / "new")
    assert (tmp_path / "deep" / "new").stat().st_mode & 0o777 == 0o700


def test_a_lock_is_held_by_one(tmp_path: Path) -> None:
    with only_one(tmp_path / "lock", "taken"):
        assert is_held(tmp_path / "lock")
        with pytest.raises(FolderRefused, match="taken"), only_one(tmp_path / "lock", "taken"):
            pass
    assert not is_held(tmp_path / "lock")


def test_a_connector_with_an_address_from_outside_gets_no_simulator() -> None:
    assert simulated_connectors(load({})) == list(SIMULATED)
    others = [name for name in SIMULATED if name != "stripe"]
    assert simulated_connectors(load({"PAYORCH_CONNECTORS__STRIPE__BASE_URL": "http://127.0.0.1:9"})) == others
    assert simulated_connectors(load({"PAYORCH_CONNECTORS__STRIPE__ENABLED": "false"})) == others


def test_connectors_lead_to_their_simulators() -> None:
    overrides = connector_overrides(load({}), ["stripe"], {"stripe": "http://127.0.0.1:9"}, {"stripe": "whsec_x"}, ANCHORS)
    stripe = load({}, overrides=overrides).connectors["stripe"]
    assert stripe.base_url == "http://127.0.0.1:9"
    assert stripe.credentials() == {"api_key": "sk_test_simulated", "webhook_secret": "whsec_x"}
    given = load({"PAYORCH_CONNECTORS__STRIPE__API_KEY": "sk_test_mine"})
    assert "connectors.stripe.api_key" not in connector_overrides(given, ["stripe"], {"stripe": "http://x"}, {"stripe": "w"}, ANCHORS)
    named = connector_overrides(load({}), ["adyen"], {"adyen": "http://127.0.0.1:9"}, {"adyen": "00FF"}, ANCHORS)
    adyen = load({}, overrides=named).connectors["adyen"]
    assert adyen.credentials() == {"account": "PayorchECOM", "api_key": "test_simulated", "webhook_secret": "00FF"}
    with pytest.raises(SettingsInvalid, match="no connector is left"):
        connector_overrides(load({}), list(SIMULATED), {}, {}, ANCHORS)


def test_simulated_connectors_cost_what_their_simulators_take() -> None:
    told = load({}, overrides=fee_overrides(load({}), SIMULATED)).routing
    assert {one.connector for one in told.fees} == set(SIMULATED)
    method = PaymentMethod(type="card", token="tok_visa")
    paid = Intent(amount=Money(1999, "EUR"), capture=CaptureMode.AUTOMATIC, method=method)
    card = asked(paid, merchant_id="mer_1", draw=0, at=SystemClock().now())
    plan = told.plan(list(SIMULATED))
    assert [plan.fee_minor(name, card) for name in SIMULATED] == [25 + 30, 11 + 24, 39 + 52]
    assert fee_overrides(load({}), []) == {}


def test_fees_that_somebody_has_written_stand_beside_those_of_simulators(tmp_path: Path) -> None:
    routing = (configuration.shipped_folder() / "routing.toml").read_text().replace("fees = []", "")
    (tmp_path / "routing.toml").write_text(routing + '\n[[fees]]\nconnector = "stripe"\nbasis_points = 7\n')
    environment = {"PAYORCH_CONFIG_DIR": str(tmp_path)}
    written = load(environment)
    fees = load(environment, overrides=fee_overrides(written, ["stripe", "adyen"])).routing.fees
    assert fees[0] == written.routing.fees[0]
    assert {one.connector for one in fees[1:]} == {"adyen"}
    assert fee_overrides(written, ["stripe"]) == {}


async def test_whoever_looks_at_a_local_stack_from_outside_expects_the_fees_that_it_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Found:
        attached = True

        def conninfo(self) -> str:
            return "postgresql://nowhere/payorch"

    async def start(folder: Path) -> Found:
        return Found()

    monkeypatch.setattr("payorch.local.embedded.start", start)
    (tmp_path / "secret.key").write_text("k" * 40)
    async with local.reachable(tmp_path) as settings:
        assert settings.routing.fees == ()  # no `up` has come so far yet
    (tmp_path / "credentials.json").write_text(json.dumps({"simulators": {"stripe": "http://127.0.0.1:9"}}))
    async with local.reachable(tmp_path) as settings:
        known = rules(settings, "stripe").plan
    assert known is not None
    assert [fee for fee in known.book.fees if fee.connector != "stripe"] == []
    assert len(known.book.fees) == len(SIMULATED["stripe"].fees)


def test_a_simulator_that_signs_with_a_certificate_is_believed_by_its_own_authority_only(tmp_path: Path) -> None:
    identity = simulator_identity.kept(tmp_path, SystemClock().now())
    anchors, url = tmp_path / simulator_identity.ANCHOR, "http://127.0.0.1:9"
    assert anchors.read_text() == identity.anchor
    overrides = connector_overrides(load({}), ["paypal", "stripe"], {"paypal": url, "stripe": url}, {"paypal": "W", "stripe": "w"}, anchors)
    paypal = load({}, overrides=overrides).connectors["paypal"]
    assert (paypal.certificate_hosts, paypal.certificate_name, paypal.anchors()) == ((url,), "localhost", identity.anchor.encode())
    assert load({}, overrides=overrides).connectors["stripe"].certificate_hosts == ()


def test_a_simulator_that_signs_with_a_certificate_is_trusted_for_it_and_nobody_else_is(tmp_path: Path) -> None:
    anchor = tmp_path / "anchor.pem"
    anchor.write_text("-----BEGIN CERTIFICATE-----")
    urls = {"paypal": "http://127.0.0.1:9", "stripe": "http://127.0.0.1:8"}
    overrides = connector_overrides(load({}), list(urls), urls, dict.fromkeys(urls, "whsec_x"), anchor)
    connectors = load({}, overrides=overrides).connectors
    assert connectors["paypal"].certificate_hosts == ("http://127.0.0.1:9",)
    assert (connectors["paypal"].certificate_name, connectors["paypal"].certificate_anchors) == ("localhost", str(anchor))
    assert (connectors["stripe"].certificate_hosts, connectors["stripe"].certificate_anchors) == ((), "")


@pytest.mark.parametrize("content", ["", "[]", "{", None])
def test_unreadable_credentials_are_none(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "credentials.json").write_text(content)
    assert local.read_credentials(tmp_path) == {}


# --- demo traffic -----------------------------------------------------------------------------------------------------------------------


def test_the_same_seed_makes_the_same_payments() -> None:
    def shop(seed: int) -> list[dict[str, Any]]:
        dice = SeededFractions(seed)
        return [traffic.payment(number, dice.fraction) for number in range(500)]

    assert shop(1) == shop(1)
    assert shop(1) != shop(2)
    tokens = Counter(payment["payment_method"]["token"] for payment in shop(1))
    assert set(tokens) == set(SHARED)
    assert 0.8 < (tokens["tok_visa"] + tokens["tok_mastercard"]) / 500 < 0.9
    assert all(200 <= payment["amount"] <= 40_000 for payment in shop(1))


def test_the_shop_does_something_about_its_payments_later() -> None:
    dice = SeededFractions(1)
    orders = [traffic.payment(number, dice.fraction) for number in range(500)]
    later = [(order, traffic.follow_up(order, dice.fraction)) for order in orders]
    calls = Counter((order["capture"], step.call if step is not None else None) for order, step in later)
    assert set(calls) == {("manual", "captures"), ("manual", "voids"), ("automatic", "refunds"), ("automatic", None)}
    parts = [(order["amount"], step.body["amount"]) for order, step in later if step is not None and "amount" in step.body]
    assert parts
    assert all(0 < part <= whole for whole, part in parts)


async def test_a_platform_that_is_gone_does_not_stop_the_shop(autojump_clock: trio.testing.MockClock) -> None:
    shop = traffic.Shop(base_url="http://127.0.0.1:1", merchant_key="x", run="r", per_second=100, fraction=SeededFractions(1).fraction)
    seen: Counter[str] = Counter()
    with trio.move_on_after(1):
        await shop.trade(seen)
    assert set(seen) == {"no answer"}
    assert math.isclose(seen.total(), 100, rel_tol=0.5)
