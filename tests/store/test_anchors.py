"""Anchors: whoever has every right in the database, and leaves a chain that is whole by itself, is found out by what was kept outside."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import UUID

import msgspec
import pytest

from payorch.operations.anchors import AgainstJournal, Anchor, AnchorFile, Anchors, AnchorsUnusable, against_journal, path_of, read
from payorch.operations.auditor import Auditor, AuditorLimits, Findings
from payorch.store import audit
from payorch.store.audit import GENESIS, Fault, Head, Mark, Step, advance, verify
from payorch.store.driver import Connection
from payorch.store.items import Appended, OperatorTokenUsed, Result
from payorch.store.journal import Journal
from tests.conftest import Database
from tests.store.stories import START, Story, connected, journal_on

KEY = b"k" * 32


@pytest.fixture
async def journal(database: Database) -> AsyncIterator[Journal]:
    """A journal of 12 records."""
    async with journal_on(database.app) as opened:
        for _ in range(3):
            await opened.write([Story().sent()])
        yield opened


@pytest.fixture
async def tamperer(database: Database) -> AsyncIterator[Connection]:
    """Somebody with every right, who has switched the protections off."""
    async with connected(database.superuser) as root:
        await root.execute("SET search_path = payorch")
        await root.execute("ALTER TABLE journal DISABLE TRIGGER ALL")
        await root.execute("ALTER TABLE journal_head DISABLE TRIGGER ALL")
        yield root


@pytest.fixture
async def app(database: Database) -> AsyncIterator[Connection]:
    async with connected(database.app) as connection:
        yield connection


async def anchored(app: Connection, folder: Path) -> AnchorFile:
    """A file with an anchor of the journal as it is."""
    file = AnchorFile(path_of(folder, await audit.identity(app)), KEY)
    head = await audit.head(app)
    assert head is not None
    file.append(Anchor(position=head.position, hash=head.hash.hex(), epoch=head.epoch, at=START))
    return file


async def compared(app: Connection, file: AnchorFile, key: bytes = KEY) -> AgainstJournal:
    head = await audit.head(app)
    assert head is not None

    async def hashes_at(positions: Sequence[int]) -> dict[int, bytes]:
        return await audit.hashes_at(app, positions)

    return await against_journal(read(file.file, key), head.position, hashes_at)


async def recompute(root: Connection, after: int) -> None:
    """Makes the chain whole again from that position on, as its code would: what no look at the chain alone can find."""
    page = await (await root.execute(b"SELECT position FROM journal ORDER BY position")).fetchall()
    cursor = await root.execute(b"SELECT hash FROM journal WHERE position = %s", [after])
    before = await cursor.fetchone()
    last = bytes(before[0]) if before is not None else GENESIS
    for (position,) in page:
        if position <= after:
            continue
        [row] = await audit._page(root, audit._Place(position - 1, UUID(int=(1 << 128) - 1), 2**31 - 1), 1)
        last = audit._hash_of(last, row)
        await root.execute(b"UPDATE journal SET hash = %s WHERE position = %s", [last, position])
    await root.execute(b"UPDATE journal_head SET position = (SELECT max(position) FROM journal), hash = %s", [last])


async def test_an_untouched_journal_agrees_with_its_anchors(journal: Journal, app: Connection, tmp_path: Path) -> None:
    file = await anchored(app, tmp_path / "anchors")
    await journal.write([Story().sent()])
    head = await audit.head(app)
    assert head is not None
    file.append(Anchor(position=head.position, hash=head.hash.hex(), epoch=head.epoch, at=START))
    assert await compared(app, file) == AgainstJournal(compared=2)
    assert os.stat(file.file).st_mode & 0o077 == 0
    again = AnchorFile(file.file, KEY)
    assert (again.last(), again.count) == (file.last(), 2)


async def test_a_tail_that_was_cut_is_found(journal: Journal, app: Connection, tamperer: Connection, tmp_path: Path) -> None:
    file = await anchored(app, tmp_path)
    await tamperer.execute(b"DELETE FROM journal WHERE position > 9")
    await tamperer.execute(b"UPDATE journal_head SET position = 9, hash = (SELECT hash FROM journal WHERE position = 9)")
    assert (await verify(app)).whole
    found = await compared(app, file)
    assert (found.fault, found.position) == (Fault.CUT, 12)
    assert "now the journal ends at 9" in found.detail


@pytest.mark.parametrize(
    "edit",
    [
        b"UPDATE journal SET actor = 'operator:eve' WHERE position = 5",
        b"UPDATE journal SET body = '{}' WHERE position = 1",
        b"UPDATE journal SET position = 11 - position WHERE position IN (5, 6)",
    ],
)
async def test_a_chain_that_was_computed_anew_is_found(
    journal: Journal, app: Connection, tamperer: Connection, tmp_path: Path, edit: bytes
) -> None:
    file = await anchored(app, tmp_path)
    await tamperer.execute(edit)
    assert not (await verify(app)).whole
    await recompute(tamperer, 0)
    assert (await verify(app)).whole
    found = await compared(app, file)
    assert (found.fault, found.position) == (Fault.REWRITTEN, 12)


async def test_a_record_taken_out_or_put_in_with_the_chain_computed_anew(
    journal: Journal, app: Connection, tamperer: Connection, tmp_path: Path
) -> None:
    file = await anchored(app, tmp_path)
    await tamperer.execute(b"DELETE FROM journal WHERE position = 7")
    await tamperer.execute(b"UPDATE journal SET position = position - 1 WHERE position > 7")
    await recompute(tamperer, 0)
    assert (await verify(app)).whole
    assert (await compared(app, file)).fault is Fault.CUT
    await tamperer.execute(
        b"INSERT INTO journal (stream_id, sequence, position, stream, name, at, actor, cause, body, hash)"
        b" SELECT stream_id, sequence + 50, 12, stream, name, at, actor, cause, body, hash FROM journal WHERE position = 3"
    )
    await recompute(tamperer, 0)
    assert (await verify(app)).whole
    assert (await compared(app, file)).fault is Fault.REWRITTEN


@pytest.mark.parametrize("how", ["changed", "taken out", "moved", "forged", "other key"])
async def test_a_file_that_was_tampered_with_is_found(journal: Journal, app: Connection, tmp_path: Path, how: str) -> None:
    file = await anchored(app, tmp_path)
    for _ in range(2):
        await journal.write([Story().sent()])
        await anchored(app, tmp_path)
    file = AnchorFile(file.file, KEY)
    lines = file.file.read_bytes().splitlines(keepends=True)
    line = msgspec.json.decode(lines[1])
    match how:
        case "changed":
            lines[1] = msgspec.json.encode(line | {"position": line["position"] + 1}) + b"\n"
        case "taken out":
            del lines[1]
        case "moved":
            lines[1], lines[2] = lines[2], lines[1]
        case "forged":
            other = AnchorFile(tmp_path / "other", b"x" * 32)
            other.append(Anchor(position=1, hash="ab", epoch=1, at=START))
            lines.append(other.file.read_bytes())
        case _:
            pass
    file.file.write_bytes(b"".join(lines))
    found = await compared(app, file, b"o" * 32 if how == "other key" else KEY)
    assert found.fault is Fault.ANCHORS_DAMAGED
    assert found.compared == {"other key": 0, "forged": 3}.get(how, 1)


def test_a_line_that_a_crash_cut_short_is_no_fault(tmp_path: Path) -> None:
    file = AnchorFile(tmp_path / "a.anchors", KEY)
    file.append(Anchor(position=1, hash="aa", epoch=1, at=START))
    with file.file.open("ab") as stream:
        stream.write(b'{"n":2,"positi')
    assert read(file.file, KEY) == Anchors(anchors=[Anchor(position=1, hash="aa", epoch=1, at=START)])
    again = AnchorFile(file.file, KEY)
    again.append(Anchor(position=2, hash="bb", epoch=1, at=START))
    assert [one.position for one in read(file.file, KEY).anchors] == [1, 2]
    assert read(file.file, KEY).damaged_at is None


def test_a_folder_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AnchorsUnusable, match="cannot be used"):
        AnchorFile(tmp_path / "file" / "a.anchors", KEY).last()
    (tmp_path / "b.anchors").write_text("not an anchor\n")
    with pytest.raises(AnchorsUnusable):
        AnchorFile(tmp_path / "b.anchors", KEY).append(Anchor(position=1, hash="aa", epoch=1, at=START))


# --- walking on -------------------------------------------------------------------------------------------------------------------------


async def test_a_walk_goes_on_where_it_was(journal: Journal, app: Connection, tamperer: Connection) -> None:
    mark, steps = Mark(), 0
    while not (step := await advance(app, mark, page_rows=5)).ended:
        mark, steps = step.mark, steps + 1
    assert (steps, step.verdict.whole, step.verdict.records, step.mark.position) == (2, True, 12, 12)
    await journal.write([Story().sent()])
    further = await advance(app, step.mark, page_rows=5)
    assert (further.ended, further.verdict.whole, further.verdict.records) == (True, True, 16)
    await tamperer.execute(b"UPDATE journal SET actor = 'eve' WHERE position = 14")
    assert (await advance(app, step.mark, page_rows=5)).verdict.fault is Fault.ALTERED
    assert (await advance(app, further.mark, page_rows=5)).verdict.whole  # behind it: only a walk from the first record finds it
    await tamperer.execute(b"DELETE FROM journal WHERE position > 10")
    await tamperer.execute(b"UPDATE journal_head SET position = 10, hash = (SELECT hash FROM journal WHERE position = 10)")
    cut = await advance(app, further.mark, page_rows=5)
    assert (cut.ended, cut.verdict.fault, cut.verdict.position) == (True, Fault.CUT, 11)


@pytest.fixture
def other_database(make_database: Callable[[], Database]) -> Database:
    return make_database()


async def test_a_database_has_an_identity_of_its_own(journal: Journal, app: Connection, other_database: Database) -> None:
    async with connected(other_database.app) as there:
        assert await audit.identity(there) != await audit.identity(app)
    assert await audit.identity(app) == await audit.identity(app)


# --- the auditor ------------------------------------------------------------------------------------------------------------------------


class Chain:
    """A journal of hashes that a test writes, without a database."""

    def __init__(self) -> None:
        self.hashes: list[bytes] = []
        self.uses: list[OperatorTokenUsed] = []

    def write_some(self, count: int) -> None:
        for _ in range(count):
            self.hashes.append(sha256(b"%d" % len(self.hashes)).digest())

    async def identity(self) -> str:
        return "db"

    async def head(self) -> Head | None:
        return Head(position=len(self.hashes), hash=self.hashes[-1] if self.hashes else GENESIS, epoch=1)

    async def advance(self, mark: Mark, *, page_rows: int) -> Step:
        last = len(self.hashes)
        verdict = audit.Verdict(records=last, head_position=last, head_hash=self.hashes[-1])
        return Step(mark=Mark(position=last), verdict=verdict, ended=True)

    async def hashes_at(self, positions: Sequence[int]) -> dict[int, bytes]:
        return {one: self.hashes[one - 1] for one in positions if one <= len(self.hashes)}

    async def write(self, use: OperatorTokenUsed) -> Result:
        self.uses.append(use)
        return Appended(1)


class Clock:
    def now(self) -> Any:
        return START


def auditor_of(chain: Chain, folder: Path, findings: Findings) -> Auditor:
    return Auditor(
        journal=chain, file=lambda identity: AnchorFile(path_of(folder, identity), KEY), key=KEY, findings=findings,
        written=lambda: len(chain.hashes), write=chain.write, clock=Clock(),
        limits=AuditorLimits(anchor_seconds=60, anchor_records=100, verify_seconds=30, verify_whole_seconds=3600),
    )  # fmt: skip


async def test_it_anchors_by_time_and_by_number_and_only_what_is_new(tmp_path: Path) -> None:
    chain, findings = Chain(), Findings()
    chain.write_some(10)
    auditor = auditor_of(chain, tmp_path, findings)
    await auditor._anchor()
    await auditor._anchor()
    assert (findings.anchored.count, findings.anchored.last_position, findings.anchored.where) == (1, 10, str(tmp_path))
    chain.write_some(99)
    assert not auditor._is_due()
    chain.write_some(1)
    assert auditor._is_due()
    await auditor._anchor()
    assert [one.position for one in read(path_of(tmp_path, "db"), KEY).anchors] == [10, 110]


async def test_a_journal_that_was_rewritten_while_nobody_looked_is_told_at_the_start(tmp_path: Path) -> None:
    chain = Chain()
    chain.write_some(10)
    await auditor_of(chain, tmp_path, Findings())._anchor()
    chain.hashes = chain.hashes[:4]  # as if it had been cut
    findings = Findings()
    auditor = auditor_of(chain, tmp_path, findings)
    await auditor._anchor()
    assert (findings.verification.state, findings.verification.fault, findings.verification.position) == ("broken", "cut", 10)
    # What is written on from there is anchored all the same, and the walk goes on to say what is wrong.
    assert await auditor._judge(await chain.advance(Mark(), page_rows=1), Mark())
    assert findings.verification.state == "broken"


async def test_it_says_whole_once_it_has_been_to_the_end(tmp_path: Path) -> None:
    chain, findings = Chain(), Findings()
    chain.write_some(3)
    auditor = auditor_of(chain, tmp_path, findings)
    assert findings.verification.state == "unknown"
    await auditor._anchor()
    assert not await auditor._judge(await chain.advance(Mark(), page_rows=1), Mark())
    assert (findings.verification.state, findings.verification.records, findings.verification.checked_at) == ("whole", 3, START)
    chain.hashes[2] = b"x" * 32
    assert await auditor._judge(await chain.advance(Mark(), page_rows=1), Mark())
    assert (findings.verification.state, findings.verification.fault) == ("broken", "rewritten")


async def test_a_use_is_written(tmp_path: Path) -> None:
    chain = Chain()
    use = OperatorTokenUsed(lookup_id="op_live_a", at=START)
    await auditor_of(chain, tmp_path, Findings()).receive(use)
    assert chain.uses == [use]
