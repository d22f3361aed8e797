"""Settings: what is shipped is whole, each source overrides the one before it, and whatever is wrong is told with its place."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from actors.admission import CallKind
from connectors.registry import CONNECTORS
from payorch.circuits import admission_limits, connector_limits
from payorch.configuration import FILES, shipped_folder
from payorch.domain.desk import Limits
from payorch.sections import PaymentSettings
from payorch.settings import Settings, SettingsInvalid, ignored_variables, load, origins

KEY = "PAYORCH_CONNECTORS__STRIPE__API_KEY"


def faults_of(environment: Mapping[str, str], overrides: Mapping[str, object] | None = None) -> tuple[str, ...]:
    with pytest.raises(SettingsInvalid) as caught:
        load(environment, overrides=overrides)
    return caught.value.faults


def folder_with(tmp_path: Path, text: str, name: str = "payorch.toml") -> dict[str, str]:
    (tmp_path / name).write_text(text)
    return {"PAYORCH_CONFIG_DIR": str(tmp_path)}


# --- what is shipped --------------------------------------------------------------------------------------------------------------------


def test_the_shipped_settings_are_whole_and_valid() -> None:
    settings = load({})
    assert settings.http.public_url == "http://127.0.0.1:8080"
    assert settings.routing.default == ("stripe", "adyen", "paypal")
    assert settings.connectors["stripe"].base_url == "https://api.stripe.com"
    assert settings.secret_key is None


def test_every_setting_but_the_secrets_is_in_the_shipped_files() -> None:
    for key, origin in origins(load({})).items():
        if origin.source != "not set":
            assert origin.source.startswith(str(shipped_folder())) or key == "http.public_url"
    assert {key for key, origin in origins(load({})).items() if origin.source == "not set"} == {
        "database_url",
        "migration_database_url",
        "secret_key",
        *(f"connectors.{name}.{key}" for name in CONNECTORS for key in ("account", "api_key", "webhook_secret")),
    }


@pytest.mark.parametrize("name", FILES)
def test_every_number_has_its_reason(name: str) -> None:
    """A value is preceded by a comment, or follows a value that is."""
    explained = False
    for line in (shipped_folder() / name).read_text().splitlines():
        explained = line.startswith("#") or (explained and bool(line) and not line.startswith("["))
        assert explained or not line or line.startswith(("[", "enabled", "base_url", "port")), line


def test_limits_are_the_payments_section() -> None:
    limits = load({}).limits()
    assert isinstance(limits, Limits)
    assert set(PaymentSettings.model_fields) == set(Limits.__struct_fields__)
    assert limits.unknown_looks_seconds == (2, 5, 15, 60, 300, 900, 3600, 21600, 86400)
    assert limits.unknown_budget_seconds == 7 * 24 * 3600


def test_what_is_shipped_keeps_the_promises_about_retries() -> None:
    """RELIABILITY.md: a first look within 30 s, at most 1.1 calls per payment; and a circuit is told by its own numbers."""
    settings = load({})
    stripe = settings.connectors["stripe"]
    assert settings.payments.unknown_looks_seconds[0] <= 30
    assert stripe.retry_budget_earned_per_call <= 0.1
    assert stripe.total_timeout_seconds + 10 <= settings.payments.call_lost_seconds
    limits = admission_limits(stripe)
    assert limits.lookup_circuit.longest_open_seconds <= 15, "an unknown outcome is found out within seconds of the PSP answering again"
    assert (limits.of(CallKind.REFUND), limits.of(CallKind.LOOKUP)) == (limits.circuit, limits.lookup_circuit)
    assert connector_limits(stripe).timeouts.total_seconds == stripe.total_timeout_seconds


def test_the_wheel_takes_the_same_files() -> None:
    project = tomllib.loads((shipped_folder().parent / "pyproject.toml").read_text())
    assert project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"] == {"config": "payorch/config"}


# --- which source counts ----------------------------------------------------------------------------------------------------------------


def test_each_source_overrides_the_one_before(tmp_path: Path) -> None:
    environment = folder_with(tmp_path, "[http]\nport = 1001\nhost = 'localhost'\nanswer_within_seconds = 4")
    settings = load({**environment, "PAYORCH_HTTP__PORT": "1002", "PAYORCH_HTTP__HOST": "::1"}, overrides={"http.port": 1003})
    assert (settings.http.port, settings.http.host, settings.http.answer_within_seconds) == (1003, "::1", 4.0)
    assert settings.http.page_limit == 100
    assert settings.http.public_url == "http://[::1]:1003"
    told = origins(settings)
    assert told["http.port"] == (1003, "the command line")
    assert told["http.host"] == ("::1", "environment PAYORCH_HTTP__HOST")
    assert told["http.answer_within_seconds"] == (4.0, str(tmp_path / "payorch.toml"))
    assert told["http.page_limit"].source == str(shipped_folder() / "payorch.toml")
    assert told["http.public_url"].source == "http.host and http.port"


def test_a_folder_may_be_a_whole_copy(tmp_path: Path) -> None:
    shutil.copytree(shipped_folder(), tmp_path / "copy")
    settings = load({"PAYORCH_CONFIG_DIR": str(tmp_path / "copy")})
    assert origins(settings)["routing.default"] == (["stripe", "adyen", "paypal"], str(tmp_path / "copy" / "routing.toml"))


def test_tables_of_the_connectors_file_are_connectors(tmp_path: Path) -> None:
    settings = load(folder_with(tmp_path, "[stripe]\nenabled = false", "connectors.toml"))
    assert "stripe" not in settings.enabled_connectors()
    assert settings.connectors["stripe"].connections == 32


@pytest.mark.parametrize("text", ["60,120,300", "[60, 120, 300]", " 60, 120 ,300 "])
def test_the_environment_writes_lists(text: str) -> None:
    assert load({"PAYORCH_PAYMENTS__ACTION_LOOKS_SECONDS": text}).limits().action_looks_seconds == (60, 120, 300)


def test_an_empty_variable_is_not_set() -> None:
    settings = load({"PAYORCH_HTTP__PORT": "", "PAYORCH_SECRET_KEY": ""})
    assert settings.http.port == 8080
    assert settings.secret_key is None


def test_variables_of_others_do_not_stop_the_platform() -> None:
    settings = load({"PAYORCH_PORT": "tcp://10.0.0.1:80", "PAYORCH_SERVICE_HOST": "10.0.0.1", "PAYORCH_DEBUG": "1", "HOME": "/"})
    assert ignored_variables(settings) == ("PAYORCH_PORT", "PAYORCH_SERVICE_HOST")


# --- secrets ----------------------------------------------------------------------------------------------------------------------------


def test_secrets_come_from_the_environment_and_are_not_shown() -> None:
    environment = {
        KEY: "sk_test_confidential",
        "PAYORCH_CONNECTORS__STRIPE__WEBHOOK_SECRET": "whsec_confidential",
        "PAYORCH_SECRET_KEY": "confidential" * 4,
        "PAYORCH_DATABASE_URL": "postgresql://u:confidential@h/d",
    }
    settings = load(environment)
    assert settings.connectors["stripe"].credentials() == {"api_key": "sk_test_confidential", "webhook_secret": "whsec_confidential"}
    assert settings.needed("secret_key").reveal() == "confidential" * 4
    shown = f"{settings!r} {settings} {dict(origins(settings))} {settings._read}"
    assert "confidential" not in shown
    assert origins(settings)["connectors.stripe.api_key"] == ("(set, not shown)", f"environment {KEY}")


def test_what_a_command_cannot_do_without_is_named() -> None:
    with pytest.raises(SettingsInvalid, match="PAYORCH_DATABASE_URL is not set"):
        load({}).needed("database_url")


@pytest.mark.parametrize(
    ("name", "text", "variable"),
    [
        ("connectors.toml", "[stripe]\napi_key = 'sk_live_confidential'", KEY),
        ("payorch.toml", "secret_key = 'confidential'", "PAYORCH_SECRET_KEY"),
        ("payorch.toml", "database_url = 'confidential'", "PAYORCH_DATABASE_URL"),
        ("payorch.toml", "[connectors.stripe]\nwebhook_secret = 'confidential'", "PAYORCH_CONNECTORS__STRIPE__WEBHOOK_SECRET"),
    ],
)
def test_a_secret_in_a_file_is_refused(tmp_path: Path, name: str, text: str, variable: str) -> None:
    [fault] = faults_of(folder_with(tmp_path, text, name))
    assert fault.startswith(str(tmp_path / name))
    assert "does not belong in a file" in fault
    assert variable in fault
    assert "confidential" not in fault


def test_a_wrong_secret_is_not_repeated() -> None:
    [fault] = faults_of({"PAYORCH_SECRET_KEY": "confidential"})
    assert "32 bytes" in fault
    assert "confidential" not in fault
    assert "confidential" not in str(faults_of({"PAYORCH_SECRET_KEY__X": "confidential"}))


# --- what is wrong ----------------------------------------------------------------------------------------------------------------------


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    faults = faults_of({**folder_with(tmp_path, "[http]\nprot = 80\npage_limit = 500"), "PAYORCH_DATABASE__POOL_SIZE": "many"})
    assert len(faults) == 3
    assert f"{tmp_path / 'payorch.toml'}: http.prot: there is no such setting; did you mean port?" in faults
    assert f"{tmp_path / 'payorch.toml'}: http.page_limit: should be less than or equal to 100; it is 500" in faults
    assert any(fault.startswith("environment PAYORCH_DATABASE__POOL_SIZE: database.pool_size: ") for fault in faults)


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({"PAYORCH_HTPT__PORT": "1"}, "htpt: there is no such setting; did you mean http?"),
        ({"PAYORCH_HTTP__PORT__X": "1"}, "http.port.x: cannot be set"),
        ({"PAYORCH_HTTP__PORT": "70000"}, "less than or equal to 65535; it is '70000'"),
        ({"PAYORCH_HTTP__ANSWER_WITHIN_SECONDS": "inf"}, "finite number"),
        ({"PAYORCH_HTTP__ANSWER_WITHIN_SECONDS": "-1"}, "greater than 0"),
        ({"PAYORCH_HTTP__HOST": "0.0.0.0"}, "http.public_url: must be set"),
        ({"PAYORCH_HTTP__PAGE_LIMIT": "5"}, "http.page_default: must not exceed"),
        ({"PAYORCH_DATABASE__STATEMENT_TIMEOUT_SECONDS": "60"}, "database.answer_within_seconds: must exceed"),
        ({"PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": "2,60,5"}, "longer than the one before"),
        ({"PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": "[2"}, "payments.unknown_looks_seconds"),
        ({"PAYORCH_PAYMENTS__UNKNOWN_LOOKS_SECONDS": ","}, "at least 1 item"),
        ({"PAYORCH_ROUTING__DEFAULT": "stripe,acme"}, "routing.default: names acme"),
        ({"PAYORCH_CONNECTORS__STRIPE__TOTAL_TIMEOUT_SECONDS": "80"}, "payments.call_lost_seconds: must be 90 or more"),
        ({"PAYORCH_CONNECTORS__STRIPE__LEAST_CALL_SECONDS": "31"}, "least_call_seconds must not exceed total_timeout_seconds (30)"),
        ({"PAYORCH_CONNECTORS__STRIPE__CIRCUIT_MINIMUM_CALLS": "101"}, "circuit_minimum_calls must not exceed circuit_window_calls (100)"),
        (
            {"PAYORCH_CONNECTORS__STRIPE__CIRCUIT_OPEN_SECONDS": "31"},
            "connectors.stripe.circuit_longest_open_seconds: circuit_open_seconds must not exceed circuit_longest_open_seconds (30)",
        ),
        ({"PAYORCH_CONNECTORS__STRIPE__CIRCUIT_FAILURE_RATE": "1.5"}, "circuit_failure_rate: should be less than or equal to 1"),
        ({"PAYORCH_CONNECTORS__STRIPE__CIRCUIT_FAILURE_RATE": "0"}, "circuit_failure_rate: should be greater than 0"),
        ({"PAYORCH_CONNECTORS__STRIPE__CIRCUIT_PROBES": "0"}, "circuit_probes: should be greater than or equal to 1"),
        ({"PAYORCH_CONNECTORS__STRIPE__RETRY_BUDGET_INITIAL": "0"}, "retry_budget_initial: should be greater than or equal to 1"),
        ({"PAYORCH_CONNECTORS__STRIPE__RETRY_BUDGET_MOST": "4"}, "retry_budget_initial must not exceed retry_budget_most (4)"),
        ({"PAYORCH_CONNECTORS__STRIPE__RETRY_BUDGET_EARNED_PER_CALL": "inf"}, "retry_budget_earned_per_call"),
        ({"PAYORCH_ACTORS__PULL_FORWARD_LIMIT": "0"}, "pull_forward_limit: should be greater than or equal to 1"),
        ({"PAYORCH_PAYMENTS__INQUIRE_FIRST_SECONDS": "5"}, "payments.inquire_first_seconds: must be below http"),
        ({"PAYORCH_CONNECTORS__STRIPE__BASE_URL": "ftp://x"}, "http(s)://host"),
        ({"PAYORCH_CONNECTORS__STRIPE__BASE_URL": "https://user:pw@x"}, "base_url: must be http(s)://host[:port][/prefix], without user"),
        ({"PAYORCH_CONNECTORS__ACME__ENABLED": "true"}, "connectors.acme.base_url: is missing"),
        ({"PAYORCH_CONFIG_DIR": "/nowhere/at/all"}, "is not a folder"),
    ],
)
def test_what_is_wrong_is_told_with_its_place(environment: dict[str, str], told: str) -> None:
    assert told in "\n".join(faults_of(environment))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("payorch.toml", "[http\nport = 1", "cannot be read"),
        ("payorch.toml", "http = 5", "cannot be set"),
        ("payorhc.toml", "[http]\nport = 1", "nobody reads a file of this name"),
    ],
)
def test_a_bad_file_is_told(tmp_path: Path, name: str, text: str, told: str) -> None:
    faults = faults_of(folder_with(tmp_path, text, name))
    assert told in "\n".join(faults)


def test_settings_do_not_change() -> None:
    settings: Settings = load({})
    with pytest.raises(ValidationError, match="frozen"):
        settings.http.port = 1
    with pytest.raises(TypeError):
        settings.connectors["stripe"] = settings.connectors["stripe"]  # type: ignore[index]


CERTIFICATES = {
    "PAYORCH_CONNECTORS__STRIPE__CERTIFICATE_HOSTS": "api.psp.example, http://127.0.0.1:9001",
    "PAYORCH_CONNECTORS__STRIPE__CERTIFICATE_NAME": "*.psp.example",
}


def test_hosts_of_certificates_are_named_with_the_name_that_they_must_have(tmp_path: Path) -> None:
    anchors = tmp_path / "anchors.pem"
    anchors.write_text("-----BEGIN CERTIFICATE-----")
    settings = load(CERTIFICATES | {"PAYORCH_CONNECTORS__STRIPE__CERTIFICATE_ANCHORS": str(anchors)}).connectors["stripe"]
    assert settings.certificate_hosts == ("api.psp.example", "http://127.0.0.1:9001")
    assert settings.anchors() == b"-----BEGIN CERTIFICATE-----"
    assert load(CERTIFICATES).connectors["stripe"].anchors() is None


@pytest.mark.parametrize(
    "host",
    ["http://api.psp.example", "http://10.0.0.1:80", "http://localhost:80", "https://a.example/path", "user@a.example", "a.example:0", "",
     "a.example:port", "ftp://a.example", "https://a.example?q", "[::1"],
)  # fmt: skip
def test_other_hosts_of_certificates_are_refused(host: str) -> None:
    with pytest.raises(SettingsInvalid, match="certificate_hosts"):
        load(CERTIFICATES | {"PAYORCH_CONNECTORS__STRIPE__CERTIFICATE_HOSTS": f'["{host}"]'})


def test_certificates_of_nobody_or_of_no_anchor_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingsInvalid, match="certificate_name"):
        load({"PAYORCH_CONNECTORS__STRIPE__CERTIFICATE_HOSTS": "api.psp.example"})
    (tmp_path / "empty.pem").write_text("")
    for path in (tmp_path / "empty.pem", tmp_path / "missing.pem", tmp_path):
        with pytest.raises(SettingsInvalid, match="certificate_anchors"):
            load(CERTIFICATES | {"PAYORCH_CONNECTORS__STRIPE__CERTIFICATE_ANCHORS": str(path)})


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../../etc/passwd", "+01:00"])
def test_a_time_zone_is_one_that_there_is(name: str) -> None:
    [fault] = faults_of({}, {"connectors.stripe.settlement_time_zone": name})
    assert "connectors.stripe.settlement_time_zone" in fault
    assert str(load({}).connectors["paypal"].zone()) == "America/Los_Angeles"


# --- reconciliation ---------------------------------------------------------------------------------------------------------------------


def test_a_tolerance_is_of_a_connector_and_a_currency(tmp_path: Path) -> None:
    line = 'tolerances = [{{ connector = "{}", currency = "{}", amount_minor = 2, accept_minor = 500 }}]\n'

    def with_tolerance(connector: str, currency: str) -> dict[str, str]:
        return folder_with(tmp_path, "[reconciliation]\n" + line.format(connector, currency))

    name = next(iter(CONNECTORS))
    tolerance = load(with_tolerance(name, "EUR")).reconciliation.policy().tolerance(name, "EUR")
    assert (tolerance.amount_minor, tolerance.fee_minor, tolerance.accept_minor) == (2, 0, 500)
    for wrong in (("nobody", "EUR"), (name, "XXX")):
        (fault,) = faults_of(with_tolerance(*wrong))
        assert "there is no connector" in fault
    assert "reconciliation.tolerances" in faults_of(folder_with(tmp_path, "[reconciliation]\n" + line.format(name, "euro")))[0]
