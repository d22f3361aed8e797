"""The made-up answers as files: `fixtures/answers.json` maps each call to the file with its answer, `fixtures/stream.jsonl` is the stream.

`python -m tests.tui.answers` writes them anew; a test holds that they are what is written here. Whoever needs one asks `answer(path)`.
Not here: what is in them (`answers_payments`, `answers_rest`).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

from tests.tui import answers_rest as rest
from tests.tui.answers_basics import CONNECTORS, View, page
from tests.tui.answers_payments import payments, routings, row, timelines
from tui.messages import Happened, Page, Snapshot
from tui.recording import written as written_line

FOLDER: Final = Path(__file__).parent / "fixtures"
ROOT: Final = "/ops/v1"


def made() -> dict[str, tuple[str, Any]]:
    """Path of a call (with its query where that matters) -> the file's name, and what it answers."""
    known = payments()
    stories, decisions = timelines(), routings()
    rows = sorted((row(one) for one in known.values()), key=lambda one: one["created_at"], reverse=True)
    found: dict[str, tuple[str, Any]] = {
        "/meta": ("meta", rest.meta()),
        "/snapshot": ("snapshot", rest.snapshot()),
        "/payments": ("payments", page(rows, total=len(rows), total_is_exact=True)),
        "/connectors": ("connectors", {"data": [rest.connector(one) for one in CONNECTORS]}),
        "/routing": ("routing", rest.routing()),
        "/routing/decisions": ("routing_decisions", page(rest.routing_decisions())),
        "/routing/simulations": ("routing_simulation", rest.simulation()),
        "/dead-letters": ("dead_letters", page(rest.letters())),
        "/dead-letters?group=fingerprint": ("dead_letter_groups", page(rest.groups())),
        "/reconciliation/days": ("reconciliation_days", {"data": rest.days(), "without_currency": []}),
        f"/reconciliation/days/{rest.DAY}": (
            "reconciliation_day",
            {"day": rest.DAY, "data": [one for one in rest.days() if one["day"] == rest.DAY], "without_currency": []},
        ),
        f"/reconciliation/days/{rest.DAY}/items": ("reconciliation_items", page(rest.items())),
        "/audit": ("audit", page(rest.audit(), searched_to=None)),
        "/audit/verification": ("audit_verification", rest.verification()),
        "/actions": ("actions", page(rest.acts())),
        "/plans": ("plan", rest.plan()),
    }
    for name, one in known.items():
        found[f"/payments/{one['id']}"] = (f"payment_{name}", one)
        found[f"/payments/{one['id']}/timeline"] = (f"timeline_{name}", page(stories[name]))
        found[f"/payments/{one['id']}/routing"] = (f"routing_{name}", {"data": decisions[name]})
    for name in CONNECTORS:
        found[f"/connectors/{name}"] = (f"connector_{name}", rest.connector_page(name))
    for place, group in enumerate(rest.groups()):
        letter = next(one for one in rest.letters() if one["id"] == group["example"])
        found[f"/dead-letters/{letter['id']}"] = (f"dead_letter_{place}", rest.letter_page(letter))
    alike = next(one for one in rest.groups())["fingerprint"]
    of_group = [one for one in rest.letters() if one["fingerprint"] == alike]
    replays = [one for one in rest.acts() if one["action"] == "dead_letter.replay"]
    found[f"/dead-letters?fingerprint={alike}&state=open"] = ("letters_of_group", page(of_group))
    found[f"/dead-letters?fingerprint={alike}&group=fingerprint"] = ("dead_letter_group", page(rest.groups()[:1]))
    found["/actions?action=dead_letter.replay&open=true"] = ("replays", page(replays))
    found[f"/actions?action=dead_letter.replay&open=true&subject={alike}"] = ("replays_of_group", page(replays))
    for number, one in enumerate(rest.acts()):
        found[f"/actions/{one['id']}"] = (f"action_{number}", rest.act_page(one))
    return found


def written() -> dict[str, str]:
    """Name of each file -> its text."""
    calls = made()
    files = {f"{name}.json": _text(what) for name, what in calls.values()}
    files["answers.json"] = _text({ROOT + path: f"{name}.json" for path, (name, _) in calls.items()})
    files["stream.jsonl"] = "".join(json.dumps(one, ensure_ascii=True) + "\n" for one in rest.stream())
    return files


def _text(what: Any) -> str:
    return json.dumps(what, ensure_ascii=True, indent=1) + "\n"


def answer(path: str) -> View:
    """What that call answers: `path` from `/ops/v1` on, with its query or without. KeyError where nothing was made up for it."""
    index: dict[str, str] = json.loads((FOLDER / "answers.json").read_text())
    name = index[path] if path in index else index[path.partition("?")[0]]
    found: View = json.loads((FOLDER / name).read_text())
    return found


def stream() -> list[View]:
    """The events after the snapshot."""
    return [json.loads(line) for line in (FOLDER / "stream.jsonl").read_text().splitlines()]


def payment_id(name: str) -> str:
    """Of the made-up payment that is called so: unknown, review, partly, settled, hostile, failed, authorized, ..."""
    found: str = json.loads((FOLDER / f"payment_{name}.json").read_text())["id"]
    return found


def pages() -> dict[tuple[str, str], Any]:
    """All of it as the pages of a `FakeSource`: path and query without limit and cursor."""
    found: dict[tuple[str, str], Any] = {}
    for call in made():
        path, _, query = call.removeprefix("/").partition("?")
        found[path, query] = answer(ROOT + call)
    return found


def recording() -> str:
    """All of it as a recording: `python -m tests.tui.answers FILE`, and the console with `--replay FILE` shows it without a server."""
    lines = [written_line(0.0, Snapshot(data=rest.snapshot()))]
    for (path, query), what in pages().items():
        exact = {"limit": "200", **dict(pair.split("=") for pair in query.split("&") if pair)}
        lines += [written_line(0.0, Page(path=path, query=one, status=200, data=what)) for one in ([exact] if query else [exact, {}])]
    lines += [written_line(1.0 + number * 0.5, Happened(event=event)) for number, event in enumerate(stream())]
    return "\n".join(lines) + "\n"


def main() -> None:
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(recording())
        return
    FOLDER.mkdir(exist_ok=True)
    for old in FOLDER.glob("*.json*"):
        old.unlink()
    for name, text in written().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
