"""What `payorch up` shows once everything runs: where everything is, and one line to try.

Not here: starting anything (`local`).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path

from payorch.settings import Settings
from payorch.system import process_age_seconds


def banner(settings: Settings, url: str, data_dir: Path, simulators: Mapping[str, str]) -> str:
    """What a person needs to know, and one line to try. The key stays in its file."""
    credentials = (data_dir / "credentials.json").absolute()
    rows = [("API", url), ("documentation", f"{url}/docs"), ("health", f"{url}/readyz"), ("metrics", f"{url}/metrics")]
    for name, connector in settings.enabled_connectors().items():
        rows.append((name, f"{connector.base_url}{'  (simulator)' if name in simulators else ''}"))
    rows += [("credentials", str(credentials)), ("data", str(data_dir.absolute()))]
    if settings.reconciliation.drop_folder:
        rows.append(("reports", f"{settings.reconciliation.drop_folder}  (CONNECTOR-*.csv put here is imported)"))
    if settings.audit.anchor_folder:
        rows.append(("anchors", settings.audit.anchor_folder))
    width = max(len(name) for name, _ in rows)
    lines = [f"payorch is ready after {process_age_seconds():.1f} s", ""]
    lines += [f"  {name.ljust(width)}  {value}" for name, value in rows]
    return "\n".join([*lines, "", "  Try it:", "", *_curl(url, credentials), "", "  Ctrl-C stops everything, twice stops it now.", ""])


def _curl(url: str, credentials: Path) -> list[str]:
    program = "import json, sys; print(json.load(open(sys.argv[1]))['merchant_key'])"
    key = f'$(python3 -c "{program}" {shlex.quote(str(credentials))})'
    body = {"amount": 1999, "currency": "EUR", "reference": "order-1001", "payment_method": {"type": "card", "token": "tok_visa"}}
    return [
        f"    curl -s {url}/v1/payments \\",
        f'      -H "Authorization: Bearer {key}" \\',
        "      -H 'Content-Type: application/json' -H \"Idempotency-Key: try-$(date +%s)\" \\",
        f"      -d '{json.dumps(body)}'",
    ]
