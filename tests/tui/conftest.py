"""What every test of the console leaves as it found it.

Not here: the worlds and the pictures (`world`, `answers`, `pictures`).
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tui.paint import Glyphs


@pytest.fixture(autouse=True)
def the_glyphs_of_before() -> Iterator[None]:
    """Which set of glyphs is in use is kept by the process: a test that fails in ASCII must not turn the next ones into ASCII."""
    before = Glyphs.ascii
    yield
    Glyphs.ascii = before
