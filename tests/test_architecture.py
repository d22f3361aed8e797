"""The rules of the house, as tests: who may import whom, what may not be called, where a PSP's name may stand, how large a file may grow.

Each failure names the place and what to do instead.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
PACKAGES: Final = ("payorch", "actors", "connectors", "tui")

# prefix of the importing module -> prefixes of our modules that it may import. The longest matching prefix counts.
MAY_IMPORT: Final[dict[str, tuple[str, ...]]] = {
    "payorch.domain": ("payorch.domain",),
    "connectors": ("connectors", "payorch.domain"),
    "actors.mailbox": (),
    "actors.actor": ("actors.mailbox",),
    "actors.child": ("actors.actor", "actors.mailbox"),
    "actors.dynamic": ("actors.actor", "actors.child", "actors.mailbox"),
    "actors.supervisor": ("actors.actor", "actors.child", "actors.dynamic", "actors.mailbox"),
    "actors": ("actors", "connectors.contract", "payorch.domain", "payorch.ports", "payorch.store"),
    "payorch.ports": ("connectors.contract",),
    "payorch.store": ("payorch.store", "payorch.domain", "payorch.ports"),
    "payorch.api": ("payorch.api", "payorch.domain", "payorch.ports", "payorch.store", "payorch.keys", "payorch.telemetry", "actors"),
    "payorch.api.notices": (
        *("payorch.api", "payorch.domain", "payorch.ports", "payorch.store", "payorch.telemetry", "actors"),
        "connectors.contract",
    ),
    "payorch.door": ("payorch.http11",),
    "payorch.http11": (),
    "payorch.network": ("payorch.ports", "payorch.domain.merchant_urls", "payorch.merchant_reach", "connectors.contract"),
    "payorch.certificates": ("payorch.ports", "payorch.sections", "connectors.contract"),
    "payorch.merchant_reach": ("payorch.ports", "payorch.domain.merchant_urls"),
    "payorch.sealing": ("payorch.keys",),
    "payorch.signing": (),
    "payorch.simulators": ("connectors", "payorch.ports", "payorch.system", "payorch.simulator_identity", "payorch.simulator_webhooks"),
    "payorch.simulator_identity": ("payorch.folders",),
    "payorch.simulator_webhooks": ("connectors", "payorch.ports"),
    "payorch.keys": (),
    "payorch.system": ("payorch.ports",),
    "tui": ("tui", "payorch.domain.money"),  # a process of its own; the exponents of currencies are the one thing it shares
}
MAY_IMPORT_EVERYTHING: Final = (
    "payorch.app",
    "payorch.platform",
    "payorch.cli",
    "payorch.cli_webhooks",
    "payorch.cli_routing",
    "payorch.cli_desk",
    "payorch.cli_place",
    "payorch.cli_ops",
    "payorch.cli_acts",
    "payorch.cli_console",
    "payorch.cli_findings",
    "payorch.cli_days",
    "payorch.cli_audit",
    "payorch.cli_operators",
    "payorch.cli_reconciliation",
    "payorch.local",
    "payorch.__main__",
)
"""The composition root and the command line in front of it."""

BANNED_MODULES: Final = {
    "time": "the clock port (payorch.system has the only reader of wall time); waits are trio's",
    "random": "the entropy port",
    "uuid.uuid4": "the entropy port's identifier()",
    "secrets": "the entropy port's secret()",
    "threading": "trio tasks; the simulation has no threads",
    "asyncio": "trio",
}
MAY_TOUCH_THE_WORLD: Final = ("payorch/system.py", "tui/")

BANNED_CALLS: Final = {
    "datetime.now": "clock.now()",
    "datetime.utcnow": "clock.now()",
    "os.urandom": "entropy.secret()",
    "uuid.uuid4": "entropy.identifier()",
    "print": "the log, or the command line's own output",
}

LARGEST_MODULE_LINES: Final = 420
LARGER_FOR_A_REASON: Final = {
    "payorch/cli.py": 430,  # one function for each command, and nothing else
    "payorch/door.py": 680,  # one subject, the edge; splitting it would part the connection from its deadlines
    "payorch/store/embedded.py": 580,
    "payorch/simulators.py": 480,
    "payorch/platform.py": 580,  # the tree, and what each of its parts is given
    "payorch/store/journal.py": 480,  # what a commit is and what its lost answer means are one subject
    "actors/transaction.py": 560,  # its messages stand on top of it
    "tui/widgets/vlist.py": 450,  # one widget: what it paints, and how one moves in it
    "tui/paint.py": 460,  # that one room makes all text is what it is for
    "payorch/domain/payment.py": 440,  # one file owns the machine
}


def every_source() -> Iterator[tuple[Path, str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            yield path, module, ast.parse(path.read_text())


@cache
def sources() -> Sequence[tuple[Path, str, ast.Module]]:
    """Read by the first rule that asks, and not by each of the processes that only collect this file."""
    return tuple(every_source())


def imported(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for name in node.names:
                yield node.lineno, name.name
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for name in node.names:
                yield node.lineno, f"{node.module}.{name.name}"


def rule_for(module: str) -> tuple[str, ...] | None:
    matching = [prefix for prefix in MAY_IMPORT if module == prefix or module.startswith(prefix + ".")]
    return MAY_IMPORT[max(matching, key=len)] if matching else None


def within(name: str, prefixes: tuple[str, ...]) -> bool:
    return any(name == prefix or name.startswith(prefix + ".") for prefix in prefixes)


def test_modules_import_only_what_their_room_allows() -> None:
    wrong = []
    for path, module, tree in sources():
        allowed = rule_for(module)
        if allowed is None or module in MAY_IMPORT_EVERYTHING:
            continue
        for line, name in imported(tree):
            if name.split(".")[0] in PACKAGES and not within(name, (*allowed, module)):
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}; its room may import {allowed or 'nothing of ours'}")
    assert not wrong, "\n".join(wrong)


def test_only_the_composition_root_imports_it() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line}"
        for path, module, tree in sources()
        if module not in MAY_IMPORT_EVERYTHING
        for line, name in imported(tree)
        if within(name, tuple(one for one in MAY_IMPORT_EVERYTHING if one != "payorch.__main__"))
    ]
    assert not wrong, f"these import the composition root; pass what they need in instead: {wrong}"


def test_the_domain_does_no_input_output() -> None:
    forbidden = {"trio", "psycopg", "os", "io", "socket", "pathlib", "quart", "structlog", "subprocess", "sys"}
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path, module, tree in sources()
        if module.startswith(("payorch.domain", "connectors.")) and module != "connectors.simulator.ledger"
        for line, name in imported(tree)
        if name.split(".")[0] in forbidden
    ]
    assert not wrong, "\n".join(wrong)


def test_nothing_goes_round_the_five_ports() -> None:
    wrong = []
    for path, _, tree in sources():
        relative = str(path.relative_to(ROOT))
        if relative.startswith(MAY_TOUCH_THE_WORLD):
            continue
        for line, name in imported(tree):
            for banned, instead in BANNED_MODULES.items():
                if name == banned or name.startswith(banned + "."):
                    wrong.append(f"{relative}:{line} imports {name}; use {instead}")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                if called in BANNED_CALLS and not (called == "print" and relative == "payorch/terminal.py"):
                    wrong.append(f"{relative}:{node.lineno} calls {called}; use {BANNED_CALLS[called]}")
    assert not wrong, "\n".join(wrong)


# --- where a PSP's name may stand -------------------------------------------------------------------------------------------------------

PSPS: Final = tuple(sorted(path.parent.name for path in (ROOT / "connectors").glob("*/connector.py")))
"""Each folder of `connectors` with a connector in it: a new PSP is held to all of this without a word here."""
PSP_NAMES: Final = re.compile(rf"(?<![a-z])({'|'.join(PSPS)})", re.IGNORECASE)
PSP_LISTS: Final = {
    "connectors/registry.py": "those that the product speaks to",
    "connectors/simulated.py": "those that are simulated",
}
"""Files in which two lines of a PSP name it: the import, and the entry."""
PSP_ROOMS: Final = frozenset(
    {
        *("answers", "connector", "declines", "dialect", "dialect_settlement", "manifest", "money", "notices", "objects", "options"),
        *("redaction", "requests", "settlement", "signatures", "simulation", "testimony", "verdicts"),
    }
)
"""What there is in every PSP's folder, under that name, so that the tenth is readable because the first was."""
PSP_FILES: Final = (".py", ".toml", ".sql", ".html", ".css", ".json", ".txt", ".md")
MAY_NAME_CONNECTORS: Final = ("config/connectors.toml", "config/routing.toml", "config/load/")
"""Configuration: the connectors' tables (see below), and the rules and profiles that choose between them."""


