"""Private files and folders of `payorch up` and the simulators: made so that nobody else reads them, replaced whole, and held by one.

Not here: what is in them.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class FolderRefused(Exception):
    """A folder or its lock cannot be used as it is. The text says why and what to do."""


def make_private_folder(folder: Path) -> None:
    """Makes the folder with mode 0700; one that is there already keeps its mode. Raises FolderRefused where others could write into it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise FolderRefused(f"the data folder {folder} cannot be made: {error.strerror}. Choose another with --data-dir") from None
    if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise FolderRefused(f"others may write into {folder}, or it is somebody else's. Choose another with --data-dir, or chmod 700 it")


@contextmanager
def only_one(lock: Path, refusal: str) -> Iterator[None]:
    """Holds a lock file for the length of the block; the kernel lets go of it with the process. Raises FolderRefused with that text."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        if not _taken(descriptor):
            raise FolderRefused(refusal)
        yield
    finally:
        os.close(descriptor)


def is_held(lock: Path) -> bool:
    """Whether some process is in an `only_one` block of that lock file."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        return not _taken(descriptor)
    finally:
        os.close(descriptor)


def write_private(file: Path, text: str) -> None:
    """Puts a whole file of mode 0600 in place, durably: whoever reads it sees all of it, or the one before."""
    draft = file.with_name(file.name + ".draft")
    with suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    draft.replace(file)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
