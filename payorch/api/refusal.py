"""How code of the API says no: one exception, which becomes a problem where the request id is known.

Not here: the codes and their statuses (`problems`), nor declines, which are payments and not refusals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from http import HTTPStatus

from payorch.api.problems import Code, FieldError, MoneyMoved, Problem, problem
from payorch.api.strict_json import JsonValue

# Enough to correct a body in one go, and no more: a body of a thousand unknown fields must not be answered with a thousand errors.
MOST_ERRORS = 20


class Refusal(Exception):
    """The request is answered with the problem of `code`. The arguments are those of `problems.problem`."""

    def __init__(
        self,
        code: Code,
        *,
        detail: str | None = None,
        errors: Sequence[FieldError] = (),
        money_moved: MoneyMoved | None = None,
        retry_after_seconds: int | None = None,
        allowed: Sequence[str] | None = None,
        extra: Mapping[str, JsonValue] | None = None,
    ) -> None:
        super().__init__(code)
        self.code = code
        self._detail = detail
        self._errors = tuple(errors)[:MOST_ERRORS]
        self._money_moved = money_moved
        self._retry_after_seconds = retry_after_seconds
        self._allowed = allowed
        self._extra = extra

    def problem(self, request_id: str) -> Problem:
        """The problem to answer with."""
        return problem(
            self.code,
            request_id=request_id,
            detail=self._detail,
            errors=self._errors,
            money_moved=self._money_moved,
            retry_after_seconds=self._retry_after_seconds,
            allowed=self._allowed,
            extra=self._extra,
        )


class InvalidBody(Refusal):
    """The body is JSON, but not what this call takes: 422 `validation_failed`, with a pointer to each place.

    The catalogue's status for this code (400) is that of parameters and headers.
    """

    def __init__(self, errors: Sequence[FieldError]) -> None:
        super().__init__(Code.VALIDATION_FAILED, errors=errors)

    def problem(self, request_id: str) -> Problem:
        """The catalogue's problem, with the status of an understood but unusable body."""
        return replace(super().problem(request_id), status=HTTPStatus.UNPROCESSABLE_ENTITY.value)


def not_found() -> Refusal:
    """Nothing of that address belongs to the caller; whether it belongs to somebody else is not said."""
    return Refusal(Code.NOT_FOUND)
