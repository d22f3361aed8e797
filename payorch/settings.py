"""What the platform is told from outside: every setting with its type, checked as a whole and frozen.

A value is taken from the last of these that has it:
    the shipped folder     config/ of the checkout, or payorch/config in a wheel; it names every setting but the secrets
    PAYORCH_CONFIG_DIR     a folder with files of the same names, with as much in them as is to differ
    the environment        PAYORCH_<SECTION>__<KEY>; secrets come from here only
    overrides              what a command sets (`payorch up --port`)

Everything wrong is told at once, each with its file or variable, its key and what to do. pydantic checks the values; reading is
`payorch.configuration`'s and not pydantic-settings', which would not tell where a value came from, keeps silent about misspelt variables,
and takes secrets from files.

Not here: the sections' fields (`sections`, `routing_settings`), what any setting is used for, or connecting to anything.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, PrivateAttr, SecretStr, ValidationError

from payorch import configuration
from payorch.configuration import Key, Origin, Read, told, told_at, variable
from payorch.domain.desk import Limits
from payorch.domain.money import EXPONENTS
from payorch.keys import SHORTEST_PEPPER_BYTES, Secret
from payorch.routing_settings import Place, RoutingSettings, contradictions, doubts, names_at
from payorch.sections import (
    ActorSettings,
    ApprovalSettings,
    AuditSettings,
    ConnectorSettings,
    DatabaseSettings,
    DeliverySettings,
    EnvironmentSettings,
    HttpSettings,
    InboxSettings,
    JournalSettings,
    OperationsSettings,
    OperatorSettings,
    PaymentSettings,
    ReconciliationSettings,
    Section,
    StreamSettings,
    TrafficSettings,
)

REMOVED: Final = "(set, not shown)"

# Above the longest that a call may take, waiting included: the time it takes to come back through a busy process.
_LOST_CALL_MARGIN_SECONDS: Final = 10
# Of a connector: the key to change, and what must not exceed what.
_ORDERED: Final = (
    ("least_call_seconds", "least_call_seconds", "total_timeout_seconds"),
    ("circuit_minimum_calls", "circuit_minimum_calls", "circuit_window_calls"),
    ("circuit_longest_open_seconds", "circuit_open_seconds", "circuit_longest_open_seconds"),
    ("lookup_circuit_longest_open_seconds", "lookup_circuit_open_seconds", "lookup_circuit_longest_open_seconds"),
    ("retry_budget_most", "retry_budget_initial", "retry_budget_most"),
)
_WILDCARD_HOSTS: Final = frozenset({"0.0.0.0", "::"})


class SettingsInvalid(Exception):
    """What is wrong with the configuration, one line each in `faults`. No value of a secret is repeated."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class Settings(Section):
    """The whole configuration. Made by `load`."""

    http: HttpSettings
    database: DatabaseSettings
    journal: JournalSettings
    payments: PaymentSettings
    approvals: ApprovalSettings
    actors: ActorSettings
    inbox: InboxSettings
    deliveries: DeliverySettings
    reconciliation: ReconciliationSettings
    environment: EnvironmentSettings
    audit: AuditSettings
    operators: OperatorSettings
    stream: StreamSettings
    operations: OperationsSettings
    traffic: TrafficSettings
    connectors: Annotated[Mapping[str, ConnectorSettings], AfterValidator(MappingProxyType)]
    routing: RoutingSettings
    database_url: SecretStr | None = None
    migration_database_url: SecretStr | None = None
    secret_key: SecretStr | None = None

    _read: Mapping[Key, Origin] = PrivateAttr(default_factory=dict)
    _ignored: tuple[str, ...] = PrivateAttr(default=())

    def limits(self) -> Limits:
        """[payments] as the domain takes it."""
        return Limits(**{name: getattr(self.payments, name) for name in Limits.__struct_fields__})

    def enabled_connectors(self) -> Mapping[str, ConnectorSettings]:
        """The connectors that are switched on."""
        return {name: connector for name, connector in self.connectors.items() if connector.enabled}

    def needed(self, name: str) -> Secret:
        """`database_url`, `migration_database_url` or `secret_key`, which this command cannot do without. Raises SettingsInvalid."""
        value: SecretStr | None = getattr(self, name)
        if value is None:
            raise SettingsInvalid([f"{variable((name,))} is not set, and this needs it. Set it in the environment"])
        return Secret(value.get_secret_value())

    def needed_to_serve(self, needs: Mapping[str, Collection[str]]) -> None:
        """Raises SettingsInvalid with all that is missing: better now than with the first payment.

        needs: by connector, the credentials that it has to be told. Without a webhook secret it serves, and refuses every webhook.
        """
        keys: list[Key] = [(name,) for name in ("database_url", "secret_key") if getattr(self, name) is None]
        for name, connector in self.enabled_connectors().items():
            keys += [("connectors", name, key) for key in needs.get(name, ()) if key not in {"webhook_secret", *connector.credentials()}]
        if keys:
            raise SettingsInvalid([f"{variable(key)} is not set, and this needs it. Set it in the environment" for key in keys])


