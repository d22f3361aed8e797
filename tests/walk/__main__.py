"""The recorded walk: a stack, two people in two terminals, five incidents, and what they saw, as text and as pictures.

    python -m tests.walk [--text docs/walk.md] [--pictures docs/pictures] [STORY ...]

It takes some minutes, and tmux. It fails where a screen does not show what it has to. Not here: the stories (`stories`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Final

from tests.e2e.stack import environment
from tests.walk import stories
from tests.walk.place import place
from tests.walk.terminal import Terminal

COLUMNS: Final = 140
ROWS: Final = 40
STORIES: Final = {
    "unknown": stories.an_unknown_payment,
    "dead_letters": stories.dead_letters,
    "day": stories.a_day,
    "what_if": stories.a_what_if,
    "breaker": stories.a_breaker,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.walk")
    parser.add_argument("--text", type=Path)
    parser.add_argument("--pictures", type=Path)
    parser.add_argument("stories", nargs="*", default=list(STORIES))
    asked = parser.parse_args()
    if shutil.which("tmux") is None:
        print("the walk takes tmux")
        return 2
    with tempfile.TemporaryDirectory(prefix="walk-") as folder, place(Path(folder) / "stack", traffic=2) as stack:
        names = [f"payorch-walk-{os.getpid()}-{who}" for who in ("olga", "amir")]
        terminals = [
            Terminal(
                name,
                [sys.executable, "-m", "payorch", "console", "--data-dir", str(stack.folder), "--as", name.rpartition("-")[2]],
                columns=COLUMNS,
                rows=ROWS,
                folder=Path.cwd(),
                environment=environment({}),
            )
            for name in names
        ]
        try:
            walk = stories.Walk(place=stack, olga=terminals[0], amir=terminals[1])
            for terminal in terminals:
                terminal.until("Overview", "LIVE")
            for name in asked.stories:
                stories.run(walk, STORIES[name])
                print(f"{name}: seen")
        except BaseException:
            for terminal in terminals:
                print(terminal.shows())
            raise
        finally:
            for terminal in terminals:
                terminal.close()
    if asked.pictures:
        asked.pictures.mkdir(parents=True, exist_ok=True)
        for name, drawn in walk.pictures.items():
            (asked.pictures / f"{name}.svg").write_text(drawn, encoding="utf-8")
    if asked.text:
        pages = "\n\n".join(f"## {caption}\n\n```text\n{page.rstrip()}\n```" for caption, page in walk.pages)
        asked.text.write_text(f"# The walk\n\nMade by `python -m tests.walk`, on a local stack.\n\n{pages}\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
