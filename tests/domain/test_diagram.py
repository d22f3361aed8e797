"""The drawing and the tables say what the machine's table says, and the README's copy of them is not stale."""

from __future__ import annotations

from pathlib import Path

import pytest

from payorch.domain.diagram import edges, mermaid, readme_block, tables
from payorch.domain.payment import EDGES, PUBLIC_STATUS, State

README = Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- states:begin -->", "<!-- states:end -->"


def test_readme_shows_the_machine_as_it_is() -> None:
    text = README.read_text(encoding="utf-8")
    if BEGIN not in text:
        pytest.skip(f"README.md has no {BEGIN} … {END} block yet")
    shown = text.split(BEGIN, 1)[1].split(END, 1)[0]
    fresh = readme_block()
    wanted = "print(readme_block())"
    assert shown.strip() == fresh.strip(), f"README.md's states are stale: replace the block by payorch.domain.diagram {wanted}"


def test_every_edge_is_drawn_once_and_no_other() -> None:
    drawn = [(state, target, name) for state, target, names in edges() for name in names]
    ruled = [(state, target, name) for state, row in EDGES.items() for name, targets in row.items() for target in targets]
    assert len(drawn) == len(set(drawn))
    assert set(drawn) == set(ruled)


def test_each_edge_is_one_line_of_the_drawing() -> None:
    lines = mermaid().splitlines()
    assert lines[0] == "stateDiagram-v2"
    assert "    CREATED --> ROUTING: Confirmed" in lines
    assert "    CREATED --> CANCELED: MerchantCanceled, IntentExpired" in lines
    pairs = [line.split(":")[0] for line in lines if "-->" in line]
    assert len(pairs) == len(set(pairs))


def test_every_state_has_its_row_in_the_tables() -> None:
    rows = tables().split("\n\n")[0].splitlines()[2:]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [str(state) for state in State]
    assert all(f"`{PUBLIC_STATUS[state]}`" in row for state, row in zip(State, rows, strict=True))


def test_the_drawing_is_always_the_same_text() -> None:
    assert mermaid() == mermaid()
    assert tables() == tables()
