"""The OpenAPI 3.1 document of the API, and a page that shows it: both made from the models that the code uses.

Not here: which calls there are (`calls`), their models (`contracts`, `shapes`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import cache
from html import escape
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from payorch.api import shapes
from payorch.api.calls import CALLS, JSON, Call
from payorch.api.operations.calls import OPERATIONS_CALLS
from payorch.api.problems import CATALOGUE, MEDIA_TYPE, Code

VERSION: Final = "1"
ALL_CALLS: Final = (*CALLS, *OPERATIONS_CALLS)
_SCHEMAS: Final = "#/components/schemas/{model}"


@cache
def openapi_json() -> bytes:
    """The document, as UTF-8 JSON."""
    return json.dumps(openapi(), separators=(",", ":"), ensure_ascii=False).encode()


def openapi() -> dict[str, Any]:
    """The document. Its one server is the one that it was read from."""
    paths: dict[str, dict[str, Any]] = {}
    for call in ALL_CALLS:
        paths.setdefault(call.path, {})[call.method] = _operation(call)
    return {
        "openapi": "3.1.0",
        "info": {"title": "payorch", "version": VERSION, "description": _DESCRIPTION},
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "merchantKey": {"type": "http", "scheme": "bearer", "description": "A merchant's key."},
                "operatorToken": {"type": "http", "scheme": "bearer", "description": "An operator's token."},
            },
        },
    }


_DESCRIPTION: Final = (
    "Payment orchestration. Amounts are integers in minor units; times are RFC 3339 in UTC with milliseconds; enumerations are open sets. "
    "Everything that is refused is answered with application/problem+json. A request that moves money carries an Idempotency-Key, "
    "and the same key with the same request is answered with the same answer for ever."
)


def _schemas() -> dict[str, Any]:
    bodies = [call.body for call in ALL_CALLS if call.body is not None]
    answers: list[type[BaseModel]] = [model for call in ALL_CALLS for _, model in call.answers.values() if model is not None]
    _, wanted = models_json_schema([(model, "validation") for model in dict.fromkeys(bodies)], ref_template=_SCHEMAS)
    answers.append(shapes.ProblemShape)
    _, given = models_json_schema([(model, "serialization") for model in dict.fromkeys(answers)], ref_template=_SCHEMAS)
    return {**wanted["$defs"], **given["$defs"]}


def _operation(call: Call) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": call.name, "summary": call.summary, "responses": _responses(call)}
    if call.tells:
        operation["description"] = call.tells
    operation["security"] = [{"operatorToken": []}] if call.of_operators else [{"merchantKey": []}] if call.with_key else []
    parameters = _parameters(call)
    if parameters:
        operation["parameters"] = parameters
    if call.body is not None:
        content: dict[str, Any] = {"schema": _reference(call.body)}
        if call.examples is not None:
            content["examples"] = call.examples
        operation["requestBody"] = {"required": call.body_required, "content": {JSON: content}}
    if call.takes_file:
        operation["requestBody"] = {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string"}}}}
    return operation


def _responses(call: Call) -> dict[str, Any]:
    responses: dict[str, Any] = {}
    for status, (description, model) in call.answers.items():
        schema = _reference(model) if model is not None else {}
        responses[str(status)] = {"description": description, "content": {call.media_type: {"schema": schema}}}
        if call.moves_money:
            responses[str(status)]["headers"] = {"Idempotency-Replayed": {"schema": {"type": "string", "const": "true"}}}
    codes: dict[int, list[Code]] = {}
    for code in call.codes:
        for status in _statuses(code, call):
            codes.setdefault(status, []).append(code)
    for status, some in sorted(codes.items()):
        content = {MEDIA_TYPE: {"schema": _reference(shapes.ProblemShape)}}
        responses.setdefault(str(status), {"description": f"Refused: {', '.join(some)}.", "content": content})
    return responses


def _statuses(code: Code, call: Call) -> tuple[int, ...]:
    """A body that cannot be used is 422 (`refusal.InvalidBody`), a parameter is the catalogue's 400."""
    return (422,) if code is Code.VALIDATION_FAILED and call.body is not None else (CATALOGUE[code].status.value,)


