"""The rules of routing as data: what people wrote down about which connector a payment goes to, what connectors cost, and what counts.

    RuleBook            rules in order, the default behind them, regions, fees, weights
    Plan                the same, compiled once, so that each payment costs a few comparisons

The first rule whose every condition holds decides; where none does, the default. Not here: choosing among the connectors that a rule names
(`routing`), which rules nobody can reach (`reachability`), where the book is read and how its mistakes are told (the settings).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, tzinfo
from typing import Final, TypeAlias, final

import msgspec
from msgspec import Struct

from payorch.domain.intent import Intent

DEFAULT: Final = "default"
"""The name of what decides where no rule does."""
PINNED: Final = "pinned by the merchant"
RESERVED_NAMES: Final = frozenset({DEFAULT, PINNED})
POINTS: Final = 10_000
"""Shares, fees and scores are in points: hundredths of a percent. All of an amount, or a certain approval, is this many."""
WHOLE: Final = 100
"""A split's percentages add up to this."""

_DRAW_BYTES: Final = 6
DRAW_BITS: Final = 24
"""A draw is twice as many bits: the upper half for splits, the lower half for exploration, so that one says nothing about the other."""
_VERSION_CHARACTERS: Final = 16
_MINUTES_PER_HOUR: Final = 60


class AmountRange(Struct, frozen=True, kw_only=True, gc=False):
    """Amounts in one currency, in minor units, both ends included. Amounts in other currencies are never in it."""

    currency: str
    at_least: int = 0
    at_most: int | None = None


class Hours(Struct, frozen=True, kw_only=True, gc=False):
    """A part of the week in a time zone of the IANA's. weekdays: 0 is Monday, none named means all.

    From `from_minute` of the day up to, not including, `to_minute`; where that is not later, over midnight, and the weekday is that of the
    beginning.
    """

    zone: str
    weekdays: tuple[int, ...] = ()
    from_minute: int = 0
    to_minute: int = 1440


