"""What is typed behind the slash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.filters import LONGEST, Unclear, parse

ROW = {
    "id": "pay_1",
    "state": "OUTCOME_UNKNOWN",
    "connector": "one",
    "amount": 24900,
    "currency": "EUR",
    "held": False,
    "reference": "A-10293",
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("state:OUTCOME_UNKNOWN", True),
        ("state:outcome_unknown,CAPTURED", True),
        ("state:CAPTURED state:OUTCOME_UNKNOWN", True),
        ("state:OUTCOME_UNKNOWN connector:two", False),
        ("!connector:two", True),
        ("!connector:one", False),
        ("held:false", True),
        (">200", True),
        (">249", False),
        ("<249.01", True),
        ("~A-1\\\\d+", True),
        ("!~^pay", False),
        ("a-102", True),
        ('"OUTCOME_UNK"', True),
        ("nothing:here", False),
    ],
)
def test_rows_are_kept_by_what_is_typed(text: str, matches: bool) -> None:
    assert parse(text).matches(ROW) is matches


def test_the_server_is_asked_for_what_it_knows() -> None:
    found = parse("state:A state:B !connector:one >100 word other")
    assert found.query(("state", "connector", "q")) == {"state": "A,B", "q": "word other"}
    assert found.query(()) == {}


def test_what_the_server_chose_is_not_judged_again() -> None:
    assert parse("merchant:acme").matches(ROW, asked=("merchant",))
    assert parse("psp-words").matches(ROW, asked=("q",))


@pytest.mark.parametrize("text", ['"open', "~[", ">much", "state:", "~" + "a" * 101, "x" * (LONGEST + 1), ">nan", "<inf"])
def test_what_cannot_be_read_is_said(text: str) -> None:
    with pytest.raises(Unclear):
        parse(text)


@given(st.text(max_size=60))
def test_no_text_breaks_it(text: str) -> None:
    try:
        found = parse(text)
    except Unclear:
        return
    assert found.matches(ROW) in (True, False)
