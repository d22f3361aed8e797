"""The folder into which somebody, or a PSP's own file transfer, puts settlement reports.

    <folder>/<connector>/<name>.csv, or <folder>/<connector>-<name>.csv     a report
    <folder>/done/<connector>/<name>.csv                                    imported
    <folder>/refused/<connector>/<name>.csv, and .reason beside it          not imported, and why

A file is taken once it is as large and as old at two looks one after the other: then whoever writes it is done. What is still being
written under another name (.part, .tmp, or a dot in front) is left alone until it has its own. A file that stays where it is because the
platform went down is taken at the next look, and goes on where its import was.

Not here: reading a report (`payorch.settlements`), how often somebody looks (the reconciler).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from pathlib import Path
from typing import Final, TypeAlias, final

import trio

from payorch.wording import printable, shortened

DONE: Final = "done"
REFUSED: Final = "refused"
REASON: Final = ".reason"
FILES_AT_ONCE: Final = 100
"""That one look takes. A year of a PSP's days fits into four; what is left over is seen by the next look."""
_LONGEST_REASON: Final = 2_000
_SUFFIX: Final = ".csv"

_Size: TypeAlias = tuple[int, int]


class Refused(Exception):
    """The file is not imported, and never will be as it is; the text says why."""


Take: TypeAlias = Callable[[str, Path], Awaitable[None]]
"""Imports a file for that connector. Raises Refused; anything else leaves the file where it is."""


@final
class DropFolder:
    """take: imports one. told: hears what became of a file (its name, and why it was refused or could not be moved); must not wait."""

    def __init__(
        self,
        root: Path,
        connectors: Collection[str],
        take: Take,
        *,
        told: Callable[[str, str | None], None] = lambda name, refusal: None,
    ) -> None:
        self._root = root
        self._connectors = sorted(connectors, key=len, reverse=True)  # of two that begin alike, the longer is meant
        self._take = take
        self._told = told
        self._seen: dict[Path, _Size] = {}
        self._taken: dict[Path, _Size] = {}

    async def look(self) -> int:
        """Takes the files that have come in whole since the last look, and says how many were imported. Raises what `take` raises but
        Refused, after the others had their turn.
        """
        found = await self._files()
        ready = [path for path, size in found.items() if self._seen.get(path) == size and self._taken.get(path) != size]
        self._seen = found
        self._taken = {path: size for path, size in self._taken.items() if found.get(path) == size}
        imported, troubles = 0, list[Exception]()
        for path in sorted(ready)[:FILES_AT_ONCE]:
            try:
                imported += await self._one(path)
            except Exception as trouble:
                troubles.append(trouble)
        if troubles:
            raise troubles[0]
        return imported

    async def _one(self, path: Path) -> bool:
        connector = self._connector_of(path)
        assert connector is not None, "nobody else's files are looked at"
        refusal: str | None = None
        try:
            await self._take(connector, path)
        except Refused as reason:
            refusal = shortened(printable(str(reason)), _LONGEST_REASON)
        self._taken[path] = self._seen[path]
        try:
            await self._put_away(path, connector, refusal)
        except OSError as obstacle:  # it is not taken again as long as it is the same, by this process
            refusal = f"{refusal or 'imported'}; it could not be moved: {obstacle.strerror}"
        self._told(path.name, refusal)
        return refusal is None

    async def _put_away(self, path: Path, connector: str, refusal: str | None) -> None:
        folder = trio.Path(self._root) / (DONE if refusal is None else REFUSED) / connector
        await folder.mkdir(parents=True, exist_ok=True)
        name, number = path.name, 2
        while await (folder / name).exists():
            name, number = f"{path.stem}-{number}{path.suffix}", number + 1
        await trio.Path(path).rename(folder / name)
        if refusal is not None:
            await (folder / f"{name}{REASON}").write_text(f"{refusal}\n", encoding="utf-8")

    async def _files(self) -> dict[Path, _Size]:
        """Every report there is, with its size and the time of its last change."""
        found: dict[Path, _Size] = {}
        for folder in (self._root, *(self._root / name for name in self._connectors)):
            if not await trio.Path(folder).is_dir():
                continue
            for one in await trio.Path(folder).iterdir():
                path = Path(one)
                ours = path.suffix.lower() == _SUFFIX and not path.name.startswith(".") and self._connector_of(path) is not None
                if ours and not await one.is_symlink() and await one.is_file():
                    status = await one.stat()
                    found[path] = (status.st_size, status.st_mtime_ns)
        return found

    def _connector_of(self, path: Path) -> str | None:
        if path.parent != self._root:
            return path.parent.name
        return next((name for name in self._connectors if path.name.startswith(f"{name}-")), None)
