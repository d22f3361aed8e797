"""What a result looks like to a reader: a line for each round, tables, the row for docs/performance.md; and its books.

Works on the results as they are saved in build/bench. Not here: measuring.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from bench.figures import median, paired_ratios

_OURS: Final = ("payorch.", "actors ", "connectors ", "bench ")
_WHOLE_PROCESS: Final = 0.9
_FUNCTIONS: Final = 30
_ENOUGH_HEADROOM: Final = 3.0
_BUSY: Final = 0.85
"""A service in a closed loop uses its whole core. One that got less was waiting for the machine, the disk or the load."""
_SHOWN_FROM: Final = 0.005
"""A package with less than this of both kinds of time is not worth a line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Thing:
    """What a round sends, in words. name: of the measurement. status: of the answer that says it is durable. ended: what becomes of it.

    agree: what the books show, in one line. charges: whether each is a charge at the PSP; otherwise none is.
    """

    name: str
    each: str
    status: str
    ended: str
    agree: str
    charges: bool


PAYMENTS: Final = Thing(
    name="authorizations",
    each="payments",
    status="201",
    ended="ended as the PSP answered",
    agree="payments stored = answers 201 = charges at the stub",
    charges=True,
)
WEBHOOKS: Final = Thing(
    name="webhooks",
    each="webhooks",
    status="200",
    ended="were applied to their payments",
    agree="webhooks stored = answers 200 = webhooks applied (by the platform), and no charge",
    charges=False,
)
_THINGS: Final = {thing.name: thing for thing in (PAYMENTS, WEBHOOKS)}


def wrong_books(thing: Thing, books: Mapping[str, int]) -> list[str]:
    """What does not agree in one round's books; an empty list where all of it does. A round in which nothing happened is wrong as well."""
    each, status = thing.each, thing.status
    sent, answered, stored = books["sent"], books["answered"], books["stored"]
    charges = stored if thing.charges else 0
    wrong = []
    if not answered:
        wrong.append(f"no {each} were answered with {status}")
    if sent != answered:
        wrong.append(f"{sent} {each} were sent and {answered} answered with {status}")
    if stored != answered:
        wrong.append(f"{answered} {each} were answered with {status} and {stored} are stored")
    if books["settled"] != stored:
        wrong.append(f"{stored} {each} are stored and {books['settled']} of them {thing.ended}")
    if books["charged"] != charges:
        wrong.append(f"{stored} {each} are stored and {books['charged']} charges were made at the PSP")
    return wrong


def all_wrong(result: Mapping[str, Any]) -> list[str]:
    """What makes the figures of this run worthless, over all its rounds."""
    rounds = [one for pair in result["rounds"] for one in pair] + result["open_loop"]
    profiled = [f"{name}, profiled: {text}" for name, profile in result["profiles"].items() for text in profile["wrong"]]
    return [f"{one['kind']}: {text}" for one in rounds for text in one["wrong"]] + profiled


def print_round(told: Mapping[str, Any]) -> None:
    """One round as it ends, on standard error: a run takes a minute, and somebody is watching."""
    print(round_line(told), file=sys.stderr, flush=True)
    for text in told["wrong"]:
        print(f"  WRONG: {text}", file=sys.stderr)
    for status, body in told["refusals"].items():
        print(f"  {status}: {body}", file=sys.stderr)
    for text in told["disturbances"][:3]:
        print(f"  lost: {text}", file=sys.stderr)


def round_line(told: Mapping[str, Any]) -> str:
    """Rate, percentiles and CPU of one round."""
    took, cpu = told["latencies"], told["cpu_us"]
    percentiles = f"p50 {took['p50_ms']:6.1f}  p95 {took['p95_ms']:6.1f}  p99 {took['p99_ms']:6.1f}  max {took['max_ms']:6.1f} ms"
    used = busy(told)
    share = "" if used is None else f" ({used * 100:.0f} % of its core)"
    commits = f"{told['commits_each']:.2f} commits/request"
    spent = f"CPU/request {_us(cpu['service'])}{share}, PostgreSQL {_us(cpu['postgres'])}, {commits}"
    after = told["afterwards"]
    done = (
        ""
        if after is None
        else f"; {after['waiting']} not applied when it ended, all {after['seconds']:.1f} s later ({after['rate']:.0f}/s)"
    )
    return f"{told['kind']:<9} {told['rate']:7.0f}/s  {percentiles}  {spent}{done}"


