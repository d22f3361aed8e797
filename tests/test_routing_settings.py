"""config/routing.toml: how it becomes a rule book, and that whatever is wrong in it is told with its line and its rule."""

from __future__ import annotations

from pathlib import Path

import pytest

from connectors.registry import CONNECTORS
from payorch import doctor
from payorch.domain.rules import AmountRange, Hours, When
from payorch.settings import Settings, SettingsInvalid, load, origins, routing_doubts
from tests.command_line import Run, runner

RULES = """\
[[rules]]
name = "small"
when = { currency = ["EUR"], region = "EEA", method = "card", amount = { currency = "EUR", at_most = 5000 } }
prefer = ["stripe"]
strict = true

[[rules]]
name = "nights"
split = { stripe = 100 }
[rules.when]
hours = { zone = "Europe/Berlin", weekdays = ["sat", "sun"], from = "22:00", to = "06:00" }
metadata = { shop = ["outlet", "store"] }
brand = "visa"
country = ["US", "CA"]
merchant = "mer_01kavq7c1zfz6b3m8n9p0q1r2s"

[[fees]]
connector = "stripe"
when.currency = "EUR"
fixed_minor = 25
basis_points = 150
"""


def folder(tmp_path: Path, text: str) -> dict[str, str]:
    (tmp_path / "routing.toml").write_text(text)
    return {"PAYORCH_CONFIG_DIR": str(tmp_path)}


def faults(tmp_path: Path, text: str) -> list[str]:
    """What is wrong, each without the folder's name."""
    with pytest.raises(SettingsInvalid) as caught:
        load(folder(tmp_path, text))
    return [fault.removeprefix(f"{tmp_path}/") for fault in caught.value.faults]


def doubts(settings: Settings, tmp_path: Path) -> list[str]:
    return [doubt.removeprefix(f"{tmp_path}/") for doubt in routing_doubts(settings, {"card"})]


def test_what_is_written_is_what_the_domain_gets(tmp_path: Path) -> None:
    settings = load(folder(tmp_path, RULES))
    small, nights = settings.routing.book().rules
    assert small.when == When(currencies=("EUR",), regions=("EEA",), methods=("card",), amount=AmountRange(currency="EUR", at_most=5000))
    assert (small.prefer, small.strict) == (("stripe",), True)
    assert nights.split == {"stripe": 100}
    assert nights.when.hours == Hours(zone="Europe/Berlin", weekdays=(5, 6), from_minute=22 * 60, to_minute=6 * 60)
    assert nights.when.metadata == {"shop": ("outlet", "store")}
    (fee,) = settings.routing.book().fees
    assert (fee.connector, fee.fixed_minor, fee.basis_points) == ("stripe", 25, 150)
    assert len(settings.routing.regions["EEA"]) == 30
    assert settings.routing.plan(("stripe",)).version == settings.routing.book().version
    assert doubts(settings, tmp_path) == []


def test_rules_are_shown_as_they_were_written(tmp_path: Path) -> None:
    shown = origins(load(folder(tmp_path, RULES)))
    assert shown["routing.rules"].value[0]["name"] == "small"
    assert shown["routing.rules"].source == str(tmp_path / "routing.toml")
    assert shown["routing.regions.EEA"].value[0] == "AT"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            '[[rules]]\nname = "a"\nprefer = ["nobody"]',
            '3: routing.rules: "a": prefer: names nobody, which is none of the connectors: stripe',
        ),
        ('\n[[rules]]\nname = "a"', '2: routing.rules: "a": a rule has either prefer (an order) or split (percentages)'),
        ('[[rules]]\nprefer = ["stripe"]', "1: routing.rules: number 0: name: is missing"),
        ('[[rules]]\nname = "a"\nsplit = { stripe = 90 }', '3: routing.rules: "a": split: its percentages add up to 90, not to 100'),
        ('[[rules]]\nname = "a"\nsplit = { stripe = 100 }\nstrict = true', '1: routing.rules: "a": strict is for prefer: a split is drawn'),
        ('[[rules]]\nname = "a"\nprefer = ["stripe", "stripe"]', '3: routing.rules: "a": prefer: names stripe more than once'),
        ('[[rules]]\nname = "a"\nperfer = ["stripe"]', '3: routing.rules: "a": perfer: there is no such thing; did you mean prefer?'),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen = { curency = "EUR" }',
            '4: routing.rules: "a": when.curency: there is no such thing; did you mean currency?',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\n[rules.when]\nbrand = "x"\ncurrency = "EURO"',
            '6: routing.rules: "a": when.currency.0: must be a current ISO 4217 code',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen.country = ["DE",\n "EEA"]',
            '4: routing.rules: "a": when.country.1: must be an ISO 3166-1 code of two letters',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen.region = "XX"',
            '4: routing.rules: "a": when.region: names XX, which is none of the regions: EEA',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen.amount = { currency = "EUR", at_least = 5, at_most = 4 }',
            '4: routing.rules: "a": when.amount: at_most (4) is below at_least (5)',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen.hours = { zone = "Mars/Base" }',
            '4: routing.rules: "a": when.hours.zone: is no time zone of the IANA database',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen.hours = { zone = "UTC", from = "9:00" }',
            '4: routing.rules: "a": when.hours.from: must be a time of day in quotes',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\nwhen.merchant = "shop"',
            '4: routing.rules: "a": when.merchant.0: must be the id of a merchant',
        ),
        (
            '[[rules]]\nname = "a"\nprefer = ["stripe"]\n\n[[rules]]\nname = "a"\nprefer = ["stripe"]',
            '6: routing.rules: "a": name: is the name of an earlier rule as well',
        ),
        ('[[rules]]\nname = "default"\nprefer = ["stripe"]', '2: routing.rules: "default": name: is what decisions without a rule say'),
        ('[[fees]]\nconnector = "stripe"\nfixed_minor = 5', '1: routing.fees: "stripe": fixed_minor is in minor units of some currency'),
        ('[[fees]]\nconnector = "nobody"', '2: routing.fees: "nobody": connector: names nobody'),
        ("default = []", "routing.toml: routing.default: "),
        ('[regions]\nEEA = ["Germany"]', "routing.toml: routing.regions.EEA.0: must be an ISO 3166-1 code"),
        ("[score]\nexploration_share = 0.9", "routing.toml: routing.score.exploration_share: "),
        ("rules = 5", "routing.toml: routing.rules: "),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_its_rule(tmp_path: Path, text: str, told: str) -> None:
    said = "\n".join(faults(tmp_path, text))
    assert told in said, said


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    text = '[[rules]]\nname = "a"\nsplit = { stripe = 1 }\n[[rules]]\nname = "b"\nprefer = []\n[[fees]]\nconnector = 5'
    assert [fault.split(":")[1] for fault in faults(tmp_path, text)] == ["3", "6", "8"]


