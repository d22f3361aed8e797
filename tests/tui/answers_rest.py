"""Made-up answers about all but one payment: who one is, the overview, connectors, letters, days, acts, the audit, and the stream.

Not here: what they are made of (`answers_basics`), payments (`answers_payments`), the files (`answers`).
"""

from __future__ import annotations

from typing import Final

from payorch.domain.acts import KINDS, ActName
from payorch.domain.money import EXPONENTS
from tests.tui.answers_basics import CONNECTORS, HEAD, HOSTILE, NOW, View, act, at, ident, may, money, page, person, stamp
from tests.tui.answers_payments import decision, payments

DAY: Final = "2026-10-15"


def meta(*, kind: str = "sim", role: str = "operator") -> View:
    actions = [
        {
            "name": name.value,
            "verb": row.verb,
            "subject": row.subject,
            "least": row.least.value,
            "parameters": [
                {
                    "name": one.rstrip("?"),
                    "required": not one.endswith("?"),
                    "choices": ["CAPTURED", "AUTHORIZED", "CANCELED", "FAILED"] if (name, one) == (ActName.PAYMENT_RESOLVE, "to") else None,
                    "about": {
                        "to": "what it is to be",
                        "evidence": "what proves it",
                        "amount": "in minor units; all that is left where nothing is said",
                    }.get(one.rstrip("?"), one.rstrip("?").replace("_", " ")),
                }
                for one in row.parameters
            ],
            "may": row.least.value != "approver",
            "why_not": None if row.least.value != "approver" else "it takes an approver",
        }
        for name, row in KINDS.items()
    ]
    return {
        "object": "meta",
        "environment": {"name": {"sim": "local", "live": "eu-1"}.get(kind, "staging"), "kind": kind},
        "version": "0.1.0",
        "schema": 1,
        "server_time": stamp(NOW),
        "head": HEAD,
        "operator": {"id": ident("opr", at(8, 0, day=1), 1), **person("ana"), "role": role, "token_expires_at": at(8, 0, day=31)},
        "limits": {"plan_expires_seconds": 1800, "heartbeat_seconds": 5, "page": 200, "idle_lock_seconds": 900, "arm_seconds": 600},
        "connectors": list(CONNECTORS),
        "currencies": dict(sorted(EXPONENTS.items())),
        "actions": actions,
    }


def overview() -> View:
    def trouble(
        severity: str,
        kind: str,
        what: str,
        count: int,
        at_risk: list[View],
        since: str | None,
        screen: str,
        filter_: str | None = None,
        identity: str | None = None,
    ) -> View:
        return {
            "severity": severity,
            "kind": kind,
            "what": what,
            "count": count,
            "at_risk": at_risk,
            "since": since,
            "view": {"screen": screen, "filter": filter_, "id": identity},
        }

    return {
        "at": stamp(NOW),
        "tiles": {
            "authorization_rate": {
                "percent": 91.4,
                "change_points": -3.1,
                "count": 4_120,
                "series": [94.4, 94.6, 94.5, 94.9, 94.2, 94.7, 94.5, 94.4, 94.0, 93.1, 92.0, 91.4],
            },
            "unknown": {
                "count": 12,
                "oldest_at": at(14, 25, 14),
                "at_risk": [money(3_911_20)],
                "series": [0, 0, 0, 1, 1, 0, 2, 2, 3, 6, 9, 12],
            },
            "authorize": {
                "p50_ms": 210,
                "p95_ms": 1_420,
                "p99_ms": 1_920,
                "platform_p95_ms": 9,
                "psp_p95_ms": 1_411,
                "slo_ms": 2_500,
                "series": [610, 640, 600, 655, None, 620, 700, 690, 810, 1_100, 1_300, 1_420],
            },
            "queues": {"mailboxes": 3, "outbox": 14, "inbox": 0, "dead_letters": 37},
            "mismatches": {"open": 4, "gross": [money(1_404_50)], "day": DAY, "matched_percent": 99.93},
            "approvals": {"waiting": 2, "mine": 1, "reviews_due": 1},
        },
        "since": at(6, 0),
        "attention": [
            trouble(
                "critical", "breaker", "breaker open: adyen authorize", 1, [money(18_400_00)], at(14, 30, 45), "connector", identity="adyen"
            ),
            trouble(
                "critical",
                "unknown",
                "payments with unknown outcome",
                12,
                [money(3_911_20)],
                at(14, 25, 14),
                "payments",
                "state:OUTCOME_UNKNOWN",
            ),
            trouble("critical", "review", "payments in review", 1, [money(1_250_00)], at(13, 50, 9), "payments", "state:MANUAL_REVIEW"),
            trouble("warning", "held", "held payments", 2, [money(43_00)], at(14, 10), "payments", "held:true"),
            trouble("warning", "mismatch", f"mismatches of {DAY}", 4, [money(1_404_50)], at(5, 30), "reconciliation", identity=DAY),
            trouble("warning", "dead_letters", "open dead letters", 37, [], at(9, 14), "dead_letters"),
            trouble("notice", "approval", "acts wait for a second person", 2, [money(249_00)], at(14, 27, 41), "approvals"),
        ],
    }


