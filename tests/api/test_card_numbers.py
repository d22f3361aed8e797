"""Card data: what is refused, what is not, how often the net closes on something harmless, and what is taken out of
logs.
"""

from __future__ import annotations

import random
import time
import uuid

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from payorch.api.card_numbers import (
    ISSUER_RANGES,
    REFUSED_NAME,
    REFUSED_NUMBER,
    REMOVED,
    IssuerRange,
    find,
    find_loose,
    looks_like_card_number,
    names_card_data,
    passes_luhn,
    redact,
)
from payorch.api.strict_json import JsonValue

CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"

# Published test numbers of schemes and PSPs; none is anybody's card.
TEST_NUMBERS = [
    "4111111111111111", "4242424242424242", "4012888888881881", "4000056655665556", "4222222222222",
    "5555555555554444",
    "5105105105105100", "5200828282828210", "2223003122003222", "2720992593319364", "378282246310005",
    "371449635398431",
    "6011111111111117", "6011000990139424", "6011981111111113", "30569309025904", "38520000023237",
    "36227206271667",
    "3530111333300000", "3566002020360505", "6200000000000005", "6205500000000000004", "6759649826438453",
    "6799990100000000019", "5019717010103742", "6304000000000000", "135410014004955", "6362970000457013",
    "6062826786276634",
]  # fmt: skip


def check_digit(body: str) -> str:
    return next(str(digit) for digit in range(10) if passes_luhn(body + str(digit)))


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    issuer: IssuerRange = draw(st.sampled_from(ISSUER_RANGES))
    length = draw(st.sampled_from(sorted(issuer.lengths)))
    width = len(issuer.first)
    prefix = str(draw(st.integers(int(issuer.first), int(issuer.last)))).zfill(width)
    body = prefix + "".join(draw(st.lists(st.sampled_from("0123456789"), min_size=length - width - 1, max_size=length - width - 1)))
    return body + check_digit(body)


# -- what a card number is -------------------------------------------------------------------------


@pytest.mark.parametrize("number", TEST_NUMBERS)
def test_published_test_numbers_are_found(number: str) -> None:
    assert looks_like_card_number(number)
    assert find_loose(number) == [number]


@given(number=card_numbers())
@settings(deadline=None)
def test_every_issuer_range_in_each_of_its_lengths_is_found(number: str) -> None:
    assert looks_like_card_number(number)


@given(number=card_numbers(), offset=st.integers(1, 9))
@settings(deadline=None)
def test_a_wrong_check_digit_is_not_a_card_number(number: str, offset: int) -> None:
    assert not looks_like_card_number(number[:-1] + str((int(number[-1]) + offset) % 10))


def test_the_unix_time_with_a_number_behind_it_passes() -> None:
    """The commonest way to make an idempotency key by hand."""
    assert not any(looks_like_card_number(f"1795410685-{number:05}") for number in range(0, 100_000, 7))


@pytest.mark.parametrize(
    "prefix_and_length",
    [
        ("41", 15),
        ("41", 17),
        ("51", 15),
        ("51", 17),
        ("2220", 16),
        ("2721", 16),
        ("34", 16),
        ("37", 14),
        ("3527", 16),
        ("99", 16),
        ("0", 16),
        ("7", 16),
    ],
)
def test_another_scheme_s_length_or_no_issuer_range_passes(prefix_and_length: tuple[str, int]) -> None:
    prefix, length = prefix_and_length
    body = prefix.ljust(length - 1, "1")
    assert not looks_like_card_number(body + check_digit(body))


def test_twenty_digits_or_eleven_are_no_card_number() -> None:
    assert not looks_like_card_number("41111111111111110000")
    assert not looks_like_card_number("50000000005")


def test_the_table_is_in_order() -> None:
    for issuer in ISSUER_RANGES:
        assert len(issuer.first) == len(issuer.last)
        assert issuer.first <= issuer.last
        assert min(issuer.lengths) >= 12
        assert max(issuer.lengths) <= 19


# -- ways of writing one ---------------------------------------------------------------------------

SEPARATORS = [
    " ", "-", ".", "  ", " - ", "\t", "\n", "\u00a0", "\u2009", "\u202f", "\u3000", "\u200b", "\u2060",
    "\u00ad", "\ufeff", "\u2010", "\u2011",
    "\u2012", "\u2013", "\u2014", "\u2212", "\uff0d", "\u00b7", "\u2022", "\uff0e", "\u2024",
]  # fmt: skip


@pytest.mark.parametrize("separator", SEPARATORS, ids=lambda text: ".".join(f"{ord(character):04x}" for character in text))
@pytest.mark.parametrize("groups", [("4111", "1111", "1111", "1111"), ("3782", "822463", "10005"), tuple("5555555555554444")])
def test_separators_do_not_hide_it(separator: str, groups: tuple[str, ...]) -> None:
    written = separator.join(groups)
    assert looks_like_card_number(written)
    assert looks_like_card_number(f"order {written}, thanks")
    assert find_loose(written) == ["".join(groups)]
    assert "4111" not in redact(f"é{written}")


