"""What every test of the console leaves as it found it, and what makes starting the console often cheap.

Not here: the worlds and the pictures (`world`, `answers`, `pictures`).
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any, Final

import pytest
from textual._compositor import Compositor, LayoutUpdate
from textual.css.model import RuleSet
from textual.css.stylesheet import Stylesheet

from tui.paint import Glyphs

OBJECTS_BETWEEN_COLLECTIONS: Final = 50_000
"""A console makes many small objects that live until it stops. With the default of 700 the collector looks at them again and again, which
is a quarter of what these tests cost."""


@pytest.fixture(autouse=True)
def the_glyphs_of_before() -> Iterator[None]:
    """Which set of glyphs is in use is kept by the process: a test that fails in ASCII must not turn the next ones into ASCII."""
    before = Glyphs.ascii
    yield
    Glyphs.ascii = before


@pytest.fixture(scope="package", autouse=True)
def rare_collections() -> Iterator[None]:
    """See the constant."""
    before = gc.get_threshold()
    gc.set_threshold(OBJECTS_BETWEEN_COLLECTIONS, *before[1:])
    yield
    gc.set_threshold(*before)


@pytest.fixture(scope="package", autouse=True)
def style_sheets_are_parsed_once() -> Iterator[None]:
    """Textual parses each style sheet anew for each console and each theme: the same text and variables give the same rules."""
    parsed: dict[tuple[Any, ...], list[RuleSet]] = {}
    by_themselves = Stylesheet._parse_rules

    def parse_rules(self: Stylesheet, css: str, read_from: Any, is_default_rules: bool = False, *more: Any, **named: Any) -> list[RuleSet]:
        variables = tuple(self._variables.items())
        key = (variables, css, read_from, is_default_rules, more, tuple(named.items()))
        if key not in parsed:
            parsed[key] = by_themselves(self, css, read_from, is_default_rules, *more, **named)
        return parsed[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Stylesheet, "_parse_rules", parse_rules)
        yield


@pytest.fixture(scope="package", autouse=True)
def nothing_is_painted_for_nobody() -> Iterator[None]:
    """Without a terminal Textual makes what it would write, piece by piece after each change, and throws it away. Here only `grid` and
    `export_screenshot` draw: the whole screen, from the same widgets."""
    full = Compositor.render_full_update

    def partly(self: Compositor) -> None:
        self._dirty_regions.clear()

    def wholly(self: Compositor, simplify: bool = False) -> LayoutUpdate | None:
        self._dirty_regions.clear()
        return full(self, simplify) if simplify else None  # simplified is what is exported

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Compositor, "render_partial_update", partly)
        patch.setattr(Compositor, "render_full_update", wholly)
        yield