_STATES: Final = {"stripe": "closed", "adyen": "open", "paypal": "half_open"}


def connector(name: str) -> View:
    place = CONNECTORS.index(name)
    mode = _STATES[name]

    def circuit(operation: str) -> View:
        state = mode if operation == "authorize" else "closed"
        return {
            "mode": state,
            "reason": "8 of 20 failed" if state != "closed" else None,
            "since": at(14, 30, 45),
            "until": at(14, 33, 13) if state == "open" else None,
            "calls": 20,
            "failures": 8 if state != "closed" else 0,
            "slow": place,
            "failures_in_a_row": 7 if state == "open" else 0,
            "code": "read_timeout" if state != "closed" else None,
            "by": "system",
        }

    return {
        "object": "connector",
        "name": name,
        "state": mode,
        "enabled": True,
        "circuits": {one: circuit(one) for one in ("authorize", "capture", "void", "refund", "lookup")},
        "draining": None,
        "ok_percent": (97.2, 61.0, 93.8)[place],
        "calls_per_second": (41.0, 0.4, 17.0)[place],
        "share_percent": (71.0, 0.0, 29.0)[place],
        "latency": {"p50_ms": (180, 410, 210)[place], "p90_ms": (510, 4_400, 800)[place], "p99_ms": (920, 9_800, 1_400)[place]},
        "in_flight": (7, 0, 3)[place],
        "connections": 16,
        "waiting": 0,
        "mailbox": {"depth": place, "capacity": 1_000},
        "retry_budget": {"tokens": (92.0, 11.5, 80.0)[place], "most": 100.0},
        "dead_letters": (2, 31, 4)[place],
        "unknown": (0, 12, 0)[place],
        "webhook_lag_seconds": (0.8, None, 2.4)[place],
    }


def connector_page(name: str) -> View:
    whole = connector(name)
    sick = whole["state"] == "open"
    known = payments()
    return {
        **whole,
        "slo_ms": 2_500,
        "series": {
            "step_seconds": 60,
            "from": at(13, 33),
            "calls": [40 + (7 * minute) % 13 for minute in range(60)],
            "ok_percent": [None if minute == 30 else 97.0 - (36.0 if sick and minute > 55 else (minute * 5) % 3) for minute in range(60)],
            "p50_ms": [180 + (minute * 3) % 40 for minute in range(60)],
            "p99_ms": [900 + (minute * 31) % 400 + (8_500 if sick and minute > 55 else 0) for minute in range(60)],
        },
        "errors": [
            {
                "class": "UNKNOWN_OUTCOME",
                "code": "read_timeout",
                "count": 7,
                "share_percent": 87.5,
                "payment_id": known["unknown"]["id"],
                "last_at": at(14, 30, 44),
            },
            {
                "class": "NOT_SENT",
                "code": "http_503",
                "count": 1,
                "share_percent": 12.5,
                "payment_id": known["failed"]["id"],
                "last_at": at(14, 29),
            },
        ]
        if sick
        else [],
        "transitions": [
            {
                "at": at(14, 30, 45),
                "operation": "authorize",
                "from": "closed",
                "to": whole["state"],
                "reason": "8 of 20 failed (read_timeout 7, http_503 1)",
                "by": "system",
                "cause": None,
            }
        ]
        if whole["state"] != "closed"
        else [],
        "decisions": [
            {
                "at": one["created_at"],
                "payment_id": one["id"],
                "chosen": (one["route"] or [None])[0],
                "position": 1 if name in one["route"][:1] else None,
                "excluded": None if name in one["route"] else "breaker open",
            }
            for key, one in known.items()
            if key != "hostile"
        ],
        "actions": [
            *(
                may(
                    act_,
                    f"{name}/{operation}",
                    None if act_ != "breaker.reset" or sick else "its breaker is closed",
                    people=2 if act_ != "breaker.reset" else 1,
                )
                for operation in whole["circuits"]
                for act_ in ("breaker.force_open", "breaker.force_closed", "breaker.reset")
            ),
            may("connector.drain", name, people=2),
            may("connector.resume", name, "it is not drained"),
        ],
    }


