"""What the conformance suite has to be told of Stripe: its published API, against which every request is held."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from connectors.contract import HttpRequest
from tests.connectors.conformance.peculiar import SPECIFICATIONS, Peculiar

SPECIFICATION: Final = SPECIFICATIONS / "stripe/spec3-2023-08-16.json"
NEWER: Final = frozenset({"final_capture", "request_multicapture", "request_extended_authorization"})
"""In Stripe's library (16.1) and newer than that document."""


@cache
def _document() -> Mapping[str, Any]:
    loaded: Mapping[str, Any] = json.loads(SPECIFICATION.read_text())
    return loaded


def violations(request: HttpRequest) -> list[str]:
    """What Stripe's document says against a request: its path and method, its content type, its body or query."""
    parts = urlsplit(request.path)
    found = next(_operations(request.method.lower(), parts.path), None)
    if found is None:
        return [f"there is no {request.method} {parts.path}"]
    if request.method == "GET":
        known = {one["name"] for one in found["parameters"] if one["in"] == "query"}
        return [f"no parameter {name}" for name, _ in parse_qsl(parts.query) if name.partition("[")[0] not in known]
    content = found["requestBody"]["content"]
    kind = dict(request.headers).get("content-type", "")
    if kind not in content:
        return [f"a body of {kind}"]
    sent = _unflattened(parse_qsl(request.body.decode("ascii"), strict_parsing=bool(request.body)))
    return [str(one.message) for one in Draft202012Validator(content[kind]["schema"]).iter_errors(sent)]


def _operations(method: str, path: str) -> Iterator[Mapping[str, Any]]:
    """Those of that path, fixed words before ids."""
    candidates = sorted(_document()["paths"], key=lambda template: template.count("{"))
    for template in candidates:
        pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
        if re.fullmatch(pattern, path) and method in _document()["paths"][template]:
            yield _document()["paths"][template][method]


def _unflattened(pairs: list[tuple[str, str]]) -> dict[str, Any]:
    """Form fields as the nested object they stand for, numbers and Booleans as such, without what is newer than the document."""
    root: dict[str, Any] = {}
    for key, text in pairs:
        path = key.replace("]", "").split("[")
        if NEWER & set(path):
            continue
        node = root
        for part in path[:-1]:
            node = node.setdefault(part, {})
        node[path[-1]] = {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)
    return {key: list(value.values()) if isinstance(value, dict) and set(value) == {"0"} else value for key, value in root.items()}


PECULIAR: Final = Peculiar(
    specification=(SPECIFICATION,),
    violations=violations,
)
