"""The report of the books check: tables, findings and what was not checked, as text for people and as JSON for programs.

Not here: finding anything (`payorch.books`), what a finding means (`books_words`), printing (the command line).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from payorch.books import KEPT_SUSPECTS, READINGS, Sums, Unsettled, Verdict
from payorch.books_words import ABOUT, SIDES, amount, meaning
from payorch.domain.accounts import Account
from payorch.domain.books import Standing
from payorch.domain.books_findings import INVARIANT, Finding, Kind
from payorch.domain.money import Money, MoneyError

SHOWN: Final = 20
"""Payments and findings of one list that people are shown; --json has all that were kept."""


# --- for people -------------------------------------------------------------------------------------------------------------------------


def text(verdict: Verdict) -> str:
    """The whole report."""
    parts = [
        _merchants(verdict),
        _connectors(verdict),
        _accounts(verdict),
        _standings(verdict),
        _findings(verdict),
        _scope(verdict),
        summary(verdict),
    ]
    return "\n\n".join(part for part in parts if part)


def summary(verdict: Verdict) -> str:
    """One line: whole or not."""
    against = f"and agree with those of {', '.join(verdict.compared)}" if verdict.compared else "as far as they can be judged alone"
    if verdict.whole:
        moving = f" {_count(len(verdict.moving), 'payment')} moved too fast to be judged." if verdict.moving else ""
        return f"The books of {_count(verdict.payments, 'payment')} are whole, {against}.{moving}{_at_stake(verdict)}"
    return f"The books are NOT whole: {_count(sum(verdict.found.values()), 'finding')}{_unread(verdict)}.{_at_stake(verdict)}"


def _at_stake(verdict: Verdict) -> str:
    parts = []
    for what, standings, minor in (("Open", (Standing.OPEN,), "open"), ("With people", (Standing.REVIEW, Standing.HELD), "review")):
        payments = sum(verdict.standings[one] for one in standings)
        sums: Counter[str] = Counter()
        for (_, currency), its in verdict.merchants.items():
            sums[currency] += getattr(its, minor)
        money = ", ".join(f"{_plain(total, currency)} {currency}" for currency, total in sorted(sums.items()) if total)
        if payments:
            parts.append(f" {what}: {_count(payments, 'payment')} with {money or 'nothing'} at stake.")
    return "".join(parts)


def _unread(verdict: Verdict) -> str:
    return f", and {verdict.not_reread:,} more payments differ from the PSPs' books" if verdict.not_reread else ""


def _merchants(verdict: Verdict) -> str:
    head = ("MERCHANT", "CURRENCY", "PAYMENTS", "AUTHORISED", "CAPTURED", "REFUNDED", "NET", "HELD", "OPEN", "IN REVIEW")
    rows = [
        (
            verdict.names.get(merchant, merchant)[:40], currency, f"{sums.payments:,}",
            *(
                _plain(minor, currency)
                for minor in (sums.authorized, sums.captured, sums.refunded, sums.net, sums.held, sums.open, sums.review)
            ),
        )
        for (merchant, currency), sums in sorted(verdict.merchants.items())
    ]  # fmt: skip
    return _table([head, *rows], left=2) if rows else "There are no payments."


def _connectors(verdict: Verdict) -> str:
    head = ("CONNECTOR", "CURRENCY", "BOOKS", "CHARGES", "HELD", "CAPTURED", "REFUNDED", "NET", "OPEN", "IN REVIEW")
    rows: list[tuple[str, ...]] = []
    for connector, currency in sorted({*verdict.ours, *verdict.theirs}):
        ours, theirs = verdict.ours.get((connector, currency), Sums()), verdict.theirs.get((connector, currency), Sums())
        rows.append((connector, currency, "ours", *_row(ours, currency), _plain(ours.open, currency), _plain(ours.review, currency)))
        if connector not in verdict.compared:
            rows.append(("", "", "theirs", *["not read"], *[""] * 6))
            continue
        apart = Sums(
            payments=theirs.payments - ours.payments, held=theirs.held - ours.held, captured=theirs.captured - ours.captured,
            refunded=theirs.refunded - ours.refunded,
        )  # fmt: skip
        rows.append(("", "", "theirs", *_row(theirs, currency), "", ""))
        rows.append(("", "", "difference", *_row(apart, currency), "", ""))
    moved = any(verdict.theirs.get(key, Sums()).net != ours.net for key, ours in verdict.ours.items() if key[0] in verdict.compared)
    note = "\nWhere no finding explains a difference, it is money that is open, with people, or moved from one reading to the other."
    return _table([head, *rows], left=3) + (note if moved else "") if rows else ""


def _accounts(verdict: Verdict) -> str:
    """What is on each account of the ledger: of the PSPs one by one, of the merchants as a sum, since each is a row above already."""
    owed: Counter[str] = Counter()
    rows: list[tuple[str, ...]] = []
    for one in verdict.accounts:
        if one.account.startswith(Account.MERCHANT_PAYABLE.of("")):
            owed[one.currency] -= one.amount
        else:
            rows.append((one.account, one.currency, _plain(one.amount, one.currency)))
    rows += [("owed to merchants", currency, _plain(minor, currency)) for currency, minor in sorted(owed.items())]
    return _table([("ACCOUNT", "CURRENCY", "BALANCE"), *rows], left=2) if rows else ""


def _row(sums: Sums, currency: str) -> tuple[str, ...]:
    return f"{sums.payments:,}", *(_plain(minor, currency) for minor in (sums.held, sums.captured, sums.refunded, sums.net))


def _standings(verdict: Verdict) -> str:
    lines = [", ".join(f"{verdict.standings[one]:,} {one.value.replace('_', ' ')}" for one in Standing) + "."]
    for name, standings in (("Open", {Standing.OPEN}), ("With people", {Standing.REVIEW, Standing.HELD})):
        listed = [one for one in verdict.unsettled if one.standing in standings]
        if not listed:
            continue
        total = sum(verdict.standings[one] for one in standings)
        lines += ["", f"{name}: not judged, no findings{_more(total, min(len(listed), SHOWN))}"]
        lines.append(_table([_UNSETTLED, *(_unsettled(one) for one in listed[:SHOWN])], left=4))
    if verdict.overdue:
        lines += ["", f"{verdict.overdue:,} of them should have been looked at over a minute ago: is the platform running?"]
    if verdict.moving:
        many, shown = _more(len(verdict.moving), SHOWN), ", ".join(verdict.moving[:SHOWN])
        lines += ["", f"Moving: different in each of {READINGS} readings, so not judged{many}: {shown}"]
    return "\n".join(lines)


_UNSETTLED: Final = ("PAYMENT", "STATE", "CONNECTOR", "NEXT LOOK", "AT STAKE", "PSP HOLDS", "PSP TOOK")


def _unsettled(one: Unsettled) -> tuple[str, ...]:
    due = "" if one.due_at is None else _moment(one.due_at)
    stake = f"{_plain(one.at_stake, one.currency)} {one.currency}"
    if one.theirs is None:
        return one.payment_id, one.state, one.connector or "", due, stake, "not read", "not read"
    held, captured, refunded = one.theirs
    return one.payment_id, one.state, one.connector or "", due, stake, _plain(held, one.currency), _plain(captured - refunded, one.currency)


def _findings(verdict: Verdict) -> str:
    if verdict.whole:
        return ""
    blocks = ["FINDINGS"]
    for kind in Kind:
        findings = [one for one in verdict.findings if one.kind is kind]
        for means in dict.fromkeys(meaning(one) for one in findings):
            alike = [one for one in findings if meaning(one) == means]
            number = len(alike) + verdict.found[kind] - len(findings)
            more = _more(number, min(len(alike), SHOWN))
            words = [f"{INVARIANT[kind]}  {ABOUT[kind].title}: {number:,}{more}", f"    means   {means}", f"    next    {ABOUT[kind].next}"]
            blocks.append("\n".join([*words, *(_finding(one) for one in alike[:SHOWN])]))
    if verdict.not_reread:
        blocks.append(
            f"M3  {verdict.not_reread:,} more payments differ in the first reading; {KEPT_SUSPECTS:,} at most are read again\n"
            "    next    Are these the books of this database? So many differences usually mean another data folder, or a restored copy."
        )
    return "\n\n".join(blocks)


def _finding(finding: Finding) -> str:
    about = [finding.payment_id or "no payment of ours", finding.subject_id or "", f"at {finding.connector}" if finding.connector else ""]
    rows = []
    if finding.ours is not None and finding.theirs is not None:
        ours, theirs = SIDES.get(finding.kind, ("ours", "theirs"))
        rows.append((ours, amount(finding.ours, finding.currency)))
        apart = amount(finding.theirs - finding.ours, finding.currency)
        rows.append((theirs, f"{amount(finding.theirs, finding.currency)}, a difference of {apart}"))
    if finding.detail:
        rows.append(("what", finding.detail))
    return "\n".join([f"    {' '.join(filter(None, about))}", *(f"        {name.ljust(7)} {words}" for name, words in rows)])


def _scope(verdict: Verdict) -> str:
    lines = [f"Read at {_moment(verdict.read_at)}: {verdict.payments:,} of {verdict.of:,} payments, our side at one moment."]
    if verdict.compared:
        read = ", ".join(f"{name} ({verdict.lines.get(name, 0):,} lines)" for name in verdict.compared)
        again = f" {_count(verdict.reread, 'payment')} that seemed to differ read again until standing still." if verdict.reread else ""
        lines.append(f"Against the books of {read}.{again}")
    lines += [f"Not checked: {one}." for one in not_checked(verdict)]
    return "\n".join(lines)


def not_checked(verdict: Verdict) -> list[str]:
    """What this run can say nothing about."""
    missing = sorted({connector for connector, _ in verdict.ours} - set(verdict.compared))
    left = []
    if missing:
        left.append(f"the books of {', '.join(missing)}: no simulator of theirs runs here")
    if verdict.scope.since is not None:
        left.append(f"payments made before {_moment(verdict.scope.since)}, and the sums with them in")
    if verdict.scope.sample < 1.0:
        left.append("the payments outside the sample, the sums over all, and charges that name nothing of ours")
    left.append("whether the PSPs' reports fit what we moved: that is reconciliation. The hash chain: `payorch audit verify`")
    return left


def _table(rows: Sequence[Sequence[str]], *, left: int) -> str:
    """Columns as wide as they need to be; the first `left` begin alike, the others end alike."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    ends = [str.ljust] * left + [str.rjust] * (len(widths) - left)
    return "\n".join("  ".join(end(cell, width) for end, cell, width in zip(ends, row, widths, strict=True)).rstrip() for row in rows)