# --- letters, days, acts, audit ----------------------------------------------------------------------------------------------------------


def letter(number: int, fingerprint: str, kind: str, origin: str, reason_class: str, reason: str, **other: str | None) -> View:
    first = at(14, 23, number)
    return {
        "id": ident("dlq", first, number),
        "kind": kind,
        "origin": origin,
        "state": "open",
        "reason_class": reason_class,
        "reason": reason,
        "fingerprint": fingerprint,
        "attempts": 1 + number % 7,
        "first_failed_at": first,
        "last_failed_at": at(14, 30, number),
        "merchant_id": None,
        "payment_id": None,
        "resolved_at": None,
        "resolved_by": None,
        "resolution": None,
        **other,
    }


def letters() -> list[View]:
    known = payments()
    return [
        *(
            letter(
                number,
                "webhook_in/adyen/signature_invalid",
                "webhook_in",
                "adyen",
                "signature_invalid",
                "the signature does not fit: key whk_2",
            )
            for number in range(31)
        ),
        *(
            letter(
                31 + number,
                "webhook_in/paypal/payment_not_found",
                "webhook_in",
                "paypal",
                "payment_not_found",
                "no payment of ours has that reference",
            )
            for number in range(4)
        ),
        letter(
            35,
            "webhook_out/whe_1/http_503",
            "webhook_out",
            ident("whe", at(8, 0, day=1), 1),
            "http_503",
            "the endpoint answered 503 for 3 days",
            payment_id=known["unknown"]["id"],
            merchant_id=known["unknown"]["merchant_id"],
        ),
        letter(36, HOSTILE[2], "webhook_in", HOSTILE[4], HOSTILE[1], " ".join(HOSTILE)),
    ]


def letter_page(one: View) -> View:
    paid = '"pspReference":"8516153423456789","success":"true","amount":{"value":24900,"currency":"EUR"}'
    body = f'{{"eventCode":"AUTHORISATION","merchantReference":"A-10293",{paid}}}'
    return {
        **one,
        "subject": {"event": "AUTHORISATION", "headers": {"content-type": "application/json"}},
        "payload": body if one["fingerprint"] != HOSTILE[2] else "\n".join(HOSTILE),
        "actions": [may("dead_letter.replay", one["id"]), may("dead_letter.discard", one["id"], people=2)],
    }


def groups() -> list[View]:
    found: dict[str, list[View]] = {}
    for one in letters():
        found.setdefault(one["fingerprint"], []).append(one)
    replay = {"act_id": ident("act", at(11, 30), 2), "at": at(11, 30), "ok": 2, "failed": 0, "halted": False}
    return [
        {
            "object": "dead_letter_group",
            "fingerprint": name,
            "kind": some[0]["kind"],
            "origin": some[0]["origin"],
            "reason_class": some[0]["reason_class"],
            "letters": len(some),
            "open": len(some),
            "first_failed_at": some[0]["first_failed_at"],
            "last_failed_at": some[-1]["last_failed_at"],
            "example": some[0]["id"],
            "last_replay": replay if "paypal" in name else None,
        }
        for name, some in found.items()
    ]


