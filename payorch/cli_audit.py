"""The commands about the audit: whether the journal's hash chain is whole, by itself and against what was kept of it elsewhere.

Not here: the chain (`payorch.store.audit`), anchors (`payorch.operations.anchors`).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import trio
from cyclopts import App, Parameter

from payorch.terminal import CommandFailed, DataDir, Json, show

if TYPE_CHECKING:
    from payorch.operations.anchors import AgainstJournal
    from payorch.settings import Settings
    from payorch.store.driver import Connection

audit = App(name="audit", help="The journal's hash chain.")


@audit.command(name="verify")
async def audit_verify(
    *,
    anchors: Annotated[Path | None, Parameter(help="the folder of anchors [default: audit.anchor_folder]")] = None,
    data_dir: DataDir = None,
    json: Json = False,
) -> None:
    """Compute the journal's hash chain anew from its first record, and compare it with its anchors.

    Fails where a record was changed, removed, added or moved, where the end was cut off, and where all of it was computed anew.
    """
    from payorch import database, local
    from payorch.store import audit as chain

    async with local.reachable(data_dir) as settings:
        url = settings.needed("database_url")
        async with database.connected(url, settings.database, application_name="payorch-cli") as connection:
            verdict = await chain.verify(connection)
            folder = anchors or (Path(settings.audit.anchor_folder) if settings.audit.anchor_folder else None)
            compared, others = (None, 0) if folder is None else await _compared(connection, settings, folder, verdict.head_position)
    if anchors is not None and compared is None:
        raise CommandFailed(f"there is no file of anchors of this journal in {anchors}, and {others} of others")
    fault = verdict.fault or (None if compared is None else compared.fault)
    position = verdict.position if verdict.fault or compared is None else compared.position
    detail = verdict.detail if verdict.fault or compared is None else compared.detail
    shown: dict[str, Any] = {
        "whole": fault is None,
        "records": verdict.records,
        "head_position": verdict.head_position,
        "head_hash": verdict.head_hash.hex(),
        "fault": fault and fault.value,
        "position": position,
        "detail": detail,
        "anchors": None if compared is None else {"folder": str(folder), "compared": compared.compared},
    }
    against = "no anchors" if compared is None else "1 anchor agrees" if compared.compared == 1 else f"{compared.compared} anchors agree"
    show(shown, json, lambda: f"{verdict.records} records are good, {against}; head {verdict.head_position} {verdict.head_hash.hex()}")
    if fault is not None:
        place = f" at position {position}" if position is not None else ""
        raise CommandFailed(f"the journal is damaged{place}: {fault.value}. {detail}")


async def _compared(connection: Connection, settings: Settings, folder: Path, head_position: int) -> tuple[AgainstJournal | None, int]:
    """What the anchors of this journal in that folder say; None where it has none there, and how many files of other journals there are."""
    from payorch.keys import derived_key
    from payorch.operations import anchors as kept
    from payorch.store import audit as chain

    file = kept.path_of(folder, await chain.identity(connection))
    there = await trio.to_thread.run_sync(kept.files_in, folder)
    others = len([one for one in there if one != file])
    if file not in there:
        return None, others
    key = derived_key(settings.needed("secret_key"), kept.PURPOSE)
    said = await trio.to_thread.run_sync(kept.read, file, key)

    async def hashes_at(positions: Any) -> dict[int, bytes]:
        return await chain.hashes_at(connection, positions)

    return await kept.against_journal(said, head_position, hashes_at), others
