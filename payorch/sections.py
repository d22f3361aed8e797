"""The sections of the configuration: each setting with its type and what may stand in it. Frozen; nothing unknown is taken.

The reasons for the values stand in config/*.toml. Not here: routing's section (`routing_settings`), where a value comes
from, and what does not go together (`settings`).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, SecretStr, model_validator

from payorch.domain.act_records import Terms
from payorch.domain.matching import Policy, Tolerance
from payorch.domain.money import EXPONENTS


def listed(value: object) -> object:
    """`60,120,300` as the environment writes a list; `[60, 120, 300]` works there too."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    return json.loads(text) if text.startswith("[") else [part.strip() for part in text.split(",") if part.strip()]


def _rising(seconds: tuple[int, ...]) -> tuple[int, ...]:
    if any(later <= earlier for earlier, later in itertools.pairwise(seconds)):
        raise ValueError("each interval must be longer than the one before it")
    return seconds


def _base_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must be http(s)://host[:port][/prefix], without user, query or fragment")
    return url.rstrip("/")


def _certificate_host(host: str) -> str:
    parts = urlsplit(host if "://" in host else f"https://{host}")
    try:
        bare = bool(parts.hostname) and "@" not in parts.netloc and not (parts.path or parts.query or parts.fragment) and parts.port != 0
        allowed = parts.scheme == "https" or (parts.scheme == "http" and ip_address(parts.hostname or "").is_loopback)
    except ValueError:
        bare = allowed = False
    if not bare or not allowed:
        raise ValueError("must be host[:port]; http:// goes with a loopback address and its port only")
    return host.lower()


def _time_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError) as error:
        raise ValueError('must be the name of a time zone, as in "Europe/Amsterdam" or "UTC"') from error
    return name