def test_mixed_separators_do_not_hide_it() -> None:
    assert looks_like_card_number("4111 1111-1111.1111")


@pytest.mark.parametrize("zero", ["\uff10", "\u0660", "\u06f0", "\u0966", "\U0001d7ce", "\U0001d7d8"])
def test_other_digits_do_not_hide_it(zero: str) -> None:
    written = "".join(chr(ord(zero) + int(digit)) for digit in "4111111111111111")
    assert looks_like_card_number(written)
    assert looks_like_card_number(f"é {written[:4]}-{written[4:]}")
    assert redact(f"card {written}") == REMOVED


@pytest.mark.parametrize("text", ["\u2074\u00b9\u00b9\u00b9111111111111", "4\ufe0f\u20e3111111111111111"])
def test_superscripts_and_keycaps_do_not_hide_it(text: str) -> None:
    assert looks_like_card_number(text)


@pytest.mark.parametrize(
    "text",
    ["card:{}", "({})", "order_{}", "{}.", "#{}", "{}/x", "a={}&b", '"{}"', "é {}", "x\n{}\ny", "12 {}", "{} 12/29"],
)
def test_it_is_found_inside_text(text: str) -> None:
    assert looks_like_card_number(text.format("4111111111111111"))
    assert looks_like_card_number(text.format("4111 1111 1111 1111"))


@pytest.mark.parametrize(
    "text",
    ["R4111111111111111", "4111111111111111R", "x4111111111111111y", "é4111111111111111", "04111111111111111111"],
)
def test_the_bounded_form_passes_what_touches_a_letter_or_digit(text: str) -> None:
    assert not looks_like_card_number(text)


def test_the_loose_form_finds_what_touches_a_letter() -> None:
    assert find_loose("R4111111111111111x and é5555555555554444") == ["4111111111111111", "5555555555554444"]
    assert find_loose("nothing here, 1234567890123456") == []


def test_prefixing_a_letter_makes_a_reference_pass_as_the_refusal_says() -> None:
    assert looks_like_card_number("4000056655665556")
    assert find({"reference": "R4000056655665556"}) == []
    assert "letter in front" in REFUSED_NUMBER
    assert not looks_like_card_number(REFUSED_NUMBER)
    assert "another name" in REFUSED_NAME


# -- what must not be refused ----------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "", "order-1001", "tok_visa", "2026-10-09T12:34:56.789Z", "1999", "20261009-123456",
        "DE89370400440532013000",
        "https://shop.example/return?order=12", "+4915112345678", "+44 7911 123456", "192.168.100.200", "1.2.3.4",
    ],
)  # fmt: skip
def test_everyday_values_pass(text: str) -> None:
    assert not looks_like_card_number(text)


def test_a_telephone_number_with_plus_passes_and_a_card_number_with_plus_does_not() -> None:
    body = "491511234567"
    assert not looks_like_card_number("+" + body + check_digit(body))
    assert looks_like_card_number("+378282246310005")
    assert looks_like_card_number("+4111111111111111")


@given(
    body=st.text(CROCKFORD, min_size=26, max_size=26),
    prefix=st.sampled_from(["pay", "att", "cap", "ref", "whe", "dlq"]),
)
@settings(deadline=None)
def test_our_own_ids_are_never_refused(body: str, prefix: str) -> None:
    assert not looks_like_card_number(f"{prefix}_{body}")


@given(text=st.text(alphabet=st.characters(exclude_categories=["Nd", "No"])))
@settings(deadline=None)
def test_text_without_digits_is_never_refused(text: str) -> None:
    assert not looks_like_card_number(text)
    assert redact(text) == text


def test_false_alarms_stay_rare_on_identifiers() -> None:
    dice = random.Random(20261009)
    tries = 20_000

    def share(make: object) -> float:
        assert callable(make)
        return sum(looks_like_card_number(make()) for _ in range(tries)) / tries

    assert share(lambda: str(uuid.UUID(int=dice.getrandbits(128), version=4))) < 0.001  # RELIABILITY.md: 0.021 %
    assert share(lambda: f"{dice.getrandbits(128):032x}") == 0
    assert share(lambda: str(1_790_000_000_000_000_000 + dice.randrange(10**17))) == 0  # nanoseconds
    assert share(lambda: str(1_790_000_000_000 + dice.randrange(10**11))) == 0  # milliseconds
    assert 0.02 < share(lambda: f"{dice.randrange(10**16):016d}") < 0.05  # RELIABILITY.md: 3.8 %


