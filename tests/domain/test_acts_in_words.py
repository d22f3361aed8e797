"""docs/operations.md tells of every act what the table of acts and the planners say."""

from __future__ import annotations

from pathlib import Path

import pytest

from payorch.domain.acts import KINDS, ActName
from payorch.domain.acts_in_words import SUBJECTS, WORDS, table
from payorch.operations.circuits import PEOPLE

PAGE = Path(__file__).parents[2] / "docs" / "operations.md"
BEGIN, END = "<!-- acts:begin -->", "<!-- acts:end -->"


def test_the_page_shows_the_table_as_it_is() -> None:
    shown = PAGE.read_text(encoding="utf-8").split(BEGIN, 1)[1].split(END, 1)[0]
    assert shown.strip() == table().strip(), "docs/operations.md is stale: replace the block by payorch.domain.acts_in_words.table()"


def test_every_act_and_every_kind_of_subject_has_its_words() -> None:
    assert set(WORDS) == set(ActName) == set(KINDS)
    assert set(SUBJECTS) == {kind.subject for kind in KINDS.values()}


@pytest.mark.parametrize("name", list(PEOPLE))
def test_it_takes_as_many_people_as_the_planner_of_connectors_says(name: ActName) -> None:
    assert WORDS[name].people == str(PEOPLE[name][0])
