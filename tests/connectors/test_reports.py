"""What all settlement reports share: lines and records however the bytes are cut, exact amounts, and what people may see of a bad line."""

from __future__ import annotations

import csv
import io
import tracemalloc
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from connectors import reports
from connectors.registry import CONNECTORS
from connectors.reports import LONGEST_RECORD, Misread, Record, minor_units, records
from payorch.domain.identifiers import of_name
from payorch.domain.money import EXPONENTS
from payorch.domain.settlement import NotAReport, ReportItem


def read(data: bytes) -> list[Record]:
    return list(records([data]))


def fields(data: bytes) -> list[list[str]]:
    return [record.fields for record in read(data)]


def cut(data: bytes, at: Iterable[int]) -> Iterator[bytes]:
    """The same bytes in pieces."""
    begin = 0
    for end in sorted(at):
        yield data[begin:end]
        begin = max(begin, end)
    yield data[begin:]


# --- records ----------------------------------------------------------------------------------------------------------------------------


def test_lines_and_their_numbers() -> None:
    found = read(b"\xef\xbb\xbfa,b\r\n\r\n1,\"x\r\ny\"\r\n2,'z'\n")
    assert [(one.line, one.last, one.fields) for one in found] == [(1, 1, ["a", "b"]), (3, 4, ["1", "x\ny"]), (5, 5, ["2", "'z'"])]


def test_only_the_last_line_can_lack_its_end() -> None:
    assert [one.ended for one in read(b"a\nb\nc")] == [True, True, False]
    assert [one.ended for one in read(b"a\nb\n")] == [True, True]


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        (b"1,\0,3", "the line has a NUL character"),
        (b"1,\xff,3", "the line is not UTF-8"),
        (b"1,\xed\xa0\x80,3", "the line is not UTF-8"),  # half of a surrogate pair
        (b'1,"2"x,3', "the line is not well-formed CSV"),
        (b"1,2\r2,3", "the line is not well-formed CSV"),
        (b'1,"2,3', "a quotation mark is opened and not closed"),
        (b"1," + b"2" * LONGEST_RECORD, f"the line is longer than {LONGEST_RECORD} bytes"),
    ],
)
def test_a_line_that_cannot_be_read_spoils_nothing_else(line: bytes, problem: str) -> None:
    found = read(b"a,b,c\n" + line + b"\n4,5,6\n7,8,9\n")
    assert [one.problem for one in found] == [None, problem, None, None]
    assert [one.line for one in found] == [1, 2, 3, 4]
    assert found[1].size == len(line)
    assert [one.fields for one in found[2:]] == [["4", "5", "6"], ["7", "8", "9"]]


def test_an_open_quotation_mark_at_the_end_of_the_file() -> None:
    found = read(b'a,b\n1,"2\n3,4')
    assert [(one.line, one.problem is None, one.fields) for one in found] == [(1, True, ["a", "b"]), (2, False, []), (3, True, ["3", "4"])]


def test_lines_that_were_read_as_one_say_so() -> None:
    found = read(b'a,b\n1,"2\n3,"4\n5,6\n')
    assert [(one.line, one.last) for one in found] == [(1, 1), (2, 3), (4, 4)]
    assert "lines 2 to 3" in found[1].where


def test_quotation_marks_without_end_do_not_take_for_ever() -> None:
    found = read(b'"\n"x\n' + b'a"b"c"\n' * 5000 + b"1,2\n")
    assert found[-1].fields == ["1", "2"]


@given(st.lists(st.lists(st.text(st.characters(exclude_characters="\0\r", codec="utf-8"), max_size=12), min_size=2, max_size=4)))
def test_what_a_writer_writes_is_read(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL).writerows(rows)
    wanted = [row for row in rows if sum(value.count("\n") for value in row) < reports.MOST_LINES]
    if len(wanted) == len(rows) and not text.getvalue().startswith("\ufeff"):
        assert fields(text.getvalue().encode()) == rows


HOSTILE = st.lists(
    st.sampled_from([b'"', b",", b"\n", b"\r\n", b"\r", b"\0", b"\xff", b"a", b"12.34", b"\xc3\xa9", b"\xef\xbb\xbf", b'""']), max_size=60
)


@given(HOSTILE, st.data())
def test_how_the_bytes_are_cut_changes_nothing(parts: list[bytes], data: st.DataObject) -> None:
    whole = b"".join(parts)
    at = data.draw(st.lists(st.integers(0, len(whole)), max_size=8))
    assert list(records(cut(whole, at))) == read(whole)


def test_a_long_line_is_cut_anywhere_with_the_same_result() -> None:
    whole = b"a,b\n" + b"x" * (3 * LONGEST_RECORD) + b"\n1,2\n"
    for step in (1000, LONGEST_RECORD, LONGEST_RECORD + 1, 10**6):
        assert list(records(whole[at : at + step] for at in range(0, len(whole), step))) == read(whole)