class When(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The conditions of a rule. Each that is given must hold; one with several values holds where any of them is the payment's.

    countries: of the card, or of the customer where the card's is not known. regions: by name, their countries.
    """

    currencies: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    amount: AmountRange | None = None
    methods: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    merchants: tuple[str, ...] = ()
    metadata: Mapping[str, tuple[str, ...]] = {}
    hours: Hours | None = None


class Rule(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One rule: where `when` holds, the connectors in `prefer` are tried in that order, or one of `split` is drawn by percentages.

    strict: exactly in that order, whatever the scores say.
    """

    name: str
    when: When
    prefer: tuple[str, ...] = ()
    split: Mapping[str, int] = {}
    strict: bool = False

    @property
    def connectors(self) -> tuple[str, ...]:
        """Those it names, in the order in which it does."""
        return self.prefer or tuple(self.split)


class Fee(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a connector takes for a payment of this kind: a fixed part in minor units of the payment's currency, and basis points of it."""

    connector: str
    when: When
    fixed_minor: int = 0
    basis_points: int = 0


class Weights(Struct, frozen=True, kw_only=True):
    """What the parts of a score weigh; the reasons stand in config/routing.toml.

    success: points for a point of expected approvals. cost: points for a point of expected fees. latency: points for a second of waiting.
    preference: points for one place earlier in a rule's list. exploration: the share of payments that somebody else may try first.
    """

    success: float
    cost: float
    latency: float
    preference: float
    exploration: float


class RuleBook(Struct, frozen=True, kw_only=True):
    """All of it."""

    default: tuple[str, ...]
    weights: Weights
    rules: tuple[Rule, ...] = ()
    regions: Mapping[str, tuple[str, ...]] = {}
    fees: tuple[Fee, ...] = ()

    @property
    def version(self) -> str:
        """A name for exactly these rules: the same wherever the same is written, whatever the order of tables and comments."""
        return hashlib.sha256(_encode(self)).hexdigest()[:_VERSION_CHARACTERS]

    def countries(self, when: When) -> frozenset[str] | None:
        """The countries that a condition allows by name and by region; None where it allows all."""
        inside = frozenset(country for region in when.regions for country in self.regions[region])
        if not when.regions:
            return frozenset(when.countries) or None
        return inside & frozenset(when.countries) if when.countries else inside


_encode: Final = msgspec.json.Encoder(order="deterministic").encode


class Asked(Struct, frozen=True, kw_only=True, gc=False):
    """What routing looks at of a payment. draw: a number that belongs to it for ever (`draw_of`)."""

    intent: Intent
    merchant_id: str
    draw: int
    at: datetime
    method: str | None
    country: str | None
    brand: str | None


def asked(intent: Intent, *, merchant_id: str, draw: int, at: datetime) -> Asked:
    """The question of a payment with that intent."""
    method = intent.method
    return Asked(
        intent=intent,
        merchant_id=merchant_id,
        draw=draw,
        at=at,
        method=method.type if method is not None else None,
        country=country_of(intent),
        brand=brand_of(intent),
    )


def country_of(intent: Intent) -> str | None:
    """The country of the card, or of the customer where the card's is not known."""
    method, customer = intent.method, intent.customer
    if method is not None and method.country is not None:
        return method.country
    return customer.country if customer is not None else None


def brand_of(intent: Intent) -> str | None:
    """The brand in lower case, where the merchant named one."""
    brand = intent.method.brand if intent.method is not None else None
    return brand.lower() if brand is not None else None


def draw_of(payment_id: str) -> int:
    """A number for that payment, evenly spread over payments and always the same for one: chance that can be replayed."""
    return int.from_bytes(hashlib.sha256(payment_id.encode()).digest()[:_DRAW_BYTES], "big")


Test: TypeAlias = Callable[[Asked], bool]


@final
class Compiled:
    """A rule or fee with its conditions as functions, the cheapest first. Only conditions that are given cost anything."""

    __slots__ = ("tests",)

    def __init__(self, tests: Iterable[Test]) -> None:
        self.tests = tuple(tests)

    def holds(self, asked: Asked) -> bool:
        """Whether every condition holds."""
        for test in self.tests:  # noqa: SIM110  (a generator costs more than the comparisons)
            if not test(asked):
                return False
        return True


@final
class Plan:
    """A rule book, compiled. zones: by the names that the book uses. connectors: those that are switched on; a rule goes without the
    others, unless nobody is left of it, and then every payment of it tells so.
    """

    __slots__ = ("_fees", "_rules", "book", "default", "version", "weights")

    def __init__(self, book: RuleBook, *, zones: Mapping[str, tzinfo], connectors: Iterable[str]) -> None:
        enabled = frozenset(connectors)
        self.book = book
        self.version = book.version
        self.weights = book.weights
        self.default = Rule(name=DEFAULT, when=When(), prefer=_among(book.default, enabled))
        self._rules = tuple((Compiled(_tests(rule.when, book, zones)), _only(rule, enabled)) for rule in book.rules)
        self._fees: dict[str, tuple[tuple[Compiled, Fee], ...]] = {
            name: tuple((Compiled(_tests(fee.when, book, zones)), fee) for fee in book.fees if fee.connector == name)
            for name in {fee.connector for fee in book.fees}
        }

    def rule_for(self, asked: Asked) -> Rule:
        """The first rule that holds, or the default."""
        for conditions, rule in self._rules:
            if conditions.holds(asked):
                return rule
        return self.default

    def fee_minor(self, connector: str, asked: Asked) -> int | None:
        """What that connector is expected to take for it, in minor units, rounded up; None where the book does not say."""
        for conditions, fee in self._fees.get(connector, ()):
            if conditions.holds(asked):
                return fee.fixed_minor - (-asked.intent.amount.minor * fee.basis_points // POINTS)
        return None


def preferring(*connectors: str) -> Plan:
    """The plan that tries these in this order, whatever the scores say."""
    nothing = Weights(success=0, cost=0, latency=0, preference=1, exploration=0)
    return Plan(RuleBook(default=connectors, weights=nothing), zones={}, connectors=connectors)


def _among(names: tuple[str, ...], enabled: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name in enabled) or names


def _only(rule: Rule, enabled: frozenset[str]) -> Rule:
    names = _among(rule.connectors, enabled)
    if rule.prefer:
        return msgspec.structs.replace(rule, prefer=names)
    return msgspec.structs.replace(rule, split={name: rule.split[name] for name in names})


def _tests(when: When, book: RuleBook, zones: Mapping[str, tzinfo]) -> Iterable[Test]:
    if when.currencies:
        yield _currency_in(frozenset(when.currencies))
    if when.amount is not None:
        yield _amount_in(when.amount)
    if when.methods:
        yield _method_in(frozenset(when.methods))
    countries = book.countries(when)
    if countries is not None:
        yield _country_in(countries)
    if when.brands:
        yield _brand_in(frozenset(brand.lower() for brand in when.brands))
    if when.merchants:
        yield _merchant_in(frozenset(when.merchants))
    for key, values in when.metadata.items():
        yield _metadata_in(key, frozenset(values))
    if when.hours is not None:
        yield _within(when.hours, zones[when.hours.zone])


def _currency_in(currencies: frozenset[str]) -> Test:
    return lambda asked: asked.intent.amount.currency in currencies


def _amount_in(limits: AmountRange) -> Test:
    currency, least, most = limits.currency, limits.at_least, limits.at_most

    def test(asked: Asked) -> bool:
        amount = asked.intent.amount
        return amount.currency == currency and least <= amount.minor and (most is None or amount.minor <= most)

    return test


def _method_in(methods: frozenset[str]) -> Test:
    return lambda asked: asked.method in methods


def _country_in(countries: frozenset[str]) -> Test:
    return lambda asked: asked.country in countries


def _brand_in(brands: frozenset[str]) -> Test:
    return lambda asked: asked.brand in brands


def _merchant_in(merchants: frozenset[str]) -> Test:
    return lambda asked: asked.merchant_id in merchants


def _metadata_in(key: str, values: frozenset[str]) -> Test:
    return lambda asked: asked.intent.metadata.get(key) in values


def _within(hours: Hours, zone: tzinfo) -> Test:
    minutes = minutes_of_week(hours)

    def test(asked: Asked) -> bool:
        here = asked.at.astimezone(zone)
        return minute_of_week(here.weekday(), here.hour * _MINUTES_PER_HOUR + here.minute) in minutes

    return test


def minute_of_week(weekday: int, minute: int) -> int:
    """The minute of the week that begins on Monday."""
    return weekday * 1440 + minute


def minutes_of_week(hours: Hours) -> frozenset[int]:
    """Every minute of the week that lies in those hours."""
    length = (hours.to_minute - hours.from_minute) % 1440 or 1440
    starts = (minute_of_week(day, hours.from_minute) for day in hours.weekdays or range(7))
    return frozenset((start + minute) % (7 * 1440) for start in starts for minute in range(length))