def finding(
    number: int, kind: str, state: str, detail: str, expected: int | None, actual: int | None, payment: str | None, **other: str | None
) -> View:
    identity = ident("fnd", at(6, 0, number), number)
    return {
        "id": identity,
        "object": "finding",
        "kind": kind,
        "state": state,
        "connector": "stripe",
        "currency": "EUR",
        "day": DAY,
        "detail": detail,
        "expected": None if expected is None else money(expected),
        "actual": None if actual is None else money(actual),
        "difference": None if expected is None and actual is None else money((actual or 0) - (expected or 0)),
        "report": ident("bat", at(6, 0), 1),
        "line": 1880 + number,
        "payment_id": payment,
        "subject_id": None,
        "suggestions": [],
        "dead_letter_id": None,
        "found_at": at(6, 0, number),
        "version": 1,
        "proposed_action": None,
        "proposed_by": None,
        "proposed_at": None,
        "resolved_by": None,
        "resolved_at": None,
        "resolution": None,
        "actions": [
            may(one, identity, None if state == "open" else f"it is {state}", people=1 if one == "settlement.review" else 2)
            for one in ("settlement.review", "settlement.link", "settlement.accept", "settlement.psp_error")
        ],
        **other,
    }


def findings() -> list[View]:
    known = payments()
    return [
        finding(1, "amount", "open", "fee netted from the gross", 249_00, 244_50, known["settled"]["id"]),
        finding(2, "missing_at_psp", "open", "captured before the cut-off and in no report", 1_000_00, None, known["partly"]["id"]),
        finding(
            3,
            "duplicate",
            "proposed",
            "booked twice",
            100_00,
            200_00,
            known["canceled"]["id"],
            proposed_action="settlement.psp_error",
            proposed_by="operator:ana",
            proposed_at=at(9, 0),
        ),
        finding(4, "missing_here", "open", HOSTILE[2] + HOSTILE[4], None, 300_00, None),
        finding(
            5,
            "fee",
            "reviewed",
            "1 cent",
            10,
            11,
            known["settled"]["id"],
            resolved_by="operator:ben",
            resolved_at=at(9, 10),
            resolution="rounding of the PSP",
        ),
    ]


def day(
    connector_: str, currency: str, state: str, settled: int, pending: int, mismatched: int, reviewed: int, gross: int, date: str = DAY
) -> View:
    def bucket(count: int, each: int = 40_00) -> View:
        return {"count": count, "gross": money(count * each, currency), "balance": money(count * each, currency)}

    subject = f"{date}/{connector_}/{currency}"
    left = f"{mismatched} findings are open: {gross / 100:.2f} {currency} nobody has explained" if gross else None
    return {
        "object": "reconciliation_day",
        "day": date,
        "connector": connector_,
        "currency": currency,
        "state": state,
        "reported": True,
        "gross_difference": money(gross, currency),
        "unexplained": [money(gross, currency)] if gross else [],
        "unknown_amounts": 0,
        "open_findings": mismatched,
        "explained": [money(reviewed, currency)] if reviewed else [],
        "claims": [],
        "settled": bucket(settled),
        "pending": bucket(pending),
        "mismatched": bucket(mismatched),
        "manually_reviewed": bucket(reviewed),
        "beside": bucket(2, 5_00),
        "undecided": 0,
        "fees": [money(settled * 30, currency)],
        "net": [money(settled * 39_70, currency)],
        "payouts": [money(settled * 39_00, currency)],
        "findings": [{"kind": "amount", "state": "open", "currency": currency, "count": mismatched, "gross": gross, "unknown": 0}]
        if gross
        else [],
        "left_to_do": left,
        "changed_at": at(9, 30) if state == "closed" else None,
        "changed_by": "operator:ben" if state == "closed" else None,
        "reason": "all explained" if state == "closed" else None,
        "actions": [
            may("settlement.close_day", subject, left if gross else "it is closed" if state == "closed" else None, people=2),
            may("settlement.reopen_day", subject, None if state == "closed" else "it is not closed", people=2),
        ],
    }


