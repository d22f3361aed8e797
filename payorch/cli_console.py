"""`payorch console`, and what `payorch up --console` needs of this terminal. The console itself is `tui`, a process of its own.

Not here: anything that is shown, or asked of the platform.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Final, Literal

from cyclopts import Parameter, validators

from payorch.cli_place import HERE, At
from payorch.terminal import CalledWrongly, CommandFailed, tell

LOG: Final = "payorch.log"
_PRIVATE: Final = 0o600

Theme = Literal["dark", "light", "high-contrast", "ansi-16"]
File = Annotated[Path | None, Parameter(validator=validators.Path(exists=True, dir_okay=False))]


def console(
    *,
    record: Annotated[Path | None, Parameter(help="write what is seen into this file, redacted")] = None,
    replay: Annotated[File, Parameter(help="show such a file instead of a platform; nothing can be done there")] = None,
    from_: Annotated[str | None, Parameter(name="--at", help="of a replay: from this time of day on, as in 14:31")] = None,
    speed: Annotated[float, Parameter(validator=validators.Number(gt=0, lte=1000), help="of a replay: so many times as fast")] = 1.0,
    theme: Theme = "dark",
    ascii_: Annotated[bool, Parameter(name="--ascii", negative="", help="no characters beyond ASCII")] = False,
    at: At = HERE,
) -> None:
    """Open the operators' console on a platform: the local stack's, or any by --url and --token."""
    if not _has_terminal():
        raise CalledWrongly("the console needs a terminal; `payorch ops` shows and does the same without one")
    if replay is not None and record is not None:
        raise CalledWrongly("a replay is not recorded: it is a recording")
    from tui.start import run

    place = None if replay is not None else at.place()
    code = run(
        url=None if place is None else place.base_url,
        token=None if place is None else place.token.reveal(),
        record=record,
        replay=replay,
        at=from_,
        speed=speed,
        ascii_only=ascii_,
        theme=theme,
    )
    if code:
        raise CommandFailed("the console has ended by a fault; its report says which")


@contextmanager
def screen_kept_clean(data_dir: Path) -> Iterator[tuple[int, Callable[[str], None]]]:
    """While the console has the terminal nobody else may write there: where the log goes, and what takes words for people, which are said
    when it has ended.
    """
    from payorch import folders

    if not _has_terminal():
        raise CalledWrongly("--console needs a terminal; without one start `payorch up`, and look with `payorch ops`")
    folders.make_private_folder(data_dir)
    log = data_dir / LOG
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, _PRIVATE)
    kept: list[str] = []
    try:
        tell(f"payorch is starting; its log is {log.absolute()}")
        yield descriptor, kept.append
    finally:
        os.close(descriptor)
        for text in kept:
            tell(text)


def _has_terminal() -> bool:
    """Whether somebody is there who sees what is painted, which goes to stderr, and presses keys."""
    return all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
