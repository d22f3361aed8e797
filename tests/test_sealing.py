"""Seals: opened by the same key, purpose and context only, and nothing that was touched opens at all."""

from __future__ import annotations

import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from payorch.keys import Secret
from payorch.sealing import NONCE_BYTES, SealBroken, Sealer

MASTER = Secret("a master key of some thirty-six bytes")
SEALER = Sealer(MASTER, "webhook secrets")
NONCE = bytes(range(NONCE_BYTES))
PLAIN = b"whsec_very_secret"
SEALED = SEALER.seal(PLAIN, nonce=NONCE, context=b"we_1")

STORED = "01000102030405060708090a0ba5c45eb09cfde55342b010cfaf5f842a4cd847f380bccfaad76efed87ec33259b4"


def broken(sealer: Sealer, sealed: bytes, context: bytes = b"we_1") -> None:
    with pytest.raises(SealBroken) as caught:
        sealer.open(sealed, context=context)
    shown = "".join(traceback.format_exception(caught.value))
    assert "very_secret" not in shown
    assert "InvalidTag" not in shown


@given(plain=st.binary(max_size=200), nonce=st.binary(min_size=NONCE_BYTES, max_size=NONCE_BYTES), context=st.binary(max_size=40))
def test_what_was_sealed_opens(plain: bytes, nonce: bytes, context: bytes) -> None:
    sealed = SEALER.seal(plain, nonce=nonce, context=context)
    assert Sealer(MASTER, "webhook secrets").open(sealed, context=context) == plain
    assert len(sealed) == 1 + NONCE_BYTES + len(plain) + 16


def test_the_plain_text_is_not_in_it_and_the_version_is_in_front() -> None:
    assert PLAIN not in SEALED
    assert SEALED[:1] == b"\x01"


def test_what_was_sealed_once_opens_for_ever() -> None:
    """The form in the database: a change of it, or of how keys are derived, needs a new version."""
    stored = bytes.fromhex(STORED)
    assert stored == SEALED
    assert SEALER.open(stored, context=b"we_1") == PLAIN


@given(position=st.integers(0, len(SEALED) - 1), flip=st.integers(1, 255))
def test_no_changed_byte_passes(position: int, flip: int) -> None:
    changed = bytearray(SEALED)
    changed[position] ^= flip
    broken(SEALER, bytes(changed))


@given(st.one_of(st.integers(0, len(SEALED) - 1).map(lambda length: SEALED[:length]), st.binary(max_size=80), st.just(SEALED + b"x")))
def test_no_cut_or_foreign_bytes_pass(sealed: bytes) -> None:
    broken(SEALER, sealed)


def test_another_row_another_purpose_and_another_key_do_not_open_it() -> None:
    broken(SEALER, SEALED, context=b"we_2")
    broken(Sealer(MASTER, "contents of notices"), SEALED)
    broken(Sealer(Secret("another key of at least thirty-two bytes"), "webhook secrets"), SEALED)


@pytest.mark.parametrize("size", [0, 11, 13])
def test_a_nonce_has_its_size(size: int) -> None:
    with pytest.raises(ValueError, match="12 bytes"):
        SEALER.seal(PLAIN, nonce=bytes(size), context=b"")


def test_a_short_master_key_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 32"):
        Sealer(Secret("short"), "webhook secrets")