def load(
    environment: Mapping[str, str] | None = None,
    *,
    overrides: Mapping[str, object] | None = None,
    overrides_from: str = "the command line",
    routing_file: Path | None = None,
) -> Settings:
    """Reads and checks everything. `environment`: the process's own by default; `overrides`: by dotted key, above all else.
    `routing_file`: in the place of routing.toml, wherever that would be read.

    Raises SettingsInvalid with everything that is wrong.
    """
    environment = os.environ if environment is None else environment
    faults: list[str] = []
    read = configuration.read_folders(environment, SECRETS, faults, instead={} if routing_file is None else {"routing.toml": routing_file})
    variables, ignored = configuration.read_variables(environment, SECRETS)
    read |= variables
    read |= {tuple(key.split(".")): Origin(value, overrides_from) for key, value in (overrides or {}).items()}
    values = configuration.nested(read, faults)
    if faults:
        raise SettingsInvalid(faults)
    settings = _checked(values, read)
    settings._read = {key: Origin(REMOVED, origin.source) if key[-1] in SECRETS else origin for key, origin in read.items()}
    settings._ignored = ignored
    faults = [told(read, tuple(key.split(".")), text) for key, text in _contradictions(settings)]
    faults += [_told_of_routing(read, place, text) for place, text in contradictions(settings.routing, settings.connectors)]
    if faults:
        raise SettingsInvalid(faults)
    return settings


def origins(settings: Settings) -> Mapping[str, Origin]:
    """Each setting by its dotted key: its value, secrets removed, and where it came from."""
    return {".".join(key): _origin(settings, key, value) for key, value in _leaves(settings, ())}


def routing_doubts(settings: Settings, methods: Collection[str]) -> list[str]:
    """What the rules of routing say and cannot mean, each with its place. `methods`: those that any connector offers."""
    return [_told_of_routing(settings._read, place, text) for place, text in doubts(settings.routing, methods)]


def routing_as_written(settings: Settings) -> dict[str, Any]:
    """The section of routing as TOML and variables have it, before it was checked: what changes can be laid over."""
    return dict(configuration.nested({key: one for key, one in settings._read.items() if key[0] == "routing"}, []).get("routing", {}))


def ignored_variables(settings: Settings) -> tuple[str, ...]:
    """PAYORCH_... variables that mean nothing here: misspelt ones, or another program's (Kubernetes sets PAYORCH_PORT for its own ends)."""
    return settings._ignored


# --- telling what is wrong --------------------------------------------------------------------------------------------------------------


def _checked(values: Mapping[str, Any], read: Read) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    # Outside of the handler: pydantic's own text, chained to ours, might hold a value.
    raise SettingsInvalid([_fault(read, one["loc"], one["type"], one["msg"]) for one in found])


def _fault(read: Read, place: Place, kind: str, message: str) -> str:
    if place[:2] in (("routing", "rules"), ("routing", "fees")) and len(place) > 2:
        return _told_of_routing(read, place[1:], _sentence(place, kind, message))
    key = tuple(map(str, place))
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(key[-1], _names_in(key[:-1]), n=1)
        return told(read, key, f"there is no such setting{f'; did you mean {near[0]}?' if near else ''}")
    if kind == "missing":
        return told(read, key, f"is missing. Set it in its file or by {variable(key)}")
    got = next((read[key[:end]].value for end in range(len(key), 0, -1) if key[:end] in read), None)
    # An address with "@" has a password in it.
    shown = "" if got is None or key[-1] in SECRETS or "@" in str(got) else f"; it is {got!r}"
    return told(read, key, message.removeprefix("Value error, ").removeprefix("Input ") + shown)


def _told_of_routing(read: Mapping[Key, Origin], place: Place, text: str) -> str:
    if place[0] in ("rules", "fees") and len(place) > 1:
        return told_at(read, ("routing", str(place[0])), place[1:], text)
    return told(read, ("routing", *map(str, place)), text)


