"""Ports for the platforms that tests start as processes of their own, beside other tests that do the same.

The kernel's own choice (port 0) is among the ports that it gives to connections: after a busy minute hardly ten of them in a row are free,
and one that a platform leaves for a moment between two of its lives may be somebody else's by then. Not here: finding out what is free.
"""

from __future__ import annotations

import os
from typing import Final

from payorch import psp_process

_FIRST: Final = 10_000
_BELOW: Final = 32_000
"""Common kernels give connections the ports from 32,768 on."""
_FOR_A_PROCESS: Final = 500
_FOR_A_PLATFORM: Final = 40  # itself, its PSPs in the second ten, and room

_ports: Final = iter(range(_FIRST + os.getpid() % 20 * _FOR_A_PROCESS, _BELOW, _FOR_A_PLATFORM))


def own_port() -> int:
    """A free port with free ones after it, which no test of this process has had and hardly any of those that run beside it."""
    return next(port for port in _ports if psp_process.free_ports_from(port) == port)