def busy(told: Mapping[str, Any]) -> float | None:
    """The part of one core that the service used; None where nobody tells."""
    each: float | None = told["cpu_us"]["service"]
    return None if each is None else each * told["rate"] / 1e6


def _us(value: float | None) -> str:
    return "not known" if value is None else f"{value:.0f} us"


def cpu_ratios(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]]) -> dict[str, Any] | None:
    """What the ratios of rates would be if both services had had the whole of their core: first CPU per request to second, pair by pair.

    None where it is not known. On a machine that is busy with other things this is the steadier figure of the two.
    """
    each = [[one["cpu_us"]["service"] for one in pair] for pair in pairs]
    if not all(cpu for pair in each for cpu in pair):
        return None
    return asdict(paired_ratios([second for _, second in each], [first for first, _ in each]))


def text(result: Mapping[str, Any]) -> str:
    """The whole result for a terminal."""
    return "\n".join([*_summary(result), *_open_loop(result), *_profile(result), "", "For docs/performance.md:", *markdown(result)])


def _summary(result: Mapping[str, Any]) -> Iterator[str]:
    pairs, thing = result["rounds"], _THINGS[result["measured"]]
    rounds = [one for pair in pairs for one in pair]
    yield f"{thing.name} answered with {thing.status}:"
    for by, ratios in (("rate", result["ratios"]), ("CPU per request", result["cpu_ratios"])):
        if ratios is not None:
            each = ", ".join(f"{one:.2f}" for one in ratios["each"])
            yield f"{pairs[0][1]['kind']} / bare by {by}: {each}; median {ratios['median']:.2f}"
    yield from _afterwards(pairs, thing)
    headroom = result["ceiling"] / max(one["rate"] for one in rounds)
    verdict = "" if headroom >= _ENOUGH_HEADROOM else f"; less than {_ENOUGH_HEADROOM:g}: THE LOAD IS PART OF WHAT WAS MEASURED"
    yield f"load and stub alone: {result['ceiling']:.0f}/s, {headroom:.1f} times the fastest round{verdict}"
    if not result["pinned"]:
        yield "there are no CPUs 0 and 1 to pin to: service and load shared what there is"
    if any((used := busy(one)) is not None and used < _BUSY for one in rounds):
        yield f"a service used less than {_BUSY * 100:.0f} % of its core: SOMETHING ELSE WAS RUNNING, or it waited for the disk; run again"
    problems = all_wrong(result)
    yield f"books: {thing.agree}, in every round" if not problems else "THE BOOKS DO NOT AGREE:"
    yield from (f"  {problem}" for problem in problems)


def _afterwards(pairs: Sequence[tuple[Mapping[str, Any], Mapping[str, Any]]], thing: Thing) -> Iterator[str]:
    """What was answered before everything of it was done: how fast all of it was, against the bare composition's answers."""
    done = [(first, second, second["afterwards"]) for first, second in pairs if second["afterwards"] is not None]
    if not done:
        return
    ratios = paired_ratios([first["rate"] for first, _, _ in done], [after["rate"] for _, _, after in done])
    waiting = median(after["waiting"] / max(1, second["books"]["stored"]) for _, second, after in done)
    seconds = median(after["seconds"] for _, _, after in done)
    yield (
        f"until all {thing.ended}: {median(after['rate'] for _, _, after in done):.0f}/s, {ratios.median:.2f} of what the bare composition"
        f" answers; {waiting * 100:.0f} % waited when the load ended, for {seconds:.1f} s (medians)"
    )


