"""Identifiers: one text for each, strictly read, sorting by age."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.domain.identifiers import PREFIXES, MalformedIdentifier, bytes_of, created_at, earliest, parse, text, uuid_of

_KNOWN = UUID("0190aabb-ccdd-7000-8000-000000003039")
uuids = st.integers(0, 2**128 - 1).map(lambda n: UUID(int=n & ~(0xF << 76 | 0x3 << 62) | 0x7 << 76 | 0x2 << 62))


def test_a_known_one_reads_as_crockford_wrote() -> None:
    assert text("pay", _KNOWN) == "pay_01j2nbqk6xe008000000000c1s"
    assert created_at(_KNOWN) == datetime(2024, 7, 13, 6, 15, 52, 797000, tzinfo=UTC)


@given(uuids, st.sampled_from(sorted(PREFIXES)))
def test_what_is_written_is_read_back(uuid: UUID, prefix: str) -> None:
    written = text(prefix, uuid)
    assert parse(written) == (prefix, uuid)
    assert uuid_of(written) == uuid
    assert bytes_of(written) == uuid.bytes


@given(uuids, uuids)
def test_they_sort_as_their_uuids_do(one: UUID, other: UUID) -> None:
    assert (text("pay", one) < text("pay", other)) == (one < other)


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "pay",
        "pay_",
        "01j2nbqk6xe008000000000c1s",
        "pay-01j2nbqk6xe008000000000c1s",
        "xyz_01j2nbqk6xe008000000000c1s",
        "PAY_01j2nbqk6xe008000000000c1s",
        "pay_01J2NBQK6XE008000000000C1S",
        "pay_01j2nbqk6xe008000000000c1",
        "pay_01j2nbqk6xe008000000000c1s0",
        "pay_01j2nbqk6xe008000000000c1_",
        "pay_+1j2nbqk6xe008000000000c1s",
        "pay_ 1j2nbqk6xe008000000000c1s",
        "pay_0_1j2nbqk6xe00800000000c1s",
        "pay_01j2nbqk6xe008000000000c1u",
        "pay_01j2nbqk6xe008000000000c1i",
        "pay_01j2nbqk6xe008000000000c1l",
        "pay_01j2nbqk6xe008000000000c1o",
        "pay_81j2nbqk6xe008000000000c1s",
        "pay_01j2nbqk6xe008000000000c1\uff11",
        "pay_01j2nbqk6xe008000000000c1s\n",
        "pay_pay_01j2nbqk6xe008000000000c1s",
    ],
)
def test_anything_else_is_refused_and_not_repeated(wrong: str) -> None:
    for read in (parse, uuid_of, bytes_of):
        with pytest.raises(MalformedIdentifier) as refusal:
            read(wrong)
        assert str(refusal.value) == "not an identifier"


@pytest.mark.parametrize("uuid", ["0190aabb-ccdd-4000-8000-000000003039", "0190aabb-ccdd-7000-c000-000000003039"])
def test_other_versions_and_variants_are_not_ours(uuid: str) -> None:
    with pytest.raises(MalformedIdentifier):
        parse(text("pay", UUID(uuid)))


@given(st.datetimes(min_value=datetime(1971, 1, 1), max_value=datetime(9000, 1, 1)))
def test_the_earliest_of_a_moment_is_below_all_made_then(moment: datetime) -> None:
    at = moment.replace(tzinfo=UTC, microsecond=moment.microsecond // 1000 * 1000)
    made_then = UUID(int=earliest(at).int | 0x7 << 76 | 0x2 << 62)
    assert created_at(made_then) == at
    assert earliest(at) < made_then < earliest(at + timedelta(milliseconds=1))