def _plain(minor: int, currency: str) -> str:
    try:
        return f"{Money(minor, currency).major():,}"
    except MoneyError:
        return f"{minor:,}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _more(total: int, shown: int) -> str:
    return f" (the first {shown})" if total > shown else ""


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S UTC")


# --- for programs -----------------------------------------------------------------------------------------------------------------------


def data(verdict: Verdict) -> dict[str, Any]:
    """The same as JSON: amounts in minor units, times in RFC 3339."""
    return {
        "whole": verdict.whole,
        "read_at": _rfc3339(verdict.read_at),
        "scope": {"since": _rfc3339(verdict.scope.since), "sample": verdict.scope.sample},
        "payments": verdict.payments,
        "payments_in_scope": verdict.of,
        "compared": verdict.compared,
        "lines_read": verdict.lines,
        "not_checked": not_checked(verdict),
        "standings": {one.value: verdict.standings[one] for one in Standing},
        "merchants": [
            {"merchant": merchant, "name": verdict.names.get(merchant), "currency": currency, **_sums(sums), "authorized": sums.authorized}
            for (merchant, currency), sums in sorted(verdict.merchants.items())
        ],
        "connectors": [
            {
                "connector": connector, "currency": currency, "ours": _sums(verdict.ours.get((connector, currency), Sums())),
                "theirs": _theirs(verdict, connector, currency),
            }
            for connector, currency in sorted({*verdict.ours, *verdict.theirs})
        ],
        "ledger": {
            "movements": verdict.movements,
            "accounts": [{"account": one.account, "currency": one.currency, "balance": one.amount} for one in verdict.accounts],
        },
        "unsettled": [_unsettled_data(one) for one in verdict.unsettled],
        "overdue": verdict.overdue,
        "findings_by_kind": {kind.value: verdict.found[kind] for kind in Kind if verdict.found[kind]},
        "findings": [_finding_data(one) for one in verdict.findings],
        "read_again": verdict.reread,
        "differing_and_not_read_again": verdict.not_reread,
        "moving": verdict.moving,
    }  # fmt: skip


