"""The [routing] section: how config/routing.toml is written, checked, and made into the domain's rule book.

What is wrong with one value is told by the models; what does not go together (a region that nobody defined, a connector that is none) by
`contradictions`; what is legal and surely not meant by `doubts`. Not here: what a rule means (`payorch.domain.rules`), the reasons for the
shipped values (config/routing.toml).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from datetime import tzinfo
from types import MappingProxyType
from typing import Annotated, Final, Literal, Self, TypeAlias
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, field_validator, model_validator

from payorch.domain.identifiers import MalformedIdentifier, parse
from payorch.domain.money import EXPONENTS
from payorch.domain.reachability import unreachable
from payorch.domain.rules import POINTS, RESERVED_NAMES, WHOLE, AmountRange, Fee, Hours, Plan, Rule, RuleBook, Weights, When
from payorch.domain.success import SuccessLimits
from payorch.sections import Amount, Seconds, Section, listed

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands under [routing]: ("rules", 2, "when", "currency")."""

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TIME: Final = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])|24:00")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def _one_or_more(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _currency(value: str) -> str:
    if value not in EXPONENTS:
        raise ValueError("must be a current ISO 4217 code in upper case, such as EUR")
    return value


def _country(value: str) -> str:
    if not _COUNTRY.fullmatch(value):
        raise ValueError("must be an ISO 3166-1 code of two letters in upper case, such as DE; regions have a condition of their own")
    return value


def _merchant(value: str) -> str:
    try:
        prefix, _ = parse(value)
    except MalformedIdentifier:
        prefix = ""
    if prefix != "mer":
        raise ValueError("must be the id of a merchant, mer_ and 26 characters")
    return value


def _zone(value: str) -> str:
    try:
        ZoneInfo(value)
    except (ValueError, OSError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError("must be a time zone of the IANA database, such as Europe/Berlin") from None
    except KeyError:
        raise ValueError("is no time zone of the IANA database, as this machine has it; one is Europe/Berlin") from None
    return value


def _minute(value: object) -> int:
    match = _TIME.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("must be a time of day in quotes, from 00:00 to 24:00")
    return 1440 if match[1] is None else int(match[1]) * 60 + int(match[2])


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"names {', '.join(repeated)} more than once")
    return names


