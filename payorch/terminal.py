"""What the commands of the command line share: the way to the screen, and the options that many of them have.

Whatever is printed is made harmless first where it came from outside: a terminal obeys control characters, and a reader obeys the order in
which letters seem to stand. Not here: commands (`cli`, `cli_webhooks`), columns and words (`wording`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final, TypeAlias

from cyclopts import Parameter

DEFAULT_DATA_DIR: Final = Path(".payorch")

Json: TypeAlias = Annotated[bool, Parameter(name="--json", negative="", help="print JSON")]
DataDir: TypeAlias = Annotated[
    Path | None,
    Parameter(name="--data-dir", help="the local stack of this folder, where PAYORCH_DATABASE_URL and PAYORCH_SECRET_KEY are not set"),
]


class CommandFailed(Exception):
    """The command did what it could and the answer is no. The text is for the person."""


class CalledWrongly(Exception):
    """The options do not go together. The text says what would."""


def say(text: str) -> None:
    """One text on stdout, at once."""
    print(text, flush=True)


def tell(text: str) -> None:
    """As `say`, for commands that go on when nobody reads any more."""
    try:
        say(text)
    except BrokenPipeError:
        stop_printing()


def hint(text: str) -> None:
    """One line on stderr that is no error: what a person wants to know and a program that reads stdout does not."""
    print(f"payorch: {text}", file=sys.stderr, flush=True)


def progress(text: str) -> None:
    """One line that is overwritten, where a person looks on."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def stop_printing() -> None:
    """The reader has had enough, as in `payorch states | head`. Python would complain once more when it closes stdout."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def show(data: object, as_json: bool, text: Callable[[], str]) -> None:
    """The answer of a command: as JSON for programs, or as text for people."""
    say(as_text(data, indent=2) if as_json else text())


def as_text(data: object, *, indent: int | None = None) -> str:
    """JSON as people read it, with what a terminal would obey written as JSON's own escapes."""
    text = json.dumps(data, indent=indent, ensure_ascii=False)
    # Outside of strings JSON has nothing but printable characters and line ends, so every escape stands inside one.
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def complain(*lines: str) -> int:
    """What went wrong, on stderr; the exit code of a command that failed."""
    for line in lines:
        for part in line.splitlines() or [""]:
            print(f"payorch: {part}", file=sys.stderr)
    return 1
