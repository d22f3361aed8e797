"""For the tests of single commands: running one in a folder and an environment of its own, as a person would."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from payorch import cli


class Ran(NamedTuple):
    """What a command ended with and printed."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


def runner(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path, **environment: str) -> Run:
    """Runs commands there, with nothing of PAYORCH_... but `environment`."""
    for name in [name for name in os.environ if name.startswith("PAYORCH_")]:
        monkeypatch.delenv(name)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(folder)

    def run(*words: str) -> Ran:
        try:
            code = cli.run(list(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ran(code, *capfd.readouterr())

    return run
