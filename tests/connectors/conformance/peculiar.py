"""What no manifest says of a PSP and the conformance suite has to be told: its published API.

A PSP may have a module `tests/connectors/<psp>/conformance.py` with a `PECULIAR`; one that has none is held to everything all the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from connectors.contract import HttpRequest

SPECIFICATIONS: Final = Path(__file__).parents[4] / "shared/psp-specs"
"""The PSPs' own OpenAPI documents, beside the project where they are at all."""

Check = Callable[[HttpRequest], list[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peculiar:
    """One PSP's. specification: the documents that `violations` reads; without all of them nothing can be checked. violations: what the
    published API says against a request, one sentence each.
    """

    specification: tuple[Path, ...] = ()
    violations: Check | None = None


def peculiar(name: str) -> Peculiar:
    """That PSP's, or nothing peculiar."""
    module = f"tests.connectors.{name}.conformance"
    try:
        known = find_spec(module) is not None
    except ModuleNotFoundError:  # it has no tests of its own
        known = False
    if not known:
        return Peculiar()
    found = import_module(module).PECULIAR
    assert isinstance(found, Peculiar)
    return found
