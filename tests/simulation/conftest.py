"""The workers that simulation tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from payorch.store.embedded import Cluster
from tests.simulation.runner import WORKERS, Crew


@pytest.fixture(scope="session")
def crew(cluster: Cluster) -> Iterator[Crew]:
    """Worker processes over the run's server. They end with the run."""
    made = Crew(cluster, WORKERS)
    yield made
    made.close()