def written() -> Iterator[Path]:
    """Every text that the product is made of: its packages, and what is configured."""
    for folder in (*PACKAGES, "config"):
        yield from (path for path in sorted((ROOT / folder).rglob("*")) if path.suffix in PSP_FILES)


def names_a_psp(line: str) -> bool:
    """Whether it does, and not as a payment method, as in `payment_method.type`."""
    return PSP_NAMES.search(line.replace('"paypal"', "")) is not None


def test_no_psp_is_named_outside_its_own_room() -> None:
    elsewhere = tuple(f"connectors/{psp}/" for psp in PSPS)
    wrong = [
        f"{relative}:{number} {line.strip()}"
        for path in written()
        if not (relative := str(path.relative_to(ROOT))).startswith((*elsewhere, *MAY_NAME_CONNECTORS)) and relative not in PSP_LISTS
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if names_a_psp(line)
    ]
    assert not wrong, "a PSP's name belongs in its own folder, its registry line and its configuration:\n" + "\n".join(wrong)


@pytest.mark.parametrize("psp", PSPS)
@pytest.mark.parametrize("file", PSP_LISTS)
def test_a_psp_costs_a_list_an_import_and_an_entry(file: str, psp: str) -> None:
    lines = [line.strip() for line in (ROOT / file).read_text().splitlines() if re.search(rf"\b{psp}\b", line)]
    assert len(lines) == 2, f"{PSP_LISTS[file]}, in two lines: {lines}"
    assert lines[0].startswith("from connectors")
    assert lines[1].startswith(f'"{psp}": {psp}.')


