"""The simulators' own endpoints: how they are (`/_health`), what goes wrong (`/_faults`), what really happened (`/_ledger`).

Pure: faults in, faults out. Not here: acting faults out (`payorch.simulators`), `/_dashboard` (`dashboard`), `/_webhooks` (`webhooks`),
`/_settlements` (`settlement`).

    GET /_faults                       those in force, and the kinds there are
    POST /_faults                      {"fault", "rate"?, "for_seconds"?, "count"?, "scope"?, "seconds"?}
    DELETE /_faults, /_faults/<id>     all of them, or one
    GET /_ledger?since=N&limit=M       entries after number N, and the totals of every payment they name
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Final
from urllib.parse import parse_qs

from connectors.contract import HttpRequest, HttpResponse
from connectors.simulator import faults
from connectors.simulator.faults import FaultKind, FaultState
from connectors.simulator.ledger import Ledger
from connectors.simulator.records import line, summary

PATHS: Final = ("/_health", "/_faults", "/_ledger", "/_requests", "/_dashboard", "/_webhooks", "/_settlements")
LEDGER_PAGE: Final = 1000
"""How many entries one answer holds, at most and unless asked for fewer."""


def answer(ledger: Ledger, state: FaultState, request: HttpRequest, target: str, now: datetime) -> tuple[HttpResponse, FaultState]:
    """The answer, and the faults in force after it: the same object where nothing changed."""
    path, _, query = target.partition("?")
    match request.method, path.strip("/").split("/"):
        case "GET", ["_health"]:
            return json_response(200, {"status": "ok", "psp": ledger.psp, "payments": ledger.count_payments()}), state
        case "GET", ["_faults"]:
            return _faults(state, now), state
        case "POST", ["_faults"]:
            return _add_fault(state, request, now)
        case "DELETE", ["_faults", *id] if len(id) <= 1 and all(_number(part) is not None for part in id):
            after = faults.remove(state, *(int(part) for part in id))
            return _faults(after, now), after
        case "GET", ["_ledger"]:
            return _books(ledger, query), state
        case _:
            return json_response(404, {"error": f"{request.method} {path} is nothing here"}), state


def json_response(status: int, value: object) -> HttpResponse:
    """An answer of the simulator's own."""
    body = json.dumps(value, ensure_ascii=False).encode()
    return HttpResponse(status=status, headers=(("content-type", "application/json"), ("cache-control", "no-store")), body=body)


def _faults(state: FaultState, now: datetime) -> HttpResponse:
    shown = [faults.describe(fault, now) for fault in faults.live(state, now).faults]
    return json_response(200, {"faults": shown, "known": [kind.value for kind in FaultKind]})


def _add_fault(state: FaultState, request: HttpRequest, now: datetime) -> tuple[HttpResponse, FaultState]:
    # Only JSON by name: a web page can make a browser post a form here, but not this.
    kind = next((value for name, value in request.headers if name == "content-type"), "")
    try:
        if not kind.startswith("application/json"):
            raise faults.FaultRefused("a fault is application/json")
        asked = json.loads(request.body)
        if not isinstance(asked, dict):
            raise faults.FaultRefused("a fault is an object")
        fault, after = faults.add(state, asked, now)
    except (ValueError, RecursionError) as problem:
        return json_response(400, {"error": str(problem), "known": [kind.value for kind in FaultKind]}), state
    return json_response(201, faults.describe(fault, now)), after


def _books(ledger: Ledger, query: str) -> HttpResponse:
    asked = parse_qs(query, max_num_fields=10, keep_blank_values=True)
    numbers = {name: _number(values[0]) for name, values in asked.items()}
    if set(numbers) - {"since", "limit"} or None in numbers.values():
        return json_response(400, {"error": "the parameters are since and limit: whole numbers"})
    limit = min(max(1, numbers.get("limit") or LEDGER_PAGE), LEDGER_PAGE)
    entries = ledger.entries(since=numbers.get("since") or 0, limit=limit)
    named = [ledger.payment(id) for id in dict.fromkeys(entry.payment for entry in entries)]
    page = {
        "psp": ledger.psp,
        "entries": [line(ledger.psp, entry) for entry in entries],
        "payments": [summary(ledger.psp, payment) for payment in named if payment is not None],
        "next_since": entries[-1].number if len(entries) == limit else None,
    }
    return json_response(200, page)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 18 else None
