"""API keys: made, read, told apart from typos, stored as a digest; and a Secret that shows itself nowhere."""

from __future__ import annotations

import copy
import dataclasses
import io
import json
import pickle
import traceback

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payorch.api.card_numbers import looks_like_card_number
from payorch.keys import (
    ENTROPY_BYTES,
    KeyKind,
    KeyMalformed,
    KeyMode,
    Secret,
    derived_key,
    digest,
    matches,
    mint,
    parse,
)

PEPPER = bytes(range(32))
entropies = st.binary(min_size=ENTROPY_BYTES, max_size=ENTROPY_BYTES)
kinds = st.sampled_from(KeyKind)
modes = st.sampled_from(KeyMode)


@given(kind=kinds, mode=modes, entropy=entropies)
@settings(deadline=None)
def test_a_minted_key_is_parsed_back(kind: KeyKind, mode: KeyMode, entropy: bytes) -> None:
    minted = mint(kind, mode, entropy)
    parsed = parse(minted.text.reveal())
    assert (parsed.kind, parsed.mode, parsed.lookup_id, parsed.text) == (kind, mode, minted.lookup_id, minted.text)
    assert minted.text.reveal().startswith(f"{minted.lookup_id}_")
    assert minted.lookup_id.startswith(f"{kind.value}_{mode.value}_")
    assert not looks_like_card_number(minted.text.reveal())


def test_the_form_is_fixed_for_ever() -> None:
    # Keys are in the hands of merchants: if this fails, deployed keys stop working.
    text = mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(range(ENTROPY_BYTES))).text.reveal()
    assert text == "mk_test_000g40r40m30e209_2NedrGwnz0Lr6GwfShiHaCXWEPoVWXBUElBWyAgkW7721CLP2"
    assert len(text) == len("mk_test_") + 16 + 1 + 43 + 6


@given(entropy=entropies, other=entropies)
@settings(deadline=None)
def test_all_the_entropy_is_in_the_key(entropy: bytes, other: bytes) -> None:
    one, two = (mint(KeyKind.MERCHANT, KeyMode.LIVE, bits).text for bits in (entropy, other))
    assert (one == two) is (entropy == other)


@pytest.mark.parametrize("size", [0, 32, ENTROPY_BYTES - 1, ENTROPY_BYTES + 1])
def test_too_little_entropy_is_a_bug(size: int) -> None:
    with pytest.raises(ValueError, match="bytes of entropy"):
        mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(size))


@given(entropy=entropies, place=st.integers(0, 200), letter=st.sampled_from("09AZaz_é \u0661"))
@settings(deadline=None)
def test_a_typo_anywhere_is_malformed_and_not_merely_unknown(entropy: bytes, place: int, letter: str) -> None:
    text = mint(KeyKind.MERCHANT, KeyMode.LIVE, entropy).text.reveal()
    place %= len(text)
    typo = text[:place] + letter + text[place + 1 :]
    if typo != text:
        with pytest.raises(KeyMalformed):
            parse(typo)


@given(entropy=entropies, length=st.integers(0, 80))
@settings(deadline=None)
def test_a_cut_or_lengthened_key_is_malformed(entropy: bytes, length: int) -> None:
    text = mint(KeyKind.OPERATOR, KeyMode.TEST, entropy).text.reveal()
    for wrong in (text[: min(length, len(text) - 1)], text + "0", " " + text, text + "\n", text + text):
        with pytest.raises(KeyMalformed):
            parse(wrong)


@pytest.mark.parametrize("mode", ["test", "live"])
def test_another_mode_or_kind_written_over_a_key_is_malformed(mode: str) -> None:
    text = mint(KeyKind.MERCHANT, KeyMode(mode), bytes(ENTROPY_BYTES)).text.reveal()
    for wrong in (text.replace("live", "test"), text.replace("test", "live"), "op" + text[2:], "sk" + text[2:], "MK" + text[2:]):
        if wrong != text:
            with pytest.raises(KeyMalformed):
                parse(wrong)


@given(text=st.text())
@settings(deadline=None)
def test_any_other_text_is_malformed_and_not_repeated(text: str) -> None:
    with pytest.raises(KeyMalformed) as caught:
        parse(text)
    assert len(text) < 8 or text not in str(caught.value)


