"""Fixtures of the end-to-end tests: whole platforms, each in a folder and on ports of its own.

The long versions (`prove`) are skipped unless asked for: `pytest tests/e2e -m prove`, or PROVE=1.
"""

from __future__ import annotations

import faulthandler
import itertools
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trio

from tests.e2e.stack import FIRST, QUICK, Stack, routed

_numbers = itertools.count(1)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "prove: takes minutes; runs with `-m prove` or PROVE=1 only")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if os.environ.get("PROVE") == "1" or "prove" in config.getoption("markexpr"):
        return
    skip = pytest.mark.skip(reason="takes minutes: -m prove, or PROVE=1")
    for item in items:
        if item.get_closest_marker("prove") is not None:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def patience(request: pytest.FixtureRequest) -> None:
    """The long ones take longer than the time after which a test counts as hung."""
    if request.node.get_closest_marker("prove") is not None:
        faulthandler.cancel_dump_traceback_later()


@pytest.fixture
def make_stack(open_folder: Path) -> Iterator[Callable[..., Stack]]:
    """Makes a stack that is not started yet; gone after the test, whatever became of it. Its payments go to one PSP unless a setting says
    otherwise."""
    made: list[Stack] = []

    def make(**settings: str) -> Stack:
        made.append(Stack(open_folder / f"e2e-{next(_numbers)}", {**QUICK, **routed(FIRST), **settings}))
        return made[-1]

    yield make
    for stack in made:
        stack.clear()


@pytest.fixture(scope="module")
def lasting(open_folder: Path) -> Iterator[Callable[..., Stack]]:
    """Makes and starts a stack for all tests of a module, with payments routed as its settings say, or as shipped. No fault of the
    platform's own may be in its log in the end."""
    made: list[Stack] = []

    def make(**settings: str) -> Stack:
        made.append(Stack(open_folder / f"e2e-{next(_numbers)}", {**QUICK, **settings}))
        trio.run(made[-1].start)
        return made[-1]

    yield make
    complaints = [line for stack in made if stack.folder.exists() for line in stack.tracebacks()]
    for stack in made:
        stack.clear()
    assert complaints == []


@pytest.fixture
def rough(make_stack: Callable[..., Stack]) -> Iterator[Stack]:
    """For a test that kills and starves it: not running yet, and nobody else's. No fault of the platform's own may be in its log."""
    stack = make_stack()
    yield stack
    assert stack.tracebacks() == []


@pytest.fixture(scope="session")
def shared(open_folder: Path) -> Iterator[Stack]:
    """One running stack for all tests that leave it as they found it: a healthy PSP which tells nothing by itself, and running."""
    short = {"PAYORCH_HTTP__HEADER_DEADLINE_SECONDS": "5", "PAYORCH_HTTP__BODY_DEADLINE_SECONDS": "5"}
    stack = Stack(open_folder / f"e2e-{next(_numbers)}", {**QUICK, **routed(FIRST), **short}, hears=False)
    try:
        trio.run(stack.start)
        yield stack
    finally:
        stack.clear()


@pytest.fixture
def healthy(shared: Stack) -> Iterator[Stack]:
    """The shared stack, running and healthy before the test and after it; no fault of the platform's own may be in its log."""
    if not shared.alive:
        shared.process = None
        trio.run(shared.start)
    yield shared
    if shared.alive:
        trio.run(shared.heal)
    assert shared.tracebacks() == []