Word = Annotated[str, Field(min_length=1, max_length=255)]
Words = Annotated[tuple[Word, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
Currency = Annotated[str, AfterValidator(_currency)]
Currencies = Annotated[tuple[Currency, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
Country = Annotated[str, AfterValidator(_country)]
Countries = Annotated[tuple[Country, ...], BeforeValidator(_one_or_more), Field(min_length=1)]
Merchants = Annotated[tuple[Annotated[str, AfterValidator(_merchant)], ...], BeforeValidator(_one_or_more), Field(min_length=1)]
Connectors = Annotated[tuple[Word, ...], Field(min_length=1), AfterValidator(_without_repeats)]
Minute = Annotated[int, BeforeValidator(_minute)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Points = Annotated[int, Field(ge=0, le=POINTS)]


class AmountCondition(Section):
    currency: Currency
    at_least: int = Field(default=0, ge=0)
    at_most: int | None = Field(default=None, ge=0)

    @model_validator(mode="after")
    def _some_amount(self) -> Self:
        if self.at_most is not None and self.at_most < self.at_least:
            raise ValueError(f"at_most ({self.at_most}) is below at_least ({self.at_least})")
        return self


class HoursCondition(Section):
    zone: Annotated[str, AfterValidator(_zone)]
    weekdays: Annotated[tuple[Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"], ...], BeforeValidator(_one_or_more)] = ()
    from_: Minute = Field(default=0, alias="from")
    to: Minute = 1440


class Conditions(Section):
    """When a rule holds. One value or a list; every condition that is given must hold."""

    currency: Currencies = ()
    country: Countries = ()
    region: Words = ()
    amount: AmountCondition | None = None
    method: Words = ()
    brand: Words = ()
    merchant: Merchants = ()
    metadata: Mapping[Word, Words] = Field(default_factory=dict)
    hours: HoursCondition | None = None

    def when(self) -> When:
        """As the domain takes them."""
        amount, hours = self.amount, self.hours
        return When(
            currencies=self.currency,
            countries=self.country,
            regions=self.region,
            amount=None if amount is None else AmountRange(currency=amount.currency, at_least=amount.at_least, at_most=amount.at_most),
            methods=self.method,
            brands=self.brand,
            merchants=self.merchant,
            metadata=dict(self.metadata),
            hours=None
            if hours is None
            else Hours(
                zone=hours.zone,
                weekdays=tuple(sorted({WEEKDAYS.index(day) for day in hours.weekdays})),
                from_minute=hours.from_,
                to_minute=hours.to,
            ),
        )


class RuleSettings(Section):
    """One [[rules]] table."""

    name: Annotated[str, Field(min_length=1, max_length=100)]
    when: Conditions = Field(default_factory=Conditions)
    prefer: Connectors | None = None
    split: Annotated[Mapping[Word, Annotated[int, Field(ge=0, le=WHOLE)]], Field(min_length=1)] | None = None
    strict: bool = False

    @field_validator("split")
    @classmethod
    def _all_of_it(cls, split: Mapping[str, int] | None) -> Mapping[str, int] | None:
        if split is not None and (whole := sum(split.values())) != WHOLE:
            raise ValueError(f"its percentages add up to {whole}, not to {WHOLE}")
        return split

    @model_validator(mode="after")
    def _one_answer(self) -> Self:
        if (self.prefer is None) == (self.split is None):
            raise ValueError("a rule has either prefer (an order) or split (percentages)")
        if self.strict and self.split is not None:
            raise ValueError("strict is for prefer: a split is drawn whatever the scores say")
        return self

    def rule(self) -> Rule:
        """As the domain takes it."""
        return Rule(name=self.name, when=self.when.when(), prefer=self.prefer or (), split=dict(self.split or {}), strict=self.strict)


class FeeSettings(Section):
    """One [[fees]] table."""

    connector: Word
    when: Conditions = Field(default_factory=Conditions)
    fixed_minor: int = Field(default=0, ge=0)
    basis_points: int = Field(default=0, ge=0, le=POINTS)

    @model_validator(mode="after")
    def _in_which_currency(self) -> Self:
        if self.fixed_minor and not self.when.currency:
            raise ValueError("fixed_minor is in minor units of some currency: say of which with when.currency")
        return self

    def fee(self) -> Fee:
        """As the domain takes it."""
        return Fee(connector=self.connector, when=self.when.when(), fixed_minor=self.fixed_minor, basis_points=self.basis_points)


class ScoreSettings(Section):
    """What a score's parts weigh: see `payorch.domain.rules.Weights`."""

    success_weight: Weight
    cost_weight: Weight
    latency_weight: Weight
    preference_weight: Weight
    exploration_share: float = Field(ge=0, le=0.5)


class HistorySettings(Section):
    """What is remembered of connectors and cards: see `payorch.domain.success.SuccessLimits` and `payorch.routes`."""

    half_life_seconds: Seconds
    prior_success_points: Points
    prior_weight: Annotated[float, Field(gt=0, allow_inf_nan=False)]
    prior_latency_ms: Amount
    kinds_limit: Amount
    journal_back: Amount
    cards_limit: Amount
    declines_back: Amount

    def success_limits(self) -> SuccessLimits:
        """As the domain takes them."""
        return SuccessLimits(
            half_life_seconds=self.half_life_seconds,
            prior_success=self.prior_success_points,
            prior_weight=self.prior_weight,
            prior_latency_ms=self.prior_latency_ms,
            kinds=self.kinds_limit,
        )


class RoutingSettings(Section):
    """Which connector a payment goes to."""

    default: Annotated[Connectors, BeforeValidator(listed)]
    reload_seconds: Seconds
    rules: tuple[RuleSettings, ...] = ()
    fees: tuple[FeeSettings, ...] = ()
    regions: Annotated[Mapping[Word, Countries], AfterValidator(MappingProxyType)] = Field(default_factory=dict)
    score: ScoreSettings
    history: HistorySettings

    def book(self) -> RuleBook:
        """As the domain takes it. Only for settings without contradictions."""
        score = self.score
        return RuleBook(
            default=self.default,
            weights=Weights(
                success=score.success_weight,
                cost=score.cost_weight,
                latency=score.latency_weight,
                preference=score.preference_weight,
                exploration=score.exploration_share,
            ),
            rules=tuple(one.rule() for one in self.rules),
            regions=dict(self.regions),
            fees=tuple(one.fee() for one in self.fees),
        )

    def plan(self, connectors: Collection[str]) -> Plan:
        """The rules in force where these connectors are switched on."""
        hours = [conditions.hours for _, conditions in _conditions(self)]
        zones: Mapping[str, tzinfo] = {one.zone: ZoneInfo(one.zone) for one in hours if one is not None}
        return Plan(self.book(), zones=zones, connectors=connectors)


# --- what is wrong, as a whole ----------------------------------------------------------------------------------------------------------


def contradictions(routing: RoutingSettings, connectors: Collection[str]) -> Iterator[tuple[Place, str]]:
    """What does not go together, each with its place. `connectors`: all that are configured, switched on or not."""
    for place, named in _named_connectors(routing):
        for name in named:
            if name not in connectors:
                yield place, f"names {name}, which is none of the connectors: {', '.join(connectors)}"
    names = [one.name for one in routing.rules]
    for number, name in enumerate(names):
        if name in names[:number]:
            yield ("rules", number, "name"), "is the name of an earlier rule as well; decisions tell rules by their names"
        if name in RESERVED_NAMES:
            yield ("rules", number, "name"), "is what decisions without a rule say; choose another"
    for place, conditions in _conditions(routing):
        for region in conditions.region:
            if region not in routing.regions:
                yield (*place, "when", "region"), f"names {region}, which is none of the regions: {', '.join(routing.regions) or '(none)'}"


def doubts(routing: RoutingSettings, methods: Collection[str]) -> Iterator[tuple[Place, str]]:
    """What is legal and yet cannot be meant, each with its place. `methods`: those that any connector offers."""
    for found in unreachable(routing.book()):
        by = ", ".join(f'"{routing.rules[place].name}"' for place in found.by)
        why = f"all that it would take is taken before it, by {by}" if by else "no payment can be all that it asks for"
        yield ("rules", found.place), f"never decides: {why}"
    for place, conditions in _conditions(routing):
        for method in conditions.method:
            if method not in methods:
                yield (*place, "when", "method"), f"names {method}, which no connector offers; there are: {', '.join(sorted(methods))}"


def _named_connectors(routing: RoutingSettings) -> Iterator[tuple[Place, tuple[str, ...]]]:
    yield ("default",), routing.default
    for number, rule in enumerate(routing.rules):
        yield ("rules", number, "split" if rule.prefer is None else "prefer"), rule.prefer or tuple(rule.split or ())
    for number, fee in enumerate(routing.fees):
        yield ("fees", number, "connector"), (fee.connector,)


def _conditions(routing: RoutingSettings) -> Iterator[tuple[Place, Conditions]]:
    for number, rule in enumerate(routing.rules):
        yield ("rules", number), rule.when
    for number, fee in enumerate(routing.fees):
        yield ("fees", number), fee.when


def names_at(place: Place) -> list[str]:
    """The names that may stand in the table at that place, to guess what a misspelt one was to be."""
    model: type[BaseModel] = RoutingSettings
    tables: Mapping[str, type[BaseModel]] = {
        "rules": RuleSettings,
        "fees": FeeSettings,
        "when": Conditions,
        "amount": AmountCondition,
        "hours": HoursCondition,
        "score": ScoreSettings,
        "history": HistorySettings,
    }
    for part in place:
        model = tables.get(str(part), model)
    return [field.alias or name for name, field in model.model_fields.items()]
