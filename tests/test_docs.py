"""What people read names what is there: commands that exist, links that lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from payorch import cli

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
OPS = re.compile(r"payorch ops ([a-z][a-z-]*)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_operators_exist(page: Path) -> None:
    known = {name for name in cli.app["ops"] if not name.startswith("-")}
    named = set(OPS.findall(page.read_text(encoding="utf-8")))
    assert named <= known, f"{page.name} names {sorted(named - known)}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_to_files_lead_somewhere(page: Path) -> None:
    named = set(LINK.findall(page.read_text(encoding="utf-8")))
    assert not {link for link in named if not (page.parent / link).exists()}


def test_every_view_and_act_without_a_screen_is_in_the_guide() -> None:
    guide = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    known = {name for name in cli.app["ops"] if not name.startswith("-")}
    assert {name for name in known if not re.search(rf"(`|payorch ops |, `){name}\b", guide)} == set()
