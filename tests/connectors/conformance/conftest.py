"""Every test of this folder runs once for each PSP of the registry, and nothing here names one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from connectors.registry import CONNECTORS
from tests.connectors.conformance.psp import Psp, dealing_with


@pytest.fixture(params=sorted(CONNECTORS))
def name(request: pytest.FixtureRequest) -> str:
    """A PSP's name."""
    return str(request.param)


@pytest.fixture
async def psp(name: str) -> AsyncIterator[Psp]:
    """The PSP, fresh: no payments, no faults."""
    async with dealing_with(name) as fresh:
        yield fresh