def test_a_key_is_matched_by_its_digest_under_the_same_pepper_only() -> None:
    minted = mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(range(ENTROPY_BYTES)))
    other = mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(range(1, ENTROPY_BYTES + 1)))
    stored = digest(minted.text, PEPPER)
    assert len(stored) == 32
    assert minted.text.reveal().encode() not in stored
    assert matches(parse(minted.text.reveal()), stored, PEPPER)
    assert not matches(parse(other.text.reveal()), stored, PEPPER)
    assert not matches(parse(minted.text.reveal()), stored, PEPPER[::-1])
    assert not matches(parse(minted.text.reveal()), b"", PEPPER)
    assert not matches(parse(minted.text.reveal()), stored[:-1], PEPPER)


@pytest.mark.parametrize("text", ["é", "\ud800", "", "\x00", "кот"])
def test_a_digest_takes_any_text(text: str) -> None:
    assert len(digest(Secret(text), PEPPER)) == 32
    assert Secret(text) == Secret(text)
    assert Secret(text) != Secret(text + "x")


def test_a_short_pepper_is_refused() -> None:
    with pytest.raises(ValueError, match="pepper"):
        digest(Secret("x"), b"")
    with pytest.raises(ValueError, match="pepper"):
        digest(Secret("x"), bytes(31))


def test_derived_keys_differ_by_purpose_and_master() -> None:
    master = Secret("m" * 32)
    keys = {
        derived_key(master, "api-key-pepper"),
        derived_key(master, "webhook-secrets"),
        derived_key(Secret("n" * 32), "api-key-pepper"),
    }
    assert len(keys) == 3
    assert {len(key) for key in keys} == {32}
    assert digest(Secret("x"), derived_key(master, "api-key-pepper"))
    with pytest.raises(ValueError, match="master key"):
        derived_key(Secret("short"), "api-key-pepper")


def test_derived_key_is_hkdf_as_rfc_5869_says() -> None:
    assert (
        derived_key(Secret("0123456789abcdef0123456789abcdef"), "api-key-pepper").hex()
        == "ffeb7962c590c3c11f7ecd6d1364941ce03be716856ad5623f24c9b292b99872"
    )


# -- Secret ----------------------------------------------------------------------------------------

HIDDEN = "whsec_do_not_show"


@pytest.mark.parametrize(
    "show",
    [
        repr, str, format, "{}".format, "{!r:>40}".format, lambda secret: f"{secret}{secret!s}{secret!a}",
         lambda secret: str([secret]), lambda secret: str({"key": secret}),
        lambda secret: repr(mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(42))) + repr(secret), lambda secret: str(dir(secret)),
        lambda secret: json.dumps(secret, default=str), lambda secret: str(Exception(secret)),
    ],
)  # fmt: skip
def test_a_secret_does_not_show_itself(show: object) -> None:
    assert callable(show)
    assert HIDDEN not in show(Secret(HIDDEN))


def test_a_minted_key_and_a_parsed_key_do_not_show_their_text() -> None:
    minted = mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(range(ENTROPY_BYTES)))
    text = minted.text.reveal()
    for shown in (repr(minted), str(minted), repr(parse(text)), repr(dataclasses.asdict(minted))):
        assert text[-49:] not in shown
        assert minted.lookup_id in shown


def test_a_traceback_does_not_show_a_secret() -> None:
    secret = Secret(HIDDEN)
    try:
        raise RuntimeError(secret)
    except RuntimeError as error:
        lines = traceback.TracebackException.from_exception(error, capture_locals=True).format()
        assert HIDDEN not in "".join(lines)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError):
        pickle.dump(Secret(HIDDEN), io.BytesIO(), protocol)
    with pytest.raises(TypeError):
        pickle.dump({"in": [Secret(HIDDEN)]}, io.BytesIO(), protocol)


def test_a_secret_is_not_json() -> None:
    with pytest.raises(TypeError):
        json.dumps({"secret": Secret(HIDDEN)})


def test_a_secret_does_not_change_and_has_no_dictionary() -> None:
    secret = Secret(HIDDEN)
    with pytest.raises(AttributeError):
        secret._text = "other"
    with pytest.raises(AttributeError):
        del secret._text
    with pytest.raises(TypeError):
        vars(secret)
    assert secret.reveal() == HIDDEN
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


def test_secrets_are_equal_by_their_text_and_to_nothing_else() -> None:
    assert Secret("a") == Secret("a")
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert len({Secret("a"), Secret("a"), Secret("b")}) == 2
