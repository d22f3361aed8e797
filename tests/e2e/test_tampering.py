"""Somebody with every right in the database changes what happened, while nothing runs: `payorch audit verify` finds each way of doing it.

With the chain as it is by the chain alone; with the chain computed anew, which leaves it whole by itself, by the anchors that `payorch up`
keeps beside its data folder. Not here: the chain and the anchors by themselves (`tests/store`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from payorch.store import embedded
from payorch.store.driver import Connection
from tests.e2e.operators import Crew, here
from tests.e2e.stack import Stack, eventually
from tests.store.stories import connected
from tests.store.test_anchors import recompute

_TAIL: Final = (
    "DELETE FROM journal WHERE position > 12",
    "UPDATE journal_head SET position = 12, hash = (SELECT hash FROM journal WHERE position = 12)",
)
_COPY: Final = (
    "INSERT INTO journal SELECT stream_id, sequence + 1000, position + {}, stream, name, at, actor, cause, body, hash FROM journal"
    " WHERE position = 8"
)
WAYS: Final[dict[str, tuple[tuple[str, ...], bool, set[str]]]] = {
    "edited": (("UPDATE journal SET actor = 'operator:eve' WHERE position = 8",), False, {"altered"}),
    "deleted": (("DELETE FROM journal WHERE position = 8",), False, {"missing"}),
    "inserted": ((_COPY.format(0),), False, {"surplus"}),
    "reordered": (("UPDATE journal SET position = 17 - position WHERE position IN (8, 9)",), False, {"altered"}),
    "tail cut": (_TAIL, False, {"cut"}),
    "edited and computed anew": (("UPDATE journal SET actor = 'operator:eve' WHERE position = 8",), True, {"rewritten"}),
    "deleted and computed anew": (
        ("DELETE FROM journal WHERE position = 8", "UPDATE journal SET position = position - 1 WHERE position > 8"),
        True,
        {"rewritten", "cut"},
    ),
    "inserted and computed anew": (
        ("UPDATE journal SET position = position + 1 WHERE position > 8", _COPY.format(1)),
        True,
        {"rewritten"},
    ),
}
"""What is done, whether the chain is computed anew after it, and what may be said to have happened."""


async def tampered(stack: Stack, root: Connection, how: tuple[str, ...], *, anew: bool) -> dict[str, Any]:
    """What is said of a journal that this was done to. It is put back as it was."""
    for statement in ("CREATE TEMP TABLE was AS SELECT * FROM journal", "CREATE TEMP TABLE head_was AS SELECT * FROM journal_head"):
        await root.execute(statement)
    for statement in how:
        await root.execute(statement)
    if anew:
        await recompute(root, 0)
    verdict = await here("audit", "verify", "--json", "--data-dir", str(stack.folder))
    assert verdict.code == 1, (how, verdict)
    assert "the journal is damaged" in verdict.err
    for statement in (
        "DELETE FROM journal", "INSERT INTO journal SELECT * FROM was", "DROP TABLE was",
        "UPDATE journal_head SET (position, hash) = (SELECT position, hash FROM head_was)", "DROP TABLE head_was",
    ):  # fmt: skip
        await root.execute(statement)
    said: dict[str, Any] = verdict.data
    return said


async def test_whatever_is_done_to_the_journal_is_found(make_stack: Callable[..., Stack]) -> None:
    stack = make_stack(PAYORCH_AUDIT__ANCHOR_SECONDS="0.5", PAYORCH_AUDIT__ANCHOR_RECORDS="10")
    crew = Crew(stack)
    await stack.start()
    for number in range(4):
        await stack.pay(f"told-{number}")
    head = (await crew.sees("meta"))["head"]

    async def anchored() -> bool:
        anchors = (await crew.sees("audit/verification"))["anchors"]
        return bool(anchors and (anchors["last_position"] or 0) >= head)

    await eventually(anchored)
    assert await stack.stop() == 0
    await stack.cluster()
    at = ("--json", "--data-dir", str(stack.folder))
    whole = await here("audit", "verify", *at)
    assert (whole.code, whole.data["whole"]) == (0, True), whole
    assert whole.data["anchors"]["compared"] >= 1
    socket = (stack.folder / "postgres" / "cluster").resolve() / "socket"
    async with connected(f"host={socket} port=5432 user={embedded.SUPERUSER} dbname={embedded.DATABASE}") as root:
        await root.execute("SET search_path = payorch")
        await root.execute("ALTER TABLE journal DISABLE TRIGGER ALL")
        await root.execute("ALTER TABLE journal_head DISABLE TRIGGER ALL")
        for what, (how, anew, faults) in WAYS.items():
            said = await tampered(stack, root, how, anew=anew)
            print(what, said["fault"], said["position"], said["detail"])
            assert said["fault"] in faults, (what, said)
    again = await here("audit", "verify", *at)
    assert (again.code, again.data["whole"]) == (0, True), "put back, all is well"
    (anchors,) = (stack.folder.with_name(f"{stack.folder.name}-anchors")).glob("*.anchors")
    lines = anchors.read_bytes().splitlines(keepends=True)
    anchors.write_bytes(b"".join(lines[:1] + lines[2:]) if len(lines) > 2 else lines[0].replace(b'"n":1', b'"n":2'))
    damaged = await here("audit", "verify", *at)
    assert (damaged.code, damaged.data["fault"]) == (1, "anchors_damaged"), damaged