# -- in a body -------------------------------------------------------------------------------------


def test_find_points_at_values_names_and_integers_at_any_depth() -> None:
    body: JsonValue = {
        "reference": "4111 1111 1111 1111",
        "metadata": {
            "list": ["ok", {"deep": "x 5555-5555-5555-4444 y"}],
            "number": 4242424242424242,
            "negative": -378282246310005,
        },
        "a/b": {"c~d": "4222222222222"},
        "fine": [1, True, None, "tok_visa"],
    }
    assert find(body) == ["/reference", "/metadata/list/1/deep", "/metadata/number", "/metadata/negative", "/a~1b/c~0d"]


def test_a_name_that_is_a_card_number_is_not_repeated_in_the_pointer() -> None:
    assert find({"metadata": {"4111111111111111": 1}}) == [f"/metadata/{REMOVED}"]
    assert find({"x4111111111111111": {"cvv": 1}}) == [f"/x{REMOVED}/cvv"]


def test_a_clean_body_has_no_finding() -> None:
    assert find({"amount": 1999, "payment_method": {"token": "tok_visa", "last4": "4242"}, "metadata": {"cart": "9"}}) == []
    assert find({}) == []


def test_a_large_amount_is_an_amount_and_a_card_number_as_amount_is_not() -> None:
    body = "60000000000"
    amount = int(body + check_digit(body))
    assert find({"amount": amount}) == []
    assert find({"other": amount}) == ["/other"]
    assert find({"amount": 4111111111111111}) == ["/amount"]
    assert find({"amount": -4111111111111111}) == ["/amount"]
    assert find({"amount": str(amount)}) == ["/amount"]


@pytest.mark.parametrize(
    "name",
    [
        "cvv", "CVV", "cvv2", "cvc", "Cvc2", "cid", "csc", "security_code", "securityCode", "Security-Code",
        "card_number", "cardNumber",
        "CARD NUMBER", "pan", "track1", "track_2", "trackData", "track_data", "track2-data", "pin",
        "PIN_block", "magstripe", "mag_stripe",
        "card_cvv", "paymentMethodCvc", "c.v.v", "\uff43\uff56\uff56", "c\u200bvv", "cc-number",
        "card_verification_value",
    ],
)  # fmt: skip
@pytest.mark.parametrize("value", ["123", 123, None, {"x": "y"}, [1], ""])
def test_a_field_named_like_card_data_is_refused_whatever_it_holds(name: str, value: JsonValue) -> None:
    assert names_card_data(name)
    assert find({"payment_method": {name: value}}) == [f"/payment_method/{name}"]


@pytest.mark.parametrize(
    "name",
    [
        "tracking_number", "tracking", "pincode", "pinned", "panel", "company", "spin", "card", "card_brand",
        "last4", "client_id", "incident",
        "cvc_check", "cvv_result", "token", "account_number", "loyalty_card_number", "", "_", "код",
    ],
)  # fmt: skip
def test_harmless_names_pass(name: str) -> None:
    assert not names_card_data(name)


# -- logs ------------------------------------------------------------------------------------------


def test_redact_takes_numbers_out_and_leaves_the_rest() -> None:
    line = "ref=4111111111111111 id=pay_01jayq7w3k9zd4 x5555 5555 5555 4444y at 2026-10-09"
    assert redact(line) == f"ref={REMOVED} id=pay_01jayq7w3k9zd4 x{REMOVED}y at 2026-10-09"
    assert redact("short") == "short"
    assert redact("é 4111111111111111 ü") == f"é {REMOVED} ü"


@given(before=st.text(max_size=20), number=card_numbers(), after=st.text(max_size=20), group=st.integers(1, 19))
@settings(deadline=None)
def test_nothing_is_found_in_what_was_redacted(before: str, number: str, after: str, group: int) -> None:
    written = " ".join(number[index : index + group] for index in range(0, len(number), group))
    assert find_loose(redact(f"{before}|{written}|{after}")) == []
    assert redact(redact(f"{before}{written}{after}")) == redact(f"{before}{written}{after}")


@given(text=st.text(alphabet="0123456789 .-x+\u200b\uff14", max_size=120))
@settings(deadline=None, max_examples=300)
def test_any_mixture_of_digits_is_clean_after_redaction(text: str) -> None:
    assert find_loose(redact(text)) == []


@pytest.mark.parametrize("text", ["1 " * 60_000, "4" * 120_000, "1-" * 60_000, "4.1" * 40_000, "\u200b4" * 60_000, " " * 120_000])
def test_hostile_text_takes_linear_time(text: str) -> None:
    # Far above what 120 KB take (0.3 s at most here), far below what anything quadratic would.
    started = time.process_time()
    looks_like_card_number(text)
    redact(text)
    assert time.process_time() - started < 10