@pytest.mark.parametrize("psp", PSPS)
def test_a_psp_is_configured_in_its_own_table(psp: str) -> None:
    tables = re.split(r"^\[(\w+)\]$", (ROOT / "config/connectors.toml").read_text(), flags=re.MULTILINE)
    assert tables.count(psp) == 1
    others = {name: text for name, text in zip(tables[1::2], tables[2::2], strict=True) if name != psp}
    assert [name for name, text in others.items() if re.search(psp, text, re.IGNORECASE)] == []


@pytest.mark.parametrize("psp", PSPS)
def test_every_psp_has_the_same_rooms(psp: str) -> None:
    there = {path.stem for path in (ROOT / "connectors" / psp).glob("*.py")}
    assert there >= PSP_ROOMS, f"{sorted(PSP_ROOMS - there)} are missing: see docs/adding-a-psp.md"


def test_a_psp_is_known_to_nobody_but_the_lists() -> None:
    """Nor to another PSP, nor do the two sides of the wire know each other: the simulator is the second opinion."""
    wrong = []
    for path, module, tree in sources():
        parts = module.split(".")
        own = parts[1] if parts[0] == "connectors" and len(parts) > 1 and parts[1] in PSPS else None
        simulated = own is not None and len(parts) > 2 and parts[2].startswith(("dialect", "simulation"))
        for line, name in imported(tree):
            theirs = name.split(".")
            if theirs[0] != "connectors" or len(theirs) < 2 or theirs[1] not in PSPS or str(path.relative_to(ROOT)) in PSP_LISTS:
                continue
            across = own is not None and len(theirs) > 2 and theirs[2].startswith("dialect") != simulated
            if theirs[1] != own or across:
                wrong.append(f"{path.relative_to(ROOT)}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_the_conformance_suite_names_no_psp() -> None:
    wrong = [
        f"{path.name}:{number} {line.strip()}"
        for path in sorted((ROOT / "tests/connectors/conformance").glob("*.py"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if names_a_psp(line)
    ]
    assert not wrong, "what only one PSP has is in its manifest, or in tests/connectors/<psp>/conformance.py:\n" + "\n".join(wrong)


def test_modules_stay_small_enough_to_read() -> None:
    wrong = []
    for path, _, _ in sources():
        lines = len(path.read_text().splitlines())
        limit = LARGER_FOR_A_REASON.get(str(path.relative_to(ROOT)), LARGEST_MODULE_LINES)
        if lines > limit:
            wrong.append(f"{path.relative_to(ROOT)} has {lines} lines, {limit} are allowed: give part of it a room of its own")
    assert not wrong, "\n".join(wrong)


def test_every_module_says_what_it_is_for() -> None:
    silent = [str(path.relative_to(ROOT)) for path, _, tree in sources() if tree.body and ast.get_docstring(tree) is None]
    assert not silent, f"a module begins with what it is for and what it is not: {silent}"


@pytest.mark.parametrize("word", ["utils", "util", "manager", "helper", "helpers", "service", "v2"])
def test_no_module_is_named_after_nothing(word: str) -> None:
    named = [str(path.relative_to(ROOT)) for path, _, _ in sources() if re.search(rf"(^|_){word}$", path.stem)]
    assert not named, f"name a file after what it holds: {named}"


def test_no_machine_or_registry_address_is_committed() -> None:
    wrong = [
        f"{path.name}:{number}"
        for path in sorted((ROOT / "requirements").glob("*.txt"))
        for number, line in enumerate(path.read_text().splitlines(), start=1)
        if re.search(r"https?://|--index-url|--find-links|file:", line)
    ]
    assert not wrong, f"lock files carry versions and hashes only: {wrong}"
