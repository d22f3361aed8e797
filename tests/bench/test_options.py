"""What a run is asked for: both measurements unless one is named, and nothing that could not be measured."""

from __future__ import annotations

import pytest

from bench.options import options


def test_both_are_measured_unless_one_is_named() -> None:
    assert options([])[0].measured == ("authorizations", "webhooks")
    assert options(["--only", "webhooks"])[0].measured == ("webhooks",)
    assert options(["--only", "settlements", "--rows", "20000"])[0].rows == 20_000


@pytest.mark.parametrize("wrong", [["--seconds", "0"], ["--seconds", "601"], ["--rounds", "0"], ["--rows", "9"], ["--only", "refunds"]])
def test_what_cannot_be_measured_is_refused(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        options(wrong)
    assert "error" in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--payments", "4999"], ["--events", "0"], ["--gone", "1"], ["--payments", "10000", "--events", "500"]])
def test_the_console_is_not_measured_with_too_few_payments_to_tell_of(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert options(["--only", "console"])[0].measured == ("console",)
    with pytest.raises(SystemExit):
        options(["--only", "console", *wrong])
    assert "error" in capsys.readouterr().err
