"""A PSP that a shopper cannot finish with alone, and that may not be asked: Stripe's calls, with promises of its own.

    connector = unfinished(lookup=Lookup.NONE)
    told(attempt_id, Pending(ready=True))           # the bytes of a notice of it

It finishes with what the browser brought as `result`, or with nothing where it takes none (`needs_result=False`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import msgspec

from connectors.contract import CompletionOrder, Connector
from connectors.registry import CONNECTORS
from payorch.domain.capability import Lookup, Manifest, MethodSupport
from payorch.domain.outcome import Approved, Declined, Evidence, Finding, Pending, Released, Source
from payorch.domain.records import Attempt, Operation, Payment, PreparedCall
from payorch.domain.testimony import Statement, Testimony

_STRIPE = CONNECTORS["stripe"]


class _Told(msgspec.Struct):
    """What a notice of it says, and of what."""

    subject_id: str
    finding: Approved | Pending | Declined | Released
    psp_reference: str | None = None


def told(subject_id: str, finding: Finding, psp_reference: str | None = None) -> bytes:
    """The bytes of a notice that says so."""
    said = cast("Approved | Pending | Declined | Released", finding)
    return msgspec.json.encode(_Told(subject_id=subject_id, finding=said, psp_reference=psp_reference))


class _Unfinished:
    name = "stripe"

    def __init__(self, manifest: Manifest, *, needs_result: bool) -> None:
        self.manifest = manifest
        self._needs_result = needs_result

    def __getattr__(self, name: str) -> Any:
        return getattr(_STRIPE, name)

    def complete(self, order: CompletionOrder) -> PreparedCall | None:
        result = order.returned.get("result")
        if self._needs_result and result is None:
            return None
        return PreparedCall(method="POST", path=f"/finish/{order.attempt.id}", body=result or "")

    def fence(self, attempt: Attempt) -> PreparedCall | None:
        return PreparedCall(method="POST", path="/fences", body=attempt.id) if self.manifest.cancel_by_reference else None

    def inquire(self, subject: Attempt | Operation, attempt: Attempt) -> PreparedCall | None:
        return None if self.manifest.lookup is Lookup.NONE else _STRIPE.inquire(subject, attempt)

    def testify(self, content: bytes, payment: Payment, *, at: datetime) -> Testimony:
        said = msgspec.json.decode(content, type=_Told)
        evidence = Evidence(source=Source.WEBHOOK, finding=said.finding, at=at, psp_reference=said.psp_reference)
        return Testimony(statements=(Statement(subject_id=said.subject_id, evidence=evidence),))


def unfinished(*, needs_result: bool = True, methods: Mapping[str, MethodSupport] | None = None, **promises: Any) -> Connector:
    """The connector; `promises` are further fields of its manifest."""
    card = replace(_STRIPE.manifest.methods["card"], completes_without_us=False)
    manifest = replace(_STRIPE.manifest, methods=methods or {"card": card}, session_cancel=False, **promises)
    return cast(Connector, _Unfinished(manifest, needs_result=needs_result))