def test_a_default_must_exist(tmp_path: Path) -> None:
    assert "default" in "\n".join(faults(tmp_path, "default = []"))


def test_rules_that_nobody_reaches_and_methods_that_nobody_offers_are_doubted(tmp_path: Path) -> None:
    text = (
        '[[rules]]\nname = "all"\nprefer = ["stripe"]\n\n[[rules]]\nname = "never"\nprefer = ["stripe"]\nwhen.currency = "EUR"\n'
        '[[fees]]\nconnector = "stripe"\nwhen.method = "barter"'
    )
    settings = load(folder(tmp_path, text))
    assert doubts(settings, tmp_path) == [
        'routing.toml:5: routing.rules: "never": never decides: all that it would take is taken before it, by "all"',
        'routing.toml:11: routing.fees: "stripe": when.method: names barter, which no connector offers; there are: card',
    ]
    findings = [one for one in doctor.configured(settings, CONNECTORS) if one.subject == "routing"]
    assert [one.level for one in findings] == [doctor.Level.WARN] * 2


def test_a_file_can_take_the_place_of_the_configured_one(tmp_path: Path) -> None:
    environment = folder(tmp_path, RULES)
    (tmp_path / "other").mkdir()
    other = tmp_path / "other" / "try.toml"
    other.write_text('[[rules]]\nname = "a"\nprefer = ["stripe"]')
    settings = load(environment, routing_file=other)
    assert [rule.name for rule in settings.routing.rules] == ["a"]
    other.write_text('[[rules]]\nname = "a"\nprefer = ["x"]')
    with pytest.raises(SettingsInvalid, match=r'try\.toml:3: routing\.rules: "a": prefer'):
        load(environment, routing_file=other)


# --- payorch config check ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def payorch(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    return runner(monkeypatch, capfd, tmp_path, PAYORCH_CONFIG_DIR=str(tmp_path))


def test_the_command_fails_with_line_and_rule(payorch: Run, tmp_path: Path) -> None:
    (tmp_path / "routing.toml").write_text('\n\n[[rules]]\nname = "to nobody"\nprefer = ["nobody"]\n')
    ran = payorch("config", "check")
    assert ran.code == 1
    assert f'{tmp_path}/routing.toml:5: routing.rules: "to nobody": prefer: names nobody' in ran.err


def test_the_command_warns_of_rules_that_nobody_reaches(payorch: Run, tmp_path: Path) -> None:
    (tmp_path / "routing.toml").write_text('[[rules]]\nname = "a"\nprefer = ["stripe"]\n[[rules]]\nname = "b"\nprefer = ["stripe"]\n')
    ran = payorch("config", "check")
    assert ran.code == 0
    assert 'routing.toml:4: routing.rules: "b": never decides: all that it would take is taken before it, by "a"' in ran.err


def test_the_rules_are_shown(payorch: Run, tmp_path: Path) -> None:
    (tmp_path / "routing.toml").write_text(RULES)
    ran = payorch("routing", "show")
    assert ran.code == 0
    assert "stripe (strict)" in ran.out
    shown = payorch("routing", "show", "--json").data
    assert [rule["name"] for rule in shown["rules"]["rules"]] == ["small", "nights"]
    assert shown["in_force"] is None
