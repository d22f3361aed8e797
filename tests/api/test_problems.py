"""Problems: the catalogue is total and in the words of the contract; an answer has every member, the right headers and
no leak.
"""

from __future__ import annotations

import json
import re

import pytest

from payorch.api.problems import CATALOGUE, MEDIA_TYPE, Code, FieldError, Problem, problem

# The statuses of API.md and of the HTTP edge, written down a second time on purpose.
STATUSES = {
    "invalid_json": 400, "validation_failed": 400, "idempotency_key_missing": 400, "idempotency_key_invalid": 400,
    "signature_refused": 400, "unauthenticated": 401, "forbidden": 403, "not_found": 404, "method_not_allowed": 405, "request_timeout": 408,
    "idempotency_in_progress": 409, "operation_not_allowed": 409, "capability_not_supported": 409, "endpoint_limit_reached": 409,
    "stream_gap": 410,
    "same_person": 403, "action_open": 409, "plan_expired": 410, "plan_changed": 412,
    "payload_too_large": 413, "unsupported_media_type": 415, "idempotency_key_reused": 422, "amount_exceeds_capturable": 422,
    "amount_exceeds_refundable": 422, "card_data_refused": 422, "rate_limited": 429, "headers_too_large": 431,
    "internal_error": 500, "overloaded": 503, "unavailable": 503,
}  # fmt: skip


def made(code: Code) -> Problem:
    kind = CATALOGUE[code]
    needs_list = code in (Code.OPERATION_NOT_ALLOWED, Code.METHOD_NOT_ALLOWED)
    return problem(code, request_id="req-1", retry_after_seconds=3 if kind.waits else None, allowed=["GET", "POST"] if needs_list else None)


def test_every_code_is_in_the_catalogue_with_its_status() -> None:
    assert {code.value: kind.status.value for code, kind in CATALOGUE.items()} == STATUSES
    assert set(CATALOGUE) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_an_answer_has_every_member_of_the_contract(code: Code) -> None:
    body = json.loads(made(code).as_json())
    expected = {"type", "title", "status", "detail", "code", "request_id", "errors", "retryable", "money_moved"}
    assert set(body) == expected | ({"allowed"} if code is Code.OPERATION_NOT_ALLOWED else set())
    assert body["type"] == f"urn:payorch:problem:{code.value}"
    assert body["code"] == code.value
    assert body["status"] == STATUSES[code.value] == made(code).status
    assert body["request_id"] == "req-1"
    assert body["errors"] == []
    assert body["money_moved"] in ("no", "yes", "unknown")
    assert type(body["retryable"]) is bool


@pytest.mark.parametrize("code", Code)
def test_each_detail_says_what_it_means_for_the_money_and_what_to_do(code: Code) -> None:
    kind = CATALOGUE[code]
    sentences = re.split(r"(?<=[.]) ", kind.detail)
    assert len(sentences) >= 3 or code is Code.IDEMPOTENCY_IN_PROGRESS
    assert "money" in kind.detail
    assert ("no money" in kind.detail) is (kind.money_moved == "no")
    assert ("money may" in kind.detail) is (kind.money_moved == "unknown")
    assert kind.detail.endswith(".")
    assert not kind.title.endswith(".")


def test_only_what_may_have_been_executed_leaves_the_money_unknown() -> None:
    unknown = {code for code, kind in CATALOGUE.items() if kind.money_moved == "unknown"}
    assert unknown == {Code.IDEMPOTENCY_IN_PROGRESS, Code.INTERNAL_ERROR, Code.UNAVAILABLE}
    assert all(kind.money_moved != "yes" for kind in CATALOGUE.values())


def test_what_waits_is_retryable_and_says_until_when() -> None:
    waits = {code for code, kind in CATALOGUE.items() if kind.waits}
    assert waits == {Code.IDEMPOTENCY_IN_PROGRESS, Code.RATE_LIMITED, Code.OVERLOADED, Code.UNAVAILABLE}
    for code in waits:
        assert CATALOGUE[code].retryable
        assert ("Retry-After", "3") in made(code).headers
        with pytest.raises(ValueError, match="retry_after_seconds"):
            problem(code, request_id="r")


@pytest.mark.parametrize("seconds", [0, -1])
def test_retry_after_is_at_least_a_second(seconds: int) -> None:
    with pytest.raises(ValueError, match="at least one second"):
        problem(Code.OVERLOADED, request_id="r", retry_after_seconds=seconds)


def test_statuses_bring_the_headers_that_http_requires() -> None:
    assert ("WWW-Authenticate", "Bearer") in made(Code.UNAUTHENTICATED).headers
    assert ("Allow", "GET, POST") in made(Code.METHOD_NOT_ALLOWED).headers
    assert MEDIA_TYPE == "application/problem+json"
    assert all(("Content-Type", MEDIA_TYPE) in made(code).headers for code in Code)


def test_allowed_goes_with_two_codes_only() -> None:
    refused = problem(Code.OPERATION_NOT_ALLOWED, request_id="r", allowed=[])
    assert json.loads(refused.as_json())["allowed"] == []
    with pytest.raises(ValueError, match="allowed"):
        problem(Code.OPERATION_NOT_ALLOWED, request_id="r")
    with pytest.raises(ValueError, match="allowed"):
        problem(Code.NOT_FOUND, request_id="r", allowed=["capture"])


def test_who_knows_more_says_it() -> None:
    answer = problem(
        Code.UNAVAILABLE,
        request_id="r",
        retry_after_seconds=1,
        detail="The database was unreachable before anything was written.",
        money_moved="no",
        errors=[FieldError(pointer="/amount", detail="Too small.")],
    )
    body = json.loads(answer.as_json())
    assert body["money_moved"] == "no"
    assert body["detail"].startswith("The database was")
    assert body["errors"] == [{"pointer": "/amount", "detail": "Too small."}]


def test_extra_members_do_not_replace_those_of_the_contract() -> None:
    answer = Problem(
        code=Code.NOT_FOUND, status=404, title="t", detail="d", request_id="r", retryable=False, money_moved="no", extra={"status": 200}
    )  # fmt: skip
    with pytest.raises(ValueError, match="status"):
        answer.as_json()


def test_a_pointer_with_a_card_number_or_without_end_is_not_repeated() -> None:
    errors = [FieldError(pointer="/metadata/4111111111111111", detail="d"), FieldError(pointer="/" + "x" * 9000, detail="d")]
    body = problem(Code.INVALID_JSON, request_id="r", errors=errors).as_json()
    assert b"4111" not in body
    assert len(body) < 1500


def test_the_body_is_ascii_whatever_is_in_it() -> None:
    body = problem(Code.INVALID_JSON, request_id="r", errors=[FieldError(pointer="/é\ud800", detail="ü")]).as_json()
    assert body.isascii()
    assert json.loads(body)["errors"][0]["detail"] == "ü"
