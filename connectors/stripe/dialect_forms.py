"""Form-encoded parameters as Stripe reads them: nested and indexed keys, and strict, typed access with Stripe's complaints.

Not here: which parameters an endpoint takes (the endpoints), what they mean.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, final
from urllib.parse import unquote

from connectors.stripe.dialect_errors import Invalid, empty, missing

MAXIMUM_FIELDS: Final = 1000
_KEY: Final = re.compile(r"([^\[\]]+)((?:\[[^\[\]]*\])*)")
_PART: Final = re.compile(r"\[([^\[\]]*)\]")
_INTEGER: Final = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_LABELS: Final = 50
_LABEL_NAME: Final = 40
_LABEL_VALUE: Final = 500

Pairs = list[tuple[str, str]]


def pairs(encoded: str) -> Pairs:
    """The fields of a body or query, in order, decoded. Raises Invalid on what is not a form."""
    if not encoded:
        return []
    parts = encoded.split("&")
    if len(parts) > MAXIMUM_FIELDS:
        raise Invalid(f"Invalid request: more than {MAXIMUM_FIELDS} parameters.")
    try:
        return [(_plain(name), _plain(value)) for name, _, value in [part.partition("=") for part in parts] if name]
    except UnicodeDecodeError as error:
        raise Invalid("Invalid request: the parameters could not be decoded.") from error


def _plain(text: str) -> str:
    # Most names and values are plain; the library's way of finding that out costs more than all the rest of a request's parsing.
    if "+" in text:
        text = text.replace("+", " ")
    return unquote(text, errors="strict") if "%" in text else text


def nested(fields: Pairs) -> dict[str, Any]:
    """`a[b][0]=x` as `{"a": {"b": {"0": "x"}}}`; `a[]` takes the next free index. A field that is both text and a table is refused."""
    tree: dict[str, Any] = {}
    for name, value in fields:
        if "[" not in name:
            tree[name] = value
            continue
        match = _KEY.fullmatch(name)
        if match is None:
            raise Invalid(f"Invalid parameter name: {name}", param=name)
        path = [match[1], *_PART.findall(match[2])]
        node = tree
        for part in path[:-1]:
            node = node.setdefault(part or str(len(node)), {})
            if not isinstance(node, dict):
                raise Invalid(f"Invalid object: {name}", param=name)
        node[path[-1] or str(len(node))] = value
    return tree


@final
class Form:
    """An endpoint's parameters. Every getter raises Invalid with Stripe's words; an absent parameter is None."""

    def __init__(self, tree: Mapping[str, Any], *, known: Collection[str]) -> None:
        unknown = [name for name in tree if name not in known]
        if unknown:
            listed = ", ".join(unknown)
            word = "parameter" if len(unknown) == 1 else "parameters"
            raise Invalid(f"Received unknown {word}: {listed}", code="parameter_unknown", param=unknown[0])
        self._tree = tree

    def __contains__(self, name: str) -> bool:
        return name in self._tree

    def text(self, name: str, *, longest: int = 5000, required: bool = False) -> str | None:
        """A string."""
        value = self._tree.get(name)
        if value is None:
            if required:
                raise missing(name)
            return None
        if not isinstance(value, str):
            raise Invalid(f"Invalid string: {name} must be a string.", param=name)
        if not value:
            raise empty(name)
        if len(value) > longest:
            message = f"Invalid string: {value[:20]}...; must be at most {longest} characters"
            raise Invalid(message, code="parameter_invalid_string_length", param=name)
        return value

    def integer(self, name: str, *, required: bool = False) -> int | None:
        """A whole number, in ASCII digits."""
        value = self.text(name, required=required)
        if value is None:
            return None
        if _INTEGER.fullmatch(value) is None:
            raise Invalid(f"Invalid integer: {value[:100]}", code="parameter_invalid_integer", param=name)
        return int(value)

    def positive(self, name: str, *, required: bool = False) -> int | None:
        """A whole number from 1."""
        value = self.integer(name, required=required)
        if value is not None and value < 1:
            message = "This value must be greater than or equal to 1."
            raise Invalid(message, code="parameter_invalid_integer", param=name)
        return value

    def flag(self, name: str) -> bool | None:
        """`true` or `false`."""
        value = self.text(name)
        if value is None:
            return None
        if value not in ("true", "false"):
            raise Invalid(f"Invalid boolean: {value[:100]}", param=name)
        return value == "true"

    def choice(self, name: str, options: Collection[str]) -> str | None:
        """One of a fixed set of words."""
        value = self.text(name)
        if value is not None and value not in options:
            *most, last = sorted(options)
            raise Invalid(f"Invalid {name}: must be one of {', '.join(most)}, or {last}", param=name)
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """An array of strings, in the order of its indexes."""
        value = self._tree.get(name)
        if value is None or value == "":
            return ()
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise Invalid(f"Invalid array: {name} must be an array.", param=name)
        return tuple(value[index] for index in sorted(value, key=lambda index: (len(index), index)))

    def table(self, name: str) -> dict[str, Any]:
        """A nested object, empty when absent."""
        value = self._tree.get(name)
        if value is None or value == "":
            return {}
        if not isinstance(value, dict):
            raise Invalid("Invalid object", param=name)
        return value

    def labels(self, name: str = "metadata") -> dict[str, str]:
        """Metadata: a flat table of text. An empty value unsets its name."""
        value = self.table(name)
        for key, text in value.items():
            if not isinstance(text, str) or not key or len(key) > _LABEL_NAME or len(text) > _LABEL_VALUE:
                message = f"Metadata keys have up to {_LABEL_NAME} and values up to {_LABEL_VALUE} characters; '{key[:40]}' does not."
                raise Invalid(message, param=f"{name}[{key[:40]}]")
        if len(value) > _LABELS:
            raise Invalid(f"Metadata has at most {_LABELS} keys.", param=name)
        return dict(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._tree)
