"""What data cannot do to the terminal, and how figures are written."""

from __future__ import annotations

import ast
import unicodedata
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui import paint
from tui.paint import Glyphs, Piece

TUI = Path(__file__).parent.parent.parent / "tui"
THIN = "\u2009"


@pytest.fixture
def ascii_only() -> Iterator[None]:
    Glyphs.ascii = True
    yield
    Glyphs.ascii = False


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]52;c;aGk=\x1b\\", "\\x1b]52;c;aGk=\\x1b\\"),
        ("a\x00b\x7f", "a\\x00b\\x7f"),
        ("line\r\nbreak\t", "line\\x0d\\x0abreak\\x09"),
        ("\x9b31m", "⟨009B⟩31m"),
        ("abc\u202egnp", "abc⟨202E⟩gnp"),
        ("\u2028\u200b\ufeff", "⟨2028⟩⟨200B⟩⟨FEFF⟩"),
        ("\ue000", "⟨E000⟩"),
        ("[bold][@click=app.quit]x[/]", "[bold][@click=app.quit]x[/]"),
        ("日本 é", "日本 é"),
    ],
)
def test_no_terminal_obeys_what_is_shown(text: str, shown: str) -> None:
    assert paint.safe(text) == shown


@given(st.text(), st.integers(1, 40))
def test_safe_text_is_printable_and_bounded(text: str, longest: int) -> None:
    shown = paint.safe(text, longest)
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Co", "Cs", "Cn", "Zl", "Zp") for character in shown)
    assert len(text) <= longest or shown.endswith("…")


@given(st.lists(st.text(max_size=12), max_size=4), st.integers(1, 30), st.sampled_from(["left", "right"]))
def test_a_cell_is_exactly_as_wide_as_it_should_be(texts: list[str], cells: int, align: str) -> None:
    pieces = tuple(Piece(text) for text in texts)
    fitted = paint.fit(pieces, cells, "left" if align == "left" else "right")
    assert paint.width(fitted) == cells
    assert sum(cell_len(piece.text) for piece in fitted) == cells


def test_wide_characters_take_two_cells() -> None:
    assert paint.plain(paint.fit(paint.line("日本語"), 4)) == "日… "


@pytest.mark.parametrize(
    ("minor", "currency", "shown"),
    [
        (24900, "EUR", "249.00 EUR"),
        (140450, "EUR", f"1{THIN}404.50 EUR"),
        (5, "EUR", "0.05 EUR"),
        (-450, "EUR", "\u22124.50 EUR"),
        (1234567, "JPY", f"1{THIN}234{THIN}567 JPY"),
        (1234, "KWD", "1.234 KWD"),
        (12, "ZZZ", "12 minor units of ZZZ"),
        (None, "EUR", "—"),
    ],
)
def test_money_is_written_by_its_own_exponent(minor: int | None, currency: str, shown: str) -> None:
    assert paint.money(minor, currency) == shown


def test_a_difference_always_has_a_sign() -> None:
    assert paint.money(10000, "EUR", sign=True) == "+100.00 EUR"


def test_times_are_utc_and_ages_short() -> None:
    now = datetime(2026, 10, 16, 14, 33, 10, tzinfo=UTC)
    assert paint.moment("2026-10-16T16:21:07.918+02:00") == "14:21:07.918"
    assert paint.moment("2026-10-16T14:21:07.918Z", day=True) == "2026-10-16 14:21:07.918Z"
    assert [
        paint.age(text, now) for text in ("2026-10-16T14:33:06Z", "2026-10-16T14:25:29Z", "2026-10-16T05:33:00Z", "2026-10-07T14:00:00Z")
    ] == [
        "04s",
        "07:41",
        "9h00",
        "9d",
    ]
    assert paint.age("2026-10-16T14:33:48Z", now) == "+38s"
    assert paint.moment("yesterday") == "—"


def test_an_id_is_cut_in_its_middle() -> None:
    assert paint.middle("pay_01JAYQ7W3K9ZD4", 12) == "pay_01…K9ZD4"
    assert paint.middle("pay_1", 12) == "pay_1"


def test_ascii_has_nothing_else(ascii_only: None) -> None:
    said = paint.join((paint.state("CAPTURED"), paint.line(paint.money(-140450, "EUR")), paint.line(paint.middle("a" * 50, 20))))
    assert paint.plain(said).isascii()
    assert all(sign.isascii() for _, sign in paint.GLYPHS.values())


def test_only_paint_makes_text_for_the_screen() -> None:
    """Textual reads strings as markup: a bracket from data crashes it, or runs an action on a click."""
    wrong = []
    for path in sorted(TUI.rglob("*.py")):
        if path.name == "paint.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                name = called.rsplit(".", 1)[-1]
                literal = bool(node.args) and all(isinstance(arg, ast.Constant) for arg in node.args)
                painted = bool(node.args) and ast.unparse(node.args[0]).startswith("paint.content(")
                if name in ("Static", "Label", "Markdown", "Text", "Content", "Button", "SendButton") and not literal and not painted:
                    wrong.append(f"{path.name}:{node.lineno} {called}: use paint.Words")
                if name in ("update", "notify", "from_markup") and "." in called and not literal:
                    wrong.append(f"{path.name}:{node.lineno} {called}: use Words.say or paint.toast")
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for target in targets:
                    if isinstance(target, ast.Attribute) and target.attr in ("border_title", "border_subtitle", "tooltip"):
                        wrong.append(f"{path.name}:{node.lineno} {target.attr}: use paint.title")
    assert not wrong, "\n".join(wrong)