def _sentence(place: Place, kind: str, message: str) -> str:
    if kind == "extra_forbidden":
        near = difflib.get_close_matches(str(place[-1]), names_at(place[1:-1]), n=1)
        return f"there is no such thing{f'; did you mean {near[0]}?' if near else ''}"
    return "is missing" if kind == "missing" else message.removeprefix("Value error, ").removeprefix("Input ")


def _contradictions(settings: Settings) -> Iterator[tuple[str, str]]:
    """Values that are right each by itself and not together: the key to change, and why."""
    http, database = settings.http, settings.database
    if http.page_default > http.page_limit:
        yield "http.page_default", f"must not exceed http.page_limit ({http.page_limit})"
    if settings.payments.inquire_first_seconds >= http.answer_within_seconds:
        yield "payments.inquire_first_seconds", f"must be below http.answer_within_seconds ({http.answer_within_seconds})"
    if urlsplit(http.public_url).hostname in _WILDCARD_HOSTS:
        yield "http.public_url", f"must be set, since no shopper's browser reaches {http.public_url}"
    if database.answer_within_seconds <= database.statement_timeout_seconds:
        yield "database.answer_within_seconds", f"must exceed statement_timeout_seconds ({database.statement_timeout_seconds})"
    for number, tolerance in enumerate(settings.reconciliation.tolerances):
        if tolerance.connector not in settings.connectors or tolerance.currency not in EXPONENTS:
            yield f"reconciliation.tolerances.{number}", f"there is no connector {tolerance.connector} or currency {tolerance.currency}"
    for name, connector in settings.enabled_connectors().items():
        least = connector.total_timeout_seconds + _LOST_CALL_MARGIN_SECONDS
        if settings.payments.call_lost_seconds < least:
            yield "payments.call_lost_seconds", f"must be {least:g} or more: a call to {name} may be answered until then"
        for key, lower, upper in _ORDERED:
            if getattr(connector, lower) > getattr(connector, upper):
                yield f"connectors.{name}.{key}", f"{lower} must not exceed {upper} ({getattr(connector, upper):g})"
        if connector.certificate_hosts and not connector.certificate_name:
            yield f"connectors.{name}.certificate_name", "must be set, since certificates are fetched: whose are they to be?"
        if connector.certificate_anchors and not _holds_certificates(connector.certificate_anchors):
            yield f"connectors.{name}.certificate_anchors", "must be a file with certificates (PEM) that can be read"
    if settings.secret_key is not None and len(settings.secret_key.get_secret_value().encode()) < SHORTEST_PEPPER_BYTES:
        yield "secret_key", f"must have {SHORTEST_PEPPER_BYTES} bytes or more. Make one: openssl rand -base64 48"


def _holds_certificates(path: str) -> bool:
    try:
        return b"-----BEGIN CERTIFICATE-----" in Path(path).read_bytes()
    except OSError:
        return False


def _names_in(key: Key) -> list[str]:
    if len(key) == 2 and key[0] == "connectors":
        return list(ConnectorSettings.model_fields)
    if not key:
        return list(Settings.model_fields)
    section = Settings.model_fields[key[0]].annotation if key[0] in Settings.model_fields else None
    return list(section.model_fields) if isinstance(section, type) and issubclass(section, Section) else []


# --- showing where it came from ---------------------------------------------------------------------------------------------------------


def _leaves(section: BaseModel, key: Key) -> Iterator[tuple[Key, object]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*key, name))
        elif isinstance(value, Mapping):
            for part, member in value.items():
                if isinstance(member, BaseModel):
                    yield from _leaves(member, (*key, name, part))
                else:
                    yield (*key, name, part), member
        else:
            yield (*key, name), value


def _origin(settings: Settings, key: Key, value: object) -> Origin:
    read = settings._read.get(key)
    if read is None:
        return Origin(None, "not set")
    if isinstance(value, SecretStr):
        return read
    if key == ("http", "public_url") and not read.value:
        return Origin(value, "http.host and http.port")
    # Tables in a list are shown as they were written.
    written = isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value)
    return Origin(read.value if written else list(value) if isinstance(value, tuple) else value, read.source)


def _secret_names() -> frozenset[str]:
    models = (Settings, ConnectorSettings)
    return frozenset(name for model in models for name, field in model.model_fields.items() if field.annotation == SecretStr | None)


SECRETS: Final = _secret_names()
"""Keys whose values come from the environment only and are never shown. Those of the top level are named PAYORCH_<KEY>."""