def _currencies(amounts: Mapping[str, int]) -> Mapping[str, int]:
    unknown = sorted(set(amounts) - set(EXPONENTS))
    if unknown:
        raise ValueError(f"must be ISO 4217 codes of currencies: {', '.join(unknown)}")
    return MappingProxyType(dict(amounts))


Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WholeSeconds = Annotated[int, Field(ge=1)]
Amount = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
Tokens = Annotated[float, Field(ge=1, allow_inf_nan=False)]
Schedule = Annotated[tuple[WholeSeconds, ...], Field(min_length=1), BeforeValidator(listed), AfterValidator(_rising)]
Pauses = Annotated[tuple[Annotated[int, Field(ge=0)], ...], Field(min_length=1), BeforeValidator(listed)]
CertificateHost = Annotated[str, AfterValidator(_certificate_host)]
TimeZone = Annotated[str, Field(min_length=1), AfterValidator(_time_zone)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class HttpSettings(Section):
    """The edge: where it listens and what a client may do. `public_url` is never empty."""

    host: str = Field(min_length=1)
    port: int = Field(ge=0, le=65535)
    public_url: BaseUrl
    answer_within_seconds: Seconds
    body_limit_bytes: int = Field(ge=1024)
    body_deadline_seconds: Seconds
    header_limit_bytes: int = Field(ge=1024)
    header_deadline_seconds: Seconds
    connections_limit: Amount
    keep_alive_seconds: Seconds
    json_depth_limit: Amount
    drain_seconds: Seconds
    requests_per_second_per_merchant: Seconds
    requests_burst_per_merchant: Amount
    page_limit: int = Field(ge=1, le=100)
    page_default: int = Field(ge=1, le=100)

    @model_validator(mode="before")
    @classmethod
    def _where_shoppers_come_back(cls, data: Any) -> Any:
        if not isinstance(data, dict) or data.get("public_url") != "" or "host" not in data or "port" not in data:
            return data
        host = f"[{data['host']}]" if ":" in str(data["host"]) else data["host"]
        return {**data, "public_url": f"http://{host}:{data['port']}"}


class DatabaseSettings(Section):
    """Patience with PostgreSQL; see `payorch.store.pool` and `payorch.store.driver.Session`."""

    pool_size: Amount
    connect_timeout_seconds: Seconds
    answer_within_seconds: Seconds
    statement_timeout_seconds: Seconds
    lock_timeout_seconds: Seconds
    idle_in_transaction_timeout_seconds: Seconds
    lease_within_seconds: Seconds


class JournalSettings(Section):
    """The one writer."""

    mailbox_capacity: Amount
    batch_limit: Amount
    pause_answer_after_seconds: Seconds


class PaymentSettings(Section):
    """The fields of `payorch.domain.desk.Limits`, one by one."""

    intent_expires_seconds: WholeSeconds
    authorize_seconds: WholeSeconds
    authorize_merchant_seconds: WholeSeconds
    attempts_per_payment: Amount
    call_lost_seconds: WholeSeconds
    action_deadline_seconds: WholeSeconds
    action_looks_seconds: Schedule
    pending_deadline_seconds: WholeSeconds
    pending_looks_seconds: Schedule
    unknown_looks_seconds: Schedule
    unknown_budget_seconds: WholeSeconds
    resync_budget_seconds: WholeSeconds
    authorization_look_seconds: WholeSeconds
    operation_retry_seconds: Schedule
    operation_window_seconds: WholeSeconds
    inquire_first_seconds: Seconds
    early_tries: Amount
    session_closings: Amount
    completions_per_attempt: Amount


class ApprovalSettings(Section):
    """What one person may do alone: see `payorch.domain.operating.people`. alone_up_to: currency -> minor units; none of one not there."""

    alone_up_to: Annotated[Mapping[str, Annotated[int, Field(ge=0)]], AfterValidator(_currencies)]


class ActorSettings(Section):
    """Mailboxes and supervision."""

    payment_mailbox_capacity: Amount
    payments_limit: Amount
    restart_intensity: int = Field(ge=0)
    restart_period_seconds: Seconds
    shutdown_seconds: Seconds
    sweep_seconds: Seconds
    sweep_limit: Amount
    pull_forward_limit: Amount
    lend_operations_rarer: Amount
    recovery_mailbox_capacity: Amount
    circuit_records_back: Amount
    circuit_journal_back: Amount
    circuit_retry_seconds: Seconds
    payment_retry_seconds: Seconds
    token_margin_seconds: Seconds


class TrafficSettings(Section):
    """What operators see of the traffic, and for how long they may turn it away: see `payorch.operations.circuits`."""

    authorize_slo_ms: Amount
    forced_least_seconds: WholeSeconds
    forced_longest_seconds: WholeSeconds
    drain_longest_seconds: WholeSeconds
    forecast_decisions: int = Field(ge=0, le=5_000)
    simulation_limit: int = Field(ge=1, le=100_000)

    @model_validator(mode="after")
    def _some_time(self) -> Self:
        if self.forced_least_seconds > min(self.forced_longest_seconds, self.drain_longest_seconds):
            raise ValueError("forced_least_seconds is above the longest that circuits may be forced or connectors be drained")
        return self


class InboxSettings(Section):
    """What PSPs tell: see `actors.inbox.InboxLimits`."""

    mailbox_capacity: Amount
    body_limit_bytes: int = Field(ge=1024)
    body_deadline_seconds: Seconds
    sweep_seconds: Seconds
    sweep_limit: Amount
    in_flight_limit: Amount
    lost_seconds: Seconds
    lost_tries: Amount
    parked_tries_seconds: Pauses
    parked_remembered: Amount
    keep_notices_days: Amount
    keep_dead_letters_days: Amount
    housekeeping_seconds: Seconds


class DeliverySettings(Section):
    """What merchants are told: see `actors.notifier.DeliveryLimits`."""

    local: bool
    tries_seconds: Pauses
    connections_per_endpoint: Amount
    endpoints_limit: Amount
    connect_timeout_seconds: Seconds
    total_timeout_seconds: Seconds
    longest_retry_after_seconds: Seconds
    gather_seconds: Seconds
    sweep_seconds: Seconds
    mailbox_capacity: Amount
    endpoints_per_merchant: Amount
    rotation_seconds: WholeSeconds
    resend_limit: int = Field(ge=1, le=1000)


class ConnectorSettings(Section):
    """One PSP: where it is, how much at once, how long to wait, and when to leave it alone. The secrets come from the environment only.

    account: the name under which the PSP knows us, for those that want it said beside the key. settlement_time_zone: by which it books.
    """

    enabled: bool
    base_url: BaseUrl
    connections: Amount
    lookup_connections: Amount
    mailbox_capacity: Amount
    connect_timeout_seconds: Seconds
    write_timeout_seconds: Seconds
    read_timeout_seconds: Seconds
    total_timeout_seconds: Seconds
    least_call_seconds: Seconds
    longest_retry_after_seconds: Seconds
    circuit_window_calls: Amount
    circuit_window_seconds: Seconds
    circuit_minimum_calls: Amount
    circuit_failure_rate: Share
    circuit_slow_rate: Share
    circuit_slow_seconds: Seconds
    circuit_failures_in_a_row: Amount
    circuit_open_seconds: Seconds
    circuit_longest_open_seconds: Seconds
    circuit_probes: Amount
    circuit_successes_to_close: Amount
    lookup_circuit_open_seconds: Seconds
    lookup_circuit_longest_open_seconds: Seconds
    retry_budget_initial: Tokens
    retry_budget_most: Tokens
    retry_budget_earned_per_call: float = Field(ge=0, le=1)
    retry_budget_earned_per_minute: float = Field(ge=0, allow_inf_nan=False)
    retry_budget_patience_seconds: Seconds
    response_limit_bytes: int = Field(ge=1024)
    keep_alive_seconds: Seconds
    settlement_time_zone: TimeZone
    certificate_hosts: Annotated[tuple[CertificateHost, ...], BeforeValidator(listed)] = ()
    certificate_anchors: str = ""
    certificate_name: str = Field(default="", max_length=253)
    account: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    api_key: SecretStr | None = None
    webhook_secret: SecretStr | None = None

    def credentials(self) -> Mapping[str, str]:
        """What is set of the account and the secrets, in the clear, as `connectors.contract.Connector.request` takes it."""
        secrets = {"api_key": self.api_key, "webhook_secret": self.webhook_secret}
        account = {} if self.account is None else {"account": self.account}
        return account | {name: secret.get_secret_value() for name, secret in secrets.items() if secret is not None}

    def zone(self) -> ZoneInfo:
        """By which the PSP tells its days apart."""
        return ZoneInfo(self.settlement_time_zone)

    def anchors(self) -> bytes | None:
        """The trust anchors of the certificates that webhooks are signed with, PEM; None for those of the system. Raises OSError."""
        return Path(self.certificate_anchors).read_bytes() if self.certificate_anchors else None

    def webhook_secrets(self) -> tuple[str, ...]:
        """The secrets under which a delivery may be signed now: several, parted by blanks or commas, while one replaces another."""
        text = "" if self.webhook_secret is None else self.webhook_secret.get_secret_value()
        return tuple(text.replace(",", " ").split())


class ToleranceSettings(Section):
    """What of a difference between a report and our books is let pass at one connector in one currency, in minor units of it."""

    connector: str = Field(min_length=1)
    currency: str = Field(pattern="^[A-Z]{3}$")
    amount_minor: int = Field(default=0, ge=0)
    fee_minor: int = Field(default=0, ge=0)
    accept_minor: int = Field(default=0, ge=0)


class ReconciliationSettings(Section):
    """Settlement reports and the daily close. `drop_folder`: empty where none is watched."""

    chunk_rows: int = Field(ge=1, le=10_000)
    report_limit_bytes: int = Field(ge=1024)
    window_days: int = Field(ge=1, le=365)
    suggest_days: int = Field(ge=0, le=31)
    tolerances: tuple[ToleranceSettings, ...] = ()
    close_hour: int = Field(ge=0, le=23)
    drop_folder: str = ""
    evidence_tries_seconds: Schedule
    sweep_seconds: Seconds
    sweep_limit: Amount
    unmatched_seconds: Seconds
    folder_seconds: Seconds
    clock_seconds: Seconds
    stuck_seconds: Seconds
    mailbox_capacity: Amount

    def policy(self) -> Policy:
        """What of it matching goes by."""
        tolerances = {
            (one.connector, one.currency): Tolerance(amount_minor=one.amount_minor, fee_minor=one.fee_minor, accept_minor=one.accept_minor)
            for one in self.tolerances
        }
        return Policy(tolerances=tolerances, suggest_days=self.suggest_days)


class EnvironmentSettings(Section):
    """Which platform this is, as its operators see it on every screen. kind: whether its money is real."""

    name: str = Field(min_length=1, max_length=40)
    kind: Literal["sim", "test", "live"]


class StreamSettings(Section):
    """What operators watch live: see `payorch.operations.tail` and `payorch.api.operations.stream`."""

    streams_limit: Amount
    heartbeat_seconds: Seconds
    token_check_seconds: Seconds
    waiting_limit: Amount
    behind_limit: Amount
    gather_seconds: Seconds
    sweep_seconds: Seconds
    retry_seconds: Seconds
    shutdown_seconds: Seconds


class OperationsSettings(Section):
    """What operators see and do: see `payorch.operations`."""

    page_limit: int = Field(ge=1, le=1000)
    page_default: int = Field(ge=1, le=1000)
    plan_expires_seconds: Seconds
    decision_within_seconds: Seconds
    review_within_seconds: Seconds
    acts_at_once: Amount
    sweep_seconds: Seconds
    retry_seconds: Seconds
    tries: Amount
    keep_plans_seconds: Seconds
    housekeeping_seconds: Seconds
    housekeeping_limit: Amount
    replay_patience_seconds: Seconds
    mailbox_capacity: Amount

    def terms(self) -> Terms:
        """How long plans and proposals hold, as the domain takes it."""
        return Terms(
            plan_seconds=self.plan_expires_seconds,
            decision_seconds=self.decision_within_seconds,
            review_seconds=self.review_within_seconds,
        )


class AuditSettings(Section):
    """Anchors of the journal, and how often its chain is walked. `anchor_folder`: empty for none. `verify_seconds`: 0 for never."""

    anchor_folder: str = ""
    anchor_seconds: Seconds
    anchor_records: Amount
    verify_seconds: float = Field(ge=0, allow_inf_nan=False)
    verify_whole_seconds: Seconds
    mailbox_capacity: Amount


class OperatorSettings(Section):
    """Operators' tokens: how long a new one lives, and after how long without use one is locked."""

    token_days: int = Field(ge=1, le=3650)
    token_idle_days: int = Field(ge=1, le=3650)