def days() -> list[View]:
    return [
        day("adyen", "EUR", "open", 2_203, 0, 0, 1, 0),
        day("paypal", "USD", "open", 410, 7, 0, 0, 0),
        day("stripe", "EUR", "open", 5_790, 18, 4, 1, 1_404_50),
        day("stripe", "JPY", "open", 112, 0, 1, 0, 500),
        day("stripe", "EUR", "closed", 5_641, 0, 0, 3, 0, date="2026-10-14"),
    ]


def items() -> list[View]:
    known = payments()
    settled = known["settled"]
    line = {
        "report": ident("bat", at(6, 0), 1),
        "number": 1882,
        "kind": "capture",
        "type": "charge",
        "identity": "txn_3Q11",
        "gross": money(59_90),
        "fee": money(1_13),
        "net": money(58_77),
        "rate": None,
        "payout": "po_1Q",
        "state": "matched",
        "key": "psp_operation",
        "payment_id": settled["id"],
        "subject_id": settled["attempts"][0]["id"],
    }
    movement = {
        "kind": "capture",
        "amount": money(1_000_00),
        "at": at(23, 50, day=15),
        "payment_id": known["partly"]["id"],
        "subject_id": known["partly"]["operations"][0]["id"],
    }
    some = findings()
    return [
        {
            "object": "settlement_line",
            "status": "settled",
            "connector": "stripe",
            "currency": "EUR",
            "line": line,
            "movement": None,
            "findings": [],
        },
        *(
            {
                "object": "settlement_line",
                "status": "mismatched",
                "connector": "stripe",
                "currency": "EUR",
                "line": {**line, "number": one["line"], "state": "unmatched", "key": None},
                "movement": None,
                "findings": [one],
            }
            for one in (some[0], some[2], some[3])
        ),
        {
            "object": "movement",
            "status": "mismatched",
            "connector": "stripe",
            "currency": "EUR",
            "line": None,
            "movement": movement,
            "findings": [some[1]],
        },
        {
            "object": "finding",
            "status": "manually_reviewed",
            "connector": "stripe",
            "currency": "EUR",
            "line": None,
            "movement": None,
            "findings": [some[4]],
        },
    ]


def acts() -> list[View]:
    known = payments()
    running = {"total": 31, "done": 12, "ok": 12, "failed": 0, "canary": 3, "text": "12 of 31: the canary of 3 was well"}
    done = {"text": "captured 249.00 EUR", "position": 88_190}
    return [
        known["unknown"]["acts"][0],
        act(
            1,
            "breaker.force_open",
            "adyen/authorize",
            "proposed",
            requested_by=person("ben"),
            reason="their status page says maintenance",
            parameters={"for_seconds": 900},
            mine=False,
        ),
        act(
            2,
            "payment.refund",
            known["partly"]["id"],
            "proposed",
            mine=True,
            may_approve=False,
            why_not_approve="you asked for it: another person decides",
            parameters={"amount": 10_00},
        ),
        act(
            3,
            "dead_letter.replay",
            "webhook_in/adyen/signature_invalid",
            "running",
            people=1,
            progress=running,
            parameters={"canary": 3, "per_second": 5, "halt_percent": 10},
        ),
        act(
            4,
            "payment.resolve",
            known["settled"]["id"],
            "done",
            decided_by=person("ben"),
            decided_at=at(13, 0),
            decision="approved",
            result=done,
            finished_at=at(13, 0, 1),
            parameters={"to": "CAPTURED", "evidence": "inq_7"},
        ),
        act(
            5,
            "settlement.close_day",
            f"{DAY}/stripe/EUR",
            "rejected",
            decided_by=person("ben"),
            decided_at=at(12, 0),
            decision="rejected",
            decision_reason="four findings are open",
        ),
        act(6, "payment.void", known["authorized"]["id"], "expired", decision_reason=None),
        act(
            8,
            "connector.drain",
            "adyen",
            "done",
            people=1,
            break_glass=True,
            review={"due_at": at(14, 0, day=17), "by": None, "at": None, "note": None},
            result={"text": "drained until 15:30Z"},
            finished_at=at(14, 31),
        ),
    ]


