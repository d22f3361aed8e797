"""Strict JSON: every row of the table in RELIABILITY.md ("JSON, numbers, unicode"), a corpus of bad bodies, and the
fingerprint.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payorch.api.strict_json import (
    BodyTooLarge,
    JsonObject,
    JsonRefused,
    JsonValue,
    canonical,
    fingerprint,
    parse,
    pointer_to,
)

CREATE = b"""{
 "amount": 1999, "currency": "EUR", "reference": "order-1001", "capture": "automatic",
 "payment_method": {"type": "card", "token": "tok_visa", "brand": "visa", "last4": "4242",
                    "country": "DE", "fingerprint": null},
 "customer": {"reference": "c-77", "country": "DE", "email": "a@example.com"},
 "return_url": "https://shop.example/return", "confirm": true, "initiator": "customer", "connector": null,
 "connector_options": {}, "retry_of": null, "metadata": {"cart": "9"}
}"""


def read(body: bytes, *, max_depth: int = 16, max_bytes: int = 1_000_000) -> JsonObject:
    return parse(body, max_depth=max_depth, max_bytes=max_bytes)


def refusal(body: bytes) -> JsonRefused:
    with pytest.raises(JsonRefused) as caught:
        read(body)
    return caught.value


# -- what is taken ---------------------------------------------------------------------------------


def test_the_create_body_of_the_contract_is_read() -> None:
    body = read(CREATE)
    assert body == json.loads(CREATE)
    assert type(body["amount"]) is int
    assert body["confirm"] is True
    assert body["retry_of"] is None


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"{}", {}),
        (b' \t\r\n{"a" : [ ] } \n', {"a": []}),
        (b'{"":0}', {"": 0}),
        (b'{"a":-0}', {"a": 0}),
        (b'{"a":-1}', {"a": -1}),
        (b'{"a":"\\"\\\\\\/\\b\\f\\n\\r\\t"}', {"a": '"\\/\b\f\n\r\t'}),
        (b'{"a":"\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a":"\U0001f600é"}'.encode(), {"a": "\U0001f600é"}),
        (b'{"a":"\\uFFFF\\u007f"}', {"a": "\uffff\x7f"}),
        ('{"a":"\u2028\ufeff"}'.encode(), {"a": "\u2028\ufeff"}),
        (b'{"a":"[[[[[[[[[[[[[[[[[[[[[[{{{{"}', {"a": "[" * 22 + "{{{{"}),
        (b'{"a":{"b":1},"c":{"b":1}}', {"a": {"b": 1}, "c": {"b": 1}}),
    ],
)
def test_good_bodies_are_read(body: bytes, value: JsonObject) -> None:
    assert read(body) == value


# -- the rows of the table -------------------------------------------------------------------------


@pytest.mark.parametrize("constant", [b"NaN", b"Infinity", b"-Infinity"])
def test_nan_and_infinity_are_refused(constant: bytes) -> None:
    assert refusal(b'{"amount":' + constant + b"}").pointer == "/amount"


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1E400", b"19.99", b"1.0", b"-0.0", b"1e3", b"1E+2", b"0e-1"])
def test_a_number_with_fraction_or_exponent_is_refused_wherever_it_stands(number: bytes) -> None:
    refused = refusal(b'{"metadata":{"list":[1,{"deep":' + number + b"}]}}")
    assert refused.pointer == "/metadata/list/1/deep"
    assert "minor units" in refused.detail


def test_a_name_given_twice_is_refused() -> None:
    assert refusal(b'{"amount":1,"amount":100000}').pointer == "/amount"
    assert refusal(b'{"metadata":{"a":{"b":1,"b":1}}}').pointer == "/metadata/a/b"


def test_a_name_given_twice_is_found_through_its_escapes() -> None:
    assert refusal(b'{"amount":1,"\\u0061mount":2}').pointer == "/amount"


def test_an_integer_of_5000_digits_is_refused_by_its_length() -> None:
    refused = refusal(b'{"amount":' + b"9" * 5000 + b"}")
    assert refused.pointer == "/amount"
    assert "19 digits" in refused.detail


def test_an_integer_of_4000_digits_which_python_would_take_is_refused() -> None:
    assert refusal(b'{"amount":-' + b"9" * 4000 + b"}").pointer == "/amount"


def test_integers_up_to_19_digits_pass_so_that_a_card_number_is_refused_as_one() -> None:
    assert read(b'{"a":' + b"9" * 19 + b',"b":-' + b"9" * 19 + b"}") == {"a": 10**19 - 1, "b": 1 - 10**19}
    assert refusal(b'{"a":1' + b"0" * 19 + b"}").pointer == "/a"


@pytest.mark.parametrize("body", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b"[{" * 50_000])
def test_a_hundred_thousand_brackets_are_refused_without_recursion(body: bytes) -> None:
    assert "nested" in refusal(body).detail


def test_depth_sixteen_passes_and_seventeen_does_not() -> None:
    sixteen = b'{"a":' * 15 + b"[]" + b"}" * 15
    seventeen = b'{"a":' * 16 + b"[]" + b"}" * 16
    assert read(sixteen)
    assert "nested more than 16 deep" in refusal(seventeen).detail


def test_many_shallow_brackets_are_not_deep() -> None:
    assert read(b'{"a":[' + b",".join([b'{"[\\"[":[]}'] * 500) + b"]}")


def test_true_is_not_read_as_one() -> None:
    assert read(b'{"amount":true}')["amount"] is True


@pytest.mark.parametrize("number", ["\uff11\uff10\uff10", "1_000", "+1", "0x10", "01", "-01", "--1", ".5", "1.", "1e", "-", "²", "1 2"])
def test_numbers_that_int_would_take_but_json_does_not_are_refused(number: str) -> None:
    assert "Not JSON" in refusal(f'{{"amount":{number}}}'.encode()).detail


@pytest.mark.parametrize("text", [b"\\ud800", b"\\udfff", b"a\\ud83d", b"\\ude00\\ud83d", b"\\ud800\\u0041", b"\\ud800\\ud800"])
def test_half_a_surrogate_pair_is_refused_in_values_and_names(text: bytes) -> None:
    assert refusal(b'{"a":{"b":["' + text + b'"]}}').pointer == "/a/b/0"
    in_name = refusal(b'{"a":{"' + text + b'":1}}')
    assert in_name.pointer == "/a"
    in_name.pointer.encode()


def test_half_a_surrogate_pair_in_a_name_given_twice_keeps_the_pointer_writable() -> None:
    refusal(b'{"a":{"\\ud800":1,"\\ud800":2}}').pointer.encode()


def test_nul_is_refused_in_values_and_names() -> None:
    assert refusal(b'{"a":"x\\u0000"}').pointer == "/a"
    assert refusal(b'{"a":{"\\u0000":1}}').pointer == "/a"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_other_encodings_of_unicode_are_refused(encoding: str) -> None:
    refusal('{"amount":1}'.encode(encoding))


def test_a_byte_order_mark_is_refused() -> None:
    assert "byte order mark" in refusal(b'\xef\xbb\xbf{"a":1}').detail


@pytest.mark.parametrize(
    "raw",
    [
        b"\xc0\xaf",
        b"\xc1\xbf",
        b"\xe0\x80\xaf",
        b"\xf0\x80\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xff",
        b"\xe9",
        b"\x80",
    ],
    ids=["overlong2", "overlong2b", "overlong3", "overlong4", "surrogate", "beyond-10ffff", "ff", "latin-1", "stray"],
)
def test_bytes_that_are_not_utf8_are_refused(raw: bytes) -> None:
    assert "not UTF-8" in refusal(b'{"a":"' + raw + b'"}').detail


@pytest.mark.parametrize("body", [b"[]", b'"a"', b"1", b"null", b"true", b'[{"a":1}]'])
def test_the_top_level_must_be_an_object(body: bytes) -> None:
    refused = refusal(body)
    assert refused.pointer == ""
    assert "object" in refused.detail


@pytest.mark.parametrize("body", [b"", b" ", b"\n\t"])
def test_an_empty_body_is_refused(body: bytes) -> None:
    assert "empty" in refusal(body).detail


def test_too_many_bytes_are_told_apart_from_bad_json() -> None:
    assert read(b'{"a":1}', max_bytes=7)
    with pytest.raises(BodyTooLarge):
        read(b'{"a":1} ', max_bytes=7)


# -- must be refused: written from memory after the families of nst/JSONTestSuite (n_*) ------------

MUST_REFUSE = [
    b'{"a":1,}', b'{,"a":1}', b'{"a":1,,"b":2}', b'{"a" 1}', b'{"a"}', b'{"a":}', b'{:1}', b'{a:1}', b"{'a':1}",
    b'{"a":1', b'{"a":1}}', b'{"a":1}{}', b'{"a":1} x', b'{"a":1}#', b'{"a":1}//c', b'{/*c*/"a":1}', b'{"a":1/**/}',
    b'{1:1}', b'{null:1}', b'{"a":[1,]}', b'{"a":[,1]}', b'{"a":[1,,2]}', b'{"a":[1 2]}', b'{"a":[1', b'{"a":[1}',
    b'{"a":(1)}', b'{"a":tru}', b'{"a":True}', b'{"a":nul}', b'{"a":NULL}', b'{"a":undefined}', b'{"a":nan}',
    b'{"a":inf}', b'{"a":-NaN}', b'{"a":+Inf}', b'{"a":"}', b'{"a":\'b\'}', b'{"a":"\\x41"}', b'{"a":"\\u12"}',
    b'{"a":"\\u12G4"}', b'{"a":"\\u+123"}', b'{"a":"\\u 123"}', b'{"a":"\\U0041"}', b'{"a":"\\a"}', b'{"a":"\\',
    b'{"a":"\\"}', b'{"a":"\n"}', b'{"a":"\t"}', b'{"a":"\x00"}', b'{"a":"\x1f"}', b'{"a\x00":1}', b'{"a":1}\x00',
    b'\x00{"a":1}', b'{"a":\xa01}', b'{"a":\xc2\xa01}', b'{"a":1}\xe2\x80\xa8', b'\x0c{"a":1}', b'{\x0b"a":1}',
    b'{', b'}', b'{"', b'{"a', b'{"a":1]', b'<xml/>', b'a=1&b=2', b'{}{}', b'{} 1', b'"', b'[', b']', b'*', b'{*}',
    b'{"a":0x1}', b'{"a":1__0}', b'{"a":2.e3}', b'{"a":-.1}', b'{"a":1.e}', b'{"a":0.3e}', b'{"a":0e+}',
    b'{"a":9.3e+}', b'{"a":1+2}', b'{"a":-foo}', b'{"a":- 1}', b'{"a":1-}', b'{"a":\xef\xbc\x91}', b'{"a":"b":"c"}',
    b'{"a":"b",c}', b'{"a":b}', b'{"a":[1:2]}', b'{"a":1:2}', b'\xef\xbb\xbf{}', b'\xfe\xff', b'\xff\xfe',
]  # fmt: skip


@pytest.mark.parametrize("body", MUST_REFUSE)
def test_must_refuse(body: bytes) -> None:
    refusal(body)


def test_an_unclosed_string_of_escapes_takes_linear_time() -> None:
    # With a backtracking pattern each escaped quote would start over: minutes instead of milliseconds.
    refusal(b"[{" * 10 + b'"' + b'\\"' * 400_000)


def test_an_error_does_not_carry_the_body() -> None:
    refused = refusal(b'{"reference": "4111111111111111", }')
    assert "4111" not in str(refused)
    assert refused.__cause__ is None
    assert refused.__suppress_context__


def test_pointers_are_escaped_as_rfc_6901_says() -> None:
    assert refusal(b'{"a/b":{"m~n":[0,1.5]}}').pointer == "/a~1b/m~0n/1"
    assert pointer_to("", "") == "/"


# -- properties ------------------------------------------------------------------------------------

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=8)
values: st.SearchStrategy[JsonValue] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**18), 10**18) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=5)


def shuffled(value: Any, order: Any) -> Any:
    if isinstance(value, dict):
        keys = list(value)
        order.shuffle(keys)
        return {key: shuffled(value[key], order) for key in keys}
    return [shuffled(member, order) for member in value] if isinstance(value, list) else value


@given(body=objects, ascii_only=st.booleans(), indent=st.sampled_from([None, 0, 3]))
@settings(deadline=None)
def test_what_was_written_is_read_back(body: JsonObject, ascii_only: bool, indent: int | None) -> None:
    assert read(json.dumps(body, ensure_ascii=ascii_only, indent=indent).encode(), max_depth=64) == body


@given(body=st.binary(max_size=200) | st.text(alphabet='{}[]",:\\u0d8ef1e.-+ \ttruefalsn', max_size=60).map(str.encode))
@settings(deadline=None, max_examples=500)
def test_any_bytes_are_an_object_or_a_refusal_and_what_passes_can_be_stored(body: bytes) -> None:
    try:
        value = read(body)
    except JsonRefused as refused:
        refused.pointer.encode()
    else:
        assert json.loads(canonical(value)) == value
        assert b"\\u0000" not in canonical(value)
        json.dumps(value, ensure_ascii=False).encode()


@given(body=objects, order=st.randoms(use_true_random=False), ascii_only=st.booleans(), indent=st.sampled_from([None, 2]))
@settings(deadline=None)
def test_key_order_white_space_and_escapes_do_not_change_the_fingerprint(
    body: JsonObject, order: Any, ascii_only: bool, indent: int | None
) -> None:
    other = json.dumps(shuffled(body, order), ensure_ascii=ascii_only, indent=indent).encode()
    assert fingerprint("POST", "/v1/payments", read(other, max_depth=64)) == fingerprint("POST", "/v1/payments", body)


@given(one=objects, other=objects)
@settings(deadline=None)
def test_only_equal_bodies_have_equal_canonical_bytes(one: JsonObject, other: JsonObject) -> None:
    # repr tells True from 1, which == does not.
    same = repr(shuffled(one, SORTED)) == repr(shuffled(other, SORTED))
    assert (canonical(one) == canonical(other)) is same


class _Sorted:
    def shuffle(self, keys: list[str]) -> None:
        keys.sort()


SORTED = _Sorted()


# -- fingerprint -----------------------------------------------------------------------------------


def test_the_fingerprint_is_fixed_for_ever() -> None:
    # Stored beside idempotency keys: if this fails, deployed keys stop matching their own requests.
    assert canonical({"b": [1, None, True], "a": "é"}) == b'{"a":"\\u00e9","b":[1,null,true]}'
    assert fingerprint("POST", "/v1/payments", {"amount": 1999, "currency": "EUR"}).hex() == (
        "420488d2efe59a383c788cf7808dbd9c6ba7af3163c656ab5e43f49dfc8ace31"
    )


def test_method_path_and_body_each_count_in_the_fingerprint() -> None:
    variants: list[tuple[str, str, JsonValue]] = [
        ("POST", "/v1/payments", {}),
        ("PUT", "/v1/payments", {}),
        ("POST", "/v1/payments/", {}),
        ("POST", "/v1/payments", {"amount": 1}),
        ("POST", "/v1/payments", {"amount": "1"}),
        ("POST", "/v1/payments", {"amount": True}),
        ("POST", "/v1/payments", {"amount": None}),
        ("POST", "/v1/payments", None),
        ("POST/", "v1/payments", {}),
        ("", "POST/v1/payments", {}),
        ("POST", "/v1/payments{}", {}),
    ]
    assert len({fingerprint(*variant) for variant in variants}) == len(variants)


def test_a_list_keeps_its_order_in_the_fingerprint() -> None:
    assert fingerprint("POST", "/", [1, 2]) != fingerprint("POST", "/", [2, 1])
