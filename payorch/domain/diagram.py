"""The state machine as a drawing and as tables, made from the table that rules it. A test holds the README's copy to it. Pure."""

from __future__ import annotations

from payorch.domain.payment import EDGES, LEGAL, PUBLIC_STATUS, TERMINAL, UNCONFIRMED, Command, Name, State


def edges() -> list[tuple[State, State, list[Name]]]:
    """(from, to, events) in the order of a payment's life."""
    found = []
    for state in State:
        for target in State:
            names = [name for name in Name if target in EDGES[state].get(name, ())]
            if names:
                found.append((state, target, names))
    return found


def mermaid() -> str:
    """The text of a Mermaid state diagram: one line per edge, with the names of its events. SecondSuccess, which leads from everywhere to
    MANUAL_REVIEW, is a note."""
    lines = ["stateDiagram-v2", "    [*] --> CREATED"]
    for state, target, names in edges():
        shown = [str(name) for name in names if name is not Name.SECOND_SUCCESS]
        if shown:
            lines.append(f"    {state} --> {target}: {', '.join(shown)}")
    lines += [f"    {state} --> [*]" for state in State if state in TERMINAL]
    lines += ["    note right of MANUAL_REVIEW", "        SecondSuccess leads here from every state", "    end note"]
    return "\n".join(lines) + "\n"


def tables() -> str:
    """Markdown: what merchants see and may ask in each state, and every edge."""
    lines = ["| State | Public status | Legal commands |", "|---|---|---|"]
    for state in State:
        status = f"`{PUBLIC_STATUS[state]}`" + (" (unconfirmed)" if state in UNCONFIRMED else "")
        commands = ", ".join(command for command in Command if command in LEGAL[state])
        lines.append(f"| {state} | {status} | {commands or 'none'} |")
    lines += ["", "| From | To | Events |", "|---|---|---|"]
    lines += [f"| {state} | {target} | {', '.join(names)} |" for state, target, names in edges()]
    return "\n".join(lines) + "\n"


def readme_block() -> str:
    """What stands in the README between its markers."""
    return f"```mermaid\n{mermaid()}```\n\n{tables()}"