def act_page(one: View) -> View:
    open_ = one["state"] in ("proposed", "approved", "running")
    changed = one["state"] == "proposed" and one["subject"].startswith("adyen")
    now = one["plan"] | {"hash": one["hash"], "allowed": True, "people": one["people"]}
    if changed:
        effects = [one["plan"]["effects"][0], {"what": "traffic", "before": "29% of payments", "after": "0%"}]
        now |= {"effects": effects, "version": "18", "hash": f"{99:064x}"}
    return {**one, "plan_now": now if open_ else None, "changed": changed if open_ else None}


def plan() -> View:
    known = payments()["unknown"]
    return {
        "id": ident("pln", at(14, 32), 1),
        "object": "plan",
        "action": "payment.resolve",
        "verb": "resolve by people",
        "subject": known["id"],
        "parameters": {"to": "CAPTURED", "evidence": "inq_7"},
        "break_glass": False,
        "allowed": True,
        "objections": [],
        "people": 2,
        "why_people": "it changes what is taken for true about money",
        "effects": [
            {"what": "state", "before": "OUTCOME_UNKNOWN", "after": "CAPTURED"},
            {"what": "ledger", "before": "0.00 EUR", "after": "+249.00 EUR"},
            {"what": "webhook", "before": "payment.unconfirmed", "after": "payment.succeeded"},
        ],
        "undo": "a refund; the state itself is not taken back",
        "checks": [
            {"what": "evidence", "holds": True, "detail": "an inquiry of 14:22:59Z says captured 249.00 EUR", "binds": True},
            {"what": "webhook", "holds": False, "detail": "no valid one yet", "binds": False},
        ],
        "proofs": [{"reference": "inq_7", "at": at(14, 22, 59.02), "text": "adyen: captured 249.00 EUR"}],
        "confirm": "249.00",
        "amount": money(249_00),
        "version": "17",
        "hash": f"{77:064x}",
        "made_by": "ana",
        "created_at": at(14, 32),
        "expires_at": at(15, 2),
    }


def audit() -> list[View]:
    rows = []
    for number, one in enumerate(reversed(stream())):
        rows.append(
            {
                "position": one["position"],
                "at": one["at"],
                "stream": one["stream"],
                "subject_id": one["subject_id"],
                "sequence": one["sequence"],
                "event": one["event"],
                "actor": one["actor"],
                "cause": one["cause"],
                "text": one["text"],
                "body": {"amount": 24_900, "note": "[redacted]"},
                "hash": f"{number:064x}",
            }
        )
    return rows


def verification() -> View:
    anchors = {"where": "anchors/", "count": 412, "last_position": HEAD - 13, "last_at": at(14, 30), "next_at": at(14, 35)}
    return {
        "object": "audit_verification",
        "state": "whole",
        "checked_at": at(14, 30),
        "records": HEAD,
        "head_position": HEAD,
        "head_hash": "ab" * 32,
        "fault": None,
        "position": None,
        "detail": None,
        "anchors": anchors,
    }


def routing() -> View:
    return {
        "object": "routing",
        "version": "v14",
        "since": at(8, 0, day=14),
        "by": "operator:ben",
        "book": {
            "default": list(CONNECTORS),
            "rules": [{"name": "eu-cards", "when": {"currency": "EUR", "region": "EEA"}, "prefer": ["stripe", "adyen"]}],
            "fees": [],
        },
        "doubts": [],
    }


def simulation() -> View:
    """What would have been without one of the connectors."""
    known = payments()

    def side(first: View, success: int, fees: int) -> View:
        return {"first": first, "rules": {"default": 4_120}, "success": success, "fees_minor": {"EUR": fees}, "without_fee": 0}

    return {
        "object": "routing_simulation",
        "from": at(14, 32, 55, day=15),
        "to": stamp(NOW),
        "version": "v15",
        "payments": 4_120,
        "changed": 1_160,
        "reordered": 310,
        "not_replayable": 3,
        "same_rules": 0,
        "differing": 0,
        "before": side({"stripe": 2_925, "adyen": 1_160, "(none)": 35}, 9_312, 1_204_50),
        "after": side({"stripe": 4_085, "(none)": 35}, 9_240, 1_310_25),
        "examples": [{"payment": known[one]["id"], "before": "adyen", "after": "stripe"} for one in ("review", "captured")],
    }