def _theirs(verdict: Verdict, connector: str, currency: str) -> dict[str, int] | None:
    if connector not in verdict.compared:
        return None
    shown = _sums(verdict.theirs.get((connector, currency), Sums()))
    return {name: minor for name, minor in shown.items() if name not in ("open", "in_review")}


def _sums(sums: Sums) -> dict[str, int]:
    return {
        "payments": sums.payments, "held": sums.held, "captured": sums.captured, "refunded": sums.refunded, "net": sums.net,
        "open": sums.open, "in_review": sums.review,
    }  # fmt: skip


def _unsettled_data(one: Unsettled) -> dict[str, Any]:
    theirs = None if one.theirs is None else dict(zip(("held", "captured", "refunded"), one.theirs, strict=True))
    return {
        "payment": one.payment_id, "standing": one.standing.value, "state": one.state, "connector": one.connector,
        "currency": one.currency, "at_stake": one.at_stake, "theirs": theirs,
        "since": _rfc3339(one.since), "next_look_at": _rfc3339(one.due_at),
    }  # fmt: skip


def _finding_data(finding: Finding) -> dict[str, Any]:
    return {
        "invariant": finding.invariant, "kind": finding.kind.value, "payment": finding.payment_id, "subject": finding.subject_id,
        "connector": finding.connector, "currency": finding.currency, "ours": finding.ours, "theirs": finding.theirs,
        "detail": finding.detail, "title": ABOUT[finding.kind].title, "means": meaning(finding), "next": ABOUT[finding.kind].next,
    }  # fmt: skip


def _rfc3339(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
