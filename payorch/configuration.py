"""Where settings are read: TOML folders, environment variables and a command's options, each value with its origin, the last one winning.

It knows files, variables and dotted paths, and no setting by name (`payorch.settings` does, and checks the values). Every function adds
what it finds wrong to a list, so that a person sees all of it at once.
"""

from __future__ import annotations

import tomllib
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from payorch.toml_lines import line_of

PREFIX: Final = "PAYORCH_"
CONFIG_DIR: Final = "PAYORCH_CONFIG_DIR"
FILES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {"payorch.toml": (), "connectors.toml": ("connectors",), "routing.toml": ("routing",)}
)
"""File -> the section that its tables belong to."""

# Read elsewhere, each by the one who needs it.
_OTHER_VARIABLES: Final = frozenset({CONFIG_DIR, "PAYORCH_DEBUG", "PAYORCH_CRASH_AT", "PAYORCH_MERCHANT_KEY"})


class Origin(NamedTuple):
    """A value, and the file, variable or command it came from."""

    value: Any
    source: str


Key: TypeAlias = tuple[str, ...]
Read: TypeAlias = dict[Key, Origin]


def shipped_folder() -> Path:
    """The folder of defaults that comes with this program: inside the package in a wheel, next to it in a checkout."""
    package = Path(__file__).resolve().parent
    return package / "config" if (package / "config").is_dir() else package.parent / "config"


def variable(key: Key) -> str:
    """The environment variable that sets this key."""
    return PREFIX + "__".join(key).upper()


def read_folders(
    environment: Mapping[str, str], secrets: Collection[str], faults: list[str], *, instead: Mapping[str, Path] = MappingProxyType({})
) -> Read:
    """The shipped folder, and above it the one that PAYORCH_CONFIG_DIR names. `secrets`: keys that no file may have. `instead`: files to
    read in the place of those of these names, above what is shipped.
    """
    read: Read = {}
    for folder in _folders(environment, faults):
        for name, section in FILES.items():
            if name not in instead or folder == shipped_folder():
                read.update(_file(folder / name, section, secrets, faults))
    for name, file in instead.items():
        read.update(_file(file, FILES[name], secrets, faults))
    return read


def read_variables(environment: Mapping[str, str], top_level: Collection[str]) -> tuple[Read, tuple[str, ...]]:
    """What the environment sets, and the PAYORCH_ variables that set nothing here. An empty variable counts as not set.

    PAYORCH_A__B is a.b, and must exist. Without "__" a name is ours only if it is in `top_level`: Kubernetes makes up PAYORCH_PORT and the
    like for its own ends, and that must not keep the platform from starting.
    """
    read: Read = {}
    ignored: list[str] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in _OTHER_VARIABLES or not environment[name]:
            continue
        key = tuple(name.removeprefix(PREFIX).lower().split("__"))
        if len(key) > 1 or key[0] in top_level:
            read[key] = Origin(environment[name], f"environment {name}")
        else:
            ignored.append(name)
    return read, tuple(ignored)


def nested(read: Mapping[Key, Origin], faults: list[str]) -> dict[str, Any]:
    """The values as tables within tables."""
    whole: dict[str, Any] = {}
    for key, origin in sorted(read.items(), key=lambda item: len(item[0])):
        table: Any = whole
        for name in key[:-1]:
            table = table.setdefault(name, {}) if isinstance(table, dict) else table
        if isinstance(table, dict):
            table[key[-1]] = origin.value
        else:
            faults.append(told(read, key, "cannot be set, since a part of its name is a value and not a table"))
    return whole


def told_at(read: Mapping[Key, Origin], key: Key, place: Sequence[str | int], text: str) -> str:
    """As `told`, for something inside of the list at `key`, in a section with a file of its own: with its line, and the name of its table.

    place: where in the list, the number of the table first. Of what is missing, the table's own line.
    """
    origin = read.get(key)
    if origin is None:
        return told(read, key, text)
    table, *inside = place
    named = origin.value[table] if isinstance(origin.value, list) and isinstance(table, int) and table < len(origin.value) else {}
    name = next((f'"{named[one]}"' for one in ("name", "connector") if isinstance(named, dict) and named.get(one)), f"number {table}")
    path = ".".join(map(str, inside))
    return f"{_line(origin.source, key, place)}: {'.'.join(key)}: {name}: {f'{path}: ' if path else ''}{text}"


def _line(source: str, key: Key, place: Sequence[str | int]) -> str:
    """The source, with the line in it, where it is a file that can still be read."""
    file = Path(source)
    try:
        text = file.read_text(encoding="utf-8")
    except (OSError, ValueError):
        return source
    whole = (*key[1:], *place)
    line = next((found for end in range(len(whole), 0, -1) if (found := line_of(text, whole[:end])) is not None), None)
    return source if line is None else f"{source}:{line}"


def told(read: Mapping[Key, Origin], key: Key, text: str) -> str:
    """One line: the source, the key, and what is wrong. A list's element has the list's source; what is missing has none."""
    source = next((read[key[:end]].source for end in range(len(key), 0, -1) if key[:end] in read), "configuration")
    return f"{source}: {'.'.join(key)}: {text}"


def _folders(environment: Mapping[str, str], faults: list[str]) -> Iterator[Path]:
    yield shipped_folder()
    if not (chosen := environment.get(CONFIG_DIR)):
        return
    folder = Path(chosen)
    if not folder.is_dir():
        faults.append(f"{CONFIG_DIR}: {folder} is not a folder. Correct it, or unset it to use the shipped settings")
        return
    strangers = sorted(file.name for file in folder.glob("*.toml") if file.name not in FILES)
    faults += [f"{folder / name}: nobody reads a file of this name. The files are {', '.join(FILES)}" for name in strangers]
    yield folder


def _file(file: Path, section: Key, secrets: Collection[str], faults: list[str]) -> Iterator[tuple[Key, Origin]]:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return  # what is missing in the end is told by its key
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        faults.append(f"{file}: cannot be read: {getattr(error, 'strerror', None) or error}")
        return
    for key, value in _flat(document, section):
        if key[-1] in secrets:
            faults.append(
                f"{file}: {'.'.join(key)}: a secret does not belong in a file. Remove it, set {variable(key)} in the environment,"
                " and replace the secret if others could read the file"
            )
        yield key, Origin(value, str(file))


def _flat(table: Mapping[str, object], key: Key) -> Iterator[tuple[Key, object]]:
    for name, value in table.items():
        if isinstance(value, dict):
            yield from _flat(value, (*key, name))
        else:
            yield (*key, name), value
