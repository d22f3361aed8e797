"""Files to hand on: what a screen shows as redacted JSON, as text, and as a picture; and the report of a crash.

Not here: what is in it (the screen's `export_data`).
"""

from __future__ import annotations

import json
import os
import platform
import traceback
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from tui.redact import redacted

FOLDER: Final = "payorch-exports"


def bundle(root: Path, name: str, at: datetime, data: Any, text: str, picture: str | None, about: dict[str, Any]) -> tuple[Path, list[str]]:
    """Writes it into a folder of its own, readable by its owner only. Gives where, and which names were struck out."""
    folder = root / FOLDER / f"{at:%Y%m%dT%H%M%SZ}-{_file_name(name)}"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    struck: set[str] = set()
    clean = redacted(data, struck)
    whole = {**about, "exported_at": at.isoformat(timespec="milliseconds"), "struck_out": sorted(struck), "data": clean}
    _write(folder / "data.json", json.dumps(whole, indent=2, ensure_ascii=False, default=str) + "\n")
    _write(folder / "screen.txt", str(redacted(text, struck)))
    if picture is not None:
        _write(folder / "screen.svg", picture)
    return folder, sorted(struck)


def crash_report(root: Path, error: BaseException, at: datetime, about: dict[str, Any]) -> Path:
    """What went wrong, redacted: kinds of errors and places in the code, no values of variables."""
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    path = folder / f"crash-{at:%Y%m%dT%H%M%SZ}.txt"
    frames = "".join(traceback.format_tb(error.__traceback__))
    words = [f"{name}: {value}" for name, value in {**about, "python": platform.python_version(), "at": at.isoformat()}.items()]
    _write(path, "\n".join([*words, "", type(error).__name__ + ": " + str(redacted(str(error)))[:500], "", frames]))
    return path


def _write(path: Path, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
        file.write(text)


def _file_name(text: str) -> str:
    return (
        "".join(character if character.isascii() and (character.isalnum() or character in "-_") else "-" for character in text)[:60]
        or "screen"
    )
