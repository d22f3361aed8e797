"""What a run is asked for on the command line. Not here: the run (`__main__`)."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

MEASURED: Final = ("authorizations", "webhooks")
"""What is measured, in this order."""
ON_REQUEST: Final = ("settlements", "console")
"""What is measured where it is named: it takes minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """measured: one or all of MEASURED, or one of ON_REQUEST. subject: what is compared with the bare composition. open_loop: requests a
    second. rows: of the settlement report. payments, events, listen, gone: what the console is measured with (`console`), the last two in
    seconds.
    """

    measured: tuple[str, ...]
    rounds: int
    seconds: float
    connections: int
    capture: str
    subject: str
    open_loop: float | None
    profile: bool
    rows: int
    payments: int
    events: float
    listen: float
    gone: float


def options(arguments: Sequence[str] | None) -> tuple[Options, bool]:
    """The options, and whether the result is to be printed as JSON. Ends the process with a usage message where they are wrong."""
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--only", choices=(*MEASURED, *ON_REQUEST), help="measure that alone")
    parser.add_argument("--rounds", type=int, default=3, choices=range(1, 51), metavar="1..50")
    parser.add_argument("--seconds", type=float, default=5.0, help="the measured window of each round")
    parser.add_argument("--connections", type=int, default=16, choices=range(1, 513), metavar="1..512")
    parser.add_argument("--capture", choices=["automatic", "manual"], default="automatic")
    parser.add_argument("--subject", choices=["platform", "bare"], default="platform", help="what is compared with the bare composition")
    parser.add_argument("--open-loop", type=float, metavar="RATE", help="also a round of each at so many requests a second")
    parser.add_argument("--profile", action="store_true", help="also a round of each under py-spy")
    parser.add_argument("--rows", type=int, default=1_000_000, help="lines of the settlement report; a tenth of them is measured as well")
    parser.add_argument("--payments", type=int, default=50_000, help="that the console lists")
    parser.add_argument("--events", type=float, default=1_000.0, metavar="RATE", help="a second that the console is told")
    parser.add_argument("--listen", type=float, default=60.0, metavar="SECONDS", help="for how long, on each of two screens")
    parser.add_argument("--gone", type=float, default=120.0, metavar="SECONDS", help="for how long the console's server is away")
    parser.add_argument("--json", action="store_true", help="print the whole results as JSON instead of text")
    given = vars(parser.parse_args(arguments))
    if not 1 <= given["seconds"] <= 600:
        parser.error("--seconds is between 1 and 600")
    if not 10 <= given["rows"] <= 10_000_000:
        parser.error("--rows is between 10 and 10,000,000")
    _check_console(parser, given)
    only, as_json = given.pop("only"), given.pop("json")
    return Options(measured=MEASURED if only is None else (only,), **given), as_json


def _check_console(parser: argparse.ArgumentParser, given: Mapping[str, Any]) -> None:
    bounds = {"payments": (5_000, 1_000_000), "events": (1, 10_000), "listen": (5, 600), "gone": (5, 600)}
    for name, (least, most) in bounds.items():
        if not least <= given[name] <= most:
            parser.error(f"--{name} is between {least:,} and {most:,}")
    if given["events"] * given["listen"] > 1.2 * given["payments"]:
        parser.error("--events times --listen is at most 1.2 times --payments: each of these lives through four events, for two screens")
