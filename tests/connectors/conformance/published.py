"""A PSP's own OpenAPI documents as a judge of what we send: is there such a call, does it take such a body.

For PSPs that speak JSON. The validator is the one of the document's age: JSON Schema 2020-12 for OpenAPI 3.1, and for 3.0 the draft that it
is made of. Not here: which documents are which PSP's (`tests/connectors/<psp>/conformance.py`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator, Draft202012Validator  # type: ignore[import-untyped]

from connectors.contract import HttpRequest

_JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Published:
    """Some documents, and what stands in our paths before theirs."""

    documents: tuple[Path, ...]
    prefix: str = ""

    def violations(self, request: HttpRequest) -> list[str]:
        """What they say against a request, one sentence each."""
        path, _, query = request.path.partition("?")
        found = next(self._operations(request.method.lower(), path.removeprefix(self.prefix)), None)
        if found is None or not path.startswith(self.prefix):
            return [f"there is no {request.method} {path}"]
        document, operation = found
        if query:
            return [f"a query at {path}"]
        return list(_of_body(document, operation, request))

    def _operations(self, method: str, path: str) -> Iterator[tuple[Path, Mapping[str, Any]]]:
        """Those of that path, fixed words before ids."""
        templates = [(template, document) for document in self.documents for template in loaded(document)["paths"]]
        for template, document in sorted(templates, key=lambda one: one[0].count("{")):
            pattern = re.sub(r"\\\{[^}]*\\\}", "[^/]+", re.escape(template))
            operation = loaded(document)["paths"][template].get(method)
            if operation is not None and re.fullmatch(pattern, path):
                yield document, operation


@cache
def loaded(document: Path) -> Mapping[str, Any]:
    """The document, read once."""
    found: Mapping[str, Any] = json.loads(document.read_text())
    return found


def _of_body(document: Path, operation: Mapping[str, Any], request: HttpRequest) -> Iterator[str]:
    if "requestBody" not in operation:
        if request.body not in (b"", b"{}"):
            yield "a body where none is taken"
        return
    kind = dict(request.headers).get("content-type", "")
    content = operation["requestBody"]["content"]
    if kind not in content or kind != _JSON:
        yield f"a body of {kind}"
        return
    sent, schema = json.loads(request.body), content[kind]["schema"]
    unknown = set(sent) - set(_names(loaded(document), schema))
    if unknown:
        yield f"no fields {sorted(unknown)}"
    validator = Draft202012Validator if loaded(document)["openapi"].startswith("3.1") else Draft4Validator
    whole = {**schema, "components": loaded(document)["components"]}
    for problem in validator(whole).iter_errors(sent):
        yield f"{'/'.join(map(str, problem.path))}: {str(problem.message)[:300]}"


def _names(document: Mapping[str, Any], schema: Mapping[str, Any]) -> Iterator[str]:
    """The fields that an object may have."""
    if "$ref" in schema:
        node: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            node = node[part]
        yield from _names(document, node)
    yield from schema.get("properties", ())
    for part in schema.get("allOf", ()):
        yield from _names(document, part)