def _open_loop(result: Mapping[str, Any]) -> Iterator[str]:
    if result["open_loop"]:
        yield f"open loop at {result['options']['open_loop']:g}/s, latencies from when each request was due:"
        yield from (round_line(one) for one in result["open_loop"])


def _profile(result: Mapping[str, Any]) -> Iterator[str]:
    """Self time (adds up to 100 %) and inclusive time (does not) by package, the bare composition beside the subject."""
    profiles = result["profiles"]
    if not profiles:
        return
    names = list(profiles)
    by_name = {name: {share["name"]: share for share in profiles[name]["shares"]} for name in names}
    packages = sorted(
        {
            package
            for shares in by_name.values()
            for package, share in shares.items()
            if max(share["own"], share["inclusive"]) >= _SHOWN_FROM
        },
        key=lambda package: -by_name[names[-1]].get(package, {"own": 0.0})["own"],
    )
    yield ""
    yield "| package | " + " | ".join(f"{name}: self | {name}: inclusive" for name in names) + " |"
    yield "|---|" + "--:|--:|" * len(names)
    for package in packages:
        cells = [by_name[name].get(package) for name in names]
        yield f"| {package} | " + " | ".join(f"{_percent(cell, 'own')} | {_percent(cell, 'inclusive')}" for cell in cells) + " |"
    yield from _functions(names[-1], profiles[names[-1]]["functions"])
    yield ", ".join(f"{name}: {profiles[name]['samples']} samples at {profiles[name]['rate']:.0f}/s" for name in names)


def _functions(kind: str, functions: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Where in our own code the time is spent, most inclusive first, without what spans the whole process."""
    ours = [share for share in functions if share["name"].startswith(_OURS) and share["inclusive"] < _WHOLE_PROCESS]
    yield ""
    yield f"| function of ours in {kind} | self | inclusive |"
    yield "|---|--:|--:|"
    for share in sorted(ours, key=lambda share: -share["inclusive"])[:_FUNCTIONS]:
        yield f"| {share['name']} | {_percent(share, 'own')} | {_percent(share, 'inclusive')} |"


def _percent(share: Mapping[str, float] | None, which: str) -> str:
    return "" if share is None else f"{share[which] * 100:.1f} %"


def markdown(result: Mapping[str, Any]) -> list[str]:
    """The header and the row that docs/performance.md keeps: medians over the rounds."""
    bare, subject = [pair[0] for pair in result["rounds"]], [pair[1] for pair in result["rounds"]]
    ratios, by_cpu = result["ratios"], result["cpu_ratios"]
    cells = [
        result["at"][:10],
        result["commit"],
        f"{_median(bare, 'rate'):.0f}/s",
        f"{_median(subject, 'rate'):.0f}/s",
        f"**{ratios['median']:.2f}** ({min(ratios['each']):.2f} to {max(ratios['each']):.2f})",
        "?" if by_cpu is None else f"{by_cpu['median']:.2f}",
        " / ".join(f"{median(one['latencies'][name] for one in subject):.0f}" for name in ("p50_ms", "p95_ms", "p99_ms")),
        f"{_cpu(bare)} / {_cpu(subject)}",
        "agree" if not all_wrong(result) else "DO NOT AGREE",
    ]
    return [
        f"| date | commit | bare | {subject[0]['kind']} | ratio, median | by CPU | p50 / p95 / p99 ms | CPU us/request of both | books |",
        "|---|---|--:|--:|--:|--:|--:|--:|---|",
        f"| {' | '.join(cells)} |",
    ]


def _median(rounds: Sequence[Mapping[str, Any]], name: str) -> float:
    return median(one[name] for one in rounds)


def _cpu(rounds: Sequence[Mapping[str, Any]]) -> str:
    known = [one["cpu_us"]["service"] for one in rounds if one["cpu_us"]["service"] is not None]
    return f"{median(known):.0f}" if known else "?"