def _parameters(call: Call) -> list[dict[str, Any]]:
    parameters: list[dict[str, Any]] = []
    for name in re.findall(r"\{(\w+)\}", call.path):
        parameters.append({"name": name, "in": "path", "required": True, "schema": {"type": "string"}})
    if call.moves_money:
        text = {"type": "string", "minLength": 1, "maxLength": 255}
        parameters.append({"name": "Idempotency-Key", "in": "header", "required": True, "schema": text})
    whole = {"limit", "amount_min", "amount_max"}
    for name in call.parameters:
        schema: dict[str, Any] = {"type": "integer", "minimum": 0} if name in whole else {"type": "string"}
        parameters.append({"name": name, "in": "query", "required": name == "token", "schema": schema})
    return parameters


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _SCHEMAS.format(model=model.__name__)}


# --- the page ---------------------------------------------------------------------------------------------------------------------------

_STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "h2{margin-top:2.5rem}section{border-top:1px solid #ccc;padding:1rem 0}code,pre{font-family:ui-monospace,monospace;font-size:.9em}"
    "pre{background:#f4f4f4;padding:.8rem;overflow:auto}table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;"
    "padding:.25rem .8rem .25rem 0;border-bottom:1px solid #eee}.method{font-weight:700;text-transform:uppercase}"
)


@cache
def docs_page() -> str:
    """The document as one page without scripts, fonts or addresses of others."""
    document = openapi()
    calls = "".join(
        _call_section(path, method, operation) for path, methods in document["paths"].items() for method, operation in methods.items()
    )
    schemas = "".join(_schema_section(name, schema) for name, schema in sorted(document["components"]["schemas"].items()))
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        "<title>payorch API</title>"
        f"<style>{_STYLE}</style><h1>payorch API</h1><p>{escape(document['info']['description'])}</p>"
        f'<p>For programs: <a href="/openapi.json">openapi.json</a>.</p><h2>Calls</h2>{calls}<h2>Schemas</h2>{schemas}</html>'
    )


def _call_section(path: str, method: str, operation: Mapping[str, Any]) -> str:
    parts = [
        f'<section id="{escape(operation["operationId"])}"><h3><span class="method">{method}</span> <code>{escape(path)}</code></h3>',
        f"<p>{escape(operation['summary'])}. {escape(operation.get('description', ''))}</p>",
    ]
    if "parameters" in operation:
        names = ", ".join(f"<code>{escape(one['name'])}</code> ({one['in']})" for one in operation["parameters"])
        parts.append(f"<p>Parameters: {names}</p>")
    for media in operation.get("requestBody", {}).get("content", {}).values():
        parts.append(f"<p>Body: {_link(media['schema'])}</p>")
        for example in media.get("examples", {}).values():
            parts.append(f"<p>{escape(example['summary'])}:</p><pre>{escape(json.dumps(example['value'], indent=1))}</pre>")
    rows = "".join(
        f"<tr><td>{status}<td>{escape(answer['description'])}<td>{' '.join(_link(one['schema']) for one in answer['content'].values())}"
        for status, answer in operation["responses"].items()
    )
    return "".join([*parts, f"<table><tr><th>Status<th>Meaning<th>Body{rows}</table></section>"])


def _schema_section(name: str, schema: Mapping[str, Any]) -> str:
    rows = "".join(
        f"<tr><td><code>{escape(member)}</code>{' (required)' if member in schema.get('required', ()) else ''}"
        f"<td>{_kind(one)}<td>{escape(one.get('description', ''))}"
        for member, one in schema.get("properties", {}).items()
    )
    return (
        f'<section id="{escape(name)}"><h3>{escape(name)}</h3><p>{escape(schema.get("description", ""))}</p><table>{rows}</table></section>'
    )


def _kind(schema: Mapping[str, Any]) -> str:
    """What a member holds, in a few words."""
    if "anyOf" in schema:
        return " or ".join(_kind(one) for one in schema["anyOf"])
    if "$ref" in schema:
        return _link(schema)
    if "enum" in schema or "const" in schema:
        return escape(", ".join(map(str, schema.get("enum", [schema.get("const")]))))
    if schema.get("type") == "array":
        return f"list of {_kind(schema['items'])}"
    return escape(str(schema.get("type", "anything")))


def _link(schema: Mapping[str, Any]) -> str:
    name = escape(schema.get("$ref", "").rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>' if name else ""