def test_no_more_than_a_record_is_held() -> None:
    def endless(line: bytes, times: int) -> Iterator[bytes]:
        for _ in range(times):
            yield line

    def peak(chunks: Iterable[bytes]) -> int:
        tracemalloc.start()
        for _ in records(chunks):
            pass
        try:
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    few, many = peak(endless(b"1,2,3\n" * 100, 10)), peak(endless(b"1,2,3\n" * 100, 300))
    assert many < few + 20_000
    assert peak(endless(b"x" * 10_000, 200)) < 40 * LONGEST_RECORD / 8  # a line of two million bytes without an end


# --- amounts ----------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("12.34", "EUR", 1234),
        ("-12.3", "EUR", -1230),
        ("25", "USD", 2500),
        ("0.00", "EUR", 0),
        ("-0.00", "EUR", 0),
        ("500", "JPY", 500),
        ("500.00", "JPY", 500),
        ("5.120", "KWD", 5120),
        ("5.1", "KWD", 5100),
        ("5", "ISK", 5),
        ("5.00", "ISK", 5),
        ("1000.00", "UGX", 1000),
        ("10.45", "HUF", 1045),
        ("800.45", "TWD", 80045),
    ],
)
def test_major_units_are_exact(text: str, currency: str, minor: int) -> None:
    assert minor_units(text, currency, "gross") == minor


@pytest.mark.parametrize(
    ("text", "currency"),
    [
        *(("12.345", "EUR"), ("5.5", "ISK"), ("0.5", "JPY"), ("5.1234", "KWD"), ("0.01", "UGX")),
        *(
            ("", "EUR"),
            ("12,34", "EUR"),
            ("1,234.00", "EUR"),
            ("1e3", "EUR"),
            ("1_000", "EUR"),
            (" 1", "EUR"),
            ("+1", "EUR"),
            ("1.", "EUR"),
        ),
        *((".5", "EUR"), ("--1", "EUR"), ("NaN", "EUR"), ("12,x4", "EUR"), ("\u0661", "EUR"), ("1\u00b2", "EUR"), ("9" * 30, "EUR")),
        ("1000000000001.00", "EUR"),
    ],
)
def test_what_is_no_exact_amount_is_none(text: str, currency: str) -> None:
    with pytest.raises(Misread, match="gross: ") as refused:
        minor_units(text, currency, "gross")
    assert not text or text not in str(refused.value), "what stood there is for `raw`, which is redacted"


@given(st.integers(-(10**14), 10**14), st.sampled_from(sorted(EXPONENTS)), st.integers(0, 3))
def test_every_amount_is_read_back(minor: int, currency: str, zeros: int) -> None:
    exact = Decimal(minor).scaleb(-EXPONENTS[currency])
    text = f"{exact:f}" + ("0" * zeros if "." in f"{exact:f}" else "")
    assert minor_units(text, currency, "gross") == minor


@given(
    st.integers(1, 10**13),
    st.integers(1, 10**13),
    st.sampled_from(["EUR", "JPY", "KWD", "ISK", "USD"]),
    st.sampled_from(["EUR", "JPY", "KWD"]),
)
def test_a_rate_gives_the_amount_back(net: int, gross: int, paid: str, balance: str) -> None:
    rate = reports.rate_of(net, balance, gross, paid)
    assert "E" not in rate
    back = Decimal(gross).scaleb(-EXPONENTS[paid]) * Decimal(rate)
    assert round(back.scaleb(EXPONENTS[balance])) == net


def test_ids_of_ours_are_well_formed_ones() -> None:
    attempt, payment, refund = of_name("att", "a"), of_name("pay", "p"), of_name("ref", "r")
    assert reports.our_references(refund, attempt) == (refund, attempt)
    assert reports.our_references(attempt, attempt) == (attempt,)
    assert reports.our_references(payment, "") == ()
    assert reports.our_references("att_x", attempt[:-1]) == ()


def test_ids_of_a_psp_have_no_blanks() -> None:
    assert reports.references("ch_1", "ch_1") == ("ch_1",)
    assert reports.references("TX1 batch 2, Shop", "re_2") == ("re_2",)
    assert reports.references("", "") == ()


# --- every connector --------------------------------------------------------------------------------------------------------------------

Settlement = Callable[[Iterable[bytes]], Iterator[ReportItem]]
ALL = pytest.mark.parametrize("name", sorted(CONNECTORS))


@ALL
@given(data=st.binary(max_size=200) | HOSTILE.map(b"".join))
@settings(max_examples=150)
def test_any_bytes_are_no_report_and_nothing_worse(name: str, data: bytes) -> None:
    with pytest.raises(NotAReport):
        list(CONNECTORS[name].settlement([data]))


@ALL
@pytest.mark.parametrize("data", [b"", b"\n\n", b"\xff\xfe", b"\0", b"<html>\n", b'{"a": 1}\n', b"a,b,c\n1,2,3\n", b"x" * 10**6])
def test_other_files_are_no_report(name: str, data: bytes) -> None:
    with pytest.raises(NotAReport) as refused:
        list(CONNECTORS[name].settlement([data]))
    assert str(refused.value)
