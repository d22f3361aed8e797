"""Request headers: one meaning for each, and an error or nothing where there could be two."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from payorch.api.card_numbers import looks_like_card_number
from payorch.api.headers import HeaderRefused, Headers, bearer_token, idempotency_key, request_id
from payorch.api.problems import CATALOGUE, Code
from payorch.keys import KeyKind, KeyMode, mint


def key_of(*values: bytes) -> str:
    return idempotency_key([(b"host", b"x"), *[(b"idempotency-key", value) for value in values]])


def key_refusal(*values: bytes) -> HeaderRefused:
    with pytest.raises(HeaderRefused) as caught:
        key_of(*values)
    return caught.value


# -- Idempotency-Key -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "key"),
    [
        (b"abc", "abc"),
        (b'"abc"', "abc"),
        (b"8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"),
        (b" \tabc\t ", "abc"),
        (b'  "abc"  ', "abc"),
        (b"a b,c;d=1", "a b,c;d=1"),
        (b'"a b,c;d=1"', "a b,c;d=1"),
        (b'a"b', 'a"b'),
        (b'"a\\"b"', 'a"b'),
        (b"a\\b", "a\\b"),
        (b'"a\\\\b"', "a\\b"),
        (b'"\\""', '"'),
        (b'"\\\\"', "\\"),
        (b'" a "', " a "),
        (b'abc"', 'abc"'),
        (b"x" * 255, "x" * 255),
        (b'"' + b"x" * 255 + b'"', "x" * 255),
        (b'"' + b'\\"' * 255 + b'"', '"' * 255),
    ],
)
def test_a_key_is_taken_bare_or_quoted(value: bytes, key: str) -> None:
    assert key_of(value) == key


def test_a_missing_key_is_an_error_of_its_own() -> None:
    assert key_refusal().code is Code.IDEMPOTENCY_KEY_MISSING


@pytest.mark.parametrize("values", [(b"a", b"b"), (b"a", b"a"), (b"a", b""), (b'"a"', b"a")])
def test_the_header_twice_is_an_error_even_with_the_same_value(values: tuple[bytes, bytes]) -> None:
    refused = key_refusal(*values)
    assert refused.code is Code.IDEMPOTENCY_KEY_INVALID
    assert "more than once" in refused.detail


@pytest.mark.parametrize("value", [b"", b"  ", b"\t", b'""', b' "" '])
def test_an_empty_key_is_an_error(value: bytes) -> None:
    assert key_refusal(value).code is Code.IDEMPOTENCY_KEY_INVALID


@pytest.mark.parametrize("value", [b"x" * 256, b'"' + b"x" * 256 + b'"', b'"' + b'\\"' * 256 + b'"', b"x" * 100_000])
def test_a_key_over_255_characters_is_an_error(value: bytes) -> None:
    assert "characters" in key_refusal(value).detail


@pytest.mark.parametrize("value", [b"a\x00b", b"a\tb", b"a\x7f", b"a\nb", b"\x1b[31m", b"\xe9", "é".encode(), b'"\xff"', b'"a\tb"'])
def test_a_key_that_is_not_printable_ascii_is_an_error(value: bytes) -> None:
    assert "printable ASCII" in key_refusal(value).detail


@pytest.mark.parametrize("value", [b'"', b'"abc', b'"a"b', b'"a"b"', b'"a\\"', b'"a\\x"', b'"a";p=1', b'"a", "b"', b'"\\'])
def test_a_broken_quoted_string_is_an_error(value: bytes) -> None:
    assert "quoted string" in key_refusal(value).detail


@pytest.mark.parametrize("value", [b"4111111111111111", b'"4111 1111 1111 1111"', b"order 4242-4242-4242-4242"])
def test_a_key_that_looks_like_a_card_number_is_refused_as_it_would_be_stored(value: bytes) -> None:
    refused = key_refusal(value)
    assert refused.code is Code.CARD_DATA_REFUSED
    assert "4111" not in str(refused)


def test_header_names_are_compared_without_case() -> None:
    assert idempotency_key([(b"Idempotency-Key", b"a")]) == "a"
    with pytest.raises(HeaderRefused):
        idempotency_key([(b"Idempotency-Key", b"a"), (b"idempotency-key", b"b")])


@given(key=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=255))
@settings(deadline=None)
def test_quoted_and_bare_mean_the_same_key(key: str) -> None:
    quoted = '"' + key.replace("\\", "\\\\").replace('"', '\\"') + '"'
    assume(not looks_like_card_number(key))
    assert key_of(quoted.encode()) == key
    if not key.startswith('"'):
        assert key_of(key.encode()) == key


def outcome(read: Callable[[Headers], object], name: bytes, values: list[bytes]) -> object:
    try:
        return read([(name, value) for value in values])
    except HeaderRefused as refused:
        return refused


@given(values=st.lists(st.binary(max_size=40), max_size=3))
@settings(deadline=None)
def test_any_bytes_give_a_value_or_a_refusal_that_is_the_caller_s_fault(values: list[bytes]) -> None:
    for name, read in ((b"idempotency-key", idempotency_key), (b"authorization", bearer_token)):
        result = outcome(read, name, values)
        if isinstance(result, HeaderRefused):
            assert 400 <= CATALOGUE[result.code].status < 500
            assert result.detail
    assert not isinstance(outcome(request_id, b"x-request-id", values), HeaderRefused)


# -- X-Request-Id ----------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [b"a", b"req-1", b"A.b_c:d-9", b"x" * 128, b" req-1 ", b"8e03978e-40d5-43dd-bc93-6894a57f9324"])
def test_a_good_request_id_is_kept(value: bytes) -> None:
    assert request_id([(b"x-request-id", value)]) == value.strip().decode()


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"x" * 129,
        b"a b",
        b"a\nb",
        b"a\r\nSet-Cookie: x",
        b"\x1b[31m",
        b"<script>",
        b'"a"',
        b"a/b",
        b"a%0a",
        b"\xe9",
        b"4111111111111111",
    ],
)
def test_a_bad_request_id_is_replaced_and_never_an_error(value: bytes) -> None:
    assert request_id([(b"x-request-id", value)]) is None


def test_no_request_id_or_two_of_them_means_a_new_one() -> None:
    assert request_id([]) is None
    assert request_id([(b"x-request-id", b"a"), (b"x-request-id", b"a")]) is None


# -- Authorization ---------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", [b"Bearer ", b"bearer ", b"BEARER ", b"Bearer   ", b" Bearer "])
def test_a_bearer_token_is_read_in_any_case_of_the_scheme(scheme: bytes) -> None:
    text = mint(KeyKind.MERCHANT, KeyMode.TEST, bytes(range(42))).text
    token = bearer_token([(b"authorization", scheme + text.reveal().encode())])
    assert token == text
    assert text.reveal() not in repr(token)


def test_no_authorization_is_unauthenticated() -> None:
    with pytest.raises(HeaderRefused) as caught:
        bearer_token([(b"host", b"x")])
    assert caught.value.code is Code.UNAUTHENTICATED


def test_authorization_twice_is_refused_even_with_the_same_value() -> None:
    with pytest.raises(HeaderRefused, match="more than once"):
        bearer_token([(b"authorization", b"Bearer a"), (b"Authorization", b"Bearer a")])


@pytest.mark.parametrize(
    "value",
    [
        b"", b"Bearer", b"Bearer ", b"Bearera", b"Basic YTpi", b"a", b"Bearer a b", b"Bearer a, Bearer b", b"Bearer \xe9", b"Bearer a\n",
        b"Bearer\ta", b'Bearer "a"', b"Bearer =", b"Bearer " + b"a" * 513, b"Token a",
    ],
)  # fmt: skip
def test_another_scheme_or_form_is_refused_without_repeating_it(value: bytes) -> None:
    with pytest.raises(HeaderRefused) as caught:
        bearer_token([(b"authorization", value)])
    assert caught.value.code is Code.UNAUTHENTICATED
    assert "YTpi" not in str(caught.value)
