"""In which line of a TOML text something begins, whatever its strings, comments and arrays look like."""

from __future__ import annotations

import pytest

from payorch.toml_lines import line_of

TEXT = '''# a comment
default = [
    "a",  # [[rules]]
]

text = """
[[rules]]
name = "not a rule"
"""

[[rules]]
name = "one"

# between
[[rules]]
name = "two"
when.currency = "EUR"

[rules.when.amount]
at_most = 5
[regions]
EEA = ["DE"]
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("default",), 2), (("default", 0), 2), (("text",), 6), (("rules",), 11), (("rules", 0), 11), (("rules", 0, "name"), 12),
        (("rules", 1), 15), (("rules", 1, "name"), 16), (("rules", 1, "when", "currency"), 17),
        (("rules", 1, "when", "amount", "at_most"), 20),
        (("regions", "EEA"), 22), (("rules", 2), None), (("nothing",), None), (("rules", 0, "when"), None),
    ],
)  # fmt: skip
def test_each_thing_has_its_line(path: tuple[str | int, ...], line: int | None) -> None:
    assert line_of(TEXT, path) == line