def routing_decisions() -> list[View]:
    return [
        {
            "at": one["created_at"],
            "payment_id": one["id"],
            **{
                key: value
                for key, value in decision(
                    one["created_at"], one["route"], (one["route"] or [None])[0], [("paypal", "breaker half-open")]
                ).items()
                if key in ("rule", "version", "order", "excluded", "chosen")
            },
        }
        for name, one in payments().items()
        if name != "hostile"
    ]


# --- the stream --------------------------------------------------------------------------------------------------------------------------

_LIVE: Final = (
    ("payment", "PaymentCreated", "info", "a payment of {amount} was created", None),
    ("routing", "Routed", "info", "eu-cards@v14 chose {connector}", None),
    ("payment", "ProviderCharged", "good", "{connector} charged {amount}", "AUTHORIZING -> CAPTURED"),
    (
        "payment",
        "OutcomeLost",
        "unknown",
        "{connector} gave no whole answer: nobody knows whether {amount} moved",
        "AUTHORIZING -> OUTCOME_UNKNOWN",
    ),
    ("connector", "CircuitOpened", "bad", "adyen authorize: 8 of 20 failed", "closed -> open"),
    ("dead_letter", "DeadLettered", "bad", "a webhook of adyen was laid aside: signature_invalid", None),
    ("action", "ActProposed", "warn", "ana proposes resolve -> CAPTURED", "-> proposed"),
    ("refusal", "Refused", "warn", "ana may not approve what she asked for", None),
    ("reconciliation", "FindingFound", "warn", "amount differs by -4.50 EUR", "-> open"),
    ("identity", "TokenIssued", "info", "ben has a new token", None),
    ("audit", "Anchored", "good", "anchored up to here", None),
    ("endpoint", "EndpointDisabled", "warn", "an endpoint of acme-eu was disabled", "enabled -> disabled"),
)


def event(number: int) -> View:
    """The event of that number, 0 to 59 and further."""
    kind, name, tone, text, change = _LIVE[number % len(_LIVE)]
    known = list(payments().values())
    one = known[number % len(known)]
    about = {
        "id": one["id"],
        "state": one["state"],
        "amount": money(one["amount"], one["currency"]),
        "connector": one["connector"],
        "merchant_id": one["merchant_id"],
        "held": one["held"] is not None,
    }
    moment = at(14, 32, 56 + number * 0.5)
    return {
        "position": HEAD + 1 + number,
        "at": moment,
        "kind": kind,
        "event": name,
        "stream": kind if kind != "action" else "act",
        "subject_id": one["id"] if kind in ("payment", "routing") else ident("act", moment, number),
        "sequence": 20 + number,
        "actor": f"psp:{one['connector']}" if kind == "payment" else "operator:ana" if kind in ("action", "refusal") else "system",
        "cause": f"req_{number:04x}",
        "text": text.format(amount=f"{one['amount']} {one['currency']} (minor)", connector=one["connector"]),
        "tone": tone,
        "change": change,
        "payment": about if kind in ("payment", "routing") else None,
        "connector": "adyen" if kind in ("connector", "dead_letter") else one["connector"] if kind == "payment" else None,
    }


def stream() -> list[View]:
    """Sixty events that follow the snapshot."""
    return [event(number) for number in range(60)]


def snapshot() -> View:
    earlier = [{**event(number), "position": HEAD - 19 + number, "at": at(14, 32, 35 + number)} for number in range(20)]
    return {
        "object": "snapshot",
        "cursor": HEAD,
        "server_time": stamp(NOW),
        "schema": 1,
        "meta": meta(),
        "overview": overview(),
        "connectors": [connector(one) for one in CONNECTORS],
        "approvals": [one for one in acts() if one["state"] == "proposed"],
        "live": earlier,
    }


def vital() -> View:
    return {"overview": overview(), "connectors": [connector(one) for one in CONNECTORS]}


__all__ = [
    "act_page",
    "acts",
    "audit",
    "connector",
    "connector_page",
    "days",
    "findings",
    "groups",
    "items",
    "letter_page",
    "letters",
    "meta",
    "page",
    "plan",
    "routing",
    "routing_decisions",
    "simulation",
    "snapshot",
    "stream",
    "verification",
    "vital",
]
