"""PayPal's published OpenAPI documents, where they are at hand: beside this repository, or where PAYORCH_PSP_SPECS says."""

from __future__ import annotations

import json
import os
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest
from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator

FOLDER = Path(os.environ.get("PAYORCH_PSP_SPECS", Path(__file__).parents[4] / "shared" / "psp-specs")) / "paypal"

needs_published = pytest.mark.skipif(not FOLDER.is_dir(), reason="PayPal's OpenAPI documents are not there: set PAYORCH_PSP_SPECS")


@lru_cache(maxsize=8)
def published(name: str) -> dict[str, Any]:
    """That document."""
    document: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return document


def check(document: str, schema: str, value: object, *, sent: bool = False) -> None:
    """Fails with every way in which it is no such object. `sent`: as a request, in which nothing that is PayPal's to say may stand."""
    validator = OAS30WriteValidator if sent else OAS30ReadValidator
    whole = {"$ref": f"#/components/schemas/{schema}", "components": published(document)["components"]}
    problems = [f"{error.json_path}: {error.message[:200]}" for error in validator(whole).iter_errors(value)]
    assert not problems, problems
