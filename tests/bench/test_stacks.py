"""Profiles by package: whose a frame is, and how samples are counted."""

from __future__ import annotations

from functools import partial

import pytest

from bench import stacks

_ROOT = "/somewhere/checkout"
_SITE = f"{_ROOT}/.venv/lib/python3.11/site-packages"
_PACKAGE = partial(stacks.package_of, root=_ROOT + "/")


@pytest.mark.parametrize(
    ("frame", "package"),
    [
        (f"run ({_SITE}/trio/_core/_run.py:2010)", "trio"),
        (f"next_event ({_SITE}/h11/_connection.py:487)", "h11"),
        (f"<lambda> ({_SITE}/six.py:3)", "six"),
        (f"decide ({_ROOT}/payorch/domain/decide.py:10)", "payorch.domain"),
        (f"main ({_ROOT}/payorch/cli.py:10)", "payorch.cli"),
        (f"receive ({_ROOT}/actors/transaction.py:10)", "actors"),
        (f"read ({_SITE}/payorch/store/journal.py:7)", "payorch.store"),
        ("loads (/usr/local/lib/python3.11/json/__init__.py:346)", "python:json"),
        ("__exit__ (/usr/lib/python3.11/contextlib.py:141)", "python:contextlib"),
        ("__init__ (<attrs generated methods trio._core._run.CancelScope>:4)", "trio"),
        ("_find_and_load (<frozen importlib._bootstrap>:1176)", "python"),
        ("somewhere", "python"),
    ],
)
def test_a_frame_belongs_to_a_package(frame: str, package: str) -> None:
    assert stacks.package_of(frame, root=_ROOT) == package


def test_self_time_is_the_innermost_frame_and_inclusive_time_counts_a_package_once() -> None:
    run, step = f"run ({_SITE}/trio/_run.py:1)", f"step ({_SITE}/trio/_run.py:2)"
    parse = f"parse ({_SITE}/h11/_readers.py:9)"
    samples, shares = stacks.shares([f"{run};{step};{parse} 3", f"{run};{step} 1", ""], _PACKAGE)
    assert samples == 4
    assert shares == [
        stacks.Share(name="h11", own=0.75, inclusive=0.75),
        stacks.Share(name="trio", own=0.25, inclusive=1.0),
    ]


def test_no_samples_are_no_shares() -> None:
    assert stacks.shares([], _PACKAGE) == (0, [])


def test_a_line_without_a_count_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid literal"):
        stacks.shares(["run (a.py:1);step (b.py:2)"], _PACKAGE)


def test_functions_are_told_apart_by_their_package() -> None:
    lines = [f"Journal.write ({_ROOT}/payorch/store/journal.py:1);write ({_SITE}/trio/_file.py:2) 1"]
    _, shares = stacks.shares(lines, partial(stacks.function_of, root=_ROOT))
    assert [share.name for share in shares] == ["trio write", "payorch.store Journal.write"]
